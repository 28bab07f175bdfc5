"""The user's own modules in this process, and whether the code that runs here is that of their files.

Own is what is neither installed nor jray's: modules beside the notebook, and projects that are installed editable. They
travel by name, so a worker runs what it has imported itself: somebody must notice when that is not what runs here.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import NamedTuple, TypeAlias

from jray.runtime.surroundings import ModulePlace
from jray.user_code import is_own_file

LOOK_EVERY_S = 1.0  # at files, while one cell (or a script) submits tasks
_MAIN = ("__main__", "__mp_main__")

Stamp: TypeAlias = tuple[float, bool] | None
"""What a reloader says of a module: (the time of the file that it has looked at, whether it could not load it)."""


class Sign(NamedTuple):
    """Tells one state of a file from another."""

    mtime_ns: int
    size: int


class Imported(NamedTuple):
    """A module as workers have imported it."""

    file: str
    sign: Sign | None  # None: not all the same


class News(NamedTuple):
    """What a look has found."""

    changed: tuple[str, ...]  # who has imported one of these may run old code
    edited: tuple[str, ...]  # their files were edited, and here the old code runs; said once


class _LastImport(NamedTuple):
    """What was at the end of `sys.modules`, and how many there were."""

    number: int
    name: str
    module: object
    namespace: Mapping[str, object]
    spec: object


@dataclass(slots=True, eq=False)
class _Known:
    """One module that was imported here."""

    file: str
    sign: Sign | None  # of the file whose code runs here
    spec: object  # `importlib.reload` makes another one
    stamp: Stamp  # when we looked last
    is_edited: bool = False  # the file is newer than the code that runs here


def sign_of(file: str) -> Sign | None:
    """The state of a file now; None if it can't be seen."""
    try:
        seen = os.stat(file)  # noqa: PTH116 - asked of all of them; a Path costs twice as much
    except OSError:
        return None
    return Sign(seen.st_mtime_ns, seen.st_size)


