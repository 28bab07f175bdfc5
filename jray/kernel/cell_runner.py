"""What travels to the worker with a `%%remote` cell, and runs it there.

Imports nothing of jray above serde: workers load it, and it is a task like any other.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable
from typing import Any, NamedTuple

from jray.kernel import rich
from jray.runtime.serde.loading import forget_names
from jray.runtime.serde.results import NamedResults, Raised


class CellCode(NamedTuple):
    """A cell as it travels. Code objects are marshalled: kernel and workers run the same Python."""

    body: bytes
    shown: bytes | None  # the last expression, when it is to be seen
    outputs: tuple[str, ...]  # names whose values are the task's results
    inputs: tuple[str, ...]  # names of the values that come as arguments, because they were references


def run_cell(captured: Callable[[], object], cell: CellCode, *values: Any) -> Any:
    """Run a cell's code.

    `captured` is a function that names everything the cell captures. Its globals, made anew for each task, are the one
    namespace in which the cell and its functions run.
    """
    forget_names()
    namespace = captured.__globals__
    namespace.update(zip(cell.inputs, values, strict=True))
    rich.forget_figures()
    exec(marshal.loads(cell.body), namespace)  # noqa: S102 - the user's own code, in the user's own process
    if cell.shown is not None:
        rich.show(eval(marshal.loads(cell.shown), namespace))  # noqa: S307
    rich.show_figures()
    if not cell.outputs:
        return None
    return NamedResults((*(_result(namespace, name) for name in cell.outputs), None), (*cell.outputs, "the end"))


def run_expression(captured: Callable[[], object], code: bytes, inputs: tuple[str, ...], *values: Any) -> Any:
    """The value of a `%remote` expression."""
    forget_names()
    namespace = captured.__globals__
    namespace.update(zip(inputs, values, strict=True))
    return eval(marshal.loads(code), namespace)  # noqa: S307


def _result(namespace: dict[str, Any], name: str) -> Any:
    if name in namespace:
        return namespace[name]
    return Raised(NameError(f"The cell did not bind {name!r} in this run.", name=name))


class NotRemote:
    """Stands in for `.remote` (`.options`, `.map`) of a function that a task cell defined: says why there is none."""

    def __init__(self, name: str, attribute: str, reason: str) -> None:
        """`reason` tells which line made the cell a task."""
        self._name, self._attribute, self._reason = name, attribute, reason

    def __call__(self, *_args: object, **_kwargs: object) -> None:
        """Refuse."""
        raise AttributeError(
            f"{self._name}.{self._attribute} was refused: {self._name} is an ordinary function. The %%remote cell that "
            f"defines it is no cell of definitions: {self._reason}. Move that line to another cell, or write "
            f"@jray.remote above the function."
        )
