"""Hostile URLs and addresses: none of them leads anywhere but to the public internet."""

from ipaddress import ip_address

import pytest

from gateway.webhooks.addresses import networks, objection
from gateway.webhooks.targets import (
    BadUrl,
    UrlRules,
    check_hosts,
    host_matches,
    read_url,
    shown,
)

RULES = UrlRules()

HOSTILE = """
http://127.0.0.1/
http://127.1/
http://127.0.1/
http://2130706433/
http://0x7f000001/
http://0x7f.0.0.1/
http://0x7f.1/
http://017700000001/
http://0177.0.0.1/
http://0177.0.0.01/
http://127.0.0.1.:80/
http://0/
http://0.0.0.0/
http://00000.0.0.0/
http://10.0.0.1/
http://010.0.0.1/
http://172.16.0.1/
http://172.31.255.255/
http://192.168.1.1/
http://169.254.169.254/latest/meta-data/
http://2852039166/latest/meta-data/
http://0xA9FEA9FE/
http://100.64.0.1/
http://100.100.100.200/latest/meta-data/
http://168.63.129.16/
http://192.0.0.192/
http://198.18.0.1/
http://224.0.0.1/
http://255.255.255.255/
http://240.0.0.1/
http://[::1]/
http://[::]/
http://[0:0:0:0:0:0:0:1]/
http://[::ffff:127.0.0.1]/
http://[::ffff:7f00:1]/
http://[::ffff:169.254.169.254]/
http://[::127.0.0.1]/
http://[64:ff9b::7f00:1]/
http://[64:ff9b::169.254.169.254]/
http://[64:ff9b:1::7f00:1]/
http://[2002:7f00:1::]/
http://[2001:0:7f00:1::]/
http://[fe80::1]/
http://[fe80::1%25eth0]/
http://[fe80::1%eth0]/
http://[fc00::1]/
http://[fd00:ec2::254]/latest/meta-data/
http://[fec0::1]/
http://[ff02::1]/
http://[2001:db8::1]/
http://[2001:4860::200:5efe:7f00:1]/
http://localhost/
http://LOCALHOST/
http://a.localhost/
http://localhost:22/
https://example.com:22/
https://example.com:0/
https://example.com:65536/
https://example.com:/
https://example.com:+443/
http://user@example.com/
http://user:password@127.0.0.1/
http://example.com@127.0.0.1/
http://127.0.0.1#@example.com/
https://example.com/#fragment
https://example.com/#
http://example.com\\@127.0.0.1/
http://example.com\\.127.0.0.1/
http://①②⑦.⓪.⓪.①/
http://１２７.0.0.1/
http://127。0。0。1/
http://exa mple.com/
http://example.com/a b
http://example.com/\r\nHost: 127.0.0.1
http://example.com/%0
http://example.com/<script>
http:///127.0.0.1/
http:127.0.0.1/
http:/127.0.0.1/
http://
//127.0.0.1/
127.0.0.1
file:///etc/passwd
ftp://example.com/
gopher://127.0.0.1:25/_HELO
dict://127.0.0.1:11211/stats
javascript:alert(1)
unix:///var/run/docker.sock
https+unix://socket/
http://[::1/
http://::1/
http://[example.com]/
http://example..com/
http://.example.com/
http://example.com./
http://-example.com/
http://ex%61mple.com/
http://127.0.0.1%2f@example.com/
http://1.1.1/
http://1.1.1.1.1/
http://256.256.256.256/
http://0x/
""".strip("\n").split("\n")


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_url_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(BadUrl) as refused:
        read_url(url, RULES)
    assert str(refused.value).endswith((".", "5."))


def test_there_are_sixty_of_them_at_least() -> None:
    assert len(set(HOSTILE)) >= 90


@pytest.mark.parametrize(
    "url", ["", "x" * 10_000, "https://example.com/" + "a" * 2048, "https://exa\0mple.com/"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(BadUrl):
        read_url(url, RULES)


@pytest.mark.parametrize(
    ("url", "host", "port", "resource", "authority"),
    [
        ("https://example.com", "example.com", 443, "/", "example.com"),
        ("HTTPS://Example.COM/Sms?token=1%20", "example.com", 443, "/Sms?token=1%20", "example.com"),
        ("http://example.com:443/a", "example.com", 443, "/a", "example.com:443"),
        ("http://93.184.215.14/", "93.184.215.14", 80, "/", "93.184.215.14"),
        ("https://[2606:4700::1]:443/", "2606:4700::1", 443, "/", "[2606:4700::1]"),
        ("https://xn--fiqs8s.example/", "xn--fiqs8s.example", 443, "/", "xn--fiqs8s.example"),
        ("https://a_b.example/?q", "a_b.example", 443, "/?q", "a_b.example"),
    ],
)
def test_an_ordinary_url_is_read(url: str, host: str, port: int, resource: str, authority: str) -> None:
    target = read_url(url, RULES)
    assert (target.host, target.port, target.resource, target.authority) == (host, port, resource, authority)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
        "255.255.255.255", "168.63.129.16", "192.88.99.1", "::", "::1", "::ffff:10.0.0.1", "::10.0.0.1",
        "64:ff9b::10.0.0.1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:a00:1::", "3fff::1",
        "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "2607:f8b0::5efe:a00:1",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert objection(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "93.184.215.14",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ],
)
def test_a_public_address_is_fine(address: str) -> None:
    assert objection(ip_address(address)) == ""


def test_the_operator_names_exceptions_and_nothing_else_becomes_one() -> None:
    allowed = networks(["10.1.0.0/16", "fd00::/8"])
    assert objection(ip_address("10.1.2.3"), allowed) == ""
    assert objection(ip_address("::ffff:10.1.2.3"), allowed) == ""
    assert objection(ip_address("fd00::5"), allowed) == ""
    assert objection(ip_address("10.2.0.1"), allowed)
    assert objection(ip_address("127.0.0.1"), allowed)
    rules = UrlRules(allowed)
    assert read_url("http://10.1.2.3:9000/", rules).port == 9000
    for url in ("http://10.2.0.1/", "http://8.8.8.8:9000/"):
        with pytest.raises(BadUrl):
            read_url(url, rules)


def test_hosts_of_callbacks_match_whole_labels_only() -> None:
    patterns = ("app.example.com", "*.hooks.example.com")
    assert host_matches("app.example.com", patterns)
    assert host_matches("a.b.hooks.example.com", patterns)
    for host in (
        "hooks.example.com",
        "evilhooks.example.com",
        "app.example.com.evil.example",
        "xapp.example.com",
    ):
        assert not host_matches(host, patterns)
    check_hosts(patterns)
    for bad in ("*", "*.com", "a b", "https://a.example", "*a.example"):
        with pytest.raises(BadUrl):
            check_hosts([bad])


def test_a_shown_url_has_no_query() -> None:
    assert shown("https://a.example/x?token=hush") == "https://a.example/x?…"
    assert shown("https://a.example/x") == "https://a.example/x"
