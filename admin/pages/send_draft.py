"""The draft of P1: what somebody has begun to write is kept on the server while they type, one draft a person."""

from litestar import Response, post

from admin import contact_picker
from admin.console import Flash
from admin.i18n import N_
from admin.pages.send import UPLOAD_OCTETS_MAX, text_of
from admin.permissions import allow
from admin.rendering import Page
from admin.view import FromView, View
from store.config_db import Writing
from store.send_drafts import drop_draft, save_draft

ONE = ("name", "sms_type", "typed", "start_at", "end_at", "sender", "upload", "upload_name")
MANY = ("groups", "contacts", "more_contacts")


class DraftPage(Page, kw_only=True):
    """Whether the draft is kept, in a line."""

    template = "send_draft.html"
    kept: bool
    at: int


def _form_of(view: View) -> dict[str, list[str]]:
    """What is worth keeping of a form, {} for one in which nothing stands."""
    form = {name: list(view.form.get(name, ()))[:1] for name in ONE}
    form |= {name: list(view.form.get(name, ())) for name in MANY}
    form["text"] = [text_of(view)]
    wanted = [*form["text"], *form["typed"], *form["upload"], *form["groups"]]
    return form if any(map(str.strip, wanted)) or contact_picker.picked_in(form) else {}


@post("/sms/draft", **allow("sms.send", quiet=True), request_max_body_size=UPLOAD_OCTETS_MAX)
async def keep(view: FromView) -> Response[str]:
    """Keep the form as it is; an empty one is no draft."""
    form = _form_of(view)

    def write(transaction: Writing) -> bool:
        if form:
            return save_draft(transaction, view.me.id, form)
        drop_draft(transaction, view.me.id)
        return True

    kept = await view.write(write, reload=False)
    return await view.show(DraftPage(title="", kept=kept, at=view.console.wall_ms() if form else 0))


@post("/sms/draft/discard", **allow("sms.send"))
async def discard(view: FromView) -> Response[str]:
    """Forget the draft, and begin anew."""
    await view.write(lambda w: drop_draft(w, view.me.id), reload=False)
    return view.go("/sms/send", flash=Flash(view.t(N_("The draft is discarded."))))


ROUTES = (keep, discard)
