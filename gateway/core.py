"""The synchronous heart: everything the data plane knows, and the few moves that join its pieces.

Links call in between awaits, so nothing here interleaves. What must wait (store reads for what left memory)
is asked for by small async methods and by `gateway/housekeeping.py`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import structlog

from filters.numbers import Numbering
from filters.verdict import Reason
from gateway.accounts import AccountState
from gateway.carriers import CarrierState
from gateway.committer import Committer
from gateway.correlation import digits_of
from gateway.customer_pdus import customer_body
from gateway.delivery import Event
from gateway.events.log import EventLog
from gateway.inbound import InboundMessages, Owners
from gateway.intake import Intake, Rules
from gateway.latency import Latencies
from gateway.legacy.switch import is_on
from gateway.operations import Operations
from gateway.outcomes import Outcomes
from gateway.ports import Ports
from gateway.quota import QuotaBook
from gateway.routing import Router
from gateway.screening import Screens
from gateway.settings import Config
from gateway.smpp.joiner import ReferenceSource
from gateway.smpp.message_ids import HabitLearner
from gateway.smpp.pdu import DataSm, DeliverSm, SubmitSm
from gateway.smpp.receipts import ReceiptFields, parse_receipt
from gateway.split import SplitMessages
from gateway.throughput import Throughput
from gateway.wall import WallWatch
from gateway.withheld import Withheld
from store.directory import Directory
from store.ids import IdSource
from store.model import Changes, EventFor, Part, State
from store.port import Applied, DiskState

log = structlog.get_logger("core")

FOR_BINDS = EventFor.BINDS


class Core:
    def __init__(self, ports: Ports, config: Config, *, last_id: int = 0) -> None:
        self.ports = ports
        self.clock = ports.clock
        self.wall = WallWatch(ports.clock)
        self.config = config
        self.directory = Directory()
        self.numbering = Numbering(config.smpp.home_country)
        self.ids = IdSource(lambda: ports.clock.wall_ms() / 1000, node=config.store.node, last=last_id)
        self.quota = QuotaBook()
        self.throughput = Throughput()
        self.committer = Committer(ports.store)
        self.accounts: dict[int, AccountState] = {}
        self.accounts_by_system_id: dict[str, AccountState] = {}
        self.carriers: dict[int, CarrierState] = {}
        self.saved_habits: dict[int, dict[str, Any]] = {}  # what was learned of carriers before
        self.splits = SplitMessages(self._receipts_each)
        self.outcomes = Outcomes(self.clock, self.ids, self.quota, self._user_of, self.splits)
        self.event_log = EventLog(self, through=last_id)
        self.screens = Screens()
        self.router = Router(self.directory, self.carrier_up)
        self.intake = Intake(
            self.ids,
            self.quota,
            self._rules(),
            ReferenceSource(ports.random("references").getrandbits(64)),
        )
        self.inbound = InboundMessages(self)
        self.operations = Operations(self)
        self.customer_body = customer_body
        self.latencies = Latencies()
        self.disk: DiskState = "ok"
        self.draining = False
        self.evicted: dict[int, list[tuple[str, int]]] = {}  # carrier -> (key, part id), to be stored
        self.evicted_to_store: set[int] = set()  # carriers of which the store's map holds something
        self.withdrawn: set[int] = set()  # ended lately: a reading that is under way may still bring them
        self.withdrawn_before: set[int] = set()
        self.replaced: set[int] = set()  # likewise, not as they are now
        self.replaced_before: set[int] = set()
        # Fallen due lately: a reading may still say that they wait for their time.
        self.fired: set[int] = set()
        self.fired_before: set[int] = set()
        self.withheld = Withheld()  # batches that are paused
        self.generation = 0  # of blacklists: parts judged under an older one are looked at again

    # -- configuration ----------------------------------------------------------------------------

    def set_directory(self, directory: Directory) -> None:
        """Take new settings: accounts, carriers and routes change in place, links and queues survive."""
        now = self.clock.now()
        self.directory = directory
        self.quota.set_users(directory.users)
        limits = self.config.limits
        for account in directory.accounts.values():
            known = self.accounts.get(account.id)
            if known is None:
                self.accounts[account.id] = AccountState(
                    account,
                    directory,
                    now,
                    events_max=limits.events_in_memory_max,
                    retry_s=(self.config.receipts.retry_s_min, self.config.receipts.retry_s_max),
                )
            else:
                known.apply(account, directory, now)
        for account_id in [a for a in self.accounts if a not in directory.accounts]:
            del self.accounts[account_id]
        self.outcomes.readers = readers_of(directory, callbacks=is_on(self.config))
        self.accounts_by_system_id = {a.account.system_id: a for a in self.accounts.values()}
        for carrier in directory.carriers.values():
            state = self.carriers.get(carrier.id)
            if state is None:
                self.carriers[carrier.id] = CarrierState(
                    carrier,
                    self.clock,
                    habits=HabitLearner.from_dict(
                        self.saved_habits.get(carrier.id, {}), configured=carrier.message_id
                    ),
                    queue_parts_max=limits.queue_parts_max,
                    correlation_entries_max=limits.correlation_entries_max,
                    believed_ms=self.wall.believed_ms,
                    on_expired=self.expire,
                    on_unsendable=self.fail,
                    on_claim=self.claim,
                    withheld=self.withheld,
                    still_allowed=self.still_allowed,
                )
            else:
                state.apply(carrier)
        for carrier_id in [c for c in self.carriers if c not in directory.carriers]:
            if not self.carriers[carrier_id].binds:
                del self.carriers[carrier_id]
        self.router = Router(directory, self.carrier_up)
        self.inbound.owners = Owners(directory.numbers)
        self.intake.rules = self._rules()

    def set_screens(self, screens: Screens) -> None:
        """New words, or other blacklists altogether."""
        self.screens = screens
        self.intake.rules = self._rules()

    def is_listed(self, part: Part) -> bool:
        """Whether a blacklist forbids this part's number now."""
        account = self.accounts.get(part.account)
        chain = account.group_chain if account else ()
        type_name = self.intake.rules.sms_type_names.get(part.sms_type, "")
        return self.screens.blacklists.check(part.dest, chain, type_name) is not None

    def reject_blacklisted(self) -> None:
        """A blacklist may have gained numbers: what waits in memory is looked at again, at once (P7)."""
        self.generation += 1
        for carrier in self.carriers.values():
            gone = carrier.remove(self.is_listed)
            if gone:
                self._reject(gone)

    def still_allowed(self, parts: list[Part]) -> list[Part]:
        """Of parts that were out of the queues those that may be sent; the others end as REJECTED."""
        listed = [part for part in parts if self.is_listed(part)]
        if not listed:
            return parts
        self._reject(listed)
        return [part for part in parts if part.state < State.DELIVERED]

    def _reject(self, parts: list[Part]) -> None:
        self.withdrawn |= {part.id for part in parts}
        self.end(parts, State.REJECTED, Reason.BLACKLISTED_AT_DISPATCH)

    def _rules(self) -> Rules:
        return Rules(
            self.router,
            self.screens.blacklists,
            self.screens.words,
            self.numbering,
            {number: name for name, number in self.directory.sms_types.items()},
            frozenset(c.id for c in self.directory.carriers.values() if c.split == "udh16"),
        )

    def carrier_up(self, carrier: int) -> bool:
        state = self.carriers.get(carrier)
        return state is not None and state.up

    def _user_of(self, account: int) -> int:
        state = self.accounts.get(account)
        return state.user.id if state else 0

    def _receipts_each(self, account: int) -> bool:
        state = self.accounts.get(account)
        return state is not None and state.account.receipts == "part"

    # -- acceptance -------------------------------------------------------------------------------

    def disk_is(self, state: DiskState) -> None:
        """How much room there is: "low" refuses new messages, "critical" stops sending as well (P9)."""
        self.disk = state
        for carrier in self.carriers.values():
            carrier.stopped = state == "critical"

    def refusal_now(self) -> int:
        """A reason to refuse every new message at the moment, or 0."""
        if self.draining:
            return Reason.SHUTTING_DOWN
        if self.disk != "ok":
            return Reason.DISK_LOW
        return 0

    async def submit_one(self, account: AccountState, submit: SubmitSm) -> int:
        """One message through the door; returns when it is durable: its id, or a refusal as `-reason`."""
        results = await self.submit_many(account, [submit])
        return results[0]

    async def submit_many(self, account: AccountState, submits: Sequence[SubmitSm]) -> list[int]:
        """A batch through the door; returns when it is durable."""
        refusal = self.refusal_now()
        if refusal:
            return [-refusal] * len(submits)
        changes = Changes()
        judged = self.generation
        results = self.intake.accept_batch(account, submits, self.clock.wall_ms(), changes)
        if changes.parts:
            stored: list[Applied] = []

            def durable(applied: Applied) -> None:
                # Not after the wait below: a caller who is gone by then must not leave its parts unsent.
                stored.append(applied)
                self.offer(changes.parts, judged=judged)

            await self.committer.submit(
                changes, durable, lambda: self.intake.give_back(changes)
            ).settled.wait()
            if not stored:
                return [-Reason.DISK_FULL if result > 0 else result for result in results]
        return results

    def offer(self, parts: Sequence[Part], *, judged: int | None = None) -> None:
        """Durable parts go to their carriers' queues, and move on at once where they can.

        `judged` is the `generation` under which they were accepted: if a blacklist has changed while they
        were on their way to the disk, they are looked at again.
        """
        if judged is not None and judged != self.generation:
            listed = [part for part in parts if self.is_listed(part)]
            if listed:
                self._reject(listed)
                parts = [part for part in parts if part.state < State.DELIVERED]
        if not parts:
            return
        first = parts[0].carrier
        if all(part.carrier == first and part.state == State.QUEUED for part in parts):
            self._offer_to(first, parts)
            return
        by_carrier: dict[int, list[Part]] = {}
        for part in parts:
            if part.state == State.QUEUED:
                by_carrier.setdefault(part.carrier, []).append(part)
        for carrier, some in by_carrier.items():
            self._offer_to(carrier, some)

    def _offer_to(self, carrier: int, parts: Sequence[Part]) -> None:
        state = self.carriers.get(carrier)
        if state is not None:
            state.queue.offer(parts)
            state.pump()

    def has_fired(self, part_id: int) -> bool:
        """Whether a part that was read as SCHEDULED has fallen due since."""
        return part_id in self.fired or part_id in self.fired_before

    def untold_parts(self) -> set[int]:
        """Parts that a reading of queues may bring although they are still to be offered."""
        untold: set[int] = set()
        for changes in self.committer.committing:
            untold.update(part.id for part in (*changes.parts, *changes.replaced))
            untold.update(part_id for part_id, *_ in changes.moved)
        return untold

    # -- on the way -------------------------------------------------------------------------------

    def expire(self, parts: list[Part]) -> None:
        """Queued parts whose validity is over: EXPIRED, and a receipt if one was asked for."""
        self.end(parts, State.EXPIRED, Reason.EXPIRED_IN_QUEUE)

    def fail(self, parts: list[Part]) -> None:
        """Parts of which a carrier's settings make no submit_sm."""
        self.end(parts, State.FAILED, Reason.BAD_FIELD)

    def end(self, parts: Sequence[Part], state: State, reason: int) -> None:
        changes = Changes()
        sent = {part.id for part in parts if part.state == State.SENT}
        if sent:
            for carrier in self.carriers.values():
                carrier.correlation.end(sent)
        events = self.outcomes.end(parts, state, reason, changes)
        self.committer.submit(changes, lambda applied: self.deliver(events))

    def claim(self, carrier: CarrierState, parts: list[Part]) -> None:
        """Record on disk that these are about to be sent, then let them go (hold and fail carriers)."""
        changes = Changes(moved=[(part.id, State.CLAIMED, carrier.id) for part in parts])

        judged = self.generation

        def durable(_: object) -> None:
            allowed = parts if judged == self.generation else self.still_allowed(parts)
            carrier.claim_is_durable(parts, allowed)

        self.committer.submit(changes, durable)

    # -- receipts ---------------------------------------------------------------------------------

    async def read_receipts(
        self, carrier: CarrierState, reports: Sequence[DeliverSm | DataSm]
    ) -> list[ReceiptFields]:
        """What receipts say; parts whose ids left memory are brought back from the store first.

        All waiting is done here. What follows (`outcomes.receipts`) mints ids and must reach the committer
        without a wait in between: the log of events is read in the order of ids.
        """
        read = [parse_receipt(pdu) for pdu in reports]
        if carrier.id in self.evicted_to_store:
            live, knows = carrier.correlation.live, carrier.correlation.knows
            missing = [
                fields
                for fields, pdu in zip(read, reports, strict=True)
                if fields.message_id.lstrip("0").lower() not in live
                and not knows(fields, digits_of(pdu.source_addr))
            ]
            if missing:
                await self._look_up(carrier, missing)
        return read

    async def _look_up(self, carrier: CarrierState, missing: list[ReceiptFields]) -> None:
        """Bring parts back whose ids are in the store's map; ids of finished ones are known as such again."""
        correlation = carrier.correlation
        keys = [key for fields in missing for key in correlation.candidates(fields.message_id)]
        ids: dict[str, int] = await self.ports.store.read(lambda s: s.find_by_smsc_id(carrier.id, keys))
        if not ids:
            return
        parts = await self.load_parts(sorted(set(ids.values())))
        for key, part_id in ids.items():
            part = parts.get(part_id)
            if part is not None:
                correlation.bring_back(key, part, over=self.outcomes.is_over(part))

    async def load_parts(self, ids: list[int]) -> dict[int, Part]:
        """Parts from the store; those of split messages bring what is known of their siblings."""
        parts: list[Part] = await self.ports.store.read(lambda s: s.parts(ids))
        heads = {part.id - part.part_no + 1: part for part in parts if part.parts > 1}
        if heads:
            wanted = [head + n for head, part in heads.items() for n in range(part.parts)]
            siblings: list[Part] = await self.ports.store.read(lambda s: s.parts(wanted))
            self.adopt_siblings(siblings)
        return {part.id: part for part in parts}

    def adopt_siblings(self, siblings: Iterable[Part]) -> None:
        by_head: dict[int, list[Part]] = {}
        for part in siblings:
            by_head.setdefault(part.id - part.part_no + 1, []).append(part)
        for some in by_head.values():
            self.splits.adopt(some)

    async def adopt_messages_of(self, parts: Iterable[Part]) -> None:
        """Of parts from the store that are not alone in their messages: what became of the others."""
        for head in sorted({part.id - part.part_no + 1 for part in parts if part.parts > 1}):
            self.adopt_siblings(await self.message_parts(head))

    async def message_parts(self, message_id: int) -> list[Part]:
        """All parts of a message, final or not, by id; empty if there is no such message."""
        head: list[Part] = await self.ports.store.read(lambda s: s.parts([message_id]))
        if not head or head[0].part_no != 1 or head[0].parts == 1:
            return head if head and head[0].part_no == 1 else []
        ids = range(message_id, message_id + head[0].parts)
        parts: list[Part] = await self.ports.store.read(lambda s: s.parts(ids))
        return parts

    def evict(self, carrier: CarrierState) -> None:
        """Keep the correlation map within its bound; housekeeping writes what leaves it."""
        entries = carrier.correlation.evict()
        if entries:
            self.evicted.setdefault(carrier.id, []).extend(entries)

    def deliver(self, events: Sequence[Event]) -> None:
        """Durable events enter their accounts' logs and move on at once where they can."""
        accounts = self.accounts
        touched: set[int] = set()
        logged: dict[int, int] = {}
        for event in events:
            if event.readers != FOR_BINDS:
                logged[event.account] = event.id
                if not event.readers & FOR_BINDS:
                    continue
            account = accounts.get(event.account)
            if account is not None:
                account.outbox.offer(event)
                touched.add(event.account)
        if logged:
            self.event_log.advance(logged)
        for account_id in touched:
            accounts[account_id].pump()


def readers_of(directory: Directory, *, callbacks: bool = False) -> dict[int, int]:
    """account -> who hears of its messages (EventFor bits), for accounts that others than binds listen to.

    Without a password nobody can bind: nothing waits for a bind that will never come.

    Args:
      callbacks: whoever has a password may ask to be called back (Kannel's dlr-url, Jasmin's pushes).
    """
    keyed = {key.account for key in directory.api_keys.values()}
    keyed |= {webhook.account for webhook in directory.webhooks.values()}
    readers: dict[int, int] = {}
    for account in directory.accounts.values():
        if not account.password_hash:
            readers[account.id] = EventFor.CURSORS
        elif callbacks or account.id in keyed:
            readers[account.id] = EventFor.BINDS | EventFor.CURSORS
    return readers
