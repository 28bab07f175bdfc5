"""Workers that have nothing to do: who is next, and who has been idle for so long that it ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from jray.runtime.core.model import WorkerRecord, WorkerState
from jray.runtime.ids import WorkerId

SURPLUS_S = 10.0  # workers beyond the number of CPUs that are idle for so long end


class IdleWorkers:
    """A stack: the warmest is taken first, so the coldest are those that can be spared.

    Workers with GPUs are beside the stack: who takes one wants a certain one.
    """

    def __init__(self) -> None:
        """There are none."""
        self.kept = 1  # so many may stay for ever; none of those that have GPUs, whose memory others may want
        self._retired: list[WorkerRecord] = []  # to be told to end
        self._with_gpus: dict[WorkerId, WorkerRecord] = {}
        self._workers: dict[WorkerId, WorkerRecord] = {}  # the last one is the warmest
        self._look_at: float | None = None  # when to look for surplus workers
        self._idle_before: dict[WorkerId, int] = {}  # those that were idle when that was decided -> their leases

    def __len__(self) -> int:
        """How many there are that have no GPUs."""
        return len(self._workers)

    def add(self, worker: WorkerRecord) -> None:
        """Its lease has ended."""
        workers = self._with_gpus if worker.gpus else self._workers
        workers[worker.id] = worker

    def take(self) -> WorkerRecord | None:
        """The warmest one without GPUs, for a lease."""
        return self._workers.popitem()[1] if self._workers else None

    def remove(self, worker: WorkerRecord) -> None:
        """It has another lease, or is lost; if it was here at all."""
        workers = self._with_gpus if worker.gpus else self._workers
        workers.pop(worker.id, None)

    def retire(self, worker: WorkerRecord) -> None:
        """It is to end, if it was not told so before. What it holds is known only when its process has ended."""
        if worker.state is WorkerState.IDLE:
            self.remove(worker)
            worker.state = WorkerState.LEAVING
            self._retired.append(worker)

    def take_retired(self) -> Sequence[WorkerRecord]:
        """Those that must be told now."""
        if not self._retired:
            return ()
        retired, self._retired = self._retired, []
        return [worker for worker in retired if worker.state is WorkerState.LEAVING]

    def when_to_look(self, now: float) -> float | None:
        """Some may be too many: look again at that time whether they have been idle since."""
        if self._look_at is None and (self._with_gpus or len(self._workers) > self.kept):
            idle = [*self._with_gpus.values()]
            if len(self._workers) > self.kept:
                idle += self._workers.values()
            self._idle_before = {worker.id: worker.leases for worker in idle if worker.holds_nothing}
            if self._idle_before:
                self._look_at = now + SURPLUS_S
        return self._look_at

    def surplus(self, now: float) -> Iterable[WorkerRecord]:
        """Those that have been idle for long, the coldest first, when it is time. The caller removes each one."""
        if self._look_at is None or now < self._look_at:
            return ()
        return self._surplus()

    def _surplus(self) -> Iterator[WorkerRecord]:
        self._look_at = None
        for worker in [*self._with_gpus.values(), *self._workers.values()]:
            is_one_too_many = worker.gpus or len(self._workers) > self.kept
            if is_one_too_many and worker.holds_nothing and self._idle_before.get(worker.id) == worker.leases:
                yield worker
