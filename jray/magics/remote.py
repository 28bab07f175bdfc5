"""`%%remote` and `%remote`: parse the line, call, show."""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments

from jray.kernel.session import Session
from jray.kernel.task_cells import CellRequest, RemoteCells
from jray.magics.line import options_of, parse, parse_names, parse_resources, split_line

ONLY_CELLS = ("-o", "--outputs", "--get")  # an expression has one result


@magics_class
class RemoteMagics(Magics):
    """The magics that start work."""

    def __init__(self, shell: InteractiveShell, session: Session) -> None:
        """For the extension."""
        super().__init__(shell)
        self._cells = RemoteCells(shell, session)

    @magic_arguments("%remote")
    @argument(
        "-o",
        "--outputs",
        type=parse_names,
        metavar="NAMES",
        help="names that come out as references: `-o a,b` (exactly these)",
    )
    @argument("--get", action="store_true", help="wait, and bind values instead of references")
    @argument("--num-cpus", type=float, metavar="N", help="CPUs held while it runs (default 1)")
    @argument("--num-gpus", type=float, metavar="N", help="GPUs held while it runs: whole ones, or a part of one")
    @argument(
        "--resources",
        type=parse_resources,
        metavar="NAME=N,...",
        help="custom resources held while it runs: `disk=1,link=0.5`, or JSON",
    )
    @argument("--max-retries", type=int, metavar="N", help="run again when the worker dies (cells 0, functions 3)")
    @argument("--name", metavar="NAME", help="what messages call it (default: the cell's prompt)")
    @argument("--seed", type=int, metavar="N", help="of `random` and numpy: the same numbers at each run")
    @argument("--read-only", action="store_const", const=True, help="large arrays that come in can't be written")
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
        arguments = self._parse(*split_line(line, flags=_FLAGS))
        with _as_usage_error():
            self._cells.run(
                CellRequest(
                    line=line,
                    body=cell,
                    options=_task_options(arguments),
                    outputs=arguments.outputs,
                    wants_values=arguments.get,
                )
            )
        return None

    @line_magic("%remote")  # type: ignore[arg-type] # what IPython makes of `%%remote` below the first line
    def _not_first(self, _line: str) -> None:
        raise UsageError(
            "%%remote was refused. It must be the first line of its cell, above comments and everything else. "
            "What stands above it has run here; move it to a cell of its own."
        )

    def _parse(self, arguments: list[str], rest: str) -> Any:
        names = [name for name in OPTIONS if name.startswith("--")]
        return parse(self.remote.parser, arguments, rest, magic="%%remote", options=names)

    def _start_expression(self, line: str) -> Any:
        options, expression = split_line(line, flags=_FLAGS, takes_expression=True)
        arguments = self._parse(options, "")
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


OPTIONS = options_of(RemoteMagics.remote.parser)  # and whether each takes a value
_FLAGS = [name for name, takes_value in OPTIONS.items() if not takes_value]


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
        "num_gpus": arguments.num_gpus,
        "max_retries": arguments.max_retries,
        "name": arguments.name,
        "resources": arguments.resources,
        "read_only": arguments.read_only,
        "seed": arguments.seed,
    }
    return {name: value for name, value in given.items() if value is not None}
