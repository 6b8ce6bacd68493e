"""Noise: alarms that come and go, and alarms that come all at once (field 4.3).

Three activations in a minute are one alarm that chatters: it is kept active with a longer
off-delay. More than ten raises in ten minutes are a flood: one sound for many, and the first-out
marked. Every activation is counted by point and day: the noisiest are worth a repair.
"""

from collections.abc import Mapping
from dataclasses import replace

from gateway.core import alarms
from gateway.core.floods import (
    FLOOD_ABOVE,
    FLOOD_WINDOW_MS,
    burst_of,
    first_out,
    flood_ends_ms,
    may_be_first,
)
from gateway.core.life_data import BUSY, FLOOD, THE_FLOOD, days_to_json, to_json
from gateway.core.turn import Turn
from gateway.domain.alarms import Alarm, Transition
from gateway.domain.modes import Mode, mode_of
from gateway.domain.moments import Clk, Now
from gateway.domain.noise import Days, Flood, Noise, Raise
from gateway.domain.rules import Rule, Severity

CHATTER_WINDOW_MS = 60_000
CHATTER_FROM = 3  # activations in the window
RAISES_AT_MOST = 2_000  # of the window that are remembered
DAY_MS = 86_400_000
DAYS_KEPT = 30
ACTIVATIONS = (Transition.RAISE, Transition.AGAIN)


def note_noise(turn: Turn) -> None:
    """Count what this turn raised; let a flood begin, grow and end."""
    for rule, alarm, transition, _ in list(turn.transitions):
        if transition in ACTIVATIONS and mode_of(rule.id) is Mode.REAL:
            _count(turn, rule)
            _note_chatter(turn, rule)
            if transition is Transition.RAISE and not alarm.inhibits:
                _note_flood(turn, rule, alarm)
    end = flood_ends_ms(turn.state)
    if end is not None and turn.now.mono_ms >= end:
        _end_flood(turn)


def _note_chatter(turn: Turn, rule: Rule) -> None:
    since = turn.now.mono_ms - CHATTER_WINDOW_MS
    noise = turn.state.noise
    recent = {
        name: kept
        for name, moments in noise.activations.items()
        if (kept := tuple(moment for moment in moments if moment > since))
    }
    recent[rule.id] = (*recent.get(rule.id, ()), turn.now.mono_ms)
    turn.state = replace(turn.state, noise=replace(noise, activations=recent))
    alarm = turn.alarms.get(rule.id)
    count = len(recent[rule.id])
    if alarm is not None and alarm.state.is_active and count >= CHATTER_FROM and not alarm.chatter:
        alarm = replace(alarm, chatter=count, calm_since_ms=turn.now.mono_ms)
        turn.record_transition(rule, alarm, Transition.CHATTER)


def _note_flood(turn: Turn, rule: Rule, alarm: Alarm) -> None:
    now_ms, noise = turn.now.mono_ms, turn.state.noise
    onset = now_ms if alarm.onset_ms is None else alarm.onset_ms
    new = Raise(now_ms, onset, rule.id, alarm.occurrence)
    since = now_ms - FLOOD_WINDOW_MS
    raises = (*(each for each in noise.raises[-RAISES_AT_MOST:] if each.raised_ms > since), new)
    noise = replace(noise, raises=raises)
    flood = noise.flood
    if flood is not None:
        _join_flood(turn, noise, flood, new)
    elif len(raises) > FLOOD_ABOVE:
        _begin_flood(turn, noise)
    else:
        turn.state = replace(turn.state, noise=noise)


def _begin_flood(turn: Turn, noise: Noise) -> None:
    burst = burst_of(noise.raises)
    first = first_out(burst)
    id_ = burst[0].occurrence
    flood = Flood(id_, turn.now, first.occurrence, first.rule, first.onset_ms, len(burst))
    _put_flood(turn, noise, flood)
    turn.record_fact("flood", _facts(turn, flood, "begin"))
    for each in burst:
        alarm = turn.alarms.get(each.rule)
        if alarm is not None and alarm.occurrence == each.occurrence:
            turn.change_alarm(replace(alarm, flood=id_, is_first_out=each == first))


