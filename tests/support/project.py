"""A user's own modules, in a folder of the test: written, edited, and in the end forgotten again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


class Project:
    """Each edit is later than the one before, whatever the clock of the file system can tell apart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._time = 1_000_000_000

    def write(self, name: str, text: str) -> Path:
        """`name` is a module's, with dots; a package is written as `package.__init__`."""
        path = self.folder.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self._time += 10
        os.utime(path, (self._time, self._time))
        return path

    def forget(self) -> None:
        """As if nothing of it had been imported."""
        for name in [name for name, module in sys.modules.items() if self._is_in_here(module)]:
            del sys.modules[name]

    def _is_in_here(self, module: object) -> bool:
        file = getattr(module, "__file__", None)
        places = [file] if file else list(getattr(module, "__path__", None) or [])
        return any(str(place).startswith(f"{self.folder}{os.sep}") for place in places)
