"""The runtime that lives in this process: a Call becomes a spec and a payload, and goes to the engine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import count
from pickle import dumps
from typing import TYPE_CHECKING, Any

from jray.exceptions import GetTimeoutError, ObjectLostError
from jray.runtime.backend import Call, Readiness, ResourceView, Where
from jray.runtime.core.memory import StoreLimits
from jray.runtime.core.messages import Resized, RestartAsked, TaskSpec
from jray.runtime.core.resources import CPU, cpus_in, shape_of
from jray.runtime.core.views import SchedulerView
from jray.runtime.engine import Engine, Sink
from jray.runtime.engine.books import Maker, TaskBody, lost_object, parked_objects
from jray.runtime.engine.pictures import Pictures
from jray.runtime.futures import Futures
from jray.runtime.here import Here
from jray.runtime.ids import DISK, KERNEL, ObjectId, id_source, returned_object
from jray.runtime.interrupts import shielded
from jray.runtime.large_values import LargeValues, pack_arguments, pack_plain
from jray.runtime.object_ref import ObjectRef, owner_of, uncounted
from jray.runtime.pool.worker_pool import WorkerPool
from jray.runtime.pool.zygote import Zygote
from jray.runtime.prepared import Prepared
from jray.runtime.seeds import OF_ROOT, derived_seed
from jray.runtime.serde.code import Code, pack_code
from jray.runtime.serde.kinds import kind_of
from jray.runtime.serde.values import ATOMS, Packed, pack, unpack
from jray.runtime.setting_up import Preparation, prepare, run_on_all
from jray.runtime.store.allowance import Room
from jray.runtime.store.objects import Reader, StoredValue, store
from jray.runtime.system import usable_memory
from jray.runtime.wire import Parcel
from jray.store_options import STORE_SHARE, StoreOptions

if TYPE_CHECKING:
    from concurrent.futures import Future

_next_id = id_source(KERNEL)  # of the process, not of the session: refs of an earlier session never meet their likes


class EmbeddedBackend:
    """Serves the jray API in the user's own process."""

    name = "jray"

    def __init__(
        self, resources: Mapping[str, float], zygote: Zygote, store: StoreOptions, seed: int | None = None
    ) -> None:
        """Start with these resources ("CPU" among them); `zygote` is ours from now on. `seed` is that of all tasks."""
        memory = int(usable_memory() * STORE_SHARE) if store.memory is None else store.memory
        processes = math.ceil(resources["CPU"]) + 1
        limits = StoreLimits.of(memory, store.spilling_limit, processes)
        self._engine = Engine(shape_of(resources), WorkerPool(zygote), limits, store.spilling_directory)
        self.here = Here(self._engine)
        self._seed = seed
        self._next_number = count().__next__  # of a task, for its seed
        self._read_only = store.read_only  # what the user did not say otherwise
        self.large = LargeValues(self._put_large, self._is_stored, lambda: self.current_origin())  # noqa: PLW0108 - it is set later
        self._reader = Reader(self._engine.memory_of, self._engine.inbox)
        self._futures = Futures(self._engine.when_ready, lambda ref: self.fetch([ref], None)[0])
        self.current_origin: Callable[[], int] = lambda: 0  # which cell submits; the kernel's rooms set it
        self.on_map: Callable[[str, Sequence[ObjectRef[Any]]], None] = lambda *_: None  # likewise; it must be quick
        self.retain = self._engine.inbox.retain
        self.release = self._engine.inbox.release
        self.take_view = self._engine.inbox.take_view
        self.recount = self._engine.recount
        self._engine.guard.ensure_installed()

    # ---- tasks and values

    def submit(self, call: Call) -> list[ObjectRef[Any]]:
        """As in Backend."""
        self._engine.guard.ensure_installed()
        callee, args, kwargs = call.callee, call.args, call.kwargs
        code = callee.form.current()
        if code is None:
            code = pack_code(callee.function, callee.form, f"Function {callee.name}", self.large.watch)
        if not args and not kwargs:
            return self._submit(call, code, b"", None, ())
        plain = pack_plain(args, kwargs)
        if plain is not None:
            return self._submit(call, code, plain[0], None, plain[1])
        args, kwargs, payload = pack_arguments(args, kwargs, callee.name, self.large)
        needs = tuple([a._id for a in (*args, *kwargs.values()) if type(a) is ObjectRef])  # noqa: SLF001
        return self._submit(call, code, payload, self._engine.claim(payload), needs)

    @shielded
    def _submit(
        self, call: Call, code: Code, payload: Packed | bytes, room: Room | None, needs: tuple[ObjectId, ...]
    ) -> list[ObjectRef[Any]]:
        callee, task, seed = call.callee, _next_id(), call.seed
        if self._seed is not None and call.is_counted:
            number = self._next_number()  # also of one that has a seed: it changes nothing for the others
            seed = derived_seed(OF_ROOT, self._seed, number) if seed is None else seed
        prepared: Prepared | None = callee.prepared
        surroundings, origin = self.here.surroundings(), self.current_origin()
        if prepared is None or not prepared.holds(code, surroundings, origin):
            prepared = callee.prepared = Prepared(callee, code, surroundings, origin, read_only=self._read_only)
        pins, body = prepared.pins, prepared.body
        parcel: Parcel
        if isinstance(payload, bytes):
            parcel = payload
            pins += needs
        else:
            parcel, payload_pins = self._park(payload, room, "arguments of", callee.name)
            pins += payload_pins
        if parcel or seed is not None:
            body = TaskBody(prepared.recipe, parcel, needs, seed)
        template = prepared.recipe.template
        spec = TaskSpec(task, template, needs + parked_objects(code, parcel), pins)
        self._engine.submit(spec, body)
        if isinstance(parcel, int):
            self.release(ObjectId(parcel))  # the task pins it
        if template.num_returns == 1:
            first: ObjectId = task  # type: ignore[assignment] # see ids.returned_object
            return [ObjectRef(first, self)]
        return [ObjectRef(returned_object(task, index), self) for index in range(template.num_returns)]

    def _park(self, packed: Packed, room: Room | None, what: str, name: str) -> tuple[Parcel, tuple[ObjectId, ...]]:
        """Arguments as they travel, and what they pin: small ones themselves, large ones as an object."""
        stored = store(packed, self._engine.books.own_arena, room)
        if stored.block is None:
            return stored.head or b"", packed.refs
        object_id = ObjectId(_next_id())
        self._engine.books.note_maker(object_id, f"{what} {name}", self.current_origin())
        self._engine.put(object_id, stored, packed.refs)
        return object_id, (object_id,)

    def put(self, value: object) -> ObjectRef[Any]:
        """As in Backend."""
        self._engine.guard.ensure_installed()
        if type(value) in ATOMS:
            return self._keep(StoredValue(False, dumps(value, 5), None, (), kind_of(value)), (), "put")  # noqa: FBT003
        packed = pack(value, "The value given to put")
        return self._put(packed, self._engine.claim(packed), kind_of(value), "put")

    def _put_large(self, value: Any, packed: Packed, what: str) -> ObjectRef[Any]:
        return self._put(packed, self._engine.claim(packed), kind_of(value), what)

    @shielded
    def _put(self, packed: Packed, room: Room | None, kind: str, what: str) -> ObjectRef[Any]:
        return self._keep(store(packed, self._engine.books.own_arena, room, kind), packed.refs, what)

    @shielded
    def _keep(self, stored: StoredValue, contains: tuple[ObjectId, ...], what: str) -> ObjectRef[Any]:
        object_id: ObjectId = _next_id()  # type: ignore[assignment] # see ids.returned_object
        self._engine.books.note_maker(object_id, what, self.current_origin())
        self._engine.put(object_id, stored, contains)
        return ObjectRef(object_id, self)

    def fetch(
        self, refs: Sequence[ObjectRef[Any]], deadline: float | None, *, read_only: bool | None = None
    ) -> list[Any]:
        """As in Backend."""
        self._engine.guard.ensure_installed()
        objects = self._check_owned(refs)
        values = self._engine.books.values
        if not all(map(values.__contains__, objects)):
            self._await(objects, len(objects), deadline, until_failure=True)
            for object_id in objects:  # a failure may be there before the rest
                stored = values.get(object_id)
                if stored is not None and stored.failed:
                    self._reader.read(object_id, stored)  # raises
            self._complain_if_missing(objects)
        read_only = self._read_only if read_only is None else read_only
        found = []
        for ref in refs:
            stored = values.get(ref._id)  # noqa: SLF001
            if stored is None or stored.failed or stored.block is not None:
                found.append(self._read(ref._id, read_only=read_only))  # noqa: SLF001
            else:
                found.append(unpack(stored.head or b"", ()))
        return found

    def _read(self, object_id: ObjectId, *, read_only: bool) -> Any:
        values = self._engine.books.values
        stored = values.get(object_id) or lost_object(object_id)
        if stored.block is None:
            return self._reader.read(object_id, stored)
        return self._reader.load(object_id, *self._view(object_id, read_only=read_only), read_only=read_only)

    def _is_stored(self, object_id: ObjectId, packed: Packed) -> bool:
        stored = self._engine.books.values.get(object_id)
        if stored is None or stored.block is None:
            return False
        return self._reader.holds(object_id, *self._view(object_id, read_only=True), packed)

    @shielded
    def _view(self, object_id: ObjectId, *, read_only: bool) -> tuple[StoredValue, memoryview[Any] | None]:
        """Where it is, and a view of it there: see Books.move_to_disk."""
        books = self._engine.books
        books.looking.append(None)
        try:
            stored = books.values.get(object_id) or lost_object(object_id)
            if stored.block is not None and stored.block.arena == DISK:  # the scheduler should know that it was wanted
                self._engine.inbox.take_view(object_id)
                self._engine.inbox.drop_view(object_id)
            return stored, self._reader.view(object_id, stored, read_only=read_only)
        finally:
            books.looking.pop()
            if books.has_retired:
                self._engine.wake()

    def there(self, refs: Sequence[ObjectRef[Any]], count: int) -> list[int]:
        """As in Backend."""
        values, found = self._engine.books.values, []
        for position, ref in enumerate(refs):
            if ref._owner is not self:  # noqa: SLF001 - `wait` will tell what it is
                return []
            if ref._id in values:  # noqa: SLF001
                found.append(position)
                if len(found) == count:
                    break
        return found

    def wait(self, refs: Sequence[ObjectRef[Any]], count: int, deadline: float | None) -> Readiness:
        """As in Backend."""
        self._engine.guard.ensure_installed()
        objects = self._check_owned(refs)
        if sum(map(self._engine.books.values.__contains__, objects)) < count:
            self._await(objects, count, deadline, until_failure=False)
        self._raise_if_broken()
        values = self._engine.books.values
        return Readiness(frozenset(object_id for object_id in objects if object_id in values))

    def _await(self, objects: Sequence[ObjectId], count: int, deadline: float | None, *, until_failure: bool) -> None:
        """Block until enough is there or the time is up. KeyboardInterrupt goes through; the tasks go on."""
        delivery = self._engine.begin_wait(objects, count, until_failure=until_failure)
        if delivery is None:
            return
        try:
            delivery.wait(None if deadline is None else deadline - time.monotonic())
        finally:
            self._engine.end_wait(delivery)

    def _check_owned(self, refs: Sequence[ObjectRef[Any]]) -> list[ObjectId]:
        """The ids, each once. A ref of a runtime that was shut down is an error."""
        objects = []
        for ref in refs:
            if ref._owner is not self and owner_of(ref) is not self:  # noqa: SLF001
                self._reader.read(ref._id, lost_object(ref._id))  # noqa: SLF001 - raises
            objects.append(ref._id)  # noqa: SLF001
        return objects if len(objects) == 1 else list(dict.fromkeys(objects))

    def _raise_if_broken(self) -> None:
        if self._engine.error is not None:
            raise type(self._engine.error)(str(self._engine.error))

    def _complain_if_missing(self, objects: list[ObjectId]) -> None:
        values = self._engine.books.values
        missing = [object_id for object_id in objects if object_id not in values]
        if not missing:
            return
        self._raise_if_broken()
        if self._engine.is_closed:
            self._reader.read(missing[0], lost_object(missing[0]))  # raises
        why = self._engine.pictures.explain(missing[0]) or "the first of them has just come"
        number = f"{len(missing)} of {len(objects)} objects are" if len(objects) > 1 else "the object is"
        msg = (
            f"get gave up after its time-out: {number} not there yet ({why}). The tasks go on. "
            "Call get again with more time or none, or look at %jray status."
        )
        raise GetTimeoutError(msg)

    # ---- what is there

    def future(self, ref: ObjectRef[Any]) -> Future[Any]:
        """As in Backend. The value is loaded in a thread of ours, never in the IO thread."""
        return self._futures.future_of(ref)

    def when_ready(self, ref: ObjectRef[Any], callback: Callable[[], None]) -> None:
        """Call back once, from any thread, when the ref's object is there. The callback must be quick."""
        self.when_there(ref._id, callback)  # noqa: SLF001

    def when_there(self, object_id: ObjectId, callback: Callable[[], None]) -> None:
        """The same for who holds no ref. If the object was freed, it is never there."""
        self._engine.when_ready(object_id, callback)

    def has_come(self, ref: ObjectRef[Any]) -> bool:
        """Whether the ref's object is there: a value or an error."""
        return ref._owner is self and not self._engine.is_closed and ref._id in self._engine.books.values  # noqa: SLF001

    def has_failed(self, ref: ObjectRef[Any]) -> bool:
        """Whether the ref's object is an error, or can't come any more."""
        try:
            owner = owner_of(ref)
        except ObjectLostError:
            return True
        if owner is not self or self._engine.is_closed:
            return True
        stored = self._engine.books.values.get(ref._id)  # noqa: SLF001
        return stored is not None and stored.failed

    def owns(self, ref: ObjectRef[Any]) -> bool:
        """Whether this runtime counts the ref, which keeps its object alive."""
        return ref._owner is self and not self._engine.is_closed  # noqa: SLF001

    def maker_of(self, ref: ObjectRef[Any]) -> Maker | None:
        """Where the ref's object comes from; None when that is not known any more."""
        return self._engine.pictures.maker_of(ref._id)  # noqa: SLF001

    def uncounted(self, ref: ObjectRef[Any], lost: str) -> ObjectRef[Any]:
        """A ref to the same object that does not keep it alive; `lost` is the error for a use that comes too late."""
        return uncounted(ref._id, self, lost)  # noqa: SLF001

    # ---- pictures

    def resources(self) -> ResourceView:
        """As in Backend."""
        self._raise_if_broken()
        return self._engine.pictures.resources()

    def view(self) -> SchedulerView:
        """A picture of the whole runtime."""
        self._raise_if_broken()
        return self._engine.pictures.view()

    @property
    def pictures(self) -> Pictures:
        """What those look at who show something."""
        return self._engine.pictures

    @property
    def turns(self) -> int:
        """Grows whenever something has happened; looking costs nothing."""
        return self._engine.turns

    @property
    def is_over(self) -> bool:
        """Whether it was shut down, or broke."""
        return self._engine.is_closed or self._engine.error is not None

    def where(self) -> Where:
        """As in Backend."""
        return Where(worker=KERNEL, task=None, task_name=None, resources={}, gpus=(), seed=None)

    # ---- the pool

    def resize(self, cpus: float) -> None:
        """There are so many CPUs from now on. Running tasks keep what they hold."""
        self._engine.pool_desk.change(Resized(time.monotonic(), cpus_in(shape_of({CPU: cpus}))))

    @shielded
    def restart(self, *, now: bool) -> None:
        """New workers take the place of all that there are; of busy ones when their task is done, or `now`.

        Raises:
            OSError: the system refuses another process. Nothing has changed.
        """
        zygote = Zygote()
        try:
            self._engine.pool_desk.change(RestartAsked(time.monotonic(), now), zygote)
        except BaseException:
            zygote.close()
            raise

    def run_on_all(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], key: Hashable
    ) -> None:
        """Run a function once in every worker; see setting_up.run_on_all."""
        self._engine.guard.ensure_installed()
        run_on_all(self, self.here, Preparation(function, args, kwargs, key, self.current_origin()))

    def prepare_workers(self, function: Callable[[], object]) -> None:
        """The same for jray's own rooms: does not wait for the workers that are there."""
        prepare(self, self.here, Preparation(function, (), {}, function, self.current_origin()))

    def guard_interrupts(self) -> None:
        """Another cell begins: take over SIGINT again, and forget a press that came too late for the last one."""
        self._engine.guard.forget_interrupt()
        self._engine.guard.ensure_installed()

    def show_output_with(self, sink: Sink) -> None:
        """Say who shows what tasks print."""
        self._engine.sink = sink

    def forget(self) -> None:
        """In a fork of this process: let go of everything without ending it."""
        self._engine.forget()

    def close(self) -> None:
        """As in Backend."""
        self.large.close()
        self._engine.close()
        self._futures.close()
