"""The panel thread on gpiozero's mock pins: levels, faults, the silence button, leaving safely."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.core.panel import PanelView, level_at, signal_for
from gateway.domain.events import FaultCleared, FaultRaised
from gateway.domain.signals import Lamp, Levels, Pattern, Signal
from gateway.domain.site import PanelPins
from gateway.domain.text import Lang
from gateway.drivers.panel import (
    BEAT_LIMIT_MS,
    SAFE,
    Panel,
    _loop_or_none,
    drive_safe,
    mono,
    open_panel,
    vars_of,
)

PINS = PanelPins(red=17, amber=27, yellow=22, green=23, buzzer=24, silence=25, relay=5)
NORMAL = Signal(Lamp.OFF, Lamp.OFF, Lamp.OFF, Lamp.ON, Pattern.QUIET, 0, is_healthy=True)
ALARM = Signal(Lamp.ON, Lamp.OFF, Lamp.OFF, Lamp.ON, Pattern.QUIET, 0, is_healthy=True)
OUTPUTS = {"red": 17, "amber": 27, "yellow": 22, "green": 23, "buzzer": 24, "relay": 5}


ROOT = Path(__file__).parents[2]
CHIPLESS = """
class error(Exception): pass
def gpiochip_open(chip): raise error("can not open gpiochip")
def __getattr__(name): return 0
"""


def nothing() -> None:
    return


def until(is_true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < deadline, "condition never came true"
        time.sleep(0.002)


def lit(panel: Panel) -> set[str]:
    """The outputs that are high at the mock pins."""
    factory = panel.wires.factory
    return {n for n, number in OUTPUTS.items() if factory is not None and factory.pin(number).state}


def test_what_is_shown_reaches_the_pins() -> None:
    with open_panel(PINS, factory="mock", on_button=nothing, on_fault=print) as panel:
        panel.show(ALARM)
        until(lambda: lit(panel) == {"red", "green", "relay"})
        panel.show(NORMAL)
        until(lambda: lit(panel) == {"green", "relay"})
        assert panel.levels == level_at(NORMAL, 0)


def test_show_returns_when_the_pins_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.drivers.panel.GIVE_WAY_S", 30.0)
    with open_panel(PINS, factory="mock", on_button=nothing, on_fault=print) as panel:
        panel.show(NORMAL)
        until(lambda: lit(panel) == {"green", "relay"})  # the thread has come round once
        until(lambda: panel._is_prompt)
        panel.show(ALARM)
        assert lit(panel) == {"red", "green", "relay"}


def test_show_waits_once_for_a_thread_that_hangs_and_again_when_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open_panel(PINS, factory="mock", on_button=nothing, on_fault=print) as panel:
        panel.show(NORMAL)
        until(lambda: lit(panel) == {"green", "relay"} and panel._is_prompt)
        going, hanging, write = threading.Event(), threading.Event(), panel.wires.write

        def hang(levels: Any, mono_ms: int) -> None:
            hanging.set()
            assert going.wait(60)
            write(levels, mono_ms)

        monkeypatch.setattr(panel.wires, "write", hang)
        panel.show(ALARM)  # gives way for 5 ms
        assert hanging.wait(30)
        monkeypatch.setattr("gateway.drivers.panel.GIVE_WAY_S", 60.0)
        before = time.monotonic()
        panel.show(NORMAL)
        panel.show(ALARM)
        assert time.monotonic() - before < 50, "it waited again"
        assert lit(panel) == {"green", "relay"}
        going.set()
        until(lambda: panel._is_prompt)
        panel.show(NORMAL)
        assert lit(panel) == {"green", "relay"}


def test_every_transition_is_a_line_with_its_time(tmp_path: Path) -> None:
    path = tmp_path / "pins.jsonl"
    with open_panel(PINS, factory="mock", on_button=nothing, on_fault=print, log_path=path) as p:
        shown = Signal(Lamp.OFF, Lamp.OFF, Lamp.OFF, Lamp.ON, Pattern.A1, mono())
        p.show(shown)
        until(lambda: path.read_text().count('"buzzer"') >= 4)
        kept = [p.wires.factory.pin(number).states for number in OUTPUTS.values()]
    assert not any(kept), "pins that remember each change weigh more every day"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    buzzer = [line for line in lines if line["pin"] == "buzzer"]
    assert [line["level"] for line in buzzer[:4]] == [1, 0, 1, 0]
    assert [line["t"] for line in lines] == sorted(line["t"] for line in lines)
    # never before its moment; how much later is the machine's affair
    assert all(buzzer[i]["t"] >= shown.since_ms + 250 * i for i in range(4))


@pytest.mark.parametrize("error", [None, RuntimeError("boom")])
def test_leaving_puts_the_outputs_into_the_fault_state(error: Exception | None) -> None:
    states: dict[str, Any] = {}

    def use_panel() -> None:
        with open_panel(PINS, factory="mock", on_button=nothing, on_fault=print) as panel:
            panel.show(ALARM)
            until(lambda: lit(panel) == {"red", "green", "relay"})
            states.update({n: panel.wires.factory.pin(number) for n, number in OUTPUTS.items()})
            if error is not None:
                raise error

    if error is None:
        use_panel()
    else:
        with pytest.raises(RuntimeError, match="boom"):
            use_panel()
    assert {name for name, pin in states.items() if pin.state} == {"yellow"}


def test_a_decider_that_stops_beating_is_shown_and_one_that_beats_again_too() -> None:
    ahead = [0]
    with open_panel(
        PINS, factory="mock", on_button=nothing, on_fault=print, mono=lambda: mono() + ahead[0]
    ) as panel:
        panel.show(NORMAL)
        until(lambda: lit(panel) == {"green", "relay"})
        ahead[0] = BEAT_LIMIT_MS + 1_000
        until(lambda: panel.signal.pattern is Pattern.F)
        until(lambda: "green" not in lit(panel) and "relay" not in lit(panel))
        panel.beat(mono() + ahead[0])
        until(lambda: lit(panel) == {"green", "relay"})
        assert panel.signal is NORMAL


def test_an_alarm_that_sounds_goes_on_when_the_decider_dies() -> None:
    ahead = [0]
    sounding = Signal(Lamp.BLINK_2, Lamp.OFF, Lamp.OFF, Lamp.ON, Pattern.A1, mono())
    with open_panel(
        PINS, factory="mock", on_button=nothing, on_fault=print, mono=lambda: mono() + ahead[0]
    ) as panel:
        panel.show(sounding)
        ahead[0] = BEAT_LIMIT_MS + 1_000
        until(lambda: panel.signal.green is Lamp.OFF)
        assert (panel.signal.pattern, panel.signal.red) == (Pattern.A1, Lamp.BLINK_2)
        until(lambda: "buzzer" in lit(panel))


def test_a_failing_output_is_one_fault_the_others_go_on_and_it_comes_back() -> None:
    events: list[Any] = []
    ahead = [0]
    with open_panel(
        PINS,
        factory="mock",
        on_button=nothing,
        on_fault=events.append,
        mono=lambda: mono() + ahead[0],
    ) as panel:
        panel.show(NORMAL)
        until(lambda: "green" in lit(panel))
        red = panel.wires.factory.pin(17)
        whole = type(red)

        def refuse(pin: Any, value: float) -> None:
            raise OSError("wire cut")

        red.__class__ = type("Broken", (whole,), {"_set_state": refuse})
        panel.show(Signal(Lamp.ON, Lamp.ON, Lamp.OFF, Lamp.ON, Pattern.QUIET, 0))
        until(lambda: {"amber", "green"} <= lit(panel))
        before = panel.thread_beat()
        for _ in range(3):  # each retry fails like the first
            ahead[0] += 20_000
            panel.beat(mono() + ahead[0])
            panel.show(Signal(Lamp.ON, Lamp.ON, Lamp.OFF, Lamp.ON, Pattern.QUIET, 0))
            until(lambda: panel.thread_beat() >= before + ahead[0])
        assert events == [FaultRaised("panel_failing", "red", "OSError: wire cut")]
        red.__class__ = whole
        ahead[0] += 20_000
        panel.beat(mono() + ahead[0])
        panel.show(Signal(Lamp.ON, Lamp.ON, Lamp.OFF, Lamp.ON, Pattern.QUIET, 0))
        until(lambda: "red" in lit(panel))
        until(lambda: events[1:] == [FaultCleared("panel_failing", "red")])


def test_a_panel_without_a_gpio_chip_is_a_fault_and_not_an_end() -> None:
    events: list[Any] = []
    with open_panel(PINS, factory="lgpio", on_button=nothing, on_fault=events.append) as panel:
        panel.show(ALARM)
        until(lambda: events)
        assert (events[0].code, events[0].subject) == ("panel_failing", "gpio")
        before = panel.thread_beat()
        until(lambda: panel.thread_beat() > before)


@pytest.mark.parametrize(
    ("library", "words"),
    [
        (None, "apt-get install python3-lgpio, then scripts/install"),
        ("", "apt-get install python3-lgpio, then scripts/install"),  # the empty one, 0.0.0.2
        (CHIPLESS, "can not open gpiochip; care-gateway doctor"),
    ],
    ids=["no library", "an empty library", "no chip"],
)
def test_pins_that_cannot_be_had_are_told_with_what_to_do(
    tmp_path: Path, library: str | None, words: str
) -> None:
    """In a process of its own: whether lgpio is installed here must not matter."""
    (tmp_path / "lgpio.py").write_text("raise ImportError" if library is None else library)
    code = (
        "from gateway.domain.site import PanelPins\n"
        "from gpiozero.pins.local import LocalPiFactory\n"
        "LocalPiFactory._get_revision = lambda self: 0xc03115\n"
        "from gateway.drivers.panel import drive_safe\n"
        "print(*drive_safe(PanelPins(red=17), 'lgpio'))\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    told = subprocess.run(
        [sys.executable, "-c", code],
        check=True, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert told.stdout.startswith("gpio: PinsUnusable: ")
    assert words in told.stdout


def test_an_exception_in_the_thread_is_a_fault_and_the_thread_lives() -> None:
    events: list[Any] = []
    with open_panel(PINS, factory="mock", on_button=nothing, on_fault=events.append) as panel:
        panel.show("no signal")  # type: ignore[arg-type]
        until(lambda: events)
        assert (events[0].code, events[0].subject) == ("panel_failing", "thread")
        panel.show(ALARM)
        until(lambda: "red" in lit(panel))
        until(lambda: events[-1] == FaultCleared("panel_failing", "thread"))


class Thumb:
    """Whoever presses the button, on a clock that only they move; and what the panel says of it."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []
        self.now_ms = 1_000_000

    @contextmanager
    def panel(self) -> Iterator[Panel]:
        with open_panel(
            PINS,
            factory="mock",
            on_button=lambda: self.said.append(("pressed", _loop_or_none())),
            on_hold=lambda: self.said.append(("held", _loop_or_none())),
            on_fault=lambda event: self.said.append((type(event).__name__, event.subject)),
            mono=lambda: self.now_ms,
        ) as panel:
            until(lambda: "silence" in panel.wires._devices)
            until(lambda: panel._button is not None)
            yield panel

    @property
    def words(self) -> list[str]:
        return [word for word, _ in self.said]

    def pass_time(self, panel: Panel, ms: int) -> None:
        """Let the clock jump, with a decider that lives, and the thread see it."""
        self.now_ms += ms
        panel.beat(self.now_ms)
        panel._wake.set()
        until(lambda: panel.thread_beat() == self.now_ms)


