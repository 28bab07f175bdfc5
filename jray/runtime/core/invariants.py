"""What must always hold in the scheduler's books. Tests check it after every event."""

from __future__ import annotations

from collections import Counter

from jray.runtime.core.memory import Memory, Place
from jray.runtime.core.model import ObjectState, TaskState, WorkerState
from jray.runtime.core.resources import CPU, GPU, gpus_in
from jray.runtime.core.scheduler import Scheduler
from jray.runtime.ids import KERNEL, UNIT, ObjectId

_HELD = (TaskState.RUNNING, TaskState.BLOCKED, TaskState.RESUMING)


class BrokenInvariant(AssertionError):
    """The scheduler's books contradict each other: a bug in jray."""


def check(scheduler: Scheduler) -> None:
    """Raise BrokenInvariant at the first contradiction."""
    _check_resources(scheduler)
    _check_gpus(scheduler)
    _check_tasks(scheduler)
    _check_workers(scheduler)
    _check_objects(scheduler)
    _check_memory(scheduler)
    _check_nobody_waits_without_reason(scheduler)


def _require(holds: bool, what: str, about: object = "") -> None:  # noqa: FBT001 - it is the condition itself
    if not holds:  # `about` is put into words only now: this runs after every event, for every task
        raise BrokenInvariant(f"{what} {about}".rstrip())


def _check_resources(scheduler: Scheduler) -> None:
    placement = scheduler.placement
    held = dict.fromkeys(placement.resources.total, 0)
    without_cpu = 0
    for worker in placement.workers.values():
        if worker.lease is None:
            continue
        for name, amount in worker.lease.shape:
            held[name] += 0 if name == CPU and worker.lease.released else amount
        without_cpu += not worker.lease.cpus and not worker.lease.released
    for name, total in placement.resources.total.items():
        free = placement.resources.available[name]
        owed = placement.resources.overdrawn if name == CPU else 0
        _require(free >= -owed, f"{name} is oversubscribed by {-free}, of which {owed} was taken away")
        _require(free + held[name] == total, f"{name}: {free} free + {held[name]} held != {total}")
    _require(placement.without_cpu == without_cpu, "leases without CPU are miscounted")
    _require(sum(placement.resources.free_gpus) == placement.resources.available.get(GPU, 0), "GPUs are miscounted")


def _check_gpus(scheduler: Scheduler) -> None:
    placement = scheduler.placement
    free = placement.resources.free_gpus
    held, shares = [0] * len(free), [0] * len(free)
    for worker in placement.workers.values():
        _require((worker.id in placement.gpu_workers.workers) == bool(worker.gpus), "has GPUs, or not:", worker)
        if worker.lease is not None:
            _require(gpus_in(worker.lease.shape) == len(worker.gpus) * worker.gpu_share, "has other GPUs:", worker)
        for gpu in worker.gpus:
            shares[gpu] += worker.gpu_share
            held[gpu] += worker.gpu_share if worker.lease is not None else 0
    _require(held == [UNIT - amount for amount in free], f"of the GPUs {held} is held, and {free} is free")
    _require(max(shares, default=0) <= UNIT, f"workers crowd a GPU: {shares}")


def _check_tasks(scheduler: Scheduler) -> None:
    placement = scheduler.placement
    queued = [task for queue in placement.queues.values() for task in queue.tasks()]
    _require(len(queued) == len({task.spec.task for task in queued}), "a task is queued twice")
    _require(len(queued) == sum(queue.length for queue in placement.queues.values()), "queue lengths are wrong")
    lines = {(t, a) for w in placement.workers.values() if w.lease is not None for t, a in w.lease.line.items()}
    states = {task.spec.task for task in queued}
    for task_id, task in scheduler.tasks.items():
        _require(not task.state.is_final, "a final task is kept:", task)
        _require((task.state is TaskState.QUEUED) == (task_id in states), "queue and state differ:", task)
        _require((task.state in _HELD) == ((task_id, task.attempt) in lines), "line and state differ:", task)
        _require((task.state is TaskState.WAITING) == (task.missing > 0), "waits for nothing:", task)
    open_tasks = sum(sum(tally[: TaskState.FINISHED]) for tally in scheduler.tallies.values())
    _require(open_tasks == len(scheduler.tasks), "tallies are wrong")


