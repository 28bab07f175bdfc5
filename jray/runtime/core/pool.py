"""What the user changes of the pool while it runs: how many CPUs there are, and which processes serve them.

These handlers write facts into the books of placement and of memory. What becomes possible by them is settled by the
scheduler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jray.runtime.core import messages as m
from jray.runtime.core.memory import Memory
from jray.runtime.core.model import Lease, WorkerRecord
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
        yield m.ModuleImported, self._on_imported
        yield m.ModulesChanged, self._on_changed

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
            lease.recalled = True
        else:
            yield from _close_line(worker, lease)

    def _on_imported(self, event: m.ModuleImported) -> None:
        worker = self._placement.workers.get(event.worker)
        if worker is None:
            return
        worker.modules.add(event.module)
        if worker.lease is not None and event.module in worker.lease.doubtful:
            self._give(self._retire(worker, now=False))

    def _on_changed(self, event: m.ModulesChanged) -> None:
        """Who has imported one of them is replaced. Others can go on.

        What a busy worker imports is known only when it reports, before the end of its task: so (1) nothing that is
        submitted from now on may get into its line; (2) if it turns out to have imported one of them during this lease,
        before or after they changed, it is replaced then; (3) else it is as good as any other.
        """
        for worker in self._placement.workers.values():
            if not worker.modules.isdisjoint(event.modules):
                self._give(self._retire(worker, now=False))
            elif worker.lease is not None:
                worker.lease.doubtful.update(event.modules)
                self._give(_close_line(worker, worker.lease))

    def _on_resized(self, event: m.Resized) -> None:
        self._placement.resize(event.cpus)
        self._memory.share_among(-(-event.cpus // UNIT) + 1)


def _close_line(worker: WorkerRecord, lease: Lease) -> Iterator[m.Instruction]:
    """Nothing more is put behind the task that it runs, and what is there can be had by others."""
    if len(lease.line) > 1 and not lease.recalled:
        yield m.RecallTasks(worker.id)
    lease.recalled = True
