"""One SMPP session without input or output: octets and the time go in, PDUs and octets come out.

`Session` serves both roles. The owner reads a stream, hands what it read to `receive`, answers the requests
in `Received`, writes `take_output()`, and calls `tick` whenever `next_tick_at()` has come. The session itself
answers what needs no decision: enquire_link, unknown, malformed and illegal requests, requests over the
window, unbind. It never raises for anything that a peer sends; it raises `SessionMisuse` when its owner
breaks the protocol.

Promises, each held by a test:

* Every token given to `send_requests`, `send_request` or `bind` comes back exactly once: in
  `Received.answers`, in `Tick.expired`, or from `close()`. Every way out of a session leads through
  `close()`.
* Every request of the peer is answered, by the owner or here, while the session stays open.
* How the octets are cut into `receive` calls changes nothing of what is seen.
* The answer to an enquire_link goes in front of everything that waits to be written.

An owner's loop, in short::

    received = session.receive(data, now)
    ...                                      # answer received.requests, settle received.answers
    write(session.take_output())
    if received.closing: ...                 # once session.requests_in_hand is 0: close the stream
    ...
    lost = session.close()                   # on every path

Source: SMPP 3.4 issue 1.2 sections 2 (sessions), 3.1 (header), 5.1.4 (sequence numbers), 7.2 (timers).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from math import inf
from struct import Struct
from typing import Final

from gateway.smpp.constants import (
    HEADER_OCTETS,
    RESPONSE_BIT,
    VERSION_33,
    VERSION_34,
    CommandId,
    Status,
    Tag,
    command_name,
    status_for_peer,
)
from gateway.smpp.encode import body_of
from gateway.smpp.fields import COMMAND_OF, LAYOUT_OF, RESPONSE_OF
from gateway.smpp.inbox import Inbox
from gateway.smpp.pdu import (
    AlertNotification,
    BadPdu,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    CancelSmResp,
    DataSmResp,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    FramingLost,
    GenericNack,
    Outbind,
    Pdu,
    QuerySmResp,
    ReplaceSmResp,
    SubmitMultiResp,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)
from gateway.smpp.session_values import Received, SessionLimits, SessionStatistics, Tick
from gateway.smpp.states import BOUND, TRANSITIONS, BindState, Role, peer_version_of, permitted, refusal
from gateway.smpp.timers import Due, Timers
from gateway.smpp.window import KIND, TOKEN, Window

INTERFACE_VERSION: Final = VERSION_34
"""What we say we speak. 5.0's additions are understood and not offered."""

Bind = BindReceiver | BindTransmitter | BindTransceiver

_pack_header = Struct(">IIII").pack
_SUBMIT_SM_RESP = int(CommandId.SUBMIT_SM_RESP)

_BINDS: Final = (BindReceiver, BindTransmitter, BindTransceiver)
_TRANSACTION_RESPONSES: Final = frozenset(
    {
        SubmitSmResp,
        DeliverSmResp,
        DataSmResp,
        QuerySmResp,
        CancelSmResp,
        ReplaceSmResp,
        SubmitMultiResp,
    }
)
_TRANSACTIONS: Final = {
    COMMAND_OF[kind]: (kind, response)
    for kind, response in RESPONSE_OF.items()
    if response in _TRANSACTION_RESPONSES
}
"""command_id of what takes a slot of a window -> (class of the request, class of its response)."""

_UNBOUND_BY_PEER = "the peer unbound"
_UNBOUND_BY_US = "we unbound"


class SessionMisuse(Exception):
    """The owner of a session asked for what its state does not allow: a bug of ours, not the peer's fault."""


