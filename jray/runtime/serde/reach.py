"""What a function reaches, and whether any of it has changed since.

What can be compared by identity is (names, code, cells, classes, the items of containers, the attributes of
instances); other values are pickled again and compared as bytes. Where neither tells (an object with a `__reduce__` of
the user's), a reach never holds, and what it belongs to is packed anew each time.
"""

from __future__ import annotations

import abc
import copyreg
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import attrgetter, is_, itemgetter
from pickle import dumps
from types import CellType, FunctionType, MappingProxyType, ModuleType
from typing import Any, Protocol

from jray.runtime.ids import ObjectId
from jray.runtime.interrupts import undisturbed
from jray.runtime.serde import parts
from jray.runtime.serde.names import annotated_names, names_of
from jray.runtime.serde.parts import is_importable
from jray.runtime.serde.values import OUT_OF_BAND_BYTES, Packed, modules_are_by_value, pack_data

_MISSING = object()  # what a name stands for that is not there
_MOST = 10_000  # things that are looked at; who reaches more is packed anew each time
_MOST_ITEMS = 1_000  # of a container that is compared item by item

_parts_of_function = attrgetter("__code__", "__defaults__", "__kwdefaults__", "__name__", "__qualname__", "__doc__")
_attributes_of, _annotations_of = attrgetter("__dict__"), attrgetter("__annotations__")
_content_of = attrgetter("cell_contents")


class Large(Protocol):
    """A large value that is stored by itself, and how it is known to be unchanged."""

    object_id: ObjectId

    def value(self) -> Any:
        """The value; None when it is gone."""

    def holds(self) -> bool:
        """Whether it is as it was stored."""


Watch = Callable[[Any, Packed], Large]


