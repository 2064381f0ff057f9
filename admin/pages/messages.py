"""Message details (P12): the list, one message with its timeline, and showing what is masked."""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.exceptions import ClientException

from admin import lists, security
from admin.console import Flash
from admin.i18n import N_
from admin.lists import Listing
from admin.message_life import PartLife, Teller
from admin.message_list import MessageList
from admin.message_sight import LISTS, REVEALED_MS, is_clear, number_shown, text_shown
from admin.message_words import code_of, reason_of, shown_as
from admin.operations import WebhookNews
from admin.permissions import Role, allow
from admin.rendering import Page, zone_of
from admin.view import FromView, View
from store.model import FINAL_STATES, NO_CARRIER, EventFor, Part, PartFlag
from store.outcomes import message_outcome
from store.owners import Owner, carrier_names, names_of_tasks, sms_type_titles

CHOSEN_MAX = 200  # of one page


class MessagesPage(Page, kw_only=True):
    """The list, with what is to be said beside it."""

    template = "messages.html"
    listing: Listing
    notes: list[str]
    reached_ms: int
    masks: bool  # whether other people's numbers are masked for this viewer
    revealed_until: int


class MessagePage(Page, kw_only=True):
    """Everything about one message."""

    template = "message.html"
    id: int
    shown_id: str
    first: Part
    owner: Owner | None
    number: str
    text: str
    sender: str
    clear: bool
    may_reveal: bool
    state: str
    tone: str
    reason: str
    code: str
    final: bool
    done_at: int
    sms_type: str
    task: str
    group_path: str
    zone: str
    parts: list[PartLife]
    maybe_duplicate: bool
    blacklist_href: str


async def show_list(view: View, make: Any, template: Any = None) -> Response[Any]:
    """The list of messages that `make` gives for a connection, in whichever form the address wants."""
    messages: MessageList = await view.read(make)

    def page(listing: Listing, _: sqlite3.Connection) -> Page:
        said = {
            "listing": listing,
            "notes": messages.notes,
            "reached_ms": messages.reached_ms,
            **masks_of(view),
        }
        if template is not None:
            made: Page = template(**said)
            return made
        return MessagesPage(title=view.t(N_("Message details")), **said)

    return await lists.answer(view, messages.spec(), page)


def masks_of(view: View) -> dict[str, Any]:
    """What a page with a list says of its masks."""
    until = view.console.revealed_until(view.me.id, LISTS)
    return {
        "masks": view.role > Role.USER,
        "revealed_until": until if until > view.console.wall_ms() else 0,
    }


@get("/reports/messages", **allow("messages.read"))
async def messages(view: FromView) -> Response[Any]:
    """Messages in sight, the newest first."""
    return await show_list(view, lambda connection: MessageList(view, connection))


@get("/reports/messages/{message_id:int}", **allow("messages.read", about="message"))
async def message(view: FromView) -> Response[str]:
    """One message and its timeline."""
    known = view.about_message
    life, first = known.life, known.life.parts[0]
    operations = view.console.operations
    events = [receipt.id for receipt in life.receipts if receipt.event & EventFor.CURSORS]
    told = await operations.webhook_news(first.account, events) if events else []
    webhooks = [msgspec.convert(one, WebhookNews, from_attributes=True) for one in told]

    def read(connection: sqlite3.Connection) -> MessagePage:
        carriers = carrier_names(connection)
        task, path = names_of_tasks(connection, {first.task}).get(
            first.task, ("", known.owner.group_path if known.owner else "")
        )
        clear = is_clear(view, known.owner, life.id)
        account = known.owner.system_id if known.owner else f"#{first.account}"
        parts = Teller(view, life, carriers, account, webhooks).parts()
        state, error, done_at = message_outcome(life.parts)
        asked = [one.id for one in life.parts if one.state == state and one.done_at == done_at]
        accepted = {one.part_id for one in life.attempts if one.status == 0}
        taken = first.carrier == NO_CARRIER or bool(accepted & set(asked or (one.id for one in life.parts)))
        shown = shown_as(state, taken=taken)[1]
        if not clear:
            parts = [
                msgspec.structs.replace(
                    one,
                    text=text_shown(one.text, clear=False),
                    moments=[msgspec.structs.replace(moment, raw="") for moment in one.moments],
                )
                for one in parts
            ]
        return MessagePage(
            title=view.t(N_("Message to %(number)s"), number=number_shown(first.dest, clear=clear)),
            id=life.id,
            shown_id=operations.shown_message_id(life.id),
            first=first,
            owner=known.owner,
            number=number_shown(first.dest, clear=clear),
            text=text_shown(operations.message_text(life.parts), clear=clear),
            sender=first.source.decode("utf-8", "replace"),
            clear=clear,
            may_reveal=view.may("messages.reveal"),
            state=view.t(shown.title),
            tone=shown.tone,
            reason=reason_of(state, error, taken=taken, language=view.language),
            code=code_of(state, error, taken=taken),
            final=state in FINAL_STATES,
            done_at=done_at,
            sms_type=sms_type_titles(connection).get(first.sms_type, str(first.sms_type)),
            task=task,
            group_path=path,
            zone=zone_of(view.zone).key,
            parts=parts,
            maybe_duplicate=any(one.flags & PartFlag.MAYBE_DUPLICATE for one in life.parts),
            blacklist_href=f"/settings/blacklist?tab=group&message={life.id}",
        )

    return await view.show(await view.read(read))


