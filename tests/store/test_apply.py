"""`sluice apply`: idempotent, all or nothing, honest about what changed, and clear about what is wrong."""

import tomllib
from pathlib import Path

import pytest

from store import quota
from store.document import DocumentError, load_document, parse_document
from store.secrets import password_matches
from tests.store.config_world import WORLD, actions, apply, open_store, world

ACCOUNT = '[[account]]\nuser = "acme"\nsystem_id = "acme"\npassword = "esme-pw-1"\n'


def problems(text: str) -> str:
    """The error text of a document that cannot be read."""
    with pytest.raises(DocumentError) as error:
        parse_document(tomllib.loads(text), "test.toml")
    return str(error.value)


def refused(tmp_path: Path, text: str, **options: object) -> str:
    """The error text of a document that the world does not take; checks that nothing of it was taken."""
    with world(tmp_path) as store:
        apply(store, ACCOUNT)
        before, version = "".join(store.export(secrets=True)), store.version()
        with pytest.raises(DocumentError) as error:
            apply(store, '[[word]]\ntext = "new"\n' + text, **options)
        assert "".join(store.export(secrets=True)) == before
        assert store.version() == version
    return str(error.value)


def test_what_is_new_is_added_with_its_values(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        changes = apply(store, WORLD)
    assert actions(changes) == [
        ("carrier", "carrier-a", "added"),
        ("group", "总公司", "added"),
        ("group", "总公司/福建分公司", "added"),
        ("user", "acme", "added"),
        ("api_key", "gw_live_0123", "added"),
        ("route", '""', "added"),
        ("word", "敏感", "added"),
        ("blacklist", "global", "added"),
    ]
    assert ("password", "•••", "•••") in changes[0].fields


def test_applying_again_changes_nothing_and_writes_nothing(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, ACCOUNT)
        with store.reading() as connection:
            before = list(connection.iterdump())
        changes = apply(store, WORLD + ACCOUNT)
        assert {change.action for change in changes} == {"unchanged"}
        with store.reading() as connection:
            assert list(connection.iterdump()) == before


def test_a_key_left_out_keeps_its_value_and_a_changed_one_is_told(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, '[[carrier]]\nname = "carrier-a"\nwindow = 20\n')
        changes = apply(store, '[[carrier]]\nname = "carrier-a"\nrate = 50\nport = 2775\nwindow = 20\n')
        assert changes[0].fields == (("rate", 0, 50), ("port", 12775, 2775))
        carrier = store.directory().carriers[1]
        assert (carrier.window, carrier.rate, carrier.port, carrier.password) == (
            20,
            50,
            2775,
            "carrier-password",
        )
        apply(store, '[[carrier]]\nname = "carrier-a"\nwindow = 100\n')
        assert store.directory().carriers[1].window == 100


def test_every_carrier_field_can_be_declared(tmp_path: Path) -> None:
    fields = """
[[carrier]]
name = "c"
mode = "bound-in"
tlv_drop = [5121]
tlv_add = [[5122, "0A1F"]]
retry_statuses = [20, 1025]
allow = ["10.0.0.0/8", "::1/128"]
gsm_data_coding = 241
interface_version = 51
enquire_link_s = 15
state = "paused"
on_unknown = "hold"
"""
    with open_store(tmp_path) as store:
        apply(store, fields)
        carrier = store.directory().carriers[1]
        assert carrier.tlv_add == ((5122, "0A1F"),)
        assert (carrier.gsm_data_coding, carrier.interface_version, carrier.enquire_link_s) == (241, 51, 15.0)
        assert (carrier.state, carrier.allow) == ("paused", ("10.0.0.0/8", "::1/128"))
        assert actions(apply(store, fields)) == [("carrier", "c", "unchanged")]


def test_missing_ancestors_are_made_with_an_unlimited_root(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        changes = apply(
            store, '[[group]]\npath = "a/b/c"\ngranted = 100\n[[group]]\npath = "a/b/d"\ngranted = 5\n'
        )
        assert actions(changes)[:3] == [
            ("group", "a", "added"),
            ("group", "a/b", "added"),
            ("group", "a/b/c", "added"),
        ]
        groups = {group.path: group for group in store.directory().groups.values()}
        assert groups["a"].unlimited
        assert groups["a/b"].granted == 105
        with store.reading() as connection:
            assert quota.over_allocated(connection) == []


def test_an_account_password_is_hashed_and_a_new_one_is_told_without_it(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, ACCOUNT)
        old = store.directory().accounts[2].password_hash
        assert password_matches(old, "esme-pw-1")
        changes = apply(store, '[[account]]\nsystem_id = "acme"\npassword = "esme-pw-2"\n')
        assert changes[0].fields == (("password", "•••", "•••"),)
        assert password_matches(store.directory().accounts[2].password_hash, "esme-pw-2")


def test_an_api_key_can_send_as_an_account_and_be_revoked_for_good(tmp_path: Path) -> None:
    key = '[[api_key]]\naccount = "acme"\nkey = "another-key-of-16"\n'
    with world(tmp_path) as store:
        apply(store, ACCOUNT + key)
        directory = store.directory()
        assert sorted(directory.accounts[one.account].system_id for one in directory.api_keys.values()) == [
            "acme",
            "api:acme",
        ]
        assert actions(apply(store, key + "remove = true\n")) == [("api_key", "anot", "removed")]
        assert len(store.directory().api_keys) == 1
        with pytest.raises(DocumentError, match="revoked and stays so"):
            apply(store, key)


def test_an_api_key_has_scopes_addresses_and_an_end(tmp_path: Path) -> None:
    key = '[[api_key]]\nuser = "acme"\nkey = "gw_live_0123456789abcdef0123456789"\n'
    with world(tmp_path) as store:
        first = next(iter(store.directory().api_keys.values()))
        assert (first.scopes, first.allow, first.expires, first.test) == (
            ("send", "read", "inbound"),
            (),
            "",
            False,
        )
        more = 'scopes = ["read"]\nallow = ["10.0.0.0/8"]\nexpires = "2027-01-01T00:00:00Z"\n'
        changes = apply(store, key + more)
        assert [field[0] for field in changes[0].fields] == ["scopes", "allow", "expires"]
        changed = next(iter(store.directory().api_keys.values()))
        assert (changed.scopes, changed.allow, changed.expires) == (
            ("read",),
            ("10.0.0.0/8",),
            "2027-01-01T00:00:00Z",
        )
        assert actions(apply(store, key)) == [("api_key", "gw_live_0123", "unchanged")]
        for wrong in ('expires = "tomorrow"', 'expires = "2027-01-01T00:00:00"', 'scopes = ["all"]'):
            with pytest.raises(DocumentError, match=wrong.partition(" ")[0]):
                apply(store, key + wrong)


def test_a_key_for_tests_sends_as_an_account_of_its_own(tmp_path: Path) -> None:
    key = '[[api_key]]\nuser = "acme"\nkey = "gw_test_0123456789abcdef0123456789"\n'
    with world(tmp_path) as store:
        apply(store, key)
        directory = store.directory()
        assert {
            directory.accounts[one.account].system_id: one.test for one in directory.api_keys.values()
        } == {"api:acme": False, "test:acme": True}
        assert actions(apply(store, key)) == [("api_key", "gw_test_0123", "unchanged")]


def test_limits_move_between_users_in_one_document(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, '[[user]]\nlogin = "b"\ngroup = "总公司/福建分公司"\nlimit = 400\n')
        # b rises before acme falls: the whole is judged, not each step.
        apply(store, '[[user]]\nlogin = "b"\nlimit = 900\n[[user]]\nlogin = "acme"\nlimit = 100\n')
        assert [user.limit for user in store.directory().users.values()] == [100, 900]
        with store.reading() as connection:
            assert quota.recount(connection) == []


def test_a_group_and_its_users_can_be_removed_together(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        changes = apply(
            store,
            '[[group]]\npath = "总公司/福建分公司"\nremove = true\n[[user]]\nlogin = "acme"\nremove = true\n',
        )
        assert [change.action for change in changes] == ["removed", "removed"]
        directory = store.directory()
        assert [group.path for group in directory.groups.values()] == ["总公司"]
        assert directory.users[1].state == "deleted"


def test_removing_what_is_not_there_changes_nothing(tmp_path: Path) -> None:
    gone = "\n".join(
        f"[[{table}]]\n{key}\nremove = true"
        for table, key in (
            ("carrier", 'name = "x"'),
            ("group", 'path = "x"'),
            ("user", 'login = "x"'),
            ("account", 'system_id = "x"'),
            ("api_key", 'key = "xxxxxxxxxxxxxxxx"'),
            ("number", 'address = "10690"'),
            ("route", 'prefix = "99"\naccount = "x"'),
            ("word", 'text = "x"'),
            ("blacklist", 'scope = "global"\nnumbers = ["123"]'),
        )
    )
    with world(tmp_path) as store:
        version = store.version()
        assert {change.action for change in apply(store, gone)} == {"unchanged"}
        assert store.version() == version


def test_removing_an_account_takes_its_keys_and_numbers_along(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, ACCOUNT + '[[number]]\naddress = "1069*"\naccount = "acme"\n')
        apply(store, '[[api_key]]\naccount = "acme"\nkey = "another-key-of-16"\n')
        apply(store, '[[account]]\nsystem_id = "acme"\nremove = true\n')
        directory = store.directory()
        assert list(directory.accounts) == [1]
        assert directory.numbers == {}
        assert len(directory.api_keys) == 1


def test_routes_carry_weights_types_and_accounts(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, ACCOUNT + '[[carrier]]\nname = "b"\nhost = "h"\nport = 1\n')
        balance = (
            '[[route]]\nprefix = "86"\nsms_type = "api"\naccount = "acme"\npolicy = "balance"\n'
            'carriers = ["carrier-a", "b"]\nweights = [3, 1]\n'
        )
        apply(store, balance)
        route = store.directory().routes[2]
        assert (route.carriers, route.weights, route.policy, route.account) == ((1, 2), (3, 1), "balance", 2)
        assert actions(apply(store, balance))[0][2] == "unchanged"
        changes = apply(
            store, '[[route]]\nprefix = "86"\nsms_type = "api"\naccount = "acme"\ncarriers = ["b"]\n'
        )
        assert changes[0].fields == (("carriers", ["carrier-a", "b"], ["b"]), ("weights", [3, 1], []))


def test_number_lists_are_read_beside_the_document_and_normalised(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\ufeff+86 138 0000 0001 # why\n\n13800000002,\n", encoding="utf-8")
    document = tmp_path / "d.toml"
    document.write_text(
        '[[blacklist]]\nscope = "type:api"\nnumbers = [8613800000003]\nnumbers_file = "list.txt"\n'
    )
    with open_store(tmp_path) as store:
        store.apply(load_document(document), "me")
        assert [list(numbers) for numbers in store.blacklists().values()] == [
            [13800000002, 8613800000001, 8613800000003]
        ]


def test_passwords_are_read_from_files_beside_the_document(tmp_path: Path) -> None:
    (tmp_path / "a.secret").write_text("from-a-file\n")
    document = tmp_path / "d.toml"
    document.write_text('[[carrier]]\nname = "c"\nmode = "bound-in"\npassword_file = "a.secret"\n')
    with open_store(tmp_path) as store:
        store.apply(load_document(document), "me")
        assert store.directory().carriers[1].password == "from-a-file"
    (tmp_path / "a.secret").write_text("\n")
    with pytest.raises(DocumentError, match="password_file: the value found cannot be used here"):
        load_document(document)


def test_the_last_system_administrator_stays(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, '[[user]]\nlogin = "a"\ngroup = "总公司"\nrole = "admin"\n')
        for change in ('role = "user"', 'state = "disabled"', "remove = true", 'group = "总公司/福建分公司"'):
            with pytest.raises(DocumentError, match='1 "a": this would leave no active administrator'):
                apply(store, f'[[user]]\nlogin = "a"\n{change}\n')
        both = (
            '[[user]]\nlogin = "b"\ngroup = "总公司"\nrole = "admin"\n[[user]]\nlogin = "a"\nremove = true\n'
        )
        apply(store, both)
        assert store.directory().users[2].state == "deleted"


def test_a_dry_run_tells_everything_and_changes_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        assert len(apply(store, WORLD, dry_run=True)) == 8
        assert store.directory().carriers == {}
        assert len(apply(store, WORLD)) == 8


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ('[[carier]]\nname = "x"\n', 'test.toml: unknown key "carier". The nearest known key is "carrier"'),
        ('[carrier]\nname = "x"\n', "Write [[carrier]] with two brackets"),
        (
            '[[carrier]]\nname = "x"\nhots = "h"\n',
            'test.toml: [[carrier]] 1 "x": unknown key "hots". The nearest known key is "host"',
        ),
        (
            '[[carrier]]\nname = "x"\nport = "12"\n',
            '1 "x": port: "12" (text) cannot be used here; wanted: a whole number, 0 to 65535.',
        ),
        ('[[carrier]]\nname = "x"\nmode = "clinet"\n', 'wanted: one of "bound-in", "client", "outbind"'),
        ('[[carrier]]\nname = "x"\ntlv_add = [[1, "zz"]]\n', "the value of tag 1 is not hex"),
        ('[[carrier]]\nhost = "x"\n', '[[carrier]] 1: "name" is missing. Add it.'),
        (
            '[[carrier]]\nname = "x"\n[[carrier]]\nname = "x"\n',
            '[[carrier]] 2 "x": it is declared twice, first as [[carrier]] 1',
        ),
        (
            '[[account]]\nsystem_id = "a"\nallow = ["10.0.0.1/8"]\n',
            '"10.0.0.1/8" is no CIDR block: 10.0.0.1/8 has host bits set',
        ),
        ('[[account]]\nsystem_id = "a"\npassword = 5\n', "password: the value found cannot be used here"),
        ('[[account]]\nsystem_id = "0123456789abcdef"\n', "more than 15 octets"),
        ('[[account]]\nsystem_id = "a"\npassword = "b"\npassword_hash = "c"\n', "give one of password"),
        ('[[account]]\nsystem_id = "a"\npassword_hash = "c"\n', "no argon2id hash"),
        ('[[account]]\nsystem_id = "a"\nsenders = ["a*b"]\n', 'may have "*" at its end only'),
        ('[[route]]\nprefix = "+86"\ncarriers = ["a"]\n', "it must be digits"),
        ('[[route]]\nprefix = ""\ncarriers = []\n', "needs one carrier"),
        ('[[route]]\nprefix = ""\ncarriers = ["a", "a"]\n', "named twice"),
        ('[[route]]\nprefix = ""\ncarriers = ["a"]\nweights = [1, 2]\n', "one weight for each"),
        ('[[group]]\npath = "a//b"\n', "none of them empty"),
        ('[[group]]\npath = "a/b"\ngranted = "unlimited"\n', "only a root group can be unlimited"),
        ('[[group]]\npath = "a"\ngranted = -1\n', "wanted: a whole number, 0 or more or one of"),
        ('[[user]]\nlogin = "a"\nlimit = true\n', "true (true or false) cannot be used here"),
        ('[[api_key]]\nuser = "a"\n', "either the key or its key_hash"),
        ('[[api_key]]\nuser = "a"\nkey = "short"\n', "key: the value found cannot be used here"),
        ('[[blacklist]]\nscope = "global"\n', "it names no numbers"),
        ('[[blacklist]]\nscope = "global"\nnumbers_file = "l"\n', "files cannot be named here"),
        ('[[number]]\naddress = "10*90"\naccount = "a"\n', 'a prefix ending in "*"'),
        ("word = [1]\n", "[[word]] 1: 1 (a whole number) cannot be used here; wanted: a table."),
    ],
)
def test_what_is_wrong_in_a_document_says_where_what_and_what_to_do(text: str, sentences: str) -> None:
    assert sentences in problems(text)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (
            '[[route]]\nprefix = "1"\ncarriers = ["carier-a"]\n',
            'test.toml: [[route]] 1 "1": carriers: there is no carrier "carier-a". Did you',
        ),
        (
            '[[user]]\nlogin = "b"\ngroup = "总公司/福建"\n',
            'group: there is no group "总公司/福建". Did you mean "总公司/福建分公司"',
        ),
        ('[[user]]\nlogin = "b"\n', 'a new user needs a "group"'),
        (
            '[[user]]\nlogin = "b"\ngroup = "总公司/福建分公司"\nlimit = 401\n',
            "1000 parts, and its users and child groups would have 1001. Grant the group 1 more",
        ),
        (
            '[[user]]\nlogin = "acme"\nlimit = 69\n',
            "the user has used or reserved 70 parts already. Give 70 at least",
        ),
        (
            '[[group]]\npath = "总公司/福建分公司"\ngranted = 599\n',
            ": granted: group 总公司/福建分公司 is granted 599 parts",
        ),
        (
            '[[group]]\npath = "总公司/福建分公司/a"\ngranted = 401\n',
            '/a": granted: group 总公司/福建分公司 is granted 1000',
        ),
        ('[[group]]\npath = "总公司"\ngranted = 999\n', "group 总公司 is granted 999 parts"),
        ('[[group]]\npath = "总公司/福建分公司"\nremove = true\n', "the group still has acme"),
        ('[[account]]\nsystem_id = "b"\nuser = "acme"\n', 'a new account needs a "password"'),
        ('[[account]]\nsystem_id = "b"\npassword = "x"\n', 'a new account needs a "user"'),
        ('[[account]]\nsystem_id = "acme"\nsms_type = "otpp"\n', 'there is no sms_type "otpp"'),
        ('[[carrier]]\nname = "b"\n', 'needs "host" and "port"'),
        ('[[carrier]]\nname = "carrier-a"\nremove = true\n', 'the route with prefix "" uses it'),
        ('[[number]]\naddress = "1"\n', '"account" is missing'),
        (
            '[[api_key]]\naccount = "acme"\nuser = "b"\nkey = "another-key-of-16"\n',
            'account "acme" belongs to user "acme"',
        ),
        (
            '[[blacklist]]\nscope = "group:x"\nnumbers = ["123"]\n',
            '[[blacklist]] 1 "group:x": scope: there is no group "x"',
        ),
        (
            '[[blacklist]]\nscope = "global"\nnumbers = ["123", "x", "1"]\n',
            '[[blacklist]] 1 "global": numbers: "x": it is no phone number',
        ),
    ],
)
def test_what_the_store_does_not_take_says_why_and_changes_nothing(
    tmp_path: Path, text: str, sentences: str
) -> None:
    assert sentences in refused(tmp_path, text, in_flight={1: 70})


def test_all_problems_are_told_at_once() -> None:
    text = problems('[[carrier]]\nname = "x"\nprot = 1\nwindow = 0\n[[wrod]]\ntext = "x"\n')
    assert len(text.splitlines()) == 3


def test_secrets_are_never_quoted_in_errors(tmp_path: Path) -> None:
    secret = "gw_live_XXXXXXXXXXXXXXXX"
    text = problems(f'[[api_key]]\nkey = "{secret}"\nusr = "x"\n')
    text += problems('[[account]]\nsystem_id = "a"\npassword = ["hunter2"]\n')
    text += refused(tmp_path, f'[[api_key]]\nuser = "nobody"\nkey = "{secret}"\n')
    assert secret not in text
    assert "hunter2" not in text


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"none\.toml cannot be read: No such file"):
        load_document(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[[carrier]\n")
    with pytest.raises(DocumentError, match=r"bad\.toml is not valid TOML: .*line 1"):
        load_document(tmp_path / "bad.toml")
    (tmp_path / "list.toml").write_text('[[blacklist]]\nscope = "global"\nnumbers_file = "none.txt"\n')
    with pytest.raises(DocumentError, match=r"numbers_file: .*none\.txt cannot be read"):
        load_document(tmp_path / "list.toml")
