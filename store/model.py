"""What the store holds of traffic, as typed rows, and the typed changes that move it forward.

The daemon never writes SQL: it fills a `Changes` and hands it to the committer, which merges all that wait
into one round and gives that to a store. A second store implements the same few calls (`store/port.py`).

Times named `_at` are UTC milliseconds; 0 means "not set". Ids are those of `store/ids.py`. The parts of one
message have consecutive ids, the message's id being that of its first part: `part.id - (part.part_no - 1)`.
Field order is column order: rows go to SQL by `msgspec.structs.astuple`.
"""

from enum import IntEnum

import msgspec


class State(IntEnum):
    """Where a part is. One octet wide from 2 up on disk, so that an update never grows its row.

    QUEUED to HELD are open; the rest are final and never change (promise P5).
    """

    SCHEDULED = 2  # accepted; deliver_at lies ahead
    QUEUED = 3  # waits for a carrier's window, rate or bind
    CLAIMED = 4  # on a hold or fail carrier: recorded before the PDU is written (P3)
    SENT = 5  # the carrier answered ROK; a receipt is awaited. Derived from the attempt row
    HELD = 6  # outcome unknown on a carrier whose policy is `hold`
    REVIEW = 7  # waits for a reviewer
    DELIVERED = 10
    FAILED = 11  # the carrier or handset refused it for good
    EXPIRED = 12
    REJECTED = 13  # refused after acceptance by a rule of ours (blacklist at dispatch) or a REJECTD receipt
    CANCELLED = 14
    UNKNOWN = 15  # no receipt within validity and grace


FINAL_STATES = frozenset(s for s in State if s >= State.DELIVERED)
OPEN_STATES = frozenset(s for s in State if s < State.DELIVERED)

# `error` of a part that has none yet: two octets wide like every real one, so an update keeps the row's size.
NO_ERROR = 0x7FFF
NO_CARRIER = 0  # `carrier` of a part that is sent nowhere: a message of a test key


class Part(msgspec.Struct, gc=False):
    """One SMS segment (条) of a message: the row of table `part`, and what travels through the daemon.

    `body` is the submit_sm body to send, canonical: addresses normalised, no schedule, no validity, a
    receipt asked for. `detail` is a msgpack map of what is out of the ordinary (masked original, rules that
    touched the text, why this route), or None.
    """

    id: int
    account: int
    carrier: int  # the carrier chosen at acceptance; failover may change it
    lane: int  # gateway/outbound.py: 0 bulk, 1 normal, 2 urgent
    state: int
    part_no: int  # from 1
    parts: int
    dest: int  # canonical number, digits only
    source: bytes  # sender address as sent
    sms_type: int
    task: int  # console task, 0 for API traffic
    route: int  # id of the route that chose the carrier
    registered_delivery: int  # what the customer asked for
    data_coding: int
    accepted_at: int
    deliver_at: int
    expires_at: int
    done_at: int  # accepted_at until final (same width)
    error: int  # NO_ERROR until final; a command_status, or a reason of store/reasons
    flags: int  # PartFlag bits
    body: bytes
    detail: bytes | None


class PartFlag:
    """Bits of `Part.flags`."""

    VALIDITY_GIVEN = 1  # the customer set a validity: tell the carrier what is left of it
    MAYBE_DUPLICATE = 2  # may have been sent before, outcome unknown (P3)
    MASKED = 4
    ONE_OF_MANY = 32  # a destination of a submit_multi: detail["first"] is the id that the customer was given
    CONCATENATED = 16  # a segment that the customer split: stays beside its neighbours on one bind
    TELL_ACCEPTED = 64  # the customer wants to hear of the carrier's ROK, too (on a message's first part)
    SPLIT_BY_US = 8  # one submit_sm became `parts` parts: one receipt for all, unless the account wants each


