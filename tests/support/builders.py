"""Dummies with defaults for the messages of the core: a test names only what matters to it.

Task 1 is the kernel's first task; `result(1)` is its first result. In specs built here the arguments a task
needs are pinned by it as well, as the shell does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from jray.runtime.core import invariants, messages as m
from jray.runtime.core.model import TaskRecord, TaskState
from jray.runtime.core.resources import Shape, shape_of
from jray.runtime.core.scheduler import Scheduler
from jray.runtime.ids import KERNEL, NO_TASK, ObjectId, TaskId, WorkerId, returned_object

_STEP = 1 << 16  # from one id of a process to the next; see ids.py

W1, W2, W3, W4 = (WorkerId(number) for number in range(1, 5))


def task_id(number: int) -> TaskId:
    """The id of the kernel's task number so-and-so, counted from 1."""
    return TaskId(number * _STEP)


def result(number: int, index: int = 0) -> ObjectId:
    """The id of one result of that task."""
    return returned_object(task_id(number), index)


def cpus(amount: float, **custom: float) -> Shape:
    """The shape of a request, or the totals of a machine: `cpus(1, gpu=2)`."""
    return shape_of({"CPU": amount, **custom})


def spec(
    number: int,
    *,
    name: str = "f",
    shape: Shape | None = None,
    needs: Sequence[ObjectId] = (),
    pins: Sequence[ObjectId] = (),
    num_returns: int = 1,
    max_retries: int = 3,
    depth: int = 0,
    parent: TaskId = NO_TASK,
    owner: WorkerId = KERNEL,
    origin: int = 0,
) -> m.TaskSpec:
    """A task of one CPU without arguments, submitted by the user's own code."""
    template = m.TaskTemplate(
        name=name,
        function=name,
        shape=cpus(1) if shape is None else shape,
        num_returns=num_returns,
        max_retries=max_retries,
        depth=depth,
        parent=parent,
        owner=owner,
        origin=origin,
    )
    return m.TaskSpec(task_id(number), template, tuple(needs), (*needs, *pins))


def child(number: int, *, of: int, on: WorkerId, depth: int = 1, **rest) -> m.TaskSubmitted:
    """A task that the running task `of` submits in worker `on`."""
    return submitted(number, parent=task_id(of), owner=on, depth=depth, **rest)


def submitted(number: int, *, at: float = 0.0, **rest) -> m.TaskSubmitted:
    return m.TaskSubmitted(at, spec(number, **rest))


def finished(
    number: int,
    worker: WorkerId,
    attempt: int = 1,
    *,
    at: float = 0.0,
    took_s: float = 1.0,
    failed: Sequence[bool] = (),
    contains: Sequence[Sequence[ObjectId]] = (),
    sizes: Sequence[int] = (),
) -> m.TaskFinished:
    inner = tuple(tuple(objects) for objects in contains)
    return m.TaskFinished(at, worker, task_id(number), attempt, took_s, tuple(failed), inner, tuple(sizes))


def failed(number: int, worker: WorkerId, attempt: int = 1, *, at: float = 0.0) -> m.TaskFailed:
    return m.TaskFailed(at, worker, task_id(number), attempt, 1.0)


def waits(
    number: int,
    worker: WorkerId,
    objects: Sequence[ObjectId],
    *,
    count: int | None = None,
    attempt: int = 1,
    request: int = 1,
    at: float = 0.0,
    until_failure: bool = True,
    releases: bool = True,
) -> m.WorkerWaits:
    """The task waits in `get`: for all of the objects, or until one failed."""
    count = len(objects) if count is None else count
    task = task_id(number)
    return m.WorkerWaits(at, worker, task, attempt, request, tuple(objects), count, until_failure, releases)


def abandoned(worker: WorkerId, request: int = 1, *, at: float = 0.0) -> m.WaitAbandoned:
    return m.WaitAbandoned(at, worker, request)


def handed_back(worker: WorkerId, *runs: tuple[int, int], at: float = 0.0) -> m.AttemptsHandedBack:
    """`handed_back(W1, (2, 1))`: task 2's first attempt was not started."""
    return m.AttemptsHandedBack(at, worker, tuple((task_id(number), attempt) for number, attempt in runs))


def put(
    object_id: ObjectId, *, owner: WorkerId = KERNEL, contains: Sequence[ObjectId] = (), size: int = 0
) -> m.ObjectPut:
    return m.ObjectPut(0.0, object_id, owner, tuple(contains), size)


