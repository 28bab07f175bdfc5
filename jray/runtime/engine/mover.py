"""Copies objects between shared memory and disk, and gives memory back to the system, in a thread of its own.

The engine must not wait for a disk. What is done is told to the engine, which decides anew: an object may have been
freed, or somebody may read it, by then.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from jray.runtime.engine.books import Books
from jray.runtime.ids import Block, ObjectId
from jray.runtime.store.arena import Arena
from jray.runtime.store.objects import StoredValue
from jray.runtime.store.spill import SpillFile, read_spilled
from jray.runtime.system import Descriptor, directory_on_disk, punch_hole, reopened_to_write

logger = logging.getLogger("jray")

_END_S = 10.0


class Copied(NamedTuple):
    """What has become of a copy."""

    object: ObjectId
    is_on_disk: bool  # or in memory, again
    stored: StoredValue | None  # where; None: it could not be made, or was there already
    error: str = ""  # why it could not be made


class Mover:
    """Takes orders from the engine; `tell` is called from the mover's thread."""

    def __init__(self, directory: Path | None, books: Books, tell: Callable[[Copied], None]) -> None:
        """`directory` is where the file of spilled objects is made at first use; None: where there is a disk."""
        self._books = books
        self._directory = directory
        self._tell = tell
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._is_trimming = False

    # ---- orders, from the engine

    def confirm(self, object_id: ObjectId) -> None:
        """A value is on disk already."""
        self._do(lambda: self._tell(Copied(object_id, True, None)))  # noqa: FBT003 - a named field

    def spill(self, object_id: ObjectId, stored: StoredValue, memory: Descriptor) -> None:
        """Copy a value to disk. `memory` is the arena that it lies in."""
        self._do(lambda: self._tell(self._spilled(object_id, stored, memory)))

    def load(self, object_id: ObjectId, stored: StoredValue, arena: Callable[[], Arena]) -> None:
        """Copy a value from disk into the kernel's arena, which is made if need be."""
        self._do(lambda: self._tell(self._loaded(object_id, stored, arena)))

    def trim(self, arena: Arena, keep_bytes: int) -> None:
        """Give free pages of the kernel's arena back to the system."""
        if not self._is_trimming:
            self._is_trimming = True
            self._do(lambda: self._trim(arena, keep_bytes))

    def give_back(self, memory: Descriptor, ranges: Sequence[tuple[int, int]]) -> None:
        """Give ranges (start, length) of an arena back whose worker is gone."""
        self._do(lambda: _punch(memory, ranges))

    def _do(self, job: Callable[[], None]) -> None:
        if self._is_closed:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="jray-mover", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    # ---- the mover's thread

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            try:
                if not self._is_closed:
                    job()
            except Exception:  # the thread must go on: the store would stay full for ever
                logger.exception("jray could not move memory.")
            del job  # with the memory that it holds

    def _spilled(self, object_id: ObjectId, stored: StoredValue, memory: Descriptor) -> Copied:
        assert stored.block is not None  # noqa: S101 - only blocks are spilled
        try:
            file = self._books.spill_file
            if file is None:
                file = self._books.spill_file = SpillFile(self._directory or directory_on_disk())
            block = file.write(memory, stored.block)
        except Exception as error:  # noqa: BLE001 - the engine must hear of it, or the store stays full for ever
            why = getattr(error, "strerror", None) or str(error)
            return Copied(object_id, True, None, why)  # noqa: FBT003 - a named field
        return Copied(object_id, True, stored._replace(block=block))  # noqa: FBT003

    def _loaded(self, object_id: ObjectId, stored: StoredValue, arena: Callable[[], Arena]) -> Copied:
        assert stored.block is not None  # noqa: S101
        file = self._books.spill_file
        assert file is not None  # noqa: S101 - it was written into
        try:
            view = read_spilled(object_id, file.read_end, stored.block)
            block = arena().write([view])
        except Exception as error:  # noqa: BLE001 - who reads it will be told, too
            return Copied(object_id, False, None, str(error))  # noqa: FBT003
        return Copied(object_id, False, stored._replace(block=block._replace(spans=stored.block.spans)))  # noqa: FBT003

    def _trim(self, arena: Arena, keep_bytes: int) -> None:
        self._is_trimming = False
        arena.trim(keep_bytes)

    # ---- the end

    def close(self) -> None:
        """Stop after the copy that is being made."""
        self._is_closed = True
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(_END_S)


def _punch(memory: Descriptor, ranges: Sequence[tuple[int, int]]) -> None:
    writable = reopened_to_write(memory)
    for start, length in ranges:
        punch_hole(writable, start, length)


def gaps_between(blocks: Sequence[Block], end: int) -> list[tuple[int, int]]:
    """The ranges (start, length) below `end` in which none of the blocks lies, which are in order."""
    gaps, start = [], 0
    for block in blocks:
        if block.offset > start:
            gaps.append((start, block.offset - start))
        start = block.offset + block.length
    if end > start:
        gaps.append((start, end - start))
    return gaps
