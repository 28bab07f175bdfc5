"""What live views are about: a cell that runs as a task, the tasks of one `map`, the whole runtime.

A source looks at the runtime when it is asked, and remembers what a look alone can't tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from jray import api
from jray.kernel.session import CellTask, MapTasks
from jray.runtime.embedded import EmbeddedBackend
from jray.runtime.ids import ObjectId, task_of
from jray.runtime.object_ref import ObjectRef
from jray.widgets.protocol import (
    Naming,
    Progress,
    View,
    Work,
    cell_view,
    closed,
    dashboard_view,
    map_view,
    nothing_view,
    submitted_view,
)

_NEWEST = 20  # objects on the dashboard
_Names = Callable[[], Naming]  # what things are called now


class Source(Protocol):
    """What a view is about."""

    @property
    def turns(self) -> int:
        """Differs from what it was when there may be something new to see."""

    @property
    def has_ended(self) -> bool:
        """Whether the last picture is to be shown, also if nobody looks."""

    def look(self) -> View:
        """The view, now."""


class CellSource:
    """One cell that runs as a task."""

    def __init__(self, runtime: EmbeddedBackend, task: CellTask, names: _Names, wake: Callable[[], None]) -> None:
        """`wake` is called when the cell has ended."""
        self._runtime, self._names, self._wake = runtime, names, wake
        self._work = Work(label=task.label, origin=task.origin, began=task.began)
        self._done: ObjectRef[Any] = task.done
        self._outputs = task.outputs
        self._ended: float | None = None
        self._took: float | None = None
        runtime.pictures.begin_timing(task_of(task.done._id))  # noqa: SLF001 - the runtime's own
        runtime.when_ready(task.done, self._note_end)

    def _note_end(self) -> None:
        self._ended = time.monotonic()
        self._wake()

    @property
    def turns(self) -> int:
        """As in Source."""
        return self._runtime.turns

    @property
    def has_ended(self) -> bool:
        """As in Source."""
        return self._ended is not None or self._runtime.is_over

    def promise(self) -> View:
        """What is true of the cell for ever."""
        seen = self._runtime.pictures.look(origin=self._work.origin, objects=tuple(self._outputs))
        return submitted_view(self._work, seen, self._naming())

    def look(self) -> View:
        """As in Source."""
        ended, done = self._ended, self._done._id  # noqa: SLF001 - the runtime's own
        pictures = self._runtime.pictures
        seen = pictures.look(origin=self._work.origin, objects=tuple(self._outputs), task=task_of(done))
        end = pictures.look_at(done) if ended is not None else None
        if end is not None and end.glance.state == "pending":  # nobody waits any more because jray was stopped
            end = None
        if ended is not None and self._took is None:
            self._took = pictures.end_timing(task_of(done))
        view = cell_view(self._work, seen, self._naming(), end, ended or seen.at, took=self._took)
        return closed(view) if self._runtime.is_over else view

    def _naming(self) -> Naming:
        """The cell's own names go first: by now they may be bound to something else."""
        now = self._names()
        return Naming({**now.names, **self._outputs}, now.cell_of)


class MapSource:
    """The tasks of one `map`. Holds ids, no refs: watching keeps no result alive."""

    def __init__(self, runtime: EmbeddedBackend, tasks: MapTasks, names: _Names, wake: Callable[[], None]) -> None:
        """`wake` is called when all have ended."""
        self._runtime, self._names, self._wake = runtime, names, wake
        self._work = Work(label=f"{tasks.name}.map", origin=tasks.origin, began=time.monotonic())
        self._function = tasks.name
        self._pending: list[ObjectId] = [ref._id for ref in tasks.refs]  # noqa: SLF001 - the runtime's own
        self._total, self._failed, self._gone = len(self._pending), 0, 0
        self._await_next()

    def _count(self) -> None:
        outcomes = self._runtime.pictures.outcomes_of(self._pending)
        self._pending = outcomes.pending
        self._failed += outcomes.failed
        self._gone += outcomes.gone

    def _await_next(self) -> None:
        """Be told when the last of those that are to come is there; if others are not, wait for the next."""
        self._count()
        if self._pending and not self._runtime.is_over:
            self._runtime.when_there(self._pending[-1], self._wake)
        else:
            self._wake()

    @property
    def turns(self) -> int:
        """As in Source."""
        return self._runtime.turns

    @property
    def has_ended(self) -> bool:
        """As in Source."""
        last = self._pending[-1:]
        if last and not self._runtime.pictures.outcomes_of(last).pending:
            self._await_next()
        return not self._pending or self._runtime.is_over

    def look(self) -> View:
        """As in Source."""
        self._count()
        seen = self._runtime.pictures.look(origin=self._work.origin, objects=())
        done = self._total - len(self._pending)
        progress = Progress(self._function, done, self._total, self._failed, self._gone)
        view = map_view(self._work, seen, self._names(), progress)
        return closed(view) if self._runtime.is_over else view


class DashboardSource:
    """The runtime of this process, whichever it is."""

    has_ended = False

    def __init__(self, names: _Names) -> None:
        """Nothing was seen yet."""
        self._names = names
        self._last: View | None = None

    @property
    def turns(self) -> int:
        """As in Source."""
        runtime = api.running()
        return -1 if runtime is None else hash((id(runtime), runtime.turns))

    def look(self) -> View:
        """As in Source. Of a runtime that has ended the last picture."""
        runtime = api.running()
        if runtime is not None and not runtime.is_over:
            self._last = dashboard_view(runtime.pictures.look(newest=_NEWEST), self._names())
            return self._last
        return nothing_view() if self._last is None else closed(self._last)


def names_in(namespace: Mapping[str, Any]) -> dict[ObjectId, str]:
    """What the notebook calls its references; IPython's own names don't count."""
    return {
        value._id: name  # noqa: SLF001 - the runtime's own
        for name, value in list(namespace.items())
        if type(value) is ObjectRef and not name.startswith("_")
    }
