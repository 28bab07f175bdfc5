"""What a task or the system may do to the runtime: forks, inherited descriptors, no descriptors left, a lost zygote."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import stat
import subprocess
import sys
import threading

import numpy as np
import psutil
import pytest

import jray
from jray.exceptions import ObjectLostError, WorkerCrashedError
from jray.runtime import wire
from tests.support.gates import Gate
from tests.support.leaks import shared_mappings
from tests.support.waiting import wait_until


def say(number):
    print(f"child {number}")
    return number


def test_processes_that_a_task_forks_may_print_and_end_without_harm(runtime, capsys):
    @runtime.remote
    def forks(box):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            numbers = pool.map(say, range(20))
        return numbers, runtime.get(box[0])

    assert runtime.get(forks.remote([runtime.put("alive")])) == (list(range(20)), "alive")
    out = capsys.readouterr().out
    assert sorted(int(line.split()[-1]) for line in out.splitlines()) == list(range(20))
    assert all(line.startswith("(forks pid=") for line in out.splitlines())


def test_references_dropped_in_a_fork_stay_with_the_task(runtime):
    @runtime.remote
    def forks():
        ref = runtime.put([1])
        pid = os.fork()
        if pid == 0:
            del ref
            print("child", flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        return runtime.get(ref)

    assert runtime.get(forks.remote()) == [1]


def test_jray_refuses_to_work_in_a_fork_of_a_task(runtime):
    def use():
        try:
            jray.get(jray.put(1))
        except RuntimeError as error:
            return str(error)
        return "worked"

    @runtime.remote
    def forks():
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(theirs, use().encode())
            os._exit(0)
        os.waitpid(pid, 0)
        return os.read(ours, 1000).decode()

    assert runtime.get(forks.remote()).startswith("jray was used in a process that a task forked.")


def test_programs_that_a_task_starts_inherit_nothing_of_jray(runtime):
    @runtime.remote
    def inheritable(array_ref):
        jray.get(array_ref[0])  # makes the worker know the kernel's arena
        names = {int(name) for name in os.listdir("/proc/self/fd")}
        return sorted(fd for fd in names if os.path.exists(f"/proc/self/fd/{fd}") and os.get_inheritable(fd))

    assert runtime.get(inheritable.remote([runtime.put(bytes(100_000))])) == [0, 1, 2]


def test_a_zygote_that_ends_unnoticed_is_replaced_when_a_worker_is_wanted(runtime):
    engine = runtime.api.running()._engine
    free = runtime.remote(num_cpus=0)(os.getpid)
    with engine._lock:  # the IO thread cannot look now
        psutil.Process(engine._pool.zygote.pid).kill()
        engine._pool.zygote._process.wait()
        refs = [free.remote() for _ in range(3)]
    engine.drive()
    assert os.getpid() not in runtime.get(refs, timeout=30)
    assert engine.error is None


_NO_DESCRIPTORS = """
import resource, jray
from jray.exceptions import WorkerCrashedError
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
jray.init(num_cpus=1)
def deep(n): return 0 if n == 0 else 1 + jray.get(deep.remote(n - 1))
deep = jray.remote(deep)
try:
    jray.get(deep.remote(40), timeout=60)
except WorkerCrashedError as error:
    print("could not be started (Too many open files)" in str(error))
print(jray.get(deep.remote(3), timeout=60))
"""


def test_without_descriptors_for_another_worker_only_the_task_that_needs_it_fails():
    ended = subprocess.run(
        [sys.executable, "-c", _NO_DESCRIPTORS], capture_output=True, text=True, timeout=90, check=False
    )
    assert ended.stdout.splitlines() == ["True", "3"], ended.stderr


_FEW_DESCRIPTORS = """
import logging, os, resource, sys
import jray
jray.init(num_cpus=1)
r, w = os.pipe()
class Opens(logging.Handler):
    def emit(self, record): os.write(w, b"x")  # the first worker was refused: now what all wait for may come
