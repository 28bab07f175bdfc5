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
)
from jray.runtime.core.objects import ObjectEvents
from jray.runtime.core.placement import Placement
from jray.runtime.core.pool import PoolEvents
from jray.runtime.core.references import References
from jray.runtime.core.store_words import why_no_room
from jray.runtime.core.tallies import Tallies
from jray.runtime.core.waits import Waits
from jray.runtime.ids import KERNEL, ObjectId, Shape, TaskId, returned_object

# Attributes of an enum take a tenth of a microsecond each, on Python 3.11; a task passes some twenty of them.
_WAITING, _QUEUED, _FINISHED = TaskState.WAITING, TaskState.QUEUED, TaskState.FINISHED
_PENDING, _READY, _FAILED = ObjectState.PENDING, ObjectState.READY, ObjectState.FAILED
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
        self.tallies = Tallies()
        self.references = References()
        self.history = History()
        self.memory = Memory(limits or StoreLimits())
        self.memory.admit(KERNEL)
        self._out: list[m.Instruction] = []
        number = next_worker or count(1).__next__
        self.placement = Placement(total, self._move, self._reply, self.tasks, number, self._out)
        self._objects = ObjectEvents(self.references, self.memory, self.placement.workers)
        self._waits = Waits(
            self.references,
            self.placement,
            self.tasks,
            move=self._move,
            order=self._out.append,
            lend=self._objects.lend,
        )
        self.now = 0.0
        self._resolved: list[tuple[ObjectId, ObjectRecord]] = []  # have waiters that must be told
        self._on: dict[type, Callable[[Any], None]] = {
            m.TaskSubmitted: self._on_submitted,
            m.TaskFinished: self._on_finished,
            m.AttemptsReturned: self._on_returned,
            m.TaskFailed: self._on_failed,
            m.AttemptsHandedBack: self._on_handed_back,
            m.WorkerLost: self._on_worker_lost,
            m.WorkerRefused: self._on_worker_refused,
            m.TimerFired: self._on_timer,
            **dict(self._objects.handlers()),
            **dict(self._waits.handlers()),
            **dict(PoolEvents(self.placement, self.memory, self._give).handlers()),
        }

    @property
    def is_well_supplied(self) -> bool:
        """Whether workers have enough to do while this process is slow to answer. May be asked without a lock."""
        return not self.memory.requests and self.placement.is_well_supplied

    def handle(self, events: Sequence[m.Event]) -> list[m.Instruction]:
        """Take in a batch of facts, in their order; return what is to be done now, in this order."""
        handlers = self._on
        for event in events:
            self.now = event.at
            handlers[type(event)](event)
        self._settle()
        out = self._out.copy()
        self._out.clear()
        return out

    def _give(self, orders: Iterable[m.Instruction]) -> None:
        self._out.extend(orders)

    def _settle(self) -> None:
        while self._resolved:
            self._tell_waiters(*self._resolved.pop())
        first = len(self._out)
        self.placement.settle(self.now)
        for instruction in self._out[first:]:
            if type(instruction) is m.StartWorker:
                self.memory.admit(instruction.worker)
            elif type(instruction) is m.EndWorker and instruction.worker not in self.placement.workers:
                self.memory.dismiss(instruction.worker)
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
            placement.set_timer(memory.wake_at)

    # ---- handlers: write down the fact

    def _on_submitted(self, event: m.TaskSubmitted) -> None:
        spec = event.spec
        task_id, template = spec.task, spec.template
        if task_id in self.tasks:
            return  # said twice
        tally = self.tallies.of(template)
        state = _WAITING if spec.needs else _QUEUED
        task = self.tasks[task_id] = TaskRecord(spec, tally, template.max_retries, state, since=event.at)
        tally[state] += 1
        references = self.references
        if template.num_returns == 1 and template.owner == KERNEL:
            references.expect(task_id)  # type: ignore[arg-type] # see ids.returned_object
        else:
            self._expect_results(task_id, template)
        if spec.pins:
            references.pin(spec.pins)
        if not spec.needs:
            self.placement.enqueue(task)
            return
        bad = self._missing_or_bad(task)
        if bad is not None:
            self._fail(task, bad, "")
        elif not task.missing:
            self._queue(task)

    def _expect_results(self, task: TaskId, template: m.TaskTemplate) -> None:
        results = [returned_object(task, index) for index in range(template.num_returns)]
        for object_id in results:
            self.references.expect(object_id)
        if template.owner != KERNEL:
            self._objects.note_refs_of(template.owner, results)

    def _missing_or_bad(self, task: TaskRecord) -> ObjectId | None:
        """Count the arguments that are not there yet, and wait for them; or name one that never will be."""
        for need in dict.fromkeys(task.spec.needs):
            record = self.references.objects.get(need)
            if record is None or record.state is _FAILED:
                return need
            if record.state is _PENDING:
                task.missing += 1
                record.add_waiter(task)
        return None

    def _on_finished(self, event: m.TaskFinished) -> None:
        task = self._reported(event)
        if task is None:
            return  # nothing is taken off the promise: the report may have been heard before
        task_id = event.task
        self._out.append(m.PublishReport(task_id, event.worker, event.attempt))
        if event.sizes:
            self.memory.wrote(event.worker, sum(event.sizes))
            for index, size in enumerate(event.sizes):
                if size:
                    self.memory.keep(returned_object(task_id, index), size)
        if task.spec.template.num_returns == 1 and not event.failed and not event.contains:
            self._resolve(ObjectId(task_id), _READY)
        else:
            self._resolve_all(task, event.failed, event.contains)
        self._end(task, _FINISHED)  # after its results pin what they contain: its own pins may be the last

    def _on_returned(self, event: m.AttemptsReturned) -> None:
        """As `_on_finished`, for those of whom there is nothing else to be said."""
        worker = self.placement.workers.get(event.worker)
        if worker is None:
            return
        tasks, results = self.placement.lines.take_returned(worker, event.reports, event.at)
        if not tasks:
            return
        self._out.append(m.PublishReports(results))
        awaited = self.references.resolve_all(results)
        if awaited:
            self._resolved += awaited
        self._move(tasks, _FINISHED)
        unfinished, unpin = self.tasks, self.references.unpin
        for task in tasks:
            spec = task.spec
            del unfinished[spec.task]
            if spec.pins:
                unpin(spec.pins)

    def _resolve_all(self, task: TaskRecord, failed: Sequence[bool], contains: Sequence[tuple[ObjectId, ...]]) -> None:
        for index in range(task.spec.template.num_returns):
            state = _FAILED if failed and failed[index] else _READY
            self._resolve(returned_object(task.spec.task, index), state, contains[index] if contains else ())

    def _on_failed(self, event: m.TaskFailed) -> None:
        task = self._reported(event)
        if task is None:
            return
        self._out.append(m.PublishReport(event.task, event.worker, event.attempt))
        self._end(task, TaskState.FAILED)
        for index in range(task.spec.template.num_returns):
            self._resolve(returned_object(event.task, index), _FAILED)

    def _reported(self, event: m.TaskFinished | m.TaskFailed) -> TaskRecord | None:
        """The fence: the task, when the report still counts."""
        worker = self.placement.workers.get(event.worker)
        if worker is None:
            return None
        lease = worker.lease
        if lease is not None and lease.released and next(iter(lease.line)) == event.task:
            return None  # it waits; a report from it now is nonsense
        return self.placement.lines.take(worker, event.task, event.attempt, event.took_s, event.at)

    def _on_handed_back(self, event: m.AttemptsHandedBack) -> None:
        worker = self.placement.workers.get(event.worker)
        if worker is None:
            return
        for task_id, attempt in reversed(event.runs):
            if self.placement.lines.hand_back(worker, task_id, attempt):
                self._queue(self.tasks[task_id], in_front=True)
        self.placement.lines.settle(worker)

    def _on_worker_lost(self, event: m.WorkerLost) -> None:
        worker = self.placement.workers.get(event.worker)
        if worker is None:
            return
        for ask in worker.asks.values():
            self._waits.forget(ask)
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
        self.placement.timer_fired(event.at)
        self.memory.is_dirty = True  # somebody may wait for room, and time has passed

    # ---- moves and consequences

    def _move(self, tasks: Iterable[TaskRecord], to: TaskState) -> None:
        """The one function that moves."""
        now, note = self.now, self.history.note
        for task in tasks:
            was, spec, tally = task.state, task.spec, task.tally
            if not IS_LEGAL[was][to]:
                self._refuse_move(task, to)
            if spec.needs and _IS_IN_LINE[was] != _IS_IN_LINE[to]:
                if _IS_IN_LINE[to]:
                    self.memory.begin_reading(spec.needs)
                else:
                    self.memory.end_reading(spec.needs)
            tally[was] -= 1
            tally[to] += 1
            task.since = now
            task.state = to
            note((now, spec.task, was, to))

    def _refuse_move(self, task: TaskRecord, to: TaskState) -> None:
        spec = task.spec
        moves = "; ".join(self.history.of(spec.task))
        msg = (
            f"Task {spec.template.name} ({spec.task:x}) was moved from {task.state.name} to {to.name}. "
            f"Its moves were: {moves}."
        )
        raise IllegalMove(msg)

    def _queue(self, task: TaskRecord, *, in_front: bool = False) -> None:
        self._move((task,), _QUEUED)
        self.placement.enqueue(task, in_front=in_front)

    def _end(self, task: TaskRecord, state: TaskState) -> None:
        self._move((task,), state)
        spec = task.spec
        del self.tasks[spec.task]
        if spec.pins:
            self.references.unpin(spec.pins)

    def _fail(self, task: TaskRecord, argument: ObjectId | None, reason: str) -> None:
        """The task will never have a result of its own."""
        spec = task.spec
        self._out.append(m.PublishFailure(spec.task, argument, reason))
        for need in spec.needs:
            record = self.references.objects.get(need)
            if record is not None and record.waiters is not None:
                record.waiters.pop(task, None)
        self._end(task, TaskState.FAILED)
        for index in range(spec.template.num_returns):
            self._resolve(returned_object(spec.task, index), _FAILED)

    def _resolve(self, object_id: ObjectId, state: ObjectState, contains: tuple[ObjectId, ...] = ()) -> None:
        record = self.references.resolve(object_id, state, contains)
        if record.waiters:
            self._resolved.append((object_id, record))

    def _reply(self, ask: Ask) -> m.ReplyToWait:
        return self._waits.reply(ask)

    def _tell_waiters(self, object_id: ObjectId, record: ObjectRecord) -> None:
        waiters, record.waiters = record.waiters, None
        failed = record.state is _FAILED
        for waiter in waiters or ():
            if isinstance(waiter, Ask):
                waiter.short -= 1
                if waiter.short <= 0 or (failed and waiter.until_failure):
                    self._waits.answer(waiter)
            elif failed:
                self._fail(waiter, object_id, "")
            else:
                waiter.missing -= 1
                if not waiter.missing:
                    self._queue(waiter)
