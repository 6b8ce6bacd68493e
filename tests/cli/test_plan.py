import json
from functools import partial
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from gateway.cli import plan as planning
from gateway.cli.plan import plan
from gateway.config.shipped import shipped_dir
from gateway.domain.text import Lang

EXAMPLE = shipped_dir() / "site.example.yaml"
CASES = Path(__file__).parent.parent / "config" / "cases"


def document(capsys, path=EXAMPLE, **how):
    assert plan(path, lang=Lang.EN, as_json=True, **how) == 0
    return json.loads(capsys.readouterr().out)


def test_the_plan_as_json_has_every_block_and_the_parts_of_each_detection_time(capsys):
    found = document(capsys)
    points = [p for bus in found["buses"] for block in bus["blocks"] for p in block["points"]]
    assert len(points) == len(set(points)) > 30
    rules = [rule for bus in found["buses"] for rule in bus["rules"]]
    assert "kitchen-gas.concentration/gas_high" in {rule["rule"] for rule in rules}
    parts = ("period", "wait", "read", "retry", "silence", "delay")
    for rule in rules:
        assert rule["total_ms"] == sum(rule[f"{part}_ms"] for part in parts)
        assert rule["sensor_ms"] is None
    for bus in found["buses"]:
        load = sum(block["read_ms"] / block["period_ms"] for block in bus["blocks"])
        assert abs(bus["load"] - load) < 0.001


def test_the_plan_says_when_a_silent_device_is_a_fault_and_when_it_is_back(capsys):
    (bus, *_) = document(capsys)["buses"]
    assert 15_000 < bus["silent_within_ms"] < 60_000
    assert 5_000 < bus["back_within_ms"] < 20_000
    alone = document(capsys, silent=1)["buses"][0]
    assert alone["silent_within_ms"] < bus["silent_within_ms"]
    assert alone["back_within_ms"] < 7_000
    assert plan(EXAMPLE, lang=Lang.EN, as_json=False) == 0
    said = f"is a fault within {bus['silent_within_ms'] / 1000:.0f} s"
    assert said in capsys.readouterr().out.replace("\n", " ")
    assert plan(EXAMPLE, lang=Lang.ZH, as_json=False) == 0
    assert f"恢复应答后最迟 {bus['back_within_ms'] / 1000:.0f} 秒读到" in capsys.readouterr().out


def test_fewer_silent_devices_are_found_sooner(capsys):
    totals = [
        sum(rule["total_ms"] for bus in found["buses"] for rule in bus["rules"])
        for found in (document(capsys, silent=n) for n in (0, 1, 3))
    ]
    assert totals == sorted(totals)
    assert totals[0] < totals[2]


def test_people_see_blocks_load_detection_times_and_what_they_hold_under(capsys):
    for lang, words in (
        (Lang.EN, ["load 13 %", "unknown", "Worst case", "3 devices of a bus are silent"]),
        (Lang.ZH, ["负载 13 %", "未知", "最坏情况", "最多 3 台设备失联"]),
    ):
        assert plan(EXAMPLE, lang=lang, as_json=False) == 0
        printed = capsys.readouterr().out
        for word in words:
            assert word in printed


def test_an_impossible_plan_is_shown_and_refused_with_what_would_help(capsys):
    assert plan(CASES / "bus_overloaded" / "site.yaml", lang=Lang.EN, as_json=False) == 2
    printed = capsys.readouterr()
    assert "Bus plant-room (2400 baud)" in printed.out
    said = printed.err
    assert "103 %" in said
    assert "4800 baud (load 63 %)" in said
    assert "second bus" in said


def test_a_file_that_cannot_be_used_exits_2_with_its_errors_on_stderr(capsys):
    path = CASES / "five_mistakes_at_once" / "site.yaml"
    assert plan(path, lang=Lang.EN, as_json=False) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "error[" in printed.err


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("lang", Lang)
def test_no_name_is_cut_in_a_narrow_terminal(monkeypatch, capsys, width, lang):
    narrow = partial(Console, width=width, highlight=False, markup=False, emoji=False)
    monkeypatch.setattr(planning, "console", narrow)
    rules = {rule["rule"]: rule for bus in document(capsys)["buses"] for rule in bus["rules"]}
    assert plan(EXAMPLE, lang=lang, as_json=False) == 0
    out = capsys.readouterr().out
    assert "…" not in out
    assert max(map(cell_len, out.splitlines())) <= width
    for name, rule in rules.items():
        (line,) = [line for line in out.splitlines() if name in line.split()]
        assert f"{rule['total_ms'] / 1000:.1f}" in line
    assert ("--json" in out) == (width == 80)
