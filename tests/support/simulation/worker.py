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
from tests.support.simulation.memory import Bytes, Told
from tests.support.simulation.mood import FUNCTIONS, Mood
from tests.support.simulation.store_client import StoreClient

Order = m.SendTasks | m.RecallTasks | m.ReplyToWait | m.EndWorker | m.KillWorker | m.GrantRoom | m.RefuseRoom | m.Allow
REPEATED = (  # what a nasty worker says twice
    m.TaskFinished,
    m.TaskFailed,
    m.AttemptsHandedBack,
    m.WaitAbandoned,
    m.ModuleImported,
)


@dataclass(slots=True)
class Body:
    """The attempt that runs now."""

    task: TaskId
    attempt: int
    steps: int  # what it still does before it ends
    main_wait: int | None = None  # the request for which its main thread waits
    helper_waits: dict[int, None] = field(default_factory=dict)  # of its other threads
    room_wait: int | None = None  # the request for room for which its main thread waits
    put: tuple[ObjectId, tuple[ObjectId, ...], int] | None = None  # what it stores then: id, refs in it, size
    mapped: list[ObjectId] = field(default_factory=list)  # its arguments
    sizes: list[int] | None = None  # of its results
    written: list[ObjectId] = field(default_factory=list)  # of them: those that take shared memory
    refused: set[int] = field(default_factory=set)  # of them: those for which there was no room


