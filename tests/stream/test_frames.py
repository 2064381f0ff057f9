"""Frames of RFC 6455, sans-IO: however they are cut, whatever is wrong with them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Opcode
from websockets.frames import Frame as TheirFrame
from websockets.streams import StreamReader
from wsproto.connection import Connection, ConnectionType
from wsproto.events import Message, Ping, TextMessage

from gateway.stream.frames import Frames, unmasked

OCTETS_MAX = 1000


def frame(opcode: int, payload: bytes, *, fin: bool = True, masked: bool = True, length: int = -1) -> bytes:
    """A frame as no library would send it."""
    length = len(payload) if length < 0 else length
    mask = 0x80 if masked else 0
    if length < 126:
        head = bytes([mask | length])
    elif length < 65_536:
        head = bytes([mask | 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([mask | 127]) + length.to_bytes(8, "big")
    return bytes([(0x80 if fin else 0) | opcode]) + head + (bytes(4) if masked else b"") + payload


def said(frames: Frames) -> list[TheirFrame]:
    """What we wrote, as somebody else's library reads it."""
    reader = StreamReader()
    reader.feed_data(bytes(frames.out))
    frames.out.clear()
    read = []
    while True:
        parser = TheirFrame.parse(reader.read_exact, mask=False)
        try:
            next(parser)
        except StopIteration as whole:
            read.append(whole.value)
        else:
            return read


BROKEN = [
    (frame(1, b"{}", masked=False), 1002),  # a client must mask
    (frame(1, b"", masked=False), 1002),
    (frame(3, b""), 1002),  # reserved opcode
    (b"\xc1\x80" + bytes(4), 1002),  # compressed, which nobody agreed on
    (frame(0, b"x"), 1002),  # continues nothing
    (frame(1, b"{", fin=False) + frame(1, b"}"), 1002),  # a new one inside another
    (frame(9, b"x" * 126), 1002),  # a long ping
    (frame(9, b"", fin=False), 1002),  # a ping in pieces
    (frame(8, b"\x03"), 1002),  # half a close code
    (frame(1, b"\xff\xfe"), 1007),  # no UTF-8
    (frame(1, b"\xe6", fin=False) + frame(0, b"{"), 1007),
    (frame(2, b"{}"), 1003),  # binary
    (frame(1, b"x" * (OCTETS_MAX + 1)), 1009),
    (frame(1, b"", length=1 << 40), 1009),  # announced, not sent
    (frame(1, b"", length=(1 << 64) - 1), 1009),
    (frame(1, b"x" * 800, fin=False) + frame(0, b"x" * 800), 1009),
    (frame(1, b"", fin=False) + frame(0, b"x", fin=False) * (OCTETS_MAX + 1), 1009),
]


@pytest.mark.parametrize(("octets", "code"), BROKEN)
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_a_broken_frame_closes_with_its_code_and_nothing_behind_it_is_read(
    octets: bytes, code: int, step: int
) -> None:
    frames = Frames(octets_max=OCTETS_MAX)
    octets += frame(1, b"behind")
    texts = [text for at in range(0, len(octets), step) for text in frames.feed(octets[at : at + step])]
    assert frames.over
    assert b"behind" not in texts
    [close] = said(frames)
    assert close.opcode is Opcode.CLOSE
    assert Close.parse(close.data).code == code
    assert frames.feed(frame(1, b"more")) == []


@given(
    texts=st.lists(st.text(max_size=300), max_size=8),
    cuts=st.lists(st.integers(1, 400), min_size=1, max_size=30),
    pieces=st.integers(1, 5),
)
def test_texts_come_whole_however_the_octets_are_cut(texts: list[str], cuts: list[int], pieces: int) -> None:
    """Sent by wsproto's client, masked at random, every other text in several frames with a ping between."""
    client = Connection(ConnectionType.CLIENT)
    octets = b""
    for at, text in enumerate(texts):
        size = len(text) // pieces + 1
        parts = [text[start : start + size] for start in range(0, len(text), size)] or [""]
        if at % 2:
            parts = [text]
        for number, part in enumerate(parts):
            message: Message[str] = TextMessage(data=part, message_finished=number == len(parts) - 1)
            octets += client.send(message)
            if number == 0 and at % 2 == 0:
                octets += client.send(Ping(payload=b"p"))
    frames = Frames(octets_max=1 << 20)
    came: list[bytes] = []
    at = turn = 0
    while at < len(octets):
        step = cuts[turn % len(cuts)]
        came += frames.feed(octets[at : at + step])
        at, turn = at + step, turn + 1
    assert came == [text.encode() for text in texts]
    pongs = said(frames)
    assert [pong.opcode for pong in pongs] == [Opcode.PONG] * ((len(texts) + 1) // 2)
    assert not frames.over


@given(octets=st.binary(max_size=200))
def test_no_octets_raise(octets: bytes) -> None:
    Frames(octets_max=OCTETS_MAX).feed(octets)


@given(octets=st.binary(max_size=50), mask=st.binary(min_size=4, max_size=4))
def test_a_mask_taken_off_twice_changes_nothing(octets: bytes, mask: bytes) -> None:
    once = unmasked(octets, mask)
    assert once == bytes(octet ^ mask[at % 4] for at, octet in enumerate(octets))
    assert unmasked(once, mask) == octets


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536, 100_000])
def test_what_we_write_is_read_by_others(length: int) -> None:
    frames = Frames(octets_max=OCTETS_MAX)
    frames.text(b"x" * length)
    [text] = said(frames)
    assert (text.opcode, text.data, text.fin) == (Opcode.TEXT, b"x" * length, True)


def test_a_close_is_answered_once_with_its_code() -> None:
    frames = Frames(octets_max=OCTETS_MAX)
    assert frames.feed(frame(1, b"{}") + frame(8, b"\x03\xe8bye") + frame(1, b"{}")) == [b"{}"]
    frames.close(1001, "too late")
    [close] = said(frames)
    assert Close.parse(close.data).code == 1000


def test_behind_our_close_only_theirs_is_looked_for() -> None:
    frames = Frames(octets_max=OCTETS_MAX)
    frames.close(1001, "bye")
    assert frames.feed(frame(1, b"{}") + frame(9, b"p") + frame(8, b"\x03\xe9")[:3]) == []
    assert not frames.peer_closed
    frames.feed(frame(8, b"\x03\xe9")[3:])
    assert frames.peer_closed
    assert [one.opcode for one in said(frames)] == [Opcode.CLOSE]
