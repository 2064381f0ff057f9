"""Every reason of our own to refuse, change or end a message, as one table: number, name, SMPP status, sentences.

A reason is stored with its part (`Part.error`). Numbers from 0x4000 are ours, below lie the statuses and errors
of carriers (statuses.py), 0x7FFF means none. SMPP statuses are plain integers here; their names stand beside them.
"""

from enum import IntEnum

import msgspec

from filters.statuses import explain_status, status_name

OURS_FROM = 0x4000
NONE = 0x7FFF


class Reason(IntEnum):
    """Why a message was not taken, or how it ended without a carrier's word. Numbers are stored: never reuse one."""

    INVALID_NUMBER = 0x4001
    SENDER_NOT_ALLOWED = 0x4002
    WORD_REJECTED = 0x4003
    REVIEW_REQUIRED = 0x4004
    BLACKLISTED_GLOBAL = 0x4005
    BLACKLISTED_TYPE = 0x4006
    BLACKLISTED_GROUP = 0x4007
    BLACKLISTED_AT_DISPATCH = 0x4008
    NO_ROUTE = 0x4009
    QUOTA_EXCEEDED = 0x400A
    RATE_EXCEEDED = 0x400B
    TOO_LONG = 0x400C
    BAD_SCHEDULE = 0x400D
    BAD_VALIDITY = 0x400E
    BAD_PRIORITY = 0x400F
    BAD_REPLACE_FLAG = 0x4010
    BAD_ESM_CLASS = 0x4011
    NO_DEFAULT_MESSAGE = 0x4012
    BAD_FIELD = 0x4013
    DISK_LOW = 0x4014
    DISK_FULL = 0x4015
    SHUTTING_DOWN = 0x4016
    EXPIRED_IN_QUEUE = 0x4020
    NO_RECEIPT = 0x4021
    OUTCOME_UNKNOWN = 0x4022
    CANCELLED = 0x4023


class Verdict(msgspec.Struct, frozen=True):
    """What is said of one reason."""

    name: str  # kebab-case: problem types, metrics, logs
    smpp_status: int
    permanent: bool  # False: the same message may be taken later
    en: str
    zh: str


