"""A gateway without sockets or disk: what the tests of its synchronous core are made of."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from filters.blacklist import Blacklists
from filters.numbers import Numbering
from filters.words import WordSet
from gateway.accounts import AccountState
from gateway.carriers import CarrierState, Flight
from gateway.customer_pdus import customer_body
from gateway.delivery import Event
from gateway.intake import Intake, Rules
from gateway.outcomes import Outcomes
from gateway.quota import QuotaBook
from gateway.routing import Router
from gateway.smpp.constants import CommandId
from gateway.smpp.decode import decode_body
from gateway.smpp.encode import submit_body
from gateway.smpp.joiner import ReferenceSource
from gateway.smpp.message_ids import HabitLearner
from gateway.smpp.pdu import DeliverSm, Pdu, SubmitSm, SubmitSmResp
from gateway.smpp.receipts import format_receipt, parse_receipt
from gateway.split import SplitMessages
from store.directory import Account, Carrier, Directory, Group, Route, User
from store.ids import IdSource
from store.model import NO_ERROR, Changes, Part, State

NOW_MS = 1_800_000_000_000  # 2027-01-15 08:00 UTC
DEST = 8613800138000
SENDER = b"10690"


class FakeClock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.ms = NOW_MS

    def now(self) -> float:
        return self.seconds

    def wall_ms(self) -> int:
        return self.ms

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        self.ms += round(seconds * 1000)


def make_body(
    text: bytes = b"hello",
    *,
    dest: int = DEST,
    source: bytes = SENDER,
    data_coding: int = 0,
    esm_class: int = 0,
    registered_delivery: int = 1,
    ton: int = 1,
    tlvs: tuple[tuple[int, bytes], ...] = (),
) -> bytes:
    """A canonical submit_sm body."""
    return submit_body(
        b"", ton, 1, source, 1, 1, b"%d" % dest, esm_class, 0, 0, b"", b"", registered_delivery, 0,
        data_coding, 0, text, tlvs,
    )  # fmt: skip


def make_part(part_id: int = 0, **fields: Any) -> Part:
    """An ordinary QUEUED part; `fields` override."""
    values: dict[str, Any] = {
        "id": part_id or first_id() + 1,
        "account": 1,
        "carrier": 1,
        "lane": 1,
        "state": State.QUEUED,
        "part_no": 1,
        "parts": 1,
        "dest": DEST,
        "source": SENDER,
        "sms_type": 1,
        "task": 0,
        "route": 1,
        "registered_delivery": 1,
        "data_coding": 0,
        "accepted_at": NOW_MS,
        "deliver_at": 0,
        "expires_at": NOW_MS + 72 * 3_600_000,
        "done_at": NOW_MS,
        "error": NO_ERROR,
        "flags": 0,
        "body": b"",
        "detail": None,
    } | fields
    values["body"] = values["body"] or make_body(
        dest=values["dest"], source=values["source"], data_coding=values["data_coding"]
    )
    return Part(**values)


def first_id(second: int = NOW_MS // 1000) -> int:
    return second << 30


class FakeBind:
    """A bind that remembers what it was given and answers nothing by itself."""

    def __init__(self, carrier: CarrierState, window: int = 10) -> None:
        self.carrier = carrier
        self.number = len(carrier.binds) + 1
        self.peer = "peer"
        self.window = window
        self.can_send = True
        self.carried: deque[Part] = deque()
        self.flights: list[Flight] = []  # unanswered, in order of sending
        self.sent: list[tuple[Part, bytes]] = []
        self.sent_at: list[float] = []
        carrier.binds.append(self)  # type: ignore[arg-type]

    @property
    def window_free(self) -> int:
        return self.window - len(self.flights)

    def send_flights(self, flights: list[Flight], bodies: list[bytes], now: float) -> None:
        assert len(flights) == len(bodies) <= self.window_free
        self.flights += flights
        self.sent += zip((flight.part for flight in flights), bodies, strict=True)
        self.sent_at += [now] * len(flights)

    def sent_ids(self) -> list[int]:
        return [part.id for part, _ in self.sent]


class World:
    """A directory of one group, user and account; carriers; and the pieces of the core around them."""

    def __init__(
        self,
        *,
        account: Account | None = None,
        user: User | None = None,
        group: Group | None = None,
        carriers: Iterable[Carrier] = (),
        routes: Iterable[Route] = (),
        sms_types: dict[str, int] | None = None,
        words: Sequence[Any] = (),
        blacklists: Blacklists | None = None,
        home_country: str = "86",
        queue_parts_max: int = 5_000,
    ) -> None:
        self.clock = FakeClock()
        group = group or Group(1, "g", review="trust")
        user = user or User(1, "u", group.id, limit=1_000_000)
        account = account or Account(1, user.id, "u", "")
        carrier_rows = list(carriers) or [Carrier(1, "a")]
        route_rows = list(routes) or [Route(1, "", (carrier_rows[0].id,))]
        self.directory = Directory(
            groups={group.id: group},
            users={user.id: user},
            accounts={account.id: account},
            carriers={carrier.id: carrier for carrier in carrier_rows},
            routes={route.id: route for route in route_rows},
            sms_types={"api": 1} if sms_types is None else sms_types,
        )
        self.ids = IdSource(lambda: self.clock.wall_ms() / 1000)
        self.quota = QuotaBook()
        self.quota.set_users(self.directory.users)
        self.balance = self.quota.balances[user.id]
        self.account = AccountState(account, self.directory, self.clock.now(), events_max=1000)
        self.ended: list[Part] = []
        self.unsendable: list[Part] = []
        self.claims: list[list[Part]] = []
        self.wakes: list[float] = []
        self.carriers = {row.id: self.carrier_state(row, queue_parts_max) for row in carrier_rows}
        self.carrier = self.carriers[carrier_rows[0].id]
        self.receipts_each = account.receipts == "part"
        self.splits = SplitMessages(lambda _: self.receipts_each)
        self.outcomes = Outcomes(self.clock, self.ids, self.quota, lambda _: user.id, self.splits)
        self.router = Router(self.directory, lambda carrier: self.carriers[carrier].up)
        self.rules = Rules(
            self.router,
            blacklists or Blacklists(),
            WordSet(words) if words else None,
            Numbering(home_country),
            {number: name for name, number in self.directory.sms_types.items()},
            frozenset(carrier.id for carrier in carrier_rows if carrier.split == "udh16"),
        )
        self.intake = Intake(self.ids, self.quota, self.rules, ReferenceSource(1, slots=16))
        self.usage = [0, 0]  # what the store would have: reserved, used

    def carrier_state(self, carrier: Carrier, queue_parts_max: int = 5_000) -> CarrierState:
        state = CarrierState(
            carrier,
            self.clock,
            habits=HabitLearner(carrier.message_id),
            queue_parts_max=queue_parts_max,
            correlation_entries_max=1000,
            on_expired=self.ended.extend,
            on_unsendable=self.unsendable.extend,
            on_claim=lambda state, parts: self.claims.append(parts),
        )
        state.wake = self.wakes.append
        return state

    # -- in ---------------------------------------------------------------------------------------

    def accept(self, *submits: SubmitSm) -> tuple[list[int], Changes]:
        changes = Changes()
        results = self.intake.accept_batch(self.account, submits, self.clock.wall_ms(), changes)
        self.committed(changes)
        return results, changes

    def committed(self, changes: Changes) -> None:
        """Keep the store's side of the quota."""
        for row in changes.usage:
            self.usage[0] += row.reserved
            self.usage[1] += row.used

    def sent(self, part: Part | None = None, *, bind: FakeBind | None = None, n: int = 1) -> Flight:
        """A part on the wire, reserved as intake would have."""
        part = part or make_part(self.ids.mint())
        if n == 1:
            self.balance.reserved += 1
            self.usage[0] += 1
        return Flight(part, n, self.clock.wall_ms(), None, 7)

    # -- answers and receipts ---------------------------------------------------------------------

    def answer(
        self, *answers: tuple[Flight, Pdu], late: bool = False, carrier: CarrierState | None = None
    ) -> tuple[list[Event], Changes]:
        changes = Changes()
        events = self.outcomes.answers(carrier or self.carrier, 1, answers, changes, late=late)
        self.committed(changes)
        return events, changes

    def unanswered(self, *flights: Flight, lost: bool = False) -> tuple[list[Event], Changes]:
        changes = Changes()
        events = self.outcomes.unanswered(self.carrier, 1, flights, changes, lost=lost)
        self.committed(changes)
        return events, changes

    def receive(
        self, *receipts: DeliverSm, carrier: CarrierState | None = None
    ) -> tuple[list[Event], Changes]:
        changes = Changes()
        read = [parse_receipt(pdu) for pdu in receipts]
        events = self.outcomes.receipts(carrier or self.carrier, 1, receipts, read, changes)
        self.committed(changes)
        return events, changes

    def quota_is_settled(self) -> bool:
        """Whether the balance in memory is what the rows for the store add up to."""
        return [self.balance.reserved, self.balance.used] == self.usage


