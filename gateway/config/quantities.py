"""Durations, limits with units, ranges and addresses, as people type them."""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from gateway.config import slips
from gateway.domain.site import Broker, QuietHours, TcpLink
from gateway.domain.text import Text

_NUMBER = r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?"
DURATION = rf"({_NUMBER})\s*(ms|s|min|h|d)"
QUANTITY = rf"({_NUMBER})\s*([^\s0-9.,，].*)?"
RANGE = rf"({_NUMBER})\s*\.\.\s*({_NUMBER})"
_DURATION, _QUANTITY, _RANGE = map(re.compile, (DURATION, QUANTITY, RANGE))
_MS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_SAID = {
    "毫秒": "ms", "msec": "ms", "秒": "s", "秒钟": "s", "sec": "s", "secs": "s", "second": "s",
    "seconds": "s", "分": "min", "分钟": "min", "m": "min", "mins": "min", "minute": "min",
    "minutes": "min", "小时": "h", "时": "h", "hr": "h", "hour": "h", "hours": "h", "天": "d",
    "日": "d", "day": "d", "days": "d",
}  # fmt: skip
MOST_VALUE = Decimal("1e15")  # of what is measured; a profile's scale or sentinel may be odder
MOST_NUMBER = Decimal("1e300")  # what a float holds, and JSON has a number for
LONGEST_MS = 366 * 86_400_000
LONGEST_NIGHT_MIN = 720

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
    "time": {"h": "1"},
    "plain": {"": "1"},
}  # fmt: skip
_MISSPELT = {
    "毫安": "mA", "安": "A", "千安": "kA", "伏": "V", "千伏": "kV", "瓦": "W", "千瓦": "kW",
    "度": "°C", "摄氏度": "°C", "兆帕": "MPa", "千帕": "kPa", "帕": "Pa", "公斤": "kg/cm2",
    "kg": "kg/cm2", "米": "m", "厘米": "cm", "毫米": "mm", "赫兹": "Hz",
    "lel": "%LEL", "% LEL": "%LEL",
}  # fmt: skip
_SPELLED = {"degC": "°C", "℃": "°C", "C": "°C", "Ω": "ohm", "kgf/cm2": "kg/cm2", "kg/cm²": "kg/cm2"}
_UNITS = {unit: (group, Decimal(by)) for group, of in _GROUPS.items() for unit, by in of.items()}
KNOWN_UNITS = tuple(_UNITS)


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


def unit_meant(unit: str) -> str | None:
    """The unit that a misspelt one is meant to be: `ma`, `毫安`, `Mpa`; None for any other."""
    if unit in _MISSPELT:
        return _MISSPELT[unit]
    same = [known for known in _UNITS if known.casefold() == unit.casefold() and known != unit]
    return same[0] if len(same) == 1 and unit not in _UNITS else None


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
        raise Unreadable("not_a_duration", fact, _duration_advice(value))
    ms = Decimal(match[1]) * _MS[match[2]]
    if not 0 <= ms <= LONGEST_MS:
        said = shown(value)
        fact = Text(f"时长 `{said}` 超出范围", f"the duration `{said}` is out of range")
        advice = Text("0 到 366 天", "0 to 366 days")
        raise Unreadable("not_a_duration", fact, advice)
    return ms


def _duration_advice(value: Any) -> Text:
    plain = slips.full_width(value) or value if isinstance(value, str) else value
    match = re.fullmatch(rf"({_NUMBER})\s*(.+)", plain) if isinstance(plain, str) else None
    unit = None if match is None else _SAID.get(match[2].lower(), match[2])
    if match is not None and unit in _MS:
        return Text(f"写成 {match[1]}{unit}", f"write {match[1]}{unit}")
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Text(
            f"写上单位：{value}s、{value}min 还是 {value}ms？",
            f"give it a unit: {value}s, {value}min or {value}ms?",
        )
    return Text("写上单位，如 500ms、3s、10min、2h", "give it a unit: 500ms, 3s, 10min, 2h")


def duration(ms: int) -> str:
    """Milliseconds as one would type them: 1000 is `1s`."""
    unit = next(unit for unit in ("d", "h", "min", "s", "ms") if ms % _MS[unit] == 0)
    return f"{ms // _MS[unit]}{unit}"


