"""Records: what is kept for ever, numbered (gateway, epoch, lane, seq)."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.moments import Now
from gateway.domain.readings import Reading


class Lane(StrEnum):
    A = "A"  # alarm and warning transitions
    B = "B"  # fault, patrol, audit, command results, anchors, gaps
    R = "R"  # reading batches


@dataclass(frozen=True, slots=True)
class Record:
    """One append-only entry. `body` is the message as sent, byte for byte."""

    lane: Lane
    epoch: str
    seq: int
    kind: str
    at: Now
    body: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Readings numbered as one record of lane R; the store's writer thread encodes them."""

    epoch: str
    seq: int
    at: Now  # when the batch was closed: its clock gives every reading its UTC time
    readings: tuple[Reading, ...]
    dictionary: str = ""  # hash of the points that it was judged under; "" = the encoder's own


@dataclass(frozen=True, slots=True)
class Range:
    """Closed range of sequence numbers of one lane and epoch."""

    lane: Lane
    epoch: str
    lo: int
    hi: int
