"""Senders: what an account may put there, and what no handset could show."""

import pytest

from filters.senders import ALPHANUMERIC_MAX, DIGITS_MAX, REMEMBERED_MAX, SenderPolicy, problem_with_sender


def test_no_list_allows_any_sender_that_can_be_shown() -> None:
    policy = SenderPolicy()
    for sender in (b"", b"SLUICE", b"106901234", b"+4512345678", b"A-1_b.c!"):
        assert policy.allowed(sender), sender


def test_listed_senders_are_exact() -> None:
    policy = SenderPolicy(("SLUICE", "10690"))
    assert policy.allowed(b"SLUICE")
    assert policy.allowed(b"10690")
    for sender in (b"sluice", b"SLUICE1", b"SLUIC", b"106901", b"", b"SLUICE "):
        assert not policy.allowed(sender), sender


def test_a_star_at_the_end_allows_a_prefix() -> None:
    policy = SenderPolicy(("1069*", "BANK"))
    assert policy.allowed(b"1069")
    assert policy.allowed(b"10690001")
    assert policy.allowed(b"BANK")
    assert not policy.allowed(b"106")
    assert not policy.allowed(b"BANKER")


def test_a_star_alone_allows_any_but_the_empty_one() -> None:
    policy = SenderPolicy(("*",))
    assert policy.allowed(b"anything")
    assert not policy.allowed(b"")


def test_a_star_elsewhere_is_a_letter() -> None:
    policy = SenderPolicy(("A*B",))
    assert policy.allowed(b"A*B")
    assert not policy.allowed(b"AxB")


@pytest.mark.parametrize("sender", ["MÜLLER".encode(), "MÜLLER".encode("latin-1")])
def test_a_listed_name_may_come_in_either_alphabet(sender: bytes) -> None:
    assert SenderPolicy(("MÜLLER",)).allowed(sender)


@pytest.mark.parametrize(
    ("sender", "shown"),
    [
        (b"A" * ALPHANUMERIC_MAX, True),
        (b"A" * (ALPHANUMERIC_MAX + 1), False),
        (b"1" * DIGITS_MAX, True),
        (b"1" * (DIGITS_MAX + 1), False),
        (b"+" + b"1" * DIGITS_MAX, True),
        (b"12345678901A", False),  # a letter makes it a name
        ("水闸网关科技有限公司".encode(), True),
        (b"A\0B", False),
        (b"A\nB", False),
        (b"A\x7fB", False),
        (b"\xe9" * 11, True),
    ],
)
def test_a_sender_must_be_one_that_a_handset_can_show(sender: bytes, shown: bool) -> None:
    assert SenderPolicy().allowed(sender) is shown
    assert SenderPolicy(("*",)).allowed(sender) is shown
    assert (problem_with_sender(sender) is None) is shown


def test_every_refusal_says_what_to_do() -> None:
    policy = SenderPolicy(("SLUICE",))
    for sender, advice in (
        (b"OTHER", "Use one that is"),
        (b"", "Give one of them"),
        (b"A" * 12, "Use 11 at most"),
        (b"1" * 21, "Use 20 at most"),
        (b"A\0", "Use letters and digits"),
    ):
        reason = policy.why_not(sender)
        assert reason is not None
        assert advice in reason
    assert policy.why_not(b"SLUICE") is None


def test_forgers_do_not_fill_the_memory() -> None:
    policy = SenderPolicy(("SLUICE",))
    for number in range(REMEMBERED_MAX * 2 + 10):
        assert not policy.allowed(b"%d" % number)
    assert len(policy._known) <= REMEMBERED_MAX
    assert policy.allowed(b"SLUICE")


def test_the_owner_s_list_holds_on_top_of_the_account_s() -> None:
    both = SenderPolicy(("1069*", "Bank"), ("1069123", "Acme"))
    assert [both.allowed(one) for one in (b"1069123", b"1069124", b"Bank", b"Acme")] == [
        True,
        False,
        False,
        False,
    ]
    owner = SenderPolicy((), ("Acme",))
    assert [owner.allowed(one) for one in (b"Acme", b"Bank", b"")] == [True, False, False]
