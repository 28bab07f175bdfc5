"""What the scheduler hears (events, past tense) and what it orders (instructions, imperative).

Nobody changes a message after it was made.
"""

from __future__ import annotations

from typing import TypeAlias

from jray.runtime.core.memory_messages import (
    Allow as Allow,
    GrantRoom as GrantRoom,
    KeepWarm as KeepWarm,
    LoadObject as LoadObject,
    MoveToDisk as MoveToDisk,
    ObjectLoaded as ObjectLoaded,
    ObjectSpilled as ObjectSpilled,
    RefuseRoom as RefuseRoom,
    ReplyRead as ReplyRead,
    RoomAbandoned as RoomAbandoned,
    RoomAsked as RoomAsked,
    RoomReturned as RoomReturned,
    SpillObject as SpillObject,
    ViewsDropped as ViewsDropped,
    ViewsTaken as ViewsTaken,
)
from jray.runtime.ids import ObjectId, Shape, TaskId, WorkerId, message


@message
class TaskTemplate:
    """What all tasks have in common that one place submits of one function. What they run is the shell's business."""

    name: str  # for people
    function: str  # which function, for the running mean of its duration; equal names may share one mean
    shape: Shape
    num_returns: int
    max_retries: int  # lost workers that a task survives; -1: any number
    depth: int  # 0 for the user's own tasks, parent's depth + 1 for nested ones
    parent: TaskId  # NO_TASK for the user's own
    owner: WorkerId  # the process that submits them and holds their refs
    origin: int = 0  # where all this started (the cell); the kernel's rooms know what the number means


@message
class TaskSpec:
    """What the scheduler must know of a task."""

    task: TaskId
    template: TaskTemplate
    needs: tuple[ObjectId, ...]  # must be there before it starts: its top-level ref arguments
    pins: tuple[ObjectId, ...]  # must stay alive until it ends: refs inside arguments and code, parked payloads


# ---- events -----------------------------------------------------------------------------------------------------


@message
class TaskSubmitted:
    """Somebody called `.remote()`. The owner holds one ref to each result."""

    at: float
    spec: TaskSpec


@message
class TaskFinished:
    """A worker says that an attempt returned; its results are staged in the shell."""

    at: float
    worker: WorkerId
    task: TaskId
    attempt: int
    took_s: float
    failed: tuple[bool, ...]  # for each result: it is an error (could not be stored, was never bound)
    contains: tuple[tuple[ObjectId, ...], ...]  # for each result: the refs inside it
    sizes: tuple[int, ...] = ()  # for each result: the bytes that it takes in shared memory; empty: none takes any


@message
class AttemptsReturned:
    """A worker says that these returned, each one small value in which there is no ref: most do."""

    at: float
    worker: WorkerId
    reports: list[tuple[TaskId, int, float, object]]  # task, attempt, seconds it took, and what the shell wants back


@message
class TaskFailed:
    """A worker says that an attempt raised; the error is staged in the shell."""

    at: float
    worker: WorkerId
    task: TaskId
    attempt: int
    took_s: float


@message
class WorkerWaits:
    """A worker's thread waits for objects.

    It may go on when `count` of them are there, or one of them failed and `until_failure` is set. `releases` says that
    it is the main thread of the named attempt: its CPUs are free meanwhile.
    """

    at: float
    worker: WorkerId
    task: TaskId
    attempt: int
    request: int  # the worker's own number for this wait
    objects: tuple[ObjectId, ...]
    count: int
    until_failure: bool
    releases: bool


@message
class WaitAbandoned:
    """The worker's time-out is over: it wants to go on with what is there."""

    at: float
    worker: WorkerId
    request: int


@message
class AttemptsHandedBack:
    """A worker returns attempts that it has not started."""

    at: float
    worker: WorkerId
    runs: tuple[tuple[TaskId, int], ...]


@message
class ObjectPut:
    """A value was stored by `put`. The owner holds one ref to it."""

    at: float
    object: ObjectId
    owner: WorkerId
    contains: tuple[ObjectId, ...]
    size: int = 0  # bytes that it takes in shared memory


@message
class RefsTaken:
    """A process holds these objects (refs, and views of them). The kernel reports each ref, a worker each object."""

    at: float
    holder: WorkerId
    objects: tuple[ObjectId, ...]


