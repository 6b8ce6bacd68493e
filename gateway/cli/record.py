"""`care-gateway record list|verify|export`: what the files keep, beside the daemon or alone."""

import csv
import json
import sqlite3
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from rich import box
from rich.table import Table

from gateway.cli.record_times import Afterwards, Anchors, read_anchors
from gateway.cli.record_words import clock_words, kind_of, kind_words, summary
from gateway.cli.saying import NOTHING, console
from gateway.cli.unread import unread
from gateway.domain.moments import Clk, Now
from gateway.domain.records import Lane
from gateway.domain.text import Lang, Text
from gateway.store.reader import Entry, entries
from gateway.store.verify import LaneReport, verify_core, verify_readings

FILES = {Lane.A: "core.db", Lane.B: "core.db", Lane.R: "readings.db"}

WORDS = {
    "lane": Text("通道", "Lane"),
    "seq": Text("编号", "Number"),
    "at": Text("时间 (UTC)", "Time (UTC)"),
    "clk": Text("时钟", "Clock"),
    "kind": Text("种类", "Kind"),
    "settled": Text("平台已收", "Settled"),
    "body": Text("内容", "What"),
    "damaged": Text("记录损坏", "damaged"),
    "cannot": Text("读不了", "cannot be read"),
    "sound": Text("完好", "sound"),
    "bad": Text("有问题", "not as written"),
    "first": Text("第一条有问题的记录", "first bad record"),
    "records": Text("条记录", "records"),
    "salvaged": Text("条来自损坏的文件", "from a damaged file"),
    "unchained": Text("条早于哈希链", "of before the chain"),
    "checkpoints": Text("处已清理（有检查点）", "checkpoints where older ones went"),
    "head": Text("链头", "head"),
    "missing": Text(
        "平台持有的链头不在链中：末尾被截断，或历史被改写",
        "this head is not in the chain: its tail was cut off, or history was rewritten",
    ),
    "bad_head": Text(
        "--head 要写成 A=<64位十六进制> 或 B=<…>（平台的 state 消息里有）",
        "--head is A=<64 hex digits> or B=<...>, as in the platform's state message",
    ),
    "no_records": Text("没有记录", "no records"),
}
WHY = {
    "crc": Text("内容被改（CRC 不符）", "its bytes changed (CRC)"),
    "chain": Text(
        "哈希链在此断开：这条或它前面的被改、删、插",
        "the chain breaks here: this one or what came before it was changed, deleted or inserted",
    ),
    "not_chained": Text("没有链哈希", "it has no hash"),
    "unknown_epoch": Text("所属的启动批次不在表中", "its epoch is not known"),
}
COLUMNS = (
    "lane", "epoch", "seq", "kind", "at", "clk", "err", "boot", "mono", "corrected",
    "corrected_err", "earliest", "latest", "settled", "sound", "hash", "body",
)  # fmt: skip


def list_records(
    directory: Path, *, lang: Lang, lanes: Sequence[Lane], kind: str | None, last: int,
    as_json: bool,
) -> int:  # fmt: skip
    """Print the newest records of each lane; 0, or 1 when a file cannot be read.

    `kind` is a code or its word. The time is the best that is known by now; where it is not the
    record's own, its clock is followed by what put it right.
    """
    found = _read(directory, lanes, kind and kind_of(kind), last, lang)
    if found is None:
        return 1
    anchors = read_anchors(directory)
    if as_json:
        plain = [_plain(entry, anchors) for entry in found]
        print(json.dumps(plain, ensure_ascii=False, indent=2))
        return 0
    if not found:
        print(WORDS["no_records"].in_(lang), file=sys.stderr)
        return 0
    names = ("lane", "seq", "at", "clk", "kind", "settled", "body")
    table = Table(box=box.SIMPLE_HEAD)
    for name in names:  # an id is typed again: never cut, never broken in two
        table.add_column(WORDS[name].in_(lang), no_wrap=name == "seq", overflow="fold")
    for entry in found:
        record = entry.record
        what = (
            summary(_body(entry.record.body), lang)
            if entry.is_sound
            else WORDS["damaged"].in_(lang)
        )
        table.add_row(
            record.lane.value, f"{record.epoch}-{record.seq}",
            *_when(record.at, anchors.afterwards(record.at), lang),
            kind_words(record.kind, lang), "✓" if entry.is_settled else NOTHING, what,
        )  # fmt: skip
    console().print(table)
    return 0


def export(
    directory: Path, *, lang: Lang, lanes: Sequence[Lane], kind: str | None, form: str,
    to: TextIO | None = None,
) -> int:  # fmt: skip
    """Write every record, oldest first, as JSON Lines or CSV; 0, or 1 when a file cannot be read.

    A damaged record is exported too, with `sound` false.
    """
    out = to or sys.stdout
    writer = csv.writer(out, lineterminator="\n") if form == "csv" else None
    if writer is not None:
        writer.writerow(COLUMNS)
    try:
        anchors = read_anchors(directory)
        for lane in lanes:
            for entry in _entries(directory, lane, kind and kind_of(kind)):
                plain = _plain(entry, anchors)
                if writer is None:
                    print(json.dumps(plain, ensure_ascii=False), file=out)
                else:
                    writer.writerow([_cell(plain[name]) for name in COLUMNS])
    except (sqlite3.Error, OSError) as error:
        return _cannot(directory, error, lang)
    return 0


