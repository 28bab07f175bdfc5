"""What the engine hears: messages of workers and facts of the zygote become events.

Runs in the IO thread, which alone reads. It changes the books (under the engine's lock) only by adding what came with a
message; what that means is the scheduler's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jray.runtime import wire
from jray.runtime.core import messages as m
from jray.runtime.engine.books import Books, ReportKey, TaskBody, parked_objects
from jray.runtime.engine.sink import OutputText
from jray.runtime.ids import TaskId
from jray.runtime.own_modules import Imported, Sign
from jray.runtime.pool.worker_pool import Handle
from jray.runtime.serde.code import Code
from jray.runtime.store.objects import StoredValue
from jray.runtime.surroundings import Surroundings


class Heard:
    """What one turn of the IO thread has brought in."""

    __slots__ = ("events", "outputs", "questions", "reports", "set_ups", "unseen")

    def __init__(self) -> None:
        """Nothing yet."""
        self.events: list[m.Event] = []
        self.reports: list[tuple[ReportKey, tuple[StoredValue, ...]]] = []  # what came with TaskFinished and TaskFailed
        self.outputs: list[OutputText] = []
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
        for received in messages:
            reader = self._readers.get(type(received))
            if reader is None:
                msg = f"Worker {handle.label} sent a {type(received).__name__}, which only the kernel may send."
                raise wire.ProtocolError(msg)
            reader(heard, handle, at, received)

    def _done(self, heard: Heard, handle: Handle, at: float, done: wire.Done) -> None:
        results = tuple(_own_value(handle, result) for result in done.results)
        worker, task, attempt = handle.worker, done.task, done.attempt
        if task in self._books.timed:
            self._books.timed[task] = done.took_s
        heard.reports.append(((worker, task, attempt), results))
        if done.raised:
            heard.events.append(m.TaskFailed(at, worker, task, attempt, done.took_s))
        else:
            failed = [stored.failed for stored in results]
            sizes = [stored.shared_bytes for stored in results]
            heard.events.append(
                m.TaskFinished(
                    at,
                    worker,
                    task,
                    attempt,
                    done.took_s,
                    tuple(failed) if any(failed) else (),
                    done.contains,
                    tuple(sizes) if any(sizes) else (),
                )
            )

    def _submit(self, heard: Heard, handle: Handle, at: float, sent: wire.Submit) -> None:
        code = _code_of(handle, sent)
        self._books.bodies[sent.task] = TaskBody(
            sent.name,
            code,
            sent.payload,
            sent.needs,
            sent.num_returns,
            sent.shape,
            sent.depth,
            sent.origin,
            sent.read_only,
            sent.seed,
            self._surroundings_of(handle, sent),
        )
        spec = m.TaskSpec(
            sent.task,
            sent.name,
            sent.function,
            sent.shape,
            sent.needs + parked_objects(code, sent.payload),
            sent.pins,
            sent.num_returns,
            sent.max_retries,
            sent.depth,
            sent.parent,
            handle.worker,
            sent.origin,
        )
        heard.events.append(m.TaskSubmitted(at, spec))

    def _surroundings_of(self, handle: Handle, sent: wire.Submit) -> Surroundings:
        if sent.surroundings is not None:
            return _surroundings(handle, sent.surroundings)
        parent = self._books.bodies.get(sent.parent)
        if parent is not None:
            return parent.surroundings
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
        what, origin = (f"put in {body.name}", body.origin) if body is not None else ("put in a worker", 0)
        self._books.note_maker(put.object, what, origin)
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
