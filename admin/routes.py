"""Every route of the console: `ROUTES` is all that the application serves."""

from litestar.handlers import HTTPRouteHandler

from admin.pages import (
    audit,
    blacklist,
    contacts,
    dashboard,
    gateway,
    groups,
    jobs,
    ledger,
    me,
    phrases,
    preview,
    review,
    send,
    sign_in,
    static,
    task,
    tasks,
    user_actions,
    users,
    words,
)

ROUTES: tuple[HTTPRouteHandler, ...] = (
    *static.ROUTES,
    *sign_in.ROUTES,
    *dashboard.ROUTES,
    *me.ROUTES,
    *send.ROUTES,
    *preview.ROUTES,
    *tasks.ROUTES,
    *task.ROUTES,
    *review.ROUTES,
    *contacts.ROUTES,
    *phrases.ROUTES,
    *users.ROUTES,
    *user_actions.ROUTES,
    *groups.ROUTES,
    *ledger.ROUTES,
    *words.ROUTES,
    *blacklist.ROUTES,
    *gateway.ROUTES,
    *audit.ROUTES,
    *jobs.ROUTES,
)
