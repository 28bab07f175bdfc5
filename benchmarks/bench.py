"""jray's figures beside others' in one run: `make bench`; `make bench-check` compares their ratios with the kept ones.

Ratios are what to trust: the machine's own speed moves by a factor of two from minute to minute. Each runtime has
processes of its own, one after the other, in several rounds; what is shown is the median of the rounds.

`--only put` selects by a part of a figure's name, `--without ray,dask` leaves peers out (Ray takes 10 s to start, and
600 MB), `--rounds 1` is quick. `--keep` writes results.json and the table of RESULTS.md, `--check` compares.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import peers
import psutil
from table import Row, as_json, as_markdown, fallen, from_json, show

LONGEST_S = 900
HERE = Path(__file__).parent
KEPT, PAGE = HERE / "results.json", HERE / "RESULTS.md"
BEGIN, END = "<!-- begin: written by make bench -->", "<!-- end -->"
BOTH = ("jray", "ray")

Figures = dict[str, dict[str, float]]


class Figure(NamedTuple):
    """Where a row's number comes from, and what we want of it."""

    name: str
    program: str
    measure: str
    key: str
    goal: str
    peers: tuple[str, ...] = BOTH
    beside: str = ""  # another figure of the same process: "memcpy"
    more_is_better: bool = False


FIGURES = (
    Figure("first result of a fresh process, s", "tasks", "tasks", "first", "<= 0.25; 30 x ray", peers.ALL),
    Figure("one no-op task, submit to result, µs", "tasks", "tasks", "sync", "<= 100; 15 x ray, > pool", peers.ALL),
    Figure(
        "no-op tasks, 1 000 in flight, /s",
        "tasks",
        "tasks",
        "async_1000",
        ">= 80 000; 35 x ray, 6 x pool",
        peers.ALL,
        more_is_better=True,
    ),
    Figure(
        "no-op tasks, 10 000 in flight, /s",
        "tasks",
        "tasks",
        "async_10000",
        ">= 80 000; 35 x ray, 6 x pool",
        peers.ALL,
        more_is_better=True,
    ),
    Figure("task with a list of 100 000 ints, ms", "tasks", "tasks", "ints", "<= 3", peers.ALL),
    Figure("no-op tasks from inside a task, /s", "objects", "nested", "tasks", ">= 60 000", more_is_better=True),
    Figure("put of a number, µs", "objects", "small", "put", "<= 6"),
    Figure("get of a number, µs", "objects", "small", "get", "<= 2"),
    Figure("task with a ref to 100 MB, ms", "objects", "argument", "large", "<= 0.2"),
    Figure("wait for 1 000 refs one at a time, s", "objects", "wait", "all", "<= 0.015"),
    Figure("get of 10 000 refs in one object, ms", "objects", "refs", "many", "<= 6"),
    Figure(
        "put of 100 MB, steady, GB/s",
        "objects",
        "put",
        "steady",
        ">= 0.8 x memcpy",
        beside="memcpy",
        more_is_better=True,
    ),
    Figure(
        "put of 100 MB, first time, GB/s",
        "objects",
        "put",
        "first",
        ">= 2.5",
        beside="memcpy",
        more_is_better=True,
    ),
    Figure("get of 100 MB, µs", "objects", "get", "large", "<= 20"),
    Figure("task returning 10 MB, ms", "objects", "task", "medium", "<= 1.5"),
    Figure("zygote and 2 idle workers, MB", "objects", "idle", "MB", "<= 60"),
    Figure("a function that reaches nothing is as it was, µs", "definitions", "nothing", "check", "<= 1", (), "anew"),
    Figure("one that reaches much is as it was, µs", "definitions", "much", "check", "<= 8", (), "anew"),
    Figure("a million tasks ahead, bytes each", "own", "ahead", "bytes", "<= 1 000", ()),
    Figure(
        "a million ahead: the last over the first", "own", "ahead", "last over first", ">= 1", (), more_is_better=True
    ),
    Figure("tasks of 1 ms, kernel busy over idle", "own", "busy", "throughput", ">= 0.9", (), more_is_better=True),
    Figure("meanwhile the cell, busy over alone", "own", "busy", "cell", "<= 1.05", ()),
    Figure("observed over unobserved rate", "own", "observed", "rate", ">= 0.97", (), more_is_better=True),
    Figure("short tasks beside one of 3 s: late by, s", "own", "mixed", "later", "as good as 0", ()),
)


