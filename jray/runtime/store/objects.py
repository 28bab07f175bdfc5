"""Stored values: small ones as bytes in the message, large ones as a block of an arena."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from jray.runtime.ids import DISK, Block, ObjectId, WorkerId
from jray.runtime.serde.errors import unpack_error
from jray.runtime.serde.values import OUT_OF_BAND_BYTES, Packed, unpack
from jray.runtime.store.allowance import Allowance, Room
from jray.runtime.store.arena import Arena, layout
from jray.runtime.store.mapping import map_view
from jray.runtime.store.spill import read_spilled
from jray.runtime.system import Descriptor, are_equal

Wire: TypeAlias = tuple[Any, ...]


class StoredValue(NamedTuple):
    """An object's bytes, or where they are. Never changes."""

    failed: bool  # the bytes are an error (serde.errors)
    head: bytes | None  # the pickle; None when it is the first span of the block
    block: Block | None
    via: tuple[str, ...] = ()  # of a passed-on failure: the tasks that could not run because of it
    kind: str = ""  # what it is, in words (serde.kinds); empty for code and arguments, which no ref names

    @property
    def nbytes(self) -> int:
        """Its size, without what Python adds."""
        return len(self.head or b"") + (self.block.size if self.block is not None else 0)

    @property
    def shared_bytes(self) -> int:
        """What it takes of shared memory, or of the disk."""
        return self.block.length if self.block is not None else 0

    def to_wire(self) -> Wire:
        """As plain tuples, for marshal."""
        return self.failed, self.head, None if self.block is None else tuple(self.block), self.via, self.kind

    @staticmethod
    def from_wire(wire: Wire) -> StoredValue:
        """Back from plain tuples."""
        if wire[2] is None:
            return StoredValue._make(wire)
        failed, head, block, via, kind = wire
        return StoredValue(failed, head, Block(*block), via, kind)


def room_for(packed: Packed, allowance: Allowance) -> Room | None:
    """Permission to store a packed value; None when it travels in messages. Waits while the store is full.

    Raises:
        ObjectStoreFullError: there is no room, and there will be none.
    """
    if not packed.buffers and len(packed.head) < OUT_OF_BAND_BYTES:
        return None  # the usual case
    return allowance.claim(layout(_blocks_of(packed)).length)


def store(packed: Packed, arena: Callable[[], Arena], room: Room | None, kind: str = "") -> StoredValue:
    """Put a packed value where it belongs: in the message or in this process's arena.

    `room` is what `room_for` gave; `kind` says what the value is.
    """
    buffers = _blocks_of(packed)
    if not buffers:
        return StoredValue(False, packed.head, None, (), kind)  # noqa: FBT003 - a named field
    assert room is not None  # noqa: S101 - the same value
    block = arena().write(buffers)
    room.spend(block.length)
    head = None if buffers[0] is packed.head else packed.head
    return StoredValue(False, head, block, (), kind)  # noqa: FBT003


def _blocks_of(packed: Packed) -> Sequence[memoryview | bytes]:
    """What of it goes into shared memory."""
    head, buffers, _ = packed
    return (head, *buffers) if len(head) >= OUT_OF_BAND_BYTES else buffers


class ViewOwner(Protocol):
    """Who counts the views that this process has. A view counts as a ref, too."""

    def take_view(self, object_id: ObjectId) -> None:
        """One view more will exist: its object stays where it is."""

    def drop_view(self, object_id: ObjectId) -> None:
        """It could not be made after all."""


class Reader:
    """Turns stored values back into values, in the thread that wants them."""

    def __init__(self, memory_of: Callable[[WorkerId], Descriptor], owner: ViewOwner) -> None:
        """`memory_of` an arena, which can't be written; `owner` counts views."""
        self._memory_of = memory_of
        self._owner = owner

    def read(self, object_id: ObjectId, stored: StoredValue, *, read_only: bool = False) -> Any:
        """The value. Arrays in it are private views of shared memory; who writes one changes his copy only.

        With `read_only` nobody can write them. Small ones, which came in a message, can be written all the same.

        Raises:
            TaskError: or another error: the object is one.
            ObjectLostError: it was moved to disk and can't be read.
        """
        view = self.view(object_id, stored, read_only=read_only)
        return self.load(object_id, stored, view, read_only=read_only)

    def view(self, object_id: ObjectId, stored: StoredValue, *, read_only: bool) -> memoryview[Any] | None:
        """Map its block, if it is in memory. As long as the view lives the object stays where it is."""
        block = stored.block
        if block is None or block.arena == DISK:
            return None
        memory = self._memory_of(block.arena)  # held until it is mapped
        self._owner.take_view(object_id)  # first, so that an interrupt in between can only cost memory
        try:
            return map_view(memory.number, block.offset, block.size, object_id, read_only=read_only)
        except BaseException:
            self._owner.drop_view(object_id)
            raise

    def load(self, object_id: ObjectId, stored: StoredValue, view: memoryview[Any] | None, *, read_only: bool) -> Any:
        """The value, from what `view` gave for it."""
        if stored.failed:
            assert stored.head is not None  # noqa: S101 - errors are never large
            raise unpack_error(stored.head, stored.via)
        if stored.block is None:
            return unpack(stored.head or b"", ())
        return unpack(*self._parts(object_id, stored, stored.block, view, read_only=read_only))

    def holds(self, object_id: ObjectId, stored: StoredValue, view: memoryview[Any] | None, packed: Packed) -> bool:
        """Whether the object is this value, byte for byte; `view` is what `view` gave for it."""
        if stored.failed or stored.block is None:
            return False
        head, buffers = self._parts(object_id, stored, stored.block, view, read_only=True)
        if head != packed.head or len(buffers) != len(packed.buffers):
            return False
        return all(map(are_equal, buffers, packed.buffers))

    def _parts(
        self, object_id: ObjectId, stored: StoredValue, block: Block, view: memoryview[Any] | None, *, read_only: bool
    ) -> tuple[bytes | memoryview[Any], list[memoryview[Any]]]:
        """Its pickle and its buffers."""
        if view is None:
            view = read_spilled(object_id, self._memory_of(DISK), block)
            view = view.toreadonly() if read_only else view
        buffers = [view[start : start + length] for start, length in block.spans]
        return (buffers.pop(0) if stored.head is None else stored.head), buffers
