"""What a person at the keys touched, and which planted alarms that makes uncertain.

The story is planted so that each alarm has its lamp and its sound to itself. Who pulls a device,
stops the broker, calls the next scene or acknowledges by hand plants something too, and may take
away, delay or cover what the story planted. `weigh` says for the checker what must still come out
and what only may: nothing that a key has touched is required, nothing else is excused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.domain.rules import Severity, Sound
from gateway.sim.checker import SEEN_WITHIN_MS, Sown
from gateway.sim.story import Plant

SETTLED_MS = 30_000  # a silent device is found, and found again, within this time
OUTAGE_MS = 330_000  # a broker that is away becomes a fault after 300 s
HANDED_OVER_MS = 3_000  # the staff have seen to what was left to them


class Act(StrEnum):
    ANSWER = "answer"  # silence, acknowledge, reset
    TAKE_DUTY = "take_duty"  # from here on nobody answers but the person at the keys
    GIVE_DUTY = "give_duty"
    PULL = "pull"  # a device stops answering
    PLUG = "plug"
    STOP_BROKER = "stop_broker"
    START_BROKER = "start_broker"
    NEXT = "next"  # the next scene, before its time


DEVICE = frozenset({Act.PULL, Act.PLUG})
BROKER = frozenset({Act.STOP_BROKER, Act.START_BROKER})
DUTY = frozenset({Act.TAKE_DUTY, Act.GIVE_DUTY})


@dataclass(frozen=True, slots=True)
class Touch:
    """One key that did something; `t_ms` on CLOCK_BOOTTIME."""

    t_ms: float
    act: Act
    device: str = ""


def weigh(
    sown: Sequence[Sown], touches: Sequence[Touch], *, uplink: tuple[str, str], now_ms: float
) -> list[Sown]:
    """Return what the story planted, as certain as it still is, and what the keys planted.

    `uplink` names the broker and the gateway as the daemon's faults do.
    """
    weighed = []
    for one in sown:
        must_raise = _must_raise(one, touches)
        must_show = must_raise and _must_show(one, touches)
        weighed.append(replace(one, must_raise=must_raise, must_show=must_show))
    for touch in touches:
        weighed.extend(_planted_by(touch, sown, touches, uplink, now_ms))
    return weighed


def is_on_duty(touches: Sequence[Touch], t_ms: float) -> bool:
    """True while the person at the keys answers the alarms, and not the simulated staff."""
    duty = [touch.act for touch in touches if touch.act in DUTY and touch.t_ms <= t_ms]
    return duty[-1:] == [Act.TAKE_DUTY]


def _must_raise(one: Sown, touches: Sequence[Touch]) -> bool:
    """Its scene had its time, and its device was there all the while."""
    device, until = _device_of(one.plant), one.t_ms + SEEN_WITHIN_MS
    own = [touch for touch in touches if touch.act in DEVICE and touch.device == device]
    is_pulled = [touch.act for touch in own if touch.t_ms <= one.t_ms][-1:] == [Act.PULL]
    is_moved = any(one.t_ms - SETTLED_MS <= touch.t_ms <= until for touch in own)
    return not (is_pulled or is_moved or _has(touches, {Act.NEXT}, one.t_ms, until))


def _must_show(one: Sown, touches: Sequence[Touch]) -> bool:
    """Its lamp and its sound were its own."""
    start, until = one.t_ms, one.t_ms + SEEN_WITHIN_MS
    if is_on_duty(touches, start) or _has(touches, {Act.NEXT}, start - SEEN_WITHIN_MS, until):
        return False
    if _has(touches, {Act.ANSWER, *DUTY}, start - HANDED_OVER_MS, until):
        return False
    return one.plant.severity is not Severity.FAULT or not (
        _has(touches, DEVICE, start - SETTLED_MS, until)
        or _has(touches, BROKER, start - OUTAGE_MS, until)
    )


def _planted_by(
    touch: Touch,
    sown: Sequence[Sown],
    touches: Sequence[Touch],
    uplink: tuple[str, str],
    now_ms: float,
) -> list[Sown]:
    broker, gateway = uplink
    match touch.act:
        case Act.PULL:
            rules = [f"device_silent/{touch.device}"]
        case Act.STOP_BROKER:
            rules = [f"uplink_down/{broker}", f"platform_absent/{gateway}"]
        case Act.START_BROKER:
            rules = [f"platform_absent/{gateway}"]
        case _:
            rules = []
    plants = [Plant(f"gateway/{rule}", Severity.FAULT, Sound.F) for rule in rules]
    is_sure = touch.act is Act.PULL and _is_long(touch, sown, touches, now_ms)
    return [Sown(plant, touch.t_ms, must_raise=is_sure, must_show=False) for plant in plants]


def _is_long(pull: Touch, sown: Sequence[Sown], touches: Sequence[Touch], now_ms: float) -> bool:
    """True when a device that had been well was away for so long that it must be missed."""
    own = [touch for touch in touches if touch.act in DEVICE and touch.device == pull.device]
    back_ms = min((touch.t_ms for touch in own if touch.t_ms > pull.t_ms), default=now_ms)
    was_well = not any(0 < pull.t_ms - touch.t_ms <= SETTLED_MS for touch in own) and not any(
        _device_of(one.plant) == pull.device and 0 <= pull.t_ms - one.t_ms <= 2 * SETTLED_MS
        for one in sown
    )
    return was_well and back_ms - pull.t_ms >= SETTLED_MS


def _has(
    touches: Sequence[Touch], acts: set[Act] | frozenset[Act], low: float, high: float
) -> bool:
    return any(touch.act in acts and low <= touch.t_ms <= high for touch in touches)


def _device_of(plant: Plant) -> str:
    """`board` of `board.residual_current/alarm` and of `gateway/device_silent/board`."""
    if plant.rule.startswith("gateway/"):
        return plant.rule.rsplit("/", 1)[-1]
    return plant.rule.split(".", 1)[0]
