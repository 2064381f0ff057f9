"""The traffic store as the daemon sees it: a few calls on values, behind which another store can stand.

`apply` and the other writing calls belong to one writer thread. Reads may be made from any thread, beside a
write, and see what is committed. Every list has a `limit` and goes on from a key (keyset paging), so no read
is long. Ids, rows and `Changes` are those of `store/model.py`.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from store.files import StoreError
from store.model import (
    Attempt,
    Changes,
    Delivered,
    Inbound,
    Notice,
    Outcome,
    ParkedReceipt,
    Part,
    Receipt,
)

DiskState = Literal["ok", "low", "critical"]


class Applied(msgspec.Struct):
    """What one round did. Everything else in its `Changes` is durable."""

    parts: int = 0
    attempts: int = 0
    receipts: int = 0
    outcomes: int = 0
    delivered: int = 0  # events that left the log
    refused_outcomes: list[Outcome] = []  # their part was final already, or is unknown: nothing changed (P5)
    refused_parts: list[int] = []  # part ids of `moved` and `replaced` whose part was no longer open
    commit_s: float = 0.0  # from BEGIN to the end of COMMIT
    wal_octets: int = 0  # size of the write-ahead logs of the files touched


class StoreFull(StoreError):
    """The disk is full. Nothing of `rest` was stored; it may be tried again when there is room (P9).

    A round that touches several days commits day by day: `applied` counts the days before the full one.
    """

    def __init__(self, text: str, *, rest: Changes, applied: Applied) -> None:
        super().__init__(text)
        self.rest = rest
        self.applied = applied


class StoreFailed(StoreError):
    """An I/O error or corruption: the round is not durable, must not be answered; end the process (P10)."""


class StoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a store keeps its files. The defaults are for a daemon; tests make them small."""

    page_octets: int = 8192  # measured: 0.5 us less a message than 4096, from fewer frames and page writes
    # Writer's page cache of today's file; older files get an eighth. 64 MiB cost the same CPU a message.
    cache_kib: int = 24_576
    young_age_ms: int = 30_000  # an open part or event older than this is indexed on disk
    young_rows_max: int = 300_000  # more open parts or events than this are indexed sooner: 26 MB
    age_rows_max: int = 5_000  # rows indexed by one `maintain`: 10 ms
    checkpoint_rows: int = 6_000  # parts, attempts and receipts: some 2 MB of log, 3 ms of checkpoint
    wal_octets_high: int = 64 << 20  # over this a checkpoint waits for readers and gives the room back
    retention_days: int = 180
    receipt_grace_ms: int = 3_600_000  # a sent part without receipt is overdue this long after its validity
    lookback_days: int = 8  # a receipt finds its message so far back: longest validity, and 72 hours
    disk_low_octets: int = 2 << 30
    disk_critical_octets: int = 256 << 20
    ballast_octets: int = 256 << 20  # 0: none
    quick_check_octets_max: int = 1 << 30  # larger files are checked in the background: 2 s a GiB


class QueueKey(msgspec.Struct, frozen=True):
    """One line of parts that wait to be sent."""

    carrier: int
    lane: int
    account: int


class Recovery(msgspec.Struct):
    """What a daemon must know before it accepts anything."""

    last_id: int  # highest id in the store, of any kind
    usage: dict[int, tuple[int, int]]  # user -> (reserved, used), over all days kept here
    queued: dict[QueueKey, int]  # parts to be sent
    open_parts: dict[int, int]  # account -> parts that are not final
    awaiting_receipt: int
    claimed: int
    pending_events: dict[int, int]  # account -> events not yet delivered
    parked: int
    clean: bool  # the last process closed the store
    quarantined: list[str]  # files set aside because they are damaged (P15)
    notes: list[str]  # about SQLite's version, the file system
    took_s: float = 0.0


class Maintenance(msgspec.Struct):
    """What one `maintain` did and found."""

    more: bool = False  # call again soon: there is more to index
    checkpointed_octets: int = 0
    wal_octets: int = 0
    removed_days: list[int] = []
    unindexed_parts: int = 0  # accepted since `index_recent`; beyond 100,000 it should be called
    days_to_seal: list[int] = []  # past days for `seal`, on any thread; twice each: over, and finished
    disk: DiskState = "ok"
    free_octets: int = 0


