"""`sluice serve`: the composition root. Opens the stores, wires the pieces, supervises them, drains.

committer                  essential: no durability, no service
  links nursery            gets a deadline at drain
    dialer                 our binds to carriers, each contained
    connections            each contained
    housekeeping           schedules, refills, sweeps, the store's own clockwork
    listeners              SMPP (plain, TLS), HTTP, control socket; cancelled first at drain
"""

import errno
import gc
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import trio

from gateway import logs, recovery
from gateway.api.front import HttpFront
from gateway.config import parse_listen
from gateway.control import ControlServer
from gateway.control_daemon import operations
from gateway.core import Core
from gateway.habits import HabitKeeper
from gateway.housekeeping import Housekeeping
from gateway.legacy.front import LegacyFront
from gateway.legacy.switch import is_on
from gateway.links.dialer import Dialer
from gateway.links.link import Ticker
from gateway.links.server import SmppServer
from gateway.memory import give_back_large_blocks
from gateway.pacemaker import Pacemaker
from gateway.ports import Ports, RealClock, RealNetwork, ThreadedStore, seeded
from gateway.screening import Screens, build_blacklists, build_words
from gateway.settings import Config, TlsSettings
from gateway.tasks import TaskRunner
from store.api_db import paused_ranges
from store.config_db import ConfigStore
from store.directory import Directory
from store.files import DataLock, StoreError
from store.port import StoreFailed, StoreFull, StoreOptions
from store.traffic import SqliteStore

log = structlog.get_logger("daemon")

SWITCH_INTERVAL_S = 0.0005  # measured: the writer thread gets 60,000 rows/s beside a busy loop, not 5,000
GC_THRESHOLDS = (50_000, 20, 50)  # measured: 0.8 us a message less than with Python's 700, 10, 10
EXIT_STORE_FAILED = 70  # sysexits' "internal software error": a supervisor restarts us (P10)
LINK_GOODBYE_S = 5.0
RULES_PERIOD_S = 20.0  # between looks for blacklist entries whose time is over, and sums of words' hits
ROOM_WAIT_S = 2.0  # between tries to start on a full disk


