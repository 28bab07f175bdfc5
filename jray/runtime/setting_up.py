"""`run_on_all`: a function that prepares every worker for its tasks. It travels whole, with no part in the store."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from jray.exceptions import WorkerCrashedError
from jray.options import TaskOptions
from jray.runtime.backend import Backend, Call, Callee
from jray.runtime.engine.set_ups import SetUp
from jray.runtime.here import Here
from jray.runtime.interrupts import LOOK_S
from jray.runtime.object_ref import ObjectRef
from jray.runtime.serde.code import PackedForm, pack_code
from jray.runtime.serde.errors import unpack_error
from jray.runtime.serde.values import Packed, pack
from jray.runtime.wire import Pickle, SetUp as SetUpMessage

LARGEST = 16 << 20  # bytes: every worker, also each that comes later, is sent all of it


class Preparation(NamedTuple):
    """What is to be run in every worker."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    key: Hashable  # which function it is: the same one again takes its place
    origin: int  # the cell that it is called in


def run_on_all(backend: Backend, here: Here, preparation: Preparation) -> None:
    """Run a function once in every worker: in those that are there now, in others before their first task.

    Returns when those that are there have run it. If there are none, one is started.

    Raises:
        TypeError: something can't be pickled.
        ValueError: it is too large to be sent to every worker.
        TaskError: it raised in one of those workers. Then it is not kept for others.
        WorkerCrashedError: there was no worker, and the one that was started died of it. It is not kept either.
    """
    refs = [a for a in (*preparation.args, *preparation.kwargs.values()) if isinstance(a, ObjectRef)]
    if refs:
        backend.wait(refs, len(set(refs)), None)  # in there it must not wait
    set_up = _packed(backend, here, preparation)
    here.desk.begin_set_up(set_up)
    try:
        while not set_up.is_over.wait(LOOK_S):
            pass  # see interrupts.acquire: a signal may be overlooked
        if not set_up.has_run:  # nobody was there, or they have ended: somebody must try it, and tell
            callee = Callee(bool, TaskOptions(), (), set_up.message.name, "jray.run_on_all", PackedForm())
            first = backend.submit(Call(callee, (), {}, is_counted=False))
            backend.wait(first, 1, None)
            if not set_up.error:
                backend.fetch(first, None)
    except WorkerCrashedError:
        set_up.has_killed = True  # else every later worker would die of it, until the runtime is shut down
        raise
    finally:
        here.desk.end_set_up(set_up)
    if set_up.error:
        raise unpack_error(set_up.error)


def prepare(backend: Backend, here: Here, preparation: Preparation) -> None:
    """The same without waiting: for what can't fail. A worker in which it does is replaced."""
    set_up = _packed(backend, here, preparation)
    here.desk.begin_set_up(set_up)
    here.desk.end_set_up(set_up)


def _packed(backend: Backend, here: Here, preparation: Preparation) -> SetUp:
    function, args, kwargs, key, origin = preparation
    name = getattr(function, "__qualname__", repr(function)).rpartition("<locals>.")[2]
    code = pack_code(function, PackedForm(), f"Function {name}")
    arguments = pack((args, kwargs), f"An argument of {name}")
    size = code.nbytes + arguments.nbytes
    if size > LARGEST:
        msg = (
            f"jray.run_on_all was refused {name}. With its arguments it takes {size / 2**20:,.0f} MiB, and each worker "
            f"is sent all of it; {LARGEST >> 20} MiB is the limit. Give large values as references: jray.put(value)."
        )
        raise ValueError(msg)
    number = here.desk.set_ups.next_number()
    message = SetUpMessage(number, name, origin, tuple(code), _whole(arguments), is_condition=False)
    inner: list[ObjectRef[Any]] = []  # for workers to come
    for object_id in (*code.refs, *arguments.refs):
        backend.retain(object_id)
        inner.append(ObjectRef(object_id, backend))
    return SetUp(key, message, here.surroundings(), keeps=(function, inner))


def _whole(packed: Packed) -> Pickle:
    return packed.head, tuple(bytes(buffer) for buffer in packed.buffers)