logging.getLogger("jray").addHandler(Opens())
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

@jray.remote(num_cpus=0)
def gate(path):
    with open(path, "rb") as pipe: return len(pipe.read(1))

@jray.remote(max_retries=0)
def root(refs): return jray.get(refs[0])

first = gate.remote(f"/proc/{os.getpid()}/fd/{r}")
print(sum(jray.get([root.remote([first]) for _ in range(40)], timeout=60)))
"""


def test_tasks_wait_for_workers_that_the_system_refuses_and_none_fails():
    ended = subprocess.run(
        [sys.executable, "-c", _FEW_DESCRIPTORS], capture_output=True, text=True, timeout=90, check=False
    )
    assert ended.stdout == "40\n", ended.stderr


def test_a_worker_that_cannot_be_started_leaves_no_descriptor_open(runtime):
    pool = runtime.api.running()._engine._pool
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    filling = [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (filling[0] + 50, limits[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                filling.append(os.dup(0))
        for room in range(10):  # a worker takes ten
            with pytest.raises(OSError, match="Too many open files"):
                pool.start(999)
            assert [os.dup(0) for _ in range(room)] == filling[len(filling) - room :]  # all are free again
            for descriptor in filling[len(filling) - room - 1 :]:
                os.close(descriptor)
        assert 999 not in pool.handles and 999 not in pool.arenas
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in filling[:-10]:
            os.close(descriptor)


def test_a_stopped_worker_does_not_hold_up_the_shutdown(runtime, tmp_path):
    gate = Gate(tmp_path)
    runtime.remote(gate.pass_through).remote()
    gate.wait_for_arrival()
    for pid in runtime.api.running().pictures.worker_pids().values():
        psutil.Process(pid).suspend()
    runtime.shutdown()  # runtime_with looks whether anybody is left


def test_what_a_lost_task_started_ends_with_it(runtime, tmp_path):
    pids = tmp_path / "pids"

    @runtime.remote(max_retries=0)
    def starts():
        child = subprocess.Popen(["sleep", "600"])
        pids.write_text(str(child.pid))
        os.abort()

    with pytest.raises(WorkerCrashedError, match="SIGABRT"):
        runtime.get(starts.remote())
    child = int(pids.read_text())
    wait_until(lambda: not psutil.pid_exists(child), 10, "what the task started is gone")


def test_a_signal_without_a_name_is_told_by_its_number(runtime):
    with pytest.raises(WorkerCrashedError, match="was killed by signal 40"):
        runtime.get(runtime.remote(max_retries=0)(lambda: os.kill(os.getpid(), 40)).remote())
    assert runtime.get(runtime.remote(len).remote([1])) == 1


def test_a_worker_that_does_not_read_its_control_lane_holds_up_nobody(runtime, tmp_path):
    gate = Gate(tmp_path)
    ref = runtime.remote(gate.pass_through).remote()
    gate.wait_for_arrival()
    engine = runtime.api.running()._engine
    (handle,) = engine._pool.handles.values()
    psutil.Process(handle.pid).suspend()
    with engine.locked():
        for number in range(1000):
            engine._performer._send_on_control(handle.worker, wire.ReplyEnd(number))
        assert handle.control.has_backlog
    assert runtime.get(runtime.remote(len).remote([1]), timeout=30) == 1
    psutil.Process(handle.pid).resume()
    gate.open()
    runtime.get(ref)
    wait_until(lambda: not handle.control.has_backlog, 10, "what was kept has been sent")


def test_a_shutdown_wakes_whoever_waits(runtime, tmp_path):
    gate = Gate(tmp_path)
    ref = runtime.remote(gate.pass_through).remote()
    gate.wait_for_arrival()
    told = []

    def wait():
        try:
            runtime.get(ref)
        except jray.exceptions.ObjectLostError as error:
            told.append(str(error))

    thread = threading.Thread(target=wait)
    engine = runtime.api.running()._engine
    thread.start()
    wait_until(lambda: engine._waiters._deliveries, 10, "the thread waits")
    runtime.shutdown()
    thread.join()
    assert "belongs to a runtime that was shut down" in told[0]


_MANY_SHUTDOWNS = """
import jray, threading
for round in range(8):
    jray.init(num_cpus=1)
    outer = jray.put([jray.put(1)])
    for _ in range(200 + 17 * round):  # wakes the IO thread again and again
        jray.get(outer)
    jray.shutdown()
