"""Who may send, through whom, where to: the rows of `config.db` that the data plane reads, as plain values.

The daemon holds one `Directory` at a time; a change is a new one, swapped in by one assignment.
Every field is what `sluice apply` reads, with its default; ids are given by the store and never reused.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

_BRACKETED = re.compile("【([^【】]+)】")
Review = Literal["inherit", "trust", "review"]
GroupReview = Literal[
    "inherit", "trust", "review", "always"
]  # always: a trust further down counts for nothing
CountOrOff = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Octet = Annotated[int, msgspec.Meta(ge=-1, le=255)]  # -1: not set
Scope = Literal["send", "read", "inbound", "webhooks", "admin"]
EventType = Literal[
    "message.status",
    "message.inbound",
    "batch.finished",
    "batch.reviewed",
    "quota.low",
    "connection.state",
]
Seconds = Annotated[float, msgspec.Meta(ge=0.01, le=86_400)]
LowParts = Annotated[int, msgspec.Meta(ge=-1)]  # -1: the percentage counts
Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]
Tag16 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]


def low_at(limit: int, parts: int, percent: int) -> int:
    """Parts left at which a limit counts as low: `parts`, or where that is -1 `percent` of the limit."""
    return parts if parts >= 0 else limit * percent // 100


class Group(msgspec.Struct, frozen=True):
    id: int
    path: str  # "总公司/福建分公司"
    parent: int = 0
    granted: CountOrOff = 0  # parts
    unlimited: bool = False  # root groups only
    review: GroupReview = "inherit"
    quota_low_parts: LowParts = -1
    quota_low_percent: Percent = 10

    @property
    def low_at(self) -> int:
        """Low once no more than this is left of what was granted."""
        return low_at(self.granted, self.quota_low_parts, self.quota_low_percent)


class User(msgspec.Struct, frozen=True):
    id: int
    login: str
    group: int
    limit: CountOrOff = 0  # parts that this user may use
    review: Review = "inherit"
    state: Literal["active", "disabled", "deleted"] = "active"
    role: Literal["user", "admin"] = "user"
    quota_low_parts: LowParts = -1
    quota_low_percent: Percent = 10
    sms_types: tuple[str, ...] = ()  # that accounts of the user may send as; empty = any
    senders: tuple[str, ...] = ()  # on top of each account's own list; exact, or a prefix ending in *
    rate: CountOrOff = 0  # parts per second of each account, at most; 0 = no limit

    @property
    def low_at(self) -> int:
        """Low once no more than this is available."""
        return low_at(self.limit, self.quota_low_parts, self.quota_low_percent)


class UserRules(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a user may send as, from whom and how fast: fields of `User` that are kept as its settings."""

    sms_types: tuple[str, ...] = ()
    senders: tuple[str, ...] = ()
    rate: CountOrOff = 0

    @property
    def fields(self) -> dict[str, Any]:
        return msgspec.structs.asdict(self)


class Account(msgspec.Struct, frozen=True):
    """A credential of a user, with its rules: an SMPP login, or what the user's API keys send as.

    Without a password_hash nobody can bind with it. API keys that name no account share one of that kind,
    whose system_id is `api:LOGIN`, and `test:LOGIN` for keys that are for tests.
    """

    id: int
    user: int
    system_id: str
    password_hash: str
    binds: CountOrOff = 10
    window: Positive = 1000  # unanswered submit_sm a bind before RTHROTTLED
    rate: CountOrOff = 0  # parts per second, 0 = no limit
    burst: CountOrOff = 0  # parts at once, 0 = one second of rate
    allow: tuple[str, ...] = ()  # CIDR; empty = from anywhere
    senders: tuple[str, ...] = ()  # exact, or a prefix ending in *; empty = any
    default_sender: str = ""
    faked_sender: str = ""  # over Kannel's sendsms: sent instead of whatever the request says
    mo_url: str = ""  # inbound messages are told there, in the form of `mo_form`
    mo_form: Literal["kannel-get", "kannel-post", "jasmin-get", "jasmin-post"] = "kannel-get"
    sms_type: str = "api"
    trusted: bool = True  # False: a word or group that asks for review refuses the message
    receipts: Literal["message", "part"] = "message"  # for a submit_sm that the gateway split
    priority: Annotated[int, msgspec.Meta(ge=0, le=3)] = 1  # lane of messages with priority_flag 0
    certificate: str = ""  # SHA-256 fingerprint a client certificate must have
    state: Literal["active", "disabled"] = "active"

    def __repr__(self) -> str:
        """The account without its password hash."""
        return f"Account(id={self.id}, user={self.user}, system_id={self.system_id!r})"


class ApiKey(msgspec.Struct, frozen=True):
    """A key of the HTTP API: whoever shows it sends as `account`. An account may have several, so that one can
    take over from another."""

    id: int
    account: int
    hint: str  # its first characters, to tell keys apart
    scopes: tuple[Scope, ...] = ("send", "read", "inbound")
    allow: tuple[str, ...] = ()  # CIDR; empty = from anywhere
    expires: str = ""  # RFC 3339 with offset; "" = never
    test: bool = False  # judged and answered like any other, sent nowhere: the number decides how it ends
    rate: CountOrOff = 0  # parts per second by this key, within its account's rate; 0 = no limit of its own
    burst: CountOrOff = 0  # parts at once, 0 = one second of rate
    state: Literal["active", "disabled"] = "active"


