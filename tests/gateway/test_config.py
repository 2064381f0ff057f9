"""`sluice.toml`: strict, merged from four sources, every value accounted for, the README's reference true."""

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Config, ConfigError, load, parse_listen, reference, settings

README = Path(__file__).parents[2] / "README.md"


def problems(tmp_path: Path, text: str, **environ: str) -> list[str]:
    """What is wrong with a file and environment, the path of the file cut to its name."""
    path = tmp_path / "sluice.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load(path, environ=environ)
    return [problem.replace(str(path), "sluice.toml") for problem in error.value.problems]


def test_an_empty_file_is_the_default_configuration(tmp_path: Path) -> None:
    (tmp_path / "sluice.toml").write_text("")
    loaded = load(tmp_path / "sluice.toml", environ={})
    assert loaded.config == Config()
    assert {source for _, _, source in loaded.values()} == {"default"}


def test_without_a_file_in_the_working_directory_defaults_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(environ={}).file == ""
    (tmp_path / "sluice.toml").write_text('[smpp]\nlisten = ":0"\n')
    assert load(environ={}).config.smpp.listen == ":0"


def test_later_sources_win_and_each_value_names_its_own(tmp_path: Path) -> None:
    path = tmp_path / "sluice.toml"
    path.write_text(
        '[store]\ndata = "/a"\n[smpp]\nlisten = ":1"\nenquire_link_s = 5\n[smpp.tls]\nlisten = ""\n'
    )
    environ = {"SLUICE__SMPP__LISTEN": ":2", "SLUICE__STORE__DATA": "/b", "PATH": "/bin"}
    loaded = load(path, data="/c", environ=environ)
    assert (loaded.config.smpp.listen, loaded.config.store.data) == (":2", "/c")
    assert loaded.config.smpp.enquire_link_s == 5.0
    sources = {key: source for key, _, source in loaded.values()}
    assert sources["store.data"] == "--data"
    assert sources["smpp.listen"] == "SLUICE__SMPP__LISTEN"
    assert sources["smpp.enquire_link_s"] == sources["smpp.tls.listen"] == str(path)
    assert sources["http.listen"] == "default"


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    path = tmp_path / "sluice.toml"
    path.write_text('[store]\ndata = "d"\n[smpp.tls]\ncertificate = "c.pem"\nkey = "/etc/k.pem"\n')
    config = load(path, environ={}).config
    assert config.store.data == str(tmp_path / "d")
    assert config.smpp.tls.certificate == str(tmp_path / "c.pem")
    assert config.smpp.tls.key == "/etc/k.pem"


