"""The console as an ASGI application: `create_app` is all that the daemon calls, beside `serve.serve_console`."""

import traceback
from pathlib import Path
from typing import Any

import structlog
from litestar import Litestar, Request, Response
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.middleware import DefineMiddleware

from admin import proofs, unsent
from admin.console import Console
from admin.gate import (
    FORM_PARTS_MAX,
    BadToken,
    GoElsewhere,
    OneAtATime,
    ProveFirst,
    SignInFirst,
    add_headers,
    declared,
    guard,
)
from admin.i18n import N_
from admin.job_kinds import KINDS, SWEEPERS
from admin.live import LiveHub
from admin.pages.live import TOPICS
from admin.pages.resume import page_of
from admin.pages.sign_in import SignInPage
from admin.rendering import Page
from admin.routes import ROUTES
from admin.security import SAFE_METHODS
from admin.view import AS_JSON, View

log = structlog.get_logger("console")

JSON_SUFFIX = ".json"
BODY_OCTETS_MAX = 1_048_576
FRAMES_SHOWN = 8


class ErrorPage(Page, kw_only=True):
    """Something that cannot be shown, and what to do about it."""

    template = "error.html"
    status: int
    text: str


class ProofPage(Page, kw_only=True):
    """Asks once more who it is; sends what was asked for along again."""

    template = "proof.html"
    action: str
    fields: list[tuple[str, str]]
    error: str
    code: bool


ERRORS = {
    400: (
        N_("That request makes no sense to us"),
        N_("Go back, look at the form again, and send it once more."),
    ),
    403: (
        N_("You have no permission for this"),
        N_("Your administrator can give it to you. Nothing was changed."),
    ),
    404: (N_("There is nothing here"), N_("It may have been deleted, or the address is not quite right.")),
    405: (N_("There is nothing here"), N_("It may have been deleted, or the address is not quite right.")),
    413: (N_("That is too much at once"), N_("Send it in smaller pieces. Nothing was changed.")),
    500: (
        N_("Something went wrong here"),
        N_("It is our fault, and it is in the log. Try again; nothing was changed."),
    ),
}
SIGN_IN = N_("Sign in first, in a browser; this address needs its session.")
OVER = N_("Your sign-in was over. What you sent is kept: sign in, and send it then.")
TOKEN = (
    N_("This page was open for too long"),
    N_("Nothing was changed. Load the page again and repeat what you did."),
)


async def provide_view(request: Request[Any, Any, Any]) -> View:
    """The view that the guard made."""
    view: View = request.state.view
    return view


def show_error(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Any error as a page in the reader's language; never a trace."""
    console: Console = request.app.state.console
    view = getattr(request.state, "view", None) or View(console, request)
    if isinstance(error, GoElsewhere):
        if view.wants_json:
            return view.answer(Response({"error": view.t(SIGN_IN)}, status_code=401))
        return view.go(error.detail)
    if isinstance(error, SignInFirst):
        form = unsent.write(unsent.kept(request.scope["path"], view.form))
        return view.show_now(SignInPage(title=view.t(N_("Sign in")), kept=form, error=view.t(OVER)), 401)
    if isinstance(error, BadToken) and view.viewer and view.form and unsent.can_be_kept(request):
        return view.show_now(page_of(view, unsent.kept(request.scope["path"], view.form)), 403)
    if isinstance(error, ProveFirst) and view.wants_json:
        return view.answer(Response({"error": view.t(N_("Is it still you?"))}, status_code=401))
    if isinstance(error, ProveFirst):
        return view.show_now(_proof_page(view, error.problem), 401)
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 500:
        # Frames only: a traceback with values could hold a password or a text.
        frames = traceback.extract_tb(error.__traceback__)[-FRAMES_SHOWN:]
        where = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        log.error(
            "a page failed",
            path=request.scope["path"],
            request=view.request_id,
            error=type(error).__name__,
            where=where,
        )
    status = status if status in ERRORS else 400
    title, text = TOKEN if isinstance(error, BadToken) else ERRORS[status]
    if view.wants_json:
        return view.answer(Response({"error": f"{view.t(title)}. {view.t(text)}"}, status_code=status))
    page = ErrorPage(title=view.t(title), status=status, text=view.t(text))
    return view.show_now(page, status)


def _proof_page(view: View, problem: str) -> ProofPage:
    path, query = view.request.scope["path"], view.request.scope["query_string"].decode("latin-1")
    asked = f"{path}?{query}" if query else path
    fields = [("next", asked)] if view.request.method in SAFE_METHODS else proofs.kept_fields(view.form)
    return ProofPage(
        title=view.t(N_("Is it still you?")),
        action="/me/proof" if view.request.method in SAFE_METHODS else asked,
        fields=fields,
        error=problem,
        code=view.me.second_factor,
    )


class ConsoleApp(Litestar):
    """Takes `/users.json` for `/users` that is wanted as JSON."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"].endswith(JSON_SUFFIX):
            path = scope["path"].removesuffix(JSON_SUFFIX)
            scope = {**scope, "path": path, "raw_path": path.encode(), AS_JSON: True}
        await super().__call__(scope, receive, send)


def create_app(console: Console) -> Litestar:
    """The console's application.

    Raises RuntimeError for a route without a permission: nothing is open by oversight.
    """
    app = ConsoleApp(
        route_handlers=list(ROUTES),
        guards=[guard],
        dependencies={"view": Provide(provide_view)},
        before_send=[add_headers],
        exception_handlers={Exception: show_error, HTTPException: show_error},
        middleware=[DefineMiddleware(OneAtATime, console=console)],
        request_max_body_size=BODY_OCTETS_MAX,
        multipart_form_part_limit=FORM_PARTS_MAX,
        openapi_config=None,
        logging_config=None,
        debug=False,
    )
    app.state.console = console
    console.app = app
    console.hub = LiveHub(console, TOPICS)
    console.background.learn(KINDS, SWEEPERS)
    for _ in declared(app):
        pass
    return app
