"""Who works in the house: staff codes, roles, and what they show to prove who they are.

Names and credentials come from `people.yaml` and stay in the house; records carry codes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.text import Text


class Role(StrEnum):
    """What somebody is in the house (field/patrol-and-alarms 6.2)."""

    DUTY = "duty"
    LEADER = "leader"
    MANAGER = "manager"
    TECHNICIAN = "technician"


class Right(StrEnum):
    """What a role may do; looking and silencing need none."""

    PATROL = "patrol"  # visit checkpoints, start and end a round, explain what was missed
    SIGN = "sign"  # the supervisor's second signature under another's round
    ENROL = "enrol"  # have a phone remembered for a person, and have it forgotten
    CANCEL = "cancel"  # call off a round, for a reason
    FIGURES = "figures"  # everybody's figures of the month
    TAGS = "tags"  # put up tags and take them down
    ACCEPT = "accept"  # try what was installed, and sign for it


ROLES: Mapping[Role, Text] = {
    Role.DUTY: Text("值班员", "Duty staff"),
    Role.LEADER: Text("值班长", "Duty leader"),
    Role.MANAGER: Text("消防安全管理人", "Fire-safety manager"),
    Role.TECHNICIAN: Text("运维", "Technician"),
}
LEVELS: Mapping[Role, int] = {Role.DUTY: 2, Role.LEADER: 2, Role.MANAGER: 3, Role.TECHNICIAN: 4}
RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.DUTY: frozenset({Right.PATROL}),
    Role.LEADER: frozenset({Right.PATROL, Right.SIGN, Right.ENROL}),
    Role.MANAGER: frozenset(Right) - {Right.TAGS},
    Role.TECHNICIAN: frozenset({Right.PATROL, Right.TAGS, Right.ACCEPT}),
}


class CredentialKind(StrEnum):
    CARD = "card"
    PHONE = "phone"
    PIN = "pin"


@dataclass(frozen=True, slots=True)
class Credential:
    """What somebody shows.

    `secret`: a card's UID as upper-case hex, the SHA-256 (hex) of a phone's token, or the
    argon2id string of a PIN.
    """

    kind: CredentialKind
    secret: str
    label: str = ""
    until: str | None = None  # the last good day, as 2027-03-31


@dataclass(frozen=True, slots=True)
class Person:
    code: str  # goes up; the name does not
    name: str
    role: Role
    until: str | None = None  # the last good day
    credentials: tuple[Credential, ...] = ()

    @property
    def rights(self) -> frozenset[Right]:
        return RIGHTS[self.role]


@dataclass(frozen=True, slots=True)
class Phone:
    """A phone that the house remembers: who enrolled in front of it need give no PIN again.

    One that was enrolled on a bad clock has no `until_ms` until the clock is right: `for_ms`
    counts from then.
    """

    digest: str  # SHA-256 (hex) of the token in its cookie
    person: str
    until_ms: int | None  # UTC
    label: str = ""
    for_ms: int = 0


def is_good_on(until: str | None, day: str | None) -> bool:
    """Whether a last good day has not passed; with no day known (a bad clock) it has not."""
    return until is None or day is None or day <= until
