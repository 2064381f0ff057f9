"""Who may send, through whom, where to: the rows of `config.db` that the data plane reads, as plain values.

The daemon holds one `Directory` at a time; a change is a new one, swapped in by one assignment.
Every field is what `sluice apply` reads, with its default; ids are given by the store and never reused.
"""

import msgspec


class Group(msgspec.Struct, frozen=True):
    id: int
    path: str  # "总公司/福建分公司"
    parent: int = 0
    granted: int = 0  # parts
    unlimited: bool = False  # root groups only
    review: str = "inherit"  # trust | review | inherit


class User(msgspec.Struct, frozen=True):
    id: int
    login: str
    group: int
    limit: int = 0  # parts that this user may use
    review: str = "inherit"
    state: str = "active"  # active | disabled | deleted


class Account(msgspec.Struct, frozen=True):
    """An SMPP login of a user."""

    id: int
    user: int
    system_id: str
    password_hash: str
    binds: int = 10
    window: int = 1000  # unanswered submit_sm a bind before RTHROTTLED
    rate: int = 0  # parts per second, 0 = no limit
    burst: int = 0  # parts at once, 0 = one second of rate
    allow: tuple[str, ...] = ()  # CIDR; empty = from anywhere
    senders: tuple[str, ...] = ()  # exact, or a prefix ending in *; empty = any
    default_sender: str = ""
    sms_type: str = "api"
    trusted: bool = True  # False: a word or group that asks for review refuses the message
    receipts: str = "message"  # message | part: for a submit_sm that the gateway split
    priority: int = 1  # lane of messages with priority_flag 0
    certificate: str = ""  # SHA-256 fingerprint a client certificate must have
    state: str = "active"  # active | disabled


class Carrier(msgspec.Struct, frozen=True):
    """An upstream SMSC, with the settings that make its peculiarities ours."""

    id: int
    name: str
    host: str = ""
    port: int = 0
    system_id: str = ""
    password: str = msgspec.field(default="")
    system_type: str = ""
    mode: str = "client"  # client | outbind | bound-in
    bind: str = "transceiver"  # transmitter | receiver | transceiver | pair (a transmitter and a receiver)
    binds: int = 1
    window: int = 100
    rate: int = 0
    message_id: str = "auto"  # auto | same | dec | hex | hex-response-dec-receipt | dec-response-hex-receipt
    interface_version: int = 0x34
    address_range: str = ""
    tls: bool = False
    tls_ca: str = ""  # file; "" = the system's
    tls_certificate: str = ""
    tls_key: str = ""
    tls_server_name: str = ""  # "" = host
    on_unknown: str = "resend"  # resend | hold | fail
    alphabet: str = "gsm"  # data_coding 0: gsm | latin1 | ascii | gsm-packed
    gsm_data_coding: int = 0  # send GSM text as 0, 1, 3 or 0xF1
    source_ton: int = -1  # -1: as given, by the shape of the address
    source_npi: int = -1
    dest_ton: int = -1
    dest_npi: int = -1
    default_sender: str = ""
    validity_s_max: int = 0  # 0 = no clamp
    validity_form: str = "relative"  # relative | absolute | none
    split: str = "udh8"  # udh8 | udh16 | sar | payload
    receipts: str = "always"  # always | asked | never: what we ask the carrier for
    tlv_drop: tuple[int, ...] = ()
    tlv_add: tuple[tuple[int, str], ...] = ()  # (tag, value in hex)
    mo_as: str = "deliver_sm"  # bound-in carriers: deliver_sm | submit_sm
    receipt_by_text: bool = False  # read receipts that have no esm_class bit and no TLV
    enquire_link_s: float = 30.0
    response_timeout_s: float = 60.0
    reconnect_s_min: float = 1.0
    reconnect_s_max: float = 60.0
    retry_statuses: tuple[int, ...] = ()  # beside 08 14 58
    allow: tuple[str, ...] = ()  # bound-in and outbind: CIDR that may connect
    state: str = "active"  # active | paused

    def __repr__(self) -> str:
        """The carrier without its password."""
        return f"Carrier(id={self.id}, name={self.name!r}, host={self.host!r}, port={self.port})"


class Route(msgspec.Struct, frozen=True):
    id: int
    prefix: str = ""  # digits; the longest match wins
    carriers: tuple[int, ...] = ()  # carrier ids, in order
    weights: tuple[int, ...] = ()  # for balance; empty = equal
    policy: str = "failover"  # failover | balance
    sms_type: str = ""  # "" = any
    account: int = 0  # 0 = any


class Number(msgspec.Struct, frozen=True):
    """Who owns a destination of inbound messages: the longest matching prefix wins."""

    id: int
    address: str  # exact, or a prefix ending in *
    account: int


class Word(msgspec.Struct, frozen=True):
    text: str
    action: str = "mask"  # mask | review | reject
    substring: bool = False  # Latin and digit words match whole words unless set


class BlacklistScope(msgspec.Struct, frozen=True):
    """One list's key: `global`, `group:PATH` or `type:NAME`, resolved to ids where it has one."""

    kind: str  # global | group | type
    key: int | str = 0  # group id, or SMS type name


class Directory(msgspec.Struct, frozen=True):
    """Everything that the data plane reads, as of `version`. Words and blacklists have their own engines."""

    version: int = 0
    groups: dict[int, Group] = {}
    users: dict[int, User] = {}
    accounts: dict[int, Account] = {}
    carriers: dict[int, Carrier] = {}
    routes: dict[int, Route] = {}
    numbers: dict[int, Number] = {}
    sms_types: dict[str, int] = {}  # name -> number stored with each part
