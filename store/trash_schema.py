"""The table of what people deleted; what it means is said in `store/trash.py`."""

TRASH_TABLES = (
    """CREATE TABLE trash (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id INTEGER NOT NULL REFERENCES user(id),
        kind TEXT NOT NULL CHECK (kind IN ('contact', 'phrase', 'word', 'blacklist', 'group')),
        title TEXT NOT NULL,
        count INTEGER NOT NULL,
        items TEXT NOT NULL CHECK (json_valid(items)),
        at INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX trash_of_user ON trash(user_id, id)",
    "CREATE INDEX trash_at ON trash(at)",
)

# Discarded previews are kept too. A table's CHECK cannot be changed: it is made anew.
TRASH_TABLES_WITH_TASKS = (
    """CREATE TABLE trash_2 (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id INTEGER NOT NULL REFERENCES user(id),
        kind TEXT NOT NULL CHECK (kind IN ('contact', 'phrase', 'word', 'blacklist', 'group', 'task')),
        title TEXT NOT NULL,
        count INTEGER NOT NULL,
        items TEXT NOT NULL CHECK (json_valid(items)),
        at INTEGER NOT NULL
    ) STRICT""",
    "INSERT INTO trash_2 SELECT id, user_id, kind, title, count, items, at FROM trash",
    "DROP TABLE trash",
    "ALTER TABLE trash_2 RENAME TO trash",
    "CREATE INDEX trash_of_user ON trash(user_id, id)",
    "CREATE INDEX trash_at ON trash(at)",
)
