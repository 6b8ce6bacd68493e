"""The house that is measured: devices of one profile behind TCP bridges, as site.yaml and profile.

Every point changes by more than its deadband at every poll, so that each polled point is also
stored and sent. Eight of forty points have two default rules each, which never find a reason. Of a
board (a residual current and eight cable temperatures) all have, temperatures four; these leap so
that about a hundred on-delays of "rising fast" run at any moment, and none to its end. Detectors
are many devices of one judged contact, which close in turn: one that closed three times a minute
would chatter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

JUDGED_OF = 5  # one point of five is a residual current with its default rules
DETECTORS = 40

PROFILE = """\
profile: bank
maker: bench
model: bank of registers
confidence: A
source: made for measuring
all: {{table: input, type: uint16, scale: 0.1, period: {period_ms}ms}}
points:
"""
DETECTOR = """\
profile: detector
maker: bench
model: a contact
confidence: A
source: made for measuring
all: {{table: input, type: uint16, unit: "", period: {period_ms}ms}}
points:
  contact: {{at: 0, label: contact}}
"""
ALARM = """\
  contact-{n}:
    point: detector-{n}.contact
    is: [1]
    severity: alarm
    for: 0s
    clear_for: 0s
    say: {{zh: 触点闭合, en: Contact closed}}
    do: [{{zh: 查看, en: Look}}]
    owner: bench
    basis: bench
"""


@dataclass(frozen=True, slots=True)
class House:
    """`ports`: one bridge each, with `units` devices; `alarm_port`: the bridge of the detectors."""

    ports: Sequence[int]
    units: int
    registers: int
    period_ms: int
    broker: str
    gateway: str = "bench"
    alarm_port: int | None = None
    alarm_period_ms: int = 500
    are_boards: bool = False  # the devices: their first point a residual current, then temperatures

    @property
    def points(self) -> int:
        return len(self.ports) * self.units * self.registers


def write_house(folder: Path, house: House) -> Path:
    """Write the site and its profiles into `folder`; return the site file."""
    profiles = folder / "profiles"
    profiles.mkdir(parents=True)
    rows = [_point(n, house) for n in range(house.registers)]
    bank = PROFILE.format(period_ms=house.period_ms) + "".join(rows)
    (profiles / "bank.yaml").write_text(bank, encoding="utf-8")
    detector = DETECTOR.format(period_ms=house.alarm_period_ms)
    (profiles / "detector.yaml").write_text(detector, encoding="utf-8")
    site = folder / "site.yaml"
    site.write_text(_site(house), encoding="utf-8")
    return site


def _point(number: int, house: House) -> str:
    what = 'unit: ""'
    if house.are_boards and number:
        what = "kind: cable_temperature, unit: °C"
    elif number % JUDGED_OF == 0:
        what = "kind: residual_current, unit: mA"
    return f"  n{number}: {{at: {number}, {what}, label: point {number}}}\n"


def _site(house: House) -> str:
    alarm = [] if house.alarm_port is None else [house.alarm_port]
    lines = ["site: {id: bench-house, name: 基准, institution: elder-care}", "buses:"]
    lines += [f'  b{n}: {{tcp: "127.0.0.1:{port}", timeout: 2s}}'
              for n, port in enumerate(house.ports)]  # fmt: skip
    lines += [f'  alarm: {{tcp: "127.0.0.1:{port}", timeout: 2s}}' for port in alarm]
    lines.append("devices:")
    rest = "place: bench, owner: bench"
    lines += [
        f"  d{n}-{unit}: {{profile: bank, bus: b{n}, unit: {unit}, {rest}}}"
        for n in range(len(house.ports))
        for unit in range(1, house.units + 1)
    ]
    detectors = range(1, DETECTORS + 1) if alarm else ()
    lines += [
        f"  detector-{n}: {{profile: detector, bus: alarm, unit: {n}, {rest}}}" for n in detectors
    ]
    lines.append("panel: {red: 17, amber: 27, yellow: 22, green: 23, buzzer: 24}")
    link = f'gateway: {house.gateway}, brokers: ["{house.broker}"], reconnect: local'
    lines.append(f"uplink: {{{link}}}")
    if alarm:
        lines += ["rules:", *(ALARM.format(n=n) for n in detectors)]
    return "\n".join(lines) + "\n"