def verify(directory: Path, *, lang: Lang, heads: Sequence[str], as_json: bool) -> int:
    """Check CRCs, columns, chains and given heads; 0 sound, 1 when something is not as written."""
    known: dict[Lane, list[str]] = {}
    for text in heads:
        lane, _, head = text.partition("=")
        if lane not in ("A", "B") or not _is_hash(head):
            print(WORDS["bad_head"].in_(lang), file=sys.stderr)
            return 2
        known.setdefault(Lane(lane), []).append(head)
    try:
        reports = verify_core(directory / "core.db", known)
        if (directory / "readings.db").exists():
            reports += verify_readings(directory / "readings.db")
    except (sqlite3.Error, OSError) as error:
        return _cannot(directory, error, lang)
    if as_json:
        print(json.dumps([{**asdict(each), "is_sound": each.is_sound} for each in reports],
                         ensure_ascii=False, indent=2))  # fmt: skip
    else:
        for report in reports:
            for line in _lines(report, lang):
                print(line)
    return 0 if all(report.is_sound for report in reports) else 1


def _lines(report: LaneReport, lang: Lang) -> Iterator[str]:
    """One lane for people: the verdict first, then what is bad."""

    def say(key: str) -> str:
        return WORDS[key].in_(lang)

    verdict = say("sound") if report.is_sound else say("bad")
    counts = [(report.records, "records"), (report.salvaged, "salvaged"),
              (report.unchained, "unchained"), (report.checkpoints, "checkpoints")]  # fmt: skip
    told = ", ".join(f"{count} {say(name)}" for count, name in counts if count or name == "records")
    yield f"{report.lane.value}  {verdict}: {told}"
    if report.head:
        yield f"   {say('head')} {report.head} ({report.head_epoch}-{report.head_seq})"
    if report.first_bad is not None:
        bad = report.first_bad
        why = WHY[bad.why].in_(lang) if bad.why in WHY else bad.why
        yield f"   {say('first')}: {bad.epoch}-{bad.lane.value}-{bad.seq}: {why} ({report.bad})"
    for head in report.missing_heads:
        yield f"   {head}: {say('missing')}"


def _read(
    directory: Path, lanes: Sequence[Lane], kind: str | None, last: int, lang: Lang
) -> list[Entry] | None:
    try:
        return [entry for lane in lanes for entry in _entries(directory, lane, kind, last)]
    except (sqlite3.Error, OSError) as error:
        _cannot(directory, error, lang)
        return None


def _entries(directory: Path, lane: Lane, kind: str | None, last: int = 0) -> Iterable[Entry]:
    return entries(directory / FILES[lane], lane, kind, last=last)


def _cannot(directory: Path, error: Exception, lang: Lang) -> int:
    said = unread(directory / "core.db", error, lang)
    print(f"{directory}: {WORDS['cannot'].in_(lang)}: {said}", file=sys.stderr)
    return 1


def _plain(entry: Entry, anchors: Anchors) -> dict[str, Any]:
    """An entry as JSON has it; a body that is no JSON as hex.

    `corrected` is UTC ms with its error where the log knows better by now than the record did;
    `earliest` and `latest` where all that is known are bounds.
    """
    record = entry.record
    better = anchors.afterwards(record.at)
    return {
        "lane": record.lane.value,
        "epoch": record.epoch,
        "seq": record.seq,
        "kind": record.kind,
        "at": record.at.utc_ms,
        "clk": record.at.clk.value,
        "err": record.at.err_ms,
        "boot": record.at.boot,
        "mono": record.at.mono_ms,
        "corrected": better.utc_ms,
        "corrected_err": better.err_ms,
        "earliest": better.earliest_ms,
        "latest": better.latest_ms,
        "settled": entry.is_settled,
        "sound": entry.is_sound,
        "hash": entry.hash.hex() if entry.hash else None,
        "body": _body(record.body),
    }


def _body(body: bytes) -> Any:
    text = body
    if body[:1] == b"\x78":
        with suppress(zlib.error):
            text = zlib.decompress(body)
    try:
        return json.loads(text)
    except ValueError:
        return {"hex": body.hex()}


def _cell(value: object) -> object:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else value


def _when(at: Now, better: Afterwards, lang: Lang) -> tuple[str, str]:
    """Time and clock for people."""
    clk = clock_words(at.clk.value, lang)
    if better.utc_ms is not None:
        return _time(better.utc_ms), f"{clk} → {clock_words(Clk.HOLD.value, lang)}"
    if better.earliest_ms is not None or better.latest_ms is not None:
        return f"{_time(better.earliest_ms)} … {_time(better.latest_ms)}", clk
    return _time(at.utc_ms), clk


def _time(utc_ms: int | None) -> str:
    if utc_ms is None:
        return NOTHING
    return f"{datetime.fromtimestamp(utc_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _is_hash(text: str) -> bool:
    return len(text) == 64 and all(digit in "0123456789abcdefABCDEF" for digit in text)
