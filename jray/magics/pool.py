"""`%jray resize` and `%jray restart`: change the worker processes while the runtime runs."""

from __future__ import annotations

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

from jray import api, workers
from jray.magics.line import parse, split_line
from jray.magics.status import NotRunning


def resize(line: str) -> None:
    """Obey `%jray resize`."""
    parser = MagicArgumentParser(prog="%jray resize", add_help=False)
    parser.add_argument("--num-cpus", type=float)
    arguments = parse(parser, *split_line(line, flags=()), magic="%jray", options=("--num-cpus",))
    try:
        info = workers.resize(num_cpus=arguments.num_cpus)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error).replace("jray.resize(num_cpus=4)", "%jray resize --num-cpus 4")) from None
    print(info)


def restart(line: str) -> None:
    """Obey `%jray restart`."""
    parser = MagicArgumentParser(prog="%jray restart", add_help=False)
    parser.add_argument("--now", action="store_true")
    arguments = parse(parser, *split_line(line, flags=("--now",)), magic="%jray", options=("--now",))
    runtime = api.running()
    if runtime is None:
        print(NotRunning())
        return
    busy = 0 if arguments.now else runtime.view().busy_workers
    workers.restart(now=arguments.now)
    waits = f"; {busy} busy {'workers end' if busy > 1 else 'worker ends'} when the task is done" if busy else ""
    print(f"jray restarts its workers{waits}")
