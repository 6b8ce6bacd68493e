"""Durations, limits with units, ranges and addresses, as people type them."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gateway.domain.site import Broker, TcpLink
from gateway.domain.text import Text

_NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?"
_DURATION = re.compile(rf"({_NUMBER})\s*(ms|s|min|h|d)")
_QUANTITY = re.compile(rf"({_NUMBER})\s*(\S.*)?")
_RANGE = re.compile(rf"({_NUMBER})\s*\.\.\s*({_NUMBER})")
_MS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
LONGEST_MS = 366 * 86_400_000

# What one of each is in the first of its group; only within a group can one be turned into another.
_GROUPS: dict[str, dict[str, str]] = {
    "current": {"A": "1", "mA": "0.001", "kA": "1000"},
    "voltage": {"V": "1", "mV": "0.001", "kV": "1000"},
    "power": {"W": "1", "kW": "1000", "MW": "1000000"},
    "apparent": {"VA": "1", "kVA": "1000"},
    "reactive": {"var": "1", "kvar": "1000"},
    "energy": {"Wh": "1", "kWh": "1000", "MWh": "1000000"},
    "pressure": {
        "Pa": "1", "hPa": "100", "kPa": "1000", "MPa": "1000000", "mbar": "100", "bar": "100000",
        "psi": "6894.757293168361", "kg/cm2": "98066.5", "mH2O": "9806.65", "mmH2O": "9.80665",
    },
    "length": {"m": "1", "cm": "0.01", "mm": "0.001"},
    "frequency": {"Hz": "1"},
    "temperature": {"°C": "1"},
    "explosive": {"%LEL": "1"},
    "parts": {"ppm": "1", "ppb": "0.001"},
    "volume": {"%VOL": "1"},
    "humidity": {"%RH": "1"},
    "ratio": {"%": "1"},
    "plain": {"": "1"},
}  # fmt: skip
_SPELLED = {"degC": "°C", "℃": "°C", "C": "°C", "Ω": "ohm", "kgf/cm2": "kg/cm2", "kg/cm²": "kg/cm2"}
_UNITS = {unit: (group, Decimal(by)) for group, of in _GROUPS.items() for unit, by in of.items()}


class Unreadable(ValueError):
    """A value that does not say what it should; with words for people."""

    def __init__(self, code: str, fact: Text, advice: Text) -> None:
        super().__init__(fact.en)
        self.code, self.fact, self.advice = code, fact, advice


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with the unit it was typed with ("" when none was)."""

    value: Decimal
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.value} {self.unit}".rstrip()


def spelled(unit: str) -> str:
    """The one spelling of a unit that we use: `degC` becomes `°C`."""
    return _SPELLED.get(unit.strip(), unit.strip())


def is_known_unit(unit: str) -> bool:
    return unit in _UNITS


def factor_between(unit: str, wanted: str) -> Decimal | None:
    """The factor that turns a number in `unit` into one in `wanted`; None if there is none."""
    if unit == wanted:
        return Decimal(1)
    one, other = _UNITS.get(unit), _UNITS.get(wanted)
    return None if one is None or other is None or one[0] != other[0] else one[1] / other[1]


def duration_ms(value: Any) -> int:
    """`3s`, `500ms`, `10min`, `2h` -> milliseconds; a bare 0 is fine."""
    return int(exact_ms(value))


def exact_ms(value: Any) -> Decimal:
    """As `duration_ms`, with fractions of a millisecond."""
    if value == 0 and not isinstance(value, bool):
        return Decimal(0)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        fact = Text(f"`{shown(value)}` 不是时长", f"`{shown(value)}` is not a duration")
        advice = Text("写上单位，如 500ms、3s、10min、2h", "give it a unit: 500ms, 3s, 10min, 2h")
        raise Unreadable("not_a_duration", fact, advice)
    ms = Decimal(match[1]) * _MS[match[2]]
    if not 0 <= ms <= LONGEST_MS:
        fact = Text(f"时长 `{value}` 超出范围", f"the duration `{value}` is out of range")
        advice = Text("0 到 366 天", "0 to 366 days")
        raise Unreadable("not_a_duration", fact, advice)
    return ms


