"""Arrays that pickle would copy into its stream: dates, slices, and the classes that numpy derives from its own.

Their bytes go out of band like those of any other array, so that whoever gets them maps them. Pickled this way they
need nothing of jray to be unpickled.
"""

from __future__ import annotations

import pickle
import sys
from typing import Any

_NUMBERS = "biufc"  # kinds of dtype that their name says all about
_COPIED = b"reconstruct\x94"  # the names of numpy's two functions for them end so in a pickle


class PlainArray:
    """In place of an array of numbers that is one block of memory: unpickled twice as fast as by numpy's own way.

    That one has to rebuild the dtype; here numpy looks its name up.
    """

    __slots__ = ("_array",)

    def __init__(self, array: Any) -> None:
        """`array` must be plain, and too large to be pickled in band."""
        self._array = array

    def __reduce__(self) -> tuple[Any, ...]:
        """As a call of numpy's own class."""
        array = self._array
        return type(array), (array.shape, array.dtype.str, pickle.PickleBuffer(array))


def is_plain(value: Any) -> bool:
    """Whether a value is such an array."""
    numpy = sys.modules.get("numpy")
    if numpy is None or type(value) is not getattr(numpy, "ndarray", None):
        return False
    return bool(value.dtype.isbuiltin == 1 and value.dtype.kind in _NUMBERS and value.flags.c_contiguous)


def has_copies(head: bytes) -> bool:
    """Whether there may be arrays in a pickle whose bytes could be out of band."""
    return _COPIED in head


def reducers() -> dict[type, Any]:
    """How to pickle these arrays, as a pickler's dispatch table wants it."""
    import numpy as np  # it is there; else another library's function has the same name

    classes = (np.ndarray, np.matrix, np.memmap, np.recarray)  # exactly these: others may have more to them
    return {**dict.fromkeys(classes, _reduce_array), np.ma.MaskedArray: _reduce_masked_array}


def _reduce_array(array: Any) -> Any:
    np = sys.modules["numpy"]
    is_plain = type(array) is np.ndarray
    if array.dtype.hasobject or not array.ndim or (is_plain and _has_buffer(array)):
        return array.__reduce_ex__(5)  # numpy's own way
    whole = np.asarray(array)
    if not whole.flags.forc:
        whole = np.ascontiguousarray(whole)
    try:
        if not _has_buffer(whole):
            whole = whole.view(f"V{array.dtype.itemsize}")
        again = (array.dtype,) if is_plain else (array.dtype, type(array))
        whole.view(*again)  # as who unpickles it will do
    except (TypeError, ValueError):  # a dtype of the user's own that allows no views
        return array.__reduce_ex__(5)
    return whole.view, again


def _has_buffer(array: Any) -> bool:
    """Whether others can use its bytes; they can't if these are dates, or not next to each other."""
    try:
        return bool(memoryview(array).contiguous)
    except (ValueError, BufferError):
        return False


def _reduce_masked_array(array: Any) -> Any:
    if array.dtype.hasobject or array.baseclass is not sys.modules["numpy"].ndarray:
        return array.__reduce_ex__(5)
    by_position = (array.data, array.mask, None, False, True, 0, array.fill_value, True, array.hardmask)
    return type(array), by_position
