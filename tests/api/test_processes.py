"""Worker processes: where they live, how they die, what is left of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import jray
from jray.exceptions import WorkerCrashedError
from tests.support.gates import Gate
from tests.support.waiting import wait_until


def die(how):
    if how == "exit":
        os._exit(7)
    os.kill(os.getpid(), how)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (signal.SIGKILL, "SIGKILL .*out-of-memory"),
        (signal.SIGSEGV, "SIGSEGV .*compiled code"),
        ("exit", "exit code 7"),
    ],
)
def test_a_crash_without_retries_says_which_task_and_how(runtime, how, says):
    with pytest.raises(WorkerCrashedError, match=rf"Task die was lost: worker w\d+ \(pid \d+\) .*{says}"):
        runtime.get(runtime.remote(max_retries=0)(die).remote(how))


def note(folder, name):
    with (Path(folder) / name).open("a") as file:
        file.write("x")


def test_a_lost_worker_is_retried_as_often_as_asked(runtime, tmp_path):
    @runtime.remote(max_retries=2)
    def dies_twice():
        note(tmp_path, "runs")
        if (tmp_path / "runs").stat().st_size < 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return "made it"

    assert runtime.get(dies_twice.remote()) == "made it"
    assert (tmp_path / "runs").read_text() == "xxx"


def test_a_crash_costs_the_running_attempt_only(runtime_with, tmp_path):
    ray = runtime_with(num_cpus=1)

    def maybe(number):
        if number == 50 and not (tmp_path / "died").exists():
            note(tmp_path, "died")
            os.kill(os.getpid(), signal.SIGKILL)
        note(tmp_path, str(number))
        return number

    once = ray.remote(max_retries=0)(maybe)
    ray.get([once.remote(-1) for _ in range(50)])  # known to be short: lines get long
    refs = [once.remote(number) for number in range(200)]
    with pytest.raises(WorkerCrashedError):
        ray.get(refs[50])
    assert ray.get(refs[:50] + refs[51:]) == [number for number in range(200) if number != 50]
    assert all((tmp_path / str(number)).read_text() == "x" for number in range(200) if number != 50)


def test_results_outlive_their_worker(runtime):
    numpy = pytest.importorskip("numpy")
    big = runtime.remote(lambda: numpy.arange(100_000)).remote()
    runtime.wait([big])
    with pytest.raises(WorkerCrashedError):
        runtime.get([runtime.remote(max_retries=0)(die).remote(signal.SIGKILL) for _ in range(4)])
    assert runtime.get(big)[-1] == 99_999


def test_workers_are_in_their_own_session_with_their_own_pipes(runtime):
    def who():
        return os.getsid(0), os.getpid(), os.readlink("/proc/self/fd/1"), os.readlink("/proc/self/fd/2")

    session, pid, stdout, stderr = runtime.get(runtime.remote(who).remote())
    assert session == pid != os.getsid(0)
    assert stdout.startswith("pipe:")
    assert stderr.startswith("pipe:")
    assert stdout != stderr


def test_no_process_listens_anywhere(runtime):
    runtime.get(runtime.remote(os.getpid).remote())
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    assert len(family) >= 3  # we, the zygote, a worker
    for process in family:
        assert [c for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN] == []
        assert [c.laddr for c in process.net_connections("unix") if c.laddr] == []


def test_without_its_zygote_the_runtime_goes_on_with_another(runtime, tmp_path):
    gate = Gate(tmp_path)

    def parent_after_the_gate():
        gate.pass_through()
        return os.getppid()

    ref = runtime.remote(parent_after_the_gate).remote()
    gate.wait_for_arrival()
    (zygote,) = psutil.Process().children()
    zygote.kill()
    gate.wait_for_arrival()  # its worker died with it; another one runs the task again
    gate.open()
    assert runtime.get(ref) != zygote.pid


def test_a_fork_of_this_process_leaves_the_runtime_unharmed(runtime):
    ref = runtime.put(5)
    pid = os.fork()
    if pid == 0:
        del ref
        os._exit(0 if not jray.is_initialized() or jray.api.running() else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert runtime.get(ref) == 5
    assert runtime.get(runtime.remote(os.getpid).remote()) != os.getpid()


_KERNEL = """
import os, subprocess, sys, time
import numpy, jray
jray.init(num_cpus=3)
def sleep(): print(os.getpid(), flush=True); time.sleep(600)
def spawn(): print(os.getpid(), flush=True); print(subprocess.Popen(["sleep", "600"]).pid, flush=True); time.sleep(600)
def spin():
    print(os.getpid(), flush=True)
    while True: sum(range(10**7))
kept = jray.put(numpy.zeros(10**6))
refs = [jray.remote(task).remote() for task in (sleep, spawn, spin)]
print("(kernel pid=0)", jray.get(jray.remote(num_cpus=0)(os.getppid).remote()), flush=True)
jray.wait(refs)
"""


def test_sigkill_of_the_kernel_leaves_no_process():
    with subprocess.Popen([sys.executable, "-c", _KERNEL], stdout=subprocess.PIPE, text=True) as kernel:
        pids = [int(kernel.stdout.readline().split(")")[-1]) for _ in range(5)]
        processes = [psutil.Process(pid) for pid in pids]
        kernel.kill()
        kernel.wait()
        wait_until(
            lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes),
            timeout_s=20,
            what="zygote, workers and what they started are gone",
        )


@pytest.mark.parametrize("when", ["pickle", "unpickle", "run", "return"])
@pytest.mark.parametrize("how", ["raise", "crash"])
def test_evil_objects_cost_their_own_task_only(runtime, when, how):
    evil = Evil(when, how)
    use = runtime.remote(max_retries=0)(Evil.use)
    if when == "pickle" and how == "crash":
        return  # a crash here is a crash of the user's own process
    with pytest.raises((WorkerCrashedError, ValueError, TypeError)):
        runtime.get(use.remote(evil))
    assert runtime.get(runtime.remote(len).remote([1])) == 1


class Evil:
    def __init__(self, when, how):
        self.when, self.how = when, how

    def act(self):
        if self.how == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        raise ValueError("evil")

    def use(self):
        if self.when == "run":
            self.act()
        return Evil("pickle", self.how) if self.when == "return" else None

    def __reduce__(self):
        if self.when == "pickle":
            self.act()
        return _revive, (self.when, self.how)


def _revive(when, how):
    evil = Evil(when, how)
    if when == "unpickle":
        evil.act()
    return evil
