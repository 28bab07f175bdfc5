"""Functions to bytes. Packed anew at each call, unless the function provably would give the same bytes again."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from jray.runtime.serde.reach import Snapshot, snapshot_of
from jray.runtime.serde.values import Packed, pack


def call_by_name(module: str, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call what has this name in this process."""
    return getattr(import_module(module), name)(*args, **kwargs)


class PackedForm:
    """The last packed form of a function, while it holds.

    It belongs to who owns the function, and is in no table: it holds the function, so the table would hold both for
    ever, even a table of weak keys.
    """

    __slots__ = ("known",)

    def __init__(self) -> None:
        """The function was not packed yet."""
        self.known: tuple[Snapshot, Packed] | None = None


def pack_code(function: Callable[..., Any], form: PackedForm, what: str) -> Packed:
    """A function as it is now, with all that it reaches. `form` is this function's own.

    Raises:
        TypeError: it can't be pickled; the message names the part that can't, and the path to it.
    """
    known = form.known
    if known is not None and known[0].holds():
        return known[1]
    snapshot = snapshot_of(function)  # before packing: what changes meanwhile is seen at the next call
    packed = pack(function, what)
    if snapshot is not None and not packed.buffers and not packed.refs:
        form.known = snapshot, packed
    return packed
