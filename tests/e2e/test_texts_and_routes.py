"""What a message says and where it goes: long texts, words, blacklists, routes, schedules, end to end."""

from pathlib import Path

import pytest

from filters.verdict import Reason
from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.smpp.constants import CommandId, MessageState, Status, Tag
from gateway.smpp.decode import decode_body
from gateway.smpp.pdu import SubmitSm
from gateway.smpp.receipts import parse_receipt
from gateway.smpp.times import format_absolute, format_relative
from store.model import PartFlag, State

from .peer import bound
from .world import UPSTREAM, stays, until, world

CHINESE = "尊敬的客户，您好！您的保险应于本月缴纳第三期续期保费，请于应缴日前存到约定的银行存折内。" * 4


def two() -> dict[str, SimCarrier]:
    return {"a": SimCarrier(**UPSTREAM), "b": SimCarrier(**UPSTREAM)}


@pytest.mark.parametrize("form", ["udh", "sar", "payload"])
async def test_a_long_chinese_text_arrives_whole_in_order_on_one_bind(tmp_path: Path, form: str) -> None:
    async with world(tmp_path, carrier={"binds": 3}) as gateway:
        await gateway.up(binds=3)
        async with gateway.customer(long=form) as esme:
            sent = await esme.submit(CHINESE, "8613700000001")
            assert [part.status for part in sent] == [0] * len(sent)
            await until(lambda: all(part.states == ["DELIVRD"] for part in sent))
        parts = list(gateway.sim.log.parts)
        assert len({part.link for part in parts}) == 1
        assert [part.message.part[2] for part in parts] == list(range(1, len(parts) + 1))
        octets = b"".join(part.message.text[part.message.text[0] + 1 :] for part in parts)
        assert octets.decode("utf-16-be") == CHINESE


async def test_a_masked_word_is_masked_at_the_carrier_and_the_original_is_kept(tmp_path: Path) -> None:
    async with world(tmp_path, document={"word": [{"text": "敏感", "action": "mask"}]}) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            answer = await peer.submit("这是敏 感词".encode("utf-16-be"), data_coding=8)
        await until(lambda: gateway.sim.log.parts)
        assert gateway.sim.log.parts[0].message.text.decode("utf-16-be") == "这是***词"
        life = await gateway.life(answer.message_id.decode())
        assert life.parts[0].flags & PartFlag.MASKED
        assert "敏 感".encode() in (life.parts[0].detail or b"")


@pytest.mark.parametrize(("action", "trusted"), [("reject", True), ("review", False)])
async def test_a_word_that_forbids_refuses_and_stores_nothing(
    tmp_path: Path, action: str, trusted: bool
) -> None:
    account = {"user": "acme", "system_id": "acme", "password": "secret", "trusted": trusted}
    document = {"word": [{"text": "赌博", "action": action}], "account": [account]}
    async with world(tmp_path, document=document) as gateway:
        async with bound(gateway.port) as peer:
            answer = await peer.submit("赌博".encode("utf-16-be"), data_coding=8)
            assert answer.command_status == Status.ESME_RSUBMITFAIL
            assert (await peer.submit("您好".encode("utf-16-be"), data_coding=8)).command_status == 0
        reason = Reason.WORD_REJECTED if action == "reject" else Reason.REVIEW_REQUIRED
        assert gateway.account().refused == {reason: 1}


