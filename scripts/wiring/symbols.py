"""Symbols of IEC 60617 as far as they are needed here, drawn around a point on their wire."""

from scripts.wiring.shapes import SIZE, Area, Box, Line, Point, Ring, Shape, Words


def wire(*points: Point, tone: str = "ink") -> Line:
    return Line(points, tone)


def joint(*at: Point, tone: str = "ink") -> tuple[Ring, ...]:
    return tuple(Ring(each, (3.5, 3.5), tone, is_full=True) for each in at)


def terminal(*at: Point, tone: str = "ink") -> tuple[Ring, ...]:
    return tuple(
        ring
        for each in at
        for ring in (Ring(each, (4.5, 4.5), "paper", is_full=True), Ring(each, (4.5, 4.5), tone))
    )


def part(at: Point, size: Point, *lines: str, tone: str = "ink") -> tuple[Shape, ...]:
    """A box with its name in bold on top, inside, and further lines below it."""
    middle = at[0] + size[0] / 2
    named = tuple(
        Words(
            (middle, at[1] + 20 + 17 * number),
            line,
            "middle",
            SIZE if number == 0 else 12,
            is_bold=number == 0,
        )
        for number, line in enumerate(lines)
    )
    return Box(at, size, tone), *named


def resistor(at: Point, *, down: bool = False) -> Box:
    x, y = at
    return Box((x - 6, y - 18), (12, 36)) if down else Box((x - 18, y - 6), (36, 12))


def capacitor(at: Point) -> tuple[Shape, ...]:
    """On a wire that runs down; the wire is drawn up to the plates."""
    x, y = at
    return (
        Line(((x - 11, y - 4), (x + 11, y - 4)), width=3),
        Line(((x - 11, y + 4), (x + 11, y + 4)), width=3),
    )


def diode(at: Point, *, up: bool = False, right: bool = False) -> tuple[Shape, ...]:
    """The arrow points down unless it is told otherwise."""
    x, y = at
    if right:
        return (
            Area(((x - 8, y - 9), (x - 8, y + 9), (x + 7, y))),
            Line(((x + 8, y - 9), (x + 8, y + 9)), width=3),
        )
    tip = -1 if up else 1
    return (
        Area(((x - 9, y - 8 * tip), (x + 9, y - 8 * tip), (x, y + 7 * tip))),
        Line(((x - 9, y + 8 * tip), (x + 9, y + 8 * tip)), width=3),
    )


def lamp(at: Point, tone: str) -> tuple[Shape, ...]:
    x, y = at
    return (
        Ring(at, (12, 12), tone, is_full=True),
        Ring(at, (12, 12)),
        Line(((x - 8, y - 8), (x + 8, y + 8)), width=1.5),
        Line(((x - 8, y + 8), (x + 8, y - 8)), width=1.5),
    )


def contact(at: Point, *, length: float = 44) -> tuple[Shape, ...]:
    """An open contact on a wire that runs across."""
    x, y = at
    return (
        *terminal((x - length / 2, y), (x + length / 2, y)),
        Line(((x - length / 2 + 4, y - 2), (x + length / 2 - 6, y - 16))),
    )


def coil(at: Point) -> tuple[Shape, ...]:
    """A relay's coil on a wire that runs across."""
    x, y = at
    return Box((x - 20, y - 13), (40, 26)), Line(((x - 10, y + 13), (x + 10, y - 13)), width=1.5)


def ground(at: Point) -> tuple[Shape, ...]:
    """0 V of a supply, at the lower end of a wire."""
    x, y = at
    return tuple(
        Line(((x - half, y + step), (x + half, y + step)), "zero")
        for half, step in ((12, 0), (8, 5), (4, 10))
    )


def earth(at: Point) -> tuple[Shape, ...]:
    """Protective earth, at the lower end of a wire: in a circle, to tell it from 0 V."""
    x, y = at
    strokes = ((9, 2), (6, 6), (3, 10))
    return (
        Ring((x, y + 4), (15, 15), "second"),
        *(Line(((x - half, y + step), (x + half, y + step)), "second") for half, step in strokes),
    )


def notes(at: Point, *lines: str, size: int = 13, step: int = 20) -> tuple[Words, ...]:
    x, y = at
    return tuple(Words((x, y + step * n), line, size=size) for n, line in enumerate(lines))
