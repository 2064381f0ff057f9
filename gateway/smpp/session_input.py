"""What the PDUs of the peer do to a session: the pass over a buffer, and one method an unusual PDU."""

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final

from gateway.smpp.constants import HEADER_OCTETS, RESPONSE_BIT, VERSION_33, VERSION_34, CommandId, Status, Tag
from gateway.smpp.fields import COMMAND_OF, LAYOUT_OF
from gateway.smpp.pdu import (
    AlertNotification,
    BadPdu,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    EnquireLink,
    EnquireLinkResp,
    FramingLost,
    GenericNack,
    Outbind,
    Pdu,
    Unbind,
    UnbindResp,
)
from gateway.smpp.session_core import (
    TRANSACTION_RESPONSES,
    TRANSACTIONS,
    UNBOUND_BY_PEER,
    Bind,
    SessionCore,
)
from gateway.smpp.session_values import Received
from gateway.smpp.states import BOUND, BindState, peer_version_of, refusal
from gateway.smpp.window import KIND, TOKEN

_pack_header = Struct(">IIII").pack

_BINDS: Final = (BindReceiver, BindTransmitter, BindTransceiver)
_BIND_RESPONSES: Final = (BindReceiverResp, BindTransmitterResp, BindTransceiverResp)


class SessionInput(SessionCore):
    """See `session.Session`, whose middle layer this is."""

    def receive(self, data: bytes, now: float) -> Received:
        """Take what the stream gave, any number of octets, and give what the owner must see.

        Binds and outbind arrive in `requests`: answer a bind with `accept_bind` or `refuse_bind`, an outbind
        by `bind` or by closing. What the peer pipelined behind a bind comes back from `accept_bind`.
        """
        self.octets_in += len(data)
        if not self._deaf:
            self._inbox.feed(data)
        return self._take(now, fresh_octets=len(data))

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
            is_enquire_link = self._inbox.set_aside(octets_max)
            if self._inbox.octets_held > limits.octets_held_max:
                self._end(f"more than {limits.octets_held_max} octets before the bind was answered")
            if not is_enquire_link:
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
            if kind in TRANSACTION_RESPONSES:
                slot = pop(pdu.sequence_number, None)
                if slot is None:
                    self._settle(pdu, received, now)  # type: ignore[arg-type]
                elif slot[KIND] is kind:
                    take_answer((slot[TOKEN], pdu))  # type: ignore[arg-type]
                else:
                    take_answer((slot[TOKEN], _wrong_command(pdu.sequence_number)))
                continue
            if kind is BadPdu:
                self._bad_run = self._bad_run + 1 if index == bad_at + 1 else 1
                bad_at = index
            _UNUSUAL[kind](self, pdu, received, now)
            if self._bad_run > self.limits.bad_pdus_max and not self._deaf:
                self._end(f"{self._bad_run} malformed PDUs in a row")
            if self._deaf:
                return
            peer_may = self._peer_may
        if bad_at != len(pdus) - 1:
            self._bad_run = 0
        self._timers.heard(now)

    def _settle(self, response: Pdu, received: Received, now: float) -> None:
        """Match one response to the request that waits, or waited, for it."""
        slot = self._window.pending.pop(response.sequence_number, None)
        if slot is not None:
            matches = slot[KIND] is type(response) or isinstance(response, GenericNack)
            answer = response if matches else _wrong_command(response.sequence_number)
            received.answers.append((slot[TOKEN], answer))
            return
        slot = self._window.take_late(response.sequence_number, now)
        if slot is None or (slot[KIND] is not type(response) and not isinstance(response, GenericNack)):
            self._responses_dropped += 1
        else:
            received.late.append((slot[TOKEN], response))
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
            is_transaction = COMMAND_OF[type(pdu)] in TRANSACTIONS
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
        if number == self._enquire_sent:
            self._see_enquire_link_resp(pdu, received, now)  # it is alive, which was the question
        elif number == self._unbind_sent:
            self._see_unbind_resp(pdu, received, now)
        elif number:
            if self._bind_sent is not None and self._bind_sent.sequence_number == number:
                self._bind_sent = None
            self._settle(pdu, received, now)

    def _see_bind(self, pdu: Pdu, received: Received, now: float) -> None:
        if not self._peer_may_send(pdu):
            return
        assert isinstance(pdu, _BINDS)
        self._bind_in_hand = pdu
        self.peer_version = peer_version_of(pdu.interface_version)
        self._timers.bind_arrived()
        self._hand_over_uncounted(pdu, received)

    def _see_bind_resp(self, pdu: Pdu, received: Received, now: float) -> None:
        sent = self._bind_sent
        if sent is not None and sent.sequence_number == pdu.sequence_number:
            self._bind_sent = None
            slot = self._window.pending.get(pdu.sequence_number)
            if slot is not None and slot[KIND] is type(pdu) and pdu.command_status == 0:
                self.peer_version = self._version_from(pdu, sent)
                self._go(CommandId(COMMAND_OF[type(pdu)]))
                self._timers.bound(now)
        self._settle(pdu, received, now)

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
            self._permit()
            self._timers.unbinding(now)
        elif self._state in (BindState.OPEN, BindState.OUTBOUND):
            self._end(UNBOUND_BY_PEER)

    def _see_unbind_resp(self, pdu: Pdu, received: Received, now: float) -> None:
        """Ends a session that we unbind. There is only one unbind, so its number proves nothing more."""
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
        """A malformed PDU: a request gets its status, a response still settles its request."""
        if bad.command_id & RESPONSE_BIT:
            self._see_bad_response(bad, received, now)
        else:
            self._see_bad_request(bad)

    def _see_bad_request(self, bad: BadPdu) -> None:
        layout = LAYOUT_OF.get(bad.command_id)
        if layout is None:
            self._refuse(bad.command_id, bad.sequence_number, bad.answer_status)
        elif layout.command_id not in self._peer_commands:
            self._refuse_illegal(layout.command_id, bad.sequence_number)
        elif layout.pdu_type is not AlertNotification:
            self._refuse(bad.command_id, bad.sequence_number, bad.answer_status)
            if layout.pdu_type in _BINDS:
                self._end(f"a bind that cannot be read: {bad.reason}")

    def _see_bad_response(self, bad: BadPdu, received: Received, now: float) -> None:
        """What could be read of it counts; a response that SMPP does not have is one of another command."""
        layout = LAYOUT_OF.get(bad.command_id)
        if layout is None:
            self._settle(GenericNack(bad.sequence_number, Status.ESME_RINVCMDID), received, now)
            return
        response = bad.partial or layout.pdu_type(bad.sequence_number, bad.command_status)
        _UNUSUAL.get(layout.pdu_type, SessionInput._settle)(self, response, received, now)

    # Small parts

    def _peer_may_send(self, pdu: Pdu) -> bool:
        """Whether the peer may send this now; if not it has been refused."""
        command_id = COMMAND_OF[type(pdu)]
        if command_id in self._peer_commands:
            return True
        self._refuse_illegal(command_id, pdu.sequence_number)
        return False

    def _refuse_held(self, pdu: Pdu | BadPdu) -> None:
        """Answer what came behind a bind that was refused; a response is no question."""
        if isinstance(pdu, BadPdu):
            if not pdu.command_id & RESPONSE_BIT:
                self._see_bad_request(pdu)
        elif not COMMAND_OF[type(pdu)] & RESPONSE_BIT:
            self._refuse_illegal(COMMAND_OF[type(pdu)], pdu.sequence_number)

    def _refuse_illegal(self, command_id: int, sequence_number: int) -> None:
        if command_id == CommandId.ALERT_NOTIFICATION:
            self._requests_refused += 1  # nothing answers it
        else:
            unbinding = self._unbind_owed is not None
            status = refusal(command_id, BindState.UNBOUND if unbinding else self._state)
            self._refuse(command_id, sequence_number, status)

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

    def _version_from(self, response: Pdu, bind: Bind) -> int:
        """What the peer speaks, from its bind response and from what we offered."""
        if peer_version_of(bind.interface_version) == VERSION_33:
            return VERSION_33
        for tag, value in getattr(response, "tlvs", ()):
            if tag == Tag.SC_INTERFACE_VERSION and value:
                return peer_version_of(value[0])
        return VERSION_34 if self.limits.tlvs_without_version else VERSION_33


def _wrong_command(sequence_number: int) -> GenericNack:
    """What stands for a response of another command: the request has failed, and hangs no longer."""
    return GenericNack(sequence_number, Status.ESME_RINVCMDID)


_UNUSUAL: Final[dict[type, Callable[..., None]]] = {
    **dict.fromkeys((kind for kind, _ in TRANSACTIONS.values()), SessionInput._see_request),
    **dict.fromkeys(_BINDS, SessionInput._see_bind),
    **dict.fromkeys(_BIND_RESPONSES, SessionInput._see_bind_resp),
    EnquireLink: SessionInput._see_enquire_link,
    EnquireLinkResp: SessionInput._see_enquire_link_resp,
    GenericNack: SessionInput._see_generic_nack,
    Outbind: SessionInput._see_outbind,
    AlertNotification: SessionInput._see_alert_notification,
    Unbind: SessionInput._see_unbind,
    UnbindResp: SessionInput._see_unbind_resp,
    BadPdu: SessionInput._see_bad,
}
"""What is neither a legal transaction nor the response to one."""
