"""Rich results of tasks: plots, tables, images and `display(...)`, formatted in the worker as the notebook would.

Runs in workers. IPython does the formatting, but takes a third of a second to import: it is imported when something is
shown that is more than a number or a text. Imports nothing of jray above serde.
"""

from __future__ import annotations

import builtins
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from jray.runtime.displays import Display, send

_SHELLS = "IPython.core.interactiveshell"  # who has imported it may ask for the shell
_PLAIN = frozenset({bool, int, float, complex, str, bytes})  # IPython shows them as repr does


def install() -> None:
    """From now on `display(...)` in this process shows things under the cell that submitted the task."""
    if getattr(builtins, "display", None) is _display:
        return
    builtins.display = _display  # type: ignore[attr-defined] # as in a notebook, where nobody imports it
    if _SHELLS in sys.modules:
        _take_the_place_of_the_shell()
    else:
        sys.meta_path.insert(0, _ShellFinder())


def show(value: object) -> None:
    """Show the last expression of a cell, if it is anything."""
    if value is None:
        return
    if type(value) in _PLAIN:
        send("display", Display(data={"text/plain": repr(value)}).to_text())
    else:
        _display(value)


def show_figures() -> None:
    """At the end of a cell: what it has plotted and not shown, as a notebook does."""
    if "matplotlib.pyplot" in sys.modules and _SHELLS in sys.modules:
        from IPython.core.interactiveshell import InteractiveShell

        if InteractiveShell.initialized():
            InteractiveShell.instance().events.trigger("post_execute")


def forget_figures() -> None:
    """At the start of a cell: what earlier tasks have plotted and not shown is theirs."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def _display(*values: Any, **options: Any) -> Any:
    """IPython's `display`; imported at its first use."""
    from IPython.display import display

    return display(*values, **options)


def _take_the_place_of_the_shell() -> None:
    from jray.kernel.worker_shell import WorkerShell

    WorkerShell.instance()


class _ShellFinder(MetaPathFinder):
    """Puts a shell in place as soon as somebody imports what could ask for one."""

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        """Find what others find, with a last step added."""
        if name != _SHELLS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_take_place(module: ModuleType) -> None:
            execute(module)
            _take_the_place_of_the_shell()

        spec.loader.exec_module = execute_and_take_place  # type: ignore[method-assign]
        return spec