def ok(smsc_id: bytes = b"abc1", sequence_number: int = 7) -> SubmitSmResp:
    return SubmitSmResp(sequence_number, 0, smsc_id)


def refusal(status: int, sequence_number: int = 7) -> SubmitSmResp:
    return SubmitSmResp(sequence_number, status)


def receipt(
    smsc_id: bytes = b"abc1",
    state: int = 2,
    *,
    dest: int = DEST,
    error: bytes = b"000",
    with_tlvs: bool = False,
    esm_class: int = 4,
) -> DeliverSm:
    """A carrier's receipt as it comes off the wire."""
    text, tlvs = format_receipt(
        message_id=smsc_id,
        state=state,
        submit_date=b"2701150800",
        done_date=b"2701150801",
        error=error,
        with_tlvs=with_tlvs,
    )
    return DeliverSm(
        5, 0, b"", 1, 1, b"%d" % dest, 0, 1, SENDER, esm_class, short_message=text, tlvs=tlvs, raw=b"raw"
    )


def decoded(body: bytes) -> SubmitSm:
    """A submit_sm body, read."""
    pdu = decode_body(CommandId.SUBMIT_SM, body)
    assert isinstance(pdu, SubmitSm), pdu
    return pdu


def delivered(event: Event, version: int = 0x34) -> DeliverSm:
    """An event as the customer reads it."""
    pdu = decode_body(CommandId.DELIVER_SM, customer_body(event, version))
    assert isinstance(pdu, DeliverSm), pdu
    return pdu
