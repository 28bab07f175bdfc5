"""What things are made of: seen from outside, without running code of the user's."""

from __future__ import annotations

import copyreg
import functools
import sys
import types
import typing
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

from jray.runtime.object_ref import ObjectRef

ATOMS = frozenset({type(None), bool, int, float, complex, str, type(Ellipsis), type(NotImplemented), range, ObjectRef})
REACHES = "__jray_reaches__"  # of our own handles: what they stand for

NOTHING = ...  # in a slot. (One of the ATOMS.)
_FEW = 4
_COMPARED_BY_IDENTITY = ATOMS | {type, FunctionType}
_CONTAINERS = (list, dict, tuple, set, frozenset)
_OWN_REDUCE = (OrderedDict, defaultdict)  # of the standard library's containers
_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType, types.WrapperDescriptorType)
_dispatcher: Any = functools.singledispatch(lambda _: None)
_DISPATCHER: types.CodeType = _dispatcher.__code__
_ALIASES = (types.GenericAlias, types.UnionType, type(typing.Optional[int]), type(typing.List[int]))  # noqa: UP006, UP045
_NAMED = tuple(
    kind for name in ("TypeVar", "ParamSpec", "TypeVarTuple", "TypeAliasType") if (kind := getattr(typing, name, None))
)


def is_importable(value: Any) -> bool:
    """Whether a worker finds the same function or class under its name."""
    module = value.__module__
    if module == "__main__" or type(module) is not str or module not in sys.modules:
        return False
    found: object = sys.modules[module]
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value


def is_dispatcher(function: FunctionType) -> bool:
    """Whether functools.singledispatch has made it."""
    return function.__code__ is _DISPATCHER


def known_parts(value: Any) -> Iterable[Any] | None:
    """What things of Python's own are made of that never change themselves. None: it is no such thing."""
    kind = type(value)
    known = _KNOWN.get(kind)
    if known is not None:
        return known(value)
    if isinstance(value, Enum):
        return kind, value.__dict__
    if isinstance(value, _NAMED):
        return ()
    if isinstance(value, _ALIASES):
        more = getattr(value, "__metadata__", ())  # of Annotated
        return (getattr(value, "__origin__", None), *getattr(value, "__args__", ()), *more)
    reaches: Callable[[Any], Iterable[Any]] | None = getattr(kind, REACHES, None)
    return None if reaches is None else reaches(value)


def _owner_of(function: Any) -> tuple[Any, ...]:
    """Of a C function, what it is a method of."""
    owner = function.__self__
    return () if owner is None or type(owner) is ModuleType else (owner,)


_KNOWN: dict[type, Callable[[Any], Iterable[Any]]] = {
    MethodType: lambda method: (method.__func__, method.__self__),
    BuiltinFunctionType: _owner_of,
    staticmethod: lambda made: (made.__func__,),
    classmethod: lambda made: (made.__func__,),
    property: lambda made: (made.fget, made.fset, made.fdel),
    functools.partial: lambda made: (made.func, made.args, made.keywords, made.__dict__),
    functools._lru_cache_wrapper: lambda made: (made.__wrapped__, made.__dict__),  # noqa: SLF001 - it has no public name
    functools.cached_property: lambda made: (made.func,),
    typing.NewType: lambda made: (made.__supertype__,),
}


def is_data(value: Any) -> bool:
    """Whether it is worth trying to take a value for mere data: packed and compared at each look."""
    kind = type(value)
    if kind is dict and len(value) <= _FEW and _COMPARED_BY_IDENTITY.issuperset(map(type, value.values())):
        return False  # that is faster
    return kind.__module__ != "__main__" and (kind.__module__ == "builtins" or is_importable(kind))


def is_container(value: Any) -> bool:
    """Whether it is what its items are, and perhaps its attributes."""
    kind = type(value)
    if kind is types.MappingProxyType:
        return True
    return isinstance(value, _CONTAINERS) and (kind in _CONTAINERS or kind in _OWN_REDUCE or _is_plain(kind))


def is_plain_instance(value: Any) -> bool:
    """Whether it is what its attributes and slots are."""
    kind = type(value)
    return kind not in _CONTAINERS and kind not in _OWN_REDUCE and kind.__module__ != "builtins" and _is_plain(kind)


def _is_plain(kind: type) -> bool:
    """Whether pickle takes it apart itself, and asks nothing of the class."""
    own: Any = kind
    return (
        own.__reduce_ex__ is object.__reduce_ex__
        and own.__reduce__ is object.__reduce__
        and getattr(kind, "__getstate__", None) is getattr(object, "__getstate__", None)
        and not hasattr(kind, "__getnewargs_ex__")
        and (not hasattr(kind, "__getnewargs__") or issubclass(kind, tuple))
        and kind not in copyreg.dispatch_table
    )


def in_class(mapping: Mapping[str, Any]) -> Iterator[Any]:
    """What is in a class."""
    for name, part in mapping.items():
        if name not in ("__dict__", "__weakref__", "_abc_impl") and not isinstance(part, _DESCRIPTORS):
            yield part


def slots_of(kind: type) -> list[Any]:
    """The descriptors of an instance's slots."""
    return [slot for cls in kind.__mro__ for slot in vars(cls).values() if type(slot) is types.MemberDescriptorType]


def in_slots(slots: Iterable[Any], value: Any) -> list[Any]:
    """What is in the slots; NOTHING in an empty one."""
    held = []
    for slot in slots:
        try:
            held.append(slot.__get__(value))
        except AttributeError:
            held.append(NOTHING)
    return held


def is_empty(cell: CellType) -> bool:
    """Whether nothing is in a cell."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False
