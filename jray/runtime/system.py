"""What only Linux has, one function each, chosen by what is there. A leaf: any room may import it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from jray.runtime.interrupts import shielded

VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
_NVIDIA_SMI_S = 10.0
_PR_SET_PDEATHSIG = 1
_TMPFS_MAGIC = 0x01021994  # of tmpfs, and of memfds
_FALLOC_PUNCH_HOLE = 0x02 | 0x01  # with KEEP_SIZE, which it asks for
_MADV_POPULATE_READ = 22  # Linux 5.14
_MAP_NORESERVE = 0x4000  # promise no swap for pages that may never exist
_FAILED = ctypes.c_void_p(-1).value
_OWN_CGROUPS = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - only files without a name are made there
_ROOM_IN_SHARED_MEMORY = 1 << 30  # less is not meant for data: containers have 64 MB by default

_libc = ctypes.CDLL(None, use_errno=True)
# To map takes some µs. Without the GIL, which another thread would take just then, it takes twice as long.
_mmap = ctypes.PyDLL(None, use_errno=True).mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]


class Descriptor:
    """A file descriptor that is closed when its last user is gone.

    Whoever reads or writes holds it meanwhile: a number alone may be another file's by then.
    """

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        """It is ours from now on."""
        self.number = number

    def __del__(self) -> None:
        """Nobody uses it any more."""
        os.close(self.number)


def make_memory(name: str) -> tuple[int, int]:
    """Fresh shared memory that has no name in any file system once this returns.

    A memfd; or a file, where there are none or JRAY_NO_MEMFD=1 is set. Nobody can make it shorter (a memfd), and its
    mode lets nobody open it again to write: what is left to a process of the same user is to use the owner's own
    descriptor, or to change the mode first.

    Returns:
        A descriptor to write with, and one through which nobody can write, not even by mapping it.

    Raises:
        OSError: there are no descriptors left, or no directory to make a file in.
    """
    if hasattr(os, "memfd_create") and os.environ.get("JRAY_NO_MEMFD", "0") in ("", "0"):
        writable = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        # Not F_SEAL_FUTURE_WRITE: it would forbid the owner's pwrite, and holes.
        fcntl.fcntl(writable, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        return writable, _open_to_read(writable, f"/proc/self/fd/{writable}")
    return make_file(Path(_directory_for_memory()), name)


def make_file(directory: Path, name: str) -> tuple[int, int]:
    """A file in this directory that has no name there once this returns.

    Returns:
        A descriptor to write with, and one to read with.

    Raises:
        OSError: it can't be made.
    """
    if hasattr(os, "O_TMPFILE"):
        with contextlib.suppress(OSError):  # not every file system has files that never had a name
            writable = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_EXCL | os.O_CLOEXEC, 0o600)
            return writable, _open_to_read(writable, f"/proc/self/fd/{writable}")
    writable, path = tempfile.mkstemp(prefix=name, dir=directory)
    try:
        return writable, _open_to_read(writable, path)
    finally:
        Path(path).unlink()


def _directory_for_memory() -> str:
    """Where memory is a file: in memory if that is large, else where temporary files are."""
    with contextlib.suppress(OSError):
        status = os.statvfs(_SHARED_MEMORY)
        if status.f_bavail * status.f_frsize >= _ROOM_IN_SHARED_MEMORY and os.access(_SHARED_MEMORY, os.W_OK):
            return _SHARED_MEMORY
    return tempfile.gettempdir()


def _open_to_read(writable: int, path: str) -> int:
    try:
        os.fchmod(writable, 0o400)
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        os.close(writable)
        raise


def reopened_to_write(memory: Descriptor) -> Descriptor:
    """A descriptor to write with, of a file of ours that we have only one to read of."""
    os.fchmod(memory.number, 0o600)
    try:
        return Descriptor(os.open(f"/proc/self/fd/{memory.number}", os.O_RDWR | os.O_CLOEXEC))
    finally:
        os.fchmod(memory.number, 0o400)


def directory_on_disk() -> Path:
    """Where large temporary files belong: on a disk, and not in memory.

    Raises:
        OSError: no such directory is known, or there are no descriptors left to look for one.
    """
    Descriptor(os.open("/", os.O_RDONLY | os.O_CLOEXEC))  # without descriptors, tempfile would say: no directory
    for candidate in (Path(tempfile.gettempdir()), Path("/var/tmp"), Path.cwd()):  # noqa: S108 - files without a name
        if candidate.is_dir() and os.access(candidate, os.W_OK):
            directory = Descriptor(os.open(candidate, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            if not is_in_memory(directory):
                return candidate
    msg = "no directory for temporary files is on a disk; name one: jray.init(object_spilling_directory=...)"
    raise OSError(msg)


def return_freed_memory() -> None:
    """Give the system the pages that the allocator keeps of what was freed. Only glibc keeps many, and can be asked."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)


