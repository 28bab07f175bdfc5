"""Copy-on-write views of blocks, and how their end is noticed.

A view is mapped private and writable from a descriptor that can't be written: reading shares the pages, writing copies
them for this process alone. The mapping lives as long as the last array, slice or table that uses it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from jray.exceptions import ObjectStoreFullError
from jray.runtime import system
from jray.runtime.ids import ObjectId
from jray.runtime.interrupts import shielded

ended: deque[tuple[int, int, ObjectId]] = deque()
"""Mappings whose last user is gone: (address, length, object). Finalizers only append; `unmap_ended` does the rest."""


_live: dict[int, tuple[int, ObjectId]] = {}  # address of a mapping -> its length, and whose view it is


def viewed() -> set[ObjectId]:
    """The objects that this process has views of now."""
    return {object_id for _, object_id in list(_live.values())}


def mapped_ranges() -> list[tuple[int, int, ObjectId]]:
    """(start, end, object) of each view that this process has now."""
    return [(address, address + length, object_id) for address, (length, object_id) in list(_live.items())]


_wake_owner: Callable[[], None] | None = None  # the runtime in this process that takes care of ended mappings


def leave_to_owner(wake: Callable[[], None]) -> None:
    """From now on somebody calls `unmap_ended` and tells the books.

    `wake` is called from finalizers when there is something to do: it must be quick, and safe everywhere.
    """
    global _wake_owner  # noqa: PLW0603 - there is one runtime in a process
    _wake_owner = wake


def take_over() -> None:
    """The runtime is gone: ended mappings are unmapped on the spot, nobody has to be told."""
    global _wake_owner  # noqa: PLW0603
    _wake_owner = None
    unmap_ended()


class _Mapped:
    """Owns one mapping; numpy and all views made from it keep it alive.

    Not an array itself: numpy collapses chains of arrays, and a finalizer of one fires while views of it live.
    """

    __slots__ = ("__array_interface__", "_address", "_length", "_object_id")

    def __init__(self, address: int, length: int, object_id: ObjectId, *, read_only: bool) -> None:
        self._address, self._length, self._object_id = address, length, object_id
        _live[address] = length, object_id
        self.__array_interface__ = {"data": (address, read_only), "shape": (length,), "typestr": "|u1", "version": 3}

    @shielded
    def __del__(self) -> None:
        ended.append((self._address, self._length, self._object_id))
        if _wake_owner is None:
            unmap_ended()
        else:
            _wake_owner()


@shielded
def map_view(descriptor: int, offset: int, length: int, object_id: ObjectId, *, read_only: bool) -> memoryview[Any]:
    """A view of a range, private and writable unless `read_only`. The caller has already counted it.

    Raises:
        ObjectStoreFullError: the system refuses another mapping.
    """
    import numpy as np

    try:
        address = (system.map_to_read if read_only else system.map_private)(descriptor, offset, length)
    except OSError as error:
        msg = (
            f"A value of {length:,} bytes could not be mapped. The system said: {error.strerror}. "
            "Drop arrays that you got from jray.get and no longer need, or raise vm.max_map_count."
        )
        raise ObjectStoreFullError(msg) from error
    return memoryview(np.asarray(_Mapped(address, length, object_id, read_only=read_only)).data)


@shielded
def unmap_ended() -> list[ObjectId]:
    """Unmap what nobody uses any more; the objects whose views these were, once for each view."""
    objects = []
    while ended:
        address, length, object_id = ended.popleft()
        _live.pop(address, None)
        system.unmap(address, length)
        objects.append(object_id)
    return objects
