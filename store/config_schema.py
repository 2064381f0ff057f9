"""Tables of `config.db`, as migrations: each runs once, in a transaction, and is never edited afterwards.

What has few rows and many optional fields (accounts, carriers, API keys) keeps them as JSON in `settings`, only those
that differ from their defaults: a new field of `store/directory.py` needs no migration. Ids are never reused
(AUTOINCREMENT; rows that traffic may name are marked `deleted`, not removed). The quota ledger and the audit
log refuse UPDATE and DELETE.
"""

from pathlib import Path

from sqlite_utils import Database, Migrations

from store.files import StoreError
from store.imports import IMPORT_TABLES
from store.jobs import JOB_TABLES
from store.list_views import LIST_VIEW_TABLES
from store.send_drafts import SEND_DRAFT_TABLE
from store.sending_schema import SENDING_TABLES
from store.trash_schema import TRASH_TABLES, TRASH_TABLES_WITH_TASKS
from store.word_hits import WORD_HIT_TABLE

config_migrations = Migrations("config")

_TABLES = (
    """CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID""",
    """CREATE TABLE user_group (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        path TEXT NOT NULL,
        parent INTEGER REFERENCES user_group(id),
        granted INTEGER NOT NULL DEFAULT 0 CHECK (granted >= 0),
        unlimited INTEGER NOT NULL DEFAULT 0 CHECK (unlimited IN (0, 1)),
        review TEXT NOT NULL DEFAULT 'inherit' CHECK (review IN ('inherit', 'trust', 'review')),
        state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'deleted')),
        CHECK (unlimited = 0 OR parent IS NULL)
    ) STRICT""",
    """CREATE UNIQUE INDEX user_group_path ON user_group(path) WHERE state = 'active'""",
    """CREATE TABLE user (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        login TEXT NOT NULL UNIQUE,
        group_id INTEGER NOT NULL REFERENCES user_group(id),
        granted INTEGER NOT NULL DEFAULT 0 CHECK (granted >= 0),
        used INTEGER NOT NULL DEFAULT 0,
        review TEXT NOT NULL DEFAULT 'inherit' CHECK (review IN ('inherit', 'trust', 'review')),
        role TEXT NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
        password_hash TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled', 'deleted'))
    ) STRICT""",
    """CREATE INDEX user_of_group ON user(group_id)""",
    """CREATE TABLE sms_type (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, title TEXT NOT NULL DEFAULT ''
    ) STRICT""",
    """INSERT INTO sms_type (id, name, title) VALUES
        (1, 'business', '商务短信'), (2, 'service', '业务短信'),
        (3, 'check', '号码检测'), (4, 'api', 'API')""",
    """CREATE TABLE account (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id INTEGER NOT NULL REFERENCES user(id),
        system_id TEXT NOT NULL,
        password_hash TEXT NOT NULL DEFAULT '',
        settings TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(settings)),
        state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled', 'deleted'))
    ) STRICT""",
    """CREATE UNIQUE INDEX account_system_id ON account(system_id) WHERE state <> 'deleted'""",
    """CREATE TABLE api_key (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        account_id INTEGER NOT NULL REFERENCES account(id),
        hash BLOB NOT NULL UNIQUE,
        hint TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled', 'deleted'))
    ) STRICT""",
    """CREATE TABLE carrier (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        password_sealed BLOB,
        settings TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(settings)),
        state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'deleted'))
    ) STRICT""",
    """CREATE UNIQUE INDEX carrier_name ON carrier(name) WHERE state <> 'deleted'""",
    """CREATE TABLE carrier_habit (
        carrier_id INTEGER PRIMARY KEY REFERENCES carrier(id),
        habits TEXT NOT NULL CHECK (json_valid(habits)),
        updated_at INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE route (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        prefix TEXT NOT NULL,
        sms_type TEXT NOT NULL DEFAULT '',
        account_id INTEGER REFERENCES account(id),
        policy TEXT NOT NULL DEFAULT 'failover' CHECK (policy IN ('failover', 'balance')),
        state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'deleted'))
    ) STRICT""",
    """CREATE UNIQUE INDEX route_key ON route(prefix, sms_type, ifnull(account_id, 0))
        WHERE state = 'active'""",
    """CREATE TABLE route_carrier (
        route_id INTEGER NOT NULL REFERENCES route(id),
        position INTEGER NOT NULL,
        carrier_id INTEGER NOT NULL REFERENCES carrier(id),
        weight INTEGER,
        PRIMARY KEY (route_id, position)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE number (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        address TEXT NOT NULL UNIQUE,
        account_id INTEGER NOT NULL REFERENCES account(id)
    ) STRICT""",
    """CREATE TABLE word (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        text TEXT NOT NULL UNIQUE CHECK (text <> ''),
        action TEXT NOT NULL DEFAULT 'mask' CHECK (action IN ('mask', 'review', 'reject')),
        substring INTEGER NOT NULL DEFAULT 0 CHECK (substring IN (0, 1)),
        category TEXT NOT NULL DEFAULT '',
        note TEXT NOT NULL DEFAULT ''
    ) STRICT""",
    """CREATE TABLE blacklist_scope (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL CHECK (kind IN ('global', 'group', 'type')),
        group_id INTEGER REFERENCES user_group(id),
        sms_type TEXT NOT NULL DEFAULT ''
    ) STRICT""",
    """CREATE UNIQUE INDEX blacklist_scope_key ON blacklist_scope(kind, ifnull(group_id, 0), sms_type)""",
    # Numbers of one import share their reason, so a million rows carry an id each instead of a text each.
    """CREATE TABLE blacklist_batch (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        source TEXT NOT NULL,
        note TEXT NOT NULL,
        actor TEXT NOT NULL,
        at INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE blacklist_number (
        scope_id INTEGER NOT NULL REFERENCES blacklist_scope(id),
        number INTEGER NOT NULL,
        batch_id INTEGER NOT NULL REFERENCES blacklist_batch(id),
        PRIMARY KEY (scope_id, number)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE quota_entry (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('topup', 'reclaim', 'return', 'move')),
        group_id INTEGER REFERENCES user_group(id),
        user_id INTEGER REFERENCES user(id),
        delta INTEGER NOT NULL,
        balance INTEGER NOT NULL,
        note TEXT NOT NULL DEFAULT '',
        CHECK ((group_id IS NULL) <> (user_id IS NULL))
    ) STRICT""",
    """CREATE INDEX quota_entry_of_group ON quota_entry(group_id, id) WHERE group_id IS NOT NULL""",
    """CREATE INDEX quota_entry_of_user ON quota_entry(user_id, id) WHERE user_id IS NOT NULL""",
    """CREATE TABLE usage_day (
        day INTEGER NOT NULL,
        user_id INTEGER NOT NULL REFERENCES user(id),
        used INTEGER NOT NULL,
        PRIMARY KEY (day, user_id)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE consolidated_day (day INTEGER PRIMARY KEY) STRICT""",
    """CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        target TEXT NOT NULL,
        detail TEXT NOT NULL CHECK (json_valid(detail)),
        prev BLOB NOT NULL,
        hash BLOB NOT NULL
    ) STRICT""",
    *(
        f"""CREATE TRIGGER {table}_{verb.lower()}_refused BEFORE {verb} ON {table}
            BEGIN SELECT raise(ABORT, '{table} is append-only'); END"""
        for table in ("audit", "quota_entry")
        for verb in ("UPDATE", "DELETE")
    ),
    """INSERT INTO meta (key, value) VALUES ('version', 1)""",
)


