"""The kernel's ends of a worker's lines: nothing blocks, nothing is lost, descriptors arrive with their packet."""

from __future__ import annotations

import os
import socket

import pytest

from jray.runtime import wire
from jray.runtime.pool.lines import Channel, ControlLane
from jray.runtime.system import Descriptor


@pytest.fixture
def lane():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.setblocking(False)
        yield ControlLane(ours), theirs


def packets(end):
    found = []
    while True:
        try:
            packet, descriptors, _, _ = socket.recv_fds(end, wire.LARGEST_PACKET + 1024, 1)
        except BlockingIOError:
            return found
        found.append((*wire.decode(packet), descriptors))


def test_packets_that_find_no_room_are_kept_in_order(lane):
    control, theirs = lane
    sent = [wire.ReplyEnd(number) for number in range(1000)]
    went_out = [control.send(message) for message in sent]
    assert went_out[0] and not went_out[-1]
    got = []
    while len(got) < len(sent):
        got += [message for message, _ in packets(theirs)]
        control.flush()
    assert got == sent
    assert control.flush()


def test_a_descriptor_comes_with_its_packet(lane):
    control, theirs = lane
    reading, writing = os.pipe()
    control.send(wire.ArenaShown(7), [Descriptor(reading)])
    ((message, (given,)),) = packets(theirs)
    assert message == wire.ArenaShown(7)
    os.write(writing, b"x")
    assert os.read(given, 1) == b"x"
    for descriptor in (writing, given):
        os.close(descriptor)


def test_a_descriptor_whose_packet_waits_for_room_is_open_until_it_is_sent(lane):
    control, theirs = lane
    while control.send(wire.Recall()):
        pass
    reading, writing = os.pipe()
    control.send(wire.ArenaShown(7), [Descriptor(reading)])
    got = []
    while not control.flush():
        got += packets(theirs)
    got += packets(theirs)
    message, (given,) = got[-1]
    assert message == wire.ArenaShown(7)
    os.close(writing)
    assert os.read(given, 1) == b""  # the pipe's end
    os.close(given)


def test_what_was_not_sent_is_closed_with_the_lane():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control = ControlLane(ours)
    while control.send(wire.Recall()):
        pass
    reading, writing = os.pipe()
    control.send(wire.ArenaShown(7), [Descriptor(reading)])
    control.close()
    theirs.close()
    with pytest.raises(BrokenPipeError):
        os.write(writing, b"nobody reads")
    os.close(writing)


def test_a_packet_that_is_too_long_travels_in_pieces(lane):
    control, theirs = lane
    large = wire.ReplyPart(1, 2, (True, b"x" * 1_000_000, None, ()))
    control.send(large)
    control.send(wire.ReplyEnd(1))
    got = []
    while len(got) < 13:
        got += [message for message, _ in packets(theirs)]
        control.flush()
    *pieces, end, after = got
    assert {type(piece) for piece in pieces} == {wire.Piece}
    assert end == wire.Piece(b"")
    assert after == wire.ReplyEnd(1)
    assert wire.decode(b"".join(piece.data for piece in pieces)) == [large]


@pytest.mark.parametrize(
    "send", [lambda end: Channel(end).send([wire.Recall()]), lambda end: ControlLane(end).send(wire.Recall())]
)
def test_sending_to_who_is_gone_is_an_os_error(send):
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours, pytest.raises(OSError, match="Broken pipe"):
        send(ours)
