"""The picklers: cloudpickle's, with classes by id, closures that stay shared, and what it can't do.

Two of them. A *value* is whole: its functions bring along, each pickle for itself, what they name. A *graph* is a
function with all that it reaches; its functions share the one namespace that plays the notebook's in the worker, and
code travels apart, by digest.

This is the only file that leans on cloudpickle's private names; tests/serde/test_pickler.py says so when they change.
"""

from __future__ import annotations

import copyreg
import functools
import io
import marshal
import pickle
import sys
import typing
from collections import ChainMap
from collections.abc import Callable, Mapping
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle
from cloudpickle import cloudpickle as _private

from jray.exceptions import ObjectLostError
from jray.runtime.serde import arrays, classes, loading, streams
from jray.runtime.serde.deep import NoWayError
from jray.runtime.serde.names import annotated_names, attribute_names, code_digest, global_names, names_of, submodules
from jray.runtime.serde.parts import is_dispatcher, is_importable
from jray.runtime.serde.unpicklable import NotPicklable, careful_pickler, explained

_is_by_reference: Callable[[Any], bool] = _private._should_pickle_by_reference  # noqa: SLF001
_BUILTIN_TYPES = _private._BUILTIN_TYPE_NAMES  # noqa: SLF001 - of types that have no name in any module
_OF_MODULE = ("__name__", "__package__", "__path__", "__file__")  # what a function may ask its own module
_OF_DISPATCHER = frozenset({"register", "dispatch", "registry", "_clear_cache", "__wrapped__"})
_EMPTY = object()


class ValuePickler(cloudpickle.Pickler):  # type: ignore[misc] # has no types
    """Pickles any value, whole but for the classes, which it collects."""

    def __init__(self, file: Any, buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None) -> None:
        """As pickle.Pickler, protocol 5."""
        super().__init__(file, 5, buffer_callback)
        self.classes: dict[bytes, type] = {}  # that it names by id
        self.names: dict[str, None] = {}  # of the notebook, that it brings nothing along for
        self._spaces: dict[int, dict[str, Any]] = {}  # by id() of the functions' own globals

    def reducer_override(self, value: Any) -> Any:
        """Functions, code and classes; everything else by the table."""
        kind = type(value)
        if kind is FunctionType:
            return NotImplemented if _is_by_reference(value) else self._reduce_function(value)
        if kind is CodeType:
            return self._reduce_code(value)
        if issubclass(kind, type):
            return self._reduce_class(value)
        return NotImplemented

    def _reduce_function(self, function: Any) -> Any:
        if is_dispatcher(function):
            attributes = {name: value for name, value in vars(function).items() if name not in _OF_DISPATCHER}
            registered = (dict(function.registry),)
            return loading.make_dispatcher, registered, attributes, None, None, loading.set_attributes
        space, named = self._namespace(function)
        state = (
            named,
            function.__defaults__,
            function.__kwdefaults__,
            function.__annotations__ or None,
            function.__dict__,
            function.__qualname__,
            function.__module__,
            function.__doc__,
            tuple(_needed_submodules(function)),
        )
        made_of = (function.__code__, space, function.__name__, function.__closure__)
        return loading.make_function, made_of, state, None, None, loading.set_function

    def _namespace(self, function: FunctionType) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """The function's globals as they are to be there, and what is put in: functions of one dictionary share one."""
        ours = function.__globals__
        space = self._spaces.get(id(ours))
        if space is None:
            space = self._spaces[id(ours)] = {name: ours[name] for name in _OF_MODULE if name in ours}
        return space, {name: ours[name] for name in names_of(function) if name in ours}

    def _reduce_code(self, code: CodeType) -> Any:
        return marshal.loads, (marshal.dumps(code),)

    def _reduce_class(self, cls: type) -> Any:
        if cls in (type(None), type(NotImplemented), type(Ellipsis)):
            return type, (None if cls is type(None) else NotImplemented if cls is type(NotImplemented) else ...,)
        if cls in _BUILTIN_TYPES:
            return _private._builtin_type, (_BUILTIN_TYPES[cls],)  # noqa: SLF001
        if _is_by_reference(cls):
            return NotImplemented
        cid = classes.id_of(cls)
        self.classes[cid] = cls
        return classes.class_by_id, (cid,)


class SharingPickler(ValuePickler):
    """The same for the arguments of a call: their functions share the task's namespace. Names are collected."""

    def __init__(self, file: Any, buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None) -> None:
        """As pickle.Pickler, protocol 5."""
        super().__init__(file, buffer_callback)
        self.main: dict[str, Any] = vars(sys.modules["__main__"])

    def _namespace(self, function: FunctionType) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        if function.__globals__ is not self.main:
            return super()._namespace(function)
        self.names.update(dict.fromkeys(names_of(function)))
        return None, None


class GraphPickler(SharingPickler):
    """Pickles a function with all that it reaches. What it names of the notebook is collected, to be pickled too."""

    def __init__(self, file: Any, codes: dict[bytes, CodeType] | None) -> None:
        """`codes` collects code by digest; None: it goes into the pickle."""
        super().__init__(file)
        self.codes = codes

    def _reduce_code(self, code: CodeType) -> Any:
        if self.codes is None:
            return super()._reduce_code(code)
        digest = code_digest(code)
        self.codes.setdefault(digest, code)
        return loading.code_by_digest, (digest,)


