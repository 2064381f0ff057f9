"""Our binds to carriers: one task a bind, contained; when one ends it waits with jitter and binds again.

A refusal that time will not cure (wrong credentials) is retried slowly and said aloud; anything else backs
off from a second to a minute. Never a tight loop: carriers ban those.
"""

import ssl
from typing import TYPE_CHECKING

import msgspec
import structlog
import trio

from gateway.carriers import CarrierState
from gateway.links.carrier import CarrierLink
from gateway.links.link import Link, LinkLimits, Ticker
from gateway.settings import Config
from gateway.smpp.constants import Status, status_name
from gateway.smpp.pdu import (
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    GenericNack,
)
from gateway.smpp.session import Session
from gateway.smpp.session_values import Received, SessionLimits
from gateway.smpp.states import Role
from store.directory import Carrier

if TYPE_CHECKING:
    from gateway.core import Core

log = structlog.get_logger("dialer")

CONNECT_S = 10.0
BIND_S = 10.0
# Refusals that mean our settings are wrong: trying often would only get us banned.
LASTING = frozenset(
    {
        Status.ESME_RBINDFAIL,
        Status.ESME_RINVPASWD,
        Status.ESME_RINVSYSID,
        Status.ESME_RINVSYSTYP,
    }
)
LASTING_WAIT_S = 120.0
JITTER = 0.3
STEADY_S = 60.0  # a bind that lasted this long begins its back-off anew

OUR_BIND = object()  # the session gives it back with the bind response

BIND_TYPES: dict[str, type[BindTransmitter | BindReceiver | BindTransceiver]] = {
    "transmitter": BindTransmitter,
    "receiver": BindReceiver,
    "transceiver": BindTransceiver,
}


class Refused(Exception):
    """The carrier answered our bind with an error."""

    def __init__(self, status: int, by_nack: bool) -> None:
        super().__init__(status_name(status))
        self.status = status
        self.by_nack = by_nack


