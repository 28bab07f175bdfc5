"""`%%remote` and `%remote`: parse the line, call, show."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from jray.kernel.session import Session
from jray.kernel.task_cells import CellRequest, RemoteCells

_OPTION = re.compile(r"\s*(?P<name>--?[A-Za-z][\w-]*)(?:=|\s+)?")
_OPTIONS = ("--outputs", "--get", "--num-cpus", "--resources", "--max-retries", "--name")
_FLAGS = ("--get",)  # options without a value


@magics_class
class RemoteMagics(Magics):
    """The magics that start work."""

    def __init__(self, shell: InteractiveShell, session: Session) -> None:
        """For the extension."""
        super().__init__(shell)
        self._cells = RemoteCells(shell, session)

    @magic_arguments()
    @argument("-o", "--outputs", metavar="NAMES", help="names that come out as references: `-o a,b` (exactly these)")
    @argument("--get", action="store_true", help="wait, and bind values instead of references")
    @argument("--num-cpus", type=float, metavar="N", help="CPUs held while it runs (default 1)")
    @argument(
        "--resources",
        metavar="NAME=N,...",
        help="custom resources held while it runs: `disk=1,link=0.5`, or quoted JSON",
    )
    @argument("--max-retries", type=int, metavar="N", help="run again when the worker dies (cells 0, functions 3)")
    @argument("--name", metavar="NAME", help="what messages call it (default: the cell's prompt)")
    @no_var_expand
    @line_cell_magic
    def remote(self, line: str, cell: str | None = None) -> Any:
        """Run a cell or an expression in a worker process.

        A cell that only defines (imports, functions, classes, constants) runs here, and makes its functions remote::

            %%remote
            def score(depth):
                return fit(depth).score(X, y)

        prints `remote: score`; `score.remote(3)` starts it in a worker, `score(3)` runs it here.

        Every other cell runs as one task. Names that it needs come in, references count as their values; names that it
        binds become references, at once, so that chains of cells run in parallel::

            %%remote -o model
            model = fit(X, y)          # X and y come from the notebook

            %%remote --num-cpus 2
            best = model.score(Z)      # waits for the cell above, in its worker
            best                       # the last expression is shown under the cell

            jray.get(best)

        What a task changes in place stays in the task, unless `-o` brings it back. A failing cell shows its error.

        `%remote EXPR` starts an expression and returns its reference::

            ref = %remote --num-cpus 2 score(5) + 1
        """
        if cell is None:
            return self._start_expression(line)
        arguments = self._parse(line)
        outputs = None
        if arguments.outputs is not None:
            outputs = tuple(name.strip() for name in arguments.outputs.split(",") if name.strip())
        with _as_usage_error():
            self._cells.run(
                CellRequest(
                    line=line,
                    body=cell,
                    options=_task_options(arguments),
                    outputs=outputs,
                    wants_values=arguments.get,
                )
            )
        return None

    def _parse(self, line: str) -> Any:
        """The options of a line; a mistyped one is refused with the likeliest right one."""
        try:
            return parse_argstring(self.remote, line)
        except UsageError as error:
            unknown = re.search(r"unrecognized arguments: (--\S+)", str(error))
            close = get_close_matches(unknown[1], _OPTIONS, n=1) if unknown else []
            if not close:
                raise
            raise UsageError(f"{error}. There is no such option. Did you mean {close[0]}?") from None

    def _start_expression(self, line: str) -> Any:
        options, expression = _split(line)
        arguments = self._parse(options)
        if arguments.outputs is not None or arguments.get:
            raise UsageError(
                "-o and --get were refused. An expression has one result, and %remote returns its reference. "
                "Write `ref = %remote EXPR`, then jray.get(ref)."
            )
        if not expression:
            raise UsageError(
                "%remote was given nothing to run. It takes an expression behind its options. "
                "Write `ref = %remote f(x)`; %remote? tells more."
            )
        with _as_usage_error():
            return self._cells.start_expression(expression, _task_options(arguments))


class _as_usage_error:  # noqa: N801 - reads as the statement that it is
    """Options that the task refuses are mistakes of the line, not of the program: shown in one line."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, frames: object) -> None:
        if kind in (ValueError, TypeError) and str(error).startswith("The option "):
            raise UsageError(str(error)) from None


def _task_options(arguments: Any) -> dict[str, Any]:
    """The task options that were given on the line."""
    given = {
        "num_cpus": arguments.num_cpus,
        "max_retries": arguments.max_retries,
        "name": arguments.name,
        "resources": None if arguments.resources is None else parse_resources(arguments.resources),
    }
    return {name: value for name, value in given.items() if value is not None}


def parse_resources(text: str) -> dict[str, float]:
    """`disk=1,link=0.5` or JSON, as amounts by name.

    Raises:
        UsageError: neither.
    """
    text = text.strip().strip("'\"") if not text.strip().startswith("{") else text
    try:
        if text.startswith("{"):
            amounts = json.loads(text)
        else:
            amounts = {}
            for part in filter(None, text.split(",")):
                name, _, amount = part.partition("=")
                amounts[name.strip()] = float(amount)
        return {str(name): float(amount) for name, amount in amounts.items()}
    except (ValueError, TypeError, AttributeError):
        raise UsageError(
            f"--resources {text} was refused. It is neither NAME=AMOUNT pairs nor JSON. "
            "Write --resources disk=1,link=0.5 (no spaces)."
        ) from None


def _split(line: str) -> tuple[str, str]:
    """The options at the start of a line, and the expression behind them."""
    position = 0
    while match := _OPTION.match(line, position):
        if not match["name"].startswith("--") and match["name"] != "-o":
            break  # a negative expression: `-x + 1`
        position = match.end()
        if match["name"] not in _FLAGS:
            value = re.compile(r"\{[^}]*\}|'[^']*'|\"[^\"]*\"|\S+").match(line, position)
            position = value.end() if value is not None else position
    return line[:position], line[position:].strip()
