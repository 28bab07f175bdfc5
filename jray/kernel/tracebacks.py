"""The traceback of a mistake ends in the user's own code: what went on inside jray is not his business.

Frames of jray are left out, and those of libraries that jray called, up to the next frame of the user's: a cell of
definitions, or the `__reduce__` of a class, that jray runs here. What may be a bug of jray's is shown whole, and so is
everything after `%xmode Verbose`.

IPython's hook for handlers (`set_custom_exc`) is left to the user: it is not asked under `%%time` or `%run`, and it
would have to tell all kinds of syntax errors apart again. Every way of showing an error goes through `showtraceback`.
"""

from __future__ import annotations

import dis
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType, FunctionType, TracebackType
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from jray.exceptions import InternalError, TaskError
from jray.remote_function import RemoteFunction
from jray.runtime import ref_misuse
from jray.runtime.serde.errors import name_of_file
from jray.user_code import Whose, whose

logger = logging.getLogger("jray")

_RAISE = dis.opmap["RAISE_VARARGS"]
_USERS_CALL = RemoteFunction.__call__.__code__  # calls the user's function: one argument too many is the user's mistake
_NOT_A_BUG = (KeyboardInterrupt, SyntaxError, MemoryError)  # can come out of any line


class Tracebacks:
    """Makes one shell show tracebacks so. Made by `%load_ext jray`, closed by `%unload_ext jray`."""

    def __init__(self, shell: InteractiveShell, label_of: Callable[[int], str | None]) -> None:
        """Stand before the shell's own way of showing an error. `label_of` names the cells: "In[5]"."""
        self._shell, self._label_of = shell, label_of
        self._before = shell.__dict__.get("showtraceback")  # somebody else may stand there already
        self._show_as_before = shell.showtraceback
        self._is_open = True
        self._installed = self._show
        shell.__dict__["showtraceback"] = self._installed

    def _show(self, exc_tuple: Any = None, *args: Any, **kwargs: Any) -> None:
        error = sys.exc_info()[1] if exc_tuple is None else exc_tuple[1]
        if self._is_open and isinstance(error, BaseException) and not isinstance(error, UsageError):
            try:
                if self._prepare(error):
                    exc_tuple = type(error), error, error.__traceback__
            except Exception:  # an odd error, or a bug of ours: what the user's code raised is shown all the same
                logger.exception("The traceback of %s could not be trimmed.", type(error).__name__)
        self._show_as_before(exc_tuple, *args, **kwargs)

    def _prepare(self, error: BaseException) -> bool:
        """Whether its traceback is another one now."""
        hint(error, self._shell.user_ns, self._label_of)
        is_trimmed = self._shell.InteractiveTB.mode != "Verbose" and not may_be_a_bug(error)
        if is_trimmed:
            trim(error)
        return is_trimmed

    def close(self) -> None:
        """Stand aside. Who has come between since still calls us: then nothing is left out."""
        self._is_open = False
        if self._shell.__dict__.get("showtraceback") is self._installed:
            del self._shell.__dict__["showtraceback"]
            if self._before is not None:
                self._shell.__dict__["showtraceback"] = self._before


def hint(error: BaseException, names: Mapping[str, Any], label_of: Callable[[int], str | None]) -> None:
    """Say what to do where Python's own words can't know it. `names` are those of the notebook."""
    note = None
    if isinstance(error, AttributeError) and error.name == "remote":
        note = _why_not_remote(error.obj)
    elif isinstance(error, TaskError):
        note = _why_missing(error, names, label_of)
    if note is not None and note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def _why_missing(error: TaskError, names: Mapping[str, Any], label_of: Callable[[int], str | None]) -> str | None:
    """Semantics 23: who uses a missing name, which cell submitted the task, and whether the name has come since."""
    *_, last = ["", *re.findall(r"^  .*, line \d+, in .*(?:\n    .*)?", error.remote_traceback, re.MULTILINE)]
    missing = re.match(r"name '(\w+)' is not defined", str(error.cause))  # its own attribute does not travel
    name = missing[1] if missing and isinstance(error.cause, NameError) else None
    is_by_text = name is not None and 'File "<string>"' in last
    if isinstance(error.cause, KeyError) and "globals()" in last:
        (name,) = error.cause.args
        is_by_text = True
    if name is None:
        return None
    if is_by_text:
        return (
            f"{name!r} is a name of the notebook, and the task did not bring it along: what a function reaches is "
            "found by the names in its code, not by texts that it gives to eval or globals(). Name it in the function, "
            "or give it as an argument."
            if name in names
            else None
        )
    user = re.search(r", in (.*)", last)
    then = f"{name} was used by {user[1] if user else error.task}. When {label_of(error._origin) or 'the notebook'} "  # noqa: SLF001 - of this house
    then += f"started {error.task}, it was not defined"
    if name not in names:
        return f"{then}, and it is not now. Define it, then start {error.task} again."
    place = name_of_file(_file_of(names[name])).removeprefix("Cell ")
    return f"{then}; it has been defined since{f', in {place}' if place else ''}. Start {error.task} again."


