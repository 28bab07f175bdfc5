"""Rows of figures, how they are printed, kept, and compared with those that were kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

FELL = 0.8  # a ratio that is below this much of the stored one is named


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of jray beside those of others; the unit is the end of its name."""

    name: str
    jray: float
    others: Mapping[str, float] = field(default_factory=dict)
    goal: str = ""
    more_is_better: bool = False

    def ratio(self, other: str) -> float:
        """How many times better jray is."""
        theirs = self.others[other]
        return self.jray / theirs if self.more_is_better else theirs / self.jray


def show(rows: Iterable[Row]) -> None:
    """The table; a ratio above 1 means that jray is that many times better."""
    print(f"{'':<50} {'jray':>10}   {'to reach':<34} beside (how many times better jray is)")
    for row in rows:
        print(f"{row.name:<50} {_number(row.jray):>10}   {row.goal:<34} {_beside(row)}".rstrip())


def as_markdown(rows: Iterable[Row]) -> str:
    """The same for a page."""
    lines = ["| workload | jray | to reach | beside (how many times better jray is) |", "|---|---|---|---|"]
    lines += [f"| {row.name} | {_number(row.jray)} | {row.goal} | {_beside(row)} |" for row in rows]
    return "\n".join(lines)


def as_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """To be kept."""
    return [asdict(row) for row in rows]


def from_json(kept: Sequence[Mapping[str, Any]]) -> list[Row]:
    """What was kept."""
    return [Row(**row) for row in kept]


def fallen(rows: Iterable[Row], kept: Iterable[Row]) -> list[str]:
    """What has become worse beside the same peer, in words: ratios, since the machine's own speed moves."""
    known = {row.name: row for row in kept}
    pairs = [(row, known[row.name], peer) for row in rows if row.name in known for peer in row.others]
    return [
        f"{row.name}: {row.ratio(peer):.2f} times {peer}, and it was {before.ratio(peer):.2f}"
        for row, before, peer in pairs
        if peer in before.others and row.ratio(peer) < FELL * before.ratio(peer)
    ]


def _beside(row: Row) -> str:
    return ", ".join(f"{name} {_number(other)} ({row.ratio(name):.2g})" for name, other in row.others.items())


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
