"""Jasmin's REST wrapper (/secure/…): JSON around what its HTTP API answers, with HTTP Basic authentication.

Its oddities are kept, since clients parse around them: the quotation mark at the end of an answer is cut off
(`{"data": "Success \\"…"}`), and names may have underscores for dashes.
"""

import base64
import json
import re
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import trio

from filters.verdict import Reason
from gateway.accounts import AccountState
from gateway.api.invalid import Invalid
from gateway.api.limits import WAIT_S_MAX
from gateway.http.messages import JSON, Answer, Headers, Request, Response
from gateway.http.routes import Route
from gateway.legacy import jasmin_fields as fields
from gateway.legacy.credentials import Credentials
from gateway.legacy.forms import fields_of
from gateway.legacy.jasmin import (
    PONG,
    Jasmin,
    Outcome,
    Ready,
    framed,
    json_text,
    outcome_of,
    refused,
    sender_text,
)
from gateway.legacy.jasmin_fields import Arguments, Wrong
from gateway.legacy.refusals import told
from gateway.smpp.times import format_relative

if TYPE_CHECKING:
    from gateway.core import Core

HELP = "http://docs.jasminsms.com/en/latest/apis/rest/index.html"
CHUNK = 1_000  # messages of a batch in one pass through the door
_SECONDS = re.compile(r"^(\d{1,9})s$")
# (account, URL, what is told): GETs of callback_url and errback_url.
TellOnce = Callable[[int, str, dict[str, str]], None]


class _Refused(Exception):
    def __init__(self, response: Response) -> None:
        self.response = response


