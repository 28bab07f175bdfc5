"""Pictures for live views: what was seen of the runtime becomes a view, as `labextension/src/protocol.ts` reads it.

Pure. All words for people are made here, so that the page, the still picture and the plain text say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from jray.runtime.core.views import FunctionView
from jray.runtime.engine.pictures import Seen, SeenObject
from jray.runtime.ids import ObjectId

VERSION = 1
View: TypeAlias = dict[str, Any]  # JSON; the fields are those of `interface View` in protocol.ts

OVER = frozenset({"finished", "failed", "lost"})  # states of a view that will change no more
MOST_ROWS = 50  # of a table

_WORTH_SAYING_S = 0.5  # of waiting
_OPEN = ("waiting", "queued", "running", "blocked", "resuming")


@dataclass(frozen=True, slots=True)
class Naming:
    """What the notebook calls things."""

    names: Mapping[ObjectId, str]  # of the variables that are bound to refs
    cell_of: Callable[[int], str | None]  # the prompt of the cell with this number

    def name_of(self, object_id: ObjectId) -> str:
        """The variable that is bound to the ref; empty if there is none."""
        return self.names.get(object_id, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one view under a cell is about: the cell's own task, or the tasks of one `map`."""

    label: str  # "In[5]", "score.map"
    origin: int
    began: float  # time.monotonic()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a `map` is."""

    function: str
    done: int
    total: int
    failed: int = 0
    gone: int = 0  # nobody held them: how they ended only the counts of all tasks of that name tell


def dashboard_view(seen: Seen, naming: Naming) -> View:
    """The whole runtime."""
    running = sum(row.counts.get("running", 0) for row in seen.glance.functions)
    to_come = sum(row.counts.get(state, 0) for row in seen.glance.functions for state in _OPEN) - running
    headline = f"{_number(running, 'task')} running, {to_come} to come" if running or to_come else "idle"
    return _view(seen, naming, kind="dashboard", title="jray", state="", headline=headline)


def cell_view(
    work: Work, seen: Seen, naming: Naming, end: SeenObject | None, ended: float, *, took: float | None = None
) -> View:
    """A cell that runs as a task.

    `end` is the object that says how it ended, at `ended`, after it had run for `took` seconds; None: it has not.
    """
    if end is not None:
        state, headline = _outcome(end, ended - work.began, took)
    elif seen.task is None:
        state, headline = "lost", "jray was stopped before it was done"
    else:
        state, headline = seen.task.state, _going_on(seen, naming)
    return _view(seen, naming, kind="cell", title=work.label, state=state, headline=headline)


def map_view(work: Work, seen: Seen, naming: Naming, progress: Progress) -> View:
    """The tasks of one `map`."""
    counts = next((row.counts for row in seen.glance.functions if row.name == progress.function), {})
    elapsed = seen.at - work.began
    number = progress.failed + min(progress.gone, max(0, counts.get("failed", 0) - progress.failed))
    failed = f", {number:,} failed" if number else ""
    if progress.done < progress.total:
        state = "running" if counts.get("running") else "queued"
        left_s = elapsed / progress.done * (progress.total - progress.done) if progress.done else 0.0
        left = f", about {in_time(left_s)} left" if progress.done else ""
        headline = f"{progress.done:,} of {progress.total:,} done after {in_time(elapsed)}{left}{failed}"
    else:
        state = "failed" if number else "finished"
        headline = f"all {progress.total:,} done after {in_time(elapsed)}{failed}"
    return _view(seen, naming, kind="cell", title=work.label, state=state, headline=headline)


def submitted_view(work: Work, seen: Seen, naming: Naming) -> View:
    """What is true of a cell for ever, also where nobody can change the picture later."""
    return _view(seen, naming, kind="cell", title=work.label, state="submitted", headline="runs as a task")


def closed(view: View) -> View:
    """The last picture of a runtime that has ended."""
    if view["state"] in OVER or view["kind"] == "dashboard":
        return view | {"closed": True}
    return view | {"closed": True, "state": "lost", "headline": "jray was stopped before it was done"}


def nothing_view() -> View:
    """No runtime was seen yet."""
    return {
        "version": VERSION,
        "kind": "dashboard",
        "title": "jray",
        "state": "",
        "headline": "not running; the first use starts it",
        "at": 0.0,
        "resources": [],
        "store": {"limit": 0, "used": 0, "on_disk": 0},
        "workers": {"total": 0, "busy": 0},
        "tasks": [],
        "objects": [],
        "more_objects": 0,
        "closed": False,
    }


def in_time(seconds: float) -> str:
    """`0.3 s`, `12 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 10:  # noqa: PLR2004 - where a tenth stops to matter
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _view(seen: Seen, naming: Naming, **whole: str) -> View:
    glance = seen.glance
    rows = glance.functions
    return {
        "version": VERSION,
        **whole,
        "at": seen.at,
        "resources": [
            {"name": name, "total": total, "used": round(total - glance.available.get(name, 0.0), 4)}
            for name, total in glance.total.items()
        ],
        "store": {"limit": glance.store_limit, "used": glance.store_used, "on_disk": glance.on_disk},
        "workers": {"total": glance.workers, "busy": glance.busy_workers},
        "tasks": [{"name": row.name, "counts": dict(row.counts)} for row in _shown(rows)],
        "objects": [_object(shown, naming) for shown in seen.objects],
        "more_objects": glance.more_objects,
        "closed": False,
    }


def _shown(rows: tuple[FunctionView, ...]) -> list[FunctionView]:
    """What has something to do goes first, then what came last."""
    is_open = [any(row.counts.get(state) for state in _OPEN) for row in rows]
    busy = [row for row, going_on in zip(rows, is_open, strict=True) if going_on]
    idle = [row for row, going_on in zip(rows, is_open, strict=True) if not going_on]
    return [*busy, *reversed(idle)][:MOST_ROWS]


def _object(shown: SeenObject, naming: Naming) -> dict[str, Any]:
    glance, maker = shown.glance, shown.maker
    cell = naming.cell_of(maker.origin) if maker is not None else None
    made_by = " ".join(filter(None, (cell, f"({maker.what})" if maker is not None and maker.what != cell else "")))
    return {
        "id": f"{glance.id:x}",
        "name": naming.name_of(glance.id),
        "state": glance.state,
        "words": glance.words,
        "size": shown.nbytes if glance.state in {"ready", "spilled", "failed"} else None,
        "type": shown.kind,
        "made_by": made_by,
    }


def _going_on(seen: Seen, naming: Naming) -> str:
    task = seen.task
    assert task is not None  # noqa: S101 - it is going on
    if task.missing:
        return f"waiting for {', '.join(naming.name_of(missing) or f'{missing:x}' for missing in task.missing)}"
    if task.worker is None:
        return task.words
    return f"{task.words} on w{task.worker} for {in_time(max(0.0, seen.at - task.since))}"


def _outcome(end: SeenObject, elapsed: float, took: float | None) -> tuple[str, str]:
    has_waited = took is not None and elapsed - took >= _WORTH_SAYING_S
    time = in_time(elapsed) + (f" (ran for {in_time(took)})" if took is not None and has_waited else "")
    if end.glance.state == "failed":
        return "failed", f"failed after {time}: {end.kind}"
    return "finished", f"finished after {time}"


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
