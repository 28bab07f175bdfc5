"""Packed forms that are kept for a while. They keep alive what they were made of: so there is a bound, and an end."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")
_MOST = 128

_all: weakref.WeakSet[Kept[Any]] = weakref.WeakSet()


class Kept(Generic[_T]):
    """The last ones that were used. Safe from any thread."""

    def __init__(self) -> None:
        """None yet."""
        self._kept: OrderedDict[Hashable, _T] = OrderedDict()
        self._lock = threading.RLock()
        _all.add(self)

    def get(self, key: Hashable) -> _T | None:
        """What was kept by this key."""
        return self._kept.get(key)

    def put(self, key: Hashable, value: _T) -> None:
        """Keep it; the oldest goes."""
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            if len(self._kept) > _MOST:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._kept.clear()


def forget_all() -> None:
    """Nothing is kept alive by this any more: at the end of a cell, so that redefined classes can go."""
    for kept in list(_all):
        kept.clear()
