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
from collections.abc import Callable, Iterable
from itertools import chain
from types import CellType, FunctionType, MappingProxyType, ModuleType
from typing import Any, Protocol

from jray.runtime.ids import ObjectId
from jray.runtime.interrupts import undisturbed
from jray.runtime.serde import parts
from jray.runtime.serde.checks import Checks
from jray.runtime.serde.names import annotated_names, names_of
from jray.runtime.serde.parts import is_importable
from jray.runtime.serde.values import OUT_OF_BAND_BYTES, Packed, modules_are_by_value, pack_data

_MISSING = object()  # what a name stands for that is not there
_MOST = 10_000  # things that are looked at; who reaches more is packed anew each time
_FEW = 4  # items that are looked up one by one
_MOST_ITEMS = 1_000  # of a container that is compared item by item


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
        self._names: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}  # by namespace: what was there
        self._checks = Checks()
        self._checks.add("len({0}) == {1}", sys.modules, len(sys.modules))  # a submodule would travel along
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
        if self._is_unclear:
            return False
        try:
            compiled = self._checks.compiled
            return compiled() if compiled is not None else self._checks.hold()
        except Exception:  # noqa: BLE001 - a name is gone, a cell is empty, what could be pickled can't be any more
            return False

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
            self._checks.add("len({0}) == {1}", vars(function), len(vars(function)))
            return (*self._parts_of_container(function.registry), *attributes.values())  # type: ignore[attr-defined]
        code, defaults, keyword_defaults = function.__code__, function.__defaults__, function.__kwdefaults__
        self._checks.add("{0}.__code__ is {1} and {0}.__defaults__ is {2}", function, code, defaults)
        self._checks.add(
            "{0}.__kwdefaults__ is {1} and {0}.__doc__ is {2}", function, keyword_defaults, function.__doc__
        )
        names = function.__name__, function.__qualname__
        self._checks.add("{0}.__name__ is {1} and {0}.__qualname__ is {2}", function, *names)
        found: list[Any] = list(defaults or ())
        attributes, annotations = function.__dict__, function.__annotations__
        for name, extra in (("__dict__", attributes), ("__annotations__", annotations)):
            if extra:
                found.append(extra)
                self._checks.add(f"{{0}}.{name} is {{1}}", function, extra)
            else:
                self._checks.add(f"not {{0}}.{name}", function)
        if keyword_defaults:
            found.append(keyword_defaults)
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
            self._checks.add("{0}({1})", parts.is_empty, cell)
            return ()
        self._checks.add("{0}.cell_contents is {1}", cell, content)
        return (content,)

    def _parts_of_class(self, cls: type, *, is_root: bool) -> Iterable[Any]:
        if not self._is_deep and not is_root:
            return ()
        self.classes.append(cls)
        copyreg._slotnames(cls)  # type: ignore[attr-defined] # noqa: SLF001 - pickle notes this in the class
        mapping, bases = vars(cls), cls.__bases__
        self._checks.add("list({0}) == {1}", mapping, list(mapping))
        self._checks.add("all(map(is_, {0}.values(), {1}))", mapping, tuple(mapping.values()))
        self._checks.add("type({0}) is {1} and {0}.__bases__ is {2}", cls, type(cls), bases)
        self._checks.add("{0}.__name__ == {1} and {0}.__qualname__ == {2}", cls, cls.__name__, cls.__qualname__)
        if isinstance(cls, abc.ABCMeta):  # classes may be registered with it
            self._checks.add("{0}() == {1}", abc.get_cache_token, abc.get_cache_token())
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
            self._checks.add("dumps({0}, 5) == {1}", value, packed.head)
            return True
        if packed.nbytes < OUT_OF_BAND_BYTES or self._watch is None:
            self._checks.add("{0}({1}) == {2}", _bytes_of, value, packed.whole())
            return True
        if parts.is_container(value) and len(value) <= _MOST_ITEMS:
            return False  # what is large in it has a place of its own
        large = self.large[id(value)] = self._watch(value, packed)
        self._checks.add("{0}()", large.holds)
        return True

    def _parts_of_container(self, value: Any) -> Iterable[Any]:
        number = len(value)
        if number > _MOST_ITEMS:
            self._is_unclear = True
            return ()
        items = tuple(value)
        if isinstance(value, defaultdict):
            factory = value.default_factory
            self._checks.add("{0}.default_factory is {1}", value, factory)
            return (factory, *self._parts_of_dict(value, items))
        if isinstance(value, (tuple, frozenset)):
            return items
        if isinstance(value, (dict, MappingProxyType)):
            return self._parts_of_dict(value, items)
        self._checks.add("len({0}) == {1} and all(map(is_, {0}, {2}))", value, number, items)
        return items

    def _parts_of_dict(self, value: Any, keys: tuple[Any, ...]) -> Iterable[Any]:
        values = tuple(value.values())
        has_names = all(type(key) is str for key in keys)
        if has_names and len(keys) == 1:
            self._checks.add("len({0}) == 1", value)
        elif has_names:
            self._checks.add("list({0}) == {1}", value, list(keys))
        else:
            self._checks.add("len({0}) == {1} and all(map(is_, {0}, {2}))", value, len(keys), keys)
        if has_names and len(keys) <= _FEW:
            for key, held in zip(keys, values, strict=True):
                self._checks.add("{0}[{1}] is {2}", value, key, held)
        else:
            self._checks.add("all(map(is_, {0}.values(), {1}))", value, values)
        return chain(keys, values)

    def _parts_of_instance(self, value: Any) -> Iterable[Any]:
        kind = type(value)
        attributes = getattr(value, "__dict__", None)
        slots = parts.slots_of(kind)
        held = parts.in_slots(slots, value)
        self._checks.add("type({0}) is {1}", value, kind)
        if attributes is not None:
            self._checks.add("{0}.__dict__ is {1}", value, attributes)
        if slots:
            self._checks.add("all(map(is_, {0}({1}, {2}), {3}))", parts.in_slots, slots, value, held)
        return (kind, *held) if attributes is None else (kind, attributes, *held)

    # ---- noting down

    def _note_down(self) -> None:
        for namespace, named in self._names.values():
            self._note_names(namespace, named)
        self._seen, self._names = {}, {}
        if self._is_unclear:
            self._checks.clear()

    def _note_names(self, namespace: dict[str, Any], named: dict[str, Any]) -> None:
        """What these names stand for. Large values are not kept alive by it."""
        missing = frozenset(name for name, value in named.items() if value is _MISSING)
        if missing:
            self._checks.add("{0}.isdisjoint({1})", namespace.keys(), missing)
        for name, value in named.items():
            if id(value) in self.large:
                self._checks.add("{0}.get({1}) is {2}.value()", namespace, name, self.large[id(value)])
            elif value is not _MISSING:
                self._checks.add("{0}[{1}] is {2}", namespace, name, value)


def _bytes_of(value: Any) -> bytes | None:
    packed = pack_data(value)
    return None if packed is None else packed.whole()
