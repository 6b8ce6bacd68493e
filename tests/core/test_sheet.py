"""What the records of a day or month add up to, and how sure their times are."""

import json
from datetime import date
from zoneinfo import ZoneInfo

from gateway.core.sheet import Known, building_of, sheet_of
from gateway.core.sheet_alarms import MOST
from gateway.core.sheet_times import anchors_of, days_of, period_of, total_ms, when_of
from gateway.domain.alarms import Alarm, AlarmState
from gateway.domain.institutions import Duty, Institution
from gateway.domain.kept import Kept
from gateway.domain.moments import Clk, Now
from gateway.domain.records import Lane, Record
from gateway.domain.sheet import Span, Sure, When
from gateway.domain.text import Text

ZONE = ZoneInfo("Asia/Shanghai")
DAY = period_of(Span.DAY, date(2026, 11, 1), ZONE, 0)
MIN, HOUR = 60_000, 3_600_000
MADE = Now(1, DAY.end_ms + 8 * HOUR, Clk.SYNC, 40, "later")
SAY = {"zh": "超限", "en": "High"}


def at(after_ms, clk=Clk.SYNC, boot="b1"):
    """A moment so long after the day's midnight; `mono` counts from there too."""
    return Now(after_ms, DAY.begin_ms + after_ms, clk, 40, boot)


def moment(now):
    return {"at": now.utc_ms, "clk": now.clk.value, "err": 40, "boot": now.boot,
            "mono": now.mono_ms}  # fmt: skip


class Records:
    """Numbers records as the daemon does."""

    def __init__(self):
        self.made = []

    def put(self, lane, kind, now, said):
        seq = sum(record.lane is lane for record in self.made) + 1
        body = json.dumps({**said, **moment(now)}, ensure_ascii=False).encode()
        self.made.append(Record(lane, "e1", seq, kind, now, body))
        return f"e1-{lane.value}-{seq}"

    def alarm(self, now, tr="raise", state="UA", *, name="", raised=None, sev="alarm", **more):
        lane = Lane.B if sev == "fault" else Lane.A
        said = {
            "t": "alarm", "alarm": name or f"e1-A-{len(self.made) + 1}", "tr": tr, "sev": sev,
            "rule": "board.leak/high", "point": "board.leak", "val": 350.0, "lim": 300.0,
            "unit": "mA", "say": SAY, "place": "1F 厨房", "state": state, "by": "",
            "raised": moment(raised or now), "detail": "", "chatter": 0, "drill": False,
            "test": False, **more,
        }  # fmt: skip
        self.put(lane, "alarm", now, said)
        return said["alarm"]

    def fault(self, now, tr="raise", state="UA", *, rule="gateway/device_silent/gas", raised=None):
        return self.alarm(
            now, tr, state, name=rule, raised=raised, sev="fault", rule=rule, point=""
        )

    def fact(self, now, kind, **data):
        return self.put(Lane.B, kind, now, {"t": "fact", "kind": kind, "data": data})

    def sheet(self, **known):
        lanes = sorted(self.made, key=lambda record: record.lane)
        return sheet_of(None, DAY, MADE, ZONE, lanes, Known(**known))


def rows(sheet):
    (section,) = sheet.sections
    return section.occurrences


def test_a_day_is_the_house_s_own_and_a_month_is_whole():
    assert DAY.end_ms - DAY.begin_ms == 24 * HOUR
    assert DAY.begin_ms % (24 * HOUR) == 16 * HOUR  # midnight there is 16:00 UTC of the day before
    november = period_of(Span.MONTH, date(2026, 11, 22), ZONE, 0)
    assert (november.first, november.last) == (date(2026, 11, 1), date(2026, 11, 30))
    assert len(days_of(november)) == 30
    eight = DAY.begin_ms + 8 * HOUR
    assert period_of(Span.DAY, None, ZONE, eight).first == date(2026, 10, 31)
    assert period_of(Span.MONTH, None, ZONE, eight).first == date(2026, 10, 1)
    assert period_of(Span.MONTH, date(2026, 12, 31), ZONE, 0).last == date(2026, 12, 31)


