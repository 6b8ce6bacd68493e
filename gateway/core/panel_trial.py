"""The panel tried output by output: one lamp, the buzzer, a pattern, the button, the relay.

A trial runs as the lamp test does and ends like it; an alarm breaks it off.
"""

from dataclasses import replace

from gateway.core.panel import BOOT_TEST_MS, LAMPS
from gateway.core.patterns import ALARMS
from gateway.core.turn import Turn
from gateway.domain import events
from gateway.domain.acceptance import RELAY, SILENCE, Trial
from gateway.domain.signals import Lamp, Pattern, Signal

LAMP_MS = 5_000
PATTERN_MS = 10_000  # long enough to hear a warning's pause
BUTTON_MS = 60_000  # until somebody has walked to it
_LAMP_OF = {
    Pattern.E: ("red", Lamp.BLINK_4),
    Pattern.A1: ("red", Lamp.BLINK_2),
    Pattern.A2: ("red", Lamp.BLINK_2),
    Pattern.A3: ("red", Lamp.BLINK_2),
    Pattern.W: ("amber", Lamp.BLINK_1),
    Pattern.F: ("yellow", Lamp.BLINK_1),
    Pattern.Q: ("green", Lamp.BLINK_4),
}
_DARK = dict.fromkeys(LAMPS, Lamp.OFF)


def begin_trial(turn: Turn, event: events.LampTest) -> None:
    """Light every lamp, or show one output for long enough that somebody has seen or heard it."""
    now_ms, output = turn.now.mono_ms, event.output
    trial = Trial(output, event.by, now_ms) if output else None
    turn.state = replace(
        turn.state,
        lamp_test_until_ms=now_ms + _lasts_ms(output),
        accepting=replace(turn.state.accepting, trial=trial),
    )
    turn.record_fact("panel_test", {"by": event.by, **({"output": output} if output else {})})


def note_press(turn: Turn) -> None:
    """The silence button while something is tried: it works, and ends the trial."""
    trial = turn.state.accepting.trial
    if trial is None or turn.state.lamp_test_until_ms is None:
        return
    accepting = replace(turn.state.accepting, trial=replace(trial, is_pressed=True))
    turn.state = replace(turn.state, accepting=accepting, lamp_test_until_ms=None)


def running_trial(turn: Turn) -> Trial | None:
    return turn.state.accepting.trial if turn.state.lamp_test_until_ms is not None else None


def tried(trial: Trial, shown: Signal) -> Signal:
    """What the panel shows instead of `shown` while one output of it is tried."""
    if shown.pattern in ALARMS:
        return shown
    if trial.output == RELAY:
        return replace(shown, is_healthy=False)
    lamps, pattern = _lamps_and_pattern(trial.output)
    return Signal(
        red=lamps["red"],
        amber=lamps["amber"],
        yellow=lamps["yellow"],
        green=lamps["green"],
        pattern=pattern,
        since_ms=trial.at_ms,
        white=lamps["white"],
        is_healthy=shown.is_healthy,
    )


def _lamps_and_pattern(output: str) -> tuple[dict[str, Lamp], Pattern]:
    if output in LAMPS:
        return {**_DARK, output: Lamp.ON}, Pattern.QUIET
    if output in ("buzzer", SILENCE):
        return dict(_DARK), Pattern.E
    pattern = Pattern(output)
    name, lamp = _LAMP_OF[pattern]
    return {**_DARK, name: lamp}, pattern


def _lasts_ms(output: str) -> int:
    if not output:
        return BOOT_TEST_MS
    if output == SILENCE:
        return BUTTON_MS
    return LAMP_MS if output in (*LAMPS, "buzzer", RELAY) else PATTERN_MS
