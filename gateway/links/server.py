"""The SMPP listeners: who may connect, who may bind, and what a refused stranger costs: little.

A connection is nobody until its first PDU. A bind makes it a customer, or a carrier that connects in; an
outbind makes it a carrier that asks us to bind on this very connection. Each connection is contained:
whatever goes wrong in one ends that one.
"""

import hmac
import ssl
from collections import Counter
from typing import TYPE_CHECKING

import structlog
import trio

from gateway.accounts import AccountState, in_networks, parse_networks
from gateway.carriers import CarrierState
from gateway.links.carrier import CarrierLink
from gateway.links.dialer import connects_differently
from gateway.links.esme import EsmeLink
from gateway.links.guard import BindGuard, fingerprint, plain_hex
from gateway.links.link import ENQUIRE_ANSWER_S, Link, LinkLimits, Ticker, reason_of, reraise_store_failure
from gateway.settings import Config
from gateway.smpp.constants import HEADER_OCTETS, CommandId, Status
from gateway.smpp.pdu import (
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    Outbind,
    Pdu,
)
from gateway.smpp.session import Session
from gateway.smpp.session_values import Received, SessionLimits
from gateway.smpp.states import BindState, Role
from store.secrets import PasswordVerifier

if TYPE_CHECKING:
    from gateway.core import Core
    from gateway.links.dialer import Dialer

log = structlog.get_logger("server")

Bind = BindReceiver | BindTransmitter | BindTransceiver
HANDSHAKE_S = 10.0
LEAVE_S = 1.0  # for answers that are outstanding when somebody is unbound because of new settings
HASHING_THREADS = 2  # argon2 takes some 20 ms of a core; a storm of binds must not take both


