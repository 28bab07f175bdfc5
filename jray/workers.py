"""What users may do with the worker processes as a whole: more or fewer of them, and new ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from functools import partial
from inspect import iscoroutinefunction, isgeneratorfunction
from types import MethodType
from typing import Any, cast

from jray import api
from jray.options import TaskOptions
from jray.remote_function import RemoteFunction, check_arguments
from jray.runtime import backend
from jray.runtime.embedded import EmbeddedBackend
from jray.runtime.serde.code import call_by_name


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


def run_on_all(function: Any, /, *args: Any, **kwargs: Any) -> None:
    """Run a function once in every worker process: to set seeds, logging or a connection, or to load what tasks share.

    It runs in the main thread, between two tasks: now in the workers that are there (in a busy one when its task is
    done), and in every later one before its first task. What it sets in modules lasts as long as the process, so keep
    things there: `builtins.connection = ...`. What it prints appears under the cell that called `run_on_all`.
    References among the arguments arrive as values. Nothing is returned. (A seed for random numbers that is set
    here lasts until a task with a `seed` of its own has run.)

    Several functions are run in the order in which they were given. The same function again, or a function of the same
    name and module (a cell was run again), takes the place of the earlier one. (A lambda or an inner function has no
    name that means anything: each is another.) They are kept until the runtime is shut down.

    Returns when all workers that are there have run it; if there are none, one is started. An interrupt ends the wait
    only: the function is still run, in later workers as well. If it fails in a later worker, all tasks that are sent
    to that worker fail and say why, and the worker is replaced.

    Raises:
        TaskError: it raised in one of the workers that are there (also an instance of that exception's class). Then
            later ones do not run it.
        WorkerCrashedError: there was no other worker, and it ended the one that was started. Later ones do not run it.
        TypeError: it is no function, the arguments do not fit, or something can't be pickled.
        ValueError: it takes more than 16 MiB with its arguments.
        RuntimeError: it was called in a task.
    """
    called = function.function if isinstance(function, RemoteFunction) else function
    if not callable(called) or isinstance(called, type) or iscoroutinefunction(called) or isgeneratorfunction(called):
        msg = (
            f"jray.run_on_all was given {called!r}. It runs a function in every worker, and this is none that does "
            "something when it is called. Give it a function, and its arguments behind it."
        )
        raise TypeError(msg)
    check_arguments(called, args, kwargs, f"jray.run_on_all({getattr(called, '__name__', called)})")
    _own_runtime("run_on_all").run_on_all(_by_name(called), args, kwargs, _key_of(called))


def _by_name(function: Callable[..., Any]) -> Callable[..., Any]:
    """`random.seed` is a method of an object, which would travel along: a worker should use its own of that name."""
    owner = getattr(function, "__self__", None)
    module, name = type(owner).__module__, getattr(function, "__name__", "")
    if isinstance(function, MethodType) and getattr(sys.modules.get(module), name, None) == function:
        by_name = partial(call_by_name, module, name)
        by_name.__qualname__ = f"{module}.{name}"  # type: ignore[attr-defined] # what messages call it
        return by_name
    return function


def _key_of(function: Callable[..., Any]) -> Hashable:
    name = getattr(function, "__qualname__", "<")
    if "<" not in name and not isinstance(function, MethodType):
        return function.__module__, name
    return _Same(function)


class _Same:
    """Equal for equal functions: two methods of one object are, though they are different objects."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Same):
            return False
        if isinstance(self._function, MethodType):
            return self._function == other._function
        return self._function is other._function

    def __hash__(self) -> int:
        return hash(getattr(self._function, "__name__", ""))


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
