"""The demo as a user runs it: a process without a terminal, the real daemon behind it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from zoneinfo import ZoneInfo

import psutil
import pytest

from gateway.cli.demo import demo, print_summary
from gateway.config.load import load_site
from gateway.domain.patrol import Window
from gateway.domain.people import Right
from gateway.domain.rules import Severity, Sound
from gateway.domain.text import Lang
from gateway.sim import stage
from gateway.sim.checker import Evidence, Raise, Sown, SownTrace, judge
from gateway.sim.patroller import write_people
from gateway.sim.processes import running
from gateway.sim.stage import Report, write_site
from gateway.sim.story import SCENES, SETS_OUT, WALK, Plant, Trace, Visit
from gateway.sim.unwalked import MISSED_SAY, Times


@contextmanager
def a_demo(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The demo in a process of its own, its temporary files in `folder`; gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "demo", "--lang", "en", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for started in processes_in(folder):
            with suppress(psutil.NoSuchProcess):
                started.kill()
        process.kill()
        process.communicate()


def processes_in(folder: Path) -> list[psutil.Process]:
    """Every process that was given a path below `folder` on its command line."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or ())
    ]


def wait_until_gone(folder: Path) -> None:
    """Nothing goes on running. What a killed daemon had read its site file ends by itself."""
    deadline = time.monotonic() + 60
    while left := processes_in(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def wait_for_line(process: subprocess.Popen[str], words: str) -> None:
    """Read stderr until a line holds `words`; the demo's own time limits bound the wait."""
    for line in process.stderr:
        if words in line:
            return
    pytest.fail(f"the demo ended without saying {words!r}, code {process.wait()}")


def number_of(page: str, words: str) -> int:
    found = re.search(rf"{re.escape(words)}\s+(\d+)", page)
    assert found, f"{words!r} is not in\n{page}"
    return int(found[1])


def test_one_pass_of_the_story_comes_out_right_without_a_terminal(short_path: Path) -> None:
    planted = sum(len(scene.plants) for scene in SCENES) + 1  # the round that nobody walks
    left = sum(len(scene.traces) for scene in (SETS_OUT, *WALK)) + 1
    with a_demo(short_path, "--for", "48s") as process:
        page, story = process.communicate(timeout=240)
        assert process.returncode == 0, page + story
        assert number_of(page, "alarms planted in the simulated devices") == planted
        assert number_of(page, "alarms at the panel's pins") == planted
        assert number_of(page, "raise records committed") == planted
        assert number_of(page, "raise records applied once by the platform") == planted
        committed = number_of(page, "all records committed (lanes A, B)")
        assert committed > 2 * planted
        assert number_of(page, "records applied once by the platform") == planted
        assert number_of(page, "  records applied once by the platform") == committed
        assert number_of(page, "records of the patrol that there must be") == left
        assert number_of(page, "records of the patrol applied once by the platform") == left
        assert re.search(r"tap duty-12 round_started +B \d+ +1 ×", page)
        assert re.search(r"hazard duty-12 1F-STAIRS way +B \d+ +1 ×", page)
        assert re.search(r"round day done +B \d+ +1 ×", page)
        assert re.search(r"round late missed no_visit +B \d+ +1 ×", page)
        assert re.search(r"gateway/round_missed/late +yellow F ", page)
        assert "The duty page showed the missed round." in page
        stored = number_of(page, "readings stored")
        assert stored > 100
        assert number_of(page, "readings applied by the platform") == stored
        assert number_of(page, "lost") == 0
        assert number_of(page, "duplicates in effect") == 0
        assert re.search(r"The duty page was at http://127\.0\.0\.1:\d+/", page)
        assert "duty page: http://127.0.0.1:" in story
        away = re.search(r"away for (\d+\.\d) s", page)
        assert away
        assert float(away[1]) >= 9.9
        assert all(scene.say.en in story for scene in (*SCENES, SETS_OUT, *WALK))
        assert MISSED_SAY.en in story
        assert processes_in(short_path) == []
        assert list(short_path.iterdir()) == []  # nothing is left when all went well


def test_ctrl_c_ends_an_endless_demo_with_a_verdict_and_leaves_nothing_behind(
    short_path: Path,
) -> None:
    with a_demo(short_path) as process:
        wait_for_line(process, SCENES[0].say.en)
        process.send_signal(signal.SIGINT)
        page, story = process.communicate(timeout=120)
        assert process.returncode == 0, page + story
        assert number_of(page, "alarms planted in the simulated devices") == 1
        assert number_of(page, "raise records applied once by the platform") == 1
        assert "no missed round: the one that nobody walks was not due" in page
        assert processes_in(short_path) == []


def test_a_daemon_that_is_killed_fails_the_demo_and_its_log_is_shown(short_path: Path) -> None:
    with a_demo(short_path) as process:
        wait_for_line(process, "the gateway is ready")
        (daemon,) = [p for p in processes_in(short_path) if "run" in p.cmdline()]
        daemon.kill()
        page, story = process.communicate(timeout=120)
        assert process.returncode == 1
        assert page == ""
        assert "the daemon ended with code -9" in story
        assert "started site=demo-house" in story
        wait_until_gone(short_path)


def test_a_daemon_that_never_starts_is_shown_with_its_words(
    short_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ("/bin/sh", "-c", "echo no such site; exit 2")
    monkeypatch.setattr(stage, "_daemon", lambda site, folder: running(argv, folder / "daemon.log"))
    assert demo(48.0, lang=Lang.EN, keep=short_path / "kept") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "the daemon ended with code 2:\nno such site" in said.err
    assert (short_path / "kept" / "site.yaml").exists()


def test_too_short_a_time_is_refused_before_anything_starts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    began = time.monotonic()
    assert demo(10.0, lang=Lang.ZH) == 2
    assert "--for 48s" in capsys.readouterr().err
    assert time.monotonic() - began < 10


def test_a_folder_that_is_there_already_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo(48.0, lang=Lang.EN, keep=tmp_path) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_a_folder_whose_path_is_too_long_for_sockets_is_refused_and_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / ("x" * 90)
    assert demo(48.0, lang=Lang.EN, keep=folder) == 2
    assert "too long" in capsys.readouterr().err
    assert not folder.exists()


def test_the_demo_house_is_a_sound_site_and_has_every_rule_of_the_story(tmp_path: Path) -> None:
    site_file = write_site(
        tmp_path, serial="/dev/pts/7", tcp="127.0.0.1:4711", mqtt="mqtt://127.0.0.1:4712"
    )
    loaded = load_site(site_file, store_dir=tmp_path)
    assert loaded.site is not None, loaded.problems
    rules = {rule.id: rule for rule in loaded.site.rules}
    plants = [plant for scene in SCENES for plant in scene.plants]
    for plant in plants:
        if plant.severity is not Severity.FAULT:
            rule = rules[plant.rule]
            assert (rule.severity, rule.sound, rule.basis) == (plant.severity, plant.sound, "demo")
    assert loaded.site.buses[0].link.port == "/dev/pts/7"
    assert loaded.site.buses[1].link.port == 4711
    assert loaded.site.uplink.brokers[0].port == 4712


def a_site(folder: Path, **given: object) -> Path:
    return write_site(
        folder, serial="/dev/pts/7", tcp="127.0.0.1:4711", mqtt="mqtt://127.0.0.1:4712", **given
    )


def test_the_demo_house_runs_its_round_now_and_has_the_other_one_when_it_is_told(
    tmp_path: Path,
) -> None:
    began = datetime(2026, 11, 23, 0, 10, tzinfo=ZoneInfo("Asia/Shanghai"))
    late = Times("23:59", "sun", 36_200)
    write_people(tmp_path)
    loaded = load_site(a_site(tmp_path, nfc=tmp_path / "nfc", began=began, late=late))
    assert loaded.site is not None, loaded.problems
    patrol, (person,) = loaded.site.patrol, loaded.site.people.values()
    day, other = patrol.schedules["day"], patrol.schedules["late"]
    assert day.windows == (Window(-20, 730),)  # from half an hour ago on
    assert day.weekdays == {0}
    assert (other.windows, other.weekdays) == ((Window(1439, 1440),), {6})
    assert other.grace_ms == 36_200
    assert loaded.site.reader is not None
    assert loaded.site.quiet_hours is None  # at any hour the demo is heard
    assert Right.PATROL in person.rights
    tokens = {tag.token for each in patrol.checkpoints.values() for tag in each.tags}
    visits = [act for scene in WALK for act in scene.acts if isinstance(act, Visit)]
    assert {sha256(visit.token.encode()).hexdigest() for visit in visits} == tokens


def test_without_a_reader_or_a_time_zone_the_house_has_no_such_part(tmp_path: Path) -> None:
    site = load_site(a_site(tmp_path)).site
    assert site is not None
    assert site.reader is None
    assert not site.patrol.checkpoints
    assert site.uplink is not None


@pytest.mark.parametrize("lang", list(Lang))
def test_the_page_names_every_disagreement(lang: Lang, capsys: pytest.CaptureFixture[str]) -> None:
    sown = [Sown(Plant("board.x/y", Severity.ALARM, Sound.A1), 0.0)]
    key = ("e1", "A", 1)
    evidence = Evidence(
        onsets=(),
        raises=(Raise(key, "board.x/y", Severity.ALARM),),
        committed=frozenset({key}),
        readings={},
        applied={},
        altered=(),
        repeats=0,
    )
    traces = [SownTrace(Trace("visit", (("by", "duty-12"),)))]
    verdict = judge(sown, evidence, traces)
    report = Report(
        verdict, "mosquitto", 10.0, exit_code=-9, seconds=60.0, missed=True, is_hidden=True
    )
    assert not report.is_well
    print_summary(report, lang)
    page = capsys.readouterr().out
    assert "planted, but not seen at the pins: board.x/y" in page
    assert "lost: e1-A-1" in page
    assert "the daemon ended with code -9" in page
    assert "planted, but no such record of the patrol: visit duty-12" in page
    assert "the duty page did not show the round that nobody walked" in page
    assert "5" in page.splitlines()[-1]
