"""What a reply, or its absence, says about a device and its bus: one fault for one cause."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import assert_never

from gateway.core.own_faults import clear_fault, raise_fault
from gateway.core.state import DeviceState, PointState, answering
from gateway.core.turn import Turn
from gateway.domain import events
from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent, ReadFailure
from gateway.domain.readings import Quality

OTHERS_ASKED_MS = 15_000  # time to find out whether a silence is a device's or the whole line's


def note_reply(turn: Turn, event: events.BlockRead, device: DeviceState) -> DeviceState:
    """Count missed replies, and raise or clear the device's and the bus's own faults."""
    failure, subject = event.failure, event.device
    if failure is None or not _is_miss(failure):
        if turn.alarms:
            clear_fault(turn, "device_silent", subject)
            clear_fault(turn, "bus_down", event.bus)
            clear_fault(turn, "bus_silent", event.bus)
        return answering(device, turn.now.mono_ms)
    since = turn.now.mono_ms if device.missing_since_ms is None else device.missing_since_ms
    misses = device.misses + 1
    if isinstance(failure, BusDown):
        # one fault for the bus, which suppresses those of its devices
        clear_fault(turn, "bus_silent", event.bus)
        raise_fault(turn, "bus_down", event.bus, failure.why)
        return replace(
            device, misses=misses, missing_since_ms=since, is_offline=True, is_silent=False
        )
    clear_fault(turn, "bus_down", event.bus)
    fastest = turn.house.fastest_ms.get(subject, 0)
    is_offline = device.is_offline or is_long_gone(turn, misses, since, fastest)
    if is_offline:
        _raisesilence(turn, event, since)
    return replace(
        device,
        misses=misses,
        missing_since_ms=since,
        is_offline=is_offline,
        is_silent=is_offline,
    )


def _raisesilence(turn: Turn, event: events.BlockRead, since_ms: int) -> None:
    """One fault for a line on which nobody answers, else one for the device.

    While nobody has answered since, the others are given a while to be asked as well.
    """
    on_bus = turn.house.devices_on.get(event.bus, ())
    others = [turn.devices.get(name, DeviceState()) for name in on_bus if name != event.device]
    if others and all(other.is_silent for other in others):
        why = _why(event.failure)
        detail = f"{len(on_bus)} devices" if why == "timeout" else f"{len(on_bus)} devices, {why}"
        raise_fault(turn, "bus_silent", event.bus, detail, onset_ms=since_ms)
        return
    has_answered = not others or any(
        other.answered_ms is not None and other.answered_ms >= since_ms for other in others
    )
    if has_answered or turn.now.mono_ms - since_ms >= OTHERS_ASKED_MS:
        raise_fault(turn, "device_silent", event.device, _why(event.failure), onset_ms=since_ms)


def _is_miss(failure: ReadFailure | None) -> bool:
    """True when the device itself gave no answer: a bridge's 0x0A and 0x0B say just that."""
    return isinstance(failure, DeviceSilent | BusDown) or (
        isinstance(failure, DeviceRefused) and failure.code in (0x0A, 0x0B)
    )


def is_long_gone(turn: Turn, misses: int, since_ms: int, period_ms: int) -> bool:
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


def note_points(
    turn: Turn, event: events.BlockRead, device: DeviceState, points: Mapping[str, PointState]
) -> DeviceState:
    """Faults of a device that answers, but not everything, or nonsense: one each, by its points."""
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
        reading = known.reading
        is_told = reading.reason[:5] == "gate:" and reading.point in turn.house.gates_told
        return reading.quality is Quality.FAULT and not is_refused(known) and not is_told

    return replace(
        device,
        refused=sort(device.refused, "device_refuses", is_refused),
        unanswered=sort(
            device.unanswered, "points_unanswered", lambda known: known.misses >= enough
        ),
        invalid=sort(device.invalid, "readings_invalid", is_invalid),
    )
