"""Who looks at a view, told from what pages say and from what they don't."""

from __future__ import annotations

import pytest

from jray.widgets.attention import Attention


def says(op, viewer="a"):
    return {"op": op, "viewer": viewer}


def test_somebody_sees_what_was_just_asked_for():
    assert Attention().is_seen


def test_a_page_that_sees_it_for_the_first_time_wants_a_picture():
    attention = Attention()
    assert attention.note_message(says("seen"))
    assert not attention.note_message(says("seen"))
    assert attention.is_seen


def test_when_the_last_viewer_has_left_nobody_sees_it():
    attention = Attention()
    for message in (says("seen"), says("seen", "b"), says("unseen")):
        attention.note_message(message)
    assert attention.is_seen
    attention.note_message(says("unseen", "b"))
    assert not attention.is_seen


def test_a_page_that_never_saw_it_answers_too():
    attention = Attention()
    attention.note_message(says("unseen"))
    assert not attention.is_seen


def test_a_page_that_confirms_nothing_any_more_is_gone():
    attention = Attention()
    attention.note_message(says("seen"))
    for _ in range(200):
        attention.note_sent(could_answer=True)
    assert not attention.is_seen


def test_a_page_that_confirms_stays():
    attention = Attention()
    attention.note_message(says("seen"))
    for number in range(500):
        attention.note_sent(could_answer=True)
        if number % 50 == 49:
            attention.note_message(says("ack"))
        assert attention.is_seen


def test_silence_while_the_kernel_could_not_hear_means_nothing():
    attention = Attention()
    attention.note_message(says("seen"))
    for _ in range(500):
        attention.note_sent(could_answer=False)
    assert attention.is_seen


def test_a_page_that_comes_back_after_its_silence_is_seen_again_and_wants_a_picture():
    attention = Attention()
    attention.note_message(says("seen"))
    for _ in range(200):
        attention.note_sent(could_answer=True)
    assert attention.note_message(says("seen", "reloaded"))
    assert attention.is_seen


def test_a_page_whose_words_came_late_wants_a_picture_again():
    attention = Attention()
    attention.note_message(says("seen"))
    for _ in range(200):
        attention.note_sent(could_answer=True)
    assert attention.note_message(says("ack"))
    assert attention.is_seen
    assert not attention.note_message(says("ack"))


@pytest.mark.parametrize("nonsense", [None, "seen", [], {}, {"op": "seen"}, {"op": "seen", "viewer": 3}, says("jump")])
def test_nonsense_changes_nothing(nonsense):
    attention = Attention()
    attention.note_message(says("seen"))
    attention.note_message(says("unseen"))
    assert not attention.note_message(nonsense)
    assert not attention.is_seen
