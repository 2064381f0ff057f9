"""How a simulated carrier behaves: every knob, its help, and the tables behind the knobs.

Shares are probabilities from 0 to 1 for each message; times are seconds; a count of 0 means never.
The default is a carrier that does everything right and at once.
"""

from typing import Annotated

import msgspec

from gateway.sim.options import help_

# SMPP 3.4 section 5.2.28 (message_state) and its Appendix B words.
STATES = {
    "ENROUTE": 1,
    "DELIVRD": 2,
    "EXPIRED": 3,
    "DELETED": 4,
    "UNDELIV": 5,
    "ACCEPTD": 6,
    "UNKNOWN": 7,
    "REJECTD": 8,
}

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
ID_FORM_NAMES = (
    "decimal",
    "hex",
    "hex-upper",
    "hex-decimal",
    "decimal-hex",
    "upper-lower",
    "zeros",
    "uuid",
    "empty",
)
RECEIPT_FORMS = ("text", "tlv", "both")
RECEIPT_PDUS = ("deliver_sm", "data_sm")
RECEIPT_CODINGS = ("ascii", "ucs2", "ascii-as-ucs2")
RECEIPT_TEXTS = (
    "standard",
    "order",
    "no-text-word",
    "short",
    "state-only",
    "seconds",
    "fourteen",
    "year-first",
    "one-digit",
    "underscore",
    "long-state",
    "nul-ended",
    "cut",
)


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What the carrier does with binds, messages, receipts and the link itself."""

    # answers
    response_latency_s: Annotated[float, help_("answer each submit_sm after this long")] = 0.0
    response_jitter_s: Annotated[float, help_("and up to this much more at random: out of order")] = 0.0
    lost_responses: Annotated[Share, help_("share of submit_sm accepted but never answered")] = 0.0
    duplicate_responses: Annotated[Share, help_("share of answers sent twice")] = 0.0
    wrong_sequence_numbers: Annotated[Share, help_("share of answers under another sequence_number")] = 0.0
    generic_nacks: Annotated[Share, help_("share answered with generic_nack, ESME_RSYSERR")] = 0.0
    throttled: Annotated[Share, help_("share refused with 58, ESME_RTHROTTLED")] = 0.0
    queue_full: Annotated[Share, help_("share refused with 14, ESME_RMSGQFUL")] = 0.0
    system_errors: Annotated[Share, help_("share refused with 08, ESME_RSYSERR")] = 0.0
    submit_fails: Annotated[Share, help_("share refused with 45, ESME_RSUBMITFAIL")] = 0.0
    errors: Annotated[dict[str, float], help_("shares refused by status in hex: 0B=0.1,400=0.01")] = {}
    error_bodies: Annotated[bool, help_("refusals carry an empty message_id, not a header alone")] = False
    rate: Annotated[int, help_("parts a second, counted over every sliding second; more is refused")] = 0
    rate_status: Annotated[int, help_("status of what exceeds the rate")] = 0x58
    window: Annotated[int, help_("unanswered submit_sm on one bind; more is refused")] = 0
    window_status: Annotated[int, help_("status of what exceeds the window")] = 0x58

    # message ids
    id_form: Annotated[str, help_("message_id in the response and in the receipt", *ID_FORM_NAMES)] = (
        "decimal"
    )
    id_first: Annotated[int, help_("the first message_id; a restart with the same one repeats ids")] = 1

    # receipts
    receipts: Annotated[bool, help_("send the receipts that registered_delivery asks for")] = True
    receipts_delay_s: Annotated[float, help_("send a receipt this long after its response")] = 0.0
    receipts_jitter_s: Annotated[float, help_("and up to this much later at random: reordered")] = 0.0
    early_receipts: Annotated[Share, help_("share of receipts sent before their response")] = 0.0
    duplicate_receipts: Annotated[Share, help_("share of receipts sent more than once")] = 0.0
    duplicate_copies: Annotated[int, help_("extra copies of a duplicated receipt")] = 1
    missing_receipts: Annotated[Share, help_("share of receipts never sent")] = 0.0
    other_bind_receipts: Annotated[Share, help_("share of receipts sent on another bind")] = 0.0
    unknown_receipts: Annotated[
        Share, help_("share of messages with one more receipt, for an id never given")
    ] = 0.0
    intermediate_receipts: Annotated[
        Share, help_("share of receipts with an ENROUTE before the final one")
    ] = 0.0
    late_intermediates: Annotated[Share, help_("share of receipts with an ENROUTE after the final one")] = 0.0
    states: Annotated[
        dict[str, float], help_("weights of final states: DELIVRD=0.9,UNDELIV=0.1; none: delivered")
    ] = {}
    receipt_form: Annotated[str, help_("where a receipt says id and state", *RECEIPT_FORMS)] = "text"
    receipt_pdu: Annotated[str, help_("the command that carries a receipt", *RECEIPT_PDUS)] = "deliver_sm"
    receipt_coding: Annotated[str, help_("the coding of a receipt's text", *RECEIPT_CODINGS)] = "ascii"
    receipt_text: Annotated[str, help_("the form of a receipt's text", *RECEIPT_TEXTS)] = "standard"
    receipt_esm_class: Annotated[int, help_("esm_class of receipts: 4, or 0 to leave the bit out")] = 4
    receipt_window: Annotated[int, help_("unanswered deliver_sm on one bind; 0 means no limit")] = 0
    receipt_retry_s: Annotated[float, help_("send a deliver_sm again when unanswered this long; 0 never")] = (
        0.0
    )

    # mobile originated
    mo_rate: Annotated[float, help_("inbound messages a second")] = 0.0
    mo_source: Annotated[str, help_("their sender: a number that is counted up")] = "8613900000000"
    mo_destination: Annotated[str, help_("their destination")] = "10690000"
    mo_text: Annotated[str, help_("their text")] = "回复T退订"
    mo_parts: Annotated[int, help_("parts of each, with a concatenation UDH")] = 1
    mo_shuffled: Annotated[bool, help_("send the parts out of order")] = False

    # the link
    bind_status: Annotated[int, help_("refuse every bind with this status")] = 0
    bind_latency_s: Annotated[float, help_("answer a bind after this long")] = 0.0
    enquire_link_s: Annotated[float, help_("send enquire_link this often")] = 0.0
    enquire_link_silence: Annotated[bool, help_("never answer enquire_link")] = False
    deaf_after: Annotated[int, help_("stop reading after so many submit_sm on a bind (TCP fills up)")] = 0
    mute_after: Annotated[int, help_("write nothing more after so many submit_sm: half-open, no FIN")] = 0
    unbind_after: Annotated[int, help_("send unbind after so many submit_sm on a bind")] = 0
    disconnect_after: Annotated[int, help_("close after so many submit_sm on a bind")] = 0
    reset_after: Annotated[int, help_("reset the connection after so many submit_sm on a bind")] = 0
    coalesce_s: Annotated[float, help_("hold output back this long and send it in one piece")] = 0.0
    split_octets: Annotated[int, help_("send in pieces of this many octets")] = 0
    split_pause_s: Annotated[float, help_("wait between the pieces")] = 0.0


class CarrierOptions(Behaviour, frozen=True, kw_only=True):
    """A simulated carrier (SMSC): where it listens or connects, and how it behaves."""

    host: Annotated[str, help_("listen here")] = "127.0.0.1"
    port: Annotated[int, help_("listen on this port; 0 picks one and logs it")] = 12775
    system_id: Annotated[str, help_("accept binds of this system_id; empty: of anybody")] = "carrier"
    password: Annotated[str, help_("with this password")] = "password"  # noqa: S105 - a default
    certificate: Annotated[str, help_("PEM file: listen with TLS")] = ""
    key: Annotated[str, help_("PEM file of the certificate's key")] = ""
    connect: Annotated[str, help_("HOST:PORT: connect out instead of listening")] = ""
    connect_as: Annotated[str, help_("how to connect out", "outbind", "bound-in")] = "outbind"
    dialect: Annotated[str, help_("bound-in: the command of receipts and MO", "deliver_sm", "submit_sm")] = (
        "deliver_sm"
    )
    binds: Annotated[int, help_("connections when connecting out")] = 1
    fast: Annotated[bool, help_("the benchmark path: no misbehaviour, no log of messages")] = False
    seed: Annotated[int, help_("the same seed misbehaves the same way")] = 0
    report_s: Annotated[float, help_("print counts this often; 0 never")] = 10.0
