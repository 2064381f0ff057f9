"""The one door: every message from SMPP, HTTP or the console is judged and made ready here, batch-wise.

`accept_batch` is synchronous and touches nothing but memory: it authorises, screens, routes, counts parts,
reserves quota, mints ids and fills a `Changes`; the caller commits that and answers only when it is durable
(P1). The neutral form of a message is `SubmitSm`: HTTP and the console build one, so one set of rules gives
one answer to "why was this refused?".

Order of judgement: shape of the PDU, destination, sender, review, text (sensitive words), blacklists, route,
parts, quota. The first that objects names the reason.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from filters.blacklist import GLOBAL, GROUP, TYPE, Blacklists
from filters.numbers import Numbering
from filters.verdict import Reason
from filters.words import MASK, REJECT, REVIEW, Hits, WordSet, mask
from gateway.accounts import AccountState
from gateway.quota import QuotaBook
from gateway.routing import Router
from gateway.smpp.constants import EsmClass, Tag
from gateway.smpp.encode import LocalProtocolError, submit_body
from gateway.smpp.joiner import ReferenceSource
from gateway.smpp.pdu import SubmitSm, Tlvs
from gateway.smpp.segments import CannotSplit, part_octets_max, segment
from gateway.smpp.text import Unencodable, alphabet_of, choose_coding, decode_text, encode_text
from gateway.smpp.times import BadTime, schedule_moment, validity_deadline
from gateway.smpp.tlv import tlv_get, tlv_int
from gateway.smpp.udh import parse_udh, sar_concat, to_udh
from gateway.torn_words import TornWords
from store.ids import IdSource, id_day
from store.model import NO_ERROR, Changes, Part, PartFlag, State, Usage

VALIDITY_S_DEFAULT = 72 * 3600  # what SMSCs commonly keep a message
VALIDITY_S_MAX = 30 * 86_400
SCHEDULE_AHEAD_S_MAX = 30 * 86_400  # clouds and carriers allow about a month
PARTS_MAX = 255  # concatenation's own bound (3GPP TS 23.040 section 9.2.3.24.1)
ASK_RECEIPT = 1  # the canonical body asks for every receipt, so that each part ends in a known state
UCS2 = 0x08

# TLVs that say how a text is cut; the canonical form says that by UDH, and the payload moves into it.
_SEGMENT_TLVS = frozenset(
    {
        Tag.MESSAGE_PAYLOAD,
        Tag.SAR_MSG_REF_NUM,
        Tag.SAR_TOTAL_SEGMENTS,
        Tag.SAR_SEGMENT_SEQNUM,
        Tag.QOS_TIME_TO_LIVE,
    }
)
_ESM_PLAIN = frozenset({0x00, 0x03, EsmClass.UDHI, EsmClass.UDHI | 0x03})


class Rules(msgspec.Struct, frozen=True):
    """What intake judges by; swapped as a whole when configuration changes."""

    router: Router
    blacklists: Blacklists
    words: WordSet | None
    numbering: Numbering
    sms_type_names: dict[int, str]
    long_references: frozenset[int] = frozenset()  # carriers whose parts have 16-bit references
    parts_max: int = PARTS_MAX


class Screened(msgspec.Struct, gc=False):
    """A text after the sensitive words: its octets, coding, and the record of what touched it."""

    text: bytes
    data_coding: int
    masked: bool
    detail: bytes | None


class _Refused(Exception):
    """Raised inside one message's preparation; never leaves this module."""

    def __init__(self, reason: int) -> None:
        self.reason = reason


class _Odd(msgspec.Struct, gc=False):
    """What a submit out of the ordinary asks for beside its text."""

    text: bytes
    tlvs: Tlvs
    esm_class: int
    deliver_at: int
    expires_at: int
    flags: int


