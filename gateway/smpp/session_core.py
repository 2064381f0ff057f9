"""The state of one session, who may say what in it, and how it ends: the ground for input and output.

`Session` has three layers, each of which knows only those before it: this one, `session_input` (what the
peer's PDUs do) and `session` (what the owner may ask for).
"""

from collections import Counter
from struct import Struct
from typing import Final

from gateway.smpp.constants import HEADER_OCTETS, VERSION_34, CommandId, command_name, status_for_peer
from gateway.smpp.fields import COMMAND_OF, RESPONSE_OF
from gateway.smpp.inbox import Inbox
from gateway.smpp.pdu import (
    BadPdu,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    CancelSmResp,
    DataSmResp,
    DeliverSmResp,
    Pdu,
    QuerySmResp,
    ReplaceSmResp,
    SubmitMultiResp,
    SubmitSmResp,
)
from gateway.smpp.session_values import SessionLimits, SessionStatistics
from gateway.smpp.states import TRANSITIONS, BindState, Role, permitted
from gateway.smpp.timers import Timers
from gateway.smpp.window import Window

_pack_header = Struct(">IIII").pack

Bind = BindReceiver | BindTransmitter | BindTransceiver

TRANSACTION_RESPONSES: Final = frozenset(
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
TRANSACTIONS: Final = {
    COMMAND_OF[kind]: (kind, response)
    for kind, response in RESPONSE_OF.items()
    if response in TRANSACTION_RESPONSES
}
"""command_id of what takes a slot of a window -> (class of the request, class of its response)."""

UNBOUND_BY_PEER: Final = "the peer unbound"
UNBOUND_BY_US: Final = "we unbound"


class SessionCore:
    """See `session.Session`, whose lowest layer this is."""

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
        self._unbind_reason = UNBOUND_BY_US
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

    def adopt(self, limits: SessionLimits) -> None:
        """Take other limits: for an owner who learns from the first PDU who the peer is.

        To be called before the session is bound; timers that run already keep their time.
        """
        self.limits = limits
        self._timers.adopt(limits)
        self._window.adopt(limits.window_out_max, limits.response_s)

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
            pdus_in={name_of(kind): count for kind, count in self._pdus_in.items()},
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

    # For the layers above

    @property
    def _finished(self) -> bool:
        """The session has ended and its owner has no answers left to give, or no more time for them."""
        return self._closing is not None and (self._deaf or not self._in_hand)

    def _settle_unbind(self) -> None:
        """Answer the peer's unbind as soon as nothing has to precede the answer.

        That is every request in hand, and, towards a message centre, the answers to our submissions: closed
        away, they would leave messages in doubt. unbind_s bounds the wait.
        """
        if self._unbind_is_due():
            if self._unbind_sent is None:
                self._closing = self._closing or UNBOUND_BY_PEER
            if not self._in_hand:
                self._answer_unbind()

    def _unbind_is_due(self) -> bool:
        return self._unbind_owed is not None and not (self._peer_is_mc and self._window.pending)

    def _answer_unbind(self) -> None:
        if self._unbind_owed is not None:
            self._put(CommandId.UNBIND_RESP, 0, self._unbind_owed)
            self._unbind_owed = None
            self._go(CommandId.UNBIND_RESP)

    def _end(self, reason: str) -> None:
        """Nothing more is read; the owner writes what is queued and closes."""
        if self._unbind_is_due() and self._unbind_sent is None:
            reason = UNBOUND_BY_PEER  # which came first, though its answer may still be queued
        self._closing = self._closing or reason
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
        theirs: frozenset[CommandId] = frozenset()
        if self._unbind_owed is None and not self._deaf:  # after its unbind it has nothing more to ask
            theirs = permitted(peer, self._state, reverse=reverse)
        ours: frozenset[CommandId] = frozenset()
        if self._closing is None and self._unbind_owed is None and self._unbind_sent is None:
            ours = permitted(self.role, self._state, reverse=reverse)
        self._peer_commands = theirs
        self._peer_may = frozenset(kind for command, (kind, _) in TRANSACTIONS.items() if command in theirs)
        self._we_may = {
            command: response for command, (_, response) in TRANSACTIONS.items() if command in ours
        }

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


def name_of(kind: type) -> str:
    """ "submit_sm" for SubmitSm."""
    return "malformed" if kind is BadPdu else command_name(COMMAND_OF[kind])
