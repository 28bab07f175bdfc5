"""Sends packets, some with descriptors, over a SEQPACKET socket: never blocks, what it does not take is kept in order.

It loads nothing of jray: the zygote is started before anything else is there.
"""

from __future__ import annotations

import socket
from array import array
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jray.runtime.system import Descriptor


class PacketQueue:
    """The sending half of a socket, and what waits for room in it. The engine's lock guards it."""

    def __init__(self, end: socket.socket) -> None:
        """The socket stays its owner's, who closes it."""
        self._end = end
        self._backlog: deque[tuple[bytes, Sequence[Descriptor]]] = deque()

    @property
    def has_backlog(self) -> bool:
        """Whether packets wait for room."""
        return bool(self._backlog)

    def append(self, packet: bytes, descriptors: Sequence[Descriptor] = ()) -> None:
        """Queue a packet for the next flush. Its descriptors stay open until it is sent."""
        self._backlog.append((packet, descriptors))

    def flush(self) -> bool:
        """Send what the socket takes. True when nothing is left.

        Raises:
            OSError: nobody is at the other end.
        """
        while self._backlog:
            packet, descriptors = self._backlog[0]
            numbers = array("i", [descriptor.number for descriptor in descriptors])
            # Not socket.send_fds: it passes over its flags (Python 3.11 to 3.13), and would block.
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)] if numbers else []
            try:
                self._end.sendmsg([packet], rights, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            self._backlog.popleft()
        return True

    def drop(self) -> None:
        """Forget what was not sent."""
        self._backlog.clear()
