"""Classes by id: a class of the notebook is one object in each process, and who made it is authoritative.

cloudpickle rebuilds a class wherever an instance arrives, and so replaces methods of the very class that the user
wrote. Here an instance names its class by an id. A process that does not know the id makes the class from its body,
which travels along; where the class was made, nothing is ever touched.
"""

from __future__ import annotations

import abc
import pickle
import threading
import types
import uuid
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import EnumMeta, member
from types import FunctionType
from typing import Any, NamedTuple

from jray.runtime.serde.reach import Reach

_ids: dict[int, tuple[weakref.ref[type], bytes]] = {}  # by id(): not every class can be hashed
_classes: weakref.WeakValueDictionary[bytes, type] = weakref.WeakValueDictionary()
_from_elsewhere: set[bytes] = set()  # ids of classes that were not made here
_copies: weakref.WeakValueDictionary[bytes, Copy] = (
    weakref.WeakValueDictionary()
)  # of those, as far as somebody holds it
_making = threading.RLock()
_to_make: dict[bytes, bytes] = {}  # bodies of classes that are being made, under the lock
_WRITTEN = ("__slots__", "__orig_bases__")  # must be there when a class is made
_FIXED = frozenset(  # names in an empty class
    """__module__ __qualname__ __doc__ __dict__ __weakref__ __slots__ __orig_bases__ __abstractmethods__ _abc_impl
    __firstlineno__ __static_attributes__ __slotnames__""".split()  # noqa: SIM905 - a list of names
)
_OF_ENUMS = frozenset(
    """_generate_next_value_ _member_names_ _member_map_ _member_type_ _value2member_map_ _unhashable_values_
    _hashable_values_ _unhashable_values_map_ _value_repr_ _use_args_ _new_member_ __new__""".split()  # noqa: SIM905
)
_MADE_BY_ENUM = ("_generate_next_value_", "_member_names_", "_member_map_", "_member_type_", "_value2member_map_")


class Row(NamedTuple):
    """An empty class as it travels; what is in it comes with the graph that names it."""

    cid: bytes
    skeleton: bytes


class Filling(NamedTuple):
    """What is in a class, and how it is called now."""

    cid: bytes
    kind: type
    name: str
    qualname: str
    bases: tuple[type, ...]
    inside: dict[str, Any]
    members: dict[str, dict[str, Any]]  # of an enum: their attributes
    registered: tuple[type, ...]  # with an abstract class


class Copy:
    """A class that was made elsewhere, as it came with a value. Who holds this holds the class."""

    def __init__(self, cls: type, version: bytes) -> None:
        """`cls` is in this version now."""
        self.version, self._reach = version, Reach(cls, is_deep=False)

    def is_intact(self, version: bytes) -> bool:
        """Whether it is in this version, and nobody has changed it."""
        return self.version == version and self._reach.holds()


def id_of(cls: type) -> bytes:
    """The id of a class; it gets one when it is first asked for."""
    known = known_id(cls)
    if known is not None:
        return known
    with _making:  # making an id lets other threads run
        return known_id(cls) or _name(cls, uuid.uuid4().bytes)


def known_id(cls: type) -> bytes | None:
    """The id of a class that has one."""
    known = _ids.get(id(cls))
    return known[1] if known is not None and known[0]() is cls else None


def _name(cls: type, cid: bytes) -> bytes:
    number = id(cls)

    def forget(gone: weakref.ref[type]) -> None:
        if number in _ids and _ids[number][0] is gone:
            del _ids[number]
        _from_elsewhere.discard(cid)

    _ids[number] = weakref.ref(cls, forget), cid
    _classes[cid] = cls
    return cid


def class_by_id(cid: bytes) -> type:
    """The class of this process. Pickles call this.

    Raises:
        pickle.UnpicklingError: it is not here, and its body did not come along.
    """
    cls = _classes.get(cid)
    if cls is None and cid in _to_make:
        cls = _make(cid)
    if cls is None:
        msg = f"A class was named by its id {cid.hex()}, and is not known here."
        raise pickle.UnpicklingError(msg)
    return cls


# ---- to bytes


def skeleton_of(cls: type) -> tuple[Any, ...]:
    """What the empty class is made with."""
    own = vars(cls)
    fixed = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    fixed |= {name: own[name] for name in _WRITTEN if name in own}
    listed: Mapping[str, Any] = cls.__members__ if isinstance(cls, EnumMeta) else {}
    members = {name: member.value for name, member in listed.items()} if isinstance(cls, EnumMeta) else None
    return type(cls), cls.__name__, cls.__bases__, fixed, members


def filling_of(cls: type) -> Filling:
    """What goes into it when all classes are there."""
    inside = {name: value for name, value in vars(cls).items() if not _is_own_slot(cls, value)}
    for name in ("_abc_impl", "__weakref__", "__dict__", "__slotnames__", *_WRITTEN):
        inside.pop(name, None)
    members: dict[str, dict[str, Any]] = {}
    if isinstance(cls, EnumMeta):
        listed: Mapping[str, Any] = cls.__members__
        members = {name: dict(vars(member)) for name, member in listed.items()}
        for name in (*_MADE_BY_ENUM, *members):
            inside.pop(name, None)
    registered = [found() for found in abc._get_dump(cls)[0]] if isinstance(cls, abc.ABCMeta) else []  # type: ignore[attr-defined] # noqa: SLF001
    there = tuple(subclass for subclass in registered if subclass is not None)
    return Filling(id_of(cls), type(cls), cls.__name__, cls.__qualname__, cls.__bases__, inside, members, there)


