"""The file that spilled objects lie in, and how they are read back.

Like arenas it has no name, so nothing is left behind however the process ends, and nobody else can open it. A checksum
goes with each block: what comes back from a disk is not trusted.
"""

from __future__ import annotations

import mmap
import os
import threading
import zlib
from pathlib import Path
from typing import Any

from jray.exceptions import ObjectLostError, ObjectStoreFullError
from jray.runtime.ids import DISK, Block, ObjectId, to_hex
from jray.runtime.store.allocator import Allocator
from jray.runtime.system import Descriptor, make_file, punch_hole

_PIECE_BYTES = 4 << 20
_KEPT_FREE = 0.05  # of the disk: for the rest of the system, as in Ray


class SpillFile:
    """Copies of objects. The engine's spiller writes, anybody reads."""

    def __init__(self, directory: Path) -> None:
        """Make the file in this directory.

        Raises:
            OSError: it can't be made there.
        """
        writable, readable = make_file(directory, "jray-spilled")
        self._memory = Descriptor(writable)
        self.read_end = Descriptor(readable)
        self._allocator = Allocator()
        self._lock = threading.Lock()

    def write(self, source: Descriptor, block: Block) -> Block:
        """Copy a block of an arena.

        Raises:
            OSError: the disk is full or broken. Nothing has changed.
        """
        disk = os.fstatvfs(self._memory.number)
        if disk.f_bavail * disk.f_frsize - block.length < disk.f_blocks * disk.f_frsize * _KEPT_FREE:
            raise OSError(f"less than {_KEPT_FREE:.0%} of the disk would be free")
        with self._lock:
            offset, _ = self._allocator.allocate(block.length)
        copy = block._replace(arena=DISK, offset=offset)
        try:
            checksum = self._copy(source, block, offset)
        except OSError:
            self.free(copy)
            raise
        return copy._replace(checksum=checksum)

    def _copy(self, source: Descriptor, block: Block, to: int) -> int:
        checksum = done = 0
        while done < block.size:
            piece = os.pread(source.number, min(_PIECE_BYTES, block.size - done), block.offset + done)
            if not piece:
                raise OSError("the shared memory ends before the object does")
            checksum = zlib.crc32(piece, checksum)
            written = 0
            while written < len(piece):
                written += os.pwrite(self._memory.number, piece[written:], to + done + written)
            done += len(piece)
        return checksum

    def free(self, block: Block) -> None:
        """Give the space back to the disk."""
        punch_hole(self._memory, block.offset, block.length)
        with self._lock:
            self._allocator.free(block.offset)


def read_spilled(object_id: ObjectId, file: Descriptor, block: Block) -> memoryview[Any]:
    """The bytes of a spilled object, in memory of this process's own.

    Raises:
        ObjectLostError: the disk can't be read, or it gives back other bytes than it was given.
        ObjectStoreFullError: the system refuses the memory.
    """
    try:
        view = memoryview(mmap.mmap(-1, block.size))
    except OSError as error:
        msg = (
            f"Object {to_hex(object_id)} could not be read back from disk. It takes {block.size:,} bytes of this "
            f"process's own memory, which the system refused: {error.strerror}. Drop what you no longer need and call "
            "jray.get again; the object is still there."
        )
        raise ObjectStoreFullError(msg) from error
    try:
        done = 0
        while done < block.size:
            got = os.preadv(file.number, [view[done:]], block.offset + done)
            if not got:
                break
            done += got
        why = "" if zlib.crc32(view[:done]) == block.checksum and done == block.size else "its bytes have changed"
    except OSError as error:
        why = error.strerror or str(error)
    if why:
        msg = (
            f"Object {to_hex(object_id)} is lost. It was moved to disk when the store was full, and can't be read "
            f"back: {why}. Run again what makes it; other objects are not affected."
        )
        raise ObjectLostError(msg)
    return view
