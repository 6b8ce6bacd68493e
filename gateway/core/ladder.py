"""The ladder of people who are called while nobody acts (field/patrol-and-alarms 4.4).

| After | Alarm that nobody acknowledged    | Warning or fault                |
|-------|-----------------------------------|---------------------------------|
| 60 s  | duty leader (and pattern E)       |                                 |
| 3 min | fire-safety manager               |                                 |
| 5 min | director and platform: no answer  |                                 |
| 10 min|                                   | duty leader                     |
| 24 h  |                                   | a hazard is opened              |

Acknowledged, and nobody came to the place within 3 min: a reminder, and the duty leader. Some
faults mean that people do not hear what they should (`PROMPT`): they are climbed like alarms.

A rung is climbed once per occurrence, and is a record. Nobody is called for what is shelved,
suppressed or out of service; when that ends the wait begins anew. What belongs to a drill is
marked so; a test calls nobody. How far it went is kept, so that a restart neither repeats nor
forgets a call.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from gateway.core.state import House, State
from gateway.core.turn import Turn
from gateway.domain.alarms import Alarm, AlarmState
from gateway.domain.escalation import Climb
from gateway.domain.modes import Mode, mode_of, parted
from gateway.domain.moments import Clk, Now, carried
from gateway.domain.rules import Rule, Severity
from gateway.domain.text import Text

KEPT = "ladder"
# faults that are climbed like alarms
PROMPT = frozenset({"audience_silent", "post_check_missed", "rounds_missed"})
AT_ONCE = frozenset({"post_check_missed"})  # the time to answer has been the first wait
ACKNOWLEDGED = frozenset({AlarmState.AA, AlarmState.LA})

ROLES = {
    "duty_leader": Text("值班长", "Duty leader"),
    "safety_manager": Text("消防安全管理人", "Fire-safety manager"),
    "director": Text("院长、平台", "Director and platform"),
    "hazard": Text("隐患", "Hazard"),
}
WHYS = {
    "unacknowledged": Text("未确认", "Not acknowledged"),
    "no_answer": Text("无人应答", "No answer"),
    "no_arrival": Text("无人到场", "Nobody on site"),
}


@dataclass(frozen=True, slots=True)
class Rung:
    """`step` is its name in records; climbed `after_ms` from the beginning of the wait."""

    step: str
    after_ms: int
    role: str
    why: str


def rungs_of(rule: Rule, house: House, *, is_acknowledged: bool) -> tuple[Rung, ...]:
    """Return what is climbed while an alarm of this rule waits, soonest first."""
    times = house.escalation
    is_prompt = parted(rule.id)[1].startswith("gateway/") and rule.name in PROMPT
    if is_acknowledged:
        if rule.severity is not Severity.ALARM:
            return ()
        return (Rung("no_arrival", times.arrival_ms, "duty_leader", "no_arrival"),)
    if rule.severity is Severity.ALARM or is_prompt:
        first = 0 if is_prompt and rule.name in AT_ONCE else house.escalate_after_ms
        return (
            Rung("duty_leader", first, "duty_leader", "unacknowledged"),
            Rung("safety_manager", times.safety_manager_ms, "safety_manager", "unacknowledged"),
            Rung("director", times.director_ms, "director", "no_answer"),
        )
    return (
        Rung("duty_leader", times.warning_ms, "duty_leader", "unacknowledged"),
        Rung("hazard", times.hazard_ms, "hazard", "unacknowledged"),
    )


def climb(turn: Turn) -> None:
    """Follow what this step did to alarms, and climb every rung that is due."""
    due = turn.state.ladder_due_ms
    if not turn.changed and (due is None or turn.now.mono_ms < due):
        return
    climbs = dict(turn.state.climbs)
    for alarm in turn.changed.values():
        _follow(turn, climbs, alarm)
    nexts = [_climb_one(turn, climbs, rule_id) for rule_id in list(climbs)]
    due = min((moment for moment in nexts if moment is not None), default=None)
    turn.state = replace(turn.state, climbs=climbs, ladder_due_ms=due)


def note_arrival(turn: Turn, rule_id: str) -> None:
    """Somebody is at the place of this alarm: nobody is reminded of it any more."""
    known = turn.state.climbs.get(rule_id)
    if known is None or known.has_arrived:
        return
    known = replace(known, has_arrived=True)
    _keep(turn, rule_id, known)
    turn.state = replace(
        turn.state,
        climbs={**turn.state.climbs, rule_id: known},
        ladder_due_ms=turn.now.mono_ms,  # it is looked at anew at the end of this step
    )


def restore(turn: Turn) -> None:
    """Go on where the ladder stood before the restart, for every alarm that is still open."""
    climbs: dict[str, Climb] = {}
    for alarm in turn.alarms.values():
        if not _has_ladder(alarm):
            continue
        body = turn.state.kept.get((KEPT, alarm.rule))
        known = None if body is None else _restored(body, turn.now)
        if known is None or known.occurrence != alarm.occurrence:
            known = _begun(alarm, alarm.raised or turn.now, turn.now)
        climbs[alarm.rule] = known
    for kind, rule_id in turn.state.kept:
        if kind == KEPT and rule_id not in climbs:
            turn.keep(KEPT, rule_id, None)
    turn.state = replace(turn.state, climbs=climbs, ladder_due_ms=turn.now.mono_ms)


def _has_ladder(alarm: Alarm) -> bool:
    return alarm.state.is_open and mode_of(alarm.rule) is not Mode.TEST


def _follow(turn: Turn, climbs: dict[str, Climb], alarm: Alarm) -> None:
    """Begin, go on with or end the climb of an alarm that moved."""
    known = climbs.get(alarm.rule)
    if not _has_ladder(alarm):
        if known is not None:
            del climbs[alarm.rule]
            turn.keep(KEPT, alarm.rule, None)
        return
    if known is None or known.occurrence != alarm.occurrence:
        known = _begun(alarm, turn.now, turn.now)
    elif (known.is_acknowledged, known.is_paused) == _wait_of(alarm):
        return
    else:  # another wait begins; a rung that was climbed is not climbed again
        is_acknowledged, is_paused = _wait_of(alarm)
        known = replace(
            known,
            since=turn.now,
            since_ms=turn.now.mono_ms,
            is_acknowledged=is_acknowledged,
            is_paused=is_paused,
        )
    climbs[alarm.rule] = known
    _keep(turn, alarm.rule, known)


def _wait_of(alarm: Alarm) -> tuple[bool, bool]:
    """Whether it waits for somebody on site, and whether nobody is to be called at all."""
    return alarm.state in ACKNOWLEDGED, alarm.is_inhibited


def _begun(alarm: Alarm, since: Now, now: Now) -> Climb:
    since_ms = carried(since.mono_ms, since, now)
    is_acknowledged, is_paused = _wait_of(alarm)
    return Climb(
        alarm.occurrence,
        since,
        now.mono_ms if since_ms is None else since_ms,
        is_acknowledged=is_acknowledged,
        is_paused=is_paused,
    )


def _climb_one(turn: Turn, climbs: dict[str, Climb], rule_id: str) -> int | None:
    """Climb what is due of one alarm; return when (mono ms) the next rung is."""
    known, alarm = climbs[rule_id], turn.alarms.get(rule_id)
    rule = turn.house.rule(rule_id)
    if alarm is None or rule is None:
        del climbs[rule_id]
        turn.keep(KEPT, rule_id, None)
        return None
    if known.is_paused:
        return None
    waiting = [
        rung
        for rung in rungs_of(rule, turn.house, is_acknowledged=known.is_acknowledged)
        if rung.step not in known.done and not (rung.step == "no_arrival" and known.has_arrived)
    ]
    waited_ms = turn.now.mono_ms - known.since_ms
    due = [rung for rung in waiting if rung.after_ms <= waited_ms]
    for rung in due:
        _record(turn, rule, alarm, rung, waited_ms)
    if due:
        known = replace(known, done=(*known.done, *(rung.step for rung in due)))
        climbs[rule_id] = known
        _keep(turn, rule_id, known)
    later = [rung.after_ms for rung in waiting if rung not in due]
    return known.since_ms + min(later) if later else None


def _record(turn: Turn, rule: Rule, alarm: Alarm, rung: Rung, waited_ms: int) -> None:
    mode, name = parted(rule.id)
    fields: dict[str, object] = {
        "alarm": alarm.occurrence,
        "rule": name,
        "sev": rule.severity.value,
        "step": rung.step,
        "role": rung.role,
        "why": rung.why,
        "waited_ms": waited_ms,
        "place": turn.place_of(rule),
        "say": {"zh": rule.say.zh, "en": rule.say.en},
    }
    turn.record_fact("escalation", fields, mode)
    if rung.step == "hazard" and mode is Mode.REAL:
        shared = {key: fields[key] for key in ("alarm", "rule", "sev", "place", "say")}
        turn.record_fact("hazard", {"source": "alarm", **shared, "owner": rule.owner})


def _keep(turn: Turn, rule_id: str, known: Climb) -> None:
    body = {name: value for name, value in asdict(known).items() if name != "since_ms"}
    turn.keep(KEPT, rule_id, json.dumps(body, separators=(",", ":")))


def _restored(body: str, now: Now) -> Climb | None:
    """The climb that was kept; a wait that cannot be measured over a reboot begins anew."""
    try:
        said = json.loads(body)
        since = now_of(said["since"])
        since_ms = carried(since.mono_ms, since, now)
        return Climb(
            occurrence=str(said["occurrence"]),
            since=since if since_ms is not None else now,
            since_ms=now.mono_ms if since_ms is None else since_ms,
            is_acknowledged=bool(said["is_acknowledged"]),
            has_arrived=bool(said["has_arrived"]),
            is_paused=bool(said.get("is_paused", False)),
            done=tuple(map(str, said["done"])),
        )
    except (ValueError, KeyError, TypeError):
        return None  # an older or newer version wrote it: begin with what the alarm says


def now_of(said: Mapping[str, object]) -> Now:
    """A moment as it was kept (`dataclasses.asdict`)."""
    utc_ms, err_ms = said["utc_ms"], said["err_ms"]
    if not isinstance(said["mono_ms"], int):
        raise TypeError("mono_ms")
    return Now(
        mono_ms=said["mono_ms"],
        utc_ms=utc_ms if isinstance(utc_ms, int) else None,
        clk=Clk(str(said["clk"])),
        err_ms=err_ms if isinstance(err_ms, int) else None,
        boot=str(said["boot"]),
    )


def escalated_to(state: State, rule_id: str) -> list[dict[str, str]]:
    """Who was called for an alarm, in order: `step`, `role` and `why` with their words."""
    known = state.climbs.get(rule_id)
    rule = state.house.rule(rule_id)
    if known is None or rule is None:
        return []
    rungs = {
        rung.step: rung
        for is_acknowledged in (True, False)
        for rung in rungs_of(rule, state.house, is_acknowledged=is_acknowledged)
    }
    return [_shown(rungs[step]) for step in known.done if step in rungs]


def _shown(rung: Rung) -> dict[str, str]:
    role, why = ROLES[rung.role], WHYS[rung.why]
    return {
        "step": rung.step, "role": rung.role, "zh": role.zh, "en": role.en,
        "why": rung.why, "why_zh": why.zh, "why_en": why.en,
    }  # fmt: skip