def quantity(value: Any) -> Quantity:
    """`300 mA`, `0.07 MPa`, `40 %LEL`, or a bare number -> Quantity."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Quantity(_within(finite(value), value))
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        fact = Text(f"`{shown(value)}` 不是数值", f"`{shown(value)}` is not a number with a unit")
        raise Unreadable("not_a_quantity", fact, _number_advice(value))
    return Quantity(_within(Decimal(match[1]), value), spelled(match[2] or ""))


def _within(number: Decimal, typed: Any, most: Decimal = MOST_VALUE) -> Decimal:
    """The number; Unreadable where no device shows one so large."""
    if abs(number) <= most:
        return number
    fact = Text(f"`{shown(typed)}` 超出范围", f"`{shown(typed)}` is out of range")
    advice = Text(f"最多 {most:g}：看看数和单位", f"at most {most:g}: look at number and unit")
    raise Unreadable("out_of_range", fact, advice)


def _number_advice(value: Any) -> Text:
    """`0,07 MPa`, `３００ mA`, `> 300 mA`, `mA 300`: the number that is meant."""
    plain = slips.full_width(value) or value if isinstance(value, str) else ""
    plain = re.sub(r"^([+-]?[0-9]+),([0-9]+)", r"\1.\2", plain.strip().lstrip("<>=≥≤ "))
    if plain != value and _QUANTITY.fullmatch(plain):
        return Text(f"写成 {plain}", f"write {plain}")
    return Text("先写数，再写单位，如 300 mA", "a number, then its unit: 300 mA")


def finite(value: Any) -> Decimal:
    """A number as an exact Decimal; text, booleans, infinity and NaN are refused."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
        if number.is_finite():
            return _within(number, value, MOST_NUMBER)
    fact = Text(f"`{shown(value)}` 不是数", f"`{shown(value)}` is not a number")
    raise Unreadable(
        "not_a_number", fact, Text("写成不带引号的数", "write a number, without quotes")
    )


def expected(value: Any) -> tuple[float, float] | frozenset[int | str]:
    """`45..65` -> its ends, `[1648, MRCD]` -> the values: what a probed point must show."""
    if isinstance(value, list):
        if value and all(
            isinstance(each, int | str) and not isinstance(each, bool) for each in value
        ):
            return frozenset(value)
        fact = Text(f"`{shown(value)}` 不是值的列表", f"`{shown(value)}` is no list of values")
        advice = Text("写成 45..65 或 [1648, 1649]", "write 45..65 or [1648, 1649]")
        raise Unreadable("not_a_range", fact, advice)
    low, high = span(value)
    return float(low), float(high)


def bits(value: Any) -> tuple[int, int]:
    """`0..3` -> (0, 3): the lowest and the highest of some bits of one register."""
    low, high = span(value)
    if not (low == int(low) and high == int(high) and low >= 0 and high <= 15):
        fact = Text(
            f"`{shown(value)}` 不是寄存器的位", f"`{shown(value)}` are no bits of a register"
        )
        advice = Text("位从 0 数到 15，如 0..3", "bits count from 0 to 15, such as 0..3")
        raise Unreadable("not_a_range", fact, advice)
    return int(low), int(high)


def span(value: Any) -> tuple[Decimal, Decimal]:
    """`0..2000`, `-0.05..2.5` -> (low, high)."""
    match = _RANGE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is not None and Decimal(match[1]) < Decimal(match[2]):
        return _within(Decimal(match[1]), value), _within(Decimal(match[2]), value)
    fact = Text(f"`{shown(value)}` 不是范围", f"`{shown(value)}` is not a range")
    raise Unreadable("not_a_range", fact, Text("小的在前，如 0..2000", "low first: 0..2000"))


