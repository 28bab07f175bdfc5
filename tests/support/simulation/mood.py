"""How nasty a world is. Each seed draws its own mood, so that some worlds lose many workers and others none.

(Worlds that do everything a little would rarely do one thing often enough to break something.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from jray.runtime.core.memory import StoreLimits
from jray.runtime.core.messages import TaskSpec, TaskTemplate
from jray.runtime.core.resources import Shape, shape_of
from jray.runtime.ids import UNIT, ObjectId, TaskId, WorkerId

MOVES = ("user", "receive", "deliver", "run", "timer", "lose", "repeat", "abandon")

# How long a task of each function takes, in seconds. The scheduler prefetches the short ones once it knows.
FUNCTIONS = {"tiny": 0.00005, "short": 0.0005, "long": 0.5}


@dataclass(slots=True)
class StoreMood:
    """How values use shared memory, and how tight it is.

    It has chance of its own, so that a world without it stays the same.
    """

    rng: Random
    limits: StoreLimits
    sizes: tuple[tuple[int, int], ...]  # from, to: of values
    moves: int  # how many things the user's program does with values
    is_large: float  # chances: that a value does not fit into a message
    keeps_views: float
    disk_fails: float
    gives_up: float
    weights: tuple[float, ...]  # of a world's moves that have to do with memory

    @classmethod
    def drawn(cls, rng: Random, size: int) -> StoreMood | None:
        """In half of the worlds no value takes shared memory."""
        if rng.random() < 0.5:
            return None
        return cls(
            rng=rng,
            limits=StoreLimits(
                memory=100, disk=rng.choice((0, 60, 300, 1 << 40, 1 << 40)), standing=rng.choice((0, 3, 10)), warm=10
            ),
            sizes=rng.choice((((1, 5), (20, 60)), ((1, 30),), ((30, 60),), ((1, 3), (20, 60), (90, 110)))),
            moves=size * rng.randint(5, 40),
            is_large=rng.choice((0.3, 0.6, 0.9)),
            keeps_views=rng.choice((0.0, 0.5, 1.0)),
            disk_fails=rng.choice((0.0, 0.0, 0.0, 0.2, 1.0)),
            gives_up=rng.choice((0.0, 0.0, 0.3)),
            weights=tuple(_slow_or_fast(rng) for _ in range(4)),
        )

    def size(self) -> int:
        """Of a new value; 0 if it fits into a message."""
        return self.rng.randint(*self.rng.choice(self.sizes)) if self.rng.random() < self.is_large else 0

    def keeps(self) -> bool:
        """Whether somebody keeps a view of what it has read."""
        return self.rng.random() < self.keeps_views


@dataclass(slots=True)
class PoolMood:
    """How the user changes the pool while it runs. It has chance of its own, as the store's mood has."""

    rng: Random
    restarts: int
    resizes: int
    spoils: int  # how many workers turn out to be unfit for tasks
    weight: float

    @classmethod
    def drawn(cls, rng: Random, size: int) -> PoolMood | None:
        """In most of the worlds the pool stays as it is."""
        if rng.random() < 0.6:
            return None
        return cls(
            rng=rng,
            restarts=rng.choice((0, 1, 4)) * size,
            resizes=rng.choice((0, 2, 8)) * size,
            spoils=rng.choice((0, 0, 4)) * size,
            weight=rng.choice((0.1, 0.3, 1.0)),
        )

    def cpus(self) -> int:
        """How many there are from now on, in units."""
        return self.rng.choice((0, UNIT // 2, UNIT, UNIT, 2 * UNIT, 3 * UNIT, 5 * UNIT))


@dataclass(slots=True)
class Mood:
    """The settings of one world, drawn from its seed."""

    total: Shape
    shapes: list[Shape]  # what tasks ask for
    tasks: int  # how many may still be submitted, by anybody
    user_tasks: int  # how many of them by the user's program
    user_moves: int  # how many things the user's program does
    losses: int  # how many workers may still be lost
    refusals: int  # how many workers the system may still refuse
    repeats: int  # how many messages may still be said again
    depth: int  # how deep tasks may nest
    steps: int  # how much a task does before it ends, at most
    batch: int  # how many messages the kernel finds at once, at most
    weights: list[float]  # of MOVES: which messages are slow, what goes wrong often
    functions: list[str]
    burst: int  # how many tasks the user submits at once, at most
    keeps_refs: float  # chances:
    fails: float
    takes_arguments: float
    abandons: float
    is_impatient: bool  # the user drops all refs when the program is over, not when everything is done
    store: StoreMood | None = None

    @classmethod
    def drawn(cls, rng: Random, size: int) -> Mood:
        """A mood; `size` multiplies how much there is to do."""
        cpus = rng.choice((1, 1, 2, 2, 3, 4))
        total = shape_of({"CPU": cpus, "GPU": rng.choice((0, 1, 2, 3)), "disk": 1})
        tasks = size * rng.randint(4, 24)
        depth = rng.choice((0, 1, 2, 2, 3))
        return cls(
            total=total,
            shapes=_drawn_shapes(rng, cpus),
            tasks=tasks,
            user_tasks=tasks // 2 if depth else tasks,
            user_moves=size * rng.randint(3, 12),
            losses=rng.choice((0, 2, 6)) * size,
            refusals=rng.choice((0, 0, 4)) * size,
            repeats=rng.choice((5, 40)) * size,
            depth=depth,
            steps=rng.choice((1, 4, 8)),
            batch=rng.choice((1, 1, 2, 5)),
            weights=[_slow_or_fast(rng) for _ in MOVES[:5]] + [rng.choice((0.0, 0.3, 1.0)) for _ in MOVES[5:]],
            functions=rng.choice((["tiny"], ["tiny", "long"], ["short"], list(FUNCTIONS))),
            burst=rng.choice((1, 2, 8)),
            keeps_refs=rng.choice((0.0, 0.2, 0.5)),
            fails=rng.choice((0.0, 0.2, 0.6)),
            takes_arguments=rng.choice((0.2, 0.5, 0.8)),
            abandons=rng.choice((0.1, 0.5, 1.0)),
            is_impatient=rng.random() < 0.5,
        )

    def run_longer(self, times: int) -> None:
        """The user's program does so many times as much."""
        self.tasks, self.user_tasks, self.user_moves = (
            number * times for number in (self.tasks, self.user_tasks, self.user_moves)
        )

    def invent(
        self, rng: Random, task: TaskId, held: Sequence[ObjectId], *, parent: TaskId, depth: int, owner: WorkerId
    ) -> TaskSpec:
        """A task with some of the held refs as arguments, and some inside its arguments."""
        self.tasks -= 1
        function = rng.choice(self.functions)
        shape = rng.choice(self.shapes)
        needs = self.some_of(rng, held)
        pins = needs + self.some_of(rng, held)
        template = TaskTemplate(
            name=function,
            function=function,
            shape=shape,
            num_returns=rng.choice((1, 1, 1, 2, 0)),
            max_retries=rng.choice((0, 0, 1, 3, -1)),
            depth=depth,
            parent=parent,
            owner=owner,
        )
        return TaskSpec(task, template, needs, pins)

    def some_of(self, rng: Random, held: Sequence[ObjectId]) -> tuple[ObjectId, ...]:
        """Some of the refs, mostly late ones: chains are longer that way."""
        if not held or rng.random() > self.takes_arguments:
            return ()
        late = held[-3:] if rng.random() < 0.7 else held
        return tuple(rng.sample(late, rng.randint(1, min(2, len(late)))))


def _drawn_shapes(rng: Random, cpus: int) -> list[Shape]:
    ordinary: list[dict[str, float]] = [{"CPU": 1}, {"CPU": 0.5}, {"CPU": cpus}, {}, {"disk": 0.5}]
    special: list[dict[str, float]] = [{"CPU": 1, "GPU": 1}, {"GPU": 1}, {"CPU": cpus + 1}, {"CPU": 1, "tpu": 1}]
    shares: list[dict[str, float]] = [{"CPU": 1, "GPU": 0.5}, {"GPU": 0.25}, {"GPU": 0.6}, {"GPU": 2}, {"CPU": 0.5}]
    few = rng.choice(
        (ordinary[:1], ordinary[:1], [{"CPU": cpus}, {}], rng.choices(shares + special[:2], k=4), None, None)
    )
    if few is None:
        few = rng.choices(ordinary, k=3) + rng.choices(ordinary + special, k=1)
    return [shape_of(shape) for shape in few]


def _slow_or_fast(rng: Random) -> float:
    return rng.choice((0.1, 1.0, 1.0, 4.0))