class SmppServer:
    def __init__(self, core: "Core", config: Config, ticker: Ticker, dialer: "Dialer") -> None:
        self._core = core
        self._config = config
        self._ticker = ticker
        self._dialer = dialer
        self._guard = BindGuard(config.smpp.bind_failures_max, config.smpp.bind_ban_s)
        self._verifier = PasswordVerifier()
        self._hashing = trio.CapacityLimiter(HASHING_THREADS)
        self._by_address: Counter[str] = Counter()
        self._random = core.ports.random("server")
        self._numbers = 0
        self.connections = 0
        self.unbound = 0
        self.refused = 0
        self.links: set[Link] = set()

    async def serve(
        self,
        listeners: list[trio.abc.Listener[trio.abc.Stream]],
        tls: ssl.SSLContext | None,
        nursery: trio.Nursery,
    ) -> None:
        """Accept until cancelled; connections live in `nursery`, so they outlast their listener at drain."""

        async def contained(stream: trio.abc.Stream) -> None:
            try:
                await self._connection(stream, tls)
            except Exception as error:
                reraise_store_failure(error)
                log.exception("a connection failed; the others go on")
            finally:
                await trio.aclose_forcefully(stream)

        await trio.serve_listeners(contained, listeners, handler_nursery=nursery)

    # -- a connection that is nobody yet ----------------------------------------------------------

    async def _connection(self, stream: trio.abc.Stream, tls: ssl.SSLContext | None) -> None:
        limits = self._config.limits
        peer = peer_of(stream)
        address = peer.rpartition(":")[0]
        if (
            self.connections >= limits.connections_max
            or self.unbound >= limits.unbound_connections_max
            or self._by_address[address] >= limits.connections_per_address_max
            or self._guard.is_banned(address, self._core.clock.now())
            or self._core.draining
        ):
            self.refused += 1
            return
        self.connections += 1
        self.unbound += 1
        self._by_address[address] += 1
        counted = _Counted(self)
        try:
            certificate = ""
            if tls is not None:
                stream = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
                shown = await _handshake(stream, peer)
                if shown is None:
                    return
                certificate = shown
            await self._become_somebody(stream, peer, address, certificate, counted)
        finally:
            counted.no_longer_unbound()
            self.connections -= 1
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    async def _become_somebody(
        self, stream: trio.abc.Stream, peer: str, address: str, certificate: str, counted: "_Counted"
    ) -> None:
        """Read until the first bind or outbind, or until the time for that is over."""
        session: Session | None = None
        begun = b""
        link: Link | None = None
        received: Received | None = None
        with trio.move_on_after(self._config.smpp.session_init_s) as scope:
            while True:
                try:
                    data = await stream.receive_some(4096)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return
                if not data:
                    return
                now = self._core.clock.now()
                if session is None:
                    begun += data
                    if not self._can_tell(begun):
                        continue
                    session, data = self._session_for(begun), begun
                received = session.receive(bytes(data), now)
                binds = [r for r in received.requests if isinstance(r, Bind | Outbind)]
                if binds:
                    # Judging a bind has its own bounds: argon2 and the delay of a refusal.
                    scope.deadline = float("inf")
                    link, received = await self._judge(
                        stream, session, binds[0], peer, address, certificate, counted
                    )
                await _write(stream, session, self._config.smpp.write_timeout_s)
                if link is not None:
                    break
                if received.closing or session.closing:
                    if not binds and not self._guard.seen_garbage(address, now):
                        log.info("connection ended before a bind", peer=peer, because=session.closing)
                    return
        if link is None:
            log.info("no bind in time", peer=peer, after_s=self._config.smpp.session_init_s)
            return
        await self._run(link, received)

    def _can_tell(self, begun: bytes) -> bool:
        """Whether these first octets say who calls: a command, or a length that no PDU of a stranger has."""
        if len(begun) < 4:
            return False
        length = int.from_bytes(begun[:4], "big")
        return len(begun) >= 8 or not HEADER_OCTETS <= length <= self._config.limits.unbound_octets_max

    def _session_for(self, begun: bytes) -> Session:
        """An outbind makes us the ESME of the session, everything else its message centre."""
        outbind = len(begun) >= 8 and int.from_bytes(begun[4:8], "big") == CommandId.OUTBIND
        return Session(
            role=Role.ESME if outbind else Role.MC,
            limits=self.session_limits(),
            now=self._core.clock.now(),
            jitter=self._random.random(),
        )

    def session_limits(self) -> SessionLimits:
        smpp, limits = self._config.smpp, self._config.limits
        return SessionLimits(
            octets_max=limits.pdu_octets_max,
            octets_max_unbound=limits.unbound_octets_max,
            window_out_max=self._config.receipts.window,
            window_in_max=0,  # the link bounds it: a pause first, RTHROTTLED after
            session_init_s=smpp.session_init_s,
            partial_pdu_s=smpp.partial_pdu_s,
            enquire_link_s=smpp.enquire_link_s,
            enquire_answer_s=min(smpp.response_timeout_s, ENQUIRE_ANSWER_S),
            response_s=smpp.response_timeout_s,
            inactivity_s=smpp.inactivity_s,
        )

    # -- binds ------------------------------------------------------------------------------------

    async def _judge(
        self,
        stream: trio.abc.Stream,
        session: Session,
        request: Pdu,
        peer: str,
        address: str,
        certificate: str,
        counted: "_Counted",
    ) -> tuple[Link | None, Received]:
        if isinstance(request, Outbind):
            return await self._outbound(stream, session, request, peer, address, counted)
        assert isinstance(request, Bind)
        system_id = request.system_id.decode("latin-1")
        carrier = self._carrier_bound_in(system_id)
        account = self._core.accounts_by_system_id.get(system_id)
        status: int = Status.ESME_RBINDFAIL
        why = "unknown system_id"
        if carrier is not None:
            status, why = self._carrier_may_bind(carrier, request, address)
        elif account is not None:
            status, why = await self._account_may_bind(account, request, address, certificate)
        else:
            await self._verify(None, request.password)
        if status:
            await self._refuse(session, request, status, why, peer, address)
            return None, Received(closing=why)
        counted.no_longer_unbound()
        now = self._core.clock.now()
        self._numbers += 1
        limits = self.link_limits()
        link: Link
        if carrier is not None:
            session.adopt(self._dialer.session_limits(carrier.carrier))
            received = session.accept_bind(request, self._our_id(), now, peer_is_mc=True)
            link = CarrierLink(
                self._core, carrier, stream, session, self._core.clock, limits,
                peer=peer, number=self._numbers, bound_as=carrier.carrier,
                transmits=session.state in (BindState.BOUND_RX, BindState.BOUND_TRX),
            )  # fmt: skip
        else:
            assert account is not None
            received = session.accept_bind(request, self._our_id(), now)
            link = EsmeLink(
                self._core, account, stream, session, self._core.clock, limits,
                peer=peer, number=self._numbers,
            )  # fmt: skip
        log.info("bound", system_id=system_id, peer=peer, bind=type(request).__name__, number=self._numbers)
        return link, received

    async def _refuse(
        self, session: Session, request: Pdu, status: int, why: str, peer: str, address: str
    ) -> None:
        """Late, alike for every cause that a guess could learn from, and counted towards a ban."""
        system_id = request.system_id.decode("latin-1")  # type: ignore[attr-defined]
        log.warning("bind refused", peer=peer, system_id=system_id, because=why)
        if status == Status.ESME_RBINDFAIL:
            self._failed(address)
        await trio.sleep(self._config.smpp.bind_failure_delay_s)
        session.refuse_bind(request, status)

    def _failed(self, address: str) -> None:
        """Somebody guessed wrong: counted, and banned when it is too often."""
        if self._guard.failed(address, self._core.clock.now()):
            log.error("address banned: too many refused binds", address=address, for_s=self._guard.ban_s)

    async def _account_may_bind(
        self, account: AccountState, request: Bind, address: str, certificate: str
    ) -> tuple[int, str]:
        """(0, "") or the status and, for the log only, the reason."""
        refused = Status.ESME_RBINDFAIL
        if not account.may_connect_from(address):
            return refused, "address not in the account's allow list"
        if len(request.password) > self._config.smpp.password_octets_max:
            return refused, "password too long"
        if not await self._verify(account, request.password):
            return refused, "wrong password"
        if not account.active:
            return refused, "account or user is not active"
        if account.account.certificate and plain_hex(account.account.certificate) != certificate:
            return refused, "client certificate is not the account's"
        if len(account.binds) >= account.account.binds:
            return Status.ESME_RALYBND, "all binds of the account are in use"
        return 0, ""

    async def _verify(self, account: AccountState | None, password: bytes) -> bool:
        """Against the hash, in a worker; an unknown account costs the same time."""
        known = account.account if account else None
        if known is not None:
            recalled = self._verifier.recall(known, password)
            if recalled is not None:
                return recalled
        verified: bool = await self._core.ports.off_loop(
            self._verifier.verify, known, password, limiter=self._hashing
        )
        return verified

    def _carrier_bound_in(self, system_id: str) -> CarrierState | None:
        for carrier in self._core.carriers.values():
            if carrier.carrier.mode == "bound-in" and carrier.carrier.system_id == system_id:
                return carrier
        return None

    def _carrier_may_bind(self, carrier: CarrierState, request: Bind, address: str) -> tuple[int, str]:
        refused = Status.ESME_RBINDFAIL
        if not carrier.active:
            return refused, "the carrier is paused"
        if not admits(carrier.carrier.allow, address):
            return refused, "address not in the carrier's allow list"
        if not hmac.compare_digest(carrier.carrier.password.encode(), request.password):
            return refused, "wrong password"
        if len(carrier.binds) >= carrier.carrier.binds:
            return Status.ESME_RALYBND, "all binds of the carrier are in use"
        return 0, ""

    async def _outbound(
        self,
        stream: trio.abc.Stream,
        session: Session,
        request: Outbind,
        peer: str,
        address: str,
        counted: "_Counted",
    ) -> tuple[Link | None, Received]:
        """A carrier that asks us to bind: checked like a bind, answered by our own; a bad one just ends."""
        for carrier in self._core.carriers.values():
            settings = carrier.carrier
            if (
                settings.mode == "outbind"
                and carrier.active
                and settings.system_id.encode() == request.system_id
                and hmac.compare_digest(settings.password.encode(), request.password)
                and admits(settings.allow, address)
            ):
                counted.no_longer_unbound()
                session.adopt(self._dialer.session_limits(settings))
                return await self._dialer.answer_outbind(carrier, stream, session, peer)
        log.warning("outbind refused", peer=peer, system_id=request.system_id.decode("latin-1"))
        self._failed(address)
        session.close()
        return None, Received(closing="bad outbind")

    # -- a connection that is somebody ------------------------------------------------------------

    async def _run(self, link: Link, received: Received | None) -> None:
        self.links.add(link)
        self._ticker.add(link)
        try:
            await link.run(received)
        finally:
            self._ticker.remove(link)
            self.links.discard(link)
            log.info("unbound", link=repr(link), because=link.closing)

    def drop_unwanted(self, nursery: trio.Nursery) -> None:
        """Unbind accounts and carriers that may no longer be here: disabled, paused, changed, or gone."""
        for link in list(self.links):
            if not link.leaving and not self._may_stay(link):
                nursery.start_soon(link.leave, LEAVE_S)

    def rebind(self, carrier: int, nursery: trio.Nursery) -> None:
        """Unbind a carrier that connects to us; it comes again by itself."""
        for link in list(self.links):
            if isinstance(link, CarrierLink) and link.carrier.id == carrier and not link.leaving:
                nursery.start_soon(link.leave, LEAVE_S)

    def _may_stay(self, link: Link) -> bool:
        if isinstance(link, EsmeLink):
            return link.account.id in self._core.accounts and link.account.active
        assert isinstance(link, CarrierLink)
        carrier = self._core.directory.carriers.get(link.carrier.id)
        return (
            carrier is not None
            and carrier.state == "active"
            and not connects_differently(link.bound_as, carrier)
        )

    def link_limits(self) -> LinkLimits:
        return LinkLimits(self._config.smpp.write_timeout_s, self._config.limits.output_octets_max)

    def _our_id(self) -> bytes:
        return self._config.smpp.system_id.encode()


