import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from gateway.core.case_data import case_of, case_text, evidence_text
from gateway.core.cases import counts
from gateway.core.faults import fault_id
from gateway.core.logbook import lines_of
from gateway.core.messages import sender_of, unpack
from gateway.core.state import house_of, state_of
from gateway.core.step import step
from gateway.domain import events
from gateway.domain.alarms import AlarmState
from gateway.domain.cases import REFUSALS
from gateway.domain.moments import Clk, Now
from gateway.domain.points import Encoding, Point, Table, WordType
from gateway.domain.readings import Quality, Reading
from gateway.domain.rules import Above, Rule, Severity, Sound
from gateway.domain.site import Bus, Device, PanelPins, Site, StoreSpec, TcpLink, Uplink
from gateway.domain.text import Text

LEAK = "board.leak/high"
WARM = "board.leak/warning"


def rule(name="high", **changes):
    made = Rule(
        id=f"board.leak/{name}", name=name, point="board.leak", condition=Above(300, 250),
        severity=Severity.ALARM, sound=Sound.A1, for_ms=3_000, clear_for_ms=5_000, latch=True,
        say=Text("剩余电流超限", "Residual current high"), do=(), owner="电工班", basis="test",
    )  # fmt: skip
    return replace(made, **changes)


WARNING = rule(
    "warning", condition=Above(200, 150), severity=Severity.WARNING, sound=Sound.W, latch=False
)


def house(tmp_path, *rules, epoch="e1", **uplink):
    point = Point(
        "board.leak", "board", "leak", "mA", Table.INPUT, 5,
        Encoding(WordType.UINT16, scale=Decimal(1)), period_ms=1_000, kind="residual_current",
    )  # fmt: skip
    device = Device("board", "x", "line", 3, "1F 厨房", "电工班", (point,))
    site = Site(
        id="elm", name="榆园", institution="elder-care", timezone="Asia/Shanghai",
        buses=(Bus("line", TcpLink("127.0.0.1")),), devices=(device,), rules=rules or (rule(),),
        panel=PanelPins(), uplink=Uplink("wh-1", (), **uplink), store=StoreSpec(tmp_path),
        sha="abc",
    )  # fmt: skip
    return house_of(site, sender_of(site, epoch), "0.1.0")


class Play:
    """A decider without a loop, on a disk: it can be restarted with what was kept."""

    def __init__(self, tmp_path, *rules, **uplink):
        self.tmp_path, self.rules, self.uplink = tmp_path, rules, uplink
        self.kept, self.alarms, self.records, self.replies, self.starts = {}, {}, [], [], 0
        self.boot = "b00t"
        self.start(0)

    def start(self, ms, *, boot=None):
        """Begin (again) with what the store would give back."""
        self.boot = boot or self.boot
        self.starts += 1
        made = house(self.tmp_path, *self.rules, epoch=f"e{self.starts}", **self.uplink)
        self.state = state_of(
            made, self.alarms.values(), self.now(ms), kept=tuple(self.kept.values())
        )
        self.feed(ms, events.Restarted())

    def now(self, ms):
        return Now(ms, 1_790_000_000_000 + ms, Clk.SYNC, 40, self.boot)

    def feed(self, ms, event):
        while (due := self.state.next_deadline_ms) is not None and due < ms:
            self._step(due, events.Ticked())
            assert self.state.next_deadline_ms != due
        return self._step(ms, event)

    def _step(self, ms, event):
        self.state, outcome = step(self.state, event, self.now(ms))
        for kept in outcome.kept:
            self.kept[kept.kind, kept.key] = kept
            if kept.body is None:
                del self.kept[kept.kind, kept.key]
        for alarm in outcome.alarms:
            self.alarms[alarm.rule] = alarm
        self.records += outcome.records
        self.replies += outcome.replies
        return outcome

    def read(self, ms, value, quality=Quality.GOOD):
        readings = (Reading("board.leak", value, quality, ms),)
        block = events.BlockRead(
            "line", "board", readings, table=Table.INPUT, start=4, words=(7, value or 0, 9)
        )
        return self.feed(ms, block)

    def reads(self, begin, end, value):
        for ms in range(begin, end, 1_000):
            self.read(ms, value)

    def ask(self, ms, made, *args, **how):
        """What the decider answers to a person."""
        self.feed(ms, made(*args, **how, reply_to=1))
        return self.replies[-1].code

    @property
    def case(self):
        (case,) = self.state.cases.values()
        return case

    @property
    def kept_cases(self):
        return [key for key in self.kept if key[0] in ("case", "evidence")]

    def facts(self, kind):
        return [json.loads(unpack(r.body, 2**24))["data"] for r in self.records if r.kind == kind]

    def raise_alarm(self):
        """A leak from 100 s on: the case is raised at 103 s."""
        self.reads(0, 100_000, 20)
        self.reads(100_000, 104_000, 310)
        return self.case.occurrence

    def end_alarm(self, ms):
        self.reads(ms, ms + 7_000, 20)
        self.feed(ms + 7_000, events.Acknowledge("s01"))
        self.feed(ms + 7_000, events.Handle("s01", LEAK, "false", cause="cooking"))
        self.feed(ms + 7_001, events.Reset("s01"))