class Intake:
    def __init__(self, ids: IdSource, quota: QuotaBook, rules: Rules, references: ReferenceSource) -> None:
        self.ids = ids
        self.quota = quota
        self.rules = rules
        self.references = references
        self.torn_words = TornWords()
        self.word_hits: Counter[str] = Counter()  # messages that held each word, since `take_word_hits`

    def accept_batch(
        self,
        account: AccountState,
        submits: Sequence[SubmitSm],
        now_ms: int,
        changes: Changes,
        *,
        sms_type: int = 0,
    ) -> list[int]:
        """Judge `submits` of one account, in order; `sms_type` 0 is the account's own.

        Returns one int each: the message id (> 0), or a refusal as `-reason` (`filters.verdict`). Accepted
        messages are in `changes.parts` with their quota in `changes.usage`; nothing is durable yet.
        """
        rules = self.rules
        words, check = rules.words, rules.blacklists.check
        canonical, allowed = rules.numbering.canonical, account.senders.allowed
        group_chain, sms_type = account.group_chain, sms_type or account.sms_type
        type_name = rules.sms_type_names.get(sms_type, "")
        choose = rules.router.chooser(account.id, type_name)
        account_id, default_lane = account.id, _LANE_OF_ACCOUNT[account.account.priority]
        default_sender, review = account.default_sender, account.review
        balance = self.quota.balances[account.user.id]
        available = balance.available
        parts_out, mint = changes.parts, self.ids.mint
        reserved = 0
        results: list[int] = []
        expires_default = now_ms + VALIDITY_S_DEFAULT * 1000
        for submit in submits:
            source = submit.source_addr
            data_coding = submit.data_coding
            text = submit.short_message
            tlvs = submit.tlvs
            esm_class = submit.esm_class
            priority = submit.priority_flag
            dest_address = submit.destination_addr
            body = submit.raw  # sent on as it is, unless something below has to change it
            deliver_at, expires_at, flags = 0, expires_default, 0
            try:
                if (
                    tlvs
                    or esm_class not in _ESM_PLAIN
                    or priority > 3
                    or submit.schedule_delivery_time
                    or submit.validity_period
                    or submit.replace_if_present_flag
                    or submit.sm_default_msg_id
                ):
                    odd = _odd(submit, now_ms)
                    text, tlvs, esm_class = odd.text, odd.tlvs, odd.esm_class
                    deliver_at, expires_at, flags = odd.deliver_at, odd.expires_at, odd.flags
                    body = b""
                if not source:
                    source, body = default_sender, b""
                dest = canonical(dest_address, submit.dest_addr_ton)
                if not dest:
                    raise _Refused(_INVALID_NUMBER)
                if not allowed(source):
                    raise _Refused(Reason.SENDER_NOT_ALLOWED)
                if review:
                    raise _Refused(Reason.REVIEW_REQUIRED)
                udh_octets = 0
                concat = None
                if esm_class & 0x40:
                    udh = parse_udh(text)
                    if udh is not None:
                        udh_octets = udh.octets
                        concat = udh.concat
                        if concat is not None:
                            flags |= PartFlag.CONCATENATED
                detail = None
                if words is not None and (data_coding == UCS2 or alphabet_of(data_coding) != "octets"):
                    plain = decode_text(text[udh_octets:] if udh_octets else text, data_coding)
                    if concat is None:
                        hits = words.scan(plain)
                    else:
                        hits = self.torn_words.scan(words, plain, account_id, dest_address, concat)
                    if hits is not None:
                        self.word_hits.update(hits.words)
                        screened = _apply_words(hits, plain, text, udh_octets, data_coding, account)
                        text, data_coding, detail = screened.text, screened.data_coding, screened.detail
                        if screened.masked:
                            flags |= PartFlag.MASKED
                            body = b""
                listed = check(dest, group_chain, type_name)
                if listed is not None:
                    raise _Refused(_LISTED[listed.kind])
                digits = str(dest)
                choice = choose(digits)
                if not choice.carrier:
                    raise _Refused(Reason.NO_ROUTE)
                if not choice.first:
                    detail = _add_detail(detail, "failover", True)
                address = digits.encode()
                segments = None
                parts = 1
                if len(text) > 140:
                    bits = 16 if choice.carrier in rules.long_references else 8
                    segments = self._cut(text, data_coding, udh_octets, source, address, bits)
                    if segments is not None:
                        parts = len(segments)
                        if parts > rules.parts_max:
                            raise _Refused(Reason.TOO_LONG)
                if available - reserved < parts:
                    raise _Refused(Reason.QUOTA_EXCEEDED)
            except _Refused as refused:
                results.append(-refused.reason)
                continue
            message_id = mint(parts)
            lane = default_lane if priority == 0 else _LANE_OF_PRIORITY[priority]
            wanted = submit.registered_delivery
            state = _SCHEDULED if deliver_at > now_ms else _QUEUED
            route, carrier = choice.route, choice.carrier
            if body and address == dest_address and wanted == ASK_RECEIPT and segments is None:
                parts_out.append(
                    Part(
                        message_id, account_id, carrier, lane, state, 1, 1, dest, source, sms_type, 0, route,
                        wanted, data_coding, now_ms, deliver_at, expires_at, now_ms, NO_ERROR, flags, body,
                        detail,
                    )
                )  # fmt: skip
                reserved += 1
                results.append(message_id)
                continue
            if address == dest_address:
                ton, npi = submit.dest_addr_ton, submit.dest_addr_npi
            else:
                ton, npi = 1, 1
            if parts > 1:
                esm_class |= 0x40
                flags |= PartFlag.SPLIT_BY_US
            if submit.source_addr or not source:
                source_ton, source_npi = submit.source_addr_ton, submit.source_addr_npi
            else:
                source_ton, source_npi = account.default_sender_type
            number = 0
            try:
                for number, octets in enumerate(segments or (text,), 1):
                    body = submit_body(
                        submit.service_type, source_ton, source_npi, source,
                        ton, npi, address, esm_class, submit.protocol_id, priority, b"", b"",
                        ASK_RECEIPT, 0, data_coding, 0, octets, tlvs,
                    )  # fmt: skip
                    parts_out.append(
                        Part(
                            message_id + number - 1, account_id, carrier, lane, state, number, parts, dest,
                            source, sms_type, 0, route, wanted, data_coding, now_ms, deliver_at, expires_at,
                            now_ms, NO_ERROR, flags, body, detail,
                        )
                    )  # fmt: skip
            except LocalProtocolError:
                # Only what an HTTP caller may have built can fail here: the decoder has judged the rest.
                del parts_out[len(parts_out) - number + 1 :]
                results.append(-Reason.BAD_FIELD)
                continue
            reserved += parts
            results.append(message_id)
        if reserved:
            balance.reserved += reserved
            changes.usage += _usage_by_day(balance.user, parts_out[-reserved:])
        return results

    def _cut(
        self, text: bytes, data_coding: int, udh_octets: int, source: bytes, address: bytes, bits: int
    ) -> list[bytes] | None:
        """A text of over 140 octets as parts, each with its header; None where it fits into one after all."""
        alphabet = alphabet_of(data_coding)
        if len(text) - udh_octets <= part_octets_max(alphabet, udh_octets):
            return None
        try:
            reference = self.references.next(source, address)
            return segment(text, alphabet, reference, udh_indicator=udh_octets > 0, bits=bits)
        except CannotSplit:
            raise _Refused(Reason.TOO_LONG) from None

    def give_back(self, changes: Changes) -> None:
        """The round with these changes was refused (disk full): undo what memory already counted."""
        for usage in changes.usage:
            self.quota.balances[usage.user].reserved -= usage.reserved

    def take_word_hits(self) -> Counter[str]:
        """How many messages held each word since the last call."""
        taken, self.word_hits = self.word_hits, Counter()
        return taken

    def screen_text(self, account: AccountState, text: bytes, data_coding: int) -> Screened | int:
        """A text without header against the sensitive words: what to send, or the reason why not."""
        words = self.rules.words
        if words is None or alphabet_of(data_coding) == "octets":
            return Screened(text, data_coding, False, None)
        plain = decode_text(text, data_coding)
        hits = words.scan(plain)
        if hits is None:
            return Screened(text, data_coding, False, None)
        self.word_hits.update(hits.words)
        try:
            return _apply_words(hits, plain, text, 0, data_coding, account)
        except _Refused as refused:
            return refused.reason


