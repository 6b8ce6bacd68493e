"""What people type, against the real decider behind a real socket."""

import json
import shlex
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.core.case_views import case_view, cases_view, closed_view
from gateway.core.life_view import limits_view
from gateway.core.state import state_of
from gateway.core.step import step
from gateway.core.view import alarms_view, practice_view
from gateway.domain import events
from gateway.domain.readings import Quality, Reading
from gateway.domain.rules import Above, Severity, Sound
from gateway.tasks.commands import BadRequest, event_of
from tests.core.test_step import house, now, point, rule

LEAK = rule(at="board.leak", for_ms=0, min_samples=1, latch=True)
WARM = rule(
    at="board.warm", for_ms=0, min_samples=1, severity=Severity.WARNING, sound=Sound.W,
    condition=Above(60, 55),
)  # fmt: skip


class Home:
    """The decider without a loop: each question is one step, a second after the last."""

    def __init__(self, tmp_path, alarm="leak", warning="warm"):
        rules = [
            replace(LEAK, id=LEAK.id.replace("leak", alarm), point=f"board.{alarm}"),
            replace(WARM, id=WARM.id.replace("warm", warning), point=f"board.{warning}"),
        ]
        made = house(tmp_path, points=[point(alarm), point(warning)], rules=rules)
        self.ms = 0
        self.state = state_of(made, (), now(0))
        self.records = []

    def feed(self, event):
        self.ms += 1_000
        self.state, outcome = step(self.state, event, now(self.ms))
        self.records += outcome.records
        return outcome

    def read(self, name, value):
        reading = Reading(f"board.{name}", value, Quality.GOOD, self.ms + 1_000, "")
        self.feed(events.BlockRead("line", "board", (reading,)))

    def answer(self, message):
        at = now(self.ms)
        match message["verb"]:
            case "status":
                practice = practice_view(self.state, at)
                aside = limits_view(self.state, at)
                alarms = alarms_view(self.state, at)
                return {"ok": True, "alarms": alarms, "practice": practice, **aside}
            case "cases":
                closed = [*self.closed.values()][: message["closed"]]
                return {"ok": True, "open": cases_view(self.state, at), "closed": closed}
            case "case":
                found = case_view(self.state, at, message["case"])
                return {"ok": True, "case": found or self.closed.get(message["case"])}
        try:
            outcome = self.feed(event_of(message, 7))
        except BadRequest as problem:
            return {"ok": False, "code": "bad_request", "error": str(problem)}
        (reply,) = outcome.replies
        said = {} if reply.say is None else {"say": {"zh": reply.say.zh, "en": reply.say.en}}
        return {"ok": reply.ok, "code": reply.code, **said}

    @property
    def closed(self):
        views = [closed_view(record) for record in self.records if record.kind == "case"]
        return {view["case"]: view for view in views}

    @property
    def number(self):
        return next(iter(self.state.cases)).split("-", 1)[1]


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture
def run(home, answering, capsys):
    """Type a command; gives the exit code, stdout and stderr."""
    with answering(home.answer) as socket:

        def typed(line, lang="en"):
            code = main([*line.split(), "--socket", str(socket), "--lang", lang])
            out, err = capsys.readouterr()
            return code, out, err

        yield typed