class Daemon:
    """The running gateway, with everything a command or a test may ask of it."""

    def __init__(
        self, config: Config, data: Path, ports: Ports, configuration: ConfigStore, core: Core
    ) -> None:
        self.config = config
        self.data = data
        self.ports = ports
        self.configuration = configuration
        self.core = core
        self.ticker = Ticker(ports.clock)
        self.pacemaker = Pacemaker(ports.clock)
        self.dialer = Dialer(core, config, self.ticker)
        self.server = SmppServer(core, config, self.ticker, self.dialer)
        self.housekeeping = Housekeeping(core, self._consolidate)
        self.habits = HabitKeeper(core, configuration)
        self.tasks = TaskRunner(core, configuration, data)
        self.front: HttpFront | None = None  # the HTTP listeners', while one of them is on
        self.legacy: LegacyFront | None = None  # of Kannel's and Jasmin's form, while on
        self.addresses: dict[str, tuple[str, int]] = {}
        self.console_setup_url = ""
        self._configuring = trio.Lock()
        self.ended = trio.Event()
        self._drain = trio.Event()
        self._links: trio.Nursery | None = None

    # -- configuration ----------------------------------------------------------------------------

    async def reload(self) -> None:
        """Take the directory, words and blacklists as config.db has them now. Heavy parts in a worker."""
        async with self._configuring:
            store = self.configuration
            off_loop = self.ports.off_loop
            directory = await off_loop(store.directory)
            words = await off_loop(lambda: build_words(store.words()))
            blacklists = await off_loop(lambda: build_blacklists(store.blacklists()))
            self._take_directory(directory)
            self.core.set_screens(Screens(words, blacklists))
            self.core.reject_blacklisted()
            await self._remember_webhooks()

    async def reload_directory(self) -> None:
        """The same where words and blacklists have not changed: milliseconds."""
        async with self._configuring:
            self._take_directory(await self.ports.off_loop(self.configuration.directory))
            await self._remember_webhooks()

    def _take_directory(self, directory: Directory) -> None:
        self.core.set_directory(directory)
        for carrier in self.core.carriers.values():
            carrier.wake = partial(self.pacemaker.wake, carrier)
        self.dialer.reconcile()
        if self._links is not None:
            self.server.drop_unwanted(self._links)
        if self.front is not None:
            self.front.webhooks.reconcile()

    async def _remember_webhooks(self) -> None:
        if self.front is not None:
            await self.front.webhooks.remember()

    def rebind(self, carrier: int) -> None:
        """End a carrier's binds politely (answers come, then unbind) and bind anew; one that waits to bind does
        so now. The carrier must exist."""
        self.dialer.reconcile(rebind=carrier)
        if self._links is not None:
            self.server.rebind(carrier, self._links)

    async def _consolidate(self, day: int) -> None:
        """A day is sealed: its used parts go into config.db, where they outlive the day's file."""
        usage = await self.ports.store.read(lambda s: s.usage(day))
        used = {user: parts for user, (_, parts) in usage.items()}
        await self.ports.off_loop(self.configuration.consolidate, day, used)

    async def _keep_rules(self) -> None:
        """Numbers that were listed until some time leave their lists within half a minute of it; hits of words
        are added up."""
        while True:
            if await self.ports.off_loop(self.configuration.blacklist_expire):
                await self.reload()
            await self._count_words()
            await trio.sleep(RULES_PERIOD_S)

    async def _count_words(self) -> None:
        if hits := self.core.intake.take_word_hits():
            await self.ports.off_loop(self.configuration.add_word_hits, hits)

    # -- running ----------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus["Daemon"] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `drain`. Raises StoreFailed when the disk does (P10)."""
        core = self.core
        async with trio.open_nursery() as essential:
            essential.start_soon(core.committer.run)
            async with trio.open_nursery() as links:
                self._links = links
                links.start_soon(self.ticker.run)
                links.start_soon(self.pacemaker.run)
                links.start_soon(self.dialer.run)
                links.start_soon(self.housekeeping.run)
                links.start_soon(self._keep_rules)
                links.start_soon(self.habits.run)
                links.start_soon(self.tasks.run)
                async with trio.open_nursery() as listening:
                    await self._listen(listening, links)
                    task_status.started(self)
                    await self._drain.wait()
                    core.draining = True
                    listening.cancel_scope.cancel()
                log.info("draining", connections=len(self.server.links) + len(self.dialer.links))
                await self._say_goodbye()
                links.cancel_scope.cancel()
            core.committer.close()
        await self.habits.save()
        await self._count_words()
        self.ended.set()
        log.info("stopped")

    def drain(self) -> None:
        """Stop accepting, let answers come, unbind, commit, end (P13). At most `smpp.drain_s`."""
        self._drain.set()

    async def _say_goodbye(self) -> None:
        self.dialer.stop()
        with trio.move_on_after(self.config.smpp.drain_s):
            async with trio.open_nursery() as nursery:
                for link in [*self.server.links, *self.dialer.links]:
                    nursery.start_soon(link.leave, LINK_GOODBYE_S)
                if self.front is not None:
                    nursery.start_soon(self.front.leave, LINK_GOODBYE_S)
                if self.legacy is not None:
                    nursery.start_soon(self.legacy.leave, LINK_GOODBYE_S)

    async def _listen(self, listening: trio.Nursery, links: trio.Nursery) -> None:
        smpp = self.config.smpp
        if smpp.listen:
            await self._listen_smpp("smpp", smpp.listen, None, listening, links)
        if smpp.tls.listen:
            await self._listen_smpp(
                "smpp-tls", smpp.tls.listen, server_context("smpp.tls", smpp.tls), listening, links
            )
        http, secured, legacy = self.config.http.listen, self.config.http.tls, is_on(self.config)
        if http or secured.listen or legacy:
            listeners = await self.open_listeners("http", http) if http else []
            self.front = HttpFront(self, latencies=self.core.latencies, render=reference_page)
            listening.start_soon(self.front.serve, listeners, links)
            if secured.listen:
                context = server_context("http.tls", secured)
                listeners = await self.open_listeners("http-tls", secured.listen)
                listening.start_soon(self.front.serve, listeners, links, context)
        if legacy:
            assert self.front is not None
            self.legacy = LegacyFront(self, self.front)
            await self.legacy.open(listening, links)

    async def _listen_smpp(
        self, name: str, listen: str, tls: ssl.SSLContext | None, listening: trio.Nursery, links: trio.Nursery
    ) -> None:
        listeners = await self.open_listeners(name, listen)
        listening.start_soon(self.server.serve, listeners, tls, links)

    async def open_listeners(self, name: str, listen: str) -> list[trio.abc.Listener[trio.abc.Stream]]:
        """Listeners on an address of the configuration, their real address noted and logged."""
        host, port = parse_listen(listen)
        try:
            listeners = await self.ports.network.listen(host, port)
        except OSError as error:
            raise cannot_listen(name, listen, error) from error
        self.now_listens(name, _address(listeners[0]) or (host, port))
        return listeners

    def now_listens(self, name: str, address: tuple[str, int]) -> None:
        """Note and log where a listener really is."""
        self.addresses[name] = address
        log.info("listening", name=name, address=f"{address[0]}:{address[1]}")


