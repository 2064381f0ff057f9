"""What the console asks of the running daemon. `gateway/daemon.py` hands in an object that can do this."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from store.model import Part, Receipt
from store.port import MessageLife
from store.reads_messages import FoundMessages, MessageFilter


class Bind(msgspec.Struct, frozen=True):
    number: int
    state: str
    window_used: int
    window_max: int
    peer: str
    enquire_link_ms: float = -1.0  # round trip of the last one, -1 before the first


class Carrier(msgspec.Struct, frozen=True):
    """A carrier at this moment. `limited_by` says what keeps it from sending faster."""

    name: str
    up: bool
    limited_by: str
    trouble: str
    queued: int
    sent: int
    accepted: int
    accepted_rate: float
    refused: dict[int, int]
    throttled: int
    receipts: int
    awaiting_receipt: int
    maybe_duplicates: int
    message_id_rule: str
    binds: list[Bind]
    sent_rate: float = 0.0
    receipt_rate: float = 0.0
    pace: float = 0.0  # parts a second that it may have now, 0 without a limit
    slowed: float = 1.0  # share of its rate since it throttled us
    last_error: str = ""
    last_error_at: int = 0  # UTC ms


class Account(msgspec.Struct, frozen=True):
    """A customer's account at this moment."""

    system_id: str
    binds: int
    accepted: int
    refused: int
    events_waiting: int
    events_delivered: int
    available: int


class Live(msgspec.Struct, frozen=True):
    """The daemon at this moment: counters since its start. Fields that a newer daemon adds are left out."""

    listeners: dict[str, str]
    draining: bool
    disk: str
    commit_rounds: int
    committed_parts: int
    commit_ms: float
    parked_receipts: int
    unmatched_receipts: int
    duplicate_receipts: int
    inbound: int
    carriers: list[Carrier]
    accounts: list[Account]


class RouteAnswer(msgspec.Struct, frozen=True):
    """Where a message to a number would go now. `carrier` is "" where no route matches."""

    prefix: str = ""
    carrier: str = ""
    up: bool = False
    first: bool = True  # the route's first carrier; False: something is wrong with that one


class TextFigures(msgspec.Struct, frozen=True):
    """What a text is on the wire, after the sensitive words have been masked.

    pieces: the text as written, cut where words hit; each with whether it was hit.
    action: "", "mask", "review" or "reject": the strictest word's.
    forcing: the first characters that force UCS-2.
    """

    masked: str
    alphabet: str
    units: int
    units_left: int
    parts: int
    forcing: list[str] = []
    pieces: list[tuple[str, bool]] = []
    action: str = ""
    words: list[str] = []


class Traffic(Protocol):
    """What was sent, to be read from any thread; each reading is short."""

    def find_messages(
        self, wanted: MessageFilter, before_id: int, limit: int, *, budget_s: float = 0.25
    ) -> FoundMessages:
        """Messages below an id, newest first: `limit` of them, or what was found in the time."""
        ...

    def count_messages(self, wanted: MessageFilter, before_id: int, at_most: int) -> int:
        """About how many messages; `at_most` for more, and where counting took too long."""
        ...

    def message(self, message_id: int) -> MessageLife | None:
        """Everything about one message."""
        ...


class ReceiptSaid(Protocol):
    """A receipt as its carrier wrote it."""

    @property
    def stat(self) -> str: ...
    @property
    def err(self) -> str: ...
    @property
    def smsc_message_id(self) -> str: ...
    @property
    def submit_date(self) -> str: ...
    @property
    def done_date(self) -> str: ...
    @property
    def text(self) -> str: ...


class WebhookNews(msgspec.Struct, frozen=True):
    """How far a webhook is with an event: "settled", "ahead", "again" at a time, or "dead"."""

    name: str
    event: int
    state: str
    attempts: int = 0
    status: int = 0
    error: str = ""
    at: int = 0


