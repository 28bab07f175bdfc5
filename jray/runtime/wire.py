"""Messages between the kernel and its workers, and bytes <-> message.

A frame is a length (4 bytes, little endian) and a marshalled list of plain tuples; one frame carries many messages, one
read many frames. Marshal is the fastest that plain tuples can have (0.06 microseconds a message each way); both ends
run the same Python, since workers are forks of a child of the kernel. What does not decode is a ProtocolError, and the
worker that sent it is replaced.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable
from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeAlias

from jray.runtime.ids import ObjectId, Shape, TaskId, message
from jray.runtime.wire_store import (
    Allowed as Allowed,
    ArenaGone as ArenaGone,
    ArenaShown as ArenaShown,
    AskArena as AskArena,
    AskRoom as AskRoom,
    Freed as Freed,
    KeepWarm as KeepWarm,
    ReplyRead as ReplyRead,
    ReturnRoom as ReturnRoom,
    RoomTold as RoomTold,
    Unviewed as Unviewed,
    Viewed as Viewed,
)

Wire: TypeAlias = tuple[Any, ...]  # a StoredValue, or surroundings, as plain tuples
Parcel: TypeAlias = bytes | int  # packed code or arguments: the bytes, or the object id of what was put into the store

Pickle: TypeAlias = tuple[bytes, tuple[bytes, ...]]  # a value that travels as a whole: the pickle, its large buffers

_LENGTH_BYTES = 4
_LARGEST_FRAME = 1 << 30
LARGEST_PACKET = 96 * 1024  # on a control lane; the system refuses some 200 KiB for good


class ProtocolError(Exception):
    """The other end said something that makes no sense."""


# ---- to a worker ------------------------------------------------------------------------------------------------


@message
class Run:
    """Run an attempt."""

    task: TaskId
    attempt: int
    name: str
    code: bytes  # the key of what was defined before
    captured: tuple[tuple[ObjectId, Wire], ...]  # large values that the code reaches, by their number
    payload: Wire | None  # None: no arguments
    payload_id: int
    arguments: tuple[tuple[ObjectId, Wire], ...]  # values of its top-level refs
    num_returns: int
    shape: Shape
    depth: int
    origin: int
    read_only: bool  # the arrays that it receives can't be written
    seed: int | None  # of the random numbers that it draws


@message
class Define:
    """This is a function. Attempts name it by its key."""

    key: bytes
    digest: bytes  # of the code alone
    head: bytes
    classes: tuple[tuple[bytes, bytes], ...]  # id, and which of the parts is the empty class
    texts: tuple[bytes, ...]
    missing: tuple[str, ...]  # names that it uses and that the notebook does not have
    needs: tuple[bytes, ...]  # all its parts
    parts: dict[bytes, bytes]  # those that this worker does not have
    is_kept: bool  # it may stay loaded


@message
class Forget:
    """No further attempt will name these functions, unless they are defined again."""

    keys: tuple[bytes, ...]


@message
class SetUp:
    """Run this function before the next attempt: it prepares the process."""

    number: int
    name: str
    origin: int
    code: Wire  # a serde.code.Code
    arguments: Pickle  # (args, kwargs)
    is_condition: bool  # if it fails, no task may run here


@message
class Surround:
    """What was submitted with these surroundings comes next, until others are said."""

    surroundings: Wire


@message
class Reply:
    """A wait is over: these of its objects are there."""

    request: int
    values: tuple[tuple[ObjectId, Wire], ...]


# ---- to a worker, on its control lane (read by a thread of its own, also while user code runs) --------------------


@message
class Recall:
    """Hand back what has not been started."""


@message
class ReplyPart:
    """One object for a waiting thread that is not the main thread."""

    request: int
    object: ObjectId
    value: Wire


@message
class ReplyEnd:
    """That was all of it."""

    request: int


@message
class ResourcesTold:
    """The answer to AskResources."""

    request: int
    total: dict[str, float]
    available: dict[str, float]


@message
class Piece:
    """A part of a packet that would have been too long. An empty one: that was all of it."""

    data: bytes


# ---- from a worker ----------------------------------------------------------------------------------------------


@message
class Done:
    """An attempt has ended. `raised`: the one result in `results` is the error of all."""

    task: TaskId
    attempt: int
    raised: bool
    took_s: float
    results: tuple[Wire, ...]
    contains: tuple[tuple[ObjectId, ...], ...]  # empty when no result contains a ref
    is_piped: bool  # something lies in the pipes of descriptors 1 and 2: read it first


@message
class SetUpDone:
    """The function has run. `error`: what it raised, packed; empty: nothing."""

    number: int
    name: str
    origin: int
    error: bytes
    is_condition: bool
    is_piped: bool  # as in Done


@message
class Submit:
    """A task calls `.remote()`."""

    task: TaskId
    name: str
    function: str
    shape: Shape
    needs: tuple[ObjectId, ...]
    pins: tuple[ObjectId, ...]
    num_returns: int
    max_retries: int
    depth: int
    parent: TaskId
    origin: int
    code: Wire  # a serde.code.Code
    payload: Parcel
    read_only: bool
    seed: int | None
    surroundings: Wire | None  # None: those of the task


@message
class ModuleImported:
    """One of the user's own modules was loaded; its file was that of this time and size."""

    name: str
    file: str
    mtime_ns: int
    size: int


