"""The panel of a site file: pins, quiet hours, and rhythms of the house's own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.config.buses import PlacedBus
from gateway.config.problems import Place, Problem
from gateway.config.quantities import Unreadable, duration_ms, shown
from gateway.config.schema import PanelPart
from gateway.config.tree import Tree, read_tree
from gateway.config.validate import did_you_mean, error, validate, warning
from gateway.core.patterns import (
    BEATS,
    LEAST_SHARE,
    LONGEST_PAUSE_MS,
    LONGEST_TONE_MS,
    MOST_BEATS,
    SHORTEST_MS,
    Mistake,
    mistake_in,
    twins,
)
from gateway.domain.signals import Pattern
from gateway.domain.site import NIGHT, PanelPins, QuietHours, SerialLine
from gateway.domain.text import Text

PINS = ("red", "amber", "yellow", "green", "white", "buzzer", "silence", "relay")


@dataclass(frozen=True, slots=True)
class PanelSettings:
    """All that a site says of its panel; `patterns` are only those that differ from the table."""

    pins: PanelPins = field(default_factory=PanelPins)
    quiet_hours: QuietHours | None = NIGHT
    patterns: Mapping[Pattern, tuple[int, ...]] = field(default_factory=dict)


def read_panel(tree: Tree, buses: Mapping[str, PlacedBus], found: list[Problem]) -> PanelSettings:
    """Read the part `panel`; a site without one has no wires and the usual night."""
    if not isinstance(tree.at(("panel",)), dict):
        return PanelSettings()
    part = validate(PanelPart, tree, ("panel",), found)
    pins = {name: getattr(part, name) for name in PINS}
    first: dict[int, Place] = {}
    for name, pin in pins.items():
        if pin is None or isinstance(pin, bool):
            continue
        place = tree.place(("panel", name))
        if pin in first:
            fact = Text(f"引脚 {pin} 用了两次", f"pin {pin} is used twice")
            advice = Text("每个灯和按钮各用一个引脚", "each lamp and button has a pin of its own")
            found.append(error(place, "pin_twice", fact, advice, first[pin]))
        first.setdefault(pin, place)
        _check_pin(pin, place, buses, found)
    if "relay_mode" in part.model_fields_set and part.relay is None:
        found.append(_no_relay(tree))
    return PanelSettings(
        PanelPins(**pins, active_high=part.active_high, relay_mode=part.relay_mode),
        part.quiet_hours,
        _patterns(tree, part.patterns, found),
    )


def load_panel(path: Path) -> tuple[PanelPins | None, tuple[Problem, ...]]:
    """The pins of the site file at `path` by themselves; None and why when that part is wrong."""
    found: list[Problem] = []
    tree = read_tree(path, str(path), found)
    if tree is None:
        return None, tuple(found)
    found.clear()  # of other parts
    pins = read_panel(tree, {}, found).pins
    return (None if any(problem.is_error for problem in found) else pins), tuple(found)


def _no_relay(tree: Tree) -> Problem:
    fact = Text("没有接故障继电器", "no fault relay is wired")
    advice = Text("写上 relay: 引脚，或删掉这一行", "add relay: its pin, or remove this line")
    return warning(tree.place(("panel", "relay_mode"), key=True), "relay_missing", fact, advice)


# What the board itself needs, or holds at a level (Raspberry Pi GPIO documentation).
_RESERVED = {
    0: Text("扩展板识别用", "reads what board is plugged on"),
    1: Text("扩展板识别用", "reads what board is plugged on"),
    2: Text("板上有固定的上拉电阻", "is held high by a resistor on the board"),
    3: Text("板上有固定的上拉电阻", "is held high by a resistor on the board"),
    14: Text("板上串口的发送脚", "is the sender of the board's serial port"),
    15: Text("板上串口的接收脚", "is the receiver of the board's serial port"),
}
_ON_BOARD = re.compile(r"/dev/(serial[01]|ttyAMA\d+|ttyS\d+)")


def _check_pin(
    pin: int, place: Place, buses: Mapping[str, PlacedBus], found: list[Problem]
) -> None:
    if pin not in _RESERVED:
        return
    why = _RESERVED[pin]
    fact = Text(f"引脚 {pin} 有别的用途：{why.zh}", f"pin {pin} is taken: it {why.en}")
    advice = Text(
        "换一个，如 5、6、16、17、22 到 27", "take another, such as 5, 6, 16, 17 or 22 to 27"
    )
    lines = [
        placed.place
        for placed in buses.values()
        if placed.bus is not None and isinstance(placed.bus.link, SerialLine)
        if pin in (14, 15) and _ON_BOARD.fullmatch(placed.bus.link.port)
    ]
    report = error if pin in (0, 1) or lines else warning
    found.append(report(place, "pin_reserved", fact, advice, *lines))


def _patterns(
    tree: Tree, typed: Mapping[Any, Any], found: list[Problem]
) -> dict[Pattern, tuple[int, ...]]:
    """The rhythms that can be used; every other one is a problem."""
    read: dict[Pattern, tuple[int, ...]] = {}
    for name, lengths in (typed or {}).items():
        where = ("panel", "patterns", name)
        if name not in (pattern.value for pattern in BEATS):
            fact = Text(f"没有声音 `{name}`", f"there is no sound `{name}`")
            known = did_you_mean(str(name), (pattern.value for pattern in BEATS))
            found.append(error(tree.place(where, key=True), "unknown_pattern", fact, known))
            continue
        pattern, beats = Pattern(name), _beats(tree, where, lengths, found)
        if beats is None:
            continue
        mistake = mistake_in(pattern, beats)
        if mistake is None:
            read[pattern] = beats
        else:
            fact, advice = _said(mistake, pattern, beats)
            found.append(error(tree.place(where), "pattern_refused", fact, advice))
    for one, two in twins({**BEATS, **read}):
        where = ("panel", "patterns", (two if two in read else one).value)
        fact = Text(f"`{one}` 和 `{two}` 听起来一样", f"`{one}` and `{two}` sound the same")
        advice = Text("听不出是哪一种：改一个", "nobody could tell which: change one of them")
        found.append(error(tree.place(where), "pattern_twice", fact, advice))
    return read


def _beats(
    tree: Tree, where: tuple[str, ...], lengths: Any, found: list[Problem]
) -> tuple[int, ...] | None:
    """Milliseconds, as plain numbers or as durations."""
    fact = Text(f"`{shown(lengths)}` 不是节奏", f"`{shown(lengths)}` is not a rhythm")
    advice = Text(
        "写响、停、响、停……的毫秒数，如 [300, 300, 300, 8300]",
        "write on, off, on, off ... in milliseconds: [300, 300, 300, 8300]",
    )
    read = []
    for length in lengths if isinstance(lengths, list) else ():
        try:
            is_plain = isinstance(length, int) and not isinstance(length, bool)
            read.append(int(length) if is_plain else duration_ms(length))
        except Unreadable as problem:
            fact, advice, read = problem.fact, problem.advice, []
            break
    if not read:
        found.append(error(tree.place(where), "pattern_refused", fact, advice))
    return tuple(read) or None


def _said(mistake: Mistake, pattern: Pattern, beats: tuple[int, ...]) -> tuple[Text, Text]:
    match mistake:
        case Mistake.UNPAIRED if len(beats) % 2:
            return (
                Text(
                    f"`{pattern}` 最后缺少停多久", f"`{pattern}` has no pause after its last beep"
                ),
                Text("每个响之后写停多久", "write after each beep how long it is quiet"),
            )
        case Mistake.UNPAIRED:
            return (
                Text(
                    f"`{pattern}` 只响一次，末尾不写停", f"`{pattern}` is heard once, not for ever"
                ),
                Text("去掉最后的停", "leave the last pause out"),
            )
        case Mistake.TOO_MANY:
            return (
                Text(f"`{pattern}` 有 {len(beats)} 段", f"`{pattern}` has {len(beats)} beats"),
                Text(f"最多 {MOST_BEATS} 段", f"at most {MOST_BEATS}"),
            )
        case Mistake.TOO_SHORT:
            return (
                Text(f"`{pattern}` 里有 {min(beats)} ms", f"`{pattern}` holds {min(beats)} ms"),
                Text(
                    f"最短 {SHORTEST_MS} ms，再短听不清", f"at least {SHORTEST_MS} ms, to be heard"
                ),
            )
        case Mistake.TOO_LONG:
            return (
                Text(f"`{pattern}` 共 {sum(beats)} ms", f"`{pattern}` lasts {sum(beats)} ms"),
                Text(f"提示音最长 {LONGEST_TONE_MS} ms", f"feedback: at most {LONGEST_TONE_MS} ms"),
            )
        case Mistake.PAUSE:
            longest = LONGEST_PAUSE_MS[pattern] / 1000
            return (
                Text(f"`{pattern}` 停得太久", f"`{pattern}` pauses for too long"),
                Text(
                    f"最多停 {longest:g} s，否则像没响", f"at most {longest:g} s: else it is missed"
                ),
            )
        case Mistake.TOO_QUIET:
            percent = round(100 * LEAST_SHARE[pattern])
            return (
                Text(f"`{pattern}` 响得太少", f"`{pattern}` sounds too little"),
                Text(f"响的时间至少占 {percent} %", f"at least {percent} % of the time"),
            )
        case Mistake.T3:
            return (
                Text(f"`{pattern}` 听起来像疏散信号 T3", f"`{pattern}` sounds like T3, evacuate"),
                Text(
                    "换个节奏：T3（三短响、停 1.5 s）只表示疏散（ISO 8201）",
                    "choose another: three beeps and 1.5 s mean evacuation only (ISO 8201)",
                ),
            )
        case Mistake.T4:
            return (
                Text(
                    f"`{pattern}` 听起来像一氧化碳信号 T4",
                    f"`{pattern}` sounds like T4, carbon monoxide",
                ),
                Text(
                    "换个节奏：T4（四短响、停 5 s）只给 A3（UL 2034）",
                    "choose another: four short beeps and 5 s are for A3 only (UL 2034)",
                ),
            )
