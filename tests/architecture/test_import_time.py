"""`import jray` is cheap: who only looks at the notebook pays for nothing else."""

from __future__ import annotations

import subprocess
import sys

MAX_IMPORT_S = 0.060
RUNS = 7  # the best counts: noise only ever adds
HEAVY = {"IPython", "anywidget", "ipywidgets", "numpy", "pyarrow", "cloudpickle", "asyncio", "multiprocessing"}

MEASURE = """
from time import perf_counter
before = perf_counter()
import jray
print(perf_counter() - before)
"""
LIST_NEW_MODULES = """
import sys
before = set(sys.modules)
import jray
print(*sorted(set(sys.modules) - before))
"""


def test_import_takes_at_most_60_ms():
    best_s = min(float(run_python("-c", MEASURE).stdout) for _ in range(RUNS))

    assert best_s <= MAX_IMPORT_S, f"{best_s * 1e3:.0f} ms; the slowest imports:\n{slowest_imports()}"


def test_import_loads_nothing_heavy():
    loaded = {name.partition(".")[0] for name in run_python("-c", LIST_NEW_MODULES).stdout.split()}

    assert loaded & HEAVY == set()


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True, timeout=60)


def slowest_imports() -> str:
    """The ten greatest of `python -X importtime`, by their own time."""
    lines = run_python("-X", "importtime", "-c", "import jray").stderr.splitlines()[1:]
    times = [line.removeprefix("import time:").split("|") for line in lines if line.count("|") == 2]
    times.sort(key=lambda columns: -int(columns[0]))
    return "\n".join(f"{columns[0].strip():>8} µs {columns[2].strip()}" for columns in times[:10])
