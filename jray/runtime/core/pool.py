"""What the user changes of the pool while it runs: how many CPUs there are, and which processes serve them.

These handlers write facts into the books of placement and of memory. What becomes possible by them is settled by the
scheduler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jray.runtime.core import messages as m
from jray.runtime.core.memory import Memory
from jray.runtime.core.model import WorkerRecord
from jray.runtime.core.placement import Placement
from jray.runtime.ids import UNIT

Give = Callable[[Iterable[m.Instruction]], None]


class PoolEvents:
    """The handlers of events about the pool."""

    def __init__(self, placement: Placement, memory: Memory, give: Give) -> None:
        """The first two are the scheduler's; `give` takes its orders."""
        self._placement, self._memory, self._give = placement, memory, give

    def handlers(self) -> Iterator[tuple[type, Callable[[Any], None]]]:
        """Which event is whose."""
        yield m.WorkerSpoiled, self._on_spoiled
        yield m.RestartAsked, self._on_restart
        yield m.Resized, self._on_resized

    def _on_spoiled(self, event: m.WorkerSpoiled) -> None:
        worker = self._placement.workers.get(event.worker)
        if worker is not None:
            self._give(self._retire(worker, now=False))

    def _on_restart(self, event: m.RestartAsked) -> None:
        for worker in self._placement.workers.values():
            self._give(self._retire(worker, now=event.now))

    def _retire(self, worker: WorkerRecord, *, now: bool) -> Iterator[m.Instruction]:
        """It gets no more tasks, and ends when the one that it runs is done. `now`: it does not wait for that one."""
        worker.is_retired = True
        lease = worker.lease
        if lease is None:
            self._placement.idle.retire(worker)
            return
        if now:
            yield m.KillWorker(worker.id)
        elif len(lease.line) > 1 and not lease.recalled:
            yield m.RecallTasks(worker.id)  # others can have them
        lease.recalled = True  # its line is not filled up again

    def _on_resized(self, event: m.Resized) -> None:
        self._placement.resize(event.cpus)
        self._memory.share_among(-(-event.cpus // UNIT) + 1)
