"""Every route of the console: `ROUTES` is all that the application serves."""

from litestar.handlers import HTTPRouteHandler

from admin.pages import (
    audit,
    blacklist,
    dashboard,
    gateway,
    groups,
    ledger,
    me,
    sign_in,
    static,
    user_actions,
    users,
    words,
)

ROUTES: tuple[HTTPRouteHandler, ...] = (
    *static.ROUTES,
    *sign_in.ROUTES,
    *dashboard.ROUTES,
    *me.ROUTES,
    *users.ROUTES,
    *user_actions.ROUTES,
    *groups.ROUTES,
    *ledger.ROUTES,
    *words.ROUTES,
    *blacklist.ROUTES,
    *gateway.ROUTES,
    *audit.ROUTES,
)
