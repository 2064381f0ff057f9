"""Two real sessions, one of each role, joined by a wire that exists only here.

Every test of a session so checks both sides. The wire cuts what it carries into pieces of `octets_per_read`
(0: whole), because nothing may depend on where a read happens to end.
"""

from math import inf

from gateway.smpp.constants import CommandId
from gateway.smpp.encode import body_of, encode
from gateway.smpp.pdu import BindReceiver, BindTransceiver, BindTransmitter, SubmitSm
from gateway.smpp.session import BindState, Received, Role, Session, SessionLimits
from gateway.smpp.session_core import Bind

BINDS = (BindReceiver, BindTransmitter, BindTransceiver)
SUBMIT_BODY = body_of(SubmitSm(destination_addr=b"1234", short_message=b"hello"))
QUIET = SessionLimits(enquire_link_s=0, session_init_s=0)
"""No timer but those that a test asks for."""


def submits(session: Session, tokens: list[object], now: float = 0.0) -> None:
    session.send_requests(CommandId.SUBMIT_SM, [SUBMIT_BODY] * len(tokens), tokens, now)


def feed(session: Session, data: bytes, now: float = 0.0, *, octets_per_read: int = 0) -> Received:
    """Everything that `session` saw of `data`, as one Received."""
    seen = Received()
    step = octets_per_read or max(1, len(data))
    for at in range(0, len(data), step):
        merge(seen, session.receive(data[at : at + step], now))
    return seen


def merge(seen: Received, more: Received) -> None:
    seen.requests += more.requests
    seen.answers += more.answers
    seen.late += more.late
    seen.closing = more.closing or seen.closing


def _wakes_at(session: Session) -> float:
    return inf if session.closing else session.next_tick_at()


def open_session(role: Role, limits: SessionLimits = QUIET) -> Session:
    return Session(role=role, limits=limits, now=0.0)


def bound_mc(bind: Bind | None = None, limits: SessionLimits = QUIET, *, peer_is_mc: bool = False) -> Session:
    """A session of the message centre, to which `bind` (a transceiver's, if not said) was accepted."""
    session = open_session(Role.MC, limits)
    (request,) = session.receive(encode(bind or BindTransceiver(1)), 0.0).requests
    session.accept_bind(request, b"gateway", 0.0, peer_is_mc=peer_is_mc)
    session.take_output()
    return session


class SessionPair:
    """An ESME's session and a message centre's.

    What each side saw is collected in `esme_saw` and `mc_saw`; binds are accepted at once unless
    `accepts_binds` is False. `now` moves only by `advance`.
    """

    def __init__(
        self,
        *,
        esme_limits: SessionLimits = QUIET,
        mc_limits: SessionLimits = QUIET,
        octets_per_read: int = 0,
        accepts_binds: bool = True,
        peer_is_mc: bool = False,
    ) -> None:
        self.now = 0.0
        self.esme = Session(role=Role.ESME, limits=esme_limits, now=0.0)
        self.mc = Session(role=Role.MC, limits=mc_limits, now=0.0)
        self.esme_saw = Received()
        self.mc_saw = Received()
        self.octets_per_read = octets_per_read
        self.accepts_binds = accepts_binds
        self.peer_is_mc = peer_is_mc

    def bind(self, bind: Bind | None = None) -> "SessionPair":
        """Bind (as a transceiver, if not said) and forget what that looked like."""
        self.esme.bind(bind or BindTransceiver(system_id=b"customer", password=b"secret"), "bind", self.now)
        self.flow()
        assert self.esme.state is self.mc.state is not BindState.OPEN
        self.forget()
        return self

    def flow(self) -> None:
        """Carry octets both ways until neither side has more to write."""
        while self.esme.out or self.mc.out:
            to_mc, to_esme = self.esme.take_output(), self.mc.take_output()
            saw = feed(self.mc, to_mc, self.now, octets_per_read=self.octets_per_read)
            merge(self.mc_saw, saw)
            for request in saw.requests:
                if isinstance(request, BINDS) and self.accepts_binds:
                    held = self.mc.accept_bind(request, b"gateway", self.now, peer_is_mc=self.peer_is_mc)
                    merge(self.mc_saw, held)
            merge(self.esme_saw, feed(self.esme, to_esme, self.now, octets_per_read=self.octets_per_read))

    def advance(self, seconds: float) -> tuple[list[object], list[object]]:
        """Let time pass, each side waking when it asked for it; gives the expired tokens of both."""
        until = self.now + seconds
        expired: tuple[list[object], list[object]] = ([], [])
        while True:
            self.now = max(self.now, min(until, *(_wakes_at(each) for each in (self.esme, self.mc))))
            for session, lost in zip((self.esme, self.mc), expired, strict=True):
                if session.closing is None:
                    lost += session.tick(self.now).expired
            self.flow()
            if self.now >= until:
                return expired

    def forget(self) -> None:
        self.esme_saw = Received()
        self.mc_saw = Received()
