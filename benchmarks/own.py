"""What only jray is asked: `python benchmarks/own.py [MEASURE...]` prints JSON.

- ahead: a million tasks submitted while two long ones run: bytes for each, and how much slower the last are submitted;
- busy: tasks of 1 ms on one worker, so that each has a core of this machine, while the main thread computes in pure
  Python, against the same while it waits;
- observed: no-op tasks with a live view open and a page that looks, against the same without;
- mixed: 1 000 tasks of 0.1 to 10 ms, and one of 3 s among the first: how much later than possible the others are there.
"""

from __future__ import annotations

import gc
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
from peers import WORKERS, runtime

AHEAD = 1_000_000
PART = AHEAD // 20
BUSY_TASKS = 2_000
OBSERVED_TASKS = 10_000
ROUNDS = 5
MIXED_TASKS = 1_000
LONG_S = 3.0


def ahead(api: Any) -> dict[str, float]:
    """Memory for each in bytes, and the rate of the last twentieth over that of the first."""

    @api.remote
    def until(path: str) -> None:
        while os.path.exists(path):  # noqa: PTH110
            time.sleep(0.01)

    nothing = api.remote(_nothing)
    api.get(nothing.remote())
    blocker = f"/tmp/bench-{os.getpid()}"  # noqa: S108
    with open(blocker, "w", encoding="ascii"):  # noqa: PTH123
        pass
    try:
        held = [until.remote(blocker) for _ in range(WORKERS)]
        gc.collect()
        before = psutil.Process().memory_info().rss
        refs, rates = [], []
        for _ in range(AHEAD // PART):
            began = time.perf_counter()
            refs += [nothing.remote() for _ in range(PART)]
            rates.append(PART / (time.perf_counter() - began))
        used = psutil.Process().memory_info().rss - before
    finally:
        os.unlink(blocker)  # noqa: PTH108
    began = time.perf_counter()
    api.get([*held, *refs])
    drained_s = time.perf_counter() - began
    last, first = statistics.mean(rates[-4:]), statistics.mean(rates[:4])
    return {"bytes": used / AHEAD, "last over first": last / first, "rate": first, "drained": AHEAD / drained_s}


def busy(api: Any) -> dict[str, float]:
    """Tasks a second while computing over the same while waiting; and how much longer the computing takes."""

    @api.remote
    def short() -> None:
        end = time.perf_counter() + 0.001
        while time.perf_counter() < end:
            pass

    api.get([short.remote() for _ in range(200)])
    ratios, slower = [], []
    for _ in range(ROUNDS):
        # What else keeps the other core busy slows this one down, too: that is no part of it.
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
            alone_s = _compute_s(300) / 300
            other.kill()
        began = time.perf_counter()
        api.get([short.remote() for _ in range(BUSY_TASKS)])
        idle_s = time.perf_counter() - began
        refs = [short.remote() for _ in range(BUSY_TASKS)]
        began = time.perf_counter()
        computed = 0
        while time.perf_counter() - began < idle_s:
            _compute()
            computed += 1
        slower.append((time.perf_counter() - began) / computed / alone_s)
        api.get(refs)
        ratios.append(idle_s / (time.perf_counter() - began))
    return {"throughput": statistics.median(ratios), "cell": statistics.median(slower)}


def _compute_s(times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        _compute()
    return time.perf_counter() - began


def _compute() -> int:
    total = 0
    for number in range(60_000):
        total += number & 3
    return total


def observed(api: Any) -> dict[str, float]:
    """The rate with a live view that a page looks at, over the rate without."""
    from jray.runtime.core.glances import glance

    nothing = api.remote(_nothing)
    engine = api.api.running()._engine  # noqa: SLF001 - what the feed of widgets calls

    def rate(look: Callable[[], object] | None) -> float:
        import threading

        is_over = threading.Event()

        def look_on() -> None:
            while look is not None and not is_over.wait(0.1):  # as often as the feed does
                look()

        thread = threading.Thread(target=look_on)
        thread.start()
        began = time.perf_counter()
        api.get([nothing.remote() for _ in range(OBSERVED_TASKS)])
        took_s = time.perf_counter() - began
        is_over.set()
        thread.join()
        return OBSERVED_TASKS / took_s

    def look() -> object:
        with engine.locked():
            return glance(engine.scheduler, newest=20)

    rate(None)
    pairs = [(rate(look), rate(None)) for _ in range(2 * ROUNDS)]
    return {"rate": statistics.median(seen / unseen for seen, unseen in pairs)}


def mixed(api: Any) -> dict[str, float]:
    """How much later than without the long one the last of the others is there, in s."""

    @api.remote
    def take(duration_s: float) -> None:
        end = time.perf_counter() + duration_s
        while time.perf_counter() < end:
            pass

    rng = random.Random(1)  # noqa: S311 - the same durations each time
    durations = [rng.uniform(0.0001, 0.01) for _ in range(MIXED_TASKS)]
    api.get([take.remote(0.0001) for _ in range(100)])
    began = time.perf_counter()
    refs = [take.remote(duration) for duration in durations[:100]]
    long = take.remote(LONG_S)  # it gets into a line of short ones: its duration is not known
    refs += [take.remote(duration) for duration in durations[100:]]
    api.get(refs)
    took_s = time.perf_counter() - began
    api.get(long)
    work_s = sum(durations)  # the long one has one CPU for its time, the others all the rest
    ideal_s = work_s if work_s < LONG_S else (work_s + LONG_S) / 2
    return {"later": took_s - ideal_s, "took": took_s, "work": work_s}


def _nothing() -> None:
    """The task: what is left is the runtime's own cost."""


MEASURES = {measure.__name__: measure for measure in (ahead, busy, observed, mixed)}


def main(wanted: list[str]) -> None:
    """Print {"ahead": {...}, ...}."""
    figures = {}
    for name in wanted or MEASURES:
        with runtime("jray", 1 if name == "busy" else WORKERS) as api:
            figures[name] = MEASURES[name](api)
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1:])
