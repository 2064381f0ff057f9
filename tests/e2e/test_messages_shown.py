"""What the console reads of the running daemon's messages: found by text, number and reason, with their whole lives."""

from pathlib import Path

import msgspec
import trio

from gateway.console import ConsoleOperations
from gateway.sim.behaviour import Behaviour
from gateway.webhooks.service import WebhookNews
from store.model import State
from store.reads_messages import MessageFilter
from tests.api.test_api_webhooks import ALLOWED, MANAGER, WITH_KEYS, added, receiving
from tests.api.world import KEY, bound, delivering
from tests.webhooks.world import status_line

from .test_tasks import send
from .world import until, world

END = 1 << 62


async def test_a_message_is_found_by_its_text_and_told_with_its_receipt(tmp_path: Path) -> None:
    async with world(tmp_path, Behaviour(states={"UNDELIV": 1.0})) as gateway:
        async with gateway.customer() as esme:
            await esme.send("您的验证码是 482913", "8613800138000")
            await esme.send("something else", "8613800138001")
            await until(lambda: not esme.books.missing and not esme.books.unanswered)
        asked = ConsoleOperations(gateway.daemon)
        wanted = MessageFilter(needles=asked.message_needles("验证码"))
        (row,) = (await gateway.read(lambda s: s.find_messages(wanted, END, 10))).rows
        assert asked.message_text(row.parts) == "您的验证码是 482913"
        assert (row.state, row.error, row.taken) == (State.FAILED, 34, True)
        life = await gateway.life(row.id)
        said = asked.receipt_said(life.receipts[0])
        assert (said.stat, said.err) == ("UNDELIV", "034")
        assert row.smsc_message_id == said.smsc_message_id
        assert asked.message_number(str(row.id)) == row.id
        assert asked.message_number(asked.shown_message_id(row.id)) == row.id
        assert asked.message_number("hello") == 0
        assert asked.route_title(row.parts[0].route).startswith('""')
        assert asked.traffic().message(row.id) == life


async def test_why_a_task_s_messages_failed_is_counted_apart_by_who_said_no(tmp_path: Path) -> None:
    behaviour = Behaviour(states={"UNDELIV": 1.0})
    async with world(tmp_path, behaviour, carrier={"rate": 200}) as gateway:
        task = await send(gateway.daemon, 12)
        asked = ConsoleOperations(gateway.daemon)

        async def counted() -> dict[tuple[int, int, bool], int]:
            return await asked.failures(task)

        found: dict[tuple[int, int, bool], int] = {}
        while sum(found.values()) < 12:
            found = await counted()
        assert found == {(State.FAILED, 34, True): 12}
        wanted = MessageFilter(task=task, states=frozenset({State.FAILED}), errors=frozenset({34}))
        rows = (await gateway.read(lambda s: s.find_messages(wanted, END, 50))).rows
        assert len(rows) == 12
        assert await asked.webhook_news(rows[0].parts[0].account, [1]) == []
        assert msgspec.structs.asdict(wanted)["task"] == task


async def test_of_a_webhook_it_is_told_whether_it_has_a_receipt_or_tries_again(
    tmp_path: Path,
) -> None:
    async with (
        receiving() as (receiver, url),
        delivering(tmp_path, document=WITH_KEYS, webhooks=ALLOWED) as (gateway, _),
    ):
        await bound(gateway)
        manager, api = await gateway.connect(MANAGER), await gateway.connect(KEY)
        asked = ConsoleOperations(gateway.daemon)
        await added(manager, url=url)

        async def news(message: int) -> WebhookNews:
            """Once a receipt is there."""
            while True:
                life = await gateway.daemon.ports.store.read(lambda s: s.message(message))
                if life is not None and life.receipts:
                    (found,) = await asked.webhook_news(life.parts[0].account, [life.receipts[0].id])
                    return found
                await trio.sleep(0.01)

        async def state(message: int, wanted: str) -> WebhookNews:
            with trio.fail_after(20):
                while (found := await news(message)).state != wanted:
                    await trio.sleep(0.01)
            return found

        first = asked.message_number((await api.send())["id"])
        assert (await state(first, "settled")).name == "crm"
        receiver.answers(status_line(500))
        second = asked.message_number((await api.send())["id"])
        again = await state(second, "again")
        assert (again.status, again.at > 0) == (500, True)
        assert again.attempts >= 1
        assert (await state(first, "settled")).attempts == 0
        assert await asked.webhook_news(999, [1]) == []
