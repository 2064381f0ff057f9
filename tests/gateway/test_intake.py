"""The one door: who may send what, what it costs, and the body that will go out."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.blacklist import Blacklists, Scope
from filters.verdict import Reason
from filters.words import Word
from gateway.accounts import AccountState
from gateway.outbound import LANES
from gateway.quota import Balance
from gateway.smpp.constants import CommandId, Tag
from gateway.smpp.decode import decode_body
from gateway.smpp.encode import body_of
from gateway.smpp.pdu import SubmitSm
from gateway.smpp.segments import build_concat_udh, count_parts
from gateway.smpp.text import decode_text, encode_text
from gateway.smpp.udh import parse_udh
from gateway.submissions import with_text
from store.directory import Account, Carrier, Group, Route, User
from store.ids import SECOND_BITS, id_day
from store.model import NO_ERROR, Changes, Part, PartFlag, State, Usage
from tests.gateway.core_world import DEST, NOW_MS, SENDER, FakeBind, World, decoded, make_body

HOUR_MS = 3_600_000
FORBIDDEN = (Word("stupid"), Word("敏感"), Word("审核词", "review"), Word("禁词", "reject"))


def submit(text: bytes = b"hello", **fields: Any) -> SubmitSm:
    values: dict[str, Any] = {
        "source_addr_ton": 1,
        "source_addr_npi": 1,
        "source_addr": SENDER,
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "destination_addr": b"%d" % DEST,
        "registered_delivery": 1,
        "short_message": text,
    }
    return SubmitSm(**values | fields)


def one(of: World, pdu: SubmitSm) -> list[Part]:
    """The parts of one accepted message."""
    results, changes = of.accept(pdu)
    assert results[0] > 0, Reason(-results[0])
    assert changes.parts[0].id == results[0]
    return changes.parts


def refused(of: World, pdu: SubmitSm) -> Reason:
    before = of.balance.reserved
    results, changes = of.accept(pdu)
    assert not changes.parts and not changes.usage and of.balance.reserved == before
    return Reason(-results[0])


def text_of(part: Part) -> str:
    pdu = decoded(part.body)
    octets = pdu.short_message
    udh = parse_udh(octets) if pdu.esm_class & 0x40 else None
    return decode_text(octets[udh.octets if udh else 0 :], pdu.data_coding)


# -- reasons ------------------------------------------------------------------------------------------


def limited(**account: Any) -> World:
    return World(account=Account(1, 1, "u", "", **account))


def listed(scope: Scope) -> World:
    blacklists = Blacklists()
    blacklists.replace(scope, [DEST])
    return World(blacklists=blacklists)


UNTRUSTED = {"trusted": False}
REASONS: list[tuple[Reason, Callable[[], World], SubmitSm]] = [
    (Reason.INVALID_NUMBER, World, submit(destination_addr=b"")),
    (Reason.INVALID_NUMBER, World, submit(destination_addr=b"Sluice")),
    (Reason.INVALID_NUMBER, World, submit(destination_addr=b"1" * 20)),
    (Reason.SENDER_NOT_ALLOWED, lambda: limited(senders=("106*",)), submit(source_addr=b"107")),
    (Reason.SENDER_NOT_ALLOWED, lambda: limited(senders=("106*",)), submit(source_addr=b"")),
    (Reason.SENDER_NOT_ALLOWED, World, submit(source_addr=b"a name too long")),
    (Reason.WORD_REJECTED, lambda: World(words=FORBIDDEN), with_text(str(DEST), "这是禁词")),
    (
        Reason.REVIEW_REQUIRED,
        lambda: World(words=FORBIDDEN, account=Account(1, 1, "u", "", **UNTRUSTED)),
        with_text(str(DEST), "审核词"),
    ),
    (
        Reason.REVIEW_REQUIRED,
        lambda: World(group=Group(1, "g", review="review"), account=Account(1, 1, "u", "", **UNTRUSTED)),
        submit(),
    ),
    (Reason.BLACKLISTED_GLOBAL, lambda: listed(Scope("global")), submit()),
    (Reason.BLACKLISTED_TYPE, lambda: listed(Scope("type", "api")), submit()),
    (Reason.BLACKLISTED_GROUP, lambda: listed(Scope("group", 1)), submit()),
    (Reason.NO_ROUTE, lambda: World(routes=[Route(1, "44", (1,))]), submit()),
    (Reason.QUOTA_EXCEEDED, lambda: World(user=User(1, "u", 1, limit=0)), submit()),
    (Reason.TOO_LONG, World, submit(b"", tlvs=((Tag.MESSAGE_PAYLOAD, b"a" * (153 * 255 + 1)),))),
    (Reason.TOO_LONG, World, submit(build_concat_udh(1, 2, 1) + b"a" * 154, esm_class=0x40)),
    (Reason.BAD_SCHEDULE, World, submit(schedule_delivery_time=b"nonsense")),
    (Reason.BAD_SCHEDULE, World, submit(schedule_delivery_time=b"280115080000000+")),
    (Reason.BAD_VALIDITY, World, submit(validity_period=b"000000010000049+")),
    (Reason.BAD_VALIDITY, World, submit(validity_period=b"270114080000000+")),
    (Reason.BAD_PRIORITY, World, submit(priority_flag=4)),
    (Reason.BAD_PRIORITY, World, submit(priority_flag=0x0F)),
    (Reason.BAD_REPLACE_FLAG, World, submit(replace_if_present_flag=2)),
    (Reason.BAD_ESM_CLASS, World, submit(esm_class=0x02)),
    (Reason.BAD_ESM_CLASS, World, submit(esm_class=0x30)),
    (Reason.BAD_ESM_CLASS, World, submit(esm_class=0x04)),
    (Reason.NO_DEFAULT_MESSAGE, World, submit(sm_default_msg_id=1)),
    (Reason.BAD_FIELD, World, submit(service_type=b"toolong")),
    (Reason.BAD_FIELD, World, submit(protocol_id=256)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "world", "pdu"), REASONS, ids=[f"{r.name}-{n}" for n, (r, _, _) in enumerate(REASONS)]
)
def test_every_reason_can_be_met_and_costs_nothing(
    reason: Reason, world: Callable[[], World], pdu: SubmitSm
) -> None:
    assert refused(world(), pdu) == reason


def test_every_reason_that_the_door_can_give_is_here() -> None:
    # The others are given before the door (rate, disk, shutdown) or long behind it (expiry, receipts).
    elsewhere = {
        Reason.RATE_EXCEEDED, Reason.DISK_LOW, Reason.DISK_FULL, Reason.SHUTTING_DOWN, Reason.CANCELLED,
        Reason.BLACKLISTED_AT_DISPATCH, Reason.EXPIRED_IN_QUEUE, Reason.NO_RECEIPT, Reason.OUTCOME_UNKNOWN,
    }  # fmt: skip
    assert {reason for reason, _, _ in REASONS} | elsewhere == set(Reason)


def test_a_message_may_have_so_many_parts_and_no_more() -> None:
    of = World()
    of.intake.rules = msgspec.structs.replace(of.rules, parts_max=2)
    assert len(one(of, submit(b"a" * 254))) == 2
    assert refused(of, submit(b"", tlvs=((Tag.MESSAGE_PAYLOAD, b"a" * 307),))) == Reason.TOO_LONG


def test_one_bad_message_costs_its_neighbours_nothing() -> None:
    results, changes = World().accept(
        submit(), submit(destination_addr=b"x"), submit(protocol_id=256), submit()
    )
    assert [result > 0 for result in results] == [True, False, False, True]
    assert [part.id for part in changes.parts] == [results[0], results[3]]
    assert changes.usage == [Usage(1, id_day(results[0]), 2, 0)]


def test_a_long_message_with_a_bad_field_leaves_no_part_behind() -> None:
    # Every one of its parts fails, whichever is made first.
    results, changes = World().accept(submit(b"a" * 200, service_type=b"toolong"), submit())
    assert results[0] == -Reason.BAD_FIELD
    assert [part.id for part in changes.parts] == [results[1]]


# -- the part -----------------------------------------------------------------------------------------


def test_what_is_stored_of_an_ordinary_message() -> None:
    (part,) = one(World(), submit())
    assert part == Part(
        part.id, 1, 1, 1, State.QUEUED, 1, 1, DEST, SENDER, 1, 0, 1, 1, 0, NOW_MS, 0, NOW_MS + 72 * HOUR_MS,
        NOW_MS, NO_ERROR, 0, make_body(), None,
    )  # fmt: skip
    assert part.id >> SECOND_BITS == NOW_MS // 1000


@given(
    st.builds(
        submit,
        st.binary(max_size=140),
        source_addr=st.sampled_from([SENDER, b"Sluice", b"1234567890123456"]),
        source_addr_ton=st.integers(0, 6),
        dest_addr_npi=st.integers(0, 18),
        dest_addr_ton=st.sampled_from([0, 1]),
        service_type=st.sampled_from([b"", b"CMT", b"USSD"]),
        protocol_id=st.integers(0, 255),
        priority_flag=st.integers(0, 3),
        data_coding=st.integers(0, 255),
        esm_class=st.sampled_from([0x00, 0x03, 0x40, 0x43]),
        registered_delivery=st.sampled_from([0, 1, 2, 0x11]),
    )
)
def test_a_body_passed_on_as_it_came_is_the_body_that_would_be_built(pdu: SubmitSm) -> None:
    body = body_of(pdu)
    came = decoded(body)
    assert came.raw == body
    came_parts = one(World(), came)
    built_parts = one(World(), pdu)
    assert [part.body for part in came_parts] == [part.body for part in built_parts]
    assert decoded(came_parts[0].body).registered_delivery == 1, "every part must end in a known state"
    assert came_parts[0].registered_delivery == pdu.registered_delivery


@pytest.mark.parametrize("stray", [b"\0", b"\x01\x02\x03"])
def test_stray_octets_behind_a_submit_do_not_go_out(stray: bytes) -> None:
    pdu = decode_body(CommandId.SUBMIT_SM, make_body() + stray)
    if isinstance(pdu, SubmitSm):
        assert one(World(), pdu)[0].body == make_body()


@pytest.mark.parametrize(
    ("address", "ton"),
    [
        (b"8613800138000", 1), (b"+8613800138000", 0), (b"008613800138000", 0), (b"13800138000", 0),
        (b"13800138000", 2), (b"013800138000", 2), (b"+86 138-0013-8000", 1),
    ],
)  # fmt: skip
def test_every_way_to_write_a_destination_goes_out_as_one(address: bytes, ton: int) -> None:
    (part,) = one(World(), submit(destination_addr=address, dest_addr_ton=ton))
    pdu = decoded(part.body)
    assert (part.dest, pdu.destination_addr, pdu.dest_addr_ton) == (DEST, b"%d" % DEST, 1)
    assert pdu.dest_addr_npi == 1


@pytest.mark.parametrize(("sender", "type_and_plan"), [("10690", (1, 1)), ("Sluice", (5, 0)), ("", (0, 0))])
def test_an_empty_sender_becomes_the_accounts_with_the_type_of_its_shape(
    sender: str, type_and_plan: tuple[int, int]
) -> None:
    of = limited(default_sender=sender)
    (part,) = one(of, submit(source_addr=b"", source_addr_ton=0, source_addr_npi=0))
    pdu = decoded(part.body)
    assert part.source == pdu.source_addr == sender.encode()
    assert (pdu.source_addr_ton, pdu.source_addr_npi) == type_and_plan


def test_a_given_sender_stays_as_given() -> None:
    (part,) = one(limited(default_sender="Sluice"), submit(source_addr_ton=3, source_addr_npi=8))
    pdu = decoded(part.body)
    assert (pdu.source_addr, pdu.source_addr_ton, pdu.source_addr_npi) == (SENDER, 3, 8)


@pytest.mark.parametrize("account", [0, 1, 2, 3])
@pytest.mark.parametrize("priority", [0, 1, 2, 3])
def test_every_priority_has_a_lane(account: int, priority: int) -> None:
    of = limited(priority=account)
    (part,) = one(of, submit(priority_flag=priority))
    assert part.lane == (min(account, 2) if priority == 0 else {1: 1, 2: 2, 3: 2}[priority])
    assert part.lane in LANES
    of.carrier.queue.offer([part])
    assert of.carrier.queue.take(1) == [part]


@given(st.lists(st.sampled_from([1, 161, 400, 0]), min_size=1, max_size=20))
def test_ids_are_consecutive_over_the_parts_of_a_batch(lengths: list[int]) -> None:
    of = World()
    pdus = [submit(b"a" * n) if n else submit(destination_addr=b"") for n in lengths]
    results, changes = of.accept(*pdus)
    first = changes.parts[0].id if changes.parts else 0
    assert [part.id for part in changes.parts] == list(range(first, first + len(changes.parts)))
    for part in changes.parts:
        assert part.id - part.part_no + 1 in results
    assert len([r for r in results if r > 0]) == sum(part.part_no == 1 for part in changes.parts)


# -- text ---------------------------------------------------------------------------------------------


def test_a_masked_word_shows_as_stars_and_the_original_is_kept() -> None:
    (part,) = one(World(words=FORBIDDEN), submit(b"you stupid man"))
    assert text_of(part) == "you ****** man"
    assert part.flags & PartFlag.MASKED
    assert part.detail is not None
    assert msgspec.msgpack.decode(part.detail)["original"] == "you stupid man"


def test_parts_are_counted_after_masking() -> None:
    # In UCS-2 two parts; with its only Chinese word masked it is GSM, and one.
    text = "a" * 98 + "敏感"
    pdu = with_text(str(DEST), text)
    assert count_parts(encode_text(text, 8), "ucs2") == 2
    of = World(words=FORBIDDEN)
    (part,) = one(of, pdu)
    assert (part.data_coding, part.parts, text_of(part)) == (0, 1, "a" * 98 + "**")
    assert of.balance.reserved == 1
    assert len(one(World(), pdu)) == 2


def test_a_text_that_stays_chinese_stays_ucs2() -> None:
    (part,) = one(World(words=FORBIDDEN), with_text(str(DEST), "敏感词和别的"))
    assert (part.data_coding, text_of(part)) == (8, "**词和别的")


def test_unreadable_octets_beside_a_masked_word_are_not_lost_for_want_of_an_alphabet() -> None:
    (part,) = one(World(words=FORBIDDEN), submit(b"stupid \xff"))
    assert part.data_coding == 8 and text_of(part).startswith("****** ")


def test_masking_keeps_a_segments_header() -> None:
    header = build_concat_udh(7, 2, 1)
    (part,) = one(World(words=FORBIDDEN), submit(header + b"stupid", esm_class=0x40))
    assert decoded(part.body).short_message == header + b"******"
    assert part.flags & PartFlag.CONCATENATED


def test_binary_is_no_text() -> None:
    (part,) = one(World(words=FORBIDDEN), submit(b"stupid", data_coding=4))
    assert decoded(part.body).short_message == b"stupid" and part.detail is None


def test_a_word_for_review_passes_for_who_is_trusted_and_is_noted() -> None:
    (part,) = one(World(words=FORBIDDEN), with_text(str(DEST), "审核词"))
    assert text_of(part) == "审核词" and part.detail is not None
    assert msgspec.msgpack.decode(part.detail)["action"] == "review"
    assert not part.flags & PartFlag.MASKED


def test_a_text_is_judged_alone_as_it_would_be_in_a_message() -> None:
    of = World(words=FORBIDDEN)
    screened = of.intake.screen_text(of.account, b"stupid", 0)
    assert not isinstance(screened, int) and (screened.text, screened.masked) == (b"******", True)
    assert of.intake.screen_text(of.account, encode_text("禁词", 8), 8) == Reason.WORD_REJECTED
    for text, coding in ((b"hello", 0), (b"stupid", 4)):
        clean = of.intake.screen_text(of.account, text, coding)
        assert not isinstance(clean, int) and (clean.text, clean.masked, clean.detail) == (text, False, None)
    without_words = World()
    assert not isinstance(without_words.intake.screen_text(of.account, b"stupid", 0), int)


# -- long messages ------------------------------------------------------------------------------------

TEXTS = st.one_of(
    st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=500),
    st.text(max_size=250),
    st.text(st.sampled_from("aé€[敏😀"), min_size=130, max_size=400),
)


@given(TEXTS)
def test_the_parts_joined_are_the_text(text: str) -> None:
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    pdu = with_text(str(DEST), text)
    of = World()
    parts = one(of, pdu)
    assert "".join(map(text_of, parts)) == text
    assert of.balance.reserved == len(parts) == parts[0].parts
    assert [part.part_no for part in parts] == list(range(1, len(parts) + 1))
    for part in parts:
        sent = decoded(part.body)
        octets = len(sent.short_message)
        assert octets <= (160 if sent.data_coding == 0 else 140)
        assert bool(part.flags & PartFlag.SPLIT_BY_US) == (len(parts) > 1)
    references = {parse_udh(decoded(part.body).short_message).concat.ref for part in parts if len(parts) > 1}  # type: ignore[union-attr]
    assert len(references) <= 1


@pytest.mark.parametrize(
    ("octets", "coding", "parts"),
    [(160, 0, 1), (161, 0, 2), (306, 0, 2), (307, 0, 3), (140, 8, 1), (142, 8, 2), (268, 8, 2), (270, 8, 3),
     (140, 4, 1), (141, 4, 2), (254, 0, 2)],
)  # fmt: skip
def test_a_text_takes_as_many_parts_as_it_must(octets: int, coding: int, parts: int) -> None:
    assert (
        len(one(World(), submit(b"", data_coding=coding, tlvs=((Tag.MESSAGE_PAYLOAD, b"a" * octets),))))
        == parts
    )


def test_a_payload_is_cut_as_a_text_would_be_and_an_empty_one_says_nothing() -> None:
    parts = one(World(), submit(b"", tlvs=((Tag.MESSAGE_PAYLOAD, b"a" * 200), (0x1401, b"v"))))
    assert "".join(map(text_of, parts)) == "a" * 200
    assert decoded(parts[0].body).tlvs == ((0x1401, b"v"),)
    (part,) = one(World(), submit(b"hello", tlvs=((Tag.MESSAGE_PAYLOAD, b""),)))
    assert text_of(part) == "hello"


def test_segments_told_by_sar_tlvs_go_with_a_header() -> None:
    sar = ((Tag.SAR_MSG_REF_NUM, b"\0\x24"), (Tag.SAR_TOTAL_SEGMENTS, b"\3"), (Tag.SAR_SEGMENT_SEQNUM, b"\2"))
    (part,) = one(World(), submit(b"text", tlvs=(*sar, (0x1401, b"v"))))
    pdu = decoded(part.body)
    assert (pdu.short_message, pdu.esm_class) == (build_concat_udh(0x24, 3, 2) + b"text", 0x40)
    assert pdu.tlvs == ((0x1401, b"v"),) and part.flags & PartFlag.CONCATENATED


def test_a_customers_own_segment_is_passed_on_and_not_cut_again() -> None:
    text = build_concat_udh(7, 2, 1) + b"a" * 153
    (part,) = one(World(), submit(text, esm_class=0x40))
    assert decoded(part.body).short_message == text and not part.flags & PartFlag.SPLIT_BY_US


def test_long_messages_to_one_number_have_different_references() -> None:
    of = World()
    seen = set()
    for _ in range(200):
        udh = parse_udh(decoded(one(of, submit(b"a" * 200))[0].body).short_message)
        assert udh is not None and udh.concat is not None
        seen.add(udh.concat.ref)
    assert len(seen) == 200


@pytest.mark.parametrize("coding", [0, 8])
def test_a_carrier_that_wants_long_references_gets_parts_that_have_room_for_them(coding: int) -> None:
    of = World(carriers=[Carrier(1, "a", split="udh16")])
    parts = one(of, submit(b"", data_coding=coding, tlvs=((Tag.MESSAGE_PAYLOAD, b"ab" * 500),)))
    of.carrier.queue.offer(parts)
    bind = FakeBind(of.carrier, window=20)
    of.carrier.pump()
    text_octets_max = (140 - 7) * 8 // 7 if coding == 0 else 132
    for _, body in bind.sent:
        octets = decoded(body).short_message
        udh = parse_udh(octets)
        assert udh is not None and udh.concat is not None and udh.concat.bits == 16
        assert len(octets) - udh.octets <= text_octets_max
    assert len(bind.sent) == len(parts) == of.balance.reserved


# -- time ---------------------------------------------------------------------------------------------


def test_a_schedule_is_kept_and_leaves_the_body() -> None:
    (part,) = one(World(), submit(schedule_delivery_time=b"270115100000000+"))
    assert (part.state, part.deliver_at) == (State.SCHEDULED, NOW_MS + 2 * HOUR_MS)
    assert part.expires_at == part.deliver_at + 72 * HOUR_MS
    assert decoded(part.body).schedule_delivery_time == b""


@pytest.mark.parametrize("schedule", [b"270115070000000+", b"270115080000000+", b"000000000000000R"])
def test_a_schedule_that_has_passed_is_now(schedule: bytes) -> None:
    (part,) = one(World(), submit(schedule_delivery_time=schedule))
    assert (part.state, part.deliver_at) == (State.QUEUED, 0)


def test_a_validity_is_a_deadline_from_acceptance_and_leaves_the_body() -> None:
    (part,) = one(World(), submit(validity_period=b"000000010000000R"))
    assert part.expires_at == NOW_MS + HOUR_MS and part.flags & PartFlag.VALIDITY_GIVEN
    assert decoded(part.body).validity_period == b""
    (part,) = one(
        World(), submit(validity_period=b"000000010000000R", schedule_delivery_time=b"270115100000000+")
    )
    assert part.expires_at == NOW_MS + 3 * HOUR_MS


def test_a_time_to_live_beats_a_validity_and_both_are_clamped() -> None:
    ttl = ((Tag.QOS_TIME_TO_LIVE, (600).to_bytes(4, "big")),)
    (part,) = one(World(), submit(validity_period=b"000000010000000R", tlvs=ttl))
    assert part.expires_at == NOW_MS + 600_000 and part.flags & PartFlag.VALIDITY_GIVEN
    assert decoded(part.body).tlvs == ()
    (part,) = one(World(), submit(validity_period=b"010000000000000R"))
    assert part.expires_at == NOW_MS + 30 * 24 * HOUR_MS


# -- routes, review, senders --------------------------------------------------------------------------


def test_a_message_on_its_second_carrier_says_so() -> None:
    of = World(carriers=[Carrier(1, "a"), Carrier(2, "b")], routes=[Route(5, "", (1, 2))])
    FakeBind(of.carriers[2])
    (part,) = one(of, submit())
    assert (part.carrier, part.route) == (2, 5)
    assert part.detail is not None and msgspec.msgpack.decode(part.detail) == {"failover": True}


@pytest.mark.parametrize(
    ("group", "user", "trusted", "passes"),
    [("review", "inherit", True, True), ("review", "inherit", False, False), ("trust", "inherit", False, True),
     ("trust", "review", False, False), ("review", "trust", False, True), ("inherit", "inherit", False, False)],
)  # fmt: skip
def test_who_needs_a_review(group: Any, user: Any, trusted: bool, passes: bool) -> None:
    of = World(
        group=Group(1, "g", review=group),
        user=User(1, "u", 1, limit=9, review=user),
        account=Account(1, 1, "u", "", trusted=trusted),
    )
    if passes:
        one(of, submit())
    else:
        assert refused(of, submit()) == Reason.REVIEW_REQUIRED


def test_the_first_objection_names_the_reason() -> None:
    blacklists = Blacklists()
    blacklists.replace(Scope("global"), [DEST])
    of = World(
        blacklists=blacklists, words=FORBIDDEN, user=User(1, "u", 1, limit=0), routes=[Route(1, "44", (1,))],
        account=Account(1, 1, "u", "", senders=("1",)),
    )  # fmt: skip
    rejected = encode_text("禁词", 8)
    steps = [
        (submit(rejected, data_coding=8, priority_flag=9, destination_addr=b""), Reason.BAD_PRIORITY),
        (submit(rejected, data_coding=8, destination_addr=b""), Reason.INVALID_NUMBER),
        (submit(rejected, data_coding=8), Reason.SENDER_NOT_ALLOWED),
        (submit(rejected, data_coding=8, source_addr=b"1"), Reason.WORD_REJECTED),
        (submit(source_addr=b"1"), Reason.BLACKLISTED_GLOBAL),
        (submit(source_addr=b"1", destination_addr=b"8613800138001"), Reason.NO_ROUTE),
        (submit(source_addr=b"1", destination_addr=b"447700900000"), Reason.QUOTA_EXCEEDED),
    ]
    for pdu, reason in steps:
        assert refused(of, pdu) == reason


# -- quota --------------------------------------------------------------------------------------------


@given(
    st.integers(0, 30),
    st.lists(st.lists(st.integers(1, 900), min_size=1, max_size=6), min_size=1, max_size=8),
    st.sets(st.integers(0, 7)),
)
def test_quota_is_never_overspent_and_memory_equals_the_rows(
    limit: int, batches: list[list[int]], not_stored: set[int]
) -> None:
    of = World(user=User(1, "u", 1, limit=limit))
    for number, lengths in enumerate(batches):
        changes = Changes()
        results = of.intake.accept_batch(
            of.account,
            [submit(b"", tlvs=((Tag.MESSAGE_PAYLOAD, b"a" * n),)) for n in lengths],
            NOW_MS,
            changes,
        )
        assert sum(row.reserved for row in changes.usage) == len(changes.parts)
        assert len([r for r in results if r > 0]) == sum(part.part_no == 1 for part in changes.parts)
        if number in not_stored:
            of.intake.give_back(changes)
        else:
            of.committed(changes)
        assert of.quota_is_settled() and 0 <= of.balance.reserved <= limit
    # What fits is never refused.
    free = of.balance.available
    results, _ = of.accept(*[submit()] * (free + 3))
    assert [result > 0 for result in results] == [True] * free + [False] * 3


def test_a_batch_over_midnight_is_charged_to_both_days() -> None:
    of = World()
    of.clock.ms = NOW_MS - NOW_MS % 86_400_000 + 86_400_000 - 1
    last_second = of.clock.ms // 1000
    of.ids.mint()
    of.ids._next = (1 << 20) - 3  # the second's numbers run out: what follows is born in the next
    results, changes = of.accept(submit(), submit(), submit())
    assert [result >> SECOND_BITS for result in results] == [last_second, last_second, last_second + 1]
    assert [(row.day, row.reserved) for row in changes.usage] == [
        (id_day(results[0]), 2),
        (id_day(results[2]), 1),
    ]


def test_accounts_of_one_user_share_its_quota() -> None:
    of = World(user=User(1, "u", 1, limit=3))
    other = AccountState(Account(2, 1, "v", ""), of.directory, 0.0, events_max=9)
    changes = Changes()
    results = of.intake.accept_batch(other, [submit()] * 2, NOW_MS, changes)
    assert all(result > 0 for result in results)
    assert isinstance(of.balance, Balance) and of.balance.available == 1
    results, _ = of.accept(submit(), submit())
    assert [result > 0 for result in results] == [True, False]