def _usage_by_day(user: int, parts: Sequence[Part]) -> list[Usage]:
    """Reserved parts by the day of their birth: one row but for the batch that straddles midnight."""
    first, last = id_day(parts[0].id), id_day(parts[-1].id)
    if first == last:
        return [Usage(user, first, len(parts), 0)]
    days = Counter(id_day(part.id) for part in parts)
    return [Usage(user, day, count, 0) for day, count in days.items()]


# Plain names on the hot path: looking up a member of an enum costs as much as a dict.
_QUEUED, _SCHEDULED = int(State.QUEUED), int(State.SCHEDULED)
_INVALID_NUMBER = int(Reason.INVALID_NUMBER)
_LANE_OF_PRIORITY = (1, 1, 2, 2)  # priority_flag 0 takes the account's lane; 2 and 3 are urgent
_LANE_OF_ACCOUNT = (0, 1, 2, 2)
_LISTED = {
    GLOBAL: Reason.BLACKLISTED_GLOBAL,
    TYPE: Reason.BLACKLISTED_TYPE,
    GROUP: Reason.BLACKLISTED_GROUP,
}


def _odd(submit: SubmitSm, now_ms: int) -> _Odd:
    """Judge and normalise what an ordinary submit does not have."""
    if submit.priority_flag > 3:
        raise _Refused(Reason.BAD_PRIORITY)
    if submit.replace_if_present_flag > 1:
        raise _Refused(Reason.BAD_REPLACE_FLAG)
    if submit.sm_default_msg_id:
        raise _Refused(Reason.NO_DEFAULT_MESSAGE)
    esm_class = submit.esm_class
    # Transaction mode wants the outcome in the response, which no store-and-forward gateway can give.
    if esm_class & EsmClass.MODE_MASK == EsmClass.MODE_FORWARD or (
        esm_class & EsmClass.TYPE_MASK not in (0, EsmClass.DELIVERY_ACK, EsmClass.USER_ACK)
    ):
        raise _Refused(Reason.BAD_ESM_CLASS)
    text, tlvs, lifetime_s = submit.short_message, submit.tlvs, None
    if tlvs:
        lifetime_s = tlv_int(tlvs, Tag.QOS_TIME_TO_LIVE)
        payload = tlv_get(tlvs, Tag.MESSAGE_PAYLOAD)
        if payload:  # an empty one says nothing, and may stand beside a text
            text = payload
        if not esm_class & EsmClass.UDHI:
            concat = sar_concat(tlvs)
            if concat is not None:
                text = to_udh(text, concat)
                esm_class |= EsmClass.UDHI
        tlvs = tuple(item for item in tlvs if item[0] not in _SEGMENT_TLVS)
    try:
        deliver_at = schedule_moment(submit.schedule_delivery_time, now_ms, ahead_max_s=SCHEDULE_AHEAD_S_MAX)
    except BadTime:
        raise _Refused(Reason.BAD_SCHEDULE) from None
    try:
        expires_at = validity_deadline(
            submit.validity_period,
            deliver_at,
            default_s=VALIDITY_S_DEFAULT,
            max_s=VALIDITY_S_MAX,
            qos_time_to_live_s=lifetime_s,
        )
    except BadTime:
        raise _Refused(Reason.BAD_VALIDITY) from None
    flags = PartFlag.VALIDITY_GIVEN if submit.validity_period or lifetime_s is not None else 0
    return _Odd(text, tlvs, esm_class, deliver_at if deliver_at > now_ms else 0, expires_at, flags)


