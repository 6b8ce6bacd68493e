"""The way to the platform as the decider sees it: up or down, present or not, receipts."""

from dataclasses import replace

from gateway.core.faults import fault_id
from gateway.core.own_faults import clear_fault, raise_fault
from gateway.core.turn import LINK_DOWN_FAULT_MS, Turn
from gateway.domain import events
from gateway.domain.signals import Pattern


def change_link(turn: Turn, event: events.LinkChanged) -> None:
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
        silenced=turn.state.silenced - {Pattern.U} if event.is_up else turn.state.silenced,
        link_broker=event.broker,
        link_why=event.why,
        is_platform_present=turn.state.is_platform_present and event.is_up,
    )


def change_platform(turn: Turn, *, is_present: bool) -> None:
    turn.state = replace(turn.state, is_platform_present=is_present)
    if is_present:
        clear_fault(turn, "platform_absent", turn.house.sender.gateway)
    else:
        raise_fault(turn, "platform_absent", turn.house.sender.gateway)


def note_outage(turn: Turn) -> None:
    """A long outage is a fault."""
    down = turn.state.link_down_since_ms
    if down is not None and turn.now.mono_ms - down >= LINK_DOWN_FAULT_MS:
        raise_fault(turn, "uplink_down", turn.state.link_broker, turn.state.link_why)
