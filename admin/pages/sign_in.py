"""Sign in, sign out, and the first start (P26)."""

from typing import Any

import structlog
from litestar import Request, Response, get, post
from litestar.exceptions import NotFoundException

from admin import passwords, proofs, security, unsent
from admin.console import Flash
from admin.i18n import N_
from admin.permissions import allow
from admin.proofs import WAIT, Half
from admin.rendering import Page
from admin.view import FromView, View
from store import people_edit, second_factor, sessions
from store.config_db import Writing
from store.people import FIRST_GROUP, make_admin
from store.people_edit import LOGIN
from store.sessions import session_hash

log = structlog.get_logger("console")

WRONG = N_("Login or password is wrong.")
PASSWORD_PROBLEMS = {
    "short": N_("At least 8 characters; a sentence of 15 or more is better."),
    "long": N_("At most 256 characters."),
    "login": N_("Do not put the login into the password."),
    "common": N_("This is one of the first that would be guessed. Choose another."),
}
TOO_LATE = N_("That took too long, or the code was wrong too often. Begin again with your password.")
RECOVERY_USED = N_(
    "You signed in by a recovery code, which is used up. %(left)s are left: make new ones in time."
)
MISMATCH = N_("The two are not the same.")


class SignInPage(Page, kw_only=True):
    """The sign-in form."""

    template = "sign_in.html"
    login: str = ""
    error: str = ""
    next: str = "/"
    kept: str = ""  # a form that came too late


class CodePage(Page, kw_only=True):
    """The second step: a code of the authenticator app."""

    template = "sign_in_code.html"
    login: str
    error: str


class SetupPage(Page, kw_only=True):
    """The first administrator's form."""

    template = "setup.html"
    token: str
    values: dict[str, str]
    errors: dict[str, str]


@get("/login", **allow("public"))
async def sign_in_form(view: FromView, request: Request[Any, Any, Any]) -> Response[str]:
    """The form; who is signed in already goes on."""
    wanted = security.local_path(str(request.query_params.get("next", "/")))
    if view.viewer:
        return view.go(wanted)
    return await view.show(SignInPage(title=view.t(N_("Sign in")), next=wanted))


@post("/login", **allow("public"))
async def sign_in(view: FromView) -> Response[str]:
    """Check login and password; a new session id whatever the browser sent."""
    login, password = view.field("login").strip()[:64], view.field("password")[: passwords.CHARACTERS_MAX]
    wanted = security.local_path(view.field("next"))
    console, address = view.console, view.address
    kept = view.field("_kept")
    wait = console.backoff.wait_s(login, address, console.now())
    if wait > 0:
        return await _again(view, login, view.t(WAIT, seconds=int(wait) + 1), wanted, status=429, kept=kept)
    # Counted before it is checked, so that a hundred tries at once are a hundred tries.
    console.backoff.failed(login, address, console.now())
    found = await view.read(lambda c: sessions.credentials(c, login))
    right = await passwords.matches(found.password_hash if found else "", password)
    if not right or found is None or found.state != "active":
        known = found.login if found else login
        await console.off_loop(
            lambda: console.store.record(
                f"console:{known}", "sign-in.refused", f"user {known}", address=address
            )
        )
        return await _again(view, login, view.t(WRONG), wanted, status=422, kept=kept)
    console.backoff.succeeded(login, address)
    rehashed = ""
    if passwords.needs_rehash(found.password_hash):
        rehashed = await passwords.hash_password(password)
    if not found.second_factor:
        return await _enter(view, found.user, found.login, wanted, rehashed, kept=kept)
    # A new cookie: whoever planted the one before is not in the middle of this sign-in.
    view.pre_session_id = view.new_pre_session = security.new_id()
    half = Half(found.user, found.login, wanted, rehashed, kept)
    console.half_sign_ins.put(session_hash(view.pre_session_id), half, console.now())
    return view.go("/login/code")


def _half(view: View) -> Half | None:
    key = session_hash(view.pre_session_id)
    return view.console.half_sign_ins.get(key, view.console.now()) if view.pre_session_id else None


async def _show_code(view: View, half: Half, error: str = "", status: int = 200) -> Response[str]:
    page = CodePage(title=view.t(N_("Second step")), login=half.login, error=error)
    return await view.show(page, status=status)


@get("/login/code", **allow("public"))
async def code_form(view: FromView) -> Response[str]:
    """The second step, where the password was right a moment ago."""
    half = _half(view)
    if half is None:
        return await _again(view, "", view.t(TOO_LATE), "/", status=200)
    return await _show_code(view, half)


