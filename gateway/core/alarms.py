"""The life of an alarm: one table, and the delays that feed it.

States and their names follow ISA-18.2 (field/patrol-and-alarms 4.2). Readings and timers do not
move an alarm by themselves; they are condensed into five happenings, and the table below says
what each does in each state:

    CROSSED    a sample over the limit, in a state where nothing was pending
    HELD       over the limit for the on-delay, with enough samples
    BACK       no longer over the limit while the on-delay ran
    CLEARED    normal for the off-delay
    ACKED      a person has acknowledged
    WAS_RESET  a person has reset a latched alarm whose value is normal

A pair that is not in the table changes nothing. Silence is not a state: it only stops the sound.
"""

from dataclasses import replace
from enum import Enum, auto

from gateway.core.judge import Verdict
from gateway.domain.alarms import Alarm, AlarmState, Transition
from gateway.domain.readings import Reading
from gateway.domain.rules import Rule

N, P, UA, AA = AlarmState.N, AlarmState.P, AlarmState.UA, AlarmState.AA
RU, LU, LA = AlarmState.RU, AlarmState.LU, AlarmState.LA


class Happening(Enum):
    CROSSED = auto()
    HELD = auto()
    BACK = auto()
    CLEARED = auto()
    ACKED = auto()
    WAS_RESET = auto()


CROSSED, HELD, BACK = Happening.CROSSED, Happening.HELD, Happening.BACK
CLEARED, ACKED, WAS_RESET = Happening.CLEARED, Happening.ACKED, Happening.WAS_RESET

NEXT: dict[tuple[AlarmState, Happening], AlarmState] = {
    (N, CROSSED): P,
    (N, HELD): UA,
    (P, BACK): N,
    (P, HELD): UA,
    (UA, ACKED): AA,
    (UA, CLEARED): RU,
    (AA, CLEARED): N,
    (RU, ACKED): N,
    (RU, HELD): UA,
    (LU, ACKED): LA,
    (LU, HELD): UA,
    (LA, HELD): UA,
    (LA, WAS_RESET): N,
}
LATCHED: dict[tuple[AlarmState, Happening], AlarmState] = {(UA, CLEARED): LU, (AA, CLEARED): LA}

RECORDED: dict[Happening, Transition] = {
    HELD: Transition.RAISE,
    CLEARED: Transition.CLEAR,
    ACKED: Transition.ACK,
    WAS_RESET: Transition.RESET,
}


def advance(rule: Rule, alarm: Alarm, happening: Happening) -> tuple[Alarm, Transition | None]:
    """Apply one happening. Returns the alarm and what is to be recorded of it, if anything."""
    table = LATCHED if rule.latch and (alarm.state, happening) in LATCHED else NEXT
    state = table.get((alarm.state, happening))
    if state is None:
        return alarm, None
    return replace(alarm, state=state), RECORDED.get(happening)


def take_sample(
    rule: Rule, alarm: Alarm, verdict: Verdict, reading: Reading, mono_ms: int
) -> tuple[Alarm, Transition | None]:
    """Let one judged reading act on the alarm.

    A reading that cannot be used freezes the alarm (offline, fault) or is passed over (suspect).
    """
    if verdict is Verdict.UNUSABLE:
        return alarm, None
    alarm = replace(alarm, last=reading.value, is_stale=False)
    if verdict is Verdict.OVER:
        return _take_over(rule, alarm, reading, mono_ms)
    alarm = replace(alarm, over_since_ms=None, over_samples=0)
    if alarm.state is P:
        return advance(rule, alarm, BACK)
    if verdict is Verdict.BETWEEN or alarm.state not in (UA, AA):
        return replace(alarm, clear_since_ms=None), None
    if alarm.clear_since_ms is None:
        alarm = replace(alarm, clear_since_ms=reading.mono_ms)
    return pass_time(rule, alarm, mono_ms)


def _take_over(
    rule: Rule, alarm: Alarm, reading: Reading, mono_ms: int
) -> tuple[Alarm, Transition | None]:
    alarm = replace(alarm, clear_since_ms=None)
    if alarm.state in (UA, AA):
        return alarm, None
    since = reading.mono_ms if alarm.over_since_ms is None else alarm.over_since_ms
    alarm = replace(alarm, over_since_ms=since, over_samples=alarm.over_samples + 1)
    alarm, _ = advance(rule, alarm, CROSSED)
    return pass_time(rule, alarm, mono_ms)


def pass_time(rule: Rule, alarm: Alarm, mono_ms: int) -> tuple[Alarm, Transition | None]:
    """Let the on-delay or the off-delay run out, if `mono_ms` has reached it."""
    due = due_ms(rule, alarm)
    if due is None or mono_ms < due:
        return alarm, None
    if alarm.clear_since_ms is not None:
        alarm, transition = advance(rule, alarm, CLEARED)
        return replace(alarm, clear_since_ms=None, cleared_ms=mono_ms), transition
    return _raise(rule, alarm, mono_ms)


def _raise(rule: Rule, alarm: Alarm, mono_ms: int) -> tuple[Alarm, Transition | None]:
    is_again = (
        alarm.state is RU
        and alarm.cleared_ms is not None
        and mono_ms - alarm.cleared_ms < rule.clear_for_ms
    )
    alarm, transition = advance(rule, alarm, HELD)
    alarm = replace(alarm, over_since_ms=None, over_samples=0, silenced_until_ms=None)
    if is_again:
        return alarm, Transition.AGAIN
    return replace(alarm, value=alarm.last, cleared_ms=None), transition


def due_ms(rule: Rule, alarm: Alarm) -> int | None:
    """The monotonic moment at which a running delay ends; None when none runs.

    A frozen alarm has no running delay: lost communication neither raises nor clears.
    """
    if alarm.is_stale:
        return None
    if alarm.clear_since_ms is not None:
        return alarm.clear_since_ms + rule.clear_for_ms
    if alarm.over_since_ms is not None and alarm.over_samples >= rule.min_samples:
        return alarm.over_since_ms + rule.for_ms
    return None


def freeze(alarm: Alarm) -> Alarm:
    """The point cannot be read any more: keep the state, stop an off-delay."""
    return replace(alarm, is_stale=True, clear_since_ms=None)


def silence(alarm: Alarm, until_ms: int) -> Alarm:
    """Stop the sound until a moment; the lamp stays."""
    return replace(alarm, silenced_until_ms=until_ms)


def acknowledge(rule: Rule, alarm: Alarm) -> tuple[Alarm, Transition | None]:
    """A person has seen it."""
    return advance(rule, alarm, ACKED)


def reset(rule: Rule, alarm: Alarm) -> tuple[Alarm, Transition | None]:
    """End a latched alarm. Only an acknowledged one whose value is known to be normal ends."""
    if alarm.is_stale or alarm.over_since_ms is not None:
        return alarm, None
    return advance(rule, alarm, WAS_RESET)
