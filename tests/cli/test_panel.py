"""`panel test` asks the daemon; only where none runs it drives the pins itself."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from gateway.cli import panel as verbs
from gateway.cli.panel import panel_safe, panel_test
from gateway.domain.site import PanelPins
from gateway.domain.text import Lang
from gateway.drivers.sockets import Message

Answering = Callable[[Callable[[Message], Message]], AbstractContextManager[Path]]

PINS = PanelPins(red=17, amber=27, yellow=22, buzzer=24)


def test_the_running_daemon_is_asked_and_knows_by_whom(
    answering: Answering,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[Message] = []

    def make(message: Message) -> Message:
        asked.append(message)
        return {"ok": True, "code": "done"}

    with answering(make) as path:
        assert panel_test(Path("unused.yaml"), lang=Lang.EN, socket=path) == 0
    assert [message["verb"] for message in asked] == ["panel_test"]
    assert asked[0]["by"]
    assert "look at the panel" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"ok": False, "code": "alarm_sounding"}, "An alarm is sounding"),
        ({"ok": False, "code": "no_answer", "error": "no answer in 5 s"}, "no answer in 5 s"),
    ],
)
def test_a_refusal_is_exit_1_with_the_reason(
    answering: Answering, answer: Message, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(lambda _: answer) as path:
        assert panel_test(Path("unused.yaml"), lang=Lang.EN, socket=path) == 1
    assert said in capsys.readouterr().err


def test_without_a_daemon_each_wired_output_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verbs, "_pins", lambda path, lang: PINS)
    slept: list[float] = []
    code = panel_test(
        tmp_path / "site.yaml",
        lang=Lang.EN,
        socket=tmp_path / "none.sock",
        factory="mock",
        sleep=slept.append,
    )
    out = capsys.readouterr().out
    assert (code, len(slept)) == (0, 4)
    assert "red=17   ● ALARM  ○ WARNING  ○ FAULT  ○ NORMAL  ○ BUZZER -" in out
    assert "NORMAL: not wired" in out
    assert "buzzer=24   ○ ALARM  ○ WARNING  ○ FAULT  ○ NORMAL  ● BUZZER E" in out


def test_a_machine_without_gpio_is_exit_1_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verbs, "_pins", lambda path, lang: PINS)
    code = panel_test(
        tmp_path / "site.yaml",
        lang=Lang.EN,
        socket=tmp_path / "none.sock",
        factory="none",
        sleep=lambda _: None,
    )
    assert code == 1
    assert "no GPIO" in capsys.readouterr().err


def test_a_wrong_site_file_is_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("buses: [")
    sock = tmp_path / "none.sock"
    assert panel_test(site, lang=Lang.EN, socket=sock, factory="mock") == 2
    assert panel_safe(site, lang=Lang.EN, factory="mock") == 2
    assert "site.yaml" in capsys.readouterr().err


def test_the_safe_state_names_what_it_could_not_drive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("panel: {red: 17, yellow: 22}\n")
    assert panel_safe(site, lang=Lang.EN, factory="mock") == 0
    assert panel_safe(site, lang=Lang.EN, factory="lgpio") == 1
    assert capsys.readouterr().err.startswith("gpio: ")


def test_the_safe_state_needs_no_more_of_the_site_file_than_the_panel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    driven: list[PanelPins] = []
    monkeypatch.setattr(verbs, "drive_safe", lambda pins, factory: driven.append(pins) or [])
    site = tmp_path / "site.yaml"
    site.write_text("nonsense: true\nbuses: 7\npanel: {red: 17, yellow: 22, active_high: false}\n")
    assert panel_safe(site, lang=Lang.EN) == 0
    assert driven == [PanelPins(red=17, yellow=22, active_high=False)]
    site.write_text("panel: {red: 17, yellow: 17}\n")
    assert panel_safe(site, lang=Lang.EN) == 2
    assert len(driven) == 1
    assert "used twice" in capsys.readouterr().err


def test_the_end_keeps_the_pins_as_they_are() -> None:
    code = (
        "import atexit\n"
        "from gateway.cli.panel import end_here\n"
        "atexit.register(print, 'pins given back')\n"
        "print('kept')\n"
        "end_here(1)\n"
    )
    environment = os.environ | {"PYTHONUNBUFFERED": ""}
    run = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    assert (run.returncode, run.stdout, run.stderr) == (1, "kept\n", "")
