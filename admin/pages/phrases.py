"""Phrase library (P20): find, add to a group of one's own, change in place, delete."""

import sqlite3
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from msgspec import Meta

from admin import lists
from admin.console import Flash
from admin.i18n import N_
from admin.lists import Cell, Column, Empty, Filter, Listing, ListSpec, Row
from admin.permissions import allow
from admin.rendering import Page
from admin.undo import undo_flash
from admin.view import FromView, View
from store.listing import Cut
from store.listing import Page as Rows
from store.phrases import PHRASE_CHARACTERS_MAX, add_phrase, edit_phrase, list_phrases, own_phrase
from store.trash import delete_phrases


class PhrasesPage(Page, kw_only=True):
    """The list with the form to add."""

    template = "phrases.html"
    listing: Listing
    editing: int  # the phrase that the form changes; 0 adds one
    values: Mapping[str, str]
    errors: Mapping[str, str]


class PhraseForm(msgspec.Struct, frozen=True):
    """A phrase for a group."""

    text: Annotated[str, Meta(max_length=PHRASE_CHARACTERS_MAX, extra={"lines": True})]
    group: Annotated[str, Meta(max_length=64)]
    shared: bool = False


def spec_of(view: View) -> ListSpec:
    """What the viewer may use: own phrases, and those shared in the user group."""

    def fetch(connection: sqlite3.Connection, values: Mapping[str, str], cut: Cut) -> Rows:
        return list_phrases(connection, view.me.id, view.me.group, cut, search=values["q"])

    def row(columns: tuple[Any, ...]) -> Row:
        identifier, text, group, shared, own, login = columns
        figures = view.console.text_figures(text)
        hits = view.t(N_("contains: %(words)s"), words="、".join(figures.words)) if figures.words else ""
        scope = Cell(
            bool(shared),
            view.t(N_("Shared") if shared else N_("Personal")),
            tone="info" if shared else "plain",
        )
        return Row(
            (
                Cell(text, href=f"/settings/phrases?edit={identifier}" if own else "", note=hits),
                Cell(group),
                scope,
                Cell(figures.parts),
                Cell(login),
            ),
            id=str(identifier) if own else "",
        )

    return ListSpec(
        name="phrases",
        path="/settings/phrases",
        columns=(
            Column("text", N_("Phrase")),
            Column("group", N_("Phrase group")),
            Column("shared", N_("Used by"), "badge"),
            Column("parts", N_("Parts"), "number", wide=False),
            Column("owner", N_("Made by"), wide=False),
        ),
        filters=(Filter("q", N_("Search"), placeholder=N_("Part of the text or group")),),
        fetch=fetch,
        row=row,
        empty=Empty(
            N_("No phrases yet"),
            N_("Keep texts that you send again and again; they can be put in when you send."),
        ),
    )


async def _show(
    view: View, values: Mapping[str, str], errors: Mapping[str, str], status: int = 200, editing: int = 0
) -> Response[Any]:
    def page(listing: Listing, _: sqlite3.Connection) -> PhrasesPage:
        return PhrasesPage(
            title=view.t(N_("Phrase library")), listing=listing, editing=editing, values=values, errors=errors
        )

    spec = spec_of(view)
    if status != 200:
        return await view.show(await view.read(lambda c: page(lists.build(view, spec, c), c)), status=status)
    return await lists.answer(view, spec, page)


@get("/settings/phrases", **allow("phrases"))
async def phrases(view: FromView) -> Response[Any]:
    """What the viewer may use; with `?edit=` one of their own in the form."""
    asked = str(view.request.query_params.get("edit", ""))
    phrase = int(asked) if asked.isdecimal() and len(asked) < 18 else 0
    found = await view.read(lambda c: own_phrase(c, view.me.id, phrase)) if phrase else None
    if found is None:
        return await _show(view, {}, {})
    values = {"text": found.text, "group": found.group} | ({"shared": "on"} if found.shared else {})
    return await _show(view, values, {}, editing=found.id)


@post("/settings/phrases/{phrase_id:int}", **allow("phrases"))
async def edit(view: FromView) -> Response[Any]:
    """Change one of one's own."""
    phrase = int(view.at("phrase_id"))
    if await view.read(lambda c: own_phrase(c, view.me.id, phrase)) is None:
        return view.go(
            "/settings/phrases", flash=Flash(view.t(N_("There is no such phrase of yours.")), "bad")
        )
    form, errors = view.parse(PhraseForm)
    if form is None:
        values = {name: sent[0] for name, sent in view.form.items() if sent}
        return await _show(view, values, errors, 422, phrase)
    made = form
    await view.write(
        lambda w: edit_phrase(w, view.me.id, phrase, made.group, made.text, shared=made.shared), reload=False
    )
    return view.go("/settings/phrases", flash=Flash(view.t(N_("Saved."))))


@post("/settings/phrases", **allow("phrases"))
async def add(view: FromView) -> Response[Any]:
    """Keep a phrase; sharing is the group's."""
    form, errors = view.parse(PhraseForm)
    if form is None:
        return await _show(view, {name: sent[0] for name, sent in view.form.items() if sent}, errors, 422)
    made = form
    await view.write(
        lambda w: add_phrase(w, view.me.id, made.group, made.text, shared=made.shared), reload=False
    )
    return view.go("/settings/phrases", flash=Flash(view.t(N_("Kept."))))


@post("/settings/phrases/delete", **allow("phrases"))
async def delete(view: FromView) -> Response[Any]:
    """Delete own ones."""
    ids = [int(one) for one in view.form.get("ids", ()) if one.isdecimal() and len(one) < 18]
    gone = await view.write(lambda w: delete_phrases(w, view.me.id, ids), reload=False)
    return view.go(
        "/settings/phrases",
        flash=undo_flash(view.t(N_("%(count)s phrases deleted."), count=gone.count), gone),
    )


ROUTES = (phrases, edit, add, delete)
