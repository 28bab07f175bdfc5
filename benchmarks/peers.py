"""Runtimes behind one face: what the workloads that all of them can do are written against."""

from __future__ import annotations

import contextlib
import importlib
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from typing import Any, Protocol

import psutil

WORKERS = 2
ALL = ("jray", "ray", "pool", "loky", "dask")
END_S = 20


class Peer(Protocol):
    """A runtime with two workers."""

    def start(self, function: Callable[..., Any], *args: Any) -> Any:
        """Start a task; a handle of its result."""

    def value(self, handle: Any) -> Any:
        """Wait for a result."""

    def values(self, handles: list[Any]) -> list[Any]:
        """Wait for many."""


class Refs:
    """jray or Ray."""

    def __init__(self, api: Any) -> None:
        """`api` is the module, started."""
        self.api = api
        self._remote: dict[Callable[..., Any], Any] = {}

    def start(self, function: Callable[..., Any], *args: Any) -> Any:
        """As in Peer. Functions are made remote once."""
        remote = self._remote.get(function)
        if remote is None:
            remote = self._remote[function] = self.api.remote(function)
        return remote.remote(*args)

    def value(self, handle: Any) -> Any:
        """As in Peer."""
        return self.api.get(handle)

    def values(self, handles: list[Any]) -> list[Any]:
        """As in Peer."""
        return self.api.get(handles)


class Futures:
    """An executor of concurrent.futures, or one that looks like it."""

    def __init__(self, submit: Callable[..., Any], gather: Callable[[list[Any]], list[Any]] | None = None) -> None:
        """`submit` as an executor's; `gather` waits for many at once, where there is such a thing."""
        self._submit = submit
        self._gather = gather or (lambda handles: [handle.result() for handle in handles])

    def start(self, function: Callable[..., Any], *args: Any) -> Any:
        """As in Peer."""
        return self._submit(function, *args)

    def value(self, handle: Any) -> Any:
        """As in Peer."""
        return handle.result()

    def values(self, handles: list[Any]) -> list[Any]:
        """As in Peer."""
        return self._gather(handles)


@contextlib.contextmanager
def runtime(name: str, workers: int = WORKERS) -> Iterator[Any]:
    """Start jray or ray, and give its module; afterwards no process and no file of it is left."""
    api = importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        if name == "ray":
            quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
            api.init(num_cpus=workers, object_store_memory=3 << 30, _temp_dir=folder, **quiet)
        else:
            api.init(num_cpus=workers)
        try:
            yield api
        finally:
            processes = psutil.Process().children(recursive=True)
            api.shutdown()
            for process in psutil.wait_procs(processes, timeout=END_S)[1]:
                process.kill()


@contextlib.contextmanager
def peer(name: str) -> Iterator[Peer]:
    """Start the runtime of this name; afterwards it is gone."""
    if name in ("jray", "ray"):
        with runtime(name) as api:
            yield Refs(api)
    elif name == "pool":
        with ProcessPoolExecutor(WORKERS) as pool:
            yield Futures(pool.submit)
    elif name == "loky":
        loky = importlib.import_module("loky")
        executor = loky.get_reusable_executor(max_workers=WORKERS)
        yield Futures(executor.submit)
        executor.shutdown(wait=True)
    else:
        distributed = importlib.import_module("distributed")
        with distributed.Client(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as client:
            yield Futures(lambda function, *args: client.submit(function, *args, pure=False), client.gather)


def versions() -> dict[str, str]:
    """Of all peers that are installed."""
    found = {}
    for name in ("jray", "ray", "loky", "distributed", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = version(name)
    return found


def seconds(action: Callable[[], object]) -> float:
    """How long one call takes; what it returns is dropped afterwards."""
    began = time.perf_counter()
    kept = action()
    took_s = time.perf_counter() - began
    del kept
    return took_s
