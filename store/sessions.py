"""Who is signed in to the console: one row a session, keyed by the SHA-256 of its id.

The id itself (256 random bits) exists in the browser's cookie only, so a copy of `config.db` opens nothing.
A session ends after 30 minutes without a request, 12 hours after sign-in at the latest, or when it is
revoked: at sign-out, and when the user is disabled, deleted or changes the password.
"""

import hashlib
import sqlite3
from typing import TYPE_CHECKING

import msgspec

from store.preferences import Preferences, preferences_of

if TYPE_CHECKING:
    from store.config_db import Writing

IDLE_MS_MAX = 30 * 60_000  # OWASP ASVS 5.0, 7.3.1
AGE_MS_MAX = 12 * 3_600_000  # 7.3.2
SEEN_STEP_MS = 60_000  # `seen_at` is written at most this often: a page view is no disk write
ID_OCTETS = 32


class Viewer(msgspec.Struct, frozen=True):
    """Who looks at a page, read afresh for every request: a changed role counts at once."""

    id: int
    login: str
    name: str
    role: str  # user | admin
    group: int
    group_path: str
    at_root: bool  # the group is a root group: its administrators are system administrators
    password_temporary: bool
    preferences: Preferences
    session: bytes  # hash
    seen_at: int
    proved_at: int  # when this session last proved who sits there
    second_factor: bool


class SessionRow(msgspec.Struct, frozen=True):
    """One of a user's sessions, as the settings page lists them."""

    hash: bytes
    created_at: int
    seen_at: int
    address: str
    agent: str


def session_hash(session_id: str) -> bytes:
    """What is stored of a session id."""
    return hashlib.sha256(session_id.encode()).digest()


def begin_session(transaction: "Writing", session_id: str, user: int, *, address: str, agent: str) -> None:
    """Sign a user in; sessions that have ended are swept on the way."""
    transaction.run(
        "DELETE FROM console_session WHERE seen_at < ? OR created_at < ?",
        (transaction.at - IDLE_MS_MAX, transaction.at - AGE_MS_MAX),
    )
    transaction.run(
        "INSERT INTO console_session (hash, user_id, created_at, seen_at, proved_at, address, agent)"
        " VALUES (?1, ?2, ?3, ?3, ?3, ?4, ?5)",
        (session_hash(session_id), user, transaction.at, address, agent[:200]),
    )
    transaction.run("UPDATE user SET signed_in_at = ? WHERE id = ?", (transaction.at, user))


def viewer(connection: sqlite3.Connection, session: bytes, now_ms: int) -> Viewer | None:
    """Whose session this is; None for one that is unknown, over, or whose user may no longer sign in."""
    row = connection.execute(
        "SELECT u.id, u.login, u.name, u.role, g.id, g.path, g.parent IS NULL, u.password_temporary,"
        " u.preferences, s.seen_at, s.created_at, s.proved_at, u.totp_sealed IS NOT NULL FROM console_session s"
        " JOIN user u ON u.id = s.user_id JOIN user_group g ON g.id = u.group_id"
        " WHERE s.hash = ? AND u.state = 'active'",
        (session,),
    ).fetchone()
    if row is None or row[9] < now_ms - IDLE_MS_MAX or row[10] < now_ms - AGE_MS_MAX:
        return None
    return Viewer(
        id=row[0],
        login=row[1],
        name=row[2],
        role=row[3],
        group=row[4],
        group_path=row[5],
        at_root=bool(row[6]),
        password_temporary=bool(row[7]),
        preferences=preferences_of(row[8]),
        session=session,
        seen_at=row[9],
        proved_at=row[11],
        second_factor=bool(row[12]),
    )


def viewer_of(connection: sqlite3.Connection, user: int) -> Viewer | None:
    """A user as the viewer of what a job of theirs asks, without a session; None if they may no longer sign in."""
    row = connection.execute(
        "SELECT u.id, u.login, u.name, u.role, g.id, g.path, g.parent IS NULL, u.password_temporary,"
        " u.preferences, u.totp_sealed IS NOT NULL FROM user u JOIN user_group g ON g.id = u.group_id"
        " WHERE u.id = ? AND u.state = 'active'",
        (user,),
    ).fetchone()
    if row is None:
        return None
    return Viewer(
        id=row[0],
        login=row[1],
        name=row[2],
        role=row[3],
        group=row[4],
        group_path=row[5],
        at_root=bool(row[6]),
        password_temporary=bool(row[7]),
        preferences=preferences_of(row[8]),
        session=b"",
        seen_at=0,
        proved_at=0,
        second_factor=bool(row[9]),
    )


def touch_session(transaction: "Writing", session: bytes) -> None:
    """The session was used just now."""
    transaction.run("UPDATE console_session SET seen_at = ? WHERE hash = ?", (transaction.at, session))


def prove_session(transaction: "Writing", session: bytes) -> None:
    """Who uses the session proved just now who they are."""
    transaction.run("UPDATE console_session SET proved_at = ? WHERE hash = ?", (transaction.at, session))


def end_session(transaction: "Writing", session: bytes) -> None:
    """Sign out."""
    transaction.run("DELETE FROM console_session WHERE hash = ?", (session,))


def end_sessions(transaction: "Writing", user: int, *, but: bytes = b"") -> int:
    """Sign a user out everywhere (but in one session); gives how many sessions ended."""
    ended = transaction.run("DELETE FROM console_session WHERE user_id = ? AND hash <> ?", (user, but))
    return ended.rowcount


def sessions_of(connection: sqlite3.Connection, user: int, now_ms: int) -> list[SessionRow]:
    """A user's live sessions, the latest used first."""
    return [
        SessionRow(*row)
        for row in connection.execute(
            "SELECT hash, created_at, seen_at, address, agent FROM console_session"
            " WHERE user_id = ? AND seen_at >= ? AND created_at >= ? ORDER BY seen_at DESC",
            (user, now_ms - IDLE_MS_MAX, now_ms - AGE_MS_MAX),
        )
    ]


class Credentials(msgspec.Struct, frozen=True):
    """What a sign-in is checked against."""

    user: int
    login: str
    password_hash: str
    state: str
    second_factor: bool = False

    def __repr__(self) -> str:
        """The credentials without the hash."""
        return f"Credentials(user={self.user}, login={self.login!r})"


def credentials(connection: sqlite3.Connection, login: str) -> Credentials | None:
    """By login, in any case of its letters."""
    row = connection.execute(
        "SELECT id, login, password_hash, state, totp_sealed IS NOT NULL FROM user"
        " WHERE lower(login) = lower(?) ORDER BY login = ? DESC",
        (login, login),
    ).fetchone()
    return Credentials(row[0], row[1], row[2], row[3], bool(row[4])) if row else None


def has_admin(connection: sqlite3.Connection) -> bool:
    """Whether anybody can sign in and administer: otherwise the first start is still to come."""
    return (
        connection.execute(
            "SELECT 1 FROM user u JOIN user_group g ON g.id = u.group_id WHERE u.role = 'admin'"
            " AND u.state = 'active' AND u.password_hash <> '' AND g.parent IS NULL LIMIT 1"
        ).fetchone()
        is not None
    )
