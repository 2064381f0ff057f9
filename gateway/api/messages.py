"""POST /v1/messages, /v1/estimate: one message in JSON."""

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from filters.verdict import Reason
from gateway.api import ids, sandbox
from gateway.api.build import Recipe, encoding_name, needs_reference, recipe, submit
from gateway.api.dedupe import Dedupe
from gateway.api.door import Door, Submission
from gateway.api.idempotency import Claim, Idempotency
from gateway.api.invalid import Invalid, Malformed, decode, refuse
from gateway.api.keys import Identity
from gateway.api.limits import owe_further, rate_headers, take, too_fast
from gateway.api.refusals import problem_of
from gateway.api.shapes import Estimate, MessageAccepted, MessageIn
from gateway.api.templates import fill
from gateway.api.times import show_time
from gateway.http.messages import Headers, Later, Request, Response
from gateway.http.problems import FieldError, problem
from gateway.smpp.pdu import SubmitSm
from gateway.smpp.text import forcing_characters
from gateway.webhooks.callbacks import callback_check
from store.api_db import ApiChanges
from store.model import Changes, Part, PartFlag, State

if TYPE_CHECKING:
    from gateway.core import Core

RETRY_FULL: Headers = [(b"retry-after", b"1")]
RETRY_REFUSED: Headers = [(b"retry-after", b"30")]
FORCING_SHOWN = 10
_decoder = msgspec.json.Decoder(MessageIn)
_encode = msgspec.json.Encoder().encode


def is_json(request: Request) -> bool:
    """Whether the body says that it is JSON (a missing Content-Type is taken as JSON)."""
    kind = request.headers.get(b"content-type", b"application/json")
    return kind == b"application/json" or kind.partition(b";")[0].strip().lower() == b"application/json"


def not_json(request: Request, also: str = "") -> Response:
    return problem("unsupported-media-type", f"Send Content-Type: application/json{also}.", request)


