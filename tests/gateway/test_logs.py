"""Logs: one line an event, in the form that was asked for, and no local variables in tracebacks."""

import json

import pytest
import structlog

from gateway.logs import configure
from gateway.settings import LogSettings

SECRET = "s3cr3t-of-a-carrier"  # here, so that no quoted source line of a traceback holds it


def fail_with(password: str) -> None:
    raise ValueError(f"something about {len(password)} characters")


def log_a_fault() -> None:
    log = structlog.get_logger("t")
    try:
        fail_with(SECRET)
    except ValueError:
        log.exception("a fault", carrier="a")


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="json", level="info"))
    log = structlog.get_logger("t")
    log.info("bound", carrier="运营商", bind=3)
    log.warning("lost", text="two\nlines")
    out, err = capsys.readouterr()
    first, second = map(json.loads, err.splitlines())
    assert (first["event"], first["level"], first["carrier"], first["bind"]) == ("bound", "info", "运营商", 3)
    assert first["timestamp"].endswith("Z") and second["text"] == "two\nlines"
    assert not out, "standard output belongs to commands"


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="json", level="warning"))
    log = structlog.get_logger("t")
    log.info("quiet")
    log.warning("loud")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["loud"]


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="console", level="info"))
    structlog.get_logger("t").info("bound", carrier="a")
    err = capsys.readouterr().err
    assert "bound" in err and "carrier" in err and not err.startswith("{")


def test_auto_is_json_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="auto", level="info"))
    structlog.get_logger("t").info("bound")
    assert json.loads(capsys.readouterr().err)["event"] == "bound"


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_where_but_no_values(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format=form, level="info"))  # type: ignore[arg-type]
    log_a_fault()
    err = capsys.readouterr().err
    assert "fail_with" in err and "something about 19 characters" in err
    assert "s3cr3t-of" not in err
