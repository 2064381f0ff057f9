"""Who listens at the moment: long polls, event streams, WebSockets. Counted, bounded an account, ended at drain."""

from collections import Counter
from collections.abc import Callable

import trio

PER_ACCOUNT_MAX = 100  # listeners of one account; each costs a connection and a reading an event
NEVER = float("inf")


class Streams:
    """One for the daemon."""

    def __init__(self) -> None:
        self.leaving = False
        self.open: Counter[str] = Counter()  # by kind: "poll", "sse", "websocket"
        self.sent: Counter[str] = Counter()  # events, by kind
        self._by_account: Counter[int] = Counter()
        self._ends: set[Callable[[], None]] = set()

    def full(self, account_id: int) -> bool:
        """Whether an account has as many listeners as it may."""
        return self._by_account[account_id] >= PER_ACCOUNT_MAX

    def enter(self, kind: str, account_id: int, end: Callable[[], None]) -> Callable[[], None]:
        """A listener begins. `end` asks it to end soon. Returns what to call once when it has ended."""
        self.open[kind] += 1
        self._by_account[account_id] += 1
        self._ends.add(end)

        def left() -> None:
            if end in self._ends:
                self._ends.discard(end)
                self.open[kind] -= 1
                self._by_account[account_id] -= 1
                if not self._by_account[account_id]:
                    del self._by_account[account_id]

        return left

    def leave(self) -> None:
        """Ask all to end: they resume at their cursor with whoever runs next."""
        self.leaving = True
        for end in list(self._ends):
            end()


class Listener:
    """Waits for an account's log, until a time or the daemon's drain."""

    def __init__(self, streams: Streams, kind: str, account_id: int) -> None:
        self._streams = streams
        self._scope: trio.CancelScope | None = None
        self.close = streams.enter(kind, account_id, self.wake)

    def wake(self) -> None:
        """End the wait that is under way."""
        if self._scope is not None:
            self._scope.cancel()

    async def wait(self, changed: trio.Event, seconds: float = NEVER) -> None:
        """Until the event, or so many seconds, or `wake`."""
        if self._streams.leaving:
            return
        with trio.CancelScope() as self._scope:
            if seconds != NEVER:
                self._scope.deadline = trio.current_time() + max(0.0, seconds)
            await changed.wait()
        self._scope = None
