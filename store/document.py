"""What `sluice apply` reads, as checked entries: tables, keys, types and references by name.

    [[sms_type]] [[carrier]] [[group]] [[user]] [[account]] [[api_key]] [[webhook]] [[template]] [[number]]
    [[route]] [[word]] [[blacklist]]

Keys are the fields of `store/directory.py` under their own names; ids are never written, things are named. A
key that is left out keeps its value, or takes its default in a new entry. An entry that is left out stays as
it is: `remove = true` removes one. Everything wrong with a document is reported at once.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from store import strict
from store.directory import Account, ApiKey, Carrier, Group, Number, Route, User, Webhook, Word
from store.document_checks import IMPLIED_PREFIXES, check_entry
from store.secrets import api_key_hash

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
HIDDEN = "•••"  # what a report shows of secrets, old and new
TEST_KEY = "gw_test_"  # keys that begin so are for tests
HINT_WHOLE_FROM = 32  # characters of a key that can spare 12 as a hint: `gw_live_` and four more
Secret = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class DocumentError(Exception):
    """A document that cannot be applied; nothing of it was. `problems` holds whole sentences."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Entry(msgspec.Struct, frozen=True):
    """One entry: its table, its number there (from 1), and what it says."""

    table: str
    index: int
    values: dict[str, Any]

    @property
    def name(self) -> str:
        """What identifies it among its kind, as people would say it."""
        keys = TABLES[self.table].key
        if self.table == "api_key":
            return str(self.values.get("hint") or self.values.get("account") or self.values.get("user", ""))
        first = str(self.values.get(keys[0], ""))
        rest = [f"{key}={self.values[key]}" for key in keys[1:] if self.values.get(key)]
        return " ".join([first if first or self.table != "route" else '""', *rest])

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for entries that are about the same thing."""
        return tuple(self.values.get(key, "") for key in TABLES[self.table].key)

    @property
    def removed(self) -> bool:
        return bool(self.values.get("remove")) or self.values.get("state") == "deleted"


class Document(msgspec.Struct, frozen=True):
    """A checked document. `source` is the file's name, for error texts."""

    source: str
    entries: list[Entry]

    def of(self, table: str) -> list[Entry]:
        """The entries of one table, in order."""
        return [entry for entry in self.entries if entry.table == table]

    def where(self, entry: Entry, key: str = "") -> str:
        """The beginning of a sentence about an entry: file, table, number, key."""
        name = f' "{entry.name}"' if entry.name else ""
        return f"{self.source}: [[{entry.table}]] {entry.index}{name}" + (f": {key}" if key else "")


class Table(msgspec.Struct, frozen=True):
    """One kind of entry: the keys it knows, those that identify it, those that it cannot do without."""

    types: dict[str, Any]
    key: tuple[str, ...]
    required: tuple[str, ...]
    secret: tuple[str, ...] = ()


def _types(struct: Any, omit: tuple[str, ...] = (), **extra: Any) -> dict[str, Any]:
    own = {f.name: f.type for f in msgspec.structs.fields(struct) if f.name not in ("id", *omit)}
    return {**own, **extra, "remove": bool}


TABLES: dict[str, Table] = {
    "sms_type": Table({"name": Name, "title": str}, ("name",), ("name",)),
    "carrier": Table(_types(Carrier, name=Name, password_file=Name), ("name",), ("name",), ("password",)),
    "group": Table(
        _types(
            Group, ("parent",), path=Name, granted=Annotated[int, msgspec.Meta(ge=0)] | Literal["unlimited"]
        ),
        ("path",),
        ("path",),
    ),
    "user": Table(_types(User, login=Name, group=Name), ("login",), ("login",)),
    "account": Table(
        _types(Account, user=Name, system_id=Name, password=Secret, password_file=Name),
        ("system_id",),
        ("system_id",),
        ("password", "password_hash"),
    ),
    "api_key": Table(
        _types(
            ApiKey,
            user=Name,
            account=Name,
            key=Annotated[str, msgspec.Meta(min_length=16, max_length=255)],
            key_hash=Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")],
        ),
        ("key_hash",),
        (),
        ("key", "key_hash"),
    ),
    "webhook": Table(
        _types(
            Webhook,
            ("secrets", "overlap_until"),
            user=Name,
            account=Name,
            name=Annotated[str, msgspec.Meta(min_length=1, max_length=64)],
            url=Annotated[str, msgspec.Meta(max_length=2048)],
            secret=Secret,
        ),
        ("account", "name"),
        ("name",),
        ("secret",),
    ),
    "template": Table(
        {
            "name": Annotated[str, msgspec.Meta(min_length=1, max_length=64)],
            "group": Name,
            "text": Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)],
            "variables": tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=60)], ...],
            "remove": bool,
        },
        ("name", "group"),
        ("name", "group"),
    ),
    "number": Table(_types(Number, address=Name, account=Name), ("address",), ("address",)),
    "route": Table(
        _types(Route, carriers=tuple[Name, ...], account=str), ("prefix", "sms_type", "account"), ("prefix",)
    ),
    "word": Table(_types(Word, text=Name), ("text",), ("text",)),
    "blacklist": Table(
        {
            "scope": Name,
            "numbers": tuple[int | str, ...],
            "numbers_file": Name,
            "source": Name,
            "note": str,
            "expires": Name,
            "remove": bool,
        },
        ("scope",),
        ("scope",),
    ),
}


