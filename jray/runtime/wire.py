"""Messages between the kernel and its workers, and bytes <-> message.

A frame is a length (4 bytes, little endian) and a marshalled list of plain tuples; one frame carries many messages, one
read many frames. Marshal is the fastest that plain tuples can have (0.06 microseconds a message each way); both ends
run the same Python, since workers are forks of a child of the kernel. What does not decode is a ProtocolError, and the
worker that sent it is replaced.
"""

from __future__ import annotations

import marshal
import struct
from collections.abc import Callable, Iterable
from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeAlias

from jray.runtime.ids import ObjectId, TaskId, message
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
from jray.runtime.wire_tasks import (
    Attempt as Attempt,
    Done as Done,
    HandBack as HandBack,
    Parcel as Parcel,
    Recall as Recall,
    Report as Report,
    Returned as Returned,
    Runs as Runs,
    Submit as Submit,
    Submitted as Submitted,
    Wire as Wire,
)

Pickle: TypeAlias = tuple[bytes, tuple[bytes, ...]]  # a value that travels as a whole: the pickle, its large buffers

_LENGTH_BYTES = 4
_FORMAT = 2  # of marshal: later ones look for equal objects, which takes as long as all the rest
_LARGEST_FRAME = 1 << 30
LARGEST_PACKET = 96 * 1024  # on a control lane; the system refuses some 200 KiB for good


class ProtocolError(Exception):
    """The other end said something that makes no sense."""


# ---- to a worker ------------------------------------------------------------------------------------------------


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
class SetUpDone:
    """The function has run. `error`: what it raised, packed; empty: nothing. Its pipes are as in Done."""

    number: int
    name: str
    origin: int
    error: bytes
    is_condition: bool


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
    Runs,
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
    Returned,
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
    return marshal.dumps(rows, _FORMAT)


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


_length_at = struct.Struct("<I").unpack_from


class Frames:
    """Cuts a stream of bytes into messages. Pure."""

    def __init__(self) -> None:
        """Nothing was received yet."""
        self._rest = bytearray()
        self._wanted = 0  # bytes of the frame that has begun to come, as far as it has said

    def feed(self, data: bytes) -> list[Any]:
        """The messages that are complete now.

        Raises:
            ProtocolError: the bytes are no messages.
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < self._wanted:
                return []  # a large frame comes in many pieces: they are put together once
            data, self._rest = bytes(self._rest), bytearray()
        messages: list[Any] = []
        start, end, self._wanted = 0, len(data), 0
        while end - start >= _LENGTH_BYTES:
            (length,) = _length_at(data, start)
            stop = start + _LENGTH_BYTES + length
            if stop > end:
                if length > _LARGEST_FRAME:
                    msg = f"A frame of {length:,} bytes was announced; no frame is that large."
                    raise ProtocolError(msg)
                self._wanted = stop - start
                break
            messages += decode(data[start + _LENGTH_BYTES : stop])
            start = stop
        if start < end:
            self._rest += data[start:]
        return messages


def frame(messages: Iterable[Any]) -> bytes:
    """Messages as they go over the stream."""
    body = encode(messages)
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


_RETURNED = _CODES[Returned][0]


def report_frame(report: Report) -> bytes:
    """`frame([Returned([report])])`, in half the time: there is one for each task."""
    body = marshal.dumps([(_RETURNED, [report])], _FORMAT)
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body
