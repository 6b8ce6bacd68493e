"""The example explains every line to somebody who sees YAML for the first time."""

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.config import schema
from gateway.config.json_schema import FileKind, json_schema
from gateway.config.load import load_site
from gateway.config.shipped import shipped_dir
from gateway.config.tree import read_tree
from gateway.domain.text import Lang

EXAMPLE = shipped_dir() / "site.example.yaml"
LINES = EXAMPLE.read_text(encoding="utf-8").splitlines()
OPTION = re.compile(r"^(\s*)#(?=[^ ]|  )")  # `#key: value`, and what is indented under it


def uncommented(line: str) -> str:
    return OPTION.sub(r"\1", line)


SETTINGS = [
    (number, uncommented(line))
    for number, line in enumerate(LINES, 1)
    if line.strip() and not uncommented(line).lstrip().startswith("#")
]


@pytest.fixture
def full(tmp_path) -> Path:
    """The example with every optional line in use."""
    path = tmp_path / "site.yaml"
    path.write_text("\n".join(uncommented(line) for line in LINES), encoding="utf-8")
    return path


def properties(part: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in part:
        part = made["$defs"][part["$ref"].rpartition("/")[2]]
    return part


def missing(data: Any, part: dict[str, Any], made: dict[str, Any], seen: set[str]) -> None:
    """Put every `Model.key` that the data uses into `seen`."""
    name = part.get("$ref", "").rpartition("/")[2]
    part = properties(part, made)
    for key, value in data.items() if isinstance(data, dict) else ():
        if str(key) in part.get("properties", {}):
            seen.add(f"{name}.{key}")
            missing(value, part["properties"][str(key)], made, seen)
        elif isinstance(part.get("additionalProperties"), dict):
            missing(value, part["additionalProperties"], made, seen)


def test_every_key_of_the_schema_is_in_the_example(full):
    made = json_schema(FileKind.SITE, Lang.EN, shipped_dir())
    made["$defs"]["SiteFile"] = {"properties": made["properties"]}
    tree = read_tree(full, "site.yaml", [])
    assert tree is not None
    seen: set[str] = set()
    missing(tree.data, {"$ref": "#/$defs/SiteFile"}, made, seen)
    parts = {name: part for name, part in made["$defs"].items() if "properties" in part}
    del parts["MemberPart"]  # stands in lists; its keys are those of a rule
    wanted = {f"{name}.{key}" for name, part in parts.items() for key in part["properties"]}
    assert {name.partition(".")[0] for name in wanted} >= {"BusPart", "RulePart", "TlsPart"}
    assert wanted - seen == set()


def test_with_every_optional_line_in_use_it_still_loads(full):
    loaded = load_site(full)
    assert [problem for problem in loaded.problems if problem.is_error] == []
    assert loaded.site is not None
    assert {problem.code for problem in loaded.problems} <= {
        "scale_unverified",
        "file_missing",
        "detects_late",
        "people_missing",
    }
    plain = load_site(EXAMPLE).site
    assert plain is not None
    assert len(loaded.site.devices) > len(plain.devices)
    assert len(loaded.site.rules) > len(plain.rules)


def test_optional_lines_show_the_defaults_where_they_say_so():
    plain = load_site(EXAMPLE).site
    assert plain is not None
    text = "\n".join(LINES)
    assert f"#offline_after_misses: {plain.offline_after_misses} " in text
    assert f"#timeout: {plain.buses[0].timeout_ms}ms " in text
    assert plain.uplink is not None
    assert f"#keepalive: {plain.uplink.keepalive_s}s " in text
    assert f"#probe: {plain.uplink.probe_ms // 1000}s " in text
    assert f"#reconnect: {plain.uplink.reconnect} " in text
    assert f"#  commit_every: {plain.store.commit_every_ms // 1000}s " in text


def test_every_line_is_explained_in_both_languages():
    assert len(SETTINGS) > 100
    for number, line in SETTINGS:
        section = LINES[number - 3 : number - 1]  # a section's own comment explains its name
        is_section = re.fullmatch(r"\w+:", line) and any("----" in above for above in section)
        said = line.partition(" # ")[2] or (" ".join(section) if is_section else "")
        assert re.search("[\u4e00-\u9fff]", said), (number, line)
        assert re.search("[A-Za-z]{3}", said), (number, line)


def test_no_line_is_too_long_to_read():
    assert [line for line in LINES if len(line) > 130] == []


def test_it_tells_editors_where_its_schema_is():
    assert LINES[0] == "# yaml-language-server: $schema=./site.schema.json"
    assert any("care-gateway schema site > site.schema.json" in line for line in LINES)


def test_the_bounds_in_the_words_are_those_of_the_schema():
    assert schema.MAX_STEPS == 4
    assert any("最多四步" in line and "at most four" in line for line in LINES)
