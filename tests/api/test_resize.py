"""`jray.resize`: more or fewer CPUs while the runtime runs."""

from __future__ import annotations

import logging
import os

import pytest

import jray
from tests.support.gates import Gate
from tests.support.waiting import wait_until


def pass_gate(gate):
    gate.pass_through()
    return os.getpid()


def test_more_cpus_start_tasks_that_wait(runtime_with, tmp_path):
    runtime = runtime_with(num_cpus=1)
    gate = Gate(tmp_path)
    refs = runtime.remote(pass_gate).map([gate] * 2)
    gate.wait_for_arrival()

    assert runtime.resize(num_cpus=2)["resources"] == {"CPU": 2.0}
    gate.wait_for_arrival()
    gate.open()
    gate.open()
    assert len(set(runtime.get(refs))) == 2


def test_fewer_cpus_leave_running_tasks_alone_and_start_no_others(runtime, tmp_path):
    gate, later = Gate(tmp_path), Gate(tmp_path, "later")
    running = runtime.remote(pass_gate).map([gate] * 2)
    gate.wait_for_arrival()
    gate.wait_for_arrival()
    waiting = runtime.remote(pass_gate).map([later] * 2)

    assert runtime.resize(num_cpus=1)["resources"] == {"CPU": 1.0}
    assert runtime.cluster_resources() == {"CPU": 1.0}
    assert runtime.available_resources() == {}
    gate.open()
    gate.open()
    runtime.get(running)
    later.wait_for_arrival()
    assert runtime.available_resources() == {}
    later.open()
    later.let_through()
    assert runtime.get(waiting)[0] in runtime.get(running)


def test_a_task_that_has_become_too_large_waits_with_a_warning(runtime, tmp_path, caplog):
    gate = Gate(tmp_path)
    first = runtime.remote(pass_gate).remote(gate)
    gate.wait_for_arrival()
    large = runtime.remote(num_cpus=2)(os.getpid).remote()
    with caplog.at_level(logging.WARNING, logger="jray"):
        runtime.resize(num_cpus=1)
        wait_until(lambda: "asks for 2 CPU. This runtime has 1 CPU" in caplog.text, 10, "the warning is shown")
    gate.open()
    runtime.get(first)

    runtime.resize(num_cpus=2)
    assert runtime.get(large) > 0


def test_without_a_runtime_one_is_started(runtime_with):
    assert jray.resize(num_cpus=3)["resources"] == {"CPU": 3.0}
    assert jray.cluster_resources() == {"CPU": 3.0}


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({}, TypeError, "was not told how many CPUs"),
        ({"num_cpus": "two"}, TypeError, "Give a number"),
        ({"num_cpus": -1}, ValueError, "negative"),
        ({"num_cpus": 1, "num_gpus": 1}, TypeError, r"Only the number of CPUs can change .*jray.init\(num_gpus=...\)"),
        ({"resources": {"disk": 1}}, TypeError, "Only the number of CPUs can change"),
    ],
)
def test_what_cannot_be_resized_is_refused(runtime, arguments, error, says):
    with pytest.raises(error, match=says):
        runtime.resize(**arguments)
    assert runtime.cluster_resources() == {"CPU": 2.0}


@pytest.mark.parametrize("call", [lambda: jray.resize(num_cpus=1), lambda: jray.restart()])
def test_tasks_cannot_change_the_pool(runtime, call):
    with pytest.raises(RuntimeError, match="was refused in a task"):
        runtime.get(runtime.remote(call).remote())
