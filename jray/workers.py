"""What users may do with the worker processes as a whole: more or fewer of them, and new ones."""

from __future__ import annotations

from typing import Any, cast

from jray import api
from jray.options import TaskOptions
from jray.runtime import backend
from jray.runtime.embedded import EmbeddedBackend


def resize(num_cpus: float | None = None, **others: Any) -> api.RuntimeInfo:
    """Change how many CPUs tasks may hold together, at once, up or down.

    Running tasks keep what they hold; nothing new starts until it fits. Workers that are too many end after a while.
    When no runtime is running, one is started with so many.

    Returns:
        Facts about the runtime, as `init` does.

    Raises:
        TypeError, ValueError: no number of CPUs, or something that can't be changed while the runtime runs.
        RuntimeError: it was called in a task.
    """
    for name in others:
        msg = (
            f"jray.resize({name}=...) was refused. Only the number of CPUs can change while jray runs. "
            f"Start it again for that: jray.shutdown(), then jray.init({name}=...)."
        )
        raise TypeError(msg)
    if num_cpus is None:
        msg = "jray.resize() was refused. It was not told how many CPUs there are to be. Write jray.resize(num_cpus=4)."
        raise TypeError(msg)
    cpus = TaskOptions().merged({"num_cpus": num_cpus}).num_cpus
    if not api.is_initialized():
        return api.init(num_cpus=cpus)
    _own_runtime("resize").resize(cpus)
    return api.RuntimeInfo({"resources": api.cluster_resources()})


def restart(*, now: bool = False) -> None:
    """Replace every worker process by a new one: for changed modules, `os.environ`, `sys.path`, or memory that is kept.

    Idle workers end at once, busy ones when their task is done; tasks that wait go to new ones. References and
    values stay. New workers see `os.environ`, `sys.path` and the working directory as they are here now. Does nothing
    when no runtime is running.

    Args:
        now: busy workers are ended, too. Their tasks are run again if they have retries left; else they fail.

    Raises:
        RuntimeError: it was called in a task, or the system refuses another process.
    """
    if not api.is_initialized():
        return
    runtime = _own_runtime("restart")
    try:
        runtime.restart(now=now)
    except OSError as error:
        msg = (
            f"jray.restart() was refused. The system does not start another process ({error.strerror}), so the old "
            "workers go on. Close files, or end processes that you no longer need, and try again."
        )
        raise RuntimeError(msg) from error


def _own_runtime(what: str) -> EmbeddedBackend:
    """The runtime of this process.

    Raises:
        RuntimeError: this is a task.
    """
    runtime = backend.current()
    if runtime.name != "jray":
        msg = (
            f"jray.{what}() was refused in a task. The workers belong to the notebook or script that started the "
            "runtime. Call it there."
        )
        raise RuntimeError(msg)
    return cast("EmbeddedBackend", runtime)
