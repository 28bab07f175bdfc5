"""What a function reaches, and whether that has changed since the function was last packed.

Exact for what it accepts, and it accepts only what can be compared by identity: functions whose globals, closures,
defaults and annotations are immutable values, what is imported from modules, or functions of the same kind. For
everything else there is no snapshot, and the function is packed anew each time.
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
            (
                function,
                _attributes(function),
                _extras(function),
                _cells(function),
                function.__globals__,
                _named(function),
            )
            for function in functions
        ]
        self._modules = len(sys.modules)  # a submodule that was imported meanwhile travels along

    def holds(self) -> bool:
        """Whether all of it is still the same."""
        for function, attributes, extras, cells, namespace, named in self._functions:
            for was, now in zip(attributes, _attributes(function), strict=True):
                if was is not now:
                    return False
            if (extras or function.__annotations__ or function.__kwdefaults__) and not _are_same(
                extras, _extras(function)
            ):
                return False
            for name, was in named:
                if namespace.get(name, _MISSING) is not was:
                    return False
            for cell, was in cells:
                if cell.cell_contents is not was:
                    return False
            if function.__dict__:
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
        if isinstance(seen, FunctionType) and (seen is function or not _is_importable(seen)):
            if id(seen) in found:
                continue
            if not _is_plain(seen) or len(found) == _MOST_FUNCTIONS:
                return []
            found[id(seen)] = seen
            to_see += [value for _, value in _named(seen)]
            to_see += [value for _, value in _cells(seen)]
            to_see += seen.__defaults__ or ()
            to_see += _extras(seen)
        elif seen is not _MISSING and type(seen) not in _FROZEN and not _travels_by_name(seen):
            return []
    return list(found.values())


def _travels_by_name(value: object) -> bool:
    """Modules that can be imported, their functions and classes, and C functions (not the `get` of a dict)."""
    if isinstance(value, (FunctionType, type)):
        return _is_importable(value)
    module = value.__self__ if type(value) is BuiltinFunctionType else value
    return type(module) is ModuleType and sys.modules.get(module.__name__) is module


def _is_importable(value: FunctionType | type) -> bool:
    """Whether a worker finds the same thing under its name."""
    module = value.__module__
    if module == "__main__" or module not in sys.modules:
        return False
    found: object = sys.modules[module]
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value


def _is_plain(function: FunctionType) -> bool:
    return not function.__dict__


def _extras(function: FunctionType) -> tuple[Any, ...]:
    """Annotations and keyword defaults, with their names."""
    extras: list[Any] = []
    for parts in (function.__annotations__, function.__kwdefaults__):
        for pair in (parts or {}).items():
            extras += pair
    return tuple(extras)


def _are_same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(one) == len(other) and all(was is now for was, now in zip(one, other, strict=True))


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
