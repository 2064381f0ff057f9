"""One WebSocket of `sms.v1+json`: submits in, acks and events out, windows both ways.

Four tasks share it: one reads, one writes, one pushes events, one pings. Whatever ends one of them ends all. What
is not written yet is bounded: acks by the submit window, events by the client's, and reading stops while more
than `OUTPUT_OCTETS` wait.
"""

from collections import deque
from typing import TYPE_CHECKING

import msgspec
import structlog
import trio

from gateway.api.door import Door
from gateway.api.invalid import Invalid, Malformed, decode, refuse
from gateway.api.keys import Identity, Keys
from gateway.api.messages import Messages
from gateway.events.pull import kinds_of
from gateway.events.streams import Streams
from gateway.http.messages import Request, Response
from gateway.http.problems import problem
from gateway.http.wire import Wire, wire_of
from gateway.stream.frames import GOING_AWAY, POLICY, Frames
from gateway.stream.shapes import Op, ResumeOp, SeenOp, SubmitOp, WindowOp
from gateway.stream.submits import Submits

if TYPE_CHECKING:
    from gateway.core import Core

log = structlog.get_logger("stream")

MESSAGE_OCTETS_MAX = 262_144  # as POST /v1/messages
EVENT_WINDOW = 1_000  # until the client asks for another
EVENTS_A_READING = 200
OUTPUT_OCTETS = 262_144
PING_S = 20.0
SILENCE_S_MAX = 60.0  # three pings without an answer
WRITE_S_MAX = 30.0  # a peer that takes nothing for so long is dropped, and resumes
WINDOW_PATIENCE_S = 0.5  # reading stops so long for a full submit window, as with SMPP
GOODBYE_S = 2.0  # for outstanding acks, and for the peer's close

_decoder: "msgspec.json.Decoder[Op]" = msgspec.json.Decoder(Op)
_encode = msgspec.json.Encoder().encode


class _Named(msgspec.Struct):
    """What is read of an operation that cannot be read."""

    op: str = ""
    ref: str = ""


_named = msgspec.json.Decoder(_Named)


