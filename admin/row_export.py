"""Rows that are no list, as CSV or XLSX: those of a dry run that are not written or not sent to, with their reasons."""

import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from litestar import Response
from litestar.response import Stream

from admin.list_export import (
    BYTE_ORDER_MARK,
    MEDIA_TYPES,
    PIECE_OCTETS,
    XlsxFile,
    attachment,
    csv_line,
    guarded,
)
from admin.view import View
from store import jobs

STEP_ROWS = 5_000
Cells = tuple[str | int, ...]
# (after, limit) -> (id, cells) of rows behind an id, by id.
Read = Callable[[int, int], list[tuple[int, Cells]]]


async def rows_as_file(view: View, name: str, target: str, heads: Sequence[str], read: Read) -> Response[Any]:
    """All rows in constant memory, as `?format=` wants them; who took them is written down."""
    form = "xlsx" if view.request.query_params.get("format") == "xlsx" else "csv"
    await view.console.off_loop(
        lambda: view.console.store.record(f"console:{view.me.login}", "export", target, address=view.address)
    )
    first = [view.t(one) for one in heads]
    pieces = _xlsx(view, name, first, read) if form == "xlsx" else _csv(view, first, read)
    headers = {"content-disposition": attachment(f"{name}.{form}")}
    return view.answer(Stream(pieces, status_code=200, media_type=MEDIA_TYPES[form], headers=headers))


async def _steps(view: View, read: Read) -> AsyncIterator[list[Cells]]:
    after = 0
    while rows := await view.console.off_loop(read, after, STEP_ROWS):
        after = rows[-1][0]
        yield [cells for _, cells in rows]


async def _csv(view: View, first: list[str], read: Read) -> AsyncIterator[bytes]:
    yield (BYTE_ORDER_MARK + csv_line(first)).encode()
    async for rows in _steps(view, read):
        yield "".join(
            csv_line(guarded(cell) if isinstance(cell, str) else cell for cell in cells) for cells in rows
        ).encode()


async def _xlsx(view: View, name: str, first: list[str], read: Read) -> AsyncIterator[bytes]:
    scratch = view.console.data / jobs.FOLDER
    await view.console.off_loop(lambda: scratch.mkdir(mode=0o700, exist_ok=True))
    with tempfile.TemporaryFile(dir=scratch) as file:
        book = await view.console.off_loop(XlsxFile, file, first, name, scratch)
        async for rows in _steps(view, read):
            await view.console.off_loop(book.add, rows)
        await view.console.off_loop(book.close)
        file.seek(0)
        while piece := await view.console.off_loop(file.read, PIECE_OCTETS):
            yield piece
