"""The gate that every request passes, in one place: headers, who it is, whether they may, about what.

Deny by default: a route that names no permission stops the program when the app is built, and there is no
other way in. What is out of reach is answered as what does not exist (404), what the role may never do as 403.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from litestar import Litestar, Request
from litestar.connection import ASGIConnection
from litestar.datastructures import UploadFile
from litestar.enums import ScopeType
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    PermissionDeniedException,
)
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from admin import proofs, security, unsent
from admin.console import Console
from admin.message_sight import find_message
from admin.permissions import MATRIX, Reach, may, reach
from admin.view import View, cookie_name
from store import sessions
from store.imports import read_import
from store.people_list import read_group, read_user
from store.scope import Within
from store.tasks import read_task

FORM_PARTS_MAX = 600
EXPORTS = frozenset({"csv", "json", "xlsx"})


class GoElsewhere(HTTPException):
    """Instead of an answer: sign in first, choose a password first, or this form is done already."""

    status_code = 303

    def __init__(self, location: str) -> None:
        super().__init__(detail=location, status_code=303, headers={"location": location})


class ProveFirst(HTTPException):
    """Instead of an answer: say once more who you are. `problem` is what was wrong with what was said."""

    status_code = 401

    def __init__(self, problem: str = "") -> None:
        super().__init__(detail=problem, status_code=401)
        self.problem = problem


class SignInFirst(HTTPException):
    """Instead of an answer to a form of our own page: sign in, and it is sent again."""

    status_code = 401

    def __init__(self) -> None:
        super().__init__(status_code=401)


class BadToken(PermissionDeniedException):
    """A form of another session, another site, or none."""


def declared(app: Litestar) -> Iterable[tuple[str, HTTPRouteHandler]]:
    """(path, handler) of every route. Raises RuntimeError for one that names no permission."""
    for route in app.routes:
        handlers = route.route_handlers if isinstance(route, HTTPRoute) else []
        for handler in handlers:
            if handler.http_methods == {"OPTIONS"}:  # Litestar's own; the guard refuses it
                continue
            if handler.opt.get("permission") not in MATRIX:
                raise RuntimeError(f"{route.path} names no permission: give its handler **allow(...)")
            yield route.path, handler


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Runs before every handler; leaves a `View` in the request's state."""
    assert isinstance(connection, Request)
    console: Console = connection.app.state.console
    view = View(console, connection)
    connection.state.view = view
    options = handler.opt
    if "permission" not in options:
        raise MethodNotAllowedException
    await _recognise(view, quiet=options.get("quiet", False))
    permission = options["permission"]
    if connection.method not in security.SAFE_METHODS:
        if view.viewer is None and not MATRIX[permission].anyone:
            if unsent.can_be_kept(connection):
                view.form = await _fields(connection)
                raise SignInFirst
            raise GoElsewhere("/login")  # before a stranger's twenty megabytes are read
        await _check_form(view, connection)
    if not may(view.viewer, permission):
        if view.viewer is None:
            raise GoElsewhere(_sign_in_for(connection, fragment=options.get("quiet", False)))
        raise PermissionDeniedException
    if view.viewer and view.viewer.password_temporary and permission not in ("public", "session"):
        raise GoElsewhere("/me/password")
    if view.lacks_second_factor and permission not in ("public", "session"):
        raise GoElsewhere("/me/second-factor")
    if options.get("about"):
        await _find(view, options["about"], permission, connection)
    if options.get("proof") or (view.viewer and not options.get("quiet") and _is_export(view)):
        await _prove(view)


def _sign_in_for(request: Request[Any, Any, Any], *, fragment: bool) -> str:
    """The sign-in page, which leads back to where one wanted to go."""
    path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
    if fragment or path == "/" or request.headers.get("hx-request") == "true":
        return "/login"
    return f"/login?next={quote(f'{path}?{query}' if query else path, safe='/')}"


async def _fields(request: Request[Any, Any, Any]) -> dict[str, Sequence[str]]:
    sent = await request.form()
    return {name: [one for one in sent.getall(name) if isinstance(one, str)] for name in sent.keys()}  # noqa: SIM118


def _is_export(view: View) -> bool:
    request = view.request
    as_file = request.query_params.get("format", "") in EXPORTS
    return as_file or (request.method in security.SAFE_METHODS and view.wants_json)


