"""The heart: one event in, the next state and what is to be done out. Pure.

    state, outcome = step(state, event, now)

Nothing here waits, reads a clock or touches the world; delays run on `now.mono_ms` and end at
`state.next_deadline_ms`, when the decider comes back with `Ticked`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import assert_never

from gateway.core import alarms
from gateway.core.faults import fault_id, fault_rule
from gateway.core.health import OWN_DEVICE
from gateway.core.judge import Verdict, judge
from gateway.core.panel import BOOT_TEST_MS, PanelAlarm, PanelView, signal_for
from gateway.core.report import is_worth_reporting
from gateway.core.state import DeviceState, PointState, RuleTrouble, State, open_alarms
from gateway.core.turn import LINK_DOWN_FAULT_MS, Turn, begin, end, sounding_since
from gateway.domain import events
from gateway.domain.alarms import Alarm, AlarmState, Transition
from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent, ReadFailure
from gateway.domain.moments import Clk, Now
from gateway.domain.outcome import Outcome, Reply
from gateway.domain.points import Point
from gateway.domain.readings import Quality, Reading
from gateway.domain.rules import Rule, Severity
from gateway.domain.signals import Signal

Judge = Callable[[Rule, Reading], Verdict]

GOOD = Quality.GOOD
FROZEN = frozenset({Quality.OFFLINE, Quality.FAULT})  # freeze an alarm; others are passed over
FAULT_SILENCE_MS = 12 * 3_600_000  # field/patrol-and-alarms 5, pattern F
OTHERS_ASKED_MS = 15_000  # time to find out whether a silence is a device's or the whole line's
WATCH_EVERY_MS = 1_000
WATCH_FROM_MS = 30_000  # after the start: ports open, everything is read for the first time
WATCH_MISSING_MS = 300_000  # a device that does not answer has its own fault; it is still asked
TROUBLE_WINDOW_MS = 60_000
TROUBLES_ALLOWED = 2  # one more within the window and the rule is out of service


def step(
    state: State, event: events.Event, now: Now, *, judge: Judge = judge
) -> tuple[State, Outcome]:
    """Decide one event. `judge` can be replaced, to show that a rule that fails does no harm."""
    turn = begin(state, now)
    _note_clock(turn)
    match event:
        case events.BlockRead():
            _take_block(turn, event, judge)
        case events.Silence():
            _silence(turn, event)
        case events.Acknowledge():
            _acknowledge(turn, event)
        case events.Reset():
            _reset(turn, event)
        case events.LampTest():
            _test_panel(turn, event)
        case events.FaultRaised(code, subject, detail):
            raise_fault(turn, code, subject, detail)
        case events.FaultCleared(code, subject):
            clear_fault(turn, code, subject)
        case events.LinkChanged():
            _change_link(turn, event)
        case events.PlatformChanged(is_present):
            _change_platform(turn, is_present=is_present)
        case events.Receipt():
            _keep_receipt(turn, event)
        case events.Restarted():
            _restart(turn)
        case events.Stopping():
            turn.record_fact("stop", {})
        case events.Ticked():
            pass
        case _:
            assert_never(event)
    _pass_time(turn)
    return end(turn, _signal(turn), is_last=isinstance(event, events.Stopping))


# --- readings -------------------------------------------------------------------------------


def _take_block(turn: Turn, event: events.BlockRead, judge: Judge) -> None:
    device = turn.devices.get(event.device, DeviceState())
    device = _note_reply(turn, event, device)
    points = dict(device.points)
    known_points, rules_of = turn.house.points, turn.house.rules_of
    reported = []
    for raw in event.readings:
        point = known_points.get(raw.point)
        if point is None:
            continue
        known = points.get(raw.point)
        reading = _believed(raw, point, known, device, points, turn)
        points[raw.point], is_new = _remember(turn, point, known, reading)
        if is_new:
            reported.append(reading)
        if raw.point in rules_of:
            _judge_reading(turn, reading, judge)
    if device.is_offline:
        reported.extend(_all_offline(turn, event, points))
    device = _note_points(turn, event, device, points)
    turn.devices = {**turn.devices, event.device: replace(device, points=points)}
    turn.reported = tuple(reported)


def _note_reply(turn: Turn, event: events.BlockRead, device: DeviceState) -> DeviceState:
    """Count missed replies, and raise or clear the device's and the bus's own faults."""
    failure, subject = event.failure, event.device
    if not _is_miss(failure):
        clear_fault(turn, "device_silent", subject)
        clear_fault(turn, "bus_down", event.bus)
        clear_fault(turn, "bus_silent", event.bus)
        return replace(
            device,
            misses=0,
            missing_since_ms=None,
            is_offline=False,
            is_silent=False,
            answered_ms=turn.now.mono_ms,
        )
    since = turn.now.mono_ms if device.missing_since_ms is None else device.missing_since_ms
    misses = device.misses + 1
    if isinstance(failure, BusDown):
        # one fault for the bus: its devices are silent because of it
        clear_fault(turn, "device_silent", subject)
        clear_fault(turn, "bus_silent", event.bus)
        raise_fault(turn, "bus_down", event.bus, failure.why)
        return replace(
            device, misses=misses, missing_since_ms=since, is_offline=True, is_silent=False
        )
    clear_fault(turn, "bus_down", event.bus)
    fastest = turn.house.fastest_ms.get(subject, 0)
    is_offline = device.is_offline or _is_lost(turn, misses, since, fastest)
    if is_offline:
        _raise_silence(turn, event, since)
    return replace(
        device,
        misses=misses,
        missing_since_ms=since,
        is_offline=is_offline,
        is_silent=is_offline,
    )


def _raise_silence(turn: Turn, event: events.BlockRead, since_ms: int) -> None:
    """One fault for a line on which nobody answers, else one for the device.

    While nobody has answered since, the others are given a while to be asked as well.
    """
    on_bus = turn.house.devices_on.get(event.bus, ())
    others = [turn.devices.get(name, DeviceState()) for name in on_bus if name != event.device]
    if others and all(other.is_silent for other in others):
        for name in on_bus:
            clear_fault(turn, "device_silent", name)
        raise_fault(turn, "bus_silent", event.bus, f"{len(on_bus)} devices")
        return
    has_answered = not others or any(
        other.answered_ms is not None and other.answered_ms >= since_ms for other in others
    )
    if has_answered or turn.now.mono_ms - since_ms >= OTHERS_ASKED_MS:
        raise_fault(turn, "device_silent", event.device, _why(event.failure))


def _is_miss(failure: ReadFailure | None) -> bool:
    """True when the device itself gave no answer: a bridge's 0x0A and 0x0B say just that."""
    return isinstance(failure, DeviceSilent | BusDown) or (
        isinstance(failure, DeviceRefused) and failure.code in (0x0A, 0x0B)
    )


