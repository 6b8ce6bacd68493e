"""What a new site file would change."""

import json

import pytest

from gateway.cli.main import main

SITE = """
site: {id: elm, name: Elm, institution: elder-care, timezone: Asia/Shanghai}
buses:
  line: {tcp: 127.0.0.1:1}
  hall: {tcp: 127.0.0.1:2}
devices:
  board:
    profile: lingxun-lx47le
    bus: line
    unit: 1
    place: 1F
    owner: A
    rules:
      residual_alarm: {above: 300 mA, clears: 250 mA, basis: owner 2026-11}
  meter: {profile: chint-dtsu666, bus: hall, unit: 2, place: 1F, owner: A}
"""


@pytest.fixture
def compare(tmp_path, capsys):
    def run(new, *options):
        for name, text in (("old", SITE), ("new", new)):
            (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        paths = [str(tmp_path / "new.yaml"), "--old", str(tmp_path / "old.yaml")]
        code = main(["config", "diff", *paths, "--lang", "en", *options])
        return code, capsys.readouterr().out

    return run


def test_the_same_file_has_no_difference(compare):
    assert compare(SITE) == (0, "no difference\n")


def test_a_limit_that_was_raised_protects_less_and_interrupts_no_bus(compare):
    code, out = compare(SITE.replace("above: 300 mA", "above: 400 mA"))
    assert code == 0
    assert "changed rule board.residual_current/residual_alarm  <- protects less" in out
    assert "300" in out
    assert "400" in out
    assert "no bus is interrupted" in out


def test_a_limit_that_was_lowered_does_not_protect_less(compare):
    _, out = compare(SITE.replace("300 mA, clears: 250", "200 mA, clears: 150"))
    assert "changed rule" in out
    assert "protects less" not in out


def test_a_device_that_is_gone_takes_its_rules_with_it_and_its_bus_begins_anew(compare):
    new = "".join(line for line in SITE.splitlines(keepends=True) if "meter:" not in line)
    code, out = compare(new.replace("  hall: {tcp: 127.0.0.1:2}\n", ""))
    assert code == 0
    assert "removed device meter  <- protects less" in out
    assert "removed bus hall" in out
    assert "these buses begin anew: hall" in out


def test_what_only_a_restart_takes_over_is_named(compare):
    _, out = compare(SITE + "store: {directory: /tmp/elsewhere}\n")
    assert "only a restart takes over: store.directory" in out


def test_as_json_each_change_has_before_and_after(compare):
    _, out = compare(SITE.replace("unit: 2", "unit: 3"), "--json")
    found = json.loads(out)
    (device,) = [each for each in found["changes"] if each["what"] == "device"]
    assert (device["id"], device["how"]) == ("meter", "changed")
    assert device["fields"]["unit"] == {"before": "2", "after": "3"}
    assert found["rested"] == ["hall"]


def test_a_file_with_errors_is_not_compared(compare, capsys):
    code, out = compare(SITE.replace("unit: 2", "unit: 999"))
    assert (code, out) == (2, "")
