"""The picture that `%jray status` shows: plain in a terminal, a table in a notebook."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from jray.runtime.core.object_views import StoreView
from jray.runtime.core.store_words import in_bytes
from jray.runtime.core.views import FunctionView, SchedulerView
from jray.runtime.ids import WorkerId

_MOST_ROWS = 20  # a long session has a name for each cell that ran
_MOST_PIDS = 8
_STATES = ("waiting", "queued", "running", "blocked", "resuming", "finished", "failed")


class Status:
    """CPUs, store, workers, and tasks by function and state, at one moment."""

    def __init__(
        self, view: SchedulerView, store: StoreView, pids: Mapping[WorkerId, int], *, shows_limit: bool
    ) -> None:
        """`pids` are the living workers' processes.

        Leave them and the store's limit out where the text must be the same at each run, on each machine.
        """
        self._view = view
        self._store_view = store
        self._shows_limit = shows_limit
        self._pids = pids

    def __repr__(self) -> str:
        """For terminals."""
        lines = [self._resources(), self._store(), self._workers()]
        functions = _rows(self._view.functions)
        if functions:
            width = max(len(function.name) for function in functions)
            for function in functions:
                counts = ", ".join(f"{function.counts[state]} {state}" for state in _STATES if state in function.counts)
                lines.append(f"  {function.name:<{width}}  {counts}")
        else:
            lines.append("  no tasks yet")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """For notebooks."""
        functions = _rows(self._view.functions)
        used = [state for state in _STATES if any(state in function.counts for function in functions)]
        head = "".join(f"<th>{state}</th>" for state in used)
        rows = "".join(
            f"<tr><td style='text-align:left'>{escape(function.name)}</td>"
            + "".join(f"<td>{function.counts.get(state, '')}</td>" for state in used)
            + "</tr>"
            for function in functions
        )
        table = f"<table><thead><tr><th>task</th>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
        facts = "<br>".join(escape(line) for line in (self._resources(), self._store(), self._workers()))
        return f"<div>{facts}</div>{table}"

    def _resources(self) -> str:
        total, available = self._view.total, self._view.available
        held = (f"{amount - available.get(name, 0):g} of {amount:g} {name}" for name, amount in total.items())
        return "in use: " + ", ".join(held)

    def _store(self) -> str:
        pending = self._view.pending_objects
        there = self._view.objects - pending
        store = self._store_view
        limit = f" of {in_bytes(store.limit)}" if self._shows_limit else ""
        memory = f"shared memory: {store.used / 2**20:.1f} MiB{limit}"
        disk = f"; on disk: {in_bytes(store.on_disk)}" if store.on_disk else ""
        return f"objects: {there} there, {pending} to come; {memory}{disk}"

    def _workers(self) -> str:
        names = [f"w{worker} ({f'pid {pid}' if pid else 'starting'})" for worker, pid in self._pids.items()]
        more = [f"and {len(names) - _MOST_PIDS} more"] if len(names) > _MOST_PIDS else []
        pids = ", ".join([*names[:_MOST_PIDS], *more])
        number = f"workers: {self._view.workers}, {self._view.busy_workers} busy"
        return f"{number}: {pids}" if pids else number


class NotRunning:
    """When there is no runtime."""

    def __repr__(self) -> str:
        """For terminals and notebooks."""
        return "jray is not running; the first use starts it, or %jray init"


def _rows(functions: Sequence[FunctionView]) -> list[FunctionView]:
    """What still has something to do, and the newest of the rest; the others as one row in front."""
    rows = list(functions)
    idle = [function for function in rows if set(function.counts) <= {"finished", "failed"}]
    folded = idle[: max(0, len(rows) - _MOST_ROWS)]
    if not folded:
        return rows
    counts: Counter[str] = Counter()
    for function in folded:
        counts.update(function.counts)
    return [
        FunctionView(name=f"({len(folded)} more names)", counts=counts),
        *(row for row in rows if row not in folded),
    ]