def test_a_bouncing_press_is_one_and_a_spike_is_none() -> None:
    thumb = Thumb()
    with thumb.panel() as panel:
        pin = panel.wires.factory.pin(25)
        for _ in range(50):  # spikes, each over at once
            pin.drive_low()
            pin.drive_high()
        thumb.pass_time(panel, 100)
        for _ in range(3):  # a bouncing contact that comes to rest
            pin.drive_low()
            pin.drive_high()
        pin.drive_low()
        thumb.pass_time(panel, 30)
        until(lambda: thumb.words)
        pin.drive_high()
        thumb.pass_time(panel, 100)
        pin.drive_low()
        thumb.pass_time(panel, 30)
        until(lambda: len(thumb.words) > 1)
        pin.drive_high()
    assert thumb.words == ["pressed", "pressed"]


def test_a_button_held_three_seconds_asks_for_a_lamp_test_and_a_jammed_one_is_a_fault() -> None:
    thumb = Thumb()
    with thumb.panel() as panel:
        pin = panel.wires.factory.pin(25)
        pin.drive_low()
        thumb.pass_time(panel, 30)
        until(lambda: thumb.words == ["pressed"])
        thumb.pass_time(panel, 2_970)
        until(lambda: thumb.words == ["pressed", "held"])
        thumb.pass_time(panel, 57_000)
        until(lambda: thumb.said[2:] == [("FaultRaised", "silence")])
        pin.drive_high()
        thumb.pass_time(panel, 30)
        until(lambda: thumb.said[3:] == [("FaultCleared", "silence")])


