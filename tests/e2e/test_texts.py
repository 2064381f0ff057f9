"""Texts on their way: every alphabet and form in, what each carrier wants out, parts in order on one bind."""

from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.sim.behaviour import Behaviour
from gateway.sim.message import Message
from gateway.smpp.constants import Tag
from gateway.smpp.text import decode_text
from gateway.smpp.times import validity_deadline

from .peer import bound
from .world import World, until, world

CHINESE = "【水闸】您的验证码是482913,五分钟内有效。请勿泄露给他人。"
ENGLISH = "Your code is 482913. It is valid for five minutes; do not share it with anybody."


def seen(gateway: World) -> list[Message]:
    return [part.message for part in gateway.sim.log.parts]


def without_udh(message: Message) -> bytes:
    return message.text[1 + message.text[0] :] if message.esm_class & 0x40 else message.text


def read(message: Message) -> str:
    return decode_text(without_udh(message), message.data_coding)


def joined(messages: list[Message]) -> str:
    return "".join(read(message) for message in messages)


# -- forms in -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["udh", "sar", "payload"])
@pytest.mark.parametrize(("text", "parts"), [(CHINESE * 6, 3), (ENGLISH * 5, 3)], ids=["zh", "en"])
async def test_a_long_text_reaches_the_carrier_whole_in_order_on_one_bind(
    tmp_path: Path, form: str, text: str, parts: int
) -> None:
    async with (
        world(tmp_path, carrier={"binds": 3, "window": 2}) as gateway,
        gateway.customer(long=form, window=50) as esme,
    ):
        await gateway.up(binds=3)
        sent = [await esme.send(text, f"86137000000{n:02}") for n in range(10)]
        await until(lambda: not esme.books.unanswered and not esme.books.missing)
        assert not gateway.sim.log.broken_orders()
        for n in range(10):
            to = f"86137000000{n:02}"
            mine = [part for part in gateway.sim.log.parts if part.message.destination_addr == to]
            assert len(mine) == parts
            assert len({part.link for part in mine}) == 1
            assert joined([part.message for part in mine]) == text
            assert [part.message.part[1:] for part in mine] == [(parts, k) for k in range(1, parts + 1)]
            assert len({part.message.part[0] for part in mine}) == 1
        # One receipt for each submit_sm of the customer: for each segment it cut, one for what we cut.
        assert all(part.states == ["DELIVRD"] for some in sent for part in some)


async def test_an_account_may_have_a_receipt_for_each_part_of_what_we_cut(tmp_path: Path) -> None:
    document = {"account": [{"user": "acme", "system_id": "acme", "password": "secret", "receipts": "part"}]}
    async with world(tmp_path, document=document) as gateway, bound(gateway.port) as peer:
        await peer.submit(b"", tlvs=((Tag.MESSAGE_PAYLOAD, b"x" * 400),))
        receipts = [await peer.receive() for _ in range(3)]
        assert all(b"stat:DELIVRD" in receipt.short_message for receipt in receipts)


async def test_one_receipt_for_a_cut_message_comes_when_all_parts_arrived_or_one_failed(
    tmp_path: Path,
) -> None:
    mixed = Behaviour(states={"DELIVRD": 0.6, "UNDELIV": 0.4}, receipts_jitter_s=0.2)
    async with world(tmp_path, mixed) as gateway, gateway.customer(long="payload", window=50) as esme:
        for n in range(20):
            await esme.send(ENGLISH * 5, f"86137000000{n:02}")
        await until(lambda: len(gateway.sim.log.receipts) == 60)
        await until(lambda: not esme.books.missing)
        states = {(r.message_id): r.state for r in gateway.sim.log.receipts}
        for sent in esme.books.sent:
            ids = [
                part.message_id
                for part in gateway.sim.log.parts
                if part.message.destination_addr == sent.destination
            ]
            failed = any(states[message_id] == "UNDELIV" for message_id in ids)
            assert sent.states == ["UNDELIV" if failed else "DELIVRD"]
        assert len({tuple(sent.states) for sent in esme.books.sent}) == 2


@pytest.mark.parametrize(
    ("data_coding", "octets"),
    [
        (0, b"\x00@{}"),
        (1, b"ascii"),
        (3, "é".encode("latin-1")),
        (4, b"\x00\xff\x00binary"),
        (0xF5, b"\xff\0"),
    ],
)
async def test_octets_pass_unchanged_under_every_data_coding(
    tmp_path: Path, data_coding: int, octets: bytes
) -> None:
    async with world(tmp_path) as gateway, bound(gateway.port) as peer:
        await peer.submit(octets, data_coding=data_coding)
        await until(lambda: seen(gateway))
        assert (seen(gateway)[0].data_coding, seen(gateway)[0].text) == (data_coding, octets)


