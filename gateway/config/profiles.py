"""Profiles: device families as files, found beside the site file first, then among the shipped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from gateway.config.kinds import Kind
from gateway.config.problems import Place, Problem
from gateway.config.quantities import factor_between, is_known_unit, spelled, unit_meant
from gateway.config.schema import PointPart, ProfilePart, SerialAdvice
from gateway.config.tree import Tree, Where, read_tree
from gateway.config.validate import (
    Setting,
    Settings,
    did_you_mean,
    error,
    is_given,
    settings,
    validate,
    value_of,
    warning,
)
from gateway.domain.points import Encoding, Gate, Point, Table, WordOrder, WordType
from gateway.domain.text import Text

SHIPPED_AS = "config/profiles/"  # how messages call the folder, wherever it is installed
DEFAULT_PERIOD_MS = 5_000
Expectation = tuple[float, float] | frozenset[int | str]  # a range with its ends, or values
MAX_REGISTERS = 125  # MODBUS Application Protocol V1.1b3, 6.3 and 6.4


@dataclass(frozen=True, slots=True)
class Profile:
    """`points` are templates: their `id` and `device` are filled in for each device.

    With `channels` the file describes one of that many like parts behind one unit (the heads of a
    gas panel): the addresses are those of channel 0, and each channel in use is a device.
    """

    name: str
    maker: str = ""
    model: str = ""
    serial: SerialAdvice | None = None
    serial_place: Place | None = None
    max_registers: int = MAX_REGISTERS
    barriers: tuple[int, ...] = ()
    channels: int = 0  # 0: it is no such device
    confidence: str = ""
    unverified: Text | None = None  # what nobody has verified
    source: str = ""
    notes: tuple[str, ...] = ()
    probe: Mapping[str, Expectation] = field(default_factory=dict)  # point -> what it must show
    points: Mapping[str, Point] = field(default_factory=dict)
    is_sound: bool = True  # False: it has errors, so what is missing in it is no news


@dataclass(frozen=True, slots=True)
class _Layer:
    """One file of a chain of `extends`."""

    part: ProfilePart
    tree: Tree


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where profiles are looked for, and those already read; each file is read once."""

    site_dir: Path
    shipped: Path
    kinds: Mapping[str, Kind]
    profiles: dict[str, Profile | None] = field(default_factory=dict)
    layers: dict[str, _Layer | None] = field(default_factory=dict)

    @property
    def trees(self) -> list[Tree]:
        return [layer.tree for layer in self.layers.values() if layer is not None]

    def names(self) -> list[str]:
        folders = (self.site_dir / "profiles", self.shipped / "profiles")
        return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})


def find_profile(name: str, asked: Place, shelf: Shelf, found: list[Problem]) -> Profile | None:
    """The profile `name` that the device at `asked` names; None (reported) if there is none."""
    if name not in shelf.profiles:
        shelf.profiles[name] = _resolve(name, asked, shelf, found)
    elif shelf.profiles[name] is None and name not in shelf.layers:
        found.append(_unknown(name, asked, shelf))
    return shelf.profiles[name]


def _unknown(name: str, asked: Place, shelf: Shelf) -> Problem:
    fact = Text(f"没有叫 `{name}` 的设备档案", f"there is no profile `{name}`")
    return error(asked, "unknown_profile", fact, did_you_mean(name, shelf.names()))


def _resolve(name: str, asked: Place, shelf: Shelf, found: list[Problem]) -> Profile | None:
    before = sum(problem.is_error for problem in found)
    chain = _chain(name, asked, shelf, found)
    if not chain:
        return None
    merged: dict[str, Setting] = {}
    for layer in chain:
        merged |= settings(layer.part, layer.tree, ())
    points = _points(chain, shelf.kinds, asked, found)
    if "unverified" in merged:
        found.append(_doubts(name, merged["unverified"].value, asked))
    is_sound = sum(problem.is_error for problem in found) == before
    if not points and is_sound:
        fact = Text(f"档案 `{name}` 没有监测点", f"the profile `{name}` has no points")
        advice = Text(
            "它只是别的档案的基础", "it is a base that other profiles extend; name one of them"
        )
        found.append(error(asked, "profile_without_points", fact, advice))
    serial = merged.get("serial")

    def given(key: str, default: object) -> object:
        return merged[key].value if key in merged else default

    no_notes: list[object] = []
    return Profile(
        name,
        str(given("maker", "")),
        str(given("model", "")),
        serial.value if serial else None,
        serial.place if serial else None,
        merged["max_registers"].value if "max_registers" in merged else MAX_REGISTERS,
        tuple(merged["barriers"].value) if "barriers" in merged else (),
        value_of(merged, "channels", 0),
        str(given("confidence", "")),
        value_of(merged, "unverified", None),
        str(given("source", "")),
        tuple(map(str, value_of(merged, "notes", no_notes))),
        _probe(merged.get("probe"), points, found),
        points,
        is_sound and bool(points),
    )


