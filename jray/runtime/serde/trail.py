"""The way from a value to something inside it, as its user would write it: `g → f → cfg["db"]`.

An arrow leads to a name that a function uses, a dot to an attribute, brackets to an element. The objects on the way are
known from pickling; among them are those that picklers make (states, tuples of arguments), which nobody else knows.
So each is looked for by identity in the one before. Runs no code of the user's.
"""

from __future__ import annotations

import functools
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from types import (
    BuiltinMethodType,
    CellType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
)
from typing import Any

from jray.runtime.serde.kinds import package_of

_FAR = 10  # objects that a pickler may put between an object and its part
_MOST_OBJECTS = 1_000  # of a longer trail, only both ends are looked at
_MOST_STEPS = 12  # that are written; of more, those at both ends
_ENDS = 5
_SOME_PART = " → a part"
_LONGEST_KEY = 40  # characters
_SHOWN = {int, float, bool, type(None), bytes, str}  # no code of the user's runs
_CONTAINERS = {tuple, list, dict}  # that picklers make
_THE_SAME = {"_function", "__wrapped__"}  # attributes that stand for the object itself
_OF_DATA = {"numpy", "pandas", "polars", "pyarrow", "scipy", "torch", "xarray"}  # their private parts say nothing

_PARTS_OF: dict[type, dict[str, str]] = {  # attributes of objects that keep them in C, and how they are written
    CellType: {"cell_contents": ""},
    MethodType: {"__func__": "", "__self__": " → self"},
    BuiltinMethodType: {"__self__": " → self"},
    property: {"fget": "", "fset": "", "fdel": ""},
    staticmethod: {"__func__": ""},
    classmethod: {"__func__": ""},
    functools.partial: {"func": ".func", "args": ".args", "keywords": ".keywords"},
    defaultdict: {"default_factory": ".default_factory"},
    BaseException: {"args": ".args"},
}


def steps(trail: Sequence[object]) -> list[str]:
    """How to come from the first of these objects, each of which is somewhere in the one before, to the last one."""
    if len(trail) > _MOST_OBJECTS:
        half = _MOST_OBJECTS // 2
        end = trail[-half:]
        begin = next((index for index, passed in enumerate(end) if type(passed) is not tuple), 0)  # may be a pickler's
        return steps(trail[:half]) + steps(end[begin:])
    found: list[str] = []
    here = 0
    is_made = False  # what we look into was made by a pickler
    while here < len(trail) - 1:
        step, ahead = _next_step(trail, here, is_made=is_made)
        if step and not (step == _SOME_PART and found and found[-1] == step):
            found.append(step)
        here += ahead
        is_made = step is None or (is_made and step == _SOME_PART and type(trail[here]) in _CONTAINERS)
    return found


def written(root: str, taken: Sequence[str]) -> str:
    """A way in words; the middle of a long one is left out."""
    if len(taken) <= _MOST_STEPS:
        return root + "".join(taken)
    return f"{root}{''.join(taken[:_ENDS])} … {''.join(taken[-_ENDS:]).lstrip()}"


def _next_step(trail: Sequence[object], here: int, *, is_made: bool) -> tuple[str | None, int]:
    """The next step and how far it leads; none when the next object was made by a pickler."""
    owner = trail[here]
    for ahead in range(1, min(_FAR, len(trail) - 1 - here) + 1):
        step = _step(owner, trail[here + ahead])
        if step is not None:
            return (_of_made(owner, step) if is_made else step), ahead
    return None, 1


def _of_made(owner: object, step: str) -> str:
    """A step into what a pickler made: the keys of a state are the attributes of who has it."""
    if type(owner) is dict:
        key = step.removeprefix('["').removesuffix('"]')
        return f".{key}" if key.isidentifier() else _SOME_PART
    return _SOME_PART if type(owner) in _CONTAINERS else step


def _step(owner: Any, part: object) -> str | None:
    """How an object holds another one; None when it does not hold it directly."""
    for step, held in _parts(owner):
        if held is part:
            return step
    return None


