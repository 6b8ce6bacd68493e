"""What a look at the machine found: a fact, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.text import Text


class Grade(StrEnum):
    GOOD = "good"
    NOTE = "note"  # it works; better otherwise
    BAD = "bad"  # something that was asked for does not work


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` names its section in docs/troubleshooting.md; a good one needs no cure.

    `about`: the bus, file, unit or fault that it is about. `because`: the code of another finding
    that explains this one; then that one's cure helps.
    """

    code: str
    grade: Grade
    fact: Text
    cure: Text | None = None
    about: str = ""
    because: str = ""


def good(code: str, fact: Text, about: str = "") -> Finding:
    return Finding(code, Grade.GOOD, fact, about=about)


def note(code: str, fact: Text, cure: Text, about: str = "") -> Finding:
    return Finding(code, Grade.NOTE, fact, cure, about)


def bad(code: str, fact: Text, cure: Text, about: str = "") -> Finding:
    return Finding(code, Grade.BAD, fact, cure, about)
