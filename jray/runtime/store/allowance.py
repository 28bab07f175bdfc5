"""How much this process may write into its arena.

The kernel keeps the store's limit by promises: a process has a standing allowance and asks for what exceeds it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from jray.exceptions import ObjectStoreFullError, OutOfDiskError
from jray.runtime.interrupts import acquire, shielded


class Room:
    """Permission to write so many bytes. What was not used of it goes back to the allowance."""

    __slots__ = ("_allowance", "_size")

    def __init__(self, allowance: Allowance, size: int) -> None:
        """The bytes were taken off the allowance, or granted for this."""
        self._allowance, self._size = allowance, size

    def spend(self, size: int) -> None:
        """So much was written."""
        self._size -= size

    @shielded
    def __del__(self) -> None:
        """Give the rest back."""
        if self._size:
            self._allowance.add(self._size)
            self._allowance.wake()


class Allowance:
    """The bytes that may be written without asking. Safe from any thread, and from finalizers."""

    def __init__(self, ask: Callable[[int], Room], wake: Callable[[], None], standing: int = 0) -> None:
        """`ask` waits until so much is granted, or raises; `wake` (safe everywhere) has `take_excess` called soon."""
        self._ask, self.wake = ask, wake
        self.standing = standing
        # Nobody waits for it: who has it may stand in a finalizer of the user's, and wait for who wants it.
        self._lock = threading.RLock()
        self._bytes = 0
        self.added: deque[int] = deque([standing])  # as long as it is empty, `take_excess` has nothing to give
        self.add = self.added.append  # so many more; safe everywhere

    @shielded
    def take_excess(self) -> int:
        """What was granted for a value that was not written, and exceeds the standing allowance: others may need it."""
        if not self.added or not self._lock.acquire(blocking=False):
            return 0
        try:
            self._collect()
            excess = max(0, self._bytes - self.standing)
            self._bytes -= excess
            return excess
        finally:
            self._lock.release()

    def _collect(self) -> None:
        while self.added:
            self._bytes += self.added.popleft()

    def claim(self, size: int) -> Room:
        """Permission to write; waits for it where the allowance is too small. Can be interrupted.

        Raises:
            ObjectStoreFullError: there is no room, and there will be none.
        """
        return self._take(size) or self._ask(size)

    @shielded
    def _take(self, size: int) -> Room | None:
        if not self._lock.acquire(blocking=False):
            return None  # another thread takes some just now: there is no harm in asking
        try:
            self._collect()
            if size > self._bytes:
                return None
            self._bytes -= size
            return Room(self, size)
        finally:
            self._lock.release()


class RoomRequest:
    """A thread that waits for room. Made anew for each wait: see waiters.Delivery."""

    __slots__ = ("_error", "_is_answered", "_room", "_size")

    def __init__(self, size: int) -> None:
        """Wait for so many bytes."""
        self._size = size
        self._room: Room | None = None
        self._error: Exception | None = None
        self._is_answered = threading.Lock()
        self._is_answered.acquire()

    def wait(self) -> Room:
        """Block, without the GIL, until it is answered. KeyboardInterrupt goes through.

        Raises:
            ObjectStoreFullError: or what else it was refused with.
        """
        acquire(self._is_answered)
        if self._room is None:
            assert self._error is not None  # noqa: S101 - one of the two was the answer
            raise self._error
        return self._room

    @shielded
    def grant(self, allowance: Allowance) -> None:
        """Let the thread go on. If it has gone away meanwhile, the room goes to the allowance."""
        self._room = Room(allowance, self._size)
        self._is_answered.release()

    @shielded
    def refuse(self, error: Exception) -> None:
        """Let the thread fail."""
        self._error = error
        self._is_answered.release()


def no_descriptors(what: str, error: OSError) -> ObjectStoreFullError:
    """The error of a process that can't open shared memory; `what` did not work."""
    text = (
        f"{what}. This process could not open shared memory: {error.strerror}. "
        "Close files and sockets that you no longer need, or raise the limit (`ulimit -n`) before the process starts."
    )
    return ObjectStoreFullError(text)


def refusal(text: str, *, is_for_disk: bool) -> ObjectStoreFullError:
    """The error that a thread gets for which there is no room."""
    return OutOfDiskError(text) if is_for_disk else ObjectStoreFullError(text)