async def test_unknown_tlvs_and_references_pass_through_and_flash_stays_flash(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, bound(gateway.port) as peer:
        tlvs = ((Tag.USER_MESSAGE_REFERENCE, b"\x12\x34"), (0x1403, b"vendor"))
        await peer.submit(b"flash", data_coding=0x10, tlvs=tlvs)
        await until(lambda: seen(gateway))
        message = seen(gateway)[0]
        assert message.data_coding == 0x10
        assert message.tlvs == {int(tag): value for tag, value in tlvs}


async def test_numbers_are_normalised_and_senders_kept(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, bound(gateway.port, kind="transmitter") as peer:
        for to in (b"+8613700000001", b"008613700000001", b"8613700000001"):
            await peer.submit(to=to, dest_addr_ton=0, dest_addr_npi=0)
        await peer.submit(source_addr=b"Acme", source_addr_ton=5, source_addr_npi=0)
        await until(lambda: len(seen(gateway)) == 4)
        assert {message.destination_addr for message in seen(gateway)} == {"8613700000001"}
        assert seen(gateway)[3].source == b"\x05\x00Acme\x00"


# -- what carriers want -------------------------------------------------------------------------------


async def dressed(
    data: Path, text: str = ENGLISH, *, carrier: dict[str, Any], **options: Any
) -> list[Message]:
    async with world(data, carrier=carrier) as gateway, gateway.customer(**options) as esme:
        await esme.submit(text, "8613700000001")
        await until(lambda: not esme.books.missing)
        return seen(gateway)


@pytest.mark.parametrize(
    ("alphabet", "text", "octets"),
    [
        ("gsm", b"\x02 \x1b\x65", b"\x02 \x1b\x65"),
        ("latin1", b"\x02\x7b \x1b\x65", "$ä ?".encode("latin-1")),
        ("ascii", b"\x02\x7b", b"$?"),
    ],
)
async def test_data_coding_0_means_what_the_carrier_says(
    tmp_path: Path, alphabet: str, text: bytes, octets: bytes
) -> None:
    async with world(tmp_path, carrier={"alphabet": alphabet}) as gateway, bound(gateway.port) as peer:
        await peer.submit(text)
        await until(lambda: seen(gateway))
        assert (seen(gateway)[0].data_coding, seen(gateway)[0].text) == (0, octets)


async def test_gsm_texts_may_go_under_another_data_coding(tmp_path: Path) -> None:
    (message,) = await dressed(tmp_path, carrier={"gsm_data_coding": 0xF1})
    assert message.data_coding == 0xF1
    (chinese,) = await dressed(tmp_path / "zh", CHINESE, carrier={"gsm_data_coding": 0xF1})
    assert chinese.data_coding == 8


async def test_ton_npi_and_a_default_sender_are_the_carriers(tmp_path: Path) -> None:
    carrier = {"source_ton": 3, "source_npi": 9, "dest_ton": 2, "dest_npi": 8, "default_sender": "10655"}
    async with world(tmp_path, carrier=carrier) as gateway, bound(gateway.port, kind="transmitter") as peer:
        await peer.submit()
        await peer.submit(source_addr=b"", source_addr_ton=0, source_addr_npi=0)
        await peer.submit(source_addr=b"Acme", source_addr_ton=5, source_addr_npi=0)
        await until(lambda: len(seen(gateway)) == 3)
        given, default, named = seen(gateway)
        assert given.source == b"\x03\x0910690001\0"
        assert default.source == b"\x03\x0910655\0"
        assert named.source == b"\x05\x00Acme\0"  # a rule for numbers makes no number of a name
        assert {message.destination[:2] for message in (given, default, named)} == {b"\x02\x08"}


@pytest.mark.parametrize("form", ["relative", "absolute", "none"])
async def test_validity_is_clamped_and_written_as_the_carrier_wants_it(tmp_path: Path, form: str) -> None:
    validities: list[bytes] = []
    carrier = {"validity_s_max": 3600, "validity_form": form}
    async with world(tmp_path, carrier=carrier) as gateway, bound(gateway.port, kind="transmitter") as peer:
        submit = gateway.sim.answers.submit

        def recorded(link: Any, command_id: int, sequence_number: int, body: bytes) -> None:
            fixed = body.split(b"\0", 1)[1]  # service_type
            after = fixed[2:].split(b"\0", 1)[1][2:].split(b"\0", 1)[1]  # both addresses
            validities.append(after[3:].split(b"\0", 1)[1].split(b"\0", 1)[0])  # schedule, then validity
            submit(link, command_id, sequence_number, body)

        gateway.sim.answers.submit = recorded  # type: ignore[method-assign]
        await peer.submit(validity_period=b"000007000000000R")  # a week
        await peer.submit(validity_period=b"000000000500000R")  # five minutes
        await until(lambda: len(validities) == 2)
        now_ms = gateway.core.clock.wall_ms()
    if form == "none":
        assert validities == [b"", b""]
    else:
        left = [
            (validity_deadline(validity, now_ms, default_s=0, max_s=10**7) - now_ms) / 1000
            for validity in validities
        ]
        assert 3590 <= left[0] <= 3601
        assert 290 <= left[1] <= 301


async def test_what_is_left_of_the_validity_after_waiting_is_what_the_carrier_gets(tmp_path: Path) -> None:
    """Held for two seconds in the queue, a validity of an hour has two seconds less."""
    validities: list[bytes] = []
    async with world(tmp_path, carrier={"state": "paused"}, bound=False) as gateway:
        async with bound(gateway.port) as peer:
            submit = gateway.sim.answers.submit

            def recorded(link: Any, command_id: int, sequence_number: int, body: bytes) -> None:
                at = body.index(b"R\0")
                validities.append(body[at - 15 : at + 1])
                submit(link, command_id, sequence_number, body)

            gateway.sim.answers.submit = recorded  # type: ignore[method-assign]
            await peer.submit(validity_period=b"000000010000000R")
            await trio.sleep(2)
            await gateway.apply({"carrier": [{"name": "c", "state": "active"}]})
            await until(lambda: seen(gateway))
        minutes, seconds = int(validities[0][8:10]), int(validities[0][10:12])
        assert (minutes, 50 <= seconds <= 58) == (59, True)


async def test_tlvs_are_dropped_and_added_as_the_carrier_wants(tmp_path: Path) -> None:
    carrier = {"tlv_drop": [int(Tag.USER_MESSAGE_REFERENCE)], "tlv_add": [[0x1400, "616263"]]}
    async with world(tmp_path, carrier=carrier) as gateway, bound(gateway.port, kind="transmitter") as peer:
        await peer.submit(tlvs=((Tag.USER_MESSAGE_REFERENCE, b"\1\2"), (0x1403, b"kept")))
        await until(lambda: seen(gateway))
        assert seen(gateway)[0].tlvs == {0x1403: b"kept", 0x1400: b"abc"}


async def test_a_3_3_carrier_sees_no_tlvs(tmp_path: Path) -> None:
    async with world(tmp_path, carrier={"interface_version": 0x33}) as gateway, bound(gateway.port) as peer:
        await peer.submit(tlvs=((0x1403, b"vendor"),))
        await until(lambda: seen(gateway))
        assert seen(gateway)[0].tlvs == {}


@pytest.mark.parametrize(("split", "octets"), [("udh8", 6), ("udh16", 7), ("sar", 0), ("payload", 6)])
@pytest.mark.parametrize("form", ["udh", "payload"])
async def test_parts_are_cut_as_the_carrier_wants(tmp_path: Path, split: str, octets: int, form: str) -> None:
    messages = await dressed(tmp_path, CHINESE * 6, carrier={"split": split}, long=form)
    assert joined(messages) == CHINESE * 6
    assert len(messages) == 3
    if (split, form) == ("udh16", "udh"):
        octets = 6  # a segment that the customer cut is full: a longer header has no room in it
    for number, message in enumerate(messages, 1):
        assert message.part[1:] == (3, number)
        if octets:
            assert message.esm_class & 0x40 and message.text[0] + 1 == octets
            assert (Tag.MESSAGE_PAYLOAD in message.tlvs) is (split == "payload")
        else:
            assert not message.esm_class & 0x40
            assert Tag.SAR_MSG_REF_NUM in message.tlvs


@pytest.mark.parametrize(("receipts", "asked"), [("always", [1, 1]), ("asked", [0, 1]), ("never", [0, 0])])
async def test_a_carrier_is_asked_for_receipts_as_its_settings_say(
    tmp_path: Path, receipts: str, asked: list[int]
) -> None:
    carrier = {"receipts": receipts}
    async with world(tmp_path, carrier=carrier) as gateway, bound(gateway.port, kind="transmitter") as peer:
        await peer.submit(registered_delivery=0)
        await peer.submit(registered_delivery=1)
        await until(lambda: len(seen(gateway)) == 2)
        assert [message.registered_delivery for message in seen(gateway)] == asked
