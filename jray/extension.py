"""The composition root of `%load_ext jray`: makes what must meet, registers it, and takes it all away again."""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass

from IPython.core.interactiveshell import InteractiveShell

from jray import api
from jray.kernel.session import Session
from jray.kernel.tracebacks import Tracebacks
from jray.magics.completion import Completions
from jray.magics.control import ControlMagics
from jray.magics.remote import RemoteMagics
from jray.widgets.cards import Cards
from jray.widgets.feed import Feed

_MAGICS = {"line": ("remote", "%remote", "jray"), "cell": ("remote",)}


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What is in one shell."""

    session: Session
    tracebacks: Tracebacks
    completions: Completions
    cards: Cards
    feed: Feed

    def close(self) -> None:
        """The feed goes first: its last pictures are of what is there now."""
        self.feed.close()
        api.shutdown()
        self.cards.close()
        self.completions.close()
        self.tracebacks.close()
        self.session.close()


_loaded: dict[int, _Loaded] = {}  # by id of the shell


def load(shell: InteractiveShell) -> None:
    """Add jray to a shell; once is enough."""
    if id(shell) in _loaded:
        return
    session = Session(shell)
    feed = session.watcher = Feed(session)
    _loaded[id(shell)] = _Loaded(session, Tracebacks(shell, session.label_of), Completions(shell), Cards(session), feed)
    shell.register_magics(RemoteMagics(shell, session), ControlMagics(shell, session, feed.show_dashboard))


def unload(shell: InteractiveShell) -> None:
    """Take jray out of a shell: no magic, hook, thread or process stays."""
    loaded = _loaded.pop(id(shell), None)
    if loaded is None:
        return
    loaded.close()
    manager = shell.magics_manager
    for kind, names in _MAGICS.items():
        for name in names:
            manager.magics[kind].pop(name, None)
    for magics in (RemoteMagics, ControlMagics):
        manager.registry.pop(magics.__name__, None)


os.register_at_fork(after_in_child=_loaded.clear)  # the pictures are the parent's, and its threads may hold their locks


@atexit.register
def _leave_still_pictures() -> None:
    """The kernel ends: what the notebook holds must be right without it."""
    for loaded in _loaded.values():
        loaded.feed.close()