class Webhook(msgspec.Struct, frozen=True):
    """An endpoint that an account's events are posted to.

    Without a `url` it stands for the URLs that messages bring with them (`callback_url`): their hosts must then
    match one of `hosts`.
    """

    id: int
    account: int
    name: str
    url: str = ""
    hosts: tuple[str, ...] = ()  # exact, or *.example.com
    events: tuple[EventType, ...] = ()  # empty = all
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=32)] = 4  # requests at once
    state: Literal["active", "paused", "gone"] = "active"  # gone: the receiver answered 410
    secrets: tuple[str, ...] = ()  # the one that signs, and the one before it
    overlap_until: int = 0  # UTC milliseconds: so long the one before signs as well

    def __repr__(self) -> str:
        """The endpoint without its secrets, and without a URL that may hold one."""
        return f"Webhook(id={self.id}, account={self.account}, name={self.name!r})"


class Carrier(msgspec.Struct, frozen=True):
    """An upstream SMSC, with the settings that make its peculiarities ours."""

    id: int
    name: str
    host: str = ""
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    system_id: str = ""
    password: str = msgspec.field(default="")
    system_type: str = ""
    mode: Literal["client", "outbind", "bound-in"] = "client"
    bind: Literal["transmitter", "receiver", "transceiver", "pair"] = "transceiver"  # pair: one of each
    binds: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1  # parallel sessions
    window: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 100  # unanswered submit_sm per bind
    rate: CountOrOff = 0  # parts per second over the carrier, 0 = no limit
    message_id: Literal[
        "auto", "same", "dec", "hex", "hex-response-dec-receipt", "dec-response-hex-receipt"
    ] = "auto"
    interface_version: Literal[0x33, 0x34, 0x50] = 0x34
    address_range: str = ""
    tls: bool = False
    tls_ca: str = ""  # file; "" = the system's
    tls_certificate: str = ""
    tls_key: str = ""
    tls_server_name: str = ""  # "" = host
    on_unknown: Literal["resend", "hold", "fail"] = "resend"
    alphabet: Literal["gsm", "latin1", "ascii", "gsm-packed"] = "gsm"  # what data_coding 0 means there
    gsm_data_coding: Literal[0, 1, 3, 0xF1] = 0  # send GSM text as 0, 1, 3 or 0xF1
    source_ton: Octet = -1  # -1: as given, by the shape of the address
    source_npi: Octet = -1
    dest_ton: Octet = -1
    dest_npi: Octet = -1
    default_sender: str = ""
    validity_s_max: CountOrOff = 0  # 0 = no clamp
    validity_form: Literal["relative", "absolute", "none"] = "relative"
    split: Literal["udh8", "udh16", "sar", "payload"] = "udh8"
    receipts: Literal["always", "asked", "never"] = "always"  # what we ask the carrier for
    tlv_drop: tuple[Tag16, ...] = ()
    tlv_add: tuple[tuple[Tag16, str], ...] = ()  # (tag, value in hex)
    mo_as: Literal["deliver_sm", "submit_sm"] = "deliver_sm"  # bound-in carriers
    receipt_by_text: bool = False  # read receipts that have no esm_class bit and no TLV
    enquire_link_s: Seconds = 30.0
    response_timeout_s: Seconds = 60.0
    reconnect_s_min: Seconds = 1.0
    reconnect_s_max: Seconds = 60.0
    retry_statuses: tuple[Annotated[int, msgspec.Meta(ge=1, le=0xFFFFFFFF)], ...] = ()  # beside 08 14 58
    allow: tuple[str, ...] = ()  # bound-in and outbind: CIDR that may connect
    state: Literal["active", "paused"] = "active"

    def __repr__(self) -> str:
        """The carrier without its password."""
        return f"Carrier(id={self.id}, name={self.name!r}, host={self.host!r}, port={self.port})"


class Route(msgspec.Struct, frozen=True):
    id: int
    prefix: str = ""  # digits; the longest match wins
    carriers: tuple[int, ...] = ()  # carrier ids, in order
    weights: tuple[Positive, ...] = ()  # for balance; empty = equal
    policy: Literal["failover", "balance"] = "failover"
    sms_type: str = ""  # "" = any
    account: int = 0  # 0 = any


class Template(msgspec.Struct, frozen=True):
    """A text with variables, for the users of a group and of the groups below it.

    In the text a variable stands as 【name】. What else is in 【】 is text, such as a signature.
    """

    id: int
    group: int
    name: str
    text: str
    variables: tuple[str, ...] = ()

    def pieces(self) -> Iterator[tuple[str, str]]:
        """(literal text, the variable behind it), to the end of the text; "" where none follows."""
        at = 0
        for found in _BRACKETED.finditer(self.text):
            if found[1] in self.variables:
                yield self.text[at : found.start()], found[1]
                at = found.end()
        yield self.text[at:], ""


class Number(msgspec.Struct, frozen=True):
    """Who owns a destination of inbound messages: the longest matching prefix wins."""

    id: int
    address: str  # exact, or a prefix ending in *
    account: int


class Word(msgspec.Struct, frozen=True):
    text: str
    action: Literal["mask", "review", "reject"] = "mask"
    substring: bool = False  # Latin and digit words match whole words unless set
    category: str = ""
    note: str = ""


class BlacklistScope(msgspec.Struct, frozen=True):
    """One list's key: `global`, `group:PATH` or `type:NAME`, resolved to ids where it has one."""

    kind: Literal["global", "group", "type"]
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
    api_keys: dict[bytes, ApiKey] = {}  # SHA-256 of the key -> the key
    webhooks: dict[int, Webhook] = {}
    templates: dict[int, Template] = {}