def day(value: Any) -> date:
    """`2027-03-31` -> date; YAML gives a text, or a date already."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value.strip()):
        with suppress(ValueError):
            return date.fromisoformat(value.strip())
    fact = Text(f"`{shown(value)}` 不是日期", f"`{shown(value)}` is not a date")
    raise Unreadable("not_a_date", fact, Text("写成 2027-03-31", "write it as 2027-03-31"))


def others(value: Any) -> tuple[str, ...] | str:
    """`others`, or a list of points whose mean is meant."""
    if value == "others":
        return "others"
    names = value if isinstance(value, list) else []
    if names and all(isinstance(name, str) and name.strip() for name in names):
        return tuple(name.strip() for name in names)
    fact = Text(f"`{shown(value)}` 不是监测点列表", f"`{shown(value)}` is not a list of points")
    advice = Text(
        "写 others（同一设备上同类的其他点），或 [点1, 点2]",
        "write others (those of its kind on this device), or [point1, point2]",
    )
    raise Unreadable("not_a_list_of_points", fact, advice)


BAUDS = (
    300, 600, 1200, 1800, 2400, 4800, 9600, 14_400, 19_200, 28_800, 38_400, 57_600, 76_800,
    115_200, 128_000, 230_400, 250_000, 256_000, 460_800, 500_000, 921_600,
)  # fmt: skip


def baud(value: Any) -> int:
    """A baud rate that devices really have: 9600; anything else is a typing error."""
    if value in BAUDS and isinstance(value, int) and not isinstance(value, bool):
        return value
    typed = slips.full_width(value) or value if isinstance(value, str) else str(value)
    digits = re.sub("[^0-9]", "", typed)
    near = [str(rate) for rate in BAUDS if str(rate) == digits] or get_close_matches(
        digits, [str(rate) for rate in BAUDS], n=1
    )
    fact = Text(f"没有波特率 `{shown(value)}`", f"there is no baud rate `{shown(value)}`")
    advice = Text(
        "常用 2400、4800、9600、19200、38400、115200",
        "common: 2400, 4800, 9600, 19200, 38400, 115200",
    )
    if near:
        advice = Text(f"是不是 {near[0]}？", f"did you mean {near[0]}?")
    if isinstance(value, str) and value.strip() in near:
        fact = Text(
            f"波特率 `{shown(value)}` 写成了文字", f"the baud rate `{shown(value)}` is text"
        )
        advice = Text(f"写成 {near[0]}，不加引号", f"write {near[0]}, without quotes")
    raise Unreadable("bad_baud", fact, advice)


def tcp_link(value: Any) -> TcpLink:
    """`192.168.1.20`, `host:502`, `[fe80::1]:502` -> TcpLink."""
    match = _address(value)
    if match is not None:
        port = int(match["port"] or 502)
        if 1 <= port <= 65535:
            return TcpLink(match["six"] or match["host"], port)
    fact = Text(f"`{shown(value)}` 不是网络地址", f"`{shown(value)}` is not a network address")
    advice = Text(
        "如 192.168.1.20 或 192.168.1.20:502", "for example 192.168.1.20 or 192.168.1.20:502"
    )
    raise Unreadable("not_an_address", fact, advice)


_SIX, _HOST, _PORT = (
    r"\[{}[0-9A-Fa-f:.%\w]+)\]",
    "{}[A-Za-z0-9_.-]{{1,253}})",
    "(?::{}[0-9]{{1,5}}))?",
)
ADDRESS = f"(?:{_SIX}|{_HOST}){_PORT}".format("(", "(", "(")
BROKER = rf"(?:mqtts?://{ADDRESS}/?|mqtt\+unix:///.+)"
_ADDRESS = re.compile(f"(?:{_SIX}|{_HOST}){_PORT}".format("(?P<six>", "(?P<host>", "(?P<port>"))


def _address(value: Any) -> re.Match[str] | None:
    match = _ADDRESS.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is not None and re.fullmatch(r"[0-9.]+", match["host"] or ""):
        parts = match["host"].split(".")  # four numbers up to 255, or it is a name of nothing
        if len(parts) != 4 or any(not part or int(part) > 255 for part in parts):
            return None
    return match


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
    raise Unreadable("not_a_broker", fact, _broker_advice(scheme if rest else "", rest or text))


_SCHEMES = {
    "": "mqtts",
    "tcp": "mqtt",
    "http": "mqtt",
    "ssl": "mqtts",
    "tls": "mqtts",
    "https": "mqtts",
}


def _broker_advice(scheme: str, rest: str) -> Text:
    right = f"{_SCHEMES.get(scheme, 'mqtts')}://{rest.partition('/')[0]}"
    if "@" in rest:
        return Text(
            "用户名和密码不放在地址里：写 username 和 password_file",
            "no user and password in the address: they are `username` and `password_file`",
        )
    if scheme in _SCHEMES and _address(right.partition("://")[2]) is not None:
        return Text(
            f"写成 {right}（mqtts 加密，mqtt 不加密）",
            f"write {right} (mqtts with TLS, mqtt without)",
        )
    return Text(
        "写成 mqtts://主机:端口、mqtt://主机:端口 或 mqtt+unix:///路径",
        "write mqtts://host:port, mqtt://host:port or mqtt+unix:///path",
    )


HOURS = r"([01]?\d|2[0-3])[:：]([0-5]\d)\s*[-–~～]\s*([01]?\d|2[0-3])[:：]([0-5]\d)"


def quiet_hours(value: Any) -> QuietHours | None:
    """`22:00-06:00` -> from when to when, local time; `off` -> None."""
    if value is False or (isinstance(value, str) and value.strip().lower() == "off"):
        return None
    match = re.fullmatch(HOURS, value.strip()) if isinstance(value, str) else None
    if match is None:
        fact = Text(f"`{shown(value)}` 不是时段", f"`{shown(value)}` is not a span of hours")
        advice = Text("如 22:00-06:00；不要就写 off", "such as 22:00-06:00, or off")
        raise Unreadable("not_hours", fact, advice)
    begin, end = (60 * int(match[n]) + int(match[n + 1]) for n in (1, 3))
    if begin == end:
        fact = Text(f"`{shown(value)}` 从头到尾是同一刻", f"`{shown(value)}` begins when it ends")
        advice = Text(
            "不能整天静音；不要夜间就写 off", "it cannot be the whole day; without a night: off"
        )
        raise Unreadable("not_hours", fact, advice)
    hours = QuietHours(begin, end)
    if hours.length_min > LONGEST_NIGHT_MIN:
        fact = Text(f"`{shown(value)}` 超过 12 小时", f"`{shown(value)}` is more than 12 hours")
        advice = Text(
            "白天预警和故障要能听见", "by day, warnings and faults shall be heard: 12 at most"
        )
        raise Unreadable("not_hours", fact, advice)
    return hours


CLOCK = r"([01]?\d|2[0-3])[:：]([0-5]\d)"


def minute(value: Any) -> int | None:
    """`03:30` -> minute of the local day; `off` -> None."""
    if value is False or (isinstance(value, str) and value.strip().lower() == "off"):
        return None
    match = re.fullmatch(CLOCK, value.strip()) if isinstance(value, str) else None
    if match is None:
        fact = Text(f"`{shown(value)}` 不是时刻", f"`{shown(value)}` is not a time of day")
        advice = Text("如 03:30；不要就写 off", "such as 03:30, or off")
        raise Unreadable("not_a_time", fact, advice)
    return 60 * int(match[1]) + int(match[2])


def hours(value: Any) -> QuietHours:
    """`08:00-18:00` -> from when to when, local time; of any length under a day."""
    match = re.fullmatch(HOURS, value.strip()) if isinstance(value, str) else None
    if match is None:
        fact = Text(f"`{shown(value)}` 不是时段", f"`{shown(value)}` is not a span of hours")
        raise Unreadable("not_hours", fact, Text("如 22:00-06:00", "such as 22:00-06:00"))
    begin, end = (60 * int(match[n]) + int(match[n + 1]) for n in (1, 3))
    if begin == end:
        fact = Text(f"`{shown(value)}` 从头到尾是同一刻", f"`{shown(value)}` begins when it ends")
        raise Unreadable("not_hours", fact, Text("如 22:00-06:00", "such as 22:00-06:00"))
    return QuietHours(begin, end)


def moment(value: Any) -> int:
    """`06:30` -> minute of the local day."""
    match = re.fullmatch(CLOCK, value.strip()) if isinstance(value, str) else None
    if match is None:
        fact = Text(f"`{shown(value)}` 不是时刻", f"`{shown(value)}` is not a time of day")
        advice = Text('如 "06:30"，加引号', 'such as "06:30", in quotes')
        raise Unreadable("not_a_time", fact, advice)
    return 60 * int(match[1]) + int(match[2])


def uid(value: Any) -> str:
    """`04 5e 1f 2a` -> `045E1F2A`: the UID of a card or tag."""
    text = re.sub(r"[\s:-]", "", str(value)).upper() if isinstance(value, str | int) else ""
    if not re.fullmatch(r"(?:[0-9A-F]{2}){4,10}", text):
        fact = Text(f"`{shown(value)}` 不是卡号", f"`{shown(value)}` is not the UID of a card")
        advice = Text(
            '刷卡后照抄 16 进制卡号，加引号，如 "04 5E 1F 2A 6B 80 81"',
            'copy its hex digits, in quotes, such as "04 5E 1F 2A 6B 80 81"',
        )
        raise Unreadable("not_a_uid", fact, advice)
    return text


def shown(value: Any) -> str:
    """A value as people would have typed it, cut to a readable length."""
    text = _typed(value).replace("\n", " ")
    return text if len(text) <= 60 else f"{text[:57]}..."


def _typed(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_typed(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_typed, value)) + "]"
    names = {"None": "null", "True": "true", "False": "false"}
    return value if isinstance(value, str) else names.get(str(value), str(value))
