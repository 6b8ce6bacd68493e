"""What a technician sees of the running daemon, whatever the answer lacks."""

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gateway.cli.saying import age, number
from gateway.cli.status import show, status
from gateway.domain.text import Lang
from gateway.drivers.sockets import Message

SNAPSHOT: dict[str, Any] = {
    "ok": True,
    "site": {"id": "elm-house", "name": "榆园养老院"},
    "panel": {
        "levels": {"red": True, "amber": False, "yellow": True, "green": True, "buzzer": True},
        "signal": {"pattern": "A1"},
    },
    "points": [
        {"id": "kitchen-board.residual_current", "label": "剩余电流", "place": "1F 厨房",
         "value": 512.0, "unit": "mA", "quality": "good", "reason": "", "age_ms": 420},
        {"id": "roof-tank.level", "label": "", "place": "屋顶", "value": None, "unit": "m",
         "quality": "offline", "reason": "silent", "age_ms": 61_000},
    ],
    "alarms": [
        {"rule": "kitchen-board.residual_current/residual_alarm", "state": "UA",
         "severity": "alarm", "say": {"zh": "剩余电流超限", "en": "Residual current too high"},
         "do": [{"zh": "断开回路", "en": "Open the circuit"}, "叫电工"], "place": "1F 厨房",
         "value": 512.0, "limit": 300.0, "unit": "mA", "since_ms": 41_000,
         "occurrence": "e1-A-7", "detail": "[bold]raw[/bold]"},
    ],
    "buses": [{"id": "plant-room", "is_up": True, "requests": 120, "timeouts": 2, "p99_ms": 48.25}],
    "lanes": {"A": {"unsettled": 1}, "B": {"unsettled": 0}, "R": {"unsettled": 12}},
    "store": {"core.db": {"is_healthy": True, "commits": 3}},
    "link": {"is_up": False, "broker": "mqtt://platform:1883", "why": "dns"},
}  # fmt: skip


Answering = Callable[[Callable[[Message], Message]], AbstractContextManager[Path]]


def shown(answer: dict[str, Any], lang: Lang = Lang.EN) -> str:
    """What stands on a wide screen, runs of spaces made one."""
    screen = Console(width=240, highlight=False, markup=False, emoji=False)
    with screen.capture() as capture:
        show(answer, lang, screen)
    return re.sub(r" +", " ", capture.get())


def test_the_alarm_says_what_where_and_what_to_do_in_both_languages() -> None:
    text = shown(SNAPSHOT, Lang.ZH)
    assert "报警 剩余电流超限 1F 厨房 512 mA 300 mA 1 断开回路 41 秒 未确认" in text
    assert "2 叫电工" in text
    text = shown(SNAPSHOT, Lang.EN)
    assert "ALARM Residual current too high 1F 厨房 512 mA 300 mA 1 Open the circuit 41 s" in text


def test_the_panel_stands_in_the_first_line() -> None:
    first = shown(SNAPSHOT).splitlines()[0]
    assert first == ("榆园养老院 (elm-house) ● ALARM ○ WARNING ● FAULT ● NORMAL ● BUZZER A1")


def test_a_lamp_that_blinks_is_not_shown_dark_by_chance() -> None:
    levels = {"red": False, "amber": False, "yellow": False, "green": True, "buzzer": False}
    signal = {"red": "2 Hz", "amber": "off", "yellow": "off", "green": "on", "pattern": "A1"}
    answer = {"ok": True, "panel": {"levels": levels, "signal": signal}}
    assert "● ALARM blinks ○ WARNING ○ FAULT ● NORMAL ○ BUZZER A1" in shown(answer)
    assert "● 报警 闪" in shown(answer, Lang.ZH)
    assert "? ALARM" in shown({"ok": True})