def test_a_day_in_which_the_clocks_change_has_its_own_length():
    berlin = ZoneInfo("Europe/Berlin")
    assert [
        (day.end_ms - day.begin_ms) // HOUR
        for day in (period_of(Span.DAY, date(2026, month, 25 + extra), berlin, 0)
                    for month, extra in ((10, 0), (3, 4)))
    ] == [25, 23]  # fmt: skip


def test_an_anchor_tells_when_something_of_its_boot_really_was():
    anchors = anchors_of([("b1", {"mono": 10_000, "utc": 5_000_000}), ("b2", {"mono": "x"})])
    early = Now(4_000, 77, Clk.NONE, None, "b1")
    assert when_of(early, anchors) == When(4_994_000)
    assert when_of(Now(4_000, 77, Clk.EST, None, "b2"), anchors) == When(77, Sure.ABOUT)
    assert when_of(Now(4_000, 77, Clk.NONE, None, "b3"), anchors) == When(77, Sure.NOT_BEFORE)
    assert when_of(Now(4_000, 77, Clk.HOLD, 5, "b1"), anchors) == When(77)


def test_times_that_overlap_count_once():
    assert total_ms([(0, 10), (5, 20), (30, 40), (31, 32)]) == 30
    assert total_ms([]) == 0


def test_an_alarm_that_was_raised_on_a_bad_clock_is_in_the_sheet_of_its_day():
    records = Records()
    bad = Now(5_000, DAY.begin_ms - 300 * 24 * HOUR, Clk.NONE, None, "b1")
    records.alarm(bad)
    anchors = anchors_of([("b1", {"mono": 65_000, "utc": DAY.begin_ms + 2 * HOUR})])
    (row,) = rows(records.sheet(anchors=anchors))
    assert row.raised == When(DAY.begin_ms + 2 * HOUR - MIN)
    assert rows(records.sheet()) == ()


def test_the_life_of_an_alarm_is_one_row_also_where_it_ended_after_the_day():
    records = Records()
    raised = at(23 * HOUR)
    name = records.alarm(raised)
    records.alarm(at(24 * HOUR + MIN), "ack", "AA", name=name, raised=raised, by="s01")
    records.alarm(at(24 * HOUR + 2 * MIN), "clear", "N", name=name, raised=raised)
    records.alarm(at(24 * HOUR + 3 * MIN), name="of the next day")
    (row,) = rows(records.sheet())
    assert (row.t_ack, row.acked_by, row.t_clear) == (61 * MIN, "s01", 62 * MIN)
    assert not row.is_open
    assert not row.was_before


def test_an_alarm_from_before_is_listed_and_told_apart():
    records = Records()
    raised = at(-HOUR)
    records.alarm(at(HOUR), "ack", "AA", name="old", raised=raised, by="s01")
    still = Alarm("board.leak/high", AlarmState.UA, "older", at(-2 * HOUR), value=1.0)
    fault = Alarm("gateway/device_silent/gas", AlarmState.UA, "oldest", at(-3 * HOUR))
    sheet = records.sheet(alarms=(still, fault))
    (row,) = rows(sheet)  # the rule of the other one is not known without a site file
    assert (row.id, row.was_before, row.is_open) == ("old", True, True)
    (trouble,) = sheet.sections[0].troubles
    assert (trouble.lasted_ms, trouble.count, trouble.is_open) == (24 * HOUR, 0, True)


def test_drills_and_tests_are_no_alarms():
    records = Records()
    records.alarm(at(HOUR), drill=True)
    records.alarm(at(HOUR), test=True)
    sheet = records.sheet()
    assert rows(sheet) == ()
    assert sheet.noisy == ()


def test_a_fault_that_comes_and_goes_is_one_row_with_its_time_in_all():
    records = Records()
    raised = at(-HOUR)
    records.fault(at(HOUR), "clear", "RU", raised=raised)
    for hour in (2, 4):
        began = at(hour * HOUR)
        records.fault(began, "raise", raised=began)
        records.fault(at(hour * HOUR + 30 * MIN), "clear", "RU", raised=began)
    records.fault(at(23 * HOUR), "raise", raised=at(23 * HOUR))
    sheet = records.sheet()
    (trouble,) = sheet.sections[0].troubles
    assert (trouble.count, trouble.lasted_ms) == (3, HOUR + 2 * 30 * MIN + HOUR)
    assert (trouble.is_open, trouble.is_acked) == (True, False)
    (blind,) = sheet.sections[0].blind
    assert (blind.subject, blind.ms) == ("gas", trouble.lasted_ms)
    assert sheet.noisy == (("gateway/device_silent/gas", "1F 厨房", 3),)