class ComplaintsPage(MessagesPage, kw_only=True):
    """The list, to choose numbers from."""

    template = "complaints.html"


@get("/sms/complaints", **allow("complaints"))
async def complaints(view: FromView) -> Response[Any]:
    """Messages that somebody complains about, found by what is known of them (P4)."""

    def make(connection: sqlite3.Connection) -> MessageList:
        return MessageList(view, connection, path="/sms/complaints", complaints=True)

    def page(**said: Any) -> ComplaintsPage:
        return ComplaintsPage(title=view.t(N_("Complaint handling")), **said)

    return await show_list(view, make, page)


@post("/sms/complaints", **allow("blacklist.write"))
async def choose(view: FromView) -> Response[str]:
    """On to the form that puts the numbers of the chosen messages onto a blacklist."""
    chosen = [one for one in view.form.get("ids", ()) if one.isdecimal() and len(one) <= 19][:CHOSEN_MAX]
    if not chosen:
        said = Flash(view.t(N_("Choose messages first.")), tone="bad")
        return view.go("/sms/complaints", flash=said)
    return view.go(f"/settings/blacklist?tab=group&message={','.join(chosen)}")


@post("/reports/messages/reveal", **allow("messages.reveal"))
async def reveal_lists(view: FromView) -> Response[str]:
    """Show numbers and texts of others in the lists for a quarter of an hour, or hide them again."""
    wanted = view.field("do")
    if wanted not in ("show", "hide"):
        raise ClientException
    shows = wanted == "show"
    await _reveal(view, LISTS, "messages of others" if shows else "", shows=shows)
    return view.go(security.local_path(view.field("next") or "/reports/messages"))


@post("/reports/messages/{message_id:int}/reveal", **allow("messages.reveal", about="message"))
async def reveal(view: FromView) -> Response[str]:
    """Show one message's number and text for a quarter of an hour."""
    identifier = view.about_message.life.id
    await _reveal(view, str(identifier), f"message {identifier}", shows=True)
    return view.go(f"/reports/messages/{identifier}")


async def _reveal(view: View, what: str, target: str, *, shows: bool) -> None:
    console = view.console
    until = console.wall_ms() + REVEALED_MS if shows else 0
    if shows:  # written down before anything is shown
        await write_down(view, target)
    console.reveal(view.me.id, what, until)


async def write_down(view: View, target: str, ids: Sequence[int] = ()) -> None:
    """The audit row of an unmasking: which messages, not which numbers."""
    console, address = view.console, view.address
    actor = f"console:{view.me.login}"
    detail = {"messages": [str(one) for one in ids]} if len(ids) > 1 else {}
    await console.off_loop(
        lambda: console.store.record(actor, "message.reveal", target, address=address, **detail)
    )


ROUTES = (messages, message, complaints, choose, reveal_lists, reveal)
