"""The zygote: a small process that has imported what workers need, and forks one in a millisecond.

It has one thread, so forking is safe. It lives in a session of its own: the stop button's SIGINT, sent to the kernel's
process group, does not reach it. When the kernel is gone, however it ended, the zygote reads end-of-file, kills what is
left of its workers with all that they started, and ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import marshal
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import NoReturn

from jray.runtime.ids import WorkerId
from jray.runtime.system import die_with_parent
from jray.runtime.worker.devices import hide_gpus, show_gpus
from jray.runtime.worker.main import Birth, run_worker
from jray.runtime.worker.threads import ThreadLimit

_DESCRIPTORS = 5
_GRACE_S = 1.0  # for what a dead worker started: joblib's and multiprocessing's trackers remove their files then
_LOOK_EVERY_S = 0.01
_QUIET_MS = 50  # nothing was ordered for so long: time for what may be imported later
_PACKET_BYTES = 4096


def main(line: int, now: list[str], later: list[str]) -> NoReturn:
    """Serve the kernel at the other end of `line` (a SEQPACKET socket) until it is gone.

    Modules are imported `now`, or `later`, when there is nothing to do: the first workers need not wait for those.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gpu_names, threads = hide_gpus(), ThreadLimit()
    _preload(now)
    _Zygote(socket.socket(fileno=line), later, gpu_names, threads).serve()


def _preload(modules: list[str]) -> None:
    for module in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    gc.collect()
    gc.freeze()  # the forks share these objects' pages as long as no collection touches them


class _Zygote:
    def __init__(
        self, line: socket.socket, later: list[str], gpu_names: list[str] | None, threads: ThreadLimit
    ) -> None:
        self._line = line
        self._gpu_names, self._threads = gpu_names, threads
        self._later = later
        self._workers: dict[int, WorkerId] = {}  # by pid
        self._dying: dict[int, float] = {}  # dead, not reaped; what they started has until then (time.monotonic)
        # SIGCHLD writes a byte into this pipe, so that one poll waits for orders and for deaths.
        self._deaths, self._deaths_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._deaths_in, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> NoReturn:
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        poll.register(self._deaths, select.POLLIN)
        while True:
            ready = poll.poll(self._patience_ms())
            if not ready and self._later and not self._dying:
                _preload(self._later)
                self._later = []
            for descriptor, _ in ready:
                if descriptor == self._deaths:
                    self._notice_deaths()
                else:
                    self._obey()
            self._reap()

    def _patience_ms(self) -> float | None:
        if self._dying:
            return _LOOK_EVERY_S * 1000
        return _QUIET_MS if self._later else None

    def _obey(self) -> None:
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._line, _PACKET_BYTES, _DESCRIPTORS)
        except ConnectionError:  # the kernel ended without reading what we told it last
            packet = b""
        if not packet:
            self._end()
        order, number, gpus = marshal.loads(packet)
        if order == "fork":
            self._fork(WorkerId(number), gpus, descriptors)
        elif order == "kill" and number in self._workers:
            os.kill(number, signal.SIGKILL)  # what it started is seen to when it is dead

    def _fork(self, worker: WorkerId, gpus: tuple[int, ...], descriptors: list[int]) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self._tell("unborn", worker, 0, error.errno or 0)
            pid = -1
        if pid == 0:
            self._become_worker(worker, gpus, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        if pid > 0:
            self._workers[pid] = worker
            self._tell("born", worker, pid, 0)

    def _become_worker(self, worker: WorkerId, gpus: tuple[int, ...], descriptors: list[int]) -> NoReturn:
        status = 70  # a bug in jray, if it gets that far
        try:
            die_with_parent()
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._line.close()
            os.close(self._deaths)
            os.close(self._deaths_in)
            for descriptor in descriptors:  # as they come they would be open in every program that a task starts
                os.set_inheritable(descriptor, False)  # noqa: FBT003 - it has no name
            run_worker(Birth(worker, show_gpus(gpus, self._gpu_names), self._threads, *descriptors))
        except BaseException:  # noqa: BLE001 - the last words of a fork that must never return into the zygote
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def _notice_deaths(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._deaths, _PACKET_BYTES)
        for pid in self._workers.keys() - self._dying.keys():
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                _signal_group(pid, signal.SIGTERM)
                self._dying[pid] = time.monotonic() + _GRACE_S

    def _reap(self) -> None:
        """What a dead worker started ends with it; only then its death is told.

        Until it is reaped nobody else can get its number.
        """
        for pid, deadline in list(self._dying.items()):
            if time.monotonic() < deadline and _has_members(pid):
                continue
            _signal_group(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            del self._dying[pid]
            self._tell("died", self._workers.pop(pid), pid, status)

    def _tell(self, fact: str, worker: WorkerId, pid: int, status: int) -> None:
        try:
            self._line.send(marshal.dumps((fact, worker, pid, status)))
        except OSError:
            self._end()

    def _end(self) -> NoReturn:
        self._line.close()
        for pid in self._workers:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in self._workers:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            _signal_group(pid, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_S
        while time.monotonic() < deadline and any(map(_has_members, self._workers)):
            time.sleep(_LOOK_EVERY_S)
        for pid in self._workers:
            _signal_group(pid, signal.SIGKILL)
            os.waitpid(pid, 0)  # whoever waits for us may be sure that they are gone
        os._exit(0)


def _signal_group(leader: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signum)


def _has_members(leader: int) -> bool:
    """Whether anything lives in the process group of a dead worker."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == leader:
            continue
        try:
            state, _, group = Path(entry.path, "stat").read_bytes().rpartition(b")")[2].split()[:3]
        except OSError:  # it has just ended
            continue
        if int(group) == leader and state not in b"ZX":
            return True
    return False


def start(arguments: list[str]) -> NoReturn:
    """Entry: `arguments` are the descriptor of the line, the modules to import now, "", and those to import later."""
    end = arguments.index("")
    main(int(arguments[0]), arguments[1:end], arguments[end + 1 :])
