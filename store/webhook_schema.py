"""Tables of `api.db` about webhooks."""

WEBHOOK_TABLES = (
    "CREATE TABLE webhook_position (webhook INTEGER PRIMARY KEY, seq INTEGER NOT NULL) STRICT",
    # Events first..last (seq) of one kind; `dead_at` 0 while there are attempts to come.
    """CREATE TABLE webhook_delivery (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        webhook INTEGER NOT NULL,
        url TEXT NOT NULL,
        kind TEXT NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        events INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        due_at INTEGER NOT NULL,
        made_at INTEGER NOT NULL,
        status INTEGER NOT NULL,
        error TEXT NOT NULL,
        dead_at INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX webhook_due ON webhook_delivery(webhook, due_at) WHERE dead_at = 0",
    "CREATE INDEX webhook_dead ON webhook_delivery(webhook, id) WHERE dead_at <> 0",
    "CREATE INDEX webhook_dead_age ON webhook_delivery(dead_at) WHERE dead_at <> 0",
)
