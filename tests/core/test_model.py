"""The table of legal moves: complete, needed, and drawn in the docs as it is."""

from __future__ import annotations

import pytest

from jray.runtime.core.model import IS_LEGAL, LEGAL_MOVES, ObjectState, TaskState, WorkerRecord, WorkerState
from tests.support.builders import W1, lost, one_cpu, submitted, tell
from tests.support.diagram import DOCUMENT, MEANINGS, diagram, page
from tests.support.simulation import World

TABLE = {(state, to) for state, targets in LEGAL_MOVES.items() for to in targets}


def test_the_legal_moves_are_those_that_happen():
    """Illegal ones raise at once; here no legal one is superfluous."""
    made = set()
    for seed in range(1_000):
        scheduler = World(seed, checks_books=False).run().scheduler
        made |= {(was, to) for _, _, was, to in scheduler.history._moves}
        if made == TABLE:
            break

    assert made == TABLE


def test_every_state_is_in_the_table():
    assert set(LEGAL_MOVES) == set(TaskState)


def test_every_state_can_be_reached_and_left_except_the_final_ones():
    reached = {to for _, to in TABLE} | {TaskState.WAITING}

    assert reached == set(TaskState)
    assert {state for state in TaskState if not LEGAL_MOVES[state]} == {TaskState.FINISHED, TaskState.FAILED}


@pytest.mark.parametrize("state", TaskState)
def test_what_is_final_has_no_way_out(state):
    assert state.is_final == (not LEGAL_MOVES[state])


@pytest.mark.parametrize("state", TaskState)
def test_the_fast_table_is_the_same_table(state):
    assert {to for to in TaskState if IS_LEGAL[state][to]} == set(LEGAL_MOVES[state])


def test_states_have_names_that_people_can_read():
    assert [state.value for state in WorkerState] == ["idle", "busy", "leaving", "dead"]
    assert [state.value for state in ObjectState] == ["pending", "ready", "failed"]


def test_a_new_worker_is_idle_and_a_lost_one_dead():
    assert WorkerRecord(W1).state is WorkerState.IDLE
    scheduler = one_cpu()
    tell(scheduler, submitted(1))
    worker = scheduler.placement.workers[W1]
    assert worker.state is WorkerState.BUSY

    tell(scheduler, lost(W1))
    assert worker.state is WorkerState.DEAD


class TestDiagram:
    def test_the_docs_show_the_table_as_it_is(self):
        message = "run: python tests/support/diagram.py > docs/states.md"
        assert DOCUMENT.read_text(encoding="utf-8") == page(), message

    def test_each_move_is_an_arrow(self):
        moves = {TaskState.QUEUED: {TaskState.RUNNING: "granted; now"}, TaskState.RUNNING: {}}

        assert diagram(moves).splitlines() == [
            "stateDiagram-v2",
            "    [*] --> QUEUED: submitted",
            "    QUEUED --> RUNNING: granted, now",
            "    RUNNING --> [*]",
        ]

    def test_each_state_is_explained(self):
        assert set(MEANINGS) == set(TaskState)
