"""What is remembered of the days on which something of a device falls due."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Dues:
    """When to look again, and the devices whose numbers are suspect since their day is over."""

    look_ms: int = 0  # mono; 0 = not yet
    overdue: Mapping[str, str] = field(default_factory=dict)  # device -> reason
    told: Mapping[str, str] = field(default_factory=dict)  # code/device -> the day it was told
