"""Where a message's reports go and which: kept with its parts (`detail["callback"]`), so as durable as they are."""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from store.model import Part, PartFlag

KEY = "callback"
URL_OCTETS_MAX = 4_096


class Callback(msgspec.Struct, omit_defaults=True):
    """What a message of Kannel's or Jasmin's form asked for.

    `mask` is Kannel's dlr-mask; `level` and `method` are Jasmin's. `account` and `meta` are Kannel's accounting
    string and meta-data, for its escapes.
    """

    style: Literal["kannel", "jasmin"]
    url: str
    mask: int = 0
    level: int = 0
    method: str = "GET"
    account: str = ""
    meta: str = ""

    @property
    def wants_acceptance(self) -> bool:
        """Whether the carrier's ROK is to be told, too."""
        return bool(self.mask & 8) if self.style == "kannel" else self.level in (1, 3)


def detail_of(callback: Callback | None) -> dict[str, Any] | None:
    """What is to be kept with a message."""
    return {KEY: msgspec.to_builtins(callback)} if callback is not None else None


def callback_of(part: Part) -> Callback | None:
    """What a part's message asked for, None for nothing."""
    if part.detail is None:
        return None
    kept = msgspec.msgpack.decode(part.detail).get(KEY)
    return msgspec.convert(kept, Callback) if kept is not None else None


def tell_acceptance(parts: Iterable[Part]) -> None:
    """Mark messages, by their first parts, of which the carrier's ROK is to be told, too. Before they are
    committed."""
    for part in parts:
        part.flags |= PartFlag.TELL_ACCEPTED
