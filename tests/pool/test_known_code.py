"""What a worker is sent of functions, and when it may forget them."""

from __future__ import annotations

import pytest

from jray.runtime import wire
from jray.runtime.pool.known_code import KnownCode
from jray.runtime.serde.code import Code


def code(key, parts=(), *, head=b"head", captured=(), refs=()):
    named = {part.encode(): part.encode() * 10 for part in parts}
    return Code(key.encode(), b"digest", head, (), named, (), (), refs, captured)


def taught(messages):
    (message,) = [message for message in messages if type(message) is wire.Define]
    return message


def forgotten(messages):
    return [key.decode() for message in messages if type(message) is wire.Forget for key in message.keys]


def test_a_function_is_taught_with_all_its_parts():
    known = KnownCode()
    assert not known.knows(b"f")
    message = taught(known.teach(code("f", ["h", "g"])))
    assert (message.key, set(message.needs), set(message.parts)) == (b"f", {b"h", b"g"}, {b"h", b"g"})
    assert known.knows(b"f")


def test_a_part_is_sent_once():
    known = KnownCode()
    known.teach(code("f", ["h", "g"]))
    message = taught(known.teach(code("f2", ["h", "k"])))
    assert (set(message.parts), set(message.needs)) == ({b"k"}, {b"h", b"k"})


def test_who_was_not_used_for_the_longest_time_is_forgotten_first():
    known = KnownCode(most=2)
    known.teach(code("a"))
    known.teach(code("b"))
    assert known.knows(b"a")
    assert forgotten(known.teach(code("c"))) == ["b"]
    assert [known.knows(key) for key in (b"a", b"b", b"c")] == [True, False, True]


def test_a_part_that_nobody_needs_any_more_is_sent_again():
    known = KnownCode(most=1)
    known.teach(code("a", ["h"]))
    known.teach(code("b", ["g"]))
    assert set(taught(known.teach(code("c", ["h"]))).parts) == {b"h"}


def test_a_part_of_the_forgotten_that_another_needs_stays():
    known = KnownCode(most=2)
    known.teach(code("a", ["h"]))
    known.teach(code("b", ["h"]))
    assert forgotten(known.teach(code("c", ["h"]))) == ["a"]
    assert taught(known.teach(code("d", ["h"]))).parts == {}


def test_bytes_count_and_the_last_one_stays_however_large_it_is():
    known = KnownCode(most_bytes=100)
    known.teach(code("a", head=b"x" * 60))
    assert forgotten(known.teach(code("b", head=b"x" * 60))) == ["a"]
    assert forgotten(known.teach(code("c", head=b"x" * 1000))) == ["b"]
    assert known.knows(b"c")
    assert forgotten(known.teach(code("d"))) == ["c"]


@pytest.mark.parametrize(("fields", "is_kept"), [({}, True), ({"captured": (1,)}, False), ({"refs": (1,)}, False)])
def test_what_holds_objects_does_not_stay_loaded(fields, is_kept):
    assert taught(KnownCode().teach(code("f", **fields))).is_kept is is_kept