def is_in_memory(memory: Descriptor) -> bool:
    """Whether its pages are memory for good: a page that exists can be written without asking for more."""
    answer = (ctypes.c_long * 64)()  # struct statfs begins with the type; it is 120 bytes long
    return _libc.fstatfs(memory.number, answer) == 0 and answer[0] == _TMPFS_MAGIC


def working_directory() -> bytes:
    """The working directory; empty if it was removed."""
    try:
        return os.getcwdb()  # noqa: PTH109 - asked at each submission
    except OSError:  # or a file system that is gone
        return b""


def map_shared(memory: Descriptor, offset: int, length: int) -> int:
    """Map a range to write; its address. The range may reach beyond what was ever written.

    Raises:
        OSError: the system refuses another mapping, or so much address space.
    """
    return _map(memory.number, offset, length, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED)


def map_private(descriptor: int, offset: int, length: int) -> int:
    """Map a range copy-on-write; its address.

    Raises:
        OSError: the system refuses another mapping.
    """
    return _map(descriptor, offset, length, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE)


def map_to_read(descriptor: int, offset: int, length: int) -> int:
    """Map a range so that nobody can write it, not even in private; its address.

    Raises:
        OSError: the system refuses another mapping.
    """
    return _map(descriptor, offset, length, mmap.PROT_READ, mmap.MAP_SHARED)


def _map(descriptor: int, offset: int, length: int, protection: int, flags: int) -> int:
    # Python's mmap would keep a descriptor open for each mapping.
    address: int | None = _mmap(None, length, protection, flags | _MAP_NORESERVE, descriptor, offset)
    if address is None or address == _FAILED:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return address


def unmap(address: int, length: int) -> None:
    """Undo a mapping."""
    _libc.munmap(address, length)


def populate(address: int, length: int) -> None:
    """Make the page tables of a range whose pages exist. A hint: where the system can't, each page faults."""
    _libc.madvise(address, length, _MADV_POPULATE_READ)


def punch_hole(memory: Descriptor, offset: int, length: int) -> bool:
    """Give the pages of a range back to the system; it reads as zeros. False: this file system can't."""
    while _libc.fallocate(memory.number, _FALLOC_PUNCH_HOLE, offset, length) != 0:
        if ctypes.get_errno() != errno.EINTR:
            return False
    return True


