"""A server that is codec and session and nothing else: it accepts every bind and every submit_sm.

python -m bench.echo        prints {"event": "listening", "name": "echo", "address": "127.0.0.1:…"}
"""

import json
import sys
from collections.abc import Sequence
from functools import partial

import trio

from gateway.sim.programs import until_signalled
from gateway.sim.wire import Outbox, read, tune
from gateway.smpp.pdu import BindReceiver, BindTransceiver, BindTransmitter, Pdu, SubmitSm
from gateway.smpp.session import Role, Session, SessionLimits

WINDOW = 10_000


class Echo:
    """Counts message ids for all binds."""

    def __init__(self) -> None:
        self.number = 1_000_000_000

    async def serve(self, stream: trio.SocketStream) -> None:
        """One bind, until the peer is gone."""
        tune(stream)
        outbox = Outbox(stream)
        session = Session(role=Role.MC, limits=SessionLimits(window_in_max=WINDOW), now=trio.current_time())
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(outbox.run)
            while data := await read(stream):
                now = trio.current_time()
                received = session.receive(data, now)
                self._answer(session, received.requests, now)
                output = session.take_output()
                if output:
                    outbox.put(output)
                if received.closing:
                    break
            outbox.close()

    def _answer(self, session: Session, requests: Sequence[Pdu], now: float) -> None:
        submits = [request.sequence_number for request in requests if type(request) is SubmitSm]
        if submits:
            first = self.number
            self.number += len(submits)
            session.respond_submits(submits, [b"%d" % number for number in range(first, self.number)])
        for request in requests:
            if isinstance(request, (BindReceiver, BindTransmitter, BindTransceiver)):
                self._answer(session, session.accept_bind(request, b"echo", now).requests, now)


async def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(until_signalled, nursery.cancel_scope)
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        host, port = listeners[0].socket.getsockname()[:2]
        sys.stdout.write(
            json.dumps({"event": "listening", "name": "echo", "address": f"{host}:{port}"}) + "\n"
        )
        sys.stdout.flush()
        await trio.serve_listeners(partial(_contained, Echo()), listeners)


async def _contained(echo: Echo, stream: trio.SocketStream) -> None:
    try:
        await echo.serve(stream)
    except* (trio.BrokenResourceError, trio.ClosedResourceError):
        sys.stderr.write("A bind broke.\n")


if __name__ == "__main__":
    trio.run(main)