def figures_of(program: str, *arguments: str) -> Figures:
    """What a program beside this one prints; it has a process of its own."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / f"{program}.py"), *arguments],
        stdout=subprocess.PIPE,
        check=True,
        timeout=LONGEST_S,
        env=environment,
    )
    figures: Figures = json.loads(ended.stdout.splitlines()[-1])
    return figures


def measure(wanted: list[Figure], without: set[str], rounds: int) -> list[Row]:
    """All rounds of all programs; the medians as rows."""
    found: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
    for number in range(rounds):
        for program, peer, measures in _runs(wanted, without):
            print(f"round {number + 1}: {program} {peer} {' '.join(measures)}", file=sys.stderr)
            arguments = [argument for argument in (peer, *measures) if argument]
            for name, figures in figures_of(program, *arguments).items():
                for key, figure in figures.items():
                    found[program, peer, name, key].append(figure)
    medians = {key: statistics.median(figures) for key, figures in found.items()}
    return [_row(figure, medians) for figure in wanted]


def _runs(wanted: list[Figure], without: set[str]) -> list[tuple[str, str, list[str]]]:
    """(program, peer, measures): the peers of one program one after the other."""
    runs = []
    for program in dict.fromkeys(figure.program for figure in wanted):
        figures = [figure for figure in wanted if figure.program == program]
        names = [name for name in peers.ALL if any(name in figure.peers for figure in figures)]
        for peer in [name for name in names if name not in without] or [""]:
            measures = list(dict.fromkeys(f.measure for f in figures if peer in (*f.peers, "")))
            runs.append((program, peer, measures if program in {"objects", "own"} else []))
    return runs


def _row(figure: Figure, medians: dict[tuple[str, str, str, str], float]) -> Row:
    def of(peer: str, key: str = figure.key) -> float | None:
        return medians.get((figure.program, peer, figure.measure, key))

    us = "jray" if figure.peers else ""
    jray = of(us)
    assert jray is not None
    others = {peer: of(peer) for peer in figure.peers if peer != "jray"}
    if figure.beside:
        others[figure.beside] = of(us, figure.beside)
    known = {name: other for name, other in others.items() if other is not None}
    return Row(figure.name, jray, known, figure.goal, figure.more_is_better)


def measure_ray_names(without: set[str], rounds: int) -> list[Row]:
    """Ray's own microbenchmark, under its names."""
    found: dict[str, list[Figures]] = {
        peer: [figures_of("ray_names", peer) for _ in range(rounds)] for peer in BOTH if peer not in without
    }
    rows = []
    for name in found["jray"][0]["ray_names"]:
        medians = {
            peer: statistics.median(figures["ray_names"][name] for figures in runs) for peer, runs in found.items()
        }
        rows.append(Row(f"{name}, /s", medians.pop("jray"), medians, "", more_is_better=True))
    return rows


def keep(rows: list[Row]) -> None:
    """For `--check`, and for who reads."""
    machine = f"{psutil.cpu_count()} CPUs, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()}"
    about = {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "machine": machine,
        "python": platform.python_version(),
        "versions": peers.versions(),
    }
    KEPT.write_text(json.dumps({**about, "rows": as_json(rows)}, indent=1) + "\n", "utf-8")
    text = PAGE.read_text("utf-8")
    head, tail = text[: text.index(BEGIN)], text[text.index(END) :]
    versions = ", ".join(f"{name} {number}" for name, number in peers.versions().items())
    said = f"{about['date']}, {machine}, Python {about['python']}, {versions}."
    PAGE.write_text(f"{head}{BEGIN}\n{said}\n\n{as_markdown(rows)}\n{tail}", "utf-8")


def main() -> None:
    """Measure what was asked for, print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="only the figures whose name has this word")
    parser.add_argument("--without", default="", metavar="PEERS", help="leave these out: ray,loky,dask")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ray-names", action="store_true", help="the workloads of `ray microbenchmark`, too")
    parser.add_argument("--keep", action="store_true", help="write results.json and RESULTS.md")
    parser.add_argument("--check", action="store_true", help="name what fell by more than a fifth beside its peers")
    asked = parser.parse_args()
    without = {name for name in asked.without.split(",") if name}
    wanted = [figure for figure in FIGURES if asked.only in figure.name]
    if not wanted:
        parser.error(f"no figure has {asked.only!r} in its name")
    rows = measure(wanted, without, asked.rounds)
    if asked.ray_names:
        rows += measure_ray_names(without, 1)
    show(rows)
    if asked.keep:
        keep(rows)
    if asked.check:
        told = fallen(rows, from_json(json.loads(KEPT.read_text("utf-8"))["rows"]))
        print(
            "\n".join(["", "fell by more than a fifth:", *told] if told else ["", "nothing fell by more than a fifth"])
        )
        sys.exit(bool(told))


if __name__ == "__main__":
    main()
