"""The composition root of `%load_ext jray`: makes the session, registers the magics, and takes both away again."""

from __future__ import annotations

from IPython.core.interactiveshell import InteractiveShell

from jray import api
from jray.kernel.session import Session
from jray.kernel.tracebacks import Tracebacks
from jray.magics.control import ControlMagics
from jray.magics.remote import RemoteMagics

_sessions: dict[int, tuple[Session, Tracebacks]] = {}  # by id of the shell
_MAGICS = {"line": ("remote", "%remote", "jray"), "cell": ("remote",)}


def load(shell: InteractiveShell) -> None:
    """Add jray to a shell; once is enough."""
    if id(shell) in _sessions:
        return
    session = Session(shell)
    _sessions[id(shell)] = session, Tracebacks(shell)
    shell.register_magics(RemoteMagics(shell, session), ControlMagics(shell, session))


def unload(shell: InteractiveShell) -> None:
    """Take jray out of a shell: no magic, hook, thread or process stays."""
    if id(shell) not in _sessions:
        return
    session, tracebacks = _sessions.pop(id(shell))
    api.shutdown()
    tracebacks.close()
    session.close()
    manager = shell.magics_manager
    for kind, names in _MAGICS.items():
        for name in names:
            manager.magics[kind].pop(name, None)
    for magics in (RemoteMagics, ControlMagics):
        manager.registry.pop(magics.__name__, None)