def test_the_way_of_an_alarm_from_raise_to_closing(home, run):
    home.read("leak", 400)
    number = home.number
    code, out, _ = run("alarm list")
    assert code == 0
    assert number in out
    assert LEAK.id in out
    assert run("alarm silence") == (0, "Silenced\n", "")
    assert run(f"alarm ack {number} --as E07") == (0, f"Acknowledged: {number} {LEAK.id}\n", "")
    assert run(f"alarm arrive {number} --as E07")[0] == 0
    handled = f"alarm handle {number} --as E07 --verdict false --cause dust_or_damp"
    assert run(f"{handled} --action checked")[0] == 0
    assert run(f"alarm close {number} --as E08")[0] == 1  # its value is still over the limit
    home.read("leak", 1)
    home.ms += 60_000
    home.read("leak", 1)
    assert run(f"alarm reset {number} --as E07")[0] == 0
    same = run(f"alarm close {number} --as E07")
    assert same[0] == 1
    assert "another person" in same[2]
    assert run(f"alarm close {number} --as E08") == (0, f"Closed out: {number} {LEAK.id}\n", "")
    assert run("alarm list") == (0, "No alarm\n", "")
    bodies = [json.loads(record.body) for record in home.records if record.kind == "alarm"]
    assert [b["tr"] for b in bodies] == ["raise", "silence", "ack", "clear", "reset"]


def test_all_can_be_acknowledged_at_once_but_not_by_leaving_the_name_out(home, run):
    home.read("leak", 400)
    home.read("warm", 70)
    code, out, err = run("alarm ack --as E07")
    assert (code, out) == (2, "")
    assert "--all" in err
    assert run("alarm ack --all --as E07")[0] == 0
    assert {alarm.state.value for alarm in home.state.alarms.values()} == {"AA"}