VERDICTS: dict[Reason, Verdict] = {
    Reason.INVALID_NUMBER: Verdict(
        "invalid-number", 0x0B, True,  # ESME_RINVDSTADR
        "The destination is not a telephone number. Give it with country code, digits only.",
        "接收号码不是有效的电话号码。请使用带国家代码的纯数字号码。",
    ),
    Reason.SENDER_NOT_ALLOWED: Verdict(
        "sender-not-allowed", 0x0A, True,  # ESME_RINVSRCADR
        "This sender may not be used by this account. Use one of the account's senders.",
        "该帐户不能使用此发送者。请使用帐户允许的发送者。",
    ),
    Reason.WORD_REJECTED: Verdict(
        "word-rejected", 0x45, True,  # ESME_RSUBMITFAIL
        "The text contains a forbidden word. Change the text.",
        "短信内容包含禁止发送的敏感字。请修改内容。",
    ),
    Reason.REVIEW_REQUIRED: Verdict(
        "review-required", 0x45, True,  # ESME_RSUBMITFAIL
        "The text or the sender needs a review before it may be sent. Ask an administrator, or mark the"
        " account as trusted.",
        "该内容或该用户的短信需要审核后才能发送。请联系管理员，或将帐户设为信任。",
    ),
    Reason.BLACKLISTED_GLOBAL: Verdict(
        "blacklisted-global", 0x0B, True,  # ESME_RINVDSTADR
        "The number is on the global blacklist. Do not send to it.",
        "号码在全局黑名单中，不予发送。",
    ),
    Reason.BLACKLISTED_TYPE: Verdict(
        "blacklisted-type", 0x0B, True,  # ESME_RINVDSTADR
        "The number is on the blacklist of this SMS type. Do not send this type to it.",
        "号码在该短信类型的黑名单中，不予发送。",
    ),
    Reason.BLACKLISTED_GROUP: Verdict(
        "blacklisted-group", 0x0B, True,  # ESME_RINVDSTADR
        "The number is on the blacklist of the sender's group. Do not send to it.",
        "号码在所属用户组的黑名单中，不予发送。",
    ),
    Reason.BLACKLISTED_AT_DISPATCH: Verdict(
        "blacklisted-at-dispatch", 0x0B, True,  # ESME_RINVDSTADR
        "The number was blacklisted after the message was accepted; it was not sent.",
        "短信受理后号码被加入黑名单，未发送。",
    ),
    Reason.NO_ROUTE: Verdict(
        "no-route", 0x0B, True,  # ESME_RINVDSTADR
        "No route leads to this number. Ask the operator of the gateway for one.",
        "没有到该号码的路由。请联系网关管理员。",
    ),
    Reason.QUOTA_EXCEEDED: Verdict(
        "quota-exceeded", 0x45, False,  # ESME_RSUBMITFAIL
        "The user has not enough parts left. Top up, then send again.",
        "用户可用条数不足。请充值后重新发送。",
    ),
    Reason.RATE_EXCEEDED: Verdict(
        "rate-exceeded", 0x58, False,  # ESME_RTHROTTLED
        "More than the account's rate or window allows. Send slower.",
        "超过帐户的速率或窗口限制。请降低发送速度。",
    ),
    Reason.TOO_LONG: Verdict(
        "too-long", 0x01, True,  # ESME_RINVMSGLEN
        "The text takes more parts than one message may have. Shorten it.",
        "短信内容过长，超过单条短信允许的最大拆分条数。请缩短内容。",
    ),
    Reason.BAD_SCHEDULE: Verdict(
        "bad-schedule", 0x61, True,  # ESME_RINVSCHED
        "The schedule is not a time, or lies more than 30 days ahead.",
        "定时发送时间无效，或超过 30 天。",
    ),
    Reason.BAD_VALIDITY: Verdict(
        "bad-validity", 0x62, True,  # ESME_RINVEXPIRY
        "The validity period is not a time, or is over already.",
        "有效期无效或已过期。",
    ),
    Reason.BAD_PRIORITY: Verdict(
        "bad-priority", 0x06, True,  # ESME_RINVPRTFLG
        "The priority must be 0 to 3.",
        "优先级必须为 0 到 3。",
    ),
    Reason.BAD_REPLACE_FLAG: Verdict(
        "bad-replace-flag", 0x54, True,  # ESME_RINVREPFLAG
        "replace_if_present_flag must be 0 or 1.",
        "replace_if_present_flag 必须为 0 或 1。",
    ),
    Reason.BAD_ESM_CLASS: Verdict(
        "bad-esm-class", 0x43, True,  # ESME_RINVESMCLASS
        "This esm_class is not offered: no transaction mode, no receipt types in a submit.",
        "不支持该 esm_class。",
    ),
    Reason.NO_DEFAULT_MESSAGE: Verdict(
        "no-default-message", 0x63, True,  # ESME_RINVDFTMSGID
        "There are no canned messages here: sm_default_msg_id must be 0.",
        "不支持预置短信：sm_default_msg_id 必须为 0。",
    ),
    Reason.BAD_FIELD: Verdict(
        "bad-field", 0x45, True,  # ESME_RSUBMITFAIL
        "A field is longer than SMPP can carry.",
        "字段长度超过 SMPP 的限制。",
    ),
    Reason.DISK_LOW: Verdict(
        "disk-low", 0x14, False,  # ESME_RMSGQFUL
        "The gateway's disk is nearly full: it takes no new messages until there is room. Try again later.",
        "网关磁盘空间不足，暂停受理新短信。请稍后重试。",
    ),
    Reason.DISK_FULL: Verdict(
        "disk-full", 0x14, False,  # ESME_RMSGQFUL
        "The gateway's disk is full: the message was not stored. Try again later.",
        "网关磁盘已满，短信未保存。请稍后重试。",
    ),
    Reason.SHUTTING_DOWN: Verdict(
        "shutting-down", 0x08, False,  # ESME_RSYSERR
        "The gateway is shutting down. Connect again in a moment.",
        "网关正在停止。请稍后重新连接。",
    ),
    Reason.EXPIRED_IN_QUEUE: Verdict(
        "expired-in-queue", 0x45, True,  # ESME_RSUBMITFAIL
        "The validity period ended before a carrier could take the message.",
        "在运营商接收之前有效期已过。",
    ),
    Reason.NO_RECEIPT: Verdict(
        "no-receipt", 0x45, True,  # ESME_RSUBMITFAIL
        "No delivery receipt came within the validity period and its grace.",
        "在有效期及宽限时间内未收到状态报告。",
    ),
    Reason.OUTCOME_UNKNOWN: Verdict(
        "outcome-unknown", 0x45, True,  # ESME_RSUBMITFAIL
        "The carrier never answered; whether it took the message is not known, and it was not sent again.",
        "运营商未应答，无法确认是否已接收；未再次发送。",
    ),
    Reason.CANCELLED: Verdict(
        "cancelled", 0x45, True,  # ESME_RSUBMITFAIL
        "The customer cancelled the message before it was sent.",
        "客户在发送前取消了该短信。",
    ),
}  # fmt: skip

# What an attempt has instead of a command_status: the values of `Attempt.status` in the store.
_NO_STATUS: dict[int, tuple[str, str, str]] = {
    -1: (
        "no-answer",
        "The carrier did not answer in time; whether it took the message is not known.",
        "运营商未在规定时间内应答，无法确认是否已接收。",
    ),
    -2: (
        "link-lost",
        "The connection to the carrier broke before it answered; whether it took the message is not known.",
        "在运营商应答之前连接中断，无法确认是否已接收。",
    ),
}

_SMPP_STATUS = {int(reason): verdict.smpp_status for reason, verdict in VERDICTS.items()}


def smpp_status(reason: int) -> int:
    """The command_status that answers a submit refused for this reason; a plain status stands for itself."""
    return _SMPP_STATUS.get(reason, reason if reason < OURS_FROM else 0x45)


def name_of(reason: int) -> str:
    """A reason's or status's name for metrics and logs; "none" for none."""
    if reason == NONE:
        return "none"
    if reason in _SMPP_STATUS:
        return VERDICTS[Reason(reason)].name
    return _NO_STATUS[reason][0] if reason in _NO_STATUS else status_name(reason)


def explain(error: int, language: str = "en") -> str:
    """A stored `error` or `status` in words, in English or Chinese ("zh..."); "" for none.

    Knows our reasons, every command_status, and the two marks of an attempt that got no status.
    """
    if error == NONE:
        return ""
    chinese = language.startswith("zh")
    if error in _SMPP_STATUS:
        verdict = VERDICTS[Reason(error)]
        return verdict.zh if chinese else verdict.en
    if error in _NO_STATUS:
        return _NO_STATUS[error][2 if chinese else 1]
    return explain_status(error, language)
