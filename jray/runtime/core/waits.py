"""Workers whose threads wait for objects: who is told when, and which CPUs are free meanwhile (rule 24)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jray.runtime.core import messages as m
from jray.runtime.core.lines import Move
from jray.runtime.core.model import Ask, ObjectRecord, ObjectState, TaskRecord, TaskState, WorkerRecord
from jray.runtime.core.placement import Placement
from jray.runtime.core.references import References
from jray.runtime.ids import ObjectId, TaskId

_PENDING, _FAILED = ObjectState.PENDING, ObjectState.FAILED


class Waits:
    """The handlers of events about waits, and what ends one."""

    def __init__(
        self,
        references: References,
        placement: Placement,
        tasks: Mapping[TaskId, TaskRecord],
        *,
        move: Move,
        order: Callable[[m.Instruction], None],
        lend: Callable[[WorkerRecord, int, Sequence[ObjectId]], None],
    ) -> None:
        """All of it is the scheduler's. `lend` notes what a reply says the places of."""
        self._references, self._placement, self._tasks = references, placement, tasks
        self._move, self._order, self._lend = move, order, lend

    def handlers(self) -> Iterator[tuple[type, Callable[[Any], None]]]:
        """Which event is whose."""
        yield m.WorkerWaits, self._on_worker_waits
        yield m.WaitAbandoned, self._on_wait_abandoned

    def _on_worker_waits(self, event: m.WorkerWaits) -> None:
        worker = self._placement.workers.get(event.worker)
        if worker is None or event.request in worker.asks:
            return  # lost, or said twice
        ask = Ask(event.worker, event.request, event.objects, 0, event.until_failure, releases=False)
        pending: list[ObjectRecord] = []
        for object_id in dict.fromkeys(event.objects):
            record = self._references.objects.get(object_id)
            if record is None or (record.state is _FAILED and event.until_failure):
                pending = []  # gone, or failed: it must be told now
                break
            if record.state is _PENDING:
                pending.append(record)
        ask.short = event.count - (len(event.objects) - len(pending))
        if ask.short <= 0 or not pending:
            self._order(self.reply(ask))
            return
        worker.asks[event.request] = ask
        for record in pending:
            record.add_waiter(ask)
        if event.releases and self._is_head(worker, event.task, event.attempt):
            ask.releases = True
            assert worker.lease is not None  # noqa: S101 - it has a head
            worker.lease.ask = ask
            self._placement.block(worker)
            self._move((self._tasks[event.task],), TaskState.BLOCKED)

    def _is_head(self, worker: WorkerRecord, task: TaskId, attempt: int) -> bool:
        lease = worker.lease
        if lease is None or lease.released or lease.line.get(task) != attempt:
            return False
        return next(iter(lease.line)) == task

    def _on_wait_abandoned(self, event: m.WaitAbandoned) -> None:
        worker = self._placement.workers.get(event.worker)
        ask = worker.asks.get(event.request) if worker is not None else None
        if ask is not None:
            self.answer(ask)

    def answer(self, ask: Ask) -> None:
        """The waiting thread may go on; a main thread first gets its CPUs back."""
        worker = self._placement.workers.get(ask.worker)
        if worker is None or worker.asks.pop(ask.request, None) is not ask:
            return  # answered already: two of its objects came, and were freed, in one batch
        self.forget(ask)
        if not ask.releases:
            self._order(self.reply(ask))
            return
        assert worker.lease is not None  # noqa: S101 - a blocked worker keeps its lease
        self._move((self._tasks[next(iter(worker.lease.line))],), TaskState.RESUMING)
        self._placement.want_resume(worker)

    def reply(self, ask: Ask) -> m.ReplyToWait:
        """The order that lets the thread go on; what it tells the places of stays there until it was read."""
        worker = self._placement.workers[ask.worker]
        self._lend(worker, ask.request, ask.objects)
        return m.ReplyToWait(ask.worker, ask.request)

    def forget(self, ask: Ask) -> None:
        """Nobody waits for this any more: it is answered, or its worker is gone."""
        for object_id in ask.objects:
            record = self._references.objects.get(object_id)
            if record is not None and record.waiters is not None:
                record.waiters.pop(ask, None)
