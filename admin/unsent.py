"""Forms that came too late: the sign-in was over, or the page was older than the session. They are kept and sent again.

Until somebody has signed in, the browser keeps the form, as a field of the sign-in page; afterwards it lies in memory
with their session, until they look at it and send it. Only forms that our own page sent, as the browser itself says,
are offered again: without that word anybody could have made them. Passwords and files are never kept.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from admin import proofs, security

if TYPE_CHECKING:
    from litestar import Request

    from admin.view import View

KEPT_OCTETS_MAX = 65_536
KEPT_S = 10 * 60.0
SHOWN_CHARACTERS = 200
NEVER = ("/login", "/logout", "/setup", "/me/password", "/me/proof", "/me/second-factor")


class Kept(msgspec.Struct, frozen=True):
    """A form: where it was sent to, and its fields."""

    path: Annotated[str, msgspec.Meta(max_length=2_000)]
    fields: list[tuple[str, str]]

    @property
    def shown(self) -> list[tuple[str, str]]:
        """What people recognise it by: fields without our own, cut short."""
        return [(name, value[:SHOWN_CHARACTERS]) for name, value in self.fields if name[:1] != "_" and value]


def can_be_kept(request: "Request[Any, Any, Any]") -> bool:
    """Whether a request is a form of our own page's, small, and without files."""
    length = request.headers.get("content-length", "")
    return (
        request.method == "POST"
        and request.headers.get("sec-fetch-site") == "same-origin"
        and request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        and request.headers.get("hx-request") != "true"
        and length.isdecimal()
        and int(length) <= KEPT_OCTETS_MAX
        and not request.scope["path"].startswith(NEVER)
    )


def kept(path: str, form: Mapping[str, object]) -> Kept:
    """The form of this request."""
    return Kept(path, [one for one in proofs.kept_fields(form) if one[0] != "_once"])


def write(form: Kept) -> str:
    """As the sign-in page carries it."""
    return msgspec.json.encode(form).decode()


def read(text: str) -> Kept | None:
    """What the sign-in page carried; None for what is no form of ours."""
    if not text or len(text) > 2 * KEPT_OCTETS_MAX:
        return None
    try:
        form = msgspec.json.decode(text, type=Kept)
    except msgspec.MsgspecError:
        return None
    local = security.local_path(form.path) == form.path and not form.path.startswith(NEVER)
    return form if local else None


def keep(view: "View", session: bytes, form: Kept) -> None:
    """Lay it beside a session."""
    view.console.unsent.put(session, form, view.console.now())
