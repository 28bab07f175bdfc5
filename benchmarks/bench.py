"""jray's figures beside others' in one run: `make bench`.

Ratios are what to trust: the machine's own speed moves by a factor of two from minute to minute. `--only put` selects
by a part of a figure's name, `--no-ray` leaves Ray out (it takes 10 s to start, and 600 MB).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import tasks
from objects import MEASURES
from table import Row, show

LONGEST_S = 600

Figures = dict[str, dict[str, float]]


class Figure(NamedTuple):
    """Where a row's number comes from, and what we want of it."""

    name: str
    measure: str
    key: str
    goal: str
    beside_memcpy: bool = False


OBJECTS = (
    Figure("put of 100 MB, steady, GB/s", "put", "steady", ">= 0.8 of memcpy", beside_memcpy=True),
    Figure("put of 100 MB, first time, GB/s", "put", "first", ">= 2.5", beside_memcpy=True),
    Figure("get of 100 MB, µs", "get", "large", "<= 20"),
    Figure("task returning 10 MB, ms", "task", "medium", "<= 1.5"),
    Figure("get of 10 000 refs in one, ms", "refs", "many", "<= 6"),
    Figure("zygote and 2 idle workers, MB", "idle", "MB", "<= 60"),
)
DEFINITIONS = (
    Figure("is a function that reaches nothing as it was, µs", "nothing", "check", "<= 1"),
    Figure("is one that reaches much as it was, µs", "much", "check", "<= 8"),
)
TASKS = ("first result, s", "one at a time, µs", "in flight, tasks/s")


def figures_of(program: str, *arguments: str) -> Figures:
    """What a program beside this one prints; it has a process of its own."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}
    ended = subprocess.run(
        [sys.executable, str(Path(__file__).with_name(program)), *arguments],
        stdout=subprocess.PIPE,
        check=True,
        timeout=LONGEST_S,
        env=environment,
    )
    figures: Figures = json.loads(ended.stdout.splitlines()[-1])
    return figures


def measure_objects(selected: list[Figure], *, with_ray: bool) -> list[Row]:
    """Object figures of jray beside Ray's, and beside a plain copy."""
    wanted = {figure.measure for figure in selected}
    measures = [name for name in MEASURES if name in wanted]
    jray = figures_of("objects.py", "jray", *measures)
    ray = figures_of("objects.py", "ray", *measures) if with_ray else {}
    rows = []
    for figure in selected:
        others = {"ray": ray[figure.measure][figure.key]} if with_ray else {}
        if figure.beside_memcpy:
            others["memcpy"] = jray[figure.measure]["memcpy"]
        rows.append(Row(figure.name, jray[figure.measure][figure.key], others, figure.goal))
    return rows


def measure_definitions(selected: list[Figure]) -> list[Row]:
    """What the look costs at each call, beside packing the function anew."""
    figures = figures_of("definitions.py")
    return [
        Row(
            figure.name,
            figures[figure.measure][figure.key],
            {"cloudpickle": figures[figure.measure]["anew"]},
            figure.goal,
        )
        for figure in selected
    ]


def main() -> None:
    """Measure what was asked for, print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="WORD", help="only the figures whose name has this word")
    parser.add_argument("--no-ray", action="store_true", help="leave Ray out")
    asked = parser.parse_args()
    rows = []
    if any(asked.only in name for name in TASKS):
        rows += [row for row in tasks.measure() if asked.only in row.name]
    definitions = [figure for figure in DEFINITIONS if asked.only in figure.name]
    if definitions:
        rows += measure_definitions(definitions)
    selected = [figure for figure in OBJECTS if asked.only in figure.name]
    if selected:
        rows += measure_objects(selected, with_ray=not asked.no_ray)
    if not rows:
        parser.error(f"no figure has {asked.only!r} in its name")
    show(rows)


if __name__ == "__main__":
    main()
