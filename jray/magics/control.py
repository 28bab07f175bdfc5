"""`%jray status`, `%jray memory`, `%jray init`, `%jray stop`: look at the runtime, start it, end it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import MagicArgumentParser

from jray import api
from jray.kernel.holders import find_holders
from jray.kernel.session import Session
from jray.magics.line import parse, parse_resources, split_line
from jray.magics.memory import describe
from jray.magics.status import NotRunning, Status

_COMMANDS = ("status", "memory", "init", "stop")


@magics_class
class ControlMagics(Magics):
    """The magics that look and steer."""

    def __init__(self, shell: InteractiveShell, session: Session) -> None:
        """For the extension."""
        super().__init__(shell)
        self._session = session

    @no_var_expand
    @line_magic
    def jray(self, line: str) -> Any:
        """Look at the runtime, start it, end it.

        ::

            %jray status                           CPUs, store, workers, tasks by function and state
            %jray memory                           every object: size, place, who holds it, what made it
            %jray memory x --all                   those that x holds; all of them, not just the largest
            %jray init --num-cpus 4                start with so many CPUs (else: at first use, with all of them)
            %jray init --num-gpus 1                start with so many GPUs (else: with all that there are)
            %jray init --resources disk=1,link=2   start with custom resources
            %jray stop                             end all tasks and workers; values you have stay valid

        `%%remote?` tells how to start work.
        """
        command, _, rest = line.strip().partition(" ")
        if not command:
            print(
                "%jray status | %jray memory [NAME] [--all] | "
                "%jray init [--num-cpus N] [--num-gpus N] [--resources NAME=N,...] | %jray stop   "
                "(%jray? tells more)"
            )
            return None
        if command not in _COMMANDS:
            close = get_close_matches(command, _COMMANDS, n=1)
            advice = f"Did you mean %jray {close[0]}?" if close else f"Use one of: {', '.join(_COMMANDS)}."
            raise UsageError(f"%jray {command} was refused. There is no such command. {advice}")
        return getattr(self, f"_{command}")(rest)

    def _status(self, rest: str) -> Any:
        _refuse_rest("status", rest)
        runtime = api.running()
        if runtime is None:
            return NotRunning()
        pids = runtime.worker_pids() if self._session.is_interactive else {}
        return Status(runtime.view(), runtime.store(), pids, shows_limit=self._session.is_interactive)

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
            runtime.objects(),
            runtime.store(),
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
        options = ("--num-cpus", "--num-gpus", "--resources")
        arguments = parse(parser, *split_line(rest, flags=()), magic="%jray", options=options)
        if api.is_initialized():
            raise UsageError(
                "%jray init was refused. jray is running already, and its resources are what it started with. "
                "%jray stop ends it, with all tasks; then start it again."
            )
        try:
            info = api.init(num_cpus=arguments.num_cpus, num_gpus=arguments.num_gpus, resources=arguments.resources)
        except (ValueError, TypeError) as error:
            raise UsageError(str(error)) from None
        print(info)

    def _stop(self, rest: str) -> None:
        _refuse_rest("stop", rest)
        was_running = api.is_initialized()
        api.shutdown()
        print("jray stopped" if was_running else "jray was not running")


def _refuse_rest(command: str, rest: str) -> None:
    if rest.strip():
        raise UsageError(f"%jray {command} {rest} was refused. {command} takes no arguments. Write %jray {command}.")
