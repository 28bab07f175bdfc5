"""Which GPUs a request gets, and which worker may use them.

A worker sees the same GPUs all its life: what CUDA saw when it was first used in a process can't be changed. It may
keep their memory until it ends, so an idle worker still counts, with the share that its last task had.
"""

from __future__ import annotations

from typing import NamedTuple

from jray.runtime.core.model import WorkerRecord, WorkerState
from jray.runtime.core.resources import Resources
from jray.runtime.ids import UNIT, WorkerId


class Place(NamedTuple):
    """Where a request for GPUs can go."""

    gpus: tuple[int, ...]
    worker: WorkerRecord | None  # an idle one that has just these; None: a new one is needed
    in_the_way: list[WorkerRecord]  # idle ones that must end first
    is_free: bool  # nobody is in the way, nor on the way out


NO_GPUS = Place((), None, [], is_free=True)


class GpuWorkers:
    """The living workers that have GPUs.

    Invariant: on each GPU their shares sum to at most one, whether they are busy, idle or leaving.
    """

    def __init__(self, resources: Resources) -> None:
        """`resources` knows how much of each GPU leases hold."""
        self._resources = resources
        self.workers: dict[WorkerId, WorkerRecord] = {}  # the last one is the warmest

    def hold(self, worker: WorkerRecord, amount: int) -> None:
        """A lease begins; `amount` is the GPU part of its shape, which the worker's place was made for."""
        worker.gpu_share = min(amount, UNIT)
        self.workers.pop(worker.id, None)
        self.workers[worker.id] = worker
        self._resources.take_gpus(worker.gpus, worker.gpu_share)

    def let_go(self, worker: WorkerRecord) -> None:
        """Its lease ends. The worker keeps its share of the memory as long as it lives."""
        self._resources.give_back_gpus(worker.gpus, worker.gpu_share)

    def forget(self, worker: WorkerRecord) -> None:
        """Its process has ended, if it had GPUs at all."""
        self.workers.pop(worker.id, None)

    def place_for(self, amount: int) -> Place:
        """Where so much goes best; the caller has asked whether it fits.

        Whole GPUs go to an idle worker that has as many, else to GPUs that no idle worker has. A fraction goes to the
        GPU of which least is left, so that whole ones stay free.
        """
        share = min(amount, UNIT)
        able = [worker for worker in reversed(self.workers.values()) if self._can_take(worker, share, amount // share)]
        if able and share == UNIT:
            gpus = able[0].gpus
        else:
            warm = {gpu for worker in able for gpu in worker.gpus}
            idle = {gpu for w in self.workers.values() if w.state is WorkerState.IDLE for gpu in w.gpus}
            free = self._resources.free_gpus
            order = sorted(range(len(free)), key=lambda gpu: (free[gpu], gpu not in warm, gpu in idle, gpu))
            gpus = tuple(sorted([gpu for gpu in order if free[gpu] >= share][: amount // share]))
        worker = next((worker for worker in able if worker.gpus == gpus), None)
        return Place(gpus, worker, self._in_the_way(gpus, share, worker), self._is_free(gpus, share, worker))

    def _can_take(self, worker: WorkerRecord, share: int, number: int) -> bool:
        """Whether this share of so many GPUs can go to the worker, with the memory that it may have kept."""
        free = self._resources.free_gpus
        return (
            worker.state is WorkerState.IDLE
            and worker.gpu_share <= share
            and len(worker.gpus) == number
            and all(free[gpu] >= share for gpu in worker.gpus)
        )

    def _in_the_way(self, gpus: tuple[int, ...], share: int, but: WorkerRecord | None) -> list[WorkerRecord]:
        """The idle workers, the coldest first, without which the share fits. What leaves already is as good as gone."""
        ending: list[WorkerRecord] = []
        for gpu in gpus:
            there = [w for w in self._on(gpu, but) if w.state is not WorkerState.LEAVING and w not in ending]
            room = UNIT - share - sum(worker.gpu_share for worker in there)
            for worker in there:
                if room < 0 and worker.state is WorkerState.IDLE:
                    ending.append(worker)
                    room += worker.gpu_share
        return ending

    def _is_free(self, gpus: tuple[int, ...], share: int, but: WorkerRecord | None) -> bool:
        return all(share + sum(worker.gpu_share for worker in self._on(gpu, but)) <= UNIT for gpu in gpus)

    def _on(self, gpu: int, but: WorkerRecord | None) -> list[WorkerRecord]:
        return [worker for worker in self.workers.values() if gpu in worker.gpus and worker is not but]
