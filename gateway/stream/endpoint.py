"""GET /v1/stream: from an HTTP request to a WebSocket session."""

from typing import TYPE_CHECKING

from gateway.api.door import Door
from gateway.api.invalid import Invalid, refuse
from gateway.api.keys import Identity, Keys
from gateway.api.messages import Messages
from gateway.api.parameters import Parameters
from gateway.events.pull import cursor_of, too_many
from gateway.events.streams import Streams
from gateway.http.messages import Request, Response, Takeover
from gateway.stream.frames import accept_key, offers
from gateway.stream.session import StreamSession, not_a_websocket
from gateway.stream.shapes import PROTOCOL

if TYPE_CHECKING:
    from gateway.core import Core


class StreamEndpoint:
    def __init__(self, core: "Core", keys: Keys, streams: Streams, door: Door, messages: Messages) -> None:
        self._core = core
        self._keys = keys
        self._streams = streams
        self._door = door
        self._messages = messages

    def open(self, request: Request) -> Response | Takeover:
        """101 and a session, or what is wrong with the handshake."""
        identity: Identity = request.context
        try:
            after = cursor_of(Parameters(request, ("after",)).text("after"), "?after")
        except Invalid as error:
            return refuse(error, request)
        accept = accept_key(request)
        if accept is None:
            return not_a_websocket(request, "Open this path with a WebSocket client (RFC 6455, version 13).")
        if not offers(request, PROTOCOL):
            return not_a_websocket(request, f"Offer the subprotocol {PROTOCOL}: Sec-WebSocket-Protocol.")
        if self._streams.full(identity.account.id):
            return too_many(request)
        session = StreamSession(
            self._core,
            self._keys,
            self._streams,
            self._door,
            self._messages,
            request,
            opening=_switching(accept, request.request_id),
            after=self._core.event_log.head if after is None else after,
        )
        return Takeover(session.run)


def _switching(accept: bytes, request_id: bytes) -> bytes:
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-accept: %b\r\nsec-websocket-protocol: %b\r\nx-request-id: %b\r\n\r\n"
        % (accept, PROTOCOL.encode(), request_id)
    )
