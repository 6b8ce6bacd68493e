"""What the decider must know again after a restart, besides alarms: one small JSON text each."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kept:
    """The newest body under (kind, key) wins; None forgets it.

    The store writes it in the transaction of the outcome's records and gives all that are there
    back at start.
    """

    kind: str  # `case`, `drill`, `baseline` ...
    key: str
    body: str | None  # JSON
