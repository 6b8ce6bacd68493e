"""What the gateway says of itself has rules of its own, which a site may change."""

from gateway.config.load import load_site
from gateway.core.health import host_points, measure, with_own_device
from gateway.core.messages import sender_of
from gateway.core.state import house_of, state_of
from gateway.core.step import step
from gateway.domain.moments import Clk, Now

SITE = """
site: {id: elm, name: Elm, institution: elder-care, timezone: Asia/Shanghai}
buses: {line: {tcp: 127.0.0.1:1}}
devices: {board: {profile: chint-dtsu666, bus: line, unit: 1, place: 1F, owner: A}}
"""


def loaded(tmp_path, more=""):
    path = tmp_path / "site.yaml"
    path.write_text(SITE + more, encoding="utf-8")
    return load_site(path)


def raised(site, host, seconds):
    """Faults that stand after so many seconds of these figures."""
    watched = with_own_device(site)
    house = house_of(watched, sender_of(watched, "e1"), "1")
    state = state_of(house, (), Now(0, None, Clk.NONE, None, "b"))
    found = set()
    for second in range(0, seconds + 1, 10):
        now = Now(second * 1_000, None, Clk.NONE, None, "b")
        state, outcome = step(state, measure({}, {}, second * 1_000, host), now)
        assert all(record.lane.value == "B" for record in outcome.records)
        found |= {
            alarm.rule
            for alarm in state.alarms.values()
            if alarm.state.is_active and alarm.occurrence
        }
    return found


def test_every_ailment_of_the_machine_is_a_fault_with_words(tmp_path):
    site = loaded(tmp_path).site
    assert raised(site, {
        "cpu_temp": 85.0, "under_voltage": 1, "memory_available": 20.0, "memory_used": 300.0,
        "wear": 90, "starts": 5, "disk_free": 300.0, "clock_unsure": 1,
    }, 3_700) == {
        "gateway.host.cpu_temp/gateway_hot", "gateway.host.under_voltage/supply_low",
        "gateway.host.memory_available/memory_short", "gateway.host.memory_used/memory_grows",
        "gateway.host.wear/storage_worn", "gateway.host.starts/restarts_often",
        "gateway.host.disk_free/disk_short", "gateway.host.clock_unsure/clock_unsure",
    }  # fmt: skip
    own = [rule for rule in site.rules if rule.point.startswith("gateway.host.")]
    assert {rule.severity.value for rule in own} == {"fault"}
    assert all(rule.say.zh and rule.say.en and rule.do for rule in own)


def test_a_machine_that_is_well_has_no_fault(tmp_path):
    well = {"cpu_temp": 55.0, "under_voltage": 0, "memory_available": 900.0, "memory_used": 60.0,
            "wear": 10, "starts": 1, "disk_free": 9_000.0, "clock_error": 40,
            "clock_unsure": 0}  # fmt: skip
    assert raised(loaded(tmp_path).site, well, 700) == set()


def test_a_router_that_comes_back_within_the_hour_is_no_fault_of_the_clock(tmp_path):
    assert raised(loaded(tmp_path).site, {"clock_unsure": 1}, 3_500) == set()


def test_a_site_may_change_or_switch_off_a_rule_of_the_gateway(tmp_path):
    hot = "gateway_hot: {above: 90 °C, clears: 85 °C, basis: owner 2026-11}"
    worn = "storage_worn: {off: true, basis: no eMMC}"
    more = f"gateway: {{owner: E31, rules: {{{hot}, {worn}}}}}\n"
    site = loaded(tmp_path, more).site
    assert raised(site, {"cpu_temp": 85.0, "wear": 90}, 700) == set()
    hot = next(rule for rule in site.rules if rule.name == "gateway_hot")
    assert (hot.limit, hot.owner) == (90.0, "E31")


def test_a_rule_that_the_gateway_does_not_have_is_an_error_with_a_guess(tmp_path):
    found = loaded(tmp_path, "gateway: {rules: {gateway_hott: {above: 90 °C}}}\n")
    assert found.site is None
    (problem,) = [each for each in found.problems if each.is_error]
    assert "gateway_hott" in problem.fact.en


def test_every_kind_of_the_machine_has_its_rules(tmp_path):
    site = loaded(tmp_path).site
    judged = {rule.point for rule in site.rules}
    assert {p.id for p in host_points() if p.kind is not None} <= judged
