"""Functions that this worker has loaded before: the next task with the same bytes need not load them again.

Only functions are kept that reach nothing that a task could change for the next one: immutable values, modules, and
functions of the same kind without closures. Their globals are put back to what they were.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from jray.runtime.serde.reach import Snapshot, reached_functions

_MOST_KEPT = 64
_MOST_BYTES = 4096  # of one function's code; those that carry more are rarely called often


class _Kept(NamedTuple):
    function: Callable[..., Any]
    snapshot: Snapshot
    namespaces: list[tuple[dict[str, Any], dict[str, Any]]]  # globals, and what was in them

    def is_as_new(self) -> bool:
        for namespace, pristine in self.namespaces:
            namespace.clear()
            namespace.update(pristine)
        return self.snapshot.holds()


class LoadedFunctions:
    """By their bytes; the least recently used one goes."""

    def __init__(self, load: Callable[[bytes], Any]) -> None:
        """`load` makes a function of its bytes."""
        self._load = load
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def get(self, code: bytes) -> Callable[..., Any]:
        """The function, as if it had just been loaded."""
        kept = self._kept.get(code)
        if kept is not None:
            if kept.is_as_new():
                self._kept.move_to_end(code)
                return kept.function
            del self._kept[code]
        function: Callable[..., Any] = self._load(code)
        if len(code) <= _MOST_BYTES:
            self._keep(code, function)
        return function

    def _keep(self, code: bytes, function: Callable[..., Any]) -> None:
        reached = reached_functions(function)
        if not reached or any(inner.__closure__ for inner in reached):
            return
        namespaces = {id(inner.__globals__): inner.__globals__ for inner in reached}
        if any(_is_of_module(namespace) for namespace in namespaces.values()):
            return  # what a task changes in a module lasts, as in any process
        pairs = [(namespace, dict(namespace)) for namespace in namespaces.values()]
        self._kept[code] = _Kept(function, Snapshot(reached), pairs)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)


def _is_of_module(namespace: dict[str, Any]) -> bool:
    module = sys.modules.get(namespace.get("__name__", ""))
    return module is not None and module.__dict__ is namespace
