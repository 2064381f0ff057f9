"""Customers: SMPP clients that submit what the plan says, hear their receipts, and are no angels."""

import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from gateway.smpp.constants import CommandId, Status, Tag
from gateway.smpp.pdu import (
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    CancelSm,
    DataSm,
    DeliverSm,
    DeliverSmResp,
    Pdu,
    QuerySm,
    ReplaceSm,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
)
from gateway.smpp.receipts import is_receipt, parse_receipt
from gateway.smpp.session import Session
from gateway.smpp.session_values import Received, SessionLimits
from gateway.smpp.states import BindState, Role
from gateway.smpp.times import format_absolute, format_relative
from gateway.smpp.udh import build_concat_udh
from tests.simulation.messages import GSM, UCS2, encoded, number_of, text_of
from tests.simulation.net import SimStream
from tests.simulation.organisation import PASSWORD
from tests.simulation.peers import Peer
from tests.simulation.plan import AccountSpec
from tests.simulation.truth import Heard, Submission

if TYPE_CHECKING:
    from tests.simulation.world import World

GATEWAY = "10.0.0.1:2775"
RESPONSE_S = 120.0  # 60 requests at once to a window of 1 over a slow line take their time
AGAIN = 1_000_000  # added to the number of a submission that is sent once more
BINDS = {"transceiver": BindTransceiver, "transmitter": BindTransmitter, "receiver": BindReceiver}
OUR_BIND = "bind"


class Order(msgspec.Struct):
    """Something to be sent when a bind can take it."""

    pdu: Pdu
    what: str  # submit | cancel | query | replace
    n: int


class CustomerLink(Peer):
    """One connection of a customer with the gateway."""

    def __init__(self, customer: "Customer", index: int, stream: SimStream) -> None:
        spec = customer.spec
        limits = SessionLimits(
            window_out_max=spec.client_window,
            window_in_max=0,
            session_init_s=15.0,
            enquire_link_s=10.0,
            response_s=RESPONSE_S,
            partial_pdu_s=30.0,
        )
        session = Session(role=Role.ESME, limits=limits, now=trio.current_time())
        super().__init__(customer.world, spec.name, stream, session)
        self.customer = customer
        self.index = index
        self.bound = False

    def begin(self, kind: str) -> None:
        spec = self.customer.spec
        pdu = BINDS[kind](
            system_id=spec.name.encode(), password=PASSWORD.encode(), interface_version=spec.version
        )
        self.session.bind(pdu, OUR_BIND, trio.current_time())
        self.flush()

    def received(self, received: Received) -> None:
        for token, response in received.answers:
            if token == OUR_BIND:
                self.bound = response.command_status == 0
                self.world.note(self.actor, "bound", self.index, hex(response.command_status))
            else:
                self.customer.answered(self, token, response)  # type: ignore[arg-type]
        for request in received.requests:
            if isinstance(request, DeliverSm):
                self.customer.heard(self, request)
            else:
                self.session.respond_error(request, Status.ESME_RINVCMDID)
        self.customer.send(self)

    @property
    def submits(self) -> bool:
        return (
            self.bound and not self.over and self.session.state in (BindState.BOUND_TX, BindState.BOUND_TRX)
        )

    def expired(self, tokens: list[object]) -> None:
        for token in tokens:
            if isinstance(token, Order):
                self.world.watch.unanswered(self, token.n, RESPONSE_S)
                self.customer.lost(token)

    def ended(self, tokens: list[object]) -> None:
        dropped = self.session.statistics().responses_dropped
        self.world.note(self.actor, "unbound", self.index, self.because)
        if dropped:
            self.world.fail("I14", f"{self.actor}: {dropped} responses answer nothing that was asked")
        for token in tokens:
            if isinstance(token, Order):
                self.customer.lost(token)
        if self in self.customer.links:
            self.customer.links.remove(self)


