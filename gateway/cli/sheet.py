"""`care-gateway sheet day|month|keep`: one sheet per institution, beside the daemon or without it.

Read from the records; the site file gives names, places, what is watched and what is due. Where it
has errors the sheet is made all the same, and says so.
"""

import json
import os
import re
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, timedelta, tzinfo
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table as Shown

from gateway.cli.saying import console
from gateway.cli.sheet_csv import csv_of
from gateway.cli.sheet_page import heading, page_of
from gateway.cli.sheet_tables import Table, house_tables, notes_of, overview, quiet, tables_of
from gateway.cli.sheet_words import Voice
from gateway.cli.unread import unread
from gateway.config.institutions import read_institution
from gateway.config.load import load_site
from gateway.config.problems import render
from gateway.core.sheet import LASTING, Known, sheet_of
from gateway.core.sheet_times import anchors_of, local, period_of
from gateway.domain.moments import Now
from gateway.domain.records import Lane, Record
from gateway.domain.sheet import LaneEnd, Period, Sheet, Span
from gateway.domain.site import Site
from gateway.domain.system_errors import why
from gateway.domain.text import Lang, Text
from gateway.drivers.clock import now as clock_now
from gateway.drivers.clock import zone as zone_of
from gateway.store import survey

CATCH_UP_DAYS = 7  # of sheets that are not there, after the gateway was off
NAME = re.compile(r"(day|month)-(\d{4}-\d{2}(?:-\d{2})?)\.(?:html|csv)")

UNREADABLE = Text("{}：读不了记录：{}", "{}: the records cannot be read: {}")
UNWRITABLE = Text("{}：写不了：{}", "{}: cannot be written: {}")
BAD_DATE = Text(
    "日期写成 2026-11-22；月份也可写 2026-11", "a date is written 2026-11-22; a month also 2026-11"
)
NO_CLOCK = Text("时钟不知道现在几点，请写 --date", "the clock does not know the time: give --date")
WRITTEN = Text("已写：{}", "written: {}")
NOTHING_NEW = Text("都已经有了", "all of them are there")


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose sheet, of which files, in which words."""

    site: Path
    store: Path | None
    lang: Lang
    is_named: bool = False


@dataclass(frozen=True, slots=True)
class _House:
    site: Site | None
    store: Path
    zone: tzinfo
    voice: Voice


def show(
    asked: Asked, span: Span, day: str | None, *, html: Path | None, to_csv: Path | None,
    as_json: bool, now: Now | None = None,
) -> int:  # fmt: skip
    """Make one sheet, write it, or print what it says; 0, 1 the outside world, 2 a wrong date."""
    try:
        wanted = _day(day)
    except ValueError:
        print(BAD_DATE.in_(asked.lang), file=sys.stderr)
        return 2
    now = now or clock_now()
    house = _house(asked)
    if wanted is None and now.utc_ms is None:
        print(NO_CLOCK.in_(asked.lang), file=sys.stderr)
        return 1
    sheet = _made(house, period_of(span, wanted, house.zone, now.utc_ms or 0), now, asked.lang)
    if sheet is None:
        return 1
    if as_json:
        print(json.dumps(_plain(sheet), ensure_ascii=False, indent=2))
    elif html is None and to_csv is None:
        _print(sheet, house.voice)
    return max([_write(path, make(sheet, house.voice), asked.lang)
                for path, make in ((html, _page), (to_csv, csv_of)) if path is not None],
               default=0)  # fmt: skip


def keep(asked: Asked, folder: Path, *, days: int, months: int, now: Now | None = None) -> int:
    """Bring a folder up to date: write the sheets that are not there, drop those beyond the count.

    Of the last seven days and of the last month; one that is there is left as it was made.
    """
    now = now or clock_now()
    if now.utc_ms is None:
        print(NO_CLOCK.in_(asked.lang), file=sys.stderr)
        return 1
    house, written, worst = _house(asked), 0, 0
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        print(
            UNWRITABLE.in_(asked.lang).format(folder, why(error).in_(asked.lang)), file=sys.stderr
        )
        return 1
    for period in _wanted(house, now.utc_ms, min(days, CATCH_UP_DAYS), months):
        paths = {suffix: folder / f"{_stem(period)}.{suffix}" for suffix in ("html", "csv")}
        if all(path.exists() for path in paths.values()):
            continue
        sheet = _made(house, period, now, asked.lang)
        if sheet is None:
            return 1
        for suffix, make in (("html", _page), ("csv", csv_of)):
            worst = max(worst, _write(paths[suffix], make(sheet, house.voice), asked.lang))
        written += 1
    _drop(folder, {Span.DAY.value: days, Span.MONTH.value: months})
    if not written:
        print(NOTHING_NEW.in_(asked.lang), file=sys.stderr)
    return worst


def _house(asked: Asked) -> _House:
    """The site, or without it this machine's own time and what the records say."""
    loaded = load_site(asked.site, store_dir=asked.store, is_timed=False)
    site = loaded.site
    if site is None:
        print(render(loaded.problems, asked.lang), file=sys.stderr)
    zone = zone_of(site.timezone) if site is not None else None
    people = site.people.values() if site is not None and asked.is_named else ()
    names = {person.code: person.name for person in people}
    store = (
        site.store.directory if site is not None else asked.store or Path("/var/lib/care-gateway")
    )
    return _House(site, store, zone or UTC, Voice(asked.lang, zone or UTC, names))


