"""`%jray …`: look at the runtime, start it, end it. A new command is a row of the table, and a method."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, NamedTuple

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import MagicArgumentParser

from jray import api
from jray.kernel.holders import find_holders
from jray.kernel.session import Session
from jray.magics import pool
from jray.magics.line import parse, parse_resources, split_line
from jray.magics.memory import describe
from jray.magics.next_steps import next_steps
from jray.magics.status import NotRunning, Status


class Command(NamedTuple):
    """One of the things that `%jray` can do: the method `_NAME` does it, with what stands behind the name."""

    name: str
    usage: str  # what may stand behind the name; Tab offers the options that are in it
    sentence: str  # for the help

    @property
    def options(self) -> tuple[str, ...]:
        """Those that it takes."""
        return tuple(re.findall(r"--[\w-]+", self.usage))


COMMANDS = {
    command.name: command
    for command in (
        Command("dashboard", "", "A live picture of tasks, objects, CPUs and store, under this cell."),
        Command("status", "", "CPUs, store, workers, tasks by function and state."),
        Command("memory", "[NAME] [--all]", "Every object, or those that NAME holds: size, place, holder, maker."),
        Command(
            "init",
            "[--num-cpus N] [--num-gpus N] [--resources NAME=N,...] [--seed N]",
            "Start with these; the first use starts it with all CPUs and GPUs.",
        ),
        Command("resize", "--num-cpus N", "More or fewer CPUs, at once; what runs goes on."),
        Command("restart", "[--now]", "New worker processes, busy ones when their task is done; objects stay."),
        Command("stop", "", "End all tasks and workers; values that you have stay valid."),
    )
}


def _tells_commands(magic: Callable[..., Any]) -> Callable[..., Any]:
    """Put the table of commands into the help of the magic."""
    lines: list[str] = []
    for command in COMMANDS.values():
        lines += [f"%jray {command.name} {command.usage}".rstrip(), f"    {command.sentence}"]
    magic.__doc__ = inspect.cleandoc(magic.__doc__ or "").replace("{commands}", "\n    ".join(lines))
    return magic


@magics_class
class ControlMagics(Magics):
    """The magics that look and steer."""

    def __init__(self, shell: InteractiveShell, session: Session, show_dashboard: Callable[[], str]) -> None:
        """For the extension; `show_dashboard` shows a live view under the cell, and says if it can't be live."""
        super().__init__(shell)
        self._session = session
        self._show_dashboard = show_dashboard

    @no_var_expand
    @line_magic
    @_tells_commands
    def jray(self, line: str) -> Any:
        """Look at the runtime, start it, end it. Alone, it shows what can be done next.

        ::

            {commands}

        For example::

            %jray init --num-cpus 4 --resources disk=1,link=2
            %jray memory x

        `%%remote?` tells how to start work.
        """
        name, _, rest = line.strip().partition(" ")
        if not name:
            runtime = api.running()
            print(next_steps(runtime.view() if runtime is not None else None, COMMANDS))
            return None
        if name not in COMMANDS:
            close = get_close_matches(name, COMMANDS, n=1)
            advice = f"Did you mean %jray {close[0]}?" if close else f"Use one of: {', '.join(COMMANDS)}."
            raise UsageError(f"%jray {name} was refused. There is no such command. {advice}")
        return getattr(self, f"_{name}")(rest)

    def _dashboard(self, rest: str) -> Any:
        _refuse_rest("dashboard", rest)
        if self._session.current_run().parent is None:  # a terminal shows nothing that moves
            return self._status("")
        if note := self._show_dashboard():
            print(note)
        return None

    def _status(self, rest: str) -> Any:
        _refuse_rest("status", rest)
        runtime = api.running()
        if runtime is None:
            return NotRunning()
        pids = runtime.pictures.worker_pids() if self._session.is_interactive else {}
        return Status(runtime.view(), runtime.pictures.store(), pids, shows_limit=self._session.is_interactive)

    def _memory(self, rest: str) -> Any:
        words = rest.split()
        names = [word for word in words if word != "--all"]
        if len(names) > 1 or any(name.startswith("-") for name in names):
            raise UsageError(
                f"%jray memory {rest} was refused. It takes one name, and --all. Write %jray memory, or %jray memory x."
            )
        runtime = api.running()
        if runtime is None:
            return NotRunning()
        found = find_holders(self._session.shell.user_ns, self._session.shell.user_ns_hidden)
        return describe(
            runtime.pictures.objects(),
            runtime.pictures.store(),
            found,
            self._session.label_of,
            name=names[0] if names else "",
            shows_all="--all" in words,
            shows_ids=self._session.is_interactive,
        )

    def _init(self, rest: str) -> None:
        parser = MagicArgumentParser(prog="%jray init", add_help=False)
        parser.add_argument("--num-cpus", type=float)
        parser.add_argument("--num-gpus", type=float)
        parser.add_argument("--resources", type=parse_resources)
        parser.add_argument("--seed", type=int)
        arguments = parse(parser, *split_line(rest, flags=()), magic="%jray", options=COMMANDS["init"].options)
        if api.is_initialized():
            raise UsageError(
                "%jray init was refused. jray is running already. %jray resize changes its CPUs; for anything else "
                "%jray stop ends it, with all tasks; then start it again."
            )
        try:
            info = api.init(**vars(arguments))
        except (ValueError, TypeError) as error:
            raise UsageError(str(error)) from None
        print(info)

    def _resize(self, rest: str) -> None:
        pool.resize(rest)

    def _restart(self, rest: str) -> None:
        pool.restart(rest)

    def _stop(self, rest: str) -> None:
        _refuse_rest("stop", rest)
        was_running = api.is_initialized()
        api.shutdown()
        print("jray stopped" if was_running else "jray was not running")


def _refuse_rest(command: str, rest: str) -> None:
    if rest.strip():
        raise UsageError(f"%jray {command} {rest} was refused. {command} takes no arguments. Write %jray {command}.")
