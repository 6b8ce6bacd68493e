"""The start of the daemon, and the moment at which its clock becomes right."""

from dataclasses import replace

from gateway.core import ladder, nights, post_check, practice, self_test
from gateway.core.panel import BOOT_TEST_MS
from gateway.core.turn import Turn
from gateway.domain.alarms import AlarmState
from gateway.domain.moments import Clk


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
        if house.rule(alarm.rule) is None:
            fields = {"rule": alarm.rule, "alarm": alarm.occurrence, "state": alarm.state.value}
            turn.record_fact("alarm_dropped", fields)
            turn.changed[alarm.rule] = replace(alarm, state=AlarmState.N)
            turn.alarms.pop(alarm.rule)


def _resume(turn: Turn) -> None:
    """Go on with what ran before the restart and is not over."""
    practice.restore(turn)
    ladder.restore(turn)
    post_check.restore(turn)
    nights.restore(turn)
    self_test.restore(turn)
