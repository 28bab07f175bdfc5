"""Which task next, where: queues by shape, leases on workers, prefetch, and CPUs for resumed tasks.

Placement keeps the books of what is held. The scheduler gives it a `move` to call, which changes a task's state.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from jray.runtime.core.gpus import NO_GPUS, GpuWorkers
from jray.runtime.core.idle import IdleWorkers
from jray.runtime.core.lines import Lines, Move
from jray.runtime.core.messages import (
    EndWorker,
    Instruction,
    ReplyToWait,
    SetTimer,
    StartWorker,
)
from jray.runtime.core.model import Ask, Lease, TaskRecord, TaskState, WorkerRecord, WorkerState
from jray.runtime.core.queues import ShapeQueue
from jray.runtime.core.refusals import Refusals
from jray.runtime.core.resources import CPU, Resources
from jray.runtime.core.warnings import Warnings
from jray.runtime.ids import UNIT, Shape, TaskId, WorkerId

MOST_WITHOUT_CPU = 32  # tasks with num_cpus=0 that run at once: each needs a process all the same
_BLOCKED_BESIDE_CPUS = 4  # and two for each CPU: so many tasks may be blocked before others stop to run past them
MOST_REFUSALS = 10  # in a row, while every worker that there is waits for others: then tasks fail
_EMPTY_QUEUES_KEPT = 64  # a session asks for a few shapes again and again; who asks for thousands pays for none twice

Reply = Callable[[Ask], ReplyToWait]

_RUNNING = TaskState.RUNNING  # attributes of an enum take as long as all the rest of a line


class Placement:
    """Grants leases.

    Invariant: resources.total == resources.available + the sum of what leases hold. Checked in invariants.py.
    """

    def __init__(  # noqa: PLR0917 - all that it is made of
        self,
        total: Shape,
        move: Move,
        reply: Reply,
        tasks: dict[TaskId, TaskRecord],
        next_worker: Callable[[], int],
        orders: list[Instruction],
    ) -> None:
        """`move` changes tasks' state, `reply` answers a wait; `tasks` are all unfinished ones.

        What is to be done is appended to `orders`.
        """
        self._order = orders.append
        self.resources = Resources(total)
        self.workers: dict[WorkerId, WorkerRecord] = {}  # the living
        self.queues: dict[Shape, ShapeQueue] = {}
        self._most_queues = _EMPTY_QUEUES_KEPT
        self.resuming: deque[WorkerRecord] = deque()  # their heads stand ahead of all queued tasks
        self.without_cpu = 0  # leases whose shape has no CPU, less the released ones
        self.gpu_workers = GpuWorkers(self.resources)
        self.idle = IdleWorkers()
        self._set_limits(self.resources.total.get(CPU, 0))
        self._blocked: dict[WorkerId, WorkerRecord] = {}
        self._move, self._reply = move, reply
        self._tasks = tasks
        self._orders = 0
        self._next_worker = next_worker
        self._timer: float | None = None
        self.refusals = Refusals()
        self.lines = Lines(
            tasks,
            move=move,
            order=orders.append,
            set_timer=self.set_timer,
            end_lease=self.end_lease,
            note_report=self.refusals.end_row,
        )
        self._warnings = Warnings(self.resources, tasks, self._blocked)

    def _set_limits(self, cpus: int) -> None:
        """What follows from the number of CPUs."""
        self.idle.kept = max(1, -(-cpus // UNIT))
        self._most_blocked = _BLOCKED_BESIDE_CPUS + 2 * cpus // UNIT

    # ---- what the scheduler notes down

    def enqueue(self, task: TaskRecord, *, in_front: bool = False) -> None:
        """The task is QUEUED now."""
        shape = task.spec.template.shape
        queue = self.queues.get(shape)
        if queue is None:
            if len(self.queues) >= self._most_queues:
                self.queues = {shape: queue for shape, queue in self.queues.items() if queue.length}
                self._most_queues = max(_EMPTY_QUEUES_KEPT, 2 * len(self.queues))
            queue = self.queues[shape] = ShapeQueue(shape)
        self._orders += 1
        task.order = -self._orders if in_front else self._orders
        queue.push(task, in_front=in_front)

    def block(self, worker: WorkerRecord) -> None:
        """The head of its line waits: give its CPUs back, keep the rest."""
        lease = worker.lease
        assert lease is not None  # noqa: S101 - the scheduler has just looked at its head
        lease.released = True
        if lease.cpus:
            self.resources.give_back_cpus(lease.cpus)
        else:
            self.without_cpu -= 1
        self._blocked[worker.id] = worker
        self.lines.hungry.pop(worker.id, None)

    def want_resume(self, worker: WorkerRecord) -> None:
        """What the head waited for is there: it stands in line for its CPUs."""
        self._blocked.pop(worker.id, None)
        if worker.lease is not None and not worker.lease.cpus:
            self.resuming.appendleft(worker)  # it waits for nothing: not behind those that do
        else:
            self.resuming.append(worker)

    @property
    def is_refused_for_good(self) -> bool:
        """Nothing speaks for better luck: the system has refused for long, and whatever lives is blocked."""
        is_still = len(self._blocked) == len(self.workers)
        return self.refusals.in_a_row >= MOST_REFUSALS and is_still

    def can_have_worker(self, queue: ShapeQueue, now: float) -> bool:
        """Whether a lease that fits could be opened now, as far as processes go."""
        if not queue.gpus:
            return len(self.idle) > 0 or now >= self.refusals.until
        place = self.gpu_workers.place_for(queue.gpus)
        return place.is_free and (place.worker is not None or now >= self.refusals.until)

    def end_lease(self, worker: WorkerRecord) -> None:
        """Everything it holds is free; the worker is idle."""
        self._release(worker)
        worker.state = WorkerState.IDLE
        self.idle.add(worker)
        if worker.is_retired:
            self.idle.retire(worker)

    def resize(self, cpus: int) -> None:
        """There are so many CPUs now, in units. Who holds some keeps them; nothing starts until it fits."""
        self.resources.resize(cpus)
        self._set_limits(cpus)
        for queue in self.queues.values():
            queue.is_announced = queue.is_announced and not self.resources.could_fit(queue.shape)

    def lose(self, worker: WorkerRecord) -> None:
        """Its process ended."""
        self._release(worker)
        worker.state = WorkerState.DEAD
        self.idle.remove(worker)
        self.gpu_workers.forget(worker)
        del self.workers[worker.id]

    def _release(self, worker: WorkerRecord) -> None:
        lease, worker.lease = worker.lease, None
        if lease is None:
            return
        self.resources.give_back(lease.shape)
        if worker.gpus:
            self.gpu_workers.let_go(worker)
        if lease.released:
            if lease.cpus:
                self.resources.take_cpus(lease.cpus)  # they were given back when it blocked
            self._blocked.pop(worker.id, None)
            if worker in self.resuming:
                self.resuming.remove(worker)
        elif not lease.cpus:
            self.without_cpu -= 1
        self.lines.hungry.pop(worker.id, None)

    # ---- settle

    @property
    def has_free_cpus(self) -> bool:
        """Whether a task that asks for CPUs and is submitted now might start at once."""
        return self.resources.available.get(CPU, 0) > 0

    @property
    def is_well_supplied(self) -> bool:
        """Whether tasks are queued, and what workers have will take them long."""
        is_queued = any(queue.length for queue in list(self.queues.values()))
        return is_queued and self.lines.are_long(list(self.workers.values()))

    def settle(self, now: float) -> None:
        """Order everything that has become possible."""
        for worker in self.idle.take_retired():
            self._order(EndWorker(worker.id))
        if self.resuming:
            self._resume()
        queues = self._by_priority()
        if queues:
            self._serve_all(queues, now)
        for worker in self.idle.surplus(now):
            self._end(worker)
        look_at = self.idle.when_to_look(now)
        if look_at is not None:
            self.set_timer(look_at)

    def _serve_all(self, queues: Iterable[ShapeQueue], now: float) -> None:
        waiting: list[ShapeQueue] = []  # ahead of the queue that is served
        for queue in queues:
            if not queue.cpus or not self.resuming:
                self._serve(queue, waiting, now)
            if queue.length:
                waiting.append(queue)
                for warning in self._warnings.about(queue):
                    self._order(warning)

    def _end(self, worker: WorkerRecord) -> None:
        if worker.gpus:
            self.idle.remove(worker)
            worker.state = WorkerState.LEAVING
        else:
            self.lose(worker)
        self._order(EndWorker(worker.id))

    def _resume(self) -> None:
        resuming = self.resuming
        while resuming:
            worker = resuming[0]
            lease = worker.lease
            assert lease is not None  # noqa: S101 - a worker that loses its lease leaves the line
            assert lease.ask is not None  # noqa: S101
            if lease.cpus:
                if not self.resources.could_resume(lease.cpus):
                    return
                self.resources.take_cpus(lease.cpus)
            else:
                self.without_cpu += 1
            resuming.popleft()
            ask, lease.ask, lease.released = lease.ask, None, False
            self._move([self._tasks[next(iter(lease.line))]], _RUNNING)
            self._order(self._reply(ask))

    def must_yield(self, queue: ShapeQueue) -> bool:
        """Whether its tasks would only get in the way of deeper ones, which wait for more CPUs than are free now.

        As long as few tasks are blocked, it is better to use CPUs that would idle. The deeper task gets its CPUs: who
        holds some either ends or blocks, unless one of its threads waits. What lacks another resource may wait for
        ever, so nobody waits for it.
        """
        if not queue.cpus or len(self._blocked) < self._most_blocked:
            return False
        depth = queue.depth
        return not self._may_hold_for_ever() and any(
            other.depth > depth and self.resources.lacking(other.shape) == (CPU,)
            for other in self.queues.values()
            if other.length and self.resources.could_fit(other.shape)
        )

    def _may_hold_for_ever(self) -> bool:
        """Whether somebody holds CPUs while one of its threads waits, perhaps for a task that would yield."""
        leases = ((worker.lease, worker.asks) for worker in self.workers.values())
        return any(lease is not None and not lease.released and asks for lease, asks in leases)

    def _by_priority(self) -> list[ShapeQueue]:
        filled = [queue for queue in self.queues.values() if queue.length]
        if len(filled) > 1:
            filled.sort(key=lambda queue: (-queue.depth, queue.head.order))
        return filled

    def _serve(self, queue: ShapeQueue, ahead: Sequence[ShapeQueue], now: float) -> None:
        while queue.length and self.resources.fits(queue.shape):
            if self.must_yield(queue) or (not queue.cpus and self.without_cpu >= MOST_WITHOUT_CPU):
                break
            worker = self._worker_for(queue, now)
            if worker is None:
                break
            self._open_lease(worker, queue)
            self.lines.fill(worker, queue, len(self.idle), now)
        if (
            queue.length
            and self.lines.hungry
            and not self.must_yield(queue)
            and not any(self._waits_for(queue.shape, other) for other in ahead)
        ):
            self.lines.refill(queue, len(self.idle), now)

    def _waits_for(self, held: Shape, queue: ShapeQueue) -> bool:
        """Whether the queue's head could run if a lease of this shape ended: then its line is not filled up again."""
        available, back = self.resources.available, dict(held)
        return all(amount <= available.get(name, 0) + back.get(name, 0) for name, amount in queue.shape)

    def _worker_for(self, queue: ShapeQueue, now: float) -> WorkerRecord | None:
        """An idle worker or a new one. None: not yet; the timer will tell, or the end of one that has to leave."""
        place = self.gpu_workers.place_for(queue.gpus) if queue.gpus else NO_GPUS
        worker = place.worker if queue.gpus else self.idle.take()
        if worker is None and now < self.refusals.until:
            self.set_timer(self.refusals.until)
            return None
        for idle in place.in_the_way:
            self._end(idle)
        if not place.is_free:
            return None
        if worker is not None:
            self.idle.remove(worker)
            return worker
        number = WorkerId(self._next_worker())
        worker = self.workers[number] = WorkerRecord(number, place.gpus)
        self._order(StartWorker(number, place.gpus))
        return worker

    def _open_lease(self, worker: WorkerRecord, queue: ShapeQueue) -> None:
        self.resources.take(queue.shape)
        if queue.gpus:
            self.gpu_workers.hold(worker, queue.gpus)
        worker.state = WorkerState.BUSY
        worker.lease = Lease(queue.shape)
        worker.leases += 1
        if not worker.lease.cpus:
            self.without_cpu += 1

    def timer_fired(self, now: float) -> None:
        """The time of the last `set_timer` has come."""
        self._timer = None
        self.lines.recall_late(self.workers.values(), now)

    def set_timer(self, at: float) -> None:
        """Fire at this time, or before."""
        if self._timer is None or at < self._timer:
            self._timer = at
            self._order(SetTimer(at))
