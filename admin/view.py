"""One request, as the pages see it: who looks, in which language, what the form says, and how to answer."""

import ipaddress
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from litestar import Request, Response
from litestar.datastructures import Cookie, UploadFile
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException

from admin import forms, security
from admin.console import Console, Flash
from admin.i18n import HTML_LANGUAGE, Language, choose, translate
from admin.menu import Chapter, chapters_of, current
from admin.message_sight import Known
from admin.permissions import Role, may, may_touch, role_of, within
from admin.refusals import sentence
from admin.rendering import Page, render
from store.config_db import Writing
from store.files import StoreError
from store.imports import ImportRow
from store.people_list import GroupRow, UserRow
from store.preferences import Preferences
from store.quota_low import Low, low_groups, low_users
from store.scope import Within
from store.sessions import Viewer, session_hash
from store.tasks import TaskFilter, TaskRow, count_tasks

if TYPE_CHECKING:
    from admin.list_export import Asked

Result = TypeVar("Result")
HTML = "text/html"
ASKED = "sluice.asked"  # in a request's scope: a job that asks it
AS_JSON = "sluice.json"  # the address ended in .json
COOKIE_AGE_S = 12 * 3600


class Parts(msgspec.Struct, frozen=True):
    """A user's parts; `in_flight` are those that config.db does not count yet."""

    used: int
    reserved: int
    in_flight: int


