"""Functions to bytes. Packed anew at each call, unless the function provably would give the same bytes again."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

from jray.runtime.serde.reach import Snapshot, snapshot_of
from jray.runtime.serde.values import Packed, pack

_known: WeakKeyDictionary[Callable[..., Any], tuple[Snapshot, Packed]] = WeakKeyDictionary()


def pack_code(function: Callable[..., Any], what: str) -> Packed:
    """A function as it is now, with all that it reaches.

    Raises:
        TypeError: it can't be pickled; the message names the part that can't, and the path to it.
    """
    known = _known.get(function) if isinstance(function, FunctionType) else None
    if known is not None and known[0].holds():
        return known[1]
    snapshot = snapshot_of(function)  # before packing: what changes meanwhile is seen at the next call
    packed = pack(function, what)
    if snapshot is not None and not packed.buffers and not packed.refs:
        _known[function] = snapshot, packed
    return packed
