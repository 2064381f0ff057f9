"""Chinese and English. What the source says is English; `locale/zh.po` holds the Chinese, as people edit it."""

import gettext
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Literal

import polib

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = ("zh", "en")
HTML_LANGUAGE: Mapping[Language, str] = {"zh": "zh-CN", "en": "en"}
CATALOGUE = Path(__file__).parent / "locale" / "zh.po"


def N_(text: str) -> str:
    """Marks a text that is translated where it is shown."""
    return text


def load(language: Language) -> gettext.NullTranslations:
    """The translations of a language."""
    if language == "en":
        return gettext.NullTranslations()
    return gettext.GNUTranslations(BytesIO(polib.pofile(str(CATALOGUE)).to_binary()))


TRANSLATIONS: Mapping[Language, gettext.NullTranslations] = {one: load(one) for one in LANGUAGES}


def translate(language: Language, text: str, **values: object) -> str:
    """A text in a language, its %(names)s filled in."""
    found = TRANSLATIONS[language].gettext(text) if text else ""
    return found % values if values else found


def choose(wanted: str, accept: str) -> Language:
    """The language of a page: as the person set it, else the first that the browser asks for and we have."""
    if wanted in LANGUAGES:
        return wanted
    ranked = []
    for position, item in enumerate(accept.split(",")[:20]):
        name, _, weight = item.partition(";q=")
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            quality = 0.0
        ranked.append((-quality, position, name.strip().lower()[:2]))
    return next((name for _, _, name in sorted(ranked) if name in LANGUAGES), "zh")