print("done")
"""


def test_a_shutdown_ends_also_while_the_engine_is_being_woken():
    ended = subprocess.run(
        [sys.executable, "-c", _MANY_SHUTDOWNS], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == "done\n", ended.stderr


def test_references_that_outlive_the_runtime_write_into_nobody_s_file(runtime_with, tmp_path):
    ray = runtime_with(num_cpus=1)
    refs = [ray.put(number) for number in range(500)]
    ray.shutdown()
    files = [(tmp_path / str(number)).open("w+b", buffering=0) for number in range(20)]  # take the freed numbers
    refs.clear()
    for file in files:
        assert os.fstat(file.fileno()).st_size == 0
        file.close()


def test_many_threads_may_use_the_runtime_at_once(runtime):
    add = runtime.remote(lambda a, b: a + b)
    nested = runtime.remote(lambda n: jray.get(add.remote(n, 1)))
    failures = []

    def use(seed):
        try:
            for number in range(15):
                assert runtime.get([add.remote(n, seed) for n in range(10)]) == [n + seed for n in range(10)]
                assert runtime.get(nested.remote(number)) == number + 1
                assert len(runtime.wait([add.remote(n, 1) for n in range(5)], num_returns=3)[0]) == 3
                assert len(runtime.get(runtime.put(b"x" * (10 if number % 2 else 100_000)))) in {10, 100_000}
        except BaseException as error:  # noqa: BLE001 - told in the main thread
            failures.append(error)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


_FIRST_USE_IN_THREADS = """
import threading, jray
class Local: pass
def use(found, barrier):
    barrier.wait()
    found.append(type(jray.get(jray.put(Local()))).__name__)