class View:
    """Made by the guard (`admin/gate.py`) for every request."""

    def __init__(self, console: Console, request: Request[Any, Any, Any]) -> None:
        self.console = console
        self.request = request
        self.path = request.scope["path"]
        self.session_id = request.cookies.get(cookie_name(console, "sid"), "")
        self.pre_session_id = request.cookies.get(cookie_name(console, "pre"), "")
        self.request_id = secrets.token_hex(8)  # beside what this request changes, and in its answer
        self.viewer: Viewer | None = None
        self.form: dict[str, Sequence[str]] = {}
        self.files: dict[str, UploadFile] = {}
        self.user: UserRow | None = None  # whom the route is about
        self.group: GroupRow | None = None
        self.task: TaskRow | None = None
        self.import_: ImportRow | None = None
        self.message: Known | None = None
        self.new_pre_session = ""

    # -- who ----------------------------------------------------------------------------------------

    @property
    def me(self) -> Viewer:
        """Who looks, where the guard has seen to it that somebody is signed in."""
        assert self.viewer is not None
        return self.viewer

    @property
    def role(self) -> Role:
        return role_of(self.viewer)

    @property
    def lacks_second_factor(self) -> bool:
        """Whether the viewer must have a second factor by the configuration, and has none."""
        asked = self.console.options.second_factor
        wanted = self.role > Role.ANYONE if asked == "everybody" else self.role >= Role.ADMIN
        return self.viewer is not None and asked != "optional" and wanted and not self.viewer.second_factor

    def may(self, permission: str) -> bool:
        """Whether this permission opens anything to the viewer."""
        return may(self.viewer, permission)

    def within(self, permission: str) -> Within:
        """The part of the tree that a permission opens."""
        return within(self.me, permission)

    def may_change_user(self, user: UserRow) -> bool:
        """Whether this user, who is in sight, may be changed."""
        return self.may("users.write") and may_touch(
            self.me, "users.write", group=user.group, is_admin=user.role == "admin", is_group=False
        )

    def may_change_group(self, group: GroupRow) -> bool:
        """Whether this group, which is in sight, may be changed."""
        return self.may("groups.write") and may_touch(
            self.me, "groups.write", group=group.id, is_admin=False, is_group=True
        )

    @property
    def about_user(self) -> UserRow:
        assert self.user is not None
        return self.user

    @property
    def about_group(self) -> GroupRow:
        assert self.group is not None
        return self.group

    @property
    def about_task(self) -> TaskRow:
        assert self.task is not None
        return self.task

    @property
    def about_import(self) -> ImportRow:
        assert self.import_ is not None
        return self.import_

    @property
    def about_message(self) -> Known:
        assert self.message is not None
        return self.message

    @property
    def owns_task(self) -> bool:
        """Whether the task that the route is about is the viewer's own."""
        return self.about_task.user == self.me.id

    def topics(self, page: Page) -> tuple[str, ...]:
        """What of a page moves, the badge of its frame with it."""
        return (*page.topics, *(("review",) if self.may("review") else ()))

    def review_waiting(self) -> int:
        """How many tasks wait for this viewer's review; read where a page is rendered."""
        with self.console.store.reading() as connection:
            return count_tasks(connection, self.within("review"), TaskFilter(states=("review",)))

    def low_quota(self) -> list[Low]:
        """The viewer, and the group that they administer, when little is left; read where a page is rendered."""
        balances = self.console.operations.balances()
        with self.console.store.reading() as connection:
            found = low_users(connection, Within(), balances, user=self.me.id)
            if self.role == Role.ADMIN:
                within = self.within("groups.read")
                found += low_groups(connection, within, balances, group=self.me.group)
        return found

    @property
    def address(self) -> str:
        """Where the request comes from: the last address that no trusted proxy only passes on."""
        client = self.request.scope.get("client")
        peer = client[0] if client else ""
        trusted = [ipaddress.ip_network(one, strict=False) for one in self.console.options.trusted_proxies]
        hops = [
            one.strip() for one in self.request.headers.get("x-forwarded-for", "").split(",") if one.strip()
        ]
        while hops and _within(peer, trusted):
            peer = hops.pop()
        return peer

    # -- how it looks -------------------------------------------------------------------------------

    @property
    def preferences(self) -> Preferences:
        return self.viewer.preferences if self.viewer else Preferences()

    @property
    def language(self) -> Language:
        wanted = self.preferences.language or self.request.cookies.get("language", "")
        return choose(wanted, self.request.headers.get("accept-language", ""))

    @property
    def html_language(self) -> str:
        return HTML_LANGUAGE[self.language]

    @property
    def theme(self) -> str:
        return self.preferences.theme

    @property
    def rail_narrow(self) -> bool:
        """Whether the menu shows icons only, in this browser."""
        return self.request.cookies.get("rail", "") == "narrow"

    @property
    def zone(self) -> str:
        return self.preferences.zone

    def t(self, text: str, **values: object) -> str:
        """A text in the reader's language."""
        return translate(self.language, text, **values)

    @property
    def chapters(self) -> list[Chapter]:
        return chapters_of(self.viewer) if self.viewer else []

    @property
    def current(self) -> str:
        return current(self.path)

    def flashes(self) -> list[Flash]:
        """What is to be told now; asked once."""
        if self.viewer is None:
            return []
        ended = [
            Flash(self.t(one.text, **one.values), "good" if one.good else "bad")
            for one in self.console.background.take_news(self.viewer.id)
        ]
        return [*self.console.take_flashes(self.viewer.session), *ended]

    @property
    def csrf(self) -> str:
        """The token of this page's forms; a stranger's belongs to a cookie of its own."""
        if self.viewer:
            return security.csrf_token(self.session_id)
        if not self.pre_session_id:
            self.pre_session_id = self.new_pre_session = security.new_id()
        return security.csrf_token(self.pre_session_id)

    def once(self) -> str:
        """A token that lets a form count once."""
        return secrets.token_urlsafe(12)

    @property
    def asked_by_job(self) -> "Asked | None":
        """The job that makes this request itself, of its owner's behalf."""
        asked: Asked | None = self.request.scope.get(ASKED)  # type: ignore[assignment]
        return asked

    @property
    def wants_json(self) -> bool:
        """Whether a program asks: by the address, or because it would not take HTML."""
        accept = self.request.headers.get("accept", "")
        return AS_JSON in self.request.scope or ("application/json" in accept and "text/html" not in accept)

    @property
    def is_fragment(self) -> bool:
        """Whether htmx asks, and wants no frame around."""
        return self.request.headers.get("hx-request") == "true"

    # -- work ---------------------------------------------------------------------------------------

    async def read(self, call: Callable[[sqlite3.Connection], Result]) -> Result:
        """`call` on one snapshot of config.db, in a worker."""

        def run() -> Result:
            with self.console.store.reading() as connection:
                return call(connection)

        return await self.console.off_loop(run)

    async def write(
        self, call: Callable[[Writing], Result], *, actor: str = "", reload: bool = True
    ) -> Result:
        """`call` in one write transaction, under this person's name; then the daemon takes it over."""
        who = actor or f"console:{self.me.login}"

        def run() -> Result:
            with self.console.store.writing(
                who, address=self.address, request=self.request_id
            ) as transaction:
                return call(transaction)

        result = await self.console.off_loop(run)
        if reload:
            await self.console.operations.reload()
        return result

    def parts_of(self, user: UserRow) -> Parts:
        """A user's parts, with what config.db does not count yet."""
        used, reserved = self.console.operations.balances().get(user.id, (user.used, 0))
        return Parts(used, reserved, max(used + reserved - user.used, 0))

    def parse(self, struct: type[forms.Value]) -> tuple[forms.Value | None, dict[str, str]]:
        """The form as a value, or what is wrong with it, in the reader's language."""
        value, errors = forms.parse(self.form, struct)
        return value, {name: self.t(text) for name, text in errors.items()}

    def query(self, name: str) -> str:
        """A parameter of the address, "" without one."""
        return str(self.request.query_params.get(name, ""))

    def at(self, name: str) -> str:
        """A parameter of the path."""
        return str(self.request.path_params[name])

    def field(self, name: str) -> str:
        """One field as it was sent: for passwords, which nothing may clean."""
        sent = self.form.get(name)
        return sent[0] if sent else ""

    def refusal(self, error: StoreError) -> str:
        """What the store refuses, in the reader's language."""
        return sentence(error, self.language)

    # -- answers ------------------------------------------------------------------------------------

    async def show(self, page: Page, *, status: int = 200) -> Response[str]:
        """A page; there is none at an address that ends in .json."""
        if AS_JSON in self.request.scope:
            raise NotFoundException
        return await self.console.off_loop(self.show_now, page, status)

    def show_now(self, page: Page, status: int = 200) -> Response[str]:
        """A page, made right here."""
        html = render(self.language, page.template, page=page, view=self)
        return self.answer(Response(html, status_code=status, media_type=HTML))

    def go(self, location: str, *, flash: Flash | None = None) -> Response[str]:
        """Lead on to another page (303), perhaps with a word about what was done."""
        if self.viewer:
            if flash:
                self.console.flash(self.viewer.session, flash)
            once = self.field("_once")
            if once:
                self.console.remember(self.viewer.session, once, location)
        return self.answer(Response("", status_code=303, headers={"location": location}, media_type=HTML))

    def answer(self, response: Response[Any]) -> Response[Any]:
        """What every page has beside its content."""
        response.headers.setdefault("cache-control", "no-store")
        response.headers["x-request-id"] = self.request_id
        if self.new_pre_session:
            response.set_cookie(self.cookie("pre", self.new_pre_session))
        return response

    def cookie(self, name: str, value: str, *, max_age: int | None = None) -> Cookie:
        """A cookie of ours. Over TLS its name binds it to this host."""
        return Cookie(
            key=cookie_name(self.console, name) if name in ("sid", "pre") else name,
            value=value,
            max_age=max_age,
            path="/",
            secure=self.console.options.secure,
            httponly=True,
            samesite="lax",
        )

    def session(self) -> bytes:
        """The hash of the cookie's session id."""
        return session_hash(self.session_id)


def cookie_name(console: Console, name: str) -> str:
    """`__Host-` makes browsers insist on TLS, on this very host and on the path `/`."""
    return f"__Host-{name}" if console.options.secure else name


def _within(address: str, networks: list[Any]) -> bool:
    try:
        peer = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(peer in network for network in networks)


# How a handler asks for it.
FromView = NamedDependency[View]
