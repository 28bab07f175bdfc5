"""What the user should know of tasks that wait: each is said once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jray.runtime.core.messages import Instruction, WarnUser
from jray.runtime.core.model import Lease, TaskRecord, WorkerRecord
from jray.runtime.core.queues import ShapeQueue
from jray.runtime.core.resources import CPU, Resources, in_words
from jray.runtime.ids import TaskId, WorkerId


class Warnings:
    """Looks at queues that placement could not empty."""

    def __init__(
        self, resources: Resources, tasks: Mapping[TaskId, TaskRecord], blocked: Mapping[WorkerId, WorkerRecord]
    ) -> None:
        """All three belong to placement, which changes them."""
        self._resources, self._tasks, self._blocked = resources, tasks, blocked
        self._warned_pairs: set[tuple[str, str]] = set()

    def about(self, queue: ShapeQueue) -> Iterator[Instruction]:
        """What should be said of a queue that waits, if it was not said before."""
        if not self._resources.could_fit(queue.shape):
            if not queue.is_announced:
                queue.is_announced = True
                yield self._infeasible(queue)
        elif self._blocked:
            yield from self._waits_for_itself(queue)

    def _infeasible(self, queue: ShapeQueue) -> WarnUser:
        there_is = in_words(tuple(sorted(self._resources.total.items())))
        total = self._resources.total
        if {name for name, amount in queue.shape if amount > total.get(name, 0)} == {CPU}:
            how = "give it more: jray.resize(num_cpus=...)"
        else:
            how = "start again with more: jray.shutdown(); jray.init(num_cpus=..., num_gpus=..., resources={...})"
        return WarnUser(
            f"Task {queue.head.spec.template.name} asks for {in_words(queue.shape)}. This runtime has {there_is}, so "
            "the task stays pending; nothing else waits behind it. Ask for less (.options(...), or the %%remote line), "
            f"or {how}."
        )

    def _waits_for_itself(self, queue: ShapeQueue) -> Iterator[Instruction]:
        """A blocked task keeps its custom resources. Say so when its own child needs them."""
        child = queue.head
        lacking = [name for name in self._resources.lacking(queue.shape) if name != CPU]
        if not lacking:
            return
        for ancestor in self._ancestors(child):
            holder = self._lease_of(ancestor)
            kept = [name for name in lacking if holder is not None and any(name == held for held, _ in holder.shape)]
            pair = (ancestor.spec.template.name, child.spec.template.name)
            if kept and pair not in self._warned_pairs:
                self._warned_pairs.add(pair)
                yield WarnUser(
                    f"Task {pair[0]} waits for results while its own child {pair[1]} waits for {', '.join(kept)}, "
                    f"which {pair[0]} keeps while it waits (only CPUs are given back). If no other task gives "
                    f"some back, both wait for ever. Ask for less {kept[0]} in one of the two, or start jray with more."
                )

    def _ancestors(self, task: TaskRecord) -> Iterator[TaskRecord]:
        parent = self._tasks.get(task.spec.template.parent)
        while parent is not None:
            yield parent
            parent = self._tasks.get(parent.spec.template.parent)

    def _lease_of(self, task: TaskRecord) -> Lease | None:
        """The lease whose blocked head is this task."""
        for worker in self._blocked.values():
            if worker.lease is not None and next(iter(worker.lease.line)) == task.spec.task:
                return worker.lease
        return None
