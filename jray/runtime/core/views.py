"""Frozen pictures of the scheduler's books, for people and front ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from jray.runtime.core.model import TaskRecord, TaskState
from jray.runtime.core.resources import GPU, Resources, in_words
from jray.runtime.core.scheduler import Scheduler
from jray.runtime.ids import UNIT, TaskId


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionView:
    """How many tasks of one name stand in each state, as people count: a prefetched task is queued."""

    name: str
    counts: Mapping[str, int]  # "waiting", "queued", … -> number; zero counts are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerView:
    """The whole picture."""

    total: Mapping[str, float]
    available: Mapping[str, float]  # below zero: CPUs that were taken away, and are still held
    functions: tuple[FunctionView, ...]
    workers: int
    busy_workers: int
    objects: int
    pending_objects: int


def view_of(scheduler: Scheduler) -> SchedulerView:
    """What is going on, at this moment."""
    placement = scheduler.placement
    return SchedulerView(
        total=_amounts(placement.resources.total),
        available=_amounts(placement.resources.available),
        functions=function_views(scheduler),
        workers=len(placement.workers),
        busy_workers=sum(worker.lease is not None for worker in placement.workers.values()),
        objects=len(scheduler.references.objects),
        pending_objects=scheduler.references.pending,
    )


def function_views(
    scheduler: Scheduler, origin: int | None = None, most_over: int | None = None
) -> tuple[FunctionView, ...]:
    """Tasks by name, the oldest name first; only those that started in `origin`, if one is given.

    Of the names that have nothing more to do only the newest `most_over`. There are at most a thousand names.
    """
    tallies: dict[str, list[int]] = {}
    for (name, where), tally in scheduler.tallies.items():
        if origin is not None and where != origin:
            continue
        sum_so_far = tallies.get(name)
        tallies[name] = tally if sum_so_far is None else [a + b for a, b in zip(sum_so_far, tally, strict=True)]
    if most_over is not None:
        over = [name for name, tally in tallies.items() if not any(tally[: TaskState.FINISHED])]
        for name in over[: max(0, len(over) - most_over)]:
            del tallies[name]
    prefetched: Counter[str] = Counter()
    for worker in scheduler.placement.workers.values():
        line = list(worker.lease.line) if worker.lease is not None else []
        for task_id in line[1:]:
            spec = scheduler.tasks[task_id].spec
            prefetched[spec.template.name] += origin is None or spec.template.origin == origin
    return tuple(FunctionView(name=name, counts=_counts(tally, prefetched[name])) for name, tally in tallies.items())


def amounts_of(scheduler: Scheduler) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """(total, available) resources by name; one that is used up is absent from `available`, as in Ray."""
    resources = scheduler.placement.resources
    return _amounts(resources.total), {k: amount for k, amount in _amounts(resources.available).items() if amount > 0}


def explain(scheduler: Scheduler, task_id: TaskId) -> str:
    """Why a task is not done yet, in words; empty when it is done or unknown."""
    task = scheduler.tasks.get(task_id)
    if task is None:
        return ""
    return f"task {task.spec.template.name} is {_why(scheduler, task)}"


def _why(scheduler: Scheduler, task: TaskRecord) -> str:
    match task.state:
        case TaskState.WAITING:
            return f"waiting for {task.missing} of its arguments"
        case TaskState.QUEUED:
            return _why_queued(scheduler.placement.resources, task)
        case TaskState.BLOCKED:
            return "blocked in get or wait"
        case TaskState.RESUMING:
            return "ready to go on after get or wait, waiting for its CPUs"
        case _ if _is_prefetched(scheduler, task):
            return "queued: next in a worker's line, behind a short task"
        case _:
            return "running"


def _is_prefetched(scheduler: Scheduler, task: TaskRecord) -> bool:
    leases = (worker.lease for worker in scheduler.placement.workers.values())
    return any(task.spec.task in list(lease.line)[1:] for lease in leases if lease is not None)


def _why_queued(resources: Resources, task: TaskRecord) -> str:
    shape = task.spec.template.shape
    if not resources.could_fit(shape):
        there_is = in_words(tuple(sorted(resources.total.items())))
        return f"queued for ever: it needs {in_words(shape)}, and this runtime has {there_is}"
    free = ", ".join(f"{max(0, resources.available.get(name, 0)) / UNIT:g} {name}" for name, _ in shape)
    in_parts = any(name == GPU and amount <= resources.available[GPU] for name, amount in shape)
    but = ", but not on one GPU" if in_parts and GPU in resources.lacking(shape) else ""
    return f"queued: it needs {in_words(shape)}; free now: {free or 'a worker'}{but}"


def _amounts(units: Mapping[str, int]) -> dict[str, float]:
    return {name: amount / UNIT for name, amount in units.items() if amount}


def _counts(tally: list[int], prefetched: int) -> dict[str, int]:
    counts = dict(zip((state.name.lower() for state in TaskState), tally, strict=True))
    counts["running"] -= prefetched
    counts["queued"] += prefetched
    return {state: number for state, number in counts.items() if number}
