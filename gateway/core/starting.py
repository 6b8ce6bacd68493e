"""The start of the daemon, and the moment at which its clock becomes right."""

from dataclasses import replace

from gateway.core import alarms, ladder, nights, post_check, practice, self_test
from gateway.core.aside import aside
from gateway.core.dictionary import note_dictionary
from gateway.core.faults import fault_rule, rule_of_fault_id
from gateway.core.life_data import SHELVED, to_json
from gateway.core.own_faults import MOMENTARY
from gateway.core.panel import BOOT_TEST_MS
from gateway.core.patrol_plan import COMPENSATING
from gateway.core.patrol_rounds import MISSED, MISSED_AGAIN
from gateway.core.starts import note_start
from gateway.core.state import House
from gateway.core.turn import Turn
from gateway.domain.alarms import Alarm, AlarmState, Transition
from gateway.domain.moments import Clk
from gateway.domain.rules import Rule, Severity

JUDGED_ANEW = frozenset({
    "device_refuses", "points_unanswered", "readings_invalid", "rule_failed",
    "rule_out_of_service", "function_failed", "task_failed", "panel_failing", "foreign_master",
    "uplink_unheard", "uplink_refused", "reader_gone", "reader_failed", *MOMENTARY,
})  # fmt: skip
OF_DEVICE = frozenset({"device_silent", "wrong_device", "residual_ct"})
OF_BUS = frozenset({"bus_down", "bus_silent", "detection_late"})
OF_ROUNDS = frozenset({MISSED, MISSED_AGAIN})
OF_UPLINK = frozenset({"uplink_down", "platform_absent", "audience_silent", "identity_in_use"})


def note_clock(turn: Turn) -> None:
    """When the clock becomes synchronised, an anchor lets readers correct this boot's records."""
    now = turn.now
    if now.clk is Clk.SYNC and turn.state.clk is not Clk.SYNC:
        _anchor(turn)


def note_step(turn: Turn, by_ms: int, at_ms: int) -> None:
    """The wall clock jumped; where that was a synchronisation, what is known now is anchored."""
    turn.record_fact("clock_step", {"by_ms": by_ms, "mono": at_ms})
    if turn.now.clk is Clk.SYNC:
        _anchor(turn)


def _anchor(turn: Turn) -> None:
    now = turn.now
    turn.record_fact("anchor", {"utc": now.utc_ms, "err": now.err_ms, "mono": now.mono_ms})


def restart(turn: Turn) -> None:
    """Record the start, test the lamps, and let go of open alarms whose rule is no longer there."""
    house = turn.house
    heads = {lane.value: head for lane, head in turn.state.heads.items()}
    turn.record_fact("boot", {"sw": house.software, "cfg": house.site_sha, "head": heads})
    if turn.now.clk is Clk.SYNC:
        _anchor(turn)
    turn.state = replace(turn.state, lamp_test_until_ms=turn.now.mono_ms + BOOT_TEST_MS)
    aside(turn, "starts", note_start, turn)
    aside(turn, "dictionary", note_dictionary, turn)
    for known in list(turn.alarms.values()):
        alarm = hear_as_alarm(turn, known)  # what this boot's clock made of its silence is kept
        if house.rule(alarm.rule) is None:
            drop_alarm(turn, alarm)
        elif alarm.state.is_active and rule_of_fault_id(alarm.rule) and _is_over(house, alarm.rule):
            turn.record_transition(*_over(turn, alarm))
    for shelving in turn.state.shelved.values():
        turn.keep(SHELVED, shelving.rule, to_json(shelving))  # by this boot's clock, as alarms
    _resume(turn)


def hear_as_alarm(turn: Turn, alarm: Alarm) -> Alarm:
    """Remember it; one that the site file has made an alarm of sounds.

    However long it was silenced as less, and whoever has acknowledged it as less.
    """
    rule = turn.house.rule(alarm.rule)
    if rule is None or rule.severity is not Severity.ALARM:
        return turn.change_alarm(alarm)
    alarm, transition = alarms.call_as_alarm(rule, _unsilenced(turn, alarm), turn.now.mono_ms)
    if transition is None:
        return turn.change_alarm(alarm)
    return turn.record_transition(rule, alarm, transition)


def _unsilenced(turn: Turn, alarm: Alarm) -> Alarm:
    until_ms = turn.now.mono_ms + turn.house.silence_ms
    if not alarm.is_silenced_until_new and (alarm.silenced_until_ms or 0) <= until_ms:
        return alarm
    return replace(
        alarm,
        silenced_until_ms=None,
        silenced_at=None,
        silenced_by="",
        is_silenced_until_new=False,
    )


def drop_alarm(turn: Turn, alarm: Alarm) -> None:
    """Let go of an alarm whose rule the site file no longer has; nobody could end it any more."""
    fields = {"rule": alarm.rule, "alarm": alarm.occurrence, "state": alarm.state.value}
    turn.record_fact("alarm_dropped", fields)
    turn.changed[alarm.rule] = replace(alarm, state=AlarmState.N)
    turn.alarms.pop(alarm.rule)


def _is_over(house: House, rule_id: str) -> bool:
    """A fault that nobody can clear: only what this start has forgotten, or what is gone, could.

    One that is still so is found and raised anew. The store ends its own.
    """
    _, code, subject = rule_id.split("/", 2)
    return (
        (code in JUDGED_ANEW and not subject.startswith("store "))
        or (code in OF_DEVICE and subject not in house.devices)
        or (code == "wrong_device" and not has_identity(house, subject))
        or (code in OF_BUS and is_bus_unasked(house, subject))
        or (code in OF_ROUNDS and is_schedule_gone(house, subject))
        or (code in OF_UPLINK and not house.has_uplink)
    )


def is_bus_unasked(house: House, bus: str) -> bool:
    """It is gone, or nothing is left on it that would be read: nobody finds out how it is."""
    return not house.devices_on.get(bus)


def is_schedule_gone(house: House, schedule: str) -> bool:
    """No round of it will be walked any more; those that compensate end with what they are for."""
    is_compensating = schedule.startswith(COMPENSATING) and bool(house.patrol.checkpoints)
    return schedule not in house.patrol.schedules and not is_compensating


def has_identity(house: House, device: str) -> bool:
    """Whether it says by any of its points what it is; no other can be found to be wrong."""
    known = house.devices.get(device)
    return known is not None and any(point.identity for point in known.points)


def _over(turn: Turn, alarm: Alarm) -> tuple[Rule, Alarm, Transition | None]:
    _, code, subject = alarm.rule.split("/", 2)
    rule = fault_rule(code, subject)
    return rule, *alarms.clear(rule, alarm, turn.now.mono_ms)


def _resume(turn: Turn) -> None:
    """Go on with what ran before the restart and is not over. What cannot, costs itself only."""
    for part in (practice, ladder, post_check, nights, self_test):
        aside(turn, f"restore {part.__name__.rpartition('.')[2]}", part.restore, turn)
