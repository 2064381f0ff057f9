"""A simulated carrier (SMSC): a library for tests, and `sluice sim carrier` for everybody.

    async with SimCarrier(Behaviour(early_receipts=1.0), port=0) as carrier:
        ...connect to carrier.port and bind...
        carrier.log.duplicates(); carrier.statistics()

It listens, or connects out (`outbind`, `bind_in`), answers submit_sm, sends receipts and MO, and misbehaves
on request.
"""

import ssl
import time
from collections import Counter, deque
from collections.abc import Callable
from functools import partial

import msgspec
import trio
import trio.testing

from gateway.sim.answers import Answers, Delivery
from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier_link import RINVPASWD, RINVSYSID, CarrierLink
from gateway.sim.carrier_log import CarrierLog
from gateway.sim.fast import ID_FORMS, FastPath
from gateway.sim.mo import mo_bodies, mo_source
from gateway.sim.nursery import HasNursery
from gateway.sim.timers import Timers
from gateway.sim.wire import BINDS, DELIVER_SM, ENQUIRE_LINK, OUTBIND, SUBMIT_SM, header_only, pdu

# What the fast path can vary; any other knob needs the full path.
_FAST_KNOBS = frozenset({"receipts_delay_s", "id_form", "receipt_form", "receipts"})
LISTEN_BACKLOG = 256


