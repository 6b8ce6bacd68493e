"""The panel as a function of time: which signal the open alarms ask for, and what it looks like.

`signal_for` arbitrates (the highest row of the table wins the buzzer, lamps stand side by side);
`level_at` says what every output is at one millisecond; `next_change_ms` says when to look again.
Nothing here keeps time: the panel thread and the tests ask for any moment they like.

| Id | When                              | Buzzer: on, off ... ms, then a pause | Lamp          |
|----|-----------------------------------|--------------------------------------|---------------|
| E  | alarm unacknowledged for > 60 s   | 1000,200                             | red 4 Hz      |
| A1 | alarm: electrical fire, water ... | 250,250                              | red 2 Hz      |
| A2 | alarm: combustible gas            | 100,100 x 4, + 700                   | red 2 Hz      |
| W  | warning                           | 300,300 x 2, + 8000                  | amber 1 Hz    |
| F  | fault                             | 500,19500                            | yellow 1 Hz   |
| B  | boot: lamp test for 2 s           | one tone of 80                       | all on        |

Lamps blink while nobody has acknowledged and stand still afterwards. Patterns stay clear of the
evacuation signal T3 and the carbon monoxide signal T4 (`look_alike`).
"""

from dataclasses import dataclass, replace

from gateway.domain.alarms import AlarmState
from gateway.domain.rules import Severity, Sound
from gateway.domain.signals import Lamp, Levels, Pattern, Signal
from gateway.domain.text import Lang, Text

ESCALATE_AFTER_MS = 60_000
BOOT_TEST_MS = 2_000

PRIORITY = (Pattern.E, Pattern.A1, Pattern.A2, Pattern.W, Pattern.F, Pattern.B, Pattern.QUIET)

BEATS: dict[Pattern, tuple[int, ...]] = {  # on, off, on, off ... in ms, for ever
    Pattern.E: (1000, 200),
    Pattern.A1: (250, 250),
    Pattern.A2: (100, 100, 100, 100, 100, 100, 100, 800),
    Pattern.W: (300, 300, 300, 8300),
    Pattern.F: (500, 19_500),
}
BOOT_TONE_MS = 80

HALF_PERIOD_MS = {
    Lamp.BLINK_QUARTER: 2000,
    Lamp.BLINK_1: 500,
    Lamp.BLINK_2: 250,
    Lamp.BLINK_4: 125,
}

EVACUATION = {"T3": (500, 500, 3, 1500), "T4": (100, 100, 4, 5000)}  # on, off, beeps, pause


@dataclass(frozen=True, slots=True)
class PanelAlarm:
    """What the panel needs to know of one open alarm; `raised_mono_ms` is of this boot."""

    severity: Severity
    sound: Sound
    state: AlarmState
    is_sounding: bool
    raised_mono_ms: int
    is_drill: bool = False  # of a drill or a test: the drill prefix sounds first


@dataclass(frozen=True, slots=True)
class PanelView:
    """All that decides the signal.

    `is_buffering`: the platform does not get what we have. `is_polling_ok`: the decider runs and
    has buses to hear from; False takes the green lamp away. `is_post_check`: asked, unanswered.
    `is_limited`: something is shelved, out of service or under test, or a drill runs (yellow
    stands still). `round_overdue_since_ms` (mono): until the round is done or its window ends.
    """

    alarms: tuple[PanelAlarm, ...] = ()
    is_boot_test: bool = False
    is_buffering: bool = False
    is_polling_ok: bool = True
    escalate_after_ms: int = ESCALATE_AFTER_MS
    is_post_check: bool = False
    is_limited: bool = False
    is_night: bool = False
    round_overdue_since_ms: int | None = None
    link_down_since_ms: int | None = None


def signal_for(view: PanelView, previous: Signal | None, mono_ms: int) -> Signal:
    """Return what the panel shall show now; `since_ms` goes on while the same thing sounds.

    It starts anew when the pattern changes and when a new alarm joins the same pattern, so that
    a new alarm is heard at once. An alarm breaks the lamp test off; a warning or fault does not.
    """
    patterns = {alarm: _pattern(alarm, view, mono_ms) for alarm in view.alarms if alarm.is_sounding}
    idle = Pattern.B if view.is_boot_test else Pattern.QUIET
    pattern = min((*patterns.values(), idle), key=PRIORITY.index)
    if view.is_boot_test and pattern not in (Pattern.E, Pattern.A1, Pattern.A2):
        lamps = (Lamp.ON, Lamp.ON, Lamp.ON, Lamp.ON)
    else:
        lamps = _lamps(view, mono_ms)
    newest = max((a.raised_mono_ms for a, p in patterns.items() if p is pattern), default=None)
    signal = Signal(*lamps, pattern, _since(pattern, newest, previous, mono_ms))
    return previous if previous is not None and signal == previous else signal


def fault_signal(mono_ms: int, shown: Signal | None = None) -> Signal:
    """Return what the panel thread shows by itself when the decider no longer beats.

    Green goes, yellow blinks, the fault pattern sounds; an alarm or warning that was `shown`
    stays on its lamp, and a louder pattern goes on: nobody is left to say that it is over.
    """
    if shown is None:
        return Signal(Lamp.OFF, Lamp.OFF, Lamp.BLINK_1, Lamp.OFF, Pattern.F, mono_ms)
    if shown.pattern is Pattern.B:  # the lamps of a test mean nothing
        shown = replace(shown, red=Lamp.OFF, amber=Lamp.OFF)
    keeps = PRIORITY.index(shown.pattern) <= PRIORITY.index(Pattern.F)
    return Signal(
        shown.red,
        shown.amber,
        Lamp.BLINK_1,
        Lamp.OFF,
        shown.pattern if keeps else Pattern.F,
        shown.since_ms if keeps else mono_ms,
    )


