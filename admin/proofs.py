"""Proving who one is beyond the cookie: the second step of sign-in, and asking again before what is dangerous.

Half a sign-in (the password was right, the code is to come) and a secret that is not confirmed yet live in memory
for some minutes: a restart costs one more try and leaves nothing behind.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from admin import passwords
from admin.i18n import N_
from store import second_factor, sessions
from store.config_db import Writing

if TYPE_CHECKING:
    from admin.view import View

PROOF_MS = 10 * 60_000  # so long after a proof nothing dangerous asks for another
HALF_S = 5 * 60.0
TRIES_MAX = 5  # wrong codes until the password is asked for again
REMEMBERED_MAX = 5_000
ANSWER_CHARACTERS_MAX = passwords.CHARACTERS_MAX

WAIT = N_("Too many tries. Wait %(seconds)s seconds, then try again.")
WRONG_PASSWORD = N_("This is not your password.")
WRONG_CODE = N_("This code is wrong, or it was used already. Wait for the next one.")

Value = TypeVar("Value")


class Half(msgspec.Struct):
    """A sign-in whose password was right."""

    user: int
    login: str
    wanted: str
    rehashed: str
    kept: str = ""  # a form that is to be sent afterwards
    tries: int = 0


class ForAWhile(Generic[Value]):
    """Values by key, forgotten after some minutes; the oldest go when there are too many."""

    def __init__(self, kept_s: float, values_max: int = REMEMBERED_MAX) -> None:
        self._kept_s = kept_s
        self._values_max = values_max
        self._values: OrderedDict[bytes, tuple[float, Value]] = OrderedDict()

    def put(self, key: bytes, value: Value, now: float) -> None:
        """Remember; replaces what stood there."""
        self._values.pop(key, None)
        self._values[key] = (now + self._kept_s, value)
        while len(self._values) > self._values_max:
            self._values.popitem(last=False)

    def get(self, key: bytes, now: float) -> Value | None:
        """The value, if it is not too old."""
        until, value = self._values.get(key, (0.0, None))
        return value if now < until else None

    def drop(self, key: bytes) -> None:
        """Forget; again is fine."""
        self._values.pop(key, None)


def plain_code(text: str) -> str:
    """A code as people type it: blanks and hyphens in it mean nothing, full-width digits are digits."""
    folded = "".join(str(int(c)) if c.isdecimal() else c for c in text[:ANSWER_CHARACTERS_MAX])
    return "".join(c for c in folded if c not in " -\u3000\u00a0").lower()


def brake_of(login: str) -> str:
    """Under which name the brakes count codes of somebody: apart from passwords, and no login looks so."""
    return f"{login} code"


def use(write: Writing, user: int, text: str) -> str:
    """What a text is: "code", "recovery", or "" when it opens nothing."""
    code = plain_code(text)
    if code.isdecimal() and second_factor.use_code(write, user, code):
        return "code"
    return "recovery" if second_factor.use_recovery_code(write, user, code) else ""


def is_fresh(view: "View") -> bool:
    """Whether the session proved lately who uses it."""
    return view.console.wall_ms() - view.me.proved_at <= PROOF_MS


async def prove(view: "View", given: str) -> str:
    """Check a password, or a code where there is a second factor; gives what is wrong, "" for nothing."""
    me, console = view.me, view.console
    brake = brake_of(me.login) if me.second_factor else me.login
    wait = console.backoff.wait_s(brake, view.address, console.now())
    if wait > 0:
        return view.t(WAIT, seconds=int(wait) + 1)
    console.backoff.failed(brake, view.address, console.now())
    if me.second_factor:
        right = bool(await view.write(lambda w: use(w, me.id, given), reload=False))
    else:
        found = await view.read(lambda c: sessions.credentials(c, me.login))
        right = found is not None and await passwords.matches(
            found.password_hash, given[: passwords.CHARACTERS_MAX]
        )
    if not right:
        await console.off_loop(
            lambda: console.store.record(
                f"console:{me.login}", "proof.refused", f"user {me.login}", address=view.address
            )
        )
        return view.t(WRONG_CODE if me.second_factor else WRONG_PASSWORD)
    console.backoff.succeeded(brake, view.address)
    await view.write(lambda w: sessions.prove_session(w, me.session), reload=False)
    view.viewer = msgspec.structs.replace(me, proved_at=console.wall_ms())
    return ""


def kept_fields(form: Mapping[str, object]) -> list[tuple[str, str]]:
    """What a form brought, to be sent again with the proof: everything but tokens and passwords."""
    return [
        (name, value)
        for name, values in form.items()
        if name not in ("_csrf", "_proof") and "password" not in name
        for value in (values if isinstance(values, list | tuple) else [values])
        if isinstance(value, str)
    ]
