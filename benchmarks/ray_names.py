"""The task and object workloads of `ray microbenchmark`, by Ray's names.

`python benchmarks/ray_names.py jray` (or ray) prints JSON: name -> what Ray counts, a second. Ray's "multi client" is
actors; jray has none yet, so both use tasks.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from peers import runtime

WARM_UP_S = 0.3
ROUNDS = 3
ROUND_S = 1.0
MANY = 2_500  # tasks of each of four clients


def workloads(api: Any) -> Iterator[tuple[str, Callable[[], object], float]]:  # noqa: C901 - a list
    """(Ray's name, one repetition, how much of the unit it is)."""

    @api.remote
    def small_value() -> bytes:
        return b"ok"

    @api.remote
    def put_small_values() -> None:
        for _ in range(100):
            api.put(0)

    @api.remote
    def put_large_values() -> None:
        for _ in range(10):
            api.put(np.zeros(10 << 20, np.int64))

    @api.remote
    def refs_inside() -> list[Any]:
        return [api.put(1) for _ in range(10_000)]

    @api.remote
    def client(number: int) -> None:
        api.get([small_value.remote() for _ in range(number)])

    def batch(number: int) -> None:
        api.get([small_value.remote() for _ in range(number)])

    def wait_for_1k() -> None:
        not_ready = [small_value.remote() for _ in range(1_000)]
        while not_ready:
            _, not_ready = api.wait(not_ready)

    value, large = api.put(0), np.zeros(100 << 20, np.int64)
    yield "single client get calls (Plasma Store)", lambda: api.get(value), 1
    yield "single client put calls (Plasma Store)", lambda: api.put(0), 1
    yield (
        "multi client put calls (Plasma Store)",
        lambda: api.get([put_small_values.remote() for _ in range(10)]),
        1_000,
    )
    yield "single client put gigabytes", lambda: api.put(large), 0.8
    yield "single client tasks and get batch", lambda: batch(1_000), 1
    yield "multi client put gigabytes", lambda: api.get([put_large_values.remote() for _ in range(10)]), 8
    inside = refs_inside.remote()
    yield "single client get object containing 10k refs", lambda: api.get(inside), 1
    yield "single client wait 1k refs", wait_for_1k, 1
    yield "single client tasks sync", lambda: batch(1), 1
    yield "single client tasks async", lambda: batch(1_000), 1_000
    yield "multi client tasks async", lambda: api.get([client.remote(MANY) for _ in range(4)]), 4 * MANY


def per_second(action: Callable[[], object], multiplier: float) -> float:
    """The best of some rounds: the machine's other work only ever slows it down."""
    _repeat(action, WARM_UP_S)
    return max(_repeat(action, ROUND_S) for _ in range(ROUNDS)) * multiplier


def _repeat(action: Callable[[], object], for_s: float) -> float:
    began, repetitions = time.perf_counter(), 0
    while repetitions == 0 or time.perf_counter() - began < for_s:
        action()
        repetitions += 1
    return repetitions / (time.perf_counter() - began)


def main(name: str) -> None:
    """Measure all of one runtime."""
    with runtime(name) as api:
        figures = {name: per_second(action, multiplier) for name, action, multiplier in workloads(api)}
    print(json.dumps({"ray_names": figures}))


if __name__ == "__main__":
    main(sys.argv[1])
