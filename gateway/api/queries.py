"""What may be asked: messages by id and in lists, inbound messages, the balance; and cancelling."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

import msgspec

from gateway.api import ids
from gateway.api.invalid import Invalid, refuse
from gateway.api.keys import Identity
from gateway.api.ledger import Ledger
from gateway.api.parameters import Parameters, next_cursor
from gateway.api.shapes import Balance, InboundOut, InboundPage, MessagePage, Status
from gateway.api.templates import visible
from gateway.api.views import FAILURES, inbound_out, message_out, states_of
from gateway.http.messages import Request, Response
from gateway.http.problems import problem
from gateway.operations import message_outcome
from store.model import Attempt, Inbound, Part, State
from store.port import TrafficStore

if TYPE_CHECKING:
    from gateway.core import Core

READ_PARTS = 500  # of one reading
READINGS_MAX = 10  # of one page: a filter that finds little answers a short page and where to go on
_encode = msgspec.json.Encoder().encode

Found = tuple[Sequence[Part], Sequence[Attempt]]


class Queries:
    def __init__(self, core: "Core", ledger: Ledger) -> None:
        self._core = core
        self._ledger = ledger

    # -- one message ------------------------------------------------------------------------------

    async def message(self, request: Request) -> Response:
        """A message of this account by id."""
        identity: Identity = request.context
        message_id = ids.read(ids.MESSAGE, request.params["id"])
        life = await self._core.ports.store.read(lambda s: s.message(message_id)) if message_id else None
        if life is None or life.id != message_id or life.parts[0].account != identity.account.id:
            return unknown_message(request)
        return Response(200, _encode(message_out(life.parts, life.attempts)))

    async def cancel(self, request: Request) -> Response:
        """Cancel a message of which nothing has left yet."""
        identity: Identity = request.context
        message_id = ids.read(ids.MESSAGE, request.params["id"])
        parts = await self._core.message_parts(message_id) if message_id else []
        if not parts or parts[0].account != identity.account.id:
            return unknown_message(request)
        if not await self._core.operations.cancel_parts(parts):
            return problem(
                "conflict", "The message has left already, or has ended. GET it to see its status.", request
            )
        parts = await self._core.message_parts(message_id)
        return Response(200, _encode(message_out(parts)))

    # -- lists ------------------------------------------------------------------------------------

    async def messages(self, request: Request) -> Response:
        """Messages of this account, newest first, a page at a time."""
        identity: Identity = request.context
        try:
            asked = Parameters(request, ("client_ref", "to", "status", "since", "cursor", "limit"))
            limit, before, since = asked.limit(), asked.cursor(), asked.since()
            dest = self._number(asked)
            states = _states(asked)
        except Invalid as error:
            return refuse(error, request)
        account, ref = identity.account.id, asked.text("client_ref")
        if ref:
            wanted = await self._ledger.read(
                lambda store: store.messages_by_reference(account, ref, before, limit)
            )
            found = await self._core.ports.store.read(lambda s: by_ids(s, wanted))
            more = len(wanted) == limit
            before = wanted[-1] if wanted else 0
        else:
            found, before, more = await self._core.ports.store.read(
                lambda s: page(s, account, dest, states, since, before, limit)
            )
        data = [
            message_out(parts, attempts)
            for parts, attempts in found
            if parts[0].account == account and parts[0].id >= since and _fits(parts, dest, states)
        ]
        wanted_status = asked.text("status")
        if wanted_status in ("failed", "undelivered"):  # one state, told apart by the attempts
            data = [one for one in data if one.status == wanted_status]
        return Response(200, _encode(MessagePage(data, next_cursor(before) if more else None)))

    def _number(self, asked: Parameters) -> int:
        text = asked.text("to")
        if not text:
            return 0
        number = self._core.numbering.canonical_text(text.replace(" ", "+", 1) if text[0] == " " else text)
        if not isinstance(number, int):
            raise Invalid("?to", "invalid-number", "This is no telephone number.")
        return number

    async def inbound(self, request: Request) -> Response:
        """Messages from handsets to this account's numbers, newest first."""
        identity: Identity = request.context
        try:
            asked = Parameters(request, ("cursor", "limit"))
            limit, before = asked.limit(), asked.cursor()
        except Invalid as error:
            return refuse(error, request)
        data: list[InboundOut] = []
        account, more = identity.account.id, True
        for _ in range(READINGS_MAX):
            wanted = limit - len(data)
            rows, answered = await self._core.ports.store.read(
                lambda s, before=before, wanted=wanted: inbound_page(s, account, before, wanted)  # type: ignore[misc]
            )
            # Only the segment that completes a message carries its text.
            data += [
                inbound_out(row, answered.get(row.answers)) for row in rows if row.text or row.parts == 1
            ]
            more = len(rows) == wanted
            if rows:
                before = rows[-1].id
            if len(data) >= limit or not more:
                break
        return Response(200, _encode(InboundPage(data, next_cursor(before) if more else None)))

    def balance(self, request: Request) -> Response:
        """The parts that the key's user has left."""
        identity: Identity = request.context
        balance = self._core.quota.balances[identity.account.user.id]
        return Response(
            200, _encode(Balance(balance.limit, balance.used, balance.reserved, balance.available))
        )

    def templates(self, request: Request) -> Response:
        """The templates that the key's account may send."""
        identity: Identity = request.context
        return Response(200, _encode(visible(self._core.directory, identity.account)))


