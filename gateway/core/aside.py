"""What no alarm waits for: a mistake in it costs itself only, and is a fault that people see."""

from collections.abc import Callable
from typing import ParamSpec

from gateway.core.faults import fault_id
from gateway.core.own_faults import clear_fault, raise_fault
from gateway.core.turn import Turn

P = ParamSpec("P")
WORKS_AGAIN_MS = 60_000


def aside(
    turn: Turn, name: str, act: Callable[P, None], /, *given: P.args, **named: P.kwargs
) -> None:
    """Do it. An exception becomes the fault `function_failed` of that name, and nothing else.

    The fault ends when the function has worked again for a minute.
    """
    try:
        act(*given, **named)
    except Exception as error:  # noqa: BLE001 - design 1.4: one bad thing stays one bad thing
        raise_fault(turn, "function_failed", name, f"{type(error).__name__}: {error}")
        return
    alarm = turn.alarms.get(fault_id("function_failed", name)) if turn.alarms else None
    if alarm is not None and turn.now.mono_ms - (alarm.called_ms or 0) >= WORKS_AGAIN_MS:
        clear_fault(turn, "function_failed", name)
