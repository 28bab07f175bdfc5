"""Runs what `%%remote` was given: a cell of definitions here, every other cell as one task, an expression as a task.

What a cell is and which names go in and out is decided in cell.py, purely; this room looks names up, compiles, submits,
and binds the references.
"""

from __future__ import annotations

import ast
import inspect
import marshal
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator, Sequence, Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from jray import api
from jray.kernel.cell import CellMistake, DefinitionsCell, TaskCell, read_cell, read_expression
from jray.kernel.cell_runner import CellCode, NotRemote, run_cell, run_expression
from jray.kernel.session import CellTask, Session
from jray.options import TaskOptions
from jray.remote_function import RemoteFunction, make_remote
from jray.runtime.object_ref import ObjectRef
from jray.runtime.serde.unpicklable import NotPicklable


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRequest:
    """A `%%remote` cell, as the magic was called."""

    line: str  # behind `%%remote`, as typed
    body: str
    options: dict[str, Any]  # task options that were given
    outputs: tuple[str, ...] | None  # -o; None: what the cell binds
    wants_values: bool  # --get


class RemoteCells:
    """Executes requests in one shell."""

    def __init__(self, shell: InteractiveShell, session: Session) -> None:
        """`session` knows which cell runs."""
        self._shell = shell
        self._session = session

    def run(self, request: CellRequest) -> None:
        """Read the cell and do what it is.

        Raises:
            UsageError: the cell or its options can't be.
            SyntaxError: it is no Python.
        """
        body = self._shell.transform_cell(request.body)
        # IPython drops blank lines at the start: put them back, or every line of a traceback points too high.
        typed = request.body.splitlines()
        blank = "\n" * next((number for number, line in enumerate(typed) if line.strip()), 0)
        source = f"# %%remote {request.line}\n{blank}{body}"
        raw = f"%%remote {request.line}\n{request.body}"
        file = self._shell.compile.cache(source, self._session.prompt_number, raw_code=raw)
        compile(source, file, "exec", ast.PyCF_ONLY_AST)  # a SyntaxError that names the cell
        try:
            cell = read_cell(source, typed=raw)
        except CellMistake as mistake:
            raise UsageError(str(mistake)) from None
        if isinstance(cell, DefinitionsCell):
            self._define(cell, request, file)
        else:
            self._submit(cell, request, file)

    def start_expression(self, expression: str, options: dict[str, Any]) -> ObjectRef[Any]:
        """Run an expression as a task.

        Raises:
            UsageError: it is a statement, or needs the notebook.
            SyntaxError: it is no Python.
        """
        source = self._shell.transform_cell(expression).strip()
        file = self._shell.compile.cache(source, self._session.prompt_number, raw_code=expression)
        compile(source, file, "exec", ast.PyCF_ONLY_AST)  # a SyntaxError that names the cell
        try:
            read = read_expression(source, typed=expression)
        except CellMistake as mistake:
            raise UsageError(str(mistake)) from None
        captured, inputs = self._capture(read.reads)
        code = marshal.dumps(compile(read.tree, file, "eval", dont_inherit=True))
        task_options = self._options(options)
        runner = make_remote(partial(run_expression, captured), task_options)
        with _as_usage_error(task_options.name):
            ref: ObjectRef[Any] = runner.remote(code, tuple(inputs), *inputs.values())
        return ref

    # ---- cells of definitions

    def _define(self, cell: DefinitionsCell, request: CellRequest, file: str) -> None:
        if request.outputs is not None or request.wants_values:
            raise UsageError(
                "-o and --get were refused. This cell only defines functions and classes, so nothing runs that could "
                "give results. Leave them out; call f.remote(...) in another cell."
            )
        options = TaskOptions().merged(request.options)
        namespace = self._shell.user_ns
        self._execute(cell.tree, file)
        made, generators = [], []
        for name in cell.functions:
            function = namespace[name]
            if inspect.isgeneratorfunction(function):
                generators.append(name)
                continue
            if not isinstance(function, RemoteFunction):  # @jray.remote in the cell has done it
                namespace[name] = make_remote(function, options, is_callable_here=True)
            made.append(name)
        if made:
            print(f"remote: {', '.join(made)}")
        if cell.async_functions:
            print(f"not remote, because only actors can be async: {', '.join(cell.async_functions)}")
        if generators:
            print(f"not remote, because streaming results are not there yet: {', '.join(generators)}")

    def _execute(self, tree: ast.Module, file: str, flags: int = 0) -> None:
        tree = self._shell.transform_ast(tree)
        exec(compile(tree, file, "exec", flags, dont_inherit=True), self._shell.user_ns)  # noqa: S102

    # ---- task cells

    def _submit(self, cell: TaskCell, request: CellRequest, file: str) -> None:
        outputs = self._outputs(cell, request.outputs)
        options = self._options(request.options).merged({"num_returns": len(outputs) + 1})
        self._execute(cell.definitions, file, cell.future_flags)
        self._explain_functions(cell)
        picked = cell.defined.intersection(outputs)  # they are in the task only if it has them from here
        captured, inputs = self._capture([*cell.reads, *picked], cell.perhaps)
        code = CellCode(
            self._compiled(cell.body, file, "exec", cell.future_flags),
            None if cell.shown is None else self._compiled(cell.shown, file, "eval", cell.future_flags),
            outputs,
            tuple(inputs),
        )
        began = time.monotonic()
        with _as_usage_error(options.name):
            refs = make_remote(partial(run_cell, captured), options).remote(code, *inputs.values())
        *results, done = refs if outputs else [refs]
        if not request.wants_values:
            self._shell.user_ns.update(zip(outputs, results, strict=True))  # first: nothing below may lose them
        self._note_changes(cell, outputs)
        self._session.note_cell_task(self._task(began, outputs, results, done))
        if request.wants_values:
            values = self._wait_for_values(outputs, results, done)
            self._shell.user_ns.update(zip(outputs, values, strict=True))
        else:
            self._see_to_the_end(done, is_seen=cell.shown is not None)

    def _task(
        self, began: float, outputs: Sequence[str], results: Sequence[ObjectRef[Any]], done: ObjectRef[Any]
    ) -> CellTask:
        return CellTask(
            label=self._session.current_run().label,
            origin=self._session.current_origin(),
            began=began,
            done=done,
            outputs={ref._id: name for name, ref in zip(outputs, results, strict=True)},  # noqa: SLF001 - the runtime's own
        )

    def _wait_for_values(
        self, outputs: Sequence[str], refs: Sequence[ObjectRef[Any]], done: ObjectRef[Any]
    ) -> Sequence[Any]:
        try:
            values: list[Any] = api.get([*refs, done])[:-1]
        except KeyboardInterrupt:  # the task goes on: what it makes must not be lost
            self._shell.user_ns.update(zip(outputs, refs, strict=True))
            if outputs:
                print(f"the task goes on; for now, references: {', '.join(outputs)}")
            raise
        return values

    def _outputs(self, cell: TaskCell, picked: Sequence[str] | None) -> tuple[str, ...]:
        if picked is None:
            return cell.binds
        for name in picked:
            if name not in cell.bindable and name not in cell.reads:
                raise UsageError(
                    f"-o {name} was refused. The cell neither binds nor uses the name {name!r}, so it can't come out. "
                    f"The cell binds: {', '.join(sorted(cell.bindable)) or 'nothing'}."
                )
        return tuple(dict.fromkeys(picked))

    def _options(self, given: dict[str, Any]) -> TaskOptions:
        """Cells have side effects: they are not retried unless asked. They are called by their prompt."""
        defaults = {"max_retries": 0, "name": self._session.current_run().label}
        return TaskOptions().merged(defaults | given)

    def _compiled(self, tree: ast.Module | ast.Expression, file: str, mode: str, flags: int) -> bytes:
        transformed = self._shell.transform_ast(tree)
        return marshal.dumps(compile(transformed, file, mode, flags, dont_inherit=True))

    def _capture(
        self, reads: Iterable[str], perhaps: AbstractSet[str] = frozenset()
    ) -> tuple[Callable[[], object], dict[str, ObjectRef[Any]]]:
        """What comes in: a function whose globals are the captured names, and the references that come as values.

        One function for all, so that the functions of the notebook and the cell share one namespace in the worker.
        Of the names that are `perhaps` read, results that have failed stay out: a cell that failed could never be
        run again if it waited for what it did not make.
        """
        namespace = self._shell.user_ns
        hidden = self._shell.user_ns_hidden
        found = {
            name: namespace[name]
            for name in reads
            if name in namespace
            and not (name in hidden and hidden[name] is namespace[name])
            and not (name in perhaps and _has_failed(namespace[name]))
        }
        inputs = {name: value for name, value in found.items() if isinstance(value, ObjectRef)}
        names = [name for name in found if name not in inputs]
        made: dict[str, Any] = {}
        exec(f"def cell():\n    return ({''.join(f'{name}, ' for name in names)})", made)  # noqa: S102 - names only
        return types.FunctionType(made["cell"].__code__, namespace, "cell"), inputs

    def _explain_functions(self, cell: TaskCell) -> None:
        """Whoever takes a function of a task cell for a remote one is told which line made the cell a task."""
        for stmt in cell.definitions.body:
            if isinstance(stmt, ast.FunctionDef):
                function = self._shell.user_ns.get(stmt.name)
                if isinstance(function, types.FunctionType):
                    for attribute in ("remote", "options", "map"):
                        function.__dict__[attribute] = NotRemote(stmt.name, attribute, cell.task_reason)

    def _note_changes(self, cell: TaskCell, outputs: tuple[str, ...]) -> None:
        namespace = self._shell.user_ns
        notes = [
            f"{name} is changed in the task only; -o {name} brings the changed one back\n"
            for name in cell.changed
            if name in namespace and name not in outputs and not isinstance(namespace[name], types.ModuleType)
        ]
        if notes:
            sys.stdout.write("".join(notes))  # at once: what tasks print must not come between

    def _see_to_the_end(self, done: ObjectRef[Any], *, is_seen: bool) -> None:
        """Failures are shown without being asked for; a result that would be lost is waited for."""
        if is_seen and not self._session.shows_late_output:
            self._session.wait_and_show(done)
        else:
            self._session.watch(done)


@contextmanager
def _as_usage_error(label: str | None) -> Iterator[None]:
    """What a cell uses and can't travel is called as the cell calls it."""
    try:
        yield
    except NotPicklable as error:
        part = error.path.partition(".args[0] → ")[2] or error.path  # the cell is what runs it, of what it captures
        raise UsageError(f"{label} was not started: {part} is {error.kind}. {error.why} {error.advice}") from None


def _has_failed(value: object) -> bool:
    runtime = api.running()
    return isinstance(value, ObjectRef) and (runtime is None or runtime.has_failed(value))
