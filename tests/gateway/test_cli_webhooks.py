"""`sluice webhooks` against a running gateway: list, test, dead letters, replay; a private URL is not applied."""

import subprocess
from pathlib import Path

from tests.gateway.cli_runner import sluice
from tests.gateway.test_cli_serve import DOCUMENT, daemon

__all__ = ["daemon"]

HOOK = """
[[webhook]]
user = "acme"
name = "crm"
url = "{url}"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""


def test_webhooks_are_looked_after_from_the_command_line(
    daemon: subprocess.Popen[str],
    tmp_path: Path,
) -> None:
    document = tmp_path / "document.toml"
    data = str(tmp_path / "data")
    document.write_text(DOCUMENT + HOOK.format(url="http://169.254.169.254/latest/"))
    refused = sluice("apply", str(document), "--data", data)
    assert (refused.code, "a link-local address" in refused.err) == (2, True)
    document.write_text(DOCUMENT + HOOK.format(url="https://receiver.invalid/?token=hush"))
    assert sluice("apply", str(document), "--data", data).code == 0

    listed = sluice("webhooks", "list", "--data", data)
    assert listed.out.split() == [
        *("api:acme", "crm", "active", "delivered", "0", "waiting", "0", "dead", "0"),
        "https://receiver.invalid/?…",
    ]
    tested = sluice("webhooks", "test", "api:acme", "crm", "--data", data)
    assert (tested.code, tested.err.startswith("Not taken")) == (1, True)
    dead = sluice("webhooks", "dead", "api:acme", "crm", "--data", data)
    assert dead.out == "0 dead letters.\n"
    again = sluice(
        "webhooks", "replay", "api:acme", "crm", "--all", "--since", "2026-01-01T00:00:00Z", "--data", data
    )
    assert again.out.startswith("0 events in 0 deliveries")
    unknown = sluice("webhooks", "dead", "api:acme", "other", "--data", data)
    assert (unknown.code, "It has: crm." in unknown.err) == (1, True)
