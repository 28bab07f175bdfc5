"""Our ends of workers' descriptors 1 and 2."""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import os
import select

_PIPE_READ_BYTES = 64 * 1024
_PIPE_READS = 64  # at most so many in a row: a flood must not keep the engine from its work
_poll = ctypes.PyDLL(None).poll
_poll.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int]


class Pipe:
    """Our end of a worker's descriptor 1 or 2: what C code and child processes write."""

    __slots__ = ("_decoder", "descriptor", "stream")

    def __init__(self, stream: str, descriptor: int) -> None:
        """`stream` is "stdout" or "stderr"."""
        os.set_blocking(descriptor, False)
        self.stream, self.descriptor = stream, descriptor
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self) -> str:
        """What was written since the last look; empty when nothing is there."""
        parts = []
        with contextlib.suppress(BlockingIOError):
            for _ in range(_PIPE_READS):
                part = os.read(self.descriptor, _PIPE_READ_BYTES)
                if not part:
                    break
                parts.append(self._decoder.decode(part))
        return "".join(parts)

    def close(self) -> None:
        """Close our end."""
        os.close(self.descriptor)


class _PollEntry(ctypes.Structure):
    """`struct pollfd`."""

    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


class ReadyToRead:
    """Some descriptors: can any of them be read? Asked without giving the GIL away, which others keep for long."""

    __slots__ = ("_entries", "_where")

    def __init__(self, *descriptors: int) -> None:
        """Who owns them keeps them open meanwhile."""
        self._entries = (_PollEntry * len(descriptors))(*[_PollEntry(fd, select.POLLIN, 0) for fd in descriptors])
        self._where = ctypes.addressof(self._entries)

    def __bool__(self) -> bool:
        """Also when nobody can write any more."""
        return bool(_poll(self._where, len(self._entries), 0) > 0)
