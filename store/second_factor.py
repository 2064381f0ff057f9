"""The second factor of people: a sealed secret, which code was used last, and recovery codes as hashes.

A code counts once, also when two requests bring it at the same moment: the step is compared and set in the
transaction. A recovery code is 80 random bits, so its SHA-256 needs no salt and no slowness; used, it is gone.
"""

import base64
import hashlib
import secrets
import sqlite3
from typing import TYPE_CHECKING

from store import totp
from store.sessions import end_sessions

if TYPE_CHECKING:
    from store.config_db import Writing

RECOVERY_CODES = 10
RECOVERY_OCTETS = 10


def new_recovery_codes() -> list[str]:
    """Codes to be written down: `abcd-efgh-ijkl-mnop`."""
    codes = []
    for _ in range(RECOVERY_CODES):
        text = base64.b32encode(secrets.token_bytes(RECOVERY_OCTETS)).decode().lower()
        codes.append("-".join(text[at : at + 4] for at in range(0, 16, 4)))
    return codes


def has_second_factor(connection: sqlite3.Connection, user: int) -> bool:
    """Whether a user's sign-in asks for a code."""
    row = connection.execute("SELECT totp_sealed IS NOT NULL FROM user WHERE id = ?", (user,)).fetchone()
    return bool(row and row[0])


def recovery_left(connection: sqlite3.Connection, user: int) -> int:
    """How many recovery codes are unused."""
    row = connection.execute("SELECT count(*) FROM recovery_code WHERE user_id = ?", (user,)).fetchone()
    return int(row[0])


def enrol(
    transaction: "Writing", user: int, secret: str, step: int, codes: list[str], *, keep: bytes
) -> None:
    """From now on sign-in asks for a code. `step` is that of the code that proved the app; every session but
    `keep` ends."""
    sealed = transaction.sealer.seal(secret, _context(user))
    transaction.run("UPDATE user SET totp_sealed = ?, totp_step = ? WHERE id = ?", (sealed, step, user))
    _set_codes(transaction, user, codes)
    end_sessions(transaction, user, but=keep)
    transaction.audit("second-factor.enrol", f"user {_login(transaction, user)}", changes=False)


def renew_codes(transaction: "Writing", user: int, codes: list[str]) -> None:
    """Other recovery codes; the old ones open nothing more."""
    _set_codes(transaction, user, codes)
    transaction.audit("second-factor.codes", f"user {_login(transaction, user)}", changes=False)


def remove(transaction: "Writing", user: int, *, action: str = "second-factor.remove") -> bool:
    """Sign-in asks for the password only; False when there was no second factor."""
    done = transaction.run(
        "UPDATE user SET totp_sealed = NULL WHERE id = ? AND totp_sealed IS NOT NULL", (user,)
    ).rowcount
    if not done:
        return False
    transaction.run("DELETE FROM recovery_code WHERE user_id = ?", (user,))
    transaction.audit(action, f"user {_login(transaction, user)}", changes=False)
    return True


def reset(transaction: "Writing", user: int) -> bool:
    """An administrator takes the second factor away from somebody who lost it; their sessions end."""
    if not remove(transaction, user, action="second-factor.reset"):
        return False
    end_sessions(transaction, user)
    return True


def use_code(transaction: "Writing", user: int, code: str) -> bool:
    """Whether this is a code of the app that was not used yet; from now on it is."""
    sealed, used = transaction.run("SELECT totp_sealed, totp_step FROM user WHERE id = ?", (user,)).fetchone()
    if sealed is None:
        return False
    secret = transaction.sealer.unseal(sealed, _context(user))
    step = totp.matching_step(secret, code, transaction.at, after=used)
    if step:
        transaction.run("UPDATE user SET totp_step = ? WHERE id = ?", (step, user))
    return step > 0


def use_recovery_code(transaction: "Writing", user: int, code: str) -> bool:
    """Whether this is one of the unused recovery codes; from now on it is not."""
    used = transaction.run(
        "DELETE FROM recovery_code WHERE user_id = ? AND hash = ?", (user, _hash(code))
    ).rowcount
    if used:
        login, left = _login(transaction, user), recovery_left(transaction.connection, user)
        transaction.audit("second-factor.recovery", f"user {login}", changes=False, left=left)
    return bool(used)


def _set_codes(transaction: "Writing", user: int, codes: list[str]) -> None:
    transaction.run("DELETE FROM recovery_code WHERE user_id = ?", (user,))
    for code in codes:
        transaction.run("INSERT INTO recovery_code (user_id, hash) VALUES (?, ?)", (user, _hash(code)))


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.replace("-", "").lower().encode()).digest()


def _context(user: int) -> str:
    return f"second factor of user {user}"


def _login(transaction: "Writing", user: int) -> str:
    return str(transaction.run("SELECT login FROM user WHERE id = ?", (user,)).fetchone()[0])
