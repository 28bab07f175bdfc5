"""One simulated worker process. It behaves as jray/runtime/worker does, and says everything over a slow line.

Between the kernel and a worker messages keep their order in each direction; nothing else is promised.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random

from jray.runtime.core import messages as m
from jray.runtime.core.resources import cpus_in
from jray.runtime.ids import ObjectId, TaskId, WorkerId, id_source, returned_object
from tests.support.simulation.laws import Fate, Laws, Wait
from tests.support.simulation.mood import FUNCTIONS, Mood

Order = m.SendTasks | m.RecallTasks | m.ReplyToWait | m.EndWorker
REPEATED = (m.TaskFinished, m.TaskFailed, m.AttemptsHandedBack, m.WaitAbandoned)  # what a nasty worker says twice


@dataclass(slots=True)
class Body:
    """The attempt that runs now."""

    task: TaskId
    attempt: int
    steps: int  # what it still does before it ends
    main_wait: int | None = None  # the request for which its main thread waits
    helper_waits: dict[int, None] = field(default_factory=dict)  # of its other threads


class SimulatedWorker:
    """A process: what it holds, what it runs, what it has been told, what it says."""

    def __init__(self, number: WorkerId, gpus: tuple[int, ...], laws: Laws, mood: Mood, rng: Random) -> None:
        self.id = number
        self.gpus = gpus  # that it sees
        self.gpu_share = 0  # of each, in units: the most that a task in it has used
        self.is_alive = True
        self.is_ended = False  # the kernel has told it to end
        self.inbox: deque[Order] = deque()  # in transit from the kernel
        self.outbox: deque[tuple[m.Event, bool]] = deque()  # in transit to the kernel; False: said before
        self.line: deque[tuple[TaskId, int]] = deque()  # received, not started
        self.body: Body | None = None
        self.refs: dict[ObjectId, None] = {}
        self.owes: dict[tuple[TaskId, int], None] = {}  # sent to it, neither reported nor handed back, in order
        self._laws = laws
        self._mood = mood
        self._rng = rng
        self._next_id = id_source(number)
        self._requests = 0
        self._repeatable: list[m.Event] = []
        often = (self._submit, self._submit, self._call, self._call, self._wait)
        self._acts = (*often, self._wait_aside, self._put, self._drop)

    # ---- messages

    def receive(self) -> None:
        """Read one message from the kernel."""
        match self.inbox.popleft():
            case m.SendTasks(_, runs):
                self.line.extend(runs)
                if self.is_blocked:
                    self._hand_back()
            case m.RecallTasks():
                self._hand_back()
            case m.ReplyToWait(_, request):
                self._go_on(request)
            case m.EndWorker():
                self.die()

    def say(self, event: m.Event) -> None:
        """Put a message on the way to the kernel."""
        self.outbox.append((event, True))
        if isinstance(event, REPEATED):
            self._repeatable.append(event)

    def repeat(self) -> bool:
        """Say something again that was said before, perhaps long ago."""
        if not self._repeatable or not self.is_alive:
            return False
        self.outbox.append((self._rng.choice(self._repeatable), False))
        return True

    def die(self) -> None:
        """The process ends. What it said is still on its way, and then comes the news of its end."""
        self.is_alive = False
        self.inbox.clear()
        self.line.clear()
        self.body = None
        self.outbox.append((m.WorkerLost(0.0, self.id, f"worker {self.id} was killed"), True))

    def refuse(self) -> None:
        """The system has refused the process. Nothing of it was ever there."""
        self.is_alive = False
        self.outbox.append((m.WorkerRefused(0.0, self.id, f"worker {self.id} could not be started"), True))

    # ---- running

    @property
    def is_blocked(self) -> bool:
        """The main thread of its task waits."""
        return self.body is not None and self.body.main_wait is not None

    @property
    def can_go(self) -> bool:
        """Whether it can do something by itself now."""
        body = self.body
        if body is None:
            return bool(self.line)
        return body.main_wait is None and (body.steps > 0 or not body.helper_waits)

    def go(self) -> None:
        """Do one thing: begin the next attempt, or one step of the running one, or end it."""
        if self.body is None:
            self._begin()
        elif self.body.steps > 0:
            self.body.steps -= 1
            if self._rng.random() < 0.8:
                self._rng.choice(self._acts)()
        else:
            self._end(self.body)

    def open_waits(self) -> list[int]:
        """The requests that could be given up now."""
        if self.body is None:
            return []
        requests = [*self.body.helper_waits] + ([self.body.main_wait] if self.body.main_wait is not None else [])
        waits = self._laws.waits
        return [number for number in requests if (self.id, number) in waits and not waits[(self.id, number)].gives_up]

    def give_up(self, request: int) -> None:
        """A time-out is over; the thread still waits for the reply."""
        self._laws.waits[(self.id, request)].gives_up = True
        self.say(m.WaitAbandoned(0.0, self.id, request))

    def _begin(self) -> None:
        task, attempt = self.line.popleft()
        self.body = Body(task, attempt, self._rng.randint(0, self._mood.steps))
        self._laws.note_started(self, task, attempt)
        spec = self._laws.jobs[task].spec
        arguments = [pin for pin in spec.pins if pin not in spec.needs]
        for need in spec.needs:
            arguments += [need, *self._laws.things[need].contains]
        self._take(arguments)

    def _end(self, body: Body) -> None:
        spec = self._laws.jobs[body.task].spec
        took_s = FUNCTIONS[spec.function]
        contained = self._invent_contents([returned_object(spec.task, index) for index in range(spec.num_returns)])
        if self._rng.random() < 0.5:
            # What its arguments named is pinned until the kernel hears of its end, so it may let go before,
            # even of what it gives out; of other refs in its results only afterwards.
            given_out = set().union(*contained) - set(spec.pins)
            self._drop_all([ref for ref in self.refs if ref not in given_out])
        if self._rng.random() < self._mood.fails:
            self.say(m.TaskFailed(0.0, self.id, body.task, body.attempt, took_s))
        else:
            has_failed = [self._rng.random() < self._mood.fails / 2 for _ in contained]
            failed = tuple(has_failed) if any(has_failed) else ()
            contains = tuple(contained) if any(contained) else ()
            self.say(m.TaskFinished(0.0, self.id, body.task, body.attempt, took_s, failed, contains))
        del self.owes[(body.task, body.attempt)]
        self.body = None
        self._drop_all([ref for ref in self.refs if self._rng.random() > self._mood.keeps_refs])

    def _invent_contents(self, results: list[ObjectId]) -> list[tuple[ObjectId, ...]]:
        contents = []
        for object_id in results:
            refs = tuple(ref for ref in self._some_refs() if not self._laws.leads_back(ref, results))
            self._laws.promised[object_id] = refs
            contents.append(refs)
        return contents

    # ---- what a task does

    def _submit(self) -> None:
        assert self.body is not None
        spec = self._laws.jobs[self.body.task].spec
        if self._mood.tasks <= 0 or spec.depth >= self._mood.depth:
            return
        new, refs = self._next_id(), list(self.refs)
        child = self._mood.invent(self._rng, new, refs, parent=spec.task, depth=spec.depth + 1, owner=self.id)
        self.refs.update(dict.fromkeys(self._laws.note_submitted(child)))
        self.say(m.TaskSubmitted(0.0, child))

    def _call(self) -> None:
        """Submit, and wait for it at once."""
        self._submit()
        self._wait()

    def _put(self) -> None:
        new, inner = ObjectId(self._next_id()), self._some_refs()
        self._laws.note_put(new, inner)
        self.refs[new] = None
        self.say(m.ObjectPut(0.0, new, self.id, inner))

    def _drop(self) -> None:
        waited_for = {ref for wait in self._waits() for ref in wait.said.objects}
        droppable = [ref for ref in self.refs if ref not in waited_for]
        if droppable:
            self._drop_all([self._rng.choice(droppable)])

    def _wait(self) -> None:
        assert self.body is not None
        if self.refs:
            self._hand_back()
            self.body.main_wait = self._ask(releases=True)

    def _wait_aside(self) -> None:
        assert self.body is not None
        if self.refs:
            if self._rng.random() < 0.5:
                self._hand_back()
            self.body.helper_waits[self._ask(releases=False)] = None

    def _ask(self, *, releases: bool) -> int:
        assert self.body is not None
        self._requests += 1
        pending = [ref for ref in self.refs if self._laws.things[ref].fate is Fate.PENDING]
        refs = (pending if pending and self._rng.random() < 0.8 else list(self.refs))[-4:]
        objects = tuple(self._rng.sample(refs, self._rng.randint(1, len(refs))))
        count = self._rng.choice((1, len(objects), len(objects)))
        until_failure = self._rng.random() < 0.5
        task, attempt, request = self.body.task, self.body.attempt, self._requests
        said = m.WorkerWaits(0.0, self.id, task, attempt, request, objects, count, until_failure, releases)
        self._laws.waits[(self.id, request)] = Wait(said, cpus_in(self._laws.jobs[task].spec.shape))
        self.say(said)
        return request

    def _go_on(self, request: int) -> None:
        assert self.body is not None
        if request == self.body.main_wait:
            self.body.main_wait = None
            self._laws.check_use()
        else:
            del self.body.helper_waits[request]
        for ref in list(self.refs):  # it reads what is there, and finds refs in it
            thing = self._laws.things[ref]
            if thing.contains and thing.fate is Fate.READY and self._rng.random() < 0.5:
                self._take(list(thing.contains))

    def _waits(self) -> list[Wait]:
        return [wait for (worker, _), wait in self._laws.waits.items() if worker == self.id]

    def _hand_back(self) -> None:
        if not self.line:
            return
        runs = tuple(self.line)
        self.line.clear()
        for run in runs:
            del self.owes[run]
        self.say(m.AttemptsHandedBack(0.0, self.id, runs))

    # ---- refs

    def _some_refs(self) -> tuple[ObjectId, ...]:
        return self._mood.some_of(self._rng, list(self.refs)) if self._rng.random() < 0.4 else ()

    def _take(self, objects: list[ObjectId]) -> None:
        # Sometimes it says so again of what it holds already: each of its refs may report its birth.
        taken = tuple(ref for ref in objects if ref not in self.refs or self._rng.random() < 0.1)
        self.refs.update(dict.fromkeys(taken))
        if taken:
            self.say(m.RefsTaken(0.0, self.id, taken))

    def _drop_all(self, objects: list[ObjectId]) -> None:
        for ref in objects:
            del self.refs[ref]
        if objects:
            self.say(m.RefsDropped(0.0, self.id, tuple(objects)))

    def drop_everything(self) -> None:
        """Its caches and globals are cleared."""
        self._drop_all(list(self.refs))
