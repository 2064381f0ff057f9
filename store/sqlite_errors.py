"""What SQLite's errors mean for a store: full, damaged, or failed."""

import sqlite3

DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
FAILURE = DAMAGE | {sqlite3.SQLITE_IOERR}


def error_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code, 0 when the error is not SQLite's own."""
    code: int = getattr(error, "sqlite_errorcode", 0) or 0
    return code & 0xFF


def is_full(error: sqlite3.Error) -> bool:
    return error_code(error) == sqlite3.SQLITE_FULL


def is_damage(error: sqlite3.Error) -> bool:
    return error_code(error) in DAMAGE


def is_failure(error: sqlite3.Error) -> bool:
    """The disk, or what is on it, is broken: nothing that was read or written now can be trusted (P10)."""
    return error_code(error) in FAILURE


def error_name(error: sqlite3.Error) -> str:
    """SQLITE_IOERR_FSYNC, or the exception's class."""
    return getattr(error, "sqlite_errorname", "") or type(error).__name__