class SimCarrier(HasNursery):
    """One carrier: any number of links, one id space, one log.

    Args:
      behaviour: how it misbehaves; may be replaced at any time (`carrier.behaviour = ...`).
      system_id, password: what a bind must say; an empty system_id lets anybody in.
      fast: the benchmark path: header-only, no log of messages, no misbehaviour but a receipt delay.
      seed: names the random streams.
      ssl_context: listen with TLS.
      wall: unix seconds, for the dates in receipts.
      listen: False for a carrier that only connects out, or is given streams (`serve_stream`).
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        system_id: str = "carrier",
        password: str = "password",  # noqa: S107 - a simulator's default, no secret
        fast: bool = False,
        seed: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        wall: Callable[[], float] = time.time,
        listen: bool = True,
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.host = host
        self.port = port
        self.seed = seed
        self.wall = wall
        self.counts: Counter[str] = Counter()
        self.log = CarrierLog()
        self.links: list[CarrierLink] = []
        self.timers = Timers()
        self.answers = Answers(self)
        self.fast = self._fast_path() if fast else None
        self._fast_delay_s = self.behaviour.receipts_delay_s
        self._held_fast: deque[bytes] = deque()
        self._login = (system_id, password)
        self._ssl_context = ssl_context
        self._listen = listen
        self._links_made = 0
        self._changed = trio.Event()

    def _fast_path(self) -> FastPath:
        plain = Behaviour()
        turned = {
            field
            for field in Behaviour.__struct_fields__
            if getattr(self.behaviour, field) != getattr(plain, field)
        }
        if turned - _FAST_KNOBS:
            raise ValueError(
                f"the fast path cannot do {', '.join(sorted(turned - _FAST_KNOBS))}: leave fast out"
            )
        if self.behaviour.id_form not in ID_FORMS:
            raise ValueError(
                f"the fast path gives ids as {', '.join(ID_FORMS)}, not {self.behaviour.id_form}"
            )
        return FastPath(
            id_form=self.behaviour.id_form,
            tlv=self.behaviour.receipt_form != "text",
            receipts=self.behaviour.receipts,
        )

    async def _opened(self) -> None:
        self._nursery.start_soon(self.timers.run)
        if self._listen:
            listeners = await trio.open_tcp_listeners(self.port, host=self.host, backlog=LISTEN_BACKLOG)
            self.port = listeners[0].socket.getsockname()[1]
            self._nursery.start_soon(partial(trio.serve_listeners, self._accept, listeners))
        if self.behaviour.mo_rate:
            self._nursery.start_soon(self._originate)
        if self.behaviour.enquire_link_s:
            self._nursery.start_soon(self._enquire)

    # what links ask of the carrier

    def now(self) -> float:
        return trio.current_time()

    def check_login(self, system_id: str, password: str) -> int:
        """0, or the status that refuses this bind."""
        if self._login[0] and system_id != self._login[0]:
            return RINVSYSID
        return 0 if not self._login[0] or password == self._login[1] else RINVPASWD

    def bound(self, link: CarrierLink) -> None:
        """A link is bound: what was held for want of a bind can go."""
        self.counts["binds"] += 1
        while self._held_fast and link.receives:
            link.outbox.put(self._held_fast.popleft())
        self.answers.release()
        self._changed.set()
        self._changed = trio.Event()

    def forget(self, link: CarrierLink) -> None:
        """A link is gone."""
        if link in self.links:
            self.links.remove(link)
            self.answers.link_lost(link)
            self._changed.set()
            self._changed = trio.Event()

    def receivers(self) -> list[CarrierLink]:
        """Links that deliver_sm may be sent on, oldest first."""
        return [link for link in self.links if link.receives]

    def put_receipts(self, link: CarrierLink, receipts: bytes) -> None:
        """Send a batch of the fast path's receipts, now or later, on `link` or any other receiver."""
        if self._fast_delay_s:
            self.timers.at(self.now() + self._fast_delay_s, partial(self._put_receipts_now, link, receipts))
        else:
            self._put_receipts_now(link, receipts)

    def _put_receipts_now(self, link: CarrierLink, receipts: bytes) -> None:
        if not link.receives:
            others = self.receivers()
            if not others:
                self._held_fast.append(receipts)
                return
            link = others[self.counts["receipts_elsewhere"] % len(others)]
            self.counts["receipts_elsewhere"] += 1
        link.outbox.put(receipts)

    # what tests and programs do with it

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serve one connection until it closes: a TCP stream, or a memory stream in a simulation."""
        link = self._link(stream)
        await link.run()

    async def connect(self) -> trio.abc.Stream:
        """A stream to this carrier that never leaves the process: the peer's end."""
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self.serve_stream, ours)
        return theirs

    async def outbind(
        self, stream: trio.abc.Stream, *, system_id: str = "", password: str = ""
    ) -> CarrierLink:
        """Invite the peer to bind on a stream that we opened (SMPP 3.4 section 4.1.7); then serve it."""
        link = self._link(stream)
        name, word = system_id or self._login[0], password or self._login[1]
        link.put(pdu(OUTBIND, link.next_sequence_number(), f"{name}\0{word}\0".encode()))
        self._nursery.start_soon(link.run)
        return link

    async def bind_in(
        self,
        stream: trio.abc.Stream,
        *,
        system_id: str = "",
        password: str = "",
        bind: str = "transceiver",
        dialect: str = "deliver_sm",
    ) -> tuple[CarrierLink, int]:
        """Connect in as if we were the ESME, then behave as the carrier that we are; the link and the status.

        `dialect` is the command that carries our receipts and MO: deliver_sm, or submit_sm.
        Raises wire.LostFraming, trio.BrokenResourceError: the peer closed instead of answering.
        """
        link = self._link(stream)
        link.deliver_command = DELIVER_SM if dialect == "deliver_sm" else SUBMIT_SM
        status = -1
        try:
            status = await link.bind_in(BINDS[bind], system_id or self._login[0], password or self._login[1])
        finally:
            if status:
                self.links.remove(link)
                link.closed = True
                await trio.aclose_forcefully(stream)
        if status == 0:
            self._nursery.start_soon(link.run)
            self.bound(link)
        return link, status

    async def wait_bound(self, count: int = 1) -> list[CarrierLink]:
        """Until `count` links are bound; the bound links."""
        while True:
            bound = [link for link in self.links if link.bound]
            if len(bound) >= count:
                return bound
            await self.wait_change()

    async def wait_change(self) -> None:
        """Until a link binds or is gone."""
        await self._changed.wait()

    def send_mo(
        self,
        text: str,
        *,
        source: str = "8613900000000",
        destination: str = "10690000",
        parts: int = 1,
        shuffled: bool = False,
    ) -> None:
        """Send one inbound message, in `parts` parts, on any receiving bind."""
        order = self.counts["mo_messages"]
        self.counts["mo_messages"] += 1
        for body in mo_bodies(
            text, source, destination, parts=parts, reference=order & 0xFF, shuffled=shuffled
        ):
            self.answers.deliver(Delivery(DELIVER_SM, body, "", ""))

    def send_deliver(self, body: bytes, *, link: CarrierLink | None = None) -> None:
        """Send a deliver_sm of the test's own making."""
        self.answers.deliver(Delivery(DELIVER_SM, body, "", ""), link)

    def statistics(self) -> dict[str, int]:
        """Counts by name, with the maxima of the log."""
        figures = dict(self.counts)
        figures["links"] = len(self.links)
        figures["held"] = len(self.answers.held) + len(self._held_fast)
        if self.fast is not None:
            figures |= msgspec.structs.asdict(self.fast.statistics())
        else:
            figures["window_max"] = max(self.log.window_max.values(), default=0)
            figures["rate_max"] = self.log.rate_max
            figures["duplicates"] = len(self.log.duplicates())
        return figures

    # its own tasks

    def _link(self, stream: trio.abc.Stream) -> CarrierLink:
        self._links_made += 1
        link = CarrierLink(self, stream, self._links_made)
        self.links.append(link)
        return link

    async def _accept(self, stream: trio.SocketStream) -> None:
        if self._ssl_context is None:
            await self.serve_stream(stream)
        else:
            await self.serve_stream(trio.SSLStream(stream, self._ssl_context, server_side=True))

    async def _originate(self) -> None:
        number = 0
        pause_s = 1 / self.behaviour.mo_rate  # a behaviour that takes its place may say 0
        while True:
            await trio.sleep(pause_s)
            behaviour = self.behaviour
            self.send_mo(
                behaviour.mo_text,
                source=mo_source(behaviour.mo_source, number),
                destination=behaviour.mo_destination,
                parts=behaviour.mo_parts,
                shuffled=behaviour.mo_shuffled,
            )
            number += 1

    async def _enquire(self) -> None:
        pause_s = self.behaviour.enquire_link_s  # a behaviour that takes its place may say 0
        while True:
            await trio.sleep(pause_s)
            for link in self.links:
                if link.bound:
                    link.put(header_only(ENQUIRE_LINK, link.next_sequence_number()))
