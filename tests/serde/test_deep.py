"""Graphs of any depth to bytes and back; the pickler on a stack of its own writes what C picklers would."""

from __future__ import annotations

import collections
import copyreg
import datetime as dt
import enum
import io
import pickle
import signal
import sys
import threading
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, strategies as st

from jray.runtime.ids import ObjectId
from jray.runtime.object_ref import ObjectRef, set_owner
from jray.runtime.serde import deep
from jray.runtime.serde.deep import DeepPickler, NoWayError
from jray.runtime.serde.unpicklable import NotPicklable
from jray.runtime.serde.values import OUT_OF_BAND_BYTES, pack, unpack

DEPTH = 15_000  # further than any C pickler goes


def there_and_back(value):
    packed = pack(value, "it")
    return unpack(packed.head, packed.buffers)


def chain(make, depth, end=None):
    for _ in range(depth):
        end = make(end)
    return end


def depth_of(value, follow, end=None):
    depth = 0
    while value is not end and value != ():
        value, depth = follow(value), depth + 1
    return depth


class Node:
    def __init__(self, next_one):
        self.next = next_one


class Slotted:
    __slots__ = ("next",)

    def __init__(self, next_one):
        self.next = next_one


class Reduced:
    def __init__(self, next_one):
        self.next = next_one

    def __reduce__(self):
        return Reduced, (self.next,)


@dataclass(frozen=True, slots=True)
class Record:
    next: object


def of_main(source):
    """What a cell of a notebook would define."""
    namespace = {"__name__": "__main__"}
    exec(source, namespace)
    return namespace


OF_MAIN = of_main("class Node:\n    def __init__(self, next_one): self.next = next_one")["Node"]

CHAINS = {
    "instances": (Node, lambda node: node.next),
    "instances with slots": (Slotted, lambda node: node.next),
    "instances with __reduce__": (Reduced, lambda node: node.next),
    "records": (Record, lambda node: node.next),
    "instances of a notebook's class": (OF_MAIN, lambda node: node.next),
    "lists": (lambda inner: [inner], lambda outer: outer[0]),
    "longer lists": (lambda inner: [1, inner, 2], lambda outer: outer[1]),
    "tuples": (lambda inner: (inner,), lambda outer: outer[0]),
    "longer tuples": (lambda inner: (1, 2, 3, inner), lambda outer: outer[3]),
    "dicts": (lambda inner: {"inner": inner}, lambda outer: outer["inner"]),
    "deques": (lambda inner: collections.deque([inner]), lambda outer: outer[0]),
    "ordered dicts": (lambda inner: collections.OrderedDict(inner=inner), lambda outer: outer["inner"]),
    "lists and dicts in turn": (lambda inner: [{"inner": inner}], lambda outer: outer[0]["inner"]),
}


@pytest.mark.parametrize("kind", CHAINS)
def test_objects_deep_inside_each_other_go_through(kind):
    make, follow = CHAINS[kind]
    assert depth_of(there_and_back(chain(make, DEPTH)), follow) == DEPTH


@pytest.mark.parametrize("kind", ["instances of a notebook's class", "lists"])
def test_a_hundred_thousand_go_through_and_nothing_is_changed_for_the_rest_of_the_process(kind):
    make, follow = CHAINS[kind]
    settings = sys.getrecursionlimit(), threading.stack_size(), threading.active_count()
    assert depth_of(there_and_back(chain(make, 100_000)), follow) == 100_000
    assert (sys.getrecursionlimit(), threading.stack_size(), threading.active_count()) == settings


def test_functions_that_close_over_each_other_go_through():
    def outer(inner):
        return lambda: inner

    back = there_and_back(chain(outer, 10_000))
    assert depth_of(back, lambda function: function()) == 10_000


def test_a_double_chain_that_leads_into_itself_keeps_its_form():
    first = last = Node(None)
    for _ in range(DEPTH):
        last.next = Node(None)
        last.next.previous, last = last, last.next
    last.next, first.previous = first, last
    back = there_and_back([first, last])
    assert back[0].previous is back[1]
    assert back[1].next is back[0]
    assert back[0].next.previous is back[0]


def test_large_buffers_in_a_deep_graph_go_out_of_band_once_whatever_their_kind():
    numbers = np.arange(80_000)
    dates = numbers.astype("M8[s]")
    packed = pack(chain(Node, DEPTH, [numbers, dates, numbers, numbers[::2]]), "it")
    assert sorted(buffer.nbytes for buffer in packed.buffers) == [320_000, 640_000, 640_000]
    end = unpack(packed.head, packed.buffers)
    for _ in range(DEPTH):
        end = end.next
    assert (end[1] == dates).all()
    assert (end[3] == numbers[::2]).all()
    assert end[0] is end[2]


