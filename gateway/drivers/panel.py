"""The panel's wires: the only door to gpiozero, and the one thread that sets its pins.

`show` and `beat` swap one reference. The thread asks the pure `level_at` which level each output
has at this moment, sets those that changed and sleeps until the next change. When the decider's
beat is older than five seconds the thread shows the fault pattern by itself.

After a change `show` lets the thread go first (ADR 019): it waits until the pins are set, at most
5 ms, and not at all while the thread is one that did not come round in that time.
"""

import json
import logging
import os
import tempfile
import threading
import time
from asyncio import AbstractEventLoop, get_running_loop
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.core.button import Button, Press, due_ms, found, take_edge, take_level
from gateway.core.panel import (
    fault_signal,
    level_at,
    next_change_ms,
    next_pulse_ms,
    picture,
    relay_at,
)
from gateway.core.patterns import BEATS, Beats
from gateway.domain.errors import PinsUnusable
from gateway.domain.events import FaultCleared, FaultRaised
from gateway.domain.signals import Lamp, Levels, Pattern, Signal
from gateway.domain.site import PanelPins
from gateway.domain.text import Lang
from gateway.drivers.gpio import Gpio

log = logging.getLogger(__name__)

FAULT = "panel_failing"
BEAT_LIMIT_MS = 5_000
LOOK_EVERY_MS = 1_000  # the thread's own beat, also when nothing changes
RETRY_MS = (1_000, 15_000)  # first and longest wait before a failed pin is opened again
STOP_WITHIN_S = 2.0
NO_LIBRARY = "no usable lgpio: apt-get install python3-lgpio, then scripts/install again"
GIVE_WAY_S = 0.005  # a turn takes 0.3 ms; a thread that hangs in a driver holds up no longer

OUTPUTS = (
    "buzzer",
    "red",
    "amber",
    "yellow",
    "green",
    "white",
)  # set in this order: heard before seen
SAFE = Levels(red=False, amber=False, yellow=True, green=False, buzzer=False)
DARK = Signal(Lamp.OFF, Lamp.OFF, Lamp.OFF, Lamp.OFF, Pattern.QUIET, 0)

Report = Callable[[FaultRaised | FaultCleared], None]


def mono() -> int:
    """Return CLOCK_BOOTTIME in ms, the scale of `Signal.since_ms`."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Wires:
    """The pins, opened when first needed and again after errors; only the panel thread sets them.

    Each failing output is one fault, raised once and cleared once; the others go on. `factory`
    makes gpiozero's pin factory; None: there are no pins and nothing is ever set.
    """

    def __init__(
        self,
        pins: PanelPins,
        factory: Callable[[], Any] | None,
        on_fault: Report,
        on_edge: Callable[[bool], None],
    ) -> None:
        self._pins = pins
        self._make_factory = factory
        self._report = on_fault
        self._on_edge = on_edge
        self.factory: Any = None
        self._devices: dict[str, Any] = {}
        self._written: dict[str, bool] = {}
        self._failing: dict[str, tuple[int, int]] = {}  # output: retry at, last wait (ms)

    @property
    def has_pins(self) -> bool:
        return self._make_factory is not None

    @property
    def retry_at_ms(self) -> int | None:
        return min((at for at, _ in self._failing.values()), default=None)

    def write(self, levels: Mapping[str, bool], mono_ms: int) -> None:
        """Set what differs from the last write, and see that the button is open. Never raises."""
        if self._make_factory is None:
            return
        if not self._try("gpio", mono_ms, self._open_factory):
            return
        if self._pins.silence is not None and "silence" not in self._devices:
            self._try("silence", mono_ms, self._open_button)
        for name, level in levels.items():
            if getattr(self._pins, name) is not None and self._written.get(name) is not level:
                self._try(name, mono_ms, lambda name=name, level=level: self._set(name, level))  # type: ignore[misc]

    def is_button_down(self, mono_ms: int) -> bool | None:
        """Return the contact's level at this moment; None when it cannot be read. Never raises."""
        button = self._devices.get("silence")
        if button is None:
            return None
        try:
            return bool(button.is_active)
        except Exception as error:  # noqa: BLE001 - as in _try; the next write opens it anew
            self._fail("silence", error, mono_ms, 0)
            return None

    def close(self) -> None:
        """Give the pins back. They then fall to their pull; the kernel decides on a Pi."""
        for name in tuple(self._devices):
            self._close(name)
        if self.factory is not None:
            self.factory.close()

    def _try(self, name: str, mono_ms: int, do: Callable[[], None]) -> bool:
        retry_at, wait = self._failing.get(name, (mono_ms, 0))
        if mono_ms < retry_at:
            return False
        try:
            do()
        except Exception as error:  # noqa: BLE001 - gpiozero, lgpio and the kernel raise what they like
            self._fail(name, error, mono_ms, wait)
            return False
        if self._failing.pop(name, None) is not None:
            self._report(FaultCleared(FAULT, name))
        return True

    def _fail(self, name: str, error: Exception, mono_ms: int, wait: int) -> None:
        wait = min(max(RETRY_MS[0], 2 * wait), RETRY_MS[1])
        if name not in self._failing:
            self._report(FaultRaised(FAULT, name, f"{type(error).__name__}: {error}"))
        self._failing[name] = (mono_ms + wait, wait)
        self._close(name)

    def _open_factory(self) -> None:
        if self.factory is None and self._make_factory is not None:
            self.factory = self._make_factory()

    def _open_button(self) -> None:
        from gpiozero import DigitalInputDevice  # noqa: PLC0415 - not loaded where there are no pins

        button = DigitalInputDevice(self._pins.silence, pull_up=True, pin_factory=self.factory)
        button.when_activated = lambda: self._on_edge(True)
        button.when_deactivated = lambda: self._on_edge(False)
        self._devices["silence"] = button

    def _set(self, name: str, level: bool) -> None:
        from gpiozero import DigitalOutputDevice  # noqa: PLC0415 - not loaded where there are no pins

        device = self._devices.get(name)
        if device is None:
            device = DigitalOutputDevice(
                getattr(self._pins, name),
                active_high=self._pins.active_high,
                initial_value=level,
                pin_factory=self.factory,
            )
            self._devices[name] = device
        device.value = level
        self._written[name] = level

    def _close(self, name: str) -> None:
        self._written.pop(name, None)
        device = self._devices.pop(name, None)
        if device is None:
            return
        try:
            device.close()
        except Exception as error:  # noqa: BLE001 - a pin that fails may also fail to close
            log.warning("panel output %s does not close: %s", name, error)


