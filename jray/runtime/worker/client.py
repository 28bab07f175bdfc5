"""The backend of nested calls: what `jray.get`, `.remote()` and the others mean inside a task."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jray.exceptions import GetTimeoutError
from jray.runtime import wire
from jray.runtime.backend import Call, Callee, Readiness, ResourceView, Where
from jray.runtime.ids import UNIT, ObjectId, id_source, returned_object
from jray.runtime.large_values import LargeValues, pack_arguments, pack_plain
from jray.runtime.object_ref import ObjectRef
from jray.runtime.serde.code import Code, pack_code
from jray.runtime.serde.kinds import kind_of
from jray.runtime.serde.values import OUT_OF_BAND_BYTES, Packed, pack
from jray.runtime.store.objects import Reader, StoredValue, room_for, store
from jray.runtime.worker.context import Context
from jray.runtime.worker.link import Link
from jray.runtime.worker.surroundings import TaskSurroundings

if TYPE_CHECKING:
    from concurrent.futures import Future


class WorkerClient:
    """Talks to the engine in the kernel. One for each worker process."""

    name = "jray worker"

    def __init__(self, link: Link, context: Context, surroundings: TaskSurroundings) -> None:
        """`link` must be ready to send."""
        self._link, self._context, self._surroundings = link, context, surroundings
        self._next_id = id_source(link.worker)
        self._next_request = link.next_request
        # What was stored is not compared here: it is stored anew for each task.
        self._large = LargeValues(self._put_large, lambda *_: False, lambda: context.task)
        self.reader = Reader(link.memory_of, link)
        self.retain = link.held.retain
        self.release = link.held.release
        self.take_view = link.take_view

    def submit(self, call: Call) -> list[ObjectRef[Any]]:
        """As in Backend."""
        self._link.check_is_ours()
        callee, args, kwargs = call.callee, call.args, call.kwargs
        code = callee.form.current()
        if code is None:
            code = pack_code(callee.function, callee.form, f"Function {callee.name}", self._large.watch)
        parcel: wire.Parcel = b""
        pins = code.pins
        needs: tuple[ObjectId, ...] = ()
        plain = pack_plain(args, kwargs) if args or kwargs else (b"", ())
        if plain is not None:
            parcel, needs = plain
            pins += needs
        else:
            args, kwargs, payload = pack_arguments(args, kwargs, callee.name, self._large)
            needs = tuple([a._id for a in (*args, *kwargs.values()) if type(a) is ObjectRef])  # noqa: SLF001
            parcel, payload_pins = self._park(payload)
            pins += payload_pins
        context, options, task = self._context, callee.options, self._next_id()
        surroundings = self._surroundings.of_a_child()
        seed = call.seed if context.seed is None else context.seed_of_child(call.seed)
        submitted: wire.Submitted = task, needs, pins, parcel, seed
        what = callee, code, context.task, surroundings  # all that differs only now and then
        if not self._link.add_submitted(what, submitted):
            self._link.post_submitted(what, self._new_submit(callee, code, surroundings, submitted))
        if type(parcel) is int:
            self.release(ObjectId(parcel))  # only now: the task pins it
        results = [returned_object(task, index) for index in range(options.num_returns)]
        refs = [self._own_ref(object_id) for object_id in results]
        self._link.flush_soon()
        return refs

    def _new_submit(
        self, callee: Callee, code: Code, surroundings: wire.Wire | None, first: wire.Submitted
    ) -> wire.Submit:
        context, options = self._context, callee.options
        return wire.Submit(
            callee.name,
            callee.key,
            callee.shape,
            options.num_returns,
            options.max_retries,
            context.depth + 1,
            context.task,
            context.origin,
            tuple(code),
            context.read_only if options.read_only is None else options.read_only,
            surroundings,
            [first],
        )

    def on_map(self, name: str, refs: Sequence[ObjectRef[Any]], /) -> None:
        """As in Backend. Nobody looks on here."""

    def _park(self, packed: Packed) -> tuple[wire.Parcel, tuple[ObjectId, ...]]:
        """Arguments as they travel, and what they pin: small ones themselves, large ones as an object that we hold."""
        stored = self.store(packed)
        if stored.block is None:
            return stored.head or b"", packed.refs
        object_id = ObjectId(self._next_id())
        self._link.post(wire.Put(object_id, stored.to_wire(), packed.refs, self._context.task))
        self._link.held.adopt(object_id)
        return object_id, (object_id,)

    def store(self, packed: Packed, kind: str = "") -> StoredValue:
        """Put a packed value where it belongs; waits while the store is full. `kind` says what the value is.

        Raises:
            ObjectStoreFullError: there is no room, and there will be none.
        """
        if packed.nbytes >= OUT_OF_BAND_BYTES:
            self._link.read_what_is_there()  # a task that stores one value after the other writes over those it dropped
        return store(packed, lambda: self._link.arena, room_for(packed, self._link.allowance), kind)

    def _own_ref(self, object_id: ObjectId) -> ObjectRef[Any]:
        self._link.held.adopt(object_id)
        return ObjectRef(object_id, self)

    def put(self, value: object) -> ObjectRef[Any]:
        """As in Backend."""
        self._link.check_is_ours()
        return self._put_large(value, pack(value, "The value given to put"))

    def _put_large(self, value: Any, packed: Packed, _what: str = "put") -> ObjectRef[Any]:
        stored = self.store(packed, kind_of(value))
        object_id = ObjectId(self._next_id())
        self._link.post(wire.Put(object_id, stored.to_wire(), packed.refs, self._context.task))
        ref = self._own_ref(object_id)
        self._link.flush()
        return ref

    def fetch(
        self, refs: Sequence[ObjectRef[Any]], deadline: float | None, *, read_only: bool | None = None
    ) -> list[Any]:
        """As in Backend."""
        read_only = self._context.read_only if read_only is None else read_only
        objects = tuple(dict.fromkeys(ref._id for ref in refs))  # noqa: SLF001 - the runtime's own
        with self._reply_to(objects, len(objects), deadline, until_failure=True) as values:
            for object_id in objects:
                stored = values.get(object_id)
                if stored is not None and stored.failed:
                    self.reader.read(object_id, stored)  # raises
            missing = len(objects) - len(values)
            if missing and self._context.is_setting_up:
                raise RuntimeError(self._must_not_wait("get"))
            if missing:
                msg = (
                    f"get gave up after its time-out in task {self._context.name}: {missing} of {len(objects)} objects "
                    "are not there. The tasks that make them go on. Call get again, with more time or none."
                )
                raise GetTimeoutError(msg)
            return [self.reader.read(ref._id, values[ref._id], read_only=read_only) for ref in refs]  # noqa: SLF001

    def there(self, refs: Sequence[ObjectRef[Any]], count: int, /) -> list[int]:
        """As in Backend. Nothing is known without asking."""
        return []

    def wait(self, refs: Sequence[ObjectRef[Any]], count: int, deadline: float | None) -> Readiness:
        """As in Backend."""
        if self._context.is_setting_up:
            raise RuntimeError(self._must_not_wait("wait"))
        objects = tuple(ref._id for ref in refs)  # noqa: SLF001
        with self._reply_to(objects, count, deadline, until_failure=False) as values:
            return Readiness(frozenset(values))

    def _must_not_wait(self, what: str) -> str:
        return (
            f"jray.{what} was refused in {self._context.name}. The task that it would wait for may wait for this "
            "worker itself. Wait before you call jray.run_on_all, or in a task."
        )

    @contextmanager
    def _reply_to(
        self, objects: tuple[ObjectId, ...], count: int, deadline: float | None, *, until_failure: bool
    ) -> Iterator[dict[ObjectId, StoredValue]]:
        """What is there, when enough is there or the time is up. It stays where it is as long as this lasts."""
        self._link.refuse_to_wait()
        if self._context.is_setting_up or (deadline is not None and deadline <= time.monotonic()):
            count = 0  # just look
        request = self._next_request()
        try:
            values = self._wait_for(request, objects, count, deadline, until_failure=until_failure)
            yield values
        except BaseException:
            self._link.post(wire.ReplyRead(request))
            raise
        if any(stored.block is not None for stored in values.values()):
            self._link.post(wire.ReplyRead(request))
            self._link.flush()  # with what was mapped

    def _wait_for(
        self, request: int, objects: tuple[ObjectId, ...], count: int, deadline: float | None, *, until_failure: bool
    ) -> dict[ObjectId, StoredValue]:
        on_control = threading.current_thread() is not threading.main_thread()
        context = self._context
        if not on_control:
            self._link.hand_back()
        wait = wire.Wait(context.task, context.attempt, request, objects, count, until_failure, on_control)
        self._link.post(wait)
        self._link.flush()
        if on_control:
            return self._reply_on_control(request, deadline)
        try:
            reply = self._link.wait_for_reply(request, deadline)
        except BaseException:  # a signal handler of the task's raised
            self._give_up(request)  # or the kernel would believe for ever that we wait
            raise
        if reply is None:
            reply = self._give_up(request)
        return {object_id: StoredValue.from_wire(wired) for object_id, wired in reply.values}

    def _give_up(self, request: int) -> wire.Reply:
        """End a wait of the main thread; the reply comes when our CPUs are free again."""
        self._link.post(wire.Abandon(request))
        self._link.flush()
        reply = self._link.wait_for_reply(request, None)
        assert reply is not None  # noqa: S101 - without a deadline there always is one
        return reply

    def _reply_on_control(self, request: int, deadline: float | None) -> dict[ObjectId, StoredValue]:
        timeout_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        if self._link.wait_on_control(request, timeout_s) is None:
            self._link.post(wire.Abandon(request))
            self._link.flush()
            self._link.wait_on_control(request, None)
        return {part.object: StoredValue.from_wire(part.value) for part in self._link.take_parts(request)}

    def resources(self) -> ResourceView:
        """As in Backend."""
        request = self._next_request()
        self._link.post(wire.AskResources(request))
        self._link.flush()
        told = self._link.wait_on_control(request, None)
        assert told is not None  # noqa: S101 - it came, or we would still wait
        return ResourceView(total=told.total, available=told.available)

    def where(self) -> Where:
        """As in Backend."""
        context = self._context
        return Where(
            worker=self._link.worker,
            task=context.task,
            task_name=context.name,
            resources={name: amount / UNIT for name, amount in context.shape},
            gpus=context.gpus,
            seed=context.seed,
        )

    def future(self, ref: ObjectRef[Any]) -> Future[Any]:
        """As in Backend. Each waits in a thread of its own: tasks rarely need many."""
        from concurrent.futures import Future

        future: Future[Any] = Future()

        def wait_and_tell() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                value = self.fetch([ref], None)[0]
            except BaseException as error:  # noqa: BLE001 - it is the future's result
                future.set_exception(error)
            else:
                future.set_result(value)

        threading.Thread(target=wait_and_tell, name="jray-future", daemon=True).start()
        return future

    def close(self) -> None:
        """A task can't end the runtime that it runs in."""
        msg = (
            "jray.shutdown() was refused in a task. The runtime belongs to the notebook or script that started it. "
            "Call it there."
        )
        raise RuntimeError(msg)
