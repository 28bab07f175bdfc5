"""Functions that run once in every worker, before its first task. The engine's lock guards what is in here.

They travel in the worker's stream: before everything else to a new worker, behind its line to one that is there.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field, replace
from itertools import count

from jray.runtime import wire
from jray.runtime.ids import WorkerId
from jray.runtime.surroundings import Surroundings


@dataclass(slots=True, eq=False)
class SetUp:
    """One function, and who has run it as far as its caller wants to know."""

    key: Hashable  # which function: the same one again takes its place
    message: wire.SetUp
    surroundings: Surroundings  # that it runs in
    keeps: object  # what must live as long as it is run
    before: SetUp | None = None  # whose place it has taken
    waits_for: set[WorkerId] = field(default_factory=set)
    has_run: bool = False  # somewhere
    error: bytes = b""  # the first one
    has_killed: bool = False  # there was no worker that survived it
    is_over: threading.Event = field(default_factory=threading.Event)

    def _look(self) -> None:
        if not self.waits_for or self.error:
            self.is_over.set()


class SetUps:
    """Those of one runtime, in the order in which they were said."""

    def __init__(self) -> None:
        """None yet."""
        self._kept: dict[Hashable, SetUp] = {}
        self._waiting: dict[int, SetUp] = {}  # whose callers wait, by number
        self._first: dict[WorkerId, deque[wire.SetUp]] = {}  # what new workers still have to run before all else
        self.next_number = count(1).__next__

    def messages_for(self, worker: WorkerId) -> list[tuple[wire.SetUp, Surroundings]]:
        """What a new worker is told, and where it is to be run."""
        told = [(replace(set_up.message, is_condition=True), set_up.surroundings) for set_up in self._kept.values()]
        if told:
            self._first[worker] = deque([message for message, _ in told])
        return told

    def running_in(self, worker: WorkerId) -> wire.SetUp | None:
        """Which one a new worker runs now, if it is not done with them."""
        rest = self._first.get(worker)
        return rest[0] if rest else None

    @property
    def is_anybody_waiting(self) -> bool:
        """Whether a caller waits for one."""
        return bool(self._waiting)

    def begin(self, set_up: SetUp, workers: Iterable[WorkerId]) -> None:
        """Run it in all workers to come; its caller waits for these."""
        set_up.before = self._kept.get(set_up.key)
        set_up.waits_for.update(workers)
        self._kept[set_up.key] = self._waiting[set_up.message.number] = set_up
        set_up._look()  # noqa: SLF001 - both are this file's

    def end(self, set_up: SetUp) -> None:
        """Its caller waits no more. One that has failed is not run again: the one before it is."""
        self._waiting.pop(set_up.message.number, None)
        if (set_up.error or set_up.has_killed) and self._kept.get(set_up.key) is set_up:
            if set_up.before is not None and not (set_up.before.error or set_up.before.has_killed):
                self._kept[set_up.key] = set_up.before
            else:
                del self._kept[set_up.key]
        set_up.before = None

    def note(self, worker: WorkerId, done: wire.SetUpDone) -> bool:
        """One has run there. True when it failed, and the worker is not fit for tasks."""
        rest = self._first.get(worker)
        if rest and done.is_condition:
            rest.popleft()
            if not rest:
                del self._first[worker]
        set_up = self._waiting.get(done.number)
        if set_up is not None:
            set_up.has_run = True
            set_up.waits_for.discard(worker)
            set_up.error = set_up.error or done.error
            set_up._look()  # noqa: SLF001
        return bool(done.error) and (done.is_condition or set_up is None)

    def forget(self, worker: WorkerId) -> None:
        """It is gone."""
        self._first.pop(worker, None)
        for set_up in self._waiting.values():
            set_up.waits_for.discard(worker)
            set_up._look()  # noqa: SLF001

    def release_all(self) -> None:
        """Nobody will run anything any more."""
        for set_up in self._waiting.values():
            set_up.is_over.set()
