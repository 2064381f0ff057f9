"""A customer's web server: remembers what it is asked, answers what it is told to."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl

import httptools
import msgspec
import trio

LOCAL = {"allow_private": ["127.0.0.0/8"]}


class Asked(msgspec.Struct):
    """One request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def fields(self) -> dict[str, str]:
        """Parameters of the query or of the form."""
        text = self.query if self.method == "GET" else self.body.decode()
        return dict(parse_qsl(text, keep_blank_values=True))


Say = Callable[[Asked], tuple[int, bytes, str]]  # status, body, content type


class Receiver:
    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.say: Say = lambda asked: (200, b"ACK/Jasmin", "text/plain")
        self.port = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def wait(self, count: int, timeout_s: float = 5) -> list[Asked]:
        """The first `count` requests."""
        with trio.fail_after(timeout_s):
            while len(self.asked) < count:
                await trio.sleep(0.01)
        return self.asked[:count]

    async def serve(self, stream: trio.SocketStream) -> None:
        headers: dict[str, str] = {}
        pieces: list[bytes] = []
        target: list[bytes] = []
        whole: list[Asked] = []

        class Reader:
            def on_message_begin(self) -> None:
                headers.clear()
                pieces.clear()
                target.clear()

            def on_url(self, piece: bytes) -> None:
                target.append(piece)

            def on_header(self, name: bytes, value: bytes) -> None:
                headers[name.decode().lower()] = value.decode("latin-1")

            def on_body(self, piece: bytes) -> None:
                pieces.append(piece)

            def on_message_complete(self) -> None:
                method = parser.get_method().decode()
                whole.append(Asked(method, b"".join(target).decode(), dict(headers), b"".join(pieces)))

        parser = httptools.HttpRequestParser(Reader())
        try:
            while data := await stream.receive_some(65_536):
                parser.feed_data(data)
                while whole:
                    asked = whole.pop(0)
                    status, body, kind = self.say(asked)
                    self.asked.append(asked)
                    head = (
                        f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
                    )
                    await stream.send_all(head.encode() + body)
        except trio.BrokenResourceError:
            return


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        receiver.port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, receiver.serve, [listener])
        yield receiver
        nursery.cancel_scope.cancel()