def _is_lost(turn: Turn, misses: int, since_ms: int, period_ms: int) -> bool:
    """F3: enough misses, and they took as many periods (the first ended one already)."""
    enough = turn.house.offline_after_misses
    return misses >= enough and turn.now.mono_ms - since_ms >= (enough - 1) * period_ms


def _why(failure: ReadFailure | None) -> str:
    match failure:
        case DeviceSilent(_, why) | BusDown(why):
            return why
        case DeviceRefused(_, code):
            return f"Modbus exception 0x{code:02X}"
        case None:
            return ""
        case _:
            assert_never(failure)


def _note_points(
    turn: Turn, event: events.BlockRead, device: DeviceState, points: Mapping[str, PointState]
) -> DeviceState:
    """Faults of a device that answers, but not everything, or nonsense: one each, by its points."""
    if not (device.refused or device.unanswered or device.invalid) and all(
        points[reading.point].reading.quality is GOOD for reading in event.readings
    ):
        return device  # nothing was wrong and nothing is: so it is nearly always
    enough = turn.house.offline_after_misses
    seen = {reading.point: points[reading.point] for reading in event.readings}
    if device.is_offline or device.misses >= enough:  # the device as a whole: its own fault
        seen = {}

    def sort(
        before: frozenset[str], code: str, is_bad: Callable[[PointState], bool]
    ) -> frozenset[str]:
        bad = {name for name, known in seen.items() if is_bad(known)}
        if not bad and before.isdisjoint(seen):
            return before
        after = frozenset((before - seen.keys()) | bad)
        if after:
            names = ", ".join(sorted(name.partition(".")[2] for name in after)[:3])
            reasons = ", ".join(sorted({seen[name].reading.reason for name in bad}))
            raise_fault(turn, code, event.device, f"{names} … {reasons}".strip(" …"))
        elif before:
            clear_fault(turn, code, event.device)
        return after

    def is_refused(known: PointState) -> bool:
        return known.reading.reason.startswith("exception_")

    def is_invalid(known: PointState) -> bool:
        return known.reading.quality is Quality.FAULT and not is_refused(known)

    return replace(
        device,
        refused=sort(device.refused, "device_refuses", is_refused),
        unanswered=sort(
            device.unanswered, "points_unanswered", lambda known: known.misses >= enough
        ),
        invalid=sort(device.invalid, "readings_invalid", is_invalid),
    )


