"""What becomes of each row of an imported file: one judge for each kind, all of them pure.

A judge is given the cells of a row by field and answers (class, reason, what to write). It is made once for a file, in
the process that reads it, and knows by then what is in `config.db` already, and what earlier rows have said.
"""

import re
import sqlite3
import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from admin.cleaning import clean
from admin.prepare_lines import ImportOrder
from filters.numbers import NotANumber, Numbering
from filters.words import ACTIONS, problem_with_word, same_word
from store import config_read, quota
from store.contact_groups import problem_with_path
from store.directory import BlacklistScope
from store.people_edit import LOGIN
from store.rules import expiring

Cells = Mapping[str, str]
Answer = tuple[str, str, dict[str, Any] | None]
Judge = Callable[[Cells], Answer]

GOOD = ("valid", "update")  # classes that are written
NAME_CHARACTERS_MAX = 64
NOTE_CHARACTERS_MAX = 200
PARTS_MAX = 10**12
ROLES = {
    "": "user",
    "user": "user",
    "用户": "user",
    "普通用户": "user",
    "admin": "admin",
    "administrator": "admin",
    "管理员": "admin",
}
WORD_ACTIONS = {
    "mask": "mask", "屏蔽": "mask", "替换": "mask",
    "review": "review", "审核": "review",
    "reject": "reject", "拒绝": "reject", "拦截": "reject",
}  # fmt: skip
LIST_KINDS = {
    "group": "group", "用户组": "group",
    "type": "type", "短信类型": "type",
    "global": "global", "全局": "global",
}  # fmt: skip
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}")


def _bad(kind: str, reason: str = "") -> Answer:
    return kind, reason, None


def users(order: ImportOrder, connection: sqlite3.Connection) -> Judge:
    """Users: a login that is free, a group in reach, no role above one's own, parts that the group has."""
    taken = {row[0] for row in connection.execute("SELECT lower(login) FROM user")}
    paths = _groups(connection)
    allowed = {path: one for path, one in paths.items() if one in order.groups}
    names = {one: path for path, one in paths.items()}
    numbering = Numbering(order.home_country)
    seen: set[str] = set()
    left: dict[int, int | None] = {}

    def judge(cells: Cells) -> Answer:
        login, name = clean(cells["login"]), clean(cells["name"])
        path = clean(cells["group"]).replace("／", "/").strip("/")
        group = allowed.get(path, 0) if path else int(order.options["group"])
        mobile = clean(cells["mobile"])
        role = ROLES.get(clean(cells["role"]).casefold())
        parts = _whole(cells["parts"])
        if not LOGIN.fullmatch(login):
            return _bad("invalid", "login-form")
        if len(name) > NAME_CHARACTERS_MAX:
            return _bad("invalid", "name-long")
        if mobile and isinstance(number := numbering.canonical_text(mobile), NotANumber):
            return _bad("invalid", number.value)
        if role is None:
            return _bad("invalid", "role-unknown")
        if parts is None:
            return _bad("invalid", "parts-number")
        if group not in order.groups:
            return _bad("invalid", "group-unknown")
        if login.lower() in seen:
            return _bad("duplicate")
        seen.add(login.lower())
        if login.lower() in taken:
            return _bad("existing", "login-taken")
        if role == "admin" and group == order.own_group and not order.is_system:
            return _bad("not-allowed", "role-level")
        if group not in left:
            balance = quota.group_balance(connection, group)
            left[group] = None if balance.unlimited else balance.remaining
        rest = left[group]
        if rest is not None:
            if parts > rest:
                return _bad("quota", names[group])
            left[group] = rest - parts
        made = {"login": login, "name": name, "group": group, "mobile": mobile, "role": role, "parts": parts}
        return "valid", "", made

    return judge


def words(order: ImportOrder, connection: sqlite3.Connection) -> Judge:
    """Words: each once, however it is spelt."""
    known = {same_word(word.text) for word in config_read.words(connection)}
    seen: set[str] = set()

    def judge(cells: Cells) -> Answer:
        text, asked = clean(cells["word"]), clean(cells["action"]).casefold()
        action = WORD_ACTIONS.get(asked) if asked else order.options["action"]
        category = clean(cells["category"]) or order.options["category"]
        if problem_with_word(text):
            return _bad("invalid", "word-form")
        if action not in ACTIONS:
            return _bad("invalid", "action-unknown")
        if len(category) > NAME_CHARACTERS_MAX:
            return _bad("invalid", "category-long")
        key = same_word(text)
        if key in seen:
            return _bad("duplicate")
        seen.add(key)
        if key in known:
            return _bad("existing", "word-known")
        return "valid", "", {"word": text, "action": action, "category": category}

    return judge


