"""Sensitive words (P18): find, add one or many, delete, and try what they do to a text."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, get, post
from msgspec import Meta

from admin import lists
from admin.cleaning import clean
from admin.console import Flash
from admin.i18n import N_
from admin.lists import Cell, Column, Empty, Filter, Listing, ListSpec, Row
from admin.permissions import allow
from admin.rendering import Page
from admin.undo import undo_flash
from admin.view import FromView, View
from filters.words import WORD_CHARACTERS_MAX, WordSet, mask, problem_with_word, same_word
from store.config_read import words as all_words
from store.directory import Word
from store.files import StoreError
from store.listing import Cut
from store.listing import Page as Rows
from store.rules_list import add_words, list_words
from store.trash import delete_words

ACTIONS = {
    "mask": (N_("Mask"), "info"),
    "review": (N_("Review"), "warn"),
    "reject": (N_("Reject"), "bad"),
}
TRY_CHARACTERS_MAX = 2000


class Tried(msgspec.Struct, frozen=True):
    """What the words do to a text: pieces of it, each with whether it was hit."""

    pieces: list[tuple[str, bool]]
    masked: str
    action: str
    words: tuple[str, ...]


class WordsPage(Page, kw_only=True):
    """The list, the form to add, the box to try."""

    template = "words.html"
    listing: Listing
    can_write: bool
    values: Mapping[str, str]
    errors: Mapping[str, str]
    tried: Tried | None
    limit: int = WORD_CHARACTERS_MAX


class WordsForm(msgspec.Struct, frozen=True):
    """One word a line."""

    words: Annotated[str, Meta(max_length=1_000_000, extra={"lines": True})]
    action: Literal["mask", "review", "reject"] = "mask"
    category: Annotated[str, Meta(max_length=64)] = ""
    note: Annotated[str, Meta(max_length=200)] = ""
    substring: bool = False


def words_spec(view: View) -> ListSpec:
    """The list of words."""
    writable = view.may("words.write")

    def fetch(connection: sqlite3.Connection, values: Mapping[str, str], cut: Cut) -> Rows:
        return list_words(connection, cut, search=values["q"], action=values["action"])

    def row(columns: tuple[Any, ...]) -> Row:
        identifier, text, action, substring, category, note, hits = columns
        title, tone = ACTIONS[action]
        return Row(
            (
                Cell(text),
                Cell(action, view.t(title), tone=tone),
                Cell(bool(substring), view.t(N_("anywhere")) if substring else view.t(N_("whole words"))),
                Cell(category),
                Cell(note),
                Cell(hits),
            ),
            id=str(identifier) if writable else "",
        )

    return ListSpec(
        name="words",
        path="/settings/words",
        columns=(
            Column("text", N_("Word")),
            Column("action", N_("Action"), "badge"),
            Column("substring", N_("Latin letters match"), wide=False),
            Column("category", N_("Category")),
            Column("note", N_("Note"), wide=False),
            Column("hits", N_("Hits in 30 days"), "number"),
        ),
        filters=(
            Filter("q", N_("Search"), placeholder=N_("Word, category or note")),
            Filter(
                "action", N_("Action"), "choice", tuple((key, title) for key, (title, _) in ACTIONS.items())
            ),
        ),
        fetch=fetch,
        row=row,
        empty=Empty(
            N_("No sensitive words yet"),
            N_("Add some beside this list: one a line. Each is replaced by asterisks in every text."),
        ),
    )


def try_text(words: Sequence[Word], text: str) -> Tried:
    """What these words do to a text."""
    hits = WordSet(words).scan_thoroughly(text) if words else None
    if hits is None:
        return Tried([(text, False)], text, "", ())
    pieces: list[tuple[str, bool]] = []
    at = 0
    for start, end in hits.spans:
        pieces += [(text[at:start], False), (text[start:end], True)]
        at = end
    pieces.append((text[at:], False))
    return Tried([one for one in pieces if one[0]], mask(text, hits.masks), hits.action, hits.words)


async def _show(
    view: View,
    *,
    values: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response[Any]:
    text = clean(str(view.request.query_params.get("try", ""))[:TRY_CHARACTERS_MAX], lines=True)
    tried = None
    if text:
        tried = await view.read(lambda c: try_text(all_words(c), text))
    given = {"words": "", "action": "mask", "category": "", "note": "", "substring": "", "try": text}

    def page(listing: Listing, _: sqlite3.Connection) -> WordsPage:
        return WordsPage(
            title=view.t(N_("Sensitive words")),
            listing=listing,
            can_write=view.may("words.write"),
            values=given | dict(values or {}),
            errors=errors or {},
            tried=tried,
        )

    if status != 200:
        return await view.show(
            await view.read(lambda c: page(lists.build(view, words_spec(view), c), c)), status=status
        )
    return await lists.answer(view, words_spec(view), page)


@get("/settings/words", **allow("words.read"))
async def words(view: FromView) -> Response[Any]:
    """The words."""
    return await _show(view)


@post("/settings/words", **allow("words.write"))
async def add(view: FromView) -> Response[Any]:
    """Add one or many; two spellings of one word are one."""
    form, errors = view.parse(WordsForm)
    given = {name: sent[0] for name, sent in view.form.items() if sent}
    if form is None:
        return await _show(view, values=given, errors=errors, status=422)
    new: dict[str, Word] = {}
    for number, line in enumerate(form.words.splitlines(), 1):
        text = clean(line)
        if not text:
            continue
        if problem_with_word(text):
            errors["words"] = view.t(
                N_("Line %(line)s cannot be a word: it is longer than 64 characters, or only punctuation."),
                line=number,
            )
            return await _show(view, values=given, errors=errors, status=422)
        new.setdefault(same_word(text), Word(text, form.action, form.substring, form.category, form.note))
    if not new:
        errors["words"] = view.t(N_("Fill this in."))
        return await _show(view, values=given, errors=errors, status=422)

    def write(transaction: Any) -> tuple[int, int]:
        known = {same_word(word.text) for word in all_words(transaction.connection)}
        fresh = [word for key, word in new.items() if key not in known]
        added, _ = add_words(transaction, fresh)
        return added, len(new) - added

    try:
        added, known = await view.write(write)
    except StoreError as error:
        return await _show(view, values=given, errors={"words": view.refusal(error)}, status=422)
    text = view.t(
        N_("%(added)s words added; %(known)s were there already, perhaps in another spelling."),
        added=added,
        known=known,
    )
    return view.go("/settings/words", flash=Flash(text))


@post("/settings/words/delete", **allow("words.write"))
async def delete(view: FromView) -> Response[Any]:
    """Delete the chosen ones."""
    ids = [int(one) for one in view.form.get("ids", ()) if one.isdecimal() and len(one) < 18]
    gone = await view.write(lambda w: delete_words(w, view.me.id, ids))
    flash = undo_flash(view.t(N_("%(count)s words deleted."), count=gone.count), gone)
    return view.go("/settings/words", flash=flash)


ROUTES = (words, add, delete)
