"""The state as the panel shows it."""

from gateway.core.local_time import is_night
from gateway.core.panel import PanelAlarm, PanelView, signal_for
from gateway.core.panel_trial import running_trial, tried
from gateway.core.turn import Turn, hears_anybody, sounding_since
from gateway.domain.alarms import Alarm
from gateway.domain.modes import PRACTICE, mode_of
from gateway.domain.rules import Rule, Severity
from gateway.domain.signals import Signal


def signal_of(turn: Turn) -> Signal:
    """What the panel shows after this turn."""
    state = turn.state
    shown = []
    for alarm in turn.alarms.values():
        rule = turn.house.rule(alarm.rule) if alarm.state.is_open else None
        if rule is not None and not alarm.inhibits:
            is_sounding = alarm.is_sounding(turn.now.mono_ms)
            since = _called_since(turn, rule, alarm)
            is_drill = mode_of(alarm.rule) in PRACTICE
            shown.append(
                PanelAlarm(rule.severity, rule.sound, alarm.state, is_sounding, since, is_drill)
            )
    house = turn.house
    test, down, trial = state.lamp_test_until_ms, state.link_down_since_ms, running_trial(turn)
    overdue = state.patrol.overdue_since_ms
    may_be_muted = shown or down is not None or overdue is not None
    view = PanelView(
        alarms=tuple(shown),
        is_boot_test=test is not None and trial is None,
        is_buffering=not (state.is_link_up and state.is_platform_present),
        is_polling_ok=hears_anybody(turn.devices),
        escalate_after_ms=house.escalate_after_ms,
        is_post_check=any(not check.is_missed for check in state.post_checks.values()),
        is_limited=state.drill is not None
        or bool(state.tests or state.shelved or state.out_of_service),
        is_night=bool(may_be_muted) and is_night(house.quiet_hours, turn.now, house.zone),
        round_overdue_since_ms=overdue,
        link_down_since_ms=down,
        silenced=state.silenced,
        tone=state.tone,
        tone_since_ms=state.tone_since_ms,
        has_white=house.has_white,
    )
    signal = signal_for(view, turn.state.signal, turn.now.mono_ms)
    return signal if trial is None else tried(trial, signal)


def _called_since(turn: Turn, rule: Rule, alarm: Alarm) -> int:
    """One sound for a flood: what joins it does not begin the rhythm anew, but for an alarm."""
    since, flood = sounding_since(turn.state, alarm), turn.state.noise.flood
    if flood is None or alarm.flood != flood.id or rule.severity is Severity.ALARM:
        return since
    return min(since, max(flood.began.mono_ms, turn.state.started_ms))
