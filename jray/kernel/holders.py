"""Which names of the notebook hold which objects, for `%jray memory`.

No user code is called: only exact builtin containers, arrays, frames and tables, and the plain attributes of the
notebook's own instances are looked into. Nothing is kept of what was seen.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from jray.kernel.addresses import addresses_in
from jray.kernel.out import LATEST
from jray.runtime.ids import ObjectId
from jray.runtime.object_ref import ObjectRef, is_counted
from jray.runtime.store.mapping import mapped_ranges

_MOST_VALUES = 200_000  # that are looked at
_DEPTH = 2  # of containers in containers
_MOST_KEY = 20  # characters of a key that are shown


@dataclass(slots=True)
class Holders:
    """What was found of one object."""

    names: list[str] = field(default_factory=list)  # in the order in which they were found
    refs: set[int] = field(default_factory=set)  # which refs: one may have several names
    views: int = 0  # arrays and the like that map it, named or not
    named_views: set[int] = field(default_factory=set)  # which of these have a name, one or several


@dataclass(slots=True)
class Found:
    """By object. `is_complete`: everything was looked at."""

    objects: dict[ObjectId, Holders] = field(default_factory=dict)
    is_complete: bool = True

    def of(self, object_id: ObjectId) -> Holders:
        """What holds this object."""
        return self.objects.setdefault(object_id, Holders())


def find_holders(namespace: Mapping[str, Any], hidden: Mapping[str, Any]) -> Found:
    """Look through the user's names, `Out`, and the last traceback; `hidden` are IPython's own names."""
    found = Found()
    search = _Search(found)
    out = namespace.get("_oh", {})
    for name, value in list(namespace.items()):
        if name in LATEST or not (name in hidden or name.startswith("_") or name in {"In", "Out"}):
            search.look(value, name, _DEPTH)
    for number, value in list(out.items()) if type(out) is dict else ():
        search.look(value, f"Out[{number}]", _DEPTH)
    for error in _last_errors():
        for value in _locals_of(error.__traceback__, namespace):
            search.look(value, "traceback", _DEPTH)
    for _, _, object_id in search.ranges:
        found.of(object_id).views += 1
    return found


def _last_errors() -> list[BaseException]:
    """The last one that was shown, and those that led to it: each keeps its own frames."""
    errors: dict[int, BaseException] = {}  # by identity: `==` is the user's code
    found = [getattr(sys, "last_exc", None), getattr(sys, "last_value", None)]
    for error in found:  # which grows meanwhile
        if isinstance(error, BaseException) and id(error) not in errors:
            errors[id(error)] = error
            found += [error.__cause__, error.__context__]
            found += error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return list(errors.values())


def _locals_of(traceback: TracebackType | None, namespace: Mapping[str, Any]) -> Iterator[Any]:
    while traceback is not None:
        variables = traceback.tb_frame.f_locals
        if variables is not namespace:
            yield from list(variables.values())
        traceback = traceback.tb_next


class _Search:
    def __init__(self, found: Found) -> None:
        self._found = found
        self._left = _MOST_VALUES
        self.ranges = mapped_ranges()  # (start, end, object) of all views

    def look(self, value: Any, path: str, depth: int) -> None:
        self._left -= 1
        if self._left < 0:
            self._found.is_complete = False
            return
        kind = type(value)
        if kind is ObjectRef:
            if is_counted(value):
                holders = self._found.of(value._id)  # noqa: SLF001 - the runtime's own
                holders.refs.add(id(value))
                self._name(holders, path)
        elif self.ranges and (addresses := addresses_in(value)) is not None:
            kept_as = "array" if kind.__name__ in {"ndarray", "memoryview"} else kind.__name__
            self._look_at_data(addresses, f"{path} ({kept_as})")
        elif depth:
            for part, name in _parts(value):
                self.look(part, path + name, depth - 1)

    def _look_at_data(self, addresses: Iterator[int], name: str) -> None:
        for address in addresses:
            for start, end, object_id in self.ranges:
                if start <= address < end:
                    holders = self._found.of(object_id)
                    holders.named_views.add(start)
                    self._name(holders, name)

    @staticmethod
    def _name(holders: Holders, path: str) -> None:
        if path not in holders.names:
            holders.names.append(path)


def _parts(value: Any) -> Iterator[tuple[Any, str]]:
    """What is in a container, with how one gets there."""
    kind = type(value)
    if kind is list or kind is tuple:
        for position, part in enumerate(list(value)):
            yield part, f"[{position}]"
    elif kind is dict:
        for key, part in list(value.items()):
            yield part, f"[{key!r:.{_MOST_KEY}}]" if type(key) in {str, int} else "[...]"
    elif kind is set or kind is frozenset:
        for part in list(value):
            yield part, "{...}"
    elif kind.__module__ == "__main__":
        for name, part in _attributes(value).items():
            yield part, f".{name}"


def _attributes(instance: Any) -> dict[str, Any]:
    """What an instance of the notebook's own classes has, without asking it."""
    try:
        attributes = object.__getattribute__(instance, "__dict__")
    except AttributeError:  # it has __slots__
        return {}
    return dict(attributes) if type(attributes) is dict else {}
