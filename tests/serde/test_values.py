"""Values to bytes and back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from jray.runtime.serde.errors import pack_error, unpack_error
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


NUMBERS = np.arange(80_000)
WITH_DATES = np.zeros(80_000, [("at", "M8[ns]"), ("x", "f8")])
WITH_DATES["x"] = NUMBERS
FEW_MASKED = np.ma.masked_array(NUMBERS, NUMBERS % 3 == 0, fill_value=7)
COPIED_BY_PICKLE = {
    "dates": NUMBERS.astype("M8[s]"),
    "durations": NUMBERS.astype("m8[ms]").reshape(200, 400).T,
    "dates in records": WITH_DATES,
    "every second one": np.arange(160_000)[::2],
    "backwards": NUMBERS[::-1],
    "a part of a table": np.arange(80_000).reshape(200, 400)[:, 10:110],
    "every second date": np.arange(160_000).astype("M8[s]")[::2],
    "matrix": NUMBERS.reshape(200, 400).view(np.matrix),
    "memmap": NUMBERS.view(np.memmap),
    "recarray": np.rec.fromarrays([NUMBERS, NUMBERS * 0.5], names="i,x"),
    "masked": FEW_MASKED,
    "masked dates": np.ma.masked_array(NUMBERS.astype("M8[s]"), NUMBERS % 3 == 0),
    "nothing is masked": np.ma.masked_array(NUMBERS),
}


@pytest.mark.parametrize("wrap", [lambda a: a, lambda a: {"a": [a, a]}, lambda a: (a, lambda: 1)])
@pytest.mark.parametrize("kind", COPIED_BY_PICKLE)
def test_arrays_that_pickle_would_copy_go_out_of_band_as_well(kind, wrap):
    array = COPIED_BY_PICKLE[kind]
    packed = pack(wrap(array), "it")
    back = unpack(packed.head, [memoryview(bytearray(buffer)) for buffer in packed.buffers])
    back = back["a"][1] if isinstance(back, dict) else back[0] if isinstance(back, tuple) else back

    assert len(packed.head) < 3_000
    assert sum(buffer.nbytes for buffer in packed.buffers) <= array.nbytes + 80_000  # once, with the mask
    assert (type(back), back.dtype, back.shape) == (type(array), array.dtype, array.shape)
    assert np.array_equal(np.asarray(back), np.asarray(array))
    assert np.array_equal(np.ma.getmaskarray(back), np.ma.getmaskarray(array))
    assert back.flags.writeable


def test_a_masked_array_keeps_what_stands_for_what_is_masked():
    assert there_and_back(FEW_MASKED).filled()[3] == 7


def test_frames_with_dates_go_out_of_band():
    dates = pd.date_range("2026-01-01", periods=80_000, freq="s")
    frame = pd.DataFrame({"at": dates, "x": NUMBERS}, index=dates)
    packed = pack(frame, "it")
    assert len(packed.head) < 3_000
    pd.testing.assert_frame_equal(unpack(packed.head, packed.buffers), frame)


def reconstruct(content):
    return Reconstructed(content)


class Reconstructed:
    def __init__(self, content):
        self.content = content

    def __reduce__(self):
        return reconstruct, (self.content,)


def test_functions_of_others_that_are_called_as_numpys_are_no_trouble():
    content = bytes(OUT_OF_BAND_BYTES)
    assert there_and_back([Reconstructed(content)])[0].content == content


class Own(np.ndarray):
    """May have more to it than numpy knows."""


@pytest.mark.parametrize(
    "array", [np.array([None, "x"] * 20_000), NUMBERS.view(Own), np.ma.masked_array([{}] * 20_000)]
)
def test_arrays_of_objects_and_of_classes_of_ones_own_are_pickled_as_they_say(array):
    back = there_and_back(array)
    assert type(back) is type(array)
    assert np.array_equal(np.asarray(back), np.asarray(array))


@pytest.mark.parametrize("array", [NUMBERS, NUMBERS[:5]], ids=["large", "small"])
def test_an_array_that_could_not_be_written_can_not_be_written(array):
    """It is a part of the value, as in any pickle: what `to_numpy` of a pandas frame gives must not change here, either."""
    array = array.copy()
    array.flags.writeable = False
    assert not there_and_back(array).flags.writeable


def test_lambdas_and_local_classes_travel():
    class Local:
        def __init__(self, k):
            self.k = k

    assert there_and_back(lambda: 5)() == 5
    assert there_and_back(Local(3)).k == 3


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