def _check_workers(scheduler: Scheduler) -> None:
    resuming = list(scheduler.placement.resuming)
    _require(len(resuming) == len({worker.id for worker in resuming}), "a worker resumes twice")
    for worker in scheduler.placement.workers.values():
        lease = worker.lease
        _require(not (worker.is_retired and worker.state is WorkerState.IDLE), "is retired, and stays:", worker)
        _require((worker.state is WorkerState.BUSY) == (lease is not None), "state and lease differ:", worker)
        if lease is None:
            continue
        _require(bool(lease.line), "a lease without a task:", worker)
        head = scheduler.tasks[next(iter(lease.line))]
        released = head.state in (TaskState.BLOCKED, TaskState.RESUMING)
        _require(lease.released == released, f"released, but its head is {head.state.name}")
        _require((head.state is TaskState.RESUMING) == (worker in resuming), "resuming line and state differ")
        _require((lease.ask is not None) == lease.released, "ask and release differ")


def _check_objects(scheduler: Scheduler) -> None:
    records = scheduler.references.objects.values()
    pending_objects = sum(record.state is ObjectState.PENDING for record in records)
    _require(scheduler.references.pending == pending_objects, "pending objects are miscounted")
    for record in records:
        pending = record.state is ObjectState.PENDING
        _require(record.holders >= 0, "an object has negative holders:", record)
        _require(record.pins >= 0, "an object has negative pins:", record)
        _require(pending or record.holders + record.pins > 0, "an object should be freed:", record)
        _require(pending or not record.waiters, "somebody waits for an object that is there:", record)


def _check_memory(scheduler: Scheduler) -> None:
    memory, workers = scheduler.memory, scheduler.placement.workers
    blocks = memory.blocks.values()
    _require(memory.blocks.keys() <= scheduler.references.objects.keys(), "a block of an object that is gone")
    _require(memory.used == sum(b.size for b in blocks if b.is_in_memory), "used memory is miscounted")
    _require(memory.leaving == _size_in(memory, Place.LEAVING), "what leaves is miscounted")
    returning = _size_in(memory, Place.RETURNING) + sum(memory.unwanted.values())
    _require(memory.returning == returning, "what returns is miscounted")
    _require(memory.on_disk == sum(b.size for b in blocks if b.has_copy), "what is on disk is miscounted")
    _require(all(b.has_copy or b.is_in_memory for b in blocks), "an object is nowhere")
    _require(memory.promises.keys() == {KERNEL, *workers}, "promises are made to others than the living")
    _require(memory.promised == sum(memory.promises.values()), "promises are miscounted")
    readers: Counter[ObjectId] = Counter()
    for worker in workers.values():
        readers.update(worker.views)
        for lent in worker.lent.values():
            readers.update(lent)
        for task in worker.lease.line if worker.lease is not None else ():
            readers.update(scheduler.tasks[task].spec.needs)
    for object_id, block in memory.blocks.items():
        _require(block.readers >= readers[object_id], "a reader is not counted:", block)


def _size_in(memory: Memory, place: Place) -> int:
    return sum(block.size for block in memory.blocks.values() if block.place is place)


def _check_nobody_waits_without_reason(scheduler: Scheduler) -> None:
    """Work conserving: who could run runs."""
    placement = scheduler.placement
    for worker in list(placement.resuming)[:1]:
        assert worker.lease is not None  # noqa: S101 - checked above
        _require(not placement.resources.could_resume(worker.lease.cpus), f"{worker.id} could go on")
    for queue in placement.queues.values():
        if queue.length and queue.cpus and not placement.resuming:
            has_room = placement.resources.fits(queue.shape) and placement.can_have_worker(queue, scheduler.now)
            could_run = has_room and not placement.must_yield(queue)
            _require(not could_run, f"{queue.head.spec.template.name} could run")
