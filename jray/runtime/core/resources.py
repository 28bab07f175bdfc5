"""Exact amounts of resources: what there is, what is taken.

Amounts are integers in units of 1/10 000, the precision that Ray promises, so that sums never drift.
"""

from __future__ import annotations

from collections.abc import Mapping

from jray.runtime.ids import UNIT, Shape

CPU = "CPU"
GPU = "GPU"


def shape_of(amounts: Mapping[str, float]) -> Shape:
    """Turn user amounts into a shape; amounts are rounded to the nearest 1/10 000."""
    units = ((name, round(amount * UNIT)) for name, amount in amounts.items())
    return tuple(sorted((name, amount) for name, amount in units if amount))


def cpus_in(shape: Shape) -> int:
    """The CPU part of a shape, in units: what a blocked task gives back."""
    return _part(shape, CPU)


def gpus_in(shape: Shape) -> int:
    """The GPU part of a shape, in units: less than one GPU, or whole ones."""
    return _part(shape, GPU)


def _part(shape: Shape, which: str) -> int:
    for name, amount in shape:
        if name == which:
            return amount
    return 0


def in_words(shape: Shape) -> str:
    """`2 CPU, 0.5 fast_disk`, for messages; `nothing` when empty."""
    return ", ".join(f"{amount / UNIT:g} {name}" for name, amount in shape) or "nothing"


class Resources:
    """The totals of this machine and what of it is free now.

    GPUs are counted one by one as well, since no task may have two halves of different ones.

    Invariant: total == available + everything held by leases; the GPUs of `available` are the sum of `free_gpus`.
    Nothing is held twice: `available` is below zero only by CPUs that were taken away while tasks held them, at most
    by `overdrawn`. Checked in invariants.py.
    """

    __slots__ = ("available", "free_gpus", "overdrawn", "total")

    def __init__(self, total: Shape) -> None:
        """Start with everything free."""
        self.total: dict[str, int] = dict(total)
        self.available: dict[str, int] = dict(total)
        self.overdrawn = 0
        self.free_gpus = [UNIT] * (self.total.get(GPU, 0) // UNIT)  # of each, by number

    def fits(self, shape: Shape) -> bool:
        """Whether all of it is free now."""
        available = self.available
        for name, amount in shape:  # a loop: asked for each batch of events
            if amount > available.get(name, 0):
                return False
        return not self.free_gpus or self._has_gpus(gpus_in(shape))

    def _has_gpus(self, amount: int) -> bool:
        if amount < UNIT:
            return not amount or max(self.free_gpus) >= amount
        return self.free_gpus.count(UNIT) * UNIT >= amount

    def could_fit(self, shape: Shape) -> bool:
        """Whether it would fit on an idle machine."""
        return all(amount <= self.total.get(name, 0) for name, amount in shape)

    def lacking(self, shape: Shape) -> tuple[str, ...]:
        """The names of which too little is free now."""
        return tuple(name for name, amount in shape if not self.fits(((name, amount),)))

    def take(self, shape: Shape) -> None:
        """Book it as held. The caller has asked `fits`, and says with `take_gpus` which GPUs."""
        for name, amount in shape:
            self.available[name] -= amount

    def give_back(self, shape: Shape) -> None:
        """Book it as free again."""
        for name, amount in shape:
            self.available[name] += amount

    def take_gpus(self, gpus: tuple[int, ...], share: int) -> None:
        """Book a share of each of these GPUs as held."""
        for gpu in gpus:
            self.free_gpus[gpu] -= share

    def give_back_gpus(self, gpus: tuple[int, ...], share: int) -> None:
        """Book it as free again."""
        for gpu in gpus:
            self.free_gpus[gpu] += share

    def resize(self, cpus: int) -> None:
        """There are so many CPUs now. Who holds some keeps them."""
        self.available[CPU] = self.available.get(CPU, 0) + cpus - self.total.get(CPU, 0)
        self.total[CPU] = cpus
        self.overdrawn = max(0, -self.available[CPU])

    def could_resume(self, units: int) -> bool:
        """Whether so many CPUs may be held again; if there are fewer by now: whether all of them are free."""
        return min(units, self.total.get(CPU, 0)) <= self.available.get(CPU, 0)

    def take_cpus(self, units: int) -> None:
        """Book CPUs of a resumed task as held again."""
        self.available[CPU] -= units
        if self.available[CPU] < 0:
            self.overdrawn = max(self.overdrawn, -self.available[CPU])

    def give_back_cpus(self, units: int) -> None:
        """Book CPUs of a blocked task as free."""
        self.available[CPU] += units