def _believed(
    raw: Reading,
    point: Point,
    known: PointState | None,
    device: DeviceState,
    points: dict[str, PointState],
    turn: Turn,
) -> Reading:
    """The reading with the quality it deserves, given what else is known of the device."""
    if raw.quality is GOOD and point.gate is None and point.stuck_after_ms is None:
        return raw
    if raw.quality is Quality.OFFLINE:
        # one missed reply is no lost device yet; the number is gone either way
        is_lost = device.is_offline or known is None
        if known is not None and known.missing_since_ms is not None:
            is_lost = is_lost or _is_lost(
                turn, known.misses + 1, known.missing_since_ms, point.period_ms
            )
        return replace(raw, quality=Quality.OFFLINE if is_lost else Quality.SUSPECT)
    if raw.quality is not GOOD:
        if raw.reason == "sentinel" and (known is None or known.reading.reason != "sentinel"):
            return replace(raw, quality=Quality.SUSPECT)  # F2: one is suspect, more are a fault
        return raw
    if point.gate is not None:
        gate = points.get(f"{point.device}.{point.gate.point}")
        value = gate.reading.value if gate is not None else None
        quality = point.gate.quality_at(None if isinstance(value, str) else value)
        if quality is not Quality.GOOD:
            return replace(raw, quality=quality, reason=f"gate:{point.gate.point}")
    if (
        point.stuck_after_ms is not None
        and known is not None
        and known.reading.value == raw.value
        and turn.now.mono_ms - known.changed_ms > point.stuck_after_ms
    ):
        return replace(raw, quality=Quality.SUSPECT, reason="stuck")
    return raw


def _remember(
    turn: Turn, point: Point, known: PointState | None, reading: Reading
) -> tuple[PointState, bool]:
    """The point's next state, and whether the reading is worth reporting."""
    sent = known.sent if known else None
    is_new = is_worth_reporting(point, sent, reading, turn.house.limits_of.get(point.id, ()))
    changed = reading.mono_ms
    if known is not None and (reading.value is None or known.reading.value == reading.value):
        changed = known.changed_ms
    mark = known.high_mark if known else None
    if point.is_counter and isinstance(reading.value, int | float):
        if mark is not None and reading.value < mark and reading.quality is Quality.GOOD:
            fields = {"point": point.id, "from": mark, "to": reading.value}
            turn.record_fact("counter_reset", fields)
        mark = float(reading.value)
    misses, missing_since = 0, None
    if reading.value is None and reading.quality in (Quality.OFFLINE, Quality.SUSPECT):
        misses = known.misses + 1 if known else 1
        missing_since = reading.mono_ms
        if known is not None and known.missing_since_ms is not None:
            missing_since = known.missing_since_ms
    kept = reading if is_new else sent
    return PointState(reading, kept, changed, mark, misses, missing_since), is_new


def _all_offline(
    turn: Turn, event: events.BlockRead, points: dict[str, PointState]
) -> Iterable[Reading]:
    """A device that is offline is offline whole: also the points that this block did not hold."""
    seen = {reading.point for reading in event.readings}
    reason = "bus_down" if isinstance(event.failure, BusDown) else "silent"
    device = turn.house.devices.get(event.device)
    for point in device.points if device else ():
        known = points.get(point.id)
        if point.id in seen or (known and known.reading.quality is Quality.OFFLINE):
            continue
        reading = Reading(point.id, None, Quality.OFFLINE, turn.now.mono_ms, reason)
        points[point.id], _ = _remember(turn, point, known, reading)
        _freeze(turn, point.id)
        yield reading


