"""What surrounds a task: `sys.path`, the working directory, the environment, and where the user's own modules are.

A task finds those of the moment of its submission, in whichever worker it runs, and however often. They are read at
each submission, exactly; as long as they are the same, that costs one to two microseconds.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

from jray.runtime.system import working_directory

# What jray sets in the zygote and its workers if the user does not. (Threads: see worker/threads.py.)
UNLESS_SET = {b"JE_ARROW_MALLOC_CONF": b"background_thread:false"}


class ModulePlace(NamedTuple):
    """Where one of the user's own modules or packages was found: not always where `sys.path` says now."""

    name: str
    file: str  # "": a package without __init__.py
    folders: tuple[str, ...]  # of a package: where its modules are


class Surroundings(NamedTuple):
    """What a task finds in its process. Nobody changes it after it was made; tasks share it."""

    path: tuple[str, ...]
    directory: bytes  # empty: it was removed; the worker stays where it is
    environment: dict[bytes, bytes]
    modules: tuple[ModulePlace, ...]  # that were imported where the task was submitted

    def to_wire(self) -> tuple[Any, ...]:
        """As it travels: plain tuples."""
        return self.path, self.directory, self.environment, tuple([tuple(place) for place in self.modules])

    @classmethod
    def from_wire(cls, wired: Any) -> Surroundings:
        """What came.

        Raises:
            TypeError, ValueError: it is something else.
        """
        path, directory, environment, modules = wired
        is_raw = all(type(part) is bytes for part in (directory, *environment.keys(), *environment.values()))
        if not is_raw or not all(type(entry) is str for entry in path):
            msg = "Surroundings are made of names; something else came."
            raise TypeError(msg)
        return cls(tuple(path), directory, environment, tuple([ModulePlace(*place) for place in modules]))


def search_path() -> tuple[str, ...]:
    """`sys.path`. People put other things than strings into it; Python passes over them, too."""
    entries: list[object] = list(sys.path)
    return tuple([entry for entry in entries if isinstance(entry, str)])


def environment_here() -> dict[bytes, bytes]:
    """What is behind `os.environ`: the very dictionary, so copy what you keep. Else each comparison would make one."""
    known = getattr(os.environ, "_data", None)
    if type(known) is dict:
        return known
    return {os.fsencode(name): os.fsencode(value) for name, value in os.environ.items()}  # the user put another there


class Seen:
    """The three that can change in place, as they were."""

    __slots__ = ("directory", "environment", "path")

    def __init__(self) -> None:
        """As they are now."""
        self.path: list[Any] = list(sys.path)
        self.directory = working_directory()
        self.environment = dict(environment_here())

    def holds(self) -> bool:
        """Whether they are the same now."""
        return (
            sys.path == self.path
            and environment_here() == self.environment
            and working_directory() == self.directory
        )  # fmt: skip
