"""The panel thread on gpiozero's mock pins: levels, faults, the silence button, leaving safely."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
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
    DEBOUNCE_MS,
    SAFE,
    Panel,
    debounce,
    drive_safe,
    mono,
    open_panel,
    vars_of,
)

PINS = PanelPins(red=17, amber=27, yellow=22, green=23, buzzer=24, silence=25, relay=5)
NORMAL = Signal(Lamp.OFF, Lamp.OFF, Lamp.OFF, Lamp.ON, Pattern.QUIET, 0)
ALARM = Signal(Lamp.ON, Lamp.OFF, Lamp.OFF, Lamp.ON, Pattern.QUIET, 0)
OUTPUTS = {"red": 17, "amber": 27, "yellow": 22, "green": 23, "buzzer": 24, "relay": 5}


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


def test_every_transition_is_a_line_with_its_time(tmp_path: Path) -> None:
    path = tmp_path / "pins.jsonl"
    with open_panel(PINS, factory="mock", on_button=nothing, on_fault=print, log_path=path) as p:
        shown = Signal(Lamp.OFF, Lamp.OFF, Lamp.OFF, Lamp.ON, Pattern.A1, mono())
        p.show(shown)
        until(lambda: path.read_text().count('"buzzer"') >= 4)
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


def test_an_exception_in_the_thread_is_a_fault_and_the_thread_lives() -> None:
    events: list[Any] = []
    with open_panel(PINS, factory="mock", on_button=nothing, on_fault=events.append) as panel:
        panel.show("no signal")  # type: ignore[arg-type]
        until(lambda: events)
        assert (events[0].code, events[0].subject) == ("panel_failing", "thread")
        panel.show(ALARM)
        until(lambda: "red" in lit(panel))
        until(lambda: events[-1] == FaultCleared("panel_failing", "thread"))


async def test_the_silence_button_is_heard_in_the_loop_once_a_press() -> None:
    presses: list[object] = []
    pressed = asyncio.Event()

    def on_button() -> None:
        presses.append(asyncio.get_running_loop())
        pressed.set()

    with open_panel(PINS, factory="mock", on_button=on_button, on_fault=print) as panel:
        async with asyncio.timeout(30):
            while "silence" not in panel.wires._devices:
                await asyncio.sleep(0.002)
            pin = panel.wires.factory.pin(25)
            for _ in range(3):  # a bouncing contact
                pin.drive_low()
                pin.drive_high()
            await pressed.wait()
        await asyncio.sleep(0)
    assert presses == [asyncio.get_running_loop()]


def test_bounces_are_one_press_and_a_bouncing_release_is_none() -> None:
    now, presses = [1_000], []
    pressed, released = debounce(lambda: presses.append(now[0]), lambda: now[0])
    for ms, edge in [
        (1_000, pressed), (1_004, released), (1_009, pressed),
        (1_600, released), (1_603, pressed), (1_607, released),
        (1_607 + DEBOUNCE_MS, pressed),
    ]:  # fmt: skip
        now[0] = ms
        edge()
    assert presses == [1_000, 1_607 + DEBOUNCE_MS]


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
        n: n == "yellow" for n in ("red", "amber", "yellow", "green", "buzzer")
    }
    assert Levels(red=False, amber=False, yellow=True, green=False, buzzer=False) == SAFE


def test_the_boot_signal_lights_all_lamps_at_the_pins() -> None:
    with open_panel(PINS, factory="mock", on_button=nothing, on_fault=print) as panel:
        panel.show(signal_for(PanelView(is_boot_test=True), None, mono()))
        until(lambda: lit(panel) - {"buzzer"} == {"red", "amber", "yellow", "green", "relay"})
