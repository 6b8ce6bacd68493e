"""Types of institution, and what is asked of each: with its source, and whether that was read."""

from dataclasses import dataclass

from gateway.domain.text import Text

DAY_ROUND, NIGHT_ROUND = "day_round", "night_round"


@dataclass(frozen=True, slots=True)
class Duty:
    """One thing that people have to do there.

    `is_must`: its source demands it. `unverified`: what of it was not read in its source, or is a
    default of ours; None where the clause was read, if only in a secondary copy.
    """

    name: str
    say: Text
    basis: str
    edition: str = ""
    every_ms: int | None = None
    is_must: bool = False
    unverified: Text | None = None


@dataclass(frozen=True, slots=True)
class Institution:
    """A type; `duties` are empty for one that nobody has written down."""

    type: str
    name: Text
    duties: tuple[Duty, ...] = ()

    def duty(self, name: str) -> Duty | None:
        return next((duty for duty in self.duties if duty.name == name), None)
