"""Exceptions across the border: packed in the worker, raised again here as TaskError and as their own class.

Frames travel as rows (file, line, function), not as text: the process that shows them may know the source of a
notebook cell that the worker doesn't.
"""

from __future__ import annotations

import contextlib
import linecache
import math
import pickle
import traceback
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from types import GetSetDescriptorType, MemberDescriptorType, TracebackType
from typing import Any

from jray.exceptions import JrayError, TaskError
from jray.runtime.serde.places import line_now
from jray.runtime.serde.values import pack, unpack

_OURS = str(Path(__file__).parents[2])  # the jray package: its frames are not the user's business
_SAME_FRAMES = 3  # of a recursion, as Python prints it
_RAISED = "raised"
_READY = "ready"
_STEERING = (StopIteration, StopAsyncIteration, GeneratorExit)

Row = tuple[str, int, str, int, int]  # file, line, function; its first line, and where in the code it was
Link = tuple[str, str, tuple[Row, ...]]  # how it is linked to the next one, the exception in a line, its frames


def _quoted_path(file: str) -> str:
    return f'File "{file}"'


_name_of_file: Callable[[str], str] = _quoted_path


def name_files_with(name_of_file: Callable[[str], str] | None) -> None:
    """Say how the frames of a traceback name their file; None: as Python does. A notebook knows its cells."""
    global _name_of_file  # noqa: PLW0603 - how this process shows tracebacks
    _name_of_file = name_of_file or _quoted_path


def name_of_file(file: str) -> str:
    """How a traceback names it; nothing for no file."""
    return _name_of_file(file) if file else ""


def pack_error(error: BaseException, *, task: str, worker: str, origin: int = 0) -> bytes:
    """An exception that a task raised, with its chain and frames. Never fails: what can't travel is told in words.

    Args:
        error: what it raised.
        task: its name.
        worker: how errors call the worker; "": not at all.
        origin: the number of the cell that submitted it.
    """
    if isinstance(error, TaskError):  # a nested task's error passes through with its own cause
        cause, inner = error.cause, error.remote_traceback
    else:
        cause, inner = error, ""
    summary = "".join(traceback.format_exception_only(cause or error)).strip()
    fields = (task, worker, origin, summary, _pack_cause(cause), tuple(_chain(error)), inner)
    return pickle.dumps((_RAISED, *fields), 5)


def pack_own_error(error: JrayError) -> bytes:
    """An error of jray's own (a crashed worker): made here, raised as it is."""
    return pickle.dumps((_READY, type(error), str(error)), 5)


def unpack_error(packed: bytes, via: tuple[str, ...] = ()) -> JrayError:
    """The exception to raise. `via` names the tasks that could not run because of it, the first one first."""
    kind, *fields = pickle.loads(packed)
    if kind == _READY:
        make, text = fields
        return make(text + _via(via))  # type: ignore[no-any-return]
    task, worker, origin, summary, cause_bytes, chain, inner = fields
    cause = _unpack_cause(cause_bytes)
    remote = _format(chain)
    where = f" in worker {worker}" if worker else ""
    nested = f"\n\nWhich came from a nested task:\n{inner}" if inner else ""
    text = f"Task {task} failed{where}: {summary}{_via(via)}\n\nTraceback in the worker:\n{remote}{nested}"
    error = _dual(cause, task=task, remote=remote, text=text)
    error._origin = origin  # noqa: SLF001 - of this house
    return error


def _via(via: tuple[str, ...]) -> str:
    if not via:
        return ""
    return f"\nTask {via[-1]} did not run: an argument of it could not be computed" + (
        f" (through {', '.join(via[:-1])})." if via[:-1] else "."
    )


# ---- the cause


def _pack_cause(cause: BaseException | None) -> bytes | None:
    """Only what has been seen to load again is sent."""
    if cause is None:
        return None
    for attempt in (cause, _Rebuilt(cause)):
        try:
            packed = pack(attempt, "An exception", math.inf).head
            unpack(packed, ())
        except BaseException:  # noqa: BLE001, S112 - anything may go wrong in a user's exception, sys.exit() too
            continue
        return packed
    return None


def _unpack_cause(packed: bytes | None) -> BaseException | None:
    if packed is None:
        return None
    try:
        cause = unpack(packed, ())
    except (Exception, SystemExit):  # noqa: BLE001 - its text is still shown
        return None
    return cause if isinstance(cause, BaseException) else None


