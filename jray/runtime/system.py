"""What only Linux has, one function each, chosen by what is there. A leaf: any room may import it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import tempfile
from pathlib import Path
from typing import Protocol

_PR_SET_PDEATHSIG = 1


class Descriptor:
    """A file descriptor that is closed when its last user is gone.

    Whoever reads or writes holds it meanwhile: a number alone may be another file's by then.
    """

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        """It is ours from now on."""
        self.number = number

    def __del__(self) -> None:
        """Nobody uses it any more."""
        os.close(self.number)


def make_memory(name: str) -> tuple[int, int]:
    """Fresh shared memory that has no name in any file system once this returns.

    Returns:
        A descriptor to write with, and one through which nobody can write, not even by mapping it.
    """
    if hasattr(os, "memfd_create"):
        writable = os.memfd_create(name, os.MFD_CLOEXEC)
        return writable, _open_to_read(writable, f"/proc/self/fd/{writable}")
    writable, path = tempfile.mkstemp(prefix=name)  # readable by this user only
    try:
        return writable, _open_to_read(writable, path)
    finally:
        Path(path).unlink()


def _open_to_read(writable: int, path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        os.close(writable)
        raise


class WakeUp:
    """Makes a poll return. `call` is safe in signal handlers, finalizers and any thread."""

    def __init__(self) -> None:
        """An eventfd, or a pipe."""
        if hasattr(os, "eventfd"):
            self.descriptor = self._end = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self.descriptor, self._end = os.pipe()
            os.set_blocking(self.descriptor, False)
            os.set_blocking(self._end, False)

    def call(self) -> None:
        """Wake who polls."""
        with contextlib.suppress(OSError):  # full: it is awake already; closed: nobody polls any more
            os.write(self._end, b"\1\0\0\0\0\0\0\0")

    def clear(self) -> None:
        """The poll has returned."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, 4096)

    def close(self) -> None:
        """Close the descriptors."""
        descriptors = {self.descriptor, self._end}
        self.descriptor = self._end = -1  # first: a late call must not write into a file that got the same number
        for descriptor in descriptors:
            os.close(descriptor)


class Poller(Protocol):
    """What we need of epoll."""

    def register(self, fd: int, eventmask: int, /) -> None:
        """Listen to a descriptor."""

    def modify(self, fd: int, eventmask: int, /) -> None:
        """Listen for something else."""

    def unregister(self, fd: int, /) -> None:
        """Stop listening to it."""

    def poll(self, timeout: float, /) -> list[tuple[int, int]]:
        """Wait for `timeout` seconds (negative: for ever); (descriptor, what) pairs."""

    def close(self) -> None:
        """Stop listening."""


def make_poller() -> Poller:
    """epoll; without it poll, whose cost grows with the number of workers."""
    return select.epoll() if hasattr(select, "epoll") else _Poll()


class _Poll:
    """poll with epoll's face. The masks have the same values."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register, self.modify, self.unregister = self._poll.register, self._poll.modify, self._poll.unregister

    def poll(self, timeout: float, /) -> list[tuple[int, int]]:
        return self._poll.poll(None if timeout < 0 else timeout * 1000)

    def close(self) -> None:
        pass


def die_with_parent() -> None:
    """Get SIGKILL when the parent ends, however it ends. Where the system can't, end of file must do."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None:
        return
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # it ended in between
        os._exit(0)


def usable_cpus() -> int:
    """CPUs that this process may use: its affinity, and what its cgroup allows (rounded up)."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # no cgroup v2 here
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        if quota != "max":
            allowed = min(allowed, max(1, -(-int(quota) // int(period))))
    return allowed
