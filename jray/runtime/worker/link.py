"""This worker's end of the line to the kernel.

Only the main thread runs tasks, and it reads the stream when it has nothing to run or waits in `get`. A helper thread
reads the control lane all the time: it takes descriptors of other arenas, hands unstarted attempts back while user code
runs, and takes the replies for the user's own threads.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from errno import EMFILE
from itertools import count
from resource import RLIMIT_NOFILE, getrlimit
from typing import Any

from jray.runtime import wire
from jray.runtime.ids import WorkerId
from jray.runtime.store.allowance import Room, RoomRequest, no_descriptors, refusal
from jray.runtime.store.arena import Arena
from jray.runtime.surroundings import Surroundings
from jray.runtime.system import Descriptor, return_freed_memory, usable_cpus
from jray.runtime.worker.definitions import Definitions
from jray.runtime.worker.sender import Sender

_READ_BYTES = 64 * 1024  # more would make malloc ask the system for fresh pages at every read
_LINGER_S = 0.0001
_REST_MS = 1_000
_PACKET_BYTES = wire.LARGEST_PACKET + 1024  # a piece is packed once more


class Link(Sender):
    """Sends, receives, and keeps what has arrived."""

    def __init__(self, worker: WorkerId, stream: socket.socket, control: socket.socket, arena: Arena) -> None:
        """All descriptors came from the zygote; `arena` is this worker's own."""
        super().__init__(stream, arena, self._ask_room)
        self.worker = worker
        self.next_request = count(1).__next__
        self._asked: dict[int, RoomRequest] = {}
        self._keep_warm = 0
        self._has_worked = False  # since it last gave memory back
        self.set_ups: deque[tuple[wire.SetUp, Surroundings | None]] = deque()  # to be run before the next attempt
        self.surroundings: Surroundings | None = None  # of what `next_run` gave last
        self._said: Surroundings | None = None  # of what comes next in the stream
        self.definitions = Definitions()
        self._replies: dict[int, wire.Reply] = {}
        self._linger_s = _LINGER_S if usable_cpus() > 1 else 0.0  # the only CPU has better things to do
        self._is_readable = select.poll()
        self._is_readable.register(stream, select.POLLIN)
        self._control = control
        self._frames = wire.Frames()
        self._reading = threading.Lock()  # who reads the stream: the main thread, or the helper after a recall
        self._memories: dict[WorkerId, Descriptor] = {worker: arena.memory}
        self._unseen: set[WorkerId] = set()  # arenas that we were shown without a descriptor left to see them
        self._arrived = threading.Condition()  # a descriptor, or a reply for a thread
        self._parts: dict[int, list[wire.ReplyPart]] = {}
        self._ended: dict[int, Any] = {}
        self._take_in = self._readers()

    def _readers(self) -> dict[type, Callable[[Any], None]]:
        """What is done with each kind of message on the stream."""
        return {
            wire.Runs: self._take_runs,
            wire.Define: self.definitions.define,
            wire.Forget: self.definitions.forget,
            wire.SetUp: lambda set_up: self.set_ups.append((set_up, self._said)),
            wire.Surround: self._take_surroundings,
            wire.Reply: self._take_reply,
            wire.Freed: self._take_freed,
            wire.Allowed: self._take_allowed,
            wire.KeepWarm: self._take_keep_warm,
        }

    def start_helper(self) -> None:
        """Begin to read the control lane."""
        self.helper = threading.Thread(target=self._read_control, name="jray-control", daemon=True)
        self.helper.start()

    def _ask_room(self, size: int) -> Room:
        """Wait until the kernel grants so much. If the thread goes away meanwhile, the allowance gets it."""
        self.refuse_to_wait()
        if threading.current_thread() is threading.main_thread():
            self.hand_back()
        number, request = self.next_request(), RoomRequest(size)
        self._asked[number] = request
        self.post(wire.AskRoom(number, size))
        self.flush()
        return request.wait()

    # ---- receiving, in the main thread

    def next_run(self) -> tuple[wire.Runs | wire.SetUp, wire.Attempt | None]:
        """The next attempt to run, and what is known of it; or what is to be run before it. Waits for it."""
        while True:
            try:
                next_one = self.line.popleft()
            except IndexError:
                pass
            else:
                self._has_worked = True
                if not self.set_ups:  # asked now: what was sent before the attempt is there, whoever reads the stream
                    runs, attempt, self.surroundings = next_one
                    return runs, attempt
                self.line.appendleft(next_one)
            if self.set_ups:
                set_up, self.surroundings = self.set_ups.popleft()
                return set_up, None
            if self.has_something_to_send:
                self.flush()
            with self._reading:
                if not self.line and not self.set_ups:
                    self.definitions.tidy()
                    self._linger()
                    self._rest()
                    self._receive()

    def _linger(self) -> None:
        """Look for the next message for a moment before sleeping: waking up takes longer than most pauses."""
        end = time.perf_counter() + self._linger_s
        while not self._is_readable.poll(0) and time.perf_counter() < end:
            pass

    def _rest(self) -> None:
        """After a second without work, keep no memory that others could use."""
        if self._has_worked and not self._is_readable.poll(_REST_MS):
            self._has_worked = False
            return_freed_memory()

    def wait_for_reply(self, request: int, deadline: float | None) -> wire.Reply | None:
        """The reply to a wait of the main thread; None when the deadline (time.monotonic) has passed.

        What is to be run is handed back meanwhile: a blocked worker runs nothing else.
        """
        while True:
            with self._reading:
                if request in self._replies:  # asked in here: the helper may have read it while we waited for the lock
                    return self._replies.pop(request)
                timeout_s = None if deadline is None else deadline - time.monotonic()
                if timeout_s is not None and timeout_s <= 0:
                    return None
                self._receive(timeout_s)
            self.hand_back()

    def hand_back(self) -> None:
        """Give back all that was not started."""
        runs = []
        while True:
            try:
                _, (task, attempt, *_), _ = self.line.popleft()
            except IndexError:
                break
            runs.append((task, attempt))
        if runs:
            self.post(wire.HandBack(tuple(runs)))
            self.flush()

    def _receive(self, timeout_s: float | None = None) -> None:
        if timeout_s is not None and not select.select([self._stream], [], [], timeout_s)[0]:
            return
        data = self._stream.recv(_READ_BYTES)
        if not data:
            os._exit(0)  # the kernel is gone, and we with it
        self._sort(self._frames.feed(data))

    def _sort(self, messages: Iterable[Any]) -> None:
        for received in messages:
            self._take_in[type(received)](received)

    def _take_runs(self, runs: wire.Runs) -> None:
        said = self._said
        self.line.extend([(runs, attempt, said) for attempt in runs.attempts])

    def _take_reply(self, reply: wire.Reply) -> None:
        self._replies[reply.request] = reply

    def _take_surroundings(self, told: wire.Surround) -> None:
        self._said = Surroundings.from_wire(told.surroundings)

    def _take_freed(self, freed: wire.Freed) -> None:
        for offset in freed.offsets:
            self.arena.free(offset)
        self._trim()

    def _take_allowed(self, allowed: wire.Allowed) -> None:
        self.allowance.standing = max(self.allowance.standing, allowed.size)  # the first is all of it
        self.allowance.add(allowed.size)

    def _take_keep_warm(self, told: wire.KeepWarm) -> None:
        self._keep_warm = told.size
        self._trim()

    def _trim(self) -> None:
        """Give free pages back, if there are more than we should keep."""
        if self.arena.resident_free_bytes > self._keep_warm:
            self.arena.trim(self._keep_warm)

    # ---- the control lane

    def memory_of(self, arena: WorkerId) -> Descriptor:
        """What another process's arena can be read through; it may still be on its way.

        Raises:
            ObjectStoreFullError: this process has no descriptor left for it.
        """
        memory = self._memory_shown(arena)
        if memory is None:  # there may be descriptors again by now
            self._unseen.discard(arena)  # else the kernel's answer could not be told from what came before
            self.post(wire.AskArena(arena))
            self.flush()
            memory = self._memory_shown(arena)
        if memory is None:
            limit, _ = getrlimit(RLIMIT_NOFILE)
            raise no_descriptors(
                f"An object could not be read in worker w{self.worker}, in which tasks opened up to {limit} files",
                OSError(EMFILE, os.strerror(EMFILE)),
            )
        return memory

    def _memory_shown(self, arena: WorkerId) -> Descriptor | None:
        """None when its descriptor came and could not be taken."""
        with self._arrived:
            self._arrived.wait_for(lambda: arena in self._memories or arena in self._unseen)
            return self._memories.get(arena)

    def wait_on_control(self, request: int, timeout_s: float | None) -> Any | None:
        """The reply to a request of any thread; None after the time-out."""
        with self._arrived:
            self._arrived.wait_for(lambda: request in self._ended, timeout_s)
            return self._ended.pop(request, None)

    def take_parts(self, request: int) -> list[wire.ReplyPart]:
        """The objects that came before the end of a reply."""
        with self._arrived:
            return self._parts.pop(request, [])

    def _read_control(self) -> None:
        pieces = bytearray()
        asked = select.poll()
        asked.register(self._control, select.POLLIN)
        asked.register(self.is_called.descriptor, select.POLLIN)
        while True:
            for descriptor, _ in asked.poll(self.look_again_ms):
                if descriptor == self.is_called.descriptor:
                    self.is_called.clear()
                else:
                    self._read_packet(pieces)
            self.send_gathered()

    def _read_packet(self, pieces: bytearray) -> None:
        packet, descriptors, _, _ = socket.recv_fds(self._control, _PACKET_BYTES, 1)
        if not packet:
            os._exit(0)
        (received,) = wire.decode(packet)
        if isinstance(received, wire.Piece):
            pieces += received.data
            if received.data:
                return
            (received,) = wire.decode(bytes(pieces))
            pieces.clear()
        self._hear(received, descriptors)

    def _hear(self, received: Any, descriptors: list[int]) -> None:
        match received:
            case wire.Recall():
                self.read_what_is_there()
                self.hand_back()
            case wire.ArenaShown(arena):
                with self._arrived:
                    if descriptors:
                        os.set_inheritable(descriptors[0], False)  # noqa: FBT003 - it has no name
                        self._memories[arena] = Descriptor(descriptors[0])
                    else:
                        self._unseen.add(arena)
                    self._arrived.notify_all()
            case wire.ArenaGone(arena):
                with self._arrived:
                    self._unseen.discard(arena)
                    self._memories.pop(arena, None)
            case wire.ReplyPart(request):
                with self._arrived:
                    self._parts.setdefault(request, []).append(received)
            case wire.RoomTold(number, is_for_disk, text):
                asked = self._asked.pop(number)
                if text:
                    asked.refuse(refusal(text, is_for_disk=is_for_disk))
                else:
                    asked.grant(self.allowance)
            case wire.ReplyEnd(request) | wire.ResourcesTold(request):
                with self._arrived:
                    self._ended[request] = received
                    self._arrived.notify_all()

    def read_what_is_there(self) -> None:
        """What lies in the socket while the main thread runs a task: attempts, and blocks that are free again."""
        if not self._reading.acquire(blocking=False):
            return
        try:
            while True:
                data = self._stream.recv(_READ_BYTES, socket.MSG_DONTWAIT)
                if not data:
                    os._exit(0)
                self._sort(self._frames.feed(data))
        except BlockingIOError:
            pass
        finally:
            self._reading.release()
