"""The walk of an acceptance, with the real decider in simulated time behind the socket."""

import io
import json
import re
import signal
import sys

import pytest

from gateway.cli import accept_walk
from gateway.cli.accept_asking import Asker, Kind, Paused, Said, understood
from gateway.cli.accept_sheet import html_of
from gateway.cli.accept_words import WORDS
from gateway.cli.main import main
from gateway.core.acceptance_view import acceptance_counts, acceptance_view
from gateway.core.view import alarms_view
from gateway.domain.site import PanelPins
from gateway.domain.text import Lang
from gateway.tasks.acceptance_commands import ACCEPT_MAKERS
from gateway.tasks.commands import BadRequest, event_of
from tests.core.night_house import LEAK, Night, house

LEAKAGE = "board.leak"
ALL = {
    "bus/*": "s the line is sealed", "device/*": "ok", "point/*": "ok", "points/*": "ok",
    "trip/*": "sim", "panel/*": "ok", "clock/*": "ok", "sign/*": "m01",
}  # fmt: skip


class Home:
    """A house that is read anew with every question, and a line on which unit 3 answers."""

    def __init__(self, **changes):
        self.night = Night(house(panel=PanelPins(red=1, buzzer=2), **changes))
        self.ms = 5_000
        self.truth = {"leak": 27, "load": 3}
        self.asked = []
        self.words = [27]

    def pass_time(self):
        self.ms += 400
        for name, value in self.truth.items():
            self.night.read(self.ms, value, of=name)

    def __call__(self, message):
        self.asked.append(message)
        self.pass_time()
        verb, state, now = message["verb"], self.night.state, self.night.now(self.ms)
        if verb == "acceptance":
            keys = message.get("keys")
            return {
                "ok": True,
                **acceptance_view(state, now, None if keys is None else frozenset(keys)),
            }
        counted = {"id": "board", "unit": 3, "requests": 100, "timeouts": 9, "exceptions": 0}
        if verb == "status":
            return {"ok": True, "alarms": alarms_view(state, now), "devices": [counted],
                    "acceptance": acceptance_counts(state)}  # fmt: skip
        if verb == "bus_lines":
            line = {
                "bus": "line", "port": None, "tcp": "127.0.0.1:502", "line": None, "counts": {},
                "devices": [counted],
            }  # fmt: skip
            return {"ok": True, "lines": [line]}
        if verb == "bus_ask":
            is_there = message["unit"] == 3
            return {"ok": True, **({"words": self.words} if is_there else {"failure": "silent"})}
        try:
            event = ACCEPT_MAKERS.get(verb, event_of)(message, 1)
        except BadRequest as problem:
            return {"ok": False, "code": "bad_request", "error": str(problem)}
        (reply,) = self.night.feed(self.ms, event).replies
        say = {} if reply.say is None else {"say": {"zh": reply.say.zh, "en": reply.say.en}}
        return {"ok": reply.ok, "code": reply.code, **say}

    def left(self):
        counts = acceptance_counts(self.night.state)
        return {*counts["points_open"], *counts["rules_open"], *counts["others_open"]}


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch):
    monkeypatch.setattr(accept_walk, "POLL_S", 0.0)


def walked(answering, home, tmp_path, answers, *options):
    """The exit code of `accept` with a file of answers, or with what is piped in (a text)."""
    with answering(home) as socket:
        given = []
        if isinstance(answers, dict):
            path = tmp_path / "answers.yaml"
            path.write_text(json.dumps(answers), "utf-8")
            given = ["--answers", str(path)]
        return main([
            "accept", "--as", "t01", "--socket", str(socket), "--site", str(tmp_path / "site.yaml"),
            "--lang", "en", *given, *map(str, options),
        ])  # fmt: skip


def test_a_whole_walk_leaves_only_what_was_skipped_and_says_so(answering, tmp_path, capsys):
    home, sheet = Home(), tmp_path / "sheet.html"
    assert walked(answering, home, tmp_path, ALL, "--sheet", sheet, "--json") == 1
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert home.left() == {"bus/line"}
    assert document["counts"]["others_open"] == ["bus/line"]
    assert document["counts"]["signed"]["value"] == 1
    assert "1 not accepted yet: bus/line" in said.err
    page = sheet.read_text("utf-8").replace("<wbr>", "")
    assert "Bus line: skipped (the line is sealed)" in page
    assert "loses answers 9.0 %" in page
    assert "sometimes silent: board" in page
    assert "Alarms by a simulated value</th><td>2</td>" in page
    assert page.count("<td class=open>") == 1


