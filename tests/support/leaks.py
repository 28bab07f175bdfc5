"""What a process holds now, and what it holds more than before: children, threads, descriptors, memory.

The autouse guard in conftest.py takes a `Footprint` before each test and compares after it. It must not
know anything of jray but the names of its threads and `jray.api.is_initialized`.
"""

from __future__ import annotations

import gc
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.waiting import wait_until

# What the standard library and joblib start once for a whole process, and keep.
_KEPT_FOR_GOOD = ("multiprocessing.resource_tracker", "loky.backend.resource_tracker")
_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class Footprint:
    """What this process holds at one moment."""

    is_jray_running: bool
    children: frozenset[int]
    threads: frozenset[threading.Thread]
    descriptors: frozenset[tuple[int, str]]
    shared_mappings: frozenset[str]

    @classmethod
    def take(cls, *, deep: bool) -> Footprint:
        """Looks around; `deep` (some 0.3 ms more) counts file descriptors and shared memory as well."""
        return cls(
            is_jray_running=is_jray_running(),
            children=_children(),
            threads=_threads_that_should_end(),
            descriptors=_descriptors() if deep else frozenset(),
            shared_mappings=shared_mappings() if deep else frozenset(),
        )

    def since(self, before: Footprint) -> Footprint:
        """What is here now and was not there before."""
        return Footprint(
            is_jray_running=self.is_jray_running and not before.is_jray_running,
            children=frozenset(pid for pid in self.children - before.children if not _is_kept_for_good(pid)),
            threads=self.threads - before.threads,
            descriptors=self.descriptors - before.descriptors,
            shared_mappings=self.shared_mappings - before.shared_mappings,
        )

    def is_empty(self) -> bool:
        held = (self.children, self.threads, self.descriptors, self.shared_mappings)
        return not self.is_jray_running and not any(held)

    def describe(self) -> list[str]:
        """One entry for each thing held, in words that help to find who made it."""
        return [
            *(["jray itself: it was initialised and not shut down"] if self.is_jray_running else []),
            *(f"child process {describe_process(pid)}" for pid in sorted(self.children)),
            *(_describe_thread(thread) for thread in self.threads),
            *(f"file descriptor {number} -> {target}" for number, target in sorted(self.descriptors)),
            *(f"mapping of shared memory {line}" for line in sorted(self.shared_mappings)),
        ]


def find_leaks(before: Footprint, *, deep: bool) -> list[str]:
    """What this process holds more than `before`, after it had time to let go; then ends what it found."""

    def surplus() -> Footprint:
        return Footprint.take(deep=deep).since(before)

    if surplus().is_empty():
        return []
    gc.collect()  # what only a reference cycle holds is no leak
    if not surplus().is_jray_running and _comes_true(lambda: surplus().is_empty()):
        return []
    leaked = surplus()
    found = leaked.describe()
    _end(leaked)
    return found


def is_jray_running() -> bool:
    """Whether this process has a runtime; asks without importing anything."""
    api = sys.modules.get("jray.api")
    return api is not None and bool(api.is_initialized())


def descendants() -> list[psutil.Process]:
    """All processes below this one: to be taken before a shutdown, and given to `survivors` after it.

    A worker that outlives its zygote becomes an orphan, and can't be found from here any more.
    """
    return psutil.Process().children(recursive=True)


def survivors(processes: list[psutil.Process]) -> list[str]:
    """Those of `processes` which do not end in time, described and then killed."""
    alive = psutil.wait_procs(processes, timeout=_GRACE_S)[1]
    found = [f"process {describe_process(process.pid)}" for process in alive]
    _kill(alive)
    return found


def describe_process(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            words = " ".join(process.cmdline()) or process.name()
            return f"{pid} ({process.status()}, parent {process.ppid()}): {words}"
    except psutil.NoSuchProcess:
        return f"{pid} (has just ended)"


def _children() -> frozenset[int]:
    # The kernel keeps one list for each thread that forked. psutil would read all of /proc: 100 times slower.
    pids: set[int] = set()
    try:
        for task in Path("/proc/self/task").iterdir():
            pids.update(map(int, (task / "children").read_text().split()))
    except (
        FileNotFoundError,
        ProcessLookupError,
    ):  # a thread has just ended, or there are no such lists here
        return frozenset(child.pid for child in psutil.Process().children())
    return frozenset(pids)


def _is_kept_for_good(pid: int) -> bool:
    try:
        words = " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return False
    return any(name in words for name in _KEPT_FOR_GOOD)


def _threads_that_should_end() -> frozenset[threading.Thread]:
    main = threading.main_thread()
    return frozenset(
        thread
        for thread in threading.enumerate()
        if thread is not main and (not thread.daemon or thread.name.startswith("jray-"))
    )


def _describe_thread(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    stack = "".join(traceback.format_stack(frame)) if frame is not None else "  (ends now)\n"
    return f"thread {thread.name!r}, which is here:\n{stack.rstrip()}"


def _descriptors() -> frozenset[tuple[int, str]]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add((int(entry.name), str(entry.readlink())))
        except FileNotFoundError:  # the one that iterdir itself had open
            continue
    return frozenset(found)


def shared_mappings(pid: int | str = "self") -> frozenset[str]:
    """The lines of /proc/…/maps of shared memory: memfds, and files that never had a name ("/tmp/#4711 (deleted)")."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return frozenset(line for line in lines if "/memfd:" in line or "/dev/shm/" in line or "/#" in line)


def _comes_true(predicate: Callable[[], bool]) -> bool:
    try:
        wait_until(predicate, _GRACE_S, "something is still held")
    except AssertionError:
        return False
    return True


def _end(leaked: Footprint) -> None:
    # So that one bad test is one failure: the tests after it start clean again.
    if leaked.is_jray_running:
        sys.modules["jray.api"].shutdown()
    for pid in leaked.children & _children():
        process = psutil.Process(pid)
        _kill([*process.children(recursive=True), process])


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=_GRACE_S)
