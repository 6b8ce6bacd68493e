"""What the duty page is told: the worst first, bounded, and nothing unread called normal."""

from decimal import Decimal

import pytest

from gateway.core.duty import MOST_ALARMS, duty_view
from gateway.core.messages import sender_of
from gateway.core.state import house_of, state_of
from gateway.core.step import step
from gateway.domain import events
from gateway.domain.moments import Clk, Now
from gateway.domain.points import Encoding, Point, Table, WordType
from gateway.domain.readings import Quality, Reading
from gateway.domain.rules import Above, Rule, Severity, Sound
from gateway.domain.site import Bus, Device, PanelPins, Site, StoreSpec, TcpLink
from gateway.domain.text import Text

SOUNDS = {Severity.ALARM: Sound.A1, Severity.WARNING: Sound.W, Severity.FAULT: Sound.F}


def now(ms):
    return Now(ms, 1_790_000_000_000 + ms, Clk.SYNC, 40, "b00t")


def a_house(tmp_path, severities):
    """One board, one point and one rule (over 300, no delay) for each severity."""
    points = tuple(
        Point(f"board.p{n}", "board", f"p{n}", "mA", Table.INPUT, n,
              Encoding(WordType.UINT16, scale=Decimal(1)), 1_000)
        for n in range(len(severities))
    )  # fmt: skip
    rules = tuple(
        Rule(id=f"{at.id}/high", name="high", point=at.id, condition=Above(300, 250),
             severity=severity, sound=SOUNDS[severity], for_ms=0, clear_for_ms=0, latch=False,
             say=Text("剩余电流超限", "Residual current high"), do=(Text("断电", "Cut power"),),
             owner="电工班", basis="test")
        for at, severity in zip(points, severities, strict=True)
    )  # fmt: skip
    board = Device("board", "x", "line", 3, "1F 厨房", "电工班", points)
    site = Site(
        id="elm", name="榆园", institution="elder-care", timezone="Asia/Shanghai",
        buses=(Bus("line", TcpLink("127.0.0.1")),), devices=(board,), rules=rules,
        panel=PanelPins(), uplink=None, store=StoreSpec(tmp_path),
    )  # fmt: skip
    return house_of(site, sender_of(site, "epoch0000001"), "0.1.0")


def shown(house, *told, at=10_000):
    """The view at `at` after lists of (ms, event) pairs."""
    state = state_of(house, (), now(0))
    for ms, event in [pair for pairs in told for pair in pairs]:
        state, _ = step(state, event, now(ms))
    return duty_view(state, now(at))


def read(*values, quality=Quality.GOOD, ms=1_000):
    """Read three times: whatever a rule asks for, it has seen it often enough."""
    told = []
    for at in (ms, ms + 100, ms + 200):
        readings = tuple(Reading(f"board.p{n}", v, quality, at) for n, v in enumerate(values))
        told.append((at, events.BlockRead("line", "board", readings)))
    return told


def test_a_house_that_nobody_has_read_is_unknown_and_not_normal(tmp_path):
    view = shown(a_house(tmp_path, [Severity.ALARM]), [(0, events.Restarted())])
    assert view["top"] == "unknown"
    assert view["points"] == {"total": 1, "good": 0}


def test_a_house_that_is_read_is_normal_and_old_values_are_not_counted_as_good(tmp_path):
    house = a_house(tmp_path, [Severity.ALARM])
    told = [(0, events.Restarted())], read(28)
    view = shown(house, *told, at=1_500)
    assert (view["top"], view["alarms"], view["points"]) == ("normal", [], {"total": 1, "good": 1})
    assert shown(house, *told, at=3_600_000)["points"] == {"total": 1, "good": 0}


@pytest.mark.parametrize("worst", list(Severity))
def test_the_worst_severity_is_the_state_of_the_house(tmp_path, worst):
    order = [Severity.FAULT, Severity.WARNING, Severity.ALARM]
    severities = order[: order.index(worst) + 1]
    view = shown(a_house(tmp_path, severities), read(*[600] * len(severities)))
    assert view["top"] == worst.value
    assert [view["counts"][s.value] for s in Severity] == [int(s in severities) for s in Severity]
    assert [row["severity"] for row in view["alarms"]] == [s.value for s in reversed(severities)]


