"""Our binds to carriers: one task a bind, contained; when one ends it waits with jitter and binds again.

A refusal that time will not cure (wrong credentials) is retried slowly and said aloud; anything else backs
off from a second to a minute. Never a tight loop: carriers ban those. Changed settings rebind politely: the
old bind takes its answers and unbinds before the new one connects.
"""

import ssl
from typing import TYPE_CHECKING

import msgspec
import structlog
import trio

from gateway.carriers import CarrierState
from gateway.links.carrier import CarrierLink
from gateway.links.link import (
    ENQUIRE_ANSWER_S,
    Link,
    LinkLimits,
    Ticker,
    reason_of,
    reraise_store_failure,
)
from gateway.settings import Config
from gateway.smpp.constants import Status, status_name
from gateway.smpp.encode import LocalProtocolError
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
LEAVE_S = 5.0  # for outstanding answers, before an unbind that new settings ask for
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
Key = tuple[int, int]  # carrier, number of the bind within it


class Refused(Exception):
    """The carrier answered our bind with an error."""

    def __init__(self, status: int, by_nack: bool) -> None:
        super().__init__(status_name(status))
        self.status = status
        self.by_nack = by_nack


class _Slot:
    """One bind that is kept up: its settings, its task, its link while there is one."""

    def __init__(self, carrier: CarrierState, settings: Carrier, number: int, before: "_Slot | None") -> None:
        self.carrier = carrier
        self.settings = settings
        self.number = number
        self.before = before  # what must have left first
        self.scope = trio.CancelScope()
        self.over = trio.Event()
        self.link: CarrierLink | None = None
        self.retired = False