def test_a_button_that_cannot_be_read_is_a_fault_and_is_opened_anew() -> None:
    thumb = Thumb()
    with thumb.panel() as panel:
        pin = panel.wires.factory.pin(25)
        whole = type(pin)

        def refuse(pin: Any) -> float:
            raise OSError("chip is gone")

        pin.__class__ = type("Broken", (whole,), {"_get_state": refuse})
        panel._wake.set()
        until(lambda: ("FaultRaised", "silence") in thumb.said)
        pin.__class__ = whole
        thumb.pass_time(panel, 20_000)
        until(lambda: ("FaultCleared", "silence") in thumb.said)
        until(lambda: panel._button is not None)
        panel.wires.factory.pin(25).drive_low()
        thumb.pass_time(panel, 30)
        until(lambda: "pressed" in thumb.words)


async def test_a_press_is_heard_in_the_loop_that_opened_the_panel() -> None:
    thumb = Thumb()
    with thumb.panel() as panel:
        panel.wires.factory.pin(25).drive_low()
        thumb.pass_time(panel, 30)
        async with asyncio.timeout(30):
            while not thumb.said:
                await asyncio.sleep(0.002)
    assert thumb.said == [("pressed", asyncio.get_running_loop())]


def test_only_the_pins_that_are_wired_are_touched() -> None:
    with open_panel(PanelPins(red=17), factory="mock", on_button=nothing, on_fault=print) as panel:
        panel.show(ALARM)
        until(lambda: lit(panel) == {"red"})
        assert set(panel.wires._devices) == {"red"}


