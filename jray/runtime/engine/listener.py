"""The ears of the engine: one poll over all workers' lines and pipes, the zygote, a timer and a wake-up call."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable
from typing import Any

from jray.runtime import wire
from jray.runtime.core import messages as m
from jray.runtime.engine.books import Books
from jray.runtime.engine.hearing import Heard, Interpreter
from jray.runtime.engine.sink import OutputText
from jray.runtime.ids import WorkerId
from jray.runtime.pool.pipes import Pipe
from jray.runtime.pool.worker_pool import Handle, WorkerPool
from jray.runtime.pool.zygote import Fact, Zygote
from jray.runtime.store.journal import read_journal
from jray.runtime.system import WakeUp, make_poller

_MOST_STILLBORN = 3  # zygotes in a row that ended before any worker was born: then something is wrong with Python

CurrentTask = Callable[[WorkerId], tuple[int, str, int]]


class Listener:
    """Waits, reads, and tells what was heard. The IO thread uses it; `wake` and the timer are for all."""

    def __init__(self, pool: WorkerPool, books: Books) -> None:
        """Listen to the pool's zygote; workers are added when they start."""
        self._pool = pool
        self._interpreter = Interpreter(books)
        self._poller = make_poller()
        self._wake_up = WakeUp()
        self.wake = self._wake_up.call  # makes `poll` return; safe everywhere
        self._handles: dict[int, Handle] = {}  # by descriptor
        self._refused: list[tuple[WorkerId, str]] = []  # workers that could not be started, and why
        self._timer: float | None = None
        self._is_napping = False
        self._stillborn = 0
        self._poller.register(self._wake_up.descriptor, select.POLLIN)
        self._poller.register(pool.zygote.descriptor, select.POLLIN)

    def set_timer(self, at: float) -> None:
        """Report TimerFired at this time (time.monotonic)."""
        self._timer = at
        self.wake()

    def poll(self) -> list[tuple[int, int]]:
        """Wait until something can be heard: (descriptor, what) pairs."""
        timeout_s = -1.0 if self._timer is None else max(0.0, self._timer - time.monotonic())
        return self._poller.poll(timeout_s)

    def nap(self, timeout_s: float) -> None:
        """Let what can be heard pile up for so long, or until `end_nap`."""
        self._is_napping = True
        self._wake_up.wait(timeout_s)
        self._is_napping = False

    def end_nap(self) -> None:
        """Somebody waits for what can be heard. Costs nothing when there is no nap."""
        if self._is_napping:
            self.wake()

    def start(self, worker: WorkerId, gpus: tuple[int, ...]) -> None:
        """Start a worker that sees these GPUs, and listen to it.

        If the system refuses one, that is heard like any other end.
        """
        try:
            handle = self._pool.start(worker, gpus)
        except OSError as error:  # no descriptor left; or the zygote has just ended, and its end of file will be heard
            self._refused.append((worker, f"worker w{worker} could not be started ({error.strerror})"))
            self.wake()
            return
        for descriptor in handle.descriptors():
            self._handles[descriptor] = handle
            self._poller.register(descriptor, select.POLLIN)
        if handle.zygote.has_backlog:
            self.watch_for_room(handle.zygote.descriptor)

    def watch_for_room(self, descriptor: int) -> None:
        """A socket was full: report when it takes more."""
        with contextlib.suppress(OSError, ValueError):
            self._poller.modify(descriptor, select.POLLIN | select.POLLOUT)

    # ---- with the engine's lock held

    def hear(self, ready: list[tuple[int, int]], now: float, current_task: CurrentTask) -> Heard:
        """Read everything that is ready."""
        heard = Heard()
        for descriptor, what in ready:
            handle = self._handles.get(descriptor)
            if handle is not None:
                self._hear_worker(heard, handle, descriptor, what, now, current_task)
            elif descriptor == self._wake_up.descriptor:
                self._wake_up.clear()
            elif descriptor in self._pool.zygotes:
                zygote = self._pool.zygotes[descriptor]
                self._flush_zygote(zygote)
                self._hear_zygote(heard, zygote, now, current_task)
        if len(self._pool.zygotes) > 1:
            self._end_unneeded_zygotes()
        if self._refused:
            refused, self._refused = self._refused, []
            heard.events += [m.WorkerRefused(now, worker, reason) for worker, reason in refused]
            heard.gone += [worker for worker, _ in refused]
        if self._timer is not None and now >= self._timer:
            self._timer = None
            heard.events.append(m.TimerFired(now))
        return heard

    def _hear_worker(  # noqa: PLR0917 - one call site
        self, heard: Heard, handle: Handle, descriptor: int, what: int, now: float, current_task: CurrentTask
    ) -> None:
        if what == select.POLLIN and descriptor == handle.descriptor:  # the usual case
            self._read_stream(heard, handle, now, current_task)
            return
        for pipe in (handle.stdout, handle.stderr):
            if descriptor == pipe.descriptor:
                if not self._read_pipe(heard, handle, pipe, current_task) and what & select.POLLHUP:
                    self._poller.unregister(descriptor)  # the task closed it, or the worker is gone
                return
        if what & select.POLLOUT:
            self._flush(handle, descriptor)
        if descriptor == handle.control.socket.fileno():
            if what & (select.POLLIN | select.POLLHUP):  # it never sends anything here: it is gone
                self._give_up(handle, descriptor)
        elif what & ~select.POLLOUT:
            self._read_stream(heard, handle, now, current_task)

    def _read_stream(self, heard: Heard, handle: Handle, now: float, current_task: CurrentTask) -> bool:
        """Read once. False when the stream has ended, or talks nonsense."""
        try:
            messages = handle.channel.receive()
            if messages:
                self._hear_output(heard, handle, messages, current_task)
                self._interpreter.read(heard, handle, now, messages)
                return True
        except wire.ProtocolError as error:
            heard.outputs.append(OutputText(handle.label, handle.pid, 0, "", 0, "stderr", f"jray: {error}\n"))
            messages = None
        if messages is None:
            self._give_up(handle, handle.channel.socket.fileno())
        return False

    def _hear_output(self, heard: Heard, handle: Handle, messages: list[Any], current_task: CurrentTask) -> None:
        """What was written before something ended is heard before its end. All of it is there when we hear the end."""
        for received in messages:
            kind = type(received)
            if kind is wire.Returned or kind is wire.Done or kind is wire.SetUpDone:
                if handle.has_piped:
                    is_set_up = kind is wire.SetUpDone
                    who = _always(0, received.name, received.origin) if is_set_up else current_task
                    self._read_pipes(heard, handle, who)
                return

    def _read_pipes(self, heard: Heard, handle: Handle, current_task: CurrentTask) -> None:
        self._read_pipe(heard, handle, handle.stdout, current_task)
        self._read_pipe(heard, handle, handle.stderr, current_task)

    def _read_pipe(self, heard: Heard, handle: Handle, pipe: Pipe, current_task: CurrentTask) -> bool:
        text = pipe.read()
        if text:
            task, name, origin = current_task(handle.worker)
            heard.outputs.append(OutputText(handle.label, handle.pid, task, name, origin, pipe.stream, text))
        return bool(text)

    def _flush(self, handle: Handle, descriptor: int) -> None:
        is_control = descriptor == handle.control.socket.fileno()
        with contextlib.suppress(OSError):  # it is gone; its end of file will tell
            if handle.control.flush() if is_control else handle.channel.flush():
                self._poller.modify(descriptor, select.POLLIN)

    def _give_up(self, handle: Handle, descriptor: int) -> None:
        """It broke off the line. How it ended is told by the zygote; if it has not ended, it must."""
        self._handles.pop(descriptor, None)
        with contextlib.suppress(OSError, ValueError):
            self._poller.unregister(descriptor)
        handle.kill()

    def _flush_zygote(self, zygote: Zygote) -> None:
        if zygote.has_backlog:
            with contextlib.suppress(OSError):  # it is gone; its end of file will tell
                if zygote.flush():
                    self._poller.modify(zygote.descriptor, select.POLLIN)

    def renew_zygote(self, zygote: Zygote) -> None:
        """New workers come from this one; the old one is needed as long as workers of its are there."""
        self._pool.renew_zygote(zygote)
        self._poller.register(zygote.descriptor, select.POLLIN)
        self.wake()  # perhaps it has none

    def _end_unneeded_zygotes(self) -> None:
        for zygote in self._pool.unneeded_zygotes():
            self._poller.unregister(zygote.descriptor)
            self._pool.close_zygote(zygote)

    def _hear_zygote(self, heard: Heard, zygote: Zygote, now: float, current_task: CurrentTask) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                fact = zygote.hear()
                if fact is None:
                    self._zygote_lost(heard, zygote, now, current_task)
                    return
                self._hear_fact(heard, fact, now, current_task)

    def _hear_fact(self, heard: Heard, fact: Fact, now: float, current_task: CurrentTask) -> None:
        handle = self._pool.handles.get(fact.worker)
        if handle is None:
            return
        if fact.kind == "born":
            self._stillborn = 0
            handle.pid = fact.pid
            if handle.is_doomed:
                handle.kill()
            return
        if fact.kind == "died":
            self._lost(heard, handle, handle.how_it_ended(fact.status), now, current_task)
        else:
            self._forget(handle)
            reason = f"worker {handle.label} could not be started ({os.strerror(fact.status)})"
            heard.events.append(m.WorkerRefused(now, handle.worker, reason))
            heard.gone.append(handle.worker)

    def _lost(self, heard: Heard, handle: Handle, reason: str, now: float, current_task: CurrentTask) -> None:
        while self._read_stream(heard, handle, now, current_task):
            pass  # what it said before it died still counts
        self._read_left(heard, handle, now)
        for pipe in (handle.stdout, handle.stderr):
            while self._read_pipe(heard, handle, pipe, current_task):
                pass
        self._forget(handle)
        heard.events.append(m.WorkerLost(now, handle.worker, reason))
        heard.gone.append(handle.worker)

    def _read_left(self, heard: Heard, handle: Handle, now: float) -> None:
        """It also had gathered reports of tasks that were done."""
        left = read_journal(self._pool.arenas[handle.worker])
        with contextlib.suppress(wire.ProtocolError):  # it died in the middle of writing: then that task was not done
            self._interpreter.read(heard, handle, now, wire.Frames().feed(left))

    def _forget(self, handle: Handle) -> None:
        for descriptor in handle.descriptors():
            self._handles.pop(descriptor, None)
            with contextlib.suppress(OSError, ValueError):
                self._poller.unregister(descriptor)
        self._pool.remove(handle.worker)

    def _zygote_lost(self, heard: Heard, zygote: Zygote, now: float, current_task: CurrentTask) -> None:
        """Its workers went with it. Their tasks are theirs to retry; the next worker needs a new zygote."""
        is_current = zygote is self._pool.zygote
        self._stillborn += is_current
        if self._stillborn > _MOST_STILLBORN:
            msg = f"{_MOST_STILLBORN} zygotes in a row ended before a worker was born; see what they wrote to stderr"
            raise RuntimeError(msg)
        for handle in [handle for handle in self._pool.handles.values() if handle.zygote is zygote]:
            handle.kill_orphan()
            reason = f"worker {handle.label} went with the process that starts workers (pid {zygote.pid}), which ended"
            self._lost(heard, handle, reason, now, current_task)
        self._poller.unregister(zygote.descriptor)
        self._pool.close_zygote(zygote)
        if is_current:
            self._pool.replace_zygote()
            self._poller.register(self._pool.zygote.descriptor, select.POLLIN)

    def close(self) -> None:
        """Stop listening."""
        self._poller.close()
        self._wake_up.close()


def _always(task: int, name: str, origin: int) -> CurrentTask:
    return lambda _: (task, name, origin)
