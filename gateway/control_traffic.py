"""Control operations on messages and files: message, receipts.parked, backup.

Plain functions on the stores, called by the daemon's handlers, and by the commands when no daemon runs.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from gateway.api import ids
from gateway.control import ControlError
from gateway.customer_pdus import id_from_shown
from gateway.legacy import ids as legacy_ids
from gateway.smpp.constants import MessageState
from store.api_db import copy_api_db
from store.config_db import ConfigStore
from store.directory import Directory, Route
from store.ids import SECONDS_A_DAY, id_day
from store.port import MessageLife, TrafficStore
from store.task_file import copy_task_files

READ_ROWS_MAX = 10_000


class LifeReport(msgspec.Struct):
    """A message's life, with the names that its ids stand for."""

    life: MessageLife
    accounts: dict[int, str]
    carriers: dict[int, str]
    routes: dict[int, str]  # as they are now: a route may have changed since


class ParkedReport(msgspec.Struct):
    """One receipt that matches nothing, for people."""

    received_at: int
    carrier: str
    smsc_message_id: str
    dest: int
    message_state: str
    reason: str


def life_report(traffic: TrafficStore, directory: Directory, message_id: str, *, node: int) -> LifeReport:
    """What is known of a message; `message_id` as a customer was given it.

    Raises ControlError when it is no message id, or there is no such message.
    """
    days = traffic.days()
    number = message_number(message_id, days, node=node)
    if not number:
        raise ControlError(
            f'"{message_id}" is no message id: those have 19 digits, 8 characters over SMPP 3.3,'
            ' begin "msg_" over HTTP, or are UUIDs of ours over Jasmin\'s.',
            kind="usage",
        )
    life = traffic.message(number)
    if life is None:
        kept = "is kept" if id_day(number) in days else "is not kept any more, or never was"
        raise ControlError(f"There is no message {number}. Its day {kept} here.")
    return LifeReport(
        life,
        {account.id: account.system_id for account in directory.accounts.values()},
        {carrier.id: carrier.name for carrier in directory.carriers.values()},
        {route.id: described(route, directory) for route in directory.routes.values()},
    )


def message_number(message_id: str, days: Sequence[int], *, node: int) -> int:
    """The id behind one as a customer was given it, over SMPP, HTTP or Jasmin's API; 0 if it is none of these."""
    # A short id names its second modulo 8.5 years: counted from the newest day kept here.
    newest_s = (max(days, default=0) + 1) * SECONDS_A_DAY
    return (
        ids.read(ids.MESSAGE, message_id)
        or legacy_ids.read(message_id)
        or id_from_shown(message_id.encode(), newest_s, node)
    )


def described(route: Route, directory: Directory) -> str:
    """A route for people: what it is for, whom it names, how it chooses."""
    account = directory.accounts.get(route.account)
    narrower = f" of account {account.system_id}" if account else ""
    narrower += f" for type {route.sms_type}" if route.sms_type else ""
    known = directory.carriers
    carriers = ", ".join(known[c].name if c in known else f"carrier {c}" for c in route.carriers)
    return f'"{route.prefix}"{narrower} ({route.policy}: {carriers})'


def parked_report(traffic: TrafficStore, directory: Directory, limit: int) -> list[ParkedReport]:
    """Receipts that match no message, oldest first."""
    names = {carrier.id: carrier.name for carrier in directory.carriers.values()}
    return [
        ParkedReport(
            row.received_at,
            names.get(row.carrier, f"carrier {row.carrier}"),
            row.smsc_message_id,
            row.dest,
            state_name(row.message_state),
            row.reason,
        )
        for row in traffic.parked(0, min(limit, READ_ROWS_MAX))
    ]


def state_name(message_state: int) -> str:
    """The name of an SMPP message_state, its number if it has none."""
    try:
        return MessageState(message_state).name
    except ValueError:
        return str(message_state)


def copy_files(data: Path, config: ConfigStore, traffic: TrafficStore, destination: Path) -> list[str]:
    """Consistent copies of `config.db`, `api.db` and all day files, whole or not at all; the files made.

    They are made beside `destination`, which must be empty or not exist, and get its name when all are there.
    """
    partial = destination.with_name(destination.name + ".partial")
    try:
        if destination.exists():
            destination.rmdir()
        partial.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise ControlError(
            f"{error.filename} stands in the way: {error.strerror}. Name a directory that is empty or new,"
            " and remove what an interrupted backup left.",
            kind="usage",
        ) from error
    try:
        files = [config.backup(partial), *copy_api_db(data, partial), *copy_task_files(data, partial)]
        files += traffic.backup(partial)
        partial.rename(destination)
    except BaseException:
        shutil.rmtree(partial)
        raise
    return [str(destination / file.relative_to(partial)) for file in files]
