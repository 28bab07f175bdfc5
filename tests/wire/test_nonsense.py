"""What does not decode is a ProtocolError, whatever it is; what was sent arrives, however it is cut."""

from __future__ import annotations

import marshal

import pytest
from hypothesis import given, strategies as st

from jray.runtime import wire

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.one_of(
    st.builds(wire.Reply, st.integers(), PLAIN),
    st.builds(wire.Done, st.integers(), st.integers(), st.booleans(), st.floats(0, 1), PLAIN, PLAIN),
    st.builds(
        wire.Returned, st.lists(st.tuples(st.integers(), st.integers(), st.floats(0, 1), st.binary(), st.text()))
    ),
    st.builds(wire.Put, st.integers(), PLAIN, st.tuples(st.integers())),
    st.builds(wire.Output, st.integers(), st.text(), st.integers(), st.text(), st.text()),
    st.builds(wire.Recall),
    st.builds(wire.Piece, st.binary()),
)


@given(st.lists(st.lists(MESSAGES, max_size=4), max_size=4), st.lists(st.integers(1, 60)))
def test_messages_arrive_in_order_however_the_stream_is_cut(batches, cuts):
    stream = b"".join(wire.frame(batch) for batch in batches)
    frames, got, position = wire.Frames(), [], 0
    for cut in [*cuts, len(stream)]:
        got += frames.feed(stream[position : position + cut])
        position += cut
    assert got == [message for batch in batches for message in batch]


@given(PLAIN)
def test_marshalled_nonsense_is_a_protocol_error_or_a_list_of_messages(value):
    try:
        decoded = wire.decode(marshal.dumps(value))
    except wire.ProtocolError:
        return
    assert all(type(message) in wire._KINDS for message in decoded)


@given(st.lists(st.tuples(st.integers(-30, 30), PLAIN), min_size=1, max_size=3))
def test_rows_that_name_no_message_are_a_protocol_error(rows):
    bad = [row for row in rows if not 0 <= row[0] < len(wire._KINDS)]
    if bad:
        with pytest.raises(wire.ProtocolError):
            wire.decode(marshal.dumps(bad))


@given(MESSAGES, st.data())
def test_a_body_that_ends_too_early_is_a_protocol_error(message, data):
    body = wire.encode([message])
    end = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(wire.ProtocolError):
        wire.decode(body[:end])
