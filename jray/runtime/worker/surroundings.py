"""Gives each task the surroundings that it was submitted in, and takes away what the one before has changed of them."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from jray.runtime.ids import Shape
from jray.runtime.surroundings import UNLESS_SET, Seen, Surroundings, environment_here, search_path
from jray.runtime.system import VISIBLE_GPUS, working_directory
from jray.runtime.wire import Wire
from jray.runtime.worker.imports import KernelModules
from jray.runtime.worker.threads import ThreadLimit

_GPUS = VISIBLE_GPUS.encode()


class TaskSurroundings:
    """Those of this process, for one task after the other.

    What a task changes is gone when the next one begins. What set-up functions change lasts, and so does what modules
    change when they are imported, as they are imported only once: their changes go on top of what each task is given.
    Variables that jray sets itself (the GPUs; threads, unless the user has set those) are its own affair.
    """

    def __init__(self, threads: ThreadLimit, modules: KernelModules) -> None:
        """After the fork: which GPUs there are has been said."""
        self._threads, self._modules = threads, modules
        self._own = {_GPUS: os.environb[_GPUS]} if _GPUS in os.environb else {}
        self._given: Surroundings | None = None
        self._shape: Shape = ()
        self._origin = 0
        self._lasting = _Changes()
        # As a task should find them when it begins.
        self._path: list[str] = []
        self._directory = b""
        self._environment: dict[bytes, bytes] = {}

    def enter(self, given: Surroundings | None, origin: int, shape: Shape | None = None) -> None:
        """A task begins that was submitted in this cell and holds this; None: what the last one held.

        Raises:
            OSError: the directory can't be entered.
        """
        assert given is not None  # noqa: S101 - the kernel says them before it sends anything to be run
        if shape is None:
            shape = self._shape
        if given is not self._given or shape != self._shape:
            self._given, self._shape = given, shape
            self._threads.apply(shape, given.environment)
            self._modules.places = {place.name: place for place in given.modules}
            self._aim()
            self._put(self._path, self._environment)
            self._remember()
        if origin != self._origin:  # modules may have been written since
            self._origin = origin
            importlib.invalidate_caches()
        if sys.path != self._path or environment_here() != self._environment:
            self._put(self._path, self._environment)
            self._remember()
        if working_directory() != self._directory:
            self._go_to(self._directory)

    def _aim(self) -> None:
        """Say what there should be: what was given, with what lasts on top."""
        given, lasting = self._given, self._lasting
        if given is None:
            return
        self._path = lasting.of_path(given.path)
        self._directory = lasting.directory or given.directory or working_directory()
        environment = {**UNLESS_SET, **given.environment, **self._threads.variables, **self._own}
        self._environment = _changed(environment, lasting.environment)

    @staticmethod
    def _put(path: list[Any], environment: Mapping[bytes, bytes]) -> None:
        here: object = sys.path
        if not isinstance(here, list):  # tasks may do anything
            sys.path = list(path)
        elif here != path:
            here[:] = path
        variables = environment_here()
        if variables != environment:
            for name in variables.keys() - environment.keys():
                del os.environb[name]
            for name, value in environment.items():
                if variables.get(name) != value:
                    os.environb[name] = value

    def _remember(self) -> None:
        """All is as it should be. From now on both dictionaries hold the same objects: that compares much faster."""
        variables = environment_here()
        if variables == self._environment:
            self._environment = dict(variables)

    @staticmethod
    def _go_to(directory: bytes) -> None:
        if not directory:
            return  # it had been removed before we came here
        try:
            os.chdir(directory)
        except OSError as error:
            msg = (
                f"The working directory {os.fsdecode(directory)} can't be entered in this worker ({error.strerror}): "
                "nothing was run. It is that of the process that submitted the task, as it was at that moment. Keep "
                "the directory until the task is done."
            )
            raise type(error)(msg) from None
        importlib.invalidate_caches()  # those of relative entries of sys.path are of the other directory

    def of_a_child(self) -> Wire | None:
        """Those of a task that is submitted here now; None: they are those that the running task was given."""
        given, environment = self._given, environment_here()
        has_same_path, directory = sys.path == self._path, working_directory()
        if (has_same_path and directory == self._directory and environment == self._environment) or given is None:
            return None
        changes = _differences(self._environment, environment)
        return Surroundings(
            given.path if has_same_path else search_path(),
            given.directory if directory == self._directory else directory,
            _changed(given.environment, changes),
            given.modules,
        ).to_wire()

    def keep_since(self, before: Seen) -> None:
        """A set-up function has ended: what it has changed lasts."""
        if before.holds():
            return
        self._lasting.add(before, Seen())
        if working_directory() != before.directory:
            self._lasting.directory = working_directory()
        self._aim()

    def end_import(self, module: str, before: Seen) -> None:
        """A module has been executed, by an import in the main thread.

        What a module of the kernel's changes has been changed there when it was imported, and perhaps changed again
        since: here it must not count. What others change lasts; only the directory goes back at the next task.
        """
        if before.holds():
            return
        if module.partition(".")[0] in self._modules.places:
            self._put(before.path, before.environment)
            if working_directory() != before.directory:
                self._go_to(before.directory)
        else:
            self._lasting.add(before, Seen())
            self._aim()


class _Changes:
    """What lasts in this process."""

    __slots__ = ("behind", "directory", "environment", "gone", "in_front")

    def __init__(self) -> None:
        self.in_front: list[str] = []  # entries of sys.path
        self.behind: list[str] = []
        self.gone: set[str] = set()
        self.directory = b""
        self.environment: dict[bytes, bytes | None] = {}  # None: deleted

    def add(self, before: Seen, after: Seen) -> None:
        """These as well."""
        self.environment |= _differences(before.environment, after.environment)
        was, now = _strings(before.path), _strings(after.path)
        self.gone = (self.gone | set(was)) - set(now)
        first_old = next((index for index, entry in enumerate(now) if entry in was), len(now))
        in_front = [entry for entry in now[:first_old] if entry not in self.in_front]
        behind = [entry for entry in now[first_old:] if entry not in was and entry not in self.behind]
        self.in_front = [entry for entry in (*in_front, *self.in_front) if entry not in self.gone]
        self.behind = [entry for entry in (*self.behind, *behind) if entry not in self.gone]

    def of_path(self, path: Iterable[str]) -> list[str]:
        """With these, what would `sys.path` be?"""
        kept = [entry for entry in path if entry not in self.gone]
        in_front = [entry for entry in self.in_front if entry not in kept]
        return [*in_front, *kept, *(entry for entry in self.behind if entry not in kept)]


def _strings(path: Iterable[Any]) -> list[str]:
    return [entry for entry in path if isinstance(entry, str)]


def _differences(before: Mapping[bytes, bytes], after: Mapping[bytes, bytes]) -> dict[bytes, bytes | None]:
    return {name: after.get(name) for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def _changed(environment: Mapping[bytes, bytes], changes: Mapping[bytes, bytes | None]) -> dict[bytes, bytes]:
    merged = {**environment, **changes}
    return {name: value for name, value in merged.items() if value is not None}
