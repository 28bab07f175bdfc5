"""Runs one attempt: bytes to function and arguments, call, results to bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pickle import dumps
from typing import Any

from jray.exceptions import JrayError, SetUpError, TaskCancelledError, TaskError, WorkerCrashedError
from jray.runtime import backend, wire
from jray.runtime.ids import ObjectId
from jray.runtime.large_values import with_values
from jray.runtime.object_ref import ObjectRef
from jray.runtime.serde.code import Code
from jray.runtime.serde.errors import pack_error, pack_own_error
from jray.runtime.serde.kinds import kind_of
from jray.runtime.serde.results import NamedResults, Raised
from jray.runtime.serde.values import ATOMS, pack, unpack
from jray.runtime.store.objects import Reader, StoredValue, room_for, store
from jray.runtime.surroundings import Seen
from jray.runtime.worker.context import Context
from jray.runtime.worker.definitions import no_large_value
from jray.runtime.worker.link import Link
from jray.runtime.worker.output import flush_output
from jray.runtime.worker.randomness import RandomState
from jray.runtime.worker.surroundings import TaskSurroundings


class Executor:
    """The main thread's work."""

    def __init__(
        self, link: Link, reader: Reader, context: Context, surroundings: TaskSurroundings, worker: str
    ) -> None:
        """`worker` is how errors call this worker: "w1 (pid 71)", or nothing."""
        self._link, self._reader, self._context, self._worker = link, reader, context, worker
        self._surroundings, self._random = surroundings, RandomState()
        self._definitions = link.definitions
        self._unfit: tuple[str, BaseException] | None = None  # which set-up function failed here, and why

    def run(self, run: wire.Runs, attempt: wire.Attempt) -> None:
        """Run an attempt and report it."""
        task, number, _, _, _, seed = attempt
        self._context.enter(run, task, number, seed)
        began = time.perf_counter()
        stored: list[StoredValue] = []
        try:
            self._surroundings.enter(self._link.surroundings, run.origin, run.shape)
            began = time.perf_counter()
            contains = self._run_and_store(run, attempt, stored)
            raised = False
        except BaseException as error:  # noqa: BLE001 - whatever the user's code raises is its result
            self._take_back(stored)
            stored, contains, raised = [self._stored_error(error)], (), True
        self._definitions.leave()
        flush_output()
        now = time.perf_counter()
        link = self._link
        if len(stored) == 1 and not raised and not contains and link.may_gather(run, now):
            failed, head, block, _, kind = stored[0]
            if not failed and block is None and link.gather((task, number, now - began, head or b"", kind)):
                return
        results = tuple([value.to_wire() for value in stored])
        link.post(wire.Done(task, number, raised, now - began, results, contains))
        link.flush()

    def set_up(self, order: wire.SetUp) -> None:
        """Run a function that prepares this process for tasks, and report it."""
        self._context.enter_set_up(order)
        if self._random.is_seeded:
            self._random.apply(None)
        packed = b""
        try:
            self._surroundings.enter(self._link.surroundings, order.origin)
            before = Seen()
            function = self._definitions.enter_whole(Code(*order.code))
            args, kwargs = _unpack_whole(order.arguments)
            function(*map(_fetched, args), **{name: _fetched(arg) for name, arg in kwargs.items()})
            self._surroundings.keep_since(before)
        except BaseException as error:  # noqa: BLE001 - whatever the user's code raises
            packed = self._stored_error(error).head or b""
            if order.is_condition:
                self._unfit = order.name, error
        self._definitions.leave()
        flush_output()
        self._context.leave_set_up()
        self._link.post(wire.SetUpDone(order.number, order.name, order.origin, packed, order.is_condition))

    def _run_and_store(
        self, run: wire.Runs, attempt: wire.Attempt, stored: list[StoredValue]
    ) -> tuple[tuple[ObjectId, ...], ...]:
        """The results go into `stored`, one by one; returned are the refs in each."""
        if self._unfit is not None:
            self._refuse(*self._unfit)
        *_, seed = attempt
        if seed is not None or self._random.is_seeded:
            self._random.apply(seed)
        result = self._call(run, attempt)
        if type(result) in ATOMS and run.num_returns == 1:  # what most tasks return that are many
            stored.append(StoredValue(False, dumps(result, 5), None, (), kind_of(result)))  # noqa: FBT003
            return ()
        names: Sequence[str] | None = None
        if type(result) is NamedResults:
            result, names = result
        results = self._split(result, run)
        contains: list[tuple[ObjectId, ...]] = []
        for index, result in enumerate(results):
            if names is not None:
                what = f"{names[index]}, a result of {run.name},"
            else:
                what = f"The result of {run.name}" if run.num_returns == 1 else f"Result {index} of {run.name}"
            value, refs = self._store_result(result, what)
            stored.append(value)
            contains.append(refs)
        return tuple(contains) if any(contains) else ()

    def _refuse(self, set_up: str, why: BaseException) -> None:
        msg = (
            f"Task {self._context.name} did not run. The function {set_up}, which jray.run_on_all runs in every worker "
            f"before its first task, failed in this one: {type(why).__name__}: {why}. Correct it, and give it to "
            "jray.run_on_all again."
        )
        raise SetUpError(msg) from why

    def _take_back(self, stored: list[StoredValue]) -> None:
        """These results will not be reported: a later one ended the attempt."""
        for value in stored:
            if value.block is not None:
                self._link.arena.free(value.block.offset)
                self._link.allowance.add(value.block.length)

    def _call(self, run: wire.Runs, attempt: wire.Attempt) -> Any:
        function = self._function(run)
        _, _, payload, payload_id, arguments, _ = attempt
        if payload is None:
            return function()
        read = partial(self._reader.read, read_only=run.read_only)
        packed = unpack(payload, ()) if isinstance(payload, bytes) else read(ObjectId(payload_id), _stored(payload))
        values = {object_id: read(object_id, _stored(wired)) for object_id, wired in arguments} if arguments else {}
        args, kwargs = with_values(packed, values)
        return function(*args, **kwargs)

    def _function(self, run: wire.Runs) -> Callable[..., Any]:
        if not run.captured:
            return self._definitions.enter(run.code, no_large_value)
        loaded: dict[int, Any] = {}  # each once, however many things hold it

        def captured(number: int) -> Any:
            if number not in loaded:
                object_id, wired = run.captured[number]
                stored = _stored(wired)
                loaded[number] = self._reader.read(object_id, stored, read_only=run.read_only)
            return loaded[number]

        return self._definitions.enter(run.code, captured)

    def _split(self, result: Any, run: wire.Runs) -> list[Any]:
        """The results, one for each ref."""
        if run.num_returns == 1:
            return [result]
        if run.num_returns == 0:
            return []
        is_many = isinstance(result, Iterable) and not isinstance(result, ObjectRef)
        results = list(result) if is_many else None
        if results is None or len(results) != run.num_returns:
            got = f"{len(results)} values" if results is not None else f"one {type(result).__name__}"
            msg = (
                f"Task {run.name} returned {got}. It was asked for num_returns={run.num_returns}, so it must return "
                f"an iterable of exactly that many. Change its return statement or its num_returns."
            )
            raise ValueError(msg)
        return results

    def _store_result(self, result: Any, what: str) -> tuple[StoredValue, tuple[ObjectId, ...]]:
        """A result that can't be stored fails its own ref only."""
        if isinstance(result, Raised):
            return self._stored_error(result.error), ()
        try:
            packed = pack(result, what)
            room = room_for(packed, self._link.allowance)
            return store(packed, lambda: self._link.arena, room, kind_of(result)), packed.refs
        except Exception as error:  # noqa: BLE001 - not picklable, or no memory: it is the result
            return self._stored_error(error), ()

    def _stored_error(self, error: BaseException) -> StoredValue:
        name, kind = self._context.name, type(error).__name__
        if isinstance(error, SystemExit):
            text = f"Task {name} called sys.exit({error.code!r}). A task can't end its worker. Return or raise instead."
            packed, kind = pack_own_error(WorkerCrashedError(text)), WorkerCrashedError.__name__
        elif isinstance(error, KeyboardInterrupt):
            text = (
                f"Task {name} was cancelled. It was ended by KeyboardInterrupt in its worker. Run it again if you like."
            )
            packed, kind = pack_own_error(TaskCancelledError(text)), TaskCancelledError.__name__
        elif isinstance(error, JrayError) and not isinstance(error, TaskError) and error.__traceback__ is None:
            packed = pack_own_error(error)
        else:
            packed = pack_error(error, task=name, worker=self._worker, origin=self._context.origin)
        return StoredValue(True, packed, None, (), kind)  # noqa: FBT003 - a named field


_stored = StoredValue.from_wire


def _unpack_whole(pickled: wire.Pickle) -> Any:
    head, buffers = pickled
    return unpack(head, [memoryview(bytearray(buffer)) for buffer in buffers])


def _fetched(argument: Any) -> Any:
    """The value of a ref; anything else as it is."""
    return backend.current().fetch([argument], None)[0] if type(argument) is ObjectRef else argument
