"""The world: one kernel with the scheduler and the user's program in it, many workers, and much bad luck."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

from jray.runtime.core import invariants, messages as m
from jray.runtime.core.scheduler import Scheduler
from jray.runtime.ids import KERNEL, NO_TASK, ObjectId, WorkerId, id_source
from tests.support.simulation.kernel_store import KernelStore
from tests.support.simulation.laws import Fate, Laws, law
from tests.support.simulation.memory import Bytes
from tests.support.simulation.modules import Modules
from tests.support.simulation.mood import MOVES, Mood, PoolMood, StoreMood
from tests.support.simulation.worker import Order, SimulatedWorker

MOST_TICKS = 40  # so often a timer fires while nothing else happens, until something is done about it
MOST_STEPS = 200_000  # a world that goes on for longer goes round in circles


def gathered(events: list[m.Event], laws: Laws) -> list[m.Event]:
    """As the shell hears them: of every other plain result nothing is said but that it is there, of several at once."""
    heard: list[m.Event] = []
    for event in events:
        is_plain = isinstance(event, m.TaskFinished) and not (event.failed or event.contains or event.sizes)
        if not is_plain or laws.jobs[event.task].spec.template.num_returns != 1 or event.attempt % 2 == 0:
            heard.append(event)
            continue
        report = event.task, event.attempt, event.took_s, event
        last = heard[-1] if heard else None
        if isinstance(last, m.AttemptsReturned) and last.worker == event.worker:
            last.reports.append(report)
        else:
            heard.append(m.AttemptsReturned(event.at, event.worker, [report]))
    return heard


class World:
    """Performs the scheduler's instructions in any legal order. The same seed makes the same world.

    `log` is everything that was said: the batches of events, each with the instructions that came back.
    """

    def __init__(self, seed: int, *, size: int = 1, checks_books: bool = True) -> None:
        """`size` multiplies how much there is to do; without `checks_books` the scheduler's books are not looked at."""
        self.rng = Random(seed)
        self.mood = Mood.drawn(self.rng, size)
        self.mood.store = StoreMood.drawn(Random(f"memory of {seed}"), size)
        self.pool = PoolMood.drawn(Random(f"workers of {seed}"), size)
        self.modules = Modules.drawn(Random(f"edited modules of {seed}"), size) if self.pool is None else None
        self.laws = Laws(self.mood.total, modules=self.modules)
        self.scheduler = Scheduler(self.mood.total, limits=self.mood.store.limits if self.mood.store else None)
        self.workers: list[SimulatedWorker] = []  # as long as they have something to say
        self.log: list[tuple[list[m.Event], list[m.Instruction]]] = []
        self.steps = 0
        self.now = 0.0
        self._timer: float | None = None
        self._checks_books = checks_books
        self._next_id = id_source(KERNEL)
        self._is_user_done = False
        moves = (self._user, self._receive, self._deliver, self._run)
        self._needed_moves: tuple[Callable[[], bool], ...] = moves
        self._moves = (*moves, self._fire_timer, self._lose, self._repeat, self._abandon)
        assert len(self._moves) == len(MOVES)
        self._weights = self.mood.weights
        self._ticks = 0  # timers that fired while nothing else happened
        self.store: KernelStore | None = None
        if self.mood.store is not None:
            self._use_memory(self.mood.store)
        if self.pool is not None:
            self._moves = (*self._moves, self._change_pool)
            self._weights = [*self._weights, self.pool.weight]
        if self.modules is not None:
            if size < 10:  # else it is long enough: a reload matters to what comes after it
                self.mood.run_longer(4)
            self._moves = (*self._moves, self._reload_modules)
            self._weights = [*self._weights, self.modules.weight]

    def _use_memory(self, mood: StoreMood) -> None:
        truth = Bytes(mood.limits, self.laws)
        self.store = store = KernelStore(truth, mood, self.laws, self.workers, self._next_id)
        here = (self._read_inbox, lambda: store.end_a_job(self.now))
        self._needed_moves = (*here, *self._needed_moves)
        self._moves = (*self._moves, *here, store.abandon, self._use_values)
        self._weights = [*self._weights, *mood.weights]

    def run(self) -> World:
        """Let everything happen; in the end nothing may be left."""
        while self._step():
            self.steps += 1
            law(self.steps < MOST_STEPS, "the world goes round in circles")
        self._check_end()
        return self

    def _step(self) -> bool:
        self.now += self.rng.random() * 0.002
        if self.rng.choices(self._moves, self._weights)[0]() or any(move() for move in self._needed_moves):
            return True
        self._ticks += 1
        return (self._ticks < MOST_TICKS and self._fire_timer()) or self._go_on_when_still() or self._fire_timer()

    def _go_on_when_still(self) -> bool:
        """Nothing can happen by itself: each wait must have a reason. Let one time-out end, or the user leave."""
        self.laws.check_nobody_is_forgotten()
        if self.store is not None:
            self.store.truth.check_nobody_is_forgotten(self.now)
        waiting = [(worker, request) for worker in self.workers for request in worker.open_waits()]
        owed = {(wait.said.worker, wait.said.request) for wait in self.laws.owed_replies()}
        hopeless = [(worker, request) for worker, request in waiting if (worker.id, request) not in owed]
        if hopeless:
            worker, request = self.rng.choice(hopeless)
            worker.give_up(request)
            return True
        return self._drop_everything()

    # ---- moves: each says whether there was something to do

    def _user(self) -> bool:
        if self.mood.user_moves <= 0:
            return False
        self.mood.user_moves -= 1
        self.rng.choice((self._submit, self._submit, self._submit, self._put, self._read, self._drop))()
        if self.mood.user_moves == 0 and self.mood.is_impatient:
            if self.store is not None:
                self.store.drop_views()
            self._handle([m.RefsDropped(self.now, KERNEL, self._forget(self.laws.refs_of_kernel()))])
        return True

    def _receive(self) -> bool:
        told = [worker for worker in self.workers if worker.inbox]
        if told:
            self.rng.choice(told).receive()
        return bool(told)

    def _deliver(self) -> bool:
        batch = self._read_outboxes(self.rng.randint(1, self.mood.batch))
        if batch:
            self._handle(batch)
        return bool(batch)

    def _run(self) -> bool:
        able = [worker for worker in self.workers if worker.can_go]
        if able:
            self.rng.choice(able).go()
        return bool(able)

    def _fire_timer(self) -> bool:
        if self._timer is None:
            return False
        self.now, self._timer = max(self.now, self._timer), None
        self._handle([m.TimerFired(self.now), *self._read_outboxes(self.rng.randint(0, 1))])
        return True

    def _lose(self) -> bool:
        alive = [worker for worker in self.workers if worker.is_alive]
        if not alive or self.mood.losses <= 0:
            return False
        # Those that wait have the most to untangle, and are few: most losses are kept for them.
        resuming = {wait.said.worker for wait in self.laws.owed_replies()}
        weak = [worker for worker in alive if worker.id in resuming] or [w for w in alive if w.is_blocked]
        if self.store is not None:
            weak += [worker for worker in alive if self.store.is_delicate(worker)]
        if self.rng.random() < 0.7:
            alive = weak
        if not alive:
            return False
        self.mood.losses -= 1
        self.rng.choice(alive).die()
        return True

    def _repeat(self) -> bool:
        if not self.workers or self.mood.repeats <= 0:
            return False
        self.mood.repeats -= 1
        return self.rng.choice(self.workers).repeat()

    def _abandon(self) -> bool:
        waiting = [(worker, request) for worker in self.workers for request in worker.open_waits()]
        if not waiting or self.rng.random() > self.mood.abandons:
            return False
        worker, request = self.rng.choice(waiting)
        worker.give_up(request)
        return True

    # ---- the user's program

    def _submit(self) -> None:
        events: list[m.Event] = []
        refs = self.laws.refs_of_kernel()
        number = min(self.mood.user_tasks, self.rng.randint(1, self.mood.burst))
        self.mood.user_tasks -= number
        for _ in range(number):
            spec = self.mood.invent(self.rng, self._next_id(), refs, parent=NO_TASK, depth=0, owner=KERNEL)
            results = self.laws.note_submitted(spec)
            self.laws.kernel_refs.update(results)
            refs += results
            events.append(m.TaskSubmitted(self.now, spec))
        self._handle(events)

    def _put(self) -> None:
        new, inner = ObjectId(self._next_id()), self.mood.some_of(self.rng, self.laws.refs_of_kernel())
        self.laws.note_put(new, inner)
        self.laws.kernel_refs[new] += 1
        self._handle([m.ObjectPut(self.now, new, KERNEL, inner)])

    def _read(self) -> None:
        """Copy a ref, and find more refs inside the value."""
        held = self.laws.refs_of_kernel()
        if not held:
            return
        ref = self.rng.choice(held)
        thing = self.laws.things[ref]
        taken = (ref, *thing.contains) if thing.fate is Fate.READY else (ref,)
        self.laws.kernel_refs.update(taken)
        self._handle([m.RefsTaken(self.now, KERNEL, taken)])

    def _drop(self) -> None:
        held = self.laws.refs_of_kernel()
        if held:
            ref = self.rng.choice(held)
            if self.store is not None:
                self.store.let_go(ref)
            if self.laws.kernel_refs[ref] > 0:
                self.laws.kernel_refs[ref] -= 1
                self._handle([m.RefsDropped(self.now, KERNEL, (ref,))])

    def _use_values(self) -> bool:
        """The program stores values, and has arrays that are views of some."""
        assert self.store is not None
        assert self.mood.store is not None
        if self.mood.store.moves <= 0 or self._is_user_done:
            return self.store.drop_view()
        self.mood.store.moves -= 1
        return self.rng.choice((self.store.put, self.store.put, self.store.read, self.store.drop_view))()

    def _change_pool(self) -> bool:
        """The user resizes the pool or restarts it; or a worker turns out to be unfit."""
        assert self.pool is not None
        pool, alive = self.pool, [worker for worker in self.workers if worker.is_alive]
        able = []
        if pool.restarts > 0 and not self._is_user_done:
            able.append(self._restart)
        if pool.resizes > 0 and not self._is_user_done:
            able.append(self._resize)
        if pool.spoils > 0 and alive:
            able.append(lambda: self._spoil(pool.rng.choice(alive)))
        if able:
            pool.rng.choice(able)()
        return bool(able)

    def _reload_modules(self) -> bool:
        assert self.modules is not None
        if self.modules.reloads <= 0 or self._is_user_done:
            return False
        event = replace(self.modules.reload(), at=self.now)
        self._handle([event, *self._read_outboxes(self.rng.randint(0, self.mood.batch))])
        if self.mood.user_tasks > 0:  # that is what it was edited for
            self._submit()
        return True

    def _restart(self) -> None:
        assert self.pool is not None
        self.pool.restarts -= 1
        event = m.RestartAsked(self.now, now=self.pool.rng.random() < 0.3)
        self._handle([event, *self._read_outboxes(self.rng.randint(0, self.mood.batch))])

    def _resize(self) -> None:
        assert self.pool is not None
        self.pool.resizes -= 1
        event = m.Resized(self.now, self.pool.cpus())
        self._handle([event, *self._read_outboxes(self.rng.randint(0, self.mood.batch))])

    def _spoil(self, worker: SimulatedWorker) -> None:
        assert self.pool is not None
        self.pool.spoils -= 1
        worker.say(m.WorkerSpoiled(0.0, worker.id))

    def _forget(self, refs: list[ObjectId]) -> tuple[ObjectId, ...]:
        dropped = tuple(ref for ref in refs for _ in range(self.laws.kernel_refs[ref]))
        self.laws.kernel_refs.clear()
        return dropped

    # ---- the kernel

    def _read_inbox(self) -> bool:
        """What the kernel's threads said, perhaps with what workers said."""
        assert self.store is not None
        is_news = bool(self.store.inbox)
        if is_news:
            self._handle(
                self._read_outboxes(self.rng.randint(0, self.mood.batch)), is_inbox_first=self.rng.random() < 0.5
            )
        return is_news

    def _read_outboxes(self, limit: int) -> list[m.Event]:
        batch: list[m.Event] = []
        for _ in range(limit):
            speaking = [worker for worker in self.workers if worker.outbox]
            if not speaking:
                break
            worker = self.rng.choice(speaking)
            said, _is_new = worker.outbox.popleft()
            event = replace(said, at=self.now)
            self._note_heard(worker, event)
            batch.append(event)
        return batch

    def _note_heard(self, worker: SimulatedWorker, event: m.Event) -> None:
        match event:
            case m.TaskFinished() | m.TaskFailed():
                self.laws.staged[(event.task, event.worker, event.attempt)] = event
            case m.WorkerWaits():
                self.laws.waits[(event.worker, event.request)].is_heard = True
            case m.WaitAbandoned():
                wait = self.laws.waits.get((event.worker, event.request))
                if wait is not None:
                    wait.is_given_up = True
            case m.WorkerLost():
                self.laws.note_lost(worker)
                self.workers.remove(worker)
            case m.WorkerRefused():
                del self.laws.workers[worker.id]
                self.laws.refusals.add(event.reason)
                self.workers.remove(worker)

    def _handle(self, events: list[m.Event], *, is_inbox_first: bool = True) -> None:
        self._ticks *= all(isinstance(event, m.TimerFired) for event in events)
        if self.store is not None:
            said = [replace(event, at=self.now) for event in self.store.inbox]
            self.store.inbox.clear()
            events = [*said, *events] if is_inbox_first else [*events, *said]
            for event in events:
                self.store.truth.note_heard(event)
        if not events:
            return
        self.laws.note_changes(events)
        heard = gathered(events, self.laws)
        orders = self.scheduler.handle(heard)
        self.log.append((heard, orders))
        if self._checks_books:
            invariants.check(self.scheduler)
        for order in orders:
            if self.store is not None:
                self.store.truth.judge(order, self.now)
            self.laws.judge(order)
            self._perform(order)
        for event in events:
            if isinstance(event, m.TaskFinished | m.TaskFailed):
                law(self.laws.jobs[event.task].is_over, f"{event} was heard, and nothing is published")
            elif isinstance(event, m.WorkerLost):
                self.laws.forget_waits_of(event.worker)
        self.laws.check_answers(orders)

    def _perform(self, order: m.Instruction) -> None:
        match order:
            case m.StartWorker(number, gpus):
                memory = self.store.truth if self.store is not None else None
                worker = SimulatedWorker(number, gpus, self.laws, self.mood, self.rng, memory=memory)
                self.laws.workers[number] = worker
                self.workers.append(worker)
                if self.mood.refusals > 0 and self.rng.random() < 0.5:
                    self.mood.refusals -= 1
                    worker.refuse()
            case m.EndWorker(number):
                self.laws.workers[number].is_ended = True
                self._put_on_the_way(number, order)
            case m.SendTasks(number) | m.RecallTasks(number) | m.ReplyToWait(number) | m.KillWorker(number):
                self._put_on_the_way(number, order)
            case m.GrantRoom(process) | m.RefuseRoom(process) | m.Allow(process):
                if process == KERNEL and self.store is not None:
                    self.store.answer(order)
                else:
                    self._put_on_the_way(process, order)
            case m.SetTimer(at):
                self._timer = at

    def _put_on_the_way(self, number: WorkerId, order: Order) -> None:
        worker = self.laws.workers.get(number)
        if worker is not None and worker.is_alive:  # else it is dead, and the kernel may not know it yet
            worker.inbox.append(order)

    # ---- the end

    def _drop_everything(self) -> bool:
        """The user's program is over and its session forgets everything, and so do the workers."""
        if self._is_user_done:
            return False
        if self.store is not None and self.store.ask_for_all():
            return True
        self._is_user_done = True
        if self.store is not None:
            self.store.drop_views()
            self.store.stop_waiting()
        self._handle([m.RefsDropped(self.now, KERNEL, self._forget(self.laws.refs_of_kernel()))])
        for worker in self.workers:
            worker.drop_everything()
        return True

    def _check_end(self) -> None:
        """Nothing is left, except what can never run and what that needs."""
        stuck, needed = self.laws.stuck(), self.laws.still_needed()
        scheduler = self.scheduler
        law(scheduler.tasks.keys() == stuck, f"tasks {scheduler.tasks.keys() ^ stuck} should be over")
        objects = scheduler.references.objects.keys()
        law(objects == needed, f"objects {objects ^ needed} are left, or should be")
        resources = scheduler.placement.resources
        law(
            +Counter(resources.available) == +Counter(resources.total),
            f"only {resources.available} of {resources.total} are free",
        )
        warned = sum("stays pending" in text for text in self.laws.warnings)
        infeasible = len(self.laws.infeasible_shapes())
        law(
            warned == infeasible or (self.laws.is_resized and warned > infeasible),
            f"{warned} warnings about requests that can never be met",
        )
        law(self._timer is None, "a timer is left")
        if self.store is not None:
            self.store.truth.check_end(needed)
            self._check_books_of_memory(self.store.truth)

    def _check_books_of_memory(self, truth: Bytes) -> None:
        memory = self.scheduler.memory
        law((memory.used, memory.on_disk) == (truth.in_memory(), truth.on_disk()), f"{vars(memory)} is not the truth")
        law(memory.leaving == memory.returning == 0, f"{memory.leaving} leave, {memory.returning} return")
        law(not memory.requests, f"{memory.requests} are left")
        law(memory.promises == truth.room, f"{memory.promises} is promised, {truth.room} is known")
        standing = memory.limits.standing
        for process, room in memory.promises.items():
            law(standing - standing // 2 <= room <= standing, f"{process} may write {room} in the end")