def _file_of(value: Any) -> str:
    code = getattr(getattr(value, "function", value), "__code__", None)
    return code.co_filename if isinstance(code, CodeType) else ""


def _why_not_remote(used: object) -> str | None:
    if type(used) is FunctionType:
        return f"{used.__name__} is an ordinary function. Write @jray.remote above it, or put it into a %%remote cell."
    if isinstance(used, type):
        return f"{used.__name__} is an ordinary class, and actors are not there yet. Make its methods remote functions."
    return None


def trim(error: BaseException) -> None:
    """Leave jray's frames out of the traceback of an error, and of those that it came from."""
    if isinstance(error, SyntaxError) and _is_of_jray(error):
        error.__traceback__ = None  # of a cell that jray reads: shown as that of any other cell, which has no frames
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        current.__traceback__ = without_jray(current.__traceback__)
        origin = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        if origin is not None and origin.__traceback__ is not None and without_jray(origin.__traceback__) is None:
            current.__cause__ = origin = None  # it happened and was caught inside jray, whose error tells what matters
        current = origin


def without_jray(traceback: TracebackType | None) -> TracebackType | None:
    """The same traceback without jray's frames and those of libraries below them; None: nothing is left."""
    entries = list(_entries(traceback))
    kept = [entry for run in _runs(entries) for entry in _kept(run)]
    if len(kept) == len(entries):
        return traceback
    made = None
    for entry in reversed(kept):
        made = TracebackType(made, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return made


def may_be_a_bug(error: BaseException) -> bool:
    """Whether jray may have raised this without meaning to: not by a `raise` statement in its own code."""
    if isinstance(error, InternalError):
        return True
    if not _is_of_jray(error) or isinstance(error, _NOT_A_BUG):
        return False
    *_, last = _entries(error.__traceback__)
    code = last.tb_frame.f_code
    is_meant = code.co_code[last.tb_lasti] == _RAISE or code is _USERS_CALL
    return isinstance(error, AssertionError) or not is_meant


def _is_of_jray(error: BaseException) -> bool:
    """Whether it was raised in jray's own code."""
    entries = list(_entries(error.__traceback__))
    return bool(entries) and whose(entries[-1].tb_frame) is Whose.JRAY


def _entries(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _runs(entries: Sequence[TracebackType]) -> Iterator[list[TracebackType]]:
    """The entries, parted behind each one of the user's."""
    run: list[TracebackType] = []
    for entry in entries:
        run.append(entry)
        if whose(entry.tb_frame) is Whose.USER:
            yield run
            run = []
    yield run


def _kept(run: Sequence[TracebackType]) -> list[TracebackType]:
    """Of a run through libraries and jray: what led into jray, and the user's code that it led to, if any."""
    owners = [whose(entry.tb_frame) for entry in run]
    if Whose.JRAY not in owners:
        return list(run)
    before = [entry for entry in run[: owners.index(Whose.JRAY)] if not _is_ipython(entry)]
    if run[-1].tb_frame.f_code.co_filename == ref_misuse.__file__:
        before = []  # a library that was given a reference: which of its lines looked into it helps nobody
    return before + [entry for entry, owner in zip(run, owners, strict=True) if owner is Whose.USER]


def _is_ipython(entry: TracebackType) -> bool:
    return str(entry.tb_frame.f_globals.get("__name__")).partition(".")[0] == "IPython"
