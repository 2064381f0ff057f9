"""Carriers as nasty as real ones, with a memory of everything that reached them."""

from random import Random
from typing import TYPE_CHECKING

import trio

from gateway.smpp.constants import CommandId, Status
from gateway.smpp.pdu import (
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    DeliverSm,
    GenericNack,
    Pdu,
    SubmitSm,
    SubmitSmResp,
)
from gateway.smpp.receipts import format_receipt
from gateway.smpp.session import Session
from gateway.smpp.session_values import Received, SessionLimits
from gateway.smpp.states import BOUND, BindState, Role
from gateway.smpp.udh import build_concat_udh
from tests.simulation.messages import CANARY, cut, number_of
from tests.simulation.net import SimListener, SimStream
from tests.simulation.organisation import CARRIER_PASSWORD
from tests.simulation.peers import Peer
from tests.simulation.plan import CarrierSpec
from tests.simulation.truth import CarrierReceipt, Copy, Inbound

if TYPE_CHECKING:
    from tests.simulation.world import World

Bind = BindReceiver | BindTransmitter | BindTransceiver
TAG_NUMBER = 0x1501  # a vendor TLV that says which receipt this is
AGAIN_S = 1.0
IDS_ALIKE = 0.3  # of worlds: all carriers count their ids from one number
TRIES_MAX = 40
DATE = b"2611261000"
INTERMEDIATE = 1  # ENROUTE
FINAL_STATES = (3, 4, 5, 8)  # what may become of a message that is not delivered
DELIVERED = 2


class CarrierLink(Peer):
    """One connection of a carrier with the gateway."""

    def __init__(self, carrier: "SimCarrier", stream: SimStream, number: int) -> None:
        limits = SessionLimits(
            window_out_max=10,
            window_in_max=0,
            session_init_s=30.0,
            enquire_link_s=20.0,
            response_s=15.0,
            partial_pdu_s=30.0,
        )
        session = Session(role=Role.MC, limits=limits, now=trio.current_time())
        super().__init__(carrier.world, carrier.spec.name, stream, session)
        self.carrier = carrier
        self.number = number
        self.submits = 0
        self.outstanding: dict[int, float] = {}  # sequence number -> when the gateway sent it

    @property
    def bound(self) -> bool:
        return not self.over and self.session.state in BOUND

    @property
    def delivers(self) -> bool:
        return not self.over and self.session.state in (BindState.BOUND_RX, BindState.BOUND_TRX)

    def received(self, received: Received) -> None:
        for request in received.requests:
            if isinstance(request, Bind):
                self._bind(request)
            elif isinstance(request, SubmitSm):
                self.carrier.submitted(self, request)
            else:
                self.session.respond_error(request, Status.ESME_RINVCMDID)
        for token, response in (*received.answers, *received.late):
            self.carrier.acknowledged(token, response)

    def _bind(self, request: Bind) -> None:
        carrier = self.carrier
        right = request.system_id == f"gw-{carrier.spec.name}".encode()
        right = right and request.password == CARRIER_PASSWORD.encode()
        status = carrier.refuses_binds or (0 if right else Status.ESME_RBINDFAIL)
        if status:
            self.session.refuse_bind(request, status)
            return
        received = self.session.accept_bind(request, b"smsc", trio.current_time())
        self.world.note(self.actor, "bound", self.number, type(request).__name__)
        self.received(received)
        carrier.release()

    def answer(self, request: SubmitSm, copy: Copy, status: int, how: str) -> None:
        if self.over:
            return
        session = self.session
        self.outstanding.pop(request.sequence_number, None)
        if how == "nack":
            session.respond(request, GenericNack(0, status or Status.ESME_RSYSERR))
        elif status:
            session.respond_error(request, status)
        else:
            session.respond(request, SubmitSmResp(message_id=copy.smsc_id.encode()))
        copy.answered_at = trio.current_time()
        copy.answer_sent = True
        self.flush()

    def ended(self, tokens: list[object]) -> None:
        self.carrier.link_ended(self, tokens)

    def expired(self, tokens: list[object]) -> None:
        for token in tokens:
            self.carrier.again(token)


