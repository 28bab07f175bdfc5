"""Kernels for the tests: one that a whole module shares, made new inside for each test, and new ones."""

from __future__ import annotations

import pytest

from tests.support.gates import Gate
from tests.support.kernels import Kernel

START = "%load_ext jray\nimport jray, os, sys, threading, time\njray.init(num_cpus=2)"


@pytest.fixture
def new_kernel():
    """A kernel of its own, with jray running."""
    with Kernel() as kernel:
        assert kernel.run(START).error == ""
        yield kernel


@pytest.fixture(scope="module")
def _shared_kernel():
    with Kernel() as kernel:
        yield kernel


@pytest.fixture
def kernel(_shared_kernel):
    """A kernel with jray running and no names of another test."""
    assert _shared_kernel.run("%reset -f").error == ""
    assert _shared_kernel.run(START).error == ""
    yield _shared_kernel
    assert _shared_kernel.run("%unload_ext jray").error == ""


@pytest.fixture
def gate_in(tmp_path):
    """`gate_in(kernel, "name")`: a gate for a task, which the kernel knows by that name."""

    def make(kernel, name="gate"):
        gate = Gate(tmp_path, name)
        made = kernel.run(
            f"from tests.support.gates import Gate\n{name} = Gate.__new__(Gate)\n{name}.__dict__.update({gate.__getstate__()!r})"
        )
        assert made.error == ""
        return gate

    return make
