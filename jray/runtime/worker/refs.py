"""Which objects this worker holds, told to the kernel once for each object."""

from __future__ import annotations

from collections import deque

from jray.runtime.ids import ObjectId
from jray.runtime.interrupts import shielded


class HeldObjects:
    """Counts refs and views in this process. `retain` and `release` only append: they run inside finalizers too."""

    def __init__(self) -> None:
        """Nothing is held."""
        self._retained: deque[ObjectId] = deque()
        self._released: deque[ObjectId] = deque()
        self.retain = self._retained.append
        self.release = self._released.append
        self._counts: dict[ObjectId, int] = {}
        self._known: set[ObjectId] = set()  # the kernel believes that we hold them

    @shielded
    def adopt(self, object_id: ObjectId) -> None:
        """A ref that the kernel has counted for us already: we submitted or put it."""
        self._known.add(object_id)
        self._retained.append(object_id)

    @property
    def has_news(self) -> bool:
        """Whether `news` may have something to tell."""
        return bool(self._retained or self._released)

    @shielded
    def news(self) -> tuple[tuple[ObjectId, ...], tuple[ObjectId, ...]]:
        """(taken, dropped) since the last call. One caller at a time."""
        releases = len(self._released)  # first: whatever was released by now was retained before
        touched: dict[ObjectId, None] = {}
        counts = self._counts
        while self._retained:
            object_id = self._retained.popleft()
            counts[object_id] = counts.get(object_id, 0) + 1
            touched[object_id] = None
        for _ in range(releases):
            object_id = self._released.popleft()
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
