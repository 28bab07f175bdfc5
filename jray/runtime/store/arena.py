"""One process's shared memory: a memfd that only this process writes, and the allocator of its ranges.

The memory has no name, so nothing can be left behind: it goes with the last descriptor and mapping.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left, insort
from collections.abc import Sequence

from jray.exceptions import ObjectStoreFullError
from jray.runtime.ids import Block, WorkerId
from jray.runtime.interrupts import refuse_finalizers, shielded
from jray.runtime.system import Descriptor

PAGE = 4096
_ALIGNMENT = 64  # of each buffer, for vector instructions and Arrow


class Allocator:
    """Which ranges of an arena are taken. Pure: it touches no memory.

    Best fit; neighbours are joined when freed. Invariant: free ranges never touch or overlap each other.
    """

    def __init__(self) -> None:
        """Everything is free; the arena is as long as it needs to be."""
        self.top = 0  # bytes that were ever handed out
        self._taken: dict[int, int] = {}  # offset -> length
        self._free: list[tuple[int, int]] = []  # (length, offset), sorted
        self._starts: dict[int, int] = {}  # of free ranges: offset -> length
        self._ends: dict[int, int] = {}  # of free ranges: end -> offset

    @property
    def taken_bytes(self) -> int:
        """How much is handed out now."""
        return sum(self._taken.values())

    def allocate(self, size: int) -> int:
        """The offset of a fresh range of at least `size` bytes, on a page boundary."""
        length = max(PAGE, -(-size // PAGE) * PAGE)
        position = bisect_left(self._free, (length, 0))
        if position < len(self._free):
            found, offset = self._free[position]
            self._remove(offset, found)
            if found > length:
                self._add(offset + length, found - length)
        else:
            offset = self.top
            self.top += length
        self._taken[offset] = length
        return offset

    def free(self, offset: int) -> None:
        """Give a range back. Unknown offsets are passed over: they were given back before."""
        length = self._taken.pop(offset, None)
        if length is None:
            return
        after = self._starts.get(offset + length)
        if after is not None:
            self._remove(offset + length, after)
            length += after
        before = self._ends.get(offset)
        if before is not None:
            found = self._starts[before]
            self._remove(before, found)
            offset, length = before, length + found
        self._add(offset, length)

    def _add(self, offset: int, length: int) -> None:
        insort(self._free, (length, offset))
        self._starts[offset] = length
        self._ends[offset + length] = offset

    def _remove(self, offset: int, length: int) -> None:
        del self._free[bisect_left(self._free, (length, offset))]
        del self._starts[offset]
        del self._ends[offset + length]


class Arena:
    """The arena of this process. Its one writer; safe from any thread."""

    def __init__(self, owner: WorkerId, descriptor: int) -> None:
        """`descriptor` can be written, and is the arena's own."""
        self.owner = owner
        self.memory = Descriptor(descriptor)
        self._allocator = Allocator()
        self._lock = threading.RLock()

    @shielded  # postponing Ctrl-C for the time of a copy is better than losing the block
    def write(self, buffers: Sequence[memoryview | bytes]) -> Block:
        """Copy the buffers into a fresh block.

        Raises:
            ObjectStoreFullError: the system has no memory for them.
            RuntimeError: a finalizer that runs inside the allocator wants to store something.
        """
        refuse_finalizers(self._lock)
        spans = []
        size = 0
        for buffer in buffers:
            length = len(buffer) if isinstance(buffer, bytes) else buffer.nbytes
            spans.append((size, length))
            size = -(-(size + length) // _ALIGNMENT) * _ALIGNMENT
        with self._lock:
            offset = self._allocator.allocate(size)
        try:
            for (start, _), buffer in zip(spans, buffers, strict=True):
                self._write_at(offset + start, memoryview(buffer).cast("B"))
        except OSError as error:
            self.free(offset)
            msg = (
                f"A value of {size:,} bytes could not be stored. The system refused the memory: {error.strerror}. "
                "Drop refs and arrays that you no longer need, or work in smaller pieces."
            )
            raise ObjectStoreFullError(msg) from error
        end = spans[-1][0] + spans[-1][1]
        return Block(self.owner, offset, end, tuple(spans))

    @shielded
    def free(self, offset: int) -> None:
        """Take a block back; nobody maps it any more."""
        with self._lock:
            self._allocator.free(offset)

    @property
    def taken_bytes(self) -> int:
        """How much is in use now."""
        with self._lock:
            return self._allocator.taken_bytes

    def _write_at(self, offset: int, data: memoryview) -> None:
        # pwrite, not memcpy into a mapping: into fresh pages it is twice as fast (no page fault per 4 KiB).
        while data:
            written = os.pwrite(self.memory.number, data, offset)
            data = data[written:]
            offset += written
