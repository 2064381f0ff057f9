"""The invariants that are asked once nothing is open any more: ends, copies, receipts, order, texts."""

from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from gateway.customer_pdus import shown_id
from gateway.smpp.text import decode_text
from store.model import PartFlag, State
from tests.simulation.messages import expected
from tests.simulation.truth import CarrierReceipt, Copy, Heard, PartTruth

if TYPE_CHECKING:
    from tests.simulation.world import World

STATE_OF = {2: State.DELIVERED, 3: State.EXPIRED, 4: State.CANCELLED, 5: State.FAILED, 8: State.REJECTED}
MESSAGE_STATE_OF = {
    State.DELIVERED: 2, State.EXPIRED: 3, State.CANCELLED: 4, State.FAILED: 5, State.REJECTED: 8,
    State.UNKNOWN: 7,
}  # fmt: skip
FINAL_MESSAGE_STATES = frozenset(MESSAGE_STATE_OF.values())
JUMP_S = 300.0  # a step of the wall clock that must not be believed at once (P11)
DOUBT_S = 60.0
EARLY_S = 0.5  # a copy may be under way for so long before its timeout begins
PATIENCE_S = 120.0  # a receipt that was parked is tried again within this


class Rest:
    def __init__(self, world: "World") -> None:
        self.world = world
        self.truth = world.truth
        self.store: Any = world.gateway.port.store  # type: ignore[union-attr]

    def check(self) -> None:
        parts = {part.id: part for part in self.store.parts(sorted(self.truth.parts))}
        for truth in self.truth.parts.values():
            self._end(truth, parts[truth.id])
            self._copies(truth, parts[truth.id])
        self._correlation()
        self._events(parts)
        self._texts()
        self._order()
        self._crash_duplicates()
        self._clock()

    # -- I2, I4 -----------------------------------------------------------------------------------

    def _end(self, truth: PartTruth, part: Any) -> None:
        if part.state != truth.final:
            self.world.fail(
                "I2", f"part {part.id} {truth.key} is {State(part.state).name} in the store;"
                f" its end was {State(truth.final).name if truth.final else 'none'}",
            )  # fmt: skip

    def _copies(self, truth: PartTruth, part: Any) -> None:
        """No more copies than there were moments at which nobody could know."""
        copies = [copy for copy in self.truth.copies_of(truth) if copy.taken]
        if len(copies) < 2:
            return
        first = copies[0].sent_at
        crashes = sum(1 for at, _ in self.truth.crashes if at >= first)
        doubts = len(truth.unknown_at) + crashes + self._forgotten_doubts(truth, copies)
        name = f"part {truth.id} {truth.key}"
        if len(copies) > 1 + doubts:
            self.world.fail("I4", f"{name} was taken {len(copies)} times, in doubt {doubts} times")
        policies = {self._carrier(copy.carrier).on_unknown for copy in copies}
        if policies != {"resend"}:
            self.world.fail(
                "I4", f"{name} was taken {len(copies)} times by a carrier that must not get it twice"
            )
        elif not part.flags & PartFlag.MAYBE_DUPLICATE:
            self.world.fail("I4", f"{name} was taken {len(copies)} times and is not marked (P3)")

    def _forgotten_doubts(self, truth: PartTruth, copies: list[Copy]) -> int:
        """Answers that did not come in time, of which a crash came before the disk knew."""
        count = 0
        for copy, following in pairwise(copies):
            timeout_s = self._carrier(copy.carrier).response_timeout_s
            crash = next((at for at, _ in self.truth.crashes if at >= following.sent_at), None)
            if crash is not None and following.sent_at - copy.sent_at >= timeout_s - EARLY_S:
                count += not any(copy.sent_at <= at <= crash for at in truth.unknown_at)
        return count

    def _carrier(self, name: str) -> Any:
        return next(spec for spec in self.world.plan.carriers if spec.name == name)

    def _crash_duplicates(self) -> None:
        """Duplicates of one crash: what was unanswered, and what was answered and not yet on disk (P3)."""
        windows = sum(
            self.world.watch.window_max(spec.name) * spec.binds for spec in self.world.plan.carriers
        )
        twice: Counter[float] = Counter()
        uncommitted: Counter[float] = Counter()
        crashes = [at for at, _ in self.truth.crashes]
        for truth in self.truth.parts.values():
            copies = [copy for copy in self.truth.copies_of(truth) if copy.taken]
            for copy, following in pairwise(copies):
                # The first crash behind a copy is the one that put it in doubt.
                crashed_at = next((at for at in crashes if copy.sent_at <= at < following.sent_at), 0.0)
                known = any(copy.sent_at <= at <= crashed_at for at in truth.unknown_at)
                if crashed_at and not known:
                    twice[crashed_at] += 1
                    uncommitted[crashed_at] += 0 <= copy.answered_at <= crashed_at
        for crashed_at, count in twice.items():
            if count > windows + uncommitted[crashed_at]:
                self.world.fail(
                    "I4", f"the crash at {crashed_at:.3f} sent {count} messages twice; windows hold {windows},"
                    f" and {uncommitted[crashed_at]} results were not on disk",
                )  # fmt: skip

    # -- I9, I10 ----------------------------------------------------------------------------------

    def _correlation(self) -> None:
        """A receipt is of the part whose copy the carrier meant."""
        for number, rows in self.truth.stored_receipts.items():
            receipt = self.truth.receipts[number]
            for at, part_id in rows:
                meant = self.truth.part_of.get(receipt.key)
                if part_id == meant:
                    continue
                got = self.truth.parts[part_id]
                same_number = got.key[1] % 10**8 == receipt.key[1] % 10**8
                if same_number and (receipt.reused or self._reused(receipt.carrier)):
                    continue  # the same number, the same id: nobody could tell
                self.world.fail(
                    "I10", f"receipt {number} of {receipt.carrier} for {receipt.key} was given to part"
                    f" {part_id} {got.key} at {at:.3f}",
                )  # fmt: skip

        for receipt in self.truth.receipts.values():
            self._found_its_part(receipt)

    def _found_its_part(self, receipt: CarrierReceipt) -> None:
        """What was acknowledged and names an id that is on record ends its part, however early it came."""
        carrier = self.world.organisation.carrier_ids[receipt.carrier]
        part_id = self.truth.accepted_ids.get((carrier, receipt.smsc_id))
        part = self.truth.parts.get(part_id or 0)
        if part is None or part_id != self.truth.part_of.get(receipt.key) or self._reused(receipt.carrier):
            return
        early = receipt.state in FINAL_MESSAGE_STATES and 0 <= receipt.acked_at < part.final_at - PATIENCE_S
        if early and part.final == State.UNKNOWN:
            self.world.fail(
                "I10", f"part {part.id} {part.key} ended as UNKNOWN; receipt {receipt.number} of"
                f" {receipt.carrier} for {receipt.smsc_id} was acknowledged at {receipt.acked_at:.3f}",
            )  # fmt: skip

    def _reused(self, carrier: str) -> bool:
        return bool(self._carrier(carrier).reuses_ids)

    def _events(self, parts: dict[int, Any]) -> None:
        heard: dict[tuple[str, str], list[Heard]] = defaultdict(list)
        for entry in self.truth.heard:
            heard[entry.account, entry.message_id].append(entry)
        for truth in self.truth.parts.values():
            if truth.part_no == 1:
                self._events_of(truth, parts, heard)
        for (n, part), inbound in self.truth.inbound.items():
            got = [e for e in self.truth.heard if not e.message_id and e.n == n and e.answered >= 0]
            if inbound.acked_at >= 0 and not got:
                self.world.fail(
                    "I9", f"MO {n} part {part} was acknowledged and never reached {inbound.account}"
                )

    def _events_of(
        self, first: PartTruth, parts: dict[int, Any], heard: dict[tuple[str, str], list[Heard]]
    ) -> None:
        """Exactly one final receipt for who asked for one, delivered to whom it belongs."""
        spec = self.world.plan.accounts[first.account - 1]
        members = [parts[first.id + n] for n in range(first.parts)]
        life = self.store.message(first.id)
        finals = [r for r in life.receipts if r.event and r.message_state in FINAL_MESSAGE_STATES]
        wanted = members[0].registered_delivery
        name = f"message {first.id} {first.key}"
        if spec.receipts == "part" or first.parts == 1:
            want = sum(wants(wanted, MESSAGE_STATE_OF[State(part.state)]) for part in members)
        else:
            states = {part.state for part in members}
            if states == {State.DELIVERED}:
                want = int(wants(wanted, 2))
            elif len(states) == 1 or wanted & 3 == 1:
                want = int(wants(wanted, MESSAGE_STATE_OF[State((states - {State.DELIVERED}).pop())]))
            else:
                want = int(wanted & 3 == 2)
        if len(finals) != want:
            told = [(r.message_state, r.part_id) for r in finals]
            self.world.fail("I2", f"{name} has {len(finals)} final receipts, {want} are due: {told}")
        for receipt in finals:
            if not any(d.done for d in life.deliveries if receipt.id in d.event_ids):
                self.world.fail("I9", f"{name}: its receipt {receipt.id} never left the log")
        if finals and not self._given_up(finals, life):
            shown = self._shown(first, spec)
            answered = [e for e in heard[spec.name, shown] if e.answered >= 0]
            if not any(e.state == finals[0].message_state for e in answered):
                self.world.fail(
                    "I9", f"{name}: {spec.name} never heard its receipt {finals[0].message_state}"
                )

    @staticmethod
    def _given_up(finals: list[Any], life: Any) -> bool:
        """Kept for 72 hours and taken off undelivered."""
        return all(
            any(d.done and d.bind == "" for d in life.deliveries if r.id in d.event_ids) for r in finals
        )

    def _shown(self, first: PartTruth, spec: Any) -> str:
        head = first.id
        submission = self.truth.submissions[first.key[0]]
        if submission.many:
            ids = [self.truth.part_of.get((submission.n, dest, 1)) for dest in submission.dests]
            head = min(i for i in ids if i)
        return shown_id(head, spec.version).decode()

    # -- I11, I13 ---------------------------------------------------------------------------------

    def _texts(self) -> None:
        """The parts of a message, put together again, are its text."""
        for truth in self.truth.parts.values():
            if truth.part_no != 1:
                continue
            n, dest, _ = truth.key
            numbers = [n, *(new for _, new in self.truth.replaced_at.get(truth.id, ()))]
            for number in numbers:
                pieces: list[Copy] = []
                for seq in range(1, truth.parts + 1):
                    copies = self.truth.copies.get((number, dest, seq if truth.parts > 1 else truth.key[2]))
                    pieces += copies[:1] if copies else []
                if len(pieces) != truth.parts:
                    continue
                text = "".join(decode_text(piece.octets, piece.data_coding) for piece in pieces)
                meant = self.truth.submissions[number].text
                if self.world.plan.settings.words:
                    meant = expected(meant)
                if text != meant:
                    self.world.fail("I13", f"{(number, dest)} was sent as {text!r}, accepted as {meant!r}")

    def _order(self) -> None:
        """First copies on one link, in the order of acceptance, as long as nothing failed (P6)."""
        by_link: dict[tuple[str, int], list[tuple[Copy, PartTruth]]] = defaultdict(list)
        for truth in self.truth.parts.values():
            copies = self.truth.copies_of(truth)
            if copies and self._undisturbed(truth, copies):
                by_link[copies[0].carrier, copies[0].connection].append((copies[0], truth))
        for (carrier, link), sent in by_link.items():
            sent.sort(key=lambda pair: pair[0].place)
            last: dict[tuple[int, int, int], PartTruth] = {}
            for _copy, truth in sent:
                line = (truth.account, truth.key[1], truth.lane)
                before = last.get(line)
                if before is not None and before.id > truth.id:
                    self.world.fail(
                        "I11", f"{truth.key} was sent after {before.key} on link {link} of {carrier},"
                        " and accepted before it",
                    )  # fmt: skip
                last[line] = truth
            self._together(sent, carrier, link)

    def _undisturbed(self, truth: PartTruth, copies: list[Copy]) -> bool:
        first = copies[0]
        return (
            len(copies) == 1
            and len(truth.carriers) == 1
            and not truth.unknown_at
            and not truth.deliver_at
            and truth.id not in self.truth.replaced_at
            and not any(truth.durable_at <= at <= first.at for at, _ in self.truth.crashes)
        )

    def _together(self, sent: list[tuple[Copy, PartTruth]], carrier: str, link: int) -> None:
        """Parts of one message stand together."""
        by_head: dict[int, list[tuple[Copy, PartTruth]]] = defaultdict(list)
        for copy, truth in sent:
            if truth.parts > 1:
                by_head[truth.id - truth.part_no + 1].append((copy, truth))
        for head, some in by_head.items():
            if len(some) != some[0][1].parts:
                continue  # some were disturbed, or went elsewhere with reason
            numbers = [truth.part_no for _, truth in some]
            places = [copy.place for copy, _ in some]
            if numbers != sorted(numbers) or places != list(range(places[0], places[0] + len(places))):
                self.world.fail(
                    "I11", f"parts {numbers} of message {head} stand at {places} on link {link} of {carrier}"
                )

    # -- P11 --------------------------------------------------------------------------------------

    def _clock(self) -> None:
        """A wall clock that jumped and was put right within a minute must not have ended anything."""
        steps = self.world.clock.steps
        for (at, seconds), (back_at, back) in pairwise(steps):
            if seconds <= JUMP_S or back != -seconds or back_at - at >= DOUBT_S:
                continue
            if any(at <= started <= back_at for started in self.truth.starts):
                continue  # who starts under a wrong clock has no other to compare it with
            for truth in self.truth.parts.values():
                if not at <= truth.final_at <= back_at + 1.0 or truth.final not in (
                    State.EXPIRED,
                    State.UNKNOWN,
                ):
                    continue
                if any(r.state == 3 and r.key == truth.key for r in self.truth.receipts.values()):
                    continue  # its carrier said so
                true_ms = truth.final_wall_ms - int(seconds * 1000)
                if true_ms < truth.expires_at:
                    self.world.fail(
                        "I3", f"part {truth.id} {truth.key} ended as {State(truth.final).name} because the"
                        f" clock was {seconds:g} s ahead for {back_at - at:.1f} s (P11)",
                    )  # fmt: skip


def wants(registered_delivery: int, message_state: int) -> bool:
    """SMPP 3.4 section 5.2.17."""
    asked = registered_delivery & 3
    return asked == 1 or (asked == 2 and message_state != 2) or (asked == 3 and message_state == 2)
