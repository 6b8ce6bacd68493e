"""What a wiring picture is made of, and how it becomes SVG.

A picture is data: what stands where can be compared with the site file and looked at for labels
that lie on one another, before anybody opens a browser. It asks no host for fonts, and follows
the reader's light or dark screen.
"""

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from gateway.domain.text import Lang

FONTS = "'Noto Sans CJK SC','Microsoft YaHei','PingFang SC',sans-serif"
SIZE = 14
WIDE, CAPITAL, NARROW = 1.02, 0.76, 0.62  # of the size, as they are in a broad font
BOLD = 1.08  # times that

# Tone: on a light screen, on a dark one.
TONES = {
    "ink": ("#1b1f24", "#e6edf3"),
    "pale": ("#57606a", "#9aa4af"),
    "plus": ("#b3261e", "#ff8a80"),
    "zero": ("#1f4fa3", "#82b1ff"),
    "first": ("#8a5a00", "#ffd166"),
    "second": ("#00695c", "#6ee7c8"),
    "red": ("#d32f2f", "#ff6b6b"),
    "amber": ("#ef8f00", "#ffb74d"),
    "yellow": ("#c7a500", "#ffe066"),
    "green": ("#2e7d32", "#81c784"),
    "white": ("#c9ced6", "#ffffff"),
    "paper": ("#ffffff", "#161b22"),
}
PART = ("#f3f5f8", "#22292f")

