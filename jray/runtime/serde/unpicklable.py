"""Values that the C picklers refuse: too deep for them, which is done here, or not to be pickled at all.

Then the error says what can't travel, by the path to it, why, and what to do instead.
"""

from __future__ import annotations

import io
import pickle
import re
import sys
from collections.abc import Callable, Sequence

from jray.exceptions import ObjectLostError
from jray.runtime.serde import deep, streams
from jray.runtime.serde.deep import DeepPickler, NoWayError, TooDeepError
from jray.runtime.serde.immovable import full_name, immovable_kind
from jray.runtime.serde.trail import steps, written

_ADVICE = "Make it in the task that needs it, or give what it is made from."
_NEAR_THE_BEGIN = 1 << 20  # bytes in which names are looked for
LEAST_DOUBTFUL = 64  # bytes: less can't hold what `is_doubtful` looks for
_LEAST_WIDGET = 512


class NotPicklable(TypeError):
    """A value can't travel to a worker, or be stored."""

    def __init__(self, what: str, path: str, kind: str, why: str, advice: str) -> None:
        """`what` can't travel because of the part at `path`, which is `kind` ("a lock"); the rest are sentences."""
        super().__init__(what, path, kind, why, advice)
        self.what, self.path, self.kind, self.why, self.advice = what, path, kind, why, advice

    def __str__(self) -> str:
        """Three sentences: what can't travel, why, what to do."""
        is_sent = self.what.startswith(("Function ", "An argument of "))
        can_not = "can't be sent to a worker" if is_sent else "can't be stored"
        return f"{self.what} {can_not}: {self.path} is {self.kind}. {self.why} {self.advice}"

    def name_arguments(self, names: Sequence[str]) -> None:
        """Call positional arguments by the names of their parameters."""
        match = re.match(r"args\[(\d+)\]", self.path)
        if match and int(match[1]) < len(names):
            self.path = names[int(match[1])] + self.path[match.end() :]


def is_doubtful(head: bytes) -> bool:
    """Whether there may be something in a pickle that pickle takes though it can't travel."""
    if "multiprocessing.connection" in sys.modules and head.find(b"multiprocessing.conn", 0, _NEAR_THE_BEGIN) >= 0:
        return True
    if len(head) < _LEAST_WIDGET or "ipywidgets" not in sys.modules:
        return False
    return head.find(b"ipywidgets.widgets.widget", 0, _NEAR_THE_BEGIN) >= 0


def is_doubtful_by_value(head: bytes) -> bool:
    """The same where classes are in the pickle by value: not those that ctypes makes."""
    return head.find(b"_ctypes", 0, _NEAR_THE_BEGIN) >= 0 or is_doubtful(head)


def careful_pickler(
    model: pickle.Pickler, file: io.BytesIO, buffer_callback: Callable[[pickle.PickleBuffer], object] | None = None
) -> DeepPickler:
    """One that does as `model`, goes deeper, and refuses what pickle takes though it can't travel."""
    streams.learn_streams()
    return DeepPickler(model, file, buffer_callback, _Check())


def explained(what: str, error: NoWayError) -> NotPicklable | ObjectLostError:
    """The error to raise, after a careful pickler has met one in `what`."""
    cause, trail = error.__cause__, error.trail
    if isinstance(cause, ObjectLostError):
        cause.add_note(f"The reference is {_path(what, trail)}.")
        return cause
    return _refusal(what, trail, cause)


class _Check:
    """Refuses what pickle would take."""

    def __init__(self) -> None:
        self._seen: set[type] = set()

    def __call__(self, value: object) -> None:
        kind = type(value)
        if kind in self._seen:
            return
        known = immovable_kind(value)
        if known is not None and known.is_taken_by_pickle:
            raise pickle.PicklingError(f"it is {known.named}")
        self._seen.add(kind)


def _refusal(what: str, trail: list[object], cause: BaseException | None) -> NotPicklable:
    if isinstance(cause, TooDeepError):
        why = f"More than {deep.DEEPEST:,} objects lie inside each other there, and jray goes no deeper."
        advice = "Give a flat list of them, and link them where they are used; if they are fewer, look at __reduce__."
        return NotPicklable(what, _path(what, trail), "too deep", why, advice)
    for index, passed in enumerate(trail):
        known = immovable_kind(passed)
        if known is not None:  # what it is made of does not matter
            kind = known.named + _in_brackets(passed, known.named)
            return NotPicklable(what, _path(what, trail[: index + 1]), kind, known.why, known.advice)
    told = str(cause) if isinstance(cause, (TypeError, pickle.PicklingError)) else f"{type(cause).__name__}: {cause}"
    why = f"Pickling it fails: {told.rstrip('. ')}."
    error = NotPicklable(what, _path(what, trail), f"of type {_type_name(trail[-1])}", why, _ADVICE)
    error.__cause__ = cause  # it may come from the user's own code
    return error


def _path(what: str, trail: list[object]) -> str:
    """What its user calls the last of these objects, if the first one is `what`."""
    taken = steps(trail)
    if what.startswith("An argument of ") and len(taken) > 1:  # they travel as (args, kwargs)
        if taken[0] == "[0]":
            return written("args", taken[1:])
        return written(taken[1].strip("[]'\""), taken[2:])
    name, is_result_of_cell, _ = what.partition(", a result of ")
    if what.startswith("Function "):
        name = what.removeprefix("Function ")
    elif not is_result_of_cell:
        kind = "value" if what.startswith("The value ") else "result" if " of " in what else "it"
        name = kind if taken else "it"
    return written(name, taken)


def _in_brackets(value: object, named: str) -> str:
    name = _type_name(value)
    return "" if name.rpartition(".")[2].lower().replace("_", " ") in named else f" ({name})"


def _type_name(value: object) -> str:
    return full_name(type(value)).removeprefix("builtins.").removeprefix("__main__.")
