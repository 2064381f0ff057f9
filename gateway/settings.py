"""Every setting of `sluice.toml`: its type, bounds, default, meaning, and where the default comes from.

This is data: `config.py` reads files into it and renders the README's reference from it. `Key(path=True)`
marks file names, which a configuration file gives relative to itself. `_s` seconds, `_mib` 2^20 octets.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

PATH: dict[str, Any] = {"path": True}

Text = Annotated[str, Meta()]
Count = Annotated[int, Meta(ge=1)]
CountOrOff = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0.05, le=864_000)]
SecondsOrOff = Annotated[float, Meta(ge=0, le=864_000)]
Mib = Annotated[int, Meta(ge=0)]


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where data lives, how long, and what happens as the disk fills."""

    data: Annotated[
        str, Meta(min_length=1, description="Data directory, created with mode 0700.", extra=PATH)
    ] = "data"
    node: Annotated[
        int, Meta(ge=0, le=1023, description="Number of this daemon within message ids: 10 bits of each id.")
    ] = 0
    retention_days: Annotated[
        Count, Meta(description="Day files older than this are removed. Half a year: complaints come late.")
    ] = 180
    disk_low_mib: Annotated[
        Mib,
        Meta(description="Below this free space new submits get ESME_RMSGQFUL; receipts go on (promise P9)."),
    ] = 2048
    disk_critical_mib: Annotated[
        Mib,
        Meta(description="Below this the ballast file goes and nothing is sent to carriers (promise P9)."),
    ] = 256
    ballast_mib: Annotated[
        Mib,
        Meta(description="A file to delete when the disk is full: SQLite cannot even DELETE then."),
    ] = 256
    accept_old_sqlite: Annotated[
        bool,
        Meta(
            description="Start on SQLite before 3.51.3, whose WAL reset can lose pages when one connection"
            " checkpoints while another commits. Here one connection does every write and every checkpoint."
        ),
    ] = True


class TlsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A second SMPP listener, over TLS 1.2 or newer. Off while `listen` is empty."""

    listen: Annotated[
        str, Meta(description='Address and port, such as "0.0.0.0:3550" (the usual port of SMPP over TLS).')
    ] = ""
    certificate: Annotated[str, Meta(description="PEM file: our certificate and its chain.", extra=PATH)] = ""
    key: Annotated[str, Meta(description="PEM file: our private key, mode 0600.", extra=PATH)] = ""
    client_ca: Annotated[
        str,
        Meta(
            description="PEM file: authorities of client certificates. Given, every client must show one.",
            extra=PATH,
        ),
    ] = ""


class SmppSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The listener that ESMEs bind to, and the timers of SMPP sessions."""

    listen: Annotated[
        str, Meta(description='Address and port; ":0" picks a port and logs it; "" is off. 2775 is IANA\'s.')
    ] = "127.0.0.1:2775"
    tls: TlsSettings = TlsSettings()
    system_id: Annotated[
        str, Meta(min_length=1, description="What a bind response says we are; at most 15 octets.")
    ] = "sluice"
    home_country: Annotated[
        str,
        Meta(description='Country code put before national numbers ("86"); "" leaves numbers as given.'),
    ] = ""
    session_init_s: Annotated[
        Seconds,
        Meta(description="A connection must bind within this time. Cloudhopper gives 5 s, Jasmin 30 s."),
    ] = 10.0
    enquire_link_s: Annotated[
        Seconds,
        Meta(description="We ask after this much silence from an ESME. Kannel's and Jasmin's default."),
    ] = 30.0
    response_timeout_s: Annotated[
        Seconds, Meta(description="An ESME's time to answer a deliver_sm or enquire_link. Kannel's wait-ack.")
    ] = 60.0
    inactivity_s: Annotated[
        SecondsOrOff,
        Meta(
            description="Unbind after this long without a message either way, enquire_link aside; 0 = never."
        ),
    ] = 0.0
    partial_pdu_s: Annotated[
        Seconds,
        Meta(description="A PDU that has begun must be whole by then, however it dribbles. Jasmin's value."),
    ] = 10.0
    write_timeout_s: Annotated[
        Seconds, Meta(description="A peer that takes no octet for this long is cut. Kannel's unbind wait.")
    ] = 30.0
    bind_failure_delay_s: Annotated[
        SecondsOrOff, Meta(description="Every refused bind is answered this late, so that guessing is slow.")
    ] = 1.0
    bind_failures_max: Annotated[
        Count, Meta(description="Refused binds from one address within bind_ban_s before it is banned.")
    ] = 20
    bind_ban_s: Annotated[SecondsOrOff, Meta(description="How long a banned address is refused at once.")] = (
        900.0
    )
    password_octets_max: Annotated[
        Annotated[int, Meta(ge=8, le=64)],
        Meta(description="Longest password of a bind. SMPP says 8; Infobip and OpenMarket use more."),
    ] = 64
    drain_s: Annotated[
        Seconds,
        Meta(description="After SIGTERM: time for outstanding answers. Kannel's unbind wait."),
    ] = 30.0


