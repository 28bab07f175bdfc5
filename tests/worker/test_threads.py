"""A task has as many threads of BLAS and OpenMP as it has CPUs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from jray.runtime.worker.threads import ThreadLimit
from tests.support.builders import cpus

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch):
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that what the test sets is taken back
        monkeypatch.delenv(name)


def variables(limit):
    """What jray sets."""
    return {name.decode(): value.decode() for name, value in limit.variables.items()}


def threads():
    """In a task: what a library that is loaded now would read, and what numpy's has."""
    import numpy  # noqa: F401, ICN001 - loads BLAS
    from threadpoolctl import threadpool_info

    blas = {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}
    return os.environ["OMP_NUM_THREADS"], blas


@pytest.mark.parametrize(
    ("amount", "expected"), [(0, "1"), (0.5, "1"), (1, "1"), (1.9, "1"), (2, "2"), (3.5, "3"), (12, "12")]
)
def test_whole_cpus_count(amount, expected):
    limit = ThreadLimit()
    limit.apply(cpus(amount, GPU=1), {})
    assert variables(limit) == dict.fromkeys(VARIABLES, expected)


@pytest.mark.parametrize("name", VARIABLES)
def test_what_the_user_has_set_stays(monkeypatch, name):
    monkeypatch.setenv(name, "5")
    limit = ThreadLimit()
    assert os.environ[name] == "5"
    limit.apply(cpus(2), {name.encode(): b"5"})
    others = [other for other in VARIABLES if other != name]
    assert variables(limit) == ({} if name == "OMP_NUM_THREADS" else dict.fromkeys(others, "2"))


def test_the_limit_follows_the_tasks_of_a_worker(runtime_with):
    pytest.importorskip("numpy")
    ray = runtime_with(num_cpus=2)
    pids = set()

    @ray.remote
    def look():
        return os.getpid(), threads()

    for number in (1, 2, 1, 2):
        pid, seen = ray.get(look.options(num_cpus=number).remote())
        assert seen == (str(number), {number})
        pids.add(pid)
    assert len(pids) == 1


def test_what_the_user_sets_later_counts_for_later_tasks_also_in_libraries_that_are_loaded(runtime_with, monkeypatch):
    pytest.importorskip("numpy")
    ray = runtime_with(num_cpus=2)
    look = ray.remote(num_cpus=1)(threads)
    assert ray.get(look.remote()) == ("1", {1})
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert ray.get(look.remote()) == ("2", {2})
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")  # for nested loops
    assert ray.get(look.remote()) == ("3,2", {3})
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert ray.get(look.remote()) == ("many", {3})
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert ray.get(look.remote()) == ("1", {1})


def test_in_a_worker_the_user_s_variable_counts(runtime_with, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    ray = runtime_with(num_cpus=2)
    assert ray.get(ray.remote(num_cpus=2)(lambda: os.environ["OMP_NUM_THREADS"]).remote()) == "3"


def test_threadpoolctl_is_loaded_only_when_the_limit_changes():
    program = (
        "import sys; from jray.runtime.worker.threads import ThreadLimit; limit = ThreadLimit()\n"
        "limit.apply((('CPU', 10_000),), {}); limit.apply((), {}); print('threadpoolctl' in sys.modules)\n"
        "limit.apply((('CPU', 20_000),), {}); print('threadpoolctl' in sys.modules)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, env=environment
    )
    assert ended.stdout == "False\nTrue\n"