class Customer:
    """One account's client: its binds, its orders, what it heard."""

    def __init__(self, world: "World", spec: AccountSpec) -> None:
        self.world = world
        self.spec = spec
        self.lane = world.network.lanes[spec.name]
        self.links: list[CustomerLink] = []
        self.orders: dict[int, deque[Order]] = {at: deque() for at in range(len(spec.binds))}
        self.offline_until = 0.0
        self.unsettled = 0  # orders without an answer

    async def keep_bound(self, index: int) -> None:
        """Bind, and bind again whenever that is over."""
        rng = self.world.stream(f"{self.spec.name}/bind {index}")
        while True:
            if self.offline_until > trio.current_time():
                await trio.sleep_until(self.offline_until)
            stream = await self.world.network.try_to_connect(self.lane, GATEWAY)
            if stream is not None:
                link = CustomerLink(self, index, stream)
                self.links.append(link)
                link.begin(self.spec.binds[index])
                await link.run()
            await trio.sleep(0.3 + rng.random())

    def go_offline(self, seconds: float) -> None:
        self.offline_until = max(self.offline_until, trio.current_time() + seconds)
        self.lane.disturb(0.0)
        for link in list(self.links):
            link.end("goes offline")

    # -- orders -----------------------------------------------------------------------------------

    def order(self, index: int, order: Order) -> None:
        index %= len(self.spec.binds)
        if self.spec.binds[index] == "receiver":
            index = next((at for at, kind in enumerate(self.spec.binds) if kind != "receiver"), index)
        self.unsettled += 1
        self.orders[index].append(order)
        for link in self.links:
            if link.index == index:
                self.send(link)

    def send(self, link: CustomerLink) -> None:
        orders = self.orders[link.index]
        now = trio.current_time()
        while orders and link.submits and link.session.window_free > 0:
            order = orders.popleft()
            if order.what == "submit":
                self.world.truth.submissions[order.n].sent_at = now
            self.world.note(self.spec.name, order.what, order.n)
            link.session.send_request(order.pdu, order, now)
        link.flush()

    def submit(self, n: int, args: dict[str, Any]) -> None:
        """One submit_sm (or the segments of one message, or submit_multi, or data_sm) as the plan has it."""
        pdus = self._pdus(n, args)
        for number, pdu in pdus:
            self.order(args.get("bind", 0), Order(pdu, "submit", number))

    def _pdus(self, n: int, args: dict[str, Any]) -> list[tuple[int, Pdu]]:
        coding = args.get("coding", GSM)
        word = args.get("word", False)
        source = args.get("source", "1000").encode()
        wanted = args.get("wanted", 1)
        dests = args["dests"]
        pieces = args.get("pieces", 1)
        if pieces > 1:
            return [
                (n + at, self._piece(n, at, pieces, source, dests[0], wanted, args)) for at in range(pieces)
            ]
        text = text_of(n, args.get("length", 40), coding, word=word)
        submission = Submission(n, self.spec.name, text, coding, source, dests, wanted, args)
        self.world.truth.submissions[n] = submission
        octets = encoded(text, coding)
        tlvs = ()
        if len(octets) > 254 or args.get("data"):
            tlvs, octets = ((int(Tag.MESSAGE_PAYLOAD), octets),), b""
        if args.get("data"):
            return [
                (n, DataSm(
                    source_addr=source, destination_addr=str(dests[0]).encode(), dest_addr_ton=1,
                    registered_delivery=wanted, data_coding=coding, tlvs=tlvs,
                ))
            ]  # fmt: skip
        if len(dests) > 1:
            submission.many = True
            return [
                (n, SubmitMulti(
                    source_addr=source, destinations=tuple(SmeAddress(1, 1, str(d).encode()) for d in dests),
                    registered_delivery=wanted, data_coding=coding, short_message=octets, tlvs=tlvs,
                    priority_flag=args.get("priority", 0),
                ))
            ]  # fmt: skip
        return [(n, self._submit(source, dests[0], octets, tlvs, coding, wanted, args))]

    def _submit(
        self,
        source: bytes,
        dest: int,
        octets: bytes,
        tlvs: Any,
        coding: int,
        wanted: int,
        args: dict[str, Any],
    ) -> SubmitSm:
        validity_s, schedule_s = args.get("validity_s", 0), args.get("schedule_s", 0)
        now_ms = self.world.clock.wall_ms()
        return SubmitSm(
            source_addr=source,
            source_addr_ton=1,
            source_addr_npi=1,
            destination_addr=str(dest).encode(),
            dest_addr_ton=1,
            dest_addr_npi=1,
            esm_class=args.get("esm_class", 0),
            priority_flag=args.get("priority", 0),
            schedule_delivery_time=format_absolute(now_ms + schedule_s * 1000) if schedule_s else b"",
            validity_period=format_relative(validity_s) if validity_s else b"",
            registered_delivery=wanted,
            data_coding=coding,
            short_message=octets,
            tlvs=tlvs,
        )

    def _piece(
        self, n: int, at: int, pieces: int, source: bytes, dest: int, wanted: int, args: dict[str, Any]
    ) -> SubmitSm:
        """A segment that the customer has cut itself: a submission of its own."""
        text = text_of(n + at, 60, UCS2 if args.get("coding") else GSM)
        coding = args.get("coding", GSM)
        self.world.truth.submissions[n + at] = Submission(
            n + at, self.spec.name, text, coding, source, [dest], wanted, args, at + 1
        )
        octets = build_concat_udh(n & 0xFF, pieces, at + 1) + encoded(text, coding)
        return self._submit(source, dest, octets, (), coding, wanted, args | {"esm_class": 0x40})

    def operate(self, what: str, n: int, args: dict[str, Any]) -> None:
        """query_sm, cancel_sm or replace_sm of something that was submitted before, if it has an id."""
        submission = self.world.truth.submissions.get(n)
        if submission is None or not submission.message_id:
            return
        message_id, source = submission.message_id.encode(), submission.source
        pdu: Pdu
        if what == "query":
            pdu = QuerySm(message_id=message_id, source_addr=source)
        elif what == "cancel":
            pdu = CancelSm(message_id=message_id, source_addr=source)
        else:
            number = args["new"]
            text = text_of(number, 40, submission.data_coding)
            self.world.truth.submissions[number] = Submission(
                number, self.spec.name, text, submission.data_coding, source, submission.dests,
                submission.wanted, {"replaces": n},
            )  # fmt: skip
            pdu = ReplaceSm(
                message_id=message_id,
                source_addr=source,
                registered_delivery=submission.wanted,
                short_message=encoded(text, submission.data_coding),
            )
        self.order(args.get("bind", 0), Order(pdu, what, number if what == "replace" else n))

    def answered(self, link: CustomerLink, order: Order, response: Pdu) -> None:
        truth, now = self.world.truth, trio.current_time()
        self.unsettled -= 1
        status = response.command_status
        submission = truth.submissions[order.n]
        self.world.note(self.spec.name, f"{order.what}_resp", order.n, hex(status))
        if order.what == "submit":
            submission.answered_at, submission.status = now, status
            if status == 0:
                submission.message_id = getattr(response, "message_id", b"").decode()
                self.world.watch.accepted(submission, link.stream.sent_at)
        elif order.what == "cancel" and status == 0:
            submission.cancelled_at = now
        elif order.what == "replace" and status == 0:
            submission.status = 0
            replaced = truth.submissions[submission.args["replaces"]]
            replaced.replaced_by = order.n

    def lost(self, order: Order) -> None:
        """The connection ended before the answer: some customers send it again."""
        self.unsettled -= 1
        if order.what != "submit":
            return
        submission = self.world.truth.submissions[order.n]
        submission.lost = True
        if self.spec.resubmits and order.n < AGAIN and "pieces" not in submission.args:
            n = order.n + AGAIN
            self.world.agenda.after(0.5, lambda: self.submit(n, submission.args))

    # -- deliveries -------------------------------------------------------------------------------

    def heard(self, link: CustomerLink, request: DeliverSm) -> None:
        spec, now = self.spec, trio.current_time()
        if is_receipt(request) in ("receipt", "intermediate"):
            fields = parse_receipt(request)
            entry = Heard(now, spec.name, fields.message_id, fields.state, 0, -1, request.source_addr)
            name = f"{fields.message_id}/{fields.state}"
        else:
            n = number_of(request.short_message)
            entry = Heard(now, spec.name, "", 0, n, -1, request.destination_addr)
            name = f"mo {n}/{request.short_message[-1:]!r}"
        entry.link, entry.sent_at = link.index, link.stream.sent_at
        self.world.truth.heard.append(entry)
        before = sum(1 for h in self.world.truth.heard if (h.message_id, h.n) == (entry.message_id, entry.n))
        self.world.note(spec.name, "heard", name)
        self.world.watch.heard(self, entry)
        rng = self.world.stream(f"{spec.name}/heard/{name}/{before}")
        draw = rng.random()
        status = 0
        if self.world.healed:
            draw = 1.0
        if draw < spec.silent:
            return
        if draw < spec.silent + spec.busy:
            status = (0x14, 0x64, 0x58, 0x08)[rng.randrange(4)]
        elif draw < spec.silent + spec.busy + spec.refuse:
            status = Status.ESME_RX_P_APPN
        elif draw > 1 - spec.hang_up and not self.world.healed:
            link.end("hangs up on a delivery")
            return
        delay_s = spec.answer_s * rng.expovariate(1.0)
        self.world.agenda.after(delay_s, lambda: self._answer(link, request, entry, int(status)))

    def _answer(self, link: CustomerLink, request: DeliverSm, entry: Heard, status: int) -> None:
        if link.over:
            return
        entry.answered = status
        if status:
            link.session.respond_error(request, status)
        else:
            link.session.respond(request, DeliverSmResp())
        link.flush()