def _parts(owner: Any) -> Iterator[tuple[str, object]]:
    if issubclass(type(owner), FunctionType):  # isinstance may ask the object
        yield from _parts_of_function(owner)
    elif issubclass(type(owner), type):
        yield from _parts_of_class(owner)
    else:
        yield from _elements(owner)
        yield from _parts_in_c(owner)
        yield from _attributes(owner)


def _parts_of_function(function: FunctionType) -> Iterator[tuple[str, object]]:
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        yield f" → {name}", cell
    for name in _names(code):
        if name in function.__globals__:
            yield f" → {name}", function.__globals__[name]
    defaults = function.__defaults__ or ()
    for name, default in zip(reversed(code.co_varnames[: code.co_argcount]), reversed(defaults), strict=False):
        yield f" → default {name}", default
    for name, default in (function.__kwdefaults__ or {}).items():
        yield f" → default {name}", default
    yield from _items_as_attributes(function.__dict__)
    for name, annotation in function.__annotations__.items():
        yield f" → annotation {name}", annotation


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _parts_of_class(owner: type) -> Iterator[tuple[str, object]]:
    yield from _items_as_attributes(type.__dict__["__dict__"].__get__(owner))
    for base in type.__dict__["__bases__"].__get__(owner):
        yield f" → {_name_of(base)}", base
    yield f" → {_name_of(type(owner))}", type(owner)


def _elements(owner: Any) -> Iterator[tuple[str, object]]:
    kind = type(owner)
    if issubclass(kind, dict) or kind is MappingProxyType:
        for key, element in kind.items(owner) if kind is MappingProxyType else dict.items(owner):
            yield _at(key), element
            yield " → a key", key
    elif issubclass(kind, tuple) and "_fields" in kind.__dict__:
        for name, element in zip(kind.__dict__["_fields"], tuple.__iter__(owner), strict=False):
            yield f".{name}", element
    else:
        for base in (list, tuple, deque, set, frozenset):
            if issubclass(kind, base):  # and iterate as it does, whatever a class of the user's means by that
                for index, element in enumerate(base.__iter__(owner)):
                    yield (" → an element" if base in {set, frozenset} else f"[{index}]"), element


def _parts_in_c(owner: Any) -> Iterator[tuple[str, object]]:
    for kind, attributes in _PARTS_OF.items():
        if issubclass(type(owner), kind):
            for attribute, step in attributes.items():
                try:
                    held = kind.__dict__[attribute].__get__(owner)
                except ValueError:  # an empty cell
                    continue
                yield step, held


def _attributes(owner: Any) -> Iterator[tuple[str, object]]:
    kind = type(owner)
    is_data = package_of(kind) in _OF_DATA
    for step, held in _items_as_attributes(_dict_of(owner)):
        yield (_SOME_PART if is_data and step.startswith("._") else step), held
    for base in kind.__mro__:
        for name, member in base.__dict__.items():
            if type(member) is MemberDescriptorType and name != "__dict__":
                try:
                    yield f".{name}", member.__get__(owner)
                except AttributeError:  # an empty slot
                    continue
    yield f" → {_name_of(kind)}", kind


def _items_as_attributes(namespace: Any) -> Iterator[tuple[str, object]]:
    for name, held in list(namespace.items()):
        yield ("" if name in _THE_SAME else f".{name}"), held


def _dict_of(owner: Any) -> Any:
    """Its attributes, whatever a class of the user's means by `__dict__`."""
    for base in type(owner).__mro__:
        found = base.__dict__.get("__dict__")
        if isinstance(found, (GetSetDescriptorType, MemberDescriptorType)):
            return found.__get__(owner)
    return {}


def _at(key: object) -> str:
    if type(key) is str and '"' not in key and "\\" not in key and len(key) <= _LONGEST_KEY and key.isprintable():
        return f'["{key}"]'
    if type(key) in _SHOWN or (type(key) is tuple and {type(part) for part in key} <= _SHOWN):
        told = repr(key)
        return f"[{told if len(told) <= _LONGEST_KEY else told[:_LONGEST_KEY] + '…'}]"
    return f"[a {_name_of(type(key))}]"


def _name_of(kind: type) -> str:
    name: str = type.__dict__["__name__"].__get__(kind)
    return name