class JasminRest:
    """Args of its constructor:
    tell_once: tells somebody's URL what came of a message of a batch.
    """

    def __init__(self, core: "Core", jasmin: Jasmin, credentials: Credentials, tell_once: TellOnce) -> None:
        self._core = core
        self._jasmin = jasmin
        self._credentials = credentials
        self._tell_once = tell_once

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/ping", self._ping),
            Route("GET", "/secure/balance", self._balance),
            Route("GET", "/secure/rate", self._rate),
            Route("POST", "/secure/send", self._send),
            Route("POST", "/secure/sendbatch", self._batch),
        ]

    # -- one message ------------------------------------------------------------------------------

    def _ping(self, request: Request) -> Response:
        return wrapped(Outcome(200, PONG.decode()))

    def _balance(self, request: Request) -> Answer | Awaitable[Answer]:
        try:
            return self._jasmin.balance_as(request, as_object, basic(request))
        except _Refused as refusal:
            return refusal.response

    def _rate(self, request: Request) -> Answer | Awaitable[Answer]:
        try:
            user = basic(request)
        except _Refused as refusal:
            return refusal.response
        given: Arguments = {}
        for name, value in fields_of(request):
            given.setdefault(name, value)
        return self._jasmin.rate_as(request, as_object, dashed({**given, **user}))

    def _send(self, request: Request) -> Answer | Awaitable[Answer]:
        try:
            user, body = basic(request), json_of(request)
            given = fields.as_arguments(body)
            return self._jasmin.send_as(request, as_data, dashed({**given, **user}))
        except _Refused as refusal:
            return refusal.response

    # -- a batch ----------------------------------------------------------------------------------

    async def _batch(self, request: Request) -> Response:
        try:
            user = basic(request)
            account = await self._account(user, request)
            body = json_of(request)
            config = body.get("batch_config") or {}
            delay_s = self._delay(config.get("schedule_at") if isinstance(config, dict) else None)
            messages = messages_of(body, user)
        except _Refused as refusal:
            return refusal.response
        batch_id = str(uuid.UUID(bytes=self._core.ports.random("batches").randbytes(16), version=4))
        if delay_s:
            at = format_relative(delay_s)
            for message in messages:
                message.setdefault(b"sdt", at)
        for start in range(0, len(messages), CHUNK):
            await self._chunk(account, batch_id, config, messages[start : start + CHUNK])
        data: dict[str, Any] = {"batchId": batch_id, "messageCount": len(messages)}
        if delay_s:
            data["scheduled"] = f"{delay_s}s"
        return Response(200, json_text({"data": data}).encode(), JSON)

    async def _account(self, user: Arguments, request: Request) -> AccountState:
        name, password = fields.plain(user[b"username"]), fields.plain(user[b"password"])
        account = self._credentials.recall(name, password, request.peer)
        if account is False:
            account = await self._credentials.verify(name, password, request.peer)
        if not account:
            shown = name.decode("utf-8", "replace")
            raise _Refused(falcon(412, "Authentication failed", f"Authentication failed for user: {shown}"))
        return account

    def _delay(self, schedule_at: Any) -> float:
        """Seconds until a batch is to be sent. Raises _Refused."""
        if schedule_at is None:
            return 0
        try:
            at = datetime.strptime(str(schedule_at), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        except ValueError:
            seconds = _SECONDS.match(str(schedule_at))
            if seconds is None:
                raise _Refused(
                    falcon(
                        412,
                        "Cannot parse scheduled_at value",
                        f"Got unknown format: {schedule_at}, correct formats are 'YYYY-MM-DD mm:hh:ss' or number"
                        " of seconds, c.f. http://docs.jasminsms.com/en/latest/apis/rest",
                    )
                ) from None
            return int(seconds.group(1))
        delay_s = at.timestamp() - self._core.clock.wall_ms() / 1000
        if delay_s < 0:
            raise _Refused(
                falcon(
                    412,
                    "Cannot schedule batch in past date",
                    f"Invalid past date given: {at:%Y-%m-%d %H:%M:%S}",
                )
            )
        return delay_s

    async def _chunk(
        self, account: AccountState, batch_id: str, config: dict[str, Any], some: list[Arguments]
    ) -> None:
        ready: list[Ready] = []
        to: list[str] = []
        for given in some:
            number = fields.plain(given.get(b"to")).decode("utf-8", "replace")
            try:
                fields.complete_send(given)
                fields.validate(given, fields.SEND)
                fields.one_content(given, needed=True)
                ready.append(self._jasmin.ready(given))
                to.append(number)
            except Wrong as wrong:
                self._tell(account, batch_id, config, number, outcome_of(wrong))
            except Invalid as wrong:
                outcome = Outcome(400, sender_text(given), told(wrong.code, wrong.detail))
                self._tell(account, batch_id, config, number, outcome)
        taken = await self._wait_for_rate(account, len(ready))
        for number in to[taken:]:
            account.count_refused(Reason.RATE_EXCEEDED)
            self._tell(account, batch_id, config, number, refused(Reason.RATE_EXCEEDED, account))
        if taken:
            stored = trio.Event()
            outcomes: list[Outcome] = []

            def done(found: list[Outcome]) -> None:
                outcomes.extend(found)
                stored.set()

            self._jasmin.put(account, ready[:taken], done)
            await stored.wait()
            for number, outcome in zip(to, outcomes, strict=False):
                self._tell(account, batch_id, config, number, outcome)

    def _tell(
        self, account: AccountState, batch_id: str, config: dict[str, Any], to: str, outcome: Outcome
    ) -> None:
        text = framed(outcome).body.decode("utf-8", "replace")
        taken = outcome.status == 200
        url = config.get("callback_url" if taken else "errback_url") if isinstance(config, dict) else None
        if url:
            said = text if taken else "HTTPAPI error: " + text.strip('"')
            told_of = {"batchId": batch_id, "to": to, "status": str(int(taken)), "statusText": said}
            self._tell_once(account.id, str(url), told_of)

    async def _wait_for_rate(self, account: AccountState, wanted: int) -> int:
        """How many may go, after waiting a little for the account's rate."""
        bucket, clock = account.bucket, self._core.clock
        if not bucket.rate:
            return wanted
        taken = bucket.take(wanted, clock.now())
        until = clock.now() + WAIT_S_MAX
        while taken < wanted and clock.now() < until:
            await trio.sleep(max(0.01, bucket.wait_s(1, clock.now())))
            taken += bucket.take(wanted - taken, clock.now())
        return taken


def messages_of(body: dict[str, Any], user: Arguments) -> list[Arguments]:
    """The messages of a batch, one for each number. Those without a number or text are left out. Raises _Refused."""
    common, entries = body.get("globals") or {}, body.get("messages") or []
    if not isinstance(common, dict) or not isinstance(entries, list):
        raise _Refused(falcon(412, "Cannot parse JSON data", "globals is an object, messages a list"))
    found: list[Arguments] = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise _Refused(falcon(412, "Cannot parse JSON data", "each of messages is an object"))
        given = dashed({**user, **fields.as_arguments(common), **fields.as_arguments(entry)})
        given.update(user)
        if b"to" not in given or (b"content" not in given and b"hex-content" not in given):
            continue
        numbers = given[b"to"]
        found += [
            {**given, b"to": number.encode() if isinstance(number, str) else number}
            for number in (numbers if isinstance(numbers, list) else [numbers])
        ]
    return found


def basic(request: Request) -> Arguments:
    """Username and password of HTTP Basic authentication, as arguments. Raises _Refused."""
    value = request.headers.get(b"authorization")
    if value is None:
        raise _Refused(unauthorised("Authentication required"))
    words = value.split(b" ")
    if len(words) != 2:
        raise _Refused(unauthorised("Invalid token"))
    try:
        user, colon, password = base64.b64decode(words[1], validate=True).decode().partition(":")
        if not colon:
            raise ValueError("there is no colon")
    except ValueError:
        raise _Refused(unauthorised("Invalid token")) from None
    return {b"username": user.encode(), b"password": password.encode()}


def json_of(request: Request) -> dict[str, Any]:
    """The JSON object of a body. Raises _Refused."""
    try:
        value = json.loads(request.body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _Refused(falcon(412, "Cannot parse JSON data", "Got unparseable json data"))
    return value


def dashed(given: Arguments) -> Arguments:
    """Names with dashes for underscores, but for custom_tlvs."""
    return {
        name if name == b"custom_tlvs" else name.replace(b"_", b"-"): value for name, value in given.items()
    }


# -- answers --------------------------------------------------------------------------------------


def wrapped(outcome: Outcome, text: str | None = None) -> Response:
    """`{"data": …}` or `{"message": …}`, without quotation marks at the ends of the text."""
    text = (outcome.text if text is None else text).strip('"')
    name = "data" if outcome.status == 200 else "message"
    body: Any = {name: json.loads(text) if name == "data" and "{" in text else text}
    return Response(outcome.status, json_text(body).encode(), JSON, outcome.headers)


def as_data(outcome: Outcome) -> Response:
    """What /send says, wrapped."""
    return wrapped(outcome, framed(outcome).body.decode("utf-8", "replace"))


def as_object(outcome: Outcome) -> Response:
    """What /rate and /balance say, wrapped."""
    return wrapped(outcome)


def unauthorised(title: str) -> Response:
    description = "Please provide a valid Basic auth token"
    link = {"text": "Documentation related to this error", "href": HELP, "rel": "help"}
    return falcon(401, title, description, link=link, headers=[(b"www-authenticate", b"Basic")])


def falcon(
    status: int, title: str, description: str, *, headers: Headers | None = None, **more: Any
) -> Response:
    """An error of the wrapper itself, in the form of the framework that it was made with."""
    body = {"title": title, "description": description, **more}
    return Response(status, json_text(body).encode(), JSON, headers or [])
