"""Query strings: decoded once, strict, with the same kind of errors as bodies."""

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import parse_qsl

from gateway.api import ids
from gateway.api.invalid import Invalid
from gateway.api.times import milliseconds
from gateway.http.messages import Request
from store.ids import SECOND_BITS

CURSOR = "cur"
NEWEST = (1 << 63) - 1
PARAMETERS_MAX = 20
LIMIT_DIGITS_MAX = 9


class Parameters:
    """The query of one request. Raises Invalid for what it does not know."""

    def __init__(self, request: Request, known: Sequence[str]) -> None:
        try:
            pairs = parse_qsl(
                request.query.decode("ascii"),
                keep_blank_values=True,
                max_num_fields=PARAMETERS_MAX,
                errors="strict",
            )
        except ValueError:
            raise Invalid("", "bad-query", "The query string cannot be read. Encode it as UTF-8.") from None
        self._values: dict[str, str] = {}
        for name, value in pairs:
            if name not in known:
                raise Invalid(
                    f"?{name[:40]}",
                    "unknown-parameter",
                    f"There is no such parameter. Use {', '.join(known)}.",
                )
            if name in self._values:
                raise Invalid(f"?{name}", "repeated", "This parameter was given twice.")
            self._values[name] = value

    def text(self, name: str) -> str:
        """A parameter's value, "" when it is not there."""
        return self._values.get(name, "")

    def limit(self, *, default: int = 50, most: int = 1000) -> int:
        value = self._values.get("limit")
        if value is None:
            return default
        digits = value.isascii() and value.isdigit() and len(value) <= LIMIT_DIGITS_MAX
        if not (digits and 1 <= int(value) <= most):
            raise Invalid("?limit", "range", f"limit is a whole number from 1 to {most}.")
        return int(value)

    def cursor(self) -> int:
        """The id before which the page begins."""
        value = self._values.get("cursor")
        if value is None:
            return NEWEST
        number = ids.read(CURSOR, value)
        if not number:
            raise Invalid("?cursor", "bad-cursor", "Take the cursor from `next` of the page before.")
        return number

    def since(self) -> int:
        """The lowest id that was born since then."""
        value = self._values.get("since")
        if value is None:
            return 0
        try:
            # A + that was not percent-encoded arrives as a space.
            moment = datetime.fromisoformat(value.replace(" ", "+"))
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise Invalid(
                "?since", "bad-time", "Write the time as RFC 3339 with offset: 2026-11-22T00:00:00Z."
            )
        return min(max(0, milliseconds(moment) // 1000) << SECOND_BITS, NEWEST)


def next_cursor(before: int) -> str:
    """The cursor of the page that goes on below this id."""
    return ids.show(CURSOR, before)