class Messages:
    def __init__(self, core: "Core", door: Door, idempotency: Idempotency, dedupe: Dedupe) -> None:
        self._core = core
        self._door = door
        self._idempotency = idempotency
        self._dedupe = dedupe

    def post(self, request: Request) -> Response | Later | Awaitable[Response]:
        """202 once the message is durable; requests that arrive together share the commit."""
        began = self._core.clock.now()
        identity: Identity = request.context
        try:
            message, made, one = self._read(request, identity)
        except (Invalid, Malformed) as error:
            return refuse(error, request)
        except _NotJson:
            return not_json(request)
        account = identity.account
        if self._door.full:
            return queue_full(request)
        if identity.key.test and (reason := sandbox.refusal(message.to)):
            return refused(request, reason)
        if identity.limited and not take(identity, 1, began):
            account.count_refused(Reason.RATE_EXCEEDED)
            return too_fast(request, identity, 1, began)
        if b"idempotency-key" not in request.headers:
            return self._begin(request, made, one, began, None)
        return self._idempotency.once(
            request, lambda claim: self._begin(request, made, one, began, claim), self._rebuild
        )

    def _begin(
        self, request: Request, made: Recipe, one: SubmitSm, began: float, claim: Claim | None
    ) -> Later | Awaitable[Response]:
        if not made.dedupe:
            return self._submit(request, made, one, began, claim)
        assert made.detail is not None
        return self._dedupe.first(
            request, made.detail["ref"], lambda: self._submit(request, made, one, began, claim)
        )

    async def _rebuild(self, request: Request, subject: int) -> Response | None:
        """The answer of a message that is stored although its answer was not."""
        parts = await self._core.message_parts(subject)
        if not parts:
            return None
        part = parts[0]
        detail = msgspec.msgpack.decode(part.detail) if part.detail else None
        return self.accepted(part, request.context, detail)

    def _read(self, request: Request, identity: Identity) -> tuple[MessageIn, Recipe, SubmitSm]:
        if not is_json(request):
            raise _NotJson
        message: MessageIn = decode(_decoder, request.body)
        if message.template is not None or message.vars is not None:
            fill(self._core.directory, identity.account, message)
        account = identity.account
        check = callback_check(self._core, account.id)
        made = recipe(message, self._core.clock.wall_ms(), account.account.sms_type, check)
        if made.dedupe and not message.client_ref:
            raise needs_reference()
        return message, made, submit(made, message.to)

    def _submit(
        self, request: Request, made: Recipe, one: SubmitSm, began: float, claim: Claim | None
    ) -> Later:
        later = Later()
        identity: Identity = request.context
        detail = made.detail
        ref = detail.get("ref") if detail is not None else None

        def done(results: Sequence[int], firsts: Sequence[Part]) -> None:
            if firsts:
                if identity.bucket.rate:
                    owe_further(identity, firsts[0].parts - 1, self._core.clock.now())
                later.resolve(self.accepted(firsts[0], identity, detail))
            else:
                later.resolve(refused(request, -results[0]))

        def before(results: Sequence[int], firsts: Sequence[Part]) -> ApiChanges | None:
            if not firsts:
                return None
            rows = claim.changes(results[0]) if claim is not None else ApiChanges()
            if ref is not None:
                rows.references.append((identity.account.id, ref, results[0]))
            return rows

        self._door.submit(
            Submission(
                identity.account,
                (one,),
                None if detail is None else (detail,),
                done,
                began,
                None if claim is None and ref is None else before,
                identity.key.test,
            )
        )
        return later

    def accepted(self, part: Part, identity: Identity, detail: dict[str, Any] | None) -> Response:
        """The 202 of an accepted message, from its first part."""
        shown = ids.show(ids.MESSAGE, part.id)
        body = MessageAccepted(
            shown,
            "scheduled" if part.state == State.SCHEDULED else "accepted",
            str(part.dest),
            part.parts,
            encoding_name(part.data_coding),  # type: ignore[arg-type]
            show_time(part.accepted_at),
            bool(part.flags & PartFlag.MASKED),
            detail.get("ref", "") if detail else "",
            identity.key.test,
        )
        headers = [(b"location", b"/v1/messages/" + shown.encode())]
        if identity.limited:
            headers += rate_headers(identity, self._core.clock.now())
        return Response(202, _encode(body), headers=headers)

    def estimate(self, request: Request) -> Response:
        """The same judgement as a real message gets, up to but not including the store."""
        identity: Identity = request.context
        account, core = identity.account, self._core
        if identity.limited and not take(identity, 1, core.clock.now()):
            return too_fast(request, identity, 1, core.clock.now())
        try:
            message, made, one = self._read(request, identity)
        except (Invalid, Malformed) as error:
            return refuse(error, request)
        except _NotJson:
            return not_json(request)
        changes = Changes()
        result = core.intake.accept_batch(account, [one], core.clock.wall_ms(), changes)[0]
        core.intake.give_back(changes)
        text = message.text or ""
        assert made.body is not None
        estimate = Estimate(
            accepted=result > 0,
            parts=0,
            encoding=encoding_name(made.body.data_coding),  # type: ignore[arg-type]
            characters=len(text),
            to=message.to,
            forces_ucs2=[f"U+{ord(c):04X}" for _, c in forcing_characters(text, FORCING_SHOWN)],
        )
        if result > 0:
            part = changes.parts[0]
            estimate.parts = part.parts
            estimate.to = str(part.dest)
            estimate.masked = bool(part.flags & PartFlag.MASKED)
            estimate.encoding = encoding_name(part.data_coding)  # type: ignore[assignment]
        else:
            _, _, estimate.code, estimate.detail = problem_of(-result)
        return Response(200, _encode(estimate))


class _NotJson(Exception):
    pass


def queue_full(request: Request) -> Response:
    """503: more messages wait for the disk than memory should hold (P12)."""
    return problem(
        "queue-full",
        "Too many messages wait for the disk. Try again in a moment.",
        request,
        headers=RETRY_FULL,
    )


def refused(request: Request, reason: int) -> Response:
    """The problem for a message that the one door did not take."""
    kind, pointer, code, detail = problem_of(reason)
    errors = [FieldError(pointer, code, detail)] if pointer else []
    headers = RETRY_REFUSED if kind in ("queue-full", "no-route", "rate-limited") else None
    return problem(kind, detail, request, errors=errors, headers=headers)
