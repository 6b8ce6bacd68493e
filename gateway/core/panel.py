"""The panel as a function of time: which signal the open alarms ask for, and what it looks like.

`signal_for` arbitrates (the highest row of the table wins the buzzer, lamps stand side by side);
`level_at` says what every output is at one millisecond; `next_change_ms` says when to look again.
Nothing here keeps time: the panel thread and the tests ask for any moment they like.

| Id | When                           | Buzzer: on, off ... ms, then a pause | Lamp                |
|----|--------------------------------|--------------------------------------|---------------------|
| E  | alarm unacknowledged > 60 s    | 1000,200                             | red 4 Hz            |
| A1 | alarm: electrical fire, water  | 250,250                              | red 2 Hz            |
| A2 | alarm: combustible gas         | 100,100 x 4, + 700                   | red 2 Hz            |
| A3 | alarm: carbon monoxide         | T4: 100,100 x 4, + 4900              | red 2 Hz            |
| Q  | post check, unanswered         | 100,100 x 5, + 4000                  | white or green 4 Hz |
| W  | warning                        | 300,300 x 2, + 8000                  | amber 1 Hz          |
| F  | fault                          | 500,19500                            | yellow 1 Hz         |
| U  | uplink down > 5 min            | 60,100 x 2, once an hour             | green 0.25 Hz       |
| R  | round overdue                  | 80,120 x 3, every ten minutes        | white or green 1 Hz |
| D  | drill, test: before the others | 100,900 for 10 s                     | yellow on           |
| k1 | feedback: done                 | 80                                   | green flashes       |
| k2 | feedback: done already         | 50,50 x 2                            | amber flashes       |
| k3 | feedback: unknown              | 600                                  | red flashes         |
| B  | boot: lamp test for 2 s        | one tone of 80                       | all on              |

Lamps blink while nobody has acknowledged and stand still afterwards. By night W, F, U and R are
seen, not heard; E, A1-A3 and Q always sound. A real alarm takes the buzzer from a drill. U and R
beep so rarely that each is heard in the other's pause; feedback tones only where nothing sounds.
`core.patterns` keeps every rhythm clear of the evacuation signals T3 and T4 (A3 is T4 on purpose).
"""

from dataclasses import dataclass, replace

from gateway.core.patterns import ALARMS, BEATS, Beat, Beats, beat_at
from gateway.domain.alarms import AlarmState
from gateway.domain.rules import Severity, Sound
from gateway.domain.signals import Lamp, Levels, Pattern, Signal
from gateway.domain.site import RelayMode
from gateway.domain.text import Lang, Text

ESCALATE_AFTER_MS = 60_000
UPLINK_DOWN_MS = 300_000
BOOT_TEST_MS = 2_000
DRILL_PREFIX_MS = 10_000
RELAY_HALF_MS = 500  # in pulse mode
FLASH_MS = 1_000  # of the lamp that goes with a feedback tone

LAMPS = ("red", "amber", "yellow", "green", "white")

PRIORITY = (
    Pattern.E, Pattern.A1, Pattern.A2, Pattern.A3, Pattern.Q, Pattern.W, Pattern.F,
    Pattern.U, Pattern.R, Pattern.B, Pattern.QUIET,
)  # fmt: skip
BY_DAY = frozenset({Pattern.W, Pattern.F, Pattern.U, Pattern.R})  # lamp only at night
LEAVE_ROOM = frozenset({Pattern.U, Pattern.R, Pattern.QUIET})  # others may sound meanwhile

HALF_PERIOD_MS = {
    Lamp.BLINK_QUARTER: 2000,
    Lamp.BLINK_1: 500,
    Lamp.BLINK_2: 250,
    Lamp.BLINK_4: 125,
}
FLASHES = {Pattern.K1: "green", Pattern.K2: "amber", Pattern.K3: "red"}


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
    `silenced`: U and R, when a person has silenced what they tell of. `tone` is feedback.
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
    silenced: frozenset[Pattern] = frozenset()
    tone: Pattern = Pattern.QUIET
    tone_since_ms: int = 0
    has_white: bool = False  # a lamp of its own for post check and patrol