def test_what_waits_for_a_person_stands_before_what_was_acknowledged(tmp_path):
    house = a_house(tmp_path, [Severity.ALARM, Severity.ALARM])
    view = shown(
        house,
        read(600, 20),
        [(2_000, events.Acknowledge("s01", "board.p0/high"))],
        read(600, 600, ms=3_000),
    )
    assert [(row["rule"], row["state"]) for row in view["alarms"]] == [
        ("board.p1/high", "UA"), ("board.p0/high", "AA"),
    ]  # fmt: skip


def test_every_alarm_says_how_old_its_value_is_and_a_fault_of_the_gateway_has_none(tmp_path):
    house = a_house(tmp_path, [Severity.ALARM])
    view = shown(house, read(600), [(2_000, events.FaultRaised("store_slow", "core.db"))], at=5_200)
    ages = {row["severity"]: row["age_ms"] for row in view["alarms"]}
    assert ages == {"alarm": 4_000, "fault": None}


def test_a_flood_is_counted_whole_and_shown_bounded(tmp_path):
    house = a_house(tmp_path, [Severity.WARNING] * (MOST_ALARMS + 9) + [Severity.ALARM])
    view = shown(house, read(*[600] * (MOST_ALARMS + 10)))
    assert (len(view["alarms"]), view["more"]) == (MOST_ALARMS, 10)
    assert (view["counts"]["alarm"], view["counts"]["warning"]) == (1, MOST_ALARMS + 9)
    assert view["alarms"][0]["severity"] == "alarm"


def test_lamps_are_those_of_the_panel(tmp_path):
    house = a_house(tmp_path, [Severity.ALARM])
    state = state_of(house, (), now(0))
    for ms, event in read(600):
        state, outcome = step(state, event, now(ms))
    lamps = duty_view(state, now(1_200))["lamps"]
    signal = outcome.signal
    assert lamps == {
        "red": signal.red, "amber": signal.amber, "yellow": signal.yellow, "green": signal.green,
        "buzzer": signal.pattern,
    }  # fmt: skip
    assert (lamps["red"], lamps["buzzer"]) == ("2Hz", "A1")


def test_what_is_shelved_calls_for_nobody_and_stands_last(tmp_path):
    house = a_house(tmp_path, [Severity.WARNING, Severity.FAULT])
    shelve = events.Shelve("s01", "board.p0/high", 3_600_000, "door is being painted")
    view = shown(house, read(600, 600), [(2_000, shelve)])
    assert view["top"] == "fault"
    assert (view["counts"]["warning"], view["counts"]["shelved"]) == (0, 1)
    assert [(row["severity"], row["inhibits"]) for row in view["alarms"]] == [
        ("fault", []), ("warning", ["SH"]),
    ]  # fmt: skip


def test_a_drill_is_shown_as_one_until_a_real_alarm_breaks_through(tmp_path):
    house = a_house(tmp_path, [Severity.ALARM, Severity.ALARM])
    drill = events.DrillStarted("s01", "kitchen fire", rules=("board.p0/high",))
    practised = shown(house, read(20, 20), [(2_000, drill)])
    assert (practised["top"], practised["mode"]) == ("alarm", "drill")
    assert practised["counts"]["alarm"] == 0
    assert practised["drill"]["scenario"] == "kitchen fire"
    broken = shown(house, read(20, 20), [(2_000, drill)], read(20, 600, ms=3_000))
    assert (broken["top"], broken["mode"], broken["counts"]["alarm"]) == ("alarm", "real", 1)
    assert [row["mode"] for row in broken["alarms"]] == ["real"]
    assert broken["drill"] is None


def test_a_post_check_is_shown_with_the_time_left_to_answer_it(tmp_path):
    house = a_house(tmp_path, [Severity.ALARM])
    view = shown(house, read(20), [(2_000, events.PostCheckAsked("p1", "platform", 60_000))])
    assert view["post_check"] == {"left_ms": 52_000}


def test_open_cases_are_counted_and_an_arrival_is_told(tmp_path):
    house = a_house(tmp_path, [Severity.ALARM])
    view = shown(house, read(600))
    assert view["cases"] == {"open": 1}
    assert view["alarms"][0]["is_on_site"] is False
    view = shown(house, read(600), [(2_000, events.Arrive("s01", "board.p0/high"))])
    assert view["alarms"][0]["is_on_site"] is True
