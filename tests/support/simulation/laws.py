"""What is true in the simulated world, and what must never happen in it.

The world notes here what really happened: what was submitted, started, reported, who holds which ref. It never
looks into the scheduler's books: a bug that keeps the books consistent is found all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from jray.runtime.core import messages as m
from jray.runtime.core.placement import MOST_WITHOUT_CPU
from jray.runtime.core.resources import CPU, GPU, Shape, cpus_in, gpus_in
from jray.runtime.ids import KERNEL, UNIT, ObjectId, TaskId, WorkerId, returned_object

if TYPE_CHECKING:
    from tests.support.simulation.modules import Modules
    from tests.support.simulation.worker import SimulatedWorker

Report = m.TaskFinished | m.TaskFailed


class Impossible(AssertionError):
    """The scheduler ordered something that cannot or must not be, or forgot to order what must be."""


class Fate(Enum):
    """What has become of an object."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"
    FREED = "freed"


@dataclass(slots=True)
class Thing:
    """An object."""

    fate: Fate = Fate.PENDING
    contains: tuple[ObjectId, ...] = ()


@dataclass(slots=True)
class Job:
    """A task, from the moment somebody submitted it; the kernel may not have heard of it yet."""

    spec: m.TaskSpec
    attempts: int = 0  # that were sent
    starts: int = 0  # that really began
    charges: int = 0  # lost workers that may have begun it: first in their line
    is_over: bool = False  # its outcome was published


@dataclass(slots=True)
class Wait:
    """A thread that waits in a worker."""

    said: m.WorkerWaits
    cpus: int  # that it must have back before it goes on
    is_heard: bool = False  # by the kernel
    is_given_up: bool = False  # the kernel heard that its time-out is over
    gives_up: bool = False  # its time-out is over


def law(holds: bool, text: str) -> None:
    """Say what was broken."""
    if not holds:
        raise Impossible(text)


def _fits(shape: Shape, amounts: Counter[str]) -> bool:
    return all(amount <= amounts[name] for name, amount in shape)


