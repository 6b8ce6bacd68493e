"""A site file, or the part of one, for the devices that a scan found.

What one line can carry becomes devices; what speaks with another setting, has a unit twice or is
not known becomes a comment that says what to do. Nobody is invented: the owner is whoever
commissions, and limits that only the site knows are switched off with a word on it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.scan import Found
from gateway.domain.families import Family, LineSetting
from gateway.domain.text import Lang, Text

OWNER = Text("调试人员", "commissioning technician")
PLACE = Text("位置待填", "place to be filled in")
NO_LIMIT = Text("扫描生成，限值待现场填写", "from a scan; the limit is still to be filled in")

_HEAD = Text(
    "由 bus scan 生成；逐台核对后再投用", "made by bus scan; compare each device before use"
)
_OTHER = Text(
    "站号 {unit} 说的是 {line}：先把它改成 {own}，再去掉注释",
    "unit {unit} speaks {line}: set it to {own} first, then remove the comment signs",
)
_TWICE = Text(
    "站号 {unit} 在这条总线上有两台：先改掉一台的站号",
    "two devices of this bus have unit {unit}: change one of them first",
)
_UNKNOWN = Text(
    "站号 {unit} 有应答（{line}），没有档案认得它：用 bus read 看，自建档案",
    "unit {unit} answers ({line}), and no profile knows it: see bus read, write a profile",
)
_OR = Text("也可能是 {others}：对照仪表显示", "or {others}: compare with the display")
_SAW = Text("读到 {shown}", "showed {shown}")


@dataclass(frozen=True, slots=True)
class Proposal:
    """`yaml` as text; `left_out` are those that it has only as comments."""

    yaml: str
    line: LineSetting | None
    taken: tuple[Found, ...]
    left_out: tuple[Found, ...]


def common_line(found: Sequence[Found]) -> LineSetting | None:
    """The setting that most of them speak; the first found where there are as many."""
    counts = Counter(each.line for each in found if each.matches)
    return counts.most_common(1)[0][0] if counts else None


def propose(
    found: Sequence[Found],
    port: str,
    *,
    lang: Lang,
    bus: str = "bus-1",
    line: LineSetting | None = None,
    is_set: bool = False,
    known_units: Sequence[int] = (),
    is_whole: bool = True,
) -> Proposal:
    """The file for these devices behind `port`.

    `line` is what the bus shall run; what most devices speak if not given. `is_set` says that all
    devices were set to it meanwhile. `known_units` are left alone; without `is_whole` there are
    only buses and devices, to be put into a file that exists.
    """
    own = line or common_line(found)
    fresh = [each for each in found if each.unit not in known_units]
    taken: list[Found] = []
    left_out: list[Found] = []
    used: set[int] = set()
    for each in fresh:
        fits = bool(each.matches) and (is_set or each.line == own) and each.unit not in used
        (taken if fits else left_out).append(each)
        if fits:
            used.add(each.unit)
    lines = [f"# {_HEAD.in_(lang)}"]
    if is_whole:
        lines.append("site: {id: new-house, name: 新站点, institution: elder-care}")
    lines += ["buses:", f"  {bus}: {_bus(port, own)}", "devices:" if taken else "devices: {}"]
    for each in taken:
        lines += _device(each, bus, lang)
    for each in left_out:
        lines += _comment(each, bus, own, used, lang)
    return Proposal("\n".join(lines) + "\n", own, tuple(taken), tuple(left_out))


def _bus(port: str, line: LineSetting | None) -> str:
    if line is None:
        return f"{{tcp: {port}}}"
    return (
        f"{{serial: {port}, baud: {line.baud}, parity: {line.parity.value},"
        f" stop_bits: {line.stop_bits}}}"
    )


def _device(each: Found, bus: str, lang: Lang) -> list[str]:
    best, *others = each.matches
    shown = ", ".join(text for text, _ in best.shown)
    lines = [f"  # {_SAW.in_(lang).format(shown=shown)}"]
    if others:
        names = ", ".join(match.family.profile for match in others)
        lines.append(f"  # {_OR.in_(lang).format(others=names)}")
    lines += [
        f"  {best.family.profile}-{each.unit}:",
        f"    profile: {best.family.profile}",
        f"    bus: {bus}",
        f"    unit: {each.unit}",
        *(["    channel: 0"] if best.family.channels else []),
        f"    place: {PLACE.in_(lang)}",
        f"    owner: {OWNER.in_(lang)}",
        *_rules(best.family, lang),
    ]
    return lines


def _rules(family: Family, lang: Lang) -> list[str]:
    """The rules that cannot be without a limit of the site's: off, and said to be so."""
    if not family.needs:
        return []
    rows = [f"      {rule}: {{off: true, basis: {NO_LIMIT.in_(lang)}}}" for rule in family.needs]
    return ["    rules:", *rows]


def _comment(
    each: Found, bus: str, own: LineSetting | None, used: set[int], lang: Lang
) -> list[str]:
    words = {"unit": each.unit, "line": each.line or "TCP", "own": own}
    if not each.matches:
        return [f"  # {_UNKNOWN.in_(lang).format(**words)}"]
    why = _TWICE if each.unit in used else _OTHER
    body = [f"  # {line[2:]}" for line in _device(each, bus, lang)]
    return [f"  # {why.in_(lang).format(**words)}", *body]
