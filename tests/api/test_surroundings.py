"""`sys.path`, the working directory and the environment: a task finds those of the moment of its submission."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading

import pytest

import jray
from jray.exceptions import TaskError
from tests.support.gates import Gate

PROGRAM_S = 60


def look():
    return os.environ.get("JRAY_TEST"), os.getcwd(), sys.path[0]


def pass_gate(gate):
    gate.pass_through()
    return look()


def here():
    return look()


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch, tmp_path):
    """All that a test changes goes back, and the directory is one of its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("JRAY_TEST", "at first")
    monkeypatch.chdir(tmp_path)


def change(name):
    """All three, so that they can be told apart by this name."""
    os.makedirs(name, exist_ok=True)
    os.chdir(name)
    os.environ["JRAY_TEST"] = name
    sys.path.insert(0, f"/{name}")


def test_they_hold_for_each_task_that_is_submitted_afterwards(runtime):
    task = runtime.remote(look)
    refs, expected = [], []
    for name in ("one", "two", "three"):
        change(name)
        refs.append(task.remote())
        expected.append(here())
    del os.environ["JRAY_TEST"], sys.path[0]
    refs.append(task.remote())
    expected.append(here())

    assert expected[-1][0] is None
    assert len(set(expected)) == 4
    assert runtime.get(refs) == expected


def test_there_and_back_again_in_a_loop(runtime, tmp_path):
    task = runtime.remote(os.getcwd)
    refs = []
    for number in range(50):
        os.makedirs(f"{number}")
        with contextlib.chdir(f"{number}"):
            refs.append(task.remote())

    assert runtime.get(refs) == [f"{tmp_path}/{number}" for number in range(50)]


def test_a_task_that_is_queued_keeps_what_it_was_submitted_with(runtime_with, tmp_path):
    runtime = runtime_with(num_cpus=1)
    gate = Gate(tmp_path)
    running = runtime.remote(pass_gate).remote(gate)
    queued, before = runtime.remote(look).remote(), here()
    gate.wait_for_arrival()
    change("later")
    gate.open()

    assert runtime.get([running, queued]) == [before, before]
    assert runtime.get(runtime.remote(look).remote()) == here() != before


def test_so_does_one_that_is_run_again(runtime, tmp_path):
    gate = Gate(tmp_path)

    def die_once(gate, mark):
        gate.pass_through()
        if not os.path.exists(mark):
            os.mkdir(mark)
            os.environ["JRAY_TEST"] = "by a dead task"
            os.kill(os.getpid(), 9)
        return look()

    ref, before = runtime.remote(die_once).remote(gate, str(tmp_path / "mark")), here()
    change("later")
    gate.let_through()
    gate.let_through()
    assert runtime.get(ref) == before


def test_workers_that_start_later_find_them(runtime):
    runtime.get(runtime.remote(look).remote())
    change("later")
    runtime.restart()
    change("latest")
    assert runtime.get(runtime.remote(look).remote()) == here()


def test_what_a_task_changes_is_gone_for_the_next(runtime_with):
    runtime = runtime_with(num_cpus=1)

    def spoil():
        os.chdir("/")
        os.environ["JRAY_TEST"], os.environ["JRAY_MORE"] = "spoilt", "1"
        sys.path.insert(0, "/spoilt")
        return os.getpid()

    def look_again():
        return look(), os.environ.get("JRAY_MORE"), os.getpid()

    pid = runtime.get(runtime.remote(spoil).remote())
    assert runtime.get(runtime.remote(look_again).remote()) == (here(), None, pid)


def test_nested_tasks_find_what_their_parent_has_at_that_moment(runtime, tmp_path):
    @runtime.remote
    def parent():
        child = runtime.remote(look)
        first = child.remote()
        change("parent")
        second = child.remote()
        change("again")
        own = look()
        return runtime.get([first, second, child.remote()]), own

    seen, own = runtime.get(parent.remote())
    assert seen == [here(), ("parent", f"{tmp_path}/parent", "/parent"), own]
    assert own == ("again", f"{tmp_path}/parent/again", "/again")


def test_grandchildren_of_a_parent_that_has_changed_nothing(runtime):
    @runtime.remote
    def parent():
        return runtime.get(runtime.remote(child).remote())

    def child():
        return runtime.get(runtime.remote(look).remote())

    change("kernel")
    assert runtime.get(parent.remote()) == here()


