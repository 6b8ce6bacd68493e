"""What the page says of a snapshot, without a server."""

import re
from pathlib import Path

from gateway.domain.text import Lang
from gateway.web import rendering
from gateway.web.feed import Lost
from gateway.web.page import MOST_STEPS, Shown, content_of, span, stopwatch
from gateway.web.rendering import load_assets, load_pages
from gateway.web.words import WORDS
from tests.web.rig import ALARM, FAULT, NORMAL, STATES, UP, WARNING, snapshot

PAGES = load_pages(load_assets())


def content(shown, lang=Lang.ZH, age_ms=200):
    return content_of(Shown(shown, age_ms), lang)


def test_the_first_alarm_says_what_where_how_much_and_how_long():
    first = content(STATES["alarm"], Lang.EN)["first"]
    assert (first["where"], first["what"]) == ("1F 厨房配电箱", "Residual current too high")
    assert (first["value"], first["limit"]) == ("612.44 mA", "500 mA")
    assert (first["since"], first["since_at"]) == ("00:00:41", "22:13")
    assert first["life"] == "not acknowledged"


def test_at_most_four_steps_are_shown():
    row = {**ALARM, "do": [{"zh": str(n), "en": str(n)} for n in range(9)]}
    assert content(snapshot("alarm", row))["first"]["steps"] == ["0", "1", "2", "3"]
    assert MOST_STEPS == 4


def test_ages_go_on_while_the_snapshot_gets_older():
    first = content(STATES["alarm"], age_ms=3_000)["first"]
    assert (first["since_ms"], first["age_ms"]) == (44_000, 3_900)


def test_what_is_old_is_not_shown_as_the_state_of_the_house():
    for state in STATES.values():
        said = content(state, age_ms=60_000)
        assert (said["top"], said["is_stale"]) == ("unknown", True)


def test_how_long_an_alarm_lasts_is_not_counted_on_while_nothing_is_heard_of_it():
    first = content_of(Shown(STATES["alarm"], 60_000, Lost.NO_DAEMON, 59_000), Lang.ZH)["first"]
    assert (first["since_ms"], first["age_ms"]) == (41_000, 60_900)


def test_a_lost_daemon_is_said_with_what_to_do():
    for lost in (Lost.NO_DAEMON, Lost.NO_ANSWER):
        said = content_of(Shown(NORMAL, 9_000, lost, 9_000), Lang.EN)
        assert said["lost"]["say"] == WORDS[lost.value].en
        assert len(said["lost"]["steps"]) == 4
        assert said["top"] == "unknown"
    assert content_of(Shown(lost=Lost.STARTING), Lang.EN)["lost"]["steps"] == []


def test_what_is_shelved_is_listed_but_never_the_first_thing_said():
    said = content(snapshot("normal", {**WARNING, "inhibits": ["SH"]}))
    assert said["first"] is None
    assert [row["marks"] for row in said["others"]] == [["屏蔽"]]


def test_practice_is_named_as_practice():
    said = content(STATES["drill"], Lang.EN)
    assert (said["practised"], said["first"]["mode"]) == ("Drill", "Drill")
    assert [notice["kind"] for notice in said["notices"]] == ["asked", "practice", "practice"]


def test_the_uplink_in_one_word():
    def mark(**changes):
        said = content(snapshot("normal", link={**UP, **changes}), Lang.EN)["uplink"]
        return said["mark"], said["say"]

    assert mark() == ("good", "Delivered")
    assert mark(queued={"A": 1, "B": 2, "R": 500}) == ("busy", "Queued 3")
    assert mark(queued={"R": 500}) == ("good", "Delivered")
    assert mark(is_up=False, queued={"A": 1, "R": 9}) == ("away", "Offline buffer 10")
    assert mark(is_platform_present=False) == ("away", "Offline buffer 0")
    assert mark(is_set=False) == ("none", "No uplink set up")


def test_a_clock_that_is_not_trusted_says_so_and_an_unknown_zone_shows_no_time():
    assert content(NORMAL)["clock"] == {"at": "22:14", "is_trusted": True}
    doubted = snapshot("normal", clock={"clk": "none", "utc_ms": 1_790_000_041_000})
    assert content(doubted)["clock"]["is_trusted"] is False
    guessed = snapshot("normal", clock={"clk": "est", "utc_ms": 1_790_000_041_000})
    assert content(guessed)["clock"] == {"at": "≈ 22:14", "is_trusted": True}
    nowhere = snapshot("normal", site={"name": "x", "timezone": "../../etc/passwd"})
    assert content(nowhere)["clock"]["at"] == "–"