def test_a_walk_is_paused_and_gone_on_with_where_it_was(answering, tmp_path, capsys, monkeypatch):
    home = Home()
    monkeypatch.setattr(sys, "stdin", io.StringIO("s sealed\nok\n27\nq\n"))
    assert walked(answering, home, tmp_path, "piped") == 1
    assert "What was accepted is kept" in capsys.readouterr().err
    assert "board" not in home.left()
    assert LEAKAGE not in home.left()
    assert "board.load" in home.left()
    home.night.restart(home.ms + 1_000)
    home.ms += 2_000
    monkeypatch.setattr(sys, "stdin", io.StringIO("s sealed\n3\nsim\nsim\n"))
    assert walked(answering, home, tmp_path, "piped") == 1
    asked = [line for line in capsys.readouterr().err.splitlines() if line.startswith("[")]
    assert not any(f"[point/{LEAKAGE}]" in line for line in asked), (
        "what is accepted is asked no more"
    )
    assert {"board.load", LEAK} & home.left() == set()
    assert home.night.state.tests == {}, "no test is left running"


def test_enter_leaves_everything_for_later(answering, tmp_path):
    home = Home()
    before = home.left()
    assert walked(answering, home, tmp_path, {}) == 1
    assert home.left() == before
    assert home.night.facts("acceptance") == []


def test_what_the_display_shows_otherwise_is_refused_and_explained(answering, tmp_path, capsys):
    home = Home()
    answers = {f"point/{LEAKAGE}": ["2.7", "f shows 2.7, wrong scale"]}
    assert walked(answering, home, tmp_path, answers, "--only", "point") == 1
    said = capsys.readouterr().err
    assert "raw 001B" in said
    assert "it is not what the display shows" in said
    assert "{at: 1, type: uint16, scale: 0.1}" in said
    (fact,) = home.night.data("acceptance")
    assert (fact["result"], fact["note"]) == ("failed", "shows 2.7, wrong scale")


def test_only_and_device_choose_and_again_asks_once_more(answering, tmp_path):
    home = Home()
    assert walked(answering, home, tmp_path, ALL, "--only", "clock") == 1
    assert "clock/clock" not in home.left()
    assert LEAKAGE in home.left()
    assert walked(answering, home, tmp_path, ALL, "--device", "board") == 1
    assert home.left() == {"bus/line", "panel/red", "panel/buzzer", "panel/A1", "panel/E",
                           "panel/W", "panel/F"}  # fmt: skip
    count = len(home.night.facts("acceptance"))
    assert walked(answering, home, tmp_path, ALL, "--only", "clock") == 1
    assert len(home.night.facts("acceptance")) == count
    assert walked(answering, home, tmp_path, ALL, "--only", "clock", "--again") == 1
    assert len(home.night.facts("acceptance")) == count + 1


def test_a_skip_without_a_reason_is_asked_again(answering, tmp_path, capsys):
    home = Home()
    answers = {"clock/clock": ["s", "s no network in the cellar"]}
    assert walked(answering, home, tmp_path, answers, "--only", "clock") == 1
    assert "a reason must be given" in capsys.readouterr().err
    (fact,) = home.night.data("acceptance")
    assert fact["note"] == "no network in the cellar"


def test_a_trip_that_does_not_come_ends_the_test_and_may_fail_it(answering, tmp_path, capsys):
    home = Home()
    answers = {f"trip/{LEAKAGE}": ["ok", "f the probe is dead"]}
    options = ("--only", "trip", "--device", "board", "--trip-within", "1")
    assert walked(answering, home, tmp_path, answers, *options) == 1
    assert "not raised: board.leak/high" in capsys.readouterr().err
    assert home.night.state.tests == {}
    (fact,) = home.night.data("acceptance")
    assert (fact["subject"], fact["result"]) == (LEAK, "failed")


def test_a_device_that_is_tripped_and_restored_calls_nobody(answering, tmp_path, capsys):
    home = Home()
    tripping = home.pass_time

    def pass_time():
        test = home.night.state.tests.get(LEAKAGE)
        home.truth["leak"] = 310 if test is not None and not test.tripped else 27
        tripping()

    home.pass_time = pass_time
    answers = {f"trip/{LEAKAGE}": "ok"}
    assert walked(answering, home, tmp_path, answers, "--only", "trip") == 1
    assert LEAK not in home.left()
    assert home.night.moves(test=False) == []
    assert "still over its limit" not in capsys.readouterr().err


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_a_kill_or_a_lost_terminal_in_a_trip_ends_the_test_and_pauses(
    end, answering, tmp_path, capsys, monkeypatch
):
    home = Home()
    before = signal.getsignal(end)

    def interrupted(_seconds):
        signal.raise_signal(end)

    monkeypatch.setattr(accept_walk.time, "sleep", interrupted)
    answers = {f"trip/{LEAKAGE}": "ok"}
    assert walked(answering, home, tmp_path, answers, "--only", "trip") == 1
    assert "What was accepted is kept" in capsys.readouterr().err
    assert home.night.state.tests == {}
    assert [test["ended"] for test in home.night.data("test_end")] == ["person"]
    assert signal.getsignal(end) is before