@pytest.fixture
def play(tmp_path):
    return Play(tmp_path)


# -- evidence -----------------------------------------------------------------------------------


def test_a_raise_opens_a_case_with_value_limit_place_raw_words_and_the_minute_before(play):
    occurrence = play.raise_alarm()
    case = play.case
    assert (case.value, case.limit, case.unit, case.kind) == (310, 300, "mA", "residual_current")
    assert (case.where.text, case.where.device, case.where.bus) == ("1F 厨房", "board", "line")
    assert (case.where.unit, case.where.table, case.where.register) == (3, "input", 5)
    assert (case.rule, case.site_sha, case.severity) == (LEAK, "abc", Severity.ALARM)
    assert case.raised == case.sounded == play.now(103_000)
    assert (case.evidence.reply.start, case.evidence.reply.words) == (4, (7, 310, 9))
    assert [tuple(sample)[:2] for sample in case.evidence.before["board.leak"]] == [
        (-60_000, 20), (-3_000, 310)
    ]  # fmt: skip
    assert case.evidence.is_whole
    (before,) = play.facts("case_evidence")
    assert before == {
        "case": occurrence,
        "part": "before",
        "whole": True,
        "samples": {"board.leak": [[-60_000, 20], [-3_000, 310]]},
        "reply": {"table": "input", "start": 4, "words": [7, 310, 9]},
    }


def test_the_minute_after_is_a_supplement_when_it_is_over(play):
    play.raise_alarm()
    play.reads(104_000, 120_000, 400)
    play.reads(120_000, 163_000, 20)
    assert play.case.evidence.after is None
    play.feed(163_000, events.Ticked())
    after = [tuple(s)[:2] for s in play.case.evidence.after["board.leak"]]
    assert after == [(0, 310), (1_000, 400), (17_000, 20)]
    assert play.case.evidence.is_whole
    assert [(fact["part"], fact["whole"]) for fact in play.facts("case_evidence")] == [
        ("before", True), ("after", True)
    ]  # fmt: skip


def test_a_restart_in_the_minute_after_leaves_it_incomplete_and_says_so(play):
    play.raise_alarm()
    play.start(130_000)
    play.reads(131_000, 164_000, 320)
    assert play.case.evidence.after["board.leak"][0][:2] == (28_000, 320)
    assert not play.case.evidence.is_whole
    assert play.facts("case_evidence")[-1]["whole"] is False


def test_a_reboot_in_the_minute_after_ends_it_at_once(play):
    play.raise_alarm()
    play.start(2_000, boot="b2")
    assert play.case.evidence.after == {}
    assert not play.case.evidence.is_whole


