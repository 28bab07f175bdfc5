"""The guard that keeps jray's books whole when the user presses stop.

Python runs signal handlers in the main thread between any two bytecodes, also inside `submit`, the scheduler, or the
finalizer of a ref; unguarded, that broke a sketch of the engine in three runs of three. Functions that change the books
are marked `@shielded`. When SIGINT strikes while one of them is on the stack, it is postponed: the engine's IO thread
raises it again a moment later. Marking costs nothing at call time.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])

# The C functions: signal.getsignal() spends most of its time on enums, and this is asked at every submit.
_signal: Any = sys.modules["_signal"]

_shielded_codes: set[CodeType] = set()
_main_thread = threading.main_thread().ident


def shielded(function: _F) -> _F:
    """Mark a short function of ours that an interrupt must not cut in two."""
    _shielded_codes.add(function.__code__)
    return function


class InterruptGuard:
    """Postpones SIGINT while the main thread is inside a shielded function."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake` makes another thread call `deliver` soon; it must be safe inside a signal handler."""
        self._wake = wake
        self._previous: Any = None
        self._handler = self._on_signal  # one bound method for ever, so that `is` works
        self.is_postponed = False

    def ensure_installed(self) -> None:
        """Take over SIGINT, if this is the main thread. Cheap; call it before touching the books.

        IPython's kernel installs its own handler at the start of every cell, so once is not enough.
        """
        if _thread.get_ident() != _main_thread:
            return
        current = _signal.getsignal(signal.SIGINT)
        if current is self._handler or not callable(current):
            return  # ours already; or ignored, or deadly: nothing to postpone
        self._previous = current
        _signal.signal(signal.SIGINT, self._handler)

    def uninstall(self) -> None:
        """Give SIGINT back to whom it was taken from."""
        if _thread.get_ident() == _main_thread and _signal.getsignal(signal.SIGINT) is self._handler:
            _signal.signal(signal.SIGINT, self._previous)

    def deliver(self) -> None:
        """Raise a postponed SIGINT again in the main thread. Called by another thread."""
        if not self.is_postponed:
            return
        self.is_postponed = False
        if callable(_signal.getsignal(signal.SIGINT)):
            # A real signal: _thread.interrupt_main only sets a flag, and does not wake a thread that waits for a lock.
            _signal.pthread_kill(_main_thread, signal.SIGINT)

    def _on_signal(self, signum: int, frame: FrameType | None) -> Any:
        looked_at = frame
        while looked_at is not None:
            if looked_at.f_code in _shielded_codes:
                self.is_postponed = True
                self._wake()
                return None
            looked_at = looked_at.f_back
        return self._previous(signum, frame)