def test_what_stands_beside_the_alarms_is_said_in_a_line_each() -> None:
    leak = {
        "id": "board.leak",
        "value": 40.0,
        "unit": "mA",
        "quality": "good",
        "leakage": {"natural": 38.5, "margin": 261.5, "hours": 30, "is_learned": False},
    }
    tank = {"id": "tank.level", "value": 2.0, "unit": "m", "quality": "good", "leakage": None}
    answer = {
        "ok": True,
        "alarms": [SNAPSHOT["alarms"][0] | {"is_silenced": True, "chatter": 7},
                   SNAPSHOT["alarms"][0] | {"under": "gateway/bus_down/x", "place": "elsewhere"}],
        "cases": {"open": 3, "to_handle": 2, "to_close": 1},
        "shelved": [{"rule": "a.b/warm", "by": "E07", "why": "steam", "left_ms": 7_200_000}],
        "out_of_service": [{"subject": "board", "by": "E31", "why": "new probe", "order": "W-12"}],
        "flood": {"count": 40, "first_out": "a.b/first"},
        "noisy": [{"id": "a.b", "label": "压力", "place": "B1", "days_7": 9, "days_30": 12},
                  {"id": "a.c", "label": "once", "place": "B1", "days_7": 1, "days_30": 1}],
        "practice": {"drill": {"scenario": "smoke", "scope": "2F", "leader": "E01",
                               "left_ms": 600_000},
                     "tests": [], "post_checks": [{"source": "local", "is_missed": True}]},
        "points": [leak, tank],
    }  # fmt: skip
    text = shown(answer)
    for said in (
        "unacknowledged, chattering x7, silenced",
        "Open cases: 3 (2 to handle, 1 to close)",
        "Shelved: a.b/warm (E07: steam), 2.0 h left",
        "Out of service: board (E31: new probe, order W-12)",
        "Flood: 40 raised, first-out a.b/first",
        "Noisiest in 7 days: B1 压力 x9\n",
        "Drill: smoke 2F (E01), 10 min left",
        "Post check: local, no answer",
        "Natural leakage board.leak: 38.5 mA, margin to the alarm 261.5 mA (30 of 168 h learned)",
    ):
        assert said in text, said
    assert "elsewhere" not in text  # folded into the fault of its bus
    for said in (
        "未结处置单：3", "屏蔽：a.b/warm", "停用（检修）：board", "首发 a.b/first",
        "自然泄漏 board.leak：38.5 mA，距报警限值 261.5 mA（已学 30/168 小时）",
    ):  # fmt: skip
        assert said in shown(answer, Lang.ZH), said


def test_how_far_today_s_patrol_is_stands_in_a_line_where_there_is_one() -> None:
    patrol = {"rounds": 6, "done": 2, "open": 1, "overdue": 0, "missed": 1, "waiting": 0,
              "next_at": 1_795_319_370_000, "is_clock_sure": True}  # fmt: skip
    answer = {"clock": {"clk": "sync", "utc_ms": 1_795_316_670_000}, "patrol": patrol}
    text = shown(answer)
    assert "Patrol today: 2 of 6 rounds · open: 1 · missed: 1 · next in 45 min\n" in text
    assert "今日巡查：2 / 6 轮 · 可巡 1 · 漏巡 1 · 45 分后下一轮" in shown(answer, Lang.ZH)
    unsure = shown({**answer, "patrol": {**patrol, "is_clock_sure": False, "waiting": 3}})
    assert "waiting for the clock: 3 · the clock is not sure: none is judged\n" in unsure
    assert "next in" not in unsure
    assert "Patrol" not in shown({**answer, "patrol": None})


def test_no_words_of_programs_stand_where_people_read() -> None:
    answer = {
        "link": {"is_up": False, "do": [{"zh": "核对端口", "en": "Check the port"}], "detail": "",
                 "say": {"zh": "", "en": ""}, "tls": None, "last_ack_ms": 900},
        "store": {"core.db": {"oldest_ms": 1_000, "bytes_written": 5, "fsync_p99_ms": 15.21898}},
        "clock": {"clk": "ntp", "utc_ms": 1_795_319_370_508, "err_ms": None},
    }  # fmt: skip
    text = shown(answer)
    assert "What to do: Check the port" in text
    assert "15.219" in text
    for raw in ("_ms", "_written", "{", "[", "None", "say", "1795319370508", "TLS"):
        assert raw not in text, raw


def test_a_value_that_is_not_good_says_so_and_shows_no_number() -> None:
    assert "roof-tank.level – 屋顶 – offline (did not answer) 61 s" in shown(SNAPSHOT)


def test_buses_lanes_link_and_store_are_shown_with_what_they_have() -> None:
    text = shown(SNAPSHOT)
    assert "plant-room yes 120 2 48.25" in text
    assert "A 1" in text
    assert "Uplink Up: no Broker: mqtt://platform:1883 Why: dns" in text
    assert "core.db yes 3" in text


def test_brackets_of_a_device_are_text_and_no_markup() -> None:
    assert "[bold]raw[/bold]" in shown(SNAPSHOT)


def test_a_quiet_house_says_so() -> None:
    assert "No alarm" in shown({"ok": True, "alarms": []})


@pytest.mark.parametrize("missing", [*SNAPSHOT])
def test_any_part_may_be_missing(missing: str) -> None:
    assert shown({key: part for key, part in SNAPSHOT.items() if key != missing})


