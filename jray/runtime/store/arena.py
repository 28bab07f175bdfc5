"""One process's shared memory: a file without a name that only this process writes.

Nothing can be left behind: it goes with the last descriptor and mapping.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from jray.exceptions import ObjectStoreFullError
from jray.runtime.ids import PAGE, Block, WorkerId
from jray.runtime.interrupts import refuse_finalizers, shielded
from jray.runtime.store.allocator import Allocator, Ranges, Span, gaps, whole_pages
from jray.runtime.store.windows import Windows
from jray.runtime.system import Descriptor, is_in_memory, punch_hole

_ALIGNMENT = 64  # of each buffer, for vector instructions and Arrow


class Layout(NamedTuple):
    """How buffers lie in a block."""

    spans: tuple[tuple[int, int], ...]  # (start, length) of each, relative to the block
    size: int  # to the end of the last

    @property
    def length(self) -> int:
        """What the block takes of the arena."""
        return max(PAGE, whole_pages(self.size))


def layout(buffers: Sequence[memoryview | bytes]) -> Layout:
    """One after the other, aligned."""
    spans = []
    end = 0
    for buffer in buffers:
        start = -(-end // _ALIGNMENT) * _ALIGNMENT
        length = len(buffer) if isinstance(buffer, bytes) else buffer.nbytes
        spans.append((start, length))
        end = start + length
    return Layout(tuple(spans), end)


class Arena:
    """The arena of this process. Its one writer; safe from any thread."""

    def __init__(self, owner: WorkerId, descriptor: int) -> None:
        """`descriptor` can be written, and is the arena's own."""
        self.owner = owner
        self.memory = Descriptor(descriptor)
        self._allocator = Allocator()
        # Free ranges whose pages exist. Only these are written through memory: see windows.py.
        self._recycled = Ranges()
        # On a disk, a file system may need fresh space even to write over a page: there, everything is pwrite.
        self._windows = Windows(self.memory) if is_in_memory(self.memory) else None
        self._length = 0  # of the file
        # Nobody waits for this lock to give something back: garbage is collected under it, too, and a finalizer of the
        # user's that waits in jray.get would wait for the very thread that stands here.
        self._lock = threading.RLock()
        self._freed: deque[int] = deque()  # offsets; who has the lock looks again after releasing it
        self._to_keep: int | None = None  # what the last trim asked for, if nobody has done it yet

    @property
    def taken_bytes(self) -> int:
        """How much is in use now."""
        return self._allocator.taken_bytes

    @property
    def resident_free_bytes(self) -> int:
        """How much memory holds nothing, and waits to be used again."""
        return self._recycled.total

    @shielded  # postponing Ctrl-C for the time of a copy is better than losing the block
    def write(self, buffers: Sequence[memoryview | bytes]) -> Block:
        """Copy the buffers into a fresh block.

        Raises:
            ObjectStoreFullError: the system has no memory for them.
            RuntimeError: a finalizer that runs inside the allocator wants to store something.
        """
        refuse_finalizers(self._lock)
        spans, size = layout(buffers)
        offset, pieces = self._allocate(size)
        self._settle()
        try:
            self._lengthen(offset + whole_pages(size))
            for (start, _), buffer in zip(spans, buffers, strict=True):
                self._fill(offset + start, memoryview(buffer).cast("B"), pieces)
        except BaseException as error:
            self._abandon(offset)
            if not isinstance(error, OSError):
                raise
            msg = (
                f"A value of {size:,} bytes could not be stored. The system refused the memory: {error.strerror}. "
                "Drop refs and arrays that you no longer need, or work in smaller pieces."
            )
            raise ObjectStoreFullError(msg) from error
        finally:
            self._settle()
        return Block(self.owner, offset, size, spans)

    @shielded
    def free(self, offset: int) -> None:
        """Take a block back; nobody maps it any more. An offset that was given back before changes nothing."""
        self._freed.append(offset)
        self._settle()

    @shielded
    def trim(self, keep_bytes: int) -> int:
        """Give free memory back to the system, the largest ranges first, until `keep_bytes` of it are left.

        Blocks, and what others map, are not touched. About 0.2 s per GB, in which nothing can be stored.

        Returns:
            How much was given back. 0 when a thread is just allocating: it does this, too, before it goes on. Less than
            asked for on a file system that can't make holes.
        """
        self._to_keep = keep_bytes
        return self._settle()

    def _settle(self) -> int:
        """Do what others left to be done, if the lock is free; how much went back to the system."""
        given_back = 0
        while (self._freed or self._to_keep is not None) and self._acquire_now():
            try:
                self._take_back()
                keep_bytes, self._to_keep = self._to_keep, None
                if keep_bytes is not None:
                    given_back += self._give_back(keep_bytes)
            finally:
                self._lock.release()
        return given_back

    def _acquire_now(self) -> bool:
        # Not twice by one thread: it would stand in the middle of changing what is guarded.
        return not self._lock._is_owned() and self._lock.acquire(blocking=False)  # type: ignore[attr-defined]  # noqa: SLF001

    def _take_back(self) -> None:
        while self._freed:
            freed = self._allocator.free(self._freed.popleft())
            if freed is not None:
                self._recycled.add(*freed)

    def _give_back(self, keep_bytes: int) -> int:
        given_back = 0
        while self._recycled.total > keep_bytes:
            largest = self._recycled.largest()
            assert largest is not None  # noqa: S101 - for the type checker: the total is not 0
            start, length = largest
            length = min(length, whole_pages(self._recycled.total - keep_bytes))
            if not punch_hole(self.memory, start, length):
                break
            self._forget(start, length)
            given_back += length
        return given_back

    def _allocate(self, size: int) -> tuple[int, list[tuple[Span, bool]]]:
        """A range, and its pieces in order: whether each is written through memory."""
        with self._lock:
            self._take_back()
            offset, length = self._allocator.allocate(size)
            recycled = self._recycled.cut(offset, length)
            pieces = [(gap, False) for gap in gaps(offset, length, recycled)]
            windows = self._windows
            pieces += [(piece, windows is not None and windows.prepare(*piece)) for piece in recycled]
        return offset, sorted(pieces)

    def _lengthen(self, end: int) -> None:
        """Before a write: what is written through memory behind the end of the file, no reader would see."""
        with self._lock:
            if end > self._length:
                os.ftruncate(self.memory.number, end)
                self._length = end

    def _fill(self, offset: int, data: memoryview, pieces: list[tuple[Span, bool]]) -> None:
        for (start, length), is_through_memory in pieces:
            first = max(offset, start)
            part = data[first - offset : max(0, start + length - offset)]
            if not part:
                continue
            if is_through_memory:
                assert self._windows is not None  # noqa: S101 - for the type checker
                self._windows.write(first, part)
            else:
                self._write_fresh(first, part)

    def _write_fresh(self, offset: int, data: memoryview) -> None:
        # pwrite: into fresh pages it is twice as fast as memory (no fault per page), and a lack of memory is an error.
        while data:
            written = os.pwrite(self.memory.number, data, offset)
            data = data[written:]
            offset += written

    def _abandon(self, offset: int) -> None:
        """Nobody knows which of its pages exist by now, and memory is scarce: it has none from here on."""
        with self._lock:
            freed = self._allocator.free(offset)
            assert freed is not None  # noqa: S101 - it was allocated
            punch_hole(self.memory, *freed)
            self._forget(*freed)

    def _forget(self, start: int, length: int) -> None:
        self._recycled.cut(start, length)
        if self._windows is not None:
            self._windows.forget(start, length)
