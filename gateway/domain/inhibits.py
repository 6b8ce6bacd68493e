"""What people take out of the alarms for a while: shelved rules, and what is out of service."""

from dataclasses import dataclass

from gateway.domain.moments import Now

SHELVED_AT_MOST_MS = 8 * 3_600_000  # field/patrol-and-alarms 4.2


@dataclass(frozen=True, slots=True)
class Shelving:
    """屏蔽: one rule, never of severity alarm; ends by itself at `until_ms` (mono of this boot)."""

    rule: str
    by: str
    why: str
    at: Now
    until_ms: int


@dataclass(frozen=True, slots=True)
class OutOfService:
    """停用(检修): a device, point or rule, by work order; ends only by a person's verb."""

    subject: str
    by: str
    why: str
    order: str
    at: Now
