"""The stream behind an open page, and the same figures for one that cannot stream."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import trio
from litestar import Response, get
from litestar.types import ASGIApp, Receive, Scope, Send

from admin.live import LiveHub, Moment, TooMany, Topic, by_reach, read_watches
from admin.pages import dashboard, gateway, task, tasks
from admin.permissions import allow
from admin.rendering import format_number
from admin.view import FromView, View
from store.tasks import TaskFilter, count_tasks

RETRY_AFTER_S = "60"
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


def _review(view: View, moment: Moment, connection: Any, _: tuple[int, ...]) -> dict[str, Any]:
    return {
        "review": format_number(
            count_tasks(connection, view.within("review"), TaskFilter(states=("review",)))
        )
    }


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic("review", "review", _review, by_reach),
        *dashboard.TOPICS,
        *gateway.TOPICS,
        *task.TOPICS,
        *tasks.TOPICS,
    )
}


def _since(view: View) -> int:
    """Up to which second the page has the chart: the browser's word at a reconnection, or the page's own."""
    asked = view.request.headers.get("last-event-id", "") or str(view.request.query_params.get("since", ""))
    return int(asked) if asked.isdecimal() and len(asked) < 12 else 0


def _asked(view: View) -> list[str]:
    return [str(one) for one in view.request.query_params.getall("topic", [])]


class EventStream:
    """Sends the octets of a stream until it ends or the browser goes, and closes it then at once."""

    def __init__(self, octets: AsyncGenerator[bytes, None]) -> None:
        self._octets = octets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._octets) as octets, trio.open_nursery() as nursery:

            async def listen() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                nursery.cancel_scope.cancel()

            nursery.start_soon(listen)
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            async for some in octets:
                await send({"type": "http.response.body", "body": some, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            nursery.cancel_scope.cancel()


@get("/stream", **allow("session", quiet=True))
async def stream(view: FromView) -> ASGIApp:
    """Server-sent events of the topics that the address names; 503 where there are too many already."""
    hub: LiveHub = view.console.hub
    try:
        place = hub.enter(view, read_watches(view, _asked(view), hub.topics))
    except TooMany:
        headers = {"retry-after": RETRY_AFTER_S, "cache-control": "no-store"}
        refused: ASGIApp = Response("", status_code=503, media_type="text/plain", headers=headers)  # type: ignore[assignment]
        return refused
    return EventStream(hub.stream(place, _since(view)))


@get("/figures", **allow("session", quiet=True))
async def figures(view: FromView) -> Response[Any]:
    """What the stream would say now, once."""
    hub: LiveHub = view.console.hub
    found = await hub.figures_now(view, read_watches(view, _asked(view), hub.topics))
    if "ticks" in found:
        found["ticks"] = [row for row in found["ticks"] if row[0] > _since(view)]
    return Response(found, headers={"cache-control": "no-store"})


ROUTES = (stream, figures)
