"""The life of an alarm: one table, and the delays that feed it.

States and their names follow ISA-18.2 (field/patrol-and-alarms 4.2). Readings and timers do not
move an alarm by themselves; they are condensed into a few happenings, and `NEXT` says what each
does in each state. Two small tables stand before it where they apply: `LATCHED` for a rule that
latches, `QUIET` for an occurrence that began while it was inhibited and ends before anybody was
called. A pair that is in no table changes nothing.

Silence and the three inhibits (shelved, suppressed, out of service) are no states: they only stop
the sound, and the table goes on underneath. docs/alarms.md is drawn from these tables.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import Enum

from gateway.core.judge import BETWEEN, CLEAR, OVER, UNUSABLE, Verdict
from gateway.domain.alarms import Alarm, AlarmState, Transition, altered
from gateway.domain.readings import Reading
from gateway.domain.rules import Rule, Severity

N, P, UA, AA = AlarmState.N, AlarmState.P, AlarmState.UA, AlarmState.AA
RU, LU, LA = AlarmState.RU, AlarmState.LU, AlarmState.LA

STRETCH = 4  # of the off-delay while an alarm chatters (field/patrol-and-alarms 4.3)
CALM_MS = 60_000  # and never shorter than the time in which activations are counted


class Happening(Enum):
    """What can happen to an alarm, in words for the diagram."""

    CROSSED = "over the limit, on-delay begins"
    HELD = "over the limit for the on-delay, with enough samples"
    HELD_LOWER = "the same, under an acknowledged alarm of higher severity on its point"
    BACK = "no longer over the limit while the on-delay ran"
    CLEARED = "normal for the off-delay"
    ACKED = "a named person acknowledges"
    WAS_RESET = "a named person resets; value normal and trusted, verdict on its case"
    AGED = "still active after realarm_after"
    GRAVER = "acknowledged as less, and the site file has made it an alarm"


CROSSED, HELD, BACK = Happening.CROSSED, Happening.HELD, Happening.BACK
HELD_LOWER, AGED, GRAVER = Happening.HELD_LOWER, Happening.AGED, Happening.GRAVER
CLEARED, ACKED, WAS_RESET = Happening.CLEARED, Happening.ACKED, Happening.WAS_RESET

Table = dict[tuple[AlarmState, Happening], AlarmState]

NEXT: Table = {
    (N, CROSSED): P,
    (N, HELD): UA,
    (N, HELD_LOWER): AA,
    (P, BACK): N,
    (P, HELD): UA,
    (P, HELD_LOWER): AA,
    (UA, ACKED): AA,
    (UA, CLEARED): RU,
    (AA, CLEARED): N,
    (AA, AGED): UA,
    (AA, GRAVER): UA,
    (RU, ACKED): N,
    (RU, HELD): UA,
    (RU, HELD_LOWER): UA,
    (LU, ACKED): LA,
    (LU, HELD): UA,
    (LU, HELD_LOWER): UA,
    (LA, HELD): UA,
    (LA, HELD_LOWER): AA,
    (LA, WAS_RESET): N,
}
LATCHED: Table = {(UA, CLEARED): LU, (AA, CLEARED): LA}
QUIET: Table = {(UA, CLEARED): N}

RECORDED: dict[Happening, Transition] = {
    HELD: Transition.RAISE,
    HELD_LOWER: Transition.RAISE,
    CLEARED: Transition.CLEAR,
    ACKED: Transition.ACK,
    WAS_RESET: Transition.RESET,
    AGED: Transition.REALARM,
    GRAVER: Transition.REALARM,
}

Moved = tuple[Alarm, Transition | None]
Outranked = Callable[[Rule], bool]


def next_state(rule: Rule, alarm: Alarm, happening: Happening) -> AlarmState | None:
    """Look it up; None when nothing changes."""
    pair = (alarm.state, happening)
    if alarm.is_quiet and pair in QUIET:
        return QUIET[pair]
    if rule.latch and pair in LATCHED:
        return LATCHED[pair]
    return NEXT.get(pair)


def advance(rule: Rule, alarm: Alarm, happening: Happening) -> Moved:
    """Apply one happening. Returns the alarm and what is to be recorded of it, if anything."""
    state = next_state(rule, alarm, happening)
    if state is None:
        return alarm, None
    return altered(alarm, state=state), RECORDED.get(happening)


def outranked_by_none(_rule: Rule) -> bool:
    return False


def take_sample(
    rule: Rule,
    alarm: Alarm,
    verdict: Verdict,
    reading: Reading,
    mono_ms: int,
    is_outranked: Outranked = outranked_by_none,
) -> Moved:
    """Let one judged reading act on the alarm.

    A reading that cannot be used freezes the alarm (offline, fault) or is passed over (suspect).
    """
    if verdict is UNUSABLE:
        return (replace(alarm, is_normal=False) if alarm.is_normal else alarm), None
    if verdict is OVER:
        return _take_over(rule, alarm, reading, mono_ms, is_outranked)
    alarm = altered(
        alarm,
        last=reading.value,
        is_stale=False,
        is_normal=verdict is CLEAR,
        over_since_ms=None,
        over_samples=0,
    )
    if alarm.state is P:
        return advance(rule, alarm, BACK)
    if verdict is BETWEEN or not alarm.state.is_active:
        return altered(alarm, clear_since_ms=None), None
    if alarm.clear_since_ms is None:
        alarm = replace(alarm, clear_since_ms=reading.mono_ms)
    return pass_time(rule, alarm, mono_ms)


def _take_over(
    rule: Rule, alarm: Alarm, reading: Reading, mono_ms: int, is_outranked: Outranked
) -> Moved:
    if alarm.state.is_active:
        alarm = altered(alarm, last=reading.value, is_stale=False, is_normal=False)
        return hold(alarm, mono_ms), None
    alarm = altered(
        alarm,
        last=reading.value,
        is_stale=False,
        is_normal=False,
        clear_since_ms=None,
        over_since_ms=reading.mono_ms if alarm.over_since_ms is None else alarm.over_since_ms,
        over_samples=alarm.over_samples + 1,
    )
    alarm, _ = advance(rule, alarm, CROSSED)
    return pass_time(rule, alarm, mono_ms, is_outranked)


def hold(alarm: Alarm, mono_ms: int) -> Alarm:
    """An active alarm is over the limit: an off-delay that ran is off; chatter counts that."""
    if alarm.clear_since_ms is None:
        return alarm
    if alarm.chatter:
        alarm = replace(alarm, chatter=alarm.chatter + 1, calm_since_ms=mono_ms)
    return replace(alarm, clear_since_ms=None, is_normal=False)


def pass_time(
    rule: Rule, alarm: Alarm, mono_ms: int, is_outranked: Outranked = outranked_by_none
) -> Moved:
    """Let whatever delay run out that `mono_ms` has reached."""
    calm = _calm_due_ms(rule, alarm)
    if calm is not None and mono_ms >= calm:
        alarm = replace(alarm, chatter=0, calm_since_ms=None)
    due = _delay_due_ms(rule, alarm)
    if due is not None and mono_ms >= due:
        if alarm.clear_since_ms is not None:
            return clear(rule, alarm, mono_ms)
        return raise_it(rule, alarm, mono_ms, HELD_LOWER if is_outranked(rule) else HELD)
    aged = _aged_due_ms(rule, alarm)
    if aged is not None and mono_ms >= aged:
        return _call_again(rule, alarm, mono_ms, AGED)
    return alarm, None


def call_as_alarm(rule: Rule, alarm: Alarm, mono_ms: int) -> Moved:
    """Its rule is of severity alarm now: what was acknowledged as less calls again."""
    if alarm.acked_as in {"", Severity.ALARM.value}:
        return alarm, None
    return _call_again(rule, alarm, mono_ms, GRAVER)


def _call_again(rule: Rule, alarm: Alarm, mono_ms: int, happening: Happening) -> Moved:
    moved, transition = advance(rule, alarm, happening)
    return (moved, None) if transition is None else (_call(moved, mono_ms), transition)


def clear(rule: Rule, alarm: Alarm, mono_ms: int) -> Moved:
    """The off-delay is over: return to normal, or latch."""
    alarm, transition = advance(rule, alarm, CLEARED)
    return replace(alarm, clear_since_ms=None, cleared_ms=mono_ms, calm_since_ms=None), transition


def raise_it(rule: Rule, alarm: Alarm, mono_ms: int, happening: Happening = HELD) -> Moved:
    """The on-delay is over: a new occurrence, or the same one again within its off-delay."""
    is_again = (
        alarm.state is RU
        and alarm.cleared_ms is not None
        and mono_ms - alarm.cleared_ms < rule.clear_for_ms
    )
    onset = mono_ms if alarm.over_since_ms is None else alarm.over_since_ms
    alarm, transition = advance(rule, alarm, happening)
    alarm = _call(replace(alarm, over_since_ms=None, over_samples=0), mono_ms)
    if is_again:
        return alarm, Transition.AGAIN
    return (
        replace(
            alarm,
            value=alarm.last,
            cleared_ms=None,
            onset_ms=onset,
            acked_ms=mono_ms if alarm.state is AA else None,
            acked_as=rule.severity.value if alarm.state is AA else "",
            is_quiet=False,
            chatter=0,
            calm_since_ms=None,
            flood="",
            is_first_out=False,
        ),
        transition,
    )


def _call(alarm: Alarm, mono_ms: int) -> Alarm:
    """It calls for people anew: whatever silence or acknowledgement there was is over."""
    return replace(
        alarm,
        called_ms=mono_ms,
        silenced_until_ms=None,
        silenced_at=None,
        silenced_by="",
        is_silenced_until_new=False,
        acked=None,
        acked_by="",
        acked_ms=None,
        acked_as="",
    )


def off_delay_ms(rule: Rule, alarm: Alarm) -> int:
    """How long it must be normal to return to normal."""
    if not alarm.chatter:
        return rule.clear_for_ms
    return max(STRETCH * rule.clear_for_ms, CALM_MS)


def due_ms(rule: Rule, alarm: Alarm) -> int | None:
    """The monotonic moment at which something happens by itself; None when nothing is running."""
    first = _delay_due_ms(rule, alarm)
    for due in (_calm_due_ms(rule, alarm), _aged_due_ms(rule, alarm)):
        if due is not None and (first is None or due < first):
            first = due
    return first


def _delay_due_ms(rule: Rule, alarm: Alarm) -> int | None:
    """When the on-delay or off-delay that runs is over.

    A frozen alarm has no running delay: lost communication neither raises nor clears. An off-delay
    waits for the next good value when the last one said nothing: only what is known to be normal
    returns to normal.
    """
    if alarm.is_stale:
        return None
    if alarm.clear_since_ms is not None:
        return alarm.clear_since_ms + off_delay_ms(rule, alarm) if alarm.is_normal else None
    if alarm.over_since_ms is not None and alarm.over_samples >= rule.min_samples:
        return alarm.over_since_ms + rule.for_ms
    return None


def _calm_due_ms(rule: Rule, alarm: Alarm) -> int | None:
    """When an alarm that chattered and now stays active counts as an ordinary one again."""
    if alarm.calm_since_ms is None or alarm.clear_since_ms is not None or not alarm.chatter:
        return None
    return alarm.calm_since_ms + off_delay_ms(rule, alarm)


def _aged_due_ms(rule: Rule, alarm: Alarm) -> int | None:
    if alarm.state is not AA or alarm.acked_ms is None or not rule.realarm_after_ms:
        return None
    return alarm.acked_ms + rule.realarm_after_ms


def freeze(alarm: Alarm) -> Alarm:
    """The point cannot be read any more: keep the state, stop an off-delay."""
    return replace(alarm, is_stale=True, is_normal=False, clear_since_ms=None)


def silence(alarm: Alarm, until_ms: int | None, by: str = "") -> Alarm:
    """Stop the sound until a moment, or until the next new one (None); the lamp stays."""
    return replace(
        alarm,
        silenced_until_ms=until_ms,
        is_silenced_until_new=until_ms is None,
        silenced_by=by,
    )


def acknowledge(rule: Rule, alarm: Alarm) -> Moved:
    """A person has seen it."""
    return advance(rule, alarm, ACKED)


def begun_anew(alarm: Alarm) -> Alarm | None:
    """What an occurrence that has just ended leaves: its rule may be over its limit once more.

    Then the on-delay that began with that goes on, as if nobody had acknowledged meanwhile.
    """
    if alarm.state is not AlarmState.N or alarm.over_since_ms is None:
        return None
    return Alarm(
        alarm.rule,
        P,
        last=alarm.last,
        over_since_ms=alarm.over_since_ms,
        over_samples=alarm.over_samples,
    )


def reset(rule: Rule, alarm: Alarm) -> Moved:
    """End a latched alarm. Only an acknowledged one whose value is known to be normal ends."""
    if reset_refusal(alarm) is not None:
        return alarm, None
    return advance(rule, alarm, WAS_RESET)


def reset_refusal(alarm: Alarm) -> str | None:
    """Why this alarm cannot be reset, as a code for `core.refusals`; None when it can."""
    if alarm.state.is_active:
        return "not_normal_yet"
    if alarm.state is LU:
        return "not_acknowledged"
    if alarm.state is not LA:
        return "nothing_to_do"
    if alarm.is_stale:
        return "value_unknown"
    if alarm.over_since_ms is not None:
        return "not_normal_yet"
    return None if alarm.is_normal else "value_unknown"
