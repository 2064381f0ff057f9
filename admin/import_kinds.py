"""What can be imported from a file, as data: fields, the names that their columns are known by, a sample."""

from collections.abc import Mapping, Sequence

import msgspec

from admin.i18n import N_, Language
from admin.import_rows import FIELDS


class Field(msgspec.Struct, frozen=True):
    """A field that a column can be bound to. `names` are what heads of columns say, folded."""

    key: str
    title: str
    names: tuple[str, ...]
    required: bool = False


class ImportKind(msgspec.Struct, frozen=True):
    """One kind. `samples` are rows behind the head, by language."""

    key: str
    title: str
    button: str
    permission: str
    back: str
    fields: tuple[Field, ...]
    rows_max: int
    whole: bool  # all rows or none
    samples: Mapping[Language, Sequence[Sequence[str]]]

    @property
    def path(self) -> str:
        return f"{self.back}/import"


_MOBILE = (
    "手机",
    "手机号",
    "手机号码",
    "电话",
    "电话号码",
    "号码",
    "mobile",
    "phone",
    "msisdn",
    "number",
    "tel",
)
_NAME = ("姓名", "名称", "名字", "操作员姓名", "name", "full name")

KINDS: Mapping[str, ImportKind] = {
    kind.key: kind
    for kind in (
        ImportKind(
            "users",
            N_("Import users"),
            N_("Add the users"),
            "users.write",
            "/users",
            (
                Field(
                    "login",
                    N_("Login"),
                    ("登录名", "登录用户名", "登陆用户名", "用户名", "账号", "login", "username"),
                    True,
                ),
                Field("name", N_("Name"), _NAME),
                Field(
                    "group",
                    N_("User group"),
                    ("用户组", "所属组", "所属组名", "组", "部门", "group", "group path", "user group"),
                ),
                Field("mobile", N_("Mobile"), (*_MOBILE, "操作员手机号码")),
                Field("role", N_("Role"), ("角色", "用户类型", "类型", "role", "type")),
                Field(
                    "parts",
                    N_("Parts to begin with"),
                    ("条数", "初始条数", "充值条数", "条数使用上限", "parts", "parts to begin with", "limit"),
                ),
            ),
            2_000,
            True,
            {
                "zh": (
                    ("zhangsan", "张三", "", "13800138000", "用户", "1000"),
                    ("lisi", "李四", "", "13900139000", "管理员", ""),
                ),
                "en": (
                    ("zhangsan", "Zhang San", "", "13800138000", "user", "1000"),
                    ("lisi", "Li Si", "", "13900139000", "administrator", ""),
                ),
            },
        ),
        ImportKind(
            "words",
            N_("Import sensitive words"),
            N_("Add the words"),
            "words.write",
            "/settings/words",
            (
                Field("word", N_("Word"), ("敏感字", "敏感词", "词", "word", "words"), True),
                Field("action", N_("Action"), ("动作", "处理方式", "处理", "action")),
                Field("category", N_("Category"), ("分类", "类别", "category")),
            ),
            50_000,
            False,
            {
                "zh": (("赌博", "屏蔽", "违法"), ("代开发票", "审核", "广告"), ("洗钱", "拒绝", "违法")),
                "en": (("casino", "mask", "gambling"), ("lottery", "review", "gambling")),
            },
        ),
        ImportKind(
            "blacklist",
            N_("Import blacklist numbers"),
            N_("Go on with these numbers"),
            "blacklist.write",
            "/settings/blacklist",
            (
                Field("number", N_("Number"), _MOBILE, True),
                Field("list", N_("List"), ("名单", "黑名单", "list")),
                Field("note", N_("Note"), ("备注", "原因", "说明", "note", "reason")),
                Field(
                    "expiry",
                    N_("Until"),
                    ("到期", "到期时间", "有效期", "有效期至", "until", "expiry", "expires"),
                ),
            ),
            1_000_000,
            False,
            {
                "zh": (
                    ("13800138000", "", "投诉", "2030-12-31"),
                    ("13900139000", "短信类型:商务短信", "退订", ""),
                ),
                "en": (
                    ("13800138000", "", "complaint", "2030-12-31"),
                    ("13900139000", "type:business", "", ""),
                ),
            },
        ),
        ImportKind(
            "contacts",
            N_("Import contacts"),
            N_("Add the contacts"),
            "contacts",
            "/contacts",
            (
                Field("mobile", N_("Number"), _MOBILE, True),
                Field("name", N_("Name"), _NAME),
                Field(
                    "group",
                    N_("Contact group"),
                    ("联系组", "联系人组", "分组", "组", "群组", "所属组", "group", "group path"),
                ),
            ),
            1_000_000,
            False,
            {
                "zh": (("13800138000", "张三", "客户/福建"), ("13900139000", "李四", "客户/广东")),
                "en": (("13800138000", "Zhang San", "customers/Fujian"), ("13900139000", "Li Si", "staff")),
            },
        ),
    )
}
assert all({field.key for field in kind.fields} == set(FIELDS[key]) for key, kind in KINDS.items())

CLASSES: Mapping[str, tuple[str, str]] = {
    "valid": (N_("Valid"), "good"),
    "update": (N_("Is there already, gets this name"), "info"),
    "duplicate": (N_("Twice in the file"), "plain"),
    "existing": (N_("Is there already"), "plain"),
    "not-listed": (N_("Not on the list"), "plain"),
    "invalid": (N_("Invalid"), "bad"),
    "not-allowed": (N_("Not for you to give"), "bad"),
    "quota": (N_("Not enough parts in the group"), "bad"),
    "blank": (N_("Blank"), "plain"),
}
REASONS: Mapping[str, str] = {
    "login-form": N_("a login has 3 to 32 letters, digits, dots, hyphens or underscores"),
    "login-taken": N_("the login is taken, perhaps by a deleted user"),
    "name-long": N_("the name is longer than 64 characters"),
    "role-unknown": N_("no such role: write “user” or “administrator”"),
    "role-level": N_("administrators of your own group are made by an administrator above it"),
    "parts-number": N_("the parts are no whole number"),
    "group-unknown": N_("no such group among those that you manage"),
    "word-form": N_("longer than 64 characters, or only punctuation"),
    "word-known": N_("perhaps in another spelling"),
    "action-unknown": N_("no such action: write “mask”, “review” or “reject”"),
    "category-long": N_("the category is longer than 64 characters"),
    "list-unknown": N_("no such list among those that you manage"),
    "list-level": N_("the global list is the system administrators'"),
    "note-long": N_("the note is longer than 200 characters"),
    "date": N_("this is no date: write it as 2030-12-31"),
    "date-past": N_("the date has passed"),
    "on-the-list": N_("and for at least as long"),
    "path-form": N_("a group's path has steps of 1 to 64 characters, with / between them"),
    "in-the-group": N_("the number is in that group"),
    "cell-long": N_("a cell is longer than 4,096 characters"),
}


def bind(kind: ImportKind, names: Sequence[str], shares: Sequence[int]) -> dict[str, int]:
    """Which column holds which field, as far as their names say; a number's otherwise by its cells."""
    folded = [name.strip().casefold() for name in names]
    bound: dict[str, int] = {}
    for field in kind.fields:
        for wanted in (*field.names, field.title.casefold()):
            if wanted in folded and folded.index(wanted) not in bound.values():
                bound[field.key] = folded.index(wanted)
                break
    first = kind.fields[0].key
    if first not in bound:
        free = [at for at in range(len(names)) if at not in bound.values()]
        if free:
            bound[first] = max(free, key=lambda at: shares[at]) if first in ("number", "mobile") else free[0]
    return bound
