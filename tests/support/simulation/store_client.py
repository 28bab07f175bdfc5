"""What a simulated process does with shared memory: it asks for room, writes, maps, and lets go."""

from __future__ import annotations

from collections.abc import Callable, Container
from itertools import count

from jray.runtime.core import messages as m
from jray.runtime.ids import NO_TASK, ObjectId, WorkerId
from tests.support.simulation.laws import law
from tests.support.simulation.memory import Bytes, Told
from tests.support.simulation.mood import StoreMood


class StoreClient:
    """One process's side. What it knows of its room may be older than what the kernel has decided."""

    def __init__(self, process: WorkerId, truth: Bytes, mood: StoreMood, say: Callable[[m.Event], None]) -> None:
        """It has its standing allowance."""
        self.process, self.mood, self.truth = process, mood, truth
        self._say = say
        self._allowance = truth.limits.standing
        self._next_request = count(1).__next__
        self._asked: dict[int, int] = {}  # request -> size, not answered
        self.views: dict[ObjectId, None] = {}  # of a worker, that it has reported: each is a ref, too

    # ---- room

    def try_to_write(self, object_id: ObjectId, size: int) -> bool:
        """Write a value if the allowance is large enough."""
        if size > self._allowance:
            return False
        self._allowance -= size
        self.truth.note_written(self.process, object_id, size)
        return True

    def ask(self, size: int) -> int:
        """Wait for room."""
        number = self._next_request()
        self._asked[number] = self.truth.requests[(self.process, number)] = size
        self._say(m.RoomAsked(0.0, self.process, number, size))
        return number

    def give_up(self, request: int) -> None:
        """The thread goes away. Room that is granted all the same is returned."""
        self._say(m.RoomAbandoned(0.0, self.process, request))

    def granted(self, request: int) -> None:
        """The kernel said yes."""
        self._allowance += self._asked.pop(request)

    def refused(self, request: int) -> None:
        """The kernel said no."""
        self._asked.pop(request)

    def allowed(self, size: int) -> None:
        """The kernel said that it may write more."""
        self._allowance += size

    def discard(self, object_id: ObjectId) -> None:
        """A value that was written is of no use."""
        self._allowance += self.truth.note_discarded(self.process, object_id)

    def return_excess(self) -> None:
        """What exceeds the standing allowance, and is not needed, is for others."""
        excess = self._allowance - self.truth.limits.standing
        if excess > 0:
            self._allowance -= excess
            self.truth.room[self.process] -= excess
            self._say(m.RoomReturned(0.0, self.process, excess))

    # ---- views

    def read_told(self, told: Told, held: Container[ObjectId]) -> list[ObjectId]:
        """Look where it was told; returns what is mapped now."""
        places = self.truth.told.pop(told, {})
        there = [object_id for object_id, is_in_memory in places.items() if is_in_memory and object_id in held]
        for object_id in there:
            law(self.truth.look(object_id), f"{object_id:x} is not in memory any more")
        self.truth.note_mapped(self.process, there)
        return there

    def read_reply(self, request: int, refs: Container[ObjectId]) -> None:
        """A worker reads what it waited for, if it holds it still."""
        told = Told(self.process, NO_TASK, request)
        if told in self.truth.told:
            mapped = self.read_told(told, refs)
            self.keep_views(mapped, refs)
            self.truth.note_unmapped(self.process, mapped)
            self._say(m.ReplyRead(0.0, self.process, request))

    def keep_views(self, mapped: list[ObjectId], refs: Container[ObjectId]) -> None:
        """Some of what a worker has read now it goes on reading."""
        kept = tuple(object_id for object_id in mapped if object_id in refs and self.mood.keeps())
        self.truth.note_mapped(self.process, [object_id for object_id in kept if object_id not in self.views])
        self.views.update(dict.fromkeys(kept))
        if kept:
            self._say(m.ViewsTaken(0.0, self.process, kept))

    def drop_views(self, objects: list[ObjectId]) -> None:
        """The last view of each is gone."""
        for object_id in objects:
            del self.views[object_id]
        self.truth.note_unmapped(self.process, objects)
        if objects:
            self._say(m.ViewsDropped(0.0, self.process, tuple(objects)))
