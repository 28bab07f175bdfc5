"""The arena as its writer maps it: to fill recycled pages through memory is twice as fast as by a system call.

Only pages that certainly exist are written in here. A page that does not would be made by the write, and when there is
no memory for it the process dies of SIGBUS; `pwrite` gets an error instead.
"""

from __future__ import annotations

import ctypes

from jray.runtime.store.allocator import Ranges, gaps
from jray.runtime.system import Descriptor, map_shared, populate, unmap

_WINDOW_BYTES = 1 << 30  # virtual memory only; nothing when it is not used
_COPY_BYTES = 1 << 20  # from here on the copy lets other threads run, at the price of some 5 µs


class _Window:
    """One writable mapping of a stretch of the arena."""

    __slots__ = ("_address", "view")

    def __init__(self, memory: Descriptor, offset: int) -> None:
        self._address = map_shared(memory, offset, _WINDOW_BYTES)
        self.view = memoryview((ctypes.c_ubyte * _WINDOW_BYTES).from_address(self._address)).cast("B")

    def populate(self, start: int, length: int) -> None:
        populate(self._address + start, length)

    def __del__(self) -> None:
        address = getattr(self, "_address", None)  # None: it was refused
        if address is not None:
            unmap(address, len(self.view))


class Windows:
    """Writes through memory. The arena's lock guards the bookkeeping, not the copying."""

    def __init__(self, memory: Descriptor) -> None:
        """Nothing is mapped yet."""
        self._memory = memory
        self._windows: dict[int, _Window] = {}  # by number: window n begins at n * _WINDOW_BYTES
        self._populated = Ranges()  # has page tables: no fault will be taken there

    def prepare(self, start: int, length: int) -> bool:
        """Before `write` into a range of pages that exist. False: the system refuses the mapping, write otherwise.

        Page tables are made here all at once: to fault on each page takes three times as long.
        """
        end = start + length
        try:
            for number in range(start // _WINDOW_BYTES, -(-end // _WINDOW_BYTES)):
                if number not in self._windows:
                    self._windows[number] = _Window(self._memory, number * _WINDOW_BYTES)
        except OSError:  # a limit of the address space, say
            return False
        known = self._populated.cut(start, length)
        for missing, missing_length in gaps(start, length, known):
            for number, first, part in _by_window(missing, missing_length):
                self._windows[number].populate(first, part)
        self._populated.add(start, length)
        return True

    def forget(self, start: int, length: int) -> None:
        """The pages of this range are gone, and their page tables with them."""
        self._populated.cut(start, length)

    def write(self, offset: int, data: memoryview) -> None:
        """Copy bytes into pages for which `prepare` was called."""
        done = 0
        for number, first, length in _by_window(offset, data.nbytes):
            _copy(data[done : done + length], self._windows[number].view[first : first + length])
            done += length


def _by_window(start: int, length: int) -> list[tuple[int, int, int]]:
    """A range as (number of the window, start in it, length)."""
    parts = []
    while length:
        number, first = divmod(start, _WINDOW_BYTES)
        part = min(length, _WINDOW_BYTES - first)
        parts.append((number, first, part))
        start, length = start + part, length - part
    return parts


def _copy(source: memoryview, target: memoryview) -> None:
    if source.nbytes < _COPY_BYTES:
        target[:] = source
        return
    import numpy as np  # whoever copies a megabyte has it, or soon will

    np.copyto(np.frombuffer(target, np.uint8), np.frombuffer(source, np.uint8))