BESIDE = ("cases", "shelved", "out_of_service", "flood", "noisy", "practice", "patrol")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from([*SNAPSHOT, *BESIDE]), JSON),
    st.fixed_dictionaries({}, optional=dict.fromkeys(SNAPSHOT["alarms"][0], JSON)),
    st.fixed_dictionaries({}, optional=dict.fromkeys(SNAPSHOT["points"][0], JSON)),
)
def test_no_shape_of_answer_breaks_the_screen(
    answer: dict[str, Any], alarm: dict[str, Any], point: dict[str, Any]
) -> None:
    shown(answer)
    shown({"alarms": [alarm], "points": [point]})


def test_json_is_the_answer_itself(
    answering: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(lambda message: SNAPSHOT if message == {"verb": "status"} else {}) as path:
        assert status(path, as_json=True, lang=Lang.EN) == 0
    assert json.loads(capsys.readouterr().out) == SNAPSHOT


def test_tables_go_to_stdout_and_nothing_to_stderr(
    answering: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(lambda _: SNAPSHOT) as path:
        assert status(path, as_json=False, lang=Lang.EN) == 0
    captured = capsys.readouterr()
    assert "Residual current too high" in captured.out
    assert captured.err == ""


def test_no_daemon_is_exit_1_and_a_hint_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(tmp_path / "s", as_json=False, lang=Lang.EN) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no daemon listens here" in captured.err
    assert "systemctl status care-gateway" in captured.err


def test_a_refusal_is_exit_1(answering: Answering, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(lambda _: {"ok": False, "code": "busy", "error": "try again"}) as path:
        assert status(path, as_json=False, lang=Lang.EN) == 1
    assert capsys.readouterr().err == "busy: try again\n"


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (None, "–"),
        (420, "0.4 s"),
        (41_000, "41 s"),
        (600_000, "10 min"),
        (9_000_000, "2.5 h"),
        (4 * 86_400_000, "4 d"),
    ],
)
def test_ages_are_said_as_people_say_them(ms: int | None, said: str) -> None:
    assert age(ms, Lang.EN) == said


def test_numbers_keep_their_unit_and_lose_no_whole_digit() -> None:
    assert number(512.0, "mA") == "512 mA"
    assert number(1234567, "") == "1234567"
    assert number(None, "mA") == "–"


def test_what_is_not_accepted_stands_with_its_point_and_counted() -> None:
    point = {**SNAPSHOT["points"][0], "is_accepted": False}
    open_ones = {
        "points": 9, "points_open": ["a.b", "a.c", "a.d", "a.e"], "rules": 2,
        "rules_open": ["a.b/high"], "others_open": [], "signed": None,
    }  # fmt: skip
    text = shown({**SNAPSHOT, "points": [point], "acceptance": open_ones})
    assert "good, not accepted" in text
    assert "Not accepted: points 4 of 9 (a.b, a.c, a.d, …); alarm rules 1 of 2 (a.b/high)" in text
    text = shown({**SNAPSHOT, "acceptance": open_ones}, Lang.ZH)
    assert "未验收：监测点 4/9（a.b, a.c, a.d, …），报警规则 1/2（a.b/high）" in text
    signed = {"points": 9, "points_open": [], "signed": {"by": "t01", "partner": "m01"}}
    text = shown({**SNAPSHOT, "acceptance": signed})
    assert "Acceptance signed by t01 and m01" in text
    assert "Not accepted" not in text


def test_no_code_word_stands_where_people_read() -> None:
    link = {"is_up": False, "last_failure": "tcp_refused", "delivery": "ack", "reconnect": "fleet"}
    text = shown({**SNAPSHOT, "link": link, "clock": {"clk": "est"}}, Lang.ZH)
    assert "roof-tank.level – 屋顶 – 失联 (未应答)" in text
    assert "上次失败: 消息服务器端口无人监听 送达依据: 平台确认" in text
    assert "可信度: 估计" in text
    assert not re.search(r"silent|tcp_refused|\back\b|fleet|\best\b", text)


def test_chinese_is_spoken_also_when_nobody_listens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(tmp_path / "none.sock", as_json=False, lang=Lang.ZH) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"{tmp_path}/none.sock：这里没有守护进程"
    assert "systemctl status care-gateway" in second


def test_a_number_is_never_broken_in_two_by_a_narrow_terminal() -> None:
    screen = Console(width=80, highlight=False, markup=False, emoji=False)
    point = {
        "id": "main-meter.voltage_l1",
        "label": "A相电压",
        "place": "1F 配电间总表",
        "value": 229.277,
        "unit": "V",
        "quality": "good",
        "reason": "",
        "is_accepted": False,
        "age_ms": 1900,
    }
    with screen.capture() as capture:
        show({**SNAPSHOT, "points": [point]}, Lang.ZH, screen)
    assert "229.277 V" in capture.get()
    assert "main-meter.voltage_l1" in capture.get()
