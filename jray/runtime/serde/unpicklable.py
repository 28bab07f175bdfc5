"""Why a value can't be pickled: the innermost part that can't, and the path to it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from types import BuiltinFunctionType, FunctionType, ModuleType

_DEEPEST = 12  # parts of parts: past this the path says nothing any more
_MOST_PARTS = 10_000  # of one value


class NotPicklable(TypeError):
    """A value can't travel to a worker, or be stored."""

    def __init__(self, what: str, path: str, kind: str, reason: str) -> None:
        """`what` can't be pickled, because the part at `path` is of a type (`kind`) that can't."""
        super().__init__(what, path, kind, reason)
        self.what, self.path, self.kind, self.reason = what, path, kind, reason

    def __str__(self) -> str:
        """Three sentences: what can't travel, why, what to do."""
        path = _as_called(self.what, self.path)
        named = f"{self.what} can't be pickled" + ("." if path == self.what else f": {path}.")
        return (
            f"{named} It is of type {self.kind}, which can't be sent from process to process ({self.reason}). "
            "Make it in the task that needs it, or send what it is made from."
        )


def _as_called(what: str, path: str) -> str:
    """The arguments of a call travel as (args, kwargs); the user knows them by these names."""
    place = path.removeprefix(what)
    if not what.startswith("An argument of "):
        return path
    by_name = re.match(r"\[1\]\['(\w+)'\]", place)
    return f"{by_name[1]}{place[by_name.end() :]}" if by_name else re.sub(r"^\[0\](?=\[)", "args", place) or path


def explain_unpicklable(value: object, what: str, error: BaseException) -> NotPicklable:
    """The error to raise: it names the innermost part that can't travel, and the path to it."""
    path, culprit = _innermost(value, what)
    return NotPicklable(what, path, type(culprit).__name__, str(error))


def _innermost(value: object, name: str) -> tuple[str, object]:
    seen: set[int] = set()
    for _ in range(_DEEPEST):
        seen.add(id(value))
        for part_name, part in _parts(value, name):
            if id(part) not in seen and not _is_picklable(part):
                name, value = part_name, part
                break
        else:
            break
    return name, value


def _is_picklable(value: object) -> bool:
    import cloudpickle

    try:
        cloudpickle.dumps(value, 5, buffer_callback=lambda _: False)
    except Exception:  # noqa: BLE001 - a user's __reduce__ may raise anything
        return False
    return True


def _parts(value: object, name: str) -> Iterator[tuple[str, object]]:
    """What a value is made of, each with the path to it. Runs no code of the user's."""
    if isinstance(value, FunctionType):
        yield from _function_parts(value, name)
    elif isinstance(value, type):
        for key, part in vars(value).items():
            yield f"{name}.{key}", getattr(part, "__func__", part)
    elif isinstance(value, (Mapping, list, tuple, set, frozenset)):
        yield from _container_parts(value, name)
    elif not isinstance(value, (ModuleType, BuiltinFunctionType)):
        if inspect.ismethod(value):
            yield f"{name}.__self__", value.__self__
        for key, part in getattr(value, "__dict__", {}).items():
            yield f"{name}.{key}", part


def _container_parts(value: Collection[object], name: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, part in islice(value.items(), _MOST_PARTS):
            yield f"{name}[{key!r}]", part
            yield f"a key of {name}", key
    else:
        for index, part in enumerate(islice(value, _MOST_PARTS)):
            yield f"{name}[{index}]", part


def _function_parts(function: FunctionType, name: str) -> Iterator[tuple[str, object]]:
    captured = inspect.getclosurevars(function)
    for found in (captured.nonlocals, captured.globals):
        for key, part in found.items():
            yield f"{name} → {key}", part
    for index, default in enumerate(function.__defaults__ or ()):
        yield f"default {index} of {name}", default
    for key, default in (function.__kwdefaults__ or {}).items():
        yield f"default {key}= of {name}", default