def blacklist(order: ImportOrder, connection: sqlite3.Connection) -> Judge:
    """Numbers for a list, or to be taken off it."""
    numbering = Numbering(order.home_country)
    removing = order.options["mode"] == "remove"
    paths = _groups(connection)
    types = {name: name for name, _ in connection.execute("SELECT name, title FROM sms_type")}
    types |= {title: name for name, title in connection.execute("SELECT name, title FROM sms_type") if title}
    lists: dict[str, tuple[set[int], dict[int, int], set[int]]] = {}

    def scope_of(text: str) -> str | None:
        kind, _, name = text.replace("：", ":").partition(":")
        kind = LIST_KINDS.get(kind.strip().casefold(), "")
        name = name.strip().replace("／", "/")
        if kind == "global":
            return "global"
        if kind == "group" and paths.get(name) in order.groups:
            return f"group:{paths[name]}"
        return f"type:{types[name]}" if kind == "type" and name in types else None

    def judge(cells: Cells) -> Answer:
        asked = clean(cells["list"])
        scope = scope_of(asked) if asked else order.options["list"]
        note = clean(cells["note"]) or order.options["note"]
        expires_at = int(order.options["expires_at"])
        number = numbering.canonical_text(clean(cells["number"]))
        if isinstance(number, NotANumber):
            return _bad("invalid", number.value)
        if scope is None:
            return _bad("invalid", "list-unknown")
        if len(note) > NOTE_CHARACTERS_MAX:
            return _bad("invalid", "note-long")
        if cells["expiry"].strip() and not removing:
            moment = read_expiry(cells["expiry"], order.zone)
            if moment is None:
                return _bad("invalid", "date")
            if moment <= order.now_ms:
                return _bad("invalid", "date-past")
            expires_at = moment
        if scope == "global" and not order.is_system:
            return _bad("not-allowed", "list-level")
        if scope not in lists:
            lists[scope] = (*_listed(connection, scope), set())
        known, ends, seen = lists[scope]
        if number in seen:
            return _bad("duplicate")
        seen.add(number)
        if removing:
            return ("valid", "", _entry(scope, number, "", 0)) if number in known else _bad("not-listed")
        if number in known:
            end = ends.get(number, 0)
            if not end or (expires_at and expires_at <= end):
                return _bad("existing", "on-the-list")
        return "valid", "", _entry(scope, number, note, expires_at)

    return judge


def contacts(order: ImportOrder, connection: sqlite3.Connection) -> Judge:
    """Contacts of one owner, each number once in a group."""
    numbering = Numbering(order.home_country)
    known = {
        (group, mobile): name
        for group, mobile, name in connection.execute(
            "SELECT g.name, c.mobile, c.name FROM contact c JOIN contact_group g ON g.id = c.group_id"
            " WHERE c.user_id = ?",
            (order.owner,),
        )
    }
    seen: set[tuple[str, int]] = set()

    def judge(cells: Cells) -> Answer:
        name = clean(cells["name"])
        group = clean(cells["group"]).replace("／", "/").strip("/") or order.options["group"]
        mobile = numbering.canonical_text(clean(cells["mobile"]))
        if isinstance(mobile, NotANumber):
            return _bad("invalid", mobile.value)
        if len(name) > NAME_CHARACTERS_MAX:
            return _bad("invalid", "name-long")
        if problem_with_path(group):
            return _bad("invalid", "path-form")
        if (group, mobile) in seen:
            return _bad("duplicate")
        seen.add((group, mobile))
        made = {"name": name, "mobile": mobile, "group": group}
        if (group, mobile) not in known:
            return "valid", "", made
        if order.options["doubles"] == "update" and name and known[group, mobile] != name:
            return "update", "", made
        return _bad("existing", "in-the-group")

    return judge


JUDGES: Mapping[str, Callable[[ImportOrder, sqlite3.Connection], Judge]] = {
    "users": users,
    "words": words,
    "blacklist": blacklist,
    "contacts": contacts,
}
FIELDS: Mapping[str, tuple[str, ...]] = {
    "users": ("login", "name", "group", "mobile", "role", "parts"),
    "words": ("word", "action", "category"),
    "blacklist": ("number", "list", "note", "expiry"),
    "contacts": ("name", "mobile", "group"),
}


def read_expiry(text: str, zone: str) -> int | None:
    """A date (its day counts whole) or a moment in a zone, as UTC ms; None if it is none."""
    text = unicodedata.normalize("NFKC", text).strip()
    text = text.replace("年", "-").replace("月", "-").replace("日", "").replace("/", "-").replace(".", "-")
    try:
        if _DATE.fullmatch(text):
            year, month, day = map(int, text.split("-"))
            moment = datetime.combine(datetime(year, month, day), time(23, 59, 59))  # noqa: DTZ001
        else:
            moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(zone))
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        return None


def _entry(scope: str, number: int, note: str, expires_at: int) -> dict[str, Any]:
    return {"scope": scope, "number": number, "note": note, "expires_at": expires_at}


def _groups(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT path, id FROM user_group WHERE state = 'active'"))


def scope_of(text: str) -> BlacklistScope:
    """The list that `global`, `group:2` or `type:business` names."""
    kind, _, key = text.partition(":")
    if kind == "group":
        return BlacklistScope("group", int(key))
    return BlacklistScope("type", key) if kind == "type" else BlacklistScope("global")


def _listed(connection: sqlite3.Connection, text: str) -> tuple[set[int], dict[int, int]]:
    """Numbers on a list, and when those end that do."""
    scope = scope_of(text)
    row = connection.execute(
        "SELECT id FROM blacklist_scope WHERE kind = ? AND ifnull(group_id, 0) = ? AND sms_type = ?",
        (
            scope.kind,
            scope.key if scope.kind == "group" else 0,
            scope.key if scope.kind == "type" else "",
        ),
    ).fetchone()
    if row is None:
        return set(), {}
    numbers = connection.execute("SELECT number FROM blacklist_number WHERE scope_id = ?", row)
    return {one for (one,) in numbers}, expiring(connection, scope)


def _whole(text: str) -> int | None:
    text = unicodedata.normalize("NFKC", text).replace(",", "").replace(" ", "").removesuffix(".0")
    if not text:
        return 0
    return (
        int(text)
        if text.isascii() and text.isdigit() and int(text[:15]) <= PARTS_MAX and len(text) < 15
        else None
    )
