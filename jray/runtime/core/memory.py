"""The books of shared memory: what lies in it, who may write more, and what must go to disk.

The limit is kept by promises. A process writes only what it was promised: a standing allowance, so that results are
sealed without asking, and the room that it has asked for. What it reports as written is taken off its promise.

What nobody reads can be moved to disk, the least recently read first. Readers of an object on disk read the file; it
is brought back into memory when there is room for it anyway. So nobody ever waits for memory in order to read.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from jray.runtime.core.messages import (
    Allow,
    GrantRoom,
    Instruction,
    KeepWarm,
    LoadObject,
    MoveToDisk,
    RefuseRoom,
    SpillObject,
)
from jray.runtime.ids import ObjectId, WorkerId

_UNLIMITED = 1 << 62
_LARGEST_STANDING = 16 << 20
_LARGEST_WARM = 256 << 20
_TIGHT = (0.60, 0.75)  # of the memory: no free pages are kept from the second on, until it is below the first
DISK_PAUSE_S = 5.0  # after the disk refused something nothing is moved there for so long
STUCK_S = 1.0  # nothing can be moved to make room: so long it is left to those who may end or let go of something


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """What the store may take.

    Attributes:
        memory: bytes of shared memory. Results that were on their way when it was reached may stand above it for a
            moment, by at most `standing` for each process.
        disk: bytes on disk.
        standing: bytes that each process may write without asking.
        warm: bytes of free pages that each process keeps for its next values, while there is plenty.
    """

    memory: int = _UNLIMITED
    disk: int = _UNLIMITED
    standing: int = 0
    warm: int = 0

    @staticmethod
    def of(memory: int, disk: int | None, processes: int) -> StoreLimits:
        """For so many processes that write at once. The warm pages of all together are a quarter of the memory."""
        return StoreLimits(
            memory=memory,
            disk=_UNLIMITED if disk is None else disk,
            standing=min(_LARGEST_STANDING, memory // 32),
            warm=min(_LARGEST_WARM, memory // 4 // max(1, processes)),
        )


class Place(Enum):
    """Where an object's bytes are."""

    MEMORY = "memory"
    LEAVING = "leaving"  # in memory; being copied to disk
    DISK = "disk"
    RETURNING = "returning"  # on disk; being copied to memory


@dataclass(slots=True, eq=False)
class BlockRecord:
    """An object that does not fit into a message.

    Invariant: `readers` counts the kernel's views, the workers that have views, the attempts in workers' lines that
    read it, and the replies with it that were not read yet.
    """

    size: int  # bytes that it takes in memory, and on disk
    place: Place = Place.MEMORY
    readers: int = 0
    has_copy: bool = False  # on disk as well: it was there before

    @property
    def is_in_memory(self) -> bool:
        """Whether it takes shared memory now."""
        return self.place in _IN_MEMORY


_IN_MEMORY = (Place.MEMORY, Place.LEAVING)


class Request(NamedTuple):
    """A process wants to write more than it was promised; one of its threads waits."""

    process: WorkerId
    request: int
    size: int
    at: float


