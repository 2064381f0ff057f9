"""The dashboard (P27): the daemon at this moment, today against yesterday, and what waits for the viewer."""

import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from litestar import Response, get

from admin.i18n import N_
from admin.live import Figures, Moment, Topic, by_reach, by_user
from admin.operations import Account, Carrier, Live
from admin.pages.gateway import LIMITED_BY
from admin.permissions import Role, allow
from admin.rendering import Page, format_number, zone_of
from admin.view import FromView, View
from store.people_list import account_ids_within, accounts_within, limited_users, list_groups
from store.quota_low import Low, low_groups, low_users
from store.scope import Within
from store.task_states import PENDING
from store.tasks import TaskFilter, count_tasks

LOW_SHOWN_MAX = 6
ACCOUNTS_SHOWN_MAX = 50  # of many, those with the most traffic
MINUTES_SHOWN = 15
MINUTE_MS = 60_000


class LivePage(Page, kw_only=True):
    """What moves. Carriers are shown to system administrators only."""

    template = "dashboard_live.html"
    system: bool
    accounts: list[Account]
    carriers: list[Carrier]
    disk: str
    draining: bool
    live: Figures


class Minute(msgspec.Struct, frozen=True):
    """A row of the table behind the chart."""

    at: int
    accepted: int
    taken: int
    receipts: int


class Today(msgspec.Struct, frozen=True):
    """Parts since midnight in the viewer's zone, and on the day before up to the same time."""

    parts: int
    before: int
    delivered: int
    ended: int  # of which the end is known

    @property
    def change(self) -> float | None:
        """By how many percent today differs; None where yesterday had nothing."""
        return 100 * (self.parts - self.before) / self.before if self.before else None

    @property
    def success(self) -> float | None:
        """Percent delivered, of those that ended; None before any did."""
        return 100 * self.delivered / self.ended if self.ended else None


class DashboardPage(LivePage, kw_only=True):
    """The first page."""

    template = "dashboard.html"
    today: Today
    minutes: list[Minute]
    low: list[Low]
    low_count: int
    users: int
    groups: int


def own_accounts(view: View, accounts: list[Account], connection: sqlite3.Connection) -> list[Account]:
    """Those of everybody in the viewer's reach."""
    if view.role == Role.SYSTEM:
        return accounts
    only = view.me.id if view.role == Role.USER else 0
    own = accounts_within(connection, view.within("dashboard"), user=only)
    return [account for account in accounts if account.system_id in own]


def _moving(view: View, live: Live, connection: sqlite3.Connection) -> dict[str, Any]:
    """The fields of a `LivePage`."""
    system = view.role == Role.SYSTEM
    accounts = own_accounts(view, live.accounts, connection)
    busiest = sorted(accounts, key=lambda one: -one.accepted)[:ACCOUNTS_SHOWN_MAX]
    shown = sorted(busiest, key=lambda one: one.system_id)
    carriers = live.carriers if system else []
    figures: Figures = {
        "c.accepted": format_number(sum(one.accepted for one in accounts)),
        "c.refused": format_number(sum(one.refused for one in accounts)),
        "c.binds": format_number(sum(one.binds for one in accounts)),
        "c.waiting": format_number(sum(one.events_waiting for one in accounts)),
    }
    if system:
        figures |= {
            "c.rate": format_number(round(sum(one.accepted_rate for one in carriers))),
            "c.queued": format_number(sum(one.queued for one in carriers)),
            "c.awaiting": format_number(sum(one.awaiting_receipt for one in carriers)),
            "c.commit": f"{live.commit_ms:.1f}",
        }
    for carrier in carriers:
        title, tone = LIMITED_BY.get(carrier.limited_by, (carrier.limited_by, "plain"))
        key = f"c.carrier.{carrier.name}"
        figures[f"{key}.state"] = [view.t(N_("Up")), "good"] if carrier.up else [view.t(N_("Down")), "bad"]
        figures[f"{key}.limit"] = [view.t(title), tone]
        figures[f"{key}.rate"] = format_number(round(carrier.accepted_rate))
        figures[f"{key}.queued"] = format_number(carrier.queued)
    for account in shown:
        key = f"c.account.{account.system_id}"
        figures[f"{key}.binds"] = format_number(account.binds)
        figures[f"{key}.accepted"] = format_number(account.accepted)
        figures[f"{key}.refused"] = format_number(account.refused)
        figures[f"{key}.available"] = format_number(account.available)
    names = [*(one.name for one in carriers), *(one.system_id for one in shown)]
    figures["shape.live"] = "|".join([live.disk, str(live.draining), *names])
    return {
        "system": system,
        "accounts": shown,
        "carriers": carriers,
        "disk": live.disk,
        "draining": live.draining,
        "live": figures,
    }


