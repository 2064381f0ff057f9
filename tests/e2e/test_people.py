"""What people see: a message's whole life, the control socket, the log."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.api.ids import MESSAGE, show
from gateway.control import ControlClient
from gateway.daemon import serve_extras
from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.smpp.pdu import SmeAddress, SubmitMulti, SubmitMultiResp
from store.model import State
from tests.gateway.cli_runner import sluice

from .peer import bound, connected
from .world import UPSTREAM, World, config, until, world

RETRY = {"receipts": {"retry_s_min": 0.1, "retry_s_max": 0.2}}


async def message(gateway: World, message_id: bytes | str, *options: str) -> str:
    """What `sluice message ID` prints."""
    identifier = message_id.decode() if isinstance(message_id, bytes) else message_id
    arguments = ("message", identifier, "--data", gateway.daemon.data, *options)
    run = await trio.to_thread.run_sync(lambda: sluice(*arguments))
    assert (run.code, run.err) == (0, "")
    return run.out


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


async def test_a_messages_whole_life(tmp_path: Path) -> None:
    """Masked, failed over, refused once, accepted, receipted, delivered at the second try."""
    document = {
        "word": [{"text": "中奖", "action": "mask"}],
        "route": [{"prefix": "86", "carriers": ["a", "b"]}, {"prefix": "", "carriers": ["a"]}],
    }
    carriers = {
        "a": SimCarrier(Behaviour(bind_status=0x0D), **UPSTREAM),
        "b": SimCarrier(Behaviour(throttled=1.0), **UPSTREAM),
    }
    async with world(
        tmp_path / "data", carriers=carriers, document=document, settings=config(**RETRY), bound=False
    ) as gateway:
        await gateway.up("b")
        await gateway.nursery.start(serve_extras, gateway.daemon)
        async with bound(gateway.port) as peer:
            text = "恭喜您中奖了".encode("utf-16-be")
            answer = await peer.submit(text, data_coding=8, validity_period=b"000000010000000R")
            await until(lambda: gateway.carrier("b").throttled)
            carriers["b"].behaviour = Behaviour()
            await peer.receive(0x64)
            await peer.receive(0)
        await gateway.until_tries(int(answer.message_id), [(0x64, False), (0, True)])
        printed = await message(gateway, answer.message_id)
        lines = [line.strip() for line in printed.splitlines()]
        sent = carriers["b"].log.parts[0].message
        assert lines[0] == (
            f"Message {answer.message_id.decode()} of account acme: 10690001 to 8613700000001, 1 part"
        )
        assert lines[1].endswith("DELIVERED")
        told = [re.sub(r"^\S+ \S+  ", "", line) for line in lines[2:]]
        assert told[0].startswith("accepted: 12 octets, data_coding 8, normal, wants a receipt, valid until ")
        assert told[1] == "words: 中奖 (mask): masked"
        assert told[2].startswith(
            'route "86" (failover: a, b), the longest prefix that fits: b, as the carriers'
        )
        first = next(line for line in told if line.startswith("try 1: sent to b, bind "))
        assert sent.text.hex() in first
        assert re.search(r": 000000[0-9a-f]{2}0000000400000000[0-9a-f]{8}00", first)  # the whole PDU
        assert "try 1: ESME_RTHROTTLED" in told
        assert any(re.fullmatch(r"try \d: ESME_ROK, smsc_message_id 1", line) for line in told)
        receipt = next(line for line in told if line.startswith("receipt DELIVERED, from b, bind "))
        assert b"stat:DELIVRD".hex() in receipt
        assert "ended as DELIVERED" in told
        number = gateway.account().binds
        assert number == []
        tries = [line for line in told if line.startswith("receipt DELIVERED to smpp:")]
        assert [line.partition(": ")[2] for line in tries] == [
            "ESME_RX_T_APPN, to be tried again",
            "ESME_ROK",
        ]
        order = [told.index(line) for line in (told[0], first, receipt, "ended as DELIVERED", tries[0])]
        assert order == sorted(order)
        assert "恭喜您" not in printed and UPSTREAM["password"] not in printed
        with_text = await message(gateway, answer.message_id, "--text")
        assert "恭喜您**了" in with_text and "it said: 恭喜您中奖了" in with_text


async def test_the_lives_of_other_fates(tmp_path: Path) -> None:
    async with world(tmp_path / "data", carrier={"state": "paused"}, bound=False) as gateway:
        await gateway.nursery.start(serve_extras, gateway.daemon)
        async with bound(gateway.port, kind="transmitter") as peer:
            scheduled = await peer.submit(schedule_delivery_time=b"000000010000000R", priority_flag=3)
            cut = await peer.submit(b"", tlvs=((0x0424, b"x" * 400),))
            many = SubmitMulti(
                destinations=(SmeAddress(1, 1, b"8613700000001"), SmeAddress(1, 1, b"8613700000002")),
                short_message=b"text",
            )
            multi = await peer.ask(many, SubmitMultiResp)
            listed = await peer.submit(to=b"8613700000003")
            await gateway.apply({"blacklist": [{"scope": "global", "numbers": ["8613700000003"]}]})
            await gateway.until_state(int(listed.message_id), State.REJECTED)
        assert "urgent, wants a receipt, to be sent at " in await message(gateway, scheduled.message_id)
        assert "SCHEDULED" in await message(gateway, scheduled.message_id)
        assert "cut here: part 3 of 3" in await message(gateway, cut.message_id)
        second = await message(gateway, str(int(multi.message_id) + 1))
        assert f"one number of a submit_multi, whose customer was given {multi.message_id.decode()}" in second
        ended = await message(gateway, listed.message_id)
        assert "ended as REJECTED (The number was blacklisted after the message was accepted" in ended


async def test_a_lost_answer_is_part_of_the_life(tmp_path: Path) -> None:
    lost = Behaviour(lost_responses=1.0, receipts=False)
    carrier = {"response_timeout_s": 0.2}
    async with world(tmp_path / "data", lost, carrier=carrier) as gateway:
        await gateway.nursery.start(serve_extras, gateway.daemon)
        async with bound(gateway.port, kind="transmitter") as peer:
            answer = await peer.submit()
        await until(lambda: len(gateway.sim.log.parts) == 2)
        gateway.sim.behaviour = Behaviour()
        await gateway.until_state(int(answer.message_id), State.DELIVERED)
        printed = await message(gateway, answer.message_id)
        assert "try 1: no answer in time" in printed
        assert "it may have been sent twice" in printed


async def test_commands_reach_the_daemon_by_its_socket(tmp_path: Path) -> None:
    document = {"account": [{"user": "acme", "system_id": "acme", "password": "s3cret-of-acme"}]}
    async with world(tmp_path / "data", document=document) as gateway:
        await gateway.nursery.start(serve_extras, gateway.daemon)
        assert (gateway.daemon.data / "control.sock").stat().st_mode & 0o777 == 0o600
        data = ("--data", gateway.daemon.data)

        async def run(*arguments: Any) -> Any:
            return await trio.to_thread.run_sync(lambda: sluice(*arguments, *data))

        sent = await run("send", "--account", "acme", "--to", "+8613700000001", "--text", "短信 " * 50)
        assert sent.code == 0
        await until(lambda: len(gateway.sim.log.parts) == 3)
        await gateway.until_state(int(sent.out), State.DELIVERED)
        over_http = await run("message", show(MESSAGE, int(sent.out)))  # as the HTTP API names it
        assert over_http.out.startswith(f"Message {sent.out.strip()} of account acme")
        refused = await run("send", "--account", "acme", "--to", "nonsense", "--text", "x")
        assert (refused.code, refused.err.startswith("Refused: The destination")) == (1, True)
        unknown = await run("send", "--account", "nobody", "--to", "8613700000001", "--text", "x")
        assert 'There is no account "nobody". Accounts: acme.' in unknown.err
        (gateway.daemon.data.parent / "d.toml").write_text('[[word]]\ntext = "poison"\naction = "reject"\n')
        applied = await run("apply", gateway.daemon.data.parent / "d.toml")
        assert (applied.code, "poison" in applied.out) == (0, True)
        rejected = await run("send", "--account", "acme", "--to", "8613700000001", "--text", "poison")
        assert "forbidden word" in rejected.err
        copy = tmp_path / "copy"
        assert (await run("backup", copy)).code == 0
        shutil.copy(gateway.daemon.data / "secrets.key", copy)  # which no backup holds
        kept = await trio.to_thread.run_sync(lambda: sluice("message", sent.out.strip(), "--data", copy))
        assert "DELIVERED" in kept.out
        exported = await run("export")
        assert "poison" in exported.out and "s3cret" not in exported.out


async def test_status_shows_what_moves_and_what_holds_it_back(tmp_path: Path) -> None:
    async with world(tmp_path / "data", Behaviour(response_latency_s=0.5), carrier={"window": 2}) as gateway:
        await gateway.nursery.start(serve_extras, gateway.daemon)
        client = ControlClient(gateway.daemon.data)
        async with gateway.customer(window=50) as esme:
            for n in range(10):
                await esme.send("text", f"861370000000{n}")
            await until(lambda: not esme.books.unanswered)
            status = await trio.to_thread.run_sync(lambda: client.call("status"))
            (carrier,), (account,) = status["carriers"], status["accounts"]
            assert carrier["limited_by"] == "window"
            assert (carrier["queued"], carrier["binds"][0]["window_used"]) == (8, 2)
            assert (account["accepted"], account["binds"], account["system_id"]) == (10, 1, "acme")
            assert status["listeners"]["smpp"] == f"127.0.0.1:{gateway.port}"
            await until(lambda: not esme.books.missing)


async def test_the_log_reads_well_and_keeps_secrets(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    document = {"account": [{"user": "acme", "system_id": "acme", "password": "s3cret-of-acme"}]}
    async with world(tmp_path, document=document) as gateway:
        async with connected(gateway.port) as peer:
            await peer.bind(password="gue55-of-acme")
        async with connected(gateway.port) as peer:
            await peer.bind(password="s3cret-of-acme")
            await peer.submit(b"canary text", to=b"8613712345678")
            await peer.receive()
    logged = capfd.readouterr()
    text = logged.out + logged.err
    for secret in ("s3cret", "gue55", UPSTREAM["password"], "canary", "8613712345678"):
        assert secret not in text
    events = [line[31:].split("  ")[0].strip() for line in text.splitlines() if line.startswith("20")]
    said = [re.sub(r"^\[\w+ *\] *", "", event) for event in events]
    assert "Traceback" not in text
    assert [event for event in said if event in ("listening", "bound", "unbound", "draining", "stopped")] == [
        "listening", "bound", "bound", "unbound", "draining", "unbound", "stopped",
    ]  # fmt: skip
    assert "because=None" not in text
    assert "because='wrong password'" in text
