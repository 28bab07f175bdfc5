"""Figures of objects, of jray or of Ray: `python benchmarks/objects.py jray` prints them as JSON.

Each runtime has a process of its own, so that nothing of it is left behind; both run the same code. Ratios to memcpy
are to a copy into memory that is there already, in the same process and the same seconds.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from peers import WORKERS, runtime, seconds

LARGE = 100_000_000
MEDIUM = 10_000_000
REFS = 10_000
ROUNDS = 15
WARM_UP = 5
SETTLE_S = 3  # for what is imported, started or given back after the first tasks
SMALL = 2_000
NESTED = 1_000
WAITED = 1_000


def median_s(action: Callable[[], object]) -> float:
    """The median of many calls, when it has become steady."""
    for _ in range(WARM_UP):
        action()
    return statistics.median(seconds(action) for _ in range(ROUNDS))


def put(api: Any) -> dict[str, float]:
    """Of 100 MB, in GB/s: the first time, and when the store has had room for it before."""
    large, target = np.ones(LARGE, np.uint8), np.ones(LARGE, np.uint8)
    api.put(b"small")
    first_s = seconds(lambda: api.put(large))
    steady_s = median_s(lambda: api.put(large))
    copy_s = median_s(lambda: np.copyto(target, large))
    return {"first": LARGE / first_s / 1e9, "steady": LARGE / steady_s / 1e9, "memcpy": LARGE / copy_s / 1e9}


def small(api: Any) -> dict[str, float]:
    """Put and get of a number, in µs."""

    def put_all() -> list[Any]:
        return [api.put(number) for number in range(SMALL)]

    refs = put_all()
    put_s, get_s = median_s(put_all), median_s(lambda: [api.get(ref) for ref in refs])
    return {"put": put_s / SMALL * 1e6, "get": get_s / SMALL * 1e6}


def nested(api: Any) -> dict[str, float]:
    """Tasks a second, submitted together from inside a task, until it has their results."""
    nothing = api.remote(_nothing)

    @api.remote
    def parent() -> float:
        return seconds(lambda: api.get([nothing.remote() for _ in range(NESTED)]))

    api.get(parent.remote())
    return {"tasks": NESTED / statistics.median(api.get(parent.remote()) for _ in range(ROUNDS))}


def wait(api: Any) -> dict[str, float]:
    """For 1 000 refs one at a time, in s; the tasks are submitted just before."""
    nothing = api.remote(_nothing)

    def one_by_one() -> float:
        refs = [nothing.remote() for _ in range(WAITED)]
        began = time.perf_counter()
        while refs:
            _, refs = api.wait(refs)
        return time.perf_counter() - began

    one_by_one()
    return {"all": statistics.median(one_by_one() for _ in range(ROUNDS))}


def _nothing() -> None:
    """The task: what is left is the runtime's own cost."""


def get(api: Any) -> dict[str, float]:
    """Of 100 MB, in µs."""
    ref = api.put(np.ones(LARGE, np.uint8))
    return {"large": median_s(lambda: api.get(ref)) * 1e6}


def task(api: Any) -> dict[str, float]:
    """One that returns 10 MB which it has already, submit to get, in ms."""

    @api.remote
    def medium() -> Any:
        # The worker's own memory: what fresh memory costs is no part of it.
        if not hasattr(sys, "benchmark_array"):
            sys.benchmark_array = np.ones(MEDIUM, np.uint8)  # type: ignore[attr-defined]
        return sys.benchmark_array  # type: ignore[attr-defined]

    return {"medium": median_s(lambda: api.get(medium.remote())) * 1e3}


def argument(api: Any) -> dict[str, float]:
    """A task with a ref to 100 MB, which it maps, submit to get, in ms."""
    ref = api.put(np.ones(LARGE, np.uint8))

    @api.remote
    def length(values: Any) -> int:
        return len(values)

    return {"large": median_s(lambda: api.get(length.remote(ref))) * 1e3}


def refs(api: Any) -> dict[str, float]:
    """Get of an object with 10 000 refs inside, in ms."""
    outer = api.put([api.put(number) for number in range(REFS)])
    return {"many": median_s(lambda: api.get(outer)) * 1e3}


def idle(api: Any) -> dict[str, float]:
    """The memory of all processes but this one when two workers have run a task, in MB; shared pages count once."""

    @api.remote
    def where() -> int:
        time.sleep(0.2)  # long enough for both workers to get one
        return os.getpid()

    assert len(set(api.get([where.remote() for _ in range(WORKERS)]))) == WORKERS
    time.sleep(SETTLE_S)
    return {"MB": sum(map(proportional_kb, psutil.Process().children(recursive=True))) / 1e3}


def proportional_kb(process: psutil.Process) -> int:
    """Its Pss: a page that n processes share counts 1/n for each."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{process.pid}/smaps_rollup").read_text("ascii"), re.MULTILINE)
    assert found
    return int(found[1])


MEASURES = {
    measure.__name__: measure for measure in (idle, small, put, get, task, argument, refs, nested, wait)
}  # memory first: all is fresh


def main(name: str, wanted: list[str]) -> None:
    """Print {"put": {...}, ...} of one runtime."""
    figures = {}
    with runtime(name) as api:
        for measure in [measure for measure in MEASURES if measure in wanted]:
            figures[measure] = MEASURES[measure](api)
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
