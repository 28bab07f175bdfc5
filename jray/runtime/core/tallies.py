"""How many tasks there are, and were, of each name and cell."""

from __future__ import annotations

from jray.runtime.core.messages import TaskTemplate
from jray.runtime.core.model import TaskState

_MOST = 1000
_OTHERS = ("(other names)", 0)  # what finished tasks are counted by when there are too many names


class Tallies(dict[tuple[str, int], list[int]]):
    """(name, origin) -> number of these tasks in each state, final ones too."""

    def __init__(self) -> None:
        """Nothing was counted."""
        super().__init__()
        self._last: tuple[TaskTemplate | None, list[int]] = None, []  # mostly the next one's, too

    def of(self, template: TaskTemplate) -> list[int]:
        """What tasks of this template are counted in."""
        last, tally = self._last
        if last is template:
            return tally
        key = template.name, template.origin
        found = self.get(key)
        if found is None:
            if len(self) >= _MOST:
                self._fold()
            found = self[key] = [0] * len(TaskState)
        self._last = template, found
        return found

    def _fold(self) -> None:
        """Who names each task differently must not fill the memory: old names whose tasks are done become one."""
        for _ in range(2):  # one name comes, two may go
            key = next(iter(self))
            tally = self.pop(key)
            if key != _OTHERS and sum(tally) == tally[TaskState.FINISHED] + tally[TaskState.FAILED]:
                others = self.setdefault(_OTHERS, [0] * len(TaskState))
                others[:] = [was + more for was, more in zip(others, tally, strict=True)]
            else:
                self[key] = tally  # looked at again when its turn comes
