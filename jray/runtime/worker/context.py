"""What runs in this worker now."""

from __future__ import annotations

from dataclasses import dataclass

from jray.runtime import wire
from jray.runtime.ids import NO_TASK, Shape, TaskId


@dataclass(slots=True)
class Context:
    """The running attempt. One object for the life of the worker; the executor changes it, everybody reads it."""

    gpus: tuple[int, ...] | tuple[str, ...]  # of the worker, all its life
    task: TaskId = NO_TASK
    attempt: int = 0
    name: str = ""
    depth: int = 0
    origin: int = 0  # the cell that all this started in; the kernel knows what the number means
    shape: Shape = ()
    read_only: bool = False  # the arrays that it receives

    def enter(self, run: wire.Run) -> None:
        """This attempt runs now."""
        self.task, self.attempt, self.name = run.task, run.attempt, run.name
        self.depth, self.origin, self.shape = run.depth, run.origin, run.shape
        self.read_only = run.read_only
