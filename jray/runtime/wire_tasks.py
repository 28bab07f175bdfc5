"""The messages of wire.py that have to do with tasks: run them, what came of them, submit others."""

from __future__ import annotations

from typing import Any, TypeAlias

from jray.runtime.ids import ObjectId, Shape, TaskId, message

Wire: TypeAlias = tuple[Any, ...]  # a StoredValue, or surroundings, as plain tuples
Parcel: TypeAlias = bytes | int  # packed code or arguments: the bytes, or the object id of what was put into the store

# ---- to a worker ----------------------------------------------------------------------------------------------------

Attempt: TypeAlias = tuple[
    TaskId,
    int,  # which attempt of the task
    bytes | Wire | None,  # the arguments: small ones as their pickle, large ones where they lie; None: there are none
    int,  # the object id of large ones
    tuple[tuple[ObjectId, Wire], ...],  # values of its top-level refs
    int | None,  # the seed of the random numbers that it draws
]


@message
class Runs:
    """Run these attempts, one after the other. What they have in common is said once."""

    name: str
    code: bytes  # the key of what was defined before
    captured: tuple[tuple[ObjectId, Wire], ...]  # large values that the code reaches, by their number
    num_returns: int
    shape: Shape
    depth: int
    origin: int
    read_only: bool  # the arrays that they receive can't be written
    attempts: list[Attempt]


@message
class Recall:
    """Hand back what has not been started."""


# ---- from a worker --------------------------------------------------------------------------------------------------


@message
class Done:
    """An attempt has ended. `raised`: the one result in `results` is the error of all.

    What it wrote to descriptors 1 and 2 lies in their pipes by now.
    """

    task: TaskId
    attempt: int
    raised: bool
    took_s: float
    results: tuple[Wire, ...]
    contains: tuple[tuple[ObjectId, ...], ...]  # empty when no result contains a ref


Report: TypeAlias = tuple[
    TaskId,
    int,  # which attempt of the task
    float,  # seconds that it took
    bytes,  # the result's pickle
    str,  # what it is, in words
]


@message
class Returned:
    """Attempts have ended, and each returned one small value in which there is no ref. Else as Done."""

    reports: list[Report]


Submitted: TypeAlias = tuple[
    TaskId,
    tuple[ObjectId, ...],  # needs
    tuple[ObjectId, ...],  # pins
    Parcel,  # the arguments
    int | None,  # the seed
]


@message
class Submit:
    """A task calls `.remote()`, once or several times. What the new tasks have in common is said once."""

    name: str
    function: str
    shape: Shape
    num_returns: int
    max_retries: int
    depth: int
    parent: TaskId
    origin: int
    code: Wire  # a serde.code.Code
    read_only: bool
    surroundings: Wire | None  # None: those of the task
    tasks: list[Submitted]


@message
class HandBack:
    """Attempts that were not started."""

    runs: tuple[tuple[TaskId, int], ...]