@dataclass(slots=True)
class Laws:
    """The truth, and the judge."""

    total: Shape
    jobs: dict[TaskId, Job] = field(default_factory=dict)
    things: dict[ObjectId, Thing] = field(default_factory=dict)
    workers: dict[WorkerId, SimulatedWorker] = field(default_factory=dict)  # all that the kernel believes alive
    kernel_refs: Counter[ObjectId] = field(default_factory=Counter)
    waits: dict[tuple[WorkerId, int], Wait] = field(default_factory=dict)  # not answered yet
    unfinished: dict[TaskId, Job] = field(default_factory=dict)
    staged: dict[tuple[TaskId, WorkerId, int], Report] = field(default_factory=dict)  # reports the kernel has
    promised: dict[ObjectId, tuple[ObjectId, ...]] = field(default_factory=dict)  # refs in results, maybe in transit
    refusals: set[str] = field(default_factory=set)  # of workers, by the system: after 5 s of them a task may fail
    warnings: list[str] = field(default_factory=list)
    retired: dict[WorkerId, bool] = field(default_factory=dict)  # must get no more tasks; True: must not be waited for
    modules: Modules | None = None
    most_cpus: int = 0  # that there ever were
    is_resized: bool = False

    def __post_init__(self) -> None:
        self.most_cpus = dict(self.total).get(CPU, 0)

    # ---- facts

    def note_changes(self, events: Sequence[m.Event]) -> None:
        """The user changes the pool; called before the scheduler hears of it."""
        for event in events:
            match event:
                case m.Resized(_, cpus):
                    self.total = tuple(sorted({**dict(self.total), CPU: cpus}.items()))
                    self.most_cpus = max(self.most_cpus, cpus)
                    self.is_resized = True
                case m.RestartAsked(_, now):
                    for worker in self.workers:
                        self.retired[worker] = now or self.retired.get(worker, False)
                case m.WorkerSpoiled(_, worker):
                    self.retired.setdefault(worker, False)

    def note_submitted(self, spec: m.TaskSpec) -> list[ObjectId]:
        """Somebody called `.remote()`. Returns the results."""
        self.jobs[spec.task] = self.unfinished[spec.task] = Job(spec)
        if self.modules is not None:
            self.modules.note_submitted(spec.task)
        results = [returned_object(spec.task, index) for index in range(spec.template.num_returns)]
        self.things.update((result, Thing()) for result in results)
        return results

    def note_put(self, object_id: ObjectId, contains: tuple[ObjectId, ...]) -> None:
        """Somebody stored a value."""
        self.things[object_id] = Thing(Fate.READY, contains)

    def note_lost(self, worker: SimulatedWorker) -> None:
        """The kernel hears that a worker is gone, and with it the first attempt that it has not reported."""
        del self.workers[worker.id]
        for task, _ in list(worker.owes)[:1]:
            self.jobs[task].charges += 1

    def forget_waits_of(self, worker: WorkerId) -> None:
        for key in [key for key in self.waits if key[0] == worker]:
            del self.waits[key]

    def note_started(self, worker: SimulatedWorker, task: TaskId, attempt: int) -> None:
        """An attempt really begins now."""
        job = self.jobs[task]
        job.starts += 1
        law(not job.is_over, f"{task:x} starts although its outcome is published")
        law(attempt == job.attempts, f"attempt {attempt} of {task:x} starts, but {job.attempts} was sent since")
        law(
            job.spec.template.max_retries < 0 or job.starts <= job.spec.template.max_retries + 1,
            f"{task:x} is started too often",
        )
        for other in self.workers.values():
            runs_it = other is not worker and other.is_alive and other.body and other.body.task == task
            law(not runs_it, f"{task:x} runs in two workers")
        wanted = gpus_in(job.spec.template.shape)
        share = min(wanted, UNIT)
        has_them = share * len(worker.gpus) == wanted
        law(has_them, f"{task:x} does not have its GPUs: it wants {wanted}, and sees {worker.gpus}")
        worker.gpu_share = max(worker.gpu_share, share)
        if self.modules is not None:
            self.modules.check_started(worker.id, task, law)
        self.check_use()

    def leads_back(self, ref: ObjectId, results: Sequence[ObjectId]) -> bool:
        """Whether results that contain this ref would contain themselves. Nobody frees rings (nor does Ray)."""
        todo, seen = [ref], set[ObjectId]()
        while todo:
            object_id = todo.pop()
            if object_id in results:
                return True
            if object_id not in seen:
                seen.add(object_id)
                todo += self.promised.get(object_id, self.things[object_id].contains)
        return False

    def check_use(self) -> None:
        """Nothing is used twice: those that run now, together, use no more than there is."""
        for name, amount in self._used().items():
            # CPUs that were taken away are kept by who held them. Nobody gets them: see _judge_grant.
            total = self.most_cpus if name == CPU else dict(self.total).get(name, 0)
            law(amount <= total, f"{name} is oversubscribed: {amount} of {total} in use")
        for gpu in range(dict(self.total).get(GPU, 0) // UNIT):
            # A process keeps memory of its GPUs until it ends, whether a task runs in it or not.
            there = [worker for worker in self.workers.values() if worker.is_alive and gpu in worker.gpus]
            law(sum(worker.gpu_share for worker in there) <= UNIT, f"GPU {gpu} is crowded: {[w.id for w in there]}")

    def _has_gpus(self, amount: int) -> bool:
        """Whether so much is free on GPUs that no task holds: whole ones, or a part of one."""
        free = [UNIT] * (dict(self.total).get(GPU, 0) // UNIT)
        for worker in self.workers.values():
            for gpu in worker.gpus if worker.is_alive and worker.body is not None else ():
                free[gpu] -= min(UNIT, gpus_in(self.jobs[worker.body.task].spec.template.shape))
        return not amount or (max(free, default=0) >= amount if amount < UNIT else free.count(UNIT) * UNIT >= amount)

    def _used(self) -> Counter[str]:
        used: Counter[str] = Counter()
        for worker in self.workers.values():
            if not worker.is_alive or worker.body is None:
                continue
            for name, amount in self.jobs[worker.body.task].spec.template.shape:
                if name != CPU or not worker.is_blocked:
                    used[name] += amount
        return used

    # ---- orders

    def judge(self, order: m.Instruction) -> None:
        """One instruction; called in their order, before it is performed."""
        match order:
            case m.StartWorker(worker, gpus):
                law(worker not in self.workers, f"worker {worker} is started twice")
                law(len(set(gpus)) == len(gpus), f"worker {worker} has a GPU twice: {gpus}")
            case m.EndWorker() | m.KillWorker():
                self._judge_ended(order)
            case m.SendTasks(worker, runs):
                self._judge_sent(worker, runs)
            case m.PublishReport() | m.PublishReports():
                self._judge_published(order)
            case m.PublishFailure(task, argument, reason):
                self._judge_failure(task, argument, reason)
                self._publish(task, None)
            case m.ReplyToWait(worker, request):
                wait = self.waits.pop((worker, request), None)
                law(wait is not None, f"a reply to wait {request} of {worker}, which does not wait")
                law(wait.is_heard and self.is_over(wait), f"a reply to {wait.said}, which must go on waiting")
            case m.FreeObjects(objects):
                for object_id in objects:
                    self._judge_freed(object_id)
            case m.WarnUser(text):
                law(text not in self.warnings or self.is_resized, f"said twice: {text}")
                self.warnings.append(text)

    def _judge_published(self, order: m.PublishReport | m.PublishReports) -> None:
        if isinstance(order, m.PublishReport):
            reports = [(order.task, self.staged.get((order.task, order.worker, order.attempt)))]
        else:
            reports = order.results
        for task, report in reports:
            is_real = report is not None and (report.task, report.worker, report.attempt) in self.staged
            law(is_real and report.task == task, f"a report of {task:x} is published that nobody wrote")
            self._publish(task, report)

    def _judge_ended(self, order: m.EndWorker | m.KillWorker) -> None:
        worker = order.worker
        ended = self.workers.get(worker)
        if isinstance(order, m.KillWorker):
            is_wanted = self.retired.get(worker, False) or ended is None  # or its end was heard in this batch
            law(is_wanted, f"{worker} is killed, and nobody asked for it")
            return
        law(ended is not None, f"{worker} is ended, which is lost or was never started")
        law(not ended.owes, f"{worker} is ended, and has {ended.owes}")
        law(not ended.is_ended, f"{worker} is ended twice")

    def _judge_sent(self, worker_id: WorkerId, runs: Sequence[tuple[TaskId, int]]) -> None:
        worker = self.workers.get(worker_id)
        law(worker is not None, f"tasks are sent to {worker_id}, which is lost or was never started")
        law(len(runs) > 0, "an empty line is sent")
        law(not worker.is_ended, f"tasks are sent to {worker_id}, which was told to end")
        law(worker_id not in self.retired, f"tasks are sent to {worker_id}, which should get no more")
        if not worker.owes:
            self._judge_grant(self.jobs[runs[0][0]].spec.template.shape)
        for task, attempt in runs:
            job = self.jobs[task]
            law(not job.is_over, f"{task:x} is sent although its outcome is published")
            law(attempt == job.attempts + 1, f"attempt {attempt} of {task:x} is sent after {job.attempts}")
            job.attempts = attempt
            for other in self.workers.values():
                elsewhere = any(other_task == task for other_task, _ in other.owes)
                law(not elsewhere, f"{task:x} is sent to {worker_id} while {other.id} has it")
            for owed, _ in worker.owes:
                law(
                    self.jobs[owed].spec.template.shape == job.spec.template.shape,
                    f"{task:x} does not fit the lease of {worker_id}",
                )
            for need in job.spec.needs:
                law(self.things[need].fate is Fate.READY, f"{task:x} is sent without its argument {need:x}")
            for pin in job.spec.pins:
                law(self.things[pin].fate is not Fate.FREED, f"{task:x} is sent, but {pin:x} is freed")
            worker.owes[(task, attempt)] = None

    def _judge_grant(self, shape: Shape) -> None:
        """Of CPUs to a worker that had none. What is really held is at most what the kernel knows to be held."""
        holders = [worker for worker in self.workers.values() if worker.is_alive and not worker.is_blocked]
        held = sum(cpus_in(self.jobs[task].spec.template.shape) for w in holders for task, _ in list(w.owes)[:1])
        total, more = dict(self.total).get(CPU, 0), cpus_in(shape)
        law(not more or held + more <= total, f"{more} CPU are granted: {held} are held already, of {total}")

    def _judge_failure(self, task: TaskId, argument: ObjectId | None, reason: str) -> None:
        job = self.jobs[task]
        if argument is not None:
            law(argument in job.spec.needs, f"{task:x} fails because of {argument:x}, which it does not need")
            law(self.things[argument].fate is Fate.FAILED, f"{task:x} fails, but its argument {argument:x} did not")
        elif reason not in self.refusals:
            tolerated = job.spec.template.max_retries
            law(tolerated >= 0, f"{task:x} fails, but may be retried for ever")
            law(job.charges == tolerated + 1, f"{task:x} fails after {job.charges} losses; it survives {tolerated}")

    def _publish(self, task: TaskId, report: Report | None) -> None:
        job = self.jobs[task]
        law(not job.is_over, f"{task:x} is published twice")
        job.is_over = True
        del self.unfinished[task]
        for index in range(job.spec.template.num_returns):
            thing = self.things[returned_object(task, index)]
            is_good = isinstance(report, m.TaskFinished) and not (report.failed and report.failed[index])
            thing.fate = Fate.READY if is_good else Fate.FAILED
            if isinstance(report, m.TaskFinished) and report.contains:
                thing.contains = report.contains[index]

    def _judge_freed(self, object_id: ObjectId) -> None:
        thing = self.things[object_id]
        law(thing.fate is not Fate.PENDING, f"{object_id:x} is freed before it is there")
        law(thing.fate is not Fate.FREED, f"{object_id:x} is freed twice")
        for holder in self._holders(object_id):
            raise Impossible(f"{object_id:x} is freed, but {holder} needs it")
        thing.fate = Fate.FREED

    def _holders(self, object_id: ObjectId) -> Iterator[str]:
        if self.kernel_refs[object_id] > 0:
            yield "the kernel"
        for job in self.unfinished.values():
            if object_id in job.spec.pins:
                yield f"task {job.spec.task:x}"
        for other_id, other in self.things.items():
            if object_id in other.contains and other.fate is not Fate.FREED:
                yield f"object {other_id:x}"
        for worker in self.workers.values():
            if object_id in worker.refs and worker.is_alive:
                yield f"worker {worker.id}"
            for said, is_new in worker.outbox:
                if is_new and isinstance(said, m.TaskFinished) and any(object_id in inner for inner in said.contains):
                    yield f"the result of {said.task:x}, which is in transit"

    # ---- what must have been ordered

    def is_over(self, wait: Wait) -> bool:
        """Whether the waiting thread must go on."""
        fates = [self.things[object_id].fate for object_id in wait.said.objects]
        there = sum(fate is not Fate.PENDING for fate in fates)
        has_failed = wait.said.until_failure and Fate.FAILED in fates
        return wait.is_given_up or there >= wait.said.count or has_failed or Fate.FREED in fates

    def owed_replies(self) -> list[Wait]:
        """Waits that are over, and not answered yet."""
        return [wait for wait in self.waits.values() if wait.is_heard and self.is_over(wait)]

    def check_answers(self, orders: Sequence[m.Instruction]) -> None:
        """After each batch: who has what it waited for goes on, or waits for CPUs ahead of all queued tasks."""
        owed = self.owed_replies()
        for wait in owed:
            law(wait.said.releases and wait.cpus > 0, f"no reply to {wait.said}, which is over")
        for order in orders:
            if owed and isinstance(order, m.SendTasks):
                shape = self.jobs[order.runs[0][0]].spec.template.shape
                law(not cpus_in(shape), f"{order} overtakes {owed[0].said}, which stands ahead of all queued")

    def check_nobody_is_forgotten(self) -> None:
        """When nothing can happen any more: whoever stands still has a reason."""
        free = Counter(dict(self.total))
        free.subtract(self._used())
        owed = self.owed_replies()
        most = dict(self.total).get(CPU, 0)  # who held more before it was taken away may go on when all is free
        law(
            not owed or any(min(wait.cpus, most) > free[CPU] for wait in owed),
            f"{len(owed)} waits could go on, and do not",
        )
        for worker in self.workers.values():
            law(not worker.line, f"{worker.line} were not called back from {worker.id}")
            is_late = worker.id in self.retired and (not worker.owes or self.retired[worker.id])
            law(not is_late, f"{worker.id} should have ended")
        without_cpu = sum(
            not cpus_in(self.jobs[task].spec.template.shape) for w in self.workers.values() for task, _ in w.owes
        )
        held = {task for worker in self.workers.values() for task, _ in worker.owes}
        for task, job in self.unfinished.items():
            fates = {self.things[need].fate for need in job.spec.needs}
            law(fates <= {Fate.PENDING, Fate.READY}, f"{task:x} waits for an argument that will never come")
            if task in held or Fate.PENDING in fates:
                continue
            has_to_wait = owed if cpus_in(job.spec.template.shape) else without_cpu >= MOST_WITHOUT_CPU
            has_room = _fits(job.spec.template.shape, free) and self._has_gpus(gpus_in(job.spec.template.shape))
            law(bool(has_to_wait) or not has_room, f"{task:x} could run, and does not")

    # ---- the end

    def stuck(self) -> set[TaskId]:
        """What can never run: requests that no idle machine meets, and what needs their results."""
        machine = Counter(dict(self.total))
        for task, job in self.unfinished.items():
            waits_for = [need for need in job.spec.needs if self.things[need].fate is Fate.PENDING]
            law(bool(waits_for) or not _fits(job.spec.template.shape, machine), f"{task:x} was never done")
        return set(self.unfinished)

    def still_needed(self) -> set[ObjectId]:
        """When all refs are dropped: the results of stuck tasks, and what these tasks keep alive."""
        needed: set[ObjectId] = set()
        todo = [pin for job in self.unfinished.values() for pin in job.spec.pins]
        for task, job in self.unfinished.items():
            todo += [returned_object(task, index) for index in range(job.spec.template.num_returns)]
        while todo:
            object_id = todo.pop()
            if object_id not in needed:
                needed.add(object_id)
                todo += self.things[object_id].contains
        return needed

    def infeasible_shapes(self) -> set[Shape]:
        """The shapes about which the user must have been warned, once each."""
        machine = Counter(dict(self.total))
        jobs = self.unfinished.values()
        ready = [job for job in jobs if all(self.things[need].fate is Fate.READY for need in job.spec.needs)]
        return {job.spec.template.shape for job in ready if not _fits(job.spec.template.shape, machine)}

    def refs_of_kernel(self) -> list[ObjectId]:
        """What the user's program holds."""
        return [object_id for object_id, number in self.kernel_refs.items() if number > 0]


__all__ = ["KERNEL", "Fate", "Impossible", "Job", "Laws", "Report", "Thing", "Wait", "law"]
