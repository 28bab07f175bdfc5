"""Imports in a worker: the kernel's modules come from where the kernel found them, and the user's own are reported."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from types import ModuleType
from typing import Any, Protocol

from jray.runtime import wire
from jray.runtime.own_modules import sign_of
from jray.runtime.surroundings import ModulePlace, Seen
from jray.user_code import is_own_file


class KernelModules:
    """Finds modules that a task's submitter had imported. `sys.path` may say something else by now, or nothing.

    (The directory has changed since, or an entry was there for one import only.)
    """

    def __init__(self) -> None:
        """None yet."""
        self.places: dict[str, ModulePlace] = {}  # of the running task

    def find_spec(self, name: str, _path: Sequence[str] | None = None, _target: Any = None, /) -> ModuleSpec | None:
        """As `sys.meta_path` asks; None: look elsewhere."""
        place = self.places.get(name)
        if place is None:
            return None
        folders = list(place.folders) or None
        if not place.file:
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = folders
            return spec
        if sign_of(place.file) is None:
            return None  # it is gone; perhaps there is another
        return spec_from_file_location(name, place.file, submodule_search_locations=folders)


class ImportListener(Protocol):
    """Who wants to know what imports change: see TaskSurroundings."""

    def end_import(self, module: str, before: Seen) -> None:
        """A module was executed."""


def watch_imports(modules: KernelModules, listener: ImportListener, report: Callable[[Any], None]) -> None:
    """Look on at each import of Python source in this process, which is a worker. `report` takes messages."""
    sys.meta_path.insert(0, modules)
    execute, main = SourceFileLoader.exec_module, threading.get_ident()
    is_importing = False

    def exec_module(self: SourceFileLoader, module: ModuleType) -> None:
        nonlocal is_importing
        sign = sign_of(self.path) if is_own_file(self.path) else None
        if sign is not None:
            report(wire.ModuleImported(module.__name__, self.path, *sign))
        if is_importing or threading.get_ident() != main:
            execute(self, module)
            return
        is_importing, before = True, Seen()
        try:
            execute(self, module)
        finally:
            is_importing = False
            listener.end_import(module.__name__, before)

    # A traceback leaves out what it believes to be a part of importlib: so should this be.
    exec_module.__code__ = exec_module.__code__.replace(co_filename="<frozen importlib._bootstrap_external>")
    SourceFileLoader.exec_module = exec_module  # type: ignore[method-assign, assignment]
