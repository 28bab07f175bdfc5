"""Why there is no room in the store, in words that tell who holds what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jray.runtime.core.memory import BlockRecord, Memory, Request
from jray.runtime.core.model import TaskRecord, WorkerRecord
from jray.runtime.ids import ObjectId, TaskId, WorkerId, to_hex

_MOST_NAMED = 5


def in_bytes(size: int) -> str:
    """`40.0 MiB`, `512 B`."""
    amount, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:  # noqa: PLR2004 - what the units mean
        amount /= 1024
        units.pop(0)
    return f"{size} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def why_no_room(
    request: Request,
    memory: Memory,
    workers: Mapping[WorkerId, WorkerRecord],
    tasks: Mapping[TaskId, TaskRecord],
) -> str:
    """What happened, why, and what to do."""
    limit = in_bytes(memory.limits.memory)
    if request.size > memory.limits.memory:
        return (
            f"A value of {in_bytes(request.size)} could not be stored. The object store is limited to {limit}. Store "
            "it in smaller pieces, or start jray with more: jray.init(object_store_memory=...), in bytes."
        )
    held = sorted(
        ((o, block) for o, block in memory.blocks.items() if block.is_in_memory),
        key=lambda pair: -pair[1].size,
    )
    named = [f"{to_hex(o)} ({in_bytes(b.size)}, {_reader(o, b, workers, tasks)})" for o, b in held[:_MOST_NAMED]]
    more = f" and {len(held) - _MOST_NAMED} more" if len(held) > _MOST_NAMED else ""
    full = (
        f"A value of {in_bytes(request.size)} could not be stored. Of the object store's {limit}, "
        f"{in_bytes(memory.used)} are in use by {', '.join(named) or 'nobody'}{more}"
    )
    if memory.no_disk:
        return (
            f"{full}. Nothing can be moved to disk: {memory.no_disk}. {in_bytes(memory.on_disk)} are there already. "
            "Drop references that you no longer need (%jray memory names who holds them), make room on the disk, or "
            "start jray with more: jray.init(object_spilling_limit=..., object_store_memory=...), in bytes."
        )
    return (
        f"{full}; what is being read stays in memory. {in_bytes(memory.missing(request.size))} are missing (values "
        "take whole pages, and some room is set aside for what is being written). Drop arrays that you no longer need "
        "(%jray memory names who holds them), or start jray with more: jray.init(object_store_memory=...), in bytes."
    )


def _reader(
    object_id: ObjectId,
    block: BlockRecord,
    workers: Mapping[WorkerId, WorkerRecord],
    tasks: Mapping[TaskId, TaskRecord],
) -> str:
    """Who reads it: at most one is named."""
    if not block.readers:
        return "read by nobody"
    named = next(_readers(object_id, workers, tasks), "an array in the process that started jray")
    return f"read by {named}" + (f" and {block.readers - 1} more" if block.readers > 1 else "")


def _readers(
    object_id: ObjectId, workers: Mapping[WorkerId, WorkerRecord], tasks: Mapping[TaskId, TaskRecord]
) -> Iterator[str]:
    for worker in workers.values():
        for task_id in worker.lease.line if worker.lease is not None else ():
            task = tasks[task_id]
            if object_id in task.spec.needs:
                yield f"task {task.spec.template.name}"
        if object_id in worker.views or any(object_id in lent for lent in worker.lent.values()):
            yield f"worker w{worker.id}"
