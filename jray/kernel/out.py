"""`Out` does not keep results alive for ever (semantics rule 11).

`_`, `__` and `___` hold what the last cells gave. A bare reference that has left them is replaced in `Out[5]`, and
under its other name `_5`, by one that is not counted: it can be used as long as something else keeps the object.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from jray import api
from jray.exceptions import ObjectLostError
from jray.runtime.embedded import EmbeddedBackend
from jray.runtime.object_ref import ObjectRef, is_counted, owner_of

LATEST = ("_", "__", "___")


class OutKeeper:
    """Looks through a shell's `Out` after each cell."""

    def __init__(self, shell: InteractiveShell, cell_of: Callable[[ObjectRef[Any]], str | None]) -> None:
        """`cell_of` says which cell made a ref's object ("In[5]"), if that is known."""
        self._shell, self._cell_of = shell, cell_of
        shell.events.register("post_run_cell", self._after_cell)

    def close(self) -> None:
        """Leave the shell alone."""
        self._shell.events.unregister("post_run_cell", self._after_cell)

    def _after_cell(self, _result: Any = None) -> None:
        runtime = api.running()
        if runtime is None:
            return
        latest = {id(getattr(self._shell.displayhook, name, None)) for name in LATEST}
        out = self._shell.user_ns.get("_oh", {})
        for number in [number for number, value in out.items() if type(value) is ObjectRef]:
            if not is_counted(out[number]) and not (self._is_used_elsewhere(number) and _count(out[number])):
                continue
            if id(out[number]) not in latest and runtime.owns(out[number]):
                self._replace(number, runtime)
        self._let_go_of_overwritten(latest)

    def _places(self, number: int) -> Iterator[tuple[dict[Any, Any], int | str]]:
        """Where IPython keeps a cell's result, besides `_` and its like."""
        yield self._shell.user_ns["_oh"], number
        yield self._shell.user_ns, f"_{number}"
        yield self._shell.user_ns_hidden, f"_{number}"

    def _is_used_elsewhere(self, number: int) -> bool:
        """Whether the user, or `_` again, has the very ref of `Out[number]`: `x = Out[5]`."""
        out = self._shell.user_ns["_oh"]
        places = sum(space.get(name) is out[number] for space, name in self._places(number))
        return _references([out[number]]) - _references([object()]) > places

    def _replace(self, number: int, runtime: EmbeddedBackend) -> None:
        ref = self._shell.user_ns["_oh"][number]
        cell = self._cell_of(ref) or f"In[{number}]"
        weak = runtime.uncounted(ref, _lost(number, cell))
        for space, name in self._places(number):
            if space.get(name) is ref:
                space[name] = weak

    def _let_go_of_overwritten(self, latest: set[int]) -> None:
        """A user who assigns `_` ends its updates; IPython then keeps what it was, to compare with."""
        hidden = self._shell.user_ns_hidden
        for name in LATEST:
            ref = hidden.get(name)
            if type(ref) is ObjectRef and id(ref) not in latest and self._shell.user_ns.get(name) is not ref:
                hidden[name] = None


def _count(ref: ObjectRef[Any]) -> bool:
    try:
        owner_of(ref)
    except ObjectLostError:
        return False
    return True


def _references(slot: list[object]) -> int:
    """How many references there are to what is in the slot; only differences mean something."""
    return sys.getrefcount(slot[0])


def _lost(number: int, cell: str) -> str:
    return (
        f"The object of Out[{number}] is gone: made by {cell}, freed since. Out does not keep an object alive whose "
        f"reference has left _, __ and ___. Run {cell} again, and give what must stay a name."
    )