class SimulatedWorker:
    """A process: what it holds, what it runs, what it has been told, what it says."""

    def __init__(
        self,
        number: WorkerId,
        gpus: tuple[int, ...],
        laws: Laws,
        mood: Mood,
        rng: Random,
        *,
        memory: Bytes | None = None,
    ) -> None:
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
        self.store: StoreClient | None = None
        if memory is not None and mood.store is not None:
            self.store = StoreClient(number, memory, mood.store, self.say)
        self.owes: dict[tuple[TaskId, int], None] = {}  # sent to it, neither reported nor handed back, in order
        self._laws = laws
        self._mood = mood
        self._rng = rng
        self._next_id = id_source(number)
        self._requests = 0
        self._repeatable: list[m.Event] = []
        often = (self._submit, self._submit, self._call, self._call, self._wait)
        of_memory = (self._put, self._put, self._drop_view) if self.store is not None else ()
        self._acts = (*often, self._wait_aside, self._put, self._drop, *of_memory)

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
            case m.EndWorker() | m.KillWorker():
                self.die()
            case order:
                self._hear_of_room(order)

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
        if self.store is not None:
            for object_id in self.body.written if self.body is not None else ():
                self.store.discard(object_id)
            self.store.truth.note_died(self.id)
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
        return body.main_wait is None and body.room_wait is None and (body.steps > 0 or not body.helper_waits)

    def go(self) -> None:
        """Do one thing: begin the next attempt, or one step of the running one, or end it."""
        if self.body is None:
            self._begin()
        elif self.body.steps > 0:
            self.body.steps -= 1
            if self._laws.modules is not None:
                self._laws.modules.run_code(self)
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
        if self.store is not None:
            self.body.mapped = self.store.read_told(Told(self.id, task, attempt), spec.needs)
            self.store.keep_views(self.body.mapped, self.refs)

    def _end(self, body: Body) -> None:
        spec = self._laws.jobs[body.task].spec
        if self.store is not None and not self._write_results(body, self.store, spec):
            return
        took_s = FUNCTIONS[spec.template.function]
        contained = self._invent_contents(
            [returned_object(spec.task, index) for index in range(spec.template.num_returns)]
        )
        if self._rng.random() < 0.5:
            # What its arguments named is pinned until the kernel hears of its end, so it may let go before,
            # even of what it gives out; of other refs in its results only afterwards.
            given_out = set().union(*contained) - set(spec.pins)
            self._drop_all([ref for ref in self.refs if ref not in given_out])
        if self._rng.random() < self._mood.fails:
            self._throw_away(body, [*body.written])
            self.say(m.TaskFailed(0.0, self.id, body.task, body.attempt, took_s))
        else:
            has_failed = [self._rng.random() < self._mood.fails / 2 or n in body.refused for n in range(len(contained))]
            self._throw_away(body, [o for o in body.written if has_failed[o - spec.task]])
            failed = tuple(has_failed) if any(has_failed) else ()
            contains = tuple(contained) if any(contained) else ()
            sizes = tuple(body.sizes) if body.sizes is not None and any(body.sizes) else ()
            self.say(m.TaskFinished(0.0, self.id, body.task, body.attempt, took_s, failed, contains, sizes))
        if self.store is not None:
            self.store.truth.note_unmapped(self.id, body.mapped)
            self.store.return_excess()
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
        if self._mood.tasks <= 0 or spec.template.depth >= self._mood.depth:
            return
        new, refs = self._next_id(), list(self.refs)
        child = self._mood.invent(self._rng, new, refs, parent=spec.task, depth=spec.template.depth + 1, owner=self.id)
        self.refs.update(dict.fromkeys(self._laws.note_submitted(child)))
        self.say(m.TaskSubmitted(0.0, child))

    def _call(self) -> None:
        """Submit, and wait for it at once."""
        self._submit()
        self._wait()

    def _put(self) -> None:
        assert self.body is not None
        new, inner = ObjectId(self._next_id()), self._some_refs()
        size = self._mood.store.size() if self._mood.store is not None else 0
        if size and self.store is not None and not self.store.try_to_write(new, size):
            self.body.put = (new, inner, size)
            self.body.room_wait = self.store.ask(size)
        else:
            self._say_put(new, inner, size)

    def _say_put(self, new: ObjectId, inner: tuple[ObjectId, ...], size: int) -> None:
        self._laws.note_put(new, inner)
        self.refs[new] = None
        self.say(m.ObjectPut(0.0, new, self.id, inner, size))

    def _drop_view(self) -> None:
        if self.store is not None and self.store.views:
            self.store.drop_views([self._rng.choice(list(self.store.views))])

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
        self._laws.waits[(self.id, request)] = Wait(said, cpus_in(self._laws.jobs[task].spec.template.shape))
        self.say(said)
        return request

    def _go_on(self, request: int) -> None:
        assert self.body is not None
        if request == self.body.main_wait:
            self.body.main_wait = None
            self._laws.check_use()
        else:
            del self.body.helper_waits[request]
        if self.store is not None:
            self.store.read_reply(request, self.refs)
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
            if self.store is not None:
                self.store.truth.told.pop(Told(self.id, *run), None)
        self.say(m.AttemptsHandedBack(0.0, self.id, runs))

    # ---- shared memory

    def _hear_of_room(self, order: Order) -> None:
        assert self.store is not None
        body = self.body
        match order:
            case m.Allow(_, size):
                self.store.allowed(size)
            case m.GrantRoom(_, request):
                self.store.granted(request)
                if body is None or request != body.room_wait:
                    self.store.return_excess()
                    return
                body.room_wait = None
                if body.put is not None:
                    new, inner, size = body.put
                    assert self.store.try_to_write(new, size)
                    self._say_put(new, tuple(ref for ref in inner if ref in self.refs), size)
                    body.put = None
            case m.RefuseRoom(_, request):
                self.store.refused(request)
                if body is not None and request == body.room_wait:
                    self._go_on_without_room(body)

    def give_up_room(self) -> None:
        """The main thread does not wait for room any more."""
        assert self.store is not None
        assert self.body is not None
        assert self.body.room_wait is not None
        self.store.give_up(self.body.room_wait)
        self._go_on_without_room(self.body)

    def _go_on_without_room(self, body: Body) -> None:
        body.room_wait = None
        if body.put is not None:
            body.put = None  # what was put is an error in the user's hands
        else:
            assert body.sizes is not None
            refused = next(n for n, size in enumerate(body.sizes) if size and body.task + n not in body.written)
            body.sizes[refused] = 0
            body.refused.add(refused)

    def _write_results(self, body: Body, store: StoreClient, spec: m.TaskSpec) -> bool:
        """Whether it is done with that; else it waits for room."""
        if body.sizes is None:
            body.sizes = [store.mood.size() for _ in range(spec.template.num_returns)]
        for index, size in enumerate(body.sizes):
            result = returned_object(spec.task, index)
            if not size or result in body.written:
                continue
            if not store.try_to_write(result, size):
                body.room_wait = store.ask(size)
                return False
            body.written.append(result)
        return True

    def _throw_away(self, body: Body, results: list[ObjectId]) -> None:
        """They were written, and are of no use: an error was raised later."""
        for result in results:
            assert self.store is not None
            assert body.sizes is not None
            self.store.discard(result)
            body.written.remove(result)
            body.sizes[result - body.task] = 0

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
        if self.store is not None:
            self.store.drop_views([object_id for object_id in objects if object_id in self.store.views])
        for ref in objects:
            del self.refs[ref]
        if objects:
            self.say(m.RefsDropped(0.0, self.id, tuple(objects)))

    def drop_everything(self) -> None:
        """Its caches and globals are cleared."""
        self._drop_all(list(self.refs))
