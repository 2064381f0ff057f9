"""What the console asks of the running daemon. `gateway/daemon.py` hands in an object that can do this."""

from collections.abc import Mapping
from typing import Protocol

import msgspec


class Bind(msgspec.Struct, frozen=True):
    number: int
    state: str
    window_used: int
    window_max: int
    peer: str


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


class Operations(Protocol):
    """The daemon, as far as the console may touch it. To be called on the event loop only."""

    async def reload(self) -> None:
        """Take people, words, blacklists, carriers and routes as config.db has them now."""
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
