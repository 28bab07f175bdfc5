"""Rows of figures, and how they are printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of jray beside those of others; the unit is the end of its name."""

    name: str
    jray: float
    others: Mapping[str, float] = field(default_factory=dict)
    goal: str = ""


def show(rows: Iterable[Row]) -> None:
    """The table; a ratio above 1 means that jray is that many times better."""
    print(f"{'':<34} {'jray':>10}   {'beside':<50} goal")
    for row in rows:
        beside = ", ".join(f"{name} {_number(other)} ({_ratio(row, other):.2f})" for name, other in row.others.items())
        print(f"{row.name:<34} {_number(row.jray):>10}   {beside:<50} {row.goal}".rstrip())


def _ratio(row: Row, other: float) -> float:
    return row.jray / other if row.name.endswith("/s") else other / row.jray


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
