"""`care-gateway config diff|what-if`: what a new site file would change, before it does."""

import json
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.cli.saying import console, number
from gateway.cli.unread import unread
from gateway.config.load import load_site
from gateway.config.problems import render
from gateway.core.dictionary import Meaning, meanings_of
from gateway.core.health import with_own_device
from gateway.core.messages import sender_of, unpack
from gateway.core.site_diff import Changed, How, SiteDiff, diff_sites
from gateway.core.what_if import RuleOutcome, Stored, needed_points, what_if
from gateway.domain.readings import Quality
from gateway.domain.records import Lane
from gateway.domain.site import Site
from gateway.domain.text import Lang, Text
from gateway.store.reader import Entry, entries
from gateway.store.survey import remembered

SAME = Text("没有区别", "no difference")
KINDS = {
    "site": Text("站点", "site"),
    "bus": Text("总线", "bus"),
    "device": Text("设备", "device"),
    "point": Text("监测点", "point"),
    "rule": Text("规则", "rule"),
}
HOWS = {
    How.ADDED: Text("新增", "added"),
    How.REMOVED: Text("删除", "removed"),
    How.CHANGED: Text("修改", "changed"),
}
WEAKER = Text("  ← 保护减弱", "  <- protects less")
RESTED = Text("这些总线会重新开始：{}", "these buses begin anew: {}")
RESTART = Text("这些要重启守护进程才生效：{}", "only a restart takes over: {}")
NO_RULES = Text("规则没有区别", "no rule differs")
NO_READINGS = Text("没有可用的历史测量值", "no stored reading can be used")
UNREADABLE = Text("读不了 {} 里的测量值：{}", "the readings in {} cannot be read: {}")
REPLAYED = Text("重放 {} 条测量值，{} 至 {}", "{} readings replayed, {} to {}")
SKIPPED = Text(
    "{} 批没有用上：损坏、当时没有时钟，或写它的监测点表已经不在",
    "{} batches not used: damaged, of a time without a clock, or of a list of points that is gone",
)
RULE = Text("{}：原来 {} 次，改后 {} 次", "{}: {} times before, {} times after")
APPEARING = Text("新出现", "would appear ")
VANISHING = Text("不再有", "would vanish ")
UNDECIDABLE = Text("无法判定", "undecidable  ")
RESOLUTION = Text(
    "{} 按死区 {} 存储：限值在死区以内的无法判定",
    "{} is stored by a deadband of {}: what lies within it cannot be decided",
)
SHOWN = 20
READINGS = "readings.db"
MAX_BATCH = 4 * 2**20  # bytes, inflated
NOTHING_RESTS = Text("没有总线被打断", "no bus is interrupted")


def show_diff(new: Path, old: Path, *, as_json: bool, lang: Lang) -> int:
    """Print what differs between two site files; 0, or 2 when one of them has errors."""
    sites = [_load(path, lang) for path in (old, new)]
    if sites[0] is None or sites[1] is None:
        return 2
    found = diff_sites(sites[0], sites[1])
    if as_json:
        print(json.dumps(_plain(found), ensure_ascii=False, indent=2))
    else:
        _print(found, lang)
    return 0


def _load(path: Path, lang: Lang) -> Site | None:
    loaded = load_site(path)
    if loaded.site is None:
        print(render(loaded.problems, lang), file=sys.stderr)
    return loaded.site


def _print(found: SiteDiff, lang: Lang) -> None:
    to = console()
    if not found.changes:
        to.print(SAME.in_(lang))
        return
    for change in found.changes:
        weaker = WEAKER.in_(lang) if change.is_weaker else ""
        head = f"{HOWS[change.how].in_(lang)} {KINDS[change.what].in_(lang)} {change.id}"
        to.print(f"{head}{weaker}", soft_wrap=True)
        for name, (before, after) in change.fields.items():
            to.print(f"    {name}: {before} -> {after}", soft_wrap=True)
    rested = RESTED.in_(lang).format(", ".join(found.rested))
    to.print(rested if found.rested else NOTHING_RESTS.in_(lang))
    if found.restart_for:
        to.print(RESTART.in_(lang).format(", ".join(found.restart_for)))


def _plain(found: SiteDiff) -> dict[str, Any]:
    return {
        "changes": [_row(change) for change in found.changes],
        "rested": list(found.rested),
        "restart_for": list(found.restart_for),
    }


def _row(change: Changed) -> dict[str, Any]:
    return {
        "what": change.what,
        "id": change.id,
        "how": change.how.value,
        "is_weaker": change.is_weaker,
        "fields": {name: {"before": b, "after": a} for name, (b, a) in change.fields.items()},
    }