# --- rules ----------------------------------------------------------------------------------


def _judge_reading(turn: Turn, reading: Reading, judge: Judge) -> None:
    rules = turn.house.rules_of.get(reading.point)
    if not rules:
        return
    if reading.quality is not GOOD and reading.quality in FROZEN:
        _freeze(turn, reading.point)
    for rule in rules:
        trouble = turn.troubles.get(rule.id)
        if trouble is not None and trouble.is_out_of_service:
            continue
        try:
            _judge_by(turn, rule, reading, judge)
        except Exception as error:  # noqa: BLE001 - design 2: one bad rule must not stop the others
            _note_trouble(turn, rule, error)
        else:
            if trouble is not None:
                _end_trouble(turn, rule, trouble)


def _judge_by(turn: Turn, rule: Rule, reading: Reading, judge: Judge) -> None:
    verdict = judge(rule, reading)
    alarm = turn.alarms.get(rule.id)
    if alarm is None:
        if verdict is not Verdict.OVER:
            return
        alarm = Alarm(rule.id)
    alarm, transition = alarms.take_sample(rule, alarm, verdict, reading, turn.now.mono_ms)
    turn.record_transition(rule, alarm, transition)


def _freeze(turn: Turn, point: str) -> None:
    for rule in turn.house.rules_of.get(point, ()):
        alarm = turn.alarms.get(rule.id)
        if alarm is not None and not alarm.is_stale:
            turn.put_alarm(alarms.freeze(alarm))


def _note_trouble(turn: Turn, rule: Rule, error: Exception) -> None:
    """The rule keeps its old state and is a fault; three failures in a minute put it out."""
    before = turn.troubles.get(rule.id, RuleTrouble(()))
    since = turn.now.mono_ms - TROUBLE_WINDOW_MS
    failed = (*(moment for moment in before.failed_ms if moment > since), turn.now.mono_ms)
    is_out = len(failed) > TROUBLES_ALLOWED
    turn.troubles = {**turn.troubles, rule.id: RuleTrouble(failed, is_out)}
    raise_fault(turn, "rule_failed", rule.id, f"{type(error).__name__}: {error}")
    if is_out:
        raise_fault(turn, "rule_out_of_service", rule.id, f"{len(failed)} failures in a minute")


def _end_trouble(turn: Turn, rule: Rule, trouble: RuleTrouble) -> None:
    """A rule that has worked for a minute again is no longer a fault."""
    if turn.now.mono_ms - trouble.failed_ms[-1] >= TROUBLE_WINDOW_MS:
        turn.troubles = {key: kept for key, kept in turn.troubles.items() if key != rule.id}
        clear_fault(turn, "rule_failed", rule.id)


def _pass_time(turn: Turn) -> None:
    """Let every on-delay and off-delay run out that is due, and a long outage become a fault."""
    mono_ms = turn.now.mono_ms
    for alarm in list(turn.alarms.values()):
        rule = turn.house.rule(alarm.rule)
        if rule is not None:
            moved, transition = alarms.pass_time(rule, alarm, mono_ms)
            if moved is not alarm:
                turn.record_transition(rule, moved, transition)
    down = turn.state.link_down_since_ms
    if down is not None and mono_ms - down >= LINK_DOWN_FAULT_MS:
        raise_fault(turn, "uplink_down", turn.state.link_broker, turn.state.link_why)
    if mono_ms - turn.state.watched_ms >= WATCH_EVERY_MS:
        turn.state = replace(turn.state, watched_ms=mono_ms)
        _watch_reads(turn)
    test = turn.state.lamp_test_until_ms
    if test is not None and mono_ms >= test:
        turn.state = replace(turn.state, lamp_test_until_ms=None)


