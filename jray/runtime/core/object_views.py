"""Frozen pictures of objects and of the store, for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from jray.runtime.core.memory import Place
from jray.runtime.core.model import ObjectState, TaskState
from jray.runtime.core.scheduler import Scheduler
from jray.runtime.ids import ObjectId, WorkerId


class ObjectView(NamedTuple):
    """One object, and who keeps it. There may be a hundred thousand: made four times as fast as a dataclass."""

    id: ObjectId
    state: ObjectState
    place: Place | None  # None: it travels in messages, or is not there
    size: int  # bytes that its block takes; 0: it has none
    readers: int
    kernel_refs: int  # refs in the kernel's process, and views
    workers: tuple[WorkerId, ...]  # that hold it
    tasks: tuple[tuple[str, str], ...]  # unfinished ones that keep it: (name, state)
    containers: tuple[ObjectId, ...]  # objects that contain its ref


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreView:
    """The store as a whole, in bytes."""

    limit: int
    read: int  # in memory, and somebody reads it: it can't be moved
    idle: int  # in memory, and could be moved to disk
    on_disk: int  # copies of what is in memory included

    @property
    def used(self) -> int:
        """All that is in memory."""
        return self.read + self.idle


def store_view(scheduler: Scheduler) -> StoreView:
    """How full the store is."""
    memory = scheduler.memory
    read = sum(block.size for block in memory.blocks.values() if block.is_in_memory and block.readers)
    return StoreView(limit=memory.limits.memory, read=read, idle=memory.used - read, on_disk=memory.on_disk)


def object_views(scheduler: Scheduler) -> list[ObjectView]:
    """All objects, in the order in which they were made."""
    workers: dict[ObjectId, list[WorkerId]] = {}
    for worker in scheduler.placement.workers.values():
        for object_id in worker.refs:
            workers.setdefault(object_id, []).append(worker.id)
    tasks: dict[ObjectId, list[tuple[str, str]]] = {}
    for task in scheduler.tasks.values():
        for object_id in dict.fromkeys(task.spec.pins):
            tasks.setdefault(object_id, []).append((task.spec.template.name, TaskState(task.state).name.lower()))
    containers: dict[ObjectId, list[ObjectId]] = {}
    for outer, record in scheduler.references.objects.items():
        for inner in record.contains:
            containers.setdefault(inner, []).append(outer)
    views, blocks = [], scheduler.memory.blocks
    for object_id, record in scheduler.references.objects.items():
        block = blocks.get(object_id)
        holding = tuple(sorted(workers[object_id])) if object_id in workers else ()
        views.append(
            ObjectView(
                object_id,
                record.state,
                block.place if block is not None else None,
                block.size if block is not None else 0,
                block.readers if block is not None else 0,
                record.holders - len(holding),
                holding,
                tuple(tasks[object_id]) if object_id in tasks else (),
                tuple(containers[object_id]) if object_id in containers else (),
            )
        )
    return views