def test_an_open_alarm_refuses_the_trip_and_is_said(answering, tmp_path, capsys):
    home = Home()
    home.truth["leak"] = 310
    assert walked(answering, home, tmp_path, ALL, "--only", "trip") == 1
    assert "a real alarm is open" in capsys.readouterr().err
    assert LEAK in home.left()


def test_units_that_are_none_are_asked_again_and_silence_is_nobody_else(
    answering, tmp_path, capsys
):
    home = Home()
    answers = {"bus/line": ["all of them", "3-5"]}
    assert walked(answering, home, tmp_path, answers, "--only", "bus") == 1
    assert "are no units" in capsys.readouterr().err
    assert "bus/line" not in home.left()
    (fact,) = home.night.data("acceptance")
    assert fact["note"] == "3-5: nobody else"
    assert {m["unit"] for m in home.asked if m["verb"] == "bus_ask"} == {4, 5}


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--as", "王 芳"], 2, "say who does this"),
        (["--device", "attic"], 2, "no device attic"),
        (["--only", "roof"], 2, "roof"),
        (["--answers", "/nowhere/answers.yaml"], 2, "answers.yaml"),
    ],
)
def test_what_was_typed_wrongly_is_said(answering, tmp_path, capsys, options, code, words):
    assert walked(answering, Home(), tmp_path, "piped", *options) == code
    assert words in capsys.readouterr().err


def test_without_a_daemon_it_says_how_to_look(tmp_path, capsys):
    site = str(tmp_path / "site.yaml")
    code = main(["accept", "--as", "t01", "--socket", "/nowhere/s", "--site", site, "--lang", "en"])
    assert code == 1
    assert "systemctl status care-gateway" in capsys.readouterr().err


def test_a_sheet_that_cannot_be_written_is_said_and_nothing_is_lost(answering, tmp_path, capsys):
    home = Home()
    options = ("--only", "clock", "--sheet", tmp_path / "nowhere" / "sheet.html")
    assert walked(answering, home, tmp_path, ALL, *options) == 1
    assert "cannot write" in capsys.readouterr().err
    assert "clock/clock" not in home.left()


def test_answers_that_are_none_are_shown_under_their_line(answering, tmp_path, capsys):
    path = tmp_path / "wrong.yaml"
    path.write_text("clock/clock: {ok: 1}\n", "utf-8")
    assert walked(answering, Home(), tmp_path, "piped", "--answers", path) == 2
    assert "wrong.yaml:1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", Said(Kind.LATER)), ("  ", Said(Kind.LATER)), ("ok", Said(Kind.YES)),
        ("是", Said(Kind.YES)), ("=", Said(Kind.YES)), ("r", Said(Kind.AGAIN)),
        ("27.4", Said(Kind.VALUE, "27.4")), ("s no ladder", Said(Kind.SKIP, "no ladder")),
        ("跳过 没有梯子", Said(Kind.SKIP, "没有梯子")), ("f cracked", Said(Kind.FAIL, "cracked")),
        ("F cracked", Said(Kind.FAIL, "cracked")), ("sim", Said(Kind.VALUE, "sim")),
        ("s", Said(Kind.SKIP)), ("each", Said(Kind.VALUE, "each")),
    ],
)  # fmt: skip
def test_what_is_typed_is_understood(typed, meant):
    assert understood(typed) == meant


def test_q_and_the_end_of_what_is_piped_in_pause():
    with pytest.raises(Paused):
        understood("q")

    def ended(_prompt):
        raise EOFError

    with pytest.raises(Paused):
        Asker(Lang.EN, read=ended).ask("clock/clock", "?")


def test_an_answer_for_a_thing_wins_over_one_for_many_and_each_is_given_once():
    asker = Asker(Lang.EN, {"point/*": ("ok",), "point/a.b": ("1", "2")})
    said = [asker.ask("point/a.b", "?").text for _ in range(3)]
    assert said == ["1", "2", ""]
    assert [asker.ask("point/a.c", "?").kind for _ in range(2)] == [Kind.YES, Kind.LATER]
    assert asker.prompts == 5


def test_both_languages_say_the_same_things():
    for name, text in WORDS.items():
        zh, en = (set(re.findall(r"{(\w+)}", each)) for each in (text.zh, text.en))
        assert zh == en, name


@pytest.mark.parametrize("lang", list(Lang))
def test_nothing_that_somebody_named_becomes_markup(answering, tmp_path, lang):
    home = Home()
    answers = {**ALL, "bus/*": "s <script>alert(1)</script>"}
    sheet = tmp_path / "sheet.html"
    assert walked(answering, home, tmp_path, answers, "--sheet", sheet) == 1
    data = json.loads(sheet.with_suffix(".json").read_text("utf-8"))
    data["site"]["name"] = "<b>榆园</b>"
    page = html_of(data, lang)
    assert "<script" not in page
    assert "&lt;b&gt;榆园" in page
    assert "http" not in page, "nothing is fetched from anywhere"
    assert ("未验收" if lang is Lang.ZH else "Not accepted") in page
