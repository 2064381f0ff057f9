"""The `settings` column of accounts and carriers: JSON of those fields that differ from their defaults."""

from typing import Any

import msgspec

_encode = msgspec.json.Encoder(order="deterministic").encode


def merge_settings(
    struct: type[msgspec.Struct], settings: str, given: dict[str, Any], omit: tuple[str, ...]
) -> tuple[list[tuple[str, Any, Any]], str]:
    """What an entry changes.

    Args:
      settings: the column as it is.
      given: keys of the entry; those in `omit` have columns of their own.
    Returns: (key, old, new) of each field that changes, and the new column.
    """
    defaults = {f.name: f.default for f in msgspec.structs.fields(struct)}
    old = msgspec.json.decode(settings)
    new = dict(old)
    fields = []
    for key, value in given.items():
        if key in omit:
            continue
        value, default = _plain(value), _plain(defaults[key])
        before = old.get(key, default)
        if value != before:
            fields.append((key, before, value))
        if value == default:
            new.pop(key, None)
        else:
            new[key] = value
    return fields, _encode(new).decode()


def _plain(value: Any) -> Any:
    """As JSON would give it back, so that old and new compare (lists, not tuples)."""
    return msgspec.json.decode(_encode(value))
