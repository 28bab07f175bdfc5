"""The seam: what a runtime must do to serve the jray API, and which runtime serves this process.

Live values go in, so that each backend may serialise as it must, in the caller's thread, where pickling errors belong.
Ids and frozen views come out. Everything that blocks takes a deadline.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from jray.options import TaskOptions
from jray.runtime.ids import ObjectId, Shape
from jray.runtime.object_ref import ObjectRef, set_owner
from jray.runtime.store.mapping import viewed

if TYPE_CHECKING:
    from concurrent.futures import Future

    from jray.runtime.serde.code import PackedForm


@dataclass(slots=True, eq=False)
class Callee:
    """A function with its options: what all calls of it have in common."""

    function: Callable[..., Any]
    options: TaskOptions
    shape: Shape  # what the options ask for, in exact units
    name: str  # for people
    key: str  # which function it is, for the running mean of its duration
    form: PackedForm  # of the function
    prepared: Any = None  # what a backend has made of it for the last call: its own affair, and it may be outdated


@dataclass(slots=True, eq=False)
class Call:
    """One `.remote()`: a request with live values."""

    callee: Callee
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    seed: int | None = None  # what it draws random numbers from; None: what the runtime has for it, if anything
    is_counted: bool = True  # among the tasks whose numbers make their seeds


class Readiness(NamedTuple):
    """Which of the asked refs are there."""

    ready: frozenset[ObjectId]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceView:
    """Amounts by name; a resource that is used up is absent from `available`, as in Ray."""

    total: Mapping[str, float]
    available: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where this code runs. In the user's own process there is no task."""

    worker: int  # 0 in the user's own process
    task: int | None
    task_name: str | None
    resources: Mapping[str, float]
    gpus: tuple[int, ...] | tuple[str, ...]  # that the task has; by the names of CUDA_VISIBLE_DEVICES, if it was set
    seed: int | None  # that the task was seeded with


class Backend(Protocol):
    """A runtime that serves the jray API. It also counts refs: see object_ref.RefOwner."""

    name: str

    def submit(self, call: Call) -> list[ObjectRef[Any]]:
        """Start a task; one ref for each result, at once.

        Raises:
            TypeError: the function or an argument can't be pickled.
        """

    def on_map(self, name: str, refs: Sequence[ObjectRef[Any]], /) -> None:
        """A `map` of the function with this name has started the tasks behind these refs."""

    def put(self, value: object) -> ObjectRef[Any]:
        """Store a value as it is now."""

    def fetch(
        self, refs: Sequence[ObjectRef[Any]], deadline: float | None, *, read_only: bool | None = None
    ) -> list[Any]:
        """The values, in order. Raises the first error of any of them as soon as it is known.

        `read_only`: large arrays can't be written; None: as this process is set.

        Raises:
            GetTimeoutError: the deadline (time.monotonic) has passed.
        """

    def there(self, refs: Sequence[ObjectRef[Any]], count: int) -> list[int]:
        """The positions of the first `count` refs that are there now, as far as that is known without asking."""

    def wait(self, refs: Sequence[ObjectRef[Any]], count: int, deadline: float | None) -> Readiness:
        """Wait until `count` of the refs are there (a failed one counts), or the deadline has passed."""

    def resources(self) -> ResourceView:
        """What there is, and what is free now."""

    def where(self) -> Where:
        """What runs here."""

    def retain(self, object_id: ObjectId) -> None:
        """One ref more will exist in this process."""

    def release(self, object_id: ObjectId) -> None:
        """One ref less exists."""

    def take_view(self, object_id: ObjectId) -> None:
        """One view more exists: the object is kept, and stays where it is."""

    def future(self, ref: ObjectRef[Any]) -> Future[Any]:
        """The value, when it is there."""

    def close(self) -> None:
        """End everything that this backend started."""


_current: Backend | None = None
_factory: Callable[[], Backend] | None = None
_kept_for_forks: set[ObjectId] = set()


def _keep_views() -> None:
    """A fork of this process will have the views that we have now, and can't tell when it has done with them.

    So their objects are kept as long as the runtime: a block that is used again would show in pages that nobody wrote.
    """
    if _current is not None:
        for object_id in viewed() - _kept_for_forks:
            _kept_for_forks.add(object_id)
            _current.take_view(object_id)


os.register_at_fork(before=_keep_views)


def install(backend: Backend | None) -> None:
    """Say who serves this process; None: nobody."""
    global _current  # noqa: PLW0603 - there is one runtime in a process
    _current = backend
    set_owner(backend)


def set_factory(factory: Callable[[], Backend]) -> None:
    """Say who makes the backend at first use."""
    global _factory  # noqa: PLW0603
    _factory = factory


def current() -> Backend:
    """Who serves this process; made at first use."""
    if _current is not None:
        return _current
    if _factory is None:
        msg = "No jray runtime serves this process. None was installed and there is no factory. Call jray.init()."
        raise RuntimeError(msg)
    return _factory()


def installed() -> Backend | None:
    """Who serves this process, if anybody does."""
    return _current
