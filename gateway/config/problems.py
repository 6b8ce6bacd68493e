"""Problems of configuration files, each with its place, and how they are printed."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.text import Lang, Text


class Level(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Place:
    """A spot in a file. `line` and `column` count from 1; line 0 means the file as a whole.

    `text` is the line as typed, `length` the characters that are meant.
    """

    file: str
    line: int = 0
    column: int = 0
    text: str = ""
    length: int = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong (`fact`) and what to do about it (`advice`).

    `code` is stable and machine-readable; `also` are the other places that take part.
    """

    place: Place
    level: Level
    code: str
    fact: Text
    advice: Text
    also: tuple[Place, ...] = ()

    @property
    def file(self) -> str:
        return self.place.file

    @property
    def line(self) -> int:
        return self.place.line

    @property
    def column(self) -> int:
        return self.place.column

    @property
    def is_error(self) -> bool:
        return self.level is Level.ERROR


LONGEST = 160  # characters of a line that are shown
_LEVELS = {Level.ERROR: Text("错误", "error"), Level.WARNING: Text("警告", "warning")}
_ADVICE = Text("建议", "do")
_ALSO = Text("另见", "see")


def render(problems: Sequence[Problem], lang: Lang) -> str:
    """Every problem as an excerpt, in the order given, then one line that counts them."""
    if not problems:
        return ""
    return "\n".join([*(_excerpt(problem, lang) for problem in problems), _count(problems, lang)])


def _excerpt(problem: Problem, lang: Lang) -> str:
    gutter = " " * len(str(max(place.line for place in (problem.place, *problem.also))))
    level = _LEVELS[problem.level].in_(lang)
    lines = [f"{level}[{problem.code}]: {problem.fact.in_(lang)}"]
    lines += _shown(problem.place, gutter, "-->")
    for place in problem.also:
        lines += _shown(place, gutter, f"::: {_ALSO.in_(lang)}")
    lines += [f"{gutter} = {_ADVICE.in_(lang)}: {problem.advice.in_(lang)}", ""]
    return "\n".join(lines)


def _shown(place: Place, gutter: str, arrow: str) -> list[str]:
    if not place.line:
        return [f"{gutter}{arrow} {place.file}"]
    text, column = _window(place)
    lead, body = text[: column - 1], text[column - 1 :]
    caret = " " * _width(lead) + "^" * max(1, _width(body[: place.length]))
    number = str(place.line).rjust(len(gutter))
    return [
        f"{gutter}{arrow} {place.file}:{place.line}:{place.column}",
        f"{gutter} |",
        f"{number} | {text}".rstrip(),
        f"{gutter} | {caret}",
    ]


def _window(place: Place) -> tuple[str, int]:
    """What is shown of a line, and the column in it: no control character, no endless line."""
    text = "".join(
        " " if char == "\t" else char if char.isprintable() or char == "\u3000" else "?"
        for char in place.text
    )
    if len(text) <= LONGEST:
        return text, place.column
    start = max(0, place.column - 1 - LONGEST // 2)
    cut = text[start : start + LONGEST]
    return ("..." + cut, place.column - start + 3) if start else (cut + "...", place.column)


def _width(text: str) -> int:
    """Columns on a terminal: Chinese characters take two."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _count(problems: Sequence[Problem], lang: Lang) -> str:
    errors = sum(problem.is_error for problem in problems)
    warnings = len(problems) - errors
    english = f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
    return Text(f"{errors} 个错误，{warnings} 个警告", english).in_(lang)
