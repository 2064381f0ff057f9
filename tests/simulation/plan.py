"""A run as data: the world's settings and an explicit list of what happens when.

Everything random beside the list comes from streams named after what they decide, so dropping one event leaves
all others as they were: that is what lets `shrink.py` take a failing plan apart. A stored plan runs for ever,
whatever becomes of `generate.py`.
"""

from pathlib import Path
from typing import Any

import msgspec


class CarrierSpec(msgspec.Struct, omit_defaults=True):
    """One simulated carrier, and how the gateway is told to treat it. Shares are probabilities a message."""

    name: str
    # what the gateway's directory says
    bind: str = "transceiver"
    mode: str = "client"
    binds: int = 1
    window: int = 10
    rate: int = 0
    on_unknown: str = "resend"
    message_id: str = "auto"
    response_timeout_s: float = 8.0
    enquire_link_s: float = 5.0
    # how it answers
    answer_s: float = 0.01
    throttle: float = 0.0
    queue_full: float = 0.0
    system_error: float = 0.0
    refuse: float = 0.0
    nack: float = 0.0
    silent: float = 0.0  # never answers; has taken the message or not
    late: float = 0.0  # answers after the gateway's response timeout
    wrong_sequence: float = 0.0  # answers somebody else's sequence number, and never the right one
    # its receipts
    id_form: str = "dec"  # dec | hex | upper | padded | hex-dec (hex in the answer, padded decimal after)
    receipt_form: str = "both"  # text | tlv | both
    receipt_s: float = 0.2
    no_receipt: float = 0.0
    early: float = 0.0  # before the answer
    duplicate: float = 0.0
    contradict: float = 0.0  # a second, different final state
    intermediate: float = 0.0
    undelivered: float = 0.1
    other_bind: float = 0.0
    # its bad days
    hang_up: float = 0.0  # unbinds after a message
    loses_queue: bool = False  # a restart forgets what was taken and not yet receipted
    reuses_ids: bool = False  # a restart counts its ids from the beginning


class AccountSpec(msgspec.Struct, omit_defaults=True):
    """One customer with its SMPP client."""

    name: str
    binds: tuple[str, ...] = ("transceiver",)
    window: int = 50  # the gateway's bound
    client_window: int = 10  # the client's own
    rate: int = 0
    limit: int = 10_000
    senders: tuple[str, ...] = ()
    receipts: str = "message"
    priority: int = 1
    version: int = 0x34
    # how it answers deliver_sm
    answer_s: float = 0.01
    busy: float = 0.0  # a temporary refusal
    refuse: float = 0.0  # a permanent one
    silent: float = 0.0
    hang_up: float = 0.0
    resubmits: bool = False  # sends again what was not answered


class Settings(msgspec.Struct, omit_defaults=True):
    """The gateway's configuration and the world's weather."""

    queue_parts_max: int = 200
    correlation_entries_max: int = 1000
    events_in_memory_max: int = 200
    receipts_window: int = 10
    refill_s: float = 0.25
    tick_s: float = 0.5
    latency_s: float = 0.002
    jitter: float = 1.0
    capacity_octets: int = 16_384
    fragment: float = 0.0
    reset_on_close: float = 0.0
    commit_s: float = 0.002
    read_s: float = 0.0
    told_late_s: float = 0.0  # a round is on disk so much before the daemon hears of it, at most
    words: tuple[str, ...] = ()
    wall_start_ms: int = 1_795_687_200_000  # 2026-11-26 10:00 UTC
    policy: str = "failover"


class Event(msgspec.Struct, omit_defaults=True):
    """Something that somebody does at a time (seconds from the start)."""

    at: float
    kind: str
    who: str = ""
    args: dict[str, Any] = {}


class Plan(msgspec.Struct, omit_defaults=True):
    """One run, completely."""

    seed: int
    carriers: list[CarrierSpec]
    accounts: list[AccountSpec]
    events: list[Event]
    settings: Settings = msgspec.field(default_factory=Settings)
    scheduler: int = 0  # added to the seed of trio's scheduler
    until_s: float = 30.0  # the workload and the faults are over
    store: str = "memory"  # memory | sqlite
    invariant: str = ""  # of a stored plan: what it broke
    found: str = ""  # of a stored plan: what was wrong, in words

    def save(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def load(path: Path) -> Plan:
    return msgspec.json.decode(path.read_bytes(), type=Plan)
