"""Where the user's thread changes the pool: how many CPUs there are, which processes, and what prepares those."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from jray.runtime.core import messages as m
from jray.runtime.core.scheduler import Scheduler
from jray.runtime.engine.listener import Listener
from jray.runtime.engine.performer import Performer
from jray.runtime.engine.set_ups import SetUp
from jray.runtime.interrupts import shielded
from jray.runtime.pool.worker_pool import WorkerPool
from jray.runtime.pool.zygote import Zygote


class Access(NamedTuple):
    """What the engine lends: its lock, its scheduler's ear, and who must not wait."""

    locked: Callable[[], AbstractContextManager[None]]
    handle: Callable[[list[m.Event]], None]
    refuse_to_wait: Callable[[], None]
    why_closed: Callable[[], Exception | None]


class PoolDesk:
    """Everything in here takes the engine's lock."""

    def __init__(
        self, scheduler: Scheduler, pool: WorkerPool, listener: Listener, performer: Performer, access: Access
    ) -> None:
        """All of it is the engine's."""
        self._scheduler, self._pool, self._listener, self._performer = scheduler, pool, listener, performer
        self._access = access
        self.set_ups = performer.set_ups

    @shielded
    def change(self, event: m.Resized | m.RestartAsked, zygote: Zygote | None = None) -> None:
        """Tell the scheduler what the user wants. New workers come from the zygote, if there is one.

        Raises:
            JrayError: the engine is broken, or the runtime was shut down.
        """
        with self._access.locked():
            self._raise_if_closed()
            if zygote is not None:
                self._listener.renew_zygote(zygote)
            self._access.handle([event])

    @shielded
    def begin_set_up(self, set_up: SetUp) -> None:
        """Run a function in all workers to come, and in those that are there; its caller waits for these.

        Raises:
            JrayError: the engine is broken, or the runtime was shut down.
            RuntimeError: the thread that would hear of it must not wait for it.
        """
        self._access.refuse_to_wait()
        with self._access.locked():
            self._raise_if_closed()
            there = [worker.id for worker in self._scheduler.placement.workers.values() if not worker.is_retired]
            self.set_ups.begin(set_up, [worker for worker in there if worker in self._pool.handles])
            for worker in set_up.waits_for:
                self._performer.set_up(worker, set_up)

    @shielded
    def end_set_up(self, set_up: SetUp) -> None:
        """Its caller waits no more."""
        with self._access.locked():
            self.set_ups.end(set_up)

    def _raise_if_closed(self) -> None:
        error = self._access.why_closed()
        if error is not None:
            raise error
