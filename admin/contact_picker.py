"""Picking single contacts: a tree of groups, a list that is searched, and what is ticked, kept through every detour.

Ticked ones that the list does not show travel in one hidden field, so that a thousand of them are one part of a form.
"""

import sqlite3
from collections.abc import Iterable, Mapping

import msgspec

from store import address_book
from store.address_book import ContactGroup
from store.listing import Cut

SHOWN_MAX = 200
PICKED_MAX = 20_000


class Chosen(msgspec.Struct, frozen=True):
    """A contact that may be ticked."""

    id: int
    name: str
    mobile: int
    group: str


class Picker(msgspec.Struct, frozen=True):
    """What the picker shows. `hidden` are ticked ones that the list does not hold."""

    groups: list[ContactGroup]
    group: int
    search: str
    shown: list[Chosen]
    found: int  # in the whole result, more than are shown perhaps
    ticked: set[int]
    hidden: list[int]

    @property
    def chosen(self) -> int:
        return len(self.ticked) + len(self.hidden)

    @property
    def hidden_text(self) -> str:
        return ",".join(map(str, self.hidden))


def picked_in(form: Mapping[str, Iterable[str]]) -> list[int]:
    """The contacts that a form has ticked, shown or not, each once."""
    sent = [*form.get("contacts", ())]
    for text in form.get("more_contacts", ()):
        sent += text.split(",")
    ids = dict.fromkeys(int(one) for one in sent if one.isdecimal() and len(one) < 18)
    return list(ids)[:PICKED_MAX]


def build(
    connection: sqlite3.Connection, owner: int, values: Mapping[str, str], picked: Iterable[int], do: str = ""
) -> Picker:
    """The picker after a button: `pick-group:2`, `pick-all`, `pick-none`, or a search.

    Of what is picked only the owner's own contacts stay.
    """
    groups = address_book.contact_groups(connection, owner)
    asked = do[11:] if do.startswith("pick-group:") else values.get("contact_group", "")
    group = int(asked) if asked.isdecimal() and int(asked) in {one.id for one in groups} else 0
    search = values.get("contact_search", "")[:64]
    page = address_book.list_contacts(connection, owner, Cut(SHOWN_MAX), search=search, group=group)
    ids = {row[0]: None for row in address_book.contacts_by_id(connection, owner, list(picked))}
    if do == "pick-all":
        everything = address_book.list_contacts(
            connection, owner, Cut(PICKED_MAX), search=search, group=group
        )
        ids |= {row[0]: None for row in everything.rows}
    if do == "pick-none":
        ids = {}
    shown = [Chosen(*row) for row in page.rows]
    visible = {one.id for one in shown}
    return Picker(
        groups,
        group,
        search,
        shown,
        page.count,
        visible & ids.keys(),
        [one for one in ids if one not in visible],
    )
