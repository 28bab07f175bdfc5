"""What a function reaches, and whether that has changed since the function was last packed.

Exact for what it accepts, and it accepts only what can be compared by identity: functions whose globals, closures and
defaults are immutable values, modules, or functions of the same kind. For everything else there is no snapshot, and the
function is packed anew each time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from jray.runtime.serde.values import modules_are_by_value

_MISSING = object()  # a name that is no global now; it may be a builtin, or come later
_FROZEN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))
_MOST_FUNCTIONS = 64  # reached by one function

_attributes = attrgetter(
    "__code__", "__defaults__", "__kwdefaults__", "__closure__", "__name__", "__qualname__", "__module__", "__doc__"
)


class Snapshot:
    """Everything that the packed form of a function depends on, as it was."""

    __slots__ = ("_functions", "_modules")

    def __init__(self, functions: Iterable[FunctionType]) -> None:
        """Note down the parts of these functions, which reach nothing else."""
        self._functions = [
            (function, _attributes(function), _cells(function), function.__globals__, _named(function))
            for function in functions
        ]
        self._modules = len(sys.modules)  # a submodule that was imported meanwhile travels along

    def holds(self) -> bool:
        """Whether all of it is still the same."""
        for function, attributes, cells, namespace, named in self._functions:
            for was, now in zip(attributes, _attributes(function), strict=True):
                if was is not now:
                    return False
            for name, was in named:
                if namespace.get(name, _MISSING) is not was:
                    return False
            for cell, was in cells:
                if cell.cell_contents is not was:
                    return False
            if function.__dict__ or function.__annotations__:
                return False
        return self._modules == len(sys.modules)


def snapshot_of(function: Callable[..., Any]) -> Snapshot | None:
    """A snapshot; None when the function reaches something that can change in place, or that is no plain function."""
    found = reached_functions(function)
    return Snapshot(found) if found else None


def reached_functions(function: Callable[..., Any]) -> list[FunctionType]:
    """The function and all that it calls; empty when it reaches something that can change in place."""
    if modules_are_by_value() or not isinstance(function, FunctionType):
        return []
    found: dict[int, FunctionType] = {}
    to_see: list[Any] = [function]
    while to_see:
        seen = to_see.pop()
        if isinstance(seen, FunctionType):
            if id(seen) in found:
                continue
            if not _is_plain(seen) or len(found) == _MOST_FUNCTIONS:
                return []
            found[id(seen)] = seen
            to_see += [value for _, value in _named(seen)]
            to_see += [value for _, value in _cells(seen)]
            to_see += seen.__defaults__ or ()
        elif seen is not _MISSING and type(seen) not in _FROZEN and not _travels_by_name(seen):
            return []
    return list(found.values())


def _travels_by_name(value: object) -> bool:
    """Modules that can be imported, and their C functions: `len`, `math.sqrt`, not the `get` of a dict."""
    module = value.__self__ if type(value) is BuiltinFunctionType else value
    return type(module) is ModuleType and sys.modules.get(module.__name__) is module


def _is_plain(function: FunctionType) -> bool:
    return not (function.__dict__ or function.__annotations__ or function.__kwdefaults__)


def _named(function: FunctionType) -> list[tuple[str, Any]]:
    """Its globals: every name that its code mentions, with the value, if there is one."""
    namespace = function.__globals__
    return [(name, namespace.get(name, _MISSING)) for name in dict.fromkeys(_names(function.__code__))]


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names  # attributes too: a name more makes the check stricter, never wrong
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _cells(function: FunctionType) -> list[tuple[Any, Any]]:
    """The cells of its closure, with their contents. An empty cell is not frozen."""
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append((cell, cell.cell_contents))
        except ValueError:
            found.append((cell, cell))
    return found
