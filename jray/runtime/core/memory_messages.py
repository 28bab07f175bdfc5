"""What the scheduler hears of shared memory, and what it orders about it: see memory.py.

messages.py has all messages under one name.
"""

from __future__ import annotations

from jray.runtime.ids import ObjectId, WorkerId, message

# ---- events -----------------------------------------------------------------------------------------------------


@message
class ViewsTaken:
    """A process maps these objects: they can't be moved. The kernel reports each view, a worker each object."""

    at: float
    holder: WorkerId
    objects: tuple[ObjectId, ...]


@message
class ViewsDropped:
    """A process has no view of them any more."""

    at: float
    holder: WorkerId
    objects: tuple[ObjectId, ...]


@message
class ReplyRead:
    """A worker has read the reply to a wait: what it maps of it was reported before."""

    at: float
    worker: WorkerId
    request: int


@message
class RoomAsked:
    """A process wants to write more into shared memory than it was promised. One of its threads waits."""

    at: float
    process: WorkerId
    request: int  # the process's own number for this
    size: int  # bytes


@message
class RoomAbandoned:
    """The thread does not wait any more."""

    at: float
    process: WorkerId
    request: int


@message
class RoomReturned:
    """A process does not need so much of what it was promised: a value was not written after all."""

    at: float
    process: WorkerId
    size: int  # bytes


@message
class ObjectSpilled:
    """A copy of an object's bytes is on disk, or could not be made."""

    at: float
    object: ObjectId
    error: str  # why there is no copy, in words; empty: there is one


@message
class ObjectLoaded:
    """An object's bytes were copied from disk to memory, or could not be."""

    at: float
    object: ObjectId
    succeeded: bool


# ---- instructions -----------------------------------------------------------------------------------------------


@message
class GrantRoom:
    """The thread may write as much as it asked for."""

    process: WorkerId
    request: int


@message
class RefuseRoom:
    """There is no room for what the thread wants to write, and there will be none."""

    process: WorkerId
    request: int
    is_for_disk: bool  # things could be moved to disk if that took them
    text: str  # for people: whole sentences


@message
class Allow:
    """The process may write so many bytes more without asking."""

    process: WorkerId
    size: int


@message
class SpillObject:
    """Copy the object's bytes to disk, unless there is a copy, and say when that is done."""

    object: ObjectId


@message
class MoveToDisk:
    """The copy on disk is the object's value from now on; its memory is free."""

    object: ObjectId


@message
class LoadObject:
    """Copy the object's bytes back into memory, and say when that is done. The copy on disk stays."""

    object: ObjectId


@message
class KeepWarm:
    """Each process keeps at most so many bytes of free pages for its next values."""

    size: int
