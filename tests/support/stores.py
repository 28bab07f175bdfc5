"""Schedulers with a limited store, and short words for what they are told."""

from __future__ import annotations

from jray.runtime.core import messages as m
from jray.runtime.core.memory import STUCK_S, StoreLimits
from jray.runtime.core.scheduler import Scheduler
from jray.runtime.ids import KERNEL
from tests.support import builders
from tests.support.builders import cpus, put, result, room_asked

A, B, C, D = (result(number) for number in (50, 51, 52, 53))
SOON = STUCK_S / 2
LATE = STUCK_S


def store(memory: int = 100, *, cpu: int = 2, **limits: int) -> Scheduler:
    """A scheduler with so many bytes of shared memory."""
    return Scheduler(cpus(cpu), limits=StoreLimits(memory=memory, **limits))


def hear(scheduler: Scheduler, *events: m.Event) -> list[m.Instruction]:
    """Without the words about free pages, which come between all others."""
    return [order for order in builders.hear(scheduler, *events) if not isinstance(order, m.KeepWarm)]


def tell(scheduler: Scheduler, *events: m.Event) -> list[m.Instruction]:
    """One event after the other; everything that was ordered."""
    return [order for event in events for order in hear(scheduler, event)]


def written(scheduler: Scheduler, *sizes: int) -> None:
    """The kernel asked for room for A, B, ... of these sizes, got it, and has written them."""
    for number, (object_id, size) in enumerate(zip((A, B, C, D), sizes, strict=False)):
        assert hear(scheduler, room_asked(size, request=900 + number)) == [m.GrantRoom(KERNEL, 900 + number)]
        hear(scheduler, put(object_id, size=size))


def refused(out: list[m.Instruction]) -> list[tuple[int, int]]:
    """Who was refused: (process, request)."""
    return [(order.process, order.request) for order in out if isinstance(order, m.RefuseRoom)]


def text_of_refusal(out: list[m.Instruction]) -> str:
    """Of the only one."""
    (text,) = [order.text for order in out if isinstance(order, m.RefuseRoom)]
    return text