def _counters(view: View, moment: Moment, connection: sqlite3.Connection, _: tuple[int, ...]) -> Figures:
    figures: Figures = _moving(view, moment.live, connection)["live"]
    figures["ticks"] = _seconds(view, moment, connection)
    return figures


def _seconds(view: View, moment: Moment, connection: sqlite3.Connection) -> list[Any]:
    """The chart's seconds: the daemon's for the system, sampled while they look for everybody else."""
    if view.role == Role.SYSTEM:
        return list(moment.seconds)
    accounts = own_accounts(view, moment.live.accounts, connection)
    return view.console.hub.ring(by_reach(view)).sample(
        view.console.wall_ms() // 1000,
        sum(one.accepted for one in accounts),
        sum(one.events_delivered for one in accounts),
        sum(one.events_waiting for one in accounts),
    )


def _mine(view: View, moment: Moment, connection: sqlite3.Connection, _: tuple[int, ...]) -> Figures:
    """The viewer's own tasks: not sent yet, and on their way."""

    def count(*states: str) -> str:
        return format_number(count_tasks(connection, Within(), TaskFilter(owner=view.me.id, states=states)))

    return {"mine.pending": count(*PENDING), "mine.executing": count("executing", "paused")}


TOPICS = (Topic("counters", "dashboard", _counters, by_reach), Topic("mine", "dashboard", _mine, by_user))


async def _today(view: View, accounts: set[int] | None) -> Today:
    zone = zone_of(view.zone)
    now = datetime.fromtimestamp(view.console.wall_ms() / 1000, zone)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)

    def minute(moment: datetime) -> int:
        return int(moment.timestamp()) // 60

    day_sums = view.console.operations.day_sums
    today = await day_sums(minute(midnight), minute(now) + 1, accounts)
    day = timedelta(days=1)
    before = await day_sums(minute(midnight - day), minute(now - day) + 1, accounts)
    delivered = today.get("DELIVERED", 0)
    failed = sum(today.get(state, 0) for state in ("FAILED", "EXPIRED", "REJECTED", "UNKNOWN"))
    return Today(today.get("QUEUED", 0), before.get("QUEUED", 0), delivered, delivered + failed)


def by_minute(seconds: Iterable[tuple[int, int, int, int, int]]) -> list[Minute]:
    """The seconds added up, the newest minute first."""
    minutes: dict[int, list[int]] = {}
    for at, accepted, taken, receipts, _ in seconds:
        sums = minutes.setdefault(at // 60, [0, 0, 0])
        for n, value in enumerate((accepted, taken, receipts)):
            sums[n] += value
    return [Minute(at * MINUTE_MS, *sums) for at, sums in sorted(minutes.items(), reverse=True)][
        :MINUTES_SHOWN
    ]


def _dashboard(
    view: View,
    moment: Moment,
    balances: Mapping[int, tuple[int, int]],
    today: Today,
    connection: sqlite3.Connection,
) -> DashboardPage:
    low: list[Low] = []
    users = groups = 0
    if view.may("users.read"):
        within = view.within("users.read")
        low = [*low_groups(connection, within, balances), *low_users(connection, within, balances)]
        users = len(limited_users(connection, within))
        groups = len(list_groups(connection, within))
    seconds = moment.seconds if view.role == Role.SYSTEM else ()
    moving = _moving(view, moment.live, connection)
    moving["live"] |= _mine(view, moment, connection, ())
    if view.may("review"):
        waiting = count_tasks(connection, view.within("review"), TaskFilter(states=("review",)))
        moving["live"]["review"] = format_number(waiting)
    return DashboardPage(
        title=view.t(N_("Dashboard")),
        topics=("counters", "mine"),
        today=today,
        minutes=by_minute(seconds),
        low=low[:LOW_SHOWN_MAX],
        low_count=len(low),
        users=users,
        groups=groups,
        **moving,
    )


@get("/", **allow("dashboard"))
async def dashboard(view: FromView) -> Response[str]:
    """The first page."""
    accounts: set[int] | None = None
    if view.role != Role.SYSTEM:
        only = view.me.id if view.role == Role.USER else 0
        accounts = await view.read(lambda c: account_ids_within(c, view.within("dashboard"), user=only))
    moment, balances = view.console.hub.moment(), view.console.operations.balances()
    today = await _today(view, accounts)
    return await view.show(await view.read(lambda c: _dashboard(view, moment, balances, today, c)))


@get("/live", **allow("dashboard", quiet=True))
async def moving(view: FromView) -> Response[str]:
    """Only what moves, where other rows stand there by now."""
    title = view.t(N_("Dashboard"))
    live = view.console.live()
    return await view.show(await view.read(lambda c: LivePage(title=title, **_moving(view, live, c))))


ROUTES = (dashboard, moving)
