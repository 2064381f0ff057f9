"""The daemon as the console sees it: what it may ask and cause, and nothing else."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from filters.words import mask
from gateway.api import ids
from gateway.api.build import sender as sender_address
from gateway.api.invalid import Invalid
from gateway.control_store import number_reader
from gateway.control_traffic import described, message_number
from gateway.message_texts import ReceiptSaid, message_text, needles, receipt_said
from gateway.ports import ThreadedStore
from gateway.smpp.segments import segment_info
from gateway.status import Status, status_report
from gateway.webhooks.service import WebhookNews
from store.model import Part, Receipt, State
from store.port import TrafficStore
from store.task_file import ROWS, Pass, TaskFile, folder_of
from store.traffic import SqliteStore

if TYPE_CHECKING:
    from gateway.daemon import Daemon


FORCING_SHOWN_MAX = 10
IDS_JOINED = 60 << 30  # ids of a minute: those of others between are skipped faster than another query
FAILING_PASSES_MAX = 10_000  # of a task whose failures are told: four million rows, some 0.5 s of reading
# Whom a resend is for, by the states in which their messages ended.
CHOSEN: Mapping[str, tuple[int, ...]] = {
    "all": (),
    "not-sent": (State.CANCELLED,),
    "failed": (State.FAILED, State.EXPIRED, State.REJECTED),
    "unknown": (State.UNKNOWN,),
}


class RouteFound(msgspec.Struct, frozen=True):
    """Where a message would go now. `carrier` is "" where no route matches."""

    prefix: str = ""
    carrier: str = ""
    up: bool = False
    first: bool = True


class TextFigures(msgspec.Struct, frozen=True):
    """A text on the wire, after masking; `pieces` of the text as written, with whether a word hit them."""

    masked: str
    alphabet: str
    units: int
    units_left: int
    parts: int
    forcing: list[str]
    pieces: list[tuple[str, bool]]
    action: str
    words: list[str]


class ConsoleOperations:
    """Handed to the console; its calls belong on the event loop."""

    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon
        self._number = number_reader(daemon.config.smpp.home_country)

    async def reload(self) -> None:
        """Take people, words, blacklists, carriers and routes as config.db has them now."""
        await self._daemon.reload()

    async def reload_directory(self) -> None:
        """The same where only carriers, routes or accounts changed: milliseconds."""
        await self._daemon.reload_directory()

    def rebind(self, carrier: int) -> bool:
        """Unbind a carrier politely and bind anew; False when the daemon does not know it."""
        if carrier not in self._daemon.core.carriers:
            return False
        self._daemon.rebind(carrier)
        return True

    def throughput(self, since: int) -> Sequence[tuple[int, int, int, int, int]]:
        """The seconds after `since` (UTC), at most 15 minutes: (second, accepted, taken, receipts, queued)."""
        return self._daemon.core.throughput.since(since)

    async def day_sums(
        self, from_minute: int, to_minute: int, accounts: Collection[int] | None
    ) -> dict[str, int]:
        """Parts born in these UTC minutes by state: QUEUED counts all, SENT those that a carrier accepted."""
        sums = await self._daemon.ports.store.read(lambda s: s.rollup_sums(from_minute, to_minute, accounts))
        return {State(state).name: parts for state, parts in sums.items()}

    def live(self) -> Status:
        """The daemon at this moment."""
        return status_report(self._daemon)

    def balances(self) -> Mapping[int, tuple[int, int]]:
        """By user id: parts used ever, and reserved now."""
        balances = self._daemon.core.quota.balances
        return {user: (balance.used, balance.reserved) for user, balance in balances.items()}

    def route_of(self, number: int, account: int, sms_type: str) -> RouteFound:
        """Which carrier would take a message to this number; account 0 is any."""
        core = self._daemon.core
        candidate = core.router.match(str(number), account, sms_type)
        if candidate is None or not candidate.route.carriers:
            return RouteFound()
        route = candidate.route
        chosen = next((one for one in route.carriers if core.carrier_up(one)), route.carriers[0])
        carrier = core.directory.carriers[chosen]
        return RouteFound(route.prefix, carrier.name, core.carrier_up(chosen), chosen == route.carriers[0])

    def canonical_number(self, text: str) -> int:
        """A number as people write it. Raises ValueError with a sentence."""
        return self._number(text)

    # -- sending ----------------------------------------------------------------------------------

    def text_figures(self, text: str) -> TextFigures:
        """What the door will make of a text: words first, then alphabet and parts."""
        words = self._daemon.core.screens.words
        hits = words.scan(text) if words is not None else None
        masked = mask(text, hits.masks) if hits is not None and hits.masks else text
        pieces: list[tuple[str, bool]] = []
        at = 0
        for start, end in hits.spans if hits is not None else ():
            pieces += [(text[at:start], False), (text[start:end], True)]
            at = end
        pieces.append((text[at:], False))
        info = segment_info(masked)
        return TextFigures(
            masked,
            info.alphabet,
            info.units,
            info.units_left,
            info.parts,
            list(dict.fromkeys(character for _, character in info.forcing))[:FORCING_SHOWN_MAX],
            [piece for piece in pieces if piece[0]],
            hits.action if hits is not None else "",
            list(hits.words) if hits is not None else [],
        )

    def sender_allowed(self, account: str, sender: str) -> bool:
        """Whether an account may send from this address; "" is its default."""
        state = self._daemon.core.accounts_by_system_id.get(account)
        if not sender:
            return True
        try:
            source = sender_address(sender)[0]
        except Invalid:
            return False
        return state is None or state.senders.allowed(source)

    def home_country(self) -> str:
        """The code put before national numbers."""
        return self._daemon.config.smpp.home_country

    def reserve(self, task: int, user: int, parts: int) -> bool:
        """Hold a task's parts."""
        return self._daemon.tasks.reserve(task, user, parts)

    def release(self, task: int) -> None:
        """The task was not confirmed after all."""
        self._daemon.tasks.book.release(task)

    def task_changed(self, task: int) -> None:
        """A task was moved."""
        self._daemon.tasks.changed(task)

    def task_rate(self, task: int) -> float:
        """Messages of a task that leave in a second."""
        return self._daemon.tasks.rate(task)

    async def choose_numbers(self, task: int, wanted: str, target: Path) -> int:
        """Write the numbers that a resend is for into a file, one a line."""
        daemon = self._daemon
        states = CHOSEN[wanted]

        def write(store: TrafficStore) -> int:
            count = 0
            with TaskFile.open(folder_of(daemon.data, task) / ROWS) as file, target.open("w") as out:

                def failing(one: Pass) -> list[int]:
                    if not states or not one.accepted:
                        return []
                    return store.numbers_in_states(task, one.first_id, one.last_id, states)

                for number in file.chosen(wanted, failing):
                    out.write(f"{number}\n")
                    count += 1
            return count

        count: int = await daemon.ports.store.read(write)
        return count

    async def task_carriers(self, task: int) -> list[tuple[str, int, int, int, int]]:
        """(carrier, messages, accepted, delivered, failed) of a task, the busiest first."""
        daemon = self._daemon

        def read(store: TrafficStore) -> dict[int, list[int]]:
            with TaskFile.open(folder_of(daemon.data, task) / ROWS) as file:
                passes = [one for one in file.passes(0, file.position()) if one.accepted]
            sums: dict[int, list[int]] = {}
            for first, last in joined(passes):
                for carrier, counts in store.message_carriers(task, first, last).items():
                    before = sums.setdefault(carrier, [0, 0, 0, 0])
                    sums[carrier] = [a + b for a, b in zip(before, counts, strict=True)]
            return sums

        sums = await daemon.ports.store.read(read)
        names = {one.id: one.name for one in daemon.core.directory.carriers.values()}
        rows = [
            (names.get(carrier, "—"), counts[0], counts[1], counts[2], counts[3])
            for carrier, counts in sums.items()
        ]
        return sorted(rows, key=lambda row: -row[1])

    async def failures(self, task: int) -> dict[tuple[int, int, bool], int]:
        """(state, error, whether a carrier had taken it) -> messages of what failed, of the newest passes.

        State 0 are those that the door refused.
        """
        daemon = self._daemon

        def read(store: TrafficStore) -> dict[tuple[int, int, bool], int]:
            assert isinstance(store, SqliteStore)
            counted: Counter[tuple[int, int, bool]] = Counter()
            with TaskFile.open(folder_of(daemon.data, task) / ROWS) as file:
                for reason, rows in file.refusals():
                    counted[0, reason, False] += rows
                passes = file.failing(FAILING_PASSES_MAX)
            for first, last in joined(sorted(passes, key=lambda one: one.first_row)):
                counted.update(store.failure_figures(task, first, last))
            return dict(counted)

        found: dict[tuple[int, int, bool], int] = await daemon.ports.store.read(read)
        return found

    # -- what was sent ----------------------------------------------------------------------------

    def traffic(self) -> SqliteStore:
        """The traffic store, to be read from any thread."""
        port = self._daemon.ports.store
        assert isinstance(port, ThreadedStore)
        assert isinstance(port.store, SqliteStore)
        return port.store

    def message_text(self, parts: Sequence[Part]) -> str:
        """The text of a message from its parts."""
        return message_text(parts)

    def message_needles(self, text: str) -> tuple[bytes, ...]:
        """The octets of which a part that holds this text has one."""
        return needles(text)

    def receipt_said(self, receipt: Receipt) -> ReceiptSaid:
        """A receipt as its carrier wrote it."""
        return receipt_said(receipt.raw, receipt.message_state)

    def message_number(self, text: str) -> int:
        """The message that somebody names by the id that they were given, 0 for what is no id."""
        return message_number(text, self.traffic().days(), node=self._daemon.config.store.node)

    def shown_message_id(self, message_id: int) -> str:
        """A message's id as the HTTP API gives it."""
        return ids.show(ids.MESSAGE, message_id)

    async def webhook_news(self, account: int, events: Sequence[int]) -> list[WebhookNews]:
        """How far the webhooks of an account are with these events."""
        front = self._daemon.front
        if front is None:
            return []
        return [news for event in events for news in await front.webhooks.news(account, event)]

    def route_title(self, route: int) -> str:
        """A route for people, "" for one that is gone."""
        directory = self._daemon.core.directory
        found = directory.routes.get(route)
        return described(found, directory) if found else ""


def joined(passes: Sequence[Pass]) -> list[tuple[int, int]]:
    """Ranges of ids that hold these passes; what lies close together is one range, for one reading."""
    ranges: list[tuple[int, int]] = []
    for one in passes:
        if ranges and one.first_id - ranges[-1][1] < IDS_JOINED:
            ranges[-1] = (ranges[-1][0], one.last_id)
        else:
            ranges.append((one.first_id, one.last_id))
    return ranges