@post("/login/code", **allow("public"))
async def sign_in_by_code(view: FromView) -> Response[str]:
    """Check a code of the app, or a recovery code, each of which counts once."""
    half = _half(view)
    if half is None:
        return await _again(view, "", view.t(TOO_LATE), "/", status=422)
    console, address, brake = view.console, view.address, proofs.brake_of(half.login)
    key = session_hash(view.pre_session_id)
    wait = console.backoff.wait_s(brake, address, console.now())
    if wait > 0:
        return await _show_code(view, half, view.t(WAIT, seconds=int(wait) + 1), 429)
    console.backoff.failed(brake, address, console.now())
    user, given = half.user, view.field("code")

    def check(write: Writing) -> tuple[str, int]:
        used = proofs.use(write, user, given)
        if not used:
            write.audit("sign-in.refused", f"user {half.login}", changes=False, step=2)
        return used, second_factor.recovery_left(write.connection, user)

    used, left = await view.write(check, actor=f"console:{half.login}", reload=False)
    if not used:
        half.tries += 1
        if half.tries < proofs.TRIES_MAX:
            return await _show_code(view, half, view.t(proofs.WRONG_CODE), 422)
        console.half_sign_ins.drop(key)
        return await _again(view, half.login, view.t(TOO_LATE), half.wanted, status=422, kept=half.kept)
    console.half_sign_ins.drop(key)
    console.backoff.succeeded(brake, address)
    found = await view.read(lambda c: sessions.credentials(c, half.login))
    if found is None or found.state != "active":  # disabled between the two steps
        return await _again(view, half.login, view.t(WRONG), half.wanted, status=422)
    told = Flash(view.t(RECOVERY_USED, left=left), "warn") if used == "recovery" else None
    return await _enter(view, user, half.login, half.wanted, half.rehashed, told=told, kept=half.kept)


async def _enter(
    view: View,
    user: int,
    login: str,
    wanted: str,
    rehashed: str = "",
    *,
    told: Flash | None = None,
    kept: str = "",
) -> Response[str]:
    session_id = security.new_id()
    agent = view.request.headers.get("user-agent", "")
    address, old = view.address, view.session_id

    def begin(write: Writing) -> None:
        if old:
            sessions.end_session(write, sessions.session_hash(old))
        if rehashed:
            people_edit.rehash_password(write, user, rehashed)
        sessions.begin_session(write, session_id, user, address=address, agent=agent)
        write.audit("sign-in", f"user {login}", changes=False)

    await view.write(begin, actor=f"console:{login}", reload=False)
    view.viewer = None
    if told:
        view.console.flash(sessions.session_hash(session_id), told)
    view.new_pre_session = ""
    form = unsent.read(kept)
    if form:
        unsent.keep(view, sessions.session_hash(session_id), form)
    answer = view.go("/me/resume" if form else wanted)
    answer.set_cookie(view.cookie("sid", session_id))
    answer.delete_cookie(view.cookie("pre", "").key, path="/")
    return answer


async def _again(
    view: View, login: str, error: str, wanted: str, *, status: int, kept: str = ""
) -> Response[str]:
    page = SignInPage(title=view.t(N_("Sign in")), login=login, error=error, next=wanted, kept=kept)
    return await view.show(page, status=status)


@post("/logout", **allow("session"))
async def sign_out(view: FromView) -> Response[str]:
    """End this session."""
    session = view.me.session

    def end(write: Writing) -> None:
        sessions.end_session(write, session)
        write.audit("sign-out", f"user {view.me.login}", changes=False)

    await view.write(end, reload=False)
    view.viewer = None
    answer = view.go("/login")
    answer.delete_cookie(view.cookie("sid", "").key, path="/")
    return answer


async def _setup_open(view: View, token: str) -> bool:
    if not view.console.setup.matches(token, view.console.now()):
        return False
    return not await view.read(sessions.has_admin)


@get("/setup/{token:str}", **allow("public"))
async def setup_form(view: FromView) -> Response[str]:
    """The first administrator's form, behind the link of the log."""
    token = view.at("token")
    if not await _setup_open(view, token):
        raise NotFoundException
    page = SetupPage(
        title=view.t(N_("Welcome to Sluice")),
        token=token,
        values={"login": "admin", "group": FIRST_GROUP},
        errors={},
    )
    return await view.show(page)


@post("/setup/{token:str}", **allow("public"))
async def set_up(view: FromView) -> Response[str]:
    """Make the first administrator and sign them in; the link is void from then on."""
    token = view.at("token")
    if not await _setup_open(view, token):
        raise NotFoundException
    login, group = view.field("login").strip(), view.field("group").strip() or FIRST_GROUP
    errors = new_password_errors(view, login)
    if not LOGIN.fullmatch(login):
        errors["login"] = view.t(N_("A login has 3 to 32 letters, digits, dots, hyphens or underscores."))
    if "/" in group or len(group) > 64:
        errors["group"] = view.t(N_("A group's name has 1 to 64 characters and no slash."))
    if errors:
        page = SetupPage(
            title=view.t(N_("Welcome to Sluice")),
            token=token,
            values={"login": login, "group": group},
            errors=errors,
        )
        return await view.show(page, status=422)
    password_hash = await passwords.hash_password(view.field("password"))
    if not await _setup_open(view, token):  # while the password was hashed, another request was faster
        raise NotFoundException
    view.console.setup.use()

    def make(write: Writing) -> int:
        make_admin(write, login, password_hash, first_group=group)
        made = sessions.credentials(write.connection, login)
        assert made is not None
        return made.user

    user = await view.write(make, actor="console:setup")
    return await _enter(view, user, login, "/")


def new_password_errors(view: View, login: str) -> dict[str, str]:
    """What is wrong with a new password and its repetition."""
    problem = passwords.problem_with_password(view.field("password"), login)
    if problem:
        return {"password": view.t(PASSWORD_PROBLEMS[problem])}
    if view.field("password") != view.field("password_again"):
        return {"password_again": view.t(MISMATCH)}
    return {}


ROUTES = (sign_in_form, sign_in, code_form, sign_in_by_code, sign_out, setup_form, set_up)
