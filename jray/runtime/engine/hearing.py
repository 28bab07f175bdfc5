"""What the engine hears: messages of workers and facts of the zygote become events.

Runs in the IO thread, which alone reads. It changes the books (under the engine's lock) only by adding what came with a
message; what that means is the scheduler's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jray.runtime import wire
from jray.runtime.core import messages as m
from jray.runtime.engine.books import Books, Recipe, ReportKey, TaskBody, parked_objects
from jray.runtime.engine.sink import OutputText
from jray.runtime.ids import TaskId, WorkerId
from jray.runtime.own_modules import Imported, Sign
from jray.runtime.pool.worker_pool import Handle
from jray.runtime.serde.code import Code
from jray.runtime.store.objects import StoredValue
from jray.runtime.surroundings import Surroundings


class Heard:
    """What one turn of the IO thread has brought in."""

    __slots__ = ("blocks", "events", "gone", "outputs", "questions", "reports", "set_ups", "unseen")

    def __init__(self) -> None:
        """Nothing yet."""
        self.events: list[m.Event] = []
        self.reports: dict[ReportKey, tuple[StoredValue, ...]] = {}  # what came with TaskFinished and TaskFailed
        self.blocks: list[StoredValue] = []  # those in it that lie in shared memory
        self.outputs: list[OutputText] = []
        self.gone: list[WorkerId] = []  # workers that were lost, or refused
        self.questions: list[tuple[Handle, wire.AskResources]] = []
        self.set_ups: list[tuple[Handle, wire.SetUpDone]] = []
        self.unseen: list[tuple[Handle, wire.AskArena]] = []  # arenas to be shown again


class Interpreter:
    """Turns messages into events and notes what came with them."""

    def __init__(self, books: Books) -> None:
        """The books that bytes are noted in."""
        self._books = books
        self._readers: dict[type, Callable[[Heard, Handle, float, Any], None]] = {
            wire.Done: self._done,
            wire.Returned: self._returned,
            wire.Submit: self._submit,
            wire.Put: self._put,
            wire.Wait: self._wait,
            wire.Abandon: _abandon,
            wire.HandBack: _hand_back,
            wire.Taken: _taken,
            wire.Dropped: _dropped,
            wire.Viewed: _viewed,
            wire.Unviewed: _unviewed,
            wire.ReplyRead: _reply_read,
            wire.AskRoom: _ask_room,
            wire.ReturnRoom: _return_room,
            wire.Output: _output,
            wire.AskArena: _ask_arena,
            wire.AskResources: _ask_resources,
            wire.SetUpDone: _set_up_done,
            wire.ModuleImported: self._module_imported,
        }

    def read(self, heard: Heard, handle: Handle, at: float, messages: list[Any]) -> None:
        """Take in what a worker sent.

        Raises:
            ProtocolError: a message that no worker may send.
        """
        readers = self._readers
        try:
            for received in messages:
                readers[type(received)](heard, handle, at, received)
        except KeyError as error:
            if error.args[0] in readers:
                raise
            msg = f"Worker {handle.label} sent a {type(received).__name__}, which only the kernel may send."
            raise wire.ProtocolError(msg) from None

    def _done(self, heard: Heard, handle: Handle, at: float, done: wire.Done) -> None:
        worker, task, attempt, took_s = handle.worker, done.task, done.attempt, done.took_s
        if task in self._books.timed:
            self._books.timed[task] = took_s
        results = tuple([_own_value(handle, result) for result in done.results])
        if len(results) == 1 and not done.raised and not done.contains:
            (stored,) = results
            if stored.block is None and not stored.failed:
                heard.events.append(m.AttemptsReturned(at, worker, [(task, attempt, took_s, stored)]))
                return
        heard.reports[worker, task, attempt] = results
        if done.raised:
            heard.events.append(m.TaskFailed(at, worker, task, attempt, took_s))
            return
        failed: tuple[bool, ...] = ()
        sizes: tuple[int, ...] = ()
        for stored in results:
            if stored.failed:
                failed = tuple([result.failed for result in results])
            if stored.block is not None:
                sizes = tuple([result.shared_bytes for result in results])
                heard.blocks.append(stored)
        heard.events.append(m.TaskFinished(at, worker, task, attempt, took_s, failed, done.contains, sizes))

    def _returned(self, heard: Heard, handle: Handle, at: float, sent: wire.Returned) -> None:
        reports: list[tuple[TaskId, int, float, object]] = []
        timed = self._books.timed
        stored = StoredValue(False, None, None)  # noqa: FBT003 - a named field
        try:
            for task, attempt, took_s, head, kind in sent.reports:
                if head != stored.head or kind != stored.kind:  # many return the same
                    stored = StoredValue(False, head, None, (), kind)  # noqa: FBT003
                reports.append((task, attempt, took_s, stored))
                if timed and task in timed:
                    timed[task] = took_s
        except (TypeError, ValueError) as error:
            msg = f"Worker {handle.label} sent reports that can't be understood: {error}."
            raise wire.ProtocolError(msg) from error
        heard.events.append(m.AttemptsReturned(at, handle.worker, reports))

    def _submit(self, heard: Heard, handle: Handle, at: float, sent: wire.Submit) -> None:
        code = _code_of(handle, sent)
        template = m.TaskTemplate(
            sent.name,
            sent.function,
            sent.shape,
            sent.num_returns,
            sent.max_retries,
            sent.depth,
            sent.parent,
            handle.worker,
            sent.origin,
        )
        recipe = Recipe(template, code, sent.read_only, self._surroundings_of(handle, sent))
        bodies, events = self._books.bodies, heard.events
        try:
            for task, needs, pins, payload, seed in sent.tasks:
                bodies[task] = TaskBody(recipe, payload, needs, seed)
                all_needs = needs + parked_objects(code, payload)
                events.append(m.TaskSubmitted(at, m.TaskSpec(task, template, all_needs, pins)))
        except (TypeError, ValueError) as error:
            msg = f"Worker {handle.label} submitted tasks that can't be understood: {error}."
            raise wire.ProtocolError(msg) from error

    def _surroundings_of(self, handle: Handle, sent: wire.Submit) -> Surroundings:
        if sent.surroundings is not None:
            return _surroundings(handle, sent.surroundings)
        parent = self._books.bodies.get(sent.parent)
        if parent is not None:
            return parent.recipe.surroundings
        if handle.surroundings is None:
            msg = f"Worker {handle.label} submitted a task, and was sent nothing to run."
            raise wire.ProtocolError(msg)
        return handle.surroundings  # a thread goes on although its task has ended

    def _module_imported(self, heard: Heard, handle: Handle, at: float, told: wire.ModuleImported) -> None:
        name, sign = told.name, Sign(told.mtime_ns, told.size)
        known = self._books.imported.get(name)
        is_new = known is None or known.sign == sign
        self._books.imported[name] = Imported(told.file, sign if is_new else None)
        heard.events.append(m.ModuleImported(at, handle.worker, name))

    def _put(self, heard: Heard, handle: Handle, at: float, put: wire.Put) -> None:
        stored = _own_value(handle, put.value)
        self._books.count_block(stored)
        self._books.values[put.object] = stored
        body = self._books.bodies.get(put.task)
        name, origin = body.recipe.maker if body is not None else ("a worker", 0)
        self._books.note_maker(put.object, f"put in {name}", origin)
        heard.events.append(m.ObjectPut(at, put.object, handle.worker, put.contains, stored.shared_bytes))

    def _wait(self, heard: Heard, handle: Handle, at: float, wait: wire.Wait) -> None:
        self._books.asks[handle.worker, wait.request] = wait
        heard.events.append(
            m.WorkerWaits(
                at,
                handle.worker,
                wait.task,
                wait.attempt,
                wait.request,
                wait.objects,
                wait.count,
                wait.until_failure,
                releases=not wait.on_control,
            )
        )


def _surroundings(handle: Handle, wired: wire.Wire) -> Surroundings:
    """Those that a task has made for its children.

    Raises:
        ProtocolError: they are something else.
    """
    try:
        return Surroundings.from_wire(wired)
    except (TypeError, ValueError, AttributeError) as error:
        msg = f"Worker {handle.label} sent surroundings that are none: {error}"
        raise wire.ProtocolError(msg) from error


def _own_value(handle: Handle, wired: wire.Wire) -> StoredValue:
    """What a worker has stored.

    Raises:
        ProtocolError: it lies in memory that is not the worker's.
    """
    stored = StoredValue.from_wire(wired)
    if stored.block is not None and stored.block.arena != handle.worker:
        msg = f"Worker {handle.label} sent a value in the memory of {stored.block.arena}, which it can't write."
        raise wire.ProtocolError(msg)
    return stored


def _code_of(handle: Handle, sent: wire.Submit) -> Code:
    """The function that a task submits.

    Raises:
        ProtocolError: it is none.
    """
    try:
        return Code(*sent.code)
    except TypeError as error:
        msg = f"Worker {handle.label} submitted a function that can't be understood: {error}."
        raise wire.ProtocolError(msg) from error


def _abandon(heard: Heard, handle: Handle, at: float, abandon: wire.Abandon) -> None:
    heard.events.append(m.WaitAbandoned(at, handle.worker, abandon.request))


def _hand_back(heard: Heard, handle: Handle, at: float, back: wire.HandBack) -> None:
    runs = tuple((TaskId(task), attempt) for task, attempt in back.runs)
    heard.events.append(m.AttemptsHandedBack(at, handle.worker, runs))


def _taken(heard: Heard, handle: Handle, at: float, taken: wire.Taken) -> None:
    heard.events.append(m.RefsTaken(at, handle.worker, taken.objects))


def _dropped(heard: Heard, handle: Handle, at: float, dropped: wire.Dropped) -> None:
    heard.events.append(m.RefsDropped(at, handle.worker, dropped.objects))


def _viewed(heard: Heard, handle: Handle, at: float, viewed: wire.Viewed) -> None:
    heard.events.append(m.ViewsTaken(at, handle.worker, viewed.objects))


def _unviewed(heard: Heard, handle: Handle, at: float, unviewed: wire.Unviewed) -> None:
    heard.events.append(m.ViewsDropped(at, handle.worker, unviewed.objects))


def _reply_read(heard: Heard, handle: Handle, at: float, read: wire.ReplyRead) -> None:
    heard.events.append(m.ReplyRead(at, handle.worker, read.request))


def _ask_room(heard: Heard, handle: Handle, at: float, asked: wire.AskRoom) -> None:
    heard.events.append(m.RoomAsked(at, handle.worker, asked.request, asked.size))


def _return_room(heard: Heard, handle: Handle, at: float, returned: wire.ReturnRoom) -> None:
    heard.events.append(m.RoomReturned(at, handle.worker, returned.size))


def _output(heard: Heard, handle: Handle, _at: float, output: wire.Output) -> None:
    heard.outputs.append(
        OutputText(handle.label, handle.pid, output.task, output.name, output.origin, output.stream, output.text)
    )


def _ask_arena(heard: Heard, handle: Handle, _at: float, asked: wire.AskArena) -> None:
    heard.unseen.append((handle, asked))


def _ask_resources(heard: Heard, handle: Handle, _at: float, question: wire.AskResources) -> None:
    heard.questions.append((handle, question))


def _set_up_done(heard: Heard, handle: Handle, _at: float, done: wire.SetUpDone) -> None:
    heard.set_ups.append((handle, done))
