"""People as the console changes them: logins, states, roles, and who must remain."""

from pathlib import Path

import pytest

from store import groups_edit, people_edit, people_list, quota
from store.config_db import ConfigStore
from store.listing import Cut
from store.people import make_admin
from store.people_edit import Profile
from store.people_list import UserFilter, UserRow
from store.refusals import Refused
from store.scope import Within
from store.sessions import begin_session, session_hash, viewer

AT = 1_700_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> ConfigStore:
    """root (1) with the administrator "root" (1); root/a (2) with user "acme" (2) and root/b (3)."""
    store = ConfigStore.open(tmp_path, wall_ms=lambda: AT)
    with store.writing("test") as write:
        make_admin(write, "root", "hash")
        groups_edit.create_group(write, 1, "a")
        groups_edit.create_group(write, 1, "b")
        quota.topup_group(write, 2, 100)
        people_edit.create_user(write, "acme", 2, Profile("Acme"), "hash", parts=60)
    return store


def user(store: ConfigStore, identifier: int = 2) -> UserRow:
    with store.reading() as connection:
        found = people_list.read_user(connection, Within(), identifier)
    assert found
    return found


def refusal(store: ConfigStore, call: object, *arguments: object, **options: object) -> str:
    with pytest.raises(Refused) as caught, store.writing("test") as write:
        call(write, *arguments, **options)  # type: ignore[operator]
    return caught.value.code


def test_a_login_is_unique_whatever_its_case_and_never_used_again(store: ConfigStore) -> None:
    with store.writing("test") as write:
        people_edit.set_state(write, 2, "deleted", by=1)
    assert refusal(store, people_edit.create_user, "ACME", 2, Profile(), "hash") == "login-taken"


@pytest.mark.parametrize("login", ["", "ab", "a b c", "x" * 33, "名字名字", "a/b/c"])
def test_a_login_has_a_form(store: ConfigStore, login: str) -> None:
    assert refusal(store, people_edit.create_user, login, 2, Profile(), "hash") == "login-form"


def test_a_user_without_parts_to_take_is_not_made_at_all(store: ConfigStore) -> None:
    with pytest.raises(quota.QuotaRefused), store.writing("test") as write:
        people_edit.create_user(write, "late", 2, Profile(), "hash", parts=41)
    with store.reading() as connection:
        assert people_list.list_users(connection, Within(), UserFilter(search="late"), Cut()).count == 0


def test_the_last_system_administrator_stays(store: ConfigStore) -> None:
    for call, argument in ((people_edit.set_state, "disabled"), (people_edit.set_role, "user")):
        assert refusal(store, call, 1, argument, by=2) == "last-admin"
    profile = Profile()
    assert refusal(store, people_edit.edit_user, 1, profile, 2, seen=profile) == "last-admin"


def test_nobody_ends_themself(store: ConfigStore) -> None:
    assert refusal(store, people_edit.set_state, 1, "deleted", by=1) == "self"
    assert refusal(store, people_edit.set_role, 1, "user", by=1) == "self"


def test_a_stale_form_overwrites_nothing(store: ConfigStore) -> None:
    seen = Profile("Acme")
    with store.writing("test") as write:
        people_edit.edit_user(write, 2, Profile("Acme Ltd"), 2, seen=seen)
    assert refusal(store, people_edit.edit_user, 2, Profile("Other"), 2, seen=seen) == "stale"
    assert user(store).name == "Acme Ltd"


@pytest.mark.parametrize("state", ["disabled", "deleted"])
def test_who_is_disabled_or_deleted_is_signed_out_at_once(store: ConfigStore, state: str) -> None:
    with store.writing("test") as write:
        begin_session(write, "id", 2, address="", agent="")
    with store.reading() as connection:
        assert viewer(connection, session_hash("id"), AT)
    with store.writing("test") as write:
        people_edit.set_state(write, 2, state, by=1)
    with store.reading() as connection:
        assert viewer(connection, session_hash("id"), AT) is None


def test_a_deleted_user_gives_back_what_is_available_and_returns_disabled_with_nothing(
    store: ConfigStore,
) -> None:
    with store.writing("test") as write:
        people_edit.set_state(write, 2, "deleted", by=1, in_flight=10)
    assert (user(store).state, user(store).limit, user(store).deleted_at) == ("deleted", 10, AT)
    with store.writing("test") as write:
        people_edit.set_state(write, 2, "active", by=1)
    assert (user(store).state, user(store).limit) == ("disabled", 10)
    with store.reading() as connection:
        assert quota.recount(connection) == []


def test_one_restored_out_of_a_deleted_group_comes_to_the_restorer_s(store: ConfigStore) -> None:
    with store.writing("test") as write:
        people_edit.set_state(write, 2, "deleted", by=1)
        groups_edit.delete_group(write, 2)
    with store.writing("test") as write:
        people_edit.set_state(write, 2, "active", by=1)
    assert user(store).group == 1


def test_a_group_in_use_stays(store: ConfigStore) -> None:
    assert refusal(store, groups_edit.delete_group, 2) == "group-in-use"


def test_renaming_a_group_renames_the_paths_below_and_no_others(store: ConfigStore) -> None:
    with store.writing("test") as write:
        groups_edit.create_group(write, 2, "deep")
        groups_edit.create_group(write, 1, "a-twin")
        groups_edit.edit_group(write, 2, "x_%", "trust")
    with store.reading() as connection:
        paths = [row.path for row in people_list.list_groups(connection, Within())]
    assert paths == ["root", "root/a-twin", "root/b", "root/x_%", "root/x_%/deep"]


def test_a_list_shows_the_own_subtree_and_nothing_beside_it(store: ConfigStore) -> None:
    with store.reading() as connection:
        for group, logins in ((0, ["acme", "root"]), (1, ["acme", "root"]), (2, ["acme"]), (3, [])):
            page = people_list.list_users(connection, Within(group), UserFilter(), Cut())
            assert [row[1] for row in page.rows] == logins
        assert people_list.read_user(connection, Within(3), 2) is None


def test_pages_by_key_give_every_row_once(store: ConfigStore) -> None:
    with store.writing("test") as write:
        for number in range(25):
            people_edit.create_user(write, f"user{number:02}", 3, Profile(), "hash")
    for sort in people_list.USER_ORDERS:
        seen: list[str] = []
        after: tuple[str | int, ...] = ()
        with store.reading() as connection:
            while True:
                cut = Cut(limit=4, after=after, sort=sort)
                page = people_list.list_users(connection, Within(), UserFilter(), cut)
                seen += [row[1] for row in page.rows]
                after = page.after
                if not after:
                    break
        assert len(seen) == len(set(seen)) == 27


def test_a_search_takes_its_wildcards_as_characters(store: ConfigStore) -> None:
    with store.reading() as connection:
        for text, count in (("ac", 1), ("%", 0), ("_", 0), ("' OR 1=1 --", 0), ("\\", 0)):
            page = people_list.list_users(connection, Within(), UserFilter(search=text), Cut())
            assert page.count == count