class Operations(Protocol):
    """The daemon, as far as the console may touch it. To be called on the event loop only."""

    async def reload(self) -> None:
        """Take people, words, blacklists, carriers and routes as config.db has them now."""
        ...

    async def reload_directory(self) -> None:
        """The same where only carriers, routes or accounts changed: milliseconds."""
        ...

    def rebind(self, carrier: int) -> bool:
        """Unbind a carrier politely and bind anew; False when the daemon does not know it."""
        ...

    def throughput(self, since: int) -> Sequence[tuple[int, int, int, int, int]]:
        """The seconds after `since` (UTC), at most 15 minutes: (second, accepted, taken, receipts, queued)."""
        ...

    async def day_sums(
        self, from_minute: int, to_minute: int, accounts: Collection[int] | None
    ) -> dict[str, int]:
        """Parts born in these UTC minutes by name of `store.model.State`: QUEUED counts all, SENT those that a
        carrier accepted; `accounts` None is all."""
        ...

    def live(self) -> object:
        """What is happening at this moment: anything with the attributes of `Live`; cheap."""
        ...

    def balances(self) -> Mapping[int, tuple[int, int]]:
        """By user id: parts used ever (config.db knows those of closed days only), and reserved now."""
        ...

    def route_of(self, number: int, account: int, sms_type: str) -> object:
        """Which carrier would take a message to this number (like `RouteAnswer`); account 0 is any."""
        ...

    def canonical_number(self, text: str) -> int:
        """A number as people write it, in international form. Raises ValueError with a sentence."""
        ...

    # -- sending ----------------------------------------------------------------------------------

    def text_figures(self, text: str) -> object:
        """What a text costs and what sensitive words make of it (like `TextFigures`): the door's own judgement."""
        ...

    def sender_allowed(self, account: str, sender: str) -> bool:
        """Whether an account, by its system_id, may send from this address; "" is its default."""
        ...

    def home_country(self) -> str:
        """The code put before national numbers, "" for none."""
        ...

    def reserve(self, task: int, user: int, parts: int) -> bool:
        """Hold a task's parts; then `task_changed` once it is confirmed, or `release`. False: not enough."""
        ...

    def release(self, task: int) -> None:
        """The task was not confirmed after all."""
        ...

    def task_changed(self, task: int) -> None:
        """A task was moved: act on it now."""
        ...

    def task_rate(self, task: int) -> float:
        """Messages of a task that leave in a second, at the moment."""
        ...

    async def task_carriers(self, task: int) -> list[tuple[str, int, int, int, int]]:
        """(carrier, messages, accepted, delivered, failed) of a task, the busiest first."""
        ...

    async def choose_numbers(self, task: int, wanted: str, target: Path) -> int:
        """Write the numbers that a resend is for into a file, one a line; how many there are."""
        ...

    async def failures(self, task: int) -> Mapping[tuple[int, int, bool], int]:
        """(state, error, whether a carrier had taken it) -> messages of a task that failed; state 0: at the door."""
        ...

    # -- what was sent: these may be called from any thread ----------------------------------------

    def traffic(self) -> Traffic:
        """The messages."""
        ...

    def message_text(self, parts: Sequence[Part]) -> str:
        """The text of a message from its parts."""
        ...

    def message_needles(self, text: str) -> tuple[bytes, ...]:
        """The octets of which a part that holds this text has one."""
        ...

    def receipt_said(self, receipt: Receipt) -> ReceiptSaid:
        """A receipt as its carrier wrote it."""
        ...

    def message_number(self, text: str) -> int:
        """The message that somebody names by the id that they were given, 0 for what is no id."""
        ...

    def shown_message_id(self, message_id: int) -> str:
        """A message's id as the HTTP API gives it."""
        ...

    async def webhook_news(self, account: int, events: Sequence[int]) -> Sequence[object]:
        """How far the webhooks of an account are with these events (like `WebhookNews`); on the event loop."""
        ...

    def route_title(self, route: int) -> str:
        """A route for people, "" for one that is gone."""
        ...