@config_migrations()
def create_tables(database: Database) -> None:
    """The tables of the first release."""
    for statement in _TABLES:
        database.execute(statement)


@config_migrations()
def give_api_keys_settings(database: Database) -> None:
    """Scopes, addresses, an end, and whether the key is for tests: like those of accounts and carriers."""
    database.execute(
        "ALTER TABLE api_key ADD COLUMN settings TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(settings))"
    )


@config_migrations()
def keep_templates(database: Database) -> None:
    """Texts with variables, of a group."""
    database.execute(
        """CREATE TABLE template (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            group_id INTEGER NOT NULL REFERENCES user_group(id),
            name TEXT NOT NULL,
            text TEXT NOT NULL,
            variables TEXT NOT NULL CHECK (json_valid(variables)),
            state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'deleted'))
        ) STRICT"""
    )
    database.execute("CREATE UNIQUE INDEX template_name ON template(group_id, name) WHERE state = 'active'")


_CONSOLE = (
    *(
        f"ALTER TABLE user ADD COLUMN {column}"
        for column in (
            "name TEXT NOT NULL DEFAULT ''",
            "mobile TEXT NOT NULL DEFAULT ''",
            "email TEXT NOT NULL DEFAULT ''",
            "note TEXT NOT NULL DEFAULT ''",
            "created_at INTEGER NOT NULL DEFAULT 0",
            "signed_in_at INTEGER NOT NULL DEFAULT 0",
            "deleted_at INTEGER NOT NULL DEFAULT 0",
            # A password that somebody else chose: its owner replaces it at the first sign-in.
            "password_temporary INTEGER NOT NULL DEFAULT 0 CHECK (password_temporary IN (0, 1))",
            "preferences TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(preferences))",
            "totp_sealed BLOB",
            "totp_step INTEGER NOT NULL DEFAULT 0",  # of the code used last: a code works once
        )
    ),
    "CREATE INDEX user_login_folded ON user(lower(login))",
    """CREATE TABLE console_session (
        hash BLOB PRIMARY KEY,
        user_id INTEGER NOT NULL REFERENCES user(id),
        created_at INTEGER NOT NULL,
        seen_at INTEGER NOT NULL,
        address TEXT NOT NULL,
        agent TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX console_session_of_user ON console_session(user_id)",
    "CREATE INDEX audit_of_actor ON audit(actor, id)",
)


@config_migrations()
def give_people_the_console(database: Database) -> None:
    """What the console knows of people, and who is signed in: only hashes of session ids."""
    for statement in _CONSOLE:
        database.execute(statement)


@config_migrations()
def find_audit_rows_by_target(database: Database) -> None:
    """A user's history is a look-up, not a scan of the log."""
    database.execute("CREATE INDEX audit_of_target ON audit(target, id)")


_WEBHOOKS = (
    """CREATE TABLE webhook (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        account_id INTEGER NOT NULL REFERENCES account(id),
        name TEXT NOT NULL,
        secrets_sealed BLOB NOT NULL,
        settings TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(settings)),
        created_at INTEGER NOT NULL,
        state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'gone', 'deleted'))
    ) STRICT""",
    "CREATE UNIQUE INDEX webhook_name ON webhook(account_id, name) WHERE state <> 'deleted'",
)


@config_migrations()
def give_accounts_webhooks(database: Database) -> None:
    """Endpoints that events are posted to. Their secrets are sealed: they must be used, not only compared."""
    for statement in _WEBHOOKS:
        database.execute(statement)


@config_migrations()
def let_people_send(database: Database) -> None:
    """Tasks with their history, contacts, phrases."""
    for statement in SENDING_TABLES:
        database.execute(statement)


_LOW_QUOTA = tuple(
    f"ALTER TABLE {table} ADD COLUMN {column}"
    for table in ("user_group", "user")
    for column in (
        "quota_low_parts INTEGER NOT NULL DEFAULT -1 CHECK (quota_low_parts >= -1)",  # -1: the share counts
        "quota_low_percent INTEGER NOT NULL DEFAULT 10 CHECK (quota_low_percent BETWEEN 0 AND 100)",
    )
)


@config_migrations()
def say_when_parts_run_low(database: Database) -> None:
    """When a user's or a group's parts count as low: at a number of parts, or at a share of the limit."""
    for statement in _LOW_QUOTA:
        database.execute(statement)


_SECOND_FACTOR = (
    """CREATE TABLE recovery_code (
        user_id INTEGER NOT NULL REFERENCES user(id),
        hash BLOB NOT NULL,
        PRIMARY KEY (user_id, hash)
    ) STRICT, WITHOUT ROWID""",
    # When this session last proved who sits there: at sign-in, or asked again before something dangerous.
    "ALTER TABLE console_session ADD COLUMN proved_at INTEGER NOT NULL DEFAULT 0",
)


@config_migrations()
def ask_for_a_second_factor(database: Database) -> None:
    """Codes that open the console when the telephone is lost (hashes, used up one by one)."""
    for statement in _SECOND_FACTOR:
        database.execute(statement)


_TASKS_IN_LEDGER = (
    """CREATE TABLE quota_entry_2 (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        kind TEXT NOT NULL CHECK
            (kind IN ('topup', 'reclaim', 'return', 'move', 'reserve', 'settle', 'release')),
        group_id INTEGER REFERENCES user_group(id),
        user_id INTEGER REFERENCES user(id),
        delta INTEGER NOT NULL,
        balance INTEGER NOT NULL,
        note TEXT NOT NULL DEFAULT '',
        task_id INTEGER,
        parts INTEGER NOT NULL DEFAULT 0,
        available INTEGER,
        CHECK ((group_id IS NULL) <> (user_id IS NULL)),
        CHECK ((kind IN ('reserve', 'settle', 'release')) = (task_id IS NOT NULL))
    ) STRICT""",
    """INSERT INTO quota_entry_2 (id, at, actor, kind, group_id, user_id, delta, balance, note, parts)
        SELECT id, at, actor, kind, group_id, user_id, delta, balance, note, abs(delta) FROM quota_entry""",
    "DROP TABLE quota_entry",
    "ALTER TABLE quota_entry_2 RENAME TO quota_entry",
    "CREATE INDEX quota_entry_of_group ON quota_entry(group_id, id) WHERE group_id IS NOT NULL",
    "CREATE INDEX quota_entry_of_user ON quota_entry(user_id, id) WHERE user_id IS NOT NULL",
    "CREATE INDEX quota_entry_of_task ON quota_entry(task_id, id) WHERE task_id IS NOT NULL",
    *(
        f"""CREATE TRIGGER quota_entry_{verb.lower()}_refused BEFORE {verb} ON quota_entry
            BEGIN SELECT raise(ABORT, 'quota_entry is append-only'); END"""
        for verb in ("UPDATE", "DELETE")
    ),
)


@config_migrations()
def explain_what_tasks_take(database: Database) -> None:
    """The ledger tells what tasks hold, use and give back, and what was available after each movement."""
    for statement in _TASKS_IN_LEDGER:
        database.execute(statement)


@config_migrations()
def keep_jobs(database: Database) -> None:
    """Work that takes longer than a page: exports, imports."""
    for statement in JOB_TABLES:
        database.execute(statement)


@config_migrations()
def import_from_files(database: Database) -> None:
    """Imports with their progress, and an end of blacklist entries: 0 is never."""
    for statement in IMPORT_TABLES:
        database.execute(statement)
    database.execute("ALTER TABLE blacklist_batch ADD COLUMN expires_at INTEGER NOT NULL DEFAULT 0")
    database.execute(
        "CREATE INDEX blacklist_batch_expiry ON blacklist_batch(expires_at) WHERE expires_at > 0"
    )


@config_migrations()
def limit_users(database: Database) -> None:
    """What a user may send as, from whom, how fast: like the settings of accounts."""
    database.execute(
        "ALTER TABLE user ADD COLUMN settings TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(settings))"
    )


@config_migrations()
def remember_how_lists_are_wanted(database: Database) -> None:
    """Columns, density and filters of a person's lists."""
    for statement in LIST_VIEW_TABLES:
        database.execute(statement)


@config_migrations()
def let_people_be_forgotten(database: Database) -> None:
    """When a deleted user was made anonymous, for good."""
    database.execute("ALTER TABLE user ADD COLUMN anonymised_at INTEGER NOT NULL DEFAULT 0")


@config_migrations()
def keep_what_is_deleted(database: Database) -> None:
    """Contacts, phrases, words, entries of blacklists and groups, for thirty days."""
    for statement in TRASH_TABLES:
        database.execute(statement)


@config_migrations()
def count_hits_of_words(database: Database) -> None:
    """How often each sensitive word was found, by day."""
    database.execute(WORD_HIT_TABLE)


@config_migrations()
def page_through_blacklists(database: Database) -> None:
    """The newest entries first, a page at a time, however many there are."""
    database.execute("CREATE INDEX blacklist_number_of_batch ON blacklist_number(batch_id)")


@config_migrations()
def rate_of_a_task(database: Database) -> None:
    """How many messages a second a task may send; 0 for what the carriers take."""
    database.execute("ALTER TABLE task ADD COLUMN rate INTEGER NOT NULL DEFAULT 0")


@config_migrations()
def know_whether_columns_were_chosen(database: Database) -> None:
    """Columns that somebody chose show on narrow windows too."""
    database.execute(
        "ALTER TABLE list_view ADD COLUMN chosen INTEGER NOT NULL DEFAULT 0 CHECK (chosen IN (0, 1))"
    )


@config_migrations()
def keep_discarded_previews(database: Database) -> None:
    """Previews that were discarded can be put back, like what is deleted."""
    for statement in TRASH_TABLES_WITH_TASKS:
        database.execute(statement)


@config_migrations()
def keep_drafts(database: Database) -> None:
    """What people have begun to write and not sent yet."""
    database.execute(SEND_DRAFT_TABLE)


@config_migrations()
def review_without_exception(database: Database) -> None:
    """A group whose tasks are reviewed whatever its users and the groups below it say; its `review` is `review`."""
    database.execute(
        "ALTER TABLE user_group ADD COLUMN review_lock INTEGER NOT NULL DEFAULT 0 CHECK (review_lock IN (0, 1))"
    )


def refuse_newer(migrations: Migrations, database: Database, path: Path) -> None:
    """Raises StoreError when a later version of Sluice has changed the tables already."""
    done = {migration.name for migration in migrations.applied(database)}
    known = {migration.name for migration in migrations.pending(Database(memory=True))}
    if done - known:
        raise StoreError(
            f"{path} was used by a newer Sluice ({', '.join(sorted(done - known))})."
            " Run that version, or put back a copy made before the upgrade."
        )