class HttpTlsSettings(TlsSettings, frozen=True, forbid_unknown_fields=True):
    """A second HTTP listener, over TLS 1.2 or newer. Off while `listen` is empty."""

    listen: Annotated[str, Meta(description='Address and port, such as "0.0.0.0:8443".')] = ""


class HttpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The HTTP API: /v1, /metrics, /healthz, /v1/stream."""

    listen: Annotated[str, Meta(description='Address and port; ":0" picks a port; "" is off.')] = (
        "127.0.0.1:8080"
    )
    tls: HttpTlsSettings = HttpTlsSettings()
    body_octets_max: Annotated[
        Count, Meta(description="Largest request body: a batch of 10,000 messages or 8 MB.")
    ] = 8_388_608
    header_octets_max: Annotated[
        Count, Meta(description="Largest request head. 16 KiB is what common servers take.")
    ] = 16_384
    header_timeout_s: Annotated[
        Seconds,
        Meta(description="A request's head must be whole within this time, however it dribbles."),
    ] = 10.0
    request_timeout_s: Annotated[
        Seconds,
        Meta(
            description="The same of the whole request; a streamed body has an extra second for each KiB of it."
        ),
    ] = 30.0
    write_timeout_s: Annotated[
        Seconds, Meta(description="A client that takes nothing of its answer for this long is cut off.")
    ] = 30.0
    keep_alive_s: Annotated[
        Seconds, Meta(description="An idle kept connection is closed after this. nginx's default.")
    ] = 75.0
    metrics_public: Annotated[
        bool,
        Meta(description="Serve /metrics without a key: it names carriers and counts, no numbers or users."),
    ] = True
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(description="CIDR blocks whose X-Forwarded-For is believed; from others it is ignored."),
    ] = ()


class ConsoleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The web console."""

    listen: Annotated[
        str, Meta(description='Address and port; ":0" picks a port; "" is off. Loopback by default.')
    ] = "127.0.0.1:8000"
    public_url: Annotated[
        str,
        Meta(
            description='Address that browsers use, such as "https://sms.example.com", where a proxy ends TLS;'
            ' cookies are then for TLS only. "" is plain HTTP.'
        ),
    ] = ""
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="CIDR blocks whose X-Forwarded-For is believed, for the log and the brake on guessing."
        ),
    ] = ()
    connections_max: Annotated[
        Count, Meta(description="Connections of browsers at once; more are closed at once.")
    ] = 1000
    connections_per_address_max: Annotated[
        Count, Meta(description="Connections at once from one address that is no trusted proxy.")
    ] = 100
    second_factor: Annotated[
        Literal["optional", "administrators", "everybody"],
        Meta(
            description="Who must sign in with a code of an authenticator app too; without one they are led"
            " to set it up and nowhere else."
        ),
    ] = "optional"
    review_allow_self: Annotated[
        Literal["auto", "yes", "no"],
        Meta(
            description='Whether an administrator may approve their own task. "auto": only while there is'
            " no other active administrator."
        ),
    ] = "auto"


class KannelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Kannel's sendsms for applications that were written for it. Off while `listen` is empty."""

    listen: Annotated[
        str, Meta(description='Address and port, such as "127.0.0.1:13013" (Kannel\'s); "" is off.')
    ] = ""
    global_sender: Annotated[
        str, Meta(description="Sender of messages that name none, whose account has no default_sender.")
    ] = ""
    charset: Annotated[
        str, Meta(description="Charset of texts that name none. ISO-8859-1 is that of Kannel before 1.4.4.")
    ] = "UTF-8"
    immediate_reply: Annotated[
        bool,
        Meta(description='Answer "Sent." with denied receivers and parts, as immediate-sendsms-reply does.'),
    ] = False
    mo_recode: Annotated[
        bool, Meta(description="Tell inbound UCS-2 as UTF-8, not as UTF-16BE. Kannel's mo-recode.")
    ] = False
    reply_messages_max: Annotated[
        Annotated[int, Meta(ge=1, le=255)],
        Meta(description="SMS that an answer to get-url or post-url may become. Kannel's max-messages."),
    ] = 1
    retries_max: Annotated[
        CountOrOff, Meta(description="Further tries of a dlr-url or MO URL. Kannel's own default is 0.")
    ] = 3
    retry_s: Annotated[Seconds, Meta(description="Pause between them. Kannel's http-queue-delay.")] = 10.0


class JasminSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Jasmin's HTTP API and its REST wrapper for applications that were written for them."""

    listen: Annotated[
        str, Meta(description='/send, /rate, /balance, /ping: "127.0.0.1:1401" is Jasmin\'s; "" is off.')
    ] = ""
    rest_listen: Annotated[
        str, Meta(description='/secure/send and the like: "127.0.0.1:8080" is Jasmin\'s; "" is off.')
    ] = ""
    retries_max: Annotated[
        CountOrOff,
        Meta(description="Further tries of a push that is not acknowledged. Jasmin's max_retries."),
    ] = 3
    retry_s: Annotated[Seconds, Meta(description="Pause between them. Jasmin's retry_delay.")] = 30.0


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bound on everything that a peer can make us keep (promise P12)."""

    connections_max: Annotated[
        Count, Meta(description="SMPP connections at once; more are closed at once.")
    ] = 4000
    connections_per_address_max: Annotated[
        Count, Meta(description="SMPP connections at once from one address.")
    ] = 200
    unbound_connections_max: Annotated[
        Count,
        Meta(description="Connections at once that have not bound yet: what a flood of strangers can hold."),
    ] = 500
    pdu_octets_max: Annotated[
        Annotated[int, Meta(ge=1024, le=1_048_576)],
        Meta(description="Longest PDU of a bound peer: message_payload holds up to 64 KiB."),
    ] = 66_000
    unbound_octets_max: Annotated[
        Annotated[int, Meta(ge=64, le=65_536)],
        Meta(description="Longest PDU before the bind is accepted; a bind has some 100 octets."),
    ] = 1024
    output_octets_max: Annotated[
        Annotated[int, Meta(ge=65_536)],
        Meta(description="Octets waiting to be written to one peer; over it we stop reading from that peer."),
    ] = 4_194_304
    queue_parts_max: Annotated[
        Count,
        Meta(description="Parts in memory a carrier and account; the rest stay QUEUED in the store."),
    ] = 20_000
    correlation_entries_max: Annotated[
        Count,
        Meta(description="Carrier message ids in memory to match receipts; older ones are in the store."),
    ] = 400_000
    events_in_memory_max: Annotated[
        Count,
        Meta(description="Receipts and MO waiting in memory an account; the rest are in the store."),
    ] = 10_000
    http_connections_per_address_max: Annotated[
        Count, Meta(description="HTTP connections at once from one address that is no trusted proxy.")
    ] = 1000
    http_connections_max: Annotated[
        Count, Meta(description="HTTP connections at once; more wait in the listen queue.")
    ] = 2000
    control_octets_max: Annotated[
        Annotated[int, Meta(ge=65_536)],
        Meta(
            description="Longest request on control.sock: a document of `sluice apply` with its number lists."
        ),
    ] = 134_217_728


class ReceiptSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Delivery receipts: how long they wait for the customer, how those that match nothing are kept."""

    keep_hours: Annotated[
        Annotated[int, Meta(ge=1, le=720)],
        Meta(description="Undelivered receipts and MO are offered this long (promise P4)."),
    ] = 72
    park_hours: Annotated[
        Annotated[int, Meta(ge=1, le=720)],
        Meta(description="A receipt that matches no message is kept and tried again this long (P4)."),
    ] = 72
    retry_s_min: Annotated[
        Seconds, Meta(description="First pause after a refused delivery; doubled each time.")
    ] = 1.0
    retry_s_max: Annotated[
        Seconds, Meta(description="Longest pause between two tries: 15 minutes (promise P4).")
    ] = 900.0
    unknown_after_hours: Annotated[
        Annotated[int, Meta(ge=0, le=720)],
        Meta(description="Grace after a part's validity before it is UNKNOWN for want of a receipt."),
    ] = 1
    window: Annotated[
        Count,
        Meta(description="Unanswered deliver_sm a bind. Ten times Kannel's max-pending-submits."),
    ] = 100


class WebhookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Posting events to customers' URLs. They run while `[http] listen` is set."""

    allow_private: Annotated[
        tuple[str, ...],
        Meta(
            description="CIDR blocks inside your own network that customers' URLs may lead to, on any port. Empty:"
            " the public internet only."
        ),
    ] = ()
    ports: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=65_535)], ...],
        Meta(description="Ports of public addresses that customers' URLs may name."),
    ] = (80, 443)
    timeout_s: Annotated[
        Seconds, Meta(description="A receiver must have answered by then: look-up, TLS and all.")
    ] = 15.0
    tls_ca: Annotated[
        str,
        Meta(
            description="PEM file: authorities of receivers' certificates, beside the system's.", extra=PATH
        ),
    ] = ""


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Standard error: one line an event of interest; never a message text, never a secret."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severe line written.")
    ] = "info"
    format: Annotated[
        Literal["auto", "console", "json"],
        Meta(description="auto: coloured text on a terminal, JSON lines otherwise."),
    ] = "auto"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `sluice.toml`. `Config()` is the configuration of an empty file."""

    store: StoreSettings = StoreSettings()
    smpp: SmppSettings = SmppSettings()
    http: HttpSettings = HttpSettings()
    console: ConsoleSettings = ConsoleSettings()
    kannel: KannelSettings = KannelSettings()
    jasmin: JasminSettings = JasminSettings()
    limits: LimitSettings = LimitSettings()
    receipts: ReceiptSettings = ReceiptSettings()
    webhooks: WebhookSettings = WebhookSettings()
    log: LogSettings = LogSettings()
