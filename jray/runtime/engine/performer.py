"""The hands of the engine: performs what the scheduler decides. The engine's lock is held meanwhile.

A worker that is gone can't be sent anything. That is no error here: its end of file tells.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, cast

from jray.runtime import wire
from jray.runtime.core import messages as m
from jray.runtime.core.scheduler import Scheduler
from jray.runtime.engine.books import ENDED_BY_RESTART, Books, lost_object
from jray.runtime.engine.listener import Listener
from jray.runtime.engine.set_ups import SetUp, SetUps
from jray.runtime.engine.storekeeper import Storekeeper
from jray.runtime.ids import ObjectId, WorkerId
from jray.runtime.pool.worker_pool import Handle, WorkerPool
from jray.runtime.surroundings import Surroundings
from jray.runtime.waiters import Waiters


class Performer:
    """Sends, publishes, frees. What calls others is put off until no lock is held."""

    def __init__(  # noqa: PLR0917 - all that the engine is made of
        self,
        scheduler: Scheduler,
        books: Books,
        pool: WorkerPool,
        listener: Listener,
        waiters: Waiters,
        keeper: Storekeeper,
        after: list[Callable[[], None]],
        warn: Callable[[str], None],
    ) -> None:
        """`after` takes what is to be called when the lock is free; `warn` is only ever called from there."""
        self._scheduler, self._books, self._pool = scheduler, books, pool
        self._listener, self._waiters, self._after, self._warn_user = listener, waiters, after, warn
        self._keeper = keeper
        self.set_ups = SetUps()
        self._perform: dict[type, Callable[[Any], None]] = {
            m.StartWorker: self._start_worker,
            m.EndWorker: self._end_worker,
            m.KillWorker: self._kill_worker,
            m.SendTasks: self._send_tasks,
            m.RecallTasks: self._recall,
            m.PublishReport: self._publish_report,
            m.PublishReports: self._publish_reports,
            m.PublishFailure: self._publish_failure,
            m.ReplyToWait: self._reply,
            m.FreeObjects: self._free,
            m.SetTimer: self._set_timer,
            m.WarnUser: self._warn,
            **dict(keeper.handlers(self._send, self._send_on_control)),
        }

    def perform(self, instructions: Sequence[m.Instruction]) -> None:
        """Do all of it, in this order."""
        for instruction in instructions:
            self._perform[type(instruction)](instruction)

    def tell_resources(self, handle: Handle, told: wire.ResourcesTold) -> None:
        """Answer a task that asked what is there."""
        self._send_on_control(handle.worker, told)

    def show_again(self, handle: Handle, arena: WorkerId) -> None:
        """A worker had no descriptor left when it was shown this arena."""
        if arena in self._pool.arenas:
            handle.shown.discard(arena)
            self._show_arenas(handle.worker, [arena])

    def set_up(self, worker: WorkerId, set_up: SetUp) -> None:
        """Have a worker run this between two tasks."""
        handle = self._pool.handles.get(worker)
        if handle is not None:
            self._send(worker, [*self._surround(handle, set_up.surroundings), set_up.message])

    def _start_worker(self, order: m.StartWorker) -> None:
        self._listener.start(order.worker, order.gpus)
        handle = self._pool.handles.get(order.worker)
        if handle is None:
            return
        messages: list[Any] = [*self._keeper.terms()]
        for message, surroundings in self.set_ups.messages_for(order.worker):
            messages += [*self._surround(handle, surroundings), message]
        self._send(order.worker, messages)

    @staticmethod
    def _surround(handle: Handle, surroundings: Surroundings) -> Sequence[wire.Surround]:
        """What must be said to a worker before something that has these surroundings; mostly nothing."""
        if surroundings is handle.surroundings or surroundings == handle.surroundings:
            return ()
        handle.surroundings = surroundings
        return [wire.Surround(surroundings.to_wire())]

    def _end_worker(self, order: m.EndWorker) -> None:
        handle = self._pool.handles.get(order.worker)
        if handle is not None:
            handle.channel.end()

    def _kill_worker(self, order: m.KillWorker) -> None:
        handle = self._pool.handles.get(order.worker)
        if handle is not None:
            handle.why_killed = ENDED_BY_RESTART
            handle.kill()

    def _send_tasks(self, order: m.SendTasks) -> None:
        handle = self._pool.handles.get(order.worker)
        if handle is None:
            return
        messages: list[Any] = []
        for recipe, runs in self._books.run_messages(order.runs):
            messages += self._surround(handle, recipe.surroundings)
            arenas = self._books.arenas_of(runs)
            if arenas:
                self._show_arenas(order.worker, arenas)
            if not handle.code.knows(runs.code):
                messages += handle.code.teach(recipe.code)
            messages.append(runs)
        self._send(order.worker, messages)

    def _recall(self, order: m.RecallTasks) -> None:
        self._send_on_control(order.worker, wire.Recall())

    def _publish_report(self, order: m.PublishReport) -> None:
        self._deliver(self._books.publish((order.worker, order.task, order.attempt)))

    def _publish_reports(self, order: m.PublishReports) -> None:
        self._books.publish_all(order.results)
        objects = cast("list[ObjectId]", [task for task, _ in order.results])  # see ids.returned_object
        self._after += self._waiters.deliver(objects)

    def _publish_failure(self, order: m.PublishFailure) -> None:
        self._deliver(self._books.publish_failure(order.task, order.argument, order.reason))

    def _deliver(self, objects: list[ObjectId]) -> None:
        values = self._books.values
        failed = [object_id for object_id in objects if values[object_id].failed]
        self._after += self._waiters.deliver(objects, failed)

    def _reply(self, order: m.ReplyToWait) -> None:
        ask = self._books.asks.pop((order.worker, order.request), None)
        if ask is None:
            return
        values = self._books.values
        known = self._scheduler.references.objects
        there = [
            (o, values[o].to_wire() if o in values else lost_object(o).to_wire())
            for o in dict.fromkeys(ask.objects)
            if o in values or o not in known
        ]
        self._show_arenas(order.worker, [value[2][0] for _, value in there if value[2] is not None])
        if not ask.on_control:
            self._send(order.worker, [wire.Reply(order.request, tuple(there))])
            return
        for object_id, value in there:
            self._send_on_control(order.worker, wire.ReplyPart(order.request, object_id, value))
        self._send_on_control(order.worker, wire.ReplyEnd(order.request))

    def _free(self, order: m.FreeObjects) -> None:
        self._books.free(order.objects)

    def forget_worker(self, worker: WorkerId) -> None:
        """The worker is gone, and with it what it asked."""
        asks = self._books.asks
        for key in [key for key in asks if key[0] == worker]:
            del asks[key]
        if not self._drop_empty_arena(worker):
            self._keeper.bury(worker)

    def _drop_empty_arena(self, worker: WorkerId) -> bool:
        """If nothing lies in a dead worker's arena now, nothing ever will. True: it was dropped."""
        if worker in self._pool.handles or self._books.blocks_in.get(worker):
            return False
        self._books.blocks_in.pop(worker, None)
        self._pool.drop_arena(worker)
        return True

    def tell_freed(self) -> None:
        """Tell the workers which blocks of their arenas are free again."""
        freed, self._books.freed = self._books.freed, {}
        for arena, blocks in freed.items():
            if arena in self._pool.handles:
                self._send(arena, [wire.Freed(tuple(block.offset for block in blocks))])
            elif not self._drop_empty_arena(arena):
                self._keeper.give_back_of_the_dead(arena, blocks)

    def _set_timer(self, order: m.SetTimer) -> None:
        self._listener.set_timer(order.at)

    def _warn(self, order: m.WarnUser) -> None:
        self._after.append(lambda: self._warn_user(order.text))

    def _send(self, worker: WorkerId, messages: Sequence[Any]) -> None:
        handle = self._pool.handles.get(worker)
        if handle is None:
            return
        with contextlib.suppress(OSError):
            if not handle.channel.send(messages):
                self._listener.watch_for_room(handle.channel.socket.fileno())

    def _send_on_control(self, worker: WorkerId, sent: Any) -> None:
        handle = self._pool.handles.get(worker)
        if handle is None:
            return
        with contextlib.suppress(OSError):
            if not handle.control.send(sent):
                self._listener.watch_for_room(handle.control.socket.fileno())

    def _show_arenas(self, worker: WorkerId, arenas: Any) -> None:
        handle = self._pool.handles.get(worker)
        if handle is None:
            return
        for arena in arenas:
            if arena not in self._pool.arenas:  # the kernel's own, or the disk
                self._pool.arenas[arena] = self._books.memory_of(arena)
            with contextlib.suppress(OSError):
                if not self._pool.show_arena(handle, arena):
                    self._listener.watch_for_room(handle.control.socket.fileno())