def _watch_reads(turn: Turn) -> None:
    """One fault for a bus on which a point that a rule judges was not read when it should be."""
    late: dict[str, list[str]] = {}
    for rule_id, planned_ms in turn.house.read_within_ms.items():
        rule = turn.house.rules[rule_id]
        device = turn.house.points[rule.point].device
        known = turn.devices.get(device, DeviceState())
        point = known.points.get(rule.point)
        is_missing = known.misses or (point is not None and point.misses)
        within_ms = max(planned_ms, WATCH_MISSING_MS) if is_missing else planned_ms
        read_ms = point.reading.mono_ms if point is not None else turn.state.started_ms
        age_ms = turn.now.mono_ms - max(read_ms, turn.state.started_ms + WATCH_FROM_MS)
        if age_ms > within_ms:
            bus = turn.house.devices[device].bus
            late.setdefault(bus, []).append(f"{rule.point} > {within_ms / 1000:.0f} s")
    for bus in turn.house.devices_on:
        if bus in late:
            raise_fault(turn, "detection_late", bus, f"{len(late[bus])} rules, {late[bus][0]}")
        elif fault_id("detection_late", bus) in turn.alarms:
            clear_fault(turn, "detection_late", bus)


# --- faults of the gateway ------------------------------------------------------------------


def raise_fault(turn: Turn, code: str, subject: str, detail: str = "") -> None:
    """A fault that is open already is not raised again."""
    rule = fault_rule(code, subject)
    alarm = turn.alarms.get(rule.id, Alarm(rule.id))
    if alarm.state in (AlarmState.UA, AlarmState.AA):
        return
    alarm = replace(alarm, detail=detail, silenced_until_ms=None, cleared_ms=None)
    turn.record_transition(rule, *alarms.advance(rule, alarm, alarms.HELD))


def clear_fault(turn: Turn, code: str, subject: str) -> None:
    alarm = turn.alarms.get(fault_id(code, subject))
    if alarm is None:
        return
    rule = fault_rule(code, subject)
    turn.record_transition(rule, *alarms.advance(rule, alarm, alarms.CLEARED))


# --- people ---------------------------------------------------------------------------------


def _silence(turn: Turn, event: events.Silence) -> None:
    silenced = 0
    for alarm in list(turn.alarms.values()):
        rule = turn.house.rule(alarm.rule)
        if rule is None or not alarm.is_sounding(turn.now.mono_ms):
            continue
        length = turn.house.silence_ms if rule.severity is Severity.ALARM else FAULT_SILENCE_MS
        quiet = alarms.silence(alarm, turn.now.mono_ms + length)
        quiet = replace(quiet, silenced_at=turn.now)
        turn.record_transition(rule, quiet, Transition.SILENCE, event.by)
        silenced += 1
    _answer(turn, event.reply_to, done=silenced)


def _acknowledge(turn: Turn, event: events.Acknowledge) -> None:
    _on_alarms(turn, event, alarms.acknowledge)


def _reset(turn: Turn, event: events.Reset) -> None:
    _on_alarms(turn, event, alarms.reset)


def _on_alarms(
    turn: Turn,
    event: events.Acknowledge | events.Reset,
    act: Callable[[Rule, Alarm], tuple[Alarm, Transition | None]],
) -> None:
    """Apply a person's verb to one alarm (by rule or occurrence) or to all it fits."""
    done, found = 0, 0
    for alarm in list(turn.alarms.values()):
        rule = turn.house.rule(alarm.rule)
        if rule is None or event.alarm not in (None, alarm.rule, alarm.occurrence):
            continue
        found += 1
        moved, transition = act(rule, alarm)
        if transition is not None:
            turn.record_transition(rule, moved, transition, event.by)
            done += 1
    _answer(turn, event.reply_to, done=done, is_unknown=event.alarm is not None and not found)


def _answer(turn: Turn, to: int | None, *, done: int, is_unknown: bool = False) -> None:
    if to is None:
        return
    code = "unknown_alarm" if is_unknown else "done" if done else "nothing_to_do"
    turn.replies.append(Reply(to, ok=done > 0, code=code))


