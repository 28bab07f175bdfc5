"""jray: parallel work in a notebook.

`%load_ext jray`, then `%%remote` cells and `@jray.remote` functions run on worker processes. In scripts,
`import jray as ray` runs Ray Core programs. Everything is loaded at first use, so that importing costs little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from jray import exceptions as exceptions
    from jray.api import (
        available_resources as available_resources,
        cluster_resources as cluster_resources,
        get as get,
        init as init,
        is_initialized as is_initialized,
        put as put,
        remote as remote,
        shutdown as shutdown,
        wait as wait,
    )
    from jray.runtime.object_ref import ObjectRef as ObjectRef
    from jray.runtime_context import get_gpu_ids as get_gpu_ids, get_runtime_context as get_runtime_context
    from jray.workers import resize as resize, restart as restart, run_on_all as run_on_all

    ObjectID = ObjectRef

__version__ = "0.1.0"

__all__ = [
    "ObjectID",
    "ObjectRef",
    "available_resources",
    "cluster_resources",
    "exceptions",
    "get",
    "get_gpu_ids",
    "get_runtime_context",
    "init",
    "is_initialized",
    "put",
    "remote",
    "resize",
    "restart",
    "run_on_all",
    "shutdown",
    "wait",
]

_RAY_ONLY = frozenset(
    {
        "actor",
        "cancel",
        "data",
        "get_actor",
        "kill",
        "method",
        "nodes",
        "serve",
        "timeline",
        "train",
        "util",
    }
)
_HOMES = {
    "ObjectRef": "jray.runtime.object_ref",
    "ObjectID": "jray.runtime.object_ref",
    "resize": "jray.workers",
    "restart": "jray.workers",
    "run_on_all": "jray.workers",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        msg = f"module 'jray' has no attribute {name!r}"
        from jray.other_names import OF_JRAY

        if name in _RAY_ONLY:
            msg += ". It is a name of Ray's that jray does not have yet. docs/ray.md lists what there is."
        elif name in OF_JRAY:
            msg += f". {OF_JRAY[name]}"
        raise AttributeError(msg)
    from importlib import import_module

    if name == "exceptions":
        return import_module("jray.exceptions")
    home = import_module(_HOMES.get(name, "jray.api"))
    value = getattr(home, "ObjectRef" if name == "ObjectID" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext jray`: the magics, and a runtime whose output goes to the cells that caused it."""
    from jray.extension import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext jray`: leaves nothing behind."""
    from jray.extension import unload

    unload(shell)
