"""The dashboard (P27): the daemon at this moment, and what waits for the viewer."""

import sqlite3
from collections.abc import Mapping

from litestar import Response, get

from admin.i18n import N_
from admin.operations import Account, Carrier, Live
from admin.permissions import Role, allow
from admin.rendering import Page
from admin.view import FromView, View
from store.people_list import accounts_within, limited_users, list_groups
from store.quota_low import Low, low_groups, low_users
from store.scope import Within
from store.task_states import PENDING
from store.tasks import TaskFilter, count_tasks

LOW_SHOWN_MAX = 6


class LivePage(Page, kw_only=True):
    """What moves: it replaces itself every two seconds. Carriers are shown to system administrators only."""

    template = "dashboard_live.html"
    system: bool
    accounts: list[Account]
    carriers: list[Carrier]
    accepted: int
    refused: int
    rate: float
    queued: int
    awaiting: int
    binds: int
    waiting: int
    disk: str
    draining: bool
    commit_ms: float


class DashboardPage(LivePage, kw_only=True):
    """The first page."""

    template = "dashboard.html"
    low: list[Low]
    users: int
    groups: int
    pending: int  # tasks of the viewer's own that were not sent yet
    executing: int
    reviews: int  # that wait for the viewer


def _live(view: View, live: Live, connection: sqlite3.Connection) -> dict[str, object]:
    system = view.role == Role.SYSTEM
    accounts = live.accounts
    if not system:
        only = view.me.id if view.role == Role.USER else 0
        own = accounts_within(connection, view.within("dashboard"), user=only)
        accounts = [account for account in accounts if account.system_id in own]
    carriers = live.carriers if system else []
    return {
        "system": system,
        "accounts": accounts,
        "carriers": carriers,
        "accepted": sum(account.accepted for account in accounts),
        "refused": sum(account.refused for account in accounts),
        "binds": sum(account.binds for account in accounts),
        "waiting": sum(account.events_waiting for account in accounts),
        "rate": sum(carrier.accepted_rate for carrier in carriers),
        "queued": sum(carrier.queued for carrier in carriers),
        "awaiting": sum(carrier.awaiting_receipt for carrier in carriers),
        "disk": live.disk,
        "draining": live.draining,
        "commit_ms": live.commit_ms,
    }


def _dashboard(
    view: View, live: Live, balances: Mapping[int, tuple[int, int]], connection: sqlite3.Connection
) -> DashboardPage:
    low: list[Low] = []
    users = groups = 0
    if view.may("users.read"):
        within = view.within("users.read")
        low = [*low_groups(connection, within, balances), *low_users(connection, within, balances)]
        users = len(limited_users(connection, within))
        groups = len(list_groups(connection, within))
    return DashboardPage(
        title=view.t(N_("Dashboard")),
        low=low[:LOW_SHOWN_MAX],
        users=users,
        groups=groups,
        pending=count_tasks(connection, Within(), TaskFilter(owner=view.me.id, states=PENDING)),
        executing=count_tasks(
            connection, Within(), TaskFilter(owner=view.me.id, states=("executing", "paused"))
        ),
        reviews=(
            count_tasks(connection, view.within("review"), TaskFilter(states=("review",)))
            if view.may("review")
            else 0
        ),
        **_live(view, live, connection),  # type: ignore[arg-type]
    )


@get("/", **allow("dashboard"))
async def dashboard(view: FromView) -> Response[str]:
    """The first page."""
    live, balances = view.console.live(), view.console.operations.balances()
    return await view.show(await view.read(lambda c: _dashboard(view, live, balances, c)))


@get("/live", **allow("dashboard", quiet=True))
async def moving(view: FromView) -> Response[str]:
    """Only what moves, for the page to put in place."""
    title = view.t(N_("Dashboard"))
    live = view.console.live()
    page = await view.read(lambda c: LivePage(title=title, **_live(view, live, c)))  # type: ignore[arg-type]
    return await view.show(page)


ROUTES = (dashboard, moving)
