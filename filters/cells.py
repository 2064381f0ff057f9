"""Cells of a spreadsheet as the text that the person saw, as far as the cell still knows it.

A telephone number in a numeric cell arrives as the float 13800138000.0, a date as a date, an empty cell as None.
"""

from datetime import date, datetime, time

Cell = str | int | float | bool | date | time | None  # a datetime is a date

# Integers up to here are exact in a float (2**53); beyond it digits were lost already.
_FLOAT_INTEGER_MAX = 2**53


def cell_text(
    cell: Cell, *, date_format: str = "%Y-%m-%d", datetime_format: str = "%Y-%m-%d %H:%M:%S"
) -> str:
    """The text of a cell.

    Whole floats lose their `.0`; those too large to be exact come out in scientific notation, which is no
    number (`numbers.NotANumber.SCIENTIFIC`) rather than a wrong one. Text stays as it is, leading zeros too.
    """
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        if cell.is_integer() and abs(cell) <= _FLOAT_INTEGER_MAX:
            return str(int(cell))
        return f"{cell:e}" if cell.is_integer() else repr(cell)
    if isinstance(cell, datetime):
        return cell.strftime(datetime_format)
    if isinstance(cell, date):
        return cell.strftime(date_format)
    return str(cell)
