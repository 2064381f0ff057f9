"""Somebody else's WebSocket client (PyPI `websockets`, its sans-IO half) on a trio stream."""

from typing import Any, Self

import msgspec
import trio
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from tests.api.world import KEY, World


class Stream:
    """One connection. `ops` are what the server said, in order; pings are answered by the library."""

    def __init__(self, stream: trio.SocketStream, protocol: ClientProtocol) -> None:
        self.stream = stream
        self.protocol = protocol
        self.ops: list[Any] = []
        self.pings = 0
        self.answer: Response | None = None

    @classmethod
    async def connect(
        cls, world: World, key: str = KEY, path: str = "/v1/stream", *, subprotocol: str = "sms.v1+json"
    ) -> "Stream":
        """Raises InvalidHandshake when the server does not answer 101."""
        protocol = ClientProtocol(
            parse_uri(f"ws://127.0.0.1:{world.port}{path}"),
            subprotocols=[Subprotocol(subprotocol)] if subprotocol else None,
        )
        self = cls(await trio.open_tcp_stream("127.0.0.1", world.port), protocol)
        request = protocol.connect()
        request.headers["Authorization"] = f"Bearer {key}"
        protocol.send_request(request)
        try:
            with trio.fail_after(5):
                while self.answer is None:
                    await self._turn()
            if protocol.handshake_exc is not None:
                raise protocol.handshake_exc
        except InvalidHandshake:
            await trio.aclose_forcefully(self.stream)
            raise
        return self

    async def _turn(self) -> None:
        """Send what is due, read once."""
        await self.flush()
        data = await self.stream.receive_some(65_536)
        if data:
            self.protocol.receive_data(data)
        else:
            self.protocol.receive_eof()
        for event in self.protocol.events_received():
            if isinstance(event, Response):
                self.answer = event
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self.ops.append(msgspec.json.decode(event.data))
            elif isinstance(event, Frame) and event.opcode is Opcode.PING:
                self.pings += 1
        await self.flush()

    async def flush(self) -> None:
        for octets in self.protocol.data_to_send():
            if octets:
                await self.stream.send_all(octets)

    async def say(self, *ops: dict[str, Any] | bytes) -> None:
        """Send operations, a text frame each, in one write."""
        for op in ops:
            self.protocol.send_text(op if isinstance(op, bytes) else msgspec.json.encode(op))
        octets = b"".join(self.protocol.data_to_send())
        await self.stream.send_all(octets)

    async def hear(self, op: str = "", *, seconds: float = 5) -> Any:
        """The next operation (of a kind; others are kept)."""
        with trio.fail_after(seconds):
            while True:
                for at, one in enumerate(self.ops):
                    if not op or one["op"] == op:
                        return self.ops.pop(at)
                assert self.protocol.state.name != "CLOSED", self.protocol.close_exc
                await self._turn()

    async def submit(self, ref: str = "a1", **fields: Any) -> Any:
        """Submit and give the answer."""
        await self.say({"op": "submit", "ref": ref, "to": "+8613800138000", "text": "您好", **fields})
        while True:
            for at, one in enumerate(self.ops):
                if one.get("ref") == ref:
                    return self.ops.pop(at)
            with trio.fail_after(5):
                await self._turn()

    async def until_closed(self) -> Close:
        """The server's close."""
        with trio.fail_after(10):
            while self.protocol.state.name != "CLOSED":
                await self._turn()
        assert self.protocol.close_rcvd is not None
        return self.protocol.close_rcvd

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self.stream)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
