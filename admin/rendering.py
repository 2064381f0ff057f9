"""Templates: one Jinja environment a language, autoescape always on, an undefined name is an error.

A page is a struct that names its template; a template sees that struct as `page` and the `View` as `view`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from admin.i18n import HTML_LANGUAGE, LANGUAGES, TRANSLATIONS, Language
from admin.statics import static_path

TEMPLATES = Path(__file__).parent / "templates"
ZONE_DEFAULT = "Asia/Shanghai"


class Page(msgspec.Struct, kw_only=True):
    """What a template is given. `title` is translated already."""

    template: ClassVar[str]
    title: str
    topics: tuple[str, ...] = ()  # that move while the page is open (`admin/live.py`)
    keys: tuple[
        tuple[str, str], ...
    ] = ()  # (key, what it does, marked) of this page alone (`static/keys.js`)


def zone_of(name: str) -> ZoneInfo:
    """A time zone by name; the default for one that does not exist."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo(ZONE_DEFAULT)


def format_time(at_ms: int, zone: str) -> str:
    """UTC milliseconds as date and time in a zone; "" for 0."""
    if not at_ms:
        return ""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone_of(zone))
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def format_offset(at_ms: int, zone: str) -> str:
    """The offset of that moment in that zone: `UTC+08:00`."""
    offset = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone_of(zone)).utcoffset() or timedelta()
    minutes = int(offset.total_seconds() // 60)
    return f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def format_stamp(at_ms: int, zone: str) -> str:
    """A moment to the millisecond with its offset: `2026-11-23 12:00:00.123 UTC+08:00`."""
    return f"{format_time(at_ms, zone)}.{at_ms % 1000:03d} {format_offset(at_ms, zone)}"


def format_number(value: float) -> str:
    """With thousands separators, the same in both languages."""
    return f"{value:,}"


def describe(detail: str) -> str:
    """What an audit row says, as a line: old → new where it has both."""
    said = msgspec.json.decode(detail)
    shown = []
    for key, value in said.items():
        pairs = value if key == "fields" else [[key, *value]] if _is_change(value) else [[key, value]]
        for name, *values in pairs:
            shown.append(f"{name}: {' → '.join(_plain(one) for one in values)}")
    return " · ".join(shown)


def _is_change(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and not any(isinstance(v, list | dict) for v in value)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value or "—"
    return format_number(value) if type(value) is int else msgspec.json.encode(value).decode()


@pass_context
def _time(context: Context, at_ms: int) -> str:
    return format_time(at_ms, context["view"].zone)


@pass_context
def _offset(context: Context, at_ms: int) -> str:
    return format_offset(at_ms, context["view"].zone)


@pass_context
def _stamp(context: Context, at_ms: int) -> str:
    return format_stamp(at_ms, context["view"].zone)


def _environment(language: Language) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(TRANSLATIONS[language], newstyle=True)  # type: ignore[attr-defined]
    environment.filters.update(
        numbered=lambda names: list(enumerate(names)), paired=lambda names: [(one, one) for one in names]
    )
    environment.filters.update(
        number=format_number, describe=describe, time=_time, offset=_offset, stamp=_stamp
    )
    environment.globals.update(static=static_path, html_language=HTML_LANGUAGE[language])
    return environment


ENVIRONMENTS: Mapping[Language, Environment] = {language: _environment(language) for language in LANGUAGES}


def render(language: Language, template: str, **values: Any) -> str:
    """A template as HTML."""
    return ENVIRONMENTS[language].get_template(template).render(**values)
