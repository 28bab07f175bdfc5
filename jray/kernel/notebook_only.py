"""What works in a notebook and not in a task: magics, `!` and top-level `await`. Pure: looks at syntax trees only."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import NamedTuple

# What IPython makes of `%magic`, `%%magic`, `!command` and `x = !command`.
_CALLS_OF_IPYTHON = frozenset({"run_line_magic", "run_cell_magic", "system", "getoutput", "getlines"})


class NotebookCode(NamedTuple):
    """A piece of code that a task can't run."""

    line: int
    reason: str
    remedy: str


def find_notebook_code(nodes: Sequence[ast.AST]) -> NotebookCode | None:
    """The first piece, if there is any."""
    found = [*_magics(nodes), *_awaits(nodes)]
    return min(found, default=None)


def _magics(nodes: Sequence[ast.AST]) -> Iterator[NotebookCode]:
    for node in ast.walk(ast.Module(body=list(nodes), type_ignores=[])):  # type: ignore[arg-type] # any nodes will do
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=method)):
                if method in _CALLS_OF_IPYTHON:
                    yield NotebookCode(
                        node.lineno,
                        "It needs the notebook, and a task runs in a worker process without one.",
                        "Run it in a cell of its own.",
                    )


def _awaits(nodes: Sequence[ast.AST]) -> Iterator[NotebookCode]:
    """Those that no function is around."""
    to_see = list(nodes)
    while to_see:
        node = to_see.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield NotebookCode(
                node.lineno,
                "A task has no event loop to wait in.",
                "Use jray.get(...) for references, and asyncio.run(...) for coroutines.",
            )
        to_see += ast.iter_child_nodes(node)
