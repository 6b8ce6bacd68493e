"""What explains what, and what a technician does about a fault of the daemon's."""

import re
from pathlib import Path

import pytest
import typer

import gateway
from gateway.cli.ailments import CURES, explained, fault_findings
from gateway.cli.main import build
from gateway.config.load import load_site
from gateway.config.shipped import shipped_dir
from gateway.config.tree import read_tree
from gateway.core.faults import FAULTS, LINK_FAULTS
from gateway.domain.findings import Finding, Grade
from gateway.domain.text import Lang, Text

WORDS = Text("x", "x")


def load_yaml(path):
    return read_tree(path, path.name, []).data


def row(rule, *steps, **more):
    do = [{"zh": zh, "en": en} for zh, en in steps]
    return {"rule": rule, "severity": "fault", "say": {"zh": "断", "en": "Down"}, "do": do, **more}


def wrong(code, about="", grade=Grade.BAD):
    return Finding(code, grade, WORDS, WORDS, about)


def test_the_technician_is_not_told_to_call_the_technician():
    rows = [
        row("gateway/bus_down/line", ("查线", "Check the cable"), ("通知运维", "Call them")),
        row("gateway.host.cpu_temp/gateway_hot", ("通风", "Air")),
        row("gateway/brand_new/x", ("通知运维", "Call the technician")),
    ]
    down, hot, new = fault_findings({"alarms": rows})
    assert down.cure.en.startswith("Check the cable; `care-gateway bus stats` and")
    assert "通知" not in down.cure.zh
    assert hot.cure == Text("通风", "Air")
    assert new.cure.en == "Call the technician", "a fault of a younger daemon keeps its own words"


@pytest.mark.parametrize("code", sorted({*FAULTS, *LINK_FAULTS.values()}))
def test_every_fault_has_something_that_a_technician_can_do(code):
    code, _, subject = code.partition("/")
    steps = FAULTS.get(f"{code}/{subject}" if subject else code, (WORDS, ()))[1]
    told = [(each.zh, each.en) for each in steps]
    (finding,) = fault_findings({"alarms": [row(f"gateway/{code}/{subject or 'x'}", *told)]})
    for words in (finding.cure.zh, finding.cure.en):
        assert words
        assert words not in ("通知运维", "Call the technician")


def test_the_commands_of_a_cure_ask_where_the_fault_is(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(
        "site: {id: elm, name: Elm, institution: elder-care}\n"
        "buses: {hall: {tcp: 127.0.0.1:1}}\n"
        "devices: {board: {profile: chint-dtsu666, bus: hall, unit: 7, place: 1F, owner: A}}\n"
    )
    site = load_site(path).site
    rows = [row("gateway/device_refuses/board"), row("gateway/bus_down/hall")]
    refuses, down = fault_findings({"alarms": rows}, site)
    assert "`care-gateway bus read hall --unit 7 --profile chint-dtsu666`" in refuses.cure.en
    assert "care-gateway bus stats hall 和" in down.cure.zh


def commands_told():
    """What doctor tells people to type, as words: in its sources and in the cures of faults."""
    package = Path(gateway.__file__).parent
    sources = [*package.glob("drivers/checkup*.py"), *package.glob("cli/ailments.py")]
    sources += [package / "cli/doctor.py", package.parent / "docs/troubleshooting.md"]
    text = "".join(re.sub(r'"\n\s*f?"', "", each.read_text("utf-8")) for each in sources)
    return sorted(set(re.findall(r"`(?:sudo )?care-gateway ([a-z][^`]*)`", text)))


@pytest.mark.parametrize("command", commands_told())
def test_a_command_that_doctor_tells_people_to_type_is_one(command, monkeypatch):
    """It has its verb, its options, and everything that it must be given."""
    words = command.split()
    at = typer.main.get_command(build(Lang.EN))
    while getattr(at, "commands", None) and words and words[0] in at.commands:
        at = at.commands[words.pop(0)]
    assert not getattr(at, "commands", None), f"{command}: which of {list(at.commands)}?"
    words = ["7" if word == "UNIT" else word for word in words]
    at.make_context(command, words)  # raises for anything unknown or missing


def test_cures_are_for_faults_that_there_are():
    own = load_yaml(shipped_dir() / "rules" / "gateway.yaml")
    rules = {name for kind in own.values() for name in kind["rules"]}
    assert CURES.keys() <= {*FAULTS, *LINK_FAULTS.values(), *rules}
    assert rules >= {"gateway_hot", "supply_low", "memory_short", "storage_worn", "disk_short"}


def test_a_drill_s_and_a_test_s_faults_are_none():
    rows = [row("gateway/bus_down/a", is_drill=True), row("gateway/bus_down/b", is_test=True)]
    assert [*fault_findings({"alarms": [*rows, "nonsense", {"severity": "alarm"}]})] == []
    assert [*fault_findings({})] == []


@pytest.mark.parametrize(
    ("cause", "follows"),
    [
        (wrong("port_missing", "line"), wrong("fault_open", "gateway/bus_down/line")),
        (wrong("port_taken", "line"), wrong("fault_open", "gateway/bus_silent/line")),
        (wrong("unit_masked", "care-gateway.service"), wrong("daemon_silent")),
        (wrong("clock_unsynced"), wrong("broker_tls_not_yet_valid", "b:8883")),
        (wrong("secret_denied", "/k"), wrong("fault_open", "gateway/uplink_tls_files/uplink")),
        (wrong("broker_dns", "b:8883"), wrong("fault_open", "gateway/uplink_down/uplink")),
        (wrong("disk_read_only"), wrong("fault_open", "gateway/store_failing/core.db")),
        (wrong("gpio_denied", "panel"), wrong("fault_open", "gateway/panel_failing/pins")),
        (wrong("reader_kernel", "reader"), wrong("fault_open", "gateway/reader_failed/desk")),
        (
            wrong("unit_down", "care-gateway-reader.service"),
            wrong("fault_open", "gateway/reader_gone/desk"),
        ),
        (wrong("board_hot"), wrong("fault_open", "gateway.host.cpu_temp/gateway_hot")),
    ],
)
def test_what_follows_names_its_cause_and_nothing_else_does(cause, follows):
    other = wrong("fault_open", "gateway/device_silent/board")
    found = explained([follows, cause, other])
    assert [each.because for each in found] == [cause.code, "", ""]
    assert [each.because for each in explained([follows])] == [""]


def test_another_bus_s_port_or_a_mere_note_explains_nothing():
    fault = wrong("fault_open", "gateway/bus_down/line")
    others = [wrong("port_missing", "roof"), wrong("port_denied", "line", Grade.NOTE)]
    assert explained([fault, *others])[0].because == ""
    console = wrong("unit_down", "care-gateway-console.service")
    assert explained([wrong("daemon_silent"), console])[0].because == ""