def signal_for(view: PanelView, previous: Signal | None, mono_ms: int) -> Signal:
    """Return what the panel shall show now; `since_ms` goes on while the same thing sounds.

    It starts anew when the pattern changes and when a new alarm joins the same pattern, so that
    a new alarm is heard at once. An alarm breaks the lamp test off; a warning or fault does not.
    """
    sounding = _sounding(view, mono_ms)
    chirps = _chirps(view, mono_ms)
    pattern = _highest(view, sounding, chirps)
    heard = [alarm for alarm, its in sounding if its is pattern]
    prefix_ms = DRILL_PREFIX_MS if heard and all(alarm.is_drill for alarm in heard) else 0
    second = next((chirp for chirp in chirps if chirp is not pattern), Pattern.QUIET)
    is_lamp_test = view.is_boot_test and pattern not in ALARMS
    red, amber, yellow, green, white = (Lamp.ON,) * 5 if is_lamp_test else _lamps(view, mono_ms)
    since_ms = chirps.get(pattern)
    if since_ms is None:
        newest = max((alarm.raised_mono_ms for alarm in heard), default=0)
        since_ms = _since(pattern, prefix_ms, newest, previous, mono_ms)
    signal = Signal(
        red=red,
        amber=amber,
        yellow=yellow,
        green=green,
        pattern=pattern,
        since_ms=since_ms,
        prefix_ms=prefix_ms,
        white=white,
        chirp=second if pattern in LEAVE_ROOM else Pattern.QUIET,
        chirp_since_ms=chirps.get(second, 0) if pattern in LEAVE_ROOM else 0,
        tone=view.tone,
        tone_since_ms=view.tone_since_ms,
        is_healthy=view.is_polling_ok and not _is_open(view, Severity.FAULT),
    )
    return previous if previous is not None and signal == previous else signal


def fault_signal(mono_ms: int, shown: Signal | None = None) -> Signal:
    """Return what the panel thread shows by itself when the decider no longer beats.

    Green goes, yellow blinks, the fault pattern sounds, by night too: nothing is watched any
    more. An alarm or warning that was `shown` stays on its lamp, and a louder pattern goes on:
    nobody is left to say that it is over. A post check ends: nobody could take the answer.
    """
    fault = Signal(Lamp.OFF, Lamp.OFF, Lamp.BLINK_1, Lamp.OFF, Pattern.F, mono_ms)
    if shown is None or shown.pattern is Pattern.B:  # the lamps of a test mean nothing
        return fault
    fault = replace(fault, red=shown.red, amber=shown.amber)
    if shown.pattern not in (*ALARMS, Pattern.W, Pattern.F):
        return fault
    return replace(fault, pattern=shown.pattern, since_ms=shown.since_ms, prefix_ms=shown.prefix_ms)


def level_at(signal: Signal, mono_ms: int, beats: Beats = BEATS) -> Levels:
    """Return every output at one moment; before `since_ms` as at `since_ms`."""
    elapsed = max(0, mono_ms - signal.since_ms)
    lamps = {name: _is_lit(getattr(signal, name), elapsed) for name in LAMPS}
    flashing, flashed = _flashing(signal), mono_ms - signal.tone_since_ms
    if flashing is not None and 0 <= flashed < FLASH_MS:
        lamps[flashing] = _is_lit(Lamp.BLINK_4, flashed)
    return Levels(**lamps, buzzer=any(beat.is_on for beat in _heard(signal, mono_ms, beats)))


def next_change_ms(signal: Signal, mono_ms: int, beats: Beats = BEATS) -> int | None:
    """Return the first moment after `mono_ms` at which a level may change, None when never."""
    elapsed = max(0, mono_ms - signal.since_ms)
    halves = [HALF_PERIOD_MS.get(getattr(signal, name)) for name in LAMPS]
    waits = [signal.since_ms + elapsed - mono_ms + half - elapsed % half for half in halves if half]
    waits += [beat.left_ms for beat in _heard(signal, mono_ms, beats) if beat.left_ms is not None]
    flashed = mono_ms - signal.tone_since_ms
    if _flashing(signal) is not None and flashed < FLASH_MS:
        half = HALF_PERIOD_MS[Lamp.BLINK_4]
        waits.append(half - flashed % half if flashed >= 0 else -flashed)
    return mono_ms + min(waits) if waits else None