def _is_own_slot(cls: type, value: object) -> bool:
    return (
        isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType))
        and getattr(value, "__objclass__", None) is cls
    )


# ---- from bytes


def make(rows: Iterable[Row]) -> list[type]:
    """All of these classes; those that are missing here are made, and are empty.

    They live as long as somebody holds them.
    """
    rows = list(rows)
    with _making:
        _to_make.update({row.cid: row.skeleton for row in rows})
        try:
            return [class_by_id(row.cid) for row in rows]
        finally:
            _to_make.clear()


def is_from_elsewhere(cid: bytes) -> bool:
    """Whether it is a class that was not made here."""
    return cid in _from_elsewhere


def is_here(cid: bytes) -> bool:
    """Whether this process has it."""
    return cid in _classes


def is_intact(cid: bytes, version: bytes) -> bool:
    """Whether a copy is in this version, as far as we know, and nobody has changed it."""
    copy = _copies.get(cid)
    return copy is not None and copy.is_intact(version)


def note_copy(cid: bytes, version: bytes) -> Copy:
    """A class is in this version now; we know as long as somebody holds what is returned."""
    copy = _copies[cid] = Copy(class_by_id(cid), version)
    return copy


def _make(cid: bytes) -> type:
    """The empty class. The bases that it names may have to be made first."""
    kind, name, bases, fixed, members = pickle.loads(_to_make[cid])
    with _without_hooks(bases):
        cls = _new_enum(kind, name, bases, fixed, members) if members is not None else _new(kind, name, bases, fixed)
    _name(cls, cid)
    _from_elsewhere.add(cid)
    return cls


def _new(kind: Any, name: str, bases: tuple[type, ...], fixed: dict[str, Any]) -> type:
    """What the user's own metaclass does when a class is made was done where it was made: it is not run again."""
    if kind in (type, abc.ABCMeta) or known_id(kind) is not None:
        maker = next(k for k in kind.__mro__ if "__new__" in vars(k) and known_id(k) is None)
        cls: type = maker.__new__(kind, name, bases, fixed)
        return cls
    written = fixed.get("__orig_bases__", bases)
    return types.new_class(name, written, {"metaclass": kind}, lambda namespace: namespace.update(fixed))


def _new_enum(kind: Any, name: str, bases: tuple[type, ...], fixed: dict[str, Any], members: Mapping[str, Any]) -> type:
    namespace = kind.__prepare__(name, bases)
    for key, value in (*fixed.items(), *members.items()):
        namespace[key] = member(value) if key in members and isinstance(value, FunctionType) else value
    maker = next(k for k in kind.__mro__ if "__new__" in vars(k) and known_id(k) is None)
    cls: type = maker.__new__(kind, name, bases, namespace)
    return cls


@contextmanager
def _without_hooks(bases: Iterable[type]) -> Iterator[None]:
    """`__init_subclass__` of the user's classes was run where the class was made, with the arguments given there."""
    taken = []
    for base in dict.fromkeys(ancestor for written in bases for ancestor in written.__mro__):
        if known_id(base) is not None and "__init_subclass__" in vars(base):
            taken.append((base, vars(base)["__init_subclass__"]))
            type.__delattr__(base, "__init_subclass__")
    try:
        yield
    finally:
        for base, hook in taken:
            type.__setattr__(base, "__init_subclass__", hook)


def _is_fixed(cls: type, name: str, value: object) -> bool:
    """Whether it belongs to the empty class."""
    if isinstance(cls, EnumMeta) and (name in _OF_ENUMS or name in cls.__members__):
        return True
    return name in _FIXED or _is_own_slot(cls, value)


def fill(cls: type, filling: Filling) -> None:
    """Put in what is in the class, and take out what is not."""
    for attribute, value in (
        ("__name__", filling.name),
        ("__qualname__", filling.qualname),
        ("__bases__", filling.bases),
        ("__class__", filling.kind),
    ):
        now = type.__getattribute__(cls, attribute)
        if now is not value and now != value:
            type.__setattr__(cls, attribute, value)
    inside = filling.inside
    for name in [name for name, value in vars(cls).items() if name not in inside and not _is_fixed(cls, name, value)]:
        type.__delattr__(cls, name)
    for name, value in inside.items():
        type.__setattr__(cls, name, value)
    if "__firstlineno__" in inside:  # setting anything else has deleted it (Python 3.13)
        type.__setattr__(cls, "__firstlineno__", inside["__firstlineno__"])
    for name, state in filling.members.items():
        cls.__members__[name].__dict__.update(state)  # type: ignore[attr-defined]
    for subclass in filling.registered:
        cls.register(subclass)  # type: ignore[attr-defined]