class Attempt(msgspec.Struct, gc=False):
    """One submit_sm to a carrier and what became of it: row of table `attempt`, key (part_id, n)."""

    part_id: int
    n: int  # from 1
    carrier: int
    bind: int  # number of the bind within its carrier
    sequence_number: int
    sent_at: int
    answered_at: int  # 0: no answer in time
    status: int  # command_status; NO_ANSWER when none came, LINK_LOST when the bind went down first
    smsc_message_id: str  # "" when the answer had none
    pdu: bytes | None  # the body as sent, where it differs from part.body


NO_ANSWER = -1
LINK_LOST = -2


class EventFor:
    """Bits of `event`: who reads a row as an event of its account. 0: nobody, the customer did not ask."""

    BINDS = 1  # waits for an SMPP bind of the account to take it
    CURSORS = 2  # in the account's log for readers with a cursor: HTTP, webhooks


class Receipt(msgspec.Struct, gc=False):
    """One delivery receipt of a carrier, matched to a part: row of table `receipt`, and a customer's event."""

    id: int  # minted on arrival: order of the log
    part_id: int
    account: int
    carrier: int
    bind: int
    received_at: int
    message_state: int  # SMPP message_state 0-9
    error: int  # network or vendor error as far as it is a number, else NO_ERROR
    event: int  # EventFor bits
    raw: bytes  # the deliver_sm or data_sm body as it came; b"" for receipts that the gateway itself makes


class ParkedReceipt(msgspec.Struct, gc=False):
    """A receipt that matches nothing yet: kept 72 h and tried again (P4)."""

    id: int
    carrier: int
    bind: int
    received_at: int
    smsc_message_id: str
    dest: int  # the number it speaks of, 0 if unreadable
    message_state: int
    error: int
    raw: bytes
    reason: str  # "unknown id", "destination differs", "unreadable"


class Outcome(msgspec.Struct, gc=False):
    """The end of a part. Applied only while the part is open: a final state never changes."""

    part_id: int
    account: int
    state: int
    done_at: int
    error: int


class Inbound(msgspec.Struct, gc=False):
    """One MO segment from a carrier, and (for readers) the joined text once all its segments are there."""

    id: int
    account: int  # 0: nobody owns the number
    carrier: int
    received_at: int
    source: bytes
    dest: bytes
    data_coding: int
    esm_class: int
    reference: int  # concatenation reference, -1 for a single segment
    part_no: int
    parts: int
    answers: int  # id of the MT that it answers, 0 if none is known
    event: int  # EventFor bits; readers with a cursor see the row that carries the whole text only
    body: bytes  # deliver_sm body, unchanged
    text: str  # this segment's text


class Notice(msgspec.Struct, gc=False):
    """An event of an account's log that is neither receipt nor MO: row of table `notice`."""

    id: int
    account: int
    at: int
    kind: str  # "batch.finished"
    data: bytes  # JSON


class Delivered(msgspec.Struct, gc=False):
    """One try to hand events of an account's log to a customer, answered alike: many event ids, one row."""

    account: int
    bind: str  # "smpp:3", "webhook:7", "stream:2"
    at: int
    status: int  # command_status or HTTP status; NO_ANSWER, LINK_LOST
    event_ids: list[int]
    done: bool  # True: off the log (delivered, or given up for good); False: stays pending, will be retried


class Usage(msgspec.Struct, gc=False):
    """Change of one user's quota, in parts, in the same transaction as its cause (P7)."""

    user: int
    day: int  # days since 1970 of the message's birth
    reserved: int
    used: int


class Changes(msgspec.Struct):
    """One caller's share of a commit round, in any mix; all of it is durable together, per day file."""

    parts: list[Part] = []
    attempts: list[Attempt] = []
    receipts: list[Receipt] = []
    outcomes: list[Outcome] = []
    parked: list[ParkedReceipt] = []
    unparked: list[int] = []
    inbound: list[Inbound] = []
    delivered: list[Delivered] = []
    usage: list[Usage] = []
    moved: list[tuple[int, int, int]] = []  # (part_id, state, carrier): back to the queue, held, failover
    flagged: list[tuple[int, int]] = []  # (part_id, flags)
    replaced: list[Part] = []  # replace_sm: the part as it is now
    notices: list[Notice] = []