def relay_at(signal: Signal, mode: RelayMode, mono_ms: int) -> bool:
    """Return whether the fault relay's output is on: held, or in pulse mode a 1 Hz square wave."""
    return signal.is_healthy and (mode is RelayMode.STEADY or mono_ms // RELAY_HALF_MS % 2 == 0)


def next_pulse_ms(signal: Signal, mode: RelayMode, mono_ms: int) -> int | None:
    """Return when the fault relay's output changes next by itself; None when never."""
    if mode is RelayMode.STEADY or not signal.is_healthy:
        return None
    return mono_ms - mono_ms % RELAY_HALF_MS + RELAY_HALF_MS


def _heard(signal: Signal, mono_ms: int, beats: Beats) -> list[Beat]:
    """The rhythms that act on the buzzer at this moment; it sounds when one of them does."""
    early = max(0, signal.since_ms - mono_ms)
    elapsed = max(0, mono_ms - signal.since_ms)
    if elapsed < signal.prefix_ms:
        beat = beat_at(Pattern.D, elapsed, beats)
        left = signal.prefix_ms - elapsed
        main = replace(beat, left_ms=left if beat.left_ms is None else min(left, beat.left_ms))
    else:
        main = beat_at(signal.pattern, elapsed - signal.prefix_ms, beats)
    if main.left_ms is not None:
        main = replace(main, left_ms=early + main.left_ms)
    heard = [main]
    if signal.pattern in LEAVE_ROOM:
        heard.append(_beat_since(signal.chirp, signal.chirp_since_ms, mono_ms, beats))
        heard.append(_beat_since(signal.tone, signal.tone_since_ms, mono_ms, beats))
    return heard


def _beat_since(pattern: Pattern, since_ms: int, mono_ms: int, beats: Beats) -> Beat:
    if pattern is not Pattern.QUIET and mono_ms < since_ms:
        return Beat(is_on=False, left_ms=since_ms - mono_ms)
    return beat_at(pattern, mono_ms - since_ms, beats)


def _flashing(signal: Signal) -> str | None:
    """The lamp that goes with the feedback tone, unless that lamp has more to say."""
    name = FLASHES.get(signal.tone)
    return name if name is not None and getattr(signal, name) in (Lamp.ON, Lamp.OFF) else None


def _sounding(view: PanelView, mono_ms: int) -> list[tuple[PanelAlarm, Pattern]]:
    """What asks for the buzzer, with the pattern it asks for; by night only what never waits."""
    asking = [(a, _pattern(a, view, mono_ms)) for a in view.alarms if a.is_sounding]
    return [(a, p) for a, p in asking if not (view.is_night and p in BY_DAY)]


def _chirps(view: PanelView, mono_ms: int) -> dict[Pattern, int]:
    """What is heard now and then, and since when: always counted from its cause."""
    found: dict[Pattern, int] = {}
    if view.link_down_since_ms is not None:
        found[Pattern.U] = view.link_down_since_ms + UPLINK_DOWN_MS
    if view.round_overdue_since_ms is not None:
        found[Pattern.R] = view.round_overdue_since_ms
    return {
        pattern: since_ms
        for pattern, since_ms in found.items()
        if since_ms <= mono_ms and not view.is_night and pattern not in view.silenced
    }


def _highest(
    view: PanelView, sounding: list[tuple[PanelAlarm, Pattern]], chirps: dict[Pattern, int]
) -> Pattern:
    """The row of the table that wins; a real alarm stands above all that is a drill."""
    real = [p for alarm, p in sounding if p in ALARMS and not alarm.is_drill]
    others = [Pattern.Q] if view.is_post_check else []
    others += [Pattern.B] if view.is_boot_test else []
    found = real or [*(p for _, p in sounding), *others, *chirps, Pattern.QUIET]
    return min(found, key=PRIORITY.index)


def _pattern(alarm: PanelAlarm, view: PanelView, mono_ms: int) -> Pattern:
    """An alarm sounds as one, whatever sound its rule was given: nothing mutes it by night."""
    if _is_escalated(alarm, view, mono_ms):
        return Pattern.E
    pattern = Pattern(alarm.sound.value)
    return Pattern.A1 if alarm.severity is Severity.ALARM and pattern not in ALARMS else pattern


def _is_escalated(alarm: PanelAlarm, view: PanelView, mono_ms: int) -> bool:
    return (
        alarm.severity is Severity.ALARM
        and alarm.state.is_unacknowledged
        and mono_ms - alarm.raised_mono_ms >= view.escalate_after_ms
    )


def _lamps(view: PanelView, mono_ms: int) -> tuple[Lamp, Lamp, Lamp, Lamp, Lamp]:
    """Red, amber, yellow, green, white."""
    is_harder = any(_is_escalated(alarm, view, mono_ms) for alarm in view.alarms)
    yellow = _lamp(view, Severity.FAULT, Lamp.BLINK_1)
    is_limited = view.is_limited or any(alarm.is_drill for alarm in view.alarms)
    white = Lamp.OFF
    if view.is_post_check:
        white = Lamp.BLINK_4
    elif view.round_overdue_since_ms is not None:
        white = Lamp.BLINK_1
    green = Lamp.BLINK_QUARTER if view.is_buffering else Lamp.ON
    if not view.is_polling_ok:
        green = Lamp.OFF
    if not view.has_white and white is not Lamp.OFF:
        green = white
    return (
        _lamp(view, Severity.ALARM, Lamp.BLINK_4 if is_harder else Lamp.BLINK_2),
        _lamp(view, Severity.WARNING, Lamp.BLINK_1),
        Lamp.ON if yellow is Lamp.OFF and is_limited else yellow,
        green,
        white if view.has_white else Lamp.OFF,
    )


def _lamp(view: PanelView, severity: Severity, blink: Lamp) -> Lamp:
    """Blinking while one of this severity waits for a person, silenced or not."""
    states = [alarm.state for alarm in view.alarms if alarm.severity is severity]
    if any(state.is_unacknowledged for state in states):
        return blink
    return Lamp.ON if _is_open(view, severity) else Lamp.OFF


def _is_open(view: PanelView, severity: Severity) -> bool:
    return any(alarm.severity is severity and alarm.state.is_open for alarm in view.alarms)


def _since(
    pattern: Pattern, prefix_ms: int, newest_ms: int, previous: Signal | None, mono_ms: int
) -> int:
    if previous is None or (previous.pattern, previous.prefix_ms) != (pattern, prefix_ms):
        return mono_ms
    is_new = pattern is not Pattern.E and not prefix_ms and newest_ms > previous.since_ms
    return mono_ms if is_new else previous.since_ms


def _is_lit(lamp: Lamp, elapsed: int) -> bool:
    half = HALF_PERIOD_MS.get(lamp)
    return lamp is Lamp.ON if half is None else elapsed // half % 2 == 0


WORDS = {  # colour never stands alone: each lamp has a printed word
    "red": Text("报警", "ALARM"),
    "amber": Text("预警", "WARNING"),
    "yellow": Text("故障", "FAULT"),
    "green": Text("正常", "NORMAL"),
    "white": Text("查岗 巡查", "CHECK, ROUND"),
    "buzzer": Text("蜂鸣", "BUZZER"),
}


def picture(levels: Levels, pattern: Pattern, lang: Lang) -> str:
    """Return the panel as one line of text, for terminals: a word and a mark per output.

    The white lamp, which few panels have, is there while it is lit.
    """
    marks = {True: "●", False: "○"}
    names = [name for name in WORDS if name != "white" or levels.white]
    lamps = [f"{marks[getattr(levels, name)]} {WORDS[name].in_(lang)}" for name in names]
    return "  ".join([*lamps[:-1], f"{lamps[-1]} {pattern.value}"])