class Panel:
    """What the daemon holds. `show` and `beat` belong to the decider and never raise."""

    def __init__(
        self,
        pins: PanelPins,
        factory: Callable[[], Any] | None,
        on_fault: Report,
        on_press: Callable[[Press], None],
        mono: Callable[[], int],
        beats: Beats = BEATS,
    ) -> None:
        self._beats = beats
        self._relay_mode = pins.relay_mode
        self.wires = Wires(pins, factory, on_fault, self._note_edge)
        self._mono = mono
        self._report = on_fault
        self._on_press = on_press
        self._button: Button | None = None  # None: not read yet
        self._edges: deque[tuple[int, bool]] = deque()  # from gpiozero's thread to the panel's
        self._rehearsals: deque[tuple[Signal, Callable[[Levels], None]]] = deque()
        self._shown = DARK
        self._alone: tuple[Signal, Signal] | None = None  # what was shown, what is shown instead
        self._beat = self._thread_beat = mono()
        self._wake = threading.Event()
        self._is_set = threading.Event()  # the pins show what was shown last
        self._is_prompt = False  # the thread came round: worth giving way to
        self._is_stopping = False
        self._is_failing = self._is_said_alone = False
        self._thread = threading.Thread(target=self._run, name="panel", daemon=True)

    def show(self, signal: Signal) -> None:
        """Show this from now on; nobody is woken for what is shown already.

        Returns when the pins are set, or after 5 ms: the thread needs the interpreter for that, and
        whoever decides would otherwise go on using it.
        """
        if signal is self._shown:
            return
        self._shown = signal
        self._is_set.clear()
        self._wake.set()
        if self._is_prompt:
            self._is_prompt = self._is_set.wait(GIVE_WAY_S)

    def rehearse(self, signal: Signal, done: Callable[[Levels], None]) -> None:
        """Have the thread work out what it would set for a signal, and set nothing of it.

        `done` is called in the thread, with the levels at the signal's beginning.
        """
        self._rehearsals.append((signal, done))
        self._wake.set()

    def beat(self, mono_ms: int) -> None:
        """Say that the decider lives."""
        self._beat = mono_ms
        if self._alone is not None:
            self._wake.set()

    def thread_beat(self) -> int:
        """Return when (mono ms) the thread last came round; at most a second ago when it lives."""
        return self._thread_beat

    @property
    def signal(self) -> Signal:
        """What is shown now: the decider's signal, or the thread's own."""
        alone = self._alone
        return self._shown if alone is None else alone[1]

    @property
    def has_pins(self) -> bool:
        """False where the panel is only a picture."""
        return self.wires.has_pins

    @property
    def levels(self) -> Levels:
        return level_at(self.signal, self._mono(), self._beats)

    def picture(self, lang: Lang = Lang.ZH) -> str:
        """Return the panel as one line of text."""
        return picture(self.levels, self.signal.pattern, lang)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread and leave the outputs in the fault state."""
        self._is_stopping = True
        self._wake.set()
        self._thread.join(STOP_WITHIN_S)
        if self._thread.is_alive():
            log.error("panel thread hangs in the GPIO driver; outputs stay as they are")
            return
        self.wires.write(vars_of(SAFE) | {"relay": False}, self._mono())
        self.wires.close()

    def _run(self) -> None:
        while not self._is_stopping:
            self._wake.wait(self._guarded_turn() / 1000)
            self._wake.clear()

    def _guarded_turn(self) -> int:
        try:
            wait_ms = self._turn()
        except Exception as error:
            if not self._is_failing:
                self._is_failing = True
                log.exception("panel thread failed; it goes on")
                self._report(FaultRaised(FAULT, "thread", f"{type(error).__name__}: {error}"))
            return LOOK_EVERY_MS
        if self._is_failing:
            self._is_failing = False
            self._report(FaultCleared(FAULT, "thread"))
        return wait_ms

    def _turn(self) -> int:
        """Set the levels of this moment; return how many ms they stay right."""
        mono_ms = self._thread_beat = self._mono()
        shown, beat = self._shown, self._beat
        is_alone = mono_ms - beat > BEAT_LIMIT_MS
        if not is_alone:
            self._alone = None
            if self._is_said_alone:
                self._is_said_alone = False
                log.warning("somebody decides again")
        elif self._alone is None or self._alone[0] is not shown:
            self._alone = (shown, fault_signal(mono_ms, shown))
            if not self._is_said_alone:
                self._is_said_alone = True
                log.error("nobody decides, the panel shows it age_ms=%s", mono_ms - beat)
        signal = self.signal
        levels = vars_of(level_at(signal, mono_ms, self._beats))
        levels["relay"] = relay_at(signal, self._relay_mode, mono_ms)
        self.wires.write(levels, mono_ms)
        if signal is self._shown:
            self._is_prompt = True
            self._is_set.set()
        self._read_button(self._mono())
        while self._rehearsals:
            rehearsed, done = self._rehearsals.popleft()
            done(level_at(rehearsed, rehearsed.since_ms, self._beats))
        times = (
            next_change_ms(signal, mono_ms, self._beats),
            next_pulse_ms(signal, self._relay_mode, mono_ms),
            None if self._button is None else due_ms(self._button),
            self.wires.retry_at_ms,
            None if is_alone else beat + BEAT_LIMIT_MS + 1,
            mono_ms + LOOK_EVERY_MS,
        )
        return max(0, min(at for at in times if at is not None) - self._mono())

    def _note_edge(self, is_down: bool) -> None:
        self._edges.append((self._mono(), is_down))
        self._wake.set()

    def _read_button(self, mono_ms: int) -> None:
        """Take every edge since the last turn, then the level itself: an edge may be lost."""
        edges = [self._edges.popleft() for _ in range(len(self._edges))]
        is_down = self.wires.is_button_down(mono_ms)  # after the edges: it is the newest
        if is_down is None:
            self._button = None
        elif self._button is None:
            self._button = found(is_down, mono_ms)
        else:
            for at_ms, level in edges:
                self._button, said = take_edge(self._button, level, at_ms)
                self._say(said)
            self._button, said = take_level(self._button, is_down, mono_ms)
            self._say(said)

    def _say(self, said: tuple[Press, ...]) -> None:
        for press in said:
            if press is Press.STUCK:
                self._report(FaultRaised(FAULT, "silence", "button held down for a minute"))
            elif press is Press.FREED:
                self._report(FaultCleared(FAULT, "silence"))
            else:
                self._on_press(press)


@contextmanager
def open_panel(
    pins: PanelPins,
    *,
    factory: str = Gpio.AUTO,
    on_button: Callable[[], None],
    on_hold: Callable[[], None] = lambda: None,
    on_fault: Report,
    log_path: Path | None = None,
    mono: Callable[[], int] = mono,
    beats: Beats = BEATS,
) -> Iterator[Panel]:
    """Give a running panel; on leaving, also by an exception, outputs go to the fault state.

    `on_button` (the silence button was pressed), `on_hold` (and then held for three seconds) and
    `on_fault` (code `panel_failing`, subject an output, `silence`, `gpio` or `thread`) are called
    in the event loop that opens the panel, or in the panel's thread when there is none. With the
    mock factory every pin transition is appended to `log_path`, one JSON line each:
    {"t": mono ms, "pin": "red", "level": 0 | 1}, before the level counts as set. `beats` are the
    rhythms of the buzzer, where the house has its own.
    """
    loop = _loop_or_none()

    def report(event: FaultRaised | FaultCleared) -> None:
        _call(loop, lambda: on_fault(event))

    def press(press: Press) -> None:
        _call(loop, on_hold if press is Press.HELD else on_button)

    gpio = _choose(Gpio(factory))
    with _pin_factory(gpio, pins, log_path) as make:
        panel = Panel(pins, make, report, press, mono, beats)
        panel.start()
        try:
            yield panel
        finally:
            panel.stop()


def drive_safe(pins: PanelPins, factory: str = Gpio.AUTO) -> list[str]:
    """Put the outputs into the fault state and keep them driven; return what went wrong.

    For `ExecStopPost=`: the caller ends with `os._exit`, because giving a pin back turns it into
    an input, while the kernel keeps the level of a pin whose process just ends.
    """
    problems: list[str] = []

    def note(event: FaultRaised | FaultCleared) -> None:
        if isinstance(event, FaultRaised):
            problems.append(f"{event.subject}: {event.detail}")

    outputs = replace(pins, silence=None)
    with _pin_factory(_choose(Gpio(factory)), outputs, None) as make:
        wires = Wires(outputs, make, note, lambda _is_down: None)
        wires.write(vars_of(SAFE) | {"relay": False}, mono())
        KEPT.append(wires)
    return problems


KEPT: list[Wires] = []  # what `drive_safe` must not let the garbage collector close


def vars_of(levels: Levels) -> dict[str, bool]:
    """Return the levels by the names of `PanelPins`."""
    return {name: getattr(levels, name) for name in OUTPUTS}


def _choose(gpio: Gpio) -> Gpio:
    if gpio is not Gpio.AUTO:
        return gpio
    if any(Path("/dev").glob("gpiochip*")):
        return Gpio.LGPIO
    log.warning("panel: this machine has no GPIO; the panel is a picture only")
    return Gpio.NONE


@contextmanager
def _pin_factory(
    gpio: Gpio, pins: PanelPins, log_path: Path | None
) -> Iterator[Callable[[], Any] | None]:
    if gpio is Gpio.NONE:
        yield None
    elif gpio is Gpio.LGPIO:
        yield _open_lgpio
    elif log_path is None:
        yield _open_mock
    else:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(log_path, flags, 0o640)
        try:
            yield lambda: _open_mock(_recorder(pins, descriptor))
        finally:
            os.close(descriptor)


def _open_lgpio() -> Any:
    # lgpio makes its notification pipe in the working directory, which a unit cannot write to.
    os.environ.setdefault("LG_WD", os.environ.get("RUNTIME_DIRECTORY") or tempfile.gettempdir())
    try:
        from gpiozero.pins.lgpio import LGPIOFactory  # noqa: PLC0415 - only where there are pins

        return LGPIOFactory()
    except (ImportError, AttributeError) as error:  # none, or the empty one of old indexes
        raise PinsUnusable(f"{NO_LIBRARY} ({error})") from error
    except Exception as error:
        raise PinsUnusable(f"{error}; care-gateway doctor says what to do") from error


def _open_mock(told: Callable[[str, int], None] | None = None) -> Any:
    """Mock pins; `told` hears of each change of an output: its pin's name and level."""
    from gpiozero.pins.mock import MockFactory, MockPin  # noqa: PLC0415 - as above

    class Pin(MockPin):  # type: ignore[misc]
        def _change_state(self, value: float) -> bool:
            is_changed = bool(super()._change_state(value))
            self.states.clear()  # or it remembers each one, for as long as the daemon lives
            if is_changed and told is not None and self.function == "output":
                told(self.info.name, int(value))
            return is_changed

    return MockFactory(revision="c03115", pin_class=Pin)  # a Pi 4


def _recorder(pins: PanelPins, descriptor: int) -> Callable[[str, int], None]:
    """Return what writes each change as one line.

    One `write` to an O_APPEND file a line: what was written survives SIGKILL.
    """
    names = {f"GPIO{getattr(pins, name)}": name for name in (*OUTPUTS, "relay")}

    def record(pin: str, level: int) -> None:
        t = time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6
        line = {"t": t, "pin": names.get(pin), "level": level}
        os.write(descriptor, json.dumps(line).encode() + b"\n")

    return record


def _loop_or_none() -> AbstractEventLoop | None:
    try:
        return get_running_loop()
    except RuntimeError:
        return None


def _call(loop: AbstractEventLoop | None, do: Callable[[], None]) -> None:
    if loop is None:
        do()
    elif not loop.is_closed():
        loop.call_soon_threadsafe(do)