class Intruder:
    """Somebody with no business here: wrong passwords, half PDUs, garbage, silence."""

    KINDS = ("password", "half", "garbage", "silence", "foreign_submit")

    def __init__(self, world: "World") -> None:
        self.world = world
        self.lane = world.network.lanes["intruder"]

    async def visit(self, kind: str, count: int) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(self._once, kind)

    async def _once(self, kind: str) -> None:
        stream = await self.world.network.try_to_connect(self.lane, GATEWAY)
        if stream is not None:
            with trio.move_on_after(30.0):
                with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._talk(stream, kind)
            await trio.aclose_forcefully(stream)

    async def _talk(self, stream: SimStream, kind: str) -> None:
        if kind in ("password", "half"):
            session = Session(role=Role.ESME, limits=SessionLimits(), now=trio.current_time())
            name = self.world.plan.accounts[0].name if kind == "password" else "nobody"
            session.bind(
                BindTransceiver(system_id=name.encode(), password=b"wrong"), OUR_BIND, trio.current_time()
            )
            octets = session.take_output()
            await stream.send_all(octets if kind == "password" else octets[: len(octets) // 2])
        elif kind == "garbage":
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n")
        elif kind == "foreign_submit":
            head = (16).to_bytes(4, "big") + int(CommandId.SUBMIT_SM).to_bytes(4, "big")
            await stream.send_all((head + b"\0\0\0\0\0\0\0\x01") * 3)
        while await stream.receive_some(4096):
            pass