def cannot_listen(name: str, listen: str, error: OSError) -> StoreError:
    """What to tell when an address is taken or not ours."""
    return StoreError(
        f"The {name} listener cannot use {listen}: {error.strerror or error}."
        " Is another program using it? Choose another address in sluice.toml."
    )


def _address(listener: trio.abc.Listener[trio.abc.Stream]) -> tuple[str, int] | None:
    socket = getattr(listener, "socket", None)
    if socket is None:
        return None
    name = socket.getsockname()
    return str(name[0]), int(name[1])


def server_context(section: str, tls: TlsSettings) -> ssl.SSLContext:
    """TLS of a second listener: 1.2 or later, client certificates where an authority is named.

    Raises StoreError with the setting whose file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        named = f"certificate {tls.certificate or '(none)'} with key {tls.key or '(none)'}"
        context.load_cert_chain(tls.certificate, tls.key or None)
        if tls.client_ca:
            named = f"client_ca {tls.client_ca}"
            context.load_verify_locations(tls.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        raise StoreError(
            f"[{section}] {named} cannot be used: {error.strerror or error}. Name PEM files that belong together."
        ) from error
    return context


def store_options(config: Config) -> StoreOptions:
    store = config.store
    return StoreOptions(
        retention_days=store.retention_days,
        disk_low_octets=store.disk_low_mib << 20,
        disk_critical_octets=store.disk_critical_mib << 20,
        ballast_octets=store.ballast_mib << 20,
        receipt_grace_ms=config.receipts.unknown_after_hours * 3_600_000,
    )


async def recovered_daemon(config: Config, data: Path, ports: Ports, configuration: ConfigStore) -> Daemon:
    """A daemon on open stores, with what they hold brought back into memory: ready to `run`."""
    recovered = await ports.store.read(lambda s: s.recover())
    for note in (*recovered.notes, *recovered.quarantined):
        log.warning("store", note=note)
    core = Core(ports, config, last_id=recovered.last_id)
    core.saved_habits = configuration.habits()
    daemon = Daemon(config, data, ports, configuration, core)
    await daemon.reload()
    used = await ports.store.read(lambda s: recovery.used_before(configuration, s))
    await recovery.restore(core, recovered, used)
    await daemon.tasks.restore()
    core.disk_is(await ports.store.read(lambda s: s.disk_state()))  # nothing is accepted before it is known
    return daemon


@asynccontextmanager
async def open_daemon(
    config: Config, data: Path, *, network: Any = None, clock: Any = None
) -> AsyncIterator[Daemon]:
    """A daemon on a data directory, recovered and ready to `run`; closes its files at the end."""
    clock = clock or RealClock()
    lock = DataLock.acquire(data)
    try:
        configuration = ConfigStore.open(data)
        try:
            came_to_rest = False
            store = await trio.to_thread.run_sync(
                lambda: SqliteStore.open(data, now_ms=clock.wall_ms(), options=store_options(config))
            )
            try:
                ports = Ports(clock, network or RealNetwork(), seeded(None), ThreadedStore(store))
                daemon = await recovered_daemon(config, data, ports, configuration)
                for batch, ranges in (await ports.off_loop(paused_ranges, data)).items():
                    daemon.core.withheld.pause(batch, ranges)
                yield daemon
                came_to_rest = True
            finally:
                # Whatever ended it else may have left submits on wires: the next start marks those (P3).
                await trio.to_thread.run_sync(lambda: store.close(clean=came_to_rest))
        finally:
            configuration.close()
    finally:
        lock.release()


async def serve(config: Config, data: Path) -> None:
    """Run until SIGTERM or SIGINT, then drain."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    give_back_large_blocks()
    with stop_signals() as signals:
        while True:
            try:
                await _serve(config, data, signals)
                return
            except (StoreFull, OSError) as error:
                # Before anything was served: ending would only make a supervisor start us again and again (P9).
                if isinstance(error, OSError) and error.errno != errno.ENOSPC:
                    raise
                log.critical("no room on the disk to start; waiting for some", because=str(error))
                with trio.move_on_after(ROOM_WAIT_S):
                    await until_signal(signals)
                    return


