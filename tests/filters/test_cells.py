"""Spreadsheet cells as the text that the person saw."""

from datetime import date, datetime, time

import pytest

from filters.cells import Cell, cell_text
from filters.numbers import NotANumber, Numbering


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (13800138000.0, "13800138000"),
        (100.0, "100"),
        (-3.0, "-3"),
        (0.5, "0.5"),
        (1234.56, "1234.56"),
        (42, "42"),
        ("00123", "00123"),
        (" text ", " text "),
        (None, ""),
        (True, "TRUE"),
        (False, "FALSE"),
        (date(2026, 11, 22), "2026-11-22"),
        (datetime(2026, 11, 22, 9, 30, 5), "2026-11-22 09:30:05"),  # noqa: DTZ001 - cells know no time zone
        (time(9, 30), "09:30:00"),
    ],
)
def test_a_cell_shows_what_the_person_saw(cell: Cell, text: str) -> None:
    assert cell_text(cell) == text


def test_dates_follow_the_format_that_is_asked_for() -> None:
    assert cell_text(date(2026, 11, 2), date_format="%d.%m.%Y") == "02.11.2026"
    assert cell_text(datetime(2026, 11, 2, 8), datetime_format="%H:%M") == "08:00"  # noqa: DTZ001


def test_a_number_too_large_to_be_exact_is_no_telephone_number() -> None:
    china = Numbering("86")
    assert china.canonical_text(cell_text(1.38e20)) is NotANumber.SCIENTIFIC
    assert china.canonical_text(cell_text(13800138000.0)) == 8613800138000
    assert china.canonical_text(cell_text(float("nan"))) is NotANumber.LETTERS
    assert china.canonical_text(cell_text(float("inf"))) is NotANumber.LETTERS
