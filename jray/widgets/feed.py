"""Feeds all live views of a notebook: one thread that looks at the runtime, as often as there is somebody to see it.

At most ten times a second, and at most a twentieth of a CPU. When nothing has happened it compares a number; when
nobody looks it sleeps.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass

from jray import api
from jray.kernel.session import CellTask, MapTasks, Session
from jray.widgets.bundle import why_none
from jray.widgets.place import Place
from jray.widgets.protocol import OVER, Naming, View
from jray.widgets.sources import CellSource, DashboardSource, MapSource, Source, names_in

logger = logging.getLogger("jray")

_TICK_S = 0.1
_SHARE = 0.05  # of a CPU, at most
_LONGEST_S = 1.0  # between two turns: the first one imports a lot
_CLOCK_S = 1.0  # "running for 3 s" changes without anything having happened
_CELL_S = 0.2  # a cell that is done sooner needs no widget
_MAP_S = 1.0
_MOST_SETTLED = 20  # widgets of cells that are over, for pages that were loaded anew


@dataclass(slots=True, eq=False)
class _Shown:
    """One view in its place."""

    source: Source
    place: Place
    cell_id: str | None  # a widget is closed when its cell runs again
    begins: float  # not live before this
    turns: int | None = None  # of the source, when it was last looked at
    looked: float = 0.0
    last: View | None = None  # what was shown, without its time

    def is_due(self, now: float) -> bool:
        """Whether there is something new that somebody would see, or the last picture to be shown."""
        if self.source.has_ended:
            return True
        if now < self.begins or not self.place.is_seen:
            return False
        return self.source.turns != self.turns or now - self.looked >= _CLOCK_S

    def has_news(self, view: View) -> bool:
        """Whether it differs from what was shown; from now on this is what was shown."""
        was, self.last = self.last, view | {"at": 0.0}
        return was != self.last

    @property
    def must_be_watched(self) -> bool:
        """Whether to look again soon; else somebody will say so."""
        return self.place.is_seen or self.source.has_ended


class Feed:
    """All live views of one shell. A `session.Watcher`."""

    def __init__(self, session: Session) -> None:
        """The thread starts with the first view."""
        self._session = session
        self._shown: list[_Shown] = []
        self._settled: deque[tuple[str | None, Place]] = deque()  # by cell; what they are about is let go
        self._unfollowed: list[_Shown] = []  # where nobody looks on: brought up to date when a cell ends
        self._guard = threading.Lock()  # of the two lists
        self._news = threading.Event()
        self._end_asked = threading.Event()
        self._thread: threading.Thread | None = None

    # ---- called by the running cell

    def show_cell(self, task: CellTask) -> None:
        """A cell was submitted as a task: show it under the cell."""
        runtime = api.running()
        if runtime is None or not self._shows_pictures:
            return
        source, place = CellSource(runtime, task, self._naming, self._news.set), self._place()
        place.show(source.promise())
        if self._session.shows_late_output:
            self._add(source, place, begins=task.began + _CELL_S)
        else:
            self._unfollowed.append(_Shown(source, place, None, 0.0))

    def show_map(self, tasks: MapTasks) -> None:
        """Many tasks were submitted: show how far they are, if it takes long."""
        runtime = api.running()
        if runtime is not None and self._shows_pictures and self._session.shows_late_output:
            source = MapSource(runtime, tasks, self._naming, self._news.set)
            self._add(source, self._place(), begins=time.monotonic() + _MAP_S)

    def show_dashboard(self) -> str:
        """Show the whole runtime under the running cell, from now on.

        Returns:
            What the user should know: empty, or why it does not move.
        """
        source, place = DashboardSource(self._naming), self._place()
        place.show(source.look())
        if self._session.shows_late_output:
            self._add(source, place, begins=0.0)
        return why_none()

    def end_cell(self) -> None:
        """A cell has ended. nbclient takes news of earlier cells only as a part of the one that runs: now or never."""
        for shown in [shown for shown in self._unfollowed if shown.source.has_ended]:
            self._unfollowed.remove(shown)
            shown.place.settle(shown.source.look())

    def forget_cell(self, cell_id: str) -> None:
        """A cell runs again: what was under it is gone."""
        with self._guard:
            gone = [shown.place for shown in self._shown if shown.cell_id == cell_id]
            gone += [place for cell, place in self._settled if cell == cell_id]
            self._shown = [shown for shown in self._shown if shown.cell_id != cell_id]
            self._settled = deque(settled for settled in self._settled if settled[0] != cell_id)
        for place in gone:
            place.close()

    def close(self) -> None:
        """End the thread and all widgets; leave still pictures."""
        self._end_asked.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join()
        with self._guard:
            shown, self._shown = self._shown, []
            settled, self._settled = self._settled, deque()
        for one in shown:
            self._end(one)
            one.place.close()
        for _, place in settled:
            place.close()

    @property
    def _shows_pictures(self) -> bool:
        """Not in a terminal, and not where texts must be the same at each run."""
        return self._session.is_interactive and self._session.current_run().parent is not None

    def _place(self) -> Place:
        parent = self._session.current_run().parent if self._session.shows_late_output else None
        return Place(self._session.shell, parent, self._news.set)

    def _naming(self) -> Naming:
        return Naming(names_in(self._session.shell.user_ns), self._session.label_of)

    def _add(self, source: Source, place: Place, *, begins: float) -> None:
        with self._guard:
            self._shown.append(_Shown(source, place, self._session.current_run().cell_id, begins))
            if self._thread is None:  # several threads may call `map`
                self._thread = threading.Thread(target=self._run, name="jray-feed", daemon=True)
                self._thread.start()
        self._news.set()

    # ---- the thread

    def _run(self) -> None:
        while not self._end_asked.is_set():
            self._news.clear()
            began = time.monotonic()
            for shown in list(self._shown):
                self._refresh(shown, began)
            if any(shown.must_be_watched for shown in self._shown):
                took = time.monotonic() - began
                self._end_asked.wait(min(max(_TICK_S, took / _SHARE), _LONGEST_S))
            else:
                self._news.wait()

    def _refresh(self, shown: _Shown, now: float) -> None:
        try:
            if not shown.is_due(now):
                return
            shown.turns, shown.looked = shown.source.turns, now
            view = shown.source.look()
            if view["state"] in OVER:
                self._settle(shown, view)
            elif shown.has_news(view):
                shown.place.follow(view, could_answer=not self._session.is_busy)
        except Exception:  # one that can't be shown must not take the others with it
            logger.exception("A live view could not be shown.")
            self._drop(shown)
            shown.place.close()

    def _settle(self, shown: _Shown, view: View) -> None:
        if not self._drop(shown):
            return  # its cell runs again
        if not (shown.place.is_empty and isinstance(shown.source, MapSource)):  # a quick `map` has nothing to tell
            shown.place.settle(view)
        if not shown.place.is_live:
            return
        with self._guard:
            self._settled.append((shown.cell_id, shown.place))
            old = [self._settled.popleft() for _ in range(len(self._settled) - _MOST_SETTLED)]
        for _, place in old:
            place.close()

    def _drop(self, shown: _Shown) -> bool:
        with self._guard:
            if shown not in self._shown:
                return False
            self._shown.remove(shown)
            return True

    def _end(self, shown: _Shown) -> None:
        try:
            if not shown.place.is_empty:
                shown.place.settle(shown.source.look())
        except Exception:
            logger.exception("A last picture could not be shown.")