def test_a_snapshot_of_another_version_is_shown_as_far_as_it_goes():
    odd = (
        {},
        {"top": "on fire"},
        {"top": "alarm", "alarms": [{}, 7, None, {"do": "x", "say": 3, "since_ms": "long"}]},
        {"alarms": {"a": 1}, "counts": [1], "lamps": 3, "points": None, "link": "up", "more": None},
        {"alarms": [{"inhibits": "SH", "mode": ["x"], "severity": None}], "mode": {}, "tests": "2"},
        {"clock": {"utc_ms": 10**30}, "drill": {"left_ms": None}, "post_check": {"left_ms": "x"}},
    )
    for lang in Lang:
        for shown in odd:
            assert WORDS["not_a_panel"].in_(lang) in PAGES.whole(Shown(shown, 100), lang)


def test_words_from_the_site_file_are_never_markup():
    row = {**FAULT, "place": "<script>alert(1)</script>", "detail": '"><img src=x onerror=y>'}
    page = PAGES.whole(Shown(snapshot("fault", row, row), 100), Lang.ZH)
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


def test_both_languages_have_every_word():
    for state in STATES.values():
        for lang, title in ((Lang.ZH, "值班台"), (Lang.EN, "Duty desk")):
            assert title in PAGES.whole(Shown(state, 100), lang)
    assert "Alarm" not in PAGES.part(Shown(STATES["alarm"], 100), Lang.ZH)
    assert "报警" not in PAGES.part(Shown(snapshot("alarm", FAULT), 100), Lang.EN)


def test_a_browser_that_knows_no_variables_writes_nothing_white_on_white():
    style = (Path(rendering.__file__).parent / "static/duty.css").read_text(encoding="utf-8")
    grounds = re.findall(r"([^;{]*);? *background: var\(--(\w+)\)", style)
    assert len(grounds) > 10
    for before, name in grounds:
        assert f"--{name}: {before.rpartition(' ')[2]};" in style, name


def test_the_script_for_old_browsers_uses_old_words_only():
    script = (Path(rendering.__file__).parent / "static/old.js").read_text(encoding="utf-8")
    code = re.sub(r"//.*|\"[^\"]*\"", "", script)
    assert not re.search(r"=>|`|\b(const|let|class|async|await|fetch|Promise)\b|\?\.|\.\.\.", code)


def test_nothing_in_the_page_needs_what_the_policy_forbids():
    page = PAGES.whole(Shown(STATES["alarm"], 100), Lang.ZH)
    assert "style=" not in page
    assert "onclick" not in page
    assert "http://" not in page
    assert "https://" not in page


def test_durations_as_people_say_them():
    assert [span(ms, Lang.EN) for ms in (None, 900, 119_000, 120_000, 7_200_000, 172_800_000)] == [
        "–", "0 s", "119 s", "2 min", "2 h", "2 d",
    ]  # fmt: skip
    assert [stopwatch(ms) for ms in (0, 41_000, 360_000_000)] == [
        "00:00:00", "00:00:41", "100:00:00",
    ]  # fmt: skip


def test_the_patrol_says_how_far_today_s_rounds_are_and_what_is_next():
    none = content(NORMAL)["patrol"]
    assert none is None
    counts = {"rounds": 4, "done": 3, "open": 0, "overdue": 0, "missed": 0,
              "next_at": 1_790_000_041_000}  # fmt: skip
    said = content(snapshot("normal", patrol=counts), Lang.EN)["patrol"]
    assert said == {"say": "3 of 4 rounds · next 22:14", "is_short": False}
    short = {**counts, "overdue": 1, "missed": 2, "next_at": None}
    said = content(snapshot("normal", patrol=short))["patrol"]
    assert said == {"say": "3 / 4 轮 · 超时 1 · 漏巡 2", "is_short": True}
    assert "超时 1" in PAGES.part(Shown(snapshot("normal", patrol=short), 200), Lang.ZH)


def test_a_patrol_of_another_version_is_not_guessed_at():
    for odd in ("many", [1], {"rounds": "x"}, {"done": None, "next_at": "soon"}):
        content(snapshot("normal", patrol=odd))
