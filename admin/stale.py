"""A form that was open while somebody else changed the same thing: what they changed, beside what one wanted."""

from collections.abc import Mapping
from typing import Any

import msgspec

from admin.i18n import N_
from admin.view import View
from store.people_edit import Profile, profile_of_columns
from store.people_list import UserRow

TITLES = {
    "name": N_("Name"),
    "group": N_("User group"),
    "mobile": N_("Mobile"),
    "email": N_("E-mail"),
    "note": N_("Note"),
    "review": N_("Review"),
    "sms_types": N_("SMS types that may be sent"),
    "senders": N_("Senders"),
    "rate": N_("Parts a second of each account"),
}
REVIEWS = {"inherit": N_("As the group"), "trust": N_("Trusted"), "review": N_("Reviewed")}


class Difference(msgspec.Struct, frozen=True):
    """One field that was changed meanwhile: as the form showed it, as it is now, as it would be saved."""

    title: str
    seen: str
    now: str
    mine: str


class SeenUser(Profile, frozen=True):
    """How a user was when the form was opened; group 0 where it does not say."""

    group: int = 0

    @property
    def profile(self) -> Profile:
        return Profile(**{field: getattr(self, field) for field in Profile.__struct_fields__})


def seen_in(sent: str) -> SeenUser:
    """What a user's form carried along."""
    try:
        return msgspec.json.decode(sent, type=SeenUser)
    except msgspec.MsgspecError:
        return SeenUser()


def profile_of_row(user: UserRow) -> Profile:
    """The profile in a row of a list."""
    return profile_of_columns((user.name, user.mobile, user.email, user.note, user.review, user.settings))


def now_of(user: UserRow) -> dict[str, Any]:
    """All that a user's form changes, as it is."""
    return {**msgspec.structs.asdict(profile_of_row(user)), "group": user.group}


def written(values: Mapping[str, Any]) -> str:
    """What a form carries along of how things were when it was opened."""
    return msgspec.json.encode(values, order="deterministic").decode()


def differences(
    view: View,
    sent: str,
    now: Mapping[str, Any],
    mine: Mapping[str, Any],
    groups: Mapping[int, str] | None = None,
) -> list[Difference]:
    """The fields that are no longer as `sent` says; those of a form that says nothing are all of them."""
    try:
        seen = msgspec.json.decode(sent, type=dict[str, Any])
    except msgspec.MsgspecError:
        seen = {}

    plain = msgspec.json.decode(written(now))

    def shown(key: str, value: Any) -> str:
        if key == "group" and groups is not None:
            return groups.get(value, "—")
        if key == "review":
            return view.t(REVIEWS.get(value, str(value)))
        if isinstance(value, list | tuple):
            return "、".join(str(one) for one in value) or "—"
        return "—" if value in ("", None) else str(value)

    return [
        Difference(view.t(title), shown(key, seen.get(key)), shown(key, now[key]), shown(key, mine.get(key)))
        for key, title in TITLES.items()
        if key in plain and plain[key] != seen.get(key)
    ]
