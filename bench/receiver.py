"""A receiver of webhooks for benchmarks: answers 204, and keeps a book of every event; or takes all and never answers.

python -m bench.receiver [EVENTS]      prints its address, and after so many distinct events one line of JSON
python -m bench.receiver --hang
"""

import re
import sys
import time

import msgspec
import trio

_LENGTH = re.compile(rb"content-length: (\d+)")
_SEQ = re.compile(rb'"seq":(\d+)')
TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"


class Book(msgspec.Struct):
    """What came. `first_at` and `last_at` are of CLOCK_MONOTONIC."""

    events: int = 0
    distinct: int = 0
    requests: int = 0
    first_at: float = 0.0
    last_at: float = 0.0


class Receiver:
    def __init__(self, expected: int, *, hangs: bool) -> None:
        self.book = Book()
        self._expected = expected
        self._hangs = hangs
        self._seen: set[bytes] = set()

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection: requests one after the other."""
        buffer = bytearray()
        while data := await stream.receive_some(262_144):
            buffer += data
            while (end := buffer.find(b"\r\n\r\n") + 4) > 3:
                length = _LENGTH.search(buffer, 0, end)
                whole = end + (int(length[1]) if length else 0)
                if len(buffer) < whole:
                    break
                if self._hangs:
                    await trio.sleep_forever()
                self._take(bytes(buffer[end:whole]))
                del buffer[:whole]
                await stream.send_all(TAKEN)

    def _take(self, body: bytes) -> None:
        book, seqs = self.book, _SEQ.findall(body)
        book.last_at = time.monotonic()
        book.first_at = book.first_at or book.last_at
        book.requests += 1
        book.events += len(seqs)
        before = len(self._seen)
        self._seen.update(seqs)
        book.distinct = len(self._seen)
        if before < self._expected <= book.distinct:
            print(msgspec.json.encode({"event": "done", **msgspec.to_builtins(book)}).decode(), flush=True)


async def main(arguments: list[str]) -> None:
    hangs = "--hang" in arguments
    expected = next((int(one) for one in arguments if one.isdigit()), 1 << 60)
    receiver = Receiver(expected, hangs=hangs)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    print(f'{{"event":"listening","name":"receiver","address":"127.0.0.1:{port}"}}', flush=True)

    async def serve(stream: trio.SocketStream) -> None:
        try:
            await receiver.serve(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    await trio.serve_listeners(serve, [listener])


if __name__ == "__main__":
    trio.run(main, sys.argv[1:])
