"""What `%jray` alone shows: how things stand, and what can be done next. Pure; the same text in the same situation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from jray.runtime.core.views import SchedulerView

_UNDER_WAY = ("running", "blocked", "resuming", "queued", "waiting")
_WIDTH = 18

_TASK = ("%%remote", "on the first line of a cell: runs it in a worker, or makes its functions remote")
_CALL = ("ref = f.remote(x)", "starts a remote function; jray.get(ref) waits for its value")
_INIT = ("%jray init", "starts it now, with the CPUs and GPUs that you say")
_STATUS = ("%jray status", "what runs, what waits for what, and what has failed")
_WAIT = ("jray.get(ref)", "waits for a value; until then, other cells can run")
_WHY = ("jray.get(ref)", "of a task that has failed: raises its error")
_MEMORY = ("%jray memory", "which objects there are, and who holds them")
_STOP = ("%jray stop", "ends all tasks and workers; values that you have stay valid")


def next_steps(view: SchedulerView | None, commands: Collection[str]) -> str:
    """The text, of at most ten lines; `view` is None when there is no runtime."""
    counts = _counts(view)
    under_way = [f"{counts[state]} {state}" for state in _UNDER_WAY if counts[state]]
    if view is None:
        head = "jray is not running; the first use starts it."
        steps = [_TASK, _CALL, _INIT]
    elif under_way:
        head = f"jray is running; tasks: {', '.join([*under_way, *_failed(counts)])}."
        steps = [_WAIT, _STATUS, _STOP]
    elif counts["failed"]:
        head = f"jray is running; tasks: {', '.join(_failed(counts))}, none under way."
        steps = [_WHY, _STATUS, _STOP]
    else:
        head = "jray is running; no tasks are under way."
        steps = [_TASK, _CALL, *([_MEMORY] if view.objects else []), _STOP]
    lines = [f"  {what:<{_WIDTH}}  {why}" for what, why in steps]
    return "\n".join([head, *lines, f"All commands of %jray: {', '.join(commands)}. %jray? and %%remote? tell more."])


def _counts(view: SchedulerView | None) -> Counter[str]:
    counts: Counter[str] = Counter()
    for function in view.functions if view is not None else ():
        counts.update(function.counts)
    return counts


def _failed(counts: Counter[str]) -> list[str]:
    return [f"{counts['failed']} failed"] if counts["failed"] else []
