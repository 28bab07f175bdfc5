"""What is true about bytes: who wrote what, where it lies, who maps it or was told where it lies; and the laws of that.

Never asks the scheduler's books. What a process knows of its own room is in `store_client.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from jray.runtime.core import messages as m
from jray.runtime.core.memory import DISK_PAUSE_S, StoreLimits
from jray.runtime.ids import KERNEL, NO_TASK, ObjectId, TaskId, WorkerId
from tests.support.simulation.laws import Laws, law


@dataclass(slots=True)
class Chunk:
    """The bytes of an object."""

    size: int
    is_in_memory: bool = True
    has_copy: bool = False  # on disk
    is_leaving: bool = False  # being copied to disk
    is_returning: bool = False  # being copied to memory, which it takes from the beginning
    is_freed: bool = False
    is_heard_of: bool = False  # by the kernel

    @property
    def in_memory(self) -> int:
        """How much shared memory it takes now."""
        return self.size * (self.is_returning or (self.is_in_memory and not self.is_freed))


class Told(NamedTuple):
    """A process was told where objects lie, and has not looked there yet."""

    worker: WorkerId
    task: TaskId  # whose arguments they are; NO_TASK: a reply to a wait
    number: int  # of the attempt, or the request


@dataclass(slots=True)
class Bytes:
    """The truth about the store, and the judge."""

    limits: StoreLimits
    laws: Laws
    chunks: dict[ObjectId, Chunk] = field(default_factory=dict)
    room: Counter[WorkerId] = field(default_factory=Counter)  # that each living process has left
    processes: int = 1  # that there have ever been
    maps: Counter[tuple[WorkerId, ObjectId]] = field(default_factory=Counter)
    told: dict[Told, dict[ObjectId, bool]] = field(default_factory=dict)  # whether it is in memory, not on disk
    requests: dict[tuple[WorkerId, int], int] = field(default_factory=dict)  # sizes; not answered
    heard: dict[tuple[WorkerId, int], None] = field(default_factory=dict)  # of them: by the kernel, in its order
    jobs: list[m.SpillObject | m.LoadObject] = field(default_factory=list)  # of the disk, not done yet
    disk_failed_at: float = -DISK_PAUSE_S  # as the kernel heard

    def __post_init__(self) -> None:
        """The kernel has its standing allowance."""
        self.room[KERNEL] = self.limits.standing

    # ---- facts

    def note_written(self, process: WorkerId, object_id: ObjectId, size: int) -> None:
        """A process has really written a value."""
        law(size <= self.room[process], f"{process} writes {size}, and may write {self.room[process]}")
        self.room[process] -= size
        self.chunks[object_id] = Chunk(size)
        self._check_limit()

    def note_discarded(self, process: WorkerId, object_id: ObjectId) -> int:
        """A process throws away what it has written and not reported. Returns its size."""
        size = self.chunks.pop(object_id).size
        self.room[process] += size
        return size

    def note_mapped(self, process: WorkerId, objects: Iterable[ObjectId]) -> None:
        """One view more of each."""
        self.maps.update((process, object_id) for object_id in objects)

    def note_unmapped(self, process: WorkerId, objects: Iterable[ObjectId]) -> None:
        """One view less of each."""
        self.maps.subtract((process, object_id) for object_id in objects)

    def note_died(self, worker: WorkerId) -> None:
        """A process has ended: it maps nothing, and will look nowhere."""
        for mapped in [mapped for mapped in self.maps if mapped[0] == worker]:
            del self.maps[mapped]
        for told in [told for told in self.told if told.worker == worker]:
            del self.told[told]

    def _note_end_heard(self, worker: WorkerId) -> None:
        """The kernel knows that it has ended."""
        del self.room[worker]
        for key in [key for key in self.requests if key[0] == worker]:
            self.end_request(key)

    def note_heard(self, event: m.Event) -> None:
        """The kernel hears this now."""
        match event:
            case m.ObjectPut(_, object_id) if object_id in self.chunks:
                self.chunks[object_id].is_heard_of = True
            case m.ObjectSpilled(at, _, error) if error:
                self.disk_failed_at = at
            case m.RoomAsked(_, process, request) if (process, request) in self.requests:
                self.heard[(process, request)] = None
            case m.RoomAbandoned(_, process, request):
                self.end_request((process, request))
            case m.WorkerLost(_, worker) | m.WorkerRefused(_, worker):
                self._note_end_heard(worker)

    def end_request(self, key: tuple[WorkerId, int]) -> None:
        """It is answered, or the kernel knows that it is given up."""
        self.requests.pop(key, None)
        self.heard.pop(key, None)

    def is_mapped(self, object_id: ObjectId) -> bool:
        """Whether some process has a view of it."""
        return any(number > 0 and mapped == object_id for (_, mapped), number in self.maps.items())

    def look(self, object_id: ObjectId) -> bool:
        """Somebody who holds an object reads it now. Whether it lies in memory; else it is read from disk."""
        chunk = self.chunks[object_id]
        law(not chunk.is_freed, f"{object_id:x} is read, and was freed")
        law(chunk.is_in_memory or chunk.has_copy, f"{object_id:x} is read, and is nowhere")
        return chunk.is_in_memory

    def end_job(self, job: m.SpillObject | m.LoadObject, error: str, at: float) -> m.ObjectSpilled | m.ObjectLoaded:
        """The disk has done, or refused, what it was asked for."""
        self.jobs.remove(job)
        chunk = self.chunks[job.object]
        if isinstance(job, m.SpillObject):
            chunk.is_leaving = False
            chunk.has_copy |= not error
            return m.ObjectSpilled(at, job.object, error)
        chunk.is_returning = False
        chunk.is_in_memory = not error
        return m.ObjectLoaded(at, job.object, succeeded=not error)

    # ---- orders

    def judge(self, order: m.Instruction, now: float) -> None:
        """One instruction; called in their order, before it is performed."""
        match order:
            case m.StartWorker(worker):
                self.processes += 1
                self.room[worker] = self.limits.standing
            case m.PublishReport(task, worker, attempt):
                self._note_published(self.laws.staged.get((task, worker, attempt)))
            case m.SendTasks(worker, runs):
                for task, attempt in runs:
                    self._tell(Told(worker, task, attempt), self.laws.jobs[task].spec.needs)
            case m.ReplyToWait(worker, request) if (worker, request) in self.laws.waits:
                self._tell(Told(worker, NO_TASK, request), self.laws.waits[(worker, request)].said.objects)
            case m.Allow(process, size):
                self._promise(process, size)
            case m.GrantRoom() | m.RefuseRoom():
                self._judge_answer(order, now)
            case m.SpillObject(object_id) | m.MoveToDisk(object_id) | m.LoadObject(object_id):
                self._judge_move(order, self.chunks[object_id])
            case m.FreeObjects(objects):
                self._judge_freed(objects)

    def _note_published(self, report: m.TaskFinished | m.TaskFailed | None) -> None:
        if isinstance(report, m.TaskFinished):
            for index, size in enumerate(report.sizes):
                if size:
                    self.chunks[ObjectId(report.task + index)].is_heard_of = True

    def _tell(self, told: Told, objects: Iterable[ObjectId]) -> None:
        """A process is told where these lie."""
        worker = self.laws.workers.get(told.worker)
        known = [object_id for object_id in objects if self._is_known(object_id)]
        if worker is not None and worker.is_alive and known:
            self.told[told] = {object_id: self.look(object_id) for object_id in known}

    def _is_known(self, object_id: ObjectId) -> bool:
        chunk = self.chunks.get(object_id)
        return chunk is not None and chunk.is_heard_of and not chunk.is_freed

    def _judge_answer(self, order: m.GrantRoom | m.RefuseRoom, now: float) -> None:
        request = (order.process, order.request)
        law(request in self.heard, f"{order}, which nobody waits for")
        if isinstance(order, m.GrantRoom):
            self._promise(order.process, self.requests[request])
        else:
            self._judge_refusal(order, self.requests[request], now)
        self.end_request(request)

    def _promise(self, process: WorkerId, size: int) -> None:
        self.room[process] += size
        law(self.shortage(0) <= 0, f"{process} is promised {size}: {self.shortage(0)} more than there is")

    def _judge_move(self, order: m.SpillObject | m.MoveToDisk | m.LoadObject, chunk: Chunk) -> None:
        law(not chunk.is_freed, f"{order}, which is freed")
        law(not chunk.is_leaving and not chunk.is_returning, f"{order}, which is moved already")
        match order:
            case m.MoveToDisk(object_id):
                law(chunk.is_in_memory and chunk.has_copy, f"{order}, but {chunk}")
                law(not self.is_mapped(object_id), f"{order}, which is mapped")
                law(not self._is_told(object_id), f"{order}, but somebody was told that it is in memory")
                chunk.is_in_memory = False
            case m.SpillObject():
                law(chunk.is_in_memory, f"{order}, which is not in memory")
                chunk.is_leaving = True
                law(self.on_disk() <= self.limits.disk, f"{order}: {self.on_disk()} on disk is too much")
                self.jobs.append(order)
            case m.LoadObject():
                law(chunk.has_copy and not chunk.is_in_memory, f"{order}, which is in memory")
                chunk.is_returning = True
                law(self.shortage(0) <= 0, f"{order}: there is no room for it")
                self.jobs.append(order)

    def _judge_freed(self, objects: Iterable[ObjectId]) -> None:
        for object_id in objects:
            law(not self.is_mapped(object_id), f"{object_id:x} is freed, and mapped")
            if object_id in self.chunks:
                self.chunks[object_id].is_freed = True

    def _judge_refusal(self, order: m.RefuseRoom, size: int, now: float) -> None:
        if size > self.limits.memory:
            return  # it will never fit
        law(not self.is_disk_busy(), f"{order}, but something leaves or returns")
        if any(worker.outbox or worker.inbox for worker in self.laws.workers.values()):
            return  # the kernel does not know yet what is true
        law(self.shortage(size) > 0, f"{order}, but there is room")
        movable = list(self.movable(now))
        law(not movable, f"{order}, but {movable[:1]} could be moved to disk")
        at_work = list(self.at_work())
        law(not at_work, f"{order}, but {at_work[:1]} work, and may let go of something")

    # ---- what could be

    def in_memory(self) -> int:
        """The bytes that really take memory now."""
        return sum(chunk.in_memory for chunk in self.chunks.values())

    def shortage(self, size: int) -> int:
        """How much is missing before a process may be promised so much more. Standing allowances are not counted."""
        standing = self.limits.standing * len(self.room)
        return self.in_memory() + sum(self.room.values()) + size - standing - self.limits.memory

    def movable(self, now: float) -> Iterator[ObjectId]:
        """What the kernel knows, nobody reads, and the disk would take."""
        if now < self.disk_failed_at + DISK_PAUSE_S:
            return
        for object_id, chunk in self.chunks.items():
            if not self._is_known(object_id) or not chunk.is_in_memory or chunk.is_leaving:
                continue
            fits = chunk.has_copy or self.on_disk() + chunk.size <= self.limits.disk
            if fits and not self._is_read(object_id):
                yield object_id

    def is_disk_busy(self) -> bool:
        """Whether memory may become free by itself."""
        return any(isinstance(job, m.LoadObject) or not self.chunks[job.object].is_freed for job in self.jobs)

    def at_work(self) -> Iterator[WorkerId]:
        """Workers with a task that waits for nothing that the kernel knows of."""
        waiting = {process for process, _ in self.requests}
        for worker in self.laws.workers.values():
            if worker.is_alive and worker.owes and not worker.is_blocked and worker.id not in waiting:
                yield worker.id

    def _is_told(self, object_id: ObjectId) -> bool:
        return any(places.get(object_id) for places in self.told.values())

    def _is_read(self, object_id: ObjectId) -> bool:
        """As the kernel knows it: who was told of it on disk counts as a reader, too, also when it is back."""
        if self.is_mapped(object_id) or any(object_id in places for places in self.told.values()):
            return True
        attempts = (attempt for worker in self.laws.workers.values() for attempt in worker.owes)
        return any(object_id in self.laws.jobs[task].spec.needs for task, _ in attempts)

    def on_disk(self) -> int:
        """The bytes on disk, and those that are being written there."""
        return sum(c.size for c in self.chunks.values() if not c.is_freed and (c.has_copy or c.is_leaving))

    def _check_limit(self) -> None:
        # Also for the dead: what a worker wrote on its allowance outlives it, and the next worker has one of its own.
        most = self.limits.memory + self.limits.standing * self.processes
        law(self.in_memory() <= most, f"{self.in_memory()} bytes are in memory, at most {most} may be")

    # ---- what must have been ordered

    def check_nobody_is_forgotten(self, now: float) -> None:
        """When nothing can happen any more: who waits for room has a reason."""
        law(not self.jobs, f"{self.jobs} were never done")
        waiting = [self.requests[key] for key in self.heard]
        if waiting:
            law(self.shortage(waiting[0]) > 0, f"{waiting[0]} could be granted, and is not")
            movable = list(self.movable(now))
            law(not movable, f"{movable} could be moved to make room, and are not")
            law(any(self.at_work()), f"{len(waiting)} wait for room, and nobody can make any")

    def check_end(self, needed: set[ObjectId]) -> None:
        """When everything was let go of, nothing is left but what tasks need that can never run."""
        left = {object_id for object_id, chunk in self.chunks.items() if not chunk.is_freed}
        law(left <= needed, f"bytes of {left - needed} are left")
        law(not self.told and not +self.maps, f"{self.told} and {+self.maps} are still read")
        law(not self.requests, f"{self.requests} still wait for room")
