"""The last moves of tasks, for explanations and for the message of an internal error."""

from __future__ import annotations

from collections import deque

from jray.runtime.core.model import TaskState
from jray.runtime.ids import TaskId


class History:
    """A bounded log of moves: (at, task, from, to). The oldest go first."""

    __slots__ = ("_moves", "note")

    def __init__(self, limit: int = 10_000) -> None:
        """Keep the last `limit` moves of all tasks together."""
        self._moves: deque[tuple[float, TaskId, TaskState, TaskState]] = deque(maxlen=limit)
        self.note = self._moves.append  # note((at, task, from_state, to_state)): on the hot path

    def of(self, task: TaskId) -> list[str]:
        """The moves of one task that are still known, oldest first, one line each."""
        return [f"{at:.6f}: {came.name} -> {went.name}" for at, moved, came, went in self._moves if moved == task]
