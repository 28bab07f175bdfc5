"""Terms mean the same one by one and as one function."""

from __future__ import annotations

import pytest

from jray.runtime.serde.checks import Checks


def test_all_must_be_true_before_and_after_they_become_one_function():
    box = [1]
    table = {"a": box}
    checks = Checks()
    checks.add("len({0}) == {1}", box, 1)
    checks.add("{0}[{1}] is {2}", table, "a", box)
    for _ in range(6):
        assert checks.hold()
    assert checks.compiled is not None
    box.append(2)
    assert not checks.hold()
    box.pop()
    table["a"] = [1]
    assert not checks.hold()


def test_what_does_not_hold_often_stays_as_it_is():
    box = [1]
    checks = Checks()
    checks.add("len({0}) == {1}", box, 2)
    assert [checks.hold() for _ in range(6)] == [False] * 6
    assert checks.compiled is None


def test_no_terms_hold():
    checks = Checks()
    assert all(checks.hold() for _ in range(6))


def test_what_a_term_raises_is_raised():
    checks = Checks()
    checks.add("{0}[{1}] is {2}", {}, "a", 1)
    with pytest.raises(KeyError):
        checks.hold()