def test_a_relay_board_that_switches_on_low_is_driven_low() -> None:
    pins = PanelPins(red=17, green=23, active_high=False)
    with open_panel(pins, factory="mock", on_button=nothing, on_fault=print) as panel:
        panel.show(NORMAL)
        until(lambda: "green" in panel.wires._devices)
        until(lambda: not panel.wires.factory.pin(23).state)
        assert panel.wires.factory.pin(17).state


def test_without_gpio_there_is_a_picture_with_a_word_for_each_lamp() -> None:
    with open_panel(PINS, factory="none", on_button=nothing, on_fault=print) as panel:
        panel.show(ALARM)
        assert panel.picture(Lang.ZH) == "● 报警  ○ 预警  ○ 故障  ● 正常  ○ 蜂鸣 -"
        assert panel.picture(Lang.EN) == "● ALARM  ○ WARNING  ○ FAULT  ● NORMAL  ○ BUZZER -"


def test_without_gpio_gpiozero_is_not_even_loaded() -> None:
    code = (
        "import sys\n"
        "from gateway.domain.site import PanelPins\n"
        "from gateway.drivers.panel import open_panel\n"
        "with open_panel(PanelPins(), factory='none', on_button=print, on_fault=print): pass\n"
        "sys.exit('gpiozero' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_two_panels_in_one_process_do_not_share_pins() -> None:
    with (
        open_panel(PINS, factory="mock", on_button=nothing, on_fault=print) as one,
        open_panel(PINS, factory="mock", on_button=nothing, on_fault=print) as two,
    ):
        one.show(ALARM)
        two.show(NORMAL)
        until(lambda: lit(one) == {"red", "green", "relay"})
        until(lambda: lit(two) == {"green", "relay"})


def test_what_was_logged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "pins.jsonl"
    code = (
        "import os, signal, sys, time\n"
        "from pathlib import Path\n"
        "from gateway.domain.site import PanelPins\n"
        "from gateway.domain.signals import Lamp, Pattern, Signal\n"
        "from gateway.drivers.panel import open_panel\n"
        f"path = Path({str(path)!r})\n"
        "pins = PanelPins(red=17)\n"
        "keep = dict(factory='mock', on_button=print, on_fault=print, log_path=path)\n"
        "with open_panel(pins, **keep) as p:\n"
        "    p.show(Signal(Lamp.ON, Lamp.OFF, Lamp.OFF, Lamp.OFF, Pattern.QUIET, 0))\n"
        "    while not path.exists() or not path.read_bytes(): time.sleep(0.002)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    (line,) = path.read_text().splitlines()
    assert json.loads(line)["pin"] == "red"
    assert json.loads(line)["level"] == 1


def test_the_safe_state_is_driven_and_says_what_failed() -> None:
    assert drive_safe(PINS, "mock") == []
    assert drive_safe(PINS, "none") == []
    (problem,) = drive_safe(PINS, "lgpio")
    assert problem.startswith("gpio: ")


def test_the_safe_state_is_yellow_only() -> None:
    assert vars_of(SAFE) == {
        n: n == "yellow" for n in ("red", "amber", "yellow", "green", "white", "buzzer")
    }
    assert Levels(red=False, amber=False, yellow=True, green=False, buzzer=False) == SAFE


def test_the_boot_signal_lights_all_lamps_at_the_pins() -> None:
    with open_panel(PINS, factory="mock", on_button=nothing, on_fault=print) as panel:
        panel.show(signal_for(PanelView(is_boot_test=True), None, mono()))
        until(lambda: lit(panel) - {"buzzer"} == {"red", "amber", "yellow", "green", "relay"})


def test_a_rehearsal_is_worked_out_in_the_panel_s_thread_and_sets_nothing() -> None:
    said: list[tuple[Levels, str]] = []

    def note(levels: Levels) -> None:
        said.append((levels, threading.current_thread().name))

    with open_panel(PINS, factory="mock", on_button=nothing, on_fault=print) as panel:
        panel.show(NORMAL)
        until(lambda: lit(panel) == {"green", "relay"})
        sounding = Signal(Lamp.BLINK_2, Lamp.OFF, Lamp.OFF, Lamp.ON, Pattern.A1, mono() - 300)
        panel.rehearse(sounding, note)
        until(lambda: said)
        levels, thread = said[0]
        assert (levels.red, levels.buzzer, thread) == (True, True, "panel")
        assert lit(panel) == {"green", "relay"}
        assert panel.signal is NORMAL