class WakeUp:
    """Makes a poll return. `call` is safe in signal handlers, finalizers and any thread.

    Post first, then call; clear first, then look: so a call that finds another one unheard need not write, which would
    give the GIL away each time.
    """

    def __init__(self) -> None:
        """An eventfd, or a pipe."""
        self._is_called = False
        if hasattr(os, "eventfd"):
            self.descriptor = self._end = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self.descriptor, self._end = os.pipe()
            os.set_blocking(self.descriptor, False)
            os.set_blocking(self._end, False)

    @shielded  # between the note and the writing nothing may raise
    def call(self) -> None:
        """Wake who polls."""
        if self._is_called:
            return
        self._is_called = True
        with contextlib.suppress(OSError):  # full: it is awake already; closed: nobody polls any more
            os.write(self._end, b"\1\0\0\0\0\0\0\0")

    def wait(self, timeout_s: float) -> None:
        """Until it is called, or the time is up. Who polls finds it called."""
        called = select.poll()
        called.register(self.descriptor, select.POLLIN)
        called.poll(timeout_s * 1000)

    def clear(self) -> None:
        """The poll has returned."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, 4096)
        self._is_called = False  # only now: what a call in between stands for will be seen, for we look after this

    def close(self) -> None:
        """Close the descriptors."""
        descriptors = {self.descriptor, self._end}
        self.descriptor = self._end = -1  # first: a late call must not write into a file that got the same number
        for descriptor in descriptors:
            os.close(descriptor)


class Poller(Protocol):
    """What we need of epoll."""

    def register(self, fd: int, eventmask: int, /) -> None:
        """Listen to a descriptor."""

    def modify(self, fd: int, eventmask: int, /) -> None:
        """Listen for something else."""

    def unregister(self, fd: int, /) -> None:
        """Stop listening to it."""

    def poll(self, timeout: float, /) -> list[tuple[int, int]]:
        """Wait for `timeout` seconds (negative: for ever); (descriptor, what) pairs."""

    def close(self) -> None:
        """Stop listening."""


def make_poller() -> Poller:
    """epoll; without it poll, whose cost grows with the number of workers."""
    return select.epoll() if hasattr(select, "epoll") else _Poll()


class _Poll:
    """poll with epoll's face. The masks have the same values."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register, self.modify, self.unregister = self._poll.register, self._poll.modify, self._poll.unregister

    def poll(self, timeout: float, /) -> list[tuple[int, int]]:
        return self._poll.poll(None if timeout < 0 else timeout * 1000)

    def close(self) -> None:
        pass


def die_with_parent() -> None:
    """Get SIGKILL when the parent ends, however it ends. Where the system can't, end of file must do."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None:
        return
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # it ended in between
        os._exit(0)


def usable_cpus() -> int:
    """CPUs that this process may use: its affinity, and what its cgroups allow (rounded up)."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for text in _cgroup_settings("cpu.max"):
        quota, period = text.split()
        if quota != "max":
            allowed = min(allowed, max(1, -(-int(quota) // int(period))))
    return allowed


def usable_memory() -> int:
    """Bytes of memory that this process may use: the machine's, and what its cgroups allow."""
    usable = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for text in (*_cgroup_settings("memory.max"), *_cgroup_settings("memory.limit_in_bytes", "memory")):
        if text != "max":
            usable = min(usable, int(text))
    return usable


def _cgroup_settings(name: str, controller: str = "") -> Iterator[str]:
    """A setting of this process's cgroup and of all above it; of version 1, if a controller is named."""
    try:
        lines = _OWN_CGROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller not in controllers.split(","):
            continue
        root = _CGROUPS / controller
        group = root / path.lstrip("/")  # in a container it may be a path of outside: then only the root is there
        for level in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):
                yield Path(level, name).read_text(encoding="ascii").strip()
            if level == root:
                break


def visible_gpus() -> list[str] | None:
    """The GPUs that CUDA may use in this process, as CUDA_VISIBLE_DEVICES names them; None: all that there are."""
    names = os.environ.get(VISIBLE_GPUS)
    if names is None:
        return None
    visible = []
    for name in names.split(","):
        if name.strip() in {"", "-1", "NoDevFiles"}:  # CUDA looks no further, either
            break
        visible.append(name.strip())
    return visible


def usable_gpus() -> int:
    """GPUs that this process may use. CUDA is not loaded for it: after that no fork could use a GPU."""
    visible = visible_gpus()
    if visible is not None:
        return len(visible)
    with contextlib.suppress(OSError):  # no driver of NVIDIA's here, or one that shows nothing in /proc
        return sum(1 for _ in Path("/proc/driver/nvidia/gpus").iterdir())
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        told = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=_NVIDIA_SMI_S, check=True)
    except (OSError, subprocess.SubprocessError):  # the tool without its driver: CUDA would find no GPU either
        return 0
    return sum(line.startswith("GPU ") for line in told.stdout.splitlines())


def are_equal(one: memoryview, other: memoryview) -> bool:
    """Whether two buffers hold the same bytes: as fast as memory can be read, and without the GIL."""
    import numpy as np

    if one.nbytes != other.nbytes:
        return False
    addresses = [np.frombuffer(part, np.uint8).ctypes.data for part in (one, other) if part.nbytes]
    return not addresses or _libc.memcmp(*addresses, one.nbytes) == 0
