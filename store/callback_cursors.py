"""How far the calls of Kannel's and Jasmin's form have come in each account's log: table `callback_cursor`."""

from collections.abc import Mapping

from sqlite_utils import Database

from store.api_db import ApiStore, api_migrations


@api_migrations()
def remember_callbacks(database: Database) -> None:
    """Where the calls stand in each account's log."""
    database.execute(
        "CREATE TABLE callback_cursor (account INTEGER PRIMARY KEY, event INTEGER NOT NULL) STRICT"
    )


def callback_cursors(store: ApiStore) -> dict[int, int]:
    """account -> event id up to which everything is told or given up; account 0: where all logs began."""
    with store.reading() as connection:
        return dict(connection.execute("SELECT account, event FROM callback_cursor"))


def save_callback_cursors(store: ApiStore, cursors: Mapping[int, int]) -> None:
    """Move cursors; durable on return. Raises ApiFull, StoreFailed."""
    with store.writing() as connection:
        connection.executemany(
            "INSERT OR REPLACE INTO callback_cursor (account, event) VALUES (?, ?)", list(cursors.items())
        )