@pytest.mark.parametrize(
    "line",
    [
        "alarm ack {n}", "alarm reset {n}", "alarm arrive {n}", "alarm close {n}",
        "alarm handle {n} --verdict false", "alarm shelve warm --for 1h --why wet",
        "alarm unshelve warm", "alarm out-of-service board --why x --order 7",
        "alarm in-service board", "drill start --scenario fire", "drill stop",
        "test start board.leak", "test stop board.leak", "post-check answer",
    ],
)  # fmt: skip
def test_what_a_person_answers_for_needs_the_person(home, run, line):
    home.read("leak", 400)
    before = home.state
    for lang, said in (("en", "--as CODE"), ("zh", "员工工号")):
        code, out, err = run(line.format(n=home.number), lang)
        assert (code, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1
    assert home.state is before


def test_a_misspelt_name_is_your_input_and_says_what_was_meant(home, run):
    home.read("leak", 400)
    code, _, err = run(f"alarm ack {LEAK.id[:-2]}xy --as E07")
    assert code == 2
    assert f"did you mean: {home.number} {LEAK.id}?" in err
    assert home.state.alarms[LEAK.id].state.value == "UA"


def test_a_reset_before_the_value_is_normal_is_the_worlds_refusal(home, run):
    home.read("leak", 400)
    code, _, err = run("alarm reset leak --as E07")
    assert code == 1
    assert err.count("\n") == 1


def test_a_warning_is_shelved_for_hours_and_an_alarm_never(home, run):
    home.read("warm", 70)
    assert run("alarm shelve warm --for 2h --why steam --as E07")[0] == 0
    assert WARM.id in home.state.shelved
    assert "shelved" in run("alarm list")[1]
    assert run("alarm unshelve warm --as E07")[0] == 0
    assert run("alarm shelve warm --for 9h --why steam --as E07")[0] == 2
    code, _, err = run(f"alarm shelve {LEAK.id} --for 1h --why steam --as E07")
    assert code == 2
    assert "never shelved" in err


def test_what_is_shelved_is_unshelved_by_a_part_of_its_name_though_nothing_is_open(home, run):
    assert run(f"alarm shelve {WARM.id} --for 2h --why steam --as E07")[0] == 0
    assert run("alarm unshelve warm --as E07")[0] == 0
    assert home.state.shelved == {}


def test_a_part_of_a_name_that_two_rules_have_is_shelved_for_none(home, run):
    home.read("leak", 400)
    home.read("warm", 70)
    code, _, err = run("alarm shelve board --for 1h --why steam --as E07")
    assert code == 2
    assert "is more than one" in err


def test_a_device_goes_out_of_service_by_order_and_comes_back(home, run):
    out = run("alarm out-of-service board --why repair --order W-12 --as E07")
    assert out == (0, "Out of service: board\n", "")
    assert run("alarm out-of-service bord --why repair --order W-12 --as E07")[0] == 2
    assert run("alarm in-service board --as E07", "zh") == (0, "已恢复使用：board\n", "")
    assert home.state.out_of_service == {}


def test_show_has_the_alarm_what_to_do_and_the_case(home, run):
    home.read("leak", 400)
    code, out, _ = run("alarm show leak")
    assert code == 0
    assert LEAK.id in out
    assert home.number in out
    code, out, _ = run(f"alarm show {home.number} --json")
    shown = json.loads(out)
    assert shown["alarm"]["rule"] == LEAK.id
    assert shown["case"]["val"] == 400
    assert run("alarm show nothing")[0] == 2


def handled_case(home, run):
    """A case that is closed: what it was, who did what."""
    home.read("leak", 400)
    number = home.number
    assert run("alarm silence")[0] == 0
    assert run(f"alarm ack {number} --as E07")[0] == 0
    assert run(f"alarm arrive {number} --as E07")[0] == 0
    verdict = "--verdict real --cause electrical --action power_off --119 --not-evacuated"
    assert run(f"alarm handle {number} --as E07 {verdict}")[0] == 0
    home.read("leak", 1)
    home.ms += 60_000
    home.read("leak", 1)
    assert run(f"alarm reset {number} --as E07")[0] == 0
    assert run(f"alarm close {number} --as E08")[0] == 0
    return number


def test_a_case_reads_as_a_sheet_with_who_did_what_and_what_was_found(home, run):
    home.read("leak", 400)
    waits = run("alarm show leak")[1]
    assert "Not closed: The alarm is still active" in waits
    assert "{" not in waits
    assert "raw words" not in waits  # no words came with this reading


def test_a_closed_case_is_shown_by_its_number(home, run):
    number = handled_case(home, run)
    code, out, _ = run(f"alarm show {number}")
    assert code == 0
    timeline = [line.split() for line in out.splitlines() if "E07" in line or "E08" in line]
    assert [" ".join(words[1:]) for words in timeline] == [
        "+2.0 s acknowledged E07",
        "+3.0 s on site E07 (as told) 1F 厨房",
        "+4.0 s handled E07",
        "+67 s reset E07",
        "+68 s closed out E08",
    ]
    assert (
        "Verdict: Real; Wiring or an electrical appliance; Switched the power off; "
        "119 called: yes; people moved out: no" in out
    )
    assert "board.leak after: " in out
    assert "{" not in out
    assert "Not closed" not in out
    sheet = run(f"alarm show {number}", "zh")[1]
    for word in ("处置单", "消音", "确认", "到场", "复位", "销号", "真实火情", "拨打119: 是"):
        assert word in sheet
    assert json.loads(run(f"alarm show {number} --json")[1])["case"]["closed"]["by"] == "E08"
    assert run("alarm show A-999")[0] == 2


def test_the_closed_cases_are_listed_newest_first(home, run):
    assert run("alarm list --closed 5") == (0, "No case has been closed yet\n", "")
    number = handled_case(home, run)
    code, out, _ = run("alarm list --closed 5")
    assert code == 0
    (line,) = out.splitlines()
    assert line.startswith(number)
    assert line.endswith("Real  closed out E08")
    (case,) = json.loads(run("alarm list --closed 5 --json")[1])["closed"]
    assert case["finding"]["verdict"] == "real"
    assert run("alarm list --closed 0")[0] == 2


def test_what_people_found_and_no_rule_raised_is_entered_by_hand(home, run):
    told = "alarm missed --place 2F --text smoke-from-a-kettle --cause cooking --as E07"
    code, _, err = run(f"{told} --at 2026-13-01T10:00")
    assert code == 2
    assert "--at" in err
    assert run(f"{told} --at 2026-09-21T10:00") == (0, "Missed alarm entered\n", "")
    (case,) = home.state.cases.values()
    assert (case.where.text, case.finding.by) == ("2F", "E07")
    assert case.told_ms == round(
        datetime(2026, 9, 21, 10).astimezone().timestamp() * 1000
    )  # as the clock here says
    assert "missed_alarm" in {record.kind for record in home.records}
    refused = run("alarm missed --place 2F --cause gremlins --as E07")
    assert refused[0] == 2


def test_a_self_test_begins_when_it_is_asked_for_and_once(home, run):
    code, out, _ = run("self-test --as E07")
    assert (code, out.split(";")[0]) == (0, "The self-test has begun")
    assert home.state.self_test is not None
    assert run("self-test --as E07")[0] == 1


def test_list_as_json_is_what_the_daemon_said(home, run):
    home.read("leak", 400)
    home.read("warm", 70)
    listed = json.loads(run("alarm list --json")[1])
    assert [row["rule"] for row in listed["alarms"]] == [LEAK.id, WARM.id]
    assert {case["rule"] for case in listed["cases"]} == {LEAK.id, WARM.id}


def test_a_drill_begins_is_seen_and_ends(home, run):
    assert run("drill stop --as E07")[:2] == (1, "")
    assert run("drill status") == (0, "No drill, no test, no post check\n", "")
    assert run(f"drill start --scenario smoke --scope 2F --rule {LEAK.id} --as E07")[0] == 0
    code, out, err = run("drill start --scenario smoke --as E07", "zh")
    assert (code, out) == (1, "")
    assert "演练" in err
    assert run("drill status")[1].startswith("Drill: smoke 2F (E07), ")
    assert "drill" in run("alarm list")[1]
    assert run("drill stop --as E07") == (0, "The drill has ended\n", "")


def test_a_point_is_tested_and_the_test_ends(home, run):
    assert run("test start board.leek --as E07")[:2] == (2, "")
    assert run("test start board.leak --as E07")[0] == 0
    assert "board.leak" in run("test status")[1]
    practice = json.loads(run("test status --json")[1])
    assert [test["point"] for test in practice["tests"]] == ["board.leak"]
    assert run("test stop board.leak --as E07")[0] == 0


def test_a_post_check_is_answered_once(home, run):
    assert run("post-check answer --as E07")[0] == 1
    home.feed(events.PostCheckAsked("q1", "platform", 300_000))
    assert run("post-check status")[1].startswith("Post check: platform")
    assert run("post-check answer --as E07") == (0, "Post check answered\n", "")


def test_without_a_daemon_every_verb_says_so_and_exits_1(tmp_path, capsys):
    for line in ("alarm list", "alarm ack x --as E07", "drill status", "post-check answer --as E"):
        assert main([*line.split(), "--socket", str(tmp_path / "none"), "--lang", "en"]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert "no daemon listens" in err


README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
VERBS = ("alarm", "drill", "test", "post-check")
TYPED = [
    line.removeprefix("care-gateway ")
    for line in README.splitlines()
    if line.startswith(tuple(f"care-gateway {verb} " for verb in VERBS))
]


def test_what_the_readme_types_works_in_that_order(tmp_path, answering, capsys):
    home = Home(tmp_path, alarm="gas", warning="temperature")
    home.read("gas", 400)
    home.read("temperature", 70)
    assert len(TYPED) >= 18
    with answering(home.answer) as socket:
        for line in TYPED:
            if line.startswith("alarm reset"):
                home.read("gas", 1)
                home.ms += 60_000
                home.read("gas", 1)
            if line.startswith("drill start"):  # a drill waits until nothing real is open
                home.read("temperature", 1)
                home.ms += 60_000
                home.read("temperature", 1)
                main(["alarm", "ack", "--all", "--as", "E07", "--socket", str(socket)])
            code = main([*shlex.split(line), "--socket", str(socket), "--lang", "en"])
            assert (code, capsys.readouterr().err) == (0, ""), line
