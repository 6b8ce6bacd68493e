"""One page of the running gateway, made to fit: a pure function from a snapshot to lines.

What is not good never looks normal: without a fresh answer of the daemon the lamps are unknown,
each value says so, and ages go on counting.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

from rich.cells import cell_len, set_cell_size
from rich.text import Text as Styled

from gateway.cli.flags import flags_of, is_folded
from gateway.cli.saying import (
    NO_ALARM,
    NOTHING,
    QUALITIES,
    SEVERITIES,
    STATES,
    UNSAID,
    Part,
    age,
    number,
    part_of,
    rows_of,
    say,
    worded,
)
from gateway.cli.standing import leakage_lines, standing_lines
from gateway.core.panel import WORDS as PANEL_WORDS
from gateway.domain.details import detail_text
from gateway.domain.reasons import reason_text
from gateway.domain.text import Lang, Text

SMALLEST = (40, 12)  # below this the page says that it needs room
SHORT = 30  # lines; below this each section says its least
TWO_COLUMNS = 140  # cells; wide enough for two columns that are each as wide as a small terminal
STALE_S = 3.0  # an answer older than this is not of this moment

COLOURS = {
    "red": "red",
    "amber": "dark_orange",
    "yellow": "yellow",
    "green": "green",
    "white": "white",
}
PATTERNS = {
    "-": Text("静音", "quiet"),
    "A1": Text("报警音 A1", "alarm A1"),
    "A2": Text("燃气报警音 A2", "gas alarm A2"),
    "A3": Text("一氧化碳报警音 A3", "carbon monoxide A3"),
    "E": Text("升级报警音 E", "escalated E"),
    "Q": Text("查岗音 Q", "post check Q"),
    "W": Text("预警音 W", "warning W"),
    "F": Text("故障音 F", "fault F"),
    "U": Text("断网提示音 U", "uplink down U"),
    "R": Text("巡查超时提示音 R", "round overdue R"),
    "D": Text("演练提示音 D", "drill D"),
    "B": Text("自检音 B", "self-test B"),
}
LANES = {
    "A": Text("报警", "alarms"),
    "B": Text("其他", "others"),
    "R": Text("读数", "readings"),
}
LANE_COLUMNS = {
    "queued": Text("待上传", "queued"),
    "at_broker": Text("在服务器", "at broker"),
    "settled": Text("已送达", "delivered"),
}
RANK = {"alarm": 0, "warning": 1, "fault": 2}

ALARMS = Text("报警、预警、故障", "Alarms, warnings, faults")
STANDING = Text("另外", "Also")
POINTS = Text("监测点", "Points")
PLATFORM = Text("平台收到", "What the platform received")
STORY = Text("经过", "What happens")
UPLINK = Text("上行", "Uplink")
STARTING = Text("正在等待守护进程的第一次答复 …", "waiting for the daemon's first answer …")
NO_ROOM = Text("终端太小，请放大", "the terminal is too small: make it larger")
LOST = Text("连接中断，自 {since} 起（{age}）", "connection lost since {since} ({age})")
SHOWN_AGE = Text("数据 {}前", "data {} old")
UNKNOWN = Text("未知", "unknown")
BLINKS = Text("闪", "blinks")
OFFLINE_ALL = Text("整台失联，{} 个监测点", "no response, all {} points")
MORE = Text("第 {}–{} 个，共 {} 个 ↑↓", "{}–{} of {} ↑↓")
LINK_UP = Text("已连接", "connected")
LINK_DOWN = Text("断开", "down")
NO_PLATFORM = Text("平台无应答", "the platform does not answer")
NO_UPLINK = Text("未配置", "not configured")
LIMIT = Text("限值", "limit")
OPEN_CASES = Text("未结处置单", "open cases")


@dataclass(frozen=True, slots=True)
class Page:
    """Everything one page shows. `story` and `platform` are None where there is no demo."""

    answer: Part
    data_age_s: float = 0.0
    lost_since: str = ""  # time of day; empty while the daemon answers
    lost_s: float = 0.0
    why_lost: Text = UNSAID
    story: Sequence[str] | None = None
    platform: Sequence[str] | None = None
    numbers: Mapping[str, str] = field(default_factory=dict)  # device -> the key that pulls it
    title: str = ""
    note: str = ""  # what the last key did
    keys: Sequence[tuple[str, str]] = ()
    offset: int = 0  # the first point shown


def lines_of(page: Page, width: int, height: int, lang: Lang) -> list[Styled]:
    """Return exactly `height` lines, none wider than `width` cells."""
    if width < SMALLEST[0] or height < SMALLEST[1]:
        lines = [Styled(NO_ROOM.in_(lang))]
    else:
        top = [_head(page, lang), _panel(page, lang), *_banner(page, lang)]
        bottom = _foot(page, width)
        middle = _middle(page, width, height - len(top) - len(bottom), lang)
        lines = [*top, *middle, *bottom]
    lines = lines[:height] + [Styled("")] * (height - len(lines))
    return [_cut(line, width) for line in lines]


def _middle(page: Page, width: int, height: int, lang: Lang) -> list[Styled]:
    if width < TWO_COLUMNS:
        return _stacked(
            _left(page, width, height, lang) + _right(page, height, lang), height, width
        )
    half = (width - 3) // 2
    left = _stacked(_left(page, half, height, lang), height, half)
    right = _stacked(_right(page, height, lang), height, half)
    lines = []
    for one, other in zip(left, right, strict=True):
        line = _cut(one, half, pad=True)
        line.append(" │ ", style="dim")
        lines.append(line.append_text(_cut(other, half)))
    return lines


@dataclass(frozen=True, slots=True)
class _Section:
    """A heading and lines. `least` lines always have room; `weight` says who grows first."""

    heading: Styled
    lines: Sequence[Styled]
    least: int
    is_tail: bool = False  # the newest lines count
    offset: int | None = None  # the first line shown, where one can scroll
    lang: Lang = Lang.EN


def _stacked(sections: Sequence[_Section], height: int, width: int) -> list[Styled]:
    """Put sections under each other in exactly `height` lines; the first ones grow first."""
    rooms = [min(section.least, max(len(section.lines), 1)) for section in sections]
    left = height - len(sections) - sum(rooms)
    for place, section in enumerate(sections):
        more = max(0, min(len(section.lines) - rooms[place], left))
        rooms[place] += more
        left -= more
    lines: list[Styled] = []
    for section, room in zip(sections, rooms, strict=True):
        lines.extend(_section(section, room, width))
    return lines[:height] + [Styled("")] * max(0, height - len(lines))


def _section(section: _Section, room: int, width: int) -> list[Styled]:
    shown, heading = list(section.lines), section.heading.copy()
    if len(shown) > room:
        first = 0 if section.offset is None else min(section.offset, len(shown) - room)
        if section.offset is not None:
            said = MORE.in_(section.lang).format(first + 1, first + room, len(shown))
            heading.append(f"  {said}", style="dim")
        shown = shown[-room:] if section.is_tail else shown[first : first + room]
    rule = "─" * max(0, width - cell_len(heading.plain) - 1)
    return [heading.append(f" {rule}", style="dim"), *shown]


# --- head and foot --------------------------------------------------------------------------


def _head(page: Page, lang: Lang) -> Styled:
    site = part_of(page.answer, "site")
    line = Styled(page.title, style="bold")
    if site:
        line.append(f"{'  ' if page.title else ''}{say(site.get('name'), lang)}", style="bold")
        line.append(f" ({say(site.get('id'), lang)})")
        fresh = SHOWN_AGE.in_(lang).format(age(page.data_age_s * 1000, lang))
        line.append(f"   {fresh}", style="" if _is_fresh(page) else "bold red")
    else:
        line.append(f"   {STARTING.in_(lang)}")
    return line


def _banner(page: Page, lang: Lang) -> list[Styled]:
    if not page.lost_since:
        return []
    words = LOST.in_(lang).format(since=page.lost_since, age=age(page.lost_s * 1000, lang))
    return [Styled(f" {words}: {page.why_lost.in_(lang)} ", style="bold white on red")]


def _panel(page: Page, lang: Lang) -> Styled:
    panel = part_of(page.answer, "panel")
    levels, signal = part_of(panel, "levels"), part_of(panel, "signal")
    line = Styled()
    for name, word in PANEL_WORDS.items():
        asked = str(signal.get(name, "on" if levels.get(name) else "off"))
        if name == "buzzer" or (name == "white" and asked == "off"):  # few panels have a white one
            continue
        if not panel or not _is_fresh(page):
            line.append(f"? {word.in_(lang)}   ", style="dim")
        elif asked == "off":
            line.append(f"○ {word.in_(lang)}   ", style="dim")
        else:
            blinks = f" {BLINKS.in_(lang)}" if asked != "on" else ""
            line.append(f"● {word.in_(lang)}{blinks}   ", style=f"bold {COLOURS[name]}")
    pattern = str(signal.get("pattern", ""))
    said = worded(PATTERNS, pattern, lang) if _is_fresh(page) and panel else "?"
    is_loud = said not in ("?", NOTHING) and pattern != "-"
    line.append(f"{PANEL_WORDS['buzzer'].in_(lang)}: ")
    return line.append(said, style="bold reverse" if is_loud else "")


def _foot(page: Page, width: int) -> list[Styled]:
    """The keys, in as many lines as they need, and over them what the last one did."""
    lines = [Styled("")]
    for key, word in page.keys:
        piece = Styled.assemble((key, "reverse"), f" {word}  ")
        if lines[-1].cell_len and lines[-1].cell_len + piece.cell_len > width + 2:
            lines.append(Styled(""))
        lines[-1].append_text(piece)
    note = [Styled(page.note, style="italic cyan")] if page.note else []
    return note + (lines if page.keys else [])


def _is_fresh(page: Page) -> bool:
    return not page.lost_since and page.data_age_s <= STALE_S


# --- alarms and points ----------------------------------------------------------------------


def _left(page: Page, width: int, height: int, lang: Lang) -> list[_Section]:
    alarms, points = _alarms(page, width, lang), _points(page, width, height < SHORT, lang)
    standing = [] if height < SHORT else _standing(page, lang)
    also = [_Section(_title(STANDING, lang), standing, least=3)] if standing else []
    return [
        _Section(_alarms_title(page, lang), alarms, least=4),
        *also,
        _Section(_title(POINTS, lang), points, least=4, offset=page.offset, lang=lang),
    ]


def _standing(page: Page, lang: Lang) -> list[Styled]:
    """What people have to know beside the alarms; the open cases stand in the title above."""
    answer = {name: part for name, part in page.answer.items() if name != "cases"}
    leakage = leakage_lines(rows_of(page.answer, "points"), lang)
    return [Styled(line) for line in (*standing_lines(answer, lang), *leakage)]


def _alarms_title(page: Page, lang: Lang) -> Styled:
    """With the number of open cases, which an alarm that is over leaves behind."""
    count = part_of(page.answer, "cases").get("open")
    title = _title(ALARMS, lang)
    return title.append(f"   {OPEN_CASES.in_(lang)} {count}") if count else title


def _alarms(page: Page, width: int, lang: Lang) -> list[Styled]:
    """Two lines each: what, where, how much and since when; what to do.

    A third one where there is more to know. What a parent suppresses is folded into the parent.
    """
    rows = sorted(rows_of(page.answer, "alarms"), key=lambda r: RANK.get(str(r.get("severity")), 3))
    if not rows and "alarms" in page.answer:
        return [Styled(NO_ALARM.in_(lang), style="green" if _is_fresh(page) else "dim")]
    lines = []
    for row in (row for row in rows if not is_folded(row)):
        word, style = SEVERITIES.get(str(row.get("severity")), (Text("?", "?"), ""))
        where = say(row.get("place") or row.get("rule"), lang)
        rest = f" · {where} · {_measured(row, lang)}"
        line = Styled(f"{word.in_(lang)} {say(row.get('say'), lang)}", style=style)
        line = _cut(line, max(20, width - cell_len(rest)))
        lines.append(line.append(rest, style="default not bold"))
        since = _older(row.get("since_ms"), page)
        said = f"   {worded(STATES, row.get('state'), lang)} {age(since, lang)}"
        steps = row.get("do") if isinstance(row.get("do"), list) else []
        do = "  ".join(f"{n} {say(step, lang)}" for n, step in enumerate(steps or [], start=1))
        lines.append(Styled.assemble(said, ("  → ", "bold"), do or NOTHING))
        if flags := flags_of(row, lang):
            lines.append(Styled(f"   {', '.join(flags)}", style="dim"))
    return lines


def _measured(row: Part, lang: Lang) -> str:
    if row.get("value") is None:
        return detail_text(str(row.get("detail") or "")).in_(lang) or NOTHING
    said = number(row.get("value"), row.get("unit"))
    limit = row.get("limit")
    return said if limit is None else f"{said} ({LIMIT.in_(lang)} {number(limit)})"


def _points(page: Page, width: int, is_short: bool, lang: Lang) -> list[Styled]:
    """Points that are not good first, then those with an alarm, those with rules, the others.

    Where room `is_short`, the first of each device, then the second of each, and so on: a device
    with many points hides none with few.
    """
    gone = {say(row.get("id"), lang): row for row in rows_of(page.answer, "devices")
            if row.get("is_offline") is True}  # fmt: skip
    alarmed = {str(row.get("rule")).split("/", 1)[0] for row in rows_of(page.answer, "alarms")}
    offline: dict[str, list[Part]] = {}
    ranked: list[tuple[int, int, int, Styled]] = []
    counts: Counter[tuple[str, int]] = Counter()
    for place, row in enumerate(rows_of(page.answer, "points")):
        device = _device_of(row)
        if device in gone:
            offline.setdefault(device, []).append(row)
            continue
        is_good = row.get("quality") == "good"
        rank = 0 if not is_good else 1 if row.get("id") in alarmed else 2
        rank += 0 if rank < 2 or row.get("is_judged", True) else 1
        counts[device, rank] += is_short
        ranked.append((rank, counts[device, rank], place, _point(page, row, width, lang)))
    lines = [_offline(page, device, rows, lang) for device, rows in offline.items()]
    return [*lines, *(line for *_, line in sorted(ranked, key=lambda each: each[:3]))]


def _point(page: Page, row: Part, width: int, lang: Lang) -> Styled:
    quality = worded(QUALITIES, row.get("quality"), lang)
    if row.get("reason"):
        quality = f"{quality} ({reason_text(str(row['reason'])).in_(lang)})"
    if not _is_fresh(page):
        quality = f"? {quality}"
    is_good = row.get("quality") == "good" and _is_fresh(page)
    label = say(row.get("label"), lang) if row.get("label") else ""
    name = say(row.get("id"), lang)
    values = (
        (_value(row).rjust(14), 14),
        (quality, 18),
        (age(_older(row.get("age_ms"), page), lang), 7),
    )
    rest = width - 2 - sum(size + 1 for _, size in values)
    number_of = page.numbers.get(_device_of(row), " ")
    named = f"{name} {label} {say(row.get('place'), lang)}" if rest > 50 else name
    if lang is Lang.ZH and label and rest <= 50:
        named = f"{label} {name}"
    style = "" if is_good else "yellow"  # what is not good never looks normal
    line = Styled(f"{number_of} {set_cell_size(named, rest)}")
    for said, size in values:
        line.append(" " + set_cell_size(said, size), style=style)
    return line


def _value(row: Part) -> str:
    """Five digits are enough for people; `status` has them all."""
    value = row.get("value")
    rounded = float(f"{value:.5g}") if isinstance(value, float) and isfinite(value) else value
    return number(rounded, row.get("unit"))


def _offline(page: Page, device: str, rows: Sequence[Part], lang: Lang) -> Styled:
    """A device that does not answer is one line, not one for each of its points."""
    said = OFFLINE_ALL.in_(lang).format(len(rows))
    where = say(rows[0].get("place"), lang)
    line = f"{page.numbers.get(device, ' ')} {device} {where}: {said}"
    return Styled(line, style="bold yellow")


def _device_of(row: Part) -> str:
    return str(row.get("id")).split(".", 1)[0]


def _older(ms: object, page: Page) -> float | None:
    """An age as of now, not as of the answer that said it."""
    return ms + page.data_age_s * 1000 if isinstance(ms, int | float) else None


# --- uplink, platform, story ----------------------------------------------------------------


def _right(page: Page, height: int, lang: Lang) -> list[_Section]:
    is_short = height < SHORT
    lanes, heading = _lanes(page, is_short, lang), _uplink(page, lang)
    if is_short:  # the lines have room for the numbers only
        words = " · ".join(word.in_(lang) for word in LANE_COLUMNS.values())
        heading.append(f"  ({words})", style="dim not bold")
    sections = [_Section(heading, lanes, least=len(lanes))]
    for title, told in ((PLATFORM, page.platform), (STORY, page.story)):
        if told is not None:
            lines = [Styled(line) for line in told]
            sections.append(_Section(_title(title, lang), lines, least=3, is_tail=True))
    return sections


def _uplink(page: Page, lang: Lang) -> Styled:
    link = part_of(page.answer, "link")
    line = _title(UPLINK, lang)
    if not _is_fresh(page) or link.get("is_up") is None:
        return line.append(f" {UNKNOWN.in_(lang)}", style="dim")
    if not link["is_up"] and not link.get("broker") and "delivery" not in link:
        return line.append(f" {NO_UPLINK.in_(lang)}", style="dim")
    broker = str(link.get("broker") or "").rsplit("/", 1)[-1]
    if not link["is_up"]:
        why = f" ({link['why']})" if link.get("why") else ""
        return line.append(f" {LINK_DOWN.in_(lang)} {broker}{why}", style="bold yellow")
    line.append(f" {LINK_UP.in_(lang)} {broker}", style="green")
    if link.get("is_platform_present") is False:
        line.append(f" {NO_PLATFORM.in_(lang)}", style="bold yellow")
    return line


def _lanes(page: Page, is_short: bool, lang: Lang) -> list[Styled]:
    """One line a lane: how many records wait here, at the broker, and how many are delivered.

    `is_short` puts the numbers of all lanes into one line.
    """
    texts = []
    for row in rows_of(page.answer, "lanes"):
        lane = str(row.get("lane"))
        counts = [row.get(key) for key in LANE_COLUMNS]
        if counts[0] is None:
            counts[0] = row.get("unsettled")  # a daemon that does not say where they are
        words = LANES[lane].in_(lang) if lane in LANES else ""
        style = "bold yellow" if counts[0] else "bold"
        text = Styled.assemble((f"{lane} ", style), f"{words}  ")
        for count, word in zip(counts, LANE_COLUMNS.values(), strict=True):
            said = f"{number(count):>5}  " if not is_short else f"{number(count)} · "
            text.append(f"{word.in_(lang)} {said}" if not is_short else said)
        texts.append(text)
    if is_short and texts:
        for text in texts:
            text.right_crop(3)
        return [Styled("    ").join(texts)]
    return texts or [Styled(NOTHING)]


def _title(title: Text, lang: Lang) -> Styled:
    return Styled(title.in_(lang), style="bold")


def _cut(line: Styled, width: int, *, pad: bool = False) -> Styled:
    line = line.copy()
    line.truncate(width, overflow="ellipsis", pad=pad)
    return line
