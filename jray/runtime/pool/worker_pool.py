"""The worker processes, as the kernel sees them: their lines, pipes, arenas, and how they ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

from jray.exceptions import WorkerCrashedError
from jray.runtime.ids import WorkerId
from jray.runtime.pool.known_code import KnownCode
from jray.runtime.pool.lines import Channel, ControlLane
from jray.runtime.pool.pipes import Pipe, ReadyToRead
from jray.runtime.pool.zygote import Zygote
from jray.runtime.surroundings import Surroundings
from jray.runtime.system import Descriptor, make_memory
from jray.runtime.wire import ArenaGone, ArenaShown

_ORPHAN_MS = 2_000  # a killed process is gone long before


@dataclass(slots=True, eq=False)
class Handle:
    """One worker process."""

    worker: WorkerId
    channel: Channel
    control: ControlLane
    stdout: Pipe
    stderr: Pipe
    zygote: Zygote  # its parent
    pid: int = 0  # 0 until the zygote has told
    is_doomed: bool = False  # kill it as soon as its pid is known
    why_killed: str = ""  # if it is by us
    descriptor: int = field(init=False)  # of its stream
    has_piped: ReadyToRead = field(init=False)  # whether something lies in its pipes
    shown: set[WorkerId] = field(default_factory=set)  # arenas that it can read
    code: KnownCode = field(default_factory=KnownCode)
    surroundings: Surroundings | None = None  # that were said to it last

    def __post_init__(self) -> None:
        """The pipes are there."""
        self.descriptor = self.channel.socket.fileno()
        self.has_piped = ReadyToRead(self.stdout.descriptor, self.stderr.descriptor)

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"w{self.worker} (pid {self.pid})" if self.pid else f"w{self.worker}"

    def descriptors(self) -> Iterator[int]:
        """All that the engine must listen to."""
        yield self.channel.socket.fileno()
        yield self.control.socket.fileno()
        yield self.stdout.descriptor
        yield self.stderr.descriptor

    def kill(self) -> None:
        """End it, now or as soon as its pid is known. That it has ended is told by the zygote."""
        self.is_doomed = True
        if self.pid:
            self.zygote.kill(self.pid)

    def how_it_ended(self, status: int) -> str:
        """In words, from the status that waitpid gave."""
        return f"worker {self.label} {self.why_killed}" if self.why_killed else how_it_ended(self.label, status)

    def kill_orphan(self) -> None:
        """The zygote is gone: make sure that the worker is, too, before its tasks run elsewhere.

        The system kills it as well, but a moment after the zygote's end of file was seen.
        """
        if self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        end = select.poll()
        end.register(self.channel.socket, 0)  # only the end of it
        end.poll(_ORPHAN_MS)

    def close(self) -> None:
        """Close our ends."""
        self.channel.socket.close()
        self.control.close()
        self.stdout.close()
        self.stderr.close()


class WorkerPool:
    """Starts workers and remembers their arenas. The engine's lock guards it."""

    def __init__(self, zygote: Zygote) -> None:
        """The zygote is running, or on its way."""
        self.zygote = zygote  # of new workers
        self.zygotes = {zygote.descriptor: zygote}  # also those that are kept for the workers that they still have
        self.handles: dict[WorkerId, Handle] = {}  # the living
        self.arenas: dict[WorkerId, Descriptor] = {}  # to read, also of workers that are gone

    def start(self, worker: WorkerId, gpus: tuple[int, ...] = ()) -> Handle:
        """Order a worker process that sees these GPUs. It can be sent messages at once.

        Raises:
            OSError: there are no descriptors for it, or no zygote. Nothing has changed.
        """
        given: list[Descriptor] = []
        with contextlib.ExitStack() as ours:

            def keep(end: int, other_end: int) -> int:
                ours.callback(os.close, end)
                given.append(Descriptor(other_end))
                return end

            stream = keep(*_socket_pair(socket.SOCK_STREAM))
            control = keep(*_socket_pair(socket.SOCK_SEQPACKET))
            their_memory, memory = make_memory(f"jray-w{worker}")
            keep(memory, their_memory)
            stdout = keep(*os.pipe2(os.O_CLOEXEC))
            stderr = keep(*os.pipe2(os.O_CLOEXEC))
            self.zygote.fork(worker, gpus, given)
            ours.pop_all()  # from here on the handle and the table of arenas own them
        handle = Handle(
            worker,
            Channel(socket.socket(fileno=stream)),
            ControlLane(socket.socket(fileno=control)),
            Pipe("stdout", stdout),
            Pipe("stderr", stderr),
            self.zygote,
        )
        handle.shown.add(worker)
        self.arenas[worker] = Descriptor(memory)
        self.handles[worker] = handle
        return handle

    def show_arena(self, handle: Handle, arena: WorkerId) -> bool:
        """Make sure that a worker can read an arena. False when the packet has to wait for room."""
        if arena in handle.shown:
            return True
        handle.shown.add(arena)
        return handle.control.send(ArenaShown(arena), [self.arenas[arena]])

    def remove(self, worker: WorkerId) -> None:
        """It is gone. Its arena stays: results outlive workers."""
        handle = self.handles.pop(worker, None)
        if handle is not None:
            handle.close()

    def drop_arena(self, arena: WorkerId) -> None:
        """Nothing lies in it any more, and its worker is gone."""
        if self.arenas.pop(arena, None) is None:
            return
        for handle in self.handles.values():
            if arena in handle.shown:
                handle.shown.discard(arena)
                with contextlib.suppress(OSError):  # it is gone as well; its end of file will tell
                    handle.control.send(ArenaGone(arena))

    def renew_zygote(self, zygote: Zygote) -> None:
        """New workers come from this one."""
        self.zygote = self.zygotes[zygote.descriptor] = zygote

    def unneeded_zygotes(self) -> list[Zygote]:
        """Those that have no workers any more, and will get none."""
        needed = {handle.zygote for handle in self.handles.values()} | {self.zygote}
        return [zygote for zygote in self.zygotes.values() if zygote not in needed]

    def close_zygote(self, zygote: Zygote) -> None:
        """Nobody needs it."""
        del self.zygotes[zygote.descriptor]
        zygote.close()

    def replace_zygote(self) -> None:
        """The zygote is gone, and with it all its workers: start another.

        Raises:
            WorkerCrashedError: the system refuses it.
        """
        try:
            self.renew_zygote(Zygote(self.zygote.environment))
        except OSError as error:
            msg = (
                "jray can't go on: the process that starts its workers ended, and another could not be started. The "
                f"system said: {error.strerror}. Close files and end processes that you no longer need, then call "
                "jray.shutdown() and jray.init()."
            )
            raise WorkerCrashedError(msg) from error

    def close(self) -> None:
        """End all processes and forget all memory."""
        for zygote in list(self.zygotes.values()):
            self.close_zygote(zygote)
        for worker in list(self.handles):
            self.remove(worker)
        for arena in list(self.arenas):
            self.drop_arena(arena)

    def forget(self) -> None:
        """In a fork of the kernel: let go of everything without ending it."""
        for zygote in self.zygotes.values():
            zygote.forget()
        for worker in list(self.handles):
            self.remove(worker)


def _socket_pair(kind: socket.SocketKind) -> tuple[int, int]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    return ours.detach(), theirs.detach()


def how_it_ended(label: str, status: int) -> str:
    """In words, from the status that waitpid gave."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = _NAMES.get(number, f"signal {number}")  # real-time signals have none
        return f"worker {label} was killed by {name}{_HINTS.get(number, '')}"
    return f"worker {label} ended with exit code {os.waitstatus_to_exitcode(status)} (os._exit, or a C library's exit)"


_NAMES = {int(number): number.name for number in signal.Signals}
_HINTS: dict[int, str] = {
    signal.SIGKILL: " (often the system's out-of-memory killer: look at `dmesg`, and at the memory the task takes)",
    signal.SIGSEGV: " (a crash in compiled code: a C extension that the task uses)",
    signal.SIGBUS: " (memory that could not be had: a full disk or memory limit behind a mapped file)",
    signal.SIGABRT: " (compiled code gave up: its last words are on stderr)",
    signal.SIGILL: " (compiled code for another processor)",
    signal.SIGFPE: " (a division by zero in compiled code)",
}
