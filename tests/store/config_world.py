"""A `config.db` to try things on, and documents to try."""

import tomllib
from pathlib import Path

from store.apply import Change
from store.config_db import ConfigStore
from store.document import parse_document

AT = 1_700_000_000_000

WORLD = """
[[carrier]]
name = "carrier-a"
host = "127.0.0.1"
port = 12775
system_id = "a"
password = "carrier-password"

[[route]]
prefix = ""
carriers = ["carrier-a"]

[[group]]
path = "总公司"
granted = "unlimited"

[[group]]
path = "总公司/福建分公司"
granted = 1000
review = "trust"

[[user]]
login = "acme"
group = "总公司/福建分公司"
limit = 600

[[api_key]]
user = "acme"
key = "gw_live_0123456789abcdef0123456789"

[[word]]
text = "敏感"

[[blacklist]]
scope = "global"
numbers = ["8613800000000"]
"""


def open_store(tmp_path: Path, name: str = "data") -> ConfigStore:
    """A new store whose clock stands still."""
    return ConfigStore.open(tmp_path / name, wall_ms=lambda: AT)


def apply(store: ConfigStore, text: str, **options: object) -> list[Change]:
    """Apply a TOML text as `test.toml`."""
    document = parse_document(tomllib.loads(text), "test.toml")
    return store.apply(document, "cli:test", **options)  # type: ignore[arg-type]


def world(tmp_path: Path) -> ConfigStore:
    """A store with one of most things."""
    store = open_store(tmp_path)
    apply(store, WORLD)
    return store


def actions(changes: list[Change]) -> list[tuple[str, str, str]]:
    """What happened, without fields."""
    return [(change.table, change.name, change.action) for change in changes]
