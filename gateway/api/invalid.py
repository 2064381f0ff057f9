"""Bodies that cannot be taken, as values that become problem+json with a pointer to the field."""

import re
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


def decode(decoder: "msgspec.json.Decoder[Any]", body: bytes) -> Any:
    """The value of a body.

    Raises:
      Malformed: it is no JSON, or no UTF-8.
      Invalid: a field is unknown, missing, or of another type.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except UnicodeDecodeError:
        raise Malformed("The body is not UTF-8. Encode it as UTF-8.") from None
    except msgspec.DecodeError as error:
        raise Malformed(f"The body is not valid JSON: {error}.") from None
    except RecursionError:
        raise Malformed("The body is nested too deeply.") from None


def _invalid(text: str) -> Invalid:
    said, _, behind = text.rpartition(_AT)
    place = _PLACE.fullmatch(behind) if said else None
    pointer = ""
    if place:
        text = said
        for name, index in _STEP.findall(place.group(1)):
            pointer += "/" + (index or name.replace("~", "~0").replace("/", "~1"))
    if unknown := _UNKNOWN.match(text):
        name = unknown.group(1)[:60]
        return Invalid(f"{pointer}/{name}", "unknown-field", f'There is no field "{name}" here. Remove it.')
    if missing := _MISSING.match(text):
        return Invalid(f"{pointer}/{missing.group(1)}", "missing", "This field is required.")
    return Invalid(pointer, "type", f"{text.replace('`', '')}.")


def refuse(error: Invalid | Malformed, request: Request) -> Response:
    """400 for what is no JSON, 422 with a pointer for a field."""
    if isinstance(error, Malformed):
        return problem("invalid-request", str(error), request)
    where = f" (at {error.pointer})" if error.pointer else ""
    return problem("validation", f"{error.detail}{where}", request, errors=[error.field()])