def _apply_words(
    hits: Hits, plain: str, text: bytes, udh_octets: int, data_coding: int, account: AccountState
) -> Screened:
    """What sensitive words do to a text: refuse it, pass it on for review, or mask it."""
    if hits.action == REJECT:
        raise _Refused(Reason.WORD_REJECTED)
    if hits.action == REVIEW and not account.account.trusted:
        raise _Refused(Reason.REVIEW_REQUIRED)
    record = msgspec.msgpack.encode({"original": plain, "words": hits.words, "action": hits.action})
    if hits.action != MASK and not hits.masks:
        return Screened(text, data_coding, False, record)
    masked = mask(plain, hits.masks)
    if data_coding == UCS2 and not udh_octets:
        # With its last non-GSM character masked a text fits GSM again, and twice as much of it fits a part.
        data_coding = choose_coding(masked)[0]
    try:
        octets = encode_text(masked, data_coding)
    except Unencodable:
        data_coding = UCS2
        octets = encode_text(masked, data_coding)
    return Screened(text[:udh_octets] + octets, data_coding, True, record)


def _add_detail(detail: bytes | None, key: str, value: object) -> bytes:
    known = msgspec.msgpack.decode(detail) if detail else {}
    known[key] = value
    encoded: bytes = msgspec.msgpack.encode(known)
    return encoded