def _probe(
    said: Setting | None, points: Mapping[str, Point], found: list[Problem]
) -> Mapping[str, Expectation]:
    """What the points of a probe must show; a point that is not there is reported."""
    if said is None:
        return {}
    probe: dict[str, Expectation] = said.value
    for name in [name for name in probe if points and name not in points]:
        fact = Text(f"没有监测点 `{name}`", f"there is no point `{name}`")
        place = said.tree.place((*said.where, name), key=True)
        found.append(error(place, "unknown_point", fact, did_you_mean(name, points)))
    return probe


def _doubts(profile: str, unverified: Text, asked: Place) -> Problem:
    fact = Text(
        f"档案 {profile} 未经证实：{unverified.zh}", f"{profile} is not verified: {unverified.en}"
    )
    advice = Text(
        "调试时逐项核对再投用", "verify it on site, value by value, before it is relied on"
    )
    return warning(asked, "profile_unverified", fact, advice)


def _chain(name: str, asked: Place, shelf: Shelf, found: list[Problem]) -> list[_Layer]:
    """The files of a profile, the base first; empty (reported) if one of them cannot be had."""
    chain: list[_Layer] = []
    seen: list[str] = []
    wanted: str | None = name
    while wanted is not None:
        if wanted in seen:
            fact = Text(
                "extends 绕成了圈", f"`extends` goes in a circle: {' > '.join([*seen, wanted])}"
            )
            found.append(
                error(asked, "profile_circle", fact, Text("去掉一个", "remove one of them"))
            )
            return []
        layer = _layer(wanted, asked, shelf, found)
        if layer is None:
            return []
        seen.append(wanted)
        chain.insert(0, layer)
        wanted = layer.part.extends
        if wanted is not None:
            asked = layer.tree.place(("extends",))
    return chain


def _layer(name: str, asked: Place, shelf: Shelf, found: list[Problem]) -> _Layer | None:
    if name in shelf.layers:
        return shelf.layers[name]
    if name not in shelf.names():
        found.append(_unknown(name, asked, shelf))
        return None
    own = shelf.site_dir / "profiles" / f"{name}.yaml"
    path = own if own.is_file() else shelf.shipped / "profiles" / f"{name}.yaml"
    shown = str(own) if path == own else f"{SHIPPED_AS}{name}.yaml"
    tree = read_tree(path, shown, found)
    shelf.layers[name] = None
    if tree is not None:
        shelf.layers[name] = _Layer(validate(ProfilePart, tree, (), found), tree)
    if tree is not None and tree.at(("profile",)) not in (None, name):
        fact = Text("文件名和 profile 不一致", f"the file is called `{name}`, the profile is not")
        advice = Text(f"写成 profile: {name}", f"write profile: {name}")
        found.append(error(tree.place(("profile",)), "profile_name", fact, advice))
    return shelf.layers[name]


def _points(
    chain: list[_Layer], kinds: Mapping[str, Kind], asked: Place, found: list[Problem]
) -> dict[str, Point]:
    common: dict[str, Setting] = {}
    own: dict[str, dict[str, Setting]] = {}
    for layer in chain:
        common |= _point_settings(layer, ("all",), found)
        for name in layer.part.points:
            mine = own.setdefault(str(name), {})
            mine |= _point_settings(layer, ("points", name), found)
    tops = {
        str(name): layer.tree.place(("points", name), key=True)
        for layer in chain
        for name in layer.part.points
    }
    points = {}
    unverified: list[str] = []
    for name, mine in own.items():
        given = {**common, **mine}
        if value_of(given, "off", default=False):
            continue
        point = _point(name, given, tops[name], kinds, found)
        if point is not None:
            points[name] = point
        if value_of(given, "scale_unverified", default=False):
            unverified.append(name)
    if unverified:
        found.append(_unverified(chain[-1].part.profile or "", unverified, asked))
    _check_gates(points, {**own}, found)
    return points


