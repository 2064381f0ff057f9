"""Options structs become command lines without anybody writing them twice."""

import msgspec
import pytest

from gateway.sim.behaviour import Behaviour, CarrierOptions
from gateway.sim.esme_options import EsmeOptions
from gateway.sim.options import OptionField, build, mapping, option_fields, parse


@pytest.mark.parametrize("options", [CarrierOptions, EsmeOptions])
def test_every_option_has_a_help_a_flag_of_its_own_and_a_kind(options: type[msgspec.Struct]) -> None:
    fields = option_fields(options)
    assert all(field.help for field in fields)
    assert len({field.flag for field in fields}) == len(fields) == len(options.__struct_fields__)
    assert {field.kind for field in fields} <= {int, float, str, bool, dict}
    assert all(isinstance(field.default, field.kind) for field in fields)


def test_times_lose_their_unit_in_the_flag_and_keep_it_in_the_help() -> None:
    fields = {field.name: field for field in option_fields(Behaviour)}
    assert fields["receipts_delay_s"] == OptionField(
        "receipts_delay_s",
        "--receipts-delay",
        float,
        0.0,
        "send a receipt this long after its response (seconds)",
    )


def test_parse_reads_switches_numbers_words_and_mappings() -> None:
    line = "--receipts-delay 1.5 --no-receipts --states DELIVRD=0.9,UNDELIV=0.1 --id-form hex --port 0 --fast"
    options = parse(CarrierOptions, "sim", line.split())
    assert options == CarrierOptions(
        receipts_delay_s=1.5,
        receipts=False,
        states={"DELIVRD": 0.9, "UNDELIV": 0.1},
        id_form="hex",
        port=0,
        fast=True,
    )


def test_parse_refuses_a_word_that_is_no_choice(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(CarrierOptions, "sim", ["--id-form", "roman"])
    assert "hex-decimal" in capsys.readouterr().err


def test_build_takes_what_click_gives() -> None:
    values = {field.name: field.default for field in option_fields(EsmeOptions)}
    assert build(EsmeOptions, values) == EsmeOptions()
    assert build(CarrierOptions, {"errors": "0B=0.5"}).errors == {"0B": 0.5}


@pytest.mark.parametrize("values", [{"throttled": 1.5}, {"id_form": "roman"}, {"errors": "0B"}])
def test_build_refuses_what_makes_no_sense(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"throttled|roman|0B"):
        build(CarrierOptions, values)


def test_mapping_names_the_pair_it_cannot_read() -> None:
    assert mapping("") == {}
    with pytest.raises(ValueError, match="DELIVRD"):
        mapping("DELIVRD")
