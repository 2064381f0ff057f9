"""How a person wants the console: language, colours, zone, page size. JSON in `user.preferences`."""

from typing import Annotated, Literal

import msgspec

Language = Literal["", "zh", "en"]  # "": as the browser asks
Theme = Literal["auto", "light", "dark"]


class Preferences(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything has a default; what an older version wrote and this one does not know is left out."""

    language: Language = ""
    theme: Theme = "auto"
    zone: Annotated[str, msgspec.Meta(max_length=64)] = "Asia/Shanghai"
    page_size: Literal[20, 50, 100, 200] = 50
    shortcuts: bool = True  # keys that lead to pages


def preferences_of(column: str) -> Preferences:
    """The column as a value."""
    return msgspec.json.decode(column, type=Preferences)


def preferences_column(preferences: Preferences) -> str:
    """The value as a column."""
    return msgspec.json.encode(preferences).decode()
