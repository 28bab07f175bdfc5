"""The names of things that travel everywhere: tasks, objects, workers, and where a block of memory lies.

An id is one integer, so that a million of them stay small and hash fast. It is made of the number of the process that
drew it, a counter, and (for the results of a task) an index; two processes never draw the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, NamedTuple, NewType, TypeAlias, TypeVar, dataclass_transform

_T = TypeVar("_T")

TaskId = NewType("TaskId", int)
ObjectId = NewType("ObjectId", int)
WorkerId = NewType("WorkerId", int)

KERNEL = WorkerId(0)  # the process that owns the engine; workers count from 1
DISK = WorkerId(-1)  # in place of an arena's owner: the file of spilled objects
NO_TASK = TaskId(0)  # "submitted by nobody's task": the user's own cell or script

_INDEX_BITS = 16
_COUNTER_BITS = 40
MAX_RETURNS = (1 << _INDEX_BITS) - 1
_HEX_DIGITS = 20


def id_source(process: WorkerId) -> Callable[[], TaskId]:
    """A function that draws fresh ids for one process. Safe from any thread."""
    base = process << (_INDEX_BITS + _COUNTER_BITS)
    step = 1 << _INDEX_BITS
    return count(base + step, step).__next__  # type: ignore[return-value]


def returned_object(task: TaskId, index: int) -> ObjectId:
    """The id of a task's result number `index`, counted from 0.

    The first has the task's own number: where a call for each task would cost too much, it is simply taken for it.
    """
    return ObjectId(task + index)


def task_of(object_id: ObjectId) -> TaskId:
    """The task whose result this object is. (For an object that was `put`: its own number.)."""
    return TaskId(object_id >> _INDEX_BITS << _INDEX_BITS)


def to_hex(number: int) -> str:
    """An id as people see it: 20 hexadecimal digits."""
    return f"{number:0{_HEX_DIGITS}x}"


PAGE = 4096  # blocks begin and end at multiples of this


class Block(NamedTuple):
    """Where an object's bytes lie: a range of one process's arena, or of the disk. Immutable once sealed."""

    arena: WorkerId  # whose arena; DISK
    offset: int  # bytes from its start; a multiple of the page size
    size: int  # bytes from the first to the end of the last span
    spans: tuple[tuple[int, int], ...]  # (start, length) of each buffer, relative to `offset`
    checksum: int = 0  # CRC-32 of the bytes, for those on disk

    @property
    def length(self) -> int:
        """The bytes that it takes: whole pages."""
        return max(PAGE, -(-self.size // PAGE) * PAGE)


UNIT = 10_000  # resources are counted in 1/10 000, the precision that Ray promises

Shape: TypeAlias = tuple[tuple[str, int], ...]
"""What a task asks for: (resource, amount in UNITs), sorted by name, no zeros. Equal requests are equal tuples."""


if TYPE_CHECKING:

    @dataclass_transform(frozen_default=True)
    def message(cls: type[_T]) -> type[_T]:
        """Declare a small record that nobody changes after it was made."""
        return cls

else:

    def message(cls: type[_T]) -> type[_T]:
        """Declare a small record that nobody changes after it was made.

        Frozen for the type checker only: at run time frozen slots cost 1.5 microseconds a task. Equality and repr are
        shared functions, not generated ones: that halves the time it takes to import forty messages.
        """
        made = dataclass(slots=True, eq=False, repr=False)(cls)
        made.__eq__, made.__hash__, made.__repr__ = _equals, None, _in_words
        return made

    def _equals(one: object, other: object) -> bool:
        if type(one) is not type(other):
            return NotImplemented
        return all(getattr(one, name) == getattr(other, name) for name in one.__slots__)

    def _in_words(sent: object) -> str:
        return f"{type(sent).__name__}({', '.join(f'{name}={getattr(sent, name)!r}' for name in sent.__slots__)})"
