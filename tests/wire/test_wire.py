"""Messages, frames and channels."""

from __future__ import annotations

import random
import socket
from dataclasses import fields

import pytest

from jray.runtime import wire
from jray.runtime.pool.lines import Channel

EXAMPLES = {"int": 7, "str": "x", "bool": True, "float": 0.5}


def example(kind):
    values = []
    for field in fields(kind):
        values.append(EXAMPLES.get(str(field.type), ("nested", (1, b"bytes", None))))
    return kind(*values)


@pytest.mark.parametrize("kind", wire._KINDS, ids=lambda kind: kind.__name__)
def test_every_message_comes_back_as_it_was(kind):
    sent = example(kind)
    assert wire.decode(wire.encode([sent, sent])) == [sent, sent]


@pytest.mark.parametrize("body", [b"", b"nonsense", b"i\x01\x00\x00\x00", wire.encode([wire.Recall()])[:-1] + b"\xff"])
def test_what_is_no_message_is_a_protocol_error(body):
    with pytest.raises(wire.ProtocolError):
        wire.decode(body)


def test_a_message_with_a_wrong_number_of_parts_is_a_protocol_error():
    import marshal

    with pytest.raises(wire.ProtocolError):
        wire.decode(marshal.dumps([(0, 1)]))
    with pytest.raises(wire.ProtocolError):
        wire.decode(marshal.dumps([(99,)]))


@pytest.mark.parametrize("seed", range(50))
def test_frames_may_be_cut_anywhere(seed):
    random_ = random.Random(seed)
    sent = [wire.Freed(tuple(range(random_.randrange(50)))) for _ in range(30)]
    data = b"".join(wire.frame(sent[i : i + 3]) for i in range(0, 30, 3))
    frames, got, position = wire.Frames(), [], 0
    while position < len(data):
        step = random_.choice([1, 2, 3, 5, 100, 1000])
        got += frames.feed(data[position : position + step])
        position += step
    assert got == sent


def test_a_frame_that_is_too_long_to_be_true_is_refused():
    with pytest.raises(wire.ProtocolError, match="no frame is that large"):
        wire.Frames().feed(b"\xff\xff\xff\xff more")


def test_a_channel_keeps_what_the_socket_does_not_take():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel, frames = Channel(ours), wire.Frames()
        sent = [wire.Put(number, (False, bytes(60_000), None, ()), (), 1) for number in range(20)]
        went_out = [channel.send([message]) for message in sent]
        assert went_out[0]
        assert not went_out[-1]
        got, flushed = [], False
        while len(got) < len(sent):
            got += frames.feed(theirs.recv(100_000))
            flushed = channel.flush()
        assert flushed
        assert got == sent


def test_the_end_of_a_channel_is_none():
    ours, theirs = socket.socketpair()
    with ours:
        channel = Channel(ours)
        assert channel.receive() == []
        theirs.close()
        assert channel.receive() is None
