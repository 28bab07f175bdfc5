"""The lines of workers: short tasks that are sent ahead, behind the one that runs (rule 28).

A lease holds resources for one task at a time. That the next ones are there when it ends saves a round trip for each.
How many: about LINE_BUDGET_S of work, by the running mean of their functions; more while the kernel is slow to answer,
because a cell computes in pure Python and keeps the GIL: that is seen when lines run dry although there is work. What
comes later than expected is called back, so that nobody waits behind a long task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from jray.runtime.core.durations import Durations
from jray.runtime.core.messages import Instruction, RecallTasks, SendTasks
from jray.runtime.core.model import Lease, TaskRecord, TaskState, WorkerRecord
from jray.runtime.core.queues import ShapeQueue
from jray.runtime.ids import TaskId, WorkerId

LINE_BUDGET_S = 0.004  # prefetch about this much work
MOST_BUDGET_S = 0.064  # while the kernel is slow; an unknown function counts as this much
_RELAX = 0.95  # of what is above LINE_BUDGET_S, each time that a line did not run dry
LINE_LIMIT = 256  # attempts in one worker's line
RECALL_GRACE_S = 0.02  # a line that is this late is called back, so that nobody waits behind a long task

Move = Callable[[Sequence[TaskRecord], TaskState], None]

_RUNNING = TaskState.RUNNING


class Lines:
    """What is in workers' lines, and for how long it will keep them busy."""

    def __init__(
        self,
        tasks: dict[TaskId, TaskRecord],
        *,
        move: Move,
        order: Callable[[Instruction], None],
        set_timer: Callable[[float], None],
        end_lease: Callable[[WorkerRecord], None],
        note_report: Callable[[], None],
    ) -> None:
        """All of it is placement's: what is called when a line has run empty, an attempt has ended, and so on."""
        self.hungry: dict[WorkerId, WorkerRecord] = {}  # busy, and their line has become short
        self.budget_s = LINE_BUDGET_S
        self._dry_at: float | None = None  # when a full line ran dry last
        self._durations = Durations(unknown_s=MOST_BUDGET_S)
        self._tasks, self._move, self._order, self._set_timer = tasks, move, order, set_timer
        self._end_lease, self._note_report = end_lease, note_report

    def take_returned(
        self, worker: WorkerRecord, reports: Iterable[tuple[TaskId, int, float, object]], now: float
    ) -> tuple[list[TaskRecord], list[tuple[TaskId, object]]]:
        """Several attempts have ended: the tasks and results of those whose reports count. See `take`."""
        lease = worker.lease
        if lease is None:
            return [], []
        line, tasks, learn = lease.line, self._tasks, self._durations.learn
        taken: list[TaskRecord] = []
        results: list[tuple[TaskId, object]] = []
        mean_s = 0.0
        for task_id, attempt, took_s, result in reports:
            if line.get(task_id) != attempt or (lease.released and next(iter(line)) == task_id):
                continue
            del line[task_id]
            record = tasks[task_id]
            expected_s, mean_s = learn(record.spec.template.function, took_s)
            lease.expected_s -= expected_s
            taken.append(record)
            results.append((task_id, result))
        if taken:
            self._settle_taken(worker, lease, mean_s, now)
        return taken, results

    def _settle_taken(self, worker: WorkerRecord, lease: Lease, mean_s: float, now: float) -> None:
        self._note_report()
        if lease.line:
            # At least what we now know of such tasks: if this one was slow, nothing more is put behind the others.
            lease.expected_s = max(lease.expected_s, len(lease.line) * mean_s)
            lease.deadline = now + lease.expected_s + RECALL_GRACE_S
            self.hungry[worker.id] = worker
        elif not lease.released:
            if lease.filled_s >= self.budget_s / 2:
                self._dry_at = now
            self._end_lease(worker)

    def take(self, worker: WorkerRecord, task: TaskId, attempt: int, took_s: float, now: float) -> TaskRecord | None:
        """The attempt has ended: its task. None when it is not in the worker's line: the report is stale."""
        lease = worker.lease
        if lease is None or lease.line.get(task) != attempt:
            return None
        del lease.line[task]
        record = self._tasks[task]
        expected_s, mean_s = self._durations.learn(record.spec.template.function, took_s)
        lease.expected_s -= expected_s
        self._settle_taken(worker, lease, mean_s, now)
        return record

    def hand_back(self, worker: WorkerRecord, task: TaskId, attempt: int) -> bool:
        """The attempt was not started. False when it is not in the worker's line."""
        lease = worker.lease
        if lease is None or lease.line.get(task) != attempt:
            return False
        del lease.line[task]
        return True

    def settle(self, worker: WorkerRecord) -> None:
        """After a hand-back: only the head is left, or nothing."""
        lease = worker.lease
        if lease is None:
            return
        if lease.line:
            lease.expected_s = MOST_BUDGET_S  # it takes longer than we thought: no refill behind it
            self.hungry.pop(worker.id, None)
        elif not lease.released:
            self._end_lease(worker)

    def refill(self, queue: ShapeQueue, idle: int, now: float) -> None:
        """Put more behind what workers have, where that has become little."""
        for worker in list(self.hungry.values()):
            lease = worker.lease
            assert lease is not None  # noqa: S101 - the end of a lease takes the worker off the list
            if lease.shape != queue.shape:
                continue
            if len(lease.line) > LINE_LIMIT // 2:
                continue  # a few at a time would cost as much as many
            del self.hungry[worker.id]
            is_low = lease.expected_s < self.budget_s / 2 or len(lease.line) == 1
            if not lease.recalled and is_low:
                self._relax()
                self.fill(worker, queue, idle, now)
                if len(lease.line) == 1:
                    lease.filled_s = 0.0  # such tasks get no line: that it ends says nothing
            if not queue.length:
                return

    def fill(self, worker: WorkerRecord, queue: ShapeQueue, idle: int, now: float) -> None:
        """Give the worker a task, and behind it as many short ones as are its fair share."""
        lease = worker.lease
        assert lease is not None  # noqa: S101 - the callers have just looked at it
        if self._dry_at == now and not lease.line:
            self._dry_at = None
            self.budget_s = min(MOST_BUDGET_S, 2 * self.budget_s)
        elif not lease.line:
            self._relax()
        budget_s = self.budget_s
        share = 1 + queue.length // (idle + len(self.hungry) + 2)
        room = min(LINE_LIMIT - len(lease.line), share)
        tasks: list[TaskRecord] = []
        runs: list[tuple[TaskId, int]] = []
        line, expected_s_of = lease.line, self._durations.expected_s
        depth = queue.depth  # of all in this line: a shallower task may have to wait for deeper ones elsewhere
        while queue.length and room > 0 and (lease.expected_s < budget_s or not lease.line):
            if queue.depth != depth:
                break
            task = queue.pop()
            spec = task.spec
            attempt = task.attempt = task.attempt + 1
            line[spec.task] = attempt
            lease.expected_s += expected_s_of(spec.template.function)
            tasks.append(task)
            runs.append((spec.task, attempt))
            room -= 1
        if not runs:
            return
        self._move(tasks, _RUNNING)
        self._order(SendTasks(worker.id, runs))
        if len(lease.line) > 1:
            lease.filled_s = lease.expected_s
            lease.deadline = now + lease.expected_s + RECALL_GRACE_S
            self._set_timer(lease.deadline)

    def _relax(self) -> None:
        self.budget_s = LINE_BUDGET_S + (self.budget_s - LINE_BUDGET_S) * _RELAX

    def are_long(self, workers: Iterable[WorkerRecord]) -> bool:
        """Whether somebody has much to do before it needs an answer."""
        leases = [worker.lease for worker in workers]
        return any(lease is not None and lease.filled_s >= self.budget_s / 2 for lease in leases)

    def recall_late(self, workers: Iterable[WorkerRecord], now: float) -> None:
        """Call back the lines that are late, and look again later if any line is long."""
        for worker in workers:
            lease = worker.lease
            if lease is None or len(lease.line) < 2 or lease.recalled:  # noqa: PLR2004 - the head alone is no line
                continue
            if now >= lease.deadline:
                lease.recalled = True
                self._order(RecallTasks(worker.id))
            else:
                self._set_timer(lease.deadline)
