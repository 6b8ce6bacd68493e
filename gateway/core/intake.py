"""A block comes in: what is believed of it, what is remembered, what is worth reporting."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from gateway.core.aside import aside
from gateway.core.device_faults import is_long_gone, note_points, note_reply
from gateway.core.evidence import keep_evidence
from gateway.core.judge import is_still_judged
from gateway.core.judge import judge as by_one_reading
from gateway.core.leakage import follow_leakage
from gateway.core.own_faults import clear_fault, raise_fault
from gateway.core.practice import as_tested, judge_under_test, under_test
from gateway.core.report import is_worth_reporting
from gateway.core.rulings import Judge, freeze_rules, guarded, judge_reading
from gateway.core.state import UNHEARD, DeviceState, Hearing, PointState, with_points
from gateway.core.turn import Turn
from gateway.core.weighing import Latest, hear_members, judge_combined, latest_of, weigher
from gateway.domain import events
from gateway.domain.errors import BusDown
from gateway.domain.points import Point
from gateway.domain.readings import Quality, Reading

GOOD = Quality.GOOD
JUDGED = frozenset({GOOD, Quality.TEST})
RESETS_TOLD_EVERY_MS = 600_000
WRONG_DEVICE = "wrong_device"  # a reason, and the fault's code


def take_block(turn: Turn, event: events.BlockRead, judge: Judge) -> None:
    before = turn.devices.get(event.device, UNHEARD)
    device = note_reply(turn, event, before)
    points = dict(device.points)
    if before.is_offline and not device.is_offline:
        points = _asked_anew(turn, points)
    hearing, reported = turn.house.hearing, []
    tests, doubt = turn.state.tests, turn.state.dues.overdue.get(event.device, "")
    judged: list[Reading] = []
    tested: list[Reading] = []
    is_strange = has_bad = False
    is_plain = not (tests or doubt or device.is_wrong)
    for raw in event.readings:
        heard = hearing.get(raw.point)
        if heard is None:
            is_strange = True
            continue
        known = points.get(raw.point)
        if is_plain and heard.is_plain and raw.quality is GOOD and known is not None:
            reading = raw
            state = _went_on(heard, known, raw)
        else:
            point = heard.point
            reading = _believed(raw, point, known, device, points, turn)
            if point.identity:
                device = _know_again(turn, point, reading, device)
                is_plain = is_plain and not device.is_wrong
            if (doubt or device.is_wrong) and reading.quality is GOOD and point.unit:
                reading = replace(reading, quality=Quality.SUSPECT, reason=doubt or WRONG_DEVICE)
            if tests and (test := tests.get(reading.point)) is not None:
                tested.append(under_test(test, reading))
                if test.simulated is None:  # else nobody trips the device: what it says is real
                    reading = as_tested(reading)
            has_bad = has_bad or reading.quality is not GOOD
            state = _remembered(turn, heard, known, reading)
        points[raw.point] = state
        if state.sent is reading:
            reported.append(reading)
        if heard.is_judged:
            judged.append(reading)
    if is_strange:  # of a point that a reload has just taken away
        event = replace(event, readings=tuple(r for r in event.readings if r.point in points))
    if device.is_offline:
        for reading in _all_offline(turn, event, points):
            reported.append(reading)
            freeze_rules(turn, reading.point)
            if reading.point in turn.house.combined_of:
                judged.append(reading)
    latest = latest_of(turn, event.device, points)
    _judge(turn, judged, latest, judge)
    if tested:
        judge_under_test(turn, tested, weigher(turn, latest, judge, is_twin=True), latest)
    if has_bad or device.refused or device.unanswered or device.invalid:
        device = note_points(turn, event, device, points)
    turn.devices = {**turn.devices, event.device: with_points(device, points)}
    turn.reported = tuple(reported)
    aside(turn, "evidence", keep_evidence, turn, event)
    if event.device in turn.house.residuals:
        aside(turn, "leakage", follow_leakage, turn, event.device, points)


def _asked_anew(turn: Turn, points: Mapping[str, PointState]) -> dict[str, PointState]:
    """Its points as the device is back: what each missed, it missed because the device was away.

    A question that was under way meanwhile may still end without an answer: one more is no fault.
    """
    most = max(0, turn.house.offline_after_misses - 2)
    return {
        name: replace(known, misses=most) if known.misses > most else known
        for name, known in points.items()
    }


def _judge(turn: Turn, judged: Sequence[Reading], latest: Latest, judge: Judge) -> None:
    """Judge what came in by the rules, when all of the block is known."""
    if not judged:
        return
    weigh, combined_of = weigher(turn, latest, judge), turn.house.combined_of
    is_usual = judge is by_one_reading
    for reading in judged:
        judge_reading(turn, reading, weigh, is_usual=is_usual)
    if combined_of:
        heard = {}
        for reading in judged:
            for combined in combined_of.get(reading.point, ()):
                guarded(turn, combined.rule, hear_members, turn, combined, reading, latest)
                heard[combined.rule.id] = combined
        for combined in heard.values():
            judge_combined(turn, combined)


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
            is_lost = is_lost or is_long_gone(
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


def _know_again(turn: Turn, point: Point, reading: Reading, device: DeviceState) -> DeviceState:
    """F19: the device says what it is; another one's numbers are plausible, and wrong."""
    if reading.quality is not GOOD:
        return device
    if reading.value in point.identity:
        clear_fault(turn, WRONG_DEVICE, point.device)
        return replace(device, is_wrong=False)
    raise_fault(turn, WRONG_DEVICE, point.device, f"{point.name} = {reading.value}")
    return replace(device, is_wrong=True)