def test_what_could_not_be_read_stands_in_the_evidence_as_it_was(play):
    play.reads(0, 80_000, 20)
    play.read(80_000, None, Quality.FAULT)
    play.reads(81_000, 85_000, 310)
    samples = play.case.evidence.before["board.leak"]
    assert [(s.value, s.quality) for s in samples] == [
        (20, Quality.GOOD), (None, Quality.FAULT), (310, Quality.GOOD)
    ]  # fmt: skip


def test_a_case_without_its_whole_minute_before_says_so(play):
    play.reads(0, 4_000, 310)
    assert not play.case.evidence.is_whole


# -- times --------------------------------------------------------------------------------------


def test_every_step_of_the_life_stands_on_the_case_with_who_and_when(play):
    play.raise_alarm()
    play.feed(105_000, events.Silence("panel"))
    play.feed(110_000, events.Acknowledge("s01"))
    play.feed(115_000, events.Arrive("s02", LEAK, proof=3))
    play.reads(120_000, 127_000, 20)
    play.feed(129_000, events.Handle("s02", LEAK, "false", cause="cooking"))
    play.feed(130_000, events.Reset("s03"))
    case = play.case
    assert (case.silenced.by, case.silenced.at.mono_ms) == ("panel", 105_000)
    assert (case.acked.by, case.acked.at.mono_ms) == ("s01", 110_000)
    assert (case.arrived.by, case.arrived.proof, case.arrived.place) == ("s02", 3, "1F 厨房")
    assert case.returned.mono_ms == 125_000
    assert (case.reset.by, case.reset.at.mono_ms) == ("s03", 130_000)
    assert play.facts("arrival") == [
        {"case": case.occurrence, "by": "s02", "proof": 3, "place": "1F 厨房"}
    ]


def test_an_arrival_at_a_place_counts_for_every_case_there_and_the_first_one_counts(tmp_path):
    play = Play(tmp_path, rule(), WARNING)
    play.reads(0, 5_000, 310)
    assert len(play.state.cases) == 2
    assert play.ask(6_000, events.Arrive, "s02", place="1F 厨房", proof=1) == "done"
    assert {case.arrived.by for case in play.state.cases.values()} == {"s02"}
    assert play.ask(7_000, events.Arrive, "s03", place="1F 厨房") == "nothing_to_do"
    assert play.ask(8_000, events.Arrive, "s03", place="2F") == "unknown_case"


# -- closing ------------------------------------------------------------------------------------


def test_an_alarm_is_closed_by_another_person_than_who_handled_it_after_it_is_over(play):
    occurrence = play.raise_alarm()
    close, handle = events.Close, events.Handle
    assert play.ask(104_000, close, "s02", LEAK) == "alarm_active"
    play.reads(105_000, 112_000, 20)
    assert play.ask(113_000, close, "s02", LEAK) == "alarm_unacknowledged"
    play.feed(114_000, events.Acknowledge("s01"))
    assert play.ask(115_000, close, "s02", LEAK) == "alarm_unreset"
    assert play.ask(116_000, events.Reset, "s01", LEAK) == "needs_verdict"
    assert play.ask(117_000, handle, "s01", LEAK, "false", cause="cooking") == "done"
    assert play.ask(118_000, events.Reset, "s01", LEAK) == "done"
    assert play.ask(119_000, close, "s01", occurrence) == "same_person"
    assert play.ask(120_000, close, "panel", occurrence) == "needs_person"
    assert play.replies[-1].say == REFUSALS["needs_person"]
    assert play.ask(121_000, close, "s02", occurrence) == "done"
    assert play.replies[-1].case == occurrence
    assert play.state.cases == {}
    assert play.kept_cases == []
    (closed,) = play.facts("case")
    assert (closed["case"], closed["finding"]["by"], closed["closed"]["by"]) == (
        occurrence, "s01", "s02"
    )  # fmt: skip
    assert (closed["t_ack"], closed["t_arrive"], closed["t_close"]) == (11_000, None, 18_000)
    assert closed["evidence"]["before"]["board.leak"] == [[-60_000, 20], [-3_000, 310]]
    assert closed["evidence"]["whole"] is False  # closed before the minute was over
    assert closed["lapsed"] is False
    assert play.ask(122_000, close, "s02", occurrence) == "unknown_case"