async def test_a_number_blacklisted_while_it_waits_is_not_sent(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        await gateway.apply({"carrier": [{"name": "c", "state": "paused"}]})
        await until(lambda: not gateway.carrier().binds)
        async with bound(gateway.port) as peer:
            stopped = await peer.submit(to=b"8613700000001")
            passed = await peer.submit(to=b"8613700000002")
            await gateway.apply({"blacklist": [{"scope": "global", "numbers": ["8613700000001"]}]})
            receipt = parse_receipt(await peer.receive())
            assert (receipt.message_id.encode(), receipt.state) == (stopped.message_id, MessageState.REJECTED)
            refused = await peer.submit(to=b"8613700000001")
            assert refused.command_status == Status.ESME_RINVDSTADR
            await gateway.apply({"carrier": [{"name": "c", "state": "active"}]})
            await gateway.until_state(int(passed.message_id), State.DELIVERED)
        assert gateway.sim.log.destinations() == ["8613700000002"]
        assert await gateway.state(int(stopped.message_id)) == State.REJECTED


async def test_the_longest_prefix_decides_and_no_route_is_a_refusal(tmp_path: Path) -> None:
    routes = [{"prefix": "86", "carriers": ["a"]}, {"prefix": "86137", "carriers": ["b"]}]
    async with world(tmp_path, carriers=two(), document={"route": routes}) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            await peer.submit(to=b"8613800000001")
            await peer.submit(to=b"8613700000001")
            assert (await peer.submit(to=b"4420000001")).command_status == Status.ESME_RINVDSTADR
        await until(lambda: all(sim.log.parts for sim in gateway.carriers.values()))
        assert gateway.carriers["a"].log.destinations() == ["8613800000001"]
        assert gateway.carriers["b"].log.destinations() == ["8613700000001"]


async def test_a_carrier_that_is_down_is_passed_over_and_taken_again(tmp_path: Path) -> None:
    route = {"prefix": "", "carriers": ["a", "b"]}
    async with world(tmp_path, carriers=two(), document={"route": [route]}) as gateway:
        await gateway.apply({"carrier": [{"name": "a", "state": "paused"}]})
        await until(lambda: not gateway.carrier("a").binds)
        async with bound(gateway.port, kind="transmitter") as peer:
            await peer.submit(to=b"8613700000001")
            await until(lambda: gateway.carriers["b"].log.parts)
            await gateway.apply({"carrier": [{"name": "a", "state": "active"}]})
            await gateway.up("a")
            await peer.submit(to=b"8613700000002")
            await until(lambda: gateway.carriers["a"].log.parts)


async def test_what_waits_for_a_carrier_that_stays_down_moves_to_the_next(tmp_path: Path) -> None:
    route = {"prefix": "", "carriers": ["a", "b"]}
    async with world(tmp_path, carriers=two(), document={"route": [route]}) as gateway:
        await gateway.apply({"carrier": [{"name": n, "state": "paused"} for n in ("a", "b")]})
        await until(lambda: not gateway.carrier("a").binds and not gateway.carrier("b").binds)
        async with bound(gateway.port, kind="transmitter") as peer:
            for n in range(5):
                await peer.submit(to=b"8613700000%03d" % n)
        assert gateway.carrier("a").queue.length == 5
        await gateway.apply({"carrier": [{"name": "b", "state": "active"}]})
        await until(lambda: len(gateway.carriers["b"].log.parts) == 5)
        assert not gateway.carriers["a"].log.parts


async def test_balance_shares_by_weight(tmp_path: Path) -> None:
    route = {"prefix": "", "carriers": ["a", "b"], "policy": "balance", "weights": [3, 1]}
    async with world(tmp_path, carriers=two(), document={"route": [route]}) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            for n in range(40):
                await peer.submit(to=b"8613700000%03d" % n)
        await until(lambda: sum(len(sim.log.parts) for sim in gateway.carriers.values()) == 40)
        assert len(gateway.carriers["a"].log.parts) == 30


async def test_a_scheduled_message_is_kept_and_sent_at_its_time(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        at = format_absolute(gateway.core.clock.wall_ms() + 2_000)
        async with bound(gateway.port, kind="transmitter") as peer:
            answer = await peer.submit(schedule_delivery_time=at)
        await stays(lambda: not gateway.sim.log.parts, for_s=0.6)
        await gateway.until_state(int(answer.message_id), State.DELIVERED)
        assert gateway.sim.log.parts[0].message.text == b"text"


async def test_a_validity_that_ends_in_the_queue_is_an_expired_receipt_and_gives_the_quota_back(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as gateway:
        await gateway.apply({"carrier": [{"name": "c", "state": "paused"}]})
        await until(lambda: not gateway.carrier().binds)
        async with bound(gateway.port) as peer:
            answer = await peer.submit(validity_period=format_relative(1))
            await stays(lambda: True, for_s=1.2)
            await gateway.apply({"carrier": [{"name": "c", "state": "active"}]})
            receipt = parse_receipt(await peer.receive())
        assert (receipt.message_id.encode(), receipt.state) == (answer.message_id, MessageState.EXPIRED)
        assert not gateway.sim.log.parts
        balance = gateway.core.quota.balances[gateway.account().user.id]
        assert (balance.reserved, balance.used) == (0, 0)


async def test_the_carrier_is_told_what_is_left_of_a_validity(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            message_id = (await peer.submit(validity_period=format_relative(3600))).message_id
        await gateway.until_state(int(message_id), State.DELIVERED)
        life = await gateway.life(message_id.decode())
        sent = decode_body(CommandId.SUBMIT_SM, life.attempts[0].pdu or b"")
        assert isinstance(sent, SubmitSm)
        assert sent.validity_period in {format_relative(seconds) for seconds in range(3570, 3601)}


async def test_vendor_tlvs_of_the_customer_reach_the_carrier(tmp_path: Path) -> None:
    tlvs = ((0x1403, b"12345"), (int(Tag.USER_MESSAGE_REFERENCE), b"\0\7"))
    async with world(tmp_path) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            await peer.submit(tlvs=tlvs)
        await until(lambda: gateway.sim.log.parts)
        assert gateway.sim.log.parts[0].message.tlvs == dict(tlvs)


async def test_no_user_overspends_and_a_refused_submit_costs_nothing(tmp_path: Path) -> None:
    user = {"login": "acme", "group": "g", "limit": 25}
    behaviour = Behaviour(submit_fails=1.0)
    async with world(tmp_path, behaviour, document={"user": [user]}) as gateway:
        async with bound(gateway.port, kind="transmitter") as peer:
            for n in range(25):
                await peer.submit(to=b"8613700000%03d" % n)
            balance = gateway.core.quota.balances[gateway.account().user.id]
            await until(lambda: balance.available == 25)
            assert (await peer.submit()).command_status == 0
