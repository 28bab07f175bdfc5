"""The one door: events in, instructions out.

Handle, then settle: a handler writes down the fact; what became possible by it is done afterwards, once for the whole
batch. The records are in model.py, who holds what in references.py, what lies in shared memory in memory.py, which task
next and where in placement.py. What is heard of objects is handled in objects.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any

from jray.runtime.core import messages as m, refusals
from jray.runtime.core.history import History
from jray.runtime.core.memory import Memory, Request, StoreLimits
from jray.runtime.core.model import (
    IS_LEGAL,
    Ask,
    IllegalMove,
    ObjectRecord,
    ObjectState,
    TaskRecord,
    TaskState,
    WorkerRecord,
)
from jray.runtime.core.objects import ObjectEvents
from jray.runtime.core.placement import Placement
from jray.runtime.core.pool import PoolEvents
from jray.runtime.core.references import References
from jray.runtime.core.store_words import why_no_room
from jray.runtime.ids import KERNEL, ObjectId, Shape, TaskId, returned_object

_MOST_TALLIES = 1000
_OTHERS = ("(other names)", 0)  # what finished tasks are counted by when there are too many names
_IS_IN_LINE = tuple(state in {TaskState.RUNNING, TaskState.BLOCKED, TaskState.RESUMING} for state in TaskState)


class Scheduler:
    """Decides what runs where and when; never acts."""

    def __init__(
        self, total: Shape, next_worker: Callable[[], int] | None = None, limits: StoreLimits | None = None
    ) -> None:
        """Start with these resources, no worker and no task.

        `next_worker` numbers workers. Ids are made of these numbers: no two runtimes of a process may draw the same.
        """
        self.tasks: dict[TaskId, TaskRecord] = {}  # all that are not final
        # (name, origin) -> number of these tasks in each state, final ones too
        self.tallies: dict[tuple[str, int], list[int]] = {}
        self.references = References()
        self.history = History()
        self.memory = Memory(limits or StoreLimits())
        self.memory.admit(KERNEL)
        self.placement = Placement(total, self._move, self._reply, self.tasks, next_worker or count(1).__next__)
        self._objects = ObjectEvents(self.references, self.memory, self.placement.workers)
        self.now = 0.0
        self._out: list[m.Instruction] = []
        self._resolved: list[tuple[ObjectId, ObjectRecord]] = []  # have waiters that must be told
        self._on: dict[type, Callable[[Any], None]] = {
            m.TaskSubmitted: self._on_submitted,
            m.TaskFinished: self._on_finished,
            m.TaskFailed: self._on_failed,
            m.WorkerWaits: self._on_worker_waits,
            m.WaitAbandoned: self._on_wait_abandoned,
            m.AttemptsHandedBack: self._on_handed_back,
            m.WorkerLost: self._on_worker_lost,
            m.WorkerRefused: self._on_worker_refused,
            m.TimerFired: self._on_timer,
            **dict(self._objects.handlers()),
            **dict(PoolEvents(self.placement, self.memory, self._give).handlers()),
        }

    def handle(self, events: Sequence[m.Event]) -> list[m.Instruction]:
        """Take in a batch of facts, in their order; return what is to be done now, in this order."""
        handlers = self._on
        for event in events:
            self.now = event.at
            handlers[type(event)](event)
        self._settle()
        out, self._out = self._out, []
        return out

    def _give(self, orders: Iterable[m.Instruction]) -> None:
        self._out.extend(orders)

    def _settle(self) -> None:
        while self._resolved:
            self._tell_waiters(*self._resolved.pop())
        for instruction in self.placement.settle(self.now):
            if type(instruction) is m.StartWorker:
                self.memory.admit(instruction.worker)
            elif type(instruction) is m.EndWorker and instruction.worker not in self.placement.workers:
                self.memory.dismiss(instruction.worker)
            self._out.append(instruction)
        freed = self.references.take_freed()
        if freed:
            self.memory.free(freed)
            self._out.append(m.FreeObjects(freed))
        if self.memory.is_dirty:
            self._settle_memory()

    def _settle_memory(self) -> None:
        memory, placement = self.memory, self.placement

        def is_anybody_at_work() -> bool:
            waiting = {request.process for request in memory.requests}
            return any(
                worker.lease is not None and not worker.lease.released and worker.id not in waiting
                for worker in placement.workers.values()
            )

        def explain(request: Request) -> str:
            return why_no_room(request, memory, placement.workers, self.tasks)

        self._out.extend(memory.settle(self.now, is_anybody_at_work=is_anybody_at_work, explain=explain))
        if memory.wake_at is not None:
            self._out.extend(placement.set_timer(memory.wake_at))

    # ---- handlers: write down the fact

    def _on_submitted(self, event: m.TaskSubmitted) -> None:
        spec = event.spec
        if spec.task in self.tasks:
            return  # said twice
        key = spec.name, spec.origin
        tally = self.tallies.get(key)
        if tally is None:
            if len(self.tallies) >= _MOST_TALLIES:
                self._fold_tallies()
            tally = self.tallies[key] = [0] * len(TaskState)
        task = self.tasks[spec.task] = TaskRecord(spec, tally, spec.max_retries, since=event.at)
        tally[TaskState.WAITING] += 1
        for index in range(spec.num_returns):
            self.references.expect(returned_object(spec.task, index))
        if spec.owner != KERNEL:
            self._objects.note_refs_of(spec.owner, [returned_object(spec.task, i) for i in range(spec.num_returns)])
        self.references.pin(spec.pins)
        bad = self._missing_or_bad(task)
        if bad is not None:
            self._fail(task, bad, "")
        elif not task.missing:
            self._queue(task)

    def _fold_tallies(self) -> None:
        """Who names each task differently must not fill the memory: old names whose tasks are done become one."""
        for _ in range(2):  # one name comes, two may go
            key = next(iter(self.tallies))
            tally = self.tallies.pop(key)
            if key != _OTHERS and sum(tally) == tally[TaskState.FINISHED] + tally[TaskState.FAILED]:
                others = self.tallies.setdefault(_OTHERS, [0] * len(TaskState))
                others[:] = [was + more for was, more in zip(others, tally, strict=True)]
            else:
                self.tallies[key] = tally  # looked at again when its turn comes

    def _missing_or_bad(self, task: TaskRecord) -> ObjectId | None:
        """Count the arguments that are not there yet, and wait for them; or name one that never will be."""
        for need in dict.fromkeys(task.spec.needs):
            record = self.references.objects.get(need)
            if record is None or record.state is ObjectState.FAILED:
                return need
            if record.state is ObjectState.PENDING:
                task.missing += 1
                self._wait_for(record, task)
        return None

    def _on_finished(self, event: m.TaskFinished) -> None:
        task = self._reported(event)
        if task is None:
            return  # nothing is taken off the promise: the report may have been heard before
        if event.sizes:
            self.memory.wrote(event.worker, sum(event.sizes))
        self._out.append(m.PublishReport(event.task, event.worker, event.attempt))
        for index, size in enumerate(event.sizes):
            if size:
                self.memory.keep(returned_object(event.task, index), size)
        for index in range(task.spec.num_returns):
            state = ObjectState.FAILED if event.failed and event.failed[index] else ObjectState.READY
            self._resolve(returned_object(event.task, index), state, event.contains[index] if event.contains else ())
        self._end(task, TaskState.FINISHED)  # after its results pin what they contain: its own pins may be the last

    def _on_failed(self, event: m.TaskFailed) -> None:
        task = self._reported(event)
        if task is None:
            return
        self._out.append(m.PublishReport(event.task, event.worker, event.attempt))
        self._end(task, TaskState.FAILED)
        for index in range(task.spec.num_returns):
            self._resolve(returned_object(event.task, index), ObjectState.FAILED)

    def _reported(self, event: m.TaskFinished | m.TaskFailed) -> TaskRecord | None:
        """The fence: the task, when the report still counts."""
        worker = self.placement.workers.get(event.worker)
        if worker is None:
            return None
        lease = worker.lease
        if lease is not None and lease.released and next(iter(lease.line)) == event.task:
            return None  # it waits; a report from it now is nonsense
        if not self.placement.take_from_line(worker, event.task, event.attempt, event.took_s, event.at):
            return None
        return self.tasks.get(event.task)

    def _on_worker_waits(self, event: m.WorkerWaits) -> None:
        worker = self.placement.workers.get(event.worker)
        if worker is None or event.request in worker.asks:
            return  # lost, or said twice
        ask = Ask(event.worker, event.request, event.objects, 0, event.until_failure, releases=False)
        pending: list[ObjectRecord] = []
        for object_id in dict.fromkeys(event.objects):
            record = self.references.objects.get(object_id)
            if record is None or (record.state is ObjectState.FAILED and event.until_failure):
                pending = []  # gone, or failed: it must be told now
                break
            if record.state is ObjectState.PENDING:
                pending.append(record)
        ask.short = event.count - (len(event.objects) - len(pending))
        if ask.short <= 0 or not pending:
            self._out.append(self._reply(ask))
            return
        worker.asks[event.request] = ask
        for record in pending:
            self._wait_for(record, ask)
        if event.releases and self._is_head(worker, event.task, event.attempt):
            ask.releases = True
            assert worker.lease is not None  # noqa: S101 - it has a head
            worker.lease.ask = ask
            self.placement.block(worker)
            self._move(self.tasks[event.task], TaskState.BLOCKED)

    def _is_head(self, worker: WorkerRecord, task: TaskId, attempt: int) -> bool:
        lease = worker.lease
        if lease is None or lease.released or lease.line.get(task) != attempt:
            return False
        return next(iter(lease.line)) == task

    def _on_wait_abandoned(self, event: m.WaitAbandoned) -> None:
        worker = self.placement.workers.get(event.worker)
        ask = worker.asks.get(event.request) if worker is not None else None
        if ask is not None:
            self._answer(ask)

    def _on_handed_back(self, event: m.AttemptsHandedBack) -> None:
        worker = self.placement.workers.get(event.worker)
        if worker is None:
            return
        for task_id, attempt in reversed(event.runs):
            if self.placement.hand_back(worker, task_id, attempt):
                self._queue(self.tasks[task_id], in_front=True)
        self.placement.settle_line(worker)

    def _on_worker_lost(self, event: m.WorkerLost) -> None:
        worker = self.placement.workers.get(event.worker)
        if worker is None:
            return
        for ask in worker.asks.values():
            self._forget(ask)
        line = list(worker.lease.line.items()) if worker.lease is not None else []
        self.placement.lose(worker)
        for position, (task_id, attempt) in reversed(list(enumerate(line))):
            task = self.tasks[task_id]
            if task.attempt != attempt:
                continue
            if position > 0:  # it was not started: it costs the worker, not the task
                self._queue(task, in_front=True)
            else:
                self._lost_attempt(task, event.reason)
        self._objects.forget_worker(worker)

    def _on_worker_refused(self, event: m.WorkerRefused) -> None:
        """It costs no attempt: nothing has run. Tasks wait for workers that there are, or for the next try."""
        worker = self.placement.workers.get(event.worker)
        if worker is None:
            return
        line = [self.tasks[task] for task in worker.lease.line] if worker.lease is not None else []
        self.placement.lose(worker)
        self._objects.forget_worker(worker)
        if self.placement.refusals.note(event.at):
            self._out.append(m.WarnUser(refusals.in_words(event.reason)))
        if line and self.placement.is_refused_for_good:
            self._fail(line.pop(0), None, event.reason)
        for task in reversed(line):
            self._queue(task, in_front=True)

    def _lost_attempt(self, task: TaskRecord, reason: str) -> None:
        if task.retries_left == 0:
            self._fail(task, None, reason)
            return
        if task.retries_left > 0:
            task.retries_left -= 1
        self._queue(task, in_front=True)

    def _on_timer(self, event: m.TimerFired) -> None:
        self._out.extend(self.placement.recall_late(event.at))
        self.memory.is_dirty = True  # somebody may wait for room, and time has passed

    # ---- moves and consequences

    def _move(self, task: TaskRecord, to: TaskState) -> None:
        was = task.state
        if not IS_LEGAL[was][to]:
            spec = task.spec
            moves = "; ".join(self.history.of(spec.task))
            msg = f"Task {spec.name} ({spec.task:x}) was moved from {was.name} to {to.name}. Its moves were: {moves}."
            raise IllegalMove(msg)
        if task.spec.needs and _IS_IN_LINE[was] != _IS_IN_LINE[to]:
            if _IS_IN_LINE[to]:
                self.memory.begin_reading(task.spec.needs)
            else:
                self.memory.end_reading(task.spec.needs)
        task.tally[was] -= 1
        task.tally[to] += 1
        task.state, task.since = to, self.now
        self.history.note((self.now, task.spec.task, was, to))

    def _queue(self, task: TaskRecord, *, in_front: bool = False) -> None:
        self._move(task, TaskState.QUEUED)
        self.placement.enqueue(task, in_front=in_front)

    def _end(self, task: TaskRecord, state: TaskState) -> None:
        self._move(task, state)
        del self.tasks[task.spec.task]
        self.references.unpin(task.spec.pins)

    def _fail(self, task: TaskRecord, argument: ObjectId | None, reason: str) -> None:
        """The task will never have a result of its own."""
        spec = task.spec
        self._out.append(m.PublishFailure(spec.task, argument, reason))
        for need in spec.needs:
            record = self.references.objects.get(need)
            if record is not None and record.waiters is not None:
                record.waiters.pop(task, None)
        self._end(task, TaskState.FAILED)
        for index in range(spec.num_returns):
            self._resolve(returned_object(spec.task, index), ObjectState.FAILED)

    def _resolve(self, object_id: ObjectId, state: ObjectState, contains: tuple[ObjectId, ...] = ()) -> None:
        record = self.references.resolve(object_id, state, contains)
        if record.waiters:
            self._resolved.append((object_id, record))

    def _wait_for(self, record: ObjectRecord, waiter: TaskRecord | Ask) -> None:
        if record.waiters is None:
            record.waiters = {}
        record.waiters[waiter] = None

    def _tell_waiters(self, object_id: ObjectId, record: ObjectRecord) -> None:
        waiters, record.waiters = record.waiters, None
        failed = record.state is ObjectState.FAILED
        for waiter in waiters or ():
            if isinstance(waiter, Ask):
                waiter.short -= 1
                if waiter.short <= 0 or (failed and waiter.until_failure):
                    self._answer(waiter)
            elif failed:
                self._fail(waiter, object_id, "")
            else:
                waiter.missing -= 1
                if not waiter.missing:
                    self._queue(waiter)

    def _answer(self, ask: Ask) -> None:
        """The waiting thread may go on; a main thread first gets its CPUs back."""
        worker = self.placement.workers.get(ask.worker)
        if worker is None or worker.asks.pop(ask.request, None) is not ask:
            return  # answered already: two of its objects came, and were freed, in one batch
        self._forget(ask)
        if not ask.releases:
            self._out.append(self._reply(ask))
            return
        assert worker.lease is not None  # noqa: S101 - a blocked worker keeps its lease
        self._move(self.tasks[next(iter(worker.lease.line))], TaskState.RESUMING)
        self.placement.want_resume(worker)

    def _reply(self, ask: Ask) -> m.ReplyToWait:
        worker = self.placement.workers[ask.worker]
        self._objects.lend(worker, ask.request, ask.objects)
        return m.ReplyToWait(ask.worker, ask.request)

    def _forget(self, ask: Ask) -> None:
        for object_id in ask.objects:
            record = self.references.objects.get(object_id)
            if record is not None and record.waiters is not None:
                record.waiters.pop(ask, None)
