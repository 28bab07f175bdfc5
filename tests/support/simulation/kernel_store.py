"""What the user's program does with shared memory, and what the kernel's disk does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

from jray.runtime.core import messages as m
from jray.runtime.ids import KERNEL, ObjectId
from tests.support.simulation.laws import Fate, Laws
from tests.support.simulation.memory import Bytes
from tests.support.simulation.mood import StoreMood
from tests.support.simulation.store_client import StoreClient
from tests.support.simulation.worker import SimulatedWorker


class KernelStore:
    """The moves of a world that has shared memory: each says whether there was something to do.

    What the kernel says waits in an inbox, which is read before everything that is said later.
    """

    def __init__(
        self, truth: Bytes, mood: StoreMood, laws: Laws, workers: list[SimulatedWorker], next_id: Callable[[], int]
    ) -> None:
        """Nothing is stored."""
        self.truth, self.inbox = truth, list[m.Event]()
        self._mood, self._laws, self._workers, self._next_id = mood, laws, workers, next_id
        self._rng: Random = mood.rng
        self._client = StoreClient(KERNEL, truth, mood, self.inbox.append)
        self._puts: dict[int, tuple[ObjectId, tuple[ObjectId, ...], int]] = {}  # by request: they wait for room
        self._views: Counter[ObjectId] = Counter()
        self._has_asked_for_all = False

    # ---- the user's program

    def put(self) -> bool:
        """Store a value, or wait for room for it."""
        self._put(self._mood.size())
        return True

    def ask_for_all(self) -> bool:
        """Once, in the end: store a value that fills the memory. All that nobody reads must leave for it."""
        is_first, self._has_asked_for_all = not self._has_asked_for_all, True
        if is_first:
            self._put(self.truth.limits.memory)
        return is_first

    def _put(self, size: int) -> None:
        new = ObjectId(self._next_id())
        held = self._laws.refs_of_kernel()
        inner = tuple(self._rng.sample(held, min(len(held), self._rng.choice((0, 0, 1)))))
        if size and not self._client.try_to_write(new, size):
            self._puts[self._client.ask(size)] = (new, inner, size)
        else:
            self._say_put(new, inner, size)

    def _say_put(self, new: ObjectId, inner: tuple[ObjectId, ...], size: int) -> None:
        self._laws.note_put(new, inner)
        self._laws.kernel_refs[new] += 1
        self.inbox.append(m.ObjectPut(0.0, new, KERNEL, inner, size))

    def read(self) -> bool:
        """Map a value. It is a ref, too; where it lies is known only if it is there."""
        chunks, things = self.truth.chunks, self._laws.things
        held = [ref for ref in self._laws.refs_of_kernel() if ref in chunks and things[ref].fate is Fate.READY]
        if not held:
            return False
        ref = self._rng.choice(held)
        self._laws.kernel_refs[ref] += 1
        self.inbox += [m.RefsTaken(0.0, KERNEL, (ref,)), m.ViewsTaken(0.0, KERNEL, (ref,))]
        if self.truth.look(ref):
            self.truth.note_mapped(KERNEL, (ref,))
            self._views[ref] += 1
        else:  # a copy was read from disk
            self._say_dropped(ref)
        return True

    def drop_view(self) -> bool:
        """One view less."""
        views = list(+self._views)
        if views:
            self._unmap(self._rng.choice(views))
        return bool(views)

    def _unmap(self, ref: ObjectId) -> None:
        self._views[ref] -= 1
        self.truth.note_unmapped(KERNEL, (ref,))
        self._say_dropped(ref)

    def _say_dropped(self, ref: ObjectId) -> None:
        self._laws.kernel_refs[ref] -= 1
        self.inbox += [m.ViewsDropped(0.0, KERNEL, (ref,)), m.RefsDropped(0.0, KERNEL, (ref,))]

    def let_go(self, ref: ObjectId) -> None:
        """The program wants to drop a ref: the last ones are those of views."""
        while self._views[ref] and self._views[ref] >= self._laws.kernel_refs[ref]:
            self._unmap(ref)

    def drop_views(self) -> None:
        """The program's variables are gone."""
        for ref in list(self._views.elements()):
            self._unmap(ref)

    def stop_waiting(self) -> None:
        """Nobody stores anything any more."""
        for request in [*self._puts]:
            self._give_up(request)
        self._client.return_excess()

    # ---- room

    def answer(self, order: m.GrantRoom | m.RefuseRoom | m.Allow) -> None:
        """What the scheduler decided about the kernel's own room."""
        match order:
            case m.Allow(_, size):
                self._client.allowed(size)
            case m.RefuseRoom(_, request):
                self._client.refused(request)
                self._puts.pop(request, None)
            case m.GrantRoom(_, request):
                self._client.granted(request)
                waiting = self._puts.pop(request, None)
                if waiting is None:
                    self._client.return_excess()
                    return
                new, inner, size = waiting
                assert self._client.try_to_write(new, size)
                self._say_put(new, tuple(ref for ref in inner if self._laws.kernel_refs[ref] > 0), size)

    def abandon(self) -> bool:
        """A thread does not wait for room any more."""
        in_workers = [w for w in self._workers if w.body is not None and w.body.room_wait is not None]
        if not (self._puts or in_workers) or self._rng.random() > self._mood.gives_up:
            return False
        chosen = self._rng.choice([*self._puts, *in_workers])
        if isinstance(chosen, SimulatedWorker):
            chosen.give_up_room()
        else:
            self._give_up(chosen)
        return True

    def _give_up(self, request: int) -> None:
        del self._puts[request]
        self._client.give_up(request)

    def is_delicate(self, worker: SimulatedWorker) -> bool:
        """Whether it reads, has written, or waits for room: there is something to untangle when it dies."""
        is_writing = worker.body is not None and bool(worker.body.written or worker.body.room_wait)
        is_reading = worker.store is not None and bool(worker.store.views)
        return is_writing or is_reading or any(told.worker == worker.id for told in self.truth.told)

    # ---- the kernel

    def end_a_job(self, at: float) -> bool:
        """The disk is done with something, not in the order in which it was told."""
        if not self.truth.jobs:
            return False
        error = "the disk is broken" if self._rng.random() < self._mood.disk_fails else ""
        self.inbox.append(self.truth.end_job(self._rng.choice(self.truth.jobs), error, at))
        return True