def taken(*objects: ObjectId, holder: WorkerId = KERNEL) -> m.RefsTaken:
    return m.RefsTaken(0.0, holder, objects)


def dropped(*objects: ObjectId, holder: WorkerId = KERNEL) -> m.RefsDropped:
    return m.RefsDropped(0.0, holder, objects)


def viewed(*objects: ObjectId, holder: WorkerId = KERNEL) -> m.ViewsTaken:
    return m.ViewsTaken(0.0, holder, objects)


def unviewed(*objects: ObjectId, holder: WorkerId = KERNEL) -> m.ViewsDropped:
    return m.ViewsDropped(0.0, holder, objects)


def reply_read(worker: WorkerId, request: int = 1) -> m.ReplyRead:
    return m.ReplyRead(0.0, worker, request)


def room_asked(size: int, *, process: WorkerId = KERNEL, request: int = 1, at: float = 0.0) -> m.RoomAsked:
    return m.RoomAsked(at, process, request, size)


def room_abandoned(process: WorkerId = KERNEL, request: int = 1, *, at: float = 0.0) -> m.RoomAbandoned:
    return m.RoomAbandoned(at, process, request)


def spilled(object_id: ObjectId, *, at: float = 0.0, error: str = "") -> m.ObjectSpilled:
    return m.ObjectSpilled(at, object_id, error)


def loaded(object_id: ObjectId, *, succeeded: bool = True, at: float = 0.0) -> m.ObjectLoaded:
    return m.ObjectLoaded(at, object_id, succeeded)


def lost(worker: WorkerId, *, at: float = 0.0, reason: str = "worker was killed") -> m.WorkerLost:
    return m.WorkerLost(at, worker, reason)


def refused(worker: WorkerId, *, at: float = 0.0, reason: str = "worker could not be started") -> m.WorkerRefused:
    return m.WorkerRefused(at, worker, reason)


def timer(at: float) -> m.TimerFired:
    return m.TimerFired(at)


def send(worker: WorkerId, *runs: tuple[int, int]) -> m.SendTasks:
    """`send(W1, (1, 1), (2, 1))`: the first attempts of tasks 1 and 2, one after the other."""
    return m.SendTasks(worker, [(task_id(number), attempt) for number, attempt in runs])


def publish(number: int, worker: WorkerId, attempt: int = 1) -> m.PublishReport:
    return m.PublishReport(task_id(number), worker, attempt)


def publish_failure(number: int, argument: ObjectId | None = None, reason: str = "") -> m.PublishFailure:
    return m.PublishFailure(task_id(number), argument, reason)


def free(*objects: ObjectId) -> m.FreeObjects:
    return m.FreeObjects(list(objects))


def hear(scheduler: Scheduler, *events: m.Event) -> list[m.Instruction]:
    """Handle the events as one batch; the books must be in order afterwards."""
    out = scheduler.handle(events)
    invariants.check(scheduler)
    return out


def tell(scheduler: Scheduler, *events: m.Event) -> list[m.Instruction]:
    """Handle the events one by one; everything that was ordered."""
    return [instruction for event in events for instruction in hear(scheduler, event)]


def state_of(scheduler: Scheduler, number: int) -> TaskState | None:
    """Where a task stands; None when it is over."""
    task = scheduler.tasks.get(task_id(number))
    return task.state if task is not None else None


def cpus_free(scheduler: Scheduler) -> float:
    return scheduler.placement.resources.available.get("CPU", 0) / 10_000


def knows_duration(scheduler: Scheduler, worker: WorkerId = W1, *, name: str = "f", took_s: float = 0.0001) -> None:
    """Let the first worker run task 999 of this function once, so that the scheduler knows how long it takes."""
    tell(
        scheduler,
        submitted(999, name=name, num_returns=0),
        finished(999, worker, took_s=took_s),
    )


def queued_task(number: int, *, shape: Shape | None = None, depth: int = 0, parent: int = 0) -> TaskRecord:
    """A record as the queues see it."""
    of = spec(number, shape=shape, depth=depth, parent=task_id(parent))
    return TaskRecord(of, [0] * len(TaskState), of.template.max_retries, state=TaskState.QUEUED)


one_cpu = partial(Scheduler, cpus(1))
two_cpus = partial(Scheduler, cpus(2))
