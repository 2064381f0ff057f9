"""What people set of lists in general: columns, density, kept filters. All lead back to the list."""

from typing import Annotated

import msgspec
from litestar import Response, post
from litestar.exceptions import ClientException
from msgspec import Meta

from admin.console import Flash
from admin.i18n import N_
from admin.permissions import allow
from admin.security import local_path
from admin.view import FromView, View
from store import list_views
from store.config_db import Writing
from store.files import StoreError
from store.list_views import NAME_CHARACTERS_MAX, QUERY_CHARACTERS_MAX, Density

COLUMNS_MAX = 60
Name = Annotated[str, Meta(pattern="^[a-z][a-z0-9-]{0,39}$")]


class ColumnsForm(msgspec.Struct, frozen=True):
    """Beside the boxes: which columns there were to choose from (`known`) and which were (`shown`)."""

    list: Name
    density: Density = "normal"


class FilterForm(msgspec.Struct, frozen=True):
    """A filter to be kept; `query` as the list wrote it."""

    list: Name
    name: Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS_MAX)]
    query: Annotated[str, Meta(min_length=1, max_length=QUERY_CHARACTERS_MAX)]
    shared: bool = False
    first: bool = False


class ChosenForm(msgspec.Struct, frozen=True):
    """One kept filter; 0 for none."""

    list: Name
    filter: Annotated[int, Meta(ge=0)]


def _back(view: View, text: str = "", tone: str = "good") -> Response[str]:
    return view.go(local_path(view.field("next")), flash=Flash(text, tone) if text else None)


@post("/lists/columns", **allow("session"))
async def columns(view: FromView) -> Response[str]:
    """Remember which columns somebody wants of a list, and how close its rows stand."""
    form, _ = view.parse(ColumnsForm)
    known = [key for key in view.form.get("known", ())[:COLUMNS_MAX] if len(key) <= 40]
    if form is None:
        raise ClientException
    name, density = form.list, form.density
    hidden = [key for key in known if key not in view.form.get("shown", ())]
    await view.write(lambda w: list_views.set_columns(w, view.me.id, name, hidden, density), reload=False)
    return _back(view)


@post("/lists/filters", **allow("session"))
async def keep(view: FromView) -> Response[str]:
    """Keep a filter."""
    form, errors = view.parse(FilterForm)
    if form is None:
        if set(errors) != {"name"}:
            raise ClientException
        return _back(view, view.t(N_("Give the filter a name of at most 64 characters.")), "bad")
    made = form

    def write(transaction: Writing) -> None:
        known = list_views.save_filter(
            transaction, view.me.id, made.list, made.name, made.query, shared=made.shared
        )
        if made.first:
            list_views.set_first(transaction, view.me.id, made.list, known)

    try:
        await view.write(write, reload=False)
    except StoreError as error:
        return _back(view, view.refusal(error), "bad")
    return _back(view, view.t(N_("“%(name)s” is kept."), name=made.name))


@post("/lists/filters/first", **allow("session"))
async def first(view: FromView) -> Response[str]:
    """Begin a list with a filter, or with none."""
    form, _ = view.parse(ChosenForm)
    if form is None:
        raise ClientException
    name, chosen = form.list, form.filter
    done = await view.write(lambda w: list_views.set_first(w, view.me.id, name, chosen), reload=False)
    return _back(view, "" if done else view.t(N_("This filter does not exist any more.")), "bad")


@post("/lists/filters/delete", **allow("session"))
async def delete(view: FromView) -> Response[str]:
    """Forget one's own filter; its undo keeps it again."""
    form, _ = view.parse(ChosenForm)
    if form is None:
        raise ClientException
    name, chosen = form.list, form.filter
    gone = await view.write(lambda w: list_views.delete_filter(w, view.me.id, chosen), reload=False)
    if gone is None:
        return _back(view, view.t(N_("This filter does not exist any more.")), "bad")
    fields = {"list": name, "name": gone.name, "query": gone.query, "next": local_path(view.field("next"))}
    if gone.shared:
        fields["shared"] = "true"
    text = view.t(N_("“%(name)s” is deleted."), name=gone.name)
    return view.go(local_path(view.field("next")), flash=Flash(text, undo="/lists/filters", fields=fields))


ROUTES = (columns, keep, first, delete)