class Dialer:
    def __init__(self, core: "Core", config: Config, ticker: Ticker) -> None:
        self._core = core
        self._config = config
        self._ticker = ticker
        self._random = core.ports.random("dialer")
        self._slots: dict[Key, _Slot] = {}
        self._no_transceiver: dict[int, Carrier] = {}  # the settings under which a carrier knew none
        self._nursery: trio.Nursery | None = None
        self._numbers = 0
        self.links: set[Link] = set()
        self.trouble: dict[int, str] = {}  # carrier -> why it is not bound, for people
        self.last_trouble: dict[
            int, tuple[str, int]
        ] = {}  # the same with when (UTC ms), kept once it is bound

    async def run(self) -> None:
        """Keep the binds that the directory wants until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self.reconcile()
            await trio.sleep_forever()

    # -- what is wanted ---------------------------------------------------------------------------

    def reconcile(self, *, rebind: int = 0) -> None:
        """Start what is new, end what is gone, and rebind what now connects differently, or the carrier `rebind`."""
        nursery = self._nursery
        if nursery is None or self._core.draining:
            return
        wanted = self._wanted()
        leaving: dict[Key, _Slot] = {}
        for key, slot in list(self._slots.items()):
            again = key[0] == rebind
            if again or key not in wanted or connects_differently(slot.settings, wanted[key]):
                leaving[key] = self._slots.pop(key)
                nursery.start_soon(self._retire, slot)
            else:
                slot.settings = wanted[key]
                if slot.link is not None:
                    slot.link.session.adopt(self.session_limits(wanted[key]))
        for key, settings in wanted.items():
            if key not in self._slots:
                state = self._core.carriers[key[0]]
                slot = self._slots[key] = _Slot(state, settings, key[1], leaving.get(key))
                nursery.start_soon(self._keep_bound, slot)
        for carrier in [c for c in self.trouble if not any(key[0] == c for key in wanted)]:
            del self.trouble[carrier]

    def _wanted(self) -> dict[Key, Carrier]:
        wanted: dict[Key, Carrier] = {}
        for carrier in self._core.directory.carriers.values():
            if carrier.mode == "client" and carrier.state == "active":
                settings = self._as_it_can(carrier)
                count = settings.binds * (2 if settings.bind == "pair" else 1)
                wanted |= {(carrier.id, number): settings for number in range(count)}
        return wanted

    def _as_it_can(self, carrier: Carrier) -> Carrier:
        """A pair for a 3.3 message centre that knows no transceiver, until its settings change."""
        known = self._no_transceiver.get(carrier.id)
        if known is None:
            return carrier
        if connects_differently(known, carrier):
            del self._no_transceiver[carrier.id]
            return carrier
        return msgspec.structs.replace(carrier, bind="pair")

    async def _retire(self, slot: _Slot) -> None:
        slot.retired = True
        if slot.link is not None:
            await slot.link.leave(LEAVE_S)
        slot.scope.cancel()

    def stop(self) -> None:
        """At drain: connect no more. Links that are up stay, for `leave`."""
        for slot in self._slots.values():
            slot.retired = True
            if slot.link is None:
                slot.scope.cancel()

    # -- one bind ---------------------------------------------------------------------------------

    async def _keep_bound(self, slot: _Slot) -> None:
        try:
            with slot.scope:
                if slot.before is not None:
                    await slot.before.over.wait()
                    slot.before = None
                wait_s = 0.0
                while not slot.retired:
                    wait_s = await self._one_round(slot, wait_s)
                    await trio.sleep(wait_s * (1 - JITTER * self._random.random()))
        finally:
            slot.over.set()

    async def _one_round(self, slot: _Slot, wait_s: float) -> float:
        """Bind once, until that ends; how long to wait before the next time."""
        carrier, settings = slot.carrier, slot.settings
        started = self._core.clock.now()
        least_s = settings.reconnect_s_min
        try:
            await self._once(slot)
        except Refused as refused:
            if refused.by_nack and settings.bind == "transceiver":
                self._fall_back_to_pair(slot)
                return 0.0
            lasting = refused.status in LASTING
            self._say(carrier, f"bind refused: {refused}", lasting=lasting)
            least_s = LASTING_WAIT_S if lasting else least_s
        except LocalProtocolError as error:
            self._say(carrier, f"its settings cannot be sent: {error}", lasting=True)
            least_s = LASTING_WAIT_S
        except BadTlsFile as error:
            self._say(carrier, str(error), lasting=True)
            least_s = settings.reconnect_s_max
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._say(carrier, f"cannot connect: {reason_of(error)}")
        except trio.TooSlowError:
            self._say(carrier, "no answer to connect or bind in time")
        except Exception as error:
            reraise_store_failure(error)
            log.exception("a bind failed; it will be tried again", carrier=settings.name)
            least_s = settings.reconnect_s_max
        else:
            if self._core.clock.now() - started > STEADY_S:
                wait_s = 0.0
        return min(max(wait_s * 2, least_s), max(settings.reconnect_s_max, least_s))

    def _fall_back_to_pair(self, slot: _Slot) -> None:
        """A 3.3 message centre: use a transmitter and a receiver until the settings say otherwise."""
        self._no_transceiver[slot.carrier.id] = slot.settings
        self._say(slot.carrier, "it knows no transceiver: binding a transmitter and a receiver")
        self.reconcile()

    def _say(self, carrier: CarrierState, what: str, *, lasting: bool = False) -> None:
        """Tell people why a carrier is not bound, once."""
        if self.trouble.get(carrier.id) != what:
            say = log.error if lasting else log.warning
            say("carrier not bound", carrier=carrier.carrier.name, because=what)
            self.trouble[carrier.id] = what
        self.last_trouble[carrier.id] = (what, self._core.clock.wall_ms())

    async def _once(self, slot: _Slot) -> None:
        """Connect, bind, and run the link until it ends."""
        carrier, settings = slot.carrier, slot.settings
        with trio.fail_after(CONNECT_S):
            stream = await self._connect(settings)
        try:
            session = Session(
                role=Role.ESME,
                limits=self.session_limits(settings),
                now=self._core.clock.now(),
                jitter=self._random.random(),
            )
            peer = f"{settings.host}:{settings.port}"
            link, received = await self.bind(carrier, settings, stream, session, peer, number=slot.number)
            log.info("bound", carrier=settings.name, bind=type_of(settings, slot.number), number=link.number)
            self.trouble.pop(carrier.id, None)
            slot.link = link
            self.links.add(link)
            self._ticker.add(link)
            try:
                await link.run(received)
            finally:
                slot.link = None
                self._ticker.remove(link)
                self.links.discard(link)
                log.info("unbound", carrier=settings.name, number=link.number, because=link.closing)
                if link.closing and not slot.retired:
                    self.last_trouble[carrier.id] = (link.closing, self._core.clock.wall_ms())
                if not carrier.binds and link.closing:
                    self.trouble[carrier.id] = link.closing
        finally:
            await trio.aclose_forcefully(stream)

    async def _connect(self, settings: Carrier) -> trio.abc.Stream:
        stream = await self._core.ports.network.connect(settings.host, settings.port)
        if not settings.tls:
            return stream
        try:
            secured = trio.SSLStream(
                stream,
                client_context(settings),
                server_hostname=settings.tls_server_name or settings.host,
                https_compatible=True,
            )
            await secured.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return secured

    async def bind(
        self,
        carrier: CarrierState,
        settings: Carrier,
        stream: trio.abc.Stream,
        session: Session,
        peer: str,
        *,
        number: int = 0,
    ) -> tuple[CarrierLink, Received]:
        """Bind on a connected stream: the link, and what came with the answer, which is the link's already.

        Raises Refused, trio.TooSlowError, trio.BrokenResourceError, LocalProtocolError.
        """
        kind = type_of(settings, number)
        pdu = BIND_TYPES[kind](
            system_id=settings.system_id.encode(),
            password=settings.password.encode(),
            system_type=settings.system_type.encode(),
            interface_version=settings.interface_version,
            address_range=settings.address_range.encode(),
        )
        session.bind(pdu, OUR_BIND, self._core.clock.now())
        with trio.fail_after(BIND_S):
            received = await self._answer_to_bind(stream, session)
        session.window_max = settings.window
        self._numbers += 1
        link = CarrierLink(
            self._core, carrier, stream, session, self._core.clock, self._link_limits(),
            peer=peer, number=self._numbers, transmits=kind != "receiver", bound_as=settings,
        )  # fmt: skip
        return link, received

    async def _answer_to_bind(self, stream: trio.abc.Stream, session: Session) -> Received:
        await stream.send_all(session.take_output())
        while True:
            data = await stream.receive_some(65_536)
            if not data:
                raise trio.BrokenResourceError from ConnectionError("it closed the connection at our bind")
            received = session.receive(bytes(data), self._core.clock.now())
            answer = next((pdu for token, pdu in received.answers if token is OUR_BIND), None)
            if answer is not None:
                if answer.command_status or isinstance(answer, GenericNack):
                    raise Refused(answer.command_status, isinstance(answer, GenericNack))
                received.answers = [pair for pair in received.answers if pair[0] is not OUR_BIND]
                return received
            if session.out:
                await stream.send_all(session.take_output())
            if session.closing:
                raise trio.BrokenResourceError from ConnectionError(session.closing)

    async def answer_outbind(
        self, carrier: CarrierState, stream: trio.abc.Stream, session: Session, peer: str
    ) -> tuple[CarrierLink | None, Received]:
        """Bind on the connection of a carrier that asked us to; None when that failed, which is said."""
        settings = carrier.carrier
        try:
            link, received = await self.bind(carrier, settings, stream, session, peer)
        except Refused as refused:
            why = f"bind refused after its outbind: {refused}"
        except trio.TooSlowError:
            why = "no answer to our bind after its outbind"
        except (trio.BrokenResourceError, trio.ClosedResourceError, LocalProtocolError) as error:
            why = f"bind after its outbind failed: {reason_of(error)}"
        else:
            log.info("bound after outbind", carrier=settings.name, peer=peer, number=link.number)
            self.trouble.pop(carrier.id, None)
            return link, received
        self._say(carrier, why)
        return None, Received(closing=why)

    def session_limits(self, settings: Carrier) -> SessionLimits:
        """The bounds of a session with this carrier, whoever connected."""
        return SessionLimits(
            octets_max=self._config.limits.pdu_octets_max,
            octets_max_unbound=self._config.limits.pdu_octets_max,
            window_out_max=settings.window,
            window_in_max=0,
            session_init_s=BIND_S,
            partial_pdu_s=self._config.smpp.partial_pdu_s,
            enquire_link_s=settings.enquire_link_s,
            enquire_answer_s=min(settings.response_timeout_s, ENQUIRE_ANSWER_S),
            response_s=settings.response_timeout_s,
        )

    def _link_limits(self) -> LinkLimits:
        return LinkLimits(self._config.smpp.write_timeout_s, self._config.limits.output_octets_max)


_CONNECTION_FIELDS = (
    "host", "port", "system_id", "password", "system_type", "mode", "bind", "interface_version",
    "address_range", "tls", "tls_ca", "tls_certificate", "tls_key", "tls_server_name",
)  # fmt: skip


def connects_differently(one: Carrier, other: Carrier) -> bool:
    """Whether a changed carrier needs new connections; windows, rates, alphabets and the like do not."""
    return any(getattr(one, name) != getattr(other, name) for name in _CONNECTION_FIELDS)


def type_of(settings: Carrier, number: int) -> str:
    """How the nth bind of a carrier binds: those of pairs take turns."""
    return settings.bind if settings.bind != "pair" else ("transmitter", "receiver")[number % 2]


class BadTlsFile(Exception):
    """A file that a carrier's TLS settings name cannot be used."""


def client_context(carrier: Carrier) -> ssl.SSLContext:
    """TLS towards a carrier: certificate and host name verified, TLS 1.2 or later, our certificate if any.

    Raises BadTlsFile.
    """
    try:
        context = ssl.create_default_context(cafile=carrier.tls_ca or None)
    except OSError as error:
        raise BadTlsFile(f"tls_ca {carrier.tls_ca} cannot be used: {error.strerror or error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if carrier.tls_certificate:
        try:
            context.load_cert_chain(carrier.tls_certificate, carrier.tls_key or None)
        except OSError as error:
            raise BadTlsFile(
                f"tls_certificate {carrier.tls_certificate} with its key cannot be used:"
                f" {error.strerror or error}"
            ) from error
    return context
