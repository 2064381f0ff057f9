"""WebSocket frames (RFC 6455) into whole texts, sans-IO: wsproto reads, this bounds.

No extension is agreed on: what is compressed cannot be bounded by what came.
"""

import base64
import binascii
import hashlib

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import RemoteProtocolError

from gateway.http.messages import Request

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
GOING_AWAY, UNSUPPORTED, NOT_UTF8, POLICY, TOO_BIG = 1001, 1003, 1007, 1008, 1009
WHOLE_TEXT = 0x81  # FIN, no extension, opcode 1
CLOSE = 8


class Frames:
    """One connection's frames. What must be written gathers in `out`; `over` once no text is read any more,
    `peer_closed` once the peer's close has come, too.

    A text that is one whole frame, as nearly all are, is read here (2 us); every other frame goes, one at a
    time, to wsproto (9 us), which knows the rules for pieces, pings, closes and mistakes.
    """

    def __init__(self, *, octets_max: int) -> None:
        self._connection = Connection(ConnectionType.SERVER)
        self._octets_max = octets_max
        self._buffer = bytearray()
        self._pieces: list[str] = []
        self._characters = 0
        self._in_pieces = False
        self.out = bytearray()
        self.over = False
        self.peer_closed = False

    def feed(self, data: bytes) -> list[bytes]:
        """The texts that became whole, as UTF-8."""
        texts: list[bytes] = []
        buffer = self._buffer
        buffer += data
        at, end = 0, len(buffer)
        while end - at >= 2 and not self.peer_closed:
            first, length, start = buffer[at], buffer[at + 1], at + 6
            if length < 128:
                if not self.over:
                    self._odd(bytes(buffer[at:]), texts)  # not masked: wsproto says what is wrong with that
                at = end
                break
            length -= 128
            if length > 125:
                wide = 2 if length == 126 else 8
                start += wide
                if end < start:
                    break
                length = int.from_bytes(buffer[at + 2 : at + 2 + wide], "big")
            if length > self._octets_max:
                if not self.over:
                    self._too_big()
                break
            if end < start + length:
                break
            if self.over:
                self.peer_closed = first & 15 == CLOSE
            elif first == WHOLE_TEXT and not self._in_pieces:
                text = unmasked(buffer[start : start + length], buffer[start - 4 : start])
                try:
                    text.decode()
                except UnicodeDecodeError:
                    self.close(NOT_UTF8, "a text is not UTF-8")
                else:
                    texts.append(text)
            else:
                self._odd(bytes(buffer[at : start + length]), texts)
            at = start + length
        del buffer[:at]
        return texts

    def _odd(self, octets: bytes, texts: list[bytes]) -> None:
        """One frame that is no whole text."""
        try:
            self._connection.receive_data(octets)
            for event in self._connection.events():
                if isinstance(event, TextMessage):
                    self._piece(event, texts)
                elif isinstance(event, Ping):
                    self.out += self._connection.send(event.response())
                elif isinstance(event, BytesMessage):
                    self.close(UNSUPPORTED, "send text frames")
                elif isinstance(event, CloseConnection):
                    # The peer's, or wsproto's own word on a broken frame.
                    self.over, self.peer_closed = True, octets[0] & 15 == CLOSE
                    self.out += self._connection.send(event.response())
                if self.over:
                    break
        except RemoteProtocolError as error:
            hint = error.event_hint
            code = hint.code if isinstance(hint, CloseConnection) else 1002
            self.close(int(code), str(error)[:100])

    def _piece(self, event: TextMessage, texts: list[bytes]) -> None:
        """One piece of a text that comes in several."""
        self._in_pieces = not event.message_finished
        self._pieces.append(event.data)
        self._characters += len(event.data)
        if self._characters > self._octets_max:
            self._too_big()
        elif event.message_finished:
            texts.append("".join(self._pieces).encode())
            self._pieces.clear()
            self._characters = 0

    def _too_big(self) -> None:
        self.close(TOO_BIG, f"a message has at most {self._octets_max} octets")

    def text(self, octets: bytes) -> None:
        """Write one text frame: UTF-8, unmasked, unfragmented (RFC 6455 section 5.2)."""
        length = len(octets)
        if length < 126:
            self.out += b"\x81%c%b" % (length, octets)
        elif length < 65_536:
            self.out += b"\x81\x7e" + length.to_bytes(2, "big") + octets
        else:
            self.out += b"\x81\x7f" + length.to_bytes(8, "big") + octets

    def ping(self) -> None:
        self.out += self._connection.send(Ping())

    def close(self, code: int, reason: str) -> None:
        """Say why it ends; nothing is read from here on."""
        self.over = True
        if self._connection.state is ConnectionState.OPEN:
            self.out += self._connection.send(CloseConnection(code, reason))


def unmasked(octets: bytes | bytearray, mask: bytes | bytearray) -> bytes:
    """A frame's payload as it was before its mask (RFC 6455 section 5.3)."""
    length = len(octets)
    key = (bytes(mask) * (length // 4 + 1))[:length]
    return (int.from_bytes(octets, "little") ^ int.from_bytes(key, "little")).to_bytes(length, "little")


def accept_key(request: Request) -> bytes | None:
    """What the server says to a WebSocket handshake (RFC 6455 section 4.2.2); None if it is none."""
    headers = request.headers
    key = headers.get(b"sec-websocket-key", b"")
    try:
        right = len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        right = False
    if (
        not right
        or not request.upgrade
        or headers.get(b"upgrade", b"").lower() != b"websocket"
        or headers.get(b"sec-websocket-version") != b"13"
    ):
        return None
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - what the protocol says


def offers(request: Request, protocol: str) -> bool:
    """Whether the client offers this subprotocol."""
    offered = request.headers.get(b"sec-websocket-protocol", b"").split(b",")
    return protocol.encode() in (one.strip() for one in offered)