def quantity(value: Any) -> Quantity:
    """`300 mA`, `0.07 MPa`, `40 %LEL`, or a bare number -> Quantity."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Quantity(finite(value))
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        fact = Text(f"`{shown(value)}` 不是数值", f"`{shown(value)}` is not a number with a unit")
        raise Unreadable("not_a_quantity", fact, Text("如 300 mA", "for example 300 mA"))
    return Quantity(Decimal(match[1]), spelled(match[2] or ""))


def finite(value: Any) -> Decimal:
    """A number as an exact Decimal; text, booleans, infinity and NaN are refused."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
        if number.is_finite():
            return number
    fact = Text(f"`{shown(value)}` 不是数", f"`{shown(value)}` is not a number")
    raise Unreadable(
        "not_a_number", fact, Text("写成不带引号的数", "write a number, without quotes")
    )


def span(value: Any) -> tuple[Decimal, Decimal]:
    """`0..2000`, `-0.05..2.5` -> (low, high)."""
    match = _RANGE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is not None and Decimal(match[1]) < Decimal(match[2]):
        return Decimal(match[1]), Decimal(match[2])
    fact = Text(f"`{shown(value)}` 不是范围", f"`{shown(value)}` is not a range")
    raise Unreadable("not_a_range", fact, Text("小数在前，如 0..2000", "low first: 0..2000"))


def tcp_link(value: Any) -> TcpLink:
    """`192.168.1.20`, `host:502`, `[fe80::1]:502` -> TcpLink."""
    match = _address(value)
    if match is not None:
        port = int(match["port"] or 502)
        if 1 <= port <= 65535:
            return TcpLink(match["six"] or match["host"], port)
    fact = Text(f"`{shown(value)}` 不是网络地址", f"`{shown(value)}` is not a host")
    advice = Text(
        "如 192.168.1.20 或 192.168.1.20:502", "for example 192.168.1.20 or 192.168.1.20:502"
    )
    raise Unreadable("not_an_address", fact, advice)


_ADDRESS = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[A-Za-z0-9_.-]{1,253}))(?::(?P<port>\d{1,5}))?"
)


def _address(value: Any) -> re.Match[str] | None:
    return _ADDRESS.fullmatch(value.strip()) if isinstance(value, str) else None


def broker(value: Any) -> Broker:
    """`mqtt://host:port`, `mqtts://host`, `mqtt+unix:///path.sock` -> Broker."""
    text = value.strip() if isinstance(value, str) else ""
    scheme, _, rest = text.partition("://")
    if scheme == "mqtt+unix" and rest.startswith("/") and len(rest) > 1:
        return Broker("", 0, unix_path=rest)
    match = _address(rest.removesuffix("/"))
    if scheme in ("mqtt", "mqtts") and match is not None:
        port = int(match["port"] or (8883 if scheme == "mqtts" else 1883))
        if 1 <= port <= 65535:
            return Broker(match["six"] or match["host"], port, tls=scheme == "mqtts")
    fact = Text(f"`{shown(value)}` 不是消息服务器地址", f"`{shown(value)}` is not a broker address")
    advice = Text(
        "mqtt://主机:端口、mqtts://主机:端口 或 mqtt+unix:///路径；用户名和密码另写，不放在地址里",
        "mqtt://host:port, mqtts://host:port or mqtt+unix:///path;"
        " user and password are keys of their own, not part of the address",
    )
    raise Unreadable("not_a_broker", fact, advice)


def shown(value: Any) -> str:
    """A value as people would have typed it, cut to a readable length."""
    names = {"None": "null", "True": "true", "False": "false"}
    text = value if isinstance(value, str) else names.get(str(value), str(value))
    return text if len(text) <= 60 else f"{text[:57]}..."