def _test_panel(turn: Turn, event: events.LampTest) -> None:
    """Light every lamp for two seconds and sound one tone; not while an alarm sounds."""
    is_sounding = any(
        alarm.is_sounding(turn.now.mono_ms) and _severity(turn, alarm) is Severity.ALARM
        for alarm in turn.alarms.values()
    )
    if not is_sounding:
        turn.state = replace(turn.state, lamp_test_until_ms=turn.now.mono_ms + BOOT_TEST_MS)
        turn.record_fact("panel_test", {"by": event.by})
    if event.reply_to is not None:
        code = "alarm_sounding" if is_sounding else "done"
        turn.replies.append(Reply(event.reply_to, ok=not is_sounding, code=code))


def _severity(turn: Turn, alarm: Alarm) -> Severity | None:
    rule = turn.house.rule(alarm.rule)
    return rule.severity if rule else None


# --- link, clock, start ---------------------------------------------------------------------


def _change_link(turn: Turn, event: events.LinkChanged) -> None:
    since = None
    if event.is_up:
        for alarm in list(turn.alarms.values()):
            if alarm.rule.startswith(fault_id("uplink_down", "")):
                clear_fault(turn, "uplink_down", alarm.rule.split("/", 2)[2])
    else:
        before = turn.state.link_down_since_ms
        since = turn.now.mono_ms if before is None else before
    turn.state = replace(
        turn.state,
        is_link_up=event.is_up,
        link_down_since_ms=since,
        link_broker=event.broker,
        link_why=event.why,
        is_platform_present=turn.state.is_platform_present and event.is_up,
    )


def _change_platform(turn: Turn, *, is_present: bool) -> None:
    turn.state = replace(turn.state, is_platform_present=is_present)
    if is_present:
        clear_fault(turn, "platform_absent", turn.house.sender.gateway)
    else:
        raise_fault(turn, "platform_absent", turn.house.sender.gateway)


def _keep_receipt(turn: Turn, event: events.Receipt) -> None:
    fields: dict[str, object] = {
        "alarm": event.occurrence,
        "lvl": event.level,
        "aud": event.audience,
        "at": event.at_ms,
    }
    turn.record_fact("receipt", fields)


def _note_clock(turn: Turn) -> None:
    """When the clock becomes synchronised, an anchor lets readers correct this boot's records."""
    now = turn.now
    if now.clk is Clk.SYNC and turn.state.clk is not Clk.SYNC:
        _anchor(turn)


def _anchor(turn: Turn) -> None:
    now = turn.now
    turn.record_fact("anchor", {"utc": now.utc_ms, "err": now.err_ms, "mono": now.mono_ms})


def _restart(turn: Turn) -> None:
    """Record the start, test the lamps, and let go of open alarms whose rule is no longer there."""
    house = turn.house
    turn.record_fact("boot", {"sw": house.software, "cfg": house.site_sha})
    if turn.now.clk is Clk.SYNC:
        _anchor(turn)
    turn.state = replace(turn.state, lamp_test_until_ms=turn.now.mono_ms + BOOT_TEST_MS)
    for alarm in list(turn.alarms.values()):
        if house.rule(alarm.rule) is None:
            fields = {"rule": alarm.rule, "alarm": alarm.occurrence, "state": alarm.state.value}
            turn.record_fact("alarm_dropped", fields)
            turn.changed[alarm.rule] = replace(alarm, state=AlarmState.N)
            turn.alarms.pop(alarm.rule)


# --- panel ----------------------------------------------------------------------------------


def _signal(turn: Turn) -> Signal:
    """What the panel shows after this turn."""
    state = turn.state
    shown = []
    for alarm in open_alarms(replace(state, alarms=turn.alarms)) if turn.alarms else ():
        rule = turn.house.rule(alarm.rule)
        if rule is not None:
            is_sounding = alarm.is_sounding(turn.now.mono_ms)
            since = sounding_since(state, alarm)
            shown.append(PanelAlarm(rule.severity, rule.sound, alarm.state, is_sounding, since))
    test = state.lamp_test_until_ms
    view = PanelView(
        alarms=tuple(shown),
        is_boot_test=test is not None,
        is_buffering=not (state.is_link_up and state.is_platform_present),
        is_polling_ok=any(
            not device.is_offline for name, device in turn.devices.items() if name != OWN_DEVICE
        ),
        escalate_after_ms=turn.house.escalate_after_ms,
    )
    return signal_for(view, turn.state.signal, turn.now.mono_ms)
