"""Starts the zygote and speaks with it. The program that it runs is worker/zygote_main.py."""

from __future__ import annotations

import contextlib
import json
import marshal
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from jray.runtime.ids import WorkerId
from jray.runtime.pool.packets import PacketQueue
from jray.runtime.surroundings import UNLESS_SET, search_path

if TYPE_CHECKING:
    from jray.runtime.system import Descriptor

_ALWAYS = ("cloudpickle",)
_IF_USED = ("numpy", "pyarrow", "pandas", "scipy", "sklearn")  # slow imports that start no threads: what the kernel has
_LATER = ("numpy",)  # if the kernel does not have it yet: when the first workers are on their way
_PACKET_BYTES = 4096
_END_S = 5.0

# The path comes as data: jray must be importable there in whatever way it is here.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from jray.runtime.worker.zygote_main import start; start(sys.argv[1:])"
)


class Fact(NamedTuple):
    """What the zygote tells: a worker was "born", "unborn" (fork failed: status is the errno) or has "died"."""

    kind: str
    worker: WorkerId
    pid: int
    status: int


class Zygote:
    """The parent of all workers. Used by the engine's threads, one at a time."""

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        """Start the process. It need not be up before the first order: orders wait in the socket.

        Args:
            environment: Of the one that it replaces. Workers see what was here when the runtime started.
        """
        self.environment = _environment() if environment is None else environment
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        now = [*_ALWAYS, *(name for name in _IF_USED if name in sys.modules)]
        later = [name for name in _LATER if name not in now]
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    _PROGRAM,
                    json.dumps(search_path()),
                    str(theirs.fileno()),
                    *now,
                    "",
                    *later,
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=self.environment,
            )
        self._line = ours
        self._orders = PacketQueue(ours)
        self.descriptor = ours.fileno()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def fork(self, worker: WorkerId, gpus: tuple[int, ...], descriptors: Sequence[Descriptor]) -> None:
        """Order a worker that sees these GPUs and owns these descriptors. A full line: it waits for `flush`.

        Raises:
            OSError: the zygote is gone.
        """
        self._orders.append(marshal.dumps(("fork", worker, gpus)), descriptors)
        self.flush()

    def kill(self, pid: int) -> None:
        """Kill a worker and what it started."""
        self._orders.append(marshal.dumps(("kill", pid, ())))
        with contextlib.suppress(OSError):  # the zygote is gone, and its workers with it
            self.flush()

    @property
    def has_backlog(self) -> bool:
        """Whether orders wait for room: it may not read them while it tells us something that we do not read."""
        return self._orders.has_backlog

    def flush(self) -> bool:
        """Send what the line takes. True when nothing is left.

        Raises:
            OSError: the zygote is gone.
        """
        try:
            return self._orders.flush()
        except OSError:
            self._orders.drop()
            raise

    def hear(self) -> Fact | None:
        """The next fact; None when the zygote is gone.

        Raises:
            BlockingIOError: there is none now.
        """
        try:
            packet = self._line.recv(_PACKET_BYTES, socket.MSG_DONTWAIT)
        except ConnectionError:
            return None
        return Fact(*marshal.loads(packet)) if packet else None

    def close(self) -> None:
        """End it and all workers; returns when it is gone."""
        self._line.close()
        self._orders.drop()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:  # stopped, or deep in an import
            self._process.kill()
            self._process.wait()

    def forget(self) -> None:
        """In a fork of the kernel: close our copy of the line, so that the zygote still notices the kernel's end."""
        self._line.close()
        self._orders.drop()


def _environment() -> dict[str, str]:
    """As it is here, but no threads in the zygote: it must be safe to fork. (BLAS: see worker/threads.py.)."""
    return {**{os.fsdecode(name): os.fsdecode(value) for name, value in UNLESS_SET.items()}, **os.environ}