def _point_settings(layer: _Layer, where: Where, found: list[Problem]) -> dict[str, Setting]:
    if layer.tree.at(where) is None:
        return {}
    return settings(validate(PointPart, layer.tree, where, found), layer.tree, where)


def _unverified(profile: str, names: Sequence[str], asked: Place) -> Problem:
    listed, count = ", ".join(names), len(names)
    fact = Text(
        f"{profile} 有 {count} 个监测点的比例未经证实：{listed}",
        f"{profile}: the scale of {count} points is not verified: {listed}",
    )
    advice = Text(
        "调试时用仪表比对一次再相信这些数值",
        "compare them with an instrument on site before trusting them",
    )
    return warning(asked, "scale_unverified", fact, advice)


def _point(
    name: str, given: Settings, top: Place, kinds: Mapping[str, Kind], found: list[Problem]
) -> Point | None:
    """One point from everything that says something about it; None (reported) if it cannot be."""
    missing = [key for key in ("table", "type", "at", "unit") if key not in given]
    if missing:
        found.extend(
            error(
                top,
                "missing_key",
                Text(f"缺少 `{key}`", f"`{key}` is missing"),
                Text(f"加上 {key}", "add it to the point or to `all`"),
            )
            for key in missing
            if not any(is_given(s.tree, s.where[:-1], key) for s in given.values())
        )
        return None
    unit = spelled(given["unit"].value)
    kind = check_kind(given.get("kind"), unit, kinds, found)
    encoding = _encoding(given, unit, found)
    valid = given["valid"].value if "valid" in given else None
    _check_sentinels(given, encoding, found)
    _check_encoding(given, encoding, top, found)
    period = value_of(given, "period", DEFAULT_PERIOD_MS)
    no_codes: dict[int, str] = {}
    no_sentinels: list[int] = []
    no_identity: list[int | str] = []
    gate = given["gate"].value if "gate" in given else None
    point = Point(
        id=name,
        device="",
        name=name,
        unit=unit,
        table=given["table"].value,
        at=given["at"].value,
        encoding=encoding,
        period_ms=period,
        kind=kind.name if kind else None,
        label=value_of(given, "label", ""),
        valid=(float(valid[0]), float(valid[1])) if valid else None,
        sentinels=frozenset(value_of(given, "sentinels", no_sentinels)),
        gate=gate and Gate(gate.point, gate.qualities, gate.otherwise, gate.bits),
        codes=value_of(given, "codes", no_codes),
        deadband=deadband(given.get("deadband"), kind, unit, found),
        heartbeat_ms=value_of(given, "heartbeat", 60_000),
        max_age_ms=value_of(given, "max_age", max(60_000, 5 * period)),
        stuck_after_ms=given["stuck_after"].value if "stuck_after" in given else None,
        response_ms=given["response"].value if "response" in given else None,
        is_counter=value_of(given, "counter", False),
        identity=frozenset(value_of(given, "identity", no_identity)),
    )
    if "span" in given and "valid" not in given:
        return with_span(point, _floats(given["span"].value))
    return replace(point, span=_floats(given["span"].value)) if "span" in given else point


def _floats(span: tuple[Decimal, Decimal]) -> tuple[float, float]:
    return float(span[0]), float(span[1])


# Over range is gas until a person has looked (field note F9), so the upper end stays open.
_OPEN_UPWARDS = ("combustible_gas", "carbon_monoxide")
SPAN_MARGIN = 0.02  # field note F5: below -2 % or above 102 % is a fault of the wire


def with_span(point: Point, span: tuple[float, float]) -> Point:
    """The point with the range of its sensor, outside of which no value can be true."""
    margin = SPAN_MARGIN * (span[1] - span[0])
    low, high = span[0] - margin, span[1] + margin
    if point.valid is not None and point.kind in _OPEN_UPWARDS:
        high = max(high, point.valid[1])
    elif point.kind in _OPEN_UPWARDS:
        return replace(point, span=span, valid=None)
    return replace(point, span=span, valid=(low, high))


