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

from collections.abc import Sequence
from math import inf
from struct import Struct
from typing import Final

from gateway.smpp.constants import (
    HEADER_OCTETS,
    VERSION_34,
    CommandId,
    Tag,
    command_name,
)
from gateway.smpp.encode import body_of
from gateway.smpp.fields import COMMAND_OF, RESPONSE_OF
from gateway.smpp.pdu import BindTransceiverResp, GenericNack, Outbind, Pdu
from gateway.smpp.session_core import UNBOUND_BY_US, Bind, name_of
from gateway.smpp.session_input import SessionInput
from gateway.smpp.session_values import Received, SessionLimits, SessionStatistics, Tick
from gateway.smpp.states import BOUND, BindState, Role
from gateway.smpp.timers import Due

__all__ = [
    "BindState",
    "Received",
    "Role",
    "Session",
    "SessionLimits",
    "SessionMisuse",
    "SessionStatistics",
    "Tick",
]

INTERFACE_VERSION: Final = VERSION_34
"""What we say we speak. 5.0's additions are understood and not offered."""


_pack_header = Struct(">IIII").pack
_SUBMIT_SM_RESP = int(CommandId.SUBMIT_SM_RESP)
_DELIVER_SM_RESP = int(CommandId.DELIVER_SM_RESP)


class SessionMisuse(Exception):
    """The owner of a session asked for what its state does not allow: a bug of ours, not the peer's fault."""


class Session(SessionInput):
    """One session over one stream, from connection to `close`.

    Args:
      role: `Role.ESME` binds (or waits for an outbind), `Role.MC` is bound to (or sends outbind).
      limits: bounds and timers.
      now: monotonic seconds, as everywhere; must not run back.
      jitter: 0..1, spreads the first enquire_link of sessions that begin together.
    """

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
        self._unbind(now, UNBOUND_BY_US)

    # Our responses

    def respond(self, request: Pdu, response: Pdu) -> None:
        """Queue the response to one request handed over by `receive`; sets its sequence number."""
        expected = RESPONSE_OF.get(type(request))
        if expected is None:
            raise SessionMisuse(f"{name_of(type(request))} has no response")
        if type(response) is not expected and type(response) is not GenericNack:
            raise SessionMisuse(f"{name_of(type(response))} does not answer {name_of(type(request))}")
        body = body_of(response, peer_version=self.peer_version)
        if not self._answered(1):
            return
        response.sequence_number = request.sequence_number
        self._put(COMMAND_OF[type(response)], response.command_status, request.sequence_number, body)
        self._settle_unbind()

    def respond_submits(self, sequence_numbers: Sequence[int], message_ids: Sequence[bytes]) -> None:
        """Queue one submit_sm_resp ESME_ROK a pair, in order."""
        if len(sequence_numbers) != len(message_ids):
            raise SessionMisuse(f"{len(message_ids)} ids for {len(sequence_numbers)} requests: give one each")
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

    def respond_deliveries(self, sequence_numbers: Sequence[int]) -> None:
        """Queue one deliver_sm_resp ESME_ROK a number, in order."""
        if not self._answered(len(sequence_numbers)):
            return
        pack = _pack_header
        self.out += b"".join([pack(17, _DELIVER_SM_RESP, 0, number) + b"\0" for number in sequence_numbers])
        self._pdus_out[_DELIVER_SM_RESP] += len(sequence_numbers)
        self._settle_unbind()

    def respond_error(self, request: Pdu, status: int) -> None:
        """Queue the request's own response with a status and no body, as SMPP 3.4 section 4 has errors."""
        response = RESPONSE_OF.get(type(request))
        if response is None:
            raise SessionMisuse(f"{name_of(type(request))} has no response")
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
        version = ((int(Tag.SC_INTERFACE_VERSION), bytes((INTERFACE_VERSION,))),)
        body = body_of(BindTransceiverResp(0, 0, system_id, version), peer_version=self.peer_version)
        bind = self._take_bind_in_hand(request)
        self._peer_is_mc = peer_is_mc
        response = RESPONSE_OF[type(bind)]
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
        held = self._inbox.decode_all(self.limits.octets_max).pdus
        self._end("the bind was refused")
        for pdu in held:
            self._refuse_held(pdu)

    # Time

    def tick(self, now: float) -> Tick:
        """Do what is due: expire responses, send enquire_link or unbind, end a session whose time is up."""
        expired = self._window.expire(now)
        self._requests_expired += len(expired)
        if self._deaf:
            return Tick(expired, self._closing)
        action = self._timers.tick(now)
        if action.due is Due.ENQUIRE_LINK:
            self._enquire_sent = self._window.take_sequence_number()
            self._put(CommandId.ENQUIRE_LINK, 0, self._enquire_sent)
            self._timers.enquired(now)
        elif action.due is Due.UNBIND:
            self._unbind(now, action.reason)
        elif action.due is Due.CLOSE:
            self._answer_unbind()
            self._end(action.reason)
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

    # Small parts

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

    def _may_not(self, command_id: int) -> str:
        return f"{command_name(command_id)} may not be sent: the session is {self._condition()}"

    def _take_bind_in_hand(self, request: Pdu) -> Bind:
        bind = self._bind_in_hand
        if bind is None or bind is not request:
            raise SessionMisuse("no such bind to answer: answer the one that receive gave, once")
        self._bind_in_hand = None
        return bind

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