class StreamSession:
    """Runs one connection; made by `StreamEndpoint` once the handshake is right."""

    def __init__(
        self,
        core: "Core",
        keys: Keys,
        streams: Streams,
        door: Door,
        messages: Messages,
        request: Request,
        *,
        opening: bytes,
        after: int,
    ) -> None:
        self._core = core
        self._keys = keys
        self._streams = streams
        self._request = request
        self._identity: Identity = request.context
        self._account = self._identity.account.id
        self._frames = Frames(octets_max=MESSAGE_OCTETS_MAX)
        self._frames.out += opening
        self._submits = Submits(core, door, messages, request, self._say)
        self._after = after
        self._window = EVENT_WINDOW
        self._unseen: deque[int] = deque()
        self._told = after  # the last seq that was pushed
        self._ending: tuple[int, str] | None = None
        self._reading: trio.CancelScope | None = None
        self._pushing: trio.CancelScope | None = None
        self._output = trio.Event()
        self._drained = trio.Event()
        self._heard_at = 0.0

    async def run(self, stream: trio.abc.Stream, behind: bytes) -> None:
        """Serve until either side ends it. `behind`: octets that came with the handshake."""
        wire = wire_of(stream)
        self._heard_at = self._core.clock.now()
        left = self._streams.enter("websocket", self._account, self._drain)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, wire, nursery.cancel_scope)
                nursery.start_soon(self._push)
                nursery.start_soon(self._ping, nursery.cancel_scope)
                try:
                    if self._streams.leaving:
                        self._drain()
                    with trio.CancelScope() as self._reading:
                        if self._ending is None:
                            await self._read(wire, behind, nursery)
                    await self._say_goodbye(wire)
                except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                    pass  # the peer is gone
                nursery.cancel_scope.cancel()
        finally:
            left()

    # -- ending -----------------------------------------------------------------------------------

    def _drain(self) -> None:
        self._end(GOING_AWAY, "the gateway stops; connect again and resume")

    def _end(self, code: int, reason: str) -> None:
        """Read nothing more, answer what is under way, close."""
        if self._ending is None:
            self._ending = (code, reason)
            if self._reading is not None:
                self._reading.cancel()

    async def _say_goodbye(self, wire: Wire) -> None:
        frames = self._frames
        if self._ending is not None:
            with trio.move_on_after(GOODBYE_S):
                while self._submits.unanswered:
                    await self._submits.settled.wait()
            frames.close(*self._ending)
        self._flush()
        with trio.move_on_after(GOODBYE_S):
            await self._written()
            # What still comes is read, or a reset might destroy what was written.
            while not frames.peer_closed and (data := await wire.receive()):
                frames.feed(data)

    def _still_allowed(self) -> bool:
        """Whether the key may still be used; looked at with every reading, so that a change holds at once."""
        identity = self._keys.identify(self._request)
        if isinstance(identity, Response) or identity.account.id != self._account:
            self._end(POLICY, "this key may not be used any more")
            return False
        self._identity = identity
        return True

    # -- reading ----------------------------------------------------------------------------------

    async def _read(self, wire: Wire, behind: bytes, nursery: trio.Nursery) -> None:
        frames = self._frames
        data = behind
        while True:
            texts = frames.feed(data) if data else []
            if texts and self._still_allowed():
                await self._handle(texts, nursery)
            self._flush()
            if frames.over:
                return
            if len(frames.out) > OUTPUT_OCTETS:
                await self._written()
            data = await wire.receive()
            if not data:
                frames.over = True
                return
            self._heard_at = self._core.clock.now()

    async def _handle(self, texts: list[bytes], nursery: trio.Nursery) -> None:
        """The operations of one reading: what asks for something at once, then all submits together."""
        submits: list[SubmitOp] = []
        for text in texts:
            try:
                op = decode(_decoder, text)
            except (Invalid, Malformed) as error:
                self._not_understood(text, error)
                continue
            if type(op) is SubmitOp:
                submits.append(op)
            elif type(op) is SeenOp:
                self._seen(op.seq)
            elif type(op) is WindowOp:
                self._window = op.n
                self._push_again()
            elif type(op) is ResumeOp:
                self._resume(op.after)
        if submits:
            await self._submit(submits, nursery)

    def _not_understood(self, text: bytes, error: Invalid | Malformed) -> None:
        """A nack where it can be told for which submit, else an error."""
        response = refuse(error, self._request)
        try:
            named = _named.decode(text)
        except (msgspec.DecodeError, RecursionError):
            named = _Named()
        if named.op == "submit" and 0 < len(named.ref) <= 64:
            self._submits.refuse(named.ref, response)
        else:
            self._say(b'{"op":"error","problem":%b}' % response.body)

    async def _submit(self, ops: list[SubmitOp], nursery: trio.Nursery) -> None:
        """As many as the window has room for; the rest waits a moment, then is refused."""
        submits, identity = self._submits, self._identity
        if "send" not in identity.scopes:
            submits.refuse_all(ops, "forbidden", 'This key does not have the scope "send".')
            return
        window = identity.account.account.window
        at = 0
        with trio.move_on_after(WINDOW_PATIENCE_S):
            while at < len(ops):
                room = window - submits.unanswered
                if room > 0:
                    submits.take(ops[at : at + room], identity, nursery)
                    at += room
                else:
                    self._flush()
                    await submits.settled.wait()
        submits.refuse_all(
            ops[at:], "window-exceeded", f"{window} submits are unanswered, the most there may be."
        )

    # -- events -----------------------------------------------------------------------------------

    def _seen(self, seq: int) -> None:
        if seq > self._told:
            detail = "No event with this seq, nor one behind it, was sent on this connection."
            error = Invalid("/seq", "not-sent", detail)
            self._say(b'{"op":"error","problem":%b}' % refuse(error, self._request).body)
            return
        unseen = self._unseen
        while unseen and unseen[0] <= seq:
            unseen.popleft()
        self._push_again()

    def _resume(self, after: int) -> None:
        self._after = self._told = after
        self._unseen.clear()
        self._push_again()

    def _push_again(self) -> None:
        if self._pushing is not None:
            self._pushing.cancel()

    async def _push(self) -> None:
        """Events behind the cursor, as far as the client's window goes."""
        event_log = self._core.event_log
        while True:
            kinds = kinds_of(self._identity)
            room = self._window - len(self._unseen) if kinds else 0
            changed = event_log.changed(self._account) if room > 0 else trio.Event()
            if room > 0:
                after = self._after
                page = await event_log.page(self._account, after, min(room, EVENTS_A_READING), kinds=kinds)
                if self._after != after or self._window - len(self._unseen) < len(page.events):
                    continue  # the client has asked for something else meanwhile
                self._after = page.through
                if page.events:
                    if not self._still_allowed():
                        return
                    for event in page.events:
                        self._frames.text(b'{"op":"event",' + _encode(event)[1:])
                        self._unseen.append(event.seq)
                    self._told = page.events[-1].seq
                    self._streams.sent["websocket"] += len(page.events)
                    self._flush()
                    await self._written()
                if page.events or page.through < event_log.head:
                    continue
            with trio.CancelScope() as self._pushing:
                await changed.wait()
            self._pushing = None

    # -- writing ----------------------------------------------------------------------------------

    def _say(self, octets: bytes) -> None:
        """An operation to the client; written at the next turn of the writer."""
        if not self._frames.over:
            self._frames.text(octets)
            self._flush()

    def _flush(self) -> None:
        if self._frames.out:
            self._output.set()

    async def _written(self) -> None:
        """Until everything is written."""
        while self._frames.out or not self._drained.is_set():
            self._flush()
            await self._drained.wait()

    async def _write(self, wire: Wire, whole: trio.CancelScope) -> None:
        frames = self._frames
        while True:
            if not frames.out:
                self._drained.set()
                self._output = trio.Event()
                await self._output.wait()
            if self._drained.is_set():
                self._drained = trio.Event()
            out, frames.out = frames.out, bytearray()
            with trio.move_on_after(WRITE_S_MAX) as scope:
                try:
                    sent = wire.send_now(out)
                    if sent < len(out):
                        await wire.send(memoryview(out)[sent:])
                    else:
                        await trio.lowlevel.checkpoint()
                except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                    whole.cancel()
                    return
            if scope.cancelled_caught:
                log.info(
                    "a stream reads too slowly; dropped", account=self._identity.account.account.system_id
                )
                whole.cancel()
                return

    async def _ping(self, whole: trio.CancelScope) -> None:
        while True:
            await trio.sleep(PING_S)
            if self._core.clock.now() - self._heard_at > SILENCE_S_MAX:
                whole.cancel()
                return
            if self._still_allowed() and not self._frames.over:
                self._frames.ping()
                self._flush()


def not_a_websocket(request: Request, detail: str) -> Response:
    """426: this path speaks WebSocket only."""
    return problem(
        "upgrade-required",
        detail,
        request,
        headers=[(b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")],
    )
