"""How standard streams travel, and views of memory; and that open files don't.

A function that prints to `sys.stdout` means the standard output of the process in which it runs. cloudpickle would send
an open text file as a StringIO, and a memoryview as bytes: they would arrive as something else.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable
from operator import methodcaller
from typing import Any

_STREAMS = ("stdout", "stderr")
_FORMATS = frozenset("?bBcdfhHiIlLnNqQ")  # of views that can be made anew


def learn_streams() -> None:
    """Look at what the standard streams are now: notebooks have classes of their own, and so have other libraries."""
    for name in _STREAMS:
        for stream in _streams(name):
            if not isinstance(stream, (io.StringIO, type(None))):  # a StringIO is the user's own: it has the text
                REDUCERS[type(stream)] = _reduce_stream
    notebook = getattr(sys.modules.get("ipykernel.iostream"), "OutStream", None)
    if notebook is not None:
        REDUCERS[notebook] = _reduce_stream


def _streams(name: str) -> tuple[Any, Any]:
    return getattr(sys, name, None), getattr(sys, f"__{name}__", None)


def _reduce_stream(stream: Any) -> Any:
    for name in _STREAMS:
        if any(stream is known for known in _streams(name)) or _is_notebooks(stream, name):
            return getattr, (sys, name)
    return stream.__reduce_ex__(5)  # of a file: an error


def _is_notebooks(stream: Any, name: str) -> bool:
    """Whether it is what the kernel began with, also where sys.stdout is something else for a while."""
    return type(stream).__name__ == "OutStream" and getattr(stream, "name", None) == name


def _reduce_view(view: memoryview) -> Any:
    if view.format not in _FORMATS:
        raise pickle.PicklingError(f"it is a view of elements of the format {view.format!r}")
    flat = view
    if not view.c_contiguous or not view.nbytes:
        flat = memoryview(view.tobytes() if view.readonly else bytearray(view.tobytes()))
    flat = flat.cast("B")
    if view.format == "B" and view.ndim == 1:
        return memoryview, (pickle.PickleBuffer(flat),)
    shape = [list(view.shape or ())] if view.ndim != 1 and view.nbytes else []
    return methodcaller("cast", view.format, *shape), (flat,)


REDUCERS: dict[type, Callable[[Any], Any]] = {io.TextIOWrapper: _reduce_stream, memoryview: _reduce_view}
