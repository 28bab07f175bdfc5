"""`jray.run_on_all`: a function runs once in every worker that is there, and in every later one before its first task."""

from __future__ import annotations

import builtins
import os
import random
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import jray
from jray.exceptions import ObjectLostError, SetUpError, TaskError, WorkerCrashedError
from tests.support.gates import Gate
from tests.support.waiting import wait_until


def note(text):
    builtins.notes = [*getattr(builtins, "notes", []), text]


def fail(why="no connection"):
    raise ConnectionError(why)


def fail_after(path):
    """Runs well until the file is there."""
    if path.exists():
        fail()


def notes():
    return os.getpid(), getattr(builtins, "notes", [])


def pass_gate(gate):
    gate.pass_through()
    return notes()


def two_workers(runtime, tmp_path):
    """Two idle workers; their pids."""
    gate = Gate(tmp_path, "two")
    refs = runtime.remote(pass_gate).map([gate] * 2)
    for _ in refs:
        gate.wait_for_arrival()
    for _ in refs:
        gate.open()
    return {pid for pid, _ in runtime.get(refs)}


def notes_of_all(runtime, tmp_path, name):
    """What two workers at once have noted, by pid."""
    gate = Gate(tmp_path, name)
    refs = runtime.remote(pass_gate).map([gate] * 2)
    for _ in refs:
        gate.wait_for_arrival()
    for _ in refs:
        gate.open()
    return dict(runtime.get(refs))


def test_it_runs_once_in_workers_that_are_there_and_in_later_ones(runtime, tmp_path):
    there = two_workers(runtime, tmp_path)
    assert runtime.run_on_all(note, "a") is None
    noted = notes_of_all(runtime, tmp_path, "before")
    assert noted == {pid: ["a"] for pid in there}
    runtime.restart()
    later = notes_of_all(runtime, tmp_path, "after")
    assert not later.keys() & there
    assert [*later.values()] == [["a"], ["a"]]


def test_before_there_is_a_worker_one_is_started_to_see_errors(runtime):
    with pytest.raises(ConnectionError, match="no connection") as raised:
        runtime.run_on_all(fail)
    assert isinstance(raised.value, TaskError)
    assert "fail" in str(raised.value)
    runtime.run_on_all(note, "a")
    assert runtime.get(runtime.remote(notes).remote())[1] == ["a"]


def test_one_that_has_raised_here_is_not_run_again(runtime, tmp_path):
    two_workers(runtime, tmp_path)
    runtime.run_on_all(note, "a")
    with pytest.raises(ConnectionError):
        runtime.run_on_all(fail)
    runtime.restart()

    assert runtime.get(runtime.remote(notes).remote())[1] == ["a"]


def test_a_busy_worker_runs_it_between_two_tasks(runtime_with, tmp_path):
    runtime = runtime_with(num_cpus=1)
    gate = Gate(tmp_path)
    busy = runtime.remote(pass_gate).remote(gate)
    gate.wait_for_arrival()
    queued = runtime.remote(notes).remote()
    opener = subprocess.Popen(
        [sys.executable, "-c", f"import os; os.write(os.open({gate.way!r}, os.O_WRONLY), b'x')"]
    )  # while we wait
    runtime.run_on_all(note, "a")
    opener.wait()

    assert runtime.get(busy)[1] == []
    assert runtime.get(runtime.remote(notes).remote())[1] == ["a"]
    assert runtime.get(queued)[0] == runtime.get(busy)[0]


def test_several_run_in_their_order_and_a_redefined_one_takes_the_place_of_the_earlier(runtime):
    def named(name, text):
        namespace = {"__name__": "__main__"}
        exec(
            f"def {name}():\n    import builtins\n    builtins.notes = [*getattr(builtins, 'notes', []), {text!r}]",
            namespace,
        )
        return namespace[name]

    runtime.run_on_all(named("one", "one"))
    runtime.run_on_all(named("two", "two"))
    runtime.run_on_all(named("one", "new one"))
    runtime.restart()

    assert runtime.get(runtime.remote(notes).remote())[1] == ["new one", "two"]


def test_lambdas_are_different_functions_and_the_same_object_is_the_same(runtime):
    one = lambda text: note(text)  # noqa: E731 - it is about lambdas
    runtime.run_on_all(one, "a")
    runtime.run_on_all(lambda text: note(text), "b")
    runtime.run_on_all(one, "c")
    runtime.restart()

    assert runtime.get(runtime.remote(notes).remote())[1] == ["c", "b"]


def test_what_it_seeds_stays_seeded_in_the_worker(runtime_with):
    runtime = runtime_with(num_cpus=1)
    runtime.run_on_all(random.seed, 0)  # a method of an object of the module
    runtime.run_on_all(np.random.seed, 0)
    drawn = runtime.get(runtime.remote(lambda: (random.random(), np.random.random())).remote())  # noqa: NPY002

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - as above
    assert drawn == (random.random(), np.random.random())  # noqa: NPY002


def test_it_does_not_draw_from_the_seed_of_the_task_before(runtime_with):
    runtime = runtime_with(num_cpus=1)
    runtime.get(runtime.remote(seed=5)(random.random).remote())
    runtime.run_on_all(lambda: note(random.random()))
    random.seed(5)
    assert runtime.get(runtime.remote(notes).remote())[1] != [random.random()]


