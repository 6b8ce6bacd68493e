"""What can go wrong outside, translated once at each door."""

from dataclasses import dataclass


@dataclass(unsafe_hash=True)
class DeviceSilent(Exception):
    """No (complete, valid, fitting) reply within the timeout."""

    unit: int
    why: str = "timeout"
    is_heard: bool = False  # it did answer, but so that nothing can be believed: it is not gone


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
class PinsUnusable(Exception):
    """This machine's pins cannot be driven; `why` is for people and says what to do."""

    why: str


@dataclass(unsafe_hash=True)
class LinkRefused(Exception):
    """No connection to a broker; `detail` is for the log.

    `why` is dns, tcp_refused, tcp_unreachable, tcp, timeout; tls_ca, tls_name, tls_expired,
    tls_not_yet_valid (of the broker's certificate), tls_refused, tls_no_cert (of ours), tls_plain
    (the port speaks no TLS), tls_expected (it speaks nothing else), tls_files, tls; auth, refused
    or identity_in_use. What people shall do about each: `core.faults.LINK_FAILURES`.
    `is_guess`: nobody said so, the connection only ended there; a bad line does the same.
    """

    why: str
    detail: str = ""
    is_guess: bool = False


@dataclass(unsafe_hash=True)
class LinkLost(Exception):
    """The connection ended before the broker answered."""

    why: str


@dataclass(unsafe_hash=True)
class SiteRefused(Exception):
    """A running house does not become what its site file says now; `detail` has every problem."""

    why: str
    detail: str = ""
