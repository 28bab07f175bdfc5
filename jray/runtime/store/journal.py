"""What a worker has to say and has not sent yet, in shared memory: its process may die, and nothing is lost.

To send each report by itself costs more than many a task. So reports of short tasks are gathered for a moment, in the
first block of the worker's arena. When the worker dies, the kernel reads them there, and knows what had finished.
"""

from __future__ import annotations

import ctypes
import os
import sys

from jray.runtime.store.arena import Arena
from jray.runtime.system import Descriptor, is_in_memory, map_shared

_BYTES = 16 * 1024
_HEADER = 4  # how many bytes are in it


class Journal:
    """The writing end. Its owner's lock guards it."""

    def __init__(self, arena: Arena) -> None:
        """The arena is new: nothing else was written into it."""
        self._length = 0  # of what is in it
        self._room: memoryview | None = None
        self._head: memoryview
        if is_in_memory(arena.memory):  # on a disk a page may not be there when it is written: then it takes nothing
            block = arena.write([bytes(_BYTES)])
            address = map_shared(arena.memory, block.offset, _BYTES)
            self._room = memoryview((ctypes.c_ubyte * _BYTES).from_address(address)).cast("B")
            self._head = self._room.cast("I")

    def add(self, data: bytes) -> bool:
        """Write it down. False: there is no room."""
        room, start = self._room, _HEADER + self._length
        end = start + len(data)
        if room is None or end > _BYTES:
            return False
        room[start:end] = data
        self._head[0] = self._length = end - _HEADER  # last: what is counted is there
        return True

    def clear(self) -> None:
        """It was sent."""
        if self._length:
            self._head[0] = self._length = 0


def read_journal(memory: Descriptor) -> bytes:
    """What a worker that is gone has left in its arena's memory."""
    head = os.pread(memory.number, _HEADER, 0) if is_in_memory(memory) else b""
    length = int.from_bytes(head, sys.byteorder)
    return os.pread(memory.number, length, _HEADER) if 0 < length <= _BYTES - _HEADER else b""
