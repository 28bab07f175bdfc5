"""`read_only=True`: arrays from the store as Ray gives them."""

from __future__ import annotations

import ctypes
import os

import numpy as np
import pytest

import jray

LARGE = 100_000

pytestmark = pytest.mark.usefixtures("memory_kind")


@jray.remote
def writes(value):
    value[0] = 1
    return True


@jray.remote
def is_writeable(value, boxed=None):
    inner = jray.get(boxed[0]).flags.writeable if boxed is not None else None
    return value.flags.writeable, inner


def test_by_default_what_comes_is_ones_own(runtime):
    ref = runtime.put(np.zeros(LARGE))
    assert runtime.get(ref).flags.writeable
    assert runtime.get(is_writeable.remote(ref, [ref])) == (True, True)


def test_a_get_may_ask_for_it(runtime):
    ref = runtime.put(np.zeros(LARGE))
    value = runtime.get(ref, read_only=True)
    assert not value.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        value[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        value.flags.writeable = True
    assert runtime.get([ref], read_only=True)[0].flags.writeable is False
    assert runtime.get(ref).flags.writeable


def test_a_task_may_ask_for_it_and_its_gets_follow(runtime):
    ref = runtime.put(np.zeros(LARGE))
    strict = is_writeable.options(read_only=True)
    assert runtime.get(strict.remote(ref, [ref])) == (False, False)
    assert runtime.get(strict.remote(np.zeros(LARGE))) == (False, None)  # by value, too
    with pytest.raises(ValueError, match="read-only"):
        runtime.get(writes.options(read_only=True).remote(ref))
    assert runtime.get(writes.remote(ref))
    assert runtime.get(ref)[0] == 0


def test_a_nested_task_does_as_its_parent(runtime):
    @jray.remote(read_only=True)
    def parent(boxed):
        return jray.get([is_writeable.remote(boxed[0]), is_writeable.options(read_only=False).remote(boxed[0])])

    assert runtime.get(parent.remote([runtime.put(np.zeros(LARGE))])) == [(False, None), (True, None)]


def test_init_may_ask_for_it_for_all(runtime_with):
    runtime = runtime_with(num_cpus=1, read_only=True)
    ref = runtime.put(np.zeros(LARGE))
    assert not runtime.get(ref).flags.writeable
    assert runtime.get(ref, read_only=False).flags.writeable
    assert runtime.get(is_writeable.remote(ref, [ref])) == (False, False)
    assert runtime.get(is_writeable.options(read_only=False).remote(ref, [ref])) == (True, True)


def test_small_arrays_can_be_written_all_the_same(runtime):
    assert runtime.get(runtime.put(np.zeros(10)), read_only=True).flags.writeable


def test_a_spilled_array_is_read_only_as_well(runtime_with):
    runtime = runtime_with(num_cpus=1, object_store_memory=1 << 20)
    refs = [runtime.put(np.full(300_000, number, np.uint8)) for number in range(8)]
    assert [runtime.get(ref, read_only=True).flags.writeable for ref in refs] == [False] * 8
    assert [int(runtime.get(ref, read_only=True)[-1]) for ref in refs] == list(range(8))


def test_not_even_c_code_can_write_it(runtime):
    """It costs the worker its life, not the object its value."""

    @jray.remote(read_only=True, max_retries=0)
    def write_behind_numpys_back(value):
        ctypes.memset(value.__array_interface__["data"][0], 1, 8)
        os._exit(0)

    ref = runtime.put(np.zeros(LARGE))
    with pytest.raises(jray.exceptions.WorkerCrashedError, match="SIGSEGV"):
        runtime.get(write_behind_numpys_back.remote(ref))
    assert runtime.get(ref)[0] == 0


@pytest.mark.parametrize("value", [1, "yes"])
def test_something_else_than_a_flag_is_refused(value):
    with pytest.raises(TypeError, match="Give True or False"):
        is_writeable.options(read_only=value)
