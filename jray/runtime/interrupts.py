"""The guard that keeps jray's books whole when the user presses stop.

Python runs signal handlers in the main thread between any two bytecodes, also inside `submit`, the scheduler, or the
finalizer of a ref; unguarded, that broke a sketch of the engine in three runs of three. Functions that change the books
are marked `@shielded`. When SIGINT (or an alarm, whose handler may raise, too) strikes while one of them is on the
stack, it is postponed: the engine's IO thread raises it again a moment later. Marking costs nothing at call time.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])

# The C functions: signal.getsignal() spends most of its time on enums, and this is asked at every submit.
_signal: Any = sys.modules["_signal"]
_getsignal = _signal.getsignal

_shielded_codes: set[CodeType] = set()
_undisturbed_codes: set[CodeType] = set()
_GUARDED = (signal.SIGINT, signal.SIGALRM, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
LOOK_S = 0.25  # the longest time for which a signal is overlooked
_main_thread = threading.main_thread().ident


def shielded(function: _F) -> _F:
    """Mark a short function of ours that an interrupt must not cut in two."""
    _shielded_codes.add(function.__code__)
    return function


def undisturbed(function: _F) -> _F:
    """Mark a function that catches exceptions of the user's code: it would take one that an alarm raises for those.

    SIGINT still goes through, since KeyboardInterrupt is no Exception: packing a large value can be stopped.
    """
    _undisturbed_codes.add(function.__code__)
    return function


def acquire(lock: threading.Lock, timeout_s: float | None = None) -> bool:
    """Wait for a lock, without the GIL, until the time is up; a signal's handler may raise meanwhile.

    A signal that strikes between the last bytecode and the sleeping wakes nobody: Python notes it for the next
    bytecode, and `lock.acquire()` sleeps on (on a busy machine: one stop in a thousand). So we look now and then.
    """
    ends_at = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left = LOOK_S if ends_at is None else min(LOOK_S, ends_at - time.monotonic())
        if lock.acquire(timeout=max(0.0, left)):
            return True
        if left <= 0:
            return False


def refuse_finalizers(lock: Any) -> None:
    """Nothing of ours may begin while this thread is inside of it already.

    Garbage collection runs at any allocation, also in here, and with it the finalizers of the user's objects. To wait
    for the lock would be for ever.

    Raises:
        RuntimeError: this thread holds the lock (a threading.RLock).
    """
    if lock._is_owned():  # noqa: SLF001 - as threading.Condition does
        msg = (
            "jray was called by a finalizer that ran in the middle of jray's own work. It can neither wait nor look "
            "there. Call jray somewhere else than in __del__ or a weakref callback."
        )
        raise RuntimeError(msg)


class _Postponing:
    """A signal handler around another one: it calls it at once, or, inside a shielded function, later."""

    __slots__ = ("guard", "handler")

    def __init__(self, guard: InterruptGuard, handler: Callable[[int, FrameType | None], Any]) -> None:
        self.guard, self.handler = guard, handler

    def __call__(self, signum: int, frame: FrameType | None) -> Any:
        if self.guard.is_outdated(signum):
            return None
        looked_at = frame
        while looked_at is not None:
            code = looked_at.f_code
            if code in _shielded_codes or (code in _undisturbed_codes and signum != signal.SIGINT):
                self.guard.postpone(signum)
                return None
            looked_at = looked_at.f_back
        self.guard.settle(signum)
        return self.handler(signum, frame)


class InterruptGuard:
    """Postpones signals while the main thread is inside a shielded function."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake` makes another thread call `deliver` soon; it must be safe inside a signal handler."""
        self._wake = wake
        self._handlers: list[Any] = []  # of the guarded signals, when we looked last
        self._postponed: set[int] = set()
        self._raised_again: set[int] = set()  # on their way to the main thread

    @property
    def is_postponed(self) -> bool:
        """Whether a signal waits to be raised again."""
        return not self._postponed <= self._raised_again

    def ensure_installed(self) -> None:
        """Take over the signals that somebody handles, if this is the main thread. Cheap; call it before the books.

        IPython's kernel installs its own handler at the start of every cell, so once is not enough.
        """
        if _thread.get_ident() != _main_thread or [*map(_getsignal, _GUARDED)] == self._handlers:
            return
        for signum in _GUARDED:
            current = _getsignal(signum)
            # Ignored, deadly, or not Python's: nothing to postpone.
            if callable(current) and not (type(current) is _Postponing and current.guard is self):
                _signal.signal(signum, _Postponing(self, current))
        self._handlers = [*map(_getsignal, _GUARDED)]

    def uninstall(self) -> None:
        """Give the signals back to whom they were taken from."""
        if _thread.get_ident() != _main_thread:
            return
        for signum in _GUARDED:
            current = _signal.getsignal(signum)
            if type(current) is _Postponing and current.guard is self:
                _signal.signal(signum, current.handler)
        self._handlers = []

    def postpone(self, signum: int) -> None:
        """The main thread is in the books: once more, later."""
        self._postponed.add(signum)
        self._wake()

    def deliver(self) -> None:
        """Raise what was postponed again in the main thread."""
        for signum in self._postponed - self._raised_again:
            if callable(_signal.getsignal(signum)):
                self._raised_again.add(signum)
                # A real signal: _thread.interrupt_main sets a flag only, and wakes no thread that waits for a lock.
                _signal.pthread_kill(_main_thread, signum)
            else:
                self._postponed.discard(signum)

    def forget_interrupt(self) -> None:
        """What was to be interrupted is over: a postponed press of the stop button is not for what comes next."""
        self._postponed.discard(signal.SIGINT)

    # ---- asked by the handlers, in the main thread

    def is_outdated(self, signum: int) -> bool:
        """Whether this is a signal that was raised again and has been forgotten since."""
        if signum not in self._raised_again:
            return False
        self._raised_again.discard(signum)
        return signum not in self._postponed

    def settle(self, signum: int) -> None:
        """It is handled now."""
        self._postponed.discard(signum)
