"""REQUIREMENTS.md names only tests that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_proves_a_requirement_exists() -> None:
    text = (ROOT / "admin" / "REQUIREMENTS.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+(?:\.py)?)/?(?:::(\w+))?`", text)
    assert len(named) > 30
    for file, test in named:
        path = ROOT / file
        assert path.exists(), file
        assert not test or f"def {test}(" in path.read_text(encoding="utf-8"), test


def test_nothing_is_done_without_a_proof() -> None:
    text = (ROOT / "admin" / "REQUIREMENTS.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if re.match(r"\| [RS]\d", line)]
    assert len(rows) > 30
    assert not [row[0] for row in rows if row[2].startswith("done") and "tests/" not in row[3]]
