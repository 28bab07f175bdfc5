"""The engine's door for other threads: what they post is handled by whoever holds the engine's lock.

Everything in here only appends to a queue, so that finalizers may use it at any moment.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from jray.runtime.core import messages as m
from jray.runtime.engine.books import Books
from jray.runtime.engine.mover import Copied
from jray.runtime.ids import KERNEL, ObjectId
from jray.runtime.store.mapping import ended, unmap_ended

DRIVE_EVERY = 64  # events that can't start anything now are handled in batches of this size


class Inbox:
    """Keeps order: a drop is handled after everything that was posted before it."""

    def __init__(self, books: Books, wake: Callable[[], None]) -> None:
        """`wake` makes the IO thread look in here; it is safe everywhere."""
        self._books, self._wake = books, wake
        self.events: deque[m.Event] = deque()  # without refs and copies
        # Refs that were made. One value may hold thousands: so ids, and no Python function in between.
        self._taken: deque[ObjectId] = deque()
        self.retain = self._taken.append
        self._dropped: deque[ObjectId] = deque()  # finalizers of refs append here
        self._copied: deque[Copied] = deque()  # the mover appends here
        self.post = self.events.append
        self.note_copied = self._copied.append

    def __bool__(self) -> bool:
        """Whether there is anything to handle."""
        return bool(self.events or self._taken or self._dropped or self._copied)

    def release(self, object_id: ObjectId) -> None:
        """One ref less. Wakes the IO thread when much memory can be freed."""
        self._dropped.append(object_id)
        stored = self._books.values.get(object_id)
        if (stored is not None and stored.block is not None) or len(self._dropped) % DRIVE_EVERY == 0:
            self._wake()

    def take_view(self, object_id: ObjectId) -> None:
        """One view more will exist in this process. It counts as a ref, too."""
        self.retain(object_id)
        self.post(m.ViewsTaken(time.monotonic(), KERNEL, (object_id,)))

    def drop_view(self, object_id: ObjectId) -> None:
        """The view could not be made after all."""
        self.post(m.ViewsDropped(time.monotonic(), KERNEL, (object_id,)))
        self.release(object_id)

    def take_all(self, events: list[m.Event], take_in: Callable[[Copied], m.Event]) -> None:
        """Add all that is in here to the events; `take_in` says what a copy means.

        Looked into against their order: what has ended by now was taken before, and what was taken was posted before.
        """
        views = tuple(unmap_ended()) if ended else ()
        gone = _all_of(self._dropped) if self._dropped else ()
        taken = _all_of(self._taken) if self._taken else ()
        posted = self.events
        while posted:
            events.append(posted.popleft())
        if taken:
            events.append(m.RefsTaken(time.monotonic(), KERNEL, taken))
        if views:
            events.append(m.ViewsDropped(time.monotonic(), KERNEL, views))
        if views or gone:
            events.append(m.RefsDropped(time.monotonic(), KERNEL, views + gone))
        while self._copied:
            events.append(take_in(self._copied.popleft()))

    def clear(self) -> None:
        """Nobody will handle it."""
        self.events.clear()
        self._taken.clear()
        self._dropped.clear()
        self._copied.clear()


def _all_of(queue: deque[ObjectId]) -> tuple[ObjectId, ...]:
    """What is in it now; others go on appending."""
    return tuple([queue.popleft() for _ in range(len(queue))])