def level_at(signal: Signal, mono_ms: int) -> Levels:
    """Return every output at one moment; before `since_ms` as at `since_ms`."""
    elapsed = max(0, mono_ms - signal.since_ms)
    return Levels(
        red=_is_lit(signal.red, elapsed),
        amber=_is_lit(signal.amber, elapsed),
        yellow=_is_lit(signal.yellow, elapsed),
        green=_is_lit(signal.green, elapsed),
        buzzer=_is_sounding(signal.pattern, elapsed),
    )


def next_change_ms(signal: Signal, mono_ms: int) -> int | None:
    """Return the first moment after `mono_ms` at which a level may change, None when never."""
    elapsed = max(0, mono_ms - signal.since_ms)
    lamps = (signal.red, signal.amber, signal.yellow, signal.green)
    waits = [half - elapsed % half for lamp in lamps if (half := HALF_PERIOD_MS.get(lamp))]
    if signal.pattern is Pattern.B and elapsed < BOOT_TONE_MS:
        waits.append(BOOT_TONE_MS - elapsed)
    elif beats := BEATS.get(signal.pattern):
        waits.append(_beat_at(beats, elapsed)[1])
    return signal.since_ms + elapsed + min(waits) if waits else None


def look_alike(beats: tuple[int, ...]) -> str | None:
    """Return `T3` or `T4` when a cyclic on/off pattern could be taken for it, else None.

    Same number of beeps before the pause, beeps and gaps within 25 %, pause within 50 %.
    Source: ISO 8201 (T3, three beeps of 0.5 s); UL 2034 (T4, four of 0.1 s, then 5 s).
    """
    on, off = beats[0::2], beats[1::2]
    for name, (beep, gap, count, pause) in EVACUATION.items():
        if (
            len(on) == count
            and all(abs(ms - beep) <= beep / 4 for ms in on)
            and all(abs(ms - gap) <= gap / 4 for ms in off[:-1])
            and abs(off[-1] - pause) <= pause / 2
        ):
            return name
    return None


def _pattern(alarm: PanelAlarm, view: PanelView, mono_ms: int) -> Pattern:
    return Pattern.E if _is_escalated(alarm, view, mono_ms) else Pattern(alarm.sound.value)


def _is_escalated(alarm: PanelAlarm, view: PanelView, mono_ms: int) -> bool:
    return (
        alarm.severity is Severity.ALARM
        and alarm.state.is_unacknowledged
        and mono_ms - alarm.raised_mono_ms >= view.escalate_after_ms
    )


def _lamps(view: PanelView, mono_ms: int) -> tuple[Lamp, Lamp, Lamp, Lamp]:
    """Red, amber, yellow, green."""
    is_harder = any(_is_escalated(alarm, view, mono_ms) for alarm in view.alarms)
    green = Lamp.BLINK_QUARTER if view.is_buffering else Lamp.ON
    return (
        _lamp(view, Severity.ALARM, Lamp.BLINK_4 if is_harder else Lamp.BLINK_2),
        _lamp(view, Severity.WARNING, Lamp.BLINK_1),
        _lamp(view, Severity.FAULT, Lamp.BLINK_1),
        green if view.is_polling_ok else Lamp.OFF,
    )


def _lamp(view: PanelView, severity: Severity, blink: Lamp) -> Lamp:
    """Blinking while one of this severity waits for a person, silenced or not."""
    states = [alarm.state for alarm in view.alarms if alarm.severity is severity]
    if any(state.is_unacknowledged for state in states):
        return blink
    return Lamp.ON if any(state.is_open for state in states) else Lamp.OFF


def _since(pattern: Pattern, newest: int | None, previous: Signal | None, mono_ms: int) -> int:
    if previous is None or previous.pattern is not pattern:
        return mono_ms
    is_new = pattern is not Pattern.E and newest is not None and newest > previous.since_ms
    return mono_ms if is_new else previous.since_ms


def _is_lit(lamp: Lamp, elapsed: int) -> bool:
    half = HALF_PERIOD_MS.get(lamp)
    return lamp is Lamp.ON if half is None else elapsed // half % 2 == 0


def _is_sounding(pattern: Pattern, elapsed: int) -> bool:
    if pattern is Pattern.B:
        return elapsed < BOOT_TONE_MS
    beats = BEATS.get(pattern)
    return beats is not None and _beat_at(beats, elapsed)[0]


def _beat_at(beats: tuple[int, ...], elapsed: int) -> tuple[bool, int]:
    """Return whether it sounds, and for how many ms more it stays like that."""
    rest = elapsed % sum(beats)
    for index, length in enumerate(beats):
        if rest < length:
            return index % 2 == 0, length - rest
        rest -= length
    raise AssertionError("the rest of a division is less than the divisor")


WORDS = {  # colour never stands alone: each lamp has a printed word
    "red": Text("报警", "ALARM"),
    "amber": Text("预警", "WARNING"),
    "yellow": Text("故障", "FAULT"),
    "green": Text("正常", "NORMAL"),
    "buzzer": Text("蜂鸣", "BUZZER"),
}


def picture(levels: Levels, pattern: Pattern, lang: Lang) -> str:
    """Return the panel as one line of text, for terminals: a word and a mark per output."""
    marks = {True: "●", False: "○"}
    lamps = [f"{marks[getattr(levels, name)]} {WORDS[name].in_(lang)}" for name in WORDS]
    return "  ".join([*lamps[:-1], f"{lamps[-1]} {pattern.value}"])
