"""What the console and the process that reads uploads say to each other: lines of JSON (`admin/prepare.py`)."""

import msgspec

from store.imports import ImportInput
from store.tasks import Counted, Input


class Look(msgspec.Struct, frozen=True):
    """What a file is. `shares` are of cells that are numbers, by column, in percent."""

    format: str
    encoding: str
    delimiter: str
    sheets: tuple[str, ...]
    sheet: str
    header: bool
    names: tuple[str, ...]
    shares: tuple[int, ...]
    column: int
    sample: tuple[tuple[str, ...], ...]


class Order(msgspec.Struct, frozen=True, tag="task"):
    """What to do: look at the upload of a task, or judge all its rows."""

    folder: str
    config: str  # path of config.db
    owner: int
    group_chain: tuple[int, ...]  # the owner's group and those above, nearest first
    sms_type: str
    home_country: str
    input: Input
    only_look: bool = False


class ImportOrder(msgspec.Struct, frozen=True, tag="import"):
    """The same for an import. What the one who asks may do is decided where they ask, and stands here."""

    folder: str
    config: str
    kind: str  # of `import_rows.JUDGES`
    owner: int
    groups: tuple[int, ...]  # that may be written to
    own_group: int
    is_system: bool
    home_country: str
    zone: str
    now_ms: int
    options: dict[str, str]
    input: ImportInput
    rows_max: int
    only_look: bool = False


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """How far it is: rows so far, and the share of everything, 0 to 1."""

    rows: int
    share: float


class Judged(msgspec.Struct, frozen=True, tag="judged"):
    """All rows are judged."""

    total: int
    valid: int
    counts: list[Counted]


class Seen(msgspec.Struct, frozen=True, tag="seen"):
    """What the upload is."""

    look: Look


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """It cannot be read; a code of `Unreadable`."""

    code: str


AnyOrder = Order | ImportOrder
Line = Progress | Judged | Seen | Refused