def test_small_buffers_in_a_deep_graph_stay_in_the_pickle():
    small = [b"", b"x", bytearray(b"x"), bytearray(), bytes(OUT_OF_BAND_BYTES - 1)]
    packed = pack(chain(Node, DEPTH, [pickle.PickleBuffer(part) for part in small] + small), "it")
    assert packed.buffers == ()
    end = unpack(packed.head, ())
    for _ in range(DEPTH):
        end = end.next
    assert end == [*small, *small]
    assert [type(part) for part in end] == [type(part) for part in [*small, *small]]


class Owner:
    def retain(self, object_id):
        pass

    def release(self, object_id):
        pass


def test_the_references_in_a_deep_graph_are_noted():
    owner = Owner()
    set_owner(owner)
    try:
        value = chain(Node, DEPTH, ObjectRef(ObjectId(7), owner))
        assert pack([value, ObjectRef(ObjectId(8), owner)], "it").refs == (7, 8)
    finally:
        set_owner(None)


class Struck:
    """Pickling it is interrupted, as by the stop button."""

    def __init__(self, next_one):
        self.next = next_one

    def __getstate__(self):
        signal.raise_signal(signal.SIGINT)
        return self.__dict__


def test_it_can_be_interrupted():
    rest = chain(Node, 5_000)
    with pytest.raises(KeyboardInterrupt):
        pack(chain(Node, 5_000, Struck(rest)), "it")
    assert depth_of(there_and_back(rest), lambda node: node.next) == 5_000  # as before