found, barrier = [], threading.Barrier(8)
threads = [threading.Thread(target=use, args=(found, barrier)) for _ in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print(found.count("Local"))
"""


def test_the_first_use_may_come_from_many_threads_at_once():
    ended = subprocess.run(
        [sys.executable, "-c", _FIRST_USE_IN_THREADS], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.stdout, ended.stderr) == ("8\n", "")


_KILLED = """
import os, subprocess, sys, time
import numpy, jray
jray.init(num_cpus=2)
kept = jray.put(numpy.zeros(10**6))
made = jray.remote(lambda: numpy.ones(10**6)).remote()
view = jray.get(made)
def whole_tree(): return os.getpid(), os.getppid()
def wait(): time.sleep(600)
pids = [os.getpid(), *jray.get(jray.remote(whole_tree).remote())]
refs = [jray.remote(wait).remote() for _ in range(2)]
print(*pids, flush=True)
jray.get(refs)
"""


def memory_of(process):
    """What a process has open and maps of files without a name, by device and number; nothing, if it is gone."""
    files = set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{process.pid}/fd"):
            with contextlib.suppress(OSError):
                status = entry.stat()
                if stat.S_ISREG(status.st_mode) and not status.st_nlink:
                    files.add((status.st_dev, status.st_ino))
        files.update(tuple(line.split()[3:5]) for line in shared_mappings(process.pid))
    return files


@pytest.mark.usefixtures("memory_kind")
@pytest.mark.parametrize("victims", ["the kernel", "kernel and zygote"])
def test_sigkill_leaves_no_process_and_no_memory(victims):
    """Whoever else uses this machine meanwhile has memory of his own."""
    with subprocess.Popen([sys.executable, "-c", _KILLED], stdout=subprocess.PIPE, text=True) as kernel:
        try:
            me, _, zygote = map(int, kernel.stdout.readline().split())
            processes = [psutil.Process(me), *psutil.Process(me).children(recursive=True)]
            assert len(processes) >= 3
            memory = set().union(*map(memory_of, processes)) - memory_of(psutil.Process())  # pytest's own files
            assert memory & memory_of(processes[0]) & memory_of(processes[-1])
            if victims != "the kernel":
                psutil.Process(zygote).suspend()  # it can't tidy up
        finally:
            kernel.kill()
        if victims != "the kernel":
            psutil.Process(zygote).kill()
        kernel.wait()
        wait_until(lambda: not any(map(is_alive, processes)), 20, "all processes are gone")
    assert [process for process in psutil.process_iter() if memory & memory_of(process)] == []
    assert [name for name in os.listdir("/dev/shm") if name.startswith("jray")] == []


def is_alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_nobody_can_connect_to_any_process_of_jray(runtime):
    runtime.get([runtime.remote(len).remote([]) for _ in range(4)])
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    mine = {
        os.stat(f"/proc/{p.pid}/fd/{fd}").st_ino
        for p in processes
        for fd in os.listdir(f"/proc/{p.pid}/fd")
        if os.path.exists(f"/proc/{p.pid}/fd/{fd}")
    }
    with open("/proc/net/unix") as table:
        rows = [line.split() for line in table.read().splitlines()[1:]]
    accepting = 0x10000  # the flag of a socket that listens
    listening = [row for row in rows if int(row[6]) in mine and int(row[3], 16) & accepting]
    named = [row for row in rows if int(row[6]) in mine and len(row) > 7]
    assert (listening, named) == ([], [])


def test_references_and_views_of_an_earlier_runtime_do_not_meet_those_of_the_next(runtime_with):
    def start():
        ray = runtime_with(num_cpus=1)

        @ray.remote
        def nested(value):
            return [ray.remote(np.full).remote(100_000, value)]  # its id is drawn by the worker

        return ray, ray.get(nested.remote(1.0))[0]

    ray, old = start()
    view = ray.get(old)
    ray, new = start()
    assert old != new
    with pytest.raises(ObjectLostError):
        ray.get(ray.remote(len).remote(old))
    del view
    ray.cluster_resources()  # the engine has looked for views that ended
    assert ray.get(new)[0] == 1.0


def test_nothing_is_kept_of_a_worker_that_died_with_an_empty_arena(runtime):
    for _ in range(3):
        assert runtime.get(runtime.remote(np.ones).remote(100_000))[0] == 1.0
        with pytest.raises(WorkerCrashedError):
            runtime.get(runtime.remote(max_retries=0)(os._exit).remote(3))
    engine = runtime.api.running()._engine
    alive = set(engine._pool.handles)
    wait_until(lambda: runtime.cluster_resources() and set(engine._pool.arenas) <= alive, 10, "their arenas are gone")
    assert set(engine.books.blocks_in) <= alive


def test_a_value_that_cannot_be_mapped_is_not_kept_for_ever(runtime, monkeypatch):
    def refuse(*_, **__):
        raise jray.exceptions.ObjectStoreFullError("no more mappings")

    ref = runtime.put(np.ones(100_000))
    with monkeypatch.context() as patch:
        patch.setattr("jray.runtime.store.objects.map_view", refuse)
        with pytest.raises(jray.exceptions.ObjectStoreFullError):
            runtime.get(ref)
    del ref
    running = runtime.api.running()
    wait_until(
        lambda: runtime.cluster_resources() and running._engine.books.bytes_in_blocks == 0, 10, "the value is freed"
    )


_PATHS = """
import pathlib, sys
sys.path += [pathlib.Path("/"), None, b"/"]
import jray
jray.init(num_cpus=1)
print(jray.get(jray.remote(len).remote([1])))
"""


def test_a_search_path_may_hold_what_is_no_string():
    ended = subprocess.run([sys.executable, "-c", _PATHS], capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout == "1\n", ended.stderr


_FINALIZERS = """
import gc, sys
import numpy as np
import jray

jray.init(num_cpus=2)
f = jray.remote(lambda x=0: x)
big = np.zeros(20_000)
calls = {
    "get": lambda: jray.get(f.remote()),
    "put": lambda: jray.put(big),
    "look": lambda: jray.available_resources(),
    "submit": lambda: f.remote(big),
}
call = calls[sys.argv[1]]
call()  # so that nothing is imported any more

class Ring:
    def __init__(self): self.me = self
    def __del__(self): call()

sys.unraisablehook = lambda unraisable: refused.append(str(unraisable.exc_value))
refused = []
gc.set_threshold(50, 2, 2)  # garbage is collected often, also in the middle of jray's own work
for number in range(2000):
    Ring()
    last = f.remote(number)
    jray.put(big)
gc.disable()
assert jray.get(last) == 1999
assert all("finalizer" in text for text in refused), set(refused)
print("whole", jray.api.running()._engine.error)
"""


@pytest.mark.parametrize("call", ["get", "put", "look", "submit"])
def test_a_finalizer_may_call_jray_or_is_refused_but_nothing_hangs(call):
    ended = subprocess.run(
        [sys.executable, "-c", _FINALIZERS, call], capture_output=True, text=True, timeout=100, check=False
    )
    assert ended.stdout == "whole None\n", ended.stderr


def test_a_write_that_is_under_way_goes_on_into_the_same_memory(runtime, monkeypatch, tmp_path):
    # Else the number of its descriptor may be another file's by then: 300 MB were seen to land in the user's own file.
    running = runtime.api.running()
    arena = running._engine.books.own_arena()
    inside, go_on = threading.Event(), threading.Event()
    write, written = os.pwrite, []

    def slow_write(descriptor, data, offset):
        inside.set()
        go_on.wait(30)
        written.append(os.fstat(descriptor).st_ino)
        return write(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", slow_write)
    thread = threading.Thread(target=arena.write, args=([bytes(100)],))
    thread.start()
    inside.wait(30)
    memory = os.fstat(arena.memory.number).st_ino
    del arena
    running.close()
    runtime.shutdown()
    with open(tmp_path / "mine", "wb") as file:
        go_on.set()
        thread.join()
        assert written == [memory]
        assert file.tell() == 0


def test_a_request_that_can_never_be_met_is_told_while_all_cpus_are_busy(runtime, tmp_path, caplog):
    gate = Gate(tmp_path)
    refs = [runtime.remote(gate.pass_through).remote() for _ in range(2)]
    gate.wait_for_arrival()
    gate.wait_for_arrival()
    hopeless = runtime.remote(num_cpus=64)(len).remote([])
    wait_until(lambda: "asks for 64 CPU" in caplog.text, 10, "the warning is given")
    gate.open()
    gate.open()
    runtime.get(refs)
    del hopeless


@pytest.mark.parametrize("end", ["shutdown", "kill"])
def test_trackers_of_a_tasks_own_shared_memory_have_time_to_remove_it(runtime, end):
    @runtime.remote(max_retries=0)
    def make():
        from multiprocessing.shared_memory import SharedMemory

        made = SharedMemory(create=True, size=100)
        made.close()
        return os.getpid(), f"/dev/shm/{made.name}"

    worker, path = runtime.get(make.remote())
    assert os.path.exists(path)
    if end == "kill":
        psutil.Process(worker).kill()
        wait_until(lambda: not os.path.exists(path), 10, "the tracker has removed the file")
    else:
        runtime.shutdown()
        assert not os.path.exists(path)
