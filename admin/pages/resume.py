"""A form that came too late, shown once more with a fresh token (see `admin/unsent.py`)."""

from litestar import Response, get

from admin.i18n import N_
from admin.permissions import allow
from admin.rendering import Page
from admin.unsent import Kept
from admin.view import FromView, View


class ResumePage(Page, kw_only=True):
    """What was to be sent, and the button that sends it."""

    template = "resume.html"
    form: Kept


def page_of(view: View, form: Kept) -> ResumePage:
    """The page for one form."""
    return ResumePage(title=view.t(N_("Go on where you were")), form=form)


@get("/me/resume", **allow("session"))
async def resume(view: FromView) -> Response[str]:
    """The form that waits for this session, if one does."""
    form = view.console.unsent.get(view.me.session, view.console.now())
    if form is None:
        return view.go("/")
    view.console.unsent.drop(view.me.session)
    return await view.show(page_of(view, form))


ROUTES = (resume,)
