"""The kernel's ends of the two lines to a worker: sending never blocks, what the socket does not take is kept."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Sequence
from typing import Any

from jray.runtime.pool.packets import PacketQueue
from jray.runtime.system import Descriptor
from jray.runtime.wire import LARGEST_PACKET, Frames, Piece, encode, frame

_READ_BYTES = 64 * 1024  # more would make malloc ask the system for fresh pages at every read


class Channel:
    """The kernel's end of the stream to one worker. Never blocks; the engine's lock guards it."""

    def __init__(self, end: socket.socket) -> None:
        """`end` is a connected stream socket."""
        self.socket = end
        self._frames = Frames()
        self._backlog = bytearray()

    def send(self, messages: Iterable[Any]) -> bool:
        """Send what the socket takes, keep the rest. True when all went out.

        Raises:
            OSError: the worker is gone; its end of file will tell.
        """
        data = frame(messages)
        if self._backlog:
            self._backlog += data
            return False
        sent = self._send_some(data)
        if sent < len(data):
            self._backlog += data[sent:]
            return False
        return True

    def flush(self) -> bool:
        """Try again to send what was kept. True when nothing is left."""
        if self._backlog:
            del self._backlog[: self._send_some(self._backlog)]
        return not self._backlog

    def end(self) -> None:
        """Say nothing more: the worker reads end of file, and ends. What it has said is still heard."""
        with contextlib.suppress(OSError):  # it has ended already
            self.socket.shutdown(socket.SHUT_WR)

    def receive(self) -> list[Any] | None:
        """The messages that are there now; None when the worker has closed its end.

        Raises:
            ProtocolError: it sent something that is no message.
        """
        try:
            data = self.socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except ConnectionError:
            return None
        return self._frames.feed(data) if data else None

    def _send_some(self, data: bytes | bytearray) -> int:
        try:
            return self.socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0


class ControlLane:
    """The kernel's end of a worker's control lane: small packets, some with a descriptor. Never blocks."""

    def __init__(self, end: socket.socket) -> None:
        """`end` is a connected SEQPACKET socket."""
        self.socket = end
        self._packets = PacketQueue(end)

    @property
    def has_backlog(self) -> bool:
        """Whether packets wait for room."""
        return self._packets.has_backlog

    def send(self, sent: Any, descriptors: Sequence[Descriptor] = ()) -> bool:
        """Send a packet, or keep it. True when nothing is kept.

        Raises:
            OSError: the worker is gone; its end of file will tell.
        """
        packet = encode([sent])
        if len(packet) <= LARGEST_PACKET:
            self._packets.append(packet, descriptors)
        else:  # an error that carries much; other values of this size lie in shared memory
            parts = [packet[start : start + LARGEST_PACKET] for start in range(0, len(packet), LARGEST_PACKET)]
            for part in (*parts, b""):
                self._packets.append(encode([Piece(part)]))
        return self.flush()

    def flush(self) -> bool:
        """Try again to send what was kept. True when nothing is left."""
        return self._packets.flush()

    def close(self) -> None:
        """Close the socket, and what was not sent."""
        self.socket.close()
        self._packets.drop()
