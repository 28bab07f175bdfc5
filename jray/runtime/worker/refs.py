"""Which objects this worker holds, told to the kernel once for each object."""

from __future__ import annotations

from collections import deque

from jray.runtime.ids import ObjectId
from jray.runtime.interrupts import shielded


class HeldObjects:
    """Counts refs and views in this process. `retain` and `release` only append: they run inside finalizers too."""

    def __init__(self) -> None:
        """Nothing is held."""
        # As long as both are empty, `news` has nothing to tell.
        self.retained: deque[ObjectId] = deque()
        self.released: deque[ObjectId] = deque()
        self.retain = self.retained.append
        self.release = self.released.append
        self._counts: dict[ObjectId, int] = {}
        self._known: set[ObjectId] = set()  # the kernel believes that we hold them

    @shielded
    def adopt(self, object_id: ObjectId) -> None:
        """A ref that the kernel has counted for us already: we submitted or put it."""
        self._known.add(object_id)
        self.retained.append(object_id)

    @shielded
    def news(self) -> tuple[tuple[ObjectId, ...], tuple[ObjectId, ...]]:
        """(taken, dropped) since the last call. One caller at a time."""
        releases = len(self.released)  # first: whatever was released by now was retained before
        touched: dict[ObjectId, None] = {}
        counts = self._counts
        while self.retained:
            object_id = self.retained.popleft()
            counts[object_id] = counts.get(object_id, 0) + 1
            touched[object_id] = None
        for _ in range(releases):
            object_id = self.released.popleft()
            counts[object_id] = counts.get(object_id, 0) - 1
            touched[object_id] = None
        taken, dropped = [], []
        for object_id in touched:
            if counts[object_id] > 0:
                if object_id not in self._known:
                    self._known.add(object_id)
                    taken.append(object_id)
            else:
                del counts[object_id]
                if object_id in self._known:
                    self._known.discard(object_id)
                    dropped.append(object_id)
        return tuple(taken), tuple(dropped)
