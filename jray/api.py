"""The functions of jray. Names and behaviour are Ray's, so that `import jray as ray` runs Ray Core programs."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from numbers import Real
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast, overload

from jray.exceptions import JrayError
from jray.options import TaskOptions
from jray.other_names import OF_INIT
from jray.remote_function import RemoteFunction, make_remote
from jray.runtime import backend
from jray.runtime.object_ref import ObjectRef
from jray.runtime.pool.zygote import Zygote
from jray.runtime.system import usable_cpus, usable_gpus, visible_gpus
from jray.runtime_context import get_gpu_ids, get_runtime_context  # noqa: F401 - jray.__init__ finds them here
from jray.store_options import StoreOptions
from jray.wrong_refs import no_ref, no_refs

if TYPE_CHECKING:
    from jray.runtime.embedded import EmbeddedBackend

_init_lock = threading.RLock()
_on_init: list[Callable[[EmbeddedBackend], None]] = []


class RuntimeInfo(Mapping[str, Any]):
    """What `init` returns: a mapping of facts, and a context manager that shuts the runtime down."""

    def __init__(self, facts: dict[str, Any]) -> None:
        """For `init`."""
        self._facts = facts

    def __getitem__(self, key: str) -> Any:
        """One fact."""
        return self._facts[key]

    def __iter__(self) -> Any:
        """The names of the facts."""
        return iter(self._facts)

    def __len__(self) -> int:
        """How many facts."""
        return len(self._facts)

    def __enter__(self) -> Self:
        """The runtime is running."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        """Shut it down."""
        shutdown()

    def __repr__(self) -> str:
        """One line for people."""
        amounts = {"CPU": 0.0, **self._facts["resources"]}  # as in Ray, what there is nothing of is absent
        return f"jray runtime with {', '.join(f'{amount:g} {name}' for name, amount in amounts.items())}"


_INIT_ARGUMENTS = (
    "num_cpus",
    "num_gpus",
    "resources",
    "object_store_memory",
    "object_spilling_directory",
    "object_spilling_limit",
    "read_only",
    "seed",
    "ignore_reinit_error",
)


def init(
    address: str | None = None,
    *,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
    resources: Mapping[str, float] | None = None,
    object_store_memory: int | None = None,
    object_spilling_directory: str | os.PathLike[str] | None = None,
    object_spilling_limit: int | None = None,
    read_only: bool = False,
    seed: int | None = None,
    ignore_reinit_error: bool = False,
    **others: Any,
) -> RuntimeInfo:
    """Start the runtime in this process. Optional: the first use of jray does it.

    Args:
        address: None or "local": there are no clusters yet.
        num_cpus: CPUs that tasks may hold together; what this process may use (affinity, cgroup) when None.
        num_gpus: GPUs that tasks may hold together, a whole number; those that this process may use when None.
        resources: custom resources, name -> amount.
        object_store_memory: bytes of shared memory that objects may take; 30 % of what this process may use (the
            machine's memory, cgroups) when None. What does not fit is moved to disk, the least recently used first.
        object_spilling_directory: where that goes, in a file without a name; the temporary directory when None.
        object_spilling_limit: bytes that it may take there; as much as leaves 5 % of the disk free when None.
        read_only: arrays of 64 KiB and more come back so that they can't be written, as in Ray. Else they are the
            receiver's own to change: pages that are written are copied for it alone.
        seed: makes the random numbers of all tasks the same at each run, whatever worker runs which when: each task has
            a seed of its own, made of this one and its number in the order of submission. See the option `seed`.
        ignore_reinit_error: do nothing when a runtime is running already.
        **others: refused, with a word on those that Ray has.

    Returns:
        Facts about the runtime; `with jray.init(): ...` shuts it down at the end.

    Raises:
        RuntimeError: a runtime is running already.
        TypeError, ValueError: an amount that is none, or an argument that jray does not have.
    """
    if address not in {None, "local"}:
        msg = (
            f"jray.init({address!r}) was refused. jray's runtime is for one machine and can't join a cluster yet. "
            f"Leave the address out; jray.init(num_cpus=4) says how many tasks run at once."
        )
        raise ValueError(msg)
    for name in others:
        close = get_close_matches(name, _INIT_ARGUMENTS, n=1)
        advice = OF_INIT.get(name) or (f"Did you mean {close[0]}?" if close else "Leave it out.")
        has = ", ".join(_INIT_ARGUMENTS)
        msg = f"jray.init({name}=...) was refused. jray has no such argument; of Ray's it has {has}. {advice}"
        raise TypeError(msg)
    store = StoreOptions.checked(
        object_store_memory, object_spilling_directory, object_spilling_limit, read_only=read_only
    )
    options = TaskOptions().merged(
        {"num_cpus": 1 if num_cpus is None else num_cpus, "resources": resources or {}, "seed": seed}
    )
    if num_gpus is not None:
        _check_gpus(num_gpus)
    with _init_lock:
        if backend.installed() is not None:
            if ignore_reinit_error:
                return RuntimeInfo({"resources": dict(cluster_resources())})
            msg = (
                "jray.init() was refused. A runtime is running in this process already. Call jray.shutdown() first, "
                "or pass ignore_reinit_error=True to go on with the one that runs."
            )
            raise RuntimeError(msg)
        amounts = {"CPU": usable_cpus() if num_cpus is None else options.num_cpus}
        gpus = usable_gpus() if num_gpus is None else num_gpus
        amounts |= {"GPU": float(gpus)} if gpus else {}
        amounts |= options.resources
        zygote = Zygote()  # first: it starts up while we import the engine
        from jray.runtime.embedded import EmbeddedBackend

        runtime = EmbeddedBackend(amounts, zygote, store, seed)
        backend.install(runtime)
        for callback in _on_init:
            callback(runtime)
    return RuntimeInfo({"resources": amounts})


def shutdown() -> None:
    """End all tasks and worker processes. Does nothing when no runtime is running. Values you have stay valid."""
    with _init_lock:
        runtime = backend.installed()
        if runtime is None:
            return
        runtime.close()
        backend.install(None)


def is_initialized() -> bool:
    """Whether a runtime serves this process."""
    return backend.installed() is not None


@overload
def remote(function: Callable[..., Any], /) -> RemoteFunction[..., Any]: ...
@overload
def remote(**options: Any) -> Callable[[Callable[..., Any]], RemoteFunction[..., Any]]: ...
def remote(*functions: Any, **options: Any) -> Any:
    """Make a function remote: `@jray.remote`, or `@jray.remote(num_cpus=2, ...)`.

    Args:
        *functions: the one function, when used without parentheses.
        **options: see TaskOptions: num_cpus, num_gpus, resources, num_returns, max_retries, name, read_only, seed.

    Raises:
        TypeError, ValueError: not a function, or an option that is refused.
    """
    if len(functions) == 1 and not options:
        return make_remote(functions[0], TaskOptions())
    if functions or not options:
        msg = (
            "jray.remote was refused. It takes one function, or options by name, and got something else. "
            "Write @jray.remote, or @jray.remote(num_cpus=2)."
        )
        raise TypeError(msg)
    merged = TaskOptions().merged(options)
    return lambda function: make_remote(function, merged)


def get(refs: Any, *, timeout: float | None = None, read_only: bool | None = None) -> Any:
    """The value of a reference, or the list of values of a list of references; waits for them.

    Args:
        refs: an ObjectRef, or a list of them (duplicates are allowed).
        timeout: seconds to wait; 0 looks once; None waits for ever.
        read_only: whether arrays of 64 KiB and more come so that they can't be written; None: as `init` said, or in a
            task as its option says.

    Raises:
        TaskError: a task raised; also an instance of the class of its exception.
        WorkerCrashedError: a task's process ended and its retries are used up.
        GetTimeoutError: the time is over; the tasks go on.
        TypeError, ValueError: what was given is no reference.
    """
    deadline = _deadline("get", timeout)
    is_one = isinstance(refs, ObjectRef)
    if not is_one:
        if not isinstance(refs, list):
            raise ValueError(f"Invalid type of object refs: {no_refs('get', refs)}")
        _check_refs("get", refs)
        if not refs:
            return []
    try:
        values = backend.current().fetch([refs] if is_one else refs, deadline, read_only=read_only)
    except JrayError as error:
        raise error.with_traceback(None)  # noqa: B904 - the same; what went on in here is not the user's business
    return values[0] if is_one else values


def put(value: Any) -> ObjectRef[Any]:
    """Store a value as it is now, for tasks to use. Large arrays go to shared memory, once.

    Raises:
        TypeError: the value is a reference, or can't be pickled.
    """
    if isinstance(value, ObjectRef):
        msg = "put was given an ObjectRef. What it refers to is stored already. Use the reference itself."
        raise TypeError(msg)
    return backend.current().put(value)


def wait(
    refs: Any,
    *,
    num_returns: int = 1,
    timeout: float | None = None,
    fetch_local: bool = True,  # noqa: ARG001 - Ray's; here everything is local
) -> tuple[list[ObjectRef[Any]], list[ObjectRef[Any]]]:
    """Wait until some of the references are there.

    Args:
        refs: a list of different references.
        num_returns: how many to wait for.
        timeout: seconds to wait; 0 looks once; None waits for ever.
        fetch_local: for Ray programs; without effect.

    Returns:
        (ready, rest), both in the order given; ready has at most `num_returns`. A failed task counts as ready.

    Raises:
        TypeError, ValueError: not a list of different references, or numbers out of range.
    """
    global _last_rest  # noqa: PLW0603 - see _mark_of
    if not isinstance(refs, list):
        raise TypeError(no_refs("wait", refs))
    deadline = None if timeout is None else _deadline("wait", timeout)
    if _last_rest != _mark_of(refs):
        _check_refs("wait", refs)
        if len({ref._id for ref in refs}) != len(refs):  # noqa: SLF001 - the runtime's own; integers hash fast
            msg = "wait was given the same ObjectRef twice. Each is there once or not. Use list(dict.fromkeys(refs))."
            raise ValueError(msg)
    if not refs:
        return [], []
    if isinstance(num_returns, bool) or not isinstance(num_returns, int):
        msg = f"wait was given num_returns={num_returns!r}. It is no whole number. Give one from 1 to {len(refs)}."
        raise TypeError(msg)
    if not 1 <= num_returns <= len(refs):
        msg = (
            f"wait was asked for num_returns={num_returns} of {len(refs)} refs. So many can't become ready. "
            f"Give a number from 1 to {len(refs)}."
        )
        raise ValueError(msg)
    runtime = backend.current()
    positions = runtime.there(refs, num_returns)
    if len(positions) < num_returns:
        there = runtime.wait(refs, num_returns, deadline).ready
        found = (position for position, ref in enumerate(refs) if ref._id in there)  # noqa: SLF001
        positions = list(islice(found, num_returns))
    if len(positions) == 1:  # the usual case, of perhaps thousands
        (position,) = positions
        ready, rest = [refs[position]], refs[:position] + refs[position + 1 :]
    else:
        chosen = set(positions)
        ready = [refs[position] for position in positions]
        rest = [ref for position, ref in enumerate(refs) if position not in chosen]
    _last_rest = _mark_of(rest)
    return ready, rest


_last_rest: tuple[int, ...] = ()


def _mark_of(refs: list[Any]) -> tuple[int, ...]:
    """Tells the list that `wait` has returned last from others, without holding it: nothing in it is checked again.

    If this ever takes another list for it, a mistake in that is told less well, no more.
    """
    return (id(refs), len(refs), id(refs[0]), id(refs[-1])) if refs else ()


def cluster_resources() -> dict[str, float]:
    """All resources of the runtime, name -> amount."""
    return dict(backend.current().resources().total)


def available_resources() -> dict[str, float]:
    """The resources that no task holds now; one that is used up is absent."""
    return dict(backend.current().resources().available)


def on_init(callback: Callable[[EmbeddedBackend], None]) -> Callable[[], None]:
    """For the notebook's rooms: call back at each start of a runtime, and now if one is running.

    Returns:
        A function that ends this.
    """
    _on_init.append(callback)
    runtime = running()
    if runtime is not None:
        callback(runtime)
    return lambda: _on_init.remove(callback)


def running() -> EmbeddedBackend | None:
    """For the notebook's rooms: the runtime in this process, if there is one."""
    runtime = backend.installed()
    return cast("EmbeddedBackend", runtime) if runtime is not None and runtime.name == "jray" else None


def _check_gpus(number: float) -> None:
    TaskOptions().merged({"num_gpus": number})
    if number % 1:
        msg = f"jray.init(num_gpus={number!r}) was refused. A machine has whole GPUs only. Give a whole number."
        raise ValueError(msg)
    visible = visible_gpus()
    if visible is not None and number > len(visible):
        msg = (
            f"jray.init(num_gpus={number!r}) was refused. CUDA_VISIBLE_DEVICES, as it is here, names {len(visible)}. "
            "Change the variable, or ask for at most that many."
        )
        raise ValueError(msg)


def _check_refs(who: str, refs: Sequence[Any]) -> None:
    for position, ref in enumerate(refs):
        if not isinstance(ref, ObjectRef):
            raise TypeError(no_ref(who, position, ref))


def _deadline(who: str, timeout: object) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        msg = f"{who} was given timeout={timeout!r}. It is no number of seconds. Give 0 or more, or None."
        raise TypeError(msg)
    seconds = float(timeout)
    if not seconds >= 0:  # not a number is not, either
        msg = f"{who} was given timeout={timeout!r}. Time does not run backwards. Give 0 or more seconds, or None."
        raise ValueError(msg)
    if seconds > threading.TIMEOUT_MAX:
        return None  # past what the system's clocks can say: for ever
    return time.monotonic() + seconds


def _first_use() -> backend.Backend:
    with _init_lock:
        if backend.installed() is None:
            init()
    return backend.current()


def _forget_in_child() -> None:
    """In a fork of this process: the runtime is the parent's; the first use here starts another one."""
    global _init_lock  # noqa: PLW0603 - another thread of the parent may have held it
    _init_lock = threading.RLock()
    runtime = running()
    if runtime is not None:
        runtime.forget()
        backend.install(None)


backend.set_factory(_first_use)
atexit.register(shutdown)
os.register_at_fork(after_in_child=_forget_in_child)
