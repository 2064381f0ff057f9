"""Bodies that cannot be taken, as values that become problem+json with a pointer to the field."""

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.http.messages import Request, Response
from gateway.http.problems import FieldError, problem


class Invalid(Exception):
    """One field that is wrong: RFC 6901 pointer relative to the message, stable code, sentence."""

    def __init__(self, pointer: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer
        self.code = code
        self.detail = detail

    def field(self, prefix: str = "") -> FieldError:
        return FieldError(prefix + self.pointer, self.code, self.detail)


class Malformed(Exception):
    """Octets that are no JSON at all."""


_AT = " - at `"  # behind it the place, whose steps are names of ours: the last one, as a client's name may hold more
_PLACE = re.compile(r"(?:key in )?\$(.*)`")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)


_NAMES = re.compile(rb'(?<!\\)"(\w+)"\s*:')
_ESCAPED_NAME = re.compile(rb'\\[^"\\]*"\s*:')  # "t\u006f" is "to", too


def decode(
    decoder: "msgspec.json.Decoder[Any]", body: bytes, *, alike: Callable[[Any], int] | None = None
) -> Any:
    """The value of a body.

    Args:
      alike: how many objects of one kind the value has, where it has several; each may have a field once.

    Raises:
      Malformed: it is no JSON, or no UTF-8.
      Invalid: a field is unknown, missing, of another type, or there twice.
    """
    try:
        value = decoder.decode(body)
        # Which of two values of one name counts differs from reader to reader: one that screens a message before
        # us could see another number. 1.6 us a message; the slow look only where a name is seen again.
        names = _NAMES.findall(body)
        again = len(names) != len(set(names))
        if again and alike is not None:
            again = max(Counter(names).values()) > alike(value)
        if again or (b"\\" in body and _ESCAPED_NAME.search(body)):
            _refuse_repeated(body)
        return value
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except UnicodeDecodeError:
        raise Malformed("The body is not UTF-8. Encode it as UTF-8.") from None
    except msgspec.DecodeError as error:
        raise Malformed(f"The body is not valid JSON: {error}.") from None
    except RecursionError:
        raise Malformed("The body is nested too deeply.") from None


def escaped(name: str) -> str:
    """A name within an RFC 6901 pointer."""
    return name.replace("~", "~0").replace("/", "~1")


class _Object(dict[str, Any]):
    """A JSON object that remembers which name it had twice."""

    repeated = ""

    @classmethod
    def of(cls, pairs: list[tuple[str, Any]]) -> "_Object":
        made = cls(pairs)
        if len(made) != len(pairs):
            made.repeated = next(name for name, count in Counter(n for n, _ in pairs).items() if count > 1)
        return made


def _refuse_repeated(body: bytes) -> None:
    """Raise Invalid for the first object that has a name twice."""
    looking: list[tuple[str, Any]] = [("", json.loads(body, object_pairs_hook=_Object.of))]
    while looking:
        pointer, value = looking.pop()
        if isinstance(value, _Object):
            if value.repeated:
                name = escaped(value.repeated[:60])
                raise Invalid(f"{pointer}/{name}", "repeated", "This field is there twice. Give it once.")
            looking += [(f"{pointer}/{escaped(name)}", one) for name, one in value.items()]
        elif isinstance(value, list):
            looking += [(f"{pointer}/{index}", one) for index, one in enumerate(value)]


def _invalid(text: str) -> Invalid:
    said, _, behind = text.rpartition(_AT)
    place = _PLACE.fullmatch(behind) if said else None
    pointer = ""
    if place:
        text = said
        for name, index in _STEP.findall(place.group(1)):
            pointer += "/" + (index or escaped(name))
    if unknown := _UNKNOWN.match(text):
        name = unknown.group(1)[:60]
        return Invalid(
            f"{pointer}/{escaped(name)}", "unknown-field", f'There is no field "{name}" here. Remove it.'
        )
    if missing := _MISSING.match(text):
        return Invalid(f"{pointer}/{missing.group(1)}", "missing", "This field is required.")
    return Invalid(pointer, "type", f"{text.replace('`', '')}.")


def refuse(error: Invalid | Malformed, request: Request) -> Response:
    """400 for what is no JSON, 422 with a pointer for a field."""
    if isinstance(error, Malformed):
        return problem("invalid-request", str(error), request)
    where = f" (at {error.pointer})" if error.pointer else ""
    return problem("validation", f"{error.detail}{where}", request, errors=[error.field()])