Point = tuple[float, float]
Say = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Words:
    """A label; `at` is the left end, middle or right end of its base line."""

    at: Point
    text: str
    anchor: str = "start"
    size: int = SIZE
    tone: str = "ink"
    is_bold: bool = False

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom, for any usual font."""
        width = self.size * sum(map(_share, self.text)) * (BOLD if self.is_bold else 1)
        left = self.at[0] - width * {"start": 0.0, "middle": 0.5, "end": 1.0}[self.anchor]
        return left, self.at[1] - 0.88 * self.size, left + width, self.at[1] + 0.25 * self.size


@dataclass(frozen=True, slots=True)
class Line:
    """A wire or a stroke of a symbol, from point to point."""

    points: tuple[Point, ...]
    tone: str = "ink"
    width: float = 2
    is_dashed: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """A part, or with `is_open` only its outline."""

    at: Point
    size: Point
    tone: str = "ink"
    is_dashed: bool = False
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Ring:
    """A circle or an ellipse; `is_full` is a joint or a terminal."""

    at: Point
    radius: Point
    tone: str = "ink"
    is_full: bool = False
    is_dashed: bool = False


@dataclass(frozen=True, slots=True)
class Area:
    """A filled shape: the arrow of a diode."""

    points: tuple[Point, ...]
    tone: str = "ink"


Shape = Words | Line | Box | Ring | Area


@dataclass(frozen=True, slots=True)
class Picture:
    """`size` in pixels; later shapes lie on earlier ones."""

    title: str
    size: Point
    shapes: tuple[Shape, ...]


def _share(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return WIDE
    return CAPITAL if character.isupper() else NARROW


def speaker(lang: Lang) -> Say:
    """Return the function that takes the Chinese and the English words and gives one of them."""
    return lambda zh, en: zh if lang is Lang.ZH else en


def svg(picture: Picture, lang: Lang) -> str:
    """The picture as a file."""
    width, height = picture.size
    frame = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    spoken = {Lang.ZH: "zh-CN", Lang.EN: "en"}[lang]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {frame} role="img" xml:lang="{spoken}">',
            f"<title>{escape(picture.title)}</title>",
            f"<style>{_style()}</style>",
            f'<rect class="paper full" width="{width:g}" height="{height:g}"/>',
            *(_element(shape) for shape in picture.shapes),
            "</svg>\n",
        ]
    )


def _style() -> str:
    light, dark = _colours(0), _colours(1)
    return (
        f"{light}text{{font-family:{FONTS}}}line,polyline,rect,ellipse{{fill:none}}"
        f"@media(prefers-color-scheme:dark){{{dark}}}"
    )


def _colours(which: int) -> str:
    tones = "".join(
        f".{name}{{stroke:{colours[which]}}}"
        f"text.{name},.full.{name}{{fill:{colours[which]};stroke:none}}"
        for name, colours in TONES.items()
    )
    return f"rect.part{{fill:{PART[which]}}}{tones}"


def _element(shape: Shape) -> str:
    match shape:
        case Words(at=(x, y)):
            weight = ' font-weight="bold"' if shape.is_bold else ""
            return (
                f'<text class="{shape.tone}" x="{x:g}" y="{y:g}" font-size="{shape.size}" '
                f'text-anchor="{shape.anchor}"{weight}>{escape(shape.text)}</text>'
            )
        case Line():
            return (
                f'<polyline class="{shape.tone}" points="{_points(shape.points)}" '
                f'stroke-width="{shape.width:g}"{_dashes(shape.is_dashed)}/>'
            )
        case Box(at=(x, y), size=(width, height)):
            part = "" if shape.is_open else " part"
            return (
                f'<rect class="{shape.tone}{part}" x="{x:g}" y="{y:g}" width="{width:g}" '
                f'height="{height:g}" rx="4" stroke-width="1.5"{_dashes(shape.is_dashed)}/>'
            )
        case Ring(at=(x, y), radius=(across, down)):
            full = " full" if shape.is_full else ""
            return (
                f'<ellipse class="{shape.tone}{full}" cx="{x:g}" cy="{y:g}" rx="{across:g}" '
                f'ry="{down:g}" stroke-width="1.5"{_dashes(shape.is_dashed)}/>'
            )
        case Area():
            return f'<polygon class="{shape.tone} full" points="{_points(shape.points)}"/>'


def _points(points: tuple[Point, ...]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _dashes(is_dashed: bool) -> str:
    return ' stroke-dasharray="6 4"' if is_dashed else ""


def clashes(picture: Picture) -> Iterator[str]:
    """What cannot be read: labels on labels, on wires, on the edge of a part or of the picture."""
    labels = [(each, each.box) for each in picture.shapes if isinstance(each, Words)]
    strokes = [(shape, *stroke) for shape in picture.shapes for stroke in _strokes(shape)]
    for number, (label, box) in enumerate(labels):
        left, top, right, bottom = box
        if left < 0 or top < 0 or right > picture.size[0] or bottom > picture.size[1]:
            yield f"{label.text!r} leaves the picture: {box}"
        for other, around in labels[:number]:
            if _lie_on(box, around):
                yield f"{label.text!r} lies on {other.text!r}"
        for shape, begin, end in strokes:
            if _is_crossed(box, begin, end):
                yield f"{label.text!r} is crossed by {shape}"


def _lie_on(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _strokes(shape: Shape) -> Iterator[tuple[Point, Point]]:
    match shape:
        case Line(points=points):
            yield from pairwise(points)
        case Area(points=points):
            yield from zip(points, (*points[1:], points[0]), strict=True)
        case Box(at=(x, y), size=(width, height)) | Ring(at=(x, y), radius=(width, height)):
            if isinstance(shape, Ring):
                x, y, width, height = x - width, y - height, 2 * width, 2 * height
            corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
            yield from zip(corners, (*corners[1:], corners[0]), strict=True)
        case Words():
            return


def _is_crossed(box: tuple[float, ...], begin: Point, end: Point) -> bool:
    """Whether the stroke runs through the box: cut down to it side by side, is anything left."""
    first, last = 0.0, 1.0
    for axis in (0, 1):
        low, high = box[axis], box[axis + 2]
        run = end[axis] - begin[axis]
        if run == 0:
            if not low < begin[axis] < high:
                return False
            continue
        enter, leave = sorted(((low - begin[axis]) / run, (high - begin[axis]) / run))
        first, last = max(first, enter), min(last, leave)
    return first < last
