"""Static files, and how the frame looks: language, colours, the folded menu."""

from typing import Any, get_args

import msgspec
from litestar import Request, Response, get, post
from litestar.exceptions import NotFoundException

from admin.i18n import LANGUAGES
from admin.permissions import allow
from admin.security import local_path
from admin.statics import BY_PATH
from admin.view import FromView
from store import people_edit
from store.preferences import Theme

YEAR_S = 31_536_000


@get("/static/{digest:str}/{name:str}", **allow("public", quiet=True))
async def static_file(request: Request[Any, Any, Any]) -> Response[bytes]:
    """One file of the fixed map."""
    file = BY_PATH.get(request.scope["path"])
    if file is None:
        raise NotFoundException
    headers = {"cache-control": f"public, max-age={YEAR_S}, immutable", "vary": "accept-encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(file.compressed, status_code=200, media_type=file.media_type, headers=headers)
    return Response(file.content, status_code=200, media_type=file.media_type, headers=headers)


@get("/favicon.ico", **allow("public", quiet=True))
async def favicon() -> Response[bytes]:
    """Browsers ask for it by themselves; the pages name a better one."""
    return Response(BY_PATH_ICON.content, status_code=200, media_type=BY_PATH_ICON.media_type)


BY_PATH_ICON = next(file for path, file in BY_PATH.items() if path.endswith("/icon.svg"))


@post("/language", **allow("public"))
async def set_language(view: FromView) -> Response[str]:
    """Switch the language, here and for the next time."""
    wanted = view.field("to")
    answer = view.go(local_path(view.field("next")))
    if wanted in LANGUAGES:
        answer.set_cookie(view.cookie("language", wanted, max_age=YEAR_S))
        if view.viewer:
            changed = msgspec.structs.replace(view.viewer.preferences, language=wanted)
            await view.write(lambda w: people_edit.set_preferences(w, view.me.id, changed), reload=False)
    return answer


@post("/rail", **allow("session"))
async def set_rail(view: FromView) -> Response[str]:
    """Fold the menu to its icons or unfold it, in this browser, here and for the next time."""
    answer = view.go(local_path(view.field("next")))
    if view.field("rail") in ("narrow", "wide"):
        answer.set_cookie(view.cookie("rail", view.field("rail"), max_age=YEAR_S))
    return answer


@post("/theme", **allow("session"))
async def set_theme(view: FromView) -> Response[str]:
    """Light, dark, or as the system has it."""
    wanted = view.field("theme")
    if wanted in get_args(Theme):
        changed = msgspec.structs.replace(view.preferences, theme=wanted)
        await view.write(lambda w: people_edit.set_preferences(w, view.me.id, changed), reload=False)
    return view.go(local_path(view.field("next")))


ROUTES = (static_file, favicon, set_language, set_rail, set_theme)