def test_two_reasons_to_be_offline_at_once_are_counted_once():
    records = Records()
    for rule in ("gateway/uplink_down/b", "gateway/platform_absent/elm"):
        records.fault(at(HOUR), rule=rule)
        records.fault(at(3 * HOUR), "clear", "RU", rule=rule, raised=at(HOUR))
    assert records.sheet().undelivered_ms == 2 * HOUR


def test_a_case_is_open_at_the_end_whoever_closes_it_later():
    records = Records()
    case = {
        "case": "e1-A-1", "sev": "alarm", "say": SAY, "place": "1F 厨房", "drill": False,
        "test": False, "raised": moment(at(HOUR)), "acked": None, "arrived": None,
        "returned": None, "finding": None, "closed": None, "lapsed": False,
    }  # fmt: skip
    late = {**case, "case": "e1-A-2", "closed": {**moment(at(25 * HOUR)), "by": "l01"}}
    soon = {**case, "case": "e1-A-3", "closed": {**moment(at(2 * HOUR)), "by": "l01"}}
    drill = {**case, "case": "e1-A-4", "drill": True}
    for each in (late, soon, drill):
        records.fact(at(2 * HOUR), "case", **each)
    kept = (Kept("case", "e1-A-1", json.dumps(case)), Kept("ladder", "x", "{}"))
    sheet = records.sheet(kept=kept)
    found = sheet.sections[0].open_cases
    assert {row.id: row.closed is not None for row in found} == {"e1-A-1": False, "e1-A-2": True}
    assert {row.age_ms for row in found} == {23 * HOUR}
    assert sheet.closed_cases == 1


def test_what_people_found_and_no_rule_raised_stands_among_the_alarms():
    records = Records()
    told = DAY.begin_ms + 5 * MIN
    records.fact(at(HOUR), "missed_alarm", by="s01", place="2F", point="", told=told)
    (row,) = rows(records.sheet())
    assert (row.is_missed, row.raised, row.acked_by) == (True, When(told), "s01")


def test_a_rule_taken_out_of_the_site_file_ends_its_alarm():
    records = Records()
    records.fault(at(HOUR))
    rule = "gateway/device_silent/gas"
    records.fact(at(2 * HOUR), "alarm_dropped", rule=rule, alarm="x", state="UA")
    (trouble,) = records.sheet().sections[0].troubles
    assert (trouble.lasted_ms, trouble.is_open) == (HOUR, False)


def test_what_was_set_aside_before_and_put_back_in_the_day_is_in_it():
    records = Records()
    records.fact(at(-HOUR), "out_of_service", subject="gas", by="t01", why="换探头", order="WO-1")
    records.fact(at(HOUR), "in_service", subject="gas", by="t01", order="WO-1")
    records.fact(at(HOUR), "shelve", rule="r", by="l01", why="检修", **{"for": HOUR}, alarm="")
    records.fact(at(-HOUR), "unshelve", rule="long over", by="", alarm="")
    records.fact(at(2 * HOUR), "unshelve", rule="from before all", by="", alarm="")
    records.fact(at(25 * HOUR), "out_of_service", subject="later", by="t01", why="x", order="y")
    found = records.sheet().sections[0].aside
    assert [(each.subject, each.by, each.until is None) for each in found] == [
        ("gas", "t01", False), ("from before all", "", False), ("r", "l01", True),
    ]  # fmt: skip


def test_it_says_when_the_gateway_itself_did_not_run():
    records = Records()
    records.fact(at(-HOUR), "boot", sw="1", cfg="c", head={})
    records.made[-1] = Record(Lane.B, "e0", 1, "boot", at(-HOUR), records.made[-1].body)
    records.fact(at(3 * HOUR, boot="b2"), "boot", sw="1", cfg="c", head={})
    records.fact(at(5 * HOUR, boot="b2"), "stop")
    last = {"e0": at(HOUR), "e1": at(5 * HOUR, boot="b2")}
    power, stopped = records.sheet(last=last).off
    assert (power.ms, power.is_clean) == (2 * HOUR, False)
    assert (stopped.ms, stopped.is_clean) == (19 * HOUR, True)  # until the day is over
    alive = records.sheet(last={**last, "e1": MADE})
    assert [row.ms for row in alive.off] == [2 * HOUR]


