"""Performs what the scheduler decides about memory: who may write, what is moved, and what the system gets back.

The engine's lock is held meanwhile. The copying itself is the mover's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jray.runtime import wire
from jray.runtime.core import messages as m
from jray.runtime.core.memory import StoreLimits
from jray.runtime.engine.books import Books
from jray.runtime.engine.mover import Copied, Mover, gaps_between
from jray.runtime.engine.room import RoomDesk
from jray.runtime.ids import KERNEL, Block, WorkerId
from jray.runtime.pool.worker_pool import WorkerPool


class Storekeeper:
    """Grants, moves, gives back."""

    def __init__(self, books: Books, pool: WorkerPool, mover: Mover, desk: RoomDesk, limits: StoreLimits) -> None:
        """`desk` answers the threads of this process."""
        self._books, self._pool, self._mover, self._desk, self._limits = books, pool, mover, desk, limits
        self._keep_warm = limits.warm

    def handlers(
        self, send: Callable[[WorkerId, Sequence[Any]], None], send_on_control: Callable[[WorkerId, Any], None]
    ) -> Iterator[tuple[type, Callable[[Any], None]]]:
        """What is done for which instruction; workers are told by `send` and `send_on_control`."""

        def answer(process: WorkerId, number: int, text: str, *, is_for_disk: bool) -> None:
            if process == KERNEL:
                self._desk.answer(number, text, is_for_disk=is_for_disk)
            else:
                send_on_control(process, wire.RoomTold(number, is_for_disk, text))

        def allow(order: m.Allow) -> None:
            if order.process == KERNEL:
                self._desk.allowance.add(order.size)
            else:
                send(order.process, [wire.Allowed(order.size)])

        def keep_warm(order: m.KeepWarm) -> None:
            self._keep_warm = order.size
            for worker in list(self._pool.handles):
                send(worker, [wire.KeepWarm(order.size)])

        yield m.GrantRoom, lambda order: answer(order.process, order.request, "", is_for_disk=False)
        yield m.RefuseRoom, lambda o: answer(o.process, o.request, o.text, is_for_disk=o.is_for_disk)
        yield m.Allow, allow
        yield m.KeepWarm, keep_warm
        yield m.SpillObject, self._spill
        yield m.MoveToDisk, self._move_to_disk
        yield m.LoadObject, self._load

    def take_in(self, copied: Copied) -> m.Event:
        """What the mover has done, as an event."""
        now = time.monotonic()
        if copied.is_on_disk:
            if copied.stored is not None:
                self._books.note_copy(copied.object, copied.stored)
            return m.ObjectSpilled(now, copied.object, copied.error)
        if copied.stored is not None:
            self._books.move_to_memory(copied.object, copied.stored)
        return m.ObjectLoaded(now, copied.object, copied.stored is not None)

    def terms(self) -> list[Any]:
        """What a new worker is told first."""
        return [wire.Allowed(self._limits.standing), wire.KeepWarm(self._keep_warm)]

    def trim(self) -> None:
        """Give the kernel's free pages back, if there are more than it should keep."""
        arena = self._books.arena
        if arena is not None and arena.resident_free_bytes > self._keep_warm:
            self._mover.trim(arena, self._keep_warm)

    def bury(self, worker: WorkerId) -> None:
        """A worker is gone: what it has written and not reported is nobody's."""
        memory = self._pool.arenas.get(worker)
        if memory is not None:
            gaps = gaps_between(self._books.blocks_of(worker), os.fstat(memory.number).st_size)
            self._mover.give_back(memory, gaps)

    def give_back_of_the_dead(self, worker: WorkerId, blocks: Sequence[Block]) -> None:
        """Blocks are free in the arena of a worker that is gone."""
        self._mover.give_back(self._pool.arenas[worker], [(block.offset, block.length) for block in blocks])

    def _spill(self, order: m.SpillObject) -> None:
        if order.object in self._books.copies:
            self._mover.confirm(order.object)
            return
        stored = self._books.values[order.object]
        assert stored.block is not None  # noqa: S101 - the scheduler knows its size
        arena = stored.block.arena
        memory = self._books.memory_of(arena) if arena == KERNEL else self._pool.arenas[arena]
        self._mover.spill(order.object, stored, memory)

    def _move_to_disk(self, order: m.MoveToDisk) -> None:
        self._books.move_to_disk(order.object)

    def _load(self, order: m.LoadObject) -> None:
        self._mover.load(order.object, self._books.values[order.object], self._books.own_arena)
