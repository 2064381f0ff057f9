"""Files of people as rows of text: CSV, TSV, TXT in whatever encoding, and workbooks.

Only for a process of its own (`admin/prepare.py`): a hostile workbook can take any memory, and abort the process.
What a file is, its content decides, never its name.
"""

import codecs
import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
from python_calamine import CalamineError, CalamineWorkbook

from admin.prepare_lines import Look
from filters.cells import cell_text
from filters.numbers import NotANumber, Numbering

FILE_OCTETS_MAX = 20 * 1024 * 1024
ROWS_MAX = 1_000_000
UNPACKED_OCTETS_MAX = 512 * 1024 * 1024  # of a workbook's members together
COLUMNS_MAX = 200
MEMBERS_MAX = 1_000  # files inside a workbook
RATIO_MAX = 200  # unpacked to packed; honest sheets have 5 to 30
CELLS_MAX = 50_000_000  # of a sheet, as it says of itself: they are kept in a dense table
HEAD_OCTETS = 4_096
SAMPLE_OCTETS = 262_144
SAMPLE_ROWS = 200
TELL_ROWS = 1_000  # between looks at how far the file is read
CELL_CHARACTERS_MAX = 4_096
ENCODINGS = ("utf-8", "gb18030", "big5", "utf-16")
DELIMITERS = ",\t;|"
PHONE_NAMES = (
    "手机",
    "手机号",
    "手机号码",
    "电话",
    "电话号码",
    "号码",
    "mobile",
    "phone",
    "msisdn",
    "number",
    "tel",
)
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


