"""What a new site file would change."""

import json
import re
from dataclasses import replace
from functools import partial

import pytest

from gateway.cli.main import main
from gateway.config.load import load_site
from gateway.core.health import with_own_device
from gateway.core.messages import read_body, sender_of
from gateway.core.site_diff import diff_sites
from gateway.core.state import house_of, state_of
from gateway.core.step import step
from gateway.domain.events import Restarted
from gateway.domain.moments import Clk, Now
from gateway.domain.outcome import Outcome
from gateway.domain.readings import Quality, Reading
from gateway.domain.records import Batch
from gateway.domain.site import StoreSpec
from gateway.store.store import open_store
from tests.store.conftest import QUIET

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


def test_what_differs_is_told_in_the_words_of_the_file_not_of_the_program(compare):
    new = SITE.replace("above: 300 mA,", "above: 400 mA, for: 10s,") + (
        "panel: {red: 17, silence: 25}\n"
        "uplink: {brokers: [mqtts://p.example:8883], gateway: wh-1}\n"
    )
    _, out = compare(new)
    assert "    panel.red: – -> 17\n" in out
    assert "    above: 300 mA -> 400 mA\n" in out
    assert re.search(r"    for: \S+s -> 10s\n", out)
    assert re.search(r"    uplink: – -> gateway wh-1, brokers host p\.example, port 8883", out)
    assert not re.search(r"[A-Z]\w+\(|<\w+\.|None|True|False|_ms", out)
    assert "changed site elm\n" in out


def test_a_house_that_loses_its_buzzer_or_its_platform_is_told_less(tmp_path):
    panel = "panel: {red: 17, buzzer: 24}\n"
    uplink = "uplink: {brokers: [mqtts://p.example:8883], gateway: wh-1}\n"

    def site(text):
        path = tmp_path / "site.yaml"
        path.write_text(SITE + text, encoding="utf-8")
        return load_site(path).site

    whole = site(panel + uplink)
    for less in (site(panel.replace(", buzzer: 24", "") + uplink), site(panel)):
        found = [(each.what, each.is_weaker) for each in diff_sites(whole, less).changes]
        assert found == [("site", True)]
        back = [(each.what, each.is_weaker) for each in diff_sites(less, whole).changes]
        assert back == [("site", False)]


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


START = Now(1_000_000, 1_790_000_000_000, Clk.SYNC, 40, "b")
POINT = "board.residual_current"


@pytest.fixture
async def history(tmp_path):
    """A store with three batches, ten minutes apart: 100, 350 and 100 mA."""
    path = tmp_path / "old.yaml"
    path.write_text(SITE, encoding="utf-8")
    watched = with_own_device(load_site(path).site)
    sender = sender_of(watched, "e1")
    folder = tmp_path / "store"
    async with open_store(
        StoreSpec(folder),
        epoch="e1",
        encode=partial(read_body, sender),
        on_durable=len,
        on_fault=print,
    ) as store:
        for number, value in enumerate((100.0, 350.0, 100.0), 1):
            later = number * 600_000
            at = replace(START, mono_ms=START.mono_ms + later, utc_ms=START.utc_ms + later)
            reading = Reading(POINT, value, Quality.GOOD, at.mono_ms)
            store.submit(Outcome(QUIET, batch=Batch("e1", number, at, (reading,))))
        await store.flush()
    return folder


def replayed(tmp_path, capsys, history, new, *options):
    (tmp_path / "new.yaml").write_text(new, encoding="utf-8")
    paths = [str(tmp_path / "new.yaml"), "--old", str(tmp_path / "old.yaml")]
    code = main(["config", "what-if", *paths, "--store", str(history), "--lang", "en", *options])
    return code, *capsys.readouterr()


def test_what_is_stored_is_replayed_through_the_new_rules(tmp_path, capsys, history):
    new = SITE.replace("above: 300 mA, clears: 250", "above: 400 mA, clears: 350")
    code, out, _ = replayed(tmp_path, capsys, history, new)
    assert code == 0
    assert "3 readings replayed" in out
    assert "board.residual_current/residual_alarm: 1 times before, 0 times after" in out
    assert "would vanish" in out
    assert "is stored by a deadband of" in out


def test_as_json_the_moments_and_the_resolution_are_given(tmp_path, capsys, history):
    new = SITE.replace("above: 300 mA, clears: 250", "above: 350 mA, clears: 300")
    found = json.loads(replayed(tmp_path, capsys, history, new, "--json")[1])
    (rule,) = found["rules"]
    assert len(rule["undecidable"]) == 1, "350 mA lies on the new limit"
    assert found["resolution"][POINT]["unit"] == "mA"
    assert found["batches_not_used"] == 0


def test_another_list_of_points_cannot_be_replayed_and_that_is_said(tmp_path, capsys, history):
    """The old file is not the one by which the readings were written."""
    old = SITE.replace("  meter:", "  meter2:")
    (tmp_path / "old.yaml").write_text(old, encoding="utf-8")
    code, out, _ = replayed(tmp_path, capsys, history, old.replace("300 mA", "310 mA"))
    assert code == 0
    assert "no stored reading can be used" in out
    assert "3 batches not used" in out


async def test_readings_of_before_a_change_of_the_points_are_replayed_where_their_list_was_kept(
    tmp_path, capsys, history
):
    """A device more, and another one gone: what the numbers of the old batches mean is kept."""
    watched = with_own_device(load_site(tmp_path / "old.yaml").site)
    state = state_of(house_of(watched, sender_of(watched, "e2"), "0"), (), START)
    _, outcome = step(state, Restarted(), START)
    async with open_store(
        StoreSpec(history), epoch="e2", encode=lambda _: b"", on_durable=len, on_fault=print
    ) as store:
        store.submit(outcome)
        await store.flush()
    more = SITE.replace("  meter:", "  meter2:")
    (tmp_path / "old.yaml").write_text(more, encoding="utf-8")
    new = more.replace("above: 300 mA, clears: 250", "above: 400 mA, clears: 350")
    code, out, _ = replayed(tmp_path, capsys, history, new)
    assert code == 0
    assert "3 readings replayed" in out
    assert "board.residual_current/residual_alarm: 1 times before, 0 times after" in out
    assert "not used" not in out


def test_the_same_rules_need_no_replay(tmp_path, capsys, history):
    code, out, err = replayed(tmp_path, capsys, history, SITE)
    assert (code, out) == (0, "")
    assert "no rule differs" in err


def test_a_store_that_is_not_there_is_the_world_s_fault(tmp_path, capsys, history):
    new = SITE.replace("300 mA", "310 mA")
    code, out, err = replayed(tmp_path, capsys, tmp_path / "none", new)
    assert (code, out) == (1, "")
    assert "cannot be read" in err
