"""Which names hold which objects: found without calling the user's code."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import jray
from jray.kernel import holders
from jray.kernel.holders import find_holders


class Owner:
    """Counts nothing: refs of this owner are only looked for."""

    def retain(self, object_id):
        pass

    def release(self, object_id):
        pass


def ref(number):
    return jray.ObjectRef(number, Owner())


def names(namespace, number, hidden=()):
    return find_holders(namespace, dict.fromkeys(hidden)).of(number).names


@pytest.fixture(autouse=True)
def _no_last_error(monkeypatch):
    for name in ("last_exc", "last_value"):
        monkeypatch.setattr(sys, name, None, raising=False)


def test_variables_and_containers_are_named_by_how_one_gets_there():
    x = ref(1)
    namespace = {
        "x": x,
        "results": [ref(2), x],
        "pair": (ref(3),),
        "by_name": {"a": ref(4), 5: [ref(6)], (1, 2): ref(7)},
        "some": {ref(8)},
    }
    assert names(namespace, 1) == ["x", "results[1]"]
    assert names(namespace, 2) == ["results[0]"]
    assert names(namespace, 3) == ["pair[0]"]
    assert names(namespace, 4) == ["by_name['a']"]
    assert names(namespace, 6) == ["by_name[5][0]"]
    assert names(namespace, 7) == ["by_name[...]"]
    assert names(namespace, 8) == ["some{...}"]


def test_one_ref_under_several_names_is_one_ref():
    x = ref(1)
    found = find_holders({"x": x, "y": [x, ref(1)]}, {})
    assert found.of(1).names == ["x", "y[0]", "y[1]"]
    assert len(found.of(1).refs) == 2


def test_out_and_the_latest_results_are_named_as_the_user_knows_them():
    x = ref(1)
    namespace = {"_oh": {5: x, 6: [ref(2)]}, "Out": {5: x}, "_5": x, "_": x, "__": None, "_private": x}
    assert names(namespace, 1, hidden=["_oh", "Out", "_5", "_", "__"]) == ["_", "Out[5]"]
    assert names(namespace, 2, hidden=["_oh"]) == ["Out[6][0]"]


def test_frames_of_the_last_error_hold_too():
    def fails():
        inner = ref(1)
        return inner.nothing_of_the_kind

    try:
        fails()
    except AttributeError as error:
        sys.last_value = error
    assert "traceback" in names({}, 1)


def test_so_do_the_frames_of_the_errors_that_led_to_it():
    def fails(number, then=None):
        inner = ref(number)
        try:
            if then is not None:
                then()
        finally:
            raise KeyError(inner.hex())

    def alone():
        _inner = ref(4)
        raise ValueError

    try:
        fails(1, then=lambda: fails(2, then=lambda: fails(3)))
    except KeyError as context:
        error = context
    try:
        alone()
    except ValueError as part:
        sys.last_value = RuntimeError()
        sys.last_value.__cause__ = ExceptionGroup("several", [part, error])
    assert [names({}, number) for number in (1, 2, 3, 4)] == [["traceback"]] * 4


def test_instances_are_looked_into_without_asking_them(monkeypatch):
    class Model:
        def __init__(self):
            self.data = ref(1)

        def __getattribute__(self, name):
            raise AssertionError("the user's code was called")

        __eq__ = __iter__ = __len__ = __getattribute__
        __hash__ = None

    Model.__module__ = "__main__"
    assert names({"model": Model()}, 1) == ["model.data"]


def test_subclasses_of_containers_are_left_alone():
    class Evil(dict):
        def items(self):
            raise AssertionError("the user's code was called")

    assert names({"evil": Evil(a=ref(1))}, 1) == []


def test_containers_that_contain_themselves_and_deep_ones_end():
    ring = [ref(1)]
    ring.append(ring)
    assert names({"ring": ring}, 1)[0] == "ring[0]"
    assert names({"deep": [[[[ref(2)]]]]}, 2) == []


def test_what_is_not_looked_at_is_said(monkeypatch):
    monkeypatch.setattr(holders, "_MOST_VALUES", 10)
    assert not find_holders({"many": list(range(100))}, {}).is_complete
    assert find_holders({"few": [1]}, {}).is_complete


def test_arrays_are_found_by_where_they_lie(runtime):
    stored = runtime.put(np.arange(100_000))
    array = runtime.get(stored)
    part = array[10:20]
    found = find_holders({"array": array, "part": part, "other": np.zeros(3)}, {}).of(stored._id)
    assert found.names == ["array (array)", "part (array)"]
    assert (found.views, len(found.named_views)) == (1, 1)


DATA = {
    "masked": (lambda a: np.ma.masked_array(a, a > 1), "MaskedArray"),
    "frame": (lambda a: pd.DataFrame({"x": a}, copy=False), "DataFrame"),
    "column": (lambda a: pd.DataFrame({"x": a}, copy=False)["x"], "Series"),
    "times": (lambda a: pd.Series(a.view("datetime64[ns]"), copy=False), "Series"),
    "nullable": (lambda a: pd.Series(pd.arrays.IntegerArray(a, a > 1), copy=False), "Series"),
    "strings": (lambda _: pd.Series(pa.array(["long enough"] * 10_000), dtype="string[pyarrow]"), "Series"),
    "table": (lambda a: pa.table({"x": a}), "Table"),
    "batch": (lambda a: pa.record_batch({"x": a}), "RecordBatch"),
    "chunks": (lambda a: pa.chunked_array([a]), "ChunkedArray"),
    "arrow": (lambda a: pa.array(a), "Int64Array"),
}


@pytest.mark.parametrize("kind", DATA)
def test_so_is_all_that_is_made_of_arrays(runtime, kind):
    make, called = DATA[kind]
    stored = runtime.put(make(np.arange(100_000)))
    it = runtime.get(stored)
    holders = find_holders({"it": it}, {}).of(stored._id)
    assert holders.names == [f"it ({called})"]
    assert (holders.views, len(holders.named_views)) == (1, 1)


def test_so_is_a_memoryview(runtime):
    stored = runtime.put(np.arange(100_000))
    it = memoryview(runtime.get(stored))[5:]
    assert find_holders({"it": it}, {}).of(stored._id).names == ["it (array)"]


def test_a_view_that_was_released_is_nowhere(runtime):
    stored = runtime.put(np.arange(100_000))
    array, released = runtime.get(stored), memoryview(b"x")
    released.release()
    assert find_holders({"array": array, "released": released}, {}).of(stored._id).names == ["array (array)"]