def what_would(new: Path, old: Path, store: Path, *, days: float, as_json: bool, lang: Lang) -> int:
    """Replay what is stored through the rules that differ; 0, 1 unreadable, 2 a bad file."""
    was, will = _load(old, lang), _load(new, lang)
    if was is None or will is None:
        return 2
    wanted = needed_points(was, will)
    if not wanted:
        print(NO_RULES.in_(lang), file=sys.stderr)
        return 0
    try:
        readings, skipped = stored_readings(store, (was, will), wanted, days)
    except (OSError, sqlite3.Error) as error:
        print(
            UNREADABLE.in_(lang).format(store, unread(store / "readings.db", error, lang)),
            file=sys.stderr,
        )
        return 1
    found = what_if(was, will, readings)
    if as_json:
        print(json.dumps(_replay(found, readings, skipped, will), ensure_ascii=False, indent=2))
    else:
        _print_replay(found, readings, skipped, will, lang)
    return 0


def stored_readings(
    store: Path, sites: Sequence[Site], wanted: frozenset[str], days: float
) -> tuple[list[Stored], int]:
    """The stored readings of these points, oldest first, of the last so many days of the data.

    Also from before a change of the list of points, where the daemon has kept that list: of the
    points that were there then, in the units that they have now. Beside them the number of batches
    that could not be used: damaged, without UTC, or of a list that nobody knows.
    """
    lists = _lists(store, sites)
    units = {key: point.unit for site in sites for key, point in site.points.items()}
    found, skipped = list[Stored](), 0
    for entry in entries(store / READINGS, Lane.R):
        batch = _batch(entry) if entry.is_sound else None
        names = None if batch is None else lists.get(str(batch.get("pts")))
        if batch is None or names is None or batch.get("t0") is None:
            skipped += 1
            continue
        for index, after_ms, value, *rest in batch["r"]:
            point, unit = names.get(index, ("", ""))
            if point in wanted and unit == units.get(point):
                quality, reason = (*rest, "", "")[:2]
                kept = Quality(quality) if quality else Quality.GOOD
                found.append(Stored(batch["t0"] + after_ms, point, value, kept, reason))
    found.sort(key=lambda reading: reading.at_ms)
    begin = found[-1].at_ms - days * 86_400_000 if found else 0
    return [reading for reading in found if reading.at_ms >= begin], skipped


def _lists(store: Path, sites: Sequence[Site]) -> dict[str, Meaning]:
    """What the numbers in a batch mean, by the hash that it names: of these sites, and kept ones.

    Without core.db there are those of the sites only.
    """
    found: dict[str, Meaning] = {}
    with suppress(OSError, sqlite3.Error):
        found |= meanings_of(remembered(store).kept)
    for site in sites:
        watched = with_own_device(site)
        sender, points = sender_of(watched, ""), watched.points
        found[sender.points_hash] = {
            number: (name, points[name].unit) for name, number in sender.point_index.items()
        }
    return found


def _batch(entry: Entry) -> dict[str, Any] | None:
    try:
        batch = json.loads(unpack(entry.record.body, MAX_BATCH))
    except ValueError:
        return None
    return batch if isinstance(batch, dict) else None


def _print_replay(
    found: Sequence[RuleOutcome], readings: Sequence[Stored], skipped: int, site: Site, lang: Lang
) -> None:
    to = console()
    if readings:
        begin, end = (_day(at.at_ms) for at in (readings[0], readings[-1]))
        to.print(REPLAYED.in_(lang).format(len(readings), begin, end), soft_wrap=True)
    else:
        to.print(NO_READINGS.in_(lang))
    if skipped:
        to.print(SKIPPED.in_(lang).format(skipped), soft_wrap=True)
    for each in found:
        to.print(
            RULE.in_(lang).format(each.rule, len(each.before), len(each.after)), soft_wrap=True
        )
        for words, moments in (
            (APPEARING, each.appearing), (VANISHING, each.vanishing),
            (UNDECIDABLE, each.undecidable),
        ):  # fmt: skip
            for at in moments[:SHOWN]:
                to.print(f"    {words.in_(lang)} {_day(at)}")
            if len(moments) > SHOWN:
                to.print(f"    {words.in_(lang)} … +{len(moments) - SHOWN}")
    for point in sorted({reading.point for reading in readings}):
        known = site.points.get(point)
        if known is not None:
            band = number(known.deadband, known.unit)
            to.print(RESOLUTION.in_(lang).format(point, band), soft_wrap=True)


def _replay(
    found: Sequence[RuleOutcome], readings: Sequence[Stored], skipped: int, site: Site
) -> dict[str, Any]:
    """UTC in ms; `resolution`: the deadband by which a point's readings were stored."""
    used = {reading.point for reading in readings}
    return {
        "readings": len(readings),
        "from": readings[0].at_ms if readings else None,
        "to": readings[-1].at_ms if readings else None,
        "batches_not_used": skipped,
        "resolution": {
            point: {"deadband": site.points[point].deadband, "unit": site.points[point].unit}
            for point in sorted(used)
            if point in site.points
        },
        "rules": [asdict(each) for each in found],
    }


def _day(utc_ms: int) -> str:
    return f"{datetime.fromtimestamp(utc_ms / 1000, UTC).astimezone():%Y-%m-%d %H:%M:%S}"
