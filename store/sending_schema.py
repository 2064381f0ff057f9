"""The tables of `config.db` behind sending from the console: tasks, contacts, phrases.

A task's recipients are not here: a million rows live in a file of the task's own (`store/task_file.py`).
"""

SENDING_TABLES = (
    """CREATE TABLE task (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id INTEGER NOT NULL REFERENCES user(id),
        group_id INTEGER NOT NULL REFERENCES user_group(id),
        account_id INTEGER NOT NULL REFERENCES account(id),
        sms_type TEXT NOT NULL,
        name TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'preview' CHECK (state IN
            ('preview', 'review', 'waiting', 'executing', 'paused', 'finished', 'discarded')),
        outcome TEXT NOT NULL DEFAULT '' CHECK ((outcome <> '') = (state = 'finished')),
        created_at INTEGER NOT NULL,
        start_at INTEGER NOT NULL DEFAULT 0,
        end_at INTEGER NOT NULL DEFAULT 0,
        started_at INTEGER NOT NULL DEFAULT 0,
        finished_at INTEGER NOT NULL DEFAULT 0,
        sender TEXT NOT NULL DEFAULT '',
        text TEXT NOT NULL,
        masked TEXT NOT NULL,
        word_action TEXT NOT NULL DEFAULT '',
        parts_each INTEGER NOT NULL,
        stage TEXT NOT NULL DEFAULT 'binding' CHECK (stage IN ('binding', 'preparing', 'ready', 'failed')),
        prepared_at INTEGER NOT NULL DEFAULT 0,
        input TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(input)),
        total INTEGER NOT NULL DEFAULT 0,
        valid INTEGER NOT NULL DEFAULT 0,
        counts TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(counts)),
        resend_of INTEGER REFERENCES task(id),
        delivered INTEGER NOT NULL DEFAULT 0,
        failed INTEGER NOT NULL DEFAULT 0,
        parts_sent INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    "CREATE INDEX task_of_user ON task(user_id, id)",
    "CREATE INDEX task_open ON task(state, id) WHERE state NOT IN ('finished', 'discarded')",
    """CREATE TABLE task_event (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        task_id INTEGER NOT NULL REFERENCES task(id),
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        move TEXT NOT NULL,
        state TEXT NOT NULL,
        note TEXT NOT NULL DEFAULT ''
    ) STRICT""",
    "CREATE INDEX task_event_of_task ON task_event(task_id, id)",
    """CREATE TABLE contact_group (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id INTEGER NOT NULL REFERENCES user(id),
        name TEXT NOT NULL,
        UNIQUE (user_id, name)
    ) STRICT""",
    """CREATE TABLE contact (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id INTEGER NOT NULL REFERENCES user(id),
        group_id INTEGER NOT NULL REFERENCES contact_group(id),
        name TEXT NOT NULL,
        mobile INTEGER NOT NULL,
        UNIQUE (group_id, mobile)
    ) STRICT""",
    "CREATE INDEX contact_of_user ON contact(user_id, id)",
    """CREATE TABLE phrase_group (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id INTEGER NOT NULL REFERENCES user(id),
        group_id INTEGER NOT NULL REFERENCES user_group(id),
        name TEXT NOT NULL,
        shared INTEGER NOT NULL DEFAULT 0 CHECK (shared IN (0, 1)),
        UNIQUE (user_id, name)
    ) STRICT""",
    """CREATE TABLE phrase (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        phrase_group_id INTEGER NOT NULL REFERENCES phrase_group(id),
        text TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX phrase_of_group ON phrase(phrase_group_id, id)",
)
