"""Queued tasks, one queue for each resource shape: children before roots, otherwise fair between submitters."""

from __future__ import annotations

from bisect import insort
from collections import deque

from jray.runtime.core.model import TaskRecord
from jray.runtime.core.resources import cpus_in, gpus_in
from jray.runtime.ids import Shape, TaskId


class ShapeQueue:
    """Tasks that ask for the same resources.

    Deeper tasks go first, so that a thousand chains on one CPU need a handful of workers. On one depth the submitters
    take turns; the tasks of one submitter keep their order.
    """

    __slots__ = ("_depths", "_levels", "cpus", "gpus", "is_announced", "length", "shape")

    def __init__(self, shape: Shape) -> None:
        """Make an empty queue for one shape."""
        self.shape = shape
        self.cpus = cpus_in(shape)
        self.gpus = gpus_in(shape)
        self.length = 0
        self.is_announced = False  # the user was told that it can never be met
        self._depths: list[int] = []  # sorted; the last is the deepest
        self._levels: dict[int, dict[TaskId, deque[TaskRecord]]] = {}  # depth -> submitter -> tasks; none is empty

    def push(self, task: TaskRecord, *, in_front: bool = False) -> None:
        """Queue behind (or, when it comes back, in front of) the other tasks of its submitter."""
        template = task.spec.template
        depth, parent = template.depth, template.parent
        level = self._levels.get(depth)
        if level is None:
            level = self._levels[depth] = {}
            insort(self._depths, depth)
        tasks = level.get(parent)
        if tasks is None:
            tasks = level[parent] = deque()
        if in_front:
            tasks.appendleft(task)
        else:
            tasks.append(task)
        self.length += 1

    @property
    def head(self) -> TaskRecord:
        """The task that `pop` would take."""
        level = self._levels[self._depths[-1]]
        return next(iter(level.values()))[0]

    @property
    def depth(self) -> int:
        """Of the task that `pop` would take."""
        return self._depths[-1]

    def pop(self) -> TaskRecord:
        """Take the next task; its submitter goes to the end of the round."""
        depth = self._depths[-1]
        level = self._levels[depth]
        parent = next(iter(level))
        tasks = level[parent]
        task = tasks.popleft()
        self.length -= 1
        if len(level) > 1 or not tasks:
            del level[parent]
            if tasks:
                level[parent] = tasks
            elif not level:
                del self._levels[depth]
                self._depths.pop()
        return task

    def tasks(self) -> list[TaskRecord]:
        """All of them, in no special order: for checks and pictures."""
        return [task for level in self._levels.values() for tasks in level.values() for task in tasks]