def _join_flood(turn: Turn, noise: Noise, flood: Flood, new: Raise) -> None:
    burst = burst_of(noise.raises)
    is_first = new.onset_ms < flood.first_onset_ms and may_be_first(new, burst)
    flood = replace(flood, count=flood.count + 1)
    if is_first:
        before = turn.alarms.get(flood.first_rule)
        if before is not None and before.is_first_out:
            turn.change_alarm(replace(before, is_first_out=False))
        flood = replace(
            flood, first=new.occurrence, first_rule=new.rule, first_onset_ms=new.onset_ms
        )
    _put_flood(turn, noise, flood)
    alarm = turn.alarms.get(new.rule)
    rule = turn.house.rule(new.rule)
    if alarm is None or rule is None:
        return
    alarm = turn.change_alarm(replace(alarm, flood=flood.id, is_first_out=is_first))
    if flood.silenced_by and rule.severity is not Severity.ALARM:
        silence_one(turn, rule, alarm, flood.silenced_by)


def silence_one(turn: Turn, rule: Rule, alarm: Alarm, by: str) -> None:
    """Stop one sound: an alarm's for a while, a fault's for long, a warning's until the next."""
    length = turn.house.silence_of(rule.severity)
    until = None if length is None else turn.now.mono_ms + length
    quiet = replace(alarms.silence(alarm, until, by), silenced_at=turn.now)
    turn.record_transition(rule, quiet, Transition.SILENCE, by)


def silence_flood(turn: Turn, by: str) -> None:
    """Whoever silences a flood silences the warnings and faults that still join it."""
    flood = turn.state.noise.flood
    if flood is not None and not flood.silenced_by:
        _put_flood(turn, turn.state.noise, replace(flood, silenced_by=by))


def _end_flood(turn: Turn) -> None:
    noise = turn.state.noise
    if noise.flood is not None:
        turn.record_fact("flood", _facts(turn, noise.flood, "end"))
        turn.state = replace(turn.state, noise=replace(noise, flood=None))
        turn.keep(FLOOD, THE_FLOOD, None)


def _put_flood(turn: Turn, noise: Noise, flood: Flood) -> None:
    turn.state = replace(turn.state, noise=replace(noise, flood=flood))
    turn.keep(FLOOD, THE_FLOOD, to_json(flood))


def _facts(turn: Turn, flood: Flood, tr: str) -> Mapping[str, object]:
    return {
        "flood": flood.id,
        "tr": tr,
        "count": flood.count,
        "first": flood.first,
        "rule": flood.first_rule,
        "place": "" if (rule := turn.house.rule(flood.first_rule)) is None else turn.place_of(rule),
    }


def _count(turn: Turn, rule: Rule) -> None:
    key, noise = rule.point or rule.id, turn.state.noise
    before = noise.busy.get(key, {})
    day = _day(turn.now, before)
    counted = {**before, day: before.get(day, 0) + 1}
    days = {d: n for d, n in counted.items() if d > day - DAYS_KEPT}
    busy = {**noise.busy, key: days}
    turn.state = replace(turn.state, noise=replace(noise, busy=busy))
    turn.keep(BUSY, key, days_to_json(days))


def _day(now: Now, before: Days) -> int:
    """The day of the clock; on a clock that nobody trusts, the last day that was known."""
    if now.utc_ms is None or now.clk not in (Clk.SYNC, Clk.HOLD):
        return max(before, default=0)
    return now.utc_ms // DAY_MS


def noisiest(noise: Noise, now: Now, count: int = 10) -> tuple[tuple[str, int, int], ...]:
    """(point or fault, activations of the last 7 days, of the last 30), the noisiest first."""
    rows = []
    for key, days in noise.busy.items():
        today = _day(now, days)
        week = sum(n for day, n in days.items() if today - 7 < day <= today)
        month = sum(n for day, n in days.items() if today - DAYS_KEPT < day <= today)
        if month:
            rows.append((key, week, month))
    rows.sort(key=lambda row: (-row[1], -row[2], row[0]))
    return tuple(rows[:count])
