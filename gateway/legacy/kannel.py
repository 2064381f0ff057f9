"""`/cgi-bin/sendsms` as Kannel's smsbox answers it, over the one door.

Texts and their order are Kannel's, octet for octet; the true reason of a refusal is in `X-Gateway-Problem`.
A message is acknowledged once it is on disk.
"""

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from filters.verdict import Reason
from gateway.accounts import AccountState
from gateway.api.build import sender
from gateway.api.door import Door, Submission
from gateway.api.invalid import Invalid
from gateway.http.messages import Answer, Headers, Later, Request, Response
from gateway.legacy import kannel_fields
from gateway.legacy.callback import URL_OCTETS_MAX, Callback, detail_of, tell_acceptance
from gateway.legacy.credentials import Credentials
from gateway.legacy.forms import FORM, content_type, fields_of
from gateway.legacy.kannel_fields import GSM, UCS2, Fault, Sendsms
from gateway.legacy.kannel_xml import from_xml
from gateway.legacy.refusals import (
    DENIED,
    LISTED,
    NOT_ROUTABLE,
    REPLACED,
    TRY_LATER,
    kannel_refusal,
    problem_header,
    told,
)
from gateway.legacy.wire import (
    INTERMEDIATE,
    RECEIPT,
    Wanted,
    decode_charset,
    gsm_octets,
    submit,
)
from gateway.settings import KannelSettings
from gateway.smpp.text import encode_text
from gateway.smpp.times import format_absolute
from store.model import Part

if TYPE_CHECKING:
    from gateway.core import Core

HTML = b"text/html"
NO_CACHE: Headers = [(b"pragma", b"no-cache"), (b"cache-control", b"no-cache")]
RECEIVERS_MAX = 1_000  # of one request: a URL of 8 KiB names some 600
MINUTE_MS = 60_000
MINUTES_MAX = 30 * 24 * 60  # as far as the gateway keeps or schedules anything
MASK_ACCEPTED, MASK_ON_THE_WAY = 0x08, 0x24
_BODY_IS_TEXT = frozenset({b"text/plain", b"application/octet-stream"})
_BODY_IS_NEVER = frozenset({b"text/html", b"text/vnd.wap.wml"})
XML = b"text/xml"


def answer(status: int, text: str, headers: Headers | None = None) -> Response:
    """An answer in smsbox's form."""
    return Response(status, text.encode("latin-1", "replace"), HTML, [*NO_CACHE, *(headers or [])])


def unknown_request() -> Response:
    """What smsbox says of a path that is not there."""
    return answer(404, "Unknown request.")


