"""Who holds which object, and when it is freed: through the scheduler's door, and against a model."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from jray.runtime.core.model import ObjectState
from jray.runtime.core.references import References
from jray.runtime.ids import ObjectId
from tests.support.builders import (
    W1,
    W2,
    child,
    dropped,
    failed,
    finished,
    free,
    hear,
    lost,
    one_cpu,
    publish,
    publish_failure,
    put,
    result,
    send,
    submitted,
    taken,
    tell,
    two_cpus,
)

BOX, INNER = result(50), result(51)


class TestHolders:
    def test_an_object_is_freed_with_its_last_ref(self):
        scheduler = one_cpu()
        tell(scheduler, put(BOX), taken(BOX))

        assert hear(scheduler, dropped(BOX)) == []
        assert hear(scheduler, dropped(BOX)) == [free(BOX)]

    def test_refs_may_be_dropped_many_at_once(self):
        scheduler = one_cpu()
        tell(scheduler, put(BOX), taken(BOX, BOX), put(INNER))

        assert hear(scheduler, dropped(BOX, BOX, INNER, BOX)) == [free(INNER, BOX)]

    def test_a_worker_counts_once_however_often_it_says_so(self):
        scheduler = one_cpu()
        tell(scheduler, put(BOX), submitted(1), taken(BOX, holder=W1), taken(BOX, BOX, holder=W1), dropped(BOX))

        assert hear(scheduler, dropped(BOX, holder=W1)) == [free(BOX)]

    def test_a_worker_can_only_drop_what_it_holds(self):
        scheduler = one_cpu()
        tell(scheduler, put(BOX), submitted(1))

        assert hear(scheduler, dropped(BOX, holder=W1)) == []
        assert hear(scheduler, dropped(BOX)) == [free(BOX)]

    def test_what_a_worker_put_is_held_by_that_worker(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), put(BOX, owner=W1))

        assert hear(scheduler, dropped(BOX, holder=W1)) == [free(BOX)]

    def test_what_a_lost_worker_put_is_freed(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1, max_retries=0), put(BOX, owner=W1))

        assert free(BOX) in hear(scheduler, lost(W1))

    def test_what_a_lost_worker_handed_on_stays(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1, max_retries=0), put(BOX, owner=W1), taken(BOX))

        assert free(BOX) not in hear(scheduler, lost(W1))
        assert hear(scheduler, dropped(BOX)) == [free(BOX)]

    def test_a_put_said_twice_counts_once(self):
        scheduler = one_cpu()
        tell(scheduler, put(BOX), put(BOX))

        assert hear(scheduler, dropped(BOX)) == [free(BOX)]

    def test_a_result_that_is_not_there_yet_is_freed_when_it_comes(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1))

        assert hear(scheduler, dropped(result(1))) == []
        assert hear(scheduler, finished(1, W1)) == [publish(1, W1), free(result(1))]

    def test_an_error_is_an_object_too(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), failed(1, W1))

        assert hear(scheduler, dropped(result(1))) == [free(result(1))]

    def test_a_ref_taken_while_the_result_is_pending_counts(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), taken(result(1)), finished(1, W1))

        assert hear(scheduler, dropped(result(1))) == []
        assert hear(scheduler, dropped(result(1))) == [free(result(1))]


class TestPins:
    def test_an_argument_lives_until_its_task_ends(self):
        scheduler = one_cpu()
        tell(scheduler, put(BOX), submitted(1, needs=[BOX]))

        assert hear(scheduler, dropped(BOX)) == []
        assert hear(scheduler, finished(1, W1)) == [publish(1, W1), free(BOX)]

    def test_a_ref_inside_an_argument_does_too_and_is_not_waited_for(self):
        scheduler = two_cpus()
        hear(scheduler, submitted(1))

        assert send(W2, (2, 1)) in hear(scheduler, submitted(2, pins=[result(1)]))
        hear(scheduler, dropped(result(1)))
        assert hear(scheduler, finished(1, W1)) == [publish(1, W1)]
        assert hear(scheduler, finished(2, W2)) == [publish(2, W2), free(result(1))]

    def test_an_argument_lives_as_long_as_its_task_may_be_retried(self):
        scheduler = one_cpu()
        tell(scheduler, put(BOX), submitted(1, needs=[BOX], max_retries=1), dropped(BOX))

        assert free(BOX) not in hear(scheduler, lost(W1))
        assert hear(scheduler, lost(W2)) == [publish_failure(1, None, "worker was killed"), free(BOX)]

    def test_the_arguments_of_a_failed_task_are_let_go(self):
        scheduler = one_cpu()
        tell(scheduler, put(BOX), submitted(1), submitted(2, needs=[result(1), BOX]), dropped(BOX))

        assert free(BOX) in hear(scheduler, failed(1, W1))

    def test_pinned_twice_is_let_go_twice(self):
        scheduler = one_cpu()
        tell(scheduler, put(BOX), submitted(1, needs=[BOX], pins=[BOX]), dropped(BOX))

        assert free(BOX) in hear(scheduler, finished(1, W1))

    def test_a_pin_on_something_unknown_is_harmless(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1, pins=[BOX]))

        assert hear(scheduler, finished(1, W1)) == [publish(1, W1)]


class TestContainers:
    def test_what_it_contains_lives_as_long_as_the_container(self):
        scheduler = one_cpu()
        tell(scheduler, put(INNER), put(BOX, contains=[INNER]))

        assert hear(scheduler, dropped(INNER)) == []
        assert hear(scheduler, dropped(BOX)) == [free(BOX, INNER)]

    def test_a_ref_taken_out_of_it_outlives_it(self):
        scheduler = one_cpu()
        tell(scheduler, put(INNER), put(BOX, contains=[INNER]), dropped(INNER), taken(INNER))

        assert hear(scheduler, dropped(BOX)) == [free(BOX)]
        assert hear(scheduler, dropped(INNER)) == [free(INNER)]

    def test_contained_twice_is_let_go_twice(self):
        scheduler = one_cpu()
        tell(scheduler, put(INNER), put(BOX, contains=[INNER, INNER]), dropped(INNER))

        assert hear(scheduler, dropped(BOX)) == [free(BOX, INNER)]

    def test_a_result_may_contain_the_result_of_a_child(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), child(2, of=1, on=W1), finished(2, W2))
        tell(scheduler, finished(1, W1, contains=[[result(2)]]), dropped(result(2), holder=W1))

        assert hear(scheduler, dropped(result(1))) == [free(result(1), result(2))]

    def test_a_child_may_end_after_the_result_that_contains_it_is_gone(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), child(2, of=1, on=W1), finished(1, W1, contains=[[result(2)]]))
        tell(scheduler, dropped(result(2), holder=W1))

        assert hear(scheduler, dropped(result(1))) == [free(result(1))]
        assert hear(scheduler, finished(2, W2)) == [publish(2, W2), free(result(2))]

    def test_a_result_may_give_out_what_only_the_arguments_kept_alive(self):
        """It was freed between the end of the task and the beginning of its result; the world found it."""
        scheduler = one_cpu()
        tell(scheduler, put(INNER), submitted(1, pins=[INNER]), dropped(INNER))

        assert hear(scheduler, finished(1, W1, contains=[[INNER]])) == [publish(1, W1)]
        assert hear(scheduler, dropped(result(1))) == [free(result(1), INNER)]

    def test_a_result_that_nobody_wants_takes_its_contents_along(self):
        scheduler = one_cpu()
        tell(scheduler, put(INNER), submitted(1, pins=[INNER]), dropped(INNER, result(1)))

        assert hear(scheduler, finished(1, W1, contains=[[INNER]])) == [publish(1, W1), free(result(1), INNER)]

    def test_what_it_contains_may_be_unknown(self):
        scheduler = one_cpu()
        tell(scheduler, put(BOX, contains=[INNER]))

        assert hear(scheduler, dropped(BOX)) == [free(BOX)]

    def test_a_long_chain_of_containers_needs_no_deep_stack(self):
        scheduler = one_cpu()
        boxes = [result(number) for number in range(1, 20_000)]
        scheduler.handle([put(box, contains=[inner]) for inner, box in pairwise(boxes)])
        scheduler.handle([put(boxes[0]), dropped(*boxes[:-1])])

        assert hear(scheduler, dropped(boxes[-1])) == [free(*reversed(boxes[1:]))]


class ReferencesAgainstReachability(RuleBasedStateMachine):
    """The model keeps no counts: it asks who can still be reached from the holders and the pins."""

    objects = Bundle("objects")
    pins = Bundle("pins")

    def __init__(self) -> None:
        super().__init__()
        self.references = References()
        self.held: Counter[ObjectId] = Counter()
        self.pinned: Counter[ObjectId] = Counter()
        self.pending: set[ObjectId] = set()
        self.contents: dict[ObjectId, tuple[ObjectId, ...]] = {}  # of all that are not freed
        self.freed: set[ObjectId] = set()
        self.made = 0

    def alive(self, objects):
        """Only what is alive can be named by anybody."""
        return tuple(object_id for object_id in objects if object_id in self.contents)

    @rule(target=objects)
    def expect(self):
        self.made += 1
        object_id = ObjectId(self.made)
        self.references.expect(object_id)
        self.held[object_id] += 1
        self.pending.add(object_id)
        self.contents[object_id] = ()
        return object_id

    @rule(object_id=objects, inside=st.lists(objects, max_size=3), state=st.sampled_from(["READY", "FAILED"]))
    def resolve(self, object_id, inside, state):
        if object_id in self.pending:
            inner = tuple(other for other in self.alive(inside) if other < object_id)  # no rings: nobody frees them
            self.pending.discard(object_id)
            self.contents[object_id] = inner
            self.references.resolve(object_id, ObjectState[state], inner)

    @rule(object_id=objects)
    def hold(self, object_id):
        is_alive = object_id in self.contents
        assert self.references.hold(object_id) == is_alive
        self.held[object_id] += is_alive

    @rule(object_id=objects)
    def let_go(self, object_id):
        self.references.let_go(object_id)
        self.held[object_id] -= self.held[object_id] > 0

    @rule(target=pins, objects=st.lists(objects, max_size=3))
    def pin(self, objects):
        pinned = self.alive(objects)
        self.references.pin(pinned)
        self.pinned.update(pinned)
        return pinned

    @rule(pinned=consumes(pins))
    def unpin(self, pinned):
        self.references.unpin(pinned)
        self.pinned.subtract(pinned)

    @invariant()
    def what_is_freed_is_what_cannot_be_reached(self):
        freed = self.references.take_freed()
        assert len(freed) == len(set(freed))
        assert not self.freed.intersection(freed)
        self.freed.update(freed)
        reached = self._reached()
        assert set(freed) == self.contents.keys() - reached
        assert self.references.objects.keys() == reached
        for object_id in freed:
            del self.contents[object_id]

    def _reached(self):
        todo = [object_id for object_id in self.contents if self._is_root(object_id)]
        reached = set()
        while todo:
            object_id = todo.pop()
            if object_id not in reached:
                reached.add(object_id)
                todo += self.contents[object_id]
        return reached

    def _is_root(self, object_id):
        return self.held[object_id] > 0 or self.pinned[object_id] > 0 or object_id in self.pending

    def teardown(self):
        for object_id in list(self.pending):
            self.resolve(object_id, [], "READY")
        for object_id, number in self.held.items():
            for _ in range(number):
                self.references.let_go(object_id)
        self.references.unpin(self.pinned.elements())
        assert self.references.objects == {}


TestReferencesAgainstReachability = ReferencesAgainstReachability.TestCase
TestReferencesAgainstReachability.settings = settings(max_examples=50)


def test_containers_are_freed_before_their_contents():
    references = References()
    for number in (1, 2, 3):
        references.expect(ObjectId(number))
    references.resolve(ObjectId(1), ObjectState.READY, ())
    references.resolve(ObjectId(2), ObjectState.READY, (ObjectId(1),))
    references.resolve(ObjectId(3), ObjectState.READY, (ObjectId(2), ObjectId(1)))
    for number in (1, 2, 3):
        references.let_go(ObjectId(number))

    assert references.take_freed() == [3, 2, 1]
    assert references.take_freed() == []


@pytest.mark.parametrize("act", [References.let_go, References.hold])
def test_what_is_gone_stays_gone(act):
    references = References()
    references.expect(ObjectId(1))
    references.resolve(ObjectId(1), ObjectState.READY, ())
    references.let_go(ObjectId(1))
    references.take_freed()

    act(references, ObjectId(1))

    assert references.objects == {}
    assert references.take_freed() == []