class Session:
    """One session over one stream, from connection to `close`.

    Args:
      role: `Role.ESME` binds (or waits for an outbind), `Role.MC` is bound to (or sends outbind).
      limits: bounds and timers.
      now: monotonic seconds, as everywhere; must not run back.
      jitter: 0..1, spreads the first enquire_link of sessions that begin together.
    """

    def __init__(self, *, role: Role, limits: SessionLimits, now: float, jitter: float = 0.0) -> None:
        self.role = role
        self.limits = limits
        self.peer_version: int = VERSION_34
        self.out = bytearray()
        self.octets_in = 0
        self.octets_out = 0
        self._state = BindState.OPEN
        self._peer_is_mc = role is Role.ESME
        self._closing: str | None = None
        self._deaf = False  # nothing that the peer sends is looked at any more
        self._inbox = Inbox()
        self._timers = Timers(limits, now=now, jitter=jitter)
        self._window = Window(
            limits.window_out_max,
            limits.response_s,
            late_s=limits.late_s,
            late_slots_max=limits.late_slots_max,
        )
        self._in_hand = 0
        self._handed_over_uncounted = 0
        self._bad_run = 0
        self._enquire_answers = bytearray()
        self._enquire_answers_ahead = 0  # octets at the front of `out` that are answers to enquire_link
        self._bind_in_hand: Bind | None = None  # the peer's, not answered yet
        self._bind_sent: Bind | None = None  # ours, not answered yet
        self._enquire_sent: int | None = None  # sequence numbers of what takes no slot
        self._unbind_sent: int | None = None
        self._unbind_owed: int | None = None
        self._unbind_reason = _UNBOUND_BY_US
        self._pdus_in: Counter[type] = Counter()
        self._pdus_out: Counter[int] = Counter()
        self._nacks_in = 0
        self._requests_refused = 0
        self._requests_throttled = 0
        self._requests_expired = 0
        self._responses_dropped = 0
        self._responses_late = 0
        self._peer_may: frozenset[type] = frozenset()
        self._peer_commands: frozenset[CommandId] = frozenset()
        self._we_may: dict[int, type[Pdu]] = {}
        self._permit()

    # What it is

    @property
    def state(self) -> BindState:
        """The bind state; the bound ones are named from the ESME's side."""
        return self._state

    @property
    def peer_is_mc(self) -> bool:
        """The peer is a message centre: it takes our submissions. True where we bind, or by `accept_bind`."""
        return self._peer_is_mc

    @property
    def closing(self) -> str | None:
        """Why this session ends, or None while it goes on."""
        return self._closing

    @property
    def suspect(self) -> bool:
        """An enquire_link stayed unanswered: better to send by another session until the peer is heard."""
        return self._timers.suspect

    @property
    def tlvs_allowed(self) -> bool:
        """The peer may be sent TLVs: it is not a 3.3 one."""
        return self.peer_version >= VERSION_34

    @property
    def requests_in_hand(self) -> int:
        """Requests given to the owner that it has not answered yet."""
        return self._in_hand

    @property
    def window_max(self) -> int:
        """Requests of ours that may be unanswered; set it to adapt to a peer, the excess drains by itself."""
        return self._window.slots_max

    @window_max.setter
    def window_max(self, slots_max: int) -> None:
        self._window.slots_max = slots_max

    @property
    def window_free(self) -> int:
        """Requests that may be sent now: 0 too where nothing may be sent in this state."""
        return self._window.free if self._we_may else 0

    @property
    def window_used(self) -> int:
        """Requests of ours that are unanswered."""
        return self._window.used

    def statistics(self) -> SessionStatistics:
        """The figures so far, as a value."""
        return SessionStatistics(
            state=self._state,
            peer_version=self.peer_version,
            window_used=self._window.used,
            window_max=self._window.slots_max,
            window_used_max=self._window.used_max,
            requests_in_hand=self._in_hand,
            octets_in=self.octets_in,
            octets_out=self.octets_out,
            pdus_in={_name(kind): count for kind, count in self._pdus_in.items()},
            pdus_out={command_name(command): count for command, count in self._pdus_out.items()},
            bad_pdus=self._pdus_in[BadPdu],
            nacks_in=self._nacks_in,
            nacks_out=self._pdus_out[CommandId.GENERIC_NACK],
            requests_refused=self._requests_refused,
            requests_throttled=self._requests_throttled,
            requests_expired=self._requests_expired,
            responses_dropped=self._responses_dropped,
            responses_late=self._responses_late,
            enquire_link_round_trip_s=self._timers.round_trip_s,
            suspect=self._timers.suspect,
        )

    # Octets in, octets out

    def receive(self, data: bytes, now: float) -> Received:
        """Take what the stream gave, any number of octets, and give what the owner must see.

        Binds and outbind arrive in `requests`: answer a bind with `accept_bind` or `refuse_bind`, an outbind
        by `bind` or by closing. What the peer pipelined behind a bind comes back from `accept_bind`.
        """
        self.octets_in += len(data)
        if not self._deaf:
            self._inbox.feed(data)
        return self._take(now, fresh_octets=len(data))

    def take_output(self) -> bytes:
        """The octets to be written now, whole PDUs only; they are the owner's from here on."""
        octets = bytes(self.out)
        self.out.clear()
        self._enquire_answers_ahead = 0
        self.octets_out += len(octets)
        return octets

    # Our requests

    def send_requests(
        self, command_id: int, bodies: Sequence[bytes], tokens: Sequence[object], now: float
    ) -> None:
        """Queue one request a body, all of one command, in order; `bodies[i]` is answered to `tokens[i]`.

        A body is everything after the 16-octet header. At most `window_free` of them.
        """
        response = self._we_may.get(command_id)
        if response is None:
            raise SessionMisuse(self._may_not(command_id))
        if len(bodies) != len(tokens):
            raise SessionMisuse(f"{len(bodies)} bodies and {len(tokens)} tokens: give one token a body")
        if len(bodies) > self._window.free:
            raise SessionMisuse(
                f"{len(bodies)} requests into {self._window.free} free slots: send at most window_free"
            )
        if not bodies:
            return
        numbers = self._window.fill(response, tokens, now)
        pack = _pack_header
        self.out += b"".join(
            [
                pack(HEADER_OCTETS + len(body), command_id, 0, number) + body
                for body, number in zip(bodies, numbers, strict=True)
            ]
        )
        self._pdus_out[command_id] += len(bodies)
        self._timers.transacted(now)

    def send_request(self, pdu: Pdu, token: object, now: float) -> int:
        """Queue one request, set its sequence number and give it. TLVs are left out for a 3.3 peer."""
        command_id = COMMAND_OF[type(pdu)]
        response = self._we_may.get(command_id)
        if response is None:
            raise SessionMisuse(self._may_not(command_id))
        if not self._window.free:
            raise SessionMisuse("the window is full: wait until window_free is above 0")
        body = self._body(pdu)
        pdu.sequence_number = self._window.fill(response, [token], now)[0]
        self._put(command_id, pdu.command_status, pdu.sequence_number, body)
        self._timers.transacted(now)
        return pdu.sequence_number

    def bind(self, pdu: Bind, token: object, now: float) -> int:
        """As the ESME, queue a bind, also after an outbind; gives its sequence number.

        The response comes in `Received.answers`; with status 0 the session is bound before the next PDU is
        read. session_init_s runs from here.
        """
        if self.role is not Role.ESME:
            raise SessionMisuse("the message centre does not bind: it is bound to")
        if self._state not in (BindState.OPEN, BindState.OUTBOUND) or self._closing is not None:
            raise SessionMisuse(f"cannot bind: the session is {self._condition()}")
        if self._bind_sent is not None:
            raise SessionMisuse("cannot bind twice: the first bind is not answered yet")
        body = body_of(pdu)
        pdu.sequence_number = self._window.fill(RESPONSE_OF[type(pdu)], [token], now)[0]
        self._bind_sent = pdu
        self._put(COMMAND_OF[type(pdu)], 0, pdu.sequence_number, body)
        self._timers.await_bind(now)
        return pdu.sequence_number

    def outbind(self, system_id: bytes, password: bytes, now: float) -> None:
        """As the message centre that connected, ask the ESME to bind on this connection. Has no response."""
        if self.role is not Role.MC:
            raise SessionMisuse("the ESME does not send outbind: it binds")
        if self._state is not BindState.OPEN or self._closing is not None or self._bind_in_hand is not None:
            raise SessionMisuse(f"cannot outbind: the session is {self._condition()}")
        body = body_of(Outbind(0, 0, system_id, password))
        self._put(CommandId.OUTBIND, 0, self._window.take_sequence_number(), body)
        self._go(CommandId.OUTBIND)
        self._timers.await_bind(now)

    def unbind(self, now: float) -> None:
        """Queue an unbind; nothing is sent by `send_requests` afterwards.

        Requests that are in hand, or still arrive, may be answered. The session closes with the peer's
        response, or after unbind_s. Let the window drain before, if its answers matter. Idempotent; in a
        session that is not bound it only ends the session.
        """
        self._unbind(now, _UNBOUND_BY_US)

    # Our responses

    def respond(self, request: Pdu, response: Pdu) -> None:
        """Queue the response to one request handed over by `receive`; sets its sequence number."""
        expected = RESPONSE_OF.get(type(request))
        if expected is None:
            raise SessionMisuse(f"{_name(type(request))} has no response")
        if type(response) is not expected and type(response) is not GenericNack:
            raise SessionMisuse(f"{_name(type(response))} does not answer {_name(type(request))}")
        body = body_of(response, peer_version=self.peer_version)
        if not self._answered(1):
            return
        response.sequence_number = request.sequence_number
        self._put(COMMAND_OF[type(response)], response.command_status, request.sequence_number, body)
        self._settle_unbind()

    def respond_submits(self, sequence_numbers: Sequence[int], message_ids: Sequence[bytes]) -> None:
        """Queue one submit_sm_resp ESME_ROK a pair, in order."""
        if not self._answered(len(sequence_numbers)):
            return
        pack = _pack_header
        self.out += b"".join(
            [
                pack(17 + len(message_id), _SUBMIT_SM_RESP, 0, number) + message_id + b"\0"
                for number, message_id in zip(sequence_numbers, message_ids, strict=True)
            ]
        )
        self._pdus_out[_SUBMIT_SM_RESP] += len(sequence_numbers)
        self._settle_unbind()

    def respond_error(self, request: Pdu, status: int) -> None:
        """Queue the request's own response with a status and no body, as SMPP 3.4 section 4 has errors."""
        response = RESPONSE_OF.get(type(request))
        if response is None:
            raise SessionMisuse(f"{_name(type(request))} has no response")
        if not self._answered(1):
            return
        self._put(COMMAND_OF[response], status, request.sequence_number)
        self._settle_unbind()

    def accept_bind(
        self, request: Pdu, system_id: bytes, now: float, *, peer_is_mc: bool = False
    ) -> Received:
        """Bind the peer: queue the bind response, and give what it had pipelined behind its bind.

        The result is to be treated like that of `receive`. `system_id` is ours. `peer_is_mc` says that this
        account is a carrier which binds to us: it may deliver, and takes our submissions.
        """
        if self._deaf:
            return Received(closing=self._closing)
        bind = self._take_bind_in_hand(request)
        self._peer_is_mc = peer_is_mc
        response = RESPONSE_OF[type(bind)]
        version = ((int(Tag.SC_INTERFACE_VERSION), bytes((INTERFACE_VERSION,))),)
        body = body_of(BindTransceiverResp(0, 0, system_id, version), peer_version=self.peer_version)
        self._put(COMMAND_OF[response], 0, bind.sequence_number, body)
        self._go(CommandId(COMMAND_OF[response]))
        self._timers.bound(now)
        self._inbox.put_back()
        return self._take(now, fresh_octets=0)

    def refuse_bind(self, request: Pdu, status: int) -> None:
        """Queue the bind response with `status` and end the session.

        What the peer pipelined behind its bind is answered RINVBNDSTS. Write the output, then close.
        """
        if self._deaf:
            return
        bind = self._take_bind_in_hand(request)
        self._put(COMMAND_OF[RESPONSE_OF[type(bind)]], status, bind.sequence_number)
        self._inbox.put_back()
        for pdu in self._inbox.decode_all(self.limits.octets_max).pdus:
            command_id = pdu.command_id if isinstance(pdu, BadPdu) else COMMAND_OF[type(pdu)]
            if not command_id & RESPONSE_BIT:
                self._refuse(command_id, pdu.sequence_number, Status.ESME_RINVBNDSTS)
        self._end("the bind was refused")

    # Time

    def tick(self, now: float) -> Tick:
        """Do what is due: expire responses, send enquire_link or unbind, end a session whose time is up."""
        if self._state is BindState.CLOSED:
            return Tick([], self._closing)
        expired = self._window.expire(now)
        self._requests_expired += len(expired)
        action = self._timers.tick(now)
        if action.due is Due.ENQUIRE_LINK:
            self._enquire_sent = self._window.take_sequence_number()
            self._put(CommandId.ENQUIRE_LINK, 0, self._enquire_sent)
            self._timers.enquired(now)
        elif action.due is Due.UNBIND:
            self._unbind(now, action.reason)
        elif action.due is Due.CLOSE and not self._deaf:
            if self._unbind_owed is not None:
                self._put(CommandId.UNBIND_RESP, 0, self._unbind_owed)
                self._unbind_owed = None
            self._end(self._closing or action.reason)
        self._settle_unbind()
        return Tick(expired, self._closing if self._finished else None)

    def next_tick_at(self) -> float:
        """When `tick` has work: at once (-inf) when the session has ended, inf when nothing is timed."""
        if self._state is BindState.CLOSED:
            return inf
        if self._finished:
            return -inf
        return min(self._window.next_expiry(), self._timers.next_at())

    def close(self) -> list[object]:
        """End the session and give the token of every unanswered request, in the order of sending.

        To be called on every way out, whatever happened to the stream. Idempotent: the second list is empty.
        What is still in `out` may be written.
        """
        if self._closing is None:
            self._closing = "closed"
        self._deaf = True
        self._state = BindState.CLOSED
        self._inbox.clear()
        self._permit()
        return self._window.drain()

    # Taking PDUs

    def _take(self, now: float, *, fresh_octets: int) -> Received:
        """Everything the inbox has, as far as the state of the session lets it be looked at."""
        received = Received()
        self._handed_over_uncounted = 0
        while self._state in (BindState.OPEN, BindState.OUTBOUND) and self._take_one(received, now):
            pass
        if self._state in BOUND or self._state is BindState.UNBOUND:
            decoded = self._inbox.decode_all(self.limits.octets_max)
            self._see(decoded.pdus, received, now)
            self._lose_framing(decoded.framing_lost)
        self._count_in_hand(received)
        if self._enquire_answers:
            ahead = self._enquire_answers_ahead
            self.out[ahead:ahead] = self._enquire_answers
            self._enquire_answers_ahead += len(self._enquire_answers)
            self._enquire_answers.clear()
        if received.requests or received.answers or received.late:
            self._timers.transacted(now)
        if len(self._inbox):
            self._timers.partial(now, begun=len(self._inbox) <= fresh_octets)
        else:
            self._timers.whole()
        self._settle_unbind()
        received.closing = self._closing
        return received

    def _take_one(self, received: Received, now: float) -> bool:
        """One PDU of a session that is not bound; False when there is none to be looked at yet."""
        if self._deaf:
            return False
        limits = self.limits
        octets_max = limits.octets_max_unbound
        if self._bind_in_hand is not None:
            octets_max = limits.octets_max
            if not self._inbox.set_aside(octets_max, limits.octets_held_max):
                self._end(f"more than {limits.octets_held_max} octets before the bind was answered")
                return False
        decoded = self._inbox.decode_one(octets_max)
        self._see(decoded.pdus, received, now)
        self._lose_framing(decoded.framing_lost)
        return bool(decoded.pdus)

    def _see(self, pdus: Sequence[Pdu | BadPdu], received: Received, now: float) -> None:
        """One pass over PDUs in wire order. The two `if`s at its top are the hot path."""
        if not pdus:
            return
        self._pdus_in.update(map(type, pdus))
        pop = self._window.pending.pop
        take_request = received.requests.append
        take_answer = received.answers.append
        peer_may = self._peer_may
        bad_at = -1
        for index, pdu in enumerate(pdus):
            kind = type(pdu)
            if kind in peer_may:
                take_request(pdu)  # type: ignore[arg-type]  # BadPdu is in neither set
                continue
            if kind in _TRANSACTION_RESPONSES:
                slot = pop(pdu.sequence_number, None)
                if slot is None:
                    self._take_late(pdu, received, now)  # type: ignore[arg-type]
                elif slot[KIND] is kind:
                    take_answer((slot[TOKEN], pdu))  # type: ignore[arg-type]
                else:
                    take_answer((slot[TOKEN], _wrong_command(pdu.sequence_number)))
                continue
            if kind is BadPdu:
                self._bad_run = self._bad_run + 1 if index == bad_at + 1 else 1
                bad_at = index
            _UNUSUAL[kind](self, pdu, received, now)
            if self._bad_run > self.limits.bad_pdus_max:
                self._end(f"{self._bad_run} malformed PDUs in a row")
            if self._deaf:
                return
            peer_may = self._peer_may
        if bad_at != len(pdus) - 1:
            self._bad_run = 0
        self._timers.heard(now)

    def _take_late(self, pdu: Pdu, received: Received, now: float) -> None:
        slot = self._window.take_late(pdu.sequence_number, now)
        if slot is None or (slot[KIND] is not type(pdu) and not isinstance(pdu, GenericNack)):
            self._responses_dropped += 1
        else:
            received.late.append((slot[TOKEN], pdu))
            self._responses_late += 1

    def _count_in_hand(self, received: Received) -> None:
        """Count what goes to the owner; what exceeds the peer's window is answered here."""
        self._in_hand += len(received.requests) - self._handed_over_uncounted
        excess = self._in_hand - self.limits.window_in_max
        if excess <= 0 or not self.limits.window_in_max:
            return
        kept: list[Pdu] = []
        throttled: list[Pdu] = []
        for pdu in reversed(received.requests):
            is_transaction = COMMAND_OF[type(pdu)] in _TRANSACTIONS
            (throttled if is_transaction and len(throttled) < excess else kept).append(pdu)
        received.requests = kept[::-1]
        for pdu in reversed(throttled):
            self._put(COMMAND_OF[type(pdu)] | RESPONSE_BIT, Status.ESME_RTHROTTLED, pdu.sequence_number)
        self._in_hand -= len(throttled)
        self._requests_throttled += len(throttled)

    def _lose_framing(self, lost: FramingLost | None) -> None:
        if lost is None or self._deaf:
            return
        self._put(CommandId.GENERIC_NACK, Status.ESME_RINVCMDLEN, 0)
        hint = f"; it looks like {lost.looks_like}" if lost.looks_like else ""
        self._end(f"not SMPP: a PDU of {lost.command_length} octets was announced{hint}")

    # Unusual PDUs, one method a kind

    def _see_enquire_link(self, pdu: Pdu, received: Received, now: float) -> None:
        command_id = CommandId.ENQUIRE_LINK_RESP
        self._enquire_answers += _pack_header(HEADER_OCTETS, command_id, 0, pdu.sequence_number)
        self._pdus_out[CommandId.ENQUIRE_LINK_RESP] += 1

    def _see_enquire_link_resp(self, pdu: Pdu, received: Received, now: float) -> None:
        if pdu.sequence_number != self._enquire_sent:
            self._responses_dropped += 1
            return
        self._enquire_sent = None
        self._timers.enquire_answered(now)

    def _see_generic_nack(self, pdu: Pdu, received: Received, now: float) -> None:
        """A request of ours was not understood. Number 0 names none: counted, and no guess made."""
        self._nacks_in += 1
        number = pdu.sequence_number
        slot = self._window.pending.pop(number, None)
        if slot is not None:
            if self._bind_sent is not None and self._bind_sent.sequence_number == number:
                self._bind_sent = None
            received.answers.append((slot[TOKEN], pdu))
        elif number == self._enquire_sent:
            self._enquire_sent = None
            self._timers.enquire_answered(now)
        elif number == self._unbind_sent:
            self._see_unbind_resp(pdu, received, now)
        elif number:
            self._take_late(pdu, received, now)

    def _see_bind(self, pdu: Pdu, received: Received, now: float) -> None:
        if not self._peer_may_send(pdu):
            return
        assert isinstance(pdu, _BINDS)
        self._bind_in_hand = pdu
        self.peer_version = peer_version_of(pdu.interface_version)
        self._timers.bind_arrived()
        self._hand_over_uncounted(pdu, received)

    def _see_bind_resp(self, pdu: Pdu, received: Received, now: float) -> None:
        slot = self._window.pending.pop(pdu.sequence_number, None)
        if slot is None:
            self._take_late(pdu, received, now)
            return
        sent, self._bind_sent = self._bind_sent, None
        if slot[KIND] is not type(pdu) or sent is None:
            received.answers.append((slot[TOKEN], _wrong_command(pdu.sequence_number)))
            return
        received.answers.append((slot[TOKEN], pdu))
        if pdu.command_status == 0:
            self.peer_version = self._version_from(pdu, sent)
            self._go(CommandId(COMMAND_OF[type(pdu)]))
            self._timers.bound(now)

    def _see_outbind(self, pdu: Pdu, received: Received, now: float) -> None:
        if not self._peer_may_send(pdu):
            return
        self._go(CommandId.OUTBIND)
        self._timers.await_bind(now)
        self._hand_over_uncounted(pdu, received)

    def _see_alert_notification(self, pdu: Pdu, received: Received, now: float) -> None:
        if self._peer_may_send(pdu):
            self._hand_over_uncounted(pdu, received)

    def _see_unbind(self, pdu: Pdu, received: Received, now: float) -> None:
        """Answered once nothing precedes it. In a session that never bound it is refused and ends it."""
        if self._peer_may_send(pdu):
            self._unbind_owed = pdu.sequence_number
            self._go(CommandId.UNBIND)
            self._timers.unbinding(now)
        elif self._state is not BindState.UNBOUND:
            self._end(_UNBOUND_BY_PEER)

    def _see_unbind_resp(self, pdu: Pdu, received: Received, now: float) -> None:
        """Ends a session that we unbind. Some peers do not copy the number, and there is only one unbind."""
        if self._unbind_sent is None:
            self._responses_dropped += 1
            return
        self._unbind_sent = None
        self._closing = self._closing or self._unbind_reason
        self._go(CommandId.UNBIND_RESP)

    def _see_request(self, pdu: Pdu, received: Received, now: float) -> None:
        """A transaction that is not among those the peer may send now."""
        self._peer_may_send(pdu)

    def _see_bad(self, bad: BadPdu, received: Received, now: float) -> None:
        """A malformed PDU: a response still settles its request, a request gets its status."""
        layout = LAYOUT_OF.get(bad.command_id)
        number = bad.sequence_number
        if not bad.command_id & RESPONSE_BIT:
            legal = layout is None or layout.command_id in self._peer_commands
            status = Status(bad.answer_status) if legal else refusal(bad.command_id, self._state)
            if bad.command_id != CommandId.ALERT_NOTIFICATION:
                self._refuse(bad.command_id, number, status)
            if layout is not None and legal and layout.pdu_type in _BINDS:
                self._end(f"a bind that cannot be read: {bad.reason}")
        elif layout is not None:
            pdu = bad.partial or layout.pdu_type(number, bad.command_status)
            self._see_response(pdu, received, now)
        else:
            slot = self._window.pending.pop(number, None)
            if slot is None:
                self._responses_dropped += 1
            else:
                received.answers.append((slot[TOKEN], _wrong_command(number)))

    def _see_response(self, pdu: Pdu, received: Received, now: float) -> None:
        """A response made from a malformed one: the same pass, without counting it twice."""
        self._pdus_in[type(pdu)] -= 1
        self._see([pdu], received, now)

    # Small parts

    def _peer_may_send(self, pdu: Pdu) -> bool:
        """Whether the peer may send this now; if not it has been refused."""
        command_id = COMMAND_OF[type(pdu)]
        if command_id in self._peer_commands:
            return True
        if command_id == CommandId.ALERT_NOTIFICATION:
            self._requests_refused += 1  # nothing answers it
        else:
            self._refuse(command_id, pdu.sequence_number, refusal(command_id, self._state))
        return False

    def _refuse(self, command_id: int, sequence_number: int, status: int) -> None:
        """Answer in the request's own response, or in a generic_nack where it has none."""
        response_id = command_id | RESPONSE_BIT
        if response_id not in LAYOUT_OF:
            response_id = CommandId.GENERIC_NACK
        self._put(response_id, status, sequence_number)
        self._requests_refused += 1

    def _hand_over_uncounted(self, pdu: Pdu, received: Received) -> None:
        """A request that takes no slot: a bind, or one without a response."""
        received.requests.append(pdu)
        self._handed_over_uncounted += 1

    def _take_bind_in_hand(self, request: Pdu) -> Bind:
        bind = self._bind_in_hand
        if bind is None or bind is not request:
            raise SessionMisuse("no such bind to answer: answer the one that receive gave, once")
        self._bind_in_hand = None
        return bind

    def _version_from(self, response: Pdu, bind: Bind) -> int:
        """What the peer speaks, from its bind response and from what we offered."""
        if peer_version_of(bind.interface_version) == VERSION_33:
            return VERSION_33
        for tag, value in getattr(response, "tlvs", ()):
            if tag == Tag.SC_INTERFACE_VERSION and value:
                return peer_version_of(value[0])
        return VERSION_34 if self.limits.tlvs_without_version else VERSION_33

    def _body(self, pdu: Pdu) -> bytes:
        """The body of a request; TLVs are left out for a 3.3 peer, but a text that is one cannot be."""
        if not self.tlvs_allowed and any(tag == Tag.MESSAGE_PAYLOAD for tag, _ in getattr(pdu, "tlvs", ())):
            raise SessionMisuse("a 3.3 peer reads no TLVs: put the text into short_message")
        return body_of(pdu, peer_version=self.peer_version)

    def _answered(self, count: int) -> bool:
        """Count answers of the owner; False when the stream is gone and nothing is to be queued."""
        if self._state is BindState.CLOSED:
            return False
        if count > self._in_hand:
            raise SessionMisuse(f"{count} answers to {self._in_hand} requests: answer each request once")
        self._in_hand -= count
        return True

    def _unbind(self, now: float, reason: str) -> None:
        if self._closing is not None or self._unbind_sent is not None or self._unbind_owed is not None:
            return
        if self._state not in BOUND:
            self._end(reason)
            return
        self._unbind_reason = reason
        self._unbind_sent = self._window.take_sequence_number()
        self._put(CommandId.UNBIND, 0, self._unbind_sent)
        self._timers.unbinding(now)
        self._permit()

    def _settle_unbind(self) -> None:
        """Answer the peer's unbind as soon as nothing has to precede the answer.

        That is every request in hand, and, towards a message centre, the answers to our submissions: closed
        away, they would leave messages in doubt. unbind_s bounds the wait.
        """
        if self._unbind_owed is None or (self._peer_is_mc and self._window.pending):
            return
        if self._unbind_sent is None:
            self._closing = self._closing or _UNBOUND_BY_PEER
        if not self._in_hand:
            self._put(CommandId.UNBIND_RESP, 0, self._unbind_owed)
            self._unbind_owed = None

    @property
    def _finished(self) -> bool:
        """The session has ended and its owner has no answers left to give, or no more time for them."""
        return self._closing is not None and (self._deaf or not self._in_hand)

    def _end(self, reason: str) -> None:
        """Nothing more is read; the owner writes what is queued and closes."""
        self._closing = reason
        self._deaf = True
        self._inbox.clear()
        self._permit()

    def _go(self, event: CommandId) -> None:
        self._state = TRANSITIONS.get((self._state, event), self._state)
        self._permit()

    def _permit(self) -> None:
        """Look up who may send what now."""
        reverse = self.role is Role.MC and self._peer_is_mc
        peer = Role.MC if self.role is Role.ESME else Role.ESME
        self._peer_commands = permitted(peer, self._state, reverse=reverse)
        ours = permitted(self.role, self._state, reverse=reverse)
        silent = self._deaf or self._closing is not None or self._unbind_sent is not None
        self._peer_may = frozenset(
            kind for command, (kind, _) in _TRANSACTIONS.items() if command in self._peer_commands
        )
        self._we_may = {
            command: response
            for command, (_, response) in _TRANSACTIONS.items()
            if command in ours and not silent
        }

    def _may_not(self, command_id: int) -> str:
        return f"{command_name(command_id)} may not be sent: the session is {self._condition()}"

    def _condition(self) -> str:
        if self._closing is not None:
            return f"ending ({self._closing})"
        if self._unbind_sent is not None:
            return "unbinding"
        return f"{self._state.value}, we are the {self.role.value}"

    def _put(self, command_id: int, status: int, sequence_number: int, body: bytes = b"") -> None:
        """Queue one PDU."""
        status = status_for_peer(status, self.peer_version)
        self.out += _pack_header(HEADER_OCTETS + len(body), command_id, status, sequence_number) + body
        self._pdus_out[command_id] += 1


def _wrong_command(sequence_number: int) -> GenericNack:
    """What stands for a response of another command: the request has failed, and hangs no longer."""
    return GenericNack(sequence_number, Status.ESME_RINVCMDID)


def _name(kind: type) -> str:
    return "malformed" if kind is BadPdu else command_name(COMMAND_OF[kind])


_UNUSUAL: Final[dict[type, Callable[..., None]]] = {
    **dict.fromkeys((kind for kind, _ in _TRANSACTIONS.values()), Session._see_request),
    **dict.fromkeys(_BINDS, Session._see_bind),
    **dict.fromkeys((BindReceiverResp, BindTransmitterResp, BindTransceiverResp), Session._see_bind_resp),
    EnquireLink: Session._see_enquire_link,
    EnquireLinkResp: Session._see_enquire_link_resp,
    GenericNack: Session._see_generic_nack,
    Outbind: Session._see_outbind,
    AlertNotification: Session._see_alert_notification,
    Unbind: Session._see_unbind,
    UnbindResp: Session._see_unbind_resp,
    BadPdu: Session._see_bad,
}
"""What is neither a legal transaction nor the response to one."""
