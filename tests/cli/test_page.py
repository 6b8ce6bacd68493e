"""The live page fits any terminal and never shows as normal what is not known to be."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.page import SMALLEST, Page, lines_of
from gateway.domain.text import Lang, Text
from tests.cli.test_status import JSON, SNAPSHOT


def point(id_: str, quality: str = "good", **more: Any) -> dict[str, Any]:
    return {
        "id": id_, "label": "电压", "place": "1F", "value": 1.25, "unit": "V",
        "quality": quality, "reason": "", "age_ms": 300, "is_judged": False, **more,
    }  # fmt: skip


LANES = {
    "A": {"queued": 3, "at_broker": 1, "settled": 19, "unsettled": 4},
    "B": {"queued": 0, "at_broker": 0, "settled": 7, "unsettled": 0},
    "R": {"queued": 0, "at_broker": 2, "settled": 11, "unsettled": 2},
}
MANY = [point(f"meter.p{n}") for n in range(30)] + [
    point("gas.concentration", is_judged=True, value=0.3961),
    point("tank.level", "fault", value=None, reason="out of range"),
    point("roof.a", "offline", value=None),
    point("roof.b", "offline", value=None),
]
ANSWER: dict[str, Any] = {
    **SNAPSHOT,
    "lanes": LANES,
    "link": {"is_up": True, "broker": "mqtt://platform:1883", "is_platform_present": True},
    "points": MANY,
    "devices": [{"id": "roof", "is_offline": True}, {"id": "meter", "is_offline": False}],
    "panel": {
        "levels": {},
        "signal": {"red": "2Hz", "amber": "on", "yellow": "off", "green": "on", "pattern": "A1"},
    },
}
PAGE = Page(
    ANSWER,
    data_age_s=0.4,
    story=[f"story {n}" for n in range(9)],
    platform=[f"platform {n}" for n in range(9)],
    numbers={"roof": "3", "gas": "2"},
    keys=[("s", "silence"), ("q", "quit")],
)


LIFE = {
    "is_first_out": True, "flood": "x-A-1", "chatter": 7, "stands_for": ["a", "b"],
    "inhibits": ["OS"], "is_silenced": True, "is_stale": True, "is_drill": True, "is_test": True,
    "escalated_to": [{"step": "leader", "zh": "值班长", "en": "duty leader"}], "under": "",
}  # fmt: skip


def text(page: Page, width: int = 80, height: int = 24, lang: Lang = Lang.EN) -> str:
    """The page with runs of spaces made one."""
    lines = (line.plain for line in lines_of(page, width, height, lang))
    return re.sub(" +", " ", "\n".join(lines))


@given(
    st.integers(1, 260), st.integers(1, 90), st.sampled_from(list(Lang)), st.booleans(),
    st.integers(0, 60),
)  # fmt: skip
@settings(deadline=None)
def test_it_fits_every_terminal(
    width: int, height: int, lang: Lang, is_lost: bool, offset: int
) -> None:
    page = replace(PAGE, offset=offset, lost_since="10:00:00" if is_lost else "", note="报警" * 99)
    lines = lines_of(page, width, height, lang)
    assert len(lines) == height
    assert all(line.cell_len <= width for line in lines)


def test_a_small_terminal_has_something_of_everything() -> None:
    shown = text(PAGE)
    for words in (
        "榆园养老院 (elm-house)", "● ALARM blinks", "● WARNING", "○ FAULT", "BUZZER: alarm A1",
        "ALARM Residual current too high · 1F 厨房 · 512 mA (limit 300)",
        "unacknowledged 41 s → 1 Open the circuit 2 叫电工",
        "tank.level – fault (out of ra", "Uplink connected", "A alarms 3 · 1 · 19",
        "platform 8", "story 8", "s silence q quit",
    ):  # fmt: skip
        assert words in shown, f"{words} is not in\n{shown}"


def test_a_large_terminal_has_it_all_in_two_columns() -> None:
    shown = text(PAGE, 200, 50)
    assert all(f"meter.p{n}" in shown for n in range(30))
    assert all(f"story {n}" in shown and f"platform {n}" in shown for n in range(9))
    assert "A alarms queued 3 at broker 1 delivered 19" in shown


def test_too_small_a_terminal_says_so() -> None:
    assert "too small" in text(PAGE, SMALLEST[0] - 1, 30)
    assert "太小" in text(PAGE, 80, SMALLEST[1] - 1, Lang.ZH)


def test_what_is_not_good_comes_first_and_a_silent_device_is_one_line() -> None:
    lines = text(PAGE).splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("Points")) + 1
    assert lines[first] == "3 roof 1F: no response, all 2 points"
    assert "tank.level" in lines[first + 1]
    assert lines[first + 2].startswith("2 gas.concentration")
    assert "roof.a" not in "\n".join(lines)


def test_the_rest_of_the_points_is_reached_by_scrolling() -> None:
    assert "meter.p29" not in text(PAGE)
    assert "meter.p29" in text(replace(PAGE, offset=999))


@pytest.mark.parametrize("lost", [{"lost_since": "10:32:05", "lost_s": 65.0}, {"data_age_s": 9.0}])
def test_nothing_looks_known_without_a_fresh_answer(lost: dict[str, Any]) -> None:
    shown = text(replace(PAGE, why_lost=Text("没有", "no daemon"), **lost), 120, 40)
    assert "● ALARM" not in shown
    assert "? ALARM" in shown
    assert "BUZZER: ?" in shown
    assert "? good" in shown
    assert not re.search(r"(?<!\? )good", shown)
    assert "Uplink unknown" in shown
    if "lost_since" in lost:
        assert "connection lost since 10:32:05 (65 s): no daemon" in shown


def test_ages_go_on_while_there_is_no_answer() -> None:
    old = replace(PAGE, data_age_s=100.0)
    assert "unacknowledged 2 min" not in text(PAGE)
    assert "unacknowledged 2 min" in text(old)
    assert "data 100 s old" in text(old)


def test_before_the_first_answer_it_waits_and_without_an_uplink_it_says_so() -> None:
    assert "waiting for the daemon" in text(Page({}))
    link = {"is_up": False, "broker": "", "why": ""}
    assert "Uplink not configured" in text(Page({**ANSWER, "link": link}))
    link = {"is_up": False, "broker": "mqtt://p:1883", "why": "dns", "delivery": "ack"}
    assert "Uplink down p:1883 (dns)" in text(Page({**ANSWER, "link": link}))


def test_a_quiet_house_says_so_in_chinese() -> None:
    shown = text(Page({**ANSWER, "alarms": []}), lang=Lang.ZH)
    assert "无报警" in shown
    assert "监测点" in shown


@given(
    st.dictionaries(st.sampled_from([*ANSWER]), JSON),
    st.fixed_dictionaries({}, optional=dict.fromkeys([*ANSWER["alarms"][0], *LIFE], JSON)),
    st.fixed_dictionaries({}, optional=dict.fromkeys(MANY[0], JSON)),
)
@settings(deadline=None)
def test_no_shape_of_answer_breaks_the_page(
    answer: dict[str, Any], alarm: dict[str, Any], shape: dict[str, Any]
) -> None:
    for odd in (answer, {**ANSWER, "alarms": [alarm], "points": [shape], "lanes": {"A": shape}}):
        assert len(lines_of(Page(odd), 80, 24, Lang.EN)) == 24


def test_an_alarm_tells_of_its_flood_its_chatter_its_children_and_who_was_called() -> None:
    alarm = {**ANSWER["alarms"][0], **LIFE}
    child = {**ANSWER["alarms"][0], "under": alarm["rule"], "say": "suppressed child"}
    page = Page({**ANSWER, "alarms": [alarm, child], "cases": {"open": 2}})
    shown = text(page, width=130, height=50)
    for words in (
        "first-out", "chattering x7", "stands for 2", "out of service", "silenced", "stale",
        "drill", "test", "escalated: duty leader", "open cases 2",
    ):  # fmt: skip
        assert words in shown
    assert "suppressed child" not in shown
    assert "首发, 抖动 ×7" in text(page, width=130, height=50, lang=Lang.ZH)


def test_what_stands_beside_the_alarms_is_shown_where_there_is_room() -> None:
    leak = {"natural": 38.5, "margin": 261.5, "hours": 168, "is_learned": True}
    answer = {
        **ANSWER,
        "shelved": [{"rule": "a.b/warm", "by": "E07", "why": "steam", "left_ms": 7_200_000}],
        "points": [{**ANSWER["points"][0], "id": "board.leak", "unit": "mA", "leakage": leak}],
    }
    large = text(Page(answer), width=130, height=50)
    assert "Shelved: a.b/warm (E07: steam), 2.0 h left" in large
    assert "Natural leakage board.leak: 38.5 mA, margin to the alarm 261.5 mA" in large
    assert "Shelved" not in text(Page(answer))
    assert "自然泄漏" in text(Page(answer), width=130, height=50, lang=Lang.ZH)
