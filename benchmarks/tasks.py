"""Three figures of tasks, beside concurrent.futures.ProcessPoolExecutor in the same run.

- first result: from the start of Python to the result of a first task, in a fresh process;
- one at a time: from submitting a task that does nothing to having its result;
- in flight: such tasks a second, 5 000 submitted together.

The two runtimes take turns, so a slow minute of the machine strikes both.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from table import Row

import jray

WORKERS = 2
ROUNDS = 5
ONE_AT_A_TIME = 400
IN_FLIGHT = 5_000

FIRST_WITH_JRAY = "import jray; f = jray.remote(abs); assert jray.get(f.remote(-1)) == 1"
FIRST_WITH_POOL = (
    "from concurrent.futures import ProcessPoolExecutor\n"
    "with ProcessPoolExecutor(2) as pool: assert pool.submit(abs, -1).result() == 1"
)


def nothing() -> None:
    """The task: what is left is the runtime's own cost."""


def first_result_s(program: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - began


def one_at_a_time_us(run_one: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(ONE_AT_A_TIME):
        run_one()
    return (time.perf_counter() - began) / ONE_AT_A_TIME * 1e6


def in_flight_per_s(run_many: Callable[[int], object]) -> float:
    began = time.perf_counter()
    run_many(IN_FLIGHT)
    return IN_FLIGHT / (time.perf_counter() - began)


def measure() -> list[Row]:
    """The medians of all rounds."""
    figures: dict[str, tuple[list[float], list[float]]] = {
        "first result, s": ([], []),
        "one at a time, µs": ([], []),
        "in flight, tasks/s": ([], []),
    }
    remote_nothing = jray.remote(nothing)
    with jray.init(num_cpus=WORKERS), ProcessPoolExecutor(WORKERS) as pool:

        def many_with_jray(number: int) -> None:
            jray.get([remote_nothing.remote() for _ in range(number)])

        def many_with_pool(number: int) -> None:
            for future in [pool.submit(nothing) for _ in range(number)]:
                future.result()

        many_with_jray(500)  # workers are up, the function is known to be short
        many_with_pool(500)
        for _ in range(ROUNDS):
            _note(figures, "first result, s", first_result_s(FIRST_WITH_JRAY), first_result_s(FIRST_WITH_POOL))
            _note(
                figures,
                "one at a time, µs",
                one_at_a_time_us(lambda: jray.get(remote_nothing.remote())),
                one_at_a_time_us(lambda: pool.submit(nothing).result()),
            )
            _note(figures, "in flight, tasks/s", in_flight_per_s(many_with_jray), in_flight_per_s(many_with_pool))
    return [
        Row(name, statistics.median(ours), {"pool": statistics.median(theirs)})
        for name, (ours, theirs) in figures.items()
    ]


def _note(figures: dict[str, tuple[list[float], list[float]]], name: str, jray_figure: float, pool: float) -> None:
    figures[name][0].append(jray_figure)
    figures[name][1].append(pool)
