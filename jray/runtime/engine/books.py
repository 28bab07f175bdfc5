"""The engine's own books: the bytes behind what the scheduler decides about. The engine's lock guards them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from jray.exceptions import ObjectLostError, WorkerCrashedError
from jray.runtime import wire
from jray.runtime.core.messages import TaskTemplate
from jray.runtime.core.resources import cpus_in
from jray.runtime.ids import DISK, KERNEL, Block, ObjectId, TaskId, WorkerId, returned_object, to_hex
from jray.runtime.own_modules import Imported
from jray.runtime.serde.code import Code
from jray.runtime.serde.errors import pack_own_error
from jray.runtime.store.allowance import no_descriptors
from jray.runtime.store.arena import Arena
from jray.runtime.store.mapping import viewed
from jray.runtime.store.objects import StoredValue
from jray.runtime.store.spill import SpillFile
from jray.runtime.surroundings import Surroundings
from jray.runtime.system import Descriptor, make_memory

ENDED_BY_RESTART = "was ended by a restart that did not wait for its task"  # what is said of a worker


class Maker(NamedTuple):
    """Where an object comes from, in words for people."""

    what: str  # a task's name, "put", "arguments of f"
    origin: int  # the cell that all this started in; the kernel's rooms know what the number means


@dataclass(slots=True, eq=False)
class Recipe:
    """What tasks of one template have in common, and the scheduler does not see."""

    template: TaskTemplate
    code: Code
    read_only: bool  # the arrays that they receive
    surroundings: Surroundings
    takes_cpus: bool = field(init=False)
    maker: Maker = field(init=False)  # of the results

    def __post_init__(self) -> None:
        """Said once for all its tasks."""
        self.takes_cpus = bool(cpus_in(self.template.shape))
        self.maker = Maker(self.template.name, self.template.origin)


class TaskBody(NamedTuple):
    """What a worker needs to run a task. Tasks without arguments, of one recipe, may share one."""

    recipe: Recipe
    payload: wire.Parcel = b""  # b"": no arguments
    needs: tuple[ObjectId, ...] = ()
    seed: int | None = None  # of the random numbers that it draws


def parked_objects(code: Code, payload: wire.Parcel) -> tuple[ObjectId, ...]:
    """What of code and arguments is too large for a message: a task needs it like its arguments."""
    return (*code.captured, ObjectId(payload)) if type(payload) is int else code.captured


ReportKey = tuple[WorkerId, TaskId, int]


class Books:
    """Values, task bodies, reports that wait for a decision, and the blocks in all arenas."""

    def __init__(self) -> None:
        """Nothing is stored."""
        self.values: dict[ObjectId, StoredValue] = {}
        self.makers: dict[ObjectId, Maker] = {}  # of all values
        self._last_maker = Maker("", 0)
        self.bodies: dict[TaskId, TaskBody] = {}
        self.copies: dict[ObjectId, StoredValue] = {}  # on disk, of values that may be in memory as well
        self.staged: dict[ReportKey, tuple[StoredValue, ...]] = {}
        self.imported: dict[str, Imported] = {}  # the user's own modules, as workers have reported them
        self.timed: dict[TaskId, float] = {}  # seconds that tasks ran which somebody asked about; -1: not yet
        self.asks: dict[tuple[WorkerId, int], wire.Wait] = {}
        self.blocks_in: dict[WorkerId, int] = {}  # how many blocks of an arena are in use
        self.bytes_in_blocks = 0
        self.freed: dict[WorkerId, list[Block]] = {}  # to be told to the arenas' workers
        self.looking: list[None] = []  # one for each thread that looks up where a value is, and maps it
        self._retired: list[tuple[ObjectId, StoredValue]] = []  # moved away from; somebody may still map it
        self.arena: Arena | None = None  # the kernel's own, if it was used
        self.spill_file: SpillFile | None = None  # likewise
        self._making = threading.Lock()
        self._is_closed = False
        self.read_end: Descriptor  # of the kernel's own arena; others keep it alive after the end
        self.uncounted: deque[StoredValue] = deque()  # put by threads that do not hold the engine's lock

    def own_arena(self) -> Arena:
        """The kernel's arena; made at first use.

        Raises:
            ObjectLostError: the runtime was shut down by another thread.
            ObjectStoreFullError: this process has no descriptors left for it.
        """
        if self.arena is None:
            with self._making:  # two arenas would both be called the kernel's
                if self._is_closed:
                    msg = (
                        "A value could not be stored. Another thread has shut jray down meanwhile. Call jray again: "
                        "the next use starts it."
                    )
                    raise ObjectLostError(msg)
                if self.arena is None:
                    try:
                        memory, read_end = make_memory("jray-kernel")
                    except OSError as error:
                        raise no_descriptors("A value could not be stored", error) from error
                    self.read_end = Descriptor(read_end)
                    self.arena = Arena(KERNEL, memory)
        return self.arena

    def memory_of(self, arena: WorkerId) -> Descriptor:
        """What the kernel's own arena, or the file of spilled objects, can be read through."""
        if arena == KERNEL:
            return self.read_end
        assert self.spill_file is not None  # noqa: S101 - something lies in it
        return self.spill_file.read_end

    # ---- values

    def count_block(self, stored: StoredValue) -> None:
        """A block of shared memory has come into use."""
        if stored.block is not None:
            arena = stored.block.arena
            self.blocks_in[arena] = self.blocks_in.get(arena, 0) + 1
            self.bytes_in_blocks += stored.block.size

    def discard(self, stored: StoredValue) -> None:
        """Nobody will read it any more: give its block back."""
        block = stored.block
        if block is None:
            return
        if block.arena == DISK:
            assert self.spill_file is not None  # noqa: S101 - the block lies in it
            self.spill_file.free(block)
            return
        self.blocks_in[block.arena] -= 1
        self.bytes_in_blocks -= block.size
        if block.arena == KERNEL:
            self.own_arena().free(block.offset)
        else:
            self.freed.setdefault(block.arena, []).append(block)

    def free(self, objects: Iterable[ObjectId]) -> None:
        """The scheduler says that nobody can ask for these any more."""
        values, makers = self.values, self.makers
        for object_id in objects:
            stored = values.pop(object_id, None)
            if stored is None:
                continue
            makers.pop(object_id, None)
            if stored.block is not None:
                self.discard(stored)
                copy = self.copies.pop(object_id, None)
                if copy is not None and copy is not stored:
                    self.discard(copy)

    def note_copy(self, object_id: ObjectId, copy: StoredValue) -> None:
        """The object is on disk as well, if it is still wanted."""
        if object_id in self.values:
            self.copies[object_id] = copy
        else:
            self.discard(copy)

    def move_to_disk(self, object_id: ObjectId) -> None:
        """From now on the copy is the value.

        A thread of this process may have looked up the old place, and not mapped it yet. No lock keeps it out, since it
        might run a finalizer there that waits for us. Instead (1) the value is replaced; (2) its old block is given
        back when nobody is looking, which a thread says before it looks, and nobody has mapped it.
        """
        self._retired.append((object_id, self.values[object_id]))
        self.values[object_id] = self.copies[object_id]

    def give_back_retired(self) -> None:
        """Give the blocks back that values were moved away from, if that is safe by now."""
        if not self._retired or self.looking:
            return
        mapped = viewed()
        retired, self._retired = self._retired, []
        for object_id, stored in retired:
            if object_id in mapped:
                self._retired.append((object_id, stored))
            else:
                self.discard(stored)

    @property
    def has_retired(self) -> bool:
        """Whether somebody should call `give_back_retired` when it has done looking."""
        return bool(self._retired)

    def move_to_memory(self, object_id: ObjectId, stored: StoredValue) -> None:
        """It was read back, if it is still wanted; the copy on disk stays for the next time."""
        self.count_block(stored)
        if object_id in self.values:
            self.values[object_id] = stored
        else:
            self.discard(stored)

    def blocks_of(self, arena: WorkerId) -> list[Block]:
        """All that is in use of an arena, in order."""
        values = [*self.values.values(), *(stored for staged in self.staged.values() for stored in staged)]
        values += [stored for _, stored in self._retired]
        blocks = {stored.block for stored in values if stored.block is not None and stored.block.arena == arena}
        return sorted(blocks, key=lambda block: block.offset)

    def note_maker(self, object_id: ObjectId, what: str, origin: int) -> None:
        """Remember, as long as the object lives, where it comes from."""
        maker = self._last_maker
        if maker.what != what or maker.origin != origin:  # a loop of tasks shares one
            maker = self._last_maker = Maker(what, origin)
        self.makers[object_id] = maker

    def stage(self, reports: Mapping[ReportKey, tuple[StoredValue, ...]], blocks: Iterable[StoredValue]) -> None:
        """Workers report; the scheduler has yet to say which reports count. `blocks`: those that lie in memory."""
        for stored in blocks:
            self.count_block(stored)
        self.staged.update(reports)

    def publish(self, key: ReportKey) -> list[ObjectId]:
        """The report counts: its results are the task's."""
        task = key[1]
        results = self.staged.pop(key)
        recipe = self.bodies.pop(task).recipe
        number = recipe.template.num_returns
        if len(results) != number:  # it raised: one error for all
            results = (results[0],) * number if results else ()
        published = []
        for index, stored in enumerate(results):
            object_id = returned_object(task, index)
            self.values[object_id] = stored
            self.makers[object_id] = recipe.maker
            published.append(object_id)
        return published

    def publish_all(self, results: Iterable[tuple[TaskId, object]]) -> None:
        """These reports count, each with one small result: a StoredValue."""
        bodies, values, makers = self.bodies, self.values, self.makers
        for task, stored in results:
            object_id: ObjectId = task  # type: ignore[assignment] # see ids.returned_object
            values[object_id] = stored  # type: ignore[assignment] # it comes back from the scheduler
            makers[object_id] = bodies.pop(task).recipe.maker

    def publish_failure(self, task: TaskId, argument: ObjectId | None, reason: str) -> list[ObjectId]:
        """No worker wrote the outcome: an argument failed, or the worker was lost."""
        recipe = self.bodies.pop(task).recipe
        template = recipe.template
        if argument is not None:
            stored = self.values.get(argument) or lost_object(argument)
            stored = stored._replace(via=(*stored.via, template.name))
        else:
            advice = "Look at what it printed last, give it more (max_retries), or find out why it crashes."
            if reason.endswith(ENDED_BY_RESTART):
                advice = "Run it again, or restart without `now` (--now): then jray waits for what runs."
            text = f"Task {template.name} was lost: {reason}. Its retries are used up. {advice}"
            stored = StoredValue(True, pack_own_error(WorkerCrashedError(text)), None, (), "WorkerCrashedError")  # noqa: FBT003
        published = [returned_object(task, index) for index in range(template.num_returns)]
        for object_id in published:
            self.values[object_id] = stored
            self.makers[object_id] = recipe.maker
        return published

    def discard_stale(self) -> None:
        """Reports that the scheduler passed over were late or repeated."""
        for results in self.staged.values():
            for stored in results:
                self.discard(stored)
        self.staged.clear()

    # ---- what goes to workers

    def run_messages(self, runs: Iterable[tuple[TaskId, int]]) -> Iterator[tuple[Recipe, wire.Runs]]:
        """All that a worker needs to run these attempts, in this order: one message for those of one recipe."""
        recipe: Recipe | None = None
        attempts: list[wire.Attempt] = []
        for task, attempt in runs:
            body = self.bodies[task]
            if body.recipe is not recipe:
                if recipe is not None:
                    yield recipe, self._runs(recipe, attempts)
                recipe, attempts = body.recipe, []
            payload: bytes | wire.Wire | None = body.payload or None  # type: ignore[assignment] # see the next line
            payload_id = 0
            if type(body.payload) is int:
                payload_id = body.payload
                payload = self.values[ObjectId(payload_id)].to_wire()
            arguments: tuple[tuple[ObjectId, wire.Wire], ...] = ()
            if body.needs:
                arguments = tuple([(need, self.values[need].to_wire()) for need in dict.fromkeys(body.needs)])
            attempts.append((task, attempt, payload, payload_id, arguments, body.seed))
        if recipe is not None:
            yield recipe, self._runs(recipe, attempts)

    def _runs(self, recipe: Recipe, attempts: list[wire.Attempt]) -> wire.Runs:
        template, code = recipe.template, recipe.code
        return wire.Runs(
            template.name,
            code.key,
            tuple([(captured, self.values[captured].to_wire()) for captured in code.captured]),
            template.num_returns,
            template.shape,
            template.depth,
            template.origin,
            recipe.read_only,
            attempts,
        )

    @staticmethod
    def arenas_of(runs: wire.Runs) -> set[WorkerId]:
        """The arenas that a worker must be able to read for these attempts."""
        arenas = {value[2][0] for _, value in runs.captured if value[2] is not None}
        for _, _, payload, _, arguments, _ in runs.attempts:
            if arguments:
                arenas.update(value[2][0] for _, value in arguments if value[2] is not None)
            if type(payload) is tuple and payload[2] is not None:
                arenas.add(payload[2][0])
        return arenas

    def close(self) -> None:
        """Forget everything. Views that are still in use stay valid."""
        self.values.clear()
        self.copies.clear()
        self.makers.clear()
        self.bodies.clear()
        with self._making:
            self._is_closed = True
            self.arena = None  # who is writing into it has it still


def lost_object(object_id: ObjectId) -> StoredValue:
    """In place of a value that should be there and is not."""
    text = (
        f"Object {to_hex(object_id)} is not there. It was freed when its last reference went, or belongs to a runtime "
        "that was shut down. Run again what makes it, and keep the reference."
    )
    return StoredValue(True, pack_own_error(ObjectLostError(text)), None, (), "ObjectLostError")  # noqa: FBT003
