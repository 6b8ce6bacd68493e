"""The rhythms of the buzzer: the table of the field, and what a house may change of it.

A cyclic rhythm is `(on, off, on, off ...)` in ms, for ever; a rhythm that is heard once ends with
its last `on`. A house may choose its own as long as nobody can take it for an evacuation signal
(`look_alike`) and it can still be heard for what it is (`mistake_in`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from gateway.domain.signals import Pattern

Beats = Mapping[Pattern, tuple[int, ...]]

BEATS: Beats = {
    Pattern.E: (1000, 200),
    Pattern.A1: (250, 250),
    Pattern.A2: (100, 100, 100, 100, 100, 100, 100, 800),
    Pattern.A3: (100, 100, 100, 100, 100, 100, 100, 5000),  # T4 on purpose: it means CO
    Pattern.Q: (100, 100, 100, 100, 100, 100, 100, 100, 100, 4100),
    Pattern.W: (300, 300, 300, 8300),
    Pattern.F: (500, 19_500),
    Pattern.U: (60, 100, 60, 3_599_780),
    Pattern.R: (80, 120, 80, 120, 80, 599_520),
    Pattern.D: (100, 900),
    Pattern.K1: (80,),
    Pattern.K2: (50, 50, 50),
    Pattern.K3: (600,),
    Pattern.B: (80,),
}
ONCE = frozenset({Pattern.K1, Pattern.K2, Pattern.K3, Pattern.B})
ALARMS = (Pattern.E, Pattern.A1, Pattern.A2, Pattern.A3)

EVACUATION = {"T3": (500, 500, 3, 1500), "T4": (100, 100, 4, 5000)}  # on, off, beeps, pause
MEANT_AS = {Pattern.A3: "T4"}  # the one pattern that may sound like an evacuation signal

SHORTEST_MS = 40  # of a beep or a gap: shorter ones run into each other
LONGEST_TONE_MS = 1_000  # of a rhythm that is heard once, in all
MOST_BEATS = 40
LONGEST_PAUSE_MS = {  # the sound must come back while somebody still listens
    Pattern.E: 2_000,
    Pattern.A1: 2_000,
    Pattern.A2: 2_000,
    Pattern.A3: 6_000,
    Pattern.Q: 10_000,
    Pattern.W: 30_000,
    Pattern.F: 100_000,  # a fault is heard within 100 s
    Pattern.U: 86_400_000,
    Pattern.R: 3_600_000,
    Pattern.D: 2_000,
}
LEAST_SHARE = {  # of a cycle that sounds
    Pattern.E: 0.5,
    Pattern.A1: 0.2,
    Pattern.A2: 0.2,
    Pattern.A3: 0.05,
    Pattern.Q: 0.05,
    Pattern.W: 0.02,
}


class Mistake(Enum):
    """Why a rhythm cannot be used."""

    UNPAIRED = auto()  # a cyclic one needs an off for each on, one heard once ends with an on
    TOO_SHORT = auto()
    TOO_LONG = auto()  # heard once, and longer than a feedback tone may be
    TOO_MANY = auto()
    PAUSE = auto()
    TOO_QUIET = auto()
    T3 = auto()
    T4 = auto()


def mistake_in(pattern: Pattern, beats: tuple[int, ...]) -> Mistake | None:
    """Return why this rhythm cannot stand for `pattern`; None when it can."""
    is_once = pattern in ONCE
    if not beats or len(beats) % 2 != is_once:
        return Mistake.UNPAIRED
    if len(beats) > MOST_BEATS:
        return Mistake.TOO_MANY
    if min(beats) < SHORTEST_MS:
        return Mistake.TOO_SHORT
    if is_once:
        return Mistake.TOO_LONG if sum(beats) > LONGEST_TONE_MS else None
    alike = look_alike(beats)
    if alike is not None and alike != MEANT_AS.get(pattern):
        return Mistake[alike]
    if max(beats[1::2]) > LONGEST_PAUSE_MS[pattern]:
        return Mistake.PAUSE
    is_quiet = sum(beats[0::2]) < LEAST_SHARE.get(pattern, 0) * sum(beats)
    return Mistake.TOO_QUIET if is_quiet else None


def twins(beats: Beats) -> tuple[tuple[Pattern, Pattern], ...]:
    """Return the patterns that sound the same, so that nobody could tell what is meant."""
    heard = [(pattern, _turned(lengths)) for pattern, lengths in beats.items()]
    heard = [(pattern, turns) for pattern, turns in heard if pattern not in ONCE]
    return tuple(
        (one, two)
        for number, (one, turns) in enumerate(heard)
        for two, others in heard[number + 1 :]
        if any(_is_near(turn, others[0]) for turn in turns)
    )


def look_alike(beats: tuple[int, ...]) -> str | None:
    """Return `T3` or `T4` when an on/off pattern could be taken for it, else None.

    Anywhere in the cycle: a group of the same number of beeps between pauses, beeps and gaps
    within 25 %, the pause after it within 50 %.
    Source: ISO 8201 (T3, three beeps of 0.5 s); UL 2034 (T4, four of 0.1 s, then 5 s).
    """
    pairs = list(zip(beats[0::2], beats[1::2], strict=False))  # heard once: no pause, no group
    for name, evacuation in EVACUATION.items():
        if any(_is_group(pairs, start, *evacuation) for start in range(len(pairs))):
            return name
    return None


@dataclass(frozen=True, slots=True)
class Beat:
    """Whether it sounds now, and how many ms it stays like that; None: for ever."""

    is_on: bool
    left_ms: int | None


def beat_at(pattern: Pattern, elapsed: int, beats: Beats = BEATS) -> Beat:
    """Return the beat of a rhythm `elapsed` ms after its begin."""
    lengths = beats.get(pattern, ())
    if not lengths:
        return Beat(is_on=False, left_ms=None)
    rest = elapsed if pattern in ONCE else elapsed % sum(lengths)
    for index, length in enumerate(lengths):
        if rest < length:
            return Beat(index % 2 == 0, length - rest)
        rest -= length
    return Beat(is_on=False, left_ms=None)


def _is_group(
    pairs: list[tuple[int, int]], start: int, beep: int, gap: int, count: int, pause: int
) -> bool:
    """Beeps that begin at `start` and, with the pause around them, are this signal."""
    group = [pairs[(start + step) % len(pairs)] for step in range(count)]
    before, after = pairs[start - 1][1], group[-1][1]
    return (
        all(abs(on - beep) <= beep / 4 for on, _ in group)
        and all(abs(off - gap) <= gap / 4 for _, off in group[:-1])
        and abs(after - pause) <= pause / 2
        and before > gap * 5 / 4
    )


def _turned(beats: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The same cycle, begun at each of its beeps."""
    return [(*beats[start:], *beats[:start]) for start in range(0, len(beats), 2)]


def _is_near(one: tuple[int, ...], two: tuple[int, ...]) -> bool:
    return len(one) == len(two) and all(
        abs(a - b) <= max(a, b) / 10 for a, b in zip(one, two, strict=True)
    )