def unknown_message(request: Request) -> Response:
    return problem("not-found", "There is no such message of this account.", request)


def _states(asked: Parameters) -> frozenset[State]:
    status = asked.text("status")
    if not status:
        return frozenset()
    states = states_of(status)
    if not states:
        raise Invalid(
            "?status",
            "unknown-status",
            f"There is no such status. Use one of: {', '.join(get_args(Status))}.",
        )
    return states


def _fits(parts: Sequence[Part], dest: int, states: frozenset[State]) -> bool:
    if dest and parts[0].dest != dest:
        return False
    return not states or message_state(parts) in states


def message_state(parts: Sequence[Part]) -> State:
    return message_outcome(parts)[0]


# -- in a worker thread ---------------------------------------------------------------------------


def inbound_page(
    store: TrafficStore, account: int, before: int, limit: int
) -> tuple[list[Inbound], dict[int, Part]]:
    """Segments below `before`, newest first, and the messages that they answer, by id."""
    rows = store.inbound(account, before, limit)
    answered = sorted({row.answers for row in rows if row.answers})
    return rows, {part.id: part for part in store.parts(answered)} if answered else {}


def by_ids(store: TrafficStore, wanted: Sequence[int]) -> list[Found]:
    """Whole messages by id, newest first."""
    heads = store.parts(sorted(wanted))
    return [_whole(store, head) for head in reversed(heads)]


def page(
    store: TrafficStore,
    account: int,
    dest: int,
    states: frozenset[State],
    since: int,
    before: int,
    limit: int,
) -> tuple[list[Found], int, bool]:
    """Messages below `before` that fit, newest first; where to go on; whether there is more."""
    found: list[Found] = []
    for _ in range(READINGS_MAX):
        if dest:
            parts = store.parts_to(dest, before, READ_PARTS)
        else:
            parts = store.parts_of(account, before, READ_PARTS)
        for part in parts:
            before = part.id
            if part.id < since:
                return found, before, False
            if part.part_no != 1 or part.account != account:
                continue
            whole = _whole(store, part)
            if states and message_state(whole[0]) not in states:
                continue
            found.append(whole)
            if len(found) == limit:
                return found, before, True
        if len(parts) < READ_PARTS:
            return found, before, False
    return found, before, True


def _whole(store: TrafficStore, head: Part) -> Found:
    """All parts of a message, and its attempts where they explain a failure."""
    if head.parts == 1 and head.state not in FAILURES:
        return [head], ()
    life = store.message(head.id)
    return (life.parts, life.attempts) if life is not None else ([head], ())
