"""Tasks that do nothing, on any runtime: `python benchmarks/tasks.py PEER` prints JSON.

- first: seconds from the start of Python to the result of a first task, in a fresh process;
- sync: microseconds from submitting one task to having its result;
- async_1000, async_10000: such tasks a second, so many submitted together;
- ints: milliseconds for a task that is given a list of 100 000 ints, and tells its length.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable

from peers import Peer, peer, seconds

ROUNDS = 7
LONG_S = 8.0
SYNC = 300
INTS = list(range(100_000))

_POOL = "with ProcessPoolExecutor(2) as pool: assert pool.submit(abs, -1).result() == 1"
FIRST = {
    "jray": "import jray; jray.init(num_cpus=2); assert jray.get(jray.remote(abs).remote(-1)) == 1",
    "ray": (
        "import ray; ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level='ERROR')\n"
        "f = ray.remote(lambda x: abs(x)); assert ray.get(f.remote(-1)) == 1"
    ),
    "pool": f"from concurrent.futures import ProcessPoolExecutor\n{_POOL}",
    "loky": "import loky; assert loky.get_reusable_executor(2).submit(abs, -1).result() == 1",
    "dask": (
        "from distributed import Client\n"
        "if __name__ == '__main__':\n"
        "    with Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:\n"
        "        assert client.submit(abs, -1).result() == 1"
    ),
}


def nothing() -> None:
    """The task: what is left is the runtime's own cost."""


def length(values: list[int]) -> int:
    """A task whose argument is the work."""
    return len(values)


def first(name: str) -> float:
    """From nothing to a first result; the median, since the first of all reads files."""
    return statistics.median(seconds(lambda: _run(FIRST[name])) for _ in range(3))


def _run(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True, stderr=subprocess.DEVNULL)


def measure(name: str) -> dict[str, float]:
    """All figures of one runtime."""
    figures = {"first": first(name)}
    with peer(name) as at:

        def together(number: int) -> Callable[[], object]:
            return lambda: at.values([at.start(nothing) for _ in range(number)])

        for _ in range(3):
            together(1_000)()  # workers are up, the function is known to be short
        figures["sync"] = _median(lambda: _one_by_one(at)) / SYNC * 1e6
        figures["async_1000"] = 1_000 / _median(together(1_000))
        figures["async_10000"] = 10_000 / _median(together(10_000))
        figures["ints"] = _median(lambda: at.value(at.start(length, INTS))) * 1e3
    return figures


def _one_by_one(at: Peer) -> None:
    for _ in range(SYNC):
        at.value(at.start(nothing))


def _median(action: Callable[[], object]) -> float:
    """Of several rounds; of fewer where one takes long."""
    took_s: list[float] = []
    while len(took_s) < ROUNDS and sum(took_s) < LONG_S:
        took_s.append(seconds(action))
    return statistics.median(took_s)


if __name__ == "__main__":
    print(json.dumps({"tasks": measure(sys.argv[1])}))
