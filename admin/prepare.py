"""A process of its own that reads what people uploaded and judges every row: `python -m admin.prepare`.

It takes an `Order` as JSON on standard input and answers in lines of JSON: progress, then one last line. Memory and
CPU time are limited, so that the worst file costs this process and nothing else; the million rows of a large task
never enter the daemon. Judged rows go into the task's `rows.db` (`store/task_file.py`).
"""

import os
import resource
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from admin.import_rows import FIELDS, JUDGES
from admin.prepare_lines import AnyOrder, ImportOrder, Judged, Line, Order, Progress, Refused, Seen
from admin.tabular import CELL_CHARACTERS_MAX, ROWS_MAX, Choice, Unreadable, cells, look, rows_of
from filters.blacklist import Blacklists, Scope
from filters.numbers import Numbering, split_numbers
from filters.recipients import Recipients, RowClass
from store.address_book import numbers_of
from store.config_read import blacklists
from store.import_file import ROWS as IMPORT_ROWS
from store.import_file import ImportFile
from store.task_file import RESENT, ROWS, SOURCES, TYPED, UPLOAD, TaskFile
from store.tasks import Counted

MEMORY_OCTETS_MAX = 2 << 30
CPU_S_MAX = 300
NICENESS = 10
STEP_ROWS = 10_000  # between two lines of progress, and rows kept before they are written
ORIGINAL_CHARACTERS_MAX = 64
CELL_SHOWN_MAX = 100


def main() -> None:
    """The program."""
    _limit()
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=AnyOrder)
    try:
        if order.only_look:
            _say(_look(order))
        else:
            _say(_judge_import(order) if isinstance(order, ImportOrder) else _judge(order))
    except Unreadable as error:
        _say(Refused(error.code))
    except MemoryError:
        _say(Refused("too-large"))


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_OCTETS_MAX, MEMORY_OCTETS_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S_MAX, CPU_S_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(NICENESS)  # messages and pages come first


def _say(line: Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def _look(order: AnyOrder) -> Seen:
    given = order.input
    choice = Choice(given.encoding, given.sheet, given.header, given.delimiter)
    return Seen(look(Path(order.folder) / UPLOAD, choice, Numbering(order.home_country)))


def _judge(order: Order) -> Judged:
    folder = Path(order.folder)
    lists = Blacklists()
    config = sqlite3.connect(f"{Path(order.config).absolute().as_uri()}?mode=ro", uri=True)
    try:
        for scope, numbers in blacklists(config).items():
            if scope.kind != "group" or scope.key in order.group_chain:
                key = "" if scope.kind == "global" else scope.key
                lists.replace(Scope(scope.kind, key) if key else Scope(scope.kind), numbers)
        chosen = numbers_of(config, order.owner, order.input.contacts, order.input.groups)
    finally:
        config.close()
    recipients = Recipients(
        Numbering(order.home_country), lambda n: lists.check(n, order.group_chain, order.sms_type)
    )
    file = TaskFile.make(folder / ROWS)
    counts: Counter[tuple[str, str, str]] = Counter()
    valid: list[tuple[int, int, int]] = []
    blocked: list[tuple[int | None, int, int, str, int, str, str]] = []
    total = n = 0
    current = ""
    for source, line, text, share in _rows(order, folder, chosen):
        if source != current:
            recipients.begin(source)
            current = source
        row = recipients.judge(text)
        total += 1
        if total > ROWS_MAX:
            raise Unreadable("rows")
        counts[source, row.kind.value, row.reason] += 1
        if row.kind is RowClass.VALID:
            n += 1
            valid.append((n, row.number, SOURCES.index(source)))
        elif row.kind is not RowClass.BLANK:
            original = text[:ORIGINAL_CHARACTERS_MAX]
            blocked.append(
                (None, SOURCES.index(source), line, original, row.number, row.kind.value, row.reason)
            )
        if not total % STEP_ROWS:
            _write(file, valid, blocked)
            _say(Progress(total, share))
    _write(file, valid, blocked)
    file.finish()
    return Judged(total, n, [Counted(*key, count) for key, count in sorted(counts.items())])


def _judge_import(order: ImportOrder) -> Judged:
    """Every row of an import in one class; those to be written and the others go into its `rows.db`."""
    folder = Path(order.folder)
    seen = _look(order).look
    columns = {field: order.input.columns.get(field, -1) for field in FIELDS[order.kind]}
    bound = [column for column in columns.values() if column >= 0]
    file = ImportFile.make(folder / IMPORT_ROWS)
    counts: Counter[tuple[str, str, str]] = Counter()
    good: list[tuple[int, int, str]] = []
    bad: list[tuple[int, str, str, str]] = []
    total = n = 0
    config = sqlite3.connect(f"{Path(order.config).absolute().as_uri()}?mode=ro", uri=True)
    try:
        judge = JUDGES[order.kind](order, config)
        for line, row, share in rows_of(folder / UPLOAD, seen):
            total += 1
            if total > order.rows_max:
                raise Unreadable("rows-at-once")
            cells = {field: row[at] if 0 <= at < len(row) else "" for field, at in columns.items()}
            longest = max(map(len, cells.values()))
            if not any(map(str.strip, cells.values())):
                kind, reason, made = "blank", "", None
            elif longest > CELL_CHARACTERS_MAX:
                kind, reason, made = "invalid", "cell-long", None
            else:
                kind, reason, made = judge(cells)
            counts["file", kind, reason] += 1
            if made is not None:
                n += 1
                good.append((n, line, msgspec.json.encode(made).decode()))
            elif kind != "blank":
                original = " | ".join(row[at][:CELL_SHOWN_MAX] if at < len(row) else "" for at in bound)
                bad.append((line, original, kind, reason))
            if not total % STEP_ROWS:
                file.add(good, bad)
                good.clear()
                bad.clear()
                _say(Progress(total, share))
    finally:
        config.close()
    file.add(good, bad)
    file.finish()
    return Judged(total, n, [Counted(*key, count) for key, count in sorted(counts.items())])


def _write(
    file: TaskFile,
    valid: list[tuple[int, int, int]],
    blocked: list[tuple[int | None, int, int, str, int, str, str]],
) -> None:
    file.add_recipients(valid)
    file.add_blocked(blocked)
    valid.clear()
    blocked.clear()


def _rows(order: Order, folder: Path, chosen: list[int]) -> Iterator[tuple[str, int, str, float]]:
    """(source, line, what stands there, share done) of every row of every source."""
    if order.input.typed:
        typed = (folder / TYPED).read_text(encoding="utf-8")
        for line, text in enumerate(split_numbers(typed), 1):
            yield "typed", line, text, 0.0
    if order.input.file:
        seen = _look(order).look
        column = order.input.column if order.input.column >= 0 else seen.column
        for line, text, share in cells(folder / UPLOAD, seen, column):
            yield "file", line, text, share
    for line, number in enumerate(chosen, 1):
        yield "contacts", line, f"+{number}", 1.0
    if order.input.resent:
        with (folder / RESENT).open(encoding="ascii") as file:
            for line, text in enumerate(file, 1):
                yield "resent", line, "+" + text.strip(), 0.5


if __name__ == "__main__":
    main()
