"""WebSocket frames (RFC 6455) into whole texts, sans-IO: wsproto reads, this bounds.

No extension is agreed on: what is compressed cannot be bounded by what came.
"""

import base64
import binascii
import hashlib

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from gateway.http.messages import Request

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
NORMAL, GOING_AWAY, UNSUPPORTED, POLICY, TOO_BIG = 1000, 1001, 1003, 1008, 1009


class Frames:
    """One connection's frames. What must be written gathers in `out`; `over` once nothing more is read."""

    def __init__(self, *, characters_max: int) -> None:
        self._connection = Connection(ConnectionType.SERVER)
        self._characters_max = characters_max
        self._pieces: list[str] = []
        self._characters = 0
        self.out = bytearray()
        self.over = False

    def feed(self, data: bytes) -> list[str]:
        """The texts that became whole. b"" is the peer's end without a close."""
        if self.over:
            return []
        texts: list[str] = []
        try:
            self._connection.receive_data(data or None)
            for event in self._connection.events():
                if isinstance(event, TextMessage):
                    if event.message_finished and not self._pieces:
                        text = event.data
                    else:
                        text = self._piece(event)
                    if len(text) > self._characters_max or self._characters > self._characters_max:
                        self.close(TOO_BIG, f"a message has at most {self._characters_max} characters")
                    elif event.message_finished:
                        texts.append(text)
                elif isinstance(event, Ping):
                    self.out += self._connection.send(event.response())
                elif isinstance(event, BytesMessage):
                    self.close(UNSUPPORTED, "send text frames")
                elif isinstance(event, CloseConnection):
                    self._answer_close(event)
                elif not isinstance(event, Pong):
                    self.over = True
                if self.over:
                    break
        except RemoteProtocolError as error:
            hint = error.event_hint
            code = hint.code if isinstance(hint, CloseConnection) else 1002
            self.close(int(code), str(error)[:100])
        return texts

    def _piece(self, event: TextMessage) -> str:
        """One piece of a text that comes in several; all of it with the last."""
        self._pieces.append(event.data)
        self._characters += len(event.data)
        if not event.message_finished or self._characters > self._characters_max:
            return ""
        text = "".join(self._pieces)
        self._pieces.clear()
        self._characters = 0
        return text

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

    def _answer_close(self, event: CloseConnection) -> None:
        self.over = True
        try:
            self.out += self._connection.send(event.response())
        except LocalProtocolError:
            return  # the connection ended without a close: there is nobody to answer


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
