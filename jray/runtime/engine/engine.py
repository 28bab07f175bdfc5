"""The engine: one lock around the scheduler, one IO thread that reads, and an inbox for everybody else.

State is touched only under the lock, and nobody is called with it held. Whoever finds the lock taken leaves the event
in the inbox and goes: the holder looks into the inbox again after releasing. So `submit` costs microseconds, and the
order of events is the order of the inbox.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from jray.exceptions import JrayError
from jray.runtime import wire
from jray.runtime.core import messages as m
from jray.runtime.core.lines import LINE_BUDGET_S
from jray.runtime.core.memory import StoreLimits
from jray.runtime.core.scheduler import Scheduler
from jray.runtime.engine.books import Books, TaskBody
from jray.runtime.engine.endings import broken, closed
from jray.runtime.engine.hearing import Heard
from jray.runtime.engine.inbox import DRIVE_EVERY, Inbox
from jray.runtime.engine.listener import Listener
from jray.runtime.engine.mover import Copied, Mover
from jray.runtime.engine.performer import Performer
from jray.runtime.engine.pictures import Pictures
from jray.runtime.engine.pool_desk import Access, PoolDesk
from jray.runtime.engine.room import RoomDesk
from jray.runtime.engine.sink import ConsoleSink, Sink
from jray.runtime.engine.storekeeper import Storekeeper
from jray.runtime.ids import KERNEL, ObjectId, Shape, WorkerId
from jray.runtime.interrupts import InterruptGuard, refuse_finalizers, shielded
from jray.runtime.pool.worker_pool import WorkerPool
from jray.runtime.serde.values import Packed
from jray.runtime.store.allowance import Room
from jray.runtime.store.mapping import leave_to_owner, take_over
from jray.runtime.store.objects import StoredValue, room_for
from jray.runtime.system import Descriptor
from jray.runtime.waiters import Delivery, Waiters

logger = logging.getLogger("jray")

_SLOW_S = 2 * LINE_BUDGET_S  # so much in workers' lines says that this process is slow to answer
_next_worker = count(1).__next__  # of the process: references of an earlier runtime never meet their likes


class Engine:
    """Runs the scheduler for this process. Use it through EmbeddedBackend."""

    def __init__(self, total: Shape, pool: WorkerPool, limits: StoreLimits, spill_directory: Path | None) -> None:
        """Start the IO thread."""
        self.sink: Sink = ConsoleSink()
        self.books, self.scheduler = Books(), Scheduler(total, _next_worker, limits)
        self.is_closed = False
        self.turns = 0  # grows whenever something has happened: who shows something looks whether it has
        self._is_down = False  # closed, and all of it is gone
        self.error: JrayError | None = None  # what broke it, if anything did
        self._lock = threading.RLock()  # only to notice a finalizer that comes back: see refuse_finalizers
        self._waiters = Waiters()
        self._after: list[Callable[[], None]] = []  # to be called when the lock is free again
        self._pool = pool
        self._listener = Listener(self._pool, self.books)
        self.wake = self._listener.wake  # makes the IO thread look into the inbox
        self.guard = InterruptGuard(self._listener.wake)
        self.inbox = Inbox(self.books, self._listener.wake)
        self._mover = Mover(spill_directory, self.books, self._note_copied)
        self._desk = RoomDesk(
            self.inbox,
            limits.standing,
            wake=self._listener.wake,
            drive=self.drive,
            refuse_to_wait=self._refuse_to_wait,
            why_closed=self._why_closed,
        )
        self._keeper = Storekeeper(self.books, pool, self._mover, self._desk, limits)
        self._performer = Performer(
            self.scheduler, self.books, pool, self._listener, self._waiters, self._keeper, self._after, self._warn
        )
        access = Access(self.locked, self._handle, self._refuse_to_wait, self._why_closed)
        self.pool_desk = PoolDesk(self.scheduler, self._pool, self._listener, self._performer, access)
        self.pictures = Pictures(self.scheduler, self.books, self._pool, self.locked)
        leave_to_owner(self._listener.wake)
        self._thread = threading.Thread(target=self._run, name="jray-io", daemon=True)
        self._thread.start()

    # ---- called by any thread

    @shielded
    def submit(self, spec: m.TaskSpec, body: TaskBody) -> None:
        """A task of this process."""
        self.books.bodies[spec.task] = body
        inbox = self.inbox
        inbox.post(m.TaskSubmitted(time.monotonic(), spec))
        placement = self.scheduler.placement  # read without the lock: a wrong guess costs a little time, no more
        can_start = placement.has_free_cpus or not body.recipe.takes_cpus
        # Perhaps a request that can never be met: the user should hear.
        is_news = spec.template.shape not in placement.queues
        if can_start or is_news or len(inbox.events) % DRIVE_EVERY == 0:
            self.drive()

    @shielded
    def put(self, object_id: ObjectId, stored: StoredValue, contains: tuple[ObjectId, ...]) -> None:
        """A value of this process."""
        self.books.values[object_id] = stored
        if stored.block is not None:
            self.books.uncounted.append(stored)
        self.inbox.post(m.ObjectPut(time.monotonic(), object_id, KERNEL, contains, stored.shared_bytes))
        if stored.block is not None or len(self.inbox.events) % DRIVE_EVERY == 0:
            self.drive()

    def claim(self, packed: Packed) -> Room | None:
        """As `room_for`. RuntimeError: the thread that would bring the answer must not wait for it."""
        return room_for(packed, self._desk.allowance)

    def _note_copied(self, copied: Copied) -> None:
        self.inbox.note_copied(copied)
        self.drive()

    def _why_closed(self) -> Exception | None:
        return self.error or (closed() if self.is_closed else None)

    def _refuse_to_wait(self) -> None:
        refuse_finalizers(self._lock)
        if threading.current_thread() is self._thread:
            msg = (
                "jray was asked to wait by the thread that brings results: by a finalizer, or by what shows output. "
                "That thread would wait for itself. Call jray somewhere else."
            )
            raise RuntimeError(msg)

    @shielded
    def recount(self, object_id: ObjectId) -> bool:
        """One ref more in this process to an object that may have been freed; False: it has been.

        After the end it is not asked: whoever uses the ref then hears that the runtime is gone.
        """
        with self.locked():  # what was dropped before is handled: whether it is gone does not depend on luck
            if self.is_closed:
                return True
            is_there = object_id in self.scheduler.references.objects
            if is_there:
                self.inbox.retain(object_id)
                self._handle([])
            return is_there

    @shielded
    def begin_wait(self, objects: Sequence[ObjectId], count: int, *, until_failure: bool) -> Delivery | None:
        """Start to wait for `count` of the objects; None when there is nothing to wait for.

        Raises:
            RuntimeError: the thread that would bring them must not wait for them.
        """
        self._refuse_to_wait()
        with self.locked():
            values = self.books.values
            missing = [object_id for object_id in objects if object_id not in values]
            short = count - (len(objects) - len(missing))
            has_failed = until_failure and any(o in values and values[o].failed for o in objects)
            if short <= 0 or has_failed or self.error is not None or self.is_closed:
                return None
            delivery = Delivery(missing, short, until_failure=until_failure)
            self._waiters.add(delivery)
        self._listener.end_nap()
        return delivery

    @shielded
    def end_wait(self, delivery: Delivery) -> None:
        """The thread does not wait any more."""
        if self._waiters.waits(delivery):
            with self.locked():
                self._waiters.remove(delivery)

    @shielded
    def when_ready(self, object_id: ObjectId, callback: Callable[[], None]) -> None:
        """Call back once, from any thread, when the object is there. The callback must be quick."""
        with self.locked():
            if object_id in self.books.values or self.error is not None or self.is_closed:
                self._after.append(callback)
            else:
                self._waiters.add_callback(object_id, callback)
                self._listener.end_nap()

    def memory_of(self, arena: WorkerId) -> Descriptor:
        """What an arena can be read through.

        Raises:
            ObjectLostError: the runtime was shut down by another thread.
        """
        memory = self._pool.arenas.get(arena)
        if memory is not None:
            return memory
        if self.is_closed:
            raise closed()
        return self.books.memory_of(arena)

    @shielded
    def drive(self) -> None:
        """Handle what is in the inbox, unless somebody else is at it."""
        lock, inbox = self._lock, self.inbox
        while inbox and not lock._is_owned():  # type: ignore[attr-defined] # noqa: SLF001
            if not lock.acquire(blocking=False):
                return
            try:
                self._handle([])
            finally:
                lock.release()
            if self._after:
                self._call_back()

    @contextlib.contextmanager
    def locked(self) -> Any:
        """The lock, with everything in the inbox handled."""
        refuse_finalizers(self._lock)
        with self._lock:
            self._handle([])
            yield
        self._call_back()
        self.drive()

    # ---- with the lock held

    def _handle(self, events: list[m.Event]) -> None:
        """Give the scheduler all that is known, and perform what it decides."""
        if self.error is not None or self.is_closed:
            self.inbox.clear()
            return
        while self.books.uncounted:
            self.books.count_block(self.books.uncounted.popleft())
        if self._desk.allowance.added:
            self._desk.return_excess()
        self.inbox.take_all(events, self._keeper.take_in)
        if not events:
            return
        self.turns += 1
        try:
            self._performer.perform(self.scheduler.handle(events))
        except Exception as error:  # noqa: BLE001 - a bug of ours; everybody who waits must hear of it
            self._break(error)
        self._tidy(events)

    def _tidy(self, events: list[m.Event]) -> None:
        """What no instruction says: what a batch of events has left behind."""
        books = self.books
        if books.staged:
            books.discard_stale()
        if books.has_retired:
            books.give_back_retired()
        if books.freed:
            self._performer.tell_freed()
        if self._desk.is_anybody_gone:
            self._desk.forget_gone(events)
        if books.arena is not None:
            self._keeper.trim()

    def _break(self, error: BaseException) -> None:
        logger.critical("jray's engine broke.", exc_info=error)
        self.error = error if isinstance(error, JrayError) else broken(error)
        self._after += self._waiters.release_all()
        self._desk.refuse_all(self.error)
        self.pool_desk.set_ups.release_all()

    def _current_task(self, worker: WorkerId) -> tuple[int, str, int]:
        """(id, name, origin) of what a worker runs now: for output that came through a pipe."""
        set_up = self.pool_desk.set_ups.running_in(worker)
        if set_up is not None:
            return 0, set_up.name, set_up.origin
        record = self.scheduler.placement.workers.get(worker)
        if record is None or record.lease is None:
            return 0, "", 0
        task = next(iter(record.lease.line))
        body = self.books.bodies.get(task)
        return (task, *body.recipe.maker) if body is not None else (0, "", 0)

    # ---- the IO thread

    def _run(self) -> None:
        while not self.is_closed:  # a turn may have taken the wake-up call of `close` for another's
            if (budget_s := self.scheduler.placement.lines.budget_s) > _SLOW_S and self._may_nap():
                self._listener.nap(budget_s / 4)
            ready = self._listener.poll()
            try:
                self._turn(ready)
            except Exception as error:  # noqa: BLE001 - the thread must not die without a word
                with self._lock:
                    self._break(error)
                self._call_back()
                return
            if self.guard.is_postponed:
                time.sleep(0.0005)  # the main thread is in the books now; let it get out
                self.guard.deliver()

    def _may_nap(self) -> bool:
        """Whether a cell computes, from which each turn takes the GIL, and nobody waits for anything."""
        is_waited_for = (
            self._waiters.is_anybody_there
            or self.scheduler.memory.requests
            or self.pool_desk.set_ups.is_anybody_waiting
        )
        return not is_waited_for and self.scheduler.placement.is_well_supplied

    def _turn(self, ready: list[tuple[int, int]]) -> None:
        with self._lock:
            if self.is_closed:
                return
            heard = self._listener.hear(ready, time.monotonic(), self._current_task)
            if not heard.outputs:
                self._take_in(heard)
        if heard.outputs:
            for output in heard.outputs:  # before the results: what a task printed is seen before its result
                self._show(output)
            with self._lock:
                self._take_in(heard)
        if self._after:
            self._call_back()
        if self.inbox:
            self.drive()

    def _take_in(self, heard: Heard) -> None:
        if heard.reports:
            self.books.stage(heard.reports, heard.blocks)  # with their events: what is not published now is stale
        for handle, done in heard.set_ups:
            if self.pool_desk.set_ups.note(handle.worker, done):
                heard.events.append(m.WorkerSpoiled(time.monotonic(), handle.worker))
        self._handle(heard.events)
        for worker in heard.gone:
            self._performer.forget_worker(worker)
            self.pool_desk.set_ups.forget(worker)
        for handle, asked in heard.unseen:
            self._performer.show_again(handle, asked.arena)
        if heard.questions and self.error is None and not self.is_closed:
            now = self.pictures.resources_now()
            for handle, question in heard.questions:
                told = wire.ResourcesTold(question.request, dict(now.total), dict(now.available))
                self._performer.tell_resources(handle, told)

    def _show(self, output: Any) -> None:
        try:
            self.sink.show(output)
        except Exception:  # a closed stdout must not end the engine
            logger.exception("The output of task %s could not be shown.", output.task)

    def _warn(self, text: str) -> None:
        self.sink.warn(text)  # whoever shows output now: it may have changed since the start

    def _call_back(self) -> None:
        """Call, without the lock, what is to be called."""
        while self._after:
            try:
                callback = self._after.pop(0)
            except IndexError:  # another thread was faster
                return
            try:
                callback()
            except Exception:  # it is not ours; neither the engine nor the user's submit may end by it
                logger.exception("A callback or warning of jray's failed.")

    # ---- the end

    def close(self) -> None:
        """End all processes and let everybody go who waits. After an interrupt, call it again."""
        with self._lock:
            self.is_closed = True
            self._after += self._waiters.release_all()
            self._desk.refuse_all(closed())
            self.pool_desk.set_ups.release_all()
        self._listener.wake()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._call_back()
        self._tear_down()
        self.guard.deliver()

    @shielded
    def _tear_down(self) -> None:
        if self._is_down:
            return
        self._listener.close()
        self._mover.close()
        self._pool.close()
        self.books.close()
        take_over()
        self.guard.uninstall()
        self._is_down = True

    def forget(self) -> None:
        """In a fork of this process: the runtime belongs to the parent."""
        if not self.is_closed:
            self.is_closed = True
            self._lock = threading.RLock()
            self._listener.close()
            self._pool.forget()
            self.guard.uninstall()
