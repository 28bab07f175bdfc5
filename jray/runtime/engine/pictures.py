"""What can be asked of the engine by those who show something. Nothing in here changes anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from jray.runtime.backend import ResourceView
from jray.runtime.core.glances import (
    Glance,
    ObjectGlance,
    Outcomes,
    TaskGlance,
    glance,
    object_glance,
    outcomes_of,
    task_glance,
)
from jray.runtime.core.object_views import ObjectView, StoreView, object_views, store_view
from jray.runtime.core.scheduler import Scheduler
from jray.runtime.core.views import SchedulerView, amounts_of, explain, view_of
from jray.runtime.engine.books import Books, Maker
from jray.runtime.ids import ObjectId, TaskId, WorkerId, task_of
from jray.runtime.interrupts import shielded
from jray.runtime.pool.worker_pool import WorkerPool

_SLICE = 10_000  # objects that are looked at with the lock held: 1 ms


class ObjectPicture(NamedTuple):
    """One object."""

    view: ObjectView
    nbytes: int  # of the value: in memory, on disk, or in messages
    maker: Maker | None


class SeenObject(NamedTuple):
    """One object of a live view."""

    glance: ObjectGlance
    nbytes: int  # of the value; 0 when it is not there
    kind: str  # what it is, in words
    maker: Maker | None


class Seen(NamedTuple):
    """What a live view shows, at one moment."""

    at: float  # time.monotonic()
    glance: Glance
    objects: tuple[SeenObject, ...]
    task: TaskGlance | None


class Pictures:
    """Taken under the engine's lock, with everything handled that was posted before."""

    def __init__(
        self, scheduler: Scheduler, books: Books, pool: WorkerPool, locked: Callable[[], AbstractContextManager[None]]
    ) -> None:
        """All of it is the engine's."""
        self._scheduler, self._books, self._pool, self._locked = scheduler, books, pool, locked

    @shielded
    def view(self) -> SchedulerView:
        """A picture of the scheduler's books."""
        with self._locked():
            return view_of(self._scheduler)

    @shielded
    def look(
        self,
        *,
        origin: int | None = None,
        objects: Sequence[ObjectId] | None = None,
        newest: int = 0,
        task: TaskId | None = None,
    ) -> Seen:
        """The runtime for a live view, in microseconds; see `glances.glance`. `task` is looked at closely."""
        with self._locked():
            seen = glance(self._scheduler, origin=origin, objects=objects, newest=newest)
            shown = tuple(self._seen(part) for part in seen.objects)
            watched = task_glance(self._scheduler, task) if task is not None else None
        return Seen(time.monotonic(), seen, shown, watched)

    def begin_timing(self, task: TaskId) -> None:
        """`end_timing` will be asked how long this task has run."""
        self._books.timed[task] = -1.0

    def end_timing(self, task: TaskId) -> float | None:
        """Seconds that its last attempt ran; None: it had ended before, or its worker was lost."""
        took = self._books.timed.pop(task, -1.0)
        return took if took >= 0 else None

    @shielded
    def look_at(self, object_id: ObjectId) -> SeenObject:
        """One object for a live view."""
        with self._locked():
            return self._seen(object_glance(self._scheduler, object_id))

    def _seen(self, seen: ObjectGlance) -> SeenObject:
        stored = self._books.values.get(seen.id)
        nbytes, kind = (stored.nbytes, stored.kind) if stored is not None else (0, "")
        return SeenObject(seen, nbytes, kind, self.maker_of(seen.id))

    def outcomes_of(self, objects: Sequence[ObjectId]) -> Outcomes:
        """How they are doing. Of many, some at a time: others want the lock, too."""
        parts = [self._outcomes(objects[start : start + _SLICE]) for start in range(0, len(objects), _SLICE)]
        pending = [object_id for part in parts for object_id in part.pending]
        return Outcomes(pending, sum(part.failed for part in parts), sum(part.gone for part in parts))

    @shielded
    def _outcomes(self, objects: Sequence[ObjectId]) -> Outcomes:
        with self._locked():
            return outcomes_of(self._scheduler, objects)

    @shielded
    def resources(self) -> ResourceView:
        """What there is, and what is free now."""
        with self._locked():
            return self.resources_now()

    def resources_now(self) -> ResourceView:
        """The same, for who has the lock."""
        total, available = amounts_of(self._scheduler)
        return ResourceView(total=total, available=available)

    @shielded
    def worker_pids(self) -> dict[WorkerId, int]:
        """The processes of the living workers."""
        with self._locked():
            return {handle.worker: handle.pid for handle in self._pool.handles.values()}

    @shielded
    def explain(self, object_id: ObjectId) -> str:
        """Why an object is not there yet, in words."""
        with self._locked():
            return explain(self._scheduler, task_of(object_id))

    @shielded
    def objects(self) -> list[ObjectPicture]:
        """All objects, with what only the books know of them."""
        with self._locked():
            views = object_views(self._scheduler)
            values, makers = dict(self._books.values), dict(self._books.makers)
            pending = {view.id: self.maker_of(view.id) for view in views if view.id not in makers}
        return [
            ObjectPicture(
                view, values[view.id].nbytes if view.id in values else 0, makers.get(view.id) or pending[view.id]
            )
            for view in views
        ]

    @shielded
    def store(self) -> StoreView:
        """How full the store is."""
        with self._locked():
            return store_view(self._scheduler)

    @shielded
    def maker_of(self, object_id: ObjectId) -> Maker | None:
        """Where an object comes from; of one that is still to come: its task."""
        maker = self._books.makers.get(object_id)
        body = self._books.bodies.get(task_of(object_id)) if maker is None else None
        return body.recipe.maker if body is not None else maker