@message
class RefsDropped:
    """A process no longer holds them."""

    at: float
    holder: WorkerId
    objects: tuple[ObjectId, ...]


@message
class WorkerLost:
    """A worker's process ended without being asked to."""

    at: float
    worker: WorkerId
    reason: str  # in words, for people: "worker w3 (pid 71) was killed by SIGKILL"


@message
class WorkerRefused:
    """The system refused a worker's process: too many open files, processes, or too little memory."""

    at: float
    worker: WorkerId
    reason: str  # in words, for people: "worker w3 could not be started (Too many open files)"


@message
class WorkerSpoiled:
    """A worker is not fit for tasks any more: what prepares it for them has failed in it."""

    at: float
    worker: WorkerId


@message
class RestartAsked:
    """The user wants new worker processes. `now`: tasks that run are not waited for."""

    at: float
    now: bool


@message
class ModuleImported:
    """A worker has imported one of the user's own modules."""

    at: float
    worker: WorkerId
    module: str


@message
class ModulesChanged:
    """What is submitted from now on must not run where these were imported before: their code was another one then."""

    at: float
    modules: tuple[str, ...]


@message
class Resized:
    """The user has changed how many CPUs there are."""

    at: float
    cpus: int  # in units


@message
class TimerFired:
    """The time of the last SetTimer has come."""

    at: float


Event: TypeAlias = (
    TaskSubmitted
    | TaskFinished
    | AttemptsReturned
    | TaskFailed
    | WorkerWaits
    | WaitAbandoned
    | AttemptsHandedBack
    | ObjectPut
    | RefsTaken
    | RefsDropped
    | ViewsTaken
    | ViewsDropped
    | ReplyRead
    | RoomAsked
    | RoomAbandoned
    | RoomReturned
    | ObjectSpilled
    | ObjectLoaded
    | WorkerLost
    | WorkerRefused
    | WorkerSpoiled
    | RestartAsked
    | ModuleImported
    | ModulesChanged
    | Resized
    | TimerFired
)


# ---- instructions -----------------------------------------------------------------------------------------------


@message
class StartWorker:
    """Start a process. Tasks may be sent to it at once; it reads them when it is up."""

    worker: WorkerId
    gpus: tuple[int, ...] = ()  # that it sees, all its life


@message
class EndWorker:
    """It is idle, and not needed any more, or its GPUs are needed by others, or another one takes its place.

    The scheduler has forgotten it; one that has GPUs, or may hold something, is remembered until its process has ended.
    """

    worker: WorkerId


@message
class KillWorker:
    """It is busy, and the user does not want to wait for it. That it is lost is told as always."""

    worker: WorkerId


@message
class SendTasks:
    """Hand attempts to a worker; it runs them one after the other."""

    worker: WorkerId
    runs: list[tuple[TaskId, int]]


@message
class RecallTasks:
    """Ask a worker to hand back what it has not started."""

    worker: WorkerId


@message
class PublishReport:
    """The staged report of this attempt is the task's outcome."""

    task: TaskId
    worker: WorkerId
    attempt: int


@message
class PublishReports:
    """These reports of AttemptsReturned are the outcome of their tasks: what the shell wanted back of them."""

    results: list[tuple[TaskId, object]]


@message
class PublishFailure:
    """All results of the task are errors that no worker wrote.

    Either the failure of `argument` is passed on, or the task was lost for `reason`.
    """

    task: TaskId
    argument: ObjectId | None
    reason: str


@message
class ReplyToWait:
    """Tell a waiting worker what is there now; it goes on."""

    worker: WorkerId
    request: int


@message
class FreeObjects:
    """Nobody can ever ask for these again."""

    objects: list[ObjectId]


@message
class SetTimer:
    """Fire once at this time. A later one replaces it."""

    at: float


@message
class WarnUser:
    """Something the user should know now, in whole sentences."""

    text: str


Instruction: TypeAlias = (
    StartWorker
    | EndWorker
    | KillWorker
    | SendTasks
    | RecallTasks
    | PublishReport
    | PublishReports
    | PublishFailure
    | ReplyToWait
    | FreeObjects
    | GrantRoom
    | RefuseRoom
    | Allow
    | SpillObject
    | MoveToDisk
    | LoadObject
    | KeepWarm
    | SetTimer
    | WarnUser
)