def _made(house: _House, period: Period, now: Now, lang: Lang) -> Sheet | None:
    """The sheet; None, and why, when the records cannot be read."""
    try:
        known = _known(house.store, period)
        records = _records(house.store, period)
        asked = None if house.site is None else read_institution(house.site.institution, [])
        return sheet_of(house.site, period, now, house.zone, records, known, asked)
    except (sqlite3.Error, OSError) as error:
        print(
            UNREADABLE.in_(lang).format(house.store, unread(house.store / "core.db", error, lang)),
            file=sys.stderr,
        )
        return None


def _records(store: Path, period: Period) -> Iterator[Record | None]:
    for lane in (Lane.A, Lane.B):
        yield from survey.records_since(store, lane, period.begin_ms, LASTING)


def _known(store: Path, period: Period) -> Known:
    there = survey.remembered(store)
    counts = survey.count_between(store, period.begin_ms, period.end_ms)
    oldest, whole_from = survey.oldest(store)
    return Known(
        anchors=anchors_of(survey.anchors(store)),
        alarms=there.alarms,
        kept=there.kept,
        last=survey.last_signs(store),
        records={lane.value: count.records for lane, count in counts.items()},
        unsettled=sum(count.unsettled for count in counts.values()),
        ends=tuple(LaneEnd(lane.value, record, head) for lane, record, head in survey.ends(store)),
        oldest=oldest,
        whole_from=whole_from,
    )


def _wanted(house: _House, utc_ms: int, days: int, months: int) -> Iterator[Period]:
    today = local(utc_ms, house.zone).date()
    for back in range(days, 0, -1):
        yield period_of(Span.DAY, today - timedelta(days=back), house.zone, utc_ms)
    if months:
        yield period_of(Span.MONTH, None, house.zone, utc_ms)


def _stem(period: Period) -> str:
    form = "%Y-%m-%d" if period.span is Span.DAY else "%Y-%m"
    return f"{period.span.value}-{period.first:{form}}"


def _drop(folder: Path, most: Mapping[str, int]) -> None:
    """Keep the newest of each kind, by the date in their names."""
    for span, count in most.items():
        found = [path for path in folder.iterdir() if _is_of(span, path)]
        dates = sorted({path.stem for path in found})
        for path in found:
            if path.stem in dates[: max(0, len(dates) - count)]:
                path.unlink()


def _is_of(span: str, path: Path) -> bool:
    match = NAME.fullmatch(path.name)
    return match is not None and match[1] == span


def _day(typed: str | None) -> date | None:
    if typed is None:
        return None
    return date.fromisoformat(f"{typed}-01" if re.fullmatch(r"\d{4}-\d{2}", typed) else typed)


def _page(sheet: Sheet, voice: Voice) -> str:
    return page_of(sheet, voice, software=version("care-gateway"))


def _write(path: Path, text: str, lang: Lang) -> int:
    """Whole or not at all: nobody finds half a sheet."""
    part = ""
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="", dir=path.parent, prefix=".sheet-", delete=False
        ) as file:
            part = file.name
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(part).chmod(0o640)
        Path(part).replace(path)
    except OSError as error:
        Path(part or path.parent / ".sheet-none").unlink(missing_ok=True)
        print(UNWRITABLE.in_(lang).format(path, why(error).in_(lang)), file=sys.stderr)
        return 1
    print(WRITTEN.in_(lang).format(path), file=sys.stderr)
    return 0


def _print(sheet: Sheet, voice: Voice) -> None:
    """The overview, then every table that has a row."""
    to = console()
    to.print(heading(sheet, voice))
    for note in notes_of(sheet, voice, is_named=bool(voice.names)):
        to.print(note, soft_wrap=True)
    if said := quiet(sheet, voice):
        to.print(said, soft_wrap=True)
    shown = Shown(box=None, show_header=False)
    for name, figure in overview(sheet, voice):
        shown.add_row(name, figure)
    to.print(shown)
    for section in sheet.sections:
        for table in tables_of(section, voice):
            _print_table(table, section.name)
    for table in house_tables(sheet, voice):
        _print_table(table, "")


def _print_table(table: Table, building: str) -> None:
    if table.rows:
        title = " ".join(each for each in (building, table.title) if each)
        shown = Shown(*table.columns, box=box.SIMPLE_HEAD, title=title, title_justify="left")
        for row in table.rows:
            shown.add_row(*row)
        console().print(shown)


def _plain(sheet: Sheet) -> dict[str, Any]:
    """As JSON has it: dates as text, phrases in both languages."""
    plain = asdict(sheet)
    period = sheet.period
    plain["period"] |= {"first": f"{period.first}", "last": f"{period.last}"}
    return plain