class _Rebuilt:
    """An exception whose own __init__ can't take its args back: made without it."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        error = self._error
        return _rebuild, (type(error), error.args, dict(vars(error)))


def _rebuild(make: type[BaseException], args: tuple[object, ...], attributes: dict[str, object]) -> BaseException:
    error = make.__new__(make, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


def _dual(cause: BaseException | None, *, task: str, remote: str, text: str) -> TaskError:
    """An error that is a TaskError and of the cause's class at once."""
    error = _of_class_of(cause) if cause is not None and not _steers(cause) else TaskError()
    error.args = cause.args if cause is not None else ()
    error.cause, error.task, error.remote_traceback, error._text = cause, task, remote, text  # noqa: SLF001
    return error


def _steers(cause: BaseException) -> bool:
    """Whether loops and event loops act on this class: an `await` of a StopIteration would be None, not an error."""
    return isinstance(cause, (TaskError, *_STEERING)) or type(cause).__name__ == "CancelledError"  # without asyncio


def _of_class_of(cause: BaseException) -> TaskError:
    make = type(cause)
    try:
        kind = type(f"TaskError({make.__name__})", (TaskError, make), {"__module__": "jray.exceptions"})
        kind.__reduce__ = _reduce  # type: ignore[assignment,method-assign] # nobody can import a class that is made on the spot
        error: TaskError = kind.__new__(kind, *cause.args)
    except Exception:  # noqa: BLE001 - a class that can't be subclassed: TaskError alone
        return TaskError()
    _copy_fields(cause, error)
    return error


def _copy_fields(cause: BaseException, error: TaskError) -> None:
    """What __init__ would have set: attributes, slots, and the fields that C code keeps (`errno`, `filename`).

    Python does not look whether C fields are set before it uses them: StopIteration without a value crashed it.
    """
    error.__dict__.update({name: value for name, value in vars(cause).items() if name != "__notes__"})
    for base in type(cause).__mro__:
        if base in {Exception, BaseException}:
            return
        for name, field in vars(base).items():
            if isinstance(field, (MemberDescriptorType, GetSetDescriptorType)) and not name.startswith("__"):
                with contextlib.suppress(Exception):  # unset there, or never to be set
                    field.__set__(error, field.__get__(cause))


def _reduce(error: TaskError) -> tuple[Any, ...]:
    cause = _pack_cause(error.cause)
    return _load_task_error, (cause, error.task, error.remote_traceback, error._text)  # noqa: SLF001


def _load_task_error(cause: bytes | None, task: str, remote: str, text: str) -> TaskError:
    return _dual(_unpack_cause(cause), task=task, remote=remote, text=text)


# ---- the frames


def _chain(error: BaseException) -> Iterator[Link]:
    """The exception and what it came from, outermost last, as Python prints them."""
    links: list[tuple[str, BaseException]] = []
    seen: set[int] = set()
    current: BaseException | None = error
    relation = ""
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        links.append((relation, current))
        if current.__cause__ is not None:
            relation, current = "cause", current.__cause__
        else:
            relation, current = "context", None if current.__suppress_context__ else current.__context__
    for position in range(len(links) - 1, -1, -1):
        link_to_next, link = links[position]
        text = "".join(traceback.format_exception_only(_original(link))).strip()
        yield link_to_next, text, tuple(_rows(link.__traceback__))


def _original(error: BaseException) -> BaseException:
    return error.cause if isinstance(error, TaskError) and error.cause is not None else error


def _rows(frames: TracebackType | None) -> Iterator[Row]:
    while frames is not None:
        code, line, last = frames.tb_frame.f_code, frames.tb_lineno, frames.tb_lasti
        frames = frames.tb_next
        if not code.co_filename.startswith(_OURS):
            yield code.co_filename, line, code.co_qualname, code.co_firstlineno, last


def _shown(row: Row) -> tuple[str, int, str]:
    """File and line where the code stands now."""
    file, line, function, first_line, offset = row
    return *line_now((file, first_line, function), line, offset), function


_LINKS = {
    "cause": "\nThe above exception was the direct cause of the following exception:\n",
    "context": "\nDuring handling of the above exception, another exception occurred:\n",
}


def _format(chain: tuple[Link, ...]) -> str:
    lines: list[str] = []
    for relation, text, rows in chain:
        for row, repeats in groupby(map(_shown, rows)):
            file, line, function = row
            source = linecache.getline(file, line).strip()
            frame = [f"  {_name_of_file(file)}, line {line}, in {function}", *([f"    {source}"] if source else [])]
            number = sum(1 for _ in repeats)
            lines += frame * min(number, _SAME_FRAMES)
            if number > _SAME_FRAMES:
                lines.append(f"  [Previous line repeated {number - _SAME_FRAMES} more times]")
        lines.append(text)
        if relation:
            lines.append(_LINKS[relation])
    return "\n".join(lines)