class CapturingPickler(GraphPickler):
    """The same; large values stay out, and are called by their number. Slower: it is asked for each object."""

    def __init__(self, file: Any, codes: dict[bytes, CodeType] | None, large: Mapping[int, int]) -> None:
        """`large`: id() of a value -> its number."""
        super().__init__(file, codes)
        self._large = large

    def persistent_id(self, value: Any) -> int | None:
        """Its number, if it is one of the large ones."""
        return self._large.get(id(value))


def _needed_submodules(function: FunctionType) -> list[str]:
    """`import concurrent.futures` binds `concurrent`; the worker must import what is used of it."""
    namespace = function.__globals__
    found: list[str] = []
    for name in global_names(function.__code__):
        module = namespace.get(name)
        if type(module) is ModuleType:
            found += submodules(module, attribute_names(function.__code__))
    for cell in function.__closure__ or ():
        content = _content(cell)
        if type(content) is ModuleType:
            found += submodules(content, attribute_names(function.__code__))
    return found


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY


# ---- reducers that cloudpickle lacks


def _reduce_cell(cell: CellType) -> Any:
    content = _content(cell)
    state = () if content is _EMPTY else (content,)
    return CellType, (), state, None, None, loading.set_cell


def _reduce_cached(function: Any) -> Any:
    if is_importable(function):
        return function.__reduce__()
    how = function.cache_parameters()
    attributes = {name: value for name, value in vars(function).items() if name != "__wrapped__"}
    made_of = (function.__wrapped__, how["maxsize"], how["typed"])
    return loading.make_cached, made_of, attributes, None, None, loading.set_attributes


def _reduce_cached_property(made: Any) -> Any:
    return loading.make_cached_property, (made.func, made.attrname)


def _reduce_new_type(made: Any) -> Any:
    if is_importable(made):
        return made.__reduce__()
    return typing.NewType, (made.__name__, made.__supertype__)


_REDUCERS: dict[type, Callable[[Any], Any]] = {
    CellType: _reduce_cell,
    functools._lru_cache_wrapper: _reduce_cached,  # noqa: SLF001 - it has no public name
    functools.cached_property: _reduce_cached_property,
    typing.NewType: _reduce_new_type,
}
ValuePickler.dispatch_table = ChainMap(_REDUCERS, streams.REDUCERS, cloudpickle.Pickler.dispatch_table)


def without_copies(kind: Any) -> Any:
    """A pickler that copies no array. It is slower: the table is asked for each object."""
    return _without_copies(kind) if "numpy" in sys.modules else kind


@functools.cache
def _without_copies(kind: Any) -> Any:
    table = ChainMap(copyreg.dispatch_table, arrays.reducers(), kind.dispatch_table)  # the user's own go first
    return type("Pickler", (kind,), {"dispatch_table": table})


# ---- what C picklers refuse


def careful(
    model: ValuePickler, file: io.BytesIO, buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None
) -> Any:
    """Does as `model`, a new pickler, would; but goes deeper, and refuses what pickle takes though it can't travel."""
    return careful_pickler(model, file, buffer_callback)


class _Explainer(ValuePickler):
    """Goes into classes, too: to find what can't travel."""

    def _reduce_function(self, function: Any) -> Any:
        make, made_of, *rest = super()._reduce_function(function)
        return make, (function.__dict__, *made_of), *rest  # the way through a decorated function is the short one

    def _reduce_class(self, cls: type) -> Any:
        reduced = super()._reduce_class(cls)
        if reduced is NotImplemented or reduced[0] is not classes.class_by_id:
            return reduced
        return *reduced, (classes.skeleton_of(cls), classes.filling_of(cls)), None, None, setattr


def why_not(value: object, what: str, error: Exception) -> Exception:
    """The error to raise when packing a value has failed with `error`: it names the part that can't travel.

    Args:
        value: what was to be packed.
        what: how a message calls it.
        error: what was raised.
    """
    if isinstance(error, (NotPicklable, ObjectLostError)):
        return error
    try:
        careful(without_copies(_Explainer)(io.BytesIO()), io.BytesIO(), lambda _: False).dump(value)
    except NoWayError as found:
        return explained(what, found)
    return explained(what, error) if isinstance(error, NoWayError) else error


# ---- classes to bytes


def pack_skeleton(cls: type) -> tuple[bytes, dict[bytes, type]]:
    """What `classes.make` makes the empty class of, and the classes that it names: bases, metaclass."""
    file = io.BytesIO()
    pickler = GraphPickler(file, None)
    pickler.dump(classes.skeleton_of(cls))
    return file.getvalue(), pickler.classes


def names_in(cls: type) -> set[str]:
    """Names of the notebook in the annotations of a class."""
    return annotated_names(vars(cls).get("__annotations__")) if cls.__module__ == "__main__" else set()
