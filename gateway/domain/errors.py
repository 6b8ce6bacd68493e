"""What can go wrong outside, translated once at each door."""

from dataclasses import dataclass


@dataclass(unsafe_hash=True)
class DeviceSilent(Exception):
    """No (complete, valid, fitting) reply within the timeout."""

    unit: int
    why: str = "timeout"


@dataclass(unsafe_hash=True)
class DeviceRefused(Exception):
    """The device answered with a Modbus exception code."""

    unit: int
    code: int


@dataclass(unsafe_hash=True)
class BusDown(Exception):
    """The adapter or the connection is not there; `why` is for people."""

    why: str


ReadFailure = DeviceSilent | DeviceRefused | BusDown


@dataclass(unsafe_hash=True)
class LinkRefused(Exception):
    """No connection to a broker; `detail` is for the log.

    `why` is dns, tcp, tls_time, tls_trust, auth, refused, identity_in_use or timeout.
    """

    why: str
    detail: str = ""


@dataclass(unsafe_hash=True)
class LinkLost(Exception):
    """The connection ended before the broker answered."""

    why: str