def test_a_warning_may_be_closed_by_who_handled_it(tmp_path):
    play = Play(tmp_path, WARNING)
    play.reads(0, 5_000, 210)
    play.feed(5_000, events.Acknowledge("s01"))
    play.reads(6_000, 15_000, 20)
    assert play.ask(16_000, events.Handle, "s01", WARM, "device", cause="probe") == "done"
    assert play.ask(17_000, events.Close, "s01", WARM) == "done"


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        ({"verdict": "who_knows", "cause": "cooking"}, "unknown_verdict"),
        ({"verdict": "false", "cause": "gremlins"}, "unknown_cause"),
        ({"verdict": "false", "cause": "cooking", "actions": ("prayed",)}, "unknown_action"),
        ({"verdict": "false"}, "text_too_short"),
        ({"verdict": "false", "text": " ok  "}, "text_too_short"),
        ({"verdict": "false", "cause": "other"}, "text_too_short"),
        ({"verdict": "false", "cause": "cooking", "actions": ("other",)}, "text_too_short"),
        ({"verdict": "missed", "cause": "cooking"}, "missed_is_entered"),
        ({"verdict": "real", "cause": "electrical"}, "answers_missing"),
        ({"verdict": "real", "cause": "electrical", "has_called_119": True}, "answers_missing"),
    ],
)
def test_a_finding_that_says_nothing_is_refused_with_one_reason(play, said, refusal):
    play.raise_alarm()
    assert play.ask(105_000, events.Handle, "s01", LEAK, **said) == refusal
    assert play.replies[-1].say == REFUSALS[refusal]
    assert play.case.finding is None


def test_a_finding_is_kept_with_its_answers_and_may_be_corrected(play):
    play.raise_alarm()
    handle = events.Handle
    assert play.ask(105_000, handle, "s01", LEAK, "false", text="油烟触发的") == "done"
    said = {"cause": "electrical", "actions": ("power_off", "called_119")}
    answers = {"has_called_119": True, "has_evacuated": False}
    assert play.ask(106_000, handle, "s03", LEAK, "real", **said, **answers) == "done"
    finding = play.case.finding
    assert (finding.by, finding.has_called_119, finding.has_evacuated) == ("s03", True, False)
    assert [fact["verdict"] for fact in play.facts("case_handled")] == ["false", "real"]


def test_a_missed_alarm_is_entered_by_hand_and_closed_by_another_person(play):
    entered = events.MissedEntered
    assert play.ask(5_000, entered, "s01", "3F 活动室") == "text_too_short"
    told = 1_789_999_000_000
    assert (
        play.ask(6_000, entered, "s01", "3F 活动室", "插座冒烟", told_ms=told) == "text_too_short"
    )
    said = "活动室插座冒烟，护工发现"
    assert play.ask(7_000, entered, "s01", "3F 活动室", said, told_ms=told) == "done"
    name = play.replies[-1].case
    play.start(8_000)
    assert (play.case.occurrence, play.case.told_ms, play.case.evidence.after) == (name, told, {})
    assert play.ask(9_000, events.Close, "s01", name) == "same_person"
    assert play.ask(10_000, events.Close, "s02", name) == "done"
    (closed,) = play.facts("case")
    assert (closed["finding"]["verdict"], closed["place"]) == ("missed", "3F 活动室")


def test_a_rule_that_raises_anew_has_a_new_case_and_the_old_one_can_be_closed(play):
    first = play.raise_alarm()
    play.end_alarm(110_000)
    play.reads(120_000, 124_000, 400)
    assert len(play.state.cases) == 2
    assert play.ask(125_000, events.Handle, "s01", first, "false", cause="cooking") == "done"
    assert play.ask(126_000, events.Close, "s02", first) == "done"
    assert play.ask(127_000, events.Close, "s02", LEAK) == "alarm_active"