class Kannel:
    def __init__(self, core: "Core", door: Door, credentials: Credentials, settings: KannelSettings) -> None:
        self._core = core
        self._door = door
        self._credentials = credentials
        self._settings = settings

    def sendsms(self, request: Request) -> Answer | Awaitable[Answer]:
        """GET, or POST in any of its forms."""
        kind, charset = content_type(request)
        if request.method == "GET" or kind == FORM or (not kind and not request.body):
            asked = kannel_fields.from_query(fields_of(request))
            missing = "Missing receiver number, rejected"
        elif kind == XML:
            asked = from_xml(request.body)
            if asked.coding is None:
                asked.coding = GSM
            missing = "Missing receiver(s) number(s), rejected"
        else:
            if kind and kind not in _BODY_IS_TEXT and kind not in _BODY_IS_NEVER:
                return answer(400, "Invalid content-type")
            asked = kannel_fields.from_headers(request)
            # RFC 2616 section 3.7.1: text without a charset is Latin-1. Kannel still holds to it here.
            asked.charset = charset or ("ISO-8859-1" if kind.startswith(b"text") else "")
            if asked.coding is None and kind not in _BODY_IS_NEVER:
                asked.coding = GSM if kind == b"text/plain" else kannel_fields.OCTETS
            missing = "Missing receiver(s) number(s), rejected"
        asked_of = (asked.username, asked.password)
        if None in asked_of:
            return self._stranger()
        account = self._credentials.recall(asked.username or b"", asked.password or b"", request.peer)
        if account is False:
            return self._verified(asked, request, missing, kind)
        return self._known(account, asked, missing, kind)

    async def _verified(self, asked: Sendsms, request: Request, missing: str, kind: bytes) -> Answer:
        name, password = asked.username or b"", asked.password or b""
        return self._known(await self._credentials.verify(name, password, request.peer), asked, missing, kind)

    def _stranger(self) -> Response:
        detail = "Send username and password of an account that is active and may be used from here."
        return answer(403, "Authorization failed for sendsms", told("unauthorized", detail))

    def _known(self, account: AccountState | None, asked: Sendsms, missing: str, kind: bytes) -> Answer:
        if account is None:
            return self._stranger()
        if asked.to is None:
            return answer(400, missing)
        if not asked.to:
            return answer(400, "Empty receiver number not allowed, rejected")
        if kind in _BODY_IS_NEVER:
            return answer(415, "Unsupported content-type, rejected")
        try:
            return self._submit(account, asked)
        except Fault as fault:
            return answer(400, str(fault))
        except Invalid as wrong:
            return answer(*NOT_ROUTABLE, told(wrong.code, wrong.detail))

    # -- into the door ----------------------------------------------------------------------------

    def _submit(self, account: AccountState, asked: Sendsms) -> Answer:
        allowed, denied = kannel_fields.receivers(asked)
        if not allowed:
            return answer(400, DENIED, problem_header([Reason.INVALID_NUMBER]))
        if len(allowed) > RECEIVERS_MAX:
            return answer(*NOT_ROUTABLE, told("too-many", f"Name at most {RECEIVERS_MAX} receivers."))
        settings = account.account
        source = (
            settings.faked_sender.encode()
            or asked.from_
            or settings.default_sender.encode()
            or self._settings.global_sender.encode()
        )
        if not source:
            raise Fault("Sender missing and no global set, rejected")
        kannel_fields.check(asked)
        octets, replaced = self._octets(asked)
        now_ms = self._core.clock.wall_ms()
        callback = callback_of(asked)
        wanted = Wanted(
            source=sender(source.decode("utf-8", "replace")),
            octets=octets,
            data_coding=kannel_fields.data_coding(asked),
            udh=asked.udh,
            protocol_id=asked.pid or 0,
            reply_path=bool(asked.rpi),
            priority=asked.priority or 0,
            schedule=_moment(now_ms, asked.deferred),
            validity=_moment(now_ms, asked.validity),
            registered_delivery=_registered(callback),
            service_type=asked.binfo,
            tlvs=kannel_fields.tlvs_of(asked.meta_data),
        )
        bucket, now = account.bucket, self._core.clock.now()
        if self._door.full:
            return answer(*TRY_LATER, told("queue-full", "Too many messages wait for the disk."))
        if bucket.rate and (taken := bucket.take(len(allowed), now)) < len(allowed):
            bucket.give_back(taken)
            account.count_refused(Reason.RATE_EXCEEDED, len(allowed))
            return answer(*TRY_LATER, problem_header([Reason.RATE_EXCEEDED]))
        later = Later()
        headers: Headers = [(REPLACED, b"%d" % replaced)] if replaced else []

        def done(results: Sequence[int], firsts: Sequence[Part]) -> None:
            later.resolve(self._answer(results, firsts, allowed, denied, headers))

        def mark(results: Sequence[int], firsts: Sequence[Part]) -> None:
            tell_acceptance(firsts)

        detail = detail_of(callback)
        self._door.submit(
            Submission(
                account,
                [submit(wanted, to) for to in allowed],
                None if detail is None else [detail] * len(allowed),
                done,
                now,
                mark if callback is not None and callback.wants_acceptance else None,
            )
        )
        return later

    def _octets(self, asked: Sendsms) -> tuple[bytes, int]:
        """(text in wire form, characters that GSM 03.38 has not got)."""
        charset = asked.charset
        try:
            if asked.coding == UCS2:
                return (encode_text(decode_charset(asked.text, charset), 8) if charset else asked.text), 0
            if asked.coding != GSM:
                return asked.text, 0
            if charset:
                return gsm_octets(decode_charset(asked.text, charset))
            return gsm_octets(asked.text.decode(self._settings.charset, "replace"))
        except ValueError:
            raise Fault("Charset or body misformed, rejected") from None

    def _answer(
        self,
        results: Sequence[int],
        firsts: Sequence[Part],
        receivers: Sequence[str],
        denied: Sequence[str],
        headers: Headers,
    ) -> Response:
        reasons = [-result for result in results if result < 0]
        headers = [*headers, *problem_header(reasons)]
        if not firsts:
            # Of several reasons, the one with which trying again makes sense, if there is one.
            texts = [kannel_refusal(reason) for reason in reasons]
            status, text = TRY_LATER if TRY_LATER in texts else texts[0]
            return answer(status, text, headers)
        if not self._settings.immediate_reply:
            if any(self._core.carrier_up(part.carrier) for part in firsts):
                return answer(202, "0: Accepted for delivery", headers)
            return answer(202, "3: Queued for later delivery", headers)
        text = "Sent."
        refused = [to for to, result in zip(receivers, results, strict=True) if -result in LISTED]
        if denied or refused:
            text += " Denied receivers are: " + " ".join([*denied, *refused])
        if firsts[-1].parts > 1:
            text += f" Message splits: {firsts[-1].parts}"
        return answer(202, text, headers)


def callback_of(asked: Sendsms) -> Callback | None:
    """What is to be told of the message, where to; nothing without both. Raises Fault."""
    if not asked.dlr_url or not asked.dlr_mask:
        return None
    if len(asked.dlr_url) > URL_OCTETS_MAX:
        raise Fault("DLR-URL field misformed, rejected")
    return Callback(
        style="kannel",
        url=asked.dlr_url.decode("latin-1"),
        mask=asked.dlr_mask,
        account=asked.account.decode("latin-1"),
        meta=asked.meta_data.decode("latin-1"),
    )


def _registered(callback: Callback | None) -> int:
    """registered_delivery for a mask. All ends are asked for, and what is not wanted is left untold: a
    refusal (16) and a failure (2) are told apart when they are known."""
    if callback is None:
        return 0
    ends = RECEIPT if callback.mask & ~(MASK_ACCEPTED | MASK_ON_THE_WAY) else 0
    return ends | (INTERMEDIATE if callback.mask & MASK_ON_THE_WAY else 0)


def _moment(now_ms: int, minutes: int | None) -> bytes:
    if minutes is None:
        return b""
    return format_absolute(now_ms + min(minutes, MINUTES_MAX) * MINUTE_MS)
