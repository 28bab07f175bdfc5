"""Who holds which object, and when it may be freed. Part of the scheduler's books."""

from __future__ import annotations

from collections.abc import Iterable

from jray.runtime.core.model import ObjectRecord, ObjectState
from jray.runtime.ids import ObjectId, TaskId

_PENDING, _READY = ObjectState.PENDING, ObjectState.READY


class References:
    """The books of all objects.

    Holders are refs in the kernel and worker processes; pins are unfinished tasks (arguments) and objects that contain
    the object. What nobody holds or pins any more is freed, with all that it alone kept alive.
    """

    __slots__ = ("_freed", "objects", "pending")

    def __init__(self) -> None:
        """Start with no object."""
        self.objects: dict[ObjectId, ObjectRecord] = {}
        self.pending = 0  # of them: not there yet
        self._freed: list[ObjectId] = []

    def expect(self, object_id: ObjectId) -> None:
        """A task will make it; its submitter holds one ref."""
        self.objects[object_id] = ObjectRecord()
        self.pending += 1

    def resolve(self, object_id: ObjectId, state: ObjectState, contains: tuple[ObjectId, ...]) -> ObjectRecord:
        """It is there, or will never be. Freed at once when nobody holds it any more."""
        record = self.objects[object_id]
        record.state = state
        self.pending -= 1
        if contains:
            record.contains = contains
            self.pin(contains)
        if not record.holders and not record.pins:
            self._free(object_id)
        return record

    def resolve_all(self, results: Iterable[tuple[TaskId, object]]) -> list[tuple[ObjectId, ObjectRecord]]:
        """The first results of these tasks are there, and contain nothing. Those of them that somebody waits for."""
        objects, awaited = self.objects, []
        resolved = 0
        for task, _ in results:
            object_id: ObjectId = task  # type: ignore[assignment] # see ids.returned_object
            record = objects[object_id]
            record.state = _READY
            resolved += 1
            if record.waiters:
                awaited.append((object_id, record))
            if not record.holders and not record.pins:
                self._free(object_id)
        self.pending -= resolved
        return awaited

    def hold(self, object_id: ObjectId) -> bool:
        """One holder more. False when it is gone already: the holder's report was late or wrong."""
        record = self.objects.get(object_id)
        if record is None:
            return False
        record.holders += 1
        return True

    def let_go(self, object_id: ObjectId) -> None:
        """One holder less."""
        record = self.objects.get(object_id)
        if record is None or not record.holders:
            return
        record.holders -= 1
        if not record.holders and not record.pins and record.state is not _PENDING:
            if record.contains:
                self._free(object_id)
            else:  # the usual case
                del self.objects[object_id]
                self._freed.append(object_id)

    def pin(self, objects: Iterable[ObjectId]) -> None:
        """Keep them alive until `unpin`. Unknown ones are passed over, and by `unpin` too."""
        for object_id in objects:
            record = self.objects.get(object_id)
            if record is not None:
                record.pins += 1

    def unpin(self, objects: Iterable[ObjectId]) -> None:
        """The task ended, or the container was freed."""
        for object_id in objects:
            record = self.objects.get(object_id)
            if record is None:
                continue
            record.pins -= 1
            if not record.holders and not record.pins and record.state is not _PENDING:
                self._free(object_id)

    def take_freed(self) -> list[ObjectId]:
        """What became free since the last call, containers first."""
        freed, self._freed = self._freed, []
        return freed

    def _free(self, object_id: ObjectId) -> None:
        # A loop, not a recursion: a chain of refs may be longer than the stack.
        doomed = [object_id]
        while doomed:
            record = self.objects.pop(doomed[-1], None)
            self._freed.append(doomed.pop())
            if record is None:
                continue
            for inner_id in record.contains:
                inner = self.objects.get(inner_id)
                if inner is None:
                    continue
                inner.pins -= 1
                if not inner.holders and not inner.pins and inner.state is not _PENDING:
                    doomed.append(inner_id)