def check_kind(
    said: Setting | None, unit: str, kinds: Mapping[str, Kind], found: list[Problem]
) -> Kind | None:
    """The kind a point names; None when it names none, or a wrong one (reported)."""
    if said is None:
        return None
    kind = kinds.get(said.value)
    if kind is None:
        fact = Text(f"没有 `{said.value}` 这一类", f"there is no kind `{said.value}`")
        found.append(error(said.place, "unknown_kind", fact, did_you_mean(said.value, kinds)))
    elif factor_between(kind.unit, unit) is None and is_known_unit(unit):
        fact = Text(
            f"{kind.name} 类的单位是 {kind.unit or '（无）'}，这个点是 {unit or '（无）'}",
            f"points of kind {kind.name} have the unit `{kind.unit}`, this one has `{unit}`",
        )
        advice = Text("改单位或换一类", "correct the unit or take another kind")
        found.append(error(said.place, "kind_unit", fact, advice))
        return None
    return kind


def deadband(said: Setting | None, kind: Kind | None, unit: str, found: list[Problem]) -> float:
    """The deadband in the point's unit: what is said, else what its kind has, else none."""
    if said is None:
        if kind is None or kind.deadband is None:
            return 0.0
        by = factor_between(kind.deadband.unit, unit)
        return 0.0 if by is None else float(kind.deadband.value * by)
    wanted = said.value
    by = factor_between(wanted.unit or unit, unit)
    if by is None:
        found.append(unit_problem(said, unit))
        return 0.0
    if wanted.value < 0:
        fact = Text(f"`{wanted}` 是负数", f"`{wanted}` is negative")
        advice = Text("写一个不小于 0 的数", "write a number that is not below 0")
        found.append(error(said.place, "not_a_quantity", fact, advice))
        return 0.0
    return float(wanted.value * by)


def unit_problem(said: Setting, unit: str) -> Problem:
    """The number at `said` is not in (a multiple of) the point's unit."""
    has = Text(f"的单位是 {unit}", f"is in {unit}") if unit else Text("没有单位", "has no unit")
    fact = Text(f"`{said.value}`：这个监测点{has.zh}", f"`{said.value}`: this point {has.en}")
    meant = unit_meant(said.value.unit)
    if meant is not None and factor_between(meant, unit) is not None:
        right = f"{said.value.value} {meant}"
        advice = Text(f"写成 {right}", f"write {right}")
    elif not said.value.unit:
        right = f"{said.value.value} {unit}"
        advice = Text(f"加上单位，如 {right}", f"give it its unit, such as {right}")
    elif unit:
        advice = Text(
            f"看看设备和监测点对不对；用 {unit} 或能换算成它的单位",
            f"see that device and point are the right ones; take {unit}, or a unit that"
            " converts to it",
        )
    else:
        advice = Text("去掉单位", "write the number alone")
    return error(said.place, "wrong_unit", fact, advice)


def _encoding(given: Settings, unit: str, found: list[Problem]) -> Encoding:
    factors: dict[int, Decimal] = {}
    if "units" in given:
        said = given["units"]
        for code, name in said.value.items():
            by = factor_between(spelled(name), unit)
            if by is None:
                fact = Text(
                    f"`{name}` 不能换算成 {unit}", f"`{name}` cannot be turned into `{unit}`"
                )
                advice = Text(
                    "删掉这个代码：读到它就是故障", "leave the code out: reading it is then a fault"
                )
                place = said.tree.place((*said.where, code))
                found.append(error(place, "wrong_unit", fact, advice))
            else:
                factors[code] = by
    return Encoding(
        type=given["type"].value,
        order=given["order"].value if "order" in given else WordOrder.BIG,
        scale=given["scale"].value if "scale" in given else Decimal(1),
        offset=given["offset"].value if "offset" in given else Decimal(0),
        bit=given["bit"].value if "bit" in given else None,
        bits=given["bits"].value if "bits" in given else None,
        length=given["length"].value if "length" in given else 1,
        decimals_at=given["decimals_at"].value if "decimals_at" in given else None,
        unit_at=given["unit_at"].value if "unit_at" in given else None,
        unit_factors=factors,
    )


