"""The house as the daemon sees it, after YAML, profiles and default rules were put together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from gateway.domain.cases import Audience, ReceiptLevel
from gateway.domain.escalation import Escalation
from gateway.domain.patrol import Patrol
from gateway.domain.people import Person
from gateway.domain.points import Point
from gateway.domain.rules import Rule, Severity
from gateway.domain.signals import Pattern


class Parity(StrEnum):
    NONE = "none"
    EVEN = "even"
    ODD = "odd"


@dataclass(frozen=True, slots=True)
class Direction:
    """RTS switches an RS-485 sender on and off, for adapters that do not do so themselves."""

    rts_on_send: bool = True  # its level while sending; the opposite while receiving
    delay_before_ms: int = 0
    delay_after_ms: int = 0


@dataclass(frozen=True, slots=True)
class SerialLine:
    """An RS-485 line behind a serial adapter.

    `port` is a path, or `usb:VID:PID[:SERIAL]` for an adapter wherever it is plugged in.
    """

    port: str
    baud: int = 9600
    parity: Parity = Parity.NONE
    stop_bits: int = 1
    rs485: Direction | None = None  # None: the adapter switches by itself
    open_delay_ms: int = 0  # before the first request: some adapters reset their converter

    @property
    def char_ms(self) -> float:
        """Time of one character on the wire: start + 8 data + parity + stop bits."""
        bits = 9 + (self.parity is not Parity.NONE) + self.stop_bits
        return 1000.0 * bits / self.baud

    @property
    def t35_ms(self) -> float:
        """Silence that ends a frame: 3.5 characters, 1.75 ms above 19,200 baud."""
        return 1.75 if self.baud > 19200 else 3.5 * self.char_ms


@dataclass(frozen=True, slots=True)
class TcpLink:
    """A Modbus TCP device or a TCP/RTU bridge."""

    host: str
    port: int = 502


@dataclass(frozen=True, slots=True)
class Bus:
    """One physical bus: one owner, one request in flight."""

    id: str
    link: SerialLine | TcpLink
    timeout_ms: int = 500
    gap_ms: float | None = None  # None = automatic (t3.5)
    late_ms: int = 2_000  # the slowest answer that is still expected after its timeout


class Due(StrEnum):
    """What falls due on a day: the keys of the site file."""

    CALIBRATION = "calibration_due"
    SENSOR_LIFE = "sensor_life_until"
    BUMP_TEST = "bump_test_due"


@dataclass(frozen=True, slots=True)
class Device:
    id: str
    profile: str
    bus: str
    unit: int
    place: str
    owner: str
    points: tuple[Point, ...]
    name: str = ""
    maker: str = ""
    model: str = ""
    max_registers: int = 125
    barriers: tuple[int, ...] = ()  # wire addresses that no block may read across
    dues: Mapping[Due, str] = field(default_factory=dict)  # the last good day, as 2027-03-31


class RelayMode(StrEnum):
    """How a healthy gateway holds the fault relay: energised, or by pulses that must not stop."""

    STEADY = "steady"
    PULSE = "pulse"


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Minutes of the local day; may span midnight."""

    begin_min: int
    end_min: int

    @property
    def length_min(self) -> int:
        return (self.end_min - self.begin_min) % 1440


NIGHT = QuietHours(22 * 60, 6 * 60)


@dataclass(frozen=True, slots=True)
class PanelPins:
    """BCM numbers; None = not wired. `active_high` False is for relay boards that switch on low."""

    red: int | None = None
    amber: int | None = None
    yellow: int | None = None
    green: int | None = None
    buzzer: int | None = None
    silence: int | None = None
    relay: int | None = None
    active_high: bool = True
    white: int | None = None
    relay_mode: RelayMode = RelayMode.STEADY


class Delivery(StrEnum):
    ACK = "ack"
    BROKER = "broker"


class Reconnect(StrEnum):
    FLEET = "fleet"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Broker:
    """Where to connect: `mqtt://host:port` or `mqtts://`; `unix` sockets as `mqtt+unix:///path`."""

    host: str
    port: int
    tls: bool = False
    unix_path: str | None = None


AUDIENCES: Mapping[Severity, tuple[Audience, ...]] = {  # hints only: the platform routes
    Severity.ALARM: (Audience.INSTITUTION, Audience.BUREAU, Audience.FIRE_BRIGADE),
    Severity.WARNING: (Audience.INSTITUTION,),
    Severity.FAULT: (Audience.INSTITUTION,),
}


@dataclass(frozen=True, slots=True)
class Uplink:
    gateway: str  # id in topics and records, equal to the certificate's CN
    brokers: tuple[Broker, ...]
    delivery: Delivery = Delivery.ACK
    reconnect: Reconnect = Reconnect.FLEET
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    keepalive_s: int = 20
    probe_ms: int = 30_000
    audiences: Mapping[Severity, tuple[Audience, ...]] = field(default_factory=lambda: AUDIENCES)
    receipt_within_ms: int = 180_000  # of an alarm, from each of its audiences; 0 = not waited for
    receipt_level: ReceiptLevel = ReceiptLevel.SENT


@dataclass(frozen=True, slots=True)
class StoreSpec:
    directory: Path
    commit_every_ms: int = 10_000
    batch_readings: int = 1_000


@dataclass(frozen=True, slots=True)
class PostChecks:
    """查岗: how it is answered, and how often the gateway asks by itself in a night."""

    per_night: int = 0
    within_ms: int = 300_000
    from_minute: int = 22 * 60  # of the local day
    to_minute: int = 6 * 60


@dataclass(frozen=True, slots=True)
class TagKeyFiles:
    """Where the keys of NTAG 424 DNA tags lie, 32 hex digits each.

    `is_per_tag`: `file_read` is a master, and each tag has its own key derived from it.
    """

    meta_read: Path
    file_read: Path
    is_per_tag: bool = True


@dataclass(frozen=True, slots=True)
class FixedReader:
    """The NFC reader at the duty desk. `device`: a serial port, or `usb:VID:PID[:SERIAL]`."""

    id: str
    device: str
    again_ms: int = 3_000  # the same tag within this is one tap


@dataclass(frozen=True, slots=True)
class Site:
    id: str
    name: str
    institution: str
    timezone: str
    buses: tuple[Bus, ...]
    devices: tuple[Device, ...]
    rules: tuple[Rule, ...]
    panel: PanelPins
    uplink: Uplink | None
    store: StoreSpec
    silence_ms: int = 600_000
    escalate_after_ms: int = 60_000
    offline_after_misses: int = 3
    detect_within_ms: int | None = None  # no rule may need longer to raise
    words: Mapping[str, str] = field(default_factory=dict)  # the institution's codes, sent upstream
    sha: str = ""  # of all files it was made from
    has_warning_cases: bool = True  # a warning opens a case as well
    quiet_hours: QuietHours | None = NIGHT  # when warnings and faults are seen, not heard
    patterns: Mapping[Pattern, tuple[int, ...]] = field(default_factory=dict)  # own rhythms
    escalation: Escalation = field(default_factory=Escalation)
    post_checks: PostChecks = field(default_factory=PostChecks)
    self_test_minute: int | None = None  # of the local day; None = no nightly self-test
    patrol: Patrol = field(default_factory=Patrol)
    people: Mapping[str, Person] = field(default_factory=dict)  # by code, from people.yaml
    reader: FixedReader | None = None
    tag_keys: TagKeyFiles | None = None
    buildings: tuple[str, ...] = ()  # their names: what a place in one of them begins with

    @property
    def points(self) -> dict[str, Point]:
        return {point.id: point for device in self.devices for point in device.points}