def test_it_does_not_need_the_stack_of_its_caller():
    value = chain(Node, DEPTH)

    def call(left):
        return call(left - 1) if left else there_and_back(value)

    assert depth_of(call(sys.getrecursionlimit() // 2), lambda node: node.next) == DEPTH


def test_past_the_limit_the_error_says_how_deep_it_is(monkeypatch):
    monkeypatch.setattr(deep, "DEEPEST", 40_000)
    assert depth_of(there_and_back(chain(Node, 19_999)), lambda node: node.next) == 19_999
    with pytest.raises(NotPicklable) as caught:
        pack({"list": chain(Node, 20_001)}, "The value given to put")
    assert str(caught.value) == (
        'The value given to put can\'t be stored: value["list"].next.next.next.next … .next.next.next.next.next is too '
        "deep. More than 40,000 objects lie inside each other there, and jray goes no deeper. Give a flat list of them, "
        "and link them where they are used; if they are fewer, look at __reduce__."
    )


class Endless:
    def __reduce__(self):
        return Endless, (Endless(),)


def test_a_reduce_that_never_ends_is_an_error(monkeypatch):
    monkeypatch.setattr(deep, "DEEPEST", 2_000)
    with pytest.raises(NotPicklable, match="More than 2,000 objects"):
        pack(Endless(), "it")


# ---- it writes what C writes


def by_c(value, pickler=pickle.Pickler):
    file, buffers = io.BytesIO(), []
    pickler(file, 5, buffer_callback=buffers.append).dump(value)
    return pickle.loads(file.getvalue(), buffers=buffers)


def by_us(value, pickler=pickle.Pickler):
    file, buffers = io.BytesIO(), []
    DeepPickler(pickler(io.BytesIO(), 5), file, buffers.append).dump(value)
    return pickle.loads(file.getvalue(), buffers=buffers)


def form_of(value):
    """Equal for values of the same form, with the same identities inside."""
    return pickle.dumps(value, 5)


class Everything:
    """Its __reduce__ gives all that there is to give."""

    def __reduce__(self):
        return Everything, (), {"state": self}, iter([1, self]), iter([("a", self), ("b", 2)]), _set_state

    def append(self, element):
        self.elements = [*getattr(self, "elements", ()), element]

    def extend(self, elements):
        for element in elements:
            self.append(element)

    def __setitem__(self, key, element):
        self.items = {**getattr(self, "items", {}), key: element}


def _set_state(everything, state):
    everything.has_been_set = state


class WithArguments(int):
    def __new__(cls, *args, **kwargs):
        self = super().__new__(cls, args[0])
        self.given = args, kwargs
        return self

    def __getnewargs_ex__(self):
        return self.given


class Fruit(enum.Enum):
    APPLE = 1


class Listed(list):
    pass


class Meta(type):
    pass


class OfMeta(metaclass=Meta):
    pass


def recursive():
    outer: list = []
    both = (outer, 1, 2, 3)
    outer += [outer, both, {"outer": outer}, Listed([outer])]
    return outer


def recursive_tuple(length):
    holder = Node(None)
    holder.next = (holder, *range(length - 1))
    return holder.next


def in_its_own_set():
    node = Node(None)
    node.next = frozenset([node])
    return node.next


SHARED = ["x"]
VALUES = {
    "atoms": [
        None,
        True,
        0,
        255,
        65_535,
        -1,
        2**31,
        10**400,
        1.5,
        "",
        "ä",
        b"",
        b"x",
        bytearray(b"y"),
        ...,
        NotImplemented,
    ],
    "surrogates": "\ud800",
    "large texts": ["x" * 100_000, b"y" * 100_000, bytearray(100_000)],
    "the same ones": [SHARED, SHARED, (SHARED, SHARED), {1: SHARED}],
    "empty ones": [[], (), {}, set(), frozenset()],
    "many elements": [list(range(2_500)), dict.fromkeys(range(2_500), "x"), set(range(1_000)), frozenset(range(9))],
    "exactly a batch": [list(range(1_000)), dict.fromkeys(range(1_000)), collections.deque(range(1_000))],
    "recursive": recursive(),
    "recursive short tuple": recursive_tuple(2),
    "recursive long tuple": recursive_tuple(5),
    "recursive frozenset": in_its_own_set(),
    "classes": [int, type(None), type(...), type(NotImplemented), type, Node, OfMeta, collections.OrderedDict],
    "functions": [len, by_c, dt.datetime.now, [].append, Node(None).__init__],
    "reducers": [dt.date(2026, 1, 2), range(3), Fruit.APPLE, WithArguments(3, a=4), 1 + 2j, slice(1, 2)],
    "collections": [
        collections.deque([1, 2], 3),
        collections.defaultdict(list, a=[1]),
        collections.OrderedDict(b=1, a=2),
        collections.Counter("aab"),
        Listed([1, Listed()]),
    ],
    "arrays": [np.arange(3), np.zeros((2, 2), order="F"), np.array([1, "x", None], object), np.float32(2)],
    "exceptions": [OSError(2, "gone", "x")],
}


@pytest.mark.parametrize("kind", VALUES)
def test_it_writes_what_c_writes(kind):
    assert form_of(by_us(VALUES[kind])) == form_of(by_c(VALUES[kind]))


def test_everything_that_a_reduce_can_give_is_used():
    back = by_us(Everything())
    assert (back.elements, back.items) == ([1, back], {"a": back, "b": 2})
    assert back.has_been_set == {"state": back}


class Named(pickle.Pickler):
    """With all the ways in which a pickler can be told what to do."""

    def __init__(self, *args):
        super().__init__(*args)
        self.dispatch_table = {**copyreg.dispatch_table, Slotted: lambda _: (str, ("by the table",))}

    def persistent_id(self, obj):
        return ("name", [len(obj)]) if type(obj) is Listed else None

    def reducer_override(self, obj):
        return (str, ("overridden",)) if type(obj) is Node else NotImplemented


class NamedBack(pickle.Unpickler):
    def persistent_load(self, name):
        return name


def test_it_does_what_its_model_does():
    value = [Listed([1]), Slotted(1), Node(2), Record(3)]
    file = io.BytesIO()
    DeepPickler(Named(io.BytesIO(), 5), file).dump(value)
    file.seek(0)
    assert NamedBack(file).load() == [("name", [1]), "by the table", "overridden", Record(3)]


_atoms = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.binary(max_size=5)
)


def _inside(inner):
    return (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=4)
        | inner.map(lambda part: [part, part])
        | inner.map(Node)
        | inner.map(Reduced)
        | inner.map(Slotted)
    )


@given(st.recursive(_atoms, _inside, max_leaves=20))
def test_whatever_the_value_it_writes_what_c_writes(value):
    assert form_of(by_us(value)) == form_of(by_c(value))


class Wrong:
    def __init__(self, reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize(
    "reduced",
    [None, (), (list,), (list, []), (1, ()), (list, (), 1, 2, 3, 4, 5), (copyreg.__newobj__, (Node,)), "nowhere"],
)
def test_what_c_refuses_it_refuses(reduced):
    for write in (by_c, by_us):
        with pytest.raises((pickle.PicklingError, NoWayError)):
            write(Wrong(reduced))
