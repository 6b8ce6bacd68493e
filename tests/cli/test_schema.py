"""The JSON Schema takes every file that is shipped, refuses broken ones, and explains each key."""

import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from gateway.cli.schema import schema
from gateway.config import schema as models
from gateway.config.json_schema import FileKind, json_schema
from gateway.config.shipped import shipped_dir
from gateway.config.tree import read_tree
from gateway.config.words import MEANINGS
from gateway.domain.text import Lang

SHIPPED = shipped_dir()
FILES = {
    FileKind.SITE: [SHIPPED / "site.example.yaml", SHIPPED / "site.demo.yaml"],
    FileKind.PROFILE: sorted((SHIPPED / "profiles").glob("*.yaml")),
    FileKind.RULES: sorted((SHIPPED / "rules").glob("*.yaml")),
}
CASES = Path(__file__).parent.parent / "config" / "cases"
LOOKS_RIGHT = """
    fighting_limits limit_in_another_unit one_port_named_twice two_devices_with_one_unit
    unknown_profile_bus_point_and_kind
"""  # only a whole site shows what is wrong


@cache
def made_for(kind: FileKind, lang: Lang) -> dict[str, Any]:
    return json_schema(kind, lang, SHIPPED)


def as_json(data: Any) -> Any:
    """YAML's data as an editor hands it to a JSON Schema: keys are text, numbers are floats."""
    match data:
        case dict():
            return {str(key): as_json(value) for key, value in data.items()}
        case list():
            return [as_json(value) for value in data]
        case Decimal():
            return float(data)
    return data


def mistakes(kind: FileKind, path: Path) -> list[str]:
    tree = read_tree(path, path.name, [])
    assert tree is not None
    validator = Draft202012Validator(made_for(kind, Lang.EN))
    return [error.json_path for error in validator.iter_errors(as_json(tree.data))]


@pytest.mark.parametrize("kind", FileKind)
def test_each_schema_is_a_schema_of_its_dialect(kind):
    made = made_for(kind, Lang.ZH)
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(made)
    assert "null" not in json.dumps(made)


@pytest.mark.parametrize(
    ("kind", "path"),
    [(kind, path) for kind, paths in FILES.items() for path in paths],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_every_shipped_file_passes_its_schema(kind, path):
    assert mistakes(kind, path) == []


@pytest.mark.parametrize(
    ("case", "place"),
    [
        ("unknown_key", "$.devices.meter"),
        ("wrong_types", "$.devices.meter.unit"),
        ("missing_owner", "$.devices.meter"),
        ("baud_typo", "$.buses['plant-room'].baud"),
        ("negative_and_unitless_delays", "$.devices.meter.rules.voltage_high_alarm.for"),
        ("decimal_comma", "$.devices.meter.rules.pressure_low_alarm.below"),
        ("buses_as_a_list", "$.buses"),
        ("broker_not_in_a_list", "$.uplink.brokers"),
        ("broker_address", "$.uplink.brokers[0]"),
        ("gateway_id_with_signs", "$.uplink.gateway"),
        ("combined_rule", "$.rules.both"),
        ("pins", "$.panel.silence"),
        ("key_without_a_value", "$.silence"),
    ],
)
def test_a_broken_site_does_not_pass_and_the_place_is_named(case, place):
    assert any(
        found.startswith(place) for found in mistakes(FileKind.SITE, CASES / case / "site.yaml")
    )


@pytest.mark.parametrize("case", LOOKS_RIGHT.split())
def test_what_only_a_whole_site_shows_is_left_to_check(case):
    assert mistakes(FileKind.SITE, CASES / case / "site.yaml") == []


def test_a_broken_profile_does_not_pass():
    path = CASES / "broken_own_profile" / "profiles" / "own-meter.yaml"
    found = mistakes(FileKind.PROFILE, path)
    assert "$.points.voltage" in found
    assert "$.points.current.at" in found
    assert "$.points.power.type" in found


@pytest.mark.parametrize("lang", Lang)
@pytest.mark.parametrize("kind", FileKind)
def test_every_key_is_described_in_the_language_asked_for(kind, lang):
    made = made_for(kind, lang)
    parts = [part for part in (made, *made["$defs"].values()) if "properties" in part]
    assert parts
    for part in parts:
        for key, said in part["properties"].items():
            assert said["description"], key
            assert any(char >= "\u4e00" for char in said["description"]) == (lang is Lang.ZH), key


def test_no_meaning_is_given_for_a_key_that_is_not_there():
    for name, meanings in MEANINGS.items():
        model = getattr(models, name)
        assert issubclass(model, BaseModel)
        keys = {field.alias or key for key, field in model.model_fields.items()}
        assert set(meanings) == keys


def test_the_command_prints_the_schema_as_data(capsys):
    for kind in FileKind:
        assert schema(kind.value, lang=Lang.EN) == 0
        assert json.loads(capsys.readouterr().out)["$id"] == f"urn:care-gateway:schema:{kind}"


def test_profiles_and_kinds_are_offered_to_editors():
    made = made_for(FileKind.SITE, Lang.EN)
    offered = made["$defs"]["DevicePart"]["properties"]["profile"]["examples"]
    assert offered == sorted(path.stem for path in FILES[FileKind.PROFILE])
    assert "hydrant_pressure" in made["$defs"]["OwnPoint"]["properties"]["kind"]["examples"]
