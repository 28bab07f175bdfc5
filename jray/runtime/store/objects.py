"""Stored values: small ones as bytes in the message, large ones as a block of an arena."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from jray.runtime.ids import Block, ObjectId, WorkerId
from jray.runtime.object_ref import RefOwner
from jray.runtime.serde.errors import unpack_error
from jray.runtime.serde.values import OUT_OF_BAND_BYTES, Packed, unpack
from jray.runtime.store.arena import Arena
from jray.runtime.store.mapping import map_private
from jray.runtime.system import Descriptor

Wire: TypeAlias = tuple[Any, ...]


class StoredValue(NamedTuple):
    """An object's bytes, or where they are. Never changes."""

    failed: bool  # the bytes are an error (serde.errors)
    head: bytes | None  # the pickle; None when it is the first span of the block
    block: Block | None
    via: tuple[str, ...] = ()  # of a passed-on failure: the tasks that could not run because of it

    @property
    def nbytes(self) -> int:
        """Its size, without what Python adds."""
        return len(self.head or b"") + (self.block.size if self.block is not None else 0)

    def to_wire(self) -> Wire:
        """As plain tuples, for marshal."""
        return self.failed, self.head, None if self.block is None else tuple(self.block), self.via

    @staticmethod
    def from_wire(wire: Wire) -> StoredValue:
        """Back from plain tuples."""
        failed, head, block, via = wire
        return StoredValue(failed, head, None if block is None else Block(*block), via)


def store(packed: Packed, arena: Callable[[], Arena]) -> StoredValue:
    """Put a packed value where it belongs: in the message or in this process's arena."""
    head, buffers, _ = packed
    if len(head) >= OUT_OF_BAND_BYTES:
        return StoredValue(False, None, arena().write([head, *buffers]))  # noqa: FBT003 - a named field
    if buffers:
        return StoredValue(False, head, arena().write(buffers))  # noqa: FBT003
    return StoredValue(False, head, None)  # noqa: FBT003


class Reader:
    """Turns stored values back into values, in the thread that wants them."""

    def __init__(self, memory_of: Callable[[WorkerId], Descriptor], owner: RefOwner) -> None:
        """`memory_of` an arena, which can't be written; `owner` counts views as refs."""
        self._memory_of = memory_of
        self._owner = owner

    def read(self, object_id: ObjectId, stored: StoredValue) -> Any:
        """The value.

        Raises:
            TaskError: or another error: the object is one.
        """
        if stored.failed:
            assert stored.head is not None  # noqa: S101 - errors are never large
            raise unpack_error(stored.head, stored.via)
        if stored.block is None:
            return unpack(stored.head or b"", ())
        return self._read_block(object_id, stored.head, stored.block)

    def _read_block(self, object_id: ObjectId, head: bytes | None, block: Block) -> Any:
        memory = self._memory_of(block.arena)  # held until all is read or mapped
        spans = block.spans
        if head is None:
            start, length = spans[0]
            head = _read_range(memory.number, block.offset + start, length)
            spans = spans[1:]
        if not spans:
            return unpack(head, ())
        self._owner.retain(object_id)  # for the view: first, so that an interrupt in between can only cost memory
        try:
            view = map_private(memory.number, block.offset, block.size, object_id)
        except BaseException:
            self._owner.release(object_id)
            raise
        return unpack(head, [view[start : start + length] for start, length in spans])


def _read_range(descriptor: int, offset: int, length: int) -> bytes:
    parts = []
    while length:
        part = os.pread(descriptor, length, offset)
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return b"".join(parts)
