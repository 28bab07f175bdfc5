"""What live views show, cheap enough for ten times a second: nothing walks all tasks or all objects of the books."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from jray.runtime.core.memory import Place
from jray.runtime.core.model import ObjectState, TaskState
from jray.runtime.core.scheduler import Scheduler
from jray.runtime.core.views import FunctionView, amounts_of, explain, function_views
from jray.runtime.ids import ObjectId, TaskId, WorkerId, task_of

MOST_OVER = 50  # names of tasks that have nothing more to do


class ObjectGlance(NamedTuple):
    """One object."""

    id: ObjectId
    state: str  # "pending", "ready", "spilled", "failed", "freed"
    words: str  # why it is not there yet; empty when it is
    block_bytes: int  # of shared memory or disk; 0: it travels in messages, or is not there


class TaskGlance(NamedTuple):
    """One task that is not done."""

    state: str  # "waiting", "queued", "running", "blocked", "resuming"
    since: float  # when it came into this state
    worker: WorkerId | None  # that runs it
    missing: tuple[ObjectId, ...]  # arguments that it waits for
    words: str  # the whole in words, without its name


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """The runtime at one moment."""

    total: dict[str, float]
    available: dict[str, float]  # one that is used up is absent
    workers: int
    busy_workers: int
    store_limit: int  # bytes, like the two below
    store_used: int
    on_disk: int
    functions: tuple[FunctionView, ...]
    objects: tuple[ObjectGlance, ...]
    more_objects: int


def glance(
    scheduler: Scheduler, *, origin: int | None = None, objects: Sequence[ObjectId] | None = None, newest: int = 0
) -> Glance:
    """The runtime as it is now.

    Args:
        scheduler: whose books are looked at.
        origin: count only the tasks that started there.
        objects: the objects to be shown; None: the `newest`.
        newest: see `objects`.
    """
    placement, memory, known = scheduler.placement, scheduler.memory, scheduler.references.objects
    total, available = amounts_of(scheduler)
    shown = list(islice(reversed(known), newest)) if objects is None else list(objects)
    return Glance(
        total=dict(total),
        available=dict(available),
        workers=len(placement.workers),
        busy_workers=sum(worker.lease is not None for worker in placement.workers.values()),
        store_limit=memory.limits.memory,
        store_used=memory.used,
        on_disk=memory.on_disk,
        functions=function_views(scheduler, origin, MOST_OVER),
        objects=tuple(object_glance(scheduler, object_id) for object_id in shown),
        more_objects=max(0, len(known) - len(shown)) if objects is None else 0,
    )


def object_glance(scheduler: Scheduler, object_id: ObjectId) -> ObjectGlance:
    """One object, as it is now."""
    record = scheduler.references.objects.get(object_id)
    if record is None:
        return ObjectGlance(object_id, "freed", "", 0)
    if record.state is ObjectState.PENDING:
        words = explain(scheduler, task_of(object_id)).partition(" is ")[2]
        return ObjectGlance(object_id, "pending", words, 0)
    block = scheduler.memory.blocks.get(object_id)
    is_on_disk = block is not None and block.place in {Place.DISK, Place.RETURNING}
    state = "failed" if record.state is ObjectState.FAILED else "spilled" if is_on_disk else "ready"
    return ObjectGlance(object_id, state, "", block.size if block is not None else 0)


def task_glance(scheduler: Scheduler, task_id: TaskId) -> TaskGlance | None:
    """One task, as it is now; None when it is done or was never there."""
    task = scheduler.tasks.get(task_id)
    if task is None:
        return None
    workers = scheduler.placement.workers.values()
    worker = next((w.id for w in workers if w.lease is not None and next(iter(w.lease.line), None) == task_id), None)
    objects = scheduler.references.objects
    missing = tuple(need for need in task.spec.needs if need in objects and objects[need].state is ObjectState.PENDING)
    is_in_line = worker is None and task.state is TaskState.RUNNING  # prefetched: for people, it is queued
    state = TaskState.QUEUED if is_in_line else TaskState(task.state)
    words = explain(scheduler, task_id).partition(" is ")[2]
    return TaskGlance(state.name.lower(), task.since, worker, missing if task.missing else (), words)


class Outcomes(NamedTuple):
    """How some objects are doing."""

    pending: list[ObjectId]
    failed: int
    gone: int  # freed, so that nobody knows how they ended


def outcomes_of(scheduler: Scheduler, objects: Iterable[ObjectId]) -> Outcomes:
    """Which of the objects are still to come, and what became of the others."""
    known = scheduler.references.objects
    pending, failed, gone = [], 0, 0
    for object_id in objects:
        record = known.get(object_id)
        if record is None:
            gone += 1
        elif record.state is ObjectState.PENDING:
            pending.append(object_id)
        else:
            failed += record.state is ObjectState.FAILED
    return Outcomes(pending, failed, gone)
