"""Bounded waits, for what the operating system does without telling anybody.

Use `wait_until` only where there is no event to wait for: the process table, /proc, a page that the
browser draws. Everything that jray or a test itself makes happen has an event, a gate, a ref or a pipe;
wait for that instead, it is exact and faster.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.05


def wait_until(predicate: Callable[[], object], timeout_s: float, what: str) -> None:
    """Returns as soon as `predicate()` is true; fails with the sentence `what` when it takes too long.

    `predicate` is asked at least once, and a last time after the timeout, so a stalled machine does not
    fail a test whose condition came true during the stall.
    """
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()  # never set: its wait is the pause
    pause_s = _FIRST_PAUSE_S
    while not predicate():
        if time.monotonic() >= deadline:
            if predicate():
                return
            raise AssertionError(f"Waited {timeout_s:g} s in vain: {what}.")
        pause.wait(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
