"""How nasty a world is. Each seed draws its own mood, so that some worlds lose many workers and others none.

(Worlds that do everything a little would rarely do one thing often enough to break something.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from jray.runtime.core.messages import TaskSpec
from jray.runtime.core.resources import Shape, shape_of
from jray.runtime.ids import ObjectId, TaskId, WorkerId

MOVES = ("user", "receive", "deliver", "run", "timer", "lose", "repeat", "abandon")

# How long a task of each function takes, in seconds. The scheduler prefetches the short ones once it knows.
FUNCTIONS = {"tiny": 0.00005, "short": 0.0005, "long": 0.5}


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

    def invent(
        self, rng: Random, task: TaskId, held: Sequence[ObjectId], *, parent: TaskId, depth: int, owner: WorkerId
    ) -> TaskSpec:
        """A task with some of the held refs as arguments, and some inside its arguments."""
        self.tasks -= 1
        function = rng.choice(self.functions)
        return TaskSpec(
            task=task,
            name=function,
            function=function,
            shape=rng.choice(self.shapes),
            needs=(needs := self.some_of(rng, held)),
            pins=needs + self.some_of(rng, held),
            num_returns=rng.choice((1, 1, 1, 2, 0)),
            max_retries=rng.choice((0, 0, 1, 3, -1)),
            depth=depth,
            parent=parent,
            owner=owner,
        )

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
