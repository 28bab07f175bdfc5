"""Values to bytes and back."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from jray.runtime.serde.errors import pack_error, unpack_error
from jray.runtime.serde.unpicklable import NotPicklable
from jray.runtime.serde.values import OUT_OF_BAND_BYTES, pack, unpack


def there_and_back(value):
    packed = pack(value, "it")
    return unpack(packed.head, packed.buffers)


@pytest.mark.parametrize("value", [None, True, 3, 2.5, "x", b"y", (1, [2]), {"a": {1}}, 10**40, range(3)])
def test_plain_values_come_back_equal(value):
    assert there_and_back(value) == value


def test_identity_and_cycles_hold_inside_a_value():
    shared = [1]
    ring = [shared, shared]
    ring.append(ring)
    back = there_and_back(ring)
    assert back[0] is back[1]
    assert back[2] is back


def test_large_buffers_go_out_of_band_and_small_ones_do_not():
    small, large = np.zeros(OUT_OF_BAND_BYTES - 1, np.uint8), np.zeros(OUT_OF_BAND_BYTES, np.uint8)
    packed = pack([small, large], "it")
    assert [buffer.nbytes for buffer in packed.buffers] == [OUT_OF_BAND_BYTES]
    assert len(packed.head) < OUT_OF_BAND_BYTES + 1000


@pytest.mark.parametrize("array", [np.asfortranarray(np.ones((300, 300))), np.ones((300, 300)).T])
def test_arrays_keep_their_order(array):
    back = there_and_back(array)
    assert (back == array).all()
    assert back.flags.f_contiguous == array.flags.f_contiguous


def test_lambdas_and_local_classes_travel():
    class Local:
        def __init__(self, k):
            self.k = k

    assert there_and_back(lambda: 5)() == 5
    assert there_and_back(Local(3)).k == 3


class Holder:
    def __init__(self, part):
        self.part = part


LOCK = threading.Lock()


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (LOCK, "it can't be pickled. It is"),
        ([1, {"a": LOCK}], "it[1]['a']"),
        (Holder([LOCK]), "it.part[0]"),
        (None, None),
    ],
)
def test_what_cannot_travel_is_named_with_its_path(value, path):
    if path is None:
        lock = LOCK
        value, path = (lambda: lock), "it → lock"
    with pytest.raises(NotPicklable) as caught:
        pack(value, "it")
    assert path in str(caught.value)
    assert "of type lock" in str(caught.value)
    assert isinstance(caught.value, TypeError)


def test_errors_say_where_they_were_raised_and_through_whom_they_came():
    try:
        raise OSError(2, "gone")
    except OSError as error:
        packed = pack_error(error, task="load", worker="w1 (pid 2)")
    back = unpack_error(packed, ("train", "score"))
    assert isinstance(back, FileNotFoundError)
    assert back.errno == 2
    assert "Task load failed in worker w1 (pid 2): FileNotFoundError" in str(back)
    assert "Task score did not run" in str(back)
    assert "through train" in str(back)


def test_code_keeps_the_name_of_its_file():
    namespace = {"__name__": "__main__"}
    exec(compile("def f():\n    def g(): pass\n    return g", "/tmp/a cell.py", "exec"), namespace)
    packed = pack(namespace["f"], "f")
    f = unpack(packed.head, packed.buffers)
    assert (f.__code__.co_filename, f().__code__.co_filename) == ("/tmp/a cell.py", "/tmp/a cell.py")
