"""Who in this process waits for which object. The engine's lock guards it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from jray.runtime.ids import ObjectId
from jray.runtime.interrupts import acquire


class Delivery:
    """One thread's wait: a plain lock that is released when enough is there.

    Made anew for each wait: after an interrupted `get` an old lock could still be released by a late delivery and wake
    a later one too early (seen in a sketch: 650 wrong answers in one run).
    """

    __slots__ = ("_lock", "missing", "short", "until_failure")

    def __init__(self, missing: Iterable[ObjectId], short: int, *, until_failure: bool) -> None:
        """Wait until `short` of the missing objects are there, or one of them failed and that is enough."""
        self.missing = set(missing)
        self.short = short
        self.until_failure = until_failure
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self, timeout_s: float | None) -> None:
        """Block, without the GIL, until delivered or the time is up. KeyboardInterrupt goes through."""
        acquire(self._lock, timeout_s)

    def hit(self, objects: Sequence[ObjectId], failed: Sequence[ObjectId]) -> bool:
        """These objects have come, some of them as failures. True when the wait is over by it."""
        missing = self.missing
        has_failed = self.until_failure and any(object_id in missing for object_id in failed)
        before = len(missing)
        missing.difference_update(objects)
        self.short -= before - len(missing)
        return self.short <= 0 or has_failed

    def release(self) -> None:
        """Let the thread go on."""
        if self._lock.locked():
            self._lock.release()


class Waiters:
    """Who waits: threads, few at a time, each perhaps for many objects; and callbacks by object."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._deliveries: dict[Delivery, None] = {}
        self._callbacks: dict[ObjectId, list[Callable[[], None]]] = {}

    def add(self, delivery: Delivery) -> None:
        """A thread waits."""
        self._deliveries[delivery] = None

    def remove(self, delivery: Delivery) -> None:
        """It doesn't any more."""
        self._deliveries.pop(delivery, None)

    @property
    def is_anybody_there(self) -> bool:
        """Whether a thread waits now, or somebody wants to be called back."""
        return bool(self._deliveries or self._callbacks)

    def waits(self, delivery: Delivery) -> bool:
        """Whether it is still waiting."""
        return delivery in self._deliveries

    def add_callback(self, object_id: ObjectId, callback: Callable[[], None]) -> None:
        """Somebody wants to be called when the object is there."""
        self._callbacks.setdefault(object_id, []).append(callback)

    def deliver(self, objects: Sequence[ObjectId], failed: Sequence[ObjectId] = ()) -> Sequence[Callable[[], None]]:
        """The objects are there. What is returned is called when no lock is held."""
        if self._deliveries:
            for delivery in [delivery for delivery in self._deliveries if delivery.hit(objects, failed)]:
                del self._deliveries[delivery]
                delivery.release()
        if not self._callbacks:
            return ()
        return [callback for object_id in objects for callback in self._callbacks.pop(object_id, ())]

    def release_all(self) -> list[Callable[[], None]]:
        """Nothing will come any more: everybody goes on and finds out why."""
        for delivery in self._deliveries:
            delivery.release()
        self._deliveries.clear()
        callbacks = [callback for found in self._callbacks.values() for callback in found]
        self._callbacks.clear()
        return callbacks