def load_document(file: str | Path) -> Document:
    """Read and check a file, with the number lists and passwords that it names (relative to it).

    Raises DocumentError with every problem found.
    """
    path = Path(file)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DocumentError([f"{path} cannot be read: {error.strerror}. Correct the file's name."]) from error
    except UnicodeDecodeError as error:
        raise DocumentError([f"{path} is not UTF-8 text (octet {error.start}). Save it as UTF-8."]) from error
    except tomllib.TOMLDecodeError as error:
        raise DocumentError([f"{path} is not valid TOML: {error}."]) from error
    return parse_document(tables, str(path), folder=path.parent)


def parse_document(tables: dict[str, Any], source: str, *, folder: Path | None = None) -> Document:
    """Check a document that was parsed already.

    Args:
      folder: where names of files are relative to; None refuses them.
    Raises DocumentError with every problem found.
    """
    problems: list[str] = []
    entries: list[Entry] = []
    for table, rows in tables.items():
        if table not in TABLES:
            problems.append(strict.unknown_key(source, table, TABLES))
        elif not isinstance(rows, list):
            problems.append(
                f"{source}: {table} is not a list of tables. Write [[{table}]] with two brackets."
            )
        else:
            for index, row in enumerate(rows, 1):
                entry, wrong = _entry(table, index, row, source)
                problems += wrong
                if entry is not None and not wrong:
                    entries.append(entry)
    document = Document(source, entries)
    problems += _repeated(document)
    for position, entry in enumerate(entries):
        problems += [
            f"{document.where(entry, key)}: {text}" for key, text in check_entry(entry.table, entry.values)
        ]
        try:
            entries[position] = _with_files(document, entry, folder)
        except DocumentError as error:
            problems += error.problems
    if problems:
        raise DocumentError(problems)
    return document


def _entry(table: str, index: int, row: Any, source: str) -> tuple[Entry | None, list[str]]:
    rules = TABLES[table]
    if not isinstance(row, dict):
        found = strict.describe_value(row)
        return None, [f"{source}: [[{table}]] {index}: {found} cannot be used here; wanted: a table."]
    where = Document(source, []).where(
        Entry(table, index, {k: v for k, v in row.items() if k in rules.key[:1]})
    )
    if rules.key[0] in rules.secret:
        where = f"{source}: [[{table}]] {index}"
    problems: list[str] = []
    values: dict[str, Any] = {}
    for key, value in row.items():
        if key not in rules.types:
            problems.append(strict.unknown_key(where, key, rules.types))
            continue
        try:
            values[key] = strict.take(value, rules.types[key], secret=key in rules.secret)
        except strict.Wrong as wrong:
            problems.append(f"{where}: {key}: {wrong}.")
    problems += [f'{where}: "{key}" is missing. Add it.' for key in rules.required if key not in row]
    if table == "api_key" and not problems:
        problems += [
            f"{where}: {f'{key}: ' if key else ''}{text}" for key, text in check_entry(table, values)
        ]
        values = _hashed(values)
    if table == "webhook" and "user" in values:
        values.setdefault("account", IMPLIED_PREFIXES[False] + values.pop("user"))
    return Entry(table, index, values), problems


def _hashed(values: dict[str, Any]) -> dict[str, Any]:
    """An api_key entry without the key: its hash and a hint instead, and what its first letters say."""
    key = values.get("key")
    if key is None:
        return values
    hint = key[:12] if len(key) >= HINT_WHOLE_FROM else key[:4]
    others = {name: value for name, value in values.items() if name != "key"}
    if key.startswith(TEST_KEY):
        others.setdefault("test", True)
    return {"hint": hint, **others, "key_hash": f"sha256:{api_key_hash(key).hex()}"}


def _repeated(document: Document) -> Iterator[str]:
    seen: dict[tuple[str, tuple[Any, ...]], Entry] = {}
    for entry in document.entries:
        if entry.table == "blacklist":
            continue  # several entries may add to one list
        first = seen.setdefault((entry.table, entry.identity), entry)
        if first is not entry:
            yield (
                f"{document.where(entry)}: it is declared twice, first as [[{entry.table}]] {first.index}."
                " Keep one of them."
            )


def _with_files(document: Document, entry: Entry, folder: Path | None) -> Entry:
    """The entry with what its files hold in place of their names."""
    values = dict(entry.values)
    if "numbers_file" in values:
        lines = _text_of(document, entry, "numbers_file", folder).splitlines()
        numbers = [text for line in lines if (text := line.partition("#")[0].strip(" \t,;"))]
        values["numbers"] = (*values.get("numbers", ()), *numbers)
        del values["numbers_file"]
    if "password_file" in values:
        password = _text_of(document, entry, "password_file", folder).rstrip("\r\n")
        try:
            values["password"] = strict.take(password, Secret, secret=True)
        except strict.Wrong as wrong:
            raise DocumentError([f"{document.where(entry, 'password_file')}: {wrong}."]) from wrong
        del values["password_file"]
    return Entry(entry.table, entry.index, values)


def _text_of(document: Document, entry: Entry, key: str, folder: Path | None) -> str:
    where = document.where(entry, key)
    if folder is None:
        raise DocumentError([f"{where}: files cannot be named here. Give what is in it."])
    path = folder / str(entry.values[key])
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DocumentError(
            [f"{where}: {path} cannot be read: {error.strerror}. Correct the name."]
        ) from error
    except UnicodeDecodeError as error:
        raise DocumentError(
            [f"{where}: {path} is not UTF-8 text (octet {error.start}). Save it as UTF-8."]
        ) from error