@message
class Put:
    """A task calls `put`, or parks a large argument."""

    object: ObjectId
    value: Wire
    contains: tuple[ObjectId, ...]
    task: TaskId


@message
class Wait:
    """A thread waits. `on_control`: the reply goes to the control lane, because the main thread runs on."""

    task: TaskId
    attempt: int
    request: int
    objects: tuple[ObjectId, ...]
    count: int
    until_failure: bool
    on_control: bool


@message
class Abandon:
    """The time-out of a wait is over."""

    request: int


@message
class HandBack:
    """Attempts that were not started."""

    runs: tuple[tuple[TaskId, int], ...]


@message
class Taken:
    """The worker holds these objects now."""

    objects: tuple[ObjectId, ...]


@message
class Dropped:
    """It no longer does."""

    objects: tuple[ObjectId, ...]


@message
class Output:
    """Text that a task wrote, or something that it shows."""

    task: TaskId
    name: str
    origin: int
    stream: str  # "stdout", "stderr", or a kind of displays.send
    text: str


@message
class AskResources:
    """What is there, and what is free? Answered on the control lane."""

    request: int


# ---- bytes <-> messages -----------------------------------------------------------------------------------------

_KINDS: tuple[type, ...] = (
    Run,
    Define,
    Forget,
    SetUp,
    SetUpDone,
    Reply,
    Freed,
    Allowed,
    KeepWarm,
    ArenaShown,
    ArenaGone,
    Recall,
    ReplyPart,
    ReplyEnd,
    ResourcesTold,
    RoomTold,
    Piece,
    Done,
    Submit,
    Put,
    Wait,
    Abandon,
    HandBack,
    Taken,
    Dropped,
    Viewed,
    Unviewed,
    ReplyRead,
    AskRoom,
    ReturnRoom,
    AskArena,
    Output,
    AskResources,
    Surround,
    ModuleImported,
)


def _getter(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    names = [field.name for field in fields(kind)]
    if not names:
        return lambda _: ()
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda sent: (get(sent),)


_BY_CODE = dict(enumerate(_KINDS))  # a dict: -1 is no message
_CODES = {kind: (code, _getter(kind)) for code, kind in enumerate(_KINDS)}


def encode(messages: Iterable[Any]) -> bytes:
    """A body: the messages as marshalled tuples."""
    rows = []
    for sent in messages:
        code, values = _CODES[type(sent)]
        rows.append((code, *values(sent)))
    return marshal.dumps(rows)


def decode(body: bytes | memoryview) -> list[Any]:
    """The messages of a body.

    Raises:
        ProtocolError: they are none.
    """
    try:
        return [_BY_CODE[row[0]](*row[1:]) for row in marshal.loads(body)]
    except (ValueError, EOFError, TypeError, LookupError) as error:
        msg = f"A message could not be understood: {error}."
        raise ProtocolError(msg) from error


class Frames:
    """Cuts a stream of bytes into messages. Pure."""

    def __init__(self) -> None:
        """Nothing was received yet."""
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """The messages that are complete now.

        Raises:
            ProtocolError: the bytes are no messages.
        """
        if not self._rest and int.from_bytes(data[:_LENGTH_BYTES], "little") == len(data) - _LENGTH_BYTES:
            return decode(data[_LENGTH_BYTES:])  # the usual case: one whole frame
        self._rest += data
        messages: list[Any] = []
        start = 0
        while len(self._rest) - start >= _LENGTH_BYTES:
            length = int.from_bytes(self._rest[start : start + _LENGTH_BYTES], "little")
            if length > _LARGEST_FRAME:
                msg = f"A frame of {length:,} bytes was announced; no frame is that large."
                raise ProtocolError(msg)
            end = start + _LENGTH_BYTES + length
            if end > len(self._rest):
                break
            messages += decode(bytes(self._rest[start + _LENGTH_BYTES : end]))
            start = end
        del self._rest[:start]
        return messages


def frame(messages: Iterable[Any]) -> bytes:
    """Messages as they go over the stream."""
    body = encode(messages)
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body