class SimCarrier:
    """One carrier: its listener, its links, its id counter, its receipts."""

    def __init__(self, world: "World", spec: CarrierSpec) -> None:
        self.world = world
        self.spec = spec
        self.lane = world.network.lanes[spec.name]
        self.links: list[CarrierLink] = []
        self.waiting: list[tuple[CarrierReceipt | Inbound, Pdu]] = []  # deliver_sm without a link
        self.unsettled = 0  # deliver_sm that are not acknowledged yet
        self.refuses_binds = 0
        alike = world.stream("ids").random() < IDS_ALIKE
        counter = world.stream("ids" if alike else f"{spec.name}/ids")
        self._id = self._first_id = 10_000 + counter.randrange(1_000_000)
        self._ids_given: set[int] = set()
        self.epoch = 0  # a restart that loses the queue begins a new one
        self._links_made = 0
        self._listener: SimListener | None = None
        self._open = trio.Event()
        self._open.set()

    # -- life -------------------------------------------------------------------------------------

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            if self.spec.mode == "outbind":
                nursery.start_soon(self._call_out)
            while True:
                await self._open.wait()
                self._listener = self.world.network.listen(f"{self.spec.name}:2775")
                try:
                    while True:
                        nursery.start_soon(self._serve, await self._listener.accept())
                except trio.ClosedResourceError:
                    self._listener = None

    async def _serve(self, stream: SimStream) -> None:
        link = self._link(stream)
        await link.run()

    def _link(self, stream: SimStream) -> CarrierLink:
        self._links_made += 1
        link = CarrierLink(self, stream, self._links_made)
        self.links.append(link)
        return link

    async def _call_out(self) -> None:
        """Ask the gateway to bind on a connection of ours, again whenever it is gone."""
        while True:
            await self._open.wait()
            stream = await self.world.network.try_to_connect(self.lane, "10.0.0.1:2775")
            if stream is not None:
                link = self._link(stream)
                link.session.outbind(
                    f"gw-{self.spec.name}".encode(), CARRIER_PASSWORD.encode(), trio.current_time()
                )
                await link.run()
            await trio.sleep(1.0)

    def restart(self, down_s: float) -> None:
        """Everything in memory is gone: links, and with some carriers what they had promised."""
        self.world.note(self.spec.name, "restarts", round(down_s, 2))
        self.lane.disturb(down_s)
        self._open = trio.Event()
        if self._listener is not None:
            self._listener.close_quietly()
        for link in list(self.links):
            link.end("the carrier restarts")
        if self.spec.loses_queue:
            self.epoch += 1
        if self.spec.reuses_ids:
            self._id = self._first_id
        self.world.agenda.after(down_s, self._open.set)

    def link_ended(self, link: CarrierLink, tokens: list[object]) -> None:
        if link in self.links:
            self.links.remove(link)
        self.world.note(self.spec.name, "unbound", link.number, link.because)
        for token in tokens:
            self.again(token)

    # -- submits ----------------------------------------------------------------------------------

    def submitted(self, link: CarrierLink, request: SubmitSm) -> None:
        now, spec, truth = trio.current_time(), self.spec, self.world.truth
        octets, seq, total = cut(request.esm_class, request.short_message)
        key = (number_of(octets), int(request.destination_addr), seq)
        before = truth.copies.setdefault(key, [])
        link.submits += 1
        copy = Copy(
            key, spec.name, link.number, link.submits, now, link.stream.sent_at, octets, total,
            request.data_coding, request.source_addr,
        )  # fmt: skip
        rng = self.world.stream(f"{spec.name}/{key}/{len(before)}")
        before.append(copy)
        self.world.note(spec.name, "submit", key, f"link {link.number}")
        self.world.watch.submitted(self, link, copy)
        link.outstanding[request.sequence_number] = link.stream.sent_at
        how = self._mood(rng.random())
        delay_s = spec.answer_s * rng.expovariate(1.0)
        status = {
            "throttle": Status.ESME_RTHROTTLED,
            "queue_full": Status.ESME_RMSGQFUL,
            "system_error": Status.ESME_RSYSERR,
            "refuse": Status.ESME_RINVDSTADR,
            "nack": Status.ESME_RTHROTTLED,
        }.get(how, 0)
        if how == "late":
            delay_s += spec.response_timeout_s + 0.5 + 4 * rng.random()
            late = rng.random()
            status = Status.ESME_RTHROTTLED if late < 0.2 else Status.ESME_RINVDSTADR if late < 0.4 else 0
        copy.taken = status == 0 and not (how == "silent" and rng.random() < 0.5)
        copy.status = int(status)
        if copy.taken:
            self._mint(copy)
            delay_s = self._promise(copy, rng, delay_s)
        if how == "wrong_sequence":
            wrong = (request.sequence_number + 500_000).to_bytes(4, "big")
            body = copy.smsc_id.encode() + b"\0"
            head = (16 + len(body)).to_bytes(4, "big") + int(CommandId.SUBMIT_SM_RESP).to_bytes(4, "big")
            link.session.out += head + b"\0\0\0\0" + wrong + body
        elif how != "silent":
            self.world.agenda.after(delay_s, lambda: link.answer(request, copy, int(status), how))
        if spec.hang_up and rng.random() < spec.hang_up:
            self.world.agenda.after(delay_s + 0.001, lambda: self.unbind(link))

    def _mood(self, draw: float) -> str:
        spec = self.spec
        for how in (
            "throttle", "queue_full", "system_error", "refuse", "nack", "silent", "late", "wrong_sequence",
        ):  # fmt: skip
            draw -= getattr(spec, how)
            if draw < 0:
                return how
        return "accept"

    def _mint(self, copy: Copy) -> None:
        self._id += 1
        number = self._id
        copy.smsc_id = {"dec": f"{number}", "padded": f"{number}"}.get(self.spec.id_form, f"{number:x}")

    def unbind(self, link: CarrierLink) -> None:
        if not link.over:
            link.session.unbind(trio.current_time())
            link.flush()

    # -- receipts and MO --------------------------------------------------------------------------

    def _promise(self, copy: Copy, rng: Random, delay_s: float) -> float:
        """Put the receipts of a message that was taken into the agenda; when to answer the submit."""
        spec = self.spec
        receipt_s = delay_s + spec.receipt_s * rng.expovariate(1.0) + 0.001
        if rng.random() < spec.early:
            receipt_s, delay_s = delay_s, delay_s + 0.2 + rng.random()
        reused = self._id in self._ids_given
        self._ids_given.add(self._id)
        if rng.random() < spec.intermediate:
            self._later(receipt_s * 0.8, copy, INTERMEDIATE, reused)
        if rng.random() < spec.no_receipt:
            return delay_s
        state = rng.choice(FINAL_STATES) if rng.random() < spec.undelivered else DELIVERED
        self._later(receipt_s, copy, state, reused)
        if rng.random() < spec.duplicate:
            self._later(receipt_s + 2 * rng.random(), copy, state, reused)
        if rng.random() < spec.contradict:
            self._later(receipt_s + 0.01 + rng.random(), copy, 5 if state == DELIVERED else DELIVERED, reused)
        return delay_s

    def _later(self, seconds: float, copy: Copy, state: int, reused: bool) -> None:
        world = self.world
        receipt = CarrierReceipt(
            len(world.truth.receipts) + 1, self.spec.name, copy.key, copy.smsc_id, state, reused, self.epoch
        )
        world.truth.receipts[receipt.number] = receipt
        self.unsettled += 1
        pdu = self._receipt_pdu(copy, receipt)
        world.agenda.after(seconds, lambda: self.deliver(receipt, pdu))

    def _receipt_pdu(self, copy: Copy, receipt: CarrierReceipt) -> DeliverSm:
        number = int(copy.smsc_id, 16 if self.spec.id_form in ("hex", "upper", "hex-dec") else 10)
        shown = {
            "upper": f"{number:X}", "padded": f"{number:020d}", "hex-dec": f"{number:010d}",
        }.get(self.spec.id_form, copy.smsc_id)  # fmt: skip
        text, tlvs = format_receipt(
            message_id=shown.encode(),
            state=receipt.state,
            submit_date=DATE,
            done_date=DATE,
            text=f"<w{copy.key[0]}>".encode(),
            with_tlvs=self.spec.receipt_form != "text",
        )
        if self.spec.receipt_form == "tlv":
            text = b""
        tlvs = (*tlvs, (TAG_NUMBER, receipt.number.to_bytes(4, "big")))
        return DeliverSm(
            source_addr=str(copy.key[1]).encode(),
            destination_addr=copy.source,
            source_addr_ton=1,
            source_addr_npi=1,
            esm_class=0x20 if receipt.state == INTERMEDIATE else 0x04,
            short_message=text,
            tlvs=tlvs,
        )

    def originate(self, n: int, account: str, account_id: int, parts: int) -> None:
        """An MO to a number of an account, in so many segments."""
        for part in range(1, parts + 1):
            inbound = Inbound(n, part, self.spec.name, account, self.epoch)
            self.world.truth.inbound[n, part] = inbound
            head = build_concat_udh(n & 0xFF, parts, part) if parts > 1 else b""
            pdu = DeliverSm(
                source_addr=b"4477%06d" % n,
                destination_addr=b"900%d55" % account_id,
                esm_class=0x40 if parts > 1 else 0,
                short_message=head + f"<w{n}>{CANARY} {part}".encode(),
            )
            self.unsettled += 1
            self.deliver(inbound, pdu)

    def deliver(self, token: CarrierReceipt | Inbound, pdu: Pdu, tries: int = 0) -> None:
        """Send on a link that can take it; wait for one otherwise."""
        if token.epoch < self.epoch:
            self.unsettled -= 1  # forgotten by a restart
            return
        links = [link for link in self.links if link.delivers and link.session.window_free > 0]
        if not links:
            self.waiting.append((token, pdu))
            if len(self.waiting) == 1:
                self.world.agenda.after(AGAIN_S, self.release)
            return
        link = links[0]
        if len(links) > 1 and self.spec.other_bind:
            rng = self.world.stream(f"{self.spec.name}/bind/{token!r}")
            link = links[rng.randrange(len(links))]
        if isinstance(token, CarrierReceipt):
            token.sent += 1
            self.world.note(self.spec.name, "receipt", token.number, token.key, token.state)
        link.session.send_request(pdu, (token, pdu, tries), trio.current_time())
        link.flush()

    def release(self) -> None:
        waiting, self.waiting = self.waiting, []
        for token, pdu in waiting:
            self.deliver(token, pdu)

    def acknowledged(self, sent: object, response: Pdu) -> None:
        token, _, _ = sent  # type: ignore[misc]
        if response.command_status:
            self.again(sent)
            return
        if token.acked_at < 0:
            token.acked_at = trio.current_time()
            self.unsettled -= 1
            self.world.watch.acknowledged(token)

    def again(self, sent: object) -> None:
        """Not acknowledged: to be sent once more."""
        token, pdu, tries = sent  # type: ignore[misc]
        if token.acked_at >= 0:
            return
        if tries >= TRIES_MAX:
            self.unsettled -= 1
            return
        self.world.agenda.after(AGAIN_S, lambda: self.deliver(token, pdu, tries + 1))
