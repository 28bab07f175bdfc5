"""What runs in this worker now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from jray.runtime import wire
from jray.runtime.ids import NO_TASK, Shape, TaskId
from jray.runtime.seeds import OF_PARENT, derived_seed


@dataclass(slots=True)
class Context:
    """The running attempt. One object for the life of the worker; the executor changes it, everybody reads it."""

    gpus: tuple[int, ...] | tuple[str, ...]  # of the worker, all its life
    runs: wire.Runs | None = None  # that the attempt is one of
    task: TaskId = NO_TASK
    attempt: int = 0
    name: str = ""
    depth: int = 0
    origin: int = 0  # the cell that all this started in; the kernel knows what the number means
    shape: Shape = ()
    read_only: bool = False  # the arrays that it receives
    seed: int | None = None  # that its random numbers come of
    is_setting_up: bool = False  # no task runs, but what prepares the process for them
    _next_child: Callable[[], int] = count().__next__  # numbers its children, if it has a seed

    def enter(self, run: wire.Runs, task: TaskId, attempt: int, seed: int | None) -> None:
        """This attempt runs now."""
        self.task, self.attempt, self.seed = task, attempt, seed
        if run is not self.runs:
            self.runs = run
            self.name, self.depth, self.origin = run.name, run.depth, run.origin
            self.shape, self.read_only = run.shape, run.read_only
        if seed is not None:
            self._next_child = count().__next__

    def enter_set_up(self, order: wire.SetUp) -> None:
        """This function runs now; it is no attempt."""
        self.runs = None
        self.task, self.attempt, self.name = NO_TASK, 0, f"{order.name} of jray.run_on_all"
        self.depth, self.origin, self.shape = 0, order.origin, ()
        self.read_only, self.seed, self.is_setting_up = False, None, True

    def leave_set_up(self) -> None:
        """It has ended."""
        self.is_setting_up = False

    def seed_of_child(self, own: int | None) -> int:
        """What the next child of a seeded task draws from; `own` is what it was given itself."""
        assert self.seed is not None  # noqa: S101 - the caller has looked
        number = self._next_child()  # also of one that has a seed: it changes nothing for the others
        return derived_seed(OF_PARENT, self.seed, number) if own is None else own
