"""The order of queued tasks of one shape, by examples and against a model that is too simple to be wrong."""

from __future__ import annotations

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from jray.runtime.core.queues import ShapeQueue
from tests.support.builders import cpus, queued_task, task_id


def queue_of(*tasks) -> ShapeQueue:
    queue = ShapeQueue(cpus(1))
    for task in tasks:
        queue.push(task)
    return queue


def popped(queue: ShapeQueue) -> list[int]:
    """The numbers of all tasks, in the order in which they leave."""
    return [queue.pop().spec.task // task_id(1) for _ in range(queue.length)]


def test_tasks_of_one_submitter_keep_their_order():
    assert popped(queue_of(*(queued_task(number) for number in (1, 2, 3)))) == [1, 2, 3]


def test_deeper_tasks_go_first():
    assert popped(queue_of(queued_task(1), queued_task(2, depth=2), queued_task(3, depth=1))) == [2, 3, 1]


def test_submitters_on_one_depth_take_turns():
    tasks = [queued_task(number, depth=1, parent=number // 10) for number in (11, 12, 13, 21, 22, 31)]

    assert popped(queue_of(*tasks)) == [11, 21, 31, 12, 22, 13]


def test_a_submitter_that_comes_later_joins_the_end_of_the_round():
    queue = queue_of(*(queued_task(number, depth=1, parent=number // 10) for number in (11, 12, 21)))
    queue.pop()
    queue.push(queued_task(31, depth=1, parent=3))

    assert popped(queue) == [21, 12, 31]


def test_what_comes_back_is_the_next_of_its_submitter():
    queue = queue_of(queued_task(1), queued_task(2))
    first = queue.pop()
    queue.push(first, in_front=True)

    assert popped(queue) == [1, 2]


def test_the_head_is_what_leaves_next():
    queue = queue_of(queued_task(1), queued_task(2, depth=1), queued_task(3, depth=1, parent=9))

    for _ in range(3):
        head = queue.head
        assert queue.pop() is head


def test_it_knows_its_cpus_and_its_length():
    queue = ShapeQueue(cpus(1.5, gpu=1))
    queue.push(queued_task(1))

    assert (queue.cpus, queue.length) == (15_000, 1)


class ShapeQueueAgainstModel(RuleBasedStateMachine):
    """The model is a list of (depth, submitter, tasks), in the order of the round."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = ShapeQueue(cpus(1))
        self.model: list[tuple[int, int, list[int]]] = []
        self.made = 0
        self.out: list = []  # popped tasks, which may come back

    @rule(depth=st.integers(0, 3), parent=st.integers(1, 3))
    def push(self, depth, parent):
        self.made += 1
        self.queue.push(queued_task(self.made, depth=depth, parent=parent))
        self._tasks_of(depth, parent).append(self.made)

    @precondition(lambda self: self.out)
    @rule(which=st.integers(0))
    def bring_back(self, which):
        task = self.out.pop(which % len(self.out))
        self.queue.push(task, in_front=True)
        spec = task.spec
        self._tasks_of(spec.template.depth, spec.template.parent // task_id(1)).insert(0, spec.task // task_id(1))

    @precondition(lambda self: self.model)
    @rule()
    def pop(self):
        deepest = max(depth for depth, _, _ in self.model)
        turn = next(turn for turn in self.model if turn[0] == deepest)
        self.model.remove(turn)
        expected = turn[2].pop(0)
        if turn[2]:
            self.model.append(turn)

        assert self.queue.head.spec.task == task_id(expected)
        self.out.append(self.queue.pop())
        assert self.out[-1].spec.task == task_id(expected)

    @invariant()
    def both_hold_the_same(self):
        expected = sorted(number for _, _, tasks in self.model for number in tasks)
        assert sorted(task.spec.task // task_id(1) for task in self.queue.tasks()) == expected
        assert self.queue.length == len(expected)

    def _tasks_of(self, depth, parent):
        for known_depth, known_parent, tasks in self.model:
            if (known_depth, known_parent) == (depth, parent):
                return tasks
        self.model.append((depth, parent, []))
        return self.model[-1][2]


TestShapeQueueAgainstModel = ShapeQueueAgainstModel.TestCase
TestShapeQueueAgainstModel.settings = settings(max_examples=50)
