"""One message's life as a timeline for people: what happened to a part, when, why, with the raw codes kept."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from admin.i18n import N_
from admin.message_words import code_of, reason_of, shown_as
from admin.operations import WebhookNews
from admin.rendering import format_stamp
from filters.receipts import explain_network_error, explain_stat
from filters.statuses import status_name
from filters.verdict import explain
from store.model import (
    FINAL_STATES,
    LINK_LOST,
    NO_ANSWER,
    NO_CARRIER,
    NO_ERROR,
    Attempt,
    Part,
    PartFlag,
    Receipt,
)
from store.port import MessageLife

if TYPE_CHECKING:
    from admin.view import View

WISHES = {
    0: N_("no receipt wanted"),
    1: N_("a receipt wanted"),
    2: N_("a receipt wanted on failure"),
    3: N_("a receipt wanted on success"),
}
MESSAGE_STATE_OF_ENROUTE = (0, 1, 6)  # SCHEDULED, ENROUTE, ACCEPTED: on the way, not an end
READERS = {
    "smpp": N_("SMPP bind"),
    "webhook": N_("Webhook"),
    "stream": N_("Stream"),
    "callback": N_("Callback"),
}


WEBHOOK_NEWS = {
    "settled": (N_("Webhook %(name)s: nothing of it is outstanding"), "good"),
    "ahead": (N_("Webhook %(name)s: not sent yet"), ""),
    "again": (N_("Webhook %(name)s: is tried again"), "warn"),
    "dead": (N_("Webhook %(name)s: given up"), "bad"),
}


class Moment(msgspec.Struct, frozen=True):
    """One thing that happened. `raw`: what a carrier wrote, as it came."""

    at: int
    title: str
    lines: tuple[str, ...] = ()
    tone: str = ""
    raw: str = ""


class PartLife(msgspec.Struct, frozen=True):
    """One part: where it is, and its moments in order of time."""

    part: Part
    state: str
    tone: str
    reason: str
    code: str
    text: str
    carrier: str
    smsc_message_id: str
    moments: list[Moment]


class Teller:
    """Tells the lives of a message's parts to one viewer: carriers' names only to those who may know them."""

    def __init__(
        self,
        view: "View",
        life: MessageLife,
        carriers: dict[int, str],
        account: str,
        webhooks: Sequence[WebhookNews] = (),
    ) -> None:
        self._view = view
        self._webhooks = webhooks
        self._life = life
        self._carriers = carriers if view.may("messages.carriers") else None
        self._account = account

    def parts(self) -> list[PartLife]:
        """Every part's life."""
        return [self._part(part) for part in self._life.parts]

    def _part(self, part: Part) -> PartLife:
        attempts = [one for one in self._life.attempts if one.part_id == part.id]
        taken = part.carrier == NO_CARRIER or any(one.status == 0 for one in attempts)
        shown = shown_as(part.state, taken=taken)[1]
        moments = sorted(self._moments(part, attempts, taken=taken), key=lambda moment: moment.at)
        return PartLife(
            part,
            self._view.t(shown.title),
            shown.tone,
            reason_of(part.state, part.error, taken=taken, language=self._view.language),
            code_of(part.state, part.error, taken=taken),
            self._view.console.operations.message_text([part]),
            self._carrier(part.carrier),
            next((one.smsc_message_id for one in attempts if one.smsc_message_id), ""),
            moments,
        )

    def _moments(self, part: Part, attempts: list[Attempt], *, taken: bool) -> Iterator[Moment]:
        yield self._accepted(part)
        yield from self._screened(part)
        if self._carriers is not None or part.carrier == NO_CARRIER:
            yield self._routed(part)
        if part.deliver_at > part.accepted_at:
            yield Moment(part.deliver_at, self._t(N_("Due, as scheduled")))
        for attempt in attempts:
            yield from self._attempt(part, attempt)
        if part.flags & PartFlag.MAYBE_DUPLICATE:
            at = max((one.sent_at for one in attempts), default=part.accepted_at)
            yield Moment(
                at,
                self._t(N_("May have been sent twice")),
                (self._t(N_("What became of an earlier try is not known; it was sent again.")),),
                "warn",
            )
        yield from self._receipts(part)
        yield from self._ends(part, taken=taken)

    # -- here -------------------------------------------------------------------------------------

    def _accepted(self, part: Part) -> Moment:
        lines = [
            self._t(N_("Account %(name)s"), name=self._account),
            f"data_coding {part.data_coding} · {self._t(WISHES[part.registered_delivery & 3])}",
        ]
        if part.flags & PartFlag.VALIDITY_GIVEN:
            lines.append(self._t(N_("Valid until %(at)s"), at=format_stamp(part.expires_at, self._view.zone)))
        if part.deliver_at > part.accepted_at:
            lines.append(
                self._t(N_("To be sent at %(at)s"), at=format_stamp(part.deliver_at, self._view.zone))
            )
        return Moment(part.accepted_at, self._t(N_("Accepted")), tuple(lines))

    def _screened(self, part: Part) -> Iterator[Moment]:
        detail = _detail(part)
        words = detail.get("words")
        if words:
            masked = part.flags & PartFlag.MASKED
            title = (
                N_("Sensitive words masked")
                if masked
                else N_("Sensitive words passed: the account is trusted")
            )
            named = "、".join(words) if self._view.may("words.read") else ""
            count = self._t(N_("%(count)s words hit"), count=len(words))
            yield Moment(part.accepted_at, self._t(title), (named or count,), "warn")
        if part.flags & PartFlag.SPLIT_BY_US:
            said = self._t(
                N_("Cut into %(parts)s parts; this is part %(number)s"), parts=part.parts, number=part.part_no
            )
            yield Moment(part.accepted_at, said)
        if part.flags & PartFlag.CONCATENATED:
            yield Moment(part.accepted_at, self._t(N_("A segment that the customer cut")))
        if part.flags & PartFlag.ONE_OF_MANY:
            yield Moment(part.accepted_at, self._t(N_("One number of a submit_multi")))

    def _routed(self, part: Part) -> Moment:
        if part.carrier == NO_CARRIER:
            return Moment(part.accepted_at, self._t(N_("A test message: it goes to no carrier")))
        route = self._view.console.operations.route_title(part.route)
        lines = [self._t(N_("Route %(route)s"), route=route or f"#{part.route}")]
        if _detail(part).get("failover"):
            lines.append(self._t(N_("The carriers before it were down.")))
        return Moment(
            part.accepted_at,
            self._t(N_("Routed to %(carrier)s"), carrier=self._carrier(part.carrier)),
            tuple(lines),
        )

    # -- at the carrier ---------------------------------------------------------------------------

    def _attempt(self, part: Part, attempt: Attempt) -> Iterator[Moment]:
        carrier = self._carrier(attempt.carrier)
        tries = self._t(N_("Try %(number)s"), number=attempt.n)
        where = (tries,)
        if self._carriers is not None:
            bind = self._t(N_("bind %(number)s"), number=attempt.bind)
            where = (f"{tries} · {bind} · sequence_number {attempt.sequence_number}",)
        yield Moment(attempt.sent_at, self._t(N_("Submitted to %(carrier)s"), carrier=carrier), where, "info")
        at = attempt.answered_at or attempt.sent_at
        if attempt.status == 0:
            lines = [self._t(N_("Message id of the carrier: %(id)s"), id=attempt.smsc_message_id or "—")]
            lines.append(self._t(N_("1 part charged")))
            yield Moment(at, self._t(N_("Accepted by %(carrier)s"), carrier=carrier), tuple(lines), "good")
            return
        unknown = attempt.status in (NO_ANSWER, LINK_LOST)
        title = N_("No answer from %(carrier)s") if unknown else N_("Refused by %(carrier)s")
        code = (
            ""
            if unknown
            else f"command_status 0x{attempt.status & 0xFFFFFFFF:08X} {status_name(attempt.status)}"
        )
        said = explain(attempt.status, self._view.language)
        yield Moment(at, self._t(title, carrier=carrier), tuple(filter(None, (said, code))), "bad")

    def _receipts(self, part: Part) -> Iterator[Moment]:
        for receipt in self._life.receipts:
            if receipt.part_id == part.id:
                yield self._receipt(receipt)
                yield from self._deliveries(receipt)
                yield from self._webhook_news(receipt)

    def _webhook_news(self, receipt: Receipt) -> Iterator[Moment]:
        for news in self._webhooks:
            if news.event != receipt.id:
                continue
            title, tone = WEBHOOK_NEWS[news.state]
            lines = []
            if news.attempts:
                status = f"HTTP {news.status}" if news.status else news.error
                lines.append(
                    self._t(
                        N_("%(count)s attempts, the last: %(status)s"), count=news.attempts, status=status
                    )
                )
            yield Moment(news.at or receipt.received_at, self._t(title, name=news.name), tuple(lines), tone)

    def _receipt(self, receipt: Receipt) -> Moment:
        language = self._view.language
        said = self._view.console.operations.receipt_said(receipt)
        lines = [explain_stat(said.stat, language)]
        if receipt.error not in (0, NO_ERROR):
            lines.append(explain_network_error(receipt.error, language))
        elif said.err.strip("0"):
            lines.append(f"err {said.err}")
        if said.done_date:
            lines.append(self._t(N_("By the carrier's clock: %(date)s"), date=said.done_date))
        if not receipt.event:
            lines.append(self._t(N_("The customer is not told of it.")))
        if not receipt.raw:
            return Moment(receipt.received_at, self._t(N_("Receipt made here")), tuple(lines))
        on_the_way = receipt.message_state in MESSAGE_STATE_OF_ENROUTE
        title = N_("Intermediate receipt from %(carrier)s") if on_the_way else N_("Receipt from %(carrier)s")
        carrier = self._carrier(receipt.carrier)
        return Moment(receipt.received_at, self._t(title, carrier=carrier), tuple(lines), "info", said.text)

    def _deliveries(self, receipt: Receipt) -> Iterator[Moment]:
        for delivery in self._life.deliveries:
            if receipt.id not in delivery.event_ids:
                continue
            kind, _, number = delivery.bind.partition(":")
            reader = f"{self._t(READERS.get(kind, kind))} {number}".strip()
            good = delivery.done and (delivery.status == 0 or 200 <= delivery.status < 300)
            if delivery.status in (NO_ANSWER, LINK_LOST):
                status = explain(delivery.status, self._view.language)
            elif kind == "smpp":
                status = status_name(delivery.status)
            else:
                status = f"HTTP {delivery.status}"
            lines: tuple[str, ...] = (f"{reader} · {status}",)
            if not delivery.done:
                lines += (self._t(N_("It is tried again.")),)
            title = (
                N_("Receipt handed to the customer")
                if good
                else N_("Receipt could not be handed to the customer")
            )
            yield Moment(delivery.at, self._t(title), lines, "good" if good else "warn")

    def _ends(self, part: Part, *, taken: bool) -> Iterator[Moment]:
        for outcome in self._life.outcomes:
            if outcome.part_id != part.id:
                continue
            shown = shown_as(outcome.state, taken=taken)[1]
            reason = reason_of(outcome.state, outcome.error, taken=taken, language=self._view.language)
            lines = [reason] if reason else []
            if not taken:
                lines.append(self._t(N_("1 part given back: no carrier took it")))
            title = self._t(N_("Ended: %(state)s"), state=self._t(shown.title))
            yield Moment(outcome.done_at, title, tuple(lines), shown.tone)
        if part.state not in FINAL_STATES and part.expires_at:
            now_ms = self._view.console.wall_ms()
            if part.expires_at > now_ms:
                yield Moment(part.expires_at, self._t(N_("Its validity will end")), (), "quiet")

    def _carrier(self, identifier: int) -> str:
        if self._carriers is None:
            return self._t(N_("the carrier"))
        return self._carriers.get(identifier, f"#{identifier}")

    def _t(self, text: str, **values: object) -> str:
        return self._view.t(text, **values)


def _detail(part: Part) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.msgpack.decode(part.detail) if part.detail else {}
    return found
