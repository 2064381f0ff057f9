"""The table of cases in README.md names tests that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
ROWS = re.findall(
    r"^\| (\d+) \| (.+?) \| (.+?) \|$", (TESTS / "smpp" / "README.md").read_text("utf-8"), re.MULTILINE
)
DEFINED = {
    name
    for path in TESTS.rglob("test_*.py")
    for name in re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
}


def test_every_case_has_one_row_with_a_holder() -> None:
    assert [int(number) for number, _, _ in ROWS] == list(range(1, 169))
    assert all(situation.strip() and holder.strip() for _, situation, holder in ROWS)


def test_every_test_that_the_table_names_exists() -> None:
    named = {name for _, _, holder in ROWS for name in re.findall(r"`(test_\w+)`", holder)}
    assert len(named) > 50
    assert named - DEFINED == set()