@pytest.mark.parametrize(
    ("variable", "text", "path", "value"),
    [
        ("SLUICE__SMPP__ENQUIRE_LINK_S", "2.5", "smpp.enquire_link_s", 2.5),
        ("SLUICE__STORE__ACCEPT_OLD_SQLITE", "false", "store.accept_old_sqlite", False),
        (
            "SLUICE__HTTP__TRUSTED_PROXIES",
            "10.0.0.0/8, ::1/128",
            "http.trusted_proxies",
            ("10.0.0.0/8", "::1/128"),
        ),
        ("SLUICE__LIMITS__CONNECTIONS_MAX", "7", "limits.connections_max", 7),
        ("SLUICE__SMPP__HOME_COUNTRY", "86", "smpp.home_country", "86"),
    ],
)
def test_the_environment_gives_every_kind_of_value(
    variable: str, text: str, path: str, value: object
) -> None:
    loaded = load(environ={variable: text})
    assert {key: found for key, found, _ in loaded.values()}[path] == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "[smpp]\nenquire_lnk_s = 5\n",
            'sluice.toml: [smpp]: unknown key "enquire_lnk_s". The nearest known key is "enquire_link_s": correct'
            " the name.",
        ),
        ("[smtp]\n", 'sluice.toml: unknown key "smtp". The nearest known key is "smpp": correct the name.'),
        (
            "zzz = 1\n",
            'sluice.toml: unknown key "zzz". Remove it, or use one of: console, http, jasmin, kannel,'
            " limits, log, receipts, smpp, store, webhooks.",
        ),
        (
            '[smpp]\nenquire_link_s = "soon"\n',
            'sluice.toml: smpp.enquire_link_s: "soon" (text) cannot be used here; wanted: a number, 0.05 to 864000.',
        ),
        (
            '[log]\nlevel = "loud"\n',
            'sluice.toml: log.level: "loud" (text) cannot be used here; wanted: one of "debug", "error", "info",'
            ' "warning".',
        ),
        (
            "[limits]\nconnections_max = 0\n",
            "sluice.toml: limits.connections_max: 0 (a whole number) cannot be used here; wanted: a whole number,"
            " 1 or more.",
        ),
        (
            'smpp = ":2775"\n',
            'sluice.toml: smpp: ":2775" (text) cannot be used here; wanted: a table, [smpp].',
        ),
        (
            '[smpp]\nlisten = "2775"\n',
            'sluice.toml: smpp.listen: "2775" is no address and port; write it like "127.0.0.1:2775" or'
            ' "[::1]:2775".',
        ),
        (
            '[smpp]\nlisten = "::1:2775"\n',
            'sluice.toml: smpp.listen: "::1:2775": put an IPv6 address in brackets, like "[::1]:2775".',
        ),
        (
            '[http]\nlisten = "127.0.0.1:2775"\n',
            "sluice.toml: http.listen: 127.0.0.1:2775 is already taken by smpp.listen. Give each listener its own"
            " port.",
        ),
        (
            '[smpp.tls]\nlisten = ":3550"\n',
            "sluice.toml: smpp.tls.listen: a TLS listener needs smpp.tls.certificate and smpp.tls.key. Name both PEM"
            " files.",
        ),
        (
            "[store]\ndisk_critical_mib = 9000\n",
            "sluice.toml: store.disk_critical_mib: it is above store.disk_low_mib. Make it the smaller of the two.",
        ),
    ],
)
def test_each_mistake_has_its_sentences(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text) == [problem]


def test_an_unknown_variable_names_the_nearest(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "", SLUICE__SMPP__LISTN=":0")
    assert found == (
        'environment: unknown key "SLUICE__SMPP__LISTN". The nearest known key is "SLUICE__SMPP__LISTEN": correct'
        " the name."
    )


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "", SLUICE__STORE__NODE="many")
    assert found.startswith('environment: SLUICE__STORE__NODE: "many" (text) cannot be used here')


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, "[smpp]\nlisten = 5\nx = 1\n[log]\nformat = 1\n", SLUICE__STORE__NODE="-1")
    assert len(found) == 4


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read: No such file.* --config"):
        load(tmp_path / "none.toml", environ={})
    path = tmp_path / "bad.toml"
    path.write_bytes(b"[smpp\n")
    with pytest.raises(ConfigError, match=r"bad\.toml is not valid TOML"):
        load(path, environ={})
    path.write_bytes(b"# \xff\n")
    with pytest.raises(ConfigError, match=r"bad\.toml is not UTF-8 text \(octet 2\)"):
        load(path, environ={})


def test_every_setting_has_a_sentence_and_a_default_of_its_type() -> None:
    for setting in settings():
        assert setting.description.endswith((".", ")")), setting.path
        assert msgspec.convert(setting.default, setting.type) == setting.default


def test_every_variable_is_one_settings_alone() -> None:
    variables = [setting.variable for setting in settings()]
    assert len(set(variables)) == len(variables)


def test_the_readme_holds_the_reference_of_this_version() -> None:
    text = README.read_text(encoding="utf-8")
    _, _, rest = text.partition("<!-- configuration reference -->\n")
    held, end, _ = rest.partition("<!-- end -->")
    assert end, "README.md has no configuration reference"
    assert held.strip() == reference().strip(), "run: python -m gateway.config"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:2775", ("127.0.0.1", 2775)),
        (":0", ("", 0)),
        ("[::1]:80", ("::1", 80)),
        ("name:1", ("name", 1)),
    ],
)
def test_listening_addresses_are_read(text: str, address: tuple[str, int]) -> None:
    assert parse_listen(text) == address


@given(st.text(max_size=20))
def test_any_listening_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        _, port = parse_listen(text)
    except ValueError as error:
        assert str(error)
    else:
        assert 0 <= port <= 65_535


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "SLUICE__LOG__LEVEL", "debug")
    assert load().config.log.level == "debug"
