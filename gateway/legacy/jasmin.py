"""Jasmin's HTTP API (/send, /rate, /balance, /ping) over the one door.

Texts, statuses and their order are Jasmin's; the true reason of a refusal is in `X-Gateway-Problem`. A message
is acknowledged once it is on disk, with its id as a UUID.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from filters.verdict import Reason
from gateway.accounts import AccountState
from gateway.api.build import sender
from gateway.api.door import Door, Submission
from gateway.api.invalid import Invalid
from gateway.http.messages import JSON, Answer, Headers, Later, Request, Response
from gateway.intake import VALIDITY_S_MAX
from gateway.legacy import ids
from gateway.legacy import jasmin_fields as fields
from gateway.legacy.callback import URL_OCTETS_MAX, Callback, detail_of, tell_acceptance
from gateway.legacy.credentials import Credentials
from gateway.legacy.jasmin_fields import Arguments, Wrong, plain
from gateway.legacy.refusals import REPLACED, jasmin_refusal, problem_header, told
from gateway.legacy.wire import RECEIPT, Wanted, gsm_octets, submit
from gateway.smpp.pdu import SubmitSm
from gateway.smpp.times import format_relative
from store.model import Changes, Part

if TYPE_CHECKING:
    from gateway.core import Core

TEXT = b"text/plain"
PONG = b"Jasmin/PONG"


class Outcome(msgspec.Struct):
    """What came of one message: Jasmin's status and text without its frame."""

    status: int
    text: str
    headers: Headers = []


class Ready(msgspec.Struct):
    """One message that may go to the door."""

    submit: SubmitSm
    callback: Callback | None
    replaced: int


class _Form(msgspec.Struct, frozen=True):
    """What a path takes."""

    complete: Callable[[Arguments], None]
    known: fields.Known
    content_needed: bool


_SEND = _Form(fields.complete_send, fields.SEND, True)
_RATE = _Form(fields.complete_rate, fields.RATE, False)


class Jasmin:
    def __init__(self, core: "Core", door: Door, credentials: Credentials) -> None:
        self._core = core
        self._door = door
        self._credentials = credentials

    # -- the routes -------------------------------------------------------------------------------

    def send(self, request: Request) -> Answer | Awaitable[Answer]:
        """GET and POST /send."""
        return self.send_as(request, framed)

    def send_as(
        self,
        request: Request,
        frame: Callable[[Outcome], Response],
        given: Arguments | None = None,
    ) -> Answer | Awaitable[Answer]:
        """/send with its answer in a frame of the caller's."""
        return self._asked(
            request, given, frame, _SEND, lambda account, ready: self._submit(account, ready, frame)
        )

    def rate(self, request: Request) -> Answer | Awaitable[Answer]:
        """GET /rate."""
        return self.rate_as(request, as_json)

    def rate_as(
        self,
        request: Request,
        frame: Callable[[Outcome], Response],
        given: Arguments | None = None,
    ) -> Answer | Awaitable[Answer]:
        """/rate: the parts that a message would be, under the same judgement, without sending it."""
        return self._asked(
            request, given, frame, _RATE, lambda account, ready: frame(self._rated(account, ready))
        )

    def _asked(
        self,
        request: Request,
        given: Arguments | None,
        frame: Callable[[Outcome], Response],
        form: _Form,
        go_on: Callable[[AccountState, Ready], Answer],
    ) -> Answer | Awaitable[Answer]:
        """A message read from its arguments; what is wrong with them is told before who asks."""
        try:
            if given is None:
                given = fields.arguments(request)
            form.complete(given)
            fields.validate(given, form.known)
            fields.one_content(given, needed=form.content_needed)
            ready = self.ready(given)
        except Wrong as wrong:
            return frame(outcome_of(wrong))
        except Invalid as wrong:
            return frame(Outcome(400, sender_text(given or {}), told(wrong.code, wrong.detail)))
        return self._authorised(request, given, lambda account: go_on(account, ready), frame)

    def balance(self, request: Request) -> Answer | Awaitable[Answer]:
        """GET /balance."""
        return self.balance_as(request, as_json)

    def balance_as(
        self,
        request: Request,
        frame: Callable[[Outcome], Response],
        given: Arguments | None = None,
    ) -> Answer | Awaitable[Answer]:
        """/balance: the parts that are left are Jasmin's sms_count; there is no money here."""
        try:
            if given is None:
                given = fields.arguments(request)
            fields.validate(given, fields.BALANCE)
        except Wrong as wrong:
            return frame(outcome_of(wrong))

        def answer(account: AccountState) -> Response:
            left = self._core.quota.balances[account.user.id].available
            return frame(Outcome(200, f'{{"balance": "ND", "sms_count": {left}}}'))

        return self._authorised(request, given, answer, frame)

    def ping(self, request: Request) -> Response:
        """GET /ping."""
        return Response(200, PONG, b"text/html")

    # -- who it is --------------------------------------------------------------------------------

    def _authorised(
        self,
        request: Request,
        given: Arguments,
        go_on: Callable[[AccountState], Answer],
        frame: Callable[[Outcome], Response],
    ) -> Answer | Awaitable[Answer]:
        name, password = plain(given[b"username"]), plain(given[b"password"])
        account = self._credentials.recall(name, password, request.peer)
        if account is None:
            return frame(stranger(name))
        if account is not False:
            return go_on(account)

        async def verified() -> Answer:
            account = await self._credentials.verify(name, password, request.peer)
            return frame(stranger(name)) if account is None else go_on(account)

        return verified()

    # -- messages ---------------------------------------------------------------------------------

    def ready(self, given: Arguments) -> Ready:
        """A message of validated arguments. Raises Wrong, Invalid."""
        data_coding = int(plain(given[b"coding"]))
        replaced = 0
        if b"hex-content" in given:
            octets = fields.unhex(plain(given[b"hex-content"]))
        elif data_coding == 0:
            try:
                octets, replaced = gsm_octets(plain(given[b"content"]).decode())
            except UnicodeDecodeError as error:
                raise Wrong(500, f"Unknown error: {error}".encode()) from None
        else:
            octets = plain(given[b"content"])
        callback = callback_of(given)
        source = plain(given.get(b"from")).decode("utf-8", "replace")
        minutes = given.get(b"validity-period")
        validity = b""
        if minutes is not None:
            validity = format_relative(min(int(plain(minutes)[:12]) * 60, VALIDITY_S_MAX))
        wanted = Wanted(
            source=sender(source),
            octets=octets,
            data_coding=data_coding,
            priority=int(plain(given.get(b"priority")) or b"0"),
            schedule=plain(given.get(b"sdt")),
            validity=validity,
            registered_delivery=RECEIPT if given.get(b"dlr") == b"yes" else 0,
            tlvs=fields.tlvs_of(given.get(b"custom_tlvs")),
        )
        return Ready(submit(wanted, plain(given[b"to"]).decode()), callback, replaced)

    def _submit(
        self, account: AccountState, ready: Ready, frame: Callable[[Outcome], Response]
    ) -> Response | Later:
        core = self._core
        now = core.clock.now()
        if account.bucket.rate and not account.bucket.take(1, now):
            account.count_refused(Reason.RATE_EXCEEDED)
            return frame(refused(Reason.RATE_EXCEEDED, account))
        if self._door.full:
            return frame(refused(Reason.DISK_FULL, account))
        later = Later()
        self.put(account, [ready], lambda outcomes: later.resolve(frame(outcomes[0])))
        return later

    def put(
        self, account: AccountState, some: Sequence[Ready], done: Callable[[list[Outcome]], None]
    ) -> None:
        """Messages through the door; `done` is called with what came of each."""
        details = [detail_of(ready.callback) for ready in some]

        def answered(results: Sequence[int], firsts: Sequence[Part]) -> None:
            done(
                [
                    accepted(result, ready) if result > 0 else refused(-result, account)
                    for result, ready in zip(results, some, strict=True)
                ]
            )

        def mark(results: Sequence[int], firsts: Sequence[Part]) -> None:
            taken = [ready for result, ready in zip(results, some, strict=True) if result > 0]
            tell_acceptance(
                [
                    part
                    for part, ready in zip(firsts, taken, strict=True)
                    if ready.callback is not None and ready.callback.wants_acceptance
                ]
            )

        self._door.submit(
            Submission(
                account,
                [ready.submit for ready in some],
                details if any(details) else None,
                answered,
                self._core.clock.now(),
                mark if any(details) else None,
            )
        )

    def _rated(self, account: AccountState, ready: Ready) -> Outcome:
        core = self._core
        changes = Changes()
        result = core.intake.accept_batch(account, [ready.submit], core.clock.wall_ms(), changes)[0]
        core.intake.give_back(changes)
        if result < 0:
            return refused(-result, account)
        return Outcome(200, f'{{"unit_rate": 0.0, "submit_sm_count": {changes.parts[0].parts}}}')