def _went_on(heard: Hearing, known: PointState, reading: Reading) -> PointState:
    """`_remembered` for a good reading of a plain point: nearly every one."""
    sent = known.sent
    if is_worth_reporting(heard.point, sent, reading, heard.limits):
        sent = reading
    is_same = known.reading.value == reading.value
    changed = known.changed_ms if is_same else reading.mono_ms
    return PointState(reading, sent, changed, known.high_mark, 0, None, reading.mono_ms)


def _remembered(
    turn: Turn, heard: Hearing, known: PointState | None, reading: Reading
) -> PointState:
    """The point's next state; its `sent` is the reading if that is worth reporting."""
    point, sent = heard.point, known.sent if known else None
    if is_worth_reporting(point, sent, reading, heard.limits):
        sent = reading
    changed = reading.mono_ms
    if known is not None and (reading.value is None or known.reading.value == reading.value):
        changed = known.changed_ms
    mark = known.high_mark if known else None
    if point.is_counter and isinstance(reading.value, int | float):
        if mark is not None and reading.value < mark and reading.quality is GOOD:
            _tell_reset(turn, point, mark, reading.value)
        mark = float(reading.value)
    misses, missing_since = 0, None
    if reading.value is None and reading.quality in (Quality.OFFLINE, Quality.SUSPECT):
        misses = known.misses + 1 if known else 1
        missing_since = reading.mono_ms
        if known is not None and known.missing_since_ms is not None:
            missing_since = known.missing_since_ms
    good_ms = known.good_ms if known else None
    if reading.quality in JUDGED or is_still_judged(reading):
        good_ms = reading.mono_ms
    return PointState(reading, sent, changed, mark, misses, missing_since, good_ms)


def _tell_reset(turn: Turn, point: Point, mark: float, value: float) -> None:
    """A reset is a record; a register that is no counter must not fill the disk with them."""
    told, now = turn.state.resets_told, turn.now.mono_ms
    if point.id not in told or now - told[point.id] >= RESETS_TOLD_EVERY_MS:
        turn.record_fact("counter_reset", {"point": point.id, "from": mark, "to": value})
        turn.state = replace(turn.state, resets_told={**told, point.id: now})


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
        points[point.id] = _remembered(turn, turn.house.hearing[point.id], known, reading)
        yield reading
