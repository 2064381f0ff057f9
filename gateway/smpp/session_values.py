"""What goes into a session and what comes out of it: limits, batches and figures, as values."""

import msgspec

from gateway.smpp.constants import PDU_OCTETS_MAX
from gateway.smpp.pdu import Pdu
from gateway.smpp.states import BindState


class SessionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Every bound and timer of one session. Times in seconds; 0 switches a timer off."""

    octets_max: int = PDU_OCTETS_MAX
    """Longest PDU from a bound peer. Longer: framing is lost, generic_nack RINVCMDLEN, close."""

    octets_max_unbound: int = 1024
    """Longest PDU before a bind: the largest bind is under 300 octets, and the sender is a stranger."""

    octets_held_max: int = 262_144
    """Octets kept behind a bind that is not answered yet (one read of the socket). More: close."""

    window_out_max: int = 10
    """Requests of ours that may be unanswered. SMPP 3.4 section 2.9 advises 10, as does Kannel."""

    window_in_max: int = 1000
    """Requests of the peer that may be unanswered; each further one gets RTHROTTLED. 0: no bound."""

    late_slots_max: int = 10_000
    """Expired requests remembered for a late response; beyond it the oldest is forgotten."""

    bad_pdus_max: int = 100
    """Malformed PDUs in a row, with no good one between. One more: close."""

    session_init_s: float = 10.0
    """From the connection (or outbind, or our bind) to being bound."""

    partial_pdu_s: float = 30.0
    """From the first octet of a PDU to its last, so that one octet at a time cannot hold a session."""

    enquire_link_s: float = 30.0
    """Silence of a bound peer after which we enquire (Kannel's default)."""

    enquire_answer_s: float = 10.0
    """Wait for a sign of life after an enquire_link. Twice in vain: close."""

    inactivity_s: float = 0.0
    """Time without a transaction (enquire_link is none) after which we unbind."""

    response_s: float = 60.0
    """Wait for the response to a request of ours (Kannel's wait-ack)."""

    late_s: float = 600.0
    """How long after its expiry a request is remembered for a late response."""

    unbind_s: float = 5.0
    """Wait for unbind_resp, or for what must be answered before we send ours."""

    tlvs_without_version: bool = True
    """As client: send TLVs to a peer whose bind response names no sc_interface_version. The standard says
    no, but most 3.4 message centres leave it out."""


class Received(msgspec.Struct):
    """What one `receive` (or `accept_bind`) gave, each list in wire order."""

    requests: list[Pdu] = msgspec.field(default_factory=list)
    """Requests the owner must answer (but outbind and alert_notification, which have no response)."""

    answers: list[tuple[object, Pdu]] = msgspec.field(default_factory=list)
    """(token, response) of our requests. The response is a GenericNack where the peer refused it so, or
    answered with another command's response (status RINVCMDID)."""

    late: list[tuple[object, Pdu]] = msgspec.field(default_factory=list)
    """(token, response) of requests that had expired: their tokens were given back by `tick` before."""

    closing: str | None = None
    """Why the session ends: answer what you hold, write the output, close the stream, call `close`."""


class Tick(msgspec.Struct, frozen=True):
    """What one `tick` gave: tokens whose response timer ran out, and why the session ends, if it does."""

    expired: list[object]
    closing: str | None = None


class SessionStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one session since it began; PDUs are counted by their command's name."""

    state: BindState
    peer_version: int
    window_used: int
    window_max: int
    window_used_max: int
    requests_in_hand: int
    octets_in: int
    octets_out: int
    pdus_in: dict[str, int]
    pdus_out: dict[str, int]
    bad_pdus: int
    nacks_in: int
    nacks_out: int
    requests_refused: int
    requests_throttled: int
    requests_expired: int
    responses_dropped: int
    responses_late: int
    enquire_link_round_trip_s: float | None
    suspect: bool
