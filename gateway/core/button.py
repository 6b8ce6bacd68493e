"""The silence button by its edges: a spike is nothing, a press silences, a hold tests the lamps.

Long wires beside motors and lamps pick up spikes, and a contact bounces: a level counts when it has
held for `NOISE_MS`, down as well as up. Nobody feels that delay, and a spike silences no alarm.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto

NOISE_MS = 30  # a contact bounces for 5 to 20 ms; a person presses for 60 ms and more
HOLD_MS = 3_000  # field/patrol-and-alarms 5: long press = lamp and buzzer test
STUCK_MS = 60_000  # nobody holds it that long: it is jammed, or its wires touch


class Press(Enum):
    """What the button says."""

    PRESSED = auto()
    HELD = auto()
    STUCK = auto()
    FREED = auto()  # it was stuck, and is up again


SAYS = ((0, Press.PRESSED), (HOLD_MS, Press.HELD), (STUCK_MS, Press.STUCK))


@dataclass(frozen=True, slots=True)
class Button:
    """`is_down` is the contact as last seen, since `level_since_ms`; the rest is without noise.

    `pressed_ms`: when the press began that is going on; None when there is none. `said` counts
    what of `SAYS` this press has said.
    """

    is_down: bool = False
    level_since_ms: int = 0
    pressed_ms: int | None = None
    said: int = 0


def found(is_down: bool, mono_ms: int) -> Button:
    """Return the button as found at start: down already, it is no press, and stuck in time."""
    if not is_down:
        return Button(level_since_ms=mono_ms)
    return Button(is_down, mono_ms, mono_ms, said=SAYS.index((STUCK_MS, Press.STUCK)))


def take_edge(button: Button, is_down: bool, mono_ms: int) -> tuple[Button, tuple[Press, ...]]:
    """Take the change of level at `mono_ms`; until then the level before had held."""
    button, said = _settle(button, mono_ms)
    return _turned(button, is_down, mono_ms), said


def take_level(button: Button, is_down: bool, mono_ms: int) -> tuple[Button, tuple[Press, ...]]:
    """Take the level seen at `mono_ms`; one that nobody told of has held for an unknown time."""
    if is_down is not button.is_down:
        return _turned(button, is_down, mono_ms), ()
    return _settle(button, mono_ms)


def due_ms(button: Button) -> int | None:
    """Return when to look again though nothing changes; None when never."""
    if button.is_down is not (button.pressed_ms is not None):
        return button.level_since_ms + NOISE_MS
    if button.pressed_ms is None or button.said == len(SAYS):
        return None
    return button.pressed_ms + SAYS[button.said][0]


def _turned(button: Button, is_down: bool, mono_ms: int) -> Button:
    if is_down is button.is_down:
        return button
    return replace(button, is_down=is_down, level_since_ms=mono_ms)


def _settle(button: Button, mono_ms: int) -> tuple[Button, tuple[Press, ...]]:
    """Let the level that has held until `mono_ms` count."""
    has_held = mono_ms - button.level_since_ms >= NOISE_MS
    if button.is_down and has_held and button.pressed_ms is None:
        button = replace(button, pressed_ms=button.level_since_ms, said=0)
    if button.pressed_ms is None:
        return button, ()
    lasted = (mono_ms if button.is_down else button.level_since_ms) - button.pressed_ms
    said = tuple(press for after, press in SAYS[button.said :] if lasted >= after)
    button = replace(button, said=button.said + len(said))
    if not button.is_down and has_held:
        said += (Press.FREED,) if button.said == len(SAYS) else ()
        button = replace(button, pressed_ms=None, said=0)
    return button, said
