"""`jray.restart`: new worker processes, and nothing else is lost."""

from __future__ import annotations

import os

import numpy as np
import psutil
import pytest

import jray
from jray.exceptions import WorkerCrashedError
from tests.support.gates import Gate
from tests.support.waiting import wait_until


def pid_and_parent():
    return os.getpid(), os.getppid()


def pass_gate(gate):
    gate.pass_through()
    return os.getpid(), os.getppid()


def test_workers_and_zygote_are_new_and_values_stay(runtime):
    array = runtime.remote(lambda: np.arange(100_000)).remote()  # in the memory of a worker
    before = runtime.get(runtime.remote(pid_and_parent).remote())
    runtime.wait([array])
    runtime.restart()
    after = runtime.get(runtime.remote(pid_and_parent).remote())

    assert not {*before} & {*after}
    assert runtime.get(array).sum() == np.arange(100_000).sum()
    wait_until(lambda: not any(map(psutil.pid_exists, before)), 10, "the old worker and its zygote are gone")


def test_new_workers_see_what_is_here_now(runtime, monkeypatch, tmp_path):
    look = runtime.remote(lambda: (os.environ.get("JRAY_TEST"), os.getcwd(), __import__("jray_test_module").value))
    runtime.get(runtime.remote(os.getpid).remote())
    (tmp_path / "jray_test_module.py").write_text("value = 5")
    monkeypatch.setenv("JRAY_TEST", "new")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    runtime.restart()

    assert runtime.get(look.remote()) == ("new", str(tmp_path), 5)


def test_a_busy_worker_ends_when_its_task_is_done(runtime, tmp_path):
    gate = Gate(tmp_path)
    busy = runtime.remote(pass_gate).remote(gate)
    gate.wait_for_arrival()
    runtime.restart()
    new = runtime.get(runtime.remote(pid_and_parent).remote())  # beside the busy one
    gate.open()
    old = runtime.get(busy)

    assert not {*old} & {*new}
    wait_until(lambda: not any(map(psutil.pid_exists, old)), 10, "the old worker and its zygote are gone")
    assert runtime.get(runtime.remote(pid_and_parent).remote()) == new


def test_restarts_one_after_the_other_leave_one_zygote(runtime, tmp_path):
    gate = Gate(tmp_path)
    busy = runtime.remote(pass_gate).remote(gate)
    gate.wait_for_arrival()
    for _ in range(3):
        runtime.restart()
        runtime.get(runtime.remote(pid_and_parent).remote())
    gate.open()
    runtime.get(busy)

    wait_until(lambda: len(psutil.Process().children()) == 1, 10, "one zygote is left")


def test_busy_workers_can_be_ended_and_their_tasks_are_run_again(runtime, tmp_path):
    gate = Gate(tmp_path)
    task = runtime.remote(pass_gate)
    again, never = task.remote(gate), task.options(max_retries=0, name="never").remote(gate)
    gate.wait_for_arrival()
    gate.wait_for_arrival()
    runtime.restart(now=True)
    gate.let_through()

    assert psutil.pid_exists(runtime.get(again)[0])
    with pytest.raises(
        WorkerCrashedError, match=r"never was lost: worker w.* was ended by a restart that did not wait"
    ):
        runtime.get(never)


def test_a_lost_old_zygote_takes_its_workers_along_and_no_others(runtime, tmp_path):
    gate = Gate(tmp_path)
    busy = runtime.remote(pass_gate).remote(gate)
    gate.wait_for_arrival()
    (old_zygote,) = psutil.Process().children()
    runtime.restart()
    new = runtime.get(runtime.remote(pid_and_parent).remote())
    old_zygote.kill()
    gate.let_through()  # it was run again

    assert runtime.get(busy)[1] == new[1]


def test_a_restart_without_a_runtime_does_nothing(runtime_with):
    jray.restart()
    assert not jray.is_initialized()


def test_a_restart_that_the_system_refuses_changes_nothing(runtime, monkeypatch):
    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    before = runtime.get(runtime.remote(pid_and_parent).remote())
    monkeypatch.setattr("jray.runtime.embedded.Zygote", refuse)

    with pytest.raises(RuntimeError, match="Resource temporarily unavailable"):
        runtime.restart()
    assert runtime.get(runtime.remote(pid_and_parent).remote()) == before


def test_shutdown_in_the_middle_of_a_restart(runtime, tmp_path):
    gate = Gate(tmp_path)
    _busy = runtime.remote(pass_gate).remote(gate)
    gate.wait_for_arrival()
    runtime.restart()
    runtime.get(runtime.remote(pid_and_parent).remote())
    jray.shutdown()
    assert psutil.Process().children() == []