def test_nobody_closes_them_so_the_oldest_warning_is_let_go_on_the_record(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.core.cases.MAX_OPEN", 2)
    play = Play(tmp_path, WARNING)
    for at in (0, 20_000, 40_000):
        play.reads(at, at + 4_000, 210)
        play.feed(at + 4_000, events.Acknowledge("s01"))
        play.reads(at + 5_000, at + 15_000, 20)
    assert len(play.state.cases) == 2
    (lapsed,) = play.facts("case")
    assert (lapsed["lapsed"], lapsed["closed"]) == (True, None)
    assert lapsed["case"] not in play.state.cases


def test_a_case_of_what_ended_by_itself_still_wants_a_verdict(tmp_path):
    play = Play(tmp_path, rule(latch=False))
    play.raise_alarm()
    play.reads(105_000, 112_000, 20)
    play.feed(113_000, events.Acknowledge("s01"))
    assert play.ask(114_000, events.Close, "s02", LEAK) == "no_verdict"


# -- restarts -----------------------------------------------------------------------------------


def story(play):
    """Every moment of a life, each as a function of the play."""
    name = {}

    def raise_it():
        name["case"] = play.raise_alarm()

    def reset_it():  # after a restart nothing is known: one normal reading comes first
        play.read(116_000, 20)
        play.feed(116_001, events.Reset("s01"))

    return [
        raise_it,
        lambda: play.feed(104_500, events.Receipt(name["case"], "sent", "inst", 5)),
        lambda: play.feed(105_000, events.Silence("panel")),
        lambda: play.feed(106_000, events.Acknowledge("s01")),
        lambda: play.feed(107_000, events.Arrive("s02", name["case"], proof=1)),
        lambda: play.reads(108_000, 115_000, 20),
        lambda: play.feed(115_500, events.Handle("s01", name["case"], "false", "cooking")),
        reset_it,
        lambda: play.feed(170_000, events.Ticked()),
        lambda: play.feed(171_000, events.Receipt(name["case"], "seen", "fire", 6)),
    ]


@pytest.mark.parametrize("cut", range(11))
def test_a_restart_at_any_moment_of_its_life_loses_nothing_of_the_case(tmp_path, cut):
    whole, cut_short = Play(tmp_path), Play(tmp_path)
    for play, at in ((whole, None), (cut_short, cut)):
        for number, moment in enumerate(story(play)):
            if number == at:
                play.start(play.state.started_ms if not number else moments[number])
            moment()
            if play is cut_short and number + 1 == cut == 10:
                play.start(172_000)
    for play in (whole, cut_short):
        assert play.ask(180_000, events.Close, "s02", play.case.occurrence) == "done"
        assert play.kept_cases == []
    cases = [play.facts("case")[0] for play in (whole, cut_short)]
    told = [{key: case[key] for key in case if key not in ("evidence", "case")} for case in cases]
    assert told[0] == told[1]
    before = [case["evidence"]["before"] for case in cases]
    assert before[0] == before[1]
    if cut in range(2, 9):
        assert [case["evidence"]["whole"] for case in cases] == [True, False]


moments = [0, 104_200, 104_700, 105_500, 106_500, 107_500, 115_500, 116_500, 118_000, 170_500]


def test_what_is_kept_reads_back_as_it_was(play):
    play.raise_alarm()
    play.feed(104_000, events.Acknowledge("s01"))
    play.feed(105_000, events.Arrive("s02", LEAK, proof=2))
    play.feed(106_000, events.Receipt(play.case.occurrence, "seen", "fire", None))
    play.feed(107_000, events.Handle("s01", LEAK, "false", "other", ("checked",), "查过了没有事"))
    assert case_of(case_text(play.case), evidence_text(play.case.evidence)) == play.case


def test_an_open_alarm_whose_case_was_lost_gets_one_after_the_start(play):
    occurrence = play.raise_alarm()
    play.kept.clear()
    play.start(110_000)
    assert play.case.occurrence == occurrence
    assert not play.case.evidence.is_whole
    assert len(play.kept_cases) == 2


def test_a_damaged_case_costs_itself_only(play):
    occurrence = play.raise_alarm()
    kept = play.kept["case", occurrence]
    play.kept["case", occurrence] = replace(kept, body=kept.body[:50])
    play.start(110_000)
    assert play.case.occurrence == occurrence
    assert play.state.alarms[LEAK].state is AlarmState.UA


def test_faults_have_no_case_and_warnings_only_where_the_site_wants_them(tmp_path):
    play = Play(tmp_path, WARNING)
    play.feed(1_000, events.FaultRaised("store_slow", "core.db"))
    assert play.state.cases == {}
    play.reads(2_000, 7_000, 210)
    assert counts(play.state.cases) == {"open": 1, "to_handle": 1, "to_close": 0}


# -- receipts -----------------------------------------------------------------------------------


def silent(play):
    prefix = fault_id("audience_silent", "")
    return sorted(
        alarm.rule.removeprefix(prefix)
        for alarm in play.state.alarms.values()
        if alarm.rule.startswith(prefix) and alarm.state in (AlarmState.UA, AlarmState.AA)
    )


def test_receipts_of_three_audiences_stand_on_the_case_with_their_times(play):
    name = play.raise_alarm()
    for ms, level in ((104_000, "stored"), (105_000, "sent"), (106_000, "seen")):
        for audience in ("inst", "civil", "fire"):
            play.feed(ms, events.Receipt(name, level, audience, ms + 7))
            play.feed(ms, events.Receipt(name, level, audience, ms + 7))  # said again
    for delivery in play.case.deliveries:
        assert [(got.at_ms, got.got.mono_ms) for got in delivery.receipts.values()] == [
            (104_007, 104_000), (105_007, 105_000), (106_007, 106_000)
        ]  # fmt: skip
    assert len(play.facts("receipt")) == 9
    play.feed(400_000, events.Ticked())
    assert silent(play) == []


def test_an_audience_without_a_receipt_in_time_is_a_fault_that_names_it_until_one_comes(play):
    name = play.raise_alarm()
    play.feed(104_000, events.Receipt(name, "sent", "inst", 1))
    play.feed(104_000, events.Receipt(name, "stored", "fire", 1))  # stored is not sent
    play.feed(104_000, events.Receipt(name, "seen", "civil", 1))
    play.feed(282_999, events.Ticked())
    assert silent(play) == []
    outcome = play.feed(283_000, events.Ticked())
    assert silent(play) == ["fire"]
    (body,) = [json.loads(r.body) for r in outcome.records if r.kind == "alarm"]
    assert (body["say"]["zh"], body["detail"]) == ("消防部门没有签收报警", f"1F 厨房 {name}")
    assert play.case.delivery("fire").silent == play.now(283_000)
    play.feed(290_000, events.Receipt(name, "sent", "fire", 2))
    assert silent(play) == []


def test_the_wait_for_a_receipt_goes_on_over_a_restart_and_over_a_reboot(tmp_path):
    for boot, began in ((None, 0), ("b2", 1_000_000)):
        play = Play(tmp_path)
        name = play.raise_alarm()
        play.feed(104_000, events.Receipt(name, "seen", "fire", 1))
        play.start(150_000, boot=boot)
        assert began is not None
        play.feed(282_000, events.Ticked())
        assert silent(play) == []
        play.feed(283_000, events.Ticked())
        assert silent(play) == ["civil", "inst"]
        play.start(300_000)
        assert silent(play) == ["civil", "inst"]
        play.feed(301_000, events.Receipt(name, "seen", "civil", 1))
        assert silent(play) == ["inst"]


def test_a_case_that_is_closed_waits_for_nobody(play):
    play.raise_alarm()
    play.feed(283_000, events.Ticked())
    assert silent(play) == ["civil", "fire", "inst"]
    play.end_alarm(284_000)
    play.feed(292_000, events.Handle("s01", LEAK, "false", "cooking"))
    play.feed(293_000, events.Close("s02", LEAK))
    assert silent(play) == []


def test_a_receipt_of_no_open_case_or_of_nobody_known_changes_nothing(play):
    name = play.raise_alarm()
    before = play.case
    for receipt in (
        events.Receipt("e9-A-1", "seen", "fire", 1),
        events.Receipt(name, "seen", "mayor", 1),
        events.Receipt(name, "liked", "fire", 1),
        events.Receipt(name, "seen", "", 1),
    ):
        play.feed(105_000, receipt)
    assert play.case == before
    assert play.facts("receipt") == []


def test_where_no_receipts_are_wanted_nobody_is_silent(tmp_path):
    play = Play(tmp_path, receipt_within_ms=0)
    play.raise_alarm()
    play.feed(900_000, events.Ticked())
    assert silent(play) == []


def test_where_receipts_are_no_longer_wanted_a_restart_calls_nobody_silent(tmp_path):
    play = Play(tmp_path, receipt_within_ms=60_000)
    play.raise_alarm()
    play.uplink["receipt_within_ms"] = 0
    play.start(20_000)
    play.feed(900_000, events.Ticked())
    assert silent(play) == []


# -- what goes up -------------------------------------------------------------------------------

CONTRACT = Path(__file__).parents[2] / "docs" / "contract"
FACT = Draft202012Validator(json.loads((CONTRACT / "schemas" / "fact.json").read_text()))
KINDS = {"case", "case_evidence", "case_handled", "arrival", "missed_alarm", "receipt"}


def bodies(play):
    return [json.loads(unpack(r.body, 2**24)) for r in play.records if r.kind in KINDS]


def test_every_record_of_a_case_fits_the_published_schema(play):
    for moment in story(play):
        moment()
    play.feed(180_000, events.Close("s02", LEAK))
    entered = play.ask(181_000, events.MissedEntered, "s01", "3F", cause="smoking")
    assert entered == "done"
    assert {body["kind"] for body in bodies(play)} == KINDS
    for body in bodies(play):
        FACT.validate(body)


def test_the_schema_refuses_a_case_that_lacks_anything_or_has_it_wrong():
    paths = sorted((CONTRACT / "examples").glob("fact-*.json"))
    shown = [json.loads(path.read_text()) for path in paths]
    cases = [body for body in shown if body["kind"] in KINDS]
    assert {body["kind"] for body in cases} == KINDS - {"missed_alarm"}
    for body in cases:
        FACT.validate(body)
        optional = {"device", "bus", "unit_id", "table", "register"}
        for key in body["data"].keys() - optional:
            short = {name: value for name, value in body["data"].items() if name != key}
            assert not FACT.is_valid({**body, "data": short}), key
            assert not FACT.is_valid({**body, "data": {**body["data"], key: [None]}}), key


def test_names_of_people_are_nowhere_in_what_goes_up(play):
    """Whoever acts is a staff code: the desk lets nothing else in (tests/tasks/test_commands)."""
    for moment in story(play):
        moment()
    play.feed(180_000, events.Close("s02", LEAK))
    who = {"", "panel", "s01", "s02"}

    def people(data):
        if isinstance(data, list):
            return set().union(*map(people, data)) if data else set()
        if not isinstance(data, dict):
            return set()
        found = set().union(*map(people, data.values())) if data else set()
        return found | ({data["by"]} if "by" in data else set())

    found = set().union(*(people(body["data"]) for body in bodies(play)))
    assert found == who - {""}


def test_the_log_has_a_line_for_who_arrived_judged_and_closed(play):
    for moment in story(play):
        moment()
    before = play.state
    outcome = play.feed(180_000, events.Close("s02", LEAK))
    (line,) = [line for line in lines_of(before, play.state, outcome) if "case" in line.words]
    assert line.words == "case closed"
    assert (line.fields["by"], line.fields["verdict"], line.is_warning) == ("s02", "false", False)
