"""node-smpp in a process of its own, as a client or as a carrier; `node_peer.js` is its other half."""

import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from .packages import NODE_MODULES, node_with_smpp
from .world import until

SCRIPT = Path(__file__).with_name("node_peer.js")
ORDER_S_MAX = 30.0
ENDING_S_MAX = 15.0

Fields = dict[str, Any]


class NodePeer:
    """Orders go in, PDUs come out. `events` is everything told so far, in order."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._orders = 0
        self._answers: dict[int, Fields] = {}
        self.events: list[Fields] = []

    async def read(self) -> None:
        assert self._process.stdout is not None
        rest = b""
        async for data in self._process.stdout:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                event = json.loads(line)
                if "id" in event:
                    self._answers[event["id"]] = event
                else:
                    self.events.append(event)

    async def start_order(self, do: str, **order: Any) -> int:
        """Give an order without waiting for what comes of it; its number."""
        self._orders += 1
        assert self._process.stdin is not None
        line = json.dumps({"id": self._orders, "do": do, **order}) + "\n"
        await self._process.stdin.send_all(line.encode())
        return self._orders

    async def outcome(self, number: int) -> Fields:
        await until(lambda: number in self._answers, "node's answer to an order", at_most_s=ORDER_S_MAX)
        answer = self._answers.pop(number)
        assert "failed" not in answer, answer["failed"]
        return answer

    async def order(self, do: str, **order: Any) -> Fields:
        return await self.outcome(await self.start_order(do, **order))

    async def connect(self, **options: Any) -> int:
        """Connect; the number of the session."""
        return int((await self.order("connect", options=options))["session"])

    async def send(self, session: int, command: str, **fields: Any) -> Fields:
        """Send a request and give its response."""
        sent = await self.order("send", session=session, command=command, fields=fields)
        response: Fields = sent.get("pdu", {})
        return response

    async def answer(self, command: str, **plan: Any) -> None:
        """How to answer requests of a kind from now on; see node_peer.js."""
        await self.order("answer", command=command, plan=plan)

    def requests(self, command: str, session: int | None = None) -> list[Fields]:
        """Requests of a kind that came in, as node-smpp read them."""
        return [
            event["pdu"]
            for event in self.events
            if event.get("pdu", {}).get("command") == command and session in (None, event["session"])
        ]

    def answered(self, command: str) -> list[tuple[Fields, Fields]]:
        """Requests of a kind with what they were answered."""
        return [
            (event["pdu"], event["answered"])
            for event in self.events
            if event.get("pdu", {}).get("command") == command and event.get("answered") is not None
        ]

    @property
    def errors(self) -> list[Fields]:
        return [event for event in self.events if "error" in event or "tls_error" in event]


@asynccontextmanager
async def node_peer() -> AsyncIterator[NodePeer]:
    """A running node; it ends with its standard input."""
    node = node_with_smpp()
    async with trio.open_nursery() as nursery:
        process = await trio.lowlevel.open_process(
            [node, str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "NODE_PATH": str(NODE_MODULES)},
        )
        peer = NodePeer(process)
        nursery.start_soon(peer.read)
        try:
            yield peer
        finally:
            with trio.CancelScope(shield=True):
                assert process.stdin is not None
                await process.stdin.aclose()
                with trio.move_on_after(ENDING_S_MAX):
                    await process.wait()
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            nursery.cancel_scope.cancel()
    assert process.returncode == 0, "node ended in an error"


def octets(value: Any) -> bytes:
    """A field that node-smpp gave as a Buffer."""
    return bytes.fromhex(value["hex"])


def message_of(pdu: Fields) -> Any:
    """The text (str, or bytes where node-smpp knows no alphabet) of a deliver_sm or submit_sm."""
    content = pdu["short_message"]
    payload = pdu.get("message_payload")
    message = (payload if payload is not None else content)["message"]
    return octets(message) if isinstance(message, dict) else message
