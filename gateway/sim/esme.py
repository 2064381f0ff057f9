"""A simulated ESME: a library for tests, and `sluice sim esme` for everybody.

    async with SimEsme(EsmeOptions(port=port, messages=100)) as esme:
        await esme.run()
        assert esme.report().missing == 0

or by hand: `await esme.bind_all()`, `sent = await esme.submit("text", "8613700000000")`,
`esme.books.inbound`.
"""

import ssl
from collections.abc import Awaitable, Callable

import msgspec
import trio

from gateway.sim.esme_bind import EsmeBind
from gateway.sim.esme_books import EsmeBooks, EsmeReport, Sent
from gateway.sim.esme_options import EsmeOptions
from gateway.sim.esme_texts import submit_bodies
from gateway.sim.nursery import HasNursery
from gateway.sim.texts import texts
from gateway.sim.wire import BINDS, Connect, LostFraming

TEXTS_MAX = 1000  # different texts of a run; then they come again
RECEIPT_POLL_S = 0.02
# A gateway that does not say goodbye to an unbind must not hold up a test.
UNBIND_WAIT_S = 2.0


class Refused(Exception):
    """The gateway refused a bind, or the connection ended before its answer."""

    def __init__(self, system_id: str, status: int, cause: str = "") -> None:
        self.status = status
        super().__init__(f"The bind of {system_id!r} was refused: {cause or f'status {status:#x}'}")


class SimEsme(HasNursery):
    """One application with its binds. `connect` replaces TCP, for streams that never leave the process."""

    def __init__(self, options: EsmeOptions | None = None, *, connect: Connect | None = None) -> None:
        self.options = options or EsmeOptions()
        self.books = EsmeBooks()
        self.binds: list[EsmeBind] = []
        self._connect = connect or self._tcp
        self._turn = 0
        self._reference = 0
        self.changed = trio.Event()

    def start_soon(self, task: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Run a task of a bind beside everything else."""
        self._nursery.start_soon(task, *arguments)

    def notify(self) -> None:
        """A bind answered, freed window, or died: who waits looks again."""
        self.changed.set()
        self.changed = trio.Event()

    async def bind_all(self) -> None:
        """Open all binds that the options ask for. Raises Refused, OSError."""
        kinds = ("transmitter", "receiver") if self.options.bind == "pair" else (self.options.bind,)
        for _ in range(self.options.binds):
            for kind in kinds:
                await self.bind_one(kind)

    async def bind_one(self, kind: str = "transceiver") -> EsmeBind:
        """Open one more bind. Raises Refused, OSError."""
        stream = await self._connect()
        bind = EsmeBind(self, stream, len(self.binds) + 1)
        try:
            status = await bind.bind(BINDS[kind])
        except (LostFraming, trio.BrokenResourceError) as error:
            await trio.aclose_forcefully(stream)
            raise Refused(self.options.system_id, 0, str(error)) from error
        if status:
            await trio.aclose_forcefully(stream)
            raise Refused(self.options.system_id, status)
        self.binds.append(bind)
        self._nursery.start_soon(bind.run)
        return bind

    async def submit(self, text: str, destination: str, *, bind: EsmeBind | None = None) -> list[Sent]:
        """Submit one text and wait for the answers of its parts (for ever, if none comes)."""
        sent = await self.send(text, destination, bind=bind)
        while any(part.status < 0 for part in sent):
            await self.changed.wait()
        return sent

    async def send(self, text: str, destination: str, *, bind: EsmeBind | None = None) -> list[Sent]:
        """Submit one text without waiting for answers, all parts on one bind, when its window has room."""
        self._reference += 1
        bodies = submit_bodies(self.options, text, destination, self._reference)
        while True:
            senders = [bind] if bind else [one for one in self.binds if one.sends]
            if not senders or not senders[0].sends:
                return []
            self._turn += 1
            chosen = senders[self._turn % len(senders)]
            room = self.options.window - len(chosen.pending)
            # A text with more parts than the window has slots goes when the window is empty.
            if self.options.flood or room >= min(len(bodies), self.options.window):
                return [chosen.submit(body, destination) for body in bodies]
            await self.changed.wait()

    async def run(self) -> EsmeReport:
        """Bind, send what the options ask for, wait for answers and receipts, unbind; the report."""
        options = self.options
        await self.bind_all()
        length = (options.characters, options.characters) if options.characters else (30, 60)
        pool = texts(min(options.messages, TEXTS_MAX), options.text, characters=length, seed=options.seed)
        start = trio.current_time()
        for number in range(options.messages):
            if options.rate:
                await trio.sleep_until(start + number / options.rate)
            destination = options.destination
            if not options.repeat_destination:
                destination = str(int(destination) + number).zfill(len(destination))
            await self.send(pool[number % len(pool)], destination)
        await self._settled()
        await self.unbind_all()
        return self.report()

    async def _settled(self) -> None:
        """Until every submit_sm is answered and every receipt is here, or `wait_s` is over."""
        receipts = self.options.registered_delivery == 1 and self.options.bind != "transmitter"
        with trio.move_on_after(self.options.wait_s):
            while any(bind.alive for bind in self.binds):
                if not self.books.unanswered and not (receipts and self.books.missing):
                    return
                await trio.sleep(RECEIPT_POLL_S)

    async def unbind_all(self) -> None:
        """Unbind politely; give up on a gateway that does not answer."""
        for bind in self.binds:
            bind.unbind()
        with trio.move_on_after(UNBIND_WAIT_S):
            for bind in self.binds:
                await bind.wait_closed()
        for bind in self.binds:
            bind.drop()

    def report(self) -> EsmeReport:
        return self.books.report()

    def statistics(self) -> dict[str, object]:
        """The report as plain values."""
        return {**msgspec.to_builtins(self.report()), **self.books.counts}

    async def _tcp(self) -> trio.abc.Stream:
        options = self.options
        stream = await trio.open_tcp_stream(options.host, options.port)
        if not options.tls:
            return stream
        context = ssl.create_default_context(cafile=options.tls_ca or None)
        if not options.tls_ca:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return trio.SSLStream(stream, context, server_hostname=options.host)
