"""What a task prints and shows, sent home in order with everything else the worker says.

Text that Python writes to sys.stdout and sys.stderr is sent as messages on the stream, so that it arrives before the
result of the task that wrote it. What C code and child processes write to descriptors 1 and 2 goes through two pipes.
"""

from __future__ import annotations

import codecs
import ctypes
import io
import os
import sys
from typing import TYPE_CHECKING

from jray.runtime import wire
from jray.runtime.displays import Display, send_with
from jray.runtime.worker.context import Context
from jray.runtime.worker.link import Link

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_LINE_BYTES = 8192  # text without a newline is sent in pieces of about this size


class _Sender(io.RawIOBase):
    """A binary stream that sends what is written to it. Looks like descriptor 1 or 2 to who asks."""

    def __init__(self, link: Link, context: Context, stream: str, descriptor: int) -> None:
        super().__init__()
        self._link, self._context, self._stream, self._descriptor = link, context, stream, descriptor
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a buffer may end inside a character

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: ReadableBuffer, /) -> int:
        written = bytes(data)
        if self._link.is_inherited:
            return os.write(self._descriptor, written)
        send_text(self._link, self._context, self._stream, self._decoder.decode(written))
        return len(written)


def send_text(link: Link, context: Context, stream: str, text: str) -> None:
    """Send text as written by the running task to "stdout" or "stderr", or what `displays.send` says."""
    link.post(wire.Output(context.task, context.name, context.origin, stream, text))
    link.flush()


def redirect(link: Link, context: Context) -> None:
    """From now on sys.stdout and sys.stderr speak to the kernel."""
    for stream, descriptor in (("stdout", 1), ("stderr", 2)):
        raw = _Sender(link, context, stream, descriptor)
        text = io.TextIOWrapper(
            io.BufferedWriter(raw, _LINE_BYTES), encoding="utf-8", errors="backslashreplace", line_buffering=True
        )
        setattr(sys, stream, text)
        setattr(sys, f"__{stream}__", text)

    def show(kind: str, text: str) -> None:
        _flush_streams()  # a line that was begun stands before it
        if not link.is_inherited:  # a fork that a task made can print, and no more
            send_text(link, context, kind, text)
        elif kind == "display":
            print(Display.from_text(text).plain)  # noqa: T201 - it is what the user's code asked for

    send_with(show)


_flush_c = ctypes.CDLL(None).fflush


def flush_output() -> None:
    """Send what was written but not finished with a newline; also what C code keeps in its buffers."""
    _flush_streams()
    _flush_c(None)


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # the task closed or replaced it: it is the task's own
