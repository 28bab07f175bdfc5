"""A worker's process, from the fork to its end."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import NamedTuple

from jray.runtime import backend, wire
from jray.runtime.ids import WorkerId
from jray.runtime.store.arena import Arena
from jray.runtime.worker.client import WorkerClient
from jray.runtime.worker.context import Context
from jray.runtime.worker.executor import Executor
from jray.runtime.worker.imports import KernelModules, watch_imports
from jray.runtime.worker.link import Link
from jray.runtime.worker.output import redirect
from jray.runtime.worker.surroundings import TaskSurroundings
from jray.runtime.worker.threads import ThreadLimit


class Birth(NamedTuple):
    """What the zygote gives to a new worker."""

    worker: WorkerId
    gpus: tuple[int, ...] | tuple[str, ...]  # that it sees
    threads: ThreadLimit
    stream: int  # descriptors, all its own from now on
    control: int
    arena: int
    stdout: int
    stderr: int


def run_worker(birth: Birth) -> None:
    """Run tasks until the kernel closes the line. Does not return."""
    _be_alone(birth)
    link = Link(
        birth.worker,
        socket.socket(fileno=birth.stream),
        socket.socket(fileno=birth.control),
        Arena(birth.worker, birth.arena),
    )
    context = Context(birth.gpus)
    modules = KernelModules()
    surroundings = TaskSurroundings(birth.threads, modules)
    client = WorkerClient(link, context, surroundings)
    backend.install(client)
    os.register_at_fork(after_in_child=link.disown)
    redirect(link, context)
    link.start_helper()
    watch_imports(modules, surroundings, link.post)
    executor = Executor(link, client.reader, context, surroundings, _label(birth))
    while True:
        order, attempt = link.next_run()
        if isinstance(order, wire.SetUp):
            executor.set_up(order)
            link.flush()
        elif attempt is not None:
            executor.run(order, attempt)


def _label(birth: Birth) -> str:
    """How errors call this worker; not at all where the text must be the same at each run."""
    return "" if os.environ.get("JRAY_NONINTERACTIVE") else f"w{birth.worker} (pid {os.getpid()})"


def _be_alone(birth: Birth) -> None:
    """Nothing that the zygote or the other workers have may show in here."""
    threading.current_thread().name = f"jray-w{birth.worker}"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the stop button is for the kernel
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for descriptor, target in ((birth.stdout, 1), (birth.stderr, 2)):
        os.dup2(descriptor, target)
        os.close(descriptor)