def callback_of(given: Arguments) -> Callback | None:
    """Where reports go; nothing without a URL, as with Jasmin."""
    url = plain(given.get(b"dlr-url"))
    if given.get(b"dlr") != b"yes" or not url:
        return None
    if len(url) > URL_OCTETS_MAX:
        raise Wrong(400, b"Argument [dlr-url] has an invalid value: [%b]." % url)
    return Callback(
        style="jasmin",
        url=url.decode("utf-8", "replace"),
        level=int(plain(given[b"dlr-level"])),
        method=plain(given[b"dlr-method"]).decode(),
    )


# -- answers --------------------------------------------------------------------------------------


def accepted(message_id: int, ready: Ready) -> Outcome:
    """A message that is on disk."""
    headers: Headers = [(REPLACED, b"%d" % ready.replaced)] if ready.replaced else []
    return Outcome(200, ids.show(message_id), headers)


def refused(reason: int, account: AccountState) -> Outcome:
    """A message that the door did not take."""
    status, text = jasmin_refusal(reason, account.account.system_id)
    return Outcome(status, text, problem_header([reason]))


def outcome_of(wrong: Wrong) -> Outcome:
    return Outcome(wrong.status, wrong.text.decode("utf-8", "surrogateescape"))


def stranger(name: bytes) -> Outcome:
    """No such account, another password, not active, or not from this address: nobody learns which."""
    shown = name.decode("utf-8", "replace")
    detail = "Use system_id and password of an account that is active and may be used from here."
    return Outcome(403, f"Authentication failure for username:{shown}", told("unauthorized", detail))


def sender_text(given: Arguments) -> str:
    user = plain(given.get(b"username")).decode("utf-8", "replace")
    return f"Value filter failed for user [{user}] (source_address filter mismatch)."


def framed(outcome: Outcome) -> Response:
    """As /send answers."""
    word = "Success" if outcome.status == 200 else "Error"
    return Response(outcome.status, octets(f'{word} "{outcome.text}"'), TEXT, outcome.headers)


def as_json(outcome: Outcome) -> Response:
    """As /rate and /balance answer: errors are JSON strings."""
    body = outcome.text if outcome.status == 200 else json_text(outcome.text)
    return Response(outcome.status, octets(body), JSON, outcome.headers)


def octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def json_text(value: Any) -> str:
    """JSON as Python writes it: a space behind colons and commas, everything beyond ASCII escaped."""
    return json.dumps(value)
