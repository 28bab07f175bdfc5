"""The sending half of this worker's line to the kernel: what is said, in which order, and how much of it together.

Reports of tasks that took a moment, and tasks that a loop submits, are gathered for a millisecond: a system call and
the kernel's turn cost more than they do. What is gathered is sent by the helper thread if the main thread has no time.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from jray.runtime import wire
from jray.runtime.ids import ObjectId
from jray.runtime.interrupts import refuse_finalizers
from jray.runtime.store.allowance import Allowance, Room
from jray.runtime.store.arena import Arena
from jray.runtime.store.journal import Journal
from jray.runtime.store.mapping import ended, leave_to_owner, unmap_ended
from jray.runtime.surroundings import Surroundings
from jray.runtime.system import WakeUp
from jray.runtime.worker.refs import HeldObjects

_GATHER_S = 0.001  # for so long after something was sent reports and submissions are gathered
_WATCH_MS = 2
_WATCHES = 8  # in a row without anything to be sent: then the helper looks no more


class Sender:
    """Says what is to be said. Any thread may; one sends at a time."""

    def __init__(self, stream: socket.socket, arena: Arena, ask_room: Callable[[int], Room]) -> None:
        """`arena` is this worker's own, and new; `ask_room` waits until so much may be written."""
        self.arena = arena
        self.held = HeldObjects()
        self.views = HeldObjects()  # those that are mapped here; each is held as well
        self.allowance = Allowance(ask_room, lambda: None)  # every flush looks for what was not used
        self.line: deque[tuple[wire.Runs, wire.Attempt, Surroundings | None]] = deque()  # that were not started
        self._stream = stream
        self._sending = threading.RLock()  # only to notice a finalizer that comes back: see flush
        self._outbox: deque[Any] = deque()
        self._flushed_at = 0.0
        self._journal = Journal(arena)
        self.last_submitted: tuple[object, wire.Submit] | None = None
        self._gathered: list[wire.Report] = []  # what is in the journal
        self._is_watched = False  # the helper looks every other moment whether something is to be sent
        self._watches_left = _WATCHES
        self.helper: threading.Thread | None = None  # who reads the control lane
        self.is_called = WakeUp()  # makes it begin to look
        self.is_inherited = False  # this process is a fork of the worker: the line is not ours
        leave_to_owner(lambda: None)  # every flush looks for them

    def disown(self) -> None:
        """In a fork that a task made (multiprocessing, say): what is said here would come from the worker's mouth."""
        self.is_inherited = True

    def check_is_ours(self) -> None:
        """Before anything is written into the arena, and before anything is sent.

        Raises:
            RuntimeError: this is a fork of the worker.
        """
        if self.is_inherited:
            msg = (
                "jray was used in a process that a task forked. Only the task's own process can talk to the runtime. "
                "Call jray there, or start jray tasks instead of processes."
            )
            raise RuntimeError(msg)

    def post(self, sent: Any) -> None:
        """Queue a message; it goes out with the next flush."""
        self._outbox.append(sent)

    def add_submitted(self, what: object, task: wire.Submitted) -> bool:
        """Add a task to the last message, if it submits the same. False: another one must be posted."""
        with self._sending:
            last, outbox = self.last_submitted, self._outbox
            if last is None or last[0] != what or not outbox or outbox[-1] is not last[1]:
                return False
            last[1].tasks.append(task)
            return True

    def post_submitted(self, what: object, sent: wire.Submit) -> None:
        """Queue a message that others may be added to which submit the same."""
        with self._sending:
            self._outbox.append(sent)
            self.last_submitted = what, sent

    def flush_soon(self) -> None:
        """Send what is queued, with what follows within a moment: a loop that submits tasks sends many at once.

        Raises:
            RuntimeError: this is a fork of the worker.
        """
        if time.perf_counter() - self._flushed_at > _GATHER_S:
            self.flush()
        else:
            self._watch()

    def may_gather(self, run: wire.Runs, now: float) -> bool:
        """Whether the report of an attempt that ends at this time (time.perf_counter) can wait for the next one's.

        Only if something was sent just now, and another attempt of the same function and cell follows: what C code
        writes must find its cell.
        """
        if now - self._flushed_at > _GATHER_S or self._outbox or self.is_inherited or self._has_news:
            return False
        try:
            following = self.line[0][0]
        except IndexError:
            return False
        return following is run or (following.name == run.name and following.origin == run.origin)

    def gather(self, report: wire.Report) -> bool:
        """Send a report with those that follow. False: there is no room for it.

        Until it is sent it is in the journal: should the next task end this process, the kernel finds it there.
        """
        with self._sending:
            if not self._journal.add(wire.report_frame(report)):
                return False
            self._gathered.append(report)
        self._watch()
        return True

    @property
    def _has_news(self) -> bool:
        held, views = self.held, self.views
        return bool(ended or held.retained or held.released or views.retained or views.released or self.allowance.added)

    def _watch(self) -> None:
        """Whatever we do next, the helper sends what is gathered when its time has come."""
        if not self._is_watched:
            self._watches_left = _WATCHES
            self._is_watched = True
            self.is_called.call()

    def flush(self) -> None:
        """Send what is queued. What we took goes before it, what we dropped after it.

        Raises:
            RuntimeError: this is a fork of the worker.
        """
        self.check_is_ours()
        if self._sending._is_owned():  # type: ignore[attr-defined] # noqa: SLF001
            self._watch()  # a finalizer runs in the middle of a flush: what it posted goes out with the next one
            return
        with self._sending:
            messages: list[Any] = []
            if self._gathered:  # they are older than all the rest
                messages.append(wire.Returned(self._gathered))
            if self._has_news:
                self._gather_with_news(messages)
            else:
                self._gather(messages)
            if self.allowance.added:
                unused = self.allowance.take_excess()
                if unused:
                    messages.append(wire.ReturnRoom(unused))
            if messages:
                self._send(messages)

    def _gather(self, messages: list[Any]) -> None:
        outbox = self._outbox
        while outbox:
            messages.append(outbox.popleft())
        self.last_submitted = None  # nothing more can be added to it, and it holds what it was made of

    def _gather_with_news(self, messages: list[Any]) -> None:
        for object_id in unmap_ended():
            self.drop_view(object_id)
        # The news first, then the outbox: a message that needs an object was posted before the object was dropped.
        taken, dropped = self.held.news()
        viewed, unviewed = self.views.news()
        if taken:
            messages.append(wire.Taken(taken))
        if viewed:
            messages.append(wire.Viewed(viewed))
        self._gather(messages)
        if unviewed:
            messages.append(wire.Unviewed(unviewed))
        if dropped:
            messages.append(wire.Dropped(dropped))

    def take_view(self, object_id: ObjectId) -> None:
        """One view more will exist in this process. It counts as a ref, too."""
        self.held.retain(object_id)
        self.views.retain(object_id)

    def drop_view(self, object_id: ObjectId) -> None:
        """There is one view less."""
        self.views.release(object_id)
        self.held.release(object_id)

    def _send(self, messages: Sequence[Any]) -> None:
        try:
            self._stream.sendall(wire.frame(messages))
        except OSError:
            os._exit(0)  # the kernel is gone, and we with it
        # Only now: a task's signal handler may raise before, and what is said twice changes nothing.
        self._gathered = []
        self._journal.clear()
        self._flushed_at = time.perf_counter()

    @property
    def has_something_to_send(self) -> bool:
        """Whether a flush would send anything."""
        return bool(self._outbox or self._gathered or self._has_news)

    @property
    def look_again_ms(self) -> int | None:
        """When the helper should call `send_gathered` again; None: when `is_called`."""
        return _WATCH_MS if self._is_watched else None

    def send_gathered(self) -> None:
        """In the helper: send what the main thread has gathered and may have no time for now."""
        if not self._is_watched:
            return
        if not self._outbox and not self._gathered:
            self._watches_left -= 1
            if self._watches_left <= 0:
                self._is_watched = False
                if self._outbox or self._gathered:  # it came just now, and believed that we look
                    self._is_watched = True
            return
        self._watches_left = _WATCHES
        if time.perf_counter() - self._flushed_at > _GATHER_S:
            self.flush()

    def refuse_to_wait(self) -> None:
        """Before a wait.

        Raises:
            RuntimeError: a finalizer in the middle of a flush wants to wait for what it could not ask.
        """
        refuse_finalizers(self._sending)
        if threading.current_thread() is self.helper:
            msg = (
                "jray was asked to wait by a finalizer in the thread that brings the answer. It would wait for itself. "
                "Call jray somewhere else than in __del__ or a weakref callback."
            )
            raise RuntimeError(msg)