class Event(msgspec.Struct):
    """One entry of an account's log: a receipt with its part, an inbound message, or a notice."""

    id: int
    account: int
    part: Part | None = None  # the receipt's; with its state and error as they are now
    receipt: Receipt | None = None
    inbound: Inbound | None = None
    notice: Notice | None = None


class MessageLife(msgspec.Struct):
    """Everything that is known of one message."""

    id: int
    parts: list[Part]
    attempts: list[Attempt]
    receipts: list[Receipt]
    outcomes: list[Outcome]
    deliveries: list[Delivered]  # `event_ids` holds those of this message only


class Rollup(msgspec.Struct, frozen=True):
    """How many parts born in one minute came to `state`; QUEUED counts all, SENT those a carrier accepted."""

    minute: int  # unix minutes of the parts' ids
    account: int
    carrier: int
    sms_type: int
    state: int
    messages: int  # first parts
    parts: int


class TrafficStore(Protocol):
    """The calls. Writing: `apply`, `remember_smsc_ids`, `maintain`, `close`; all others read."""

    def recover(self, consolidated_days: Collection[int] = ()) -> Recovery:
        """What is there, once, before the first `apply`. `usage` leaves out the consolidated days."""
        ...

    def apply(self, changes: Changes) -> Applied:
        """Make one round durable, in one transaction a day file.

        Raises ValueError before anything is written when a row cannot be stored, StoreFull, StoreFailed.
        """
        ...

    def remember_smsc_ids(self, entries: Sequence[tuple[int, str, int]]) -> None:
        """Keep (carrier, smsc_message_id, part id) that leave memory, for `find_by_smsc_id`."""
        ...

    def maintain(self, now_ms: int) -> Maintenance:
        """Checkpoint, index what grew old, roll over, remove old days, watch the disk. Some 10 ms."""
        ...

    def seal(self, day: int) -> None:
        """Index a past day for searches; seconds; any thread, beside everything else."""
        ...

    def index_recent(self) -> int:
        """Index the newest day's next parts for searches; how many there were; any thread."""
        ...

    def disk_state(self) -> DiskState: ...

    def backup(self, destination: Path) -> list[Path]:
        """A consistent copy of every day file, while running; any thread."""
        ...

    def close(self, *, clean: bool = True) -> None: ...

    # -- the queues -------------------------------------------------------------------------------

    def queued(self, carrier: int, lane: int, account: int, after_id: int, limit: int) -> list[Part]:
        """Parts that wait to be sent, by id: QUEUED, and no carrier accepted them yet."""
        ...

    def claimed(self, after_id: int, limit: int) -> list[Part]:
        """CLAIMED parts without a ROK answer, by id: after a crash their outcome is unknown (P3)."""
        ...

    def held(self, after_id: int, limit: int) -> list[Part]:
        """HELD parts, by id."""
        ...

    def scheduled_due(self, now_ms: int, limit: int) -> list[Part]:
        """SCHEDULED parts whose `deliver_at` has come, earliest first."""
        ...

    def overdue(self, now_ms: int, limit: int) -> list[Part]:
        """Open parts past their validity (not sent), or past validity and grace (sent). Not the young ones:
        a part is seen here from `young_age_ms` after its acceptance."""
        ...

    def awaiting_receipt(self, before_id: int, limit: int) -> list[tuple[Part, Attempt]]:
        """Sent parts without an end and the attempt that was accepted, newest first, below `before_id`."""
        ...

    # -- the log of events ------------------------------------------------------------------------

    def pending_events(self, account: int, after_event: int, limit: int) -> list[Event]:
        """Events of an account that are not delivered, by id."""
        ...

    def logged_events(self, account: int, after_event: int, through_event: int, limit: int) -> list[Event]:
        """Events of an account for readers with a cursor, by id, behind one id and up to another."""
        ...

    def logged_range(self, account: int) -> tuple[int, int]:
        """The oldest and newest event id of an account for readers with a cursor that is kept, 0 for none."""
        ...

    def accounts_with_pending_events(self) -> dict[int, int]:
        """account -> number of undelivered events."""
        ...

    # -- receipts that match nothing --------------------------------------------------------------

    def parked(self, after_id: int, limit: int) -> list[ParkedReceipt]: ...

    def parked_for(self, carrier: int, smsc_message_ids: Sequence[str]) -> list[ParkedReceipt]: ...

    def find_by_smsc_id(self, carrier: int, smsc_message_ids: Sequence[str]) -> dict[str, int]:
        """smsc_message_id -> newest part id, for those that `remember_smsc_ids` or a sealed day knows."""
        ...

    # -- looking up -------------------------------------------------------------------------------

    def parts(self, ids: Sequence[int]) -> list[Part]:
        """The parts there are, by id."""
        ...

    def message(self, message_id: int) -> MessageLife | None: ...

    def find_pending(self, account: int, source: bytes, dest: int, *, limit: int = 100) -> list[Part]:
        """Open parts of an account from `source` (b"": any) to `dest`, newest first: cancel_sm, replace."""
        ...

    def recent_part_to(self, dest: int, source: bytes, *, since_ms: int) -> Part | None:
        """The newest part sent to `dest` from `source`: which MT an MO answers."""
        ...

    def parts_to(self, dest: int, before_id: int, limit: int) -> list[Part]:
        """Parts to a number, newest first."""
        ...

    def parts_of(self, account: int, before_id: int, limit: int) -> list[Part]:
        """Parts of an account, newest first."""
        ...

    def inbound(self, account: int | None, before_id: int, limit: int) -> list[Inbound]:
        """MO segments, newest first; `account` None for all, 0 for those without an owner."""
        ...

    # -- figures and proofs -----------------------------------------------------------------------

    def days(self) -> list[int]: ...

    def rollups(self, from_minute: int, to_minute: int) -> list[Rollup]:
        """Rows of minutes in [from_minute, to_minute)."""
        ...

    def rollup_sums(
        self, from_minute: int, to_minute: int, accounts: Collection[int] | None = None
    ) -> dict[int, int]:
        """state -> parts over minutes in [from_minute, to_minute), of some accounts or of all (None)."""
        ...

    def message_states(self, ranges: Sequence[tuple[int, int]]) -> Counter[tuple[int, bool]]:
        """Messages with parts in these ranges of ids: (state, a carrier had taken it; of FAILED) -> count."""
        ...

    def message_figures(
        self, task: int, first_id: int, last_id: int
    ) -> dict[tuple[int, int], tuple[int, int]]:
        """(state, error) -> (messages, parts that a carrier accepted) of a task's messages in a range of ids."""
        ...

    def message_carriers(
        self, task: int, first_id: int, last_id: int
    ) -> dict[int, tuple[int, int, int, int]]:
        """carrier -> (messages, accepted, delivered, failed) of a task's messages in a range of ids."""
        ...

    def numbers_in_states(self, task: int, first_id: int, last_id: int, states: tuple[int, ...]) -> list[int]:
        """Destinations of a task's messages in a range of ids of which a part has ended in these states."""
        ...

    def recount_rollups(self, day: int) -> list[Rollup]:
        """The same rows of a day, counted from its parts, attempts and outcomes."""
        ...

    def usage(self, day: int) -> dict[int, tuple[int, int]]:
        """user -> (reserved, used) of the parts born on a day."""
        ...

    def recount_usage(self, day: int, user_of_account: Mapping[int, int]) -> dict[int, tuple[int, int]]:
        """The same from the part rows: open and never sent are reserved, sent are used."""
        ...

    def check_day(self, day: int) -> list[str]:
        """Damage found in a day's file, [] when sound: half a second for 240 MB; any thread."""
        ...

    def verify(self, user_of_account: Mapping[int, int] | None = None) -> list[str]:
        """Every contradiction found in the files; [] is as it must be. Reads everything."""
        ...
