"""What falls due on a day: calibration, the end of a sensor's life, the test with gas.

60 days before it is told once; from the day after, once a day, and the device's numbers are
suspect. They are judged all the same: a late sensor may still save lives (field note F8). Nothing
is said of days while the clock is not to be trusted.
"""

from dataclasses import replace
from datetime import date

from gateway.core.local_time import local_time
from gateway.core.own_faults import clear_fault, raise_fault
from gateway.core.turn import Turn
from gateway.domain.site import Due

WARN_DAYS = 60
LOOK_EVERY_MS = 60_000
KEPT = "due_told"  # kind in `domain.kept`

SOON = {
    Due.CALIBRATION: "calibration_soon",
    Due.SENSOR_LIFE: "sensor_life_soon",
    Due.BUMP_TEST: "bump_test_soon",
}
OVER = {
    Due.CALIBRATION: "calibration_overdue",
    Due.SENSOR_LIFE: "sensor_life_over",
    Due.BUMP_TEST: "bump_test_overdue",
}
CODES = frozenset((*SOON.values(), *OVER.values()))


def look_at_dues(turn: Turn) -> None:
    """Once a minute: a day more or less is what matters, not the second."""
    is_first = not turn.state.dues.look_ms
    if turn.now.mono_ms < turn.state.dues.look_ms:
        return
    if is_first:
        _forget_what_is_gone(turn)
    if turn.house.dues:
        local = local_time(turn.now, turn.house.zone)
        if local is not None:
            overdue = _judge_days(turn, local.date())
            turn.state = replace(turn.state, dues=replace(turn.state.dues, overdue=overdue))
    look = turn.now.mono_ms + LOOK_EVERY_MS
    turn.state = replace(turn.state, dues=replace(turn.state.dues, look_ms=look))


def look_anew(turn: Turn) -> None:
    """The site file has other days: look at them as after a start."""
    turn.state = replace(turn.state, dues=replace(turn.state.dues, look_ms=0, overdue={}))


def _judge_days(turn: Turn, today: date) -> dict[str, str]:
    overdue: dict[str, str] = {}
    for device, due, last_day in turn.house.dues:
        left = (date.fromisoformat(last_day) - today).days
        if left < 0:
            overdue[device] = OVER[due]
            clear_fault(turn, SOON[due], device)
            _raise_daily(turn, OVER[due], device, last_day, today)
            continue
        clear_fault(turn, OVER[due], device)
        if left <= WARN_DAYS:
            raise_fault(turn, SOON[due], device, last_day)
        else:
            clear_fault(turn, SOON[due], device)
    return overdue


def _raise_daily(turn: Turn, code: str, device: str, last_day: str, today: date) -> None:
    """A fault of its own each day, also over a restart."""
    key = f"{code}/{device}"
    told = turn.state.dues.told.get(key) or turn.state.kept.get((KEPT, key), "").strip('"')
    day = today.isoformat()
    if told == day:
        return
    if told:
        clear_fault(turn, code, device)
    raise_fault(turn, code, device, last_day)
    turn.keep(KEPT, key, f'"{day}"')
    dues = turn.state.dues
    turn.state = replace(turn.state, dues=replace(dues, told={**dues.told, key: day}))


def _forget_what_is_gone(turn: Turn) -> None:
    """After a start: end the faults of dates that the site file no longer has."""
    wanted = {(code[due], device) for device, due, _ in turn.house.dues for code in (SOON, OVER)}
    for rule in list(turn.alarms):
        _, _, rest = rule.partition("gateway/")
        code, _, device = rest.partition("/")
        if code in CODES and (code, device) not in wanted:
            clear_fault(turn, code, device)
