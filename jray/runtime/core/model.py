"""The scheduler's records, their states, and the table of legal moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from jray.runtime.core.messages import TaskSpec
from jray.runtime.core.resources import cpus_in
from jray.runtime.ids import ObjectId, Shape, TaskId, WorkerId


class TaskState(IntEnum):
    """Where a task stands. An integer, because every move looks into a table."""

    WAITING = 0  # for arguments
    QUEUED = 1  # for resources and a worker
    RUNNING = 2  # in a worker's line (the first of a line runs, the others are prefetched)
    BLOCKED = 3  # in get or wait; its CPUs are released
    RESUMING = 4  # what it waited for is there; stands ahead of all queued tasks for its CPUs
    FINISHED = 5
    FAILED = 6

    @property
    def is_final(self) -> bool:
        """Nothing can happen to it any more."""
        return self >= TaskState.FINISHED


_S = TaskState
LEGAL_MOVES: Mapping[TaskState, Mapping[TaskState, str]] = {
    _S.WAITING: {_S.QUEUED: "all arguments are there", _S.FAILED: "an argument failed"},
    _S.QUEUED: {_S.RUNNING: "a lease was granted"},
    _S.RUNNING: {
        _S.BLOCKED: "it waits in get or wait; its CPUs are released",
        _S.QUEUED: "worker lost with retries left, or handed back unstarted",
        _S.FINISHED: "the current attempt returned",
        _S.FAILED: "the current attempt raised, or its worker was lost for good",
    },
    _S.BLOCKED: {
        _S.RESUMING: "what it waits for is there, or its time-out is over",
        _S.QUEUED: "worker lost with retries left",
        _S.FAILED: "worker lost for good",
    },
    _S.RESUMING: {
        _S.RUNNING: "its CPUs are free again",
        _S.QUEUED: "worker lost with retries left",
        _S.FAILED: "worker lost for good",
    },
    _S.FINISHED: {},
    _S.FAILED: {},
}
"""The docs' state diagram is generated from this table; a test keeps them equal."""

IS_LEGAL = tuple(tuple(to in LEGAL_MOVES[state] for to in TaskState) for state in TaskState)


class IllegalMove(AssertionError):
    """A bug in the scheduler: a task was moved in a way that the table forbids."""


class WorkerState(Enum):
    """Where a worker stands. (Whether it is up yet is the pool's business: a starting worker can be sent tasks.)."""

    IDLE = "idle"
    BUSY = "busy"
    LEAVING = "leaving"  # was told to end, and has GPUs, or may hold something, until its process has ended
    DEAD = "dead"


class ObjectState(Enum):
    """Where an object stands. A freed object has no record."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


@dataclass(slots=True, eq=False)
class TaskRecord:
    """One requested execution."""

    spec: TaskSpec
    tally: list[int]  # counters by state: shared by all tasks of that name and origin
    retries_left: int
    state: TaskState = TaskState.WAITING
    attempt: int = 0  # grows with each lease; the fence against stale reports
    missing: int = 0  # arguments that are not there yet
    order: int = 0  # when it was queued, for fairness between shapes
    since: float = 0.0  # when it came into this state


@dataclass(slots=True, eq=False)
class Ask:
    """One wait of one worker's thread."""

    worker: WorkerId
    request: int
    objects: tuple[ObjectId, ...]
    short: int  # how many more objects must come
    until_failure: bool
    releases: bool  # it is the main thread of the task at the head of the worker's lease


@dataclass(slots=True, eq=False)
class Lease:
    """Resources held on a worker.

    Invariant: what it holds is `shape`, less its CPUs while `released`.
    """

    shape: Shape
    line: dict[TaskId, int] = field(default_factory=dict)  # task -> attempt; the first runs, the others are prefetched
    released: bool = False  # its head is BLOCKED or RESUMING
    ask: Ask | None = None  # what the head waits for, while released
    expected_s: float = 0.0  # work in the line, by the running means
    filled_s: float = 0.0  # the same when something was put behind the head last
    deadline: float = 0.0  # past this the prefetched ones are recalled
    recalled: bool = False
    cpus: int = 0  # the CPU part of shape, in units
    doubtful: set[str] = field(default_factory=set)  # modules that changed during it: its worker must not import them

    def __post_init__(self) -> None:
        """Derive the CPU part once."""
        self.cpus = cpus_in(self.shape)


@dataclass(slots=True, eq=False)
class WorkerRecord:
    """One worker process, as the scheduler sees it."""

    id: WorkerId
    gpus: tuple[int, ...] = ()  # that its process sees, all its life
    gpu_share: int = 0  # of each of them, in units: what its lease holds, or the last one held
    state: WorkerState = WorkerState.IDLE
    lease: Lease | None = None
    refs: set[ObjectId] = field(default_factory=set)  # objects its process holds
    views: set[ObjectId] = field(default_factory=set)  # objects that its process maps
    lent: dict[int, tuple[ObjectId, ...]] = field(
        default_factory=dict
    )  # of replies that it has not read yet, by request
    asks: dict[int, Ask] = field(default_factory=dict)  # open waits, by request
    leases: int = 0  # that it has had
    is_retired: bool = False  # gets no more tasks, and ends when it has none
    modules: set[str] = field(default_factory=set)  # of the user's own, that were imported in it

    @property
    def holds_nothing(self) -> bool:
        """Whether nobody would miss it."""
        return not self.refs and not self.views and not self.asks and not self.lent


@dataclass(slots=True, eq=False)
class ObjectRecord:
    """One object's life.

    Invariant: it is freed exactly when it is not PENDING and holders == pins == 0.
    """

    holders: int = 1  # refs in the kernel + workers that hold it
    pins: int = 0  # unfinished tasks and objects that contain it
    state: ObjectState = ObjectState.PENDING
    waiters: dict[TaskRecord | Ask, None] | None = None  # ordered; made only when somebody waits
    contains: tuple[ObjectId, ...] = ()

    def add_waiter(self, waiter: TaskRecord | Ask) -> None:
        """It wants to know when the object is there."""
        if self.waiters is None:
            self.waiters = {}
        self.waiters[waiter] = None
