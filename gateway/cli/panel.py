"""`care-gateway panel test` and `panel safe`: the outputs, tried by hand and left safely."""

import getpass
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from gateway.cli.saying import no_answer
from gateway.config.load import load_site
from gateway.config.panel import load_panel
from gateway.config.problems import render
from gateway.core.panel import LAMPS, WORDS, picture
from gateway.domain.events import FaultCleared, FaultRaised
from gateway.domain.signals import Lamp, Pattern, Signal
from gateway.domain.site import PanelPins
from gateway.domain.text import Lang, Text
from gateway.drivers.gpio import Gpio
from gateway.drivers.panel import Panel, drive_safe, mono, open_panel
from gateway.drivers.sockets import NoAnswer, NoDaemon, ask

SOCKET = Path("/run/care-gateway/daemon.sock")
STEP_S = 1.0

ASKED = Text(
    "守护进程正在试灯试音（2 秒），请看面板。",
    "The daemon lights every lamp and sounds the buzzer now (2 s): look at the panel.",
)
SOUNDING = Text(
    "有报警正在响，不能试灯。先消音。",
    "An alarm is sounding, so the test is refused. Silence it first.",
)
DIRECT = Text(
    "守护进程未运行，直接驱动面板。可按消音按钮试一试。",
    "No daemon runs: driving the panel directly. Try the silence button too.",
)
PRESSED = Text("消音按钮已按下", "silence button pressed")
NO_GPIO = Text("本机没有 GPIO，只显示画面。", "This machine has no GPIO; this is a picture only.")
NOT_WIRED = Text("未接线", "not wired")


def panel_test(
    path: Path,
    *,
    lang: Lang,
    socket: Path = SOCKET,
    factory: str = Gpio.AUTO,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Test lamps and buzzer through the running daemon, or directly when none runs.

    0 fine, 1 when an output fails, nothing is there to drive or an alarm sounds, 2 when the
    site file is wrong.
    """
    try:
        answer = ask(socket, {"verb": "panel_test", "by": _who()})
    except NoDaemon:
        return _test_directly(path, lang, factory, sleep)
    except NoAnswer as error:
        print(no_answer(error, lang), file=sys.stderr)
        return 1
    if answer.get("ok"):
        print(ASKED.in_(lang))
        return 0
    code = answer.get("code")
    said = SOUNDING.in_(lang) if code == "alarm_sounding" else answer.get("error") or code
    print(said, file=sys.stderr)
    return 1


def panel_safe(path: Path, *, lang: Lang, factory: str = Gpio.AUTO) -> int:
    """Put the outputs into the fault state: yellow on, everything else off. See `end_here`.

    Of the site file the part `panel` is enough, whatever else is wrong in it: a daemon that ended
    over a mistake leaves no lamp that says all is well, and its restart waits for this.
    """
    pins, found = load_panel(path)
    if pins is None:
        print(render(found, lang), file=sys.stderr)
        return 2
    problems = drive_safe(pins, factory)
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


def end_here(code: int) -> None:
    """End the process without giving the pins back, so that they keep their levels."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _test_directly(path: Path, lang: Lang, factory: str, sleep: Callable[[float], None]) -> int:
    pins = _pins(path, lang)
    if pins is None:
        return 2
    failed: list[str] = []

    def note(event: FaultRaised | FaultCleared) -> None:
        if isinstance(event, FaultRaised):
            failed.append(event.subject)
            print(f"{event.subject}: {event.detail}", file=sys.stderr)

    print(DIRECT.in_(lang), file=sys.stderr)
    with open_panel(
        pins,
        factory=factory,
        on_button=lambda: print(PRESSED.in_(lang), file=sys.stderr),
        on_fault=note,
    ) as panel:
        for name in (name for name in WORDS if name != "white" or pins.white is not None):
            _try_output(panel, pins, name, lang, sleep)
        has_pins = panel.has_pins
    if not has_pins:
        print(NO_GPIO.in_(lang), file=sys.stderr)
    return int(bool(failed) or not has_pins)


def _try_output(
    panel: Panel, pins: PanelPins, name: str, lang: Lang, sleep: Callable[[float], None]
) -> None:
    if getattr(pins, name) is None:
        print(f"{WORDS[name].in_(lang)}: {NOT_WIRED.in_(lang)}")
        return
    red, amber, yellow, green, white = (Lamp.ON if name == lamp else Lamp.OFF for lamp in LAMPS)
    pattern = Pattern.E if name == "buzzer" else Pattern.QUIET  # E begins with one second on
    signal = Signal(red, amber, yellow, green, pattern, mono(), white=white)
    panel.beat(mono())
    panel.show(signal)
    print(f"{name}={getattr(pins, name)}   {picture(panel.levels, signal.pattern, lang)}")
    sleep(STEP_S)


def _pins(path: Path, lang: Lang) -> PanelPins | None:
    loaded = load_site(path)
    if loaded.site is None:
        print(render(loaded.problems, lang), file=sys.stderr)
        return None
    return loaded.site.panel


def _who() -> str:
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return f"uid {os.getuid()}"


if __name__ == "__main__":  # for ExecStopPost=
    end_here(panel_safe(Path(sys.argv[1]), lang=Lang.EN))
