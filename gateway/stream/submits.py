"""Submits of a stream through the one door: those of one reading together, answered each by its ref."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
import trio

from filters.verdict import Reason
from gateway.api import ids, sandbox
from gateway.api.build import recipe, submit
from gateway.api.door import Door, Submission
from gateway.api.invalid import Invalid, refuse
from gateway.api.keys import Identity
from gateway.api.limits import owe_further, take, too_fast
from gateway.api.messages import Messages, queue_full, refused
from gateway.api.shapes import MessageAccepted
from gateway.http.messages import Later, Request, Response, all_resolved
from gateway.http.problems import problem
from gateway.smpp.pdu import SubmitSm
from gateway.stream.shapes import AckOp, SubmitOp
from store.api_db import ApiChanges
from store.model import Part

if TYPE_CHECKING:
    from gateway.core import Core

log = structlog.get_logger("stream")

# What the way of POST /v1/messages judges: it needs the store, or what the account has declared.
_ODD_FIELDS = ("template", "vars", "dedupe", "callback_url")
_encode = msgspec.json.Encoder().encode
_read_accepted = msgspec.json.Decoder(MessageAccepted).decode


class Submits:
    """The submits of one stream.

    Args:
      answer: writes an encoded ack or nack.
    """

    def __init__(
        self,
        core: "Core",
        door: Door,
        messages: Messages,
        request: Request,
        answer: Callable[[bytes], None],
    ) -> None:
        self._core = core
        self._door = door
        self._messages = messages
        self._request = request
        self._answer = answer
        self.unanswered = 0
        self.settled = trio.Event()  # set and replaced whenever some were answered

    def take(self, ops: Sequence[SubmitOp], identity: Identity, nursery: trio.Nursery) -> None:
        """Build, judge, store; each is answered by its ref: refusals at once, the others once durable."""
        began = self._core.clock.now()
        refs: list[str] = []
        submits: list[SubmitSm] = []
        details: list[dict[str, Any] | None] = []
        account = identity.account
        for op in ops:
            if op.idempotency_key is not None or any(getattr(op, name) is not None for name in _ODD_FIELDS):
                self.unanswered += 1
                nursery.start_soon(self._as_request, op, identity)
                continue
            refusal = self._refusal(op, identity, began)
            if refusal is not None:
                self.refuse(op.ref, refusal)
                continue
            try:
                made = recipe(op, self._core.clock.wall_ms(), account.account.sms_type)
                submits.append(submit(made, op.to))
            except Invalid as error:
                self.refuse(op.ref, refuse(error, self._request))
                continue
            refs.append(op.ref)
            details.append(made.detail)
        if submits:
            self._submit(refs, submits, details, identity, began)

    def _refusal(self, op: SubmitOp, identity: Identity, now: float) -> Response | None:
        """What POST would refuse before it builds."""
        if self._door.full:
            return queue_full(self._request)
        if identity.key.test and (reason := sandbox.refusal(op.to)):
            return refused(self._request, reason)
        if identity.limited and not take(identity, 1, now):
            identity.account.count_refused(Reason.RATE_EXCEEDED)
            return too_fast(self._request, identity, 1, now)
        return None

    def _submit(
        self,
        refs: Sequence[str],
        submits: Sequence[SubmitSm],
        details: Sequence[dict[str, Any] | None],
        identity: Identity,
        began: float,
    ) -> None:
        self.unanswered += len(refs)
        named = any(detail is not None and "ref" in detail for detail in details)

        def done(results: Sequence[int], firsts: Sequence[Part]) -> None:
            if identity.bucket.rate:
                further = sum(part.parts - 1 for part in firsts)
                owe_further(identity, further, self._core.clock.now())
            accepted = iter(firsts)
            for ref, result in zip(refs, results, strict=True):
                if result > 0:
                    part = next(accepted)
                    self._answer(_encode(AckOp(ref, ids.show(ids.MESSAGE, part.id), part.parts)))
                else:
                    self.refuse(ref, refused(self._request, -result))
            self._settle(len(refs))

        def before(results: Sequence[int], firsts: Sequence[Part]) -> ApiChanges:
            rows = ApiChanges()
            for detail, result in zip(details, results, strict=True):
                if result > 0 and detail is not None and "ref" in detail:
                    rows.references.append((identity.account.id, detail["ref"], result))
            return rows

        self._door.submit(
            Submission(
                identity.account,
                submits,
                details if any(detail is not None for detail in details) else None,
                done,
                began,
                before if named else None,
                identity.key.test,
            )
        )

    async def _as_request(self, op: SubmitOp, identity: Identity) -> None:
        """One with an idempotency key (or a template) goes the way of POST /v1/messages, which knows them."""
        headers = {}
        if op.idempotency_key is not None:
            headers[b"idempotency-key"] = op.idempotency_key.encode()
        body = {name: value for name, value in msgspec.to_builtins(op).items() if value is not None}
        for name in ("op", "ref", "idempotency_key"):
            body.pop(name, None)
        request = msgspec.structs.replace(
            self._request,
            method="POST",
            target=b"/v1/messages",
            path=b"/v1/messages",
            query=b"",
            headers=headers,
            body=_encode(body),
            upgrade=False,
            context=identity,
        )
        try:
            response = await self._response(self._messages.post(request))
        except Exception:
            log.exception("a submit failed", request=repr(request))
            response = problem(
                "internal", "Something broke here; the log has the cause under this request id.", request
            )
        if response.status == 202:
            accepted = _read_accepted(response.body)
            replayed = any(name == b"idempotency-replayed" for name, _ in response.headers)
            self._answer(_encode(AckOp(op.ref, accepted.id, accepted.parts, replayed)))
        else:
            self.refuse(op.ref, response)
        self._settle(1)

    @staticmethod
    async def _response(answer: Response | Later | Awaitable[Response]) -> Response:
        if isinstance(answer, Response):
            return answer
        if isinstance(answer, Later):
            await all_resolved([answer])
            assert answer.response is not None
            return answer.response
        return await answer

    def refuse(self, ref: str, response: Response) -> None:
        """A nack with the problem of a response."""
        self._answer(b'{"op":"nack","ref":%b,"problem":%b}' % (_encode(ref), response.body))

    def refuse_all(self, ops: Sequence[SubmitOp], code: str, detail: str) -> None:
        for op in ops:
            self.refuse(op.ref, problem(code, detail, self._request))

    def _settle(self, count: int) -> None:
        self.unanswered -= count
        self.settled.set()
        self.settled = trio.Event()