def test_variables_of_jray_are_no_business_of_the_kernel(runtime_with, monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    runtime = runtime_with(num_cpus=2, num_gpus=2)

    def variables():
        return os.environ["CUDA_VISIBLE_DEVICES"], os.environ["OMP_NUM_THREADS"]

    one = runtime.remote(num_cpus=1)(variables)
    two = runtime.remote(num_cpus=2, num_gpus=2)(variables)
    assert runtime.get([one.remote(), two.remote()]) == [("", "1"), ("0,1", "2")]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert runtime.get([one.remote(), two.remote()]) == [("", "3"), ("0,1", "3")]


def test_a_directory_that_is_gone_when_the_task_runs_is_its_error(runtime, tmp_path):
    runtime.get(runtime.remote(look).remote())
    os.mkdir("gone")
    gate = Gate(tmp_path)
    with contextlib.chdir("gone"):
        busy = runtime.remote(pass_gate).map([gate] * 2)
        late = runtime.remote(look).remote()
    for _ in busy:
        gate.wait_for_arrival()
    os.rmdir("gone")
    gate.open()
    gate.open()

    with pytest.raises(FileNotFoundError, match="gone can't be entered in this worker") as raised:
        runtime.get([late])
    assert isinstance(raised.value, TaskError)
    assert runtime.get(runtime.remote(look).remote()) == here()


def test_a_directory_that_is_gone_here_stops_nobody(runtime, tmp_path):
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir(tmp_path / "gone")
    assert runtime.get(runtime.remote(lambda: os.environ["JRAY_TEST"]).remote()) == "at first"
    os.chdir(tmp_path)
    assert runtime.get(runtime.remote(look).remote()) == here()


def test_set_up_functions_run_where_they_were_called_and_what_they_change_lasts(runtime):
    def set_up():
        os.environ["JRAY_SEEN"] = repr(look())
        sys.path.insert(0, "/set_up")

    def look_too():
        return os.environ["JRAY_SEEN"], sys.path[0], os.environ["JRAY_TEST"]

    change("called")
    called = here()
    runtime.run_on_all(set_up)
    change("later")
    assert runtime.get(runtime.remote(look_too).remote()) == (repr(called), "/set_up", "later")
    runtime.restart()
    assert runtime.get(runtime.remote(look_too).remote()) == (repr(called), "/set_up", "later")


def test_another_os_environ_is_looked_at_as_well(runtime, monkeypatch):
    monkeypatch.setattr(os, "environ", {"JRAY_TEST": "of a plain dict", "PATH": os.environ["PATH"]})
    assert runtime.get(runtime.remote(look).remote())[0] == "of a plain dict"


def test_entries_of_sys_path_that_are_no_strings_stay_here(runtime):
    sys.path[:0] = [b"/bytes", None]
    sys.path.insert(0, "/string")
    assert runtime.get(runtime.remote(lambda: sys.path[:2]).remote()) == ["/string", sys.path[3]]


def test_threads_that_submit_at_once(runtime):
    task, wrong = runtime.remote(lambda number: (number, look())), []

    def submit():
        wrong.extend(ref for ref in runtime.get([task.remote(n) for n in range(200)]) if ref[1] != expected)

    expected = here()
    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_script_that_changes_them_between_two_tasks(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys, jray\n"
        "@jray.remote\n"
        "def look(): return os.environ.get('X'), os.path.basename(os.getcwd())\n"
        "jray.init(num_cpus=1)\n"
        "print(jray.get(look.remote()))\n"
        "os.environ['X'] = '1'; os.mkdir('inner'); os.chdir('inner')\n"
        "print(jray.get(look.remote()))\n"
    )
    ended = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=PROGRAM_S, check=True, cwd=tmp_path
    )
    assert ended.stdout == f"(None, '{tmp_path.name}')\n('1', 'inner')\n"


def test_a_worker_that_says_nonsense_is_replaced(runtime):
    """What comes in place of surroundings is checked, as everything that a worker says."""

    def lie():
        client = sys.modules["jray.runtime.backend"].current()
        client._surroundings.of_a_child = lambda: (5,)
        jray.remote(look).remote()
        threading.Event().wait()

    with pytest.raises(jray.exceptions.WorkerCrashedError):
        runtime.get(runtime.remote(max_retries=0)(lie).remote())
    assert runtime.get(runtime.remote(look).remote()) == here()
