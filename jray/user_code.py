"""Whose code a frame runs: jray's own, a library's, or the user's.

The user's is what is neither jray nor installed: a cell, `__main__`, and files outside the standard library and
site-packages.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import Enum
from itertools import islice
from pathlib import Path
from types import FrameType

_JRAY = f"{Path(__file__).parent}{os.sep}"
_STANDARD_LIBRARY = f"{Path(os.__file__).parent}{os.sep}"
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")

_MOST_LOOKED_AT = 5_000  # names, and parts of lists: an error must not take longer than what it is about


class Whose(Enum):
    """Who wrote a piece of code."""

    JRAY = "jray"
    LIBRARY = "library"
    USER = "user"


def is_own_file(file: str) -> bool:
    """Whether the user's own code is in it: it is neither installed nor jray's."""
    is_installed = file.startswith(_STANDARD_LIBRARY) or any(part in file for part in _INSTALLED)
    return not is_installed and not file.startswith(_JRAY)


def whose(frame: FrameType) -> Whose:
    """Who wrote what runs in this frame."""
    file = frame.f_code.co_filename
    if file.startswith("<"):  # made from text: a cell of a terminal, what a library has generated, what came by pickle
        told = frame.f_globals.get("__file__")
        file = told if isinstance(told, str) else ""  # people set it to what they like
        if not file:
            return Whose.USER if frame.f_globals.get("__name__") == "__main__" else Whose.LIBRARY
    if file.startswith(_JRAY):
        return Whose.JRAY
    return Whose.USER if is_own_file(file) else Whose.LIBRARY


def nearest_user_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame with the user's code, from this one outwards."""
    while frame is not None and whose(frame) is not Whose.USER:
        frame = frame.f_back
    return frame


def names_of(value: object, frame: FrameType) -> Iterator[str]:
    """What a value is called in a frame: variables, then places in lists (`refs[0]`). Not all are looked at if many."""
    for namespace in (frame.f_locals, frame.f_globals):
        names = islice(list(namespace.items()), _MOST_LOOKED_AT)
        found = [(name, held) for name, held in names if not name.startswith("_")]
        yield from (name for name, held in found if held is value)
        left = _MOST_LOOKED_AT
        for name, held in found:
            if type(held) in {list, tuple} and name not in {"In", "Out"}:
                yield from (f"{name}[{index}]" for index, part in enumerate(held[:left]) if part is value)
                left = max(0, left - len(held))