class OwnModules:
    """Those of this process. One thread at a time."""

    def __init__(self, stamp_of: Callable[[str, str], Stamp] = lambda *_: None) -> None:
        """Take down what has been imported.

        `stamp_of` (name, file) is asked what a reloader says that patches modules in place, as `%autoreload` does.
        """
        self.places: tuple[ModulePlace, ...] = ()  # another tuple only if it differs
        self._stamp_of = stamp_of
        self._known: dict[str, _Known] = {}
        self._others: set[str] = set()  # names of modules that are not the user's own
        self._last = _LastImport(0, "", None, {}, None)
        self._is_due = True
        self._look_at = 0.0
        self.note_imports()

    def begin_cell(self) -> None:
        """The next submission is the first one of a cell."""
        self._is_due = True

    def note_imports(self) -> None:
        """A cell has ended: what it has imported is what the files say now."""
        if self._has_imported():
            self._take_down()
        for name, known in self._known.items():
            if known.stamp is None:
                known.stamp = self._stamp_of(name, known.file)

    def may_have_news(self) -> bool:
        """Whether one should look: at each first submission of a cell, after each import and reload, and now and then.

        Asked at each submission.
        """
        return self._is_due or self._has_imported() or time.monotonic() >= self._look_at

    def _has_imported(self) -> bool:
        """Whether anything was imported or reloaded since we have taken down what there is.

        Python moves a module to the end of `sys.modules` when it is loaded, also when it is loaded again: so their
        number and the last one tell. (Specs are compared by identity: that of a reload is equal to the one before.)
        """
        modules, then = sys.modules, self._last
        if len(modules) != then.number or modules.get(then.name) is not then.module:
            return True
        try:
            return next(reversed(modules)) != then.name or then.namespace.get("__spec__") is not then.spec
        except (StopIteration, RuntimeError):  # another thread has just imported something
            return True

    def look(self, imported: Mapping[str, Imported]) -> News:
        """Look at the files of all modules that run here, and of those that workers have imported."""
        self._is_due, self._look_at = False, time.monotonic() + LOOK_EVERY_S
        self._take_down()
        changed: dict[str, None] = {}
        edited: list[str] = []
        for name, known in self._known.items():
            sign = sign_of(known.file)
            if self._is_loaded_again(name, known):
                if sign != known.sign:
                    changed[name] = None
                known.sign, known.is_edited = sign, False
            elif sign is not None:
                if sign != known.sign and not known.is_edited:
                    edited.append(name)
                known.is_edited = sign != known.sign
        changed |= dict.fromkeys(self._outdated(imported))
        return News(tuple(sorted(changed)), tuple(sorted(edited)))

    def _is_loaded_again(self, name: str, known: _Known) -> bool:
        """Whether other code runs here than when we looked last."""
        spec, stamp = _spec_of(sys.modules.get(name)), self._stamp_of(name, known.file)
        was, known.stamp = known.stamp, stamp
        is_patched = was is not None and stamp is not None and stamp != was and not stamp[1]
        is_other = spec is not known.spec
        known.spec = spec
        return is_other or is_patched

    def _outdated(self, imported: Mapping[str, Imported]) -> Iterator[str]:
        """Modules that a worker has imported in another state than the one that a call here would run.

        Where that is an old one, because nobody has reloaded it, another worker would not be any better.
        """
        for name, (file, sign) in list(imported.items()):
            known = self._known.get(name)
            wanted = known.sign if known is not None else sign_of(file)  # not imported here: a call would do it now
            if wanted is not None and sign != wanted and not (known is not None and known.is_edited):
                yield name

    def _take_down(self) -> None:
        """Which modules there are now."""
        modules = dict(sys.modules)
        name = next(reversed(modules))
        last = modules[name]
        namespace = vars(last) if type(last) is ModuleType else {}
        self._last = _LastImport(len(modules), name, last, namespace, namespace.get("__spec__"))
        for name, known in list(self._known.items()):
            file = own_file(name, modules.get(name))
            if file is None:
                del self._known[name]
            else:
                known.file = file  # it may have been imported again, from elsewhere
        self._others.intersection_update(modules)
        for name in modules.keys() - self._known.keys() - self._others:
            file = own_file(name, modules[name])
            if file is None:
                self._others.add(name)
            else:
                self._known[name] = _Known(file, sign_of(file), _spec_of(modules[name]), self._stamp_of(name, file))
        places = tuple(_places(self._known, modules))
        if places != self.places:
            self.places = places


def own_file(name: str, module: object) -> str | None:
    """The source of a module that is the user's own; None for others."""
    if type(module) is not ModuleType or name in _MAIN:  # another type may do anything when it is asked
        return None
    file = vars(module).get("__file__")
    return file if type(file) is str and file.endswith(".py") and is_own_file(file) else None


def _places(known: Mapping[str, _Known], modules: Mapping[str, object]) -> Iterator[ModulePlace]:
    """Of modules and packages at the top; those inside are found by way of them."""
    for name in sorted({name.partition(".")[0] for name in known}):
        module = modules.get(name)
        if type(module) is not ModuleType:
            continue
        folders = _folders_of(module)
        if name not in known and folders and vars(module).get("__file__") is None:
            yield ModulePlace(name, "", folders)
        elif name in known and type(getattr(_spec_of(module), "loader", None)) is SourceFileLoader:
            yield ModulePlace(name, known[name].file, folders)


def _folders_of(package: ModuleType) -> tuple[str, ...]:
    try:
        return tuple([folder for folder in vars(package).get("__path__", ()) if type(folder) is str])
    except Exception:  # noqa: BLE001 - people may set it to what they like; and its parent may be gone
        return ()


def _spec_of(module: object) -> object:
    return getattr(module, "__spec__", None) if type(module) is ModuleType else None
