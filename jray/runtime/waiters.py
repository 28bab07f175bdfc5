"""Who in this process waits for which object. The engine's lock guards it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from jray.runtime.ids import ObjectId
from jray.runtime.interrupts import acquire


class Delivery:
    """One thread's wait: a plain lock that is released when enough is there.

    Made anew for each wait: after an interrupted `get` an old lock could still be released by a late delivery and wake
    a later one too early (seen in a sketch: 650 wrong answers in one run).
    """

    __slots__ = ("_lock", "is_listed", "missing", "short", "until_failure")

    def __init__(self, missing: Iterable[ObjectId], short: int, *, until_failure: bool) -> None:
        """Wait until `short` of the missing objects are there, or one of them failed and that is enough."""
        self.missing = dict.fromkeys(missing)
        self.short = short
        self.until_failure = until_failure
        self.is_listed = False  # some list of Waiters has it
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self, timeout_s: float | None) -> None:
        """Block, without the GIL, until delivered or the time is up. KeyboardInterrupt goes through."""
        acquire(self._lock, timeout_s)

    def hit(self, object_id: ObjectId, *, failed: bool) -> bool:
        """An object has come. True when the wait is over by it."""
        if object_id not in self.missing:
            return False
        del self.missing[object_id]
        self.short -= 1
        return self.short <= 0 or (failed and self.until_failure)

    def release(self) -> None:
        """Let the thread go on."""
        if self._lock.locked():
            self._lock.release()


class Waiters:
    """Deliveries and callbacks by object."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._deliveries: dict[ObjectId, dict[Delivery, None]] = {}
        self._callbacks: dict[ObjectId, list[Callable[[], None]]] = {}

    def add(self, delivery: Delivery) -> None:
        """A thread waits."""
        delivery.is_listed = True
        for object_id in delivery.missing:
            self._deliveries.setdefault(object_id, {})[delivery] = None

    def remove(self, delivery: Delivery) -> None:
        """It doesn't any more."""
        delivery.is_listed = False
        for object_id in delivery.missing:
            found = self._deliveries.get(object_id)
            if found is not None:
                found.pop(delivery, None)
                if not found:
                    del self._deliveries[object_id]

    def add_callback(self, object_id: ObjectId, callback: Callable[[], None]) -> None:
        """Somebody wants to be called when the object is there."""
        self._callbacks.setdefault(object_id, []).append(callback)

    def deliver(self, object_id: ObjectId, *, failed: bool) -> list[Callable[[], None]]:
        """The object is there. What is returned is called when no lock is held."""
        for delivery in self._deliveries.pop(object_id, ()):
            if delivery.hit(object_id, failed=failed):
                self.remove(delivery)
                delivery.release()
        return self._callbacks.pop(object_id, [])

    def release_all(self) -> list[Callable[[], None]]:
        """Nothing will come any more: everybody goes on and finds out why."""
        for found in self._deliveries.values():
            for delivery in found:
                delivery.release()
        self._deliveries.clear()
        callbacks = [callback for found in self._callbacks.values() for callback in found]
        self._callbacks.clear()
        return callbacks