def _check_sentinels(given: Settings, encoding: Encoding, found: list[Problem]) -> None:
    if "sentinels" not in given or "valid" not in given:
        return
    if encoding.decimals_at is not None or encoding.unit_at is not None:
        return  # what the raw number means is known only when it is read
    said, (low, high) = given["sentinels"], given["valid"].value
    for index, raw in enumerate(said.value):
        value = raw * encoding.scale + encoding.offset
        if low <= value <= high:
            fact = Text(
                f"哨兵值 {raw}（即 {value}）落在有效范围 {low}..{high} 里",
                f"the sentinel {raw} means {value}, which is inside the valid range {low}..{high}",
            )
            advice = Text(
                "缩小有效范围，或去掉这个哨兵值", "narrow the range, or drop the sentinel"
            )
            place = said.tree.place((*said.where, index))
            found.append(error(place, "sentinel_in_range", fact, advice, given["valid"].place))


def _check_encoding(given: Settings, encoding: Encoding, top: Place, found: list[Problem]) -> None:
    table: Table = given["table"].value
    unit = given["unit"]
    if not is_known_unit(spelled(unit.value)):
        fact = Text(f"不认识的单位 `{unit.value}`", f"unknown unit `{unit.value}`")
        right = unit_meant(spelled(unit.value)) or "mA, MPa, °C"
        advice = Text(f"写成 {right}", f"write {right}")
        found.append(error(unit.place, "unknown_unit", fact, advice))
    if given["at"].value + encoding.width > 65536:
        fact = Text("超出地址 65535", "the value reaches past address 65535")
        found.append(error(given["at"].place, "address", fact, Text("改地址", "correct `at`")))
    if given["at"].value in _MANUAL.get(table, ()) and not _is_shipped(given["at"].tree):
        found.append(_looks_like_manual(given["at"], table))
    ends = [given[key].value for key in ("decimals_at", "unit_at") if key in given]
    at = given["at"].value
    if ends and max(*ends, at + encoding.width - 1) - min(*ends, at) >= MAX_REGISTERS:
        fact = Text(
            "数值、小数位和单位不能一次读完", "value, decimals and unit do not fit one request"
        )
        advice = Text(
            "三者要在同一次请求里", "they must be read together, or a change gives 10 times"
        )
        found.append(error(top, "bad_encoding", fact, advice))
    is_bit = encoding.type is WordType.BIT
    if table.is_bits != (is_bit and encoding.bit is None):
        fact = Text(
            f"{table} 表不能这样取 {encoding.type}", f"{encoding.type} does not fit table {table}"
        )
        advice = Text(
            "线圈和离散输入用 type: bit；寄存器里的位加 bit: 0..15",
            "coils and discrete inputs are type: bit; a bit of a register also needs bit: 0..15",
        )
        found.append(error(top, "bad_encoding", fact, advice))
    if encoding.bits is not None and encoding.type not in (WordType.UINT16, WordType.BITFIELD):
        fact = Text(f"bits 不能用于 {encoding.type}", f"`bits` does not go with {encoding.type}")
        advice = Text("用 type: uint16", "use type: uint16")
        found.append(error(given["bits"].place, "bad_encoding", fact, advice))
    if (encoding.unit_at is None) != (not encoding.unit_factors) and "units" not in given:
        fact = Text("unit_at 需要 units", "`unit_at` needs `units`: what each code means")
        found.append(error(top, "bad_encoding", fact, Text("加上 units", "add units: {3: MPa}")))


def _is_shipped(tree: Tree) -> bool:
    return tree.file.startswith(SHIPPED_AS)


# Manuals number registers 40001... and 30001...; on the wire they count from 0.
_MANUAL = {Table.HOLDING: range(40_001, 49_999), Table.INPUT: range(30_001, 39_999)}


def _looks_like_manual(said: Setting, table: Table) -> Problem:
    at = said.value
    wire = at - (40_001 if table is Table.HOLDING else 30_001)
    fact = Text(
        f"{at} 像说明书里的编号，不是线上地址",
        f"{at} looks like a number of the manual, not like an address on the wire",
    )
    advice = Text(
        f"线上地址从 0 数：是不是 {wire}？", f"addresses count from 0: did you mean {wire}?"
    )
    return warning(said.place, "manual_address", fact, advice)


def _check_gates(
    points: Mapping[str, Point], own: Mapping[str, Settings], found: list[Problem]
) -> None:
    for name, point in points.items():
        if point.gate is not None and point.gate.point not in own:
            said = own[name]["gate"]
            fact = Text(
                f"没有监测点 `{point.gate.point}`", f"there is no point `{point.gate.point}`"
            )
            place = said.tree.place((*said.where, "point"))
            found.append(error(place, "unknown_point", fact, did_you_mean(point.gate.point, own)))
