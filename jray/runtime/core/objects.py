"""What is heard of objects: who put them, holds them, reads them, and where their bytes went.

These handlers write facts into the books of references and of memory. What becomes possible by them is settled by the
scheduler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jray.runtime.core import messages as m
from jray.runtime.core.memory import Memory, Request
from jray.runtime.core.model import ObjectState, WorkerRecord
from jray.runtime.core.references import References
from jray.runtime.ids import KERNEL, ObjectId, WorkerId


class ObjectEvents:
    """The handlers of events about objects."""

    def __init__(self, references: References, memory: Memory, workers: Mapping[WorkerId, WorkerRecord]) -> None:
        """All three are the scheduler's."""
        self._references, self._memory, self._workers = references, memory, workers

    def handlers(self) -> Iterator[tuple[type, Callable[[Any], None]]]:
        """Which event is whose."""
        yield m.ObjectPut, self._on_put
        yield m.RefsTaken, self._on_refs_taken
        yield m.RefsDropped, self._on_refs_dropped
        yield m.ViewsTaken, self._on_views_taken
        yield m.ViewsDropped, self._on_views_dropped
        yield m.ReplyRead, self._on_reply_read
        yield m.RoomAsked, self._on_room_asked
        yield m.RoomAbandoned, self._on_room_abandoned
        yield m.RoomReturned, self._on_room_returned
        yield m.ObjectSpilled, self._on_spilled
        yield m.ObjectLoaded, self._on_loaded

    def _on_put(self, event: m.ObjectPut) -> None:
        if event.object in self._references.objects:
            return  # said twice
        self._references.expect(event.object)
        if event.size:
            self._memory.wrote(event.owner, event.size)
            self._memory.keep(event.object, event.size)
        if event.owner != KERNEL:
            self.note_refs_of(event.owner, (event.object,))
        self._references.resolve(event.object, ObjectState.READY, event.contains)

    def _on_refs_taken(self, event: m.RefsTaken) -> None:
        if event.holder == KERNEL:
            for object_id in event.objects:
                self._references.hold(object_id)
            return
        worker = self._workers.get(event.holder)
        if worker is None:
            return
        for object_id in event.objects:
            if object_id not in worker.refs and self._references.hold(object_id):
                worker.refs.add(object_id)

    def _on_refs_dropped(self, event: m.RefsDropped) -> None:
        if event.holder == KERNEL:
            for object_id in event.objects:
                self._references.let_go(object_id)
            return
        worker = self._workers.get(event.holder)
        if worker is None:
            return
        for object_id in event.objects:
            if object_id in worker.refs:
                worker.refs.discard(object_id)
                self._references.let_go(object_id)

    def note_refs_of(self, owner: WorkerId, objects: Sequence[ObjectId]) -> None:
        """A worker holds these, which were counted for it when they were made."""
        worker = self._workers.get(owner)
        if worker is not None:
            worker.refs.update(objects)
        else:  # it is gone already, and with it its refs
            for object_id in objects:
                self._references.let_go(object_id)

    def _on_views_taken(self, event: m.ViewsTaken) -> None:
        if event.holder == KERNEL:
            self._memory.begin_reading(event.objects)
            return
        worker = self._workers.get(event.holder)
        if worker is not None:
            new = [object_id for object_id in event.objects if object_id not in worker.views]
            worker.views.update(new)
            self._memory.begin_reading(new)

    def _on_views_dropped(self, event: m.ViewsDropped) -> None:
        if event.holder == KERNEL:
            self._memory.end_reading(event.objects)
            return
        worker = self._workers.get(event.holder)
        if worker is not None:
            gone = [object_id for object_id in event.objects if object_id in worker.views]
            worker.views.difference_update(gone)
            self._memory.end_reading(gone)

    def lend(self, worker: WorkerRecord, request: int, objects: Sequence[ObjectId]) -> None:
        """The reply to a wait tells the worker where these lie: they stay there until it has read the reply."""
        lent = self._memory.blocks_of(objects)
        if lent:
            worker.lent[request] = lent
            self._memory.begin_reading(lent)

    def _on_reply_read(self, event: m.ReplyRead) -> None:
        worker = self._workers.get(event.worker)
        if worker is not None:
            self._memory.end_reading(worker.lent.pop(event.request, ()))

    def forget_worker(self, worker: WorkerRecord) -> None:
        """It is gone, with all that it held, read, and was promised."""
        for object_id in worker.refs:
            self._references.let_go(object_id)
        self._memory.end_reading(worker.views)
        for lent in worker.lent.values():
            self._memory.end_reading(lent)
        self._memory.dismiss(worker.id)

    def _on_room_asked(self, event: m.RoomAsked) -> None:
        if event.process == KERNEL or event.process in self._workers:
            self._memory.ask(Request(event.process, event.request, event.size, event.at))

    def _on_room_abandoned(self, event: m.RoomAbandoned) -> None:
        self._memory.abandon(event.process, event.request)

    def _on_room_returned(self, event: m.RoomReturned) -> None:
        self._memory.wrote(event.process, event.size)  # it is taken off the promise all the same

    def _on_spilled(self, event: m.ObjectSpilled) -> None:
        self._memory.spilled(event.object, event.at, event.error)

    def _on_loaded(self, event: m.ObjectLoaded) -> None:
        self._memory.loaded(event.object, succeeded=event.succeeded)
