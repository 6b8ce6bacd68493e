"""Other rules over the readings that are stored."""

from dataclasses import replace

from gateway.config.load import load_site
from gateway.core.what_if import Stored, needed_points, what_if
from gateway.domain.readings import Quality
from gateway.domain.rules import Above

SITE = """
site: {id: elm, name: Elm, institution: elder-care, timezone: Asia/Shanghai}
buses: {line: {tcp: 127.0.0.1:1}}
devices:
  board: {profile: lingxun-lx47le, bus: line, unit: 1, place: 1F, owner: A}
"""
POINT, RULE = "board.residual_current", "board.residual_current/residual_alarm"
START = 1_790_000_000_000
MINUTE = 60_000


def site_with(tmp_path, limit, clears=None, deadband=None):
    path = tmp_path / "site.yaml"
    path.write_text(SITE, encoding="utf-8")
    site = load_site(path).site
    rules = tuple(
        replace(rule, condition=Above(limit, clears or limit - 50)) if rule.id == RULE else rule
        for rule in site.rules
    )
    if deadband is not None:
        (device,) = site.devices
        points = tuple(
            replace(point, deadband=deadband) if point.id == POINT else point
            for point in device.points
        )
        site = replace(site, devices=(replace(device, points=points),))
    return replace(site, rules=rules)


def stored(*values, every=10 * MINUTE, quality=Quality.GOOD):
    return [Stored(START + n * every, POINT, value, quality) for n, value in enumerate(values)]


def outcome(tmp_path, before, after, readings, deadband=5.0):
    old = site_with(tmp_path, before, deadband=deadband)
    new = site_with(tmp_path, after, deadband=deadband)
    found = {each.rule: each for each in what_if(old, new, readings)}
    return found.get(RULE)


def test_a_lower_limit_shows_the_alarms_that_would_appear(tmp_path):
    found = outcome(tmp_path, 400, 300, stored(100, 350, 100, 100))
    assert (len(found.before), len(found.after)) == (0, 1)
    assert len(found.appearing) == 1
    assert START + 10 * MINUTE <= found.appearing[0] < START + 12 * MINUTE
    assert (found.vanishing, found.undecidable) == ((), ())


def test_a_higher_limit_shows_the_alarms_that_would_vanish(tmp_path):
    found = outcome(tmp_path, 300, 400, stored(100, 350, 100, 450, 100))
    assert (len(found.before), len(found.after)) == (2, 1)
    assert len(found.vanishing) == 1
    assert found.appearing == ()


def test_a_limit_within_the_deadband_of_a_stored_value_cannot_be_decided(tmp_path):
    found = outcome(tmp_path, 400, 352, stored(100, 350, 100))
    assert found.appearing == ()
    assert len(found.undecidable) == 1


def test_an_alarm_that_both_raise_neither_appears_nor_vanishes(tmp_path):
    found = outcome(tmp_path, 300, 320, stored(100, 450, 100))
    assert (len(found.before), len(found.after)) == (1, 1)
    assert (found.appearing, found.vanishing, found.undecidable) == ((), (), ())


def test_readings_that_were_not_good_raise_nothing(tmp_path):
    bad = stored(None, None, quality=Quality.OFFLINE)
    found = outcome(tmp_path, 400, 300, [*stored(100), *bad[1:]])
    assert (found.before, found.after, found.appearing) == ((), (), ())


def test_rules_that_are_the_same_are_not_played(tmp_path):
    site = site_with(tmp_path, 300)
    assert what_if(site, site, stored(500)) == []
    assert needed_points(site, site) == frozenset()
    assert needed_points(site, site_with(tmp_path, 200)) == {POINT}


def test_a_rule_that_is_gone_lets_its_alarms_vanish(tmp_path):
    old = site_with(tmp_path, 300, deadband=5.0)
    new = replace(old, rules=tuple(rule for rule in old.rules if rule.id != RULE))
    (found,) = what_if(old, new, stored(100, 450, 100))
    assert found.rule == RULE
    assert len(found.vanishing) == 1
