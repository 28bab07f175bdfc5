"""The seed's first two promises: nested tasks, and circular dependencies without deadlock."""

from __future__ import annotations

import logging
import os

import jray
from tests.support.gates import Gate
from tests.support.waiting import wait_until


@jray.remote
def f():
    return 1


@jray.remote
def g():
    return [f.remote() for _ in range(4)]


@jray.remote
def h():
    return jray.get([f.remote() for _ in range(4)])


def test_nested_tasks_give_references_or_values(runtime):
    refs = runtime.get(g.remote())
    assert [type(ref) for ref in refs] == [runtime.ObjectRef] * 4
    assert runtime.get(refs) == [1, 1, 1, 1]
    assert runtime.get(h.remote()) == [1, 1, 1, 1]


@jray.remote
def even(n):
    return True if n == 0 else jray.get(odd.remote(n - 1))


@jray.remote
def odd(n):
    return False if n == 0 else jray.get(even.remote(n - 1))


def test_functions_that_call_each_other_need_one_cpu_only(runtime_with):
    assert runtime_with(num_cpus=1).get(even.remote(7)) is False


@jray.remote
def third():
    return [os.getpid()]


@jray.remote
def second():
    return [os.getpid(), *jray.get(third.remote())]


@jray.remote
def first():
    return [os.getpid(), *jray.get(second.remote())]


def test_a_thousand_chains_on_one_cpu_need_fewer_than_ten_workers(runtime_with):
    ray = runtime_with(num_cpus=1)
    chains = ray.get([first.remote() for _ in range(1000)], timeout=60)
    assert len(chains) == 1000
    assert len({pid for chain in chains for pid in chain}) < 10


def test_a_blocked_task_gives_cpus_back_and_keeps_the_rest(runtime_with, tmp_path):
    ray = runtime_with(num_cpus=1, resources={"disk": 1})
    gate = Gate(tmp_path)

    @ray.remote(resources={"disk": 1})
    def parent():
        return ray.get(ray.remote(gate.pass_through).remote())

    ref = parent.remote()
    gate.wait_for_arrival()
    assert ray.available_resources() == {}  # the child has the CPU, the parent keeps the disk
    gate.open()
    ray.get(ref)


def test_a_parent_that_keeps_what_its_child_needs_is_named(runtime_with, caplog):
    ray = runtime_with(num_cpus=2, resources={"disk": 1})

    @ray.remote(resources={"disk": 1}, name="child")
    def child():
        pass

    @ray.remote(resources={"disk": 1}, name="parent")
    def parent():
        ray.get(child.remote())

    warning = "Task parent waits for results while its own child child waits for disk"
    with caplog.at_level(logging.WARNING, logger="jray"):
        _waits_for_ever = parent.remote()
        wait_until(lambda: warning in caplog.text, 60, "the warning is given")


def test_workers_that_nobody_needs_any_more_end(runtime_with, monkeypatch):
    monkeypatch.setattr("jray.runtime.core.idle.SURPLUS_S", 0.2)
    ray = runtime_with(num_cpus=1)

    @ray.remote
    def deep(level):
        return 1 + (ray.get(deep.remote(level - 1)) if level else 0)

    assert ray.get(deep.remote(10)) == 11
    pool = ray.api.running()._engine._pool
    wait_until(lambda: len(pool.handles) == 1, 20, "one worker is left")
    assert ray.get(deep.remote(2)) == 3


def test_more_blocked_tasks_without_cpus_than_may_run_at_once(runtime):
    leaf = runtime.remote(num_cpus=0)(lambda: 1)

    @runtime.remote(num_cpus=0)
    def waits():
        return runtime.get(leaf.remote())

    assert runtime.get([waits.remote() for _ in range(40)], timeout=60) == [1] * 40