class Dialer:
    def __init__(self, core: "Core", config: Config, ticker: Ticker) -> None:
        self._core = core
        self._config = config
        self._ticker = ticker
        self._random = core.ports.random("dialer")
        self._running: dict[tuple[int, int], tuple[Carrier, trio.CancelScope]] = {}
        self._nursery: trio.Nursery | None = None
        self._numbers = 0
        self.links: set[Link] = set()
        self.trouble: dict[int, str] = {}  # carrier -> why it is not bound, for people

    async def run(self) -> None:
        """Keep the binds that the directory wants until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self.reconcile()
            await trio.sleep_forever()

    def reconcile(self) -> None:
        """Start what is new, end what is gone, and rebind what now connects differently."""
        if self._nursery is None or self._core.draining:
            return
        wanted: dict[tuple[int, int], Carrier] = {}
        for state in self._core.carriers.values():
            carrier = state.carrier
            if carrier.mode == "client" and state.active:
                count = carrier.binds * (2 if carrier.bind == "pair" else 1)
                wanted |= {(carrier.id, slot): carrier for slot in range(count)}
        for key, (carrier, scope) in list(self._running.items()):
            if key not in wanted or connects_differently(carrier, wanted[key]):
                scope.cancel()
                del self._running[key]
        for key, carrier in wanted.items():
            if key not in self._running:
                scope = trio.CancelScope()
                self._running[key] = (carrier, scope)
                self._nursery.start_soon(self._keep_bound, self._core.carriers[carrier.id], key[1], scope)
        for link in list(self.links):
            if isinstance(link, CarrierLink) and not link.carrier.active:
                self._nursery.start_soon(link.leave, BIND_S)

    async def _keep_bound(self, carrier: CarrierState, slot: int, scope: trio.CancelScope) -> None:
        with scope:
            wait_s = 0.0
            while True:
                started = self._core.clock.now()
                settings = carrier.carrier
                try:
                    await self._once(carrier, slot)
                except Refused as refused:
                    if refused.by_nack and settings.bind == "transceiver":
                        self._say(carrier, "it knows no transceiver: binding a transmitter and a receiver")
                        self._fall_back_to_pair(carrier)
                        return
                    self._say(carrier, f"bind refused: {refused}")
                    lasting = refused.status in LASTING
                    wait_s = max(wait_s * 2, LASTING_WAIT_S if lasting else settings.reconnect_s_min)
                except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                    self._say(carrier, f"cannot connect: {reason_of(error)}")
                    wait_s = max(wait_s * 2, settings.reconnect_s_min)
                except trio.TooSlowError:
                    self._say(carrier, "no answer to connect or bind in time")
                    wait_s = max(wait_s * 2, settings.reconnect_s_min)
                except Exception:
                    log.exception("a bind failed; it will be tried again", carrier=settings.name)
                    wait_s = max(wait_s * 2, settings.reconnect_s_max)
                else:
                    lasted = self._core.clock.now() - started > STEADY_S
                    wait_s = settings.reconnect_s_min if lasted else max(wait_s * 2, settings.reconnect_s_min)
                longest = max(settings.reconnect_s_max, LASTING_WAIT_S if wait_s >= LASTING_WAIT_S else 0)
                wait_s = min(wait_s, longest)
                await trio.sleep(wait_s * (1 - JITTER * self._random.random()))

    def _fall_back_to_pair(self, carrier: CarrierState) -> None:
        """A 3.3 message centre: use a transmitter and a receiver until the settings say otherwise."""
        carrier.apply(msgspec.structs.replace(carrier.carrier, bind="pair"))
        if self._nursery is not None:
            self._nursery.start_soon(self._reconcile_soon)

    async def _reconcile_soon(self) -> None:
        await trio.sleep(1.0)
        self.reconcile()

    def _say(self, carrier: CarrierState, what: str) -> None:
        if self.trouble.get(carrier.id) != what:
            log.warning("carrier not bound", carrier=carrier.carrier.name, because=what)
            self.trouble[carrier.id] = what

    async def _once(self, carrier: CarrierState, slot: int) -> None:
        """Connect, bind, and run the link until it ends."""
        settings = carrier.carrier
        with trio.fail_after(CONNECT_S):
            stream = await self._core.ports.network.connect(settings.host, settings.port)
            try:
                if settings.tls:
                    stream = trio.SSLStream(
                        stream,
                        client_context(settings),
                        server_hostname=settings.tls_server_name or settings.host,
                        https_compatible=True,
                    )
                    await stream.do_handshake()
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
        try:
            session = Session(
                role=Role.ESME,
                limits=self._session_limits(settings),
                now=self._core.clock.now(),
                jitter=self._random.random(),
            )
            bound = await self.bind(carrier, stream, session, f"{settings.host}:{settings.port}", slot=slot)
            if bound is None:
                raise trio.TooSlowError
            link, received = bound
            self.trouble.pop(carrier.id, None)
            log.info("bound", carrier=settings.name, bind=settings.bind, number=link.number)
            self.links.add(link)
            self._ticker.add(link)
            try:
                await link.run(received)
            finally:
                self._ticker.remove(link)
                self.links.discard(link)
                log.info("unbound", carrier=settings.name, number=link.number, because=link.closing)
        finally:
            await trio.aclose_forcefully(stream)

    async def bind(
        self, carrier: CarrierState, stream: trio.abc.Stream, session: Session, peer: str, *, slot: int = 0
    ) -> tuple[CarrierLink, Received] | None:
        """Bind on a connected stream. None when the answer does not come; raises Refused."""
        settings = carrier.carrier
        kind = settings.bind if settings.bind != "pair" else ("transmitter", "receiver")[slot % 2]
        pdu = BIND_TYPES[kind](
            system_id=settings.system_id.encode(),
            password=settings.password.encode(),
            system_type=settings.system_type.encode(),
            interface_version=settings.interface_version,
            address_range=settings.address_range.encode(),
        )
        session.bind(pdu, OUR_BIND, self._core.clock.now())
        with trio.move_on_after(BIND_S):
            await stream.send_all(session.take_output())
            while True:
                data = await stream.receive_some(65_536)
                if not data:
                    raise trio.BrokenResourceError from ConnectionError("closed during the bind")
                received = session.receive(bytes(data), self._core.clock.now())
                answer = next((pdu for token, pdu in received.answers if token is OUR_BIND), None)
                if answer is None:
                    if session.out:
                        await stream.send_all(session.take_output())
                    if session.closing:
                        raise trio.BrokenResourceError from ConnectionError(session.closing)
                    continue
                if answer.command_status or isinstance(answer, GenericNack):
                    raise Refused(answer.command_status, isinstance(answer, GenericNack))
                # What came in the same segment as the answer belongs to the link already.
                received.answers = [pair for pair in received.answers if pair[0] is not OUR_BIND]
                session.window_max = settings.window
                self._numbers += 1
                link = CarrierLink(
                    self._core, carrier, stream, session, self._core.clock, self._link_limits(),
                    peer=peer, number=self._numbers, transmits=kind != "receiver",
                )  # fmt: skip
                return link, received
        return None

    def _session_limits(self, settings: Carrier) -> SessionLimits:
        return SessionLimits(
            octets_max=self._config.limits.pdu_octets_max,
            octets_max_unbound=self._config.limits.pdu_octets_max,
            window_out_max=max(1, settings.window),
            window_in_max=0,
            session_init_s=BIND_S,
            partial_pdu_s=self._config.smpp.partial_pdu_s,
            enquire_link_s=settings.enquire_link_s,
            response_s=settings.response_timeout_s,
        )

    def _link_limits(self) -> LinkLimits:
        return LinkLimits(self._config.smpp.write_timeout_s, self._config.limits.output_octets_max)


_CONNECTION_FIELDS = (
    "host", "port", "system_id", "password", "system_type", "mode", "bind", "window", "interface_version",
    "address_range", "tls", "tls_ca", "tls_certificate", "tls_key", "tls_server_name", "enquire_link_s",
    "response_timeout_s",
)  # fmt: skip


def connects_differently(one: Carrier, other: Carrier) -> bool:
    """Whether a changed carrier needs new connections; rates, alphabets and the like do not."""
    return any(getattr(one, name) != getattr(other, name) for name in _CONNECTION_FIELDS)


def reason_of(error: BaseException) -> str:
    """What went wrong underneath, in the operating system's words."""
    while True:
        cause = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__
        if cause is None:
            return getattr(error, "strerror", None) or str(error) or type(error).__name__
        error = cause


def client_context(carrier: Carrier) -> ssl.SSLContext:
    """TLS towards a carrier: certificate and host name verified, TLS 1.2 or later, our own certificate if any."""
    context = ssl.create_default_context(cafile=carrier.tls_ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if carrier.tls_certificate:
        context.load_cert_chain(carrier.tls_certificate, carrier.tls_key or None)
    return context
