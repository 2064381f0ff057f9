"""Forms as typed values: a struct says which fields there are, so a field that it does not name does nothing."""

import types
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec

from admin.cleaning import clean
from admin.i18n import N_

Form = Mapping[str, Sequence[str]]
Value = TypeVar("Value", bound=msgspec.Struct)

REQUIRED = N_("Fill this in.")
WHOLE_NUMBER = N_("Give a whole number.")
TOO_LONG = N_("This is too long.")
NOT_OFFERED = N_("Choose one of those offered.")


def parse(form: Form, struct: type[Value]) -> tuple[Value | None, dict[str, str]]:
    """(the value, {}) or (None, what is wrong by field). Checkboxes that are not sent are False."""
    found: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for field in msgspec.structs.fields(struct):
        sent = form.get(field.encode_name)
        kind = _plain(field.type)
        if kind is bool:
            found[field.name] = bool(sent and sent[0])
            continue
        if get_origin(kind) is tuple:
            values: Any = [clean(one) for one in sent or () if clean(one)]
        else:
            values = clean(sent[0], lines=_is_long(field.type)) if sent else ""
        if values == "" and kind is not str:
            if field.required and not _admits(field.type, ""):
                errors[field.name] = REQUIRED
                continue
            if not field.required and not _admits(field.type, ""):
                continue
        if kind is int and isinstance(values, str):
            values = unicodedata.normalize("NFKC", values).replace(",", "").replace(" ", "")
        try:
            found[field.name] = msgspec.convert(values, field.type, strict=False)
        except msgspec.ValidationError as error:
            errors[field.name] = _why(str(error), kind, values)
    return (None, errors) if errors else (struct(**found), {})


def values_of(form: Form) -> dict[str, str]:
    """What was sent, to be shown again beside what is wrong with it. Passwords are not."""
    return {name: values[0] for name, values in form.items() if values and "password" not in name}


def _plain(kind: Any) -> Any:
    while hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(one for one in get_args(kind) if one is not type(None))
    return kind


def _is_long(kind: Any) -> bool:
    for meta in getattr(kind, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.extra and meta.extra.get("lines"):
            return True
    return False


def _admits(kind: Any, value: object) -> bool:
    try:
        msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        return False
    return True


def _why(text: str, kind: Any, value: object) -> str:
    if value == "":
        return REQUIRED
    if "length <=" in text:
        return TOO_LONG
    if kind is int:
        return WHOLE_NUMBER
    return NOT_OFFERED