def test_records_that_were_cleared_away_make_a_sheet_that_is_not_whole():
    assert not Records().sheet(oldest=at(HOUR)).is_cut
    cut = Records().sheet(oldest=at(-HOUR), whole_from=at(HOUR))
    assert cut.is_cut
    assert cut.since == When(DAY.begin_ms + HOUR)


def test_a_place_belongs_to_the_building_that_it_begins_with():
    buildings = ("主楼", "主楼 东翼", "副楼")
    assert building_of("主楼 1F", buildings) == "主楼"
    assert building_of("主楼 东翼 2F", buildings) == "主楼 东翼"
    assert building_of("主楼旁", buildings) == ""


def test_what_it_holds_is_bounded_and_what_is_left_out_is_counted():
    """A month of alarms without end takes a bounded sheet; the rest is a number."""

    def endless(count):
        for number in range(count):
            records = Records()
            records.alarm(at(number * 10), name=f"e1-A-{number}")
            yield records.made[0]
        yield None

    sheet = sheet_of(None, DAY, MADE, ZONE, endless(MOST + 30), Known())
    assert len(rows(sheet)) == MOST
    assert sheet.left_out == {"occurrences": 30}
    assert sheet.damaged == 1
    assert sheet.noisy == (("board.leak", "1F 厨房", MOST + 30),)


def test_what_the_type_of_institution_asks_stands_beside_what_was_done():
    asked = Institution("x", Text("x", "x"), tuple(
        Duty(name, Text(name, name), "GB")
        for name in ("day_round", "night_round", "inspection", "drill")
    ))  # fmt: skip
    records = Records()
    drill = {
        "scenario": "s", "scope": "", "leader": "s01", "started": at(-30 * 24 * HOUR).utc_ms,
        "lasted_ms": 1, "first_ack_ms": 1, "first_arrival_ms": 1, "counted": None,
        "expected": None, "findings": [],
    }  # fmt: skip
    records.fact(at(-30 * 24 * HOUR), "drill_end", **drill)
    for hour, state in ((8, "done"), (22, "done_late"), (24, "missed"), (26, "cancelled")):
        begin = at(hour * HOUR).utc_ms
        records.fact(
            at((hour + 2) * HOUR), "round", round=f"r/{hour}", schedule="r", route="r",
            shift_date="2026-11-01", opens=begin, closes=begin + 2 * HOUR, state=state, reason="",
            owner="", started=None, stops=["A"], missing=[], visits=[], asked=[], met=0, flags=[],
        )  # fmt: skip
    sheet = sheet_of(None, DAY, MADE, ZONE, records.made, Known(), asked)
    by_name = {row.name: row for row in sheet.duties}
    assert (by_name["day_round"].done, by_name["day_round"].due) == (1, 1)
    assert (by_name["night_round"].done, by_name["night_round"].due) == (1, 2)
    assert by_name["inspection"].done is None
    assert by_name["drill"].last == When(at(-30 * 24 * HOUR).utc_ms)
    assert sheet.drills == ()  # it was not in the period


def test_a_record_that_is_not_understood_costs_itself_only():
    records = Records()
    records.alarm(at(HOUR))
    records.put(Lane.A, "alarm", at(HOUR), {"t": "alarm", "tr": "raise"})
    records.put(Lane.B, "round", at(HOUR), {"t": "fact", "kind": "round", "data": None})
    records.made.append(Record(Lane.B, "e1", 9, "case", at(HOUR), b"[1"))
    records.fact(at(HOUR), "case", case="z", drill=False, test=False)
    sheet = records.sheet(kept=(Kept("case", "x", "{}"), Kept("case", "y", "no JSON")))
    assert len(rows(sheet)) == 1
    assert sheet.sections[0].open_cases == ()
    assert sheet.damaged == 4
