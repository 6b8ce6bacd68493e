"""The start of the daemon, and the moment at which its clock becomes right."""

from dataclasses import replace

from gateway.core import alarms, ladder, nights, post_check, practice, self_test
from gateway.core.faults import fault_id, fault_rule
from gateway.core.panel import BOOT_TEST_MS
from gateway.core.turn import Turn
from gateway.domain.alarms import Alarm, AlarmState, Transition
from gateway.domain.moments import Clk
from gateway.domain.rules import Rule

JUDGED_ANEW = tuple(
    fault_id(code, "")
    for code in (
        "device_refuses", "points_unanswered", "readings_invalid", "rule_failed",
        "rule_out_of_service",
    )
)  # fmt: skip


def note_clock(turn: Turn) -> None:
    """When the clock becomes synchronised, an anchor lets readers correct this boot's records."""
    now = turn.now
    if now.clk is Clk.SYNC and turn.state.clk is not Clk.SYNC:
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
    _resume(turn)
    for alarm in list(turn.alarms.values()):
        turn.change_alarm(alarm)  # what this boot's clock made of its silence is kept
        if house.rule(alarm.rule) is None:
            fields = {"rule": alarm.rule, "alarm": alarm.occurrence, "state": alarm.state.value}
            turn.record_fact("alarm_dropped", fields)
            turn.changed[alarm.rule] = replace(alarm, state=AlarmState.N)
            turn.alarms.pop(alarm.rule)
        elif alarm.state.is_active and alarm.rule.startswith(JUDGED_ANEW):
            turn.record_transition(*_over(turn, alarm))


def _over(turn: Turn, alarm: Alarm) -> tuple[Rule, Alarm, Transition | None]:
    """A fault that only what this start has forgotten could clear; if it is still so, it comes."""
    _, code, subject = alarm.rule.split("/", 2)
    rule = fault_rule(code, subject)
    return rule, *alarms.clear(rule, alarm, turn.now.mono_ms)


def _resume(turn: Turn) -> None:
    """Go on with what ran before the restart and is not over."""
    practice.restore(turn)
    ladder.restore(turn)
    post_check.restore(turn)
    nights.restore(turn)
    self_test.restore(turn)
