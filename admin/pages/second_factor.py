"""The second factor of one's own (P28): begin it with an app, recovery codes shown once, end it by the password."""

import io
from collections.abc import Mapping

import segno
from litestar import Response, get, post
from litestar.exceptions import NotFoundException

from admin import passwords, proofs
from admin.console import Flash
from admin.i18n import N_
from admin.permissions import allow
from admin.rendering import Page
from admin.security import local_path
from admin.view import FromView, View
from store import second_factor, sessions, totp

ISSUER = "Sluice"
CODE_WRONG = N_("This is not the code that the app should show now. Look whether its clock is right.")


class EnrolPage(Page, kw_only=True):
    """The secret as picture and text, and the field for the first code."""

    template = "second_factor.html"
    secret: str  # in groups of four
    must: bool
    errors: Mapping[str, str]


class CodesPage(Page, kw_only=True):
    """Recovery codes, shown this once."""

    template = "second_factor_codes.html"
    codes: list[str]


def _secret(view: View) -> str:
    """The secret that this session is about to confirm; a new one if there is none."""
    console, session = view.console, view.me.session
    secret = console.new_secrets.get(session, console.now())
    if secret is None:
        secret = totp.new_secret()
        console.new_secrets.put(session, secret, console.now())
    return secret


async def _show(view: View, errors: Mapping[str, str], status: int = 200) -> Response[str]:
    secret = _secret(view)
    page = EnrolPage(
        title=view.t(N_("Second factor")),
        secret=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        must=view.lacks_second_factor,
        errors=errors,
    )
    return await view.show(page, status=status)


@get("/me/second-factor", **allow("session"))
async def enrol_form(view: FromView) -> Response[str]:
    """The picture to scan; whoever has a second factor already sees their settings."""
    return view.go("/me") if view.me.second_factor else await _show(view, {})


@get("/me/second-factor/qr.svg", **allow("session", quiet=True))
async def picture(view: FromView) -> Response[bytes]:
    """The secret as a QR code. Made for the session that asks; nobody else's."""
    if view.me.second_factor:
        raise NotFoundException
    out = io.BytesIO()
    code = segno.make_qr(totp.key_uri(_secret(view), view.me.login, ISSUER), error="m")
    code.save(
        out, kind="svg", border=4, dark="#000", light="#fff", svgclass=None, lineclass=None, omitsize=True
    )
    return view.answer(Response(out.getvalue(), status_code=200, media_type="image/svg+xml"))


@post("/me/second-factor", **allow("session", proof=True))
async def enrol(view: FromView) -> Response[str]:
    """A code of the app proves that it has the secret; recovery codes follow."""
    me, console = view.me, view.console
    if me.second_factor:
        return view.go("/me")
    secret = _secret(view)
    step = totp.matching_step(secret, proofs.plain_code(view.field("code")), console.wall_ms())
    if not step:
        return await _show(view, {"code": view.t(CODE_WRONG)}, 422)
    codes = second_factor.new_recovery_codes()
    await view.write(
        lambda w: second_factor.enrol(w, me.id, secret, step, codes, keep=me.session), reload=False
    )
    console.new_secrets.drop(me.session)
    return await view.show(CodesPage(title=view.t(N_("Recovery codes")), codes=codes))


@post("/me/second-factor/codes", **allow("session", proof=True))
async def renew_codes(view: FromView) -> Response[str]:
    """Other recovery codes."""
    me = view.me
    if not me.second_factor:
        return view.go("/me/second-factor")
    codes = second_factor.new_recovery_codes()
    await view.write(lambda w: second_factor.renew_codes(w, me.id, codes), reload=False)
    return await view.show(CodesPage(title=view.t(N_("Recovery codes")), codes=codes))


async def remove(view: View) -> str:
    """End the viewer's second factor by their password; gives what is wrong, "" for nothing."""
    me, console = view.me, view.console
    wait = console.backoff.wait_s(me.login, view.address, console.now())
    if wait > 0:
        return view.t(proofs.WAIT, seconds=int(wait) + 1)
    console.backoff.failed(me.login, view.address, console.now())
    found = await view.read(lambda c: sessions.credentials(c, me.login))
    given = view.field("password_now")[: passwords.CHARACTERS_MAX]
    if found is None or not await passwords.matches(found.password_hash, given):
        return view.t(proofs.WRONG_PASSWORD)
    console.backoff.succeeded(me.login, view.address)
    await view.write(lambda w: second_factor.remove(w, me.id), reload=False)
    return ""


@post("/me/proof", **allow("session", proof=True))
async def proved(view: FromView) -> Response[str]:
    """The guard has checked the proof: go on to what was asked for."""
    return view.go(local_path(view.field("next")))


@post("/users/{user_id:int}/second-factor", **allow("users.write", about="user", proof=True))
async def reset(view: FromView) -> Response[str]:
    """Take the second factor from somebody who lost it; their sessions end, the password stays."""
    user = view.about_user
    if user.id == view.me.id:
        return view.go("/me")
    done = await view.write(lambda w: second_factor.reset(w, user.id), reload=False)
    said = (
        N_("%(login)s signs in by password alone now, and was signed out everywhere.")
        if done
        else N_("%(login)s has no second factor.")
    )
    return view.go(f"/users/{user.id}", flash=Flash(view.t(said, login=user.login)))


ROUTES = (enrol_form, picture, enrol, renew_codes, proved, reset)
