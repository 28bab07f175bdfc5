"""Deep graphs go to workers and come back, and what is left of them crashes nobody."""

from __future__ import annotations

import collections
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

DEPTH = 20_000


def chain(make, depth=DEPTH):
    end = None
    for _ in range(depth):
        end = make(end)
    return end


CHAINS = {
    "instances": (lambda inner: SimpleNamespace(next=inner), lambda node: node.next),
    "lists": (lambda inner: [inner], lambda outer: outer[0]),
    "tuples": (lambda inner: (inner,), lambda outer: outer[0]),
    "dicts": (lambda inner: {"inner": inner}, lambda outer: outer["inner"]),
    "deques": (lambda inner: collections.deque([inner]), lambda outer: outer[0]),
}


@pytest.mark.parametrize("kind", CHAINS)
def test_objects_deep_inside_each_other_go_there_and_back(runtime, kind):
    make, follow = CHAINS[kind]

    def depth_of(value):
        depth = 0
        while value is not None:
            value, depth = follow(value), depth + 1
        return depth

    @runtime.remote
    def longer(value, *, same):
        return depth_of(value), value is same, make(value), os.getpid()

    value = chain(make)
    depth, is_same, back, worker = runtime.get(longer.remote(value, same=value))
    assert (depth, is_same) == (DEPTH, True)
    assert depth_of(back) == DEPTH + 1
    assert depth_of(runtime.get(runtime.put(value))) == DEPTH
    del value, back
    assert runtime.get(runtime.remote(os.getpid).remote()) == worker  # which has survived the end of its own


def test_references_and_arrays_in_a_deep_graph_arrive(runtime):
    ref = runtime.put("there")

    @runtime.remote
    def end_of(node):
        while isinstance(node, list):
            node = node[0]
        return runtime.get(node.ref)

    value = SimpleNamespace(ref=ref)
    for _ in range(DEPTH):
        value = [value]
    del ref
    task = end_of.remote(value)
    del value
    assert runtime.get(task) == "there"


def test_a_result_that_cannot_travel_is_told_with_its_place_however_deep_it_is(runtime):
    @runtime.remote
    def deep():
        value = {"lock": threading.Lock()}
        for _ in range(DEPTH):
            value = [value]
        return value

    with pytest.raises(TypeError) as caught:
        runtime.get(deep.remote())
    assert 'can\'t be stored: result[0][0][0][0][0] … [0][0][0][0]["lock"] is a lock.' in str(caught.value)


_PROGRAM = """
import os, signal
import jray
class Node:
    def __init__(self, next_one): self.next = next_one
class Struck(Node):
    def __getstate__(self):
        if os.getpid() == here: signal.raise_signal(signal.SIGINT)
        return self.__dict__
here = os.getpid()
def chain(depth, end=None):
    for _ in range(depth): end = Node(end)
    return end
def depth_of(node):
    depth = 0
    while node is not None: node, depth = node.next, depth + 1
    return depth
jray.init(num_cpus=2)
@jray.remote
def longer(node): return Node(node)
back = jray.get(longer.remote(chain(100_000)))
print(depth_of(back), type(back) is Node, type(back.next) is Node)
top = chain(100_000)
@jray.remote
def captured(): return depth_of(top)
print(jray.get(captured.remote()))
try:
    longer.remote(chain(20_000, Struck(chain(20_000))))
except KeyboardInterrupt:
    print("interrupted")
print(depth_of(jray.get(longer.remote(chain(20_000)))))
"""


def test_a_list_of_a_hundred_thousand_nodes_of_main_goes_through_and_the_stop_button_works():
    ended = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=100, check=False)
    assert ended.stderr == ""
    assert ended.stdout.splitlines() == ["100001 True True", "100000", "interrupted", "20001"]
    assert ended.returncode == 0
