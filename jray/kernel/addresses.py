"""Where the bytes of arrays, frames and tables lie, for `%jray memory`: which of them use an object of the store.

Only classes of numpy, pandas and pyarrow are asked, none of the user's. pandas tells it nowhere in public; where its
private names have changed, a frame is said to lie nowhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jray.runtime.serde.kinds import package_of


def addresses_in(value: Any) -> Iterator[int] | None:
    """An address in each buffer that the value uses. None: it is no array, frame or table."""
    kind = type(value)
    room = package_of(kind)
    if room not in {"builtins", "numpy", "pandas", "pyarrow"}:
        return None
    read = _READERS.get((room, kind.__name__))
    if read is None and room == "pyarrow" and hasattr(kind, "buffers"):
        read = _of_arrow_array  # one class for each type of values
    return None if read is None else _read(read, value)


def _read(read: Callable[[Any], Iterator[int]], value: Any) -> Iterator[int]:
    # A view that was released, a library of another version: nothing is known then.
    with contextlib.suppress(AttributeError, TypeError, ValueError, NotImplementedError):
        yield from read(value)


def _of_array(array: Any) -> Iterator[int]:
    yield array.__array_interface__["data"][0]


def _of_memoryview(view: Any) -> Iterator[int]:
    import numpy as np

    yield from _of_array(np.asarray(view))


def _of_frame(frame: Any) -> Iterator[int]:
    for block in frame._mgr.blocks:  # noqa: SLF001 - see above
        yield from addresses_in(_inside(block.values)) or ()


def _inside(values: Any) -> Any:
    """What an array of pandas' own keeps its values in."""
    for name in ("_pa_array", "_ndarray", "_data"):
        if hasattr(values, name):
            return getattr(values, name)
    return values


def _of_arrow_array(array: Any) -> Iterator[int]:
    yield from (buffer.address for buffer in array.buffers() if buffer is not None)


def _of_parts(name: str) -> Callable[[Any], Iterator[int]]:
    def read(value: Any) -> Iterator[int]:
        parts: Sequence[Any] = getattr(value, name)
        for part in parts:
            yield from addresses_in(part) or ()

    return read


_READERS: dict[tuple[str, str], Callable[[Any], Iterator[int]]] = {
    ("builtins", "memoryview"): _of_memoryview,
    ("numpy", "ndarray"): _of_array,
    ("numpy", "MaskedArray"): _of_array,
    ("pandas", "DataFrame"): _of_frame,
    ("pandas", "Series"): _of_frame,
    ("pyarrow", "Table"): _of_parts("columns"),
    ("pyarrow", "RecordBatch"): _of_parts("columns"),
    ("pyarrow", "ChunkedArray"): _of_parts("chunks"),
}
