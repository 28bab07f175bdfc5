"""What Tab offers on the lines of `%%remote`, `%remote` and `%jray`: commands, options, and names where names belong.

Everything is read off the parsers and the table of commands. Elsewhere it offers nothing, and hides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, completion_matcher
from IPython.core.interactiveshell import InteractiveShell

from jray import api
from jray.kernel.cell import CellMistake, TaskCell, read_cell
from jray.magics.control import COMMANDS
from jray.magics.remote import ONLY_CELLS, OPTIONS
from jray.remote_function import RemoteFunction
from jray.runtime.object_ref import ObjectRef

_CELL_LINE = re.compile(r"%%remote\s(?P<rest>.*)", re.DOTALL)
_LINE = re.compile(r"(?:^|.*=)\s*%(?P<magic>remote|jray)\s(?P<rest>.*)", re.DOTALL)
_OUTPUTS = ("-o", "--outputs")


class Offer(NamedTuple):
    """What may stand at the cursor."""

    fragment: str  # of it, what is there already
    words: tuple[str, ...]
    is_all: bool = True  # nothing else may stand there


class Completions:
    """Offers completions in one shell. Made by `%load_ext jray`, closed by `%unload_ext jray`."""

    def __init__(self, shell: InteractiveShell) -> None:
        """Stand among the shell's matchers."""
        self._shell = shell
        shell.Completer.custom_matchers.append(self.match)

    def close(self) -> None:
        """Leave no matcher behind."""
        self._shell.Completer.custom_matchers.remove(self.match)

    @completion_matcher(identifier="jray", api_version=2)
    def match(self, context: CompletionContext) -> SimpleMatcherResult:
        """What IPython asks at each Tab."""
        offer = self._offer(context)
        found = [SimpleCompletion(word, type="jray") for word in offer.words if word.startswith(offer.fragment)]
        return SimpleMatcherResult(completions=found, matched_fragment=offer.fragment, suppress=offer.is_all)

    def _offer(self, context: CompletionContext) -> Offer:
        before = context.text_until_cursor
        if context.cursor_line == 0 and (line := _CELL_LINE.match(before)):
            return self._at_remote(line["rest"], context.full_text)
        if line := _LINE.match(before):
            return self._at_remote(line["rest"], None) if line["magic"] == "remote" else self._at_jray(line["rest"])
        return Offer("", (), is_all=False)

    def _at_remote(self, rest: str, cell: str | None) -> Offer:
        """`cell` is the whole cell, None on a line of `%remote`."""
        *before, word = _words(rest)
        last, _, value = word.rpartition("=") if word.startswith("--") else (before[-1] if before else "", "", word)
        if OPTIONS.get(last):  # it takes a value
            return self._at_value(last, value, cell)
        if cell is None and word[:1] != "-" and word:
            return Offer(word, self._names_of(RemoteFunction), is_all=False)
        options = [name for name in OPTIONS if name not in before and (cell is not None or name not in ONLY_CELLS)]
        more = self._names_of(RemoteFunction) if cell is None and not word else ()
        return Offer(word, (*options, *more), is_all=cell is not None or bool(word))

    def _at_value(self, option: str, value: str, cell: str | None) -> Offer:
        fragment = value.rpartition(",")[2].lstrip()
        if option in _OUTPUTS and cell is not None:
            return Offer(fragment, self._bound_in(cell))
        runtime = api.running()
        if option == "--resources" and runtime is not None:
            return Offer(
                fragment, tuple(f"{name}=" for name in runtime.resources().total if name not in {"CPU", "GPU"})
            )
        return Offer(value, (), is_all=False)

    def _at_jray(self, rest: str) -> Offer:
        *before, word = _words(rest)
        if not before:
            return Offer(word, tuple(COMMANDS))
        command = COMMANDS.get(before[0])
        if command is None:
            return Offer(word, (), is_all=False)
        options = [name for name in command.options if name not in before]
        names = self._names_of(ObjectRef) if "[NAME]" in command.usage else ()
        return Offer(word, (*names, *options))

    def _names_of(self, kind: type) -> tuple[str, ...]:
        """The user's names for values of this class, and for lists of them."""
        hidden: Mapping[str, Any] = self._shell.user_ns_hidden
        names = [name for name in self._shell.user_ns if not name.startswith("_") and name not in hidden]
        return tuple(name for name in names if _is_or_has(self._shell.user_ns[name], kind))

    def _bound_in(self, cell: str) -> tuple[str, ...]:
        """What can come out of the cell: the names that it binds or changes."""
        line, _, body = cell.partition("\n")
        try:
            read = read_cell(f"# {line}\n{self._shell.transform_cell(body)}")
        except (SyntaxError, CellMistake):  # it is being written
            return ()
        return (*sorted(read.bindable), *read.changed) if isinstance(read, TaskCell) else ()


def _words(rest: str) -> list[str]:
    """The words up to the cursor; the last one is what is being typed, perhaps nothing yet."""
    return re.split(r"(?<!,)\s+", rest.lstrip())


def _is_or_has(value: object, kind: type) -> bool:
    parts: Iterable[object] = value if type(value) in {list, tuple} else ()  # type: ignore[assignment]
    return isinstance(value, kind) or any(isinstance(part, kind) for part in parts)