async def _prove(view: View) -> None:
    if view.viewer is None or view.asked_by_job or proofs.is_fresh(view):  # a job's owner proved it before
        return
    given = view.field("_proof")
    problem = await proofs.prove(view, given) if given else ""
    if problem or not given:
        raise ProveFirst(problem)


async def _recognise(view: View, *, quiet: bool) -> None:
    if job := view.asked_by_job:
        view.viewer = await view.read(lambda c: sessions.viewer_of(c, job.user))
        return
    if not view.session_id:
        return
    console, session = view.console, view.session()
    now_ms = console.wall_ms()
    view.viewer = await view.read(lambda c: sessions.viewer(c, session, now_ms))
    if view.viewer and not quiet and now_ms - view.viewer.seen_at > sessions.SEEN_STEP_MS:
        await view.write(lambda w: sessions.touch_session(w, session), reload=False)


async def _check_form(view: View, request: Request[Any, Any, Any]) -> None:
    if security.foreign(request.headers, origin_of(view.console, request)):
        raise BadToken
    token = request.headers.get("x-csrf-token", "")
    sent = await request.form()
    for name in sent.keys():  # noqa: SIM118
        values = sent.getall(name)
        view.form[name] = [one for one in values if isinstance(one, str)]
        for one in values:
            if isinstance(one, UploadFile) and one.filename:
                view.files[name] = one
    session_id = view.session_id if view.viewer else view.pre_session_id
    if not security.csrf_matches(session_id, token or view.field("_csrf")):
        raise BadToken
    if view.viewer and (location := view.console.done(view.viewer.session, view.field("_once"))):
        raise GoElsewhere(location)


async def _find(view: View, about: str, permission: str, request: Request[Any, Any, Any]) -> None:
    within = view.within(permission)
    identifier = int(request.path_params[f"{about}_id"])
    if about == "message":
        view.message = await view.console.off_loop(find_message, view, identifier)
        if view.message is None:
            raise NotFoundException
        return
    if about == "task":
        own = reach(view.role, permission) == Reach.OWN
        scope, owner = (Within(), view.me.id) if own else (within, 0)
        view.task = await view.read(lambda c: read_task(c, scope, identifier, owner=owner))
        if view.task is None:
            raise NotFoundException
        return
    if about == "import":
        view.import_ = await view.read(lambda c: read_import(c, view.me.id, identifier))
        if view.import_ is None:
            raise NotFoundException
        return
    if about == "user":
        view.user = await view.read(lambda c: read_user(c, within, identifier))
        found, touchable = view.user is not None, view.user is not None and view.may_change_user(view.user)
    else:
        view.group = await view.read(lambda c: read_group(c, within, identifier))
        found, touchable = (
            view.group is not None,
            view.group is not None and view.may_change_group(view.group),
        )
    if not found:
        raise NotFoundException
    if reach(view.role, permission) == Reach.BELOW and not touchable:
        raise PermissionDeniedException


def origin_of(console: Console, request: Request[Any, Any, Any]) -> str:
    """What a browser that shows our pages says it comes from."""
    public = console.options.public_url.rstrip("/")
    return public or f"{request.scope['scheme']}://{request.headers.get('host', '')}"


async def add_headers(message: Message, scope: Scope) -> None:
    """Every answer, errors and static files too, carries what `security.HEADERS` says."""
    if message["type"] != "http.response.start":
        return
    headers = list(message.get("headers", []))
    present = {name.lower() for name, _ in headers}
    for name, value in security.HEADERS.items():
        if name.encode() not in present:
            headers.append((name.encode(), value.encode()))
    if scope["app"].state.console.options.secure:
        headers.append((b"strict-transport-security", security.TRANSPORT_SECURITY.encode()))
    message["headers"] = headers


class OneAtATime:
    """Changes that one browser asks for are worked off in order: a double click is never two at once."""

    def __init__(self, app: ASGIApp, console: Console) -> None:
        self._app = app
        self._console = console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cookie = ""
        if scope["type"] == ScopeType.HTTP and scope["method"] not in security.SAFE_METHODS:
            request: Request[Any, Any, Any] = Request(scope)
            cookie = request.cookies.get(cookie_name(self._console, "sid"), "")
        if not cookie:
            await self._app(scope, receive, send)
            return
        async with self._console.lock(cookie):
            await self._app(scope, receive, send)
