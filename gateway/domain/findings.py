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
    """`code` names its section in docs/troubleshooting.md; a good one needs no cure."""

    code: str
    grade: Grade
    fact: Text
    cure: Text | None = None