class Memory:
    """Who may write how much, and what is where.

    Invariant: `used` is the sum of what is in memory, `promised` of all promises. Checked in invariants.py.
    """

    def __init__(self, limits: StoreLimits) -> None:
        """Nothing is stored, nobody may write."""
        self.limits = limits
        self.blocks: dict[ObjectId, BlockRecord] = {}
        self.used = 0
        self.leaving = 0  # of `used`: will be free soon
        self.returning = 0  # will be used soon
        self.unwanted: dict[ObjectId, int] = {}  # of `returning`: freed, and still being copied
        self.on_disk = 0  # copies included
        self.promises: dict[WorkerId, int] = {}
        self.promised = 0
        self.requests: deque[Request] = deque()
        self.is_dirty = False  # something has changed that `settle` must see
        self.no_disk = ""  # why the disk refused, while it is left alone
        self._no_disk_until = 0.0
        self._stuck_since: float | None = None
        self._spent: dict[WorkerId, None] = {}  # processes that have written, and may need a new allowance
        self._idle: OrderedDict[ObjectId, BlockRecord] = OrderedDict()  # MEMORY without readers; the first go first
        self._wanted: dict[ObjectId, None] = {}  # on disk, and read lately
        self._copied: dict[ObjectId, None] = {}  # to disk, in this batch of events
        self._is_tight, self._kept_warm = False, limits.warm

    # ---- processes

    def admit(self, process: WorkerId) -> None:
        """It lives, and has the standing allowance."""
        self.promises[process] = self.limits.standing
        self.promised += self.limits.standing

    def share_among(self, processes: int) -> None:
        """So many write at once from now on: together they keep no more free pages than before."""
        self.limits = replace(self.limits, warm=StoreLimits.of(self.limits.memory, None, processes).warm)
        self.is_dirty = True

    def dismiss(self, process: WorkerId) -> None:
        """It is gone, with what it was promised and asked for."""
        self.promised -= self.promises.pop(process, 0)
        self._spent.pop(process, None)
        if self.requests:
            self.requests = deque(request for request in self.requests if request.process != process)
        self.is_dirty = True

    def wrote(self, process: WorkerId, size: int) -> None:
        """It reports blocks of this size together. Whether they count is said by `keep`."""
        if process in self.promises:
            self.promises[process] -= size
            self.promised -= size
            self._spent[process] = None
            self.is_dirty = True

    # ---- objects

    def keep(self, object_id: ObjectId, size: int) -> None:
        """A block that was written is an object's value."""
        record = self.blocks[object_id] = self._idle[object_id] = BlockRecord(size)
        self.used += record.size
        self.is_dirty = True

    def free(self, objects: Iterable[ObjectId]) -> None:
        """These are gone."""
        blocks = self.blocks
        for object_id in objects:
            record = blocks.pop(object_id, None) if blocks else None
            if record is None:
                continue
            self._idle.pop(object_id, None)
            self._wanted.pop(object_id, None)
            if record.is_in_memory:
                self.used -= record.size
            if record.place is Place.LEAVING and object_id not in self._copied:
                self.leaving -= record.size
            if record.place is Place.RETURNING:
                self.unwanted[object_id] = record.size
            if record.has_copy:
                self.on_disk -= record.size
            self.is_dirty = True

    def begin_reading(self, objects: Iterable[ObjectId]) -> None:
        """Somebody is told where these lie, or maps them: they stay where they are."""
        for object_id in objects:
            record = self.blocks.get(object_id)
            if record is None:
                continue
            record.readers += 1
            if record.place is Place.MEMORY:
                self._idle.pop(object_id, None)
            elif record.place is Place.DISK:
                self._wanted[object_id] = None
                self.is_dirty = True

    def end_reading(self, objects: Iterable[ObjectId]) -> None:
        """Somebody has done with them."""
        for object_id in objects:
            record = self.blocks.get(object_id)
            if record is None or not record.readers:
                continue
            record.readers -= 1
            if not record.readers and record.place is Place.MEMORY:
                self._idle[object_id] = record
                self.is_dirty = True

    def blocks_of(self, objects: Iterable[ObjectId]) -> tuple[ObjectId, ...]:
        """Those that lie in memory or on disk, and not in messages."""
        return tuple(object_id for object_id in objects if object_id in self.blocks) if self.blocks else ()

    # ---- room

    def ask(self, request: Request) -> None:
        """A thread waits until it may write so much."""
        if any((r.process, r.request) == (request.process, request.request) for r in self.requests):
            return  # said twice
        if request.size > self.limits.memory:
            self.requests.appendleft(request)  # it is refused at once: nobody waits for that
        else:
            self.requests.append(request)
        self.is_dirty = True

    def abandon(self, process: WorkerId, number: int) -> None:
        """It does not wait any more. Passed over when it was answered."""
        self.requests = deque(r for r in self.requests if (r.process, r.request) != (process, number))
        self.is_dirty = True

    def spilled(self, object_id: ObjectId, at: float, error: str) -> None:
        """The copy is on disk, or could not be made."""
        self.is_dirty = True
        if error:
            self.no_disk, self._no_disk_until = error, at + DISK_PAUSE_S
        record = self.blocks.get(object_id)
        if record is None or record.place is not Place.LEAVING or object_id in self._copied:
            return  # freed meanwhile, or said twice
        self.leaving -= record.size
        if error:
            self._stay(object_id, record)
            return
        if not record.has_copy:
            record.has_copy = True
            self.on_disk += record.size
        self._copied[object_id] = None

    def _stay(self, object_id: ObjectId, record: BlockRecord) -> None:
        record.place = Place.MEMORY
        if not record.readers:
            self._idle[object_id] = record

    def loaded(self, object_id: ObjectId, *, succeeded: bool) -> None:
        """It is in memory again, or could not be read: its readers will find out why."""
        unwanted = self.unwanted.pop(object_id, None)
        if unwanted is not None:  # freed meanwhile
            self.returning -= unwanted
            self.is_dirty = True
        record = self.blocks.get(object_id)
        if record is None or record.place is not Place.RETURNING:
            return
        self.is_dirty = True
        self.returning -= record.size
        record.place = Place.DISK
        if succeeded:
            self.used += record.size
            self._stay(object_id, record)

    # ---- settle

    def settle(
        self, now: float, *, is_anybody_at_work: Callable[[], bool], explain: Callable[[Request], str]
    ) -> Iterator[Instruction]:
        """All that has become possible, if anything has changed.

        When nothing can be moved to make room, who may still run is waited for: they may let go of something.
        `explain` puts into words why there is no room.
        """
        if not self.is_dirty:
            return
        self.is_dirty = False
        if not self.requests:
            self._stuck_since = None
        yield from self._leave()
        yield from self._make_room(now)
        while self.requests and self._is_hopeless(now, is_anybody_at_work):
            request = self.requests.popleft()
            yield RefuseRoom(request.process, request.request, bool(self.no_disk), explain(request))
            yield from self._make_room(now)
        yield from self._load()
        yield from self._top_up()
        yield from self._warm()

    @property
    def wake_at(self) -> float | None:
        """When `settle` must look again although nothing was heard."""
        return None if self._stuck_since is None else self._stuck_since + STUCK_S

    def _leave(self) -> Iterator[Instruction]:
        """What was copied goes, unless somebody reads it: this batch may have sent it to a worker."""
        for object_id in self._copied:
            record = self.blocks.get(object_id)
            if record is None:
                continue
            if record.readers:
                self._stay(object_id, record)
            else:
                record.place = Place.DISK
                self.used -= record.size
                yield MoveToDisk(object_id)
        self._copied.clear()

    def _make_room(self, now: float) -> Iterator[Instruction]:
        yield from self._grant()
        yield from self._spill(self._shortage(self.requests[0].size if self.requests else self._next_allowance()), now)

    def _grant(self) -> Iterator[Instruction]:
        while self.requests and self._shortage(self.requests[0].size) <= 0:
            request = self.requests.popleft()
            self.promises[request.process] += request.size
            self.promised += request.size
            self._stuck_since = None
            yield GrantRoom(request.process, request.request)

    def _is_hopeless(self, now: float, is_anybody_at_work: Callable[[], bool]) -> bool:
        """Whether the first request will not be met. Notes since when nothing moves."""
        if self.requests[0].size > self.limits.memory:
            return True
        if self.leaving or self.returning:
            self._stuck_since = None
            return False
        if self._stuck_since is None:
            self._stuck_since = now
        if now < self._stuck_since + STUCK_S:
            return False
        self._stuck_since = now  # the next one, or this one again, has as long
        return not is_anybody_at_work()

    def missing(self, size: int) -> int:
        """How many bytes too few there are for a value of this size."""
        return max(0, self._shortage(size))

    def _shortage(self, size: int) -> int:
        """How many bytes are missing before so much more may be promised; the standing allowances are not counted."""
        standing = self.limits.standing * len(self.promises)
        return self.used + self.promised + self.returning + size - standing - self.limits.memory

    def _spill(self, shortage: int, now: float) -> Iterator[Instruction]:
        if now >= self._no_disk_until:
            self.no_disk = ""
        while shortage > self.leaving and self._idle and not self.no_disk:
            room = self.limits.disk - self.on_disk - self.leaving
            object_id = next((o for o, idle in self._idle.items() if idle.has_copy or idle.size <= room), None)
            if object_id is None:
                self.no_disk = "the limit for spilled objects is reached"  # as long as nothing else has changed
                return
            record = self._idle.pop(object_id)
            record.place = Place.LEAVING
            self.leaving += record.size
            yield SpillObject(object_id)

    def _load(self) -> Iterator[Instruction]:
        """Bring back what was read lately, if nobody else must go for it."""
        while self._wanted and not self.requests:
            object_id = next(iter(self._wanted))
            record = self.blocks[object_id]
            if record.place is Place.DISK:
                if self._shortage(record.size) > 0:
                    self._wanted.clear()  # who reads it the next time asks again
                    return
                record.place = Place.RETURNING
                self.returning += record.size
                yield LoadObject(object_id)
            del self._wanted[object_id]

    def _top_up(self) -> Iterator[Instruction]:
        """Who has used up half of its standing allowance gets all of it again, while there is room."""
        standing = self.limits.standing
        while self._spent and self._shortage(missing := self._next_allowance()) <= 0:
            process = next(iter(self._spent))
            del self._spent[process]
            if missing > standing // 2:
                self.promises[process] += missing
                self.promised += missing
                yield Allow(process, missing)

    def _next_allowance(self) -> int:
        """What the first process that has written lacks of its standing allowance."""
        return max(0, self.limits.standing - self.promises[next(iter(self._spent))]) if self._spent else 0

    def _warm(self) -> Iterator[Instruction]:
        taken = self.used + self.promised + self.returning
        self._is_tight = taken > self.limits.memory * _TIGHT[not self._is_tight]
        warm = 0 if self._is_tight else self.limits.warm
        if warm != self._kept_warm:
            self._kept_warm = warm
            yield KeepWarm(warm)