class Unreadable(Exception):
    """A file that is none of ours; `code` says why, which `sending.JOB_ERRORS` says in words."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Choice(msgspec.Struct, frozen=True):
    """How somebody wants the file read; empty is as detected."""

    encoding: str = ""
    sheet: str = ""
    header: bool | None = None
    delimiter: str = ""


def look(path: Path, choice: Choice, numbering: Numbering) -> Look:
    """Detect everything about a file that is not chosen. Raises Unreadable."""
    with path.open("rb") as file:
        head = file.read(SAMPLE_OCTETS)
    if not head.strip(b"\x00 \r\n\t\xef\xbb\xbf"):
        raise Unreadable("empty")
    sheets: tuple[str, ...] = ()
    encoding = delimiter = sheet = ""
    if head.startswith((_ZIP, _OLE)):
        kind = "workbook"
        book = _workbook(path)
        sheets = tuple(book.sheet_names)
        sheet = choice.sheet if choice.sheet in sheets else _first_filled(book)
        rows = list(_first(_sheet_rows(book, sheet), SAMPLE_ROWS))
    else:
        kind = "text"
        wide = choice.encoding == "utf-16" or head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        if b"\0" in head and not wide:
            raise Unreadable("binary")
        encoding = choice.encoding if choice.encoding in ENCODINGS else encoding_of(head)
        text = _decoded(head, encoding)
        delimiter = delimiter_of(text)
        if choice.delimiter:
            delimiter = choice.delimiter if choice.delimiter in tuple(DELIMITERS) else ""
        rows = list(_first(_split_lines(text.splitlines(), delimiter), SAMPLE_ROWS))
    if not rows:
        raise Unreadable("empty")
    is_number = [[_is_number(cell, numbering) for cell in row] for row in rows]
    header = choice.header if choice.header is not None else not any(is_number[0])
    body, body_is = (rows[1:], is_number[1:]) if header else (rows, is_number)
    width = max(len(row) for row in rows)
    first = rows[0] if header else ()
    names = tuple((first[n].strip() if n < len(first) else "") or letter(n) for n in range(width))
    shares = tuple(
        100 * sum(n < len(row) and row[n] for row in body_is) // max(len(body_is), 1) for n in range(width)
    )
    return Look(
        kind, encoding, delimiter, sheets, sheet, header, names, shares, _phone_column(names, shares),
        tuple(tuple(cell[:80] for cell in row) for row in body[:5]),
    )  # fmt: skip


def cells(path: Path, seen: Look, column: int) -> Iterator[tuple[int, str, float]]:
    """(line, the cell of one column, share of the file that is read) of every row behind the header.

    Raises Unreadable.
    """
    for line, row, share in rows_of(path, seen):
        yield line, row[column] if column < len(row) else "", share


def rows_of(path: Path, seen: Look) -> Iterator[tuple[int, list[str], float]]:
    """(line, its cells, share of the file that is read) of every row behind the header. Raises Unreadable."""
    octets = path.stat().st_size
    if seen.format == "workbook":
        book = _workbook(path)
        rows = _sheet_rows(book, seen.sheet)
        total = max(book.get_sheet_by_name(seen.sheet).height, 1)
        for line, row in enumerate(rows, 1):
            if line > 1 or not seen.header:
                yield line, row, line / total
        return
    line, share = 0, 0.0
    try:
        with path.open("rb") as raw, io.TextIOWrapper(raw, _codec(seen.encoding), newline="") as file:
            lines = _text_lines(file)
            reader = (
                csv.reader(lines, delimiter=seen.delimiter)
                if seen.delimiter
                else ([one.rstrip("\r\n")] for one in lines)
            )
            for row in reader:
                line += 1
                if not line % TELL_ROWS:
                    share = raw.tell() / octets
                if line > 1 or not seen.header:
                    yield line, row, share
    except UnicodeDecodeError:
        raise Unreadable("encoding") from None
    except csv.Error:
        raise Unreadable("damaged") from None


def encoding_of(head: bytes) -> str:
    """Byte order mark, then UTF-8, then GB18030, then Big5: the first that fits. Raises Unreadable."""
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding
    for encoding in ("utf-8", "gb18030", "big5"):
        try:
            codecs.getincrementaldecoder(encoding)().decode(head)
        except UnicodeDecodeError:
            continue
        return encoding
    raise Unreadable("encoding")


def delimiter_of(text: str) -> str:
    """What separates the cells of the first lines: the sign that all have alike, "" for one column."""
    lines = [line for line in text.splitlines()[:20] if line.strip()]
    if len(lines) > 1 and len(text) >= SAMPLE_OCTETS // 4:
        lines = lines[:-1] or lines
    counted = {one: [line.count(one) for line in lines] for one in DELIMITERS}
    fitting = [one for one, counts in counted.items() if counts and min(counts) > 0]
    if fitting:
        return max(fitting, key=lambda one: (min(counted[one]) == max(counted[one]), min(counted[one])))
    best = max(DELIMITERS, key=lambda one: sum(count > 0 for count in counted[one]))
    return best if lines and sum(count > 0 for count in counted[best]) > len(lines) // 2 else ""


def letter(column: int) -> str:
    """A, B, … Z, AA, as spreadsheets name columns."""
    name = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(65 + rest) + name
    return name


def _decoded(head: bytes, encoding: str) -> str:
    try:
        return codecs.getincrementaldecoder(_codec(encoding))().decode(head)
    except UnicodeDecodeError:
        raise Unreadable("encoding") from None


def _codec(encoding: str) -> str:
    return "utf-8-sig" if encoding == "utf-8" else encoding


def _text_lines(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if "\0" in line:
            raise Unreadable("binary")
        yield line


def _split_lines(lines: Sequence[str], delimiter: str) -> Iterator[list[str]]:
    if not delimiter:
        yield from ([line] for line in lines)
        return
    try:
        yield from csv.reader(_text_lines(lines), delimiter=delimiter)
    except csv.Error:
        raise Unreadable("damaged") from None


def _first(rows: Iterator[list[str]], count: int) -> Iterator[list[str]]:
    for row in rows:
        if len(row) > COLUMNS_MAX:
            raise Unreadable("columns")
        if any(cell.strip() for cell in row):
            yield [cell[:CELL_CHARACTERS_MAX] for cell in row]
            count -= 1
            if not count:
                return


def _workbook(path: Path) -> CalamineWorkbook:
    if zipfile.is_zipfile(path):
        _refuse_bombs(path)
    try:
        return CalamineWorkbook.from_path(str(path))
    except (CalamineError, OSError, ValueError):
        raise Unreadable("damaged") from None


_DIMENSION = re.compile(rb'<dimension ref="[A-Z]+\d+:([A-Z]{1,3})(\d{1,7})"')


def _refuse_bombs(path: Path) -> None:
    """What a workbook says of itself must fit. The limits of the process hold against those that lie."""
    try:
        with zipfile.ZipFile(path) as packed:
            members = packed.infolist()
            unpacked = sum(member.file_size for member in members)
            if (
                len(members) > MEMBERS_MAX
                or unpacked > UNPACKED_OCTETS_MAX
                or any(m.file_size > max(m.compress_size, 10_240) * RATIO_MAX for m in members)
            ):
                raise Unreadable("too-large")
            for member in members:
                if member.filename.startswith("xl/worksheets/") and member.filename.endswith(".xml"):
                    with packed.open(member) as file:
                        found = _DIMENSION.search(file.read(HEAD_OCTETS))
                    if found and _column(found[1]) * int(found[2]) > CELLS_MAX:
                        raise Unreadable("too-large")
    except (zipfile.BadZipFile, RuntimeError, OSError, zlib.error):
        raise Unreadable("damaged") from None


def _column(letters: bytes) -> int:
    number = 0
    for one in letters:
        number = number * 26 + one - 64
    return number


def _first_filled(book: CalamineWorkbook) -> str:
    for name in book.sheet_names:
        if book.get_sheet_by_name(name).height:
            return name
    raise Unreadable("empty")


def _sheet_rows(book: CalamineWorkbook, name: str) -> Iterator[list[str]]:
    try:
        sheet = book.get_sheet_by_name(name)
        if sheet.height > ROWS_MAX + 1:
            raise Unreadable("rows")
        for row in sheet.iter_rows():
            yield [str(cell) if isinstance(cell, timedelta) else cell_text(cell) for cell in row]
    except CalamineError:
        raise Unreadable("damaged") from None


def _is_number(cell: str, numbering: Numbering) -> bool:
    number = numbering.canonical_text(cell)
    # Shorter ones are prices, ages and years more often than numbers.
    return not isinstance(number, NotANumber) and number >= 10_000_000


def _phone_column(names: Sequence[str], shares: Sequence[int]) -> int:
    for wanted in PHONE_NAMES:
        for n, name in enumerate(names):
            if name.casefold() == wanted and shares[n]:
                return n
    return max(range(len(shares)), key=lambda n: shares[n])
