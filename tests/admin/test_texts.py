"""The Chinese is whole, and says the same values as the English."""

import re

import polib
import pytest

from admin.i18n import CATALOGUE, choose
from tests.admin.texts import marked

PO = {entry.msgid: entry.msgstr for entry in polib.pofile(str(CATALOGUE))}


def test_every_marked_text_is_translated() -> None:
    missing = {text: where for text, where in marked().items() if not PO.get(text)}
    assert not missing
    assert len(marked()) > 300


def test_no_translation_is_left_over() -> None:
    assert not PO.keys() - marked().keys()


@pytest.mark.parametrize("text", [text for text in PO if "%(" in text])
def test_a_translation_has_the_values_of_its_text(text: str) -> None:
    values = re.compile(r"%\((\w+)\)s")
    assert sorted(values.findall(text)) == sorted(values.findall(PO[text]))


@pytest.mark.parametrize(
    ("wanted", "accept", "language"),
    [
        ("en", "zh-CN", "en"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("", "en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("", "fr,en;q=0.2,zh;q=0.4", "zh"),
        ("", "fr", "zh"),
        ("", "", "zh"),
        ("klingon", "en;q=x", "en"),
    ],
)
def test_the_language_is_the_one_wanted_or_the_first_that_we_have(
    wanted: str, accept: str, language: str
) -> None:
    assert choose(wanted, accept) == language
