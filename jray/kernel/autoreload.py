"""What `%autoreload` has done. It patches modules in place where it can, and `importlib.reload` then never runs.

That is in no public place: two dictionaries of its own are looked at, if they are there. A test says when they are not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from jray.runtime.own_modules import Stamp


def stamps_of_autoreload(shell: InteractiveShell) -> Callable[[str, str], Stamp]:
    """Says of a module (name, file) which state of the file `%autoreload` has dealt with; None: it has not looked."""

    def stamp_of(name: str, file: str) -> Stamp:
        reloader: Any = getattr(shell.magics_manager.registry.get("AutoreloadMagics"), "_reloader", None)
        mtime = getattr(reloader, "modules_mtimes", {}).get(name)
        if mtime is None:
            return None
        return mtime, getattr(reloader, "failed", {}).get(file) == mtime

    return stamp_of