async def _serve(config: Config, data: Path, signals: AsyncIterator[int]) -> None:
    async with open_daemon(config, data) as daemon, trio.open_nursery() as nursery:
        # What is loaded now stays: the collector need not look at it again, and rarely at what follows, for
        # what the hot path makes cannot form cycles.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        await nursery.start(daemon.run)
        await nursery.start(serve_extras, daemon)
        await until_signal(signals, daemon.ended)
        daemon.drain()
        await daemon.ended.wait()
        nursery.cancel_scope.cancel()


def stop_signals() -> AbstractContextManager[AsyncIterator[int]]:
    """SIGTERM and SIGINT as they come; opened before anything else, so that none kills a daemon half started."""
    return trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT)


async def until_signal(signals: AsyncIterator[int], ended: trio.Event | None = None) -> None:
    """Wait for one of `stop_signals`, or until the daemon has ended by itself."""
    async with trio.open_nursery() as nursery:
        if ended is not None:

            async def watch() -> None:
                await ended.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
        number = await anext(signals)
        log.info("asked to stop", signal=signal.Signals(number).name)
        nursery.cancel_scope.cancel()


async def serve_extras(
    daemon: Daemon, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """What answers people rather than messages: the control socket and the console."""
    server = ControlServer(operations(daemon), request_octets_max=daemon.config.limits.control_octets_max)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, daemon.data / "control.sock")
        if daemon.config.console.listen:
            await listen_console(daemon, nursery)
        task_status.started()


def reference_page(text: str) -> str:
    """The HTTP API's reference for browsers; made when one asks for the first time."""
    from admin.api_page import render

    return render(text)


async def listen_console(daemon: Daemon, nursery: trio.Nursery) -> None:
    """Start the console, and say where; while nobody can sign in, how to make the first administrator."""
    # Imported here: a tool or a simulation that needs a daemon without pages does not wait for them.
    from admin.app import create_app
    from admin.connections import ConnectionLimits
    from admin.console import Console, ConsoleOptions
    from admin.serve import serve_console
    from gateway.console import ConsoleOperations

    settings, clock = daemon.config.console, daemon.ports.clock
    console = Console(
        daemon.configuration,
        ConsoleOperations(daemon),
        ConsoleOptions(
            settings.public_url,
            settings.trusted_proxies,
            second_factor=settings.second_factor,
            review_allow_self=settings.review_allow_self,
        ),
        now=clock.now,
        wall_ms=clock.wall_ms,
    )
    app = create_app(console)
    limits = ConnectionLimits(
        settings.connections_max, settings.connections_per_address_max, settings.trusted_proxies
    )
    nursery.start_soon(console.run)
    try:
        address = await nursery.start(serve_console, app, settings.listen, limits)
    except OSError as error:
        raise cannot_listen("console", settings.listen, error) from error
    daemon.now_listens("console", address)
    setup = await console.setup_path()
    if setup:
        base = settings.public_url.rstrip("/") or f"http://{address[0]}:{address[1]}"
        daemon.console_setup_url = base + setup
        log.warning("nobody can sign in yet: make the first administrator", url=daemon.console_setup_url)


def run_serve(config: Config, data: Path) -> int:
    """The command's body: 0 after a drain, 70 when the disk failed (P10), 1 for what a person must mend."""
    logs.configure(config.log)
    status = 0
    try:
        trio.run(serve, config, data)
    except* StoreFailed as group:
        log.critical("the store failed; restart to recover", because=str(first_of(group)))
        status = EXIT_STORE_FAILED
    except* StoreError as group:
        print(first_of(group), file=sys.stderr)  # noqa: T201
        status = 1
    return status


def first_of(group: BaseExceptionGroup[Any]) -> BaseException:
    """The first plain exception inside nested groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
