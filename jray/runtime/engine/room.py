"""Threads of this process that wait for room in the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import count

from jray.runtime.core import messages as m
from jray.runtime.engine.inbox import Inbox
from jray.runtime.ids import KERNEL
from jray.runtime.interrupts import shielded
from jray.runtime.store.allowance import Allowance, Room, RoomRequest, refusal


class RoomDesk:
    """Asks the scheduler, and hands out its answers."""

    def __init__(
        self,
        inbox: Inbox,
        standing: int,
        *,
        wake: Callable[[], None],
        drive: Callable[[], None],
        refuse_to_wait: Callable[[], None],
        why_closed: Callable[[], Exception | None],
    ) -> None:
        """Nobody waits.

        `drive` has the inbox handled, `wake` a little later, too; `refuse_to_wait` raises in threads that must not
        wait; `why_closed` is what everybody gets when the runtime has ended.
        """
        self.allowance = Allowance(self._ask, wake, standing)  # of this process
        self._inbox, self._drive, self._why_closed = inbox, drive, why_closed
        self._refuse_to_wait = refuse_to_wait
        self.is_anybody_gone = False  # a thread that waited; the scheduler may not know it yet
        self._waiting: dict[int, RoomRequest] = {}
        self._next_number = count(1).__next__

    def _ask(self, size: int) -> Room:
        self._refuse_to_wait()
        number, request = self._begin(size)
        try:
            return request.wait()
        except BaseException:
            self._stop(number)
            raise

    @shielded
    def _begin(self, size: int) -> tuple[int, RoomRequest]:
        number, request = self._next_number(), RoomRequest(size)
        self._waiting[number] = request
        self._inbox.post(m.RoomAsked(time.monotonic(), KERNEL, number, size))
        why = self._why_closed()  # asked after the request is listed: either we see the end, or it sees the request
        if why is not None:
            self.refuse_all(why)
        self._drive()
        return number, request

    @shielded
    def _stop(self, number: int) -> None:
        """The thread has been interrupted, or was refused."""
        if number in self._waiting:
            self.is_anybody_gone = True
            self._inbox.post(m.RoomAbandoned(time.monotonic(), KERNEL, number))
            self._drive()

    # ---- with the engine's lock held

    def return_excess(self) -> None:
        """What was granted and not used is for others."""
        size = self.allowance.take_excess()
        if size:
            self._inbox.post(m.RoomReturned(time.monotonic(), KERNEL, size))

    def answer(self, number: int, text: str, *, is_for_disk: bool) -> None:
        """The scheduler's decision: room, if there is no text. If the thread has gone away, the allowance gets it."""
        request = self._waiting.pop(number, None)
        if request is None:
            return  # the runtime is ending, and it was refused
        if text:
            request.refuse(refusal(text, is_for_disk=is_for_disk))
        else:
            request.grant(self.allowance)

    def forget_gone(self, events: Iterable[m.Event]) -> None:
        """The scheduler has heard this: who went away is not waited for any more."""
        for event in events:
            if type(event) is m.RoomAbandoned:
                self._waiting.pop(event.request, None)
        self.is_anybody_gone = False

    def refuse_all(self, error: Exception) -> None:
        """There will be no room: the runtime has ended."""
        while self._waiting:
            self._waiting.popitem()[1].refuse(error)
