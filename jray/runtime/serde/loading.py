"""What functions, classes and large values turn into when they are unpickled, and where that is looked up.

Pickles name the functions in here. A `Loader` says what they mean meanwhile: which code there is, which dictionary
plays the notebook's namespace.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import linecache
import marshal
import pickle
import threading
from collections.abc import Callable, Container, Iterable, Mapping
from hashlib import blake2b
from io import BytesIO
from types import CellType, CodeType, FunctionType
from typing import Any, Self

from jray.runtime.serde import classes
from jray.runtime.serde.classes import Filling, Row
from jray.runtime.serde.names import KEY_BYTES

_current = threading.local()


class Loader:
    """The meaning of names in one pickle, while it is being unpickled in this thread."""

    def __init__(
        self,
        namespace: dict[str, Any],
        codes: Mapping[bytes, CodeType] | None = None,
        captured: Callable[[int], Any] | None = None,
    ) -> None:
        """`namespace` plays the notebook's; `codes` by digest; `captured` gives large captured values."""
        self.namespace = namespace
        self.codes = {} if codes is None else codes
        self.captured = captured
        self._outer: Loader | None = None

    def __enter__(self) -> Self:
        """From here on pickles of this thread mean this."""
        self._outer = getattr(_current, "loader", None)
        _current.loader = self
        return self

    def __exit__(self, *_: object) -> None:
        """No longer."""
        _current.loader = self._outer


def load_graph(
    head: bytes, loader: Loader, take_names: Callable[[dict[str, Any]], None], is_to_fill: Callable[[bytes], bool]
) -> Any:
    """The root of a graph.

    Args:
        head: its bytes.
        loader: what they mean.
        take_names: is given what names of the notebook stand for, as soon as it is there.
        is_to_fill: whether a class, by its id, is to become what came.
    """
    root = None
    with loader:
        unpickler = _Unpickler(BytesIO(head))
        while (step := unpickler.load()) is not None:
            kind, loaded = step
            if kind == "names":
                take_names(loaded)
            elif kind == "classes":
                for parts in loaded:
                    filling = Filling(*parts)
                    if is_to_fill(filling.cid):
                        classes.fill(classes.class_by_id(filling.cid), filling)
            else:
                root = loaded
    return root


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        """A large captured value."""
        captured = _current.loader.captured
        if captured is None:
            msg = f"A pickle names captured value {pid}, and there are none."
            raise pickle.UnpicklingError(msg)
        return captured(pid)


shared_namespace: dict[str, Any] | None = None
"""In a worker: the dictionary that plays the notebook's. In the user's own process there is none: it is the user's."""


own_names: Container[str] = ()
"""Names of that namespace which the function of the running task reaches."""

brought: set[str] = set()
"""Names of that namespace which came with values, and are no task's own."""

settled: set[bytes] = set()
"""Ids of classes that are, in this task, what they were when it was submitted. What else comes does not change them."""

names_stay = True
"""Whether new names outlast the running task."""


def forget_names() -> None:
    """What the running task binds in the notebook's namespace goes when it is over."""
    global names_stay  # noqa: PLW0603 - of the one task that runs in this process
    names_stay = False


def bring_names(made: Iterable[object]) -> None:
    """Classes of the notebook can be looked up by their names, as pickle does."""
    namespace = shared_namespace
    if namespace is None:
        return
    for cls in made:
        if not isinstance(cls, type):
            continue
        name = cls.__qualname__
        if cls.__module__ == "__main__" and name not in namespace and name.isidentifier():
            namespace[name] = cls
            brought.add(name)


def load_classes(rows: Iterable[Row], head: bytes) -> tuple[list[object], Loader]:
    """Classes and names that came with a value: what keeps them alive, and what the value is to be loaded with.

    In the user's own process classes that are here stay as they are. In a worker they are brought to the version that
    came, unless the running task has them already: its own are from its submission.
    """
    rows = list(rows)
    shared = shared_namespace
    loader = Loader({"__name__": "__main__"} if shared is None else shared)
    version = blake2b(head, digest_size=KEY_BYTES).digest()
    is_here = {row.cid: classes.is_here(row.cid) for row in rows}
    with loader:
        kept: list[object] = [*classes.make(rows)]
    outdated = {cid for cid, was_here in is_here.items() if _is_outdated(cid, version, was_here=was_here)}
    if outdated or shared is not None:
        load_graph(head, loader, lambda names: _take_names(names, loader.namespace), outdated.__contains__)
    if shared is not None:
        kept += [classes.note_copy(cid, version) for cid in outdated]
    settled.update(is_here)
    bring_names(kept)
    return kept, loader


def _is_outdated(cid: bytes, version: bytes, *, was_here: bool) -> bool:
    if not was_here:
        return True
    if shared_namespace is None or cid in settled or not classes.is_from_elsewhere(cid):
        return False
    return not classes.is_intact(cid, version)


def _take_names(names: dict[str, Any], namespace: dict[str, Any]) -> None:
    for name, value in names.items():
        if name not in own_names and name not in brought:  # what the task itself reaches goes first
            namespace[name] = value
            brought.add(name)


# ---- what pickles call


def make_function(
    code: CodeType, namespace: dict[str, Any] | None, name: str, closure: tuple[CellType, ...] | None
) -> FunctionType:
    """A function without its state. No namespace: the notebook's."""
    if namespace is None:
        namespace = _current.loader.namespace
    namespace.setdefault("__builtins__", builtins)
    return FunctionType(code, namespace, name, None, closure)


def set_function(function: Any, state: tuple[Any, ...]) -> None:
    """The rest of a function, which may contain the function itself."""
    named, defaults, keyword_defaults, annotations, attributes, *words, modules = state
    for module in modules:
        importlib.import_module(module)
    if named is not None:
        function.__globals__.update(named)
    function.__defaults__, function.__kwdefaults__ = defaults, keyword_defaults
    if annotations:
        function.__annotations__ = annotations
    function.__dict__.update(attributes)
    function.__qualname__, function.__module__, function.__doc__ = words


def code_by_digest(digest: bytes) -> CodeType:
    """Code that was sent before."""
    code: CodeType = _current.loader.codes[digest]
    return code


def set_cell(cell: CellType, state: tuple[Any, ...]) -> None:
    """The content of a cell, if there is one."""
    if state:
        (cell.cell_contents,) = state


def make_cached(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:  # noqa: FBT001
    """A function behind functools.lru_cache; the cache is empty."""
    return functools.lru_cache(maxsize, typed)(function)


def set_attributes(made: Any, attributes: dict[str, Any]) -> None:
    """The attributes of what was made."""
    vars(made).update(attributes)


def make_cached_property(function: Callable[..., Any], attribute: str | None) -> Any:
    """functools.cached_property, which before Python 3.12 holds a lock."""
    made = functools.cached_property(function)
    made.attrname = attribute
    return made


def make_dispatcher(implementations: dict[type, Callable[..., Any]]) -> Any:
    """functools.singledispatch."""
    made = functools.singledispatch(implementations[object])
    for kind, implementation in implementations.items():
        made.register(kind, implementation)
    return made


def note_source(part: bytes) -> None:
    """From now on this process knows the text of a cell: for tracebacks, and inspect.getsource."""
    file, text = marshal.loads(part)
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)


def forget_source(part: bytes) -> None:
    """No function is left that stands in it."""
    file, _ = marshal.loads(part)
    linecache.cache.pop(file, None)
