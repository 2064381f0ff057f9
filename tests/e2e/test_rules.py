"""Sensitive words, blacklists, senders, quota: at the door and again at dispatch, with an answer that says why."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.sim.behaviour import Behaviour
from gateway.sim.esme import SimEsme
from gateway.smpp.constants import Status
from gateway.smpp.text import decode_text
from store.directory import BlacklistScope
from store.model import PartFlag, State
from store.rules import blacklist_add
from store.word_hits import word_hits

from .peer import bound
from .world import PASSWORD, PEOPLE, World, config, until, world

PAUSED = {"state": "paused"}


def account(**settings: Any) -> dict[str, Any]:
    return {"user": "acme", "system_id": "acme", "password": PASSWORD, **settings}


def texts(gateway: World) -> list[str]:
    return [decode_text(p.message.text, p.message.data_coding) for p in gateway.sim.log.parts]


def balance(gateway: World, login: str = "acme") -> tuple[int, int, int]:
    """(available, reserved, used)."""
    user = next(u for u in gateway.core.directory.users.values() if u.login == login)
    held = gateway.core.quota.balances[user.id]
    return held.available, held.reserved, held.used


# -- words --------------------------------------------------------------------------------------------

WORDS = {
    "word": [
        {"text": "中奖", "action": "mask"},
        {"text": "赌博", "action": "reject"},
        {"text": "贷款", "action": "review"},
        {"text": "casino", "action": "reject"},
    ]
}


async def test_words_mask_and_reject_in_every_alphabet(tmp_path: Path) -> None:
    async with world(tmp_path, document=WORDS) as gateway, gateway.customer() as esme:
        (masked,) = await esme.submit("恭喜您中奖了", "8613700000001")
        (rejected,) = await esme.submit("网上赌 博平台", "8613700000002")
        (latin,) = await esme.submit("the best CASINO in town", "8613700000003")
        (plain,) = await esme.submit("您的订单已发货", "8613700000004")
        assert [one.status for one in (masked, rejected, latin, plain)] == [
            0,
            Status.ESME_RSUBMITFAIL,
            Status.ESME_RSUBMITFAIL,
            0,
        ]
        await until(lambda: len(gateway.sim.log.parts) == 2)
        assert texts(gateway) == ["恭喜您**了", "您的订单已发货"]
        part = (await gateway.life(masked.message_id)).parts[0]
        assert part.flags & PartFlag.MASKED
        assert msgspec.msgpack.decode(part.detail)["original"] == "恭喜您中奖了"


async def test_a_word_for_review_stops_only_accounts_that_are_not_trusted(tmp_path: Path) -> None:
    document = {**WORDS, "account": [account(), account(system_id="new", trusted=False)]}
    async with world(tmp_path, document=document) as gateway:
        async with gateway.customer() as trusted, gateway.customer(system_id="new") as new:
            (passed,) = await trusted.submit("低息贷款", "8613700000001")
            (stopped,) = await new.submit("低息贷款", "8613700000002")
            assert (passed.status, stopped.status) == (0, Status.ESME_RSUBMITFAIL)


async def test_a_group_that_reviews_refuses_what_is_not_trusted(tmp_path: Path) -> None:
    document = {
        "group": [{"path": "g", "granted": "unlimited", "review": "review"}],
        "account": [account(trusted=False)],
    }
    async with world(tmp_path, document=document) as gateway, gateway.customer() as esme:
        (sent,) = await esme.submit("harmless", "8613700000001")
        assert sent.status == Status.ESME_RSUBMITFAIL


async def test_masking_that_shortens_a_text_costs_fewer_parts(tmp_path: Path) -> None:
    """With its only Chinese word masked a text fits the GSM alphabet: 1 part where it would have been 2."""
    async with world(tmp_path, document=WORDS) as gateway, bound(gateway.port) as peer:
        text = ("x" * 80 + "中奖").encode("utf-16-be")
        answer = await peer.submit(b"", data_coding=8, tlvs=((0x0424, text),))
        await until(lambda: gateway.sim.log.parts)
        assert texts(gateway) == ["x" * 80 + "**"]
        assert gateway.sim.log.parts[0].message.data_coding == 0
        assert len((await gateway.life(int(answer.message_id))).parts) == 1
        await gateway.until_state(int(answer.message_id), State.DELIVERED)
        assert balance(gateway)[2] == 1


async def test_words_are_found_across_the_parts_that_we_would_cut(tmp_path: Path) -> None:
    async with world(tmp_path, document=WORDS) as gateway, bound(gateway.port, kind="transmitter") as peer:
        text = ("您" * 66 + "赌博" + "您" * 20).encode("utf-16-be")
        answer = await peer.submit(b"", data_coding=8, tlvs=((0x0424, text),))
        assert answer.command_status == Status.ESME_RSUBMITFAIL
        assert not gateway.sim.log.parts


async def test_new_words_count_from_when_apply_returns(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway, gateway.customer() as esme:
        (before,) = await esme.submit("poison", "8613700000001")
        await gateway.apply({"word": [{"text": "poison", "action": "reject"}]})
        (after,) = await esme.submit("poison", "8613700000001")
        await gateway.apply({"word": [{"text": "poison", "remove": True}]})
        (again,) = await esme.submit("poison", "8613700000001")
        assert [one.status for one in (before, after, again)] == [0, Status.ESME_RSUBMITFAIL, 0]


async def test_messages_that_hold_a_word_are_counted_by_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.daemon.RULES_PERIOD_S", 0.05)
    async with world(tmp_path, document=WORDS) as gateway, gateway.customer() as esme:
        for text in ("恭喜您中奖了，中奖了", "您中奖了 casino", "plain"):
            await esme.submit(text, "8613700000001")

        def counted() -> tuple[int, int, int]:
            with gateway.daemon.configuration.reading() as connection:
                found = [word_hits(connection, word) for word in ("中奖", "casino", "贷款")]
            return found[0], found[1], found[2]

        await until(lambda: counted() == (2, 1, 0))


# -- blacklists ---------------------------------------------------------------------------------------


async def test_three_kinds_of_blacklist_each_hold_for_their_own(tmp_path: Path) -> None:
    document = {
        "sms_type": [{"name": "api"}, {"name": "promo"}],
        "group": [
            {"path": "g", "granted": "unlimited", "review": "trust"},
            {"path": "g/sub", "granted": 1000},
        ],
        "user": [
            {"login": "acme", "group": "g", "limit": 100},
            {"login": "sub", "group": "g/sub", "limit": 100},
        ],
        "account": [
            account(),
            account(user="sub", system_id="sub"),
            account(system_id="promo", sms_type="promo"),
        ],
        "blacklist": [
            {"scope": "global", "numbers": ["8613700000001"]},
            {"scope": "group:g", "numbers": ["8613700000002"]},
            {"scope": "group:g/sub", "numbers": ["8613700000003"]},
            {"scope": "type:promo", "numbers": ["8613700000004"]},
        ],
    }
    refused = {
        "acme": ["1", "2"],
        "sub": ["1", "2", "3"],  # a group's list holds for the groups below it
        "promo": ["1", "2", "4"],
    }
    async with world(tmp_path, document=document) as gateway:
        for system_id, wanted in refused.items():
            async with gateway.customer(system_id=system_id) as esme:
                sent = {n: (await esme.submit("text", f"861370000000{n}"))[0].status for n in "12345"}
                assert [n for n, status in sent.items() if status == Status.ESME_RINVDSTADR] == wanted
                assert all(status in (0, Status.ESME_RINVDSTADR) for status in sent.values())


async def test_a_number_that_is_blacklisted_while_its_message_waits_is_not_sent(tmp_path: Path) -> None:
    settings = config(limits={"queue_parts_max": 5})  # most of them wait in the store, not in memory
    async with world(tmp_path, carrier=PAUSED, bound=False, settings=settings) as gateway:
        async with gateway.customer(window=50) as esme:
            for n in range(20):
                await esme.send("text", f"86137000000{n:02}")
            await until(lambda: not esme.books.unanswered)
            listed = [f"86137000000{n:02}" for n in (1, 7, 19)]
            await gateway.apply({"blacklist": [{"scope": "global", "numbers": listed}]})
            await gateway.apply({"carrier": [{"name": "c", "state": "active"}]})
            await until(lambda: not esme.books.missing)
            assert set(gateway.sim.log.destinations()).isdisjoint(listed)
            assert len(gateway.sim.log.parts) == 17
            for sent in esme.books.sent:
                assert sent.states == ["REJECTD" if sent.destination in listed else "DELIVRD"]
        assert balance(gateway)[1:] == (0, 17)


async def test_a_number_that_leaves_the_blacklist_is_sent_to_again(tmp_path: Path) -> None:
    document = {"blacklist": [{"scope": "global", "numbers": ["8613700000001"]}]}
    async with world(tmp_path, document=document) as gateway, gateway.customer() as esme:
        (first,) = await esme.submit("text", "8613700000001")
        await gateway.apply(
            {"blacklist": [{"scope": "global", "numbers": ["8613700000001"], "remove": True}]}
        )
        (second,) = await esme.submit("text", "8613700000001")
        assert (first.status, second.status) == (Status.ESME_RINVDSTADR, 0)


async def test_a_number_that_was_listed_until_now_is_sent_to_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.daemon.RULES_PERIOD_S", 0.05)
    async with world(tmp_path) as gateway, gateway.customer() as esme:
        configuration, scope = gateway.daemon.configuration, BlacklistScope("global")
        for number, after_ms in ((8613700000001, 500), (8613700000002, 3_600_000)):
            with configuration.writing("console:sys") as write:
                blacklist_add(write, scope, [number], source="manual", expires_at=write.at + after_ms)
        await gateway.daemon.reload()
        (first,) = await esme.submit("text", "8613700000001")
        assert first.status == Status.ESME_RINVDSTADR
        await until(lambda: 8613700000001 not in configuration.blacklists()[scope])
        await until(lambda: gateway.core.screens.blacklists.check(8613700000001, (), "") is None)
        (second,) = await esme.submit("text", "8613700000001")
        (other,) = await esme.submit("text", "8613700000002")
        assert (second.status, other.status) == (0, Status.ESME_RINVDSTADR)


# -- senders ------------------------------------------------------------------------------------------


async def test_an_account_sends_only_as_whom_it_may(tmp_path: Path) -> None:
    document = {"account": [account(senders=["Acme", "1069*"], default_sender="10691")]}
    async with world(tmp_path, document=document) as gateway, bound(gateway.port, kind="transmitter") as peer:
        for sender, status in (
            (b"Acme", 0),
            (b"10690001", 0),
            (b"Bank", Status.ESME_RINVSRCADR),
            (b"1068", Status.ESME_RINVSRCADR),
            (b"", 0),
        ):
            ton = 1 if sender.isdigit() or not sender else 5
            answer = await peer.submit(source_addr=sender, source_addr_ton=ton)
            assert answer.command_status == status
        await until(lambda: len(gateway.sim.log.parts) == 3)
        assert gateway.sim.log.parts[2].message.source_addr == "10691"


# -- quota --------------------------------------------------------------------------------------------


async def test_quota_is_never_overspent_whatever_comes_at_once(tmp_path: Path) -> None:
    document = {"user": [{"login": "acme", "group": "g", "limit": 50}]}
    async with world(tmp_path, document=document) as gateway:
        async with gateway.customer(binds=4, window=100, flood=True) as esme:
            for n in range(120):
                await esme.send("text", f"8613700000{n:03}")
            await until(lambda: not esme.books.unanswered and not esme.books.missing)
            assert esme.report().accepted == 50
            assert esme.report().refused == {"00000045": 70}
        assert balance(gateway) == (0, 0, 50)
        assert len(gateway.sim.log.parts) == 50


async def test_quota_counts_parts_and_gives_back_what_no_carrier_took(tmp_path: Path) -> None:
    document = {"user": [{"login": "acme", "group": "g", "limit": 10}]}
    async with world(tmp_path, Behaviour(errors={"45": 1}), document=document) as gateway:
        async with gateway.customer(long="payload") as esme:
            (sent,) = await esme.submit("x" * 450, "8613700000001")  # three parts
            await until(lambda: sent.states == ["UNDELIV"])
            await until(lambda: balance(gateway) == (10, 0, 0))
            gateway.sim.behaviour = Behaviour()
            (sent,) = await esme.submit("x" * 450, "8613700000001")
            await until(lambda: sent.states == ["DELIVRD"])
            assert balance(gateway) == (7, 0, 3)
            (refused,) = await esme.submit("x" * 1530, "8613700000001")  # ten
            assert refused.status == Status.ESME_RSUBMITFAIL
            assert balance(gateway) == (7, 0, 3)


async def test_a_top_up_counts_at_once_and_everything_survives_a_restart(tmp_path: Path) -> None:
    document = {"user": [{"login": "acme", "group": "g", "limit": 2}]}

    async def submit(esme: SimEsme, count: int) -> list[int]:
        return [(await esme.submit("text", f"861370000000{n}"))[0].status for n in range(count)]

    async with world(tmp_path, document=document) as gateway, gateway.customer() as esme:
        assert await submit(esme, 3) == [0, 0, Status.ESME_RSUBMITFAIL]
        await gateway.apply({"user": [{"login": "acme", "group": "g", "limit": 4}]})
        assert await submit(esme, 1) == [0]
        await until(lambda: not esme.books.missing)
    async with world(tmp_path, applied=False, carriers={}) as gateway:
        assert balance(gateway) == (1, 0, 3)
        async with gateway.customer() as esme:
            assert await submit(esme, 2) == [0, Status.ESME_RSUBMITFAIL]
        assert balance(gateway) == (0, 1, 3)


async def test_users_of_one_group_have_their_own_limits(tmp_path: Path) -> None:
    document = {
        "user": [*PEOPLE["user"], {"login": "small", "group": "g", "limit": 1}],
        "account": [account(), account(user="small", system_id="small")],
    }
    async with world(tmp_path, document=document) as gateway:
        async with gateway.customer(system_id="small") as small, gateway.customer() as acme:
            statuses = [(await small.submit("text", "8613700000001"))[0].status for _ in range(2)]
            assert statuses == [0, Status.ESME_RSUBMITFAIL]
            assert (await acme.submit("text", "8613700000001"))[0].status == 0


@pytest.mark.parametrize("state", ["disabled"])
async def test_a_user_who_is_disabled_is_unbound(tmp_path: Path, state: str) -> None:
    async with world(tmp_path) as gateway, bound(gateway.port) as peer:
        await gateway.apply({"user": [{"login": "acme", "group": "g", "state": state}]})
        assert await peer.is_closed()