class Reach:
    """All that a function (or a class, or any object) depends on, as it was."""

    def __init__(self, root: Any, *, is_deep: bool = True, watch: Watch | None = None) -> None:
        """Look at everything.

        Args:
            root: what is to be packed.
            is_deep: else neither what names stand for is looked at, nor other classes.
            watch: takes care of large values; None: they are compared like small ones.
        """
        self._is_deep, self._watch = is_deep, watch
        self.large: dict[int, Large] = {}  # by id() of the value
        self._seen: dict[int, Any] = {}
        self.classes: list[type] = []  # that do not travel by name
        self._functions: list[FunctionType] = []
        self._without: tuple[list[FunctionType], list[FunctionType]] = [], []  # attributes; annotations
        self._cells: list[CellType] = []
        self._contents: list[Any] = []
        self._names: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}  # by namespace: what was there
        self._checks: list[Callable[[], bool]] = [_modules_check()]
        self._is_unclear = modules_are_by_value()
        self._look(root)
        self._note_down()

    @property
    def is_exact(self) -> bool:
        """Whether `holds` may ever say yes."""
        return not self._is_unclear

    @undisturbed
    def holds(self) -> bool:
        """Whether all of it is still the same."""
        try:
            for check in self._checks:
                if not check():
                    return False
        except Exception:  # noqa: BLE001 - a name is gone, a cell is empty, what could be pickled can't be any more
            return False
        return not self._is_unclear

    # ---- looking

    @undisturbed
    def _look(self, root: Any) -> None:
        to_see: list[Any] = [root]
        while to_see:
            value = to_see.pop()
            if type(value) in parts.ATOMS or id(value) in self._seen:
                continue
            self._seen[id(value)] = value
            if len(self._seen) > _MOST:
                self._is_unclear = True
                return
            try:
                to_see += self._parts(value, is_root=value is root)
            except Exception:  # noqa: BLE001 - an object of the user's that can't be looked at
                self._is_unclear = True

    def _parts(self, value: Any, *, is_root: bool) -> Iterable[Any]:
        """What a value is made of, which will be looked at; how to see a change in itself is noted down."""
        kind = type(value)
        if kind is FunctionType:
            return self._note_import(value) if is_importable(value) else self._parts_of_function(value)
        if isinstance(value, type):
            return self._note_import(value) if is_importable(value) else self._parts_of_class(value, is_root=is_root)
        if kind is ModuleType:
            self._is_unclear |= sys.modules.get(value.__name__) is not value
            return ()
        known = parts.known_parts(value)
        if known is not None:
            return known
        if parts.is_data(value) and self._is_unchanged_data(value):
            return ()
        found: list[Any] = []
        is_known = False
        if parts.is_container(value):
            found += self._parts_of_container(value)
            is_known = True
        if parts.is_plain_instance(value):
            found += self._parts_of_instance(value)
            is_known = True
        if not is_known:
            self._is_unclear = True
            found.append(kind)  # for what its methods name
        return found

    def _note_import(self, value: Any) -> Iterable[Any]:
        """It travels by name as long as its module calls it so."""
        if "." not in value.__qualname__:
            namespace = vars(sys.modules[value.__module__])
            self._named_in(namespace)[value.__qualname__] = value
        return ()

    def _parts_of_function(self, function: FunctionType) -> Iterable[Any]:
        if parts.is_dispatcher(function):
            own = ("register", "dispatch", "registry", "_clear_cache", "__wrapped__")
            attributes = {name: value for name, value in vars(function).items() if name not in own}
            number = len(vars(function))
            self._checks.append(lambda: len(vars(function)) == number)
            return (*self._parts_of_container(function.registry), *attributes.values())  # type: ignore[attr-defined]
        self._functions.append(function)
        found: list[Any] = list(function.__defaults__ or ())
        attributes, annotations = function.__dict__, function.__annotations__
        for extra, without in zip((attributes, annotations), self._without, strict=True):
            if extra:
                found.append(extra)
            else:
                without.append(function)
        if attributes or annotations:
            self._checks.append(
                lambda: (
                    (not attributes or function.__dict__ is attributes)
                    and (not annotations or function.__annotations__ is annotations)
                )
            )
        if function.__kwdefaults__:
            found.append(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            found += self._content(cell)
        if self._is_deep:
            found += self._look_up(names_of(function), function.__globals__)
        return found

    def _named_in(self, namespace: dict[str, Any]) -> dict[str, Any]:
        return self._names.setdefault(id(namespace), (namespace, {}))[1]

    def _look_up(self, names: Iterable[str], namespace: dict[str, Any]) -> Iterable[Any]:
        """What names stand for, which is noted: another thread may bind them anew at any moment."""
        named, found = self._named_in(namespace), []
        for name in names:
            if name not in named:
                value = named[name] = namespace.get(name, _MISSING)
                if value is not _MISSING:
                    found.append(value)
        return found

    def _content(self, cell: CellType) -> Iterable[Any]:
        if id(cell) in self._seen:
            return ()
        self._seen[id(cell)] = cell
        try:
            content = cell.cell_contents
        except ValueError:
            self._checks.append(lambda: parts.is_empty(cell))
            return ()
        self._cells.append(cell)
        self._contents.append(content)
        return (content,)

    def _parts_of_class(self, cls: type, *, is_root: bool) -> Iterable[Any]:
        if not self._is_deep and not is_root:
            return ()
        self.classes.append(cls)
        copyreg._slotnames(cls)  # type: ignore[attr-defined] # noqa: SLF001 - pickle notes this in the class
        mapping, bases = vars(cls), cls.__bases__
        self._checks += _class_check(mapping), _called_check(cls)
        if isinstance(cls, abc.ABCMeta):  # classes may be registered with it
            token = abc.get_cache_token()
            self._checks.append(lambda: abc.get_cache_token() == token)
        found = [type(cls), *bases, *parts.in_class(mapping)]
        if self._is_deep and cls.__module__ == "__main__":
            found += self._look_up(annotated_names(mapping.get("__annotations__")), vars(sys.modules["__main__"]))
        return found

    def _is_unchanged_data(self, value: Any) -> bool:
        """Whether it is nothing but data, which was noted down."""
        packed = pack_data(value)
        if packed is None:
            return False
        if not packed.buffers and not packed.refs and packed.nbytes < OUT_OF_BAND_BYTES:
            head = packed.head
            self._checks.append(lambda: dumps(value, 5) == head)
            return True
        if packed.nbytes < OUT_OF_BAND_BYTES or self._watch is None:
            before = packed.whole()
            self._checks.append(lambda: (now := pack_data(value)) is not None and now.whole() == before)
            return True
        if parts.is_container(value) and len(value) <= _MOST_ITEMS:
            return False  # what is large in it has a place of its own
        large = self.large[id(value)] = self._watch(value, packed)
        self._checks.append(large.holds)
        return True

    def _parts_of_container(self, value: Any) -> Iterable[Any]:
        number = len(value)
        if number > _MOST_ITEMS:
            self._is_unclear = True
            return ()
        items = tuple(value)
        if isinstance(value, defaultdict):
            factory = value.default_factory
            self._checks.append(lambda: value.default_factory is factory)
            return (factory, *self._parts_of_dict(value, items))
        if isinstance(value, (tuple, frozenset)):
            return items
        if isinstance(value, (dict, MappingProxyType)):
            return self._parts_of_dict(value, items)
        self._checks.append(lambda: len(value) == number and all(map(is_, value, items)))
        return items

    def _parts_of_dict(self, value: Any, keys: tuple[Any, ...]) -> Iterable[Any]:
        values, number = tuple(value.values()), len(keys)
        self._checks.append(
            lambda: len(value) == number and all(map(is_, value, keys)) and all(map(is_, value.values(), values))
        )
        return chain(keys, values)

    def _parts_of_instance(self, value: Any) -> Iterable[Any]:
        kind = type(value)
        attributes = getattr(value, "__dict__", None)
        slots = parts.slots_of(kind)
        held = parts.in_slots(slots, value)
        self._checks.append(
            lambda: (
                type(value) is kind
                and getattr(value, "__dict__", None) is attributes
                and (not slots or all(map(is_, parts.in_slots(slots, value), held)))
            )
        )
        return (kind, *held) if attributes is None else (kind, attributes, *held)

    # ---- noting down

    def _note_down(self) -> None:
        without_attributes, without_annotations = self._without
        if len(self._functions) == 1:
            is_bare = bool(without_attributes), bool(without_annotations)
            self._checks.append(_function_check(self._functions[0], *is_bare))
        elif self._functions:
            self._checks.append(_functions_check(self._functions))
            self._checks.append(lambda: not any(map(_attributes_of, without_attributes)))
            self._checks.append(lambda: not any(map(_annotations_of, without_annotations)))
        if self._cells:
            cells, contents = self._cells, self._contents
            self._checks.append(lambda: all(map(is_, map(_content_of, cells), contents)))
        for namespace, named in self._names.values():
            self._note_names(namespace, named)
        self._seen, self._names = {}, {}
        if self._is_unclear:
            self._checks = []

    def _note_names(self, namespace: dict[str, Any], named: dict[str, Any]) -> None:
        """What these names stand for. Large values are not kept alive by it."""
        keys = namespace.keys()
        missing = frozenset(name for name, value in named.items() if value is _MISSING)
        if missing:
            self._checks.append(lambda: keys.isdisjoint(missing))
        for name, value in named.items():
            if id(value) in self.large:
                self._checks.append(_large_check(namespace, name, self.large[id(value)]))
        there = [name for name, value in named.items() if value is not _MISSING and id(value) not in self.large]
        values = [named[name] for name in there]
        if len(there) == 1:
            (name,), (value,) = there, values
            self._checks.append(lambda: namespace[name] is value)
        elif there:
            get = itemgetter(*there)
            self._checks.append(lambda: all(map(is_, get(namespace), values)))


def _modules_check() -> Callable[[], bool]:
    """A submodule that is imported meanwhile would travel along."""
    modules = sys.modules
    number = len(modules)
    return lambda: len(modules) == number and modules is sys.modules


def _function_check(function: FunctionType, has_no_attributes: bool, has_no_annotations: bool) -> Callable[[], bool]:  # noqa: FBT001
    """The usual case, which should cost next to nothing."""
    code, defaults, keyword_defaults, name, *others = _parts_of_function(function)
    qualname, text = others
    return lambda: (
        function.__code__ is code
        and function.__defaults__ is defaults
        and function.__kwdefaults__ is keyword_defaults
        and function.__name__ is name
        and function.__qualname__ is qualname
        and function.__doc__ is text
        and not (has_no_attributes and function.__dict__)
        and not (has_no_annotations and function.__annotations__)
    )


def _functions_check(functions: Sequence[FunctionType]) -> Callable[[], bool]:
    flat = tuple(chain.from_iterable(map(_parts_of_function, functions)))
    return lambda: all(map(is_, chain.from_iterable(map(_parts_of_function, functions)), flat))


def _class_check(mapping: Any) -> Callable[[], bool]:
    names, values = list(mapping), tuple(mapping.values())
    return lambda: list(mapping) == names and all(map(is_, mapping.values(), values))


def _called_check(cls: type) -> Callable[[], bool]:
    kind, bases, name, qualname = type(cls), cls.__bases__, cls.__name__, cls.__qualname__
    return lambda: (
        type(cls) is kind and cls.__bases__ is bases and cls.__name__ == name and cls.__qualname__ == qualname
    )


def _large_check(namespace: dict[str, Any], name: str, large: Large) -> Callable[[], bool]:
    return lambda: namespace.get(name) is large.value()
