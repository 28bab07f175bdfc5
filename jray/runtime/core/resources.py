"""Exact amounts of resources: what there is, what is taken.

Amounts are integers in units of 1/10 000, the precision that Ray promises, so that sums never drift.
"""

from __future__ import annotations

from collections.abc import Mapping

from jray.runtime.ids import UNIT, Shape

CPU = "CPU"


def shape_of(amounts: Mapping[str, float]) -> Shape:
    """Turn user amounts into a shape; amounts are rounded to the nearest 1/10 000."""
    units = ((name, round(amount * UNIT)) for name, amount in amounts.items())
    return tuple(sorted((name, amount) for name, amount in units if amount))


def cpus_in(shape: Shape) -> int:
    """The CPU part of a shape, in units: what a blocked task gives back."""
    for name, amount in shape:
        if name == CPU:
            return amount
    return 0


def in_words(shape: Shape) -> str:
    """`2 CPU, 0.5 fast_disk`, for messages; `nothing` when empty."""
    return ", ".join(f"{amount / UNIT:g} {name}" for name, amount in shape) or "nothing"


class Resources:
    """The totals of this machine and what of it is free now.

    Invariant: total == available + everything held by leases. Checked in invariants.py.
    """

    __slots__ = ("available", "total")

    def __init__(self, total: Shape) -> None:
        """Start with everything free."""
        self.total: dict[str, int] = dict(total)
        self.available: dict[str, int] = dict(total)

    def fits(self, shape: Shape) -> bool:
        """Whether all of it is free now."""
        available = self.available
        return all(amount <= available.get(name, 0) for name, amount in shape)

    def could_fit(self, shape: Shape) -> bool:
        """Whether it would fit on an idle machine."""
        return all(amount <= self.total.get(name, 0) for name, amount in shape)

    def lacking(self, shape: Shape) -> tuple[str, ...]:
        """The names of which too little is free now."""
        return tuple(name for name, amount in shape if amount > self.available.get(name, 0))

    def take(self, shape: Shape) -> None:
        """Book it as held. The caller has asked `fits`."""
        for name, amount in shape:
            self.available[name] -= amount

    def give_back(self, shape: Shape) -> None:
        """Book it as free again."""
        for name, amount in shape:
            self.available[name] += amount

    def take_cpus(self, units: int) -> None:
        """Book CPUs of a resumed task as held again."""
        self.available[CPU] -= units

    def give_back_cpus(self, units: int) -> None:
        """Book CPUs of a blocked task as free."""
        self.available[CPU] += units
