"""Large values are stored once, and only as long as they are what was stored."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest

from jray.runtime.large_values import LargeValues, may_be_large, pack_arguments
from jray.runtime.object_ref import ObjectRef
from jray.runtime.serde.values import pack_data, unpack


class Owner:
    """Counts refs, and keeps what is stored."""

    def __init__(self):
        self.stored = {}
        self.compared = []
        self.cell = 1
        self.table = LargeValues(self.put, self.is_stored, lambda: self.cell)

    def put(self, value, packed, what):
        object_id = len(self.stored) + 1
        self.stored[object_id] = packed.whole(), what
        return ObjectRef(object_id, self)

    def is_stored(self, object_id, packed):
        self.compared.append(object_id)
        return self.stored[object_id][0] == packed.whole()

    def retain(self, object_id):
        pass

    def release(self, object_id):
        self.stored[object_id] = None


@pytest.fixture
def owner():
    return Owner()


def array():
    return np.zeros(20_000)


def watch(owner, value):
    return owner.table.watch(value, pack_data(value))


def held(owner):
    return [object_id for object_id, stored in owner.stored.items() if stored is not None]


def test_the_same_value_is_stored_once(owner):
    value = array()
    first, second = watch(owner, value), watch(owner, value)
    assert first is second
    assert len(owner.stored) == 1


def test_a_changed_one_again_and_the_old_copy_goes(owner):
    value = array()
    first = watch(owner, value)
    value[0] = 1
    del first
    second = watch(owner, value)
    assert second.object_id == 2
    assert held(owner) == [2]


def test_an_equal_one_is_another_value(owner):
    one, other = array(), array()
    assert watch(owner, one) is not watch(owner, other)


def test_a_captured_value_is_compared_once_in_a_cell(owner):
    kept = watch(owner, value := array())
    owner.compared.clear()
    assert [kept.holds() for _ in range(5)] == [True] * 5
    assert owner.compared == []  # it was stored in this cell
    owner.cell = 2
    assert [kept.holds() for _ in range(5)] == [True] * 5
    assert owner.compared == [1]
    owner.cell = 3
    value[0] = 1
    assert not kept.holds()


def test_where_there_are_no_cells_it_is_compared_each_time(owner):
    owner.cell = 0
    kept = watch(owner, value := array())
    assert [kept.holds(), kept.holds()] == [True, True]
    assert owner.compared == [1, 1]
    value[0] = 1
    assert not kept.holds()


def test_what_can_not_change_is_not_compared(owner):
    owner.cell = 0
    kept = watch(owner, b"x" * 100_000)
    assert kept.holds()
    assert owner.compared == []


def test_a_change_between_two_submissions_of_a_cell_is_told_at_its_end(owner):
    kept = watch(owner, value := array())
    kept.holds()
    assert owner.table.changed_in_cell() == []
    value[0] = 1
    (changed,) = owner.table.changed_in_cell()
    assert changed is value


def test_a_change_behind_the_only_submission_of_a_cell_is_no_news(owner):
    kept = watch(owner, value := array())
    owner.cell = 2
    kept.holds()
    value[0] = 1
    assert owner.table.changed_in_cell() == []


def test_the_stored_copy_goes_with_the_value(owner):
    watch(owner, value := array())
    assert held(owner) == [1]
    del value
    gc.collect()
    assert held(owner) == []


def test_it_goes_when_no_task_was_given_it_for_a_cell(owner):
    watch(owner, value := array())
    for owner.cell in (2, 3):
        watch(owner, other := array())
    assert 1 not in held(owner)
    assert value is not other


def test_the_table_is_bounded(owner):
    values = [array() for _ in range(100)]
    for value in values:
        watch(owner, value)
    assert len(held(owner)) == 64


def test_a_large_argument_is_a_reference_and_a_small_one_is_not(owner):
    large, small = array(), np.zeros(3)
    args, kwargs, packed = pack_arguments((large, small, 1), {"again": large}, "f", owner.table)
    assert args[0] is kwargs["again"]
    assert args[0]._id == 1
    assert args[1] is small
    assert packed.buffers == ()
    assert owner.stored[1][1] == "arguments of f"


def test_a_large_argument_that_is_inside_another_one_stays_one_thing(owner):
    large = array()
    args, _, packed = pack_arguments((large, [large]), {}, "f", owner.table)
    assert args[0] is large
    (whole, (inner,)), _ = unpack(packed.head, packed.buffers)
    assert whole is inner


def test_an_argument_is_compared_at_each_call(owner):
    large = array()
    pack_arguments((large,), {}, "f", owner.table)
    large[0] = 1
    args, _, _ = pack_arguments((large,), {}, "f", owner.table)
    assert args[0]._id == 2


class Odd:
    @property
    def nbytes(self):
        raise ValueError


def test_what_may_be_large_is_told_cheaply():
    import pandas as pd
    import pyarrow as pa

    large = [
        array(),
        b"x" * 100_000,
        bytearray(100_000),
        pd.DataFrame({"a": array()}),
        pd.Series(array()),
        pa.table({"a": array()}),
    ]
    small = [np.zeros(3), b"x", 5, None, [0] * 100_000, "x" * 100_000, Odd(), pd.DataFrame({"a": [1]}), sys]
    assert list(map(may_be_large, large)) == [True] * len(large)
    assert list(map(may_be_large, small)) == [False] * len(small)
