"""The brakes on guessing, by the clock."""

from admin.backoff import ACCOUNT_FREE_TRIES, ADDRESS_TRIES, PAUSE_S_MAX, LoginBackoff


def guesses(brake: LoginBackoff, login: str, address: str, seconds: int) -> int:
    """How many tries somebody gets who tries once a second."""
    checked = 0
    for now in range(seconds):
        if brake.wait_s(login, address, float(now)) == 0:
            brake.failed(login, address, float(now))
            checked += 1
    return checked


def test_a_pair_gets_few_tries_an_hour() -> None:
    assert 100 < guesses(LoginBackoff(), "usr", "a", 3600) < 140


def test_one_address_cannot_try_many_accounts() -> None:
    brake = LoginBackoff()
    checked = 0
    for number in range(1000):
        if brake.wait_s(f"user{number}", "a", 0.0) == 0:
            brake.failed(f"user{number}", "a", 0.0)
            checked += 1
    assert checked == ADDRESS_TRIES


def test_many_addresses_on_one_account_are_slowed_too_but_its_owner_is_not() -> None:
    brake = LoginBackoff()
    brake.succeeded("usr", "home")
    checked = 0
    for number in range(1000):
        if brake.wait_s("usr", f"bot{number}", 0.0) == 0:
            brake.failed("usr", f"bot{number}", 0.0)
            checked += 1
    assert checked == ACCOUNT_FREE_TRIES
    assert brake.wait_s("USR", "elsewhere", 0.0) > 0
    assert brake.wait_s("usr", "home", 0.0) == 0


def test_a_pause_ends_and_is_never_longer_than_said() -> None:
    brake = LoginBackoff()
    for _ in range(30):
        brake.failed("usr", "a", 0.0)
    assert brake.wait_s("other", "a", 0.0) > 0
    pair = LoginBackoff()
    for _ in range(15):
        pair.failed("usr", "a", 0.0)
    assert pair.wait_s("usr", "a", 0.0) == PAUSE_S_MAX
    assert pair.wait_s("usr", "a", PAUSE_S_MAX) == 0


def test_the_right_password_clears_the_pair() -> None:
    brake = LoginBackoff()
    for _ in range(5):
        brake.failed("usr", "a", 0.0)
    brake.succeeded("usr", "a")
    assert brake.wait_s("usr", "a", 0.0) == 0