def test_it_changes_no_number_of_a_seeded_run(runtime_with):
    def draw_two(set_up):
        runtime = runtime_with(num_cpus=1, seed=1)
        if set_up:
            runtime.run_on_all(note, "a")  # starts a worker
        return runtime.get(runtime.remote(lambda _: random.random()).map(range(2)))

    assert draw_two(set_up=True) == draw_two(set_up=False)


def test_references_arrive_as_values_and_are_kept_for_later_workers(runtime):
    array = np.arange(100_000)
    runtime.run_on_all(
        lambda array, inside: note((array.sum(), jray.get(inside[0]))), runtime.put(array), [runtime.put(3)]
    )
    runtime.restart()

    assert runtime.get(runtime.remote(notes).remote())[1] == [(array.sum(), 3)]


def test_it_must_not_wait_for_tasks(runtime):
    def wait_for_a_task():
        jray.get(jray.remote(os.getpid).remote())

    with pytest.raises(RuntimeError, match=r"jray.get was refused in wait_for_a_task of jray.run_on_all"):
        runtime.run_on_all(wait_for_a_task)
    with pytest.raises(RuntimeError, match=r"jray.wait was refused"):
        runtime.run_on_all(lambda: jray.wait([jray.put(1)]))


def test_a_later_worker_in_which_it_fails_is_replaced_and_its_tasks_say_why(runtime_with, tmp_path):
    runtime = runtime_with(num_cpus=1)
    switch = tmp_path / "fails"
    runtime.run_on_all(fail_after, switch)
    switch.touch()
    runtime.restart()
    task = runtime.remote(os.getpid)
    for _ in range(3):
        with pytest.raises(
            SetUpError, match=r"getpid did not run. The function fail_after, .*: no connection"
        ) as raised:
            runtime.get(task.remote())
        assert "raise ConnectionError" in str(raised.value)
    switch.unlink()

    wait_until(lambda: _succeeds(runtime, task), 20, "another worker has taken the place of the last one")


def _succeeds(runtime, task):
    try:
        return runtime.get(task.remote())
    except SetUpError:
        return False


def test_a_worker_that_dies_while_it_is_waited_for_ends_the_wait(runtime, tmp_path):
    (first, _) = two_workers(runtime, tmp_path)
    killer = subprocess.Popen([sys.executable, "-c", f"import os; os.kill({first}, 9)"])

    def die_in(pid):
        if os.getpid() == pid:
            signal.pause()
        note("a")

    runtime.run_on_all(die_in, first)
    killer.wait()
    assert [*notes_of_all(runtime, tmp_path, "after").values()] == [["a"], ["a"]]


def test_one_that_ends_every_worker_is_told(runtime):
    with pytest.raises(WorkerCrashedError, match="exit code 3"):
        runtime.run_on_all(os._exit, 3)
    assert runtime.get(runtime.remote(os.getpid).remote())  # later workers do not die of it


def test_a_shutdown_ends_the_wait_of_another_thread(runtime, tmp_path):
    two_workers(runtime, tmp_path)
    gate, caught = Gate(tmp_path), []

    def wait():
        try:
            runtime.run_on_all(gate.pass_through)
        except ObjectLostError as error:
            caught.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    gate.wait_for_arrival()
    jray.shutdown()
    waiting.join()
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((3,), TypeError, "was given 3. It runs a function"),
        ((dict,), TypeError, "Give it a function"),
        ((note,), TypeError, r"jray.run_on_all\(note\) missing a required argument: 'text'"),
        ((note, 1, 2), TypeError, "too many positional arguments"),
        ((note, np.zeros(3_000_000)), ValueError, r"takes 23 MiB.*jray.put\(value\)"),
        ((note, (n for n in ())), TypeError, "An argument of note"),
    ],
)
def test_what_cannot_be_run_is_refused(runtime, arguments, error, says):
    with pytest.raises(error, match=says):
        runtime.run_on_all(*arguments)


def test_in_a_task_it_is_refused(runtime):
    with pytest.raises(RuntimeError, match=r"jray.run_on_all\(\) was refused in a task"):
        runtime.get(runtime.remote(lambda: jray.run_on_all(note, "a")).remote())


def test_a_remote_function_may_be_given(runtime):
    runtime.run_on_all(runtime.remote(note), "a")

    assert runtime.get(runtime.remote(notes).remote())[1] == ["a"]


_INTERRUPTED = """
import builtins, os, signal, sys, threading, time
import jray
jray.init(num_cpus=1)
here = os.getpid()
gate = os.pipe()
def set_up(path):
    if not os.path.exists(path):
        open(path, "w").close()
        os.kill(here, signal.SIGINT)
        signal.pause()
    builtins.ready = True
jray.get(jray.remote(abs).remote(1))
try:
    jray.run_on_all(set_up, sys.argv[1])
except KeyboardInterrupt:
    print("interrupted")
jray.restart()
pid, = [pid for pid in jray.api.running().pictures.worker_pids().values()]
os.kill(pid, signal.SIGKILL)
print(jray.get(jray.remote(lambda: builtins.ready).remote()))
"""


def test_an_interrupt_ends_the_wait_and_later_workers_run_it(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, str(tmp_path / "once")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout == "interrupted\nTrue\n", ended.stderr


def test_what_it_prints_comes_under_the_name_of_the_function(runtime, capfd):
    def say():
        print("hello")
        os.write(1, b"from C\n")

    runtime.run_on_all(say)
    said = capfd.readouterr().out
    assert "hello" in said
    assert "from C" in said