class _Counted:
    """Whether a connection still counts as unbound."""

    def __init__(self, server: SmppServer) -> None:
        self._server: SmppServer | None = server

    def no_longer_unbound(self) -> None:
        if self._server is not None:
            self._server.unbound -= 1
            self._server = None


async def _write(stream: trio.abc.Stream, session: Session, timeout_s: float) -> None:
    if session.out:
        with trio.move_on_after(timeout_s):
            try:
                await stream.send_all(session.take_output())
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return


async def _handshake(stream: trio.SSLStream[trio.abc.Stream], peer: str) -> str | None:
    """The client certificate's fingerprint ("" for none), or None when there is no TLS to be had."""
    with trio.move_on_after(HANDSHAKE_S):
        try:
            await stream.do_handshake()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            log.info("no TLS handshake", peer=peer, because=reason_of(error))
            return None
        return fingerprint(stream.getpeercert(binary_form=True))
    log.info("no TLS handshake", peer=peer, because=f"not finished within {HANDSHAKE_S:g} s")
    return None


def peer_of(stream: trio.abc.Stream) -> str:
    """`address:port` of a stream's other end, as far as it has one."""
    if isinstance(stream, trio.SocketStream):
        try:
            name = stream.socket.getpeername()
        except OSError:
            return "gone:0"
        return f"{name[0]}:{name[1]}"
    return str(getattr(stream, "peer", "memory:0"))


def admits(networks: tuple[str, ...], address: str) -> bool:
    """Whether an allow list (CIDR) admits an address; an empty one admits all."""
    return in_networks(parse_networks(networks), address)
