"""The user's own modules in the simulated world: what is on the disk, and which state of it each worker has imported."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from jray.runtime.core import messages as m
from jray.runtime.ids import TaskId, WorkerId

if TYPE_CHECKING:
    from tests.support.simulation.worker import SimulatedWorker

NAMES = ("utils", "model")


class Modules:
    """The truth about them. It has chance of its own, so that a world without it stays the same."""

    def __init__(self, rng: Random, size: int) -> None:
        self.rng = rng
        self.reloads = rng.choice((1, 3, 10)) * size  # how often they are still edited and reloaded
        self.weight = rng.choice((0.1, 0.3, 1.0))
        self._imports = rng.choice((0.1, 0.5, 1.0))  # chance, at each step of a task
        self._on_disk = dict.fromkeys(NAMES, 0)
        self._in_workers: dict[WorkerId, dict[str, int]] = {}
        self._due: dict[TaskId, dict[str, int]] = {}  # what was loaded where a task was submitted

    @classmethod
    def drawn(cls, rng: Random, size: int) -> Modules | None:
        """In most of the worlds nobody edits anything."""
        return cls(rng, size) if rng.random() < 0.4 else None

    def reload(self) -> m.ModulesChanged:
        """The user edits one, or both, and reloads what was edited."""
        self.reloads -= 1
        changed = tuple(self.rng.sample(NAMES, self.rng.choice((1, 1, 2))))
        for name in changed:
            self._on_disk[name] += 1
        return m.ModulesChanged(0.0, changed)

    def note_submitted(self, task: TaskId) -> None:
        self._due[task] = dict(self._on_disk)

    def run_code(self, worker: SimulatedWorker) -> None:
        """A task does something; perhaps it imports a module for the first time there."""
        has = self._in_workers.setdefault(worker.id, {})
        new = [name for name in NAMES if name not in has]
        if new and self.rng.random() < self._imports:
            name = self.rng.choice(new)
            has[name] = self._on_disk[name]
            worker.say(m.ModuleImported(0.0, worker.id, name))

    def check_started(self, worker: WorkerId, task: TaskId, law: Callable[[bool, str], None]) -> None:
        for name, state in self._in_workers.get(worker, {}).items():
            due = self._due[task][name]
            law(state >= due, f"{task:x} runs old code in {worker}: {name} {state}, and {due} was reloaded before")
