"""`care-gateway patrol ...` and `people ...`: rounds, who walks them, what became of them.

Exit codes: 0 done, 1 the outside world (no daemon, or not in that state), 2 what was typed.
"""

import csv
import json
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from getpass import getpass
from itertools import groupby
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rich import box
from rich.table import Table

from gateway.cli.asking import NO_PERSON, Answer, question, refuse, tell
from gateway.cli.saying import NOTHING, console, rows_of, say, worded
from gateway.cli.unread import unread
from gateway.core.messages import unpack
from gateway.core.refusals import REFUSALS
from gateway.domain.records import Lane
from gateway.domain.rounds import FLAGS, STATES, RoundState
from gateway.domain.text import Lang, Text
from gateway.drivers.pins import hash_pin
from gateway.drivers.sockets import NoAnswer, ask
from gateway.store.reader import entries

Row = Mapping[str, Any]

WORDS = {
    "time": Text("时段", "Window"),
    "round": Text("轮次", "Round"),
    "route": Text("路线", "Route"),
    "state": Text("状态", "State"),
    "stops": Text("到点", "Stops"),
    "by": Text("巡查人", "By"),
    "notes": Text("备注", "Remarks"),
    "signed": Text("复核 {}", "signed by {}"),
    "bad": Text("异常 {}", "bad: {}"),
    "excused": Text("非人员原因", "nobody's fault"),
    "none": Text("没有轮次", "No rounds"),
    "unsure": Text(
        "时钟不可信：轮次暂不判定，{} 次到点等对时后归入",
        "The clock is not sure: no round is judged, {} visits wait for it",
    ),
    "month": Text("{} 月：共 {} 轮", "{}: {} rounds"),
    "visits": Text("到点", "Visits"),
    "hazards": Text("隐患", "Hazards"),
    "flags": Text("标记", "Flags"),
    "challenges": Text("抽查", "Challenges"),
    "rounds": Text("轮次", "Rounds"),
    "withheld": Text(
        "另有 {} 人的数据待本人先看（月末后一周开放）",
        "{} more are shown once they have seen their own, or a week after the month",
    ),
    "pin": Text("PIN（4 到 12 位数字）：", "PIN (4 to 12 digits): "),
    "again": Text("再输一次：", "Again: "),
    "pins_differ": Text("两次不一样", "the two differ"),
    "bad_pin": Text(
        "PIN 要 4 到 12 位数字，不能全相同", "a PIN has 4 to 12 digits, not all the same"
    ),
    "pin_done": Text(
        "把这一行写进 people.yaml 里此人名下", "write this line under the person in people.yaml"
    ),
    "bad_date": Text("日期写成 2026-11-21", "a date is written 2026-11-21"),
    "dates_turned": Text("--from 要早于 --to", "--from must not be after --to"),
    "cannot": Text("读不了", "cannot be read"),
}
DONE = {
    "round_sign": Text("已复核：{}", "Signed: {}"),
    "round_cancel": Text("已取消：{}", "Called off: {}"),
    "round_explain": Text("已写明原因：{}", "Explained: {}"),
    "round_end": Text("已结束：{}", "Ended: {}"),
    "round_start": Text("已开始：{}", "Begun: {}"),
}
FORGOTTEN = Text("{} 的手机不再记住", "The phones of {} are strangers again")
NO_PHONE = Text("没有记住 {} 的手机", "no phone of {} is remembered")
EXPORTED = (
    "round", "visit", "visit_placed", "hazard", "round_signed", "round_explained", "tap",
    "patrol_tag", "patrol_phone",
)  # fmt: skip
OUTCOMES = {state.value: text for state, text in STATES.items()} | {
    f"{state.value}_excused": Text(
        f"{STATES[state].zh}（非人员原因）", f"{STATES[state].en} (excused)"
    )
    for state in (RoundState.MISSED, RoundState.PARTIAL)
}
MARKS = {flag.value: text for flag, text in FLAGS.items()}
LEAST_PIN, MOST_PIN = 4, 12


def show(
    socket: Path, verb: str, fields: Mapping[str, object], *, as_json: bool, lang: Lang
) -> int:
    """Print the rounds that a question is answered with, day by day."""
    answer = question(socket, {"verb": verb, **fields}, lang)
    if answer is None:
        return 1
    if as_json or not answer.get("ok"):
        return tell(answer, lang, as_json=as_json, done=Text("", ""))
    zone = _zone(answer)
    if answer.get("is_clock_sure") is False:
        print(WORDS["unsure"].in_(lang).format(answer.get("waiting", 0)), file=sys.stderr)
    rounds = rows_of(answer, "rounds")
    if not rounds:
        print(WORDS["none"].in_(lang))
    for day, of_day in groupby(rounds, lambda row: row["shift_date"]):
        console().print(_table(str(day), list(of_day), zone, lang))
    return 0


def _table(day: str, rounds: Sequence[Row], zone: tzinfo | None, lang: Lang) -> Table:
    names = ("time", "route", "state", "stops", "by", "notes", "round")
    table = Table(*(WORDS[name].in_(lang) for name in names), box=box.SIMPLE_HEAD, title=day)
    for row in rounds:
        window = f"{_clock(row['opens_at'], zone)}-{_clock(row['closes_at'], zone)}"
        table.add_row(
            window,
            str(row["name"]),
            say(row["state_say"], lang),
            f"{row['done']}/{row['of']}",
            str(row["owner"] or NOTHING),
            _notes(row, lang),
            str(row["id"]),
        )
    return table


def _notes(row: Row, lang: Lang) -> str:
    """What is odd about a round, in few words."""
    visits = [stop["visit"] for stop in row["stops"] if stop["visit"]]
    flags = {say(flag["say"], lang): None for visit in visits for flag in visit["flags"]}
    bad = sum(len(visit["bad"]) for visit in visits)
    found = [
        say(row["reason_say"], lang) if row["reason"] else "",
        WORDS["excused"].in_(lang) if row["is_excused"] else "",
        str(row["explained"]),
        WORDS["bad"].in_(lang).format(bad) if bad else "",
        *flags,
        WORDS["signed"].in_(lang).format(row["signed_by"]) if row["signed_by"] else "",
    ]
    return " · ".join(each for each in found if each)


def forget_phones(socket: Path, person: str, by: str | None, *, as_json: bool, lang: Lang) -> int:
    """End what the phones of a person are remembered for; the exit code."""
    if by is None:
        return refuse(NO_PERSON, lang)
    answer = question(socket, {"verb": "phones_forget", "by": by, "person": person}, lang)
    if answer is None:
        return 1
    if answer.get("code") == "unknown_phone":
        return refuse(Text(NO_PHONE.zh.format(person), NO_PHONE.en.format(person)), lang)
    done = Text(FORGOTTEN.zh.format(person), FORGOTTEN.en.format(person))
    return tell(answer, lang, as_json=as_json, done=done)


def act(
    socket: Path,
    verb: str,
    by: str | None,
    rounds: Sequence[str],
    fields: Mapping[str, object],
    *,
    as_json: bool,
    lang: Lang,
) -> int:
    """Do one thing with each of these rounds; the worst exit code."""
    if by is None:
        return refuse(NO_PERSON, lang)
    worst = 0
    for name in rounds:
        answer = question(socket, {"verb": verb, "by": by, "round": name, **fields}, lang)
        if answer is None:
            return 1
        words = DONE[verb]
        done = Text(words.zh.format(name), words.en.format(name))
        worst = max(worst, tell(answer, lang, as_json=as_json, done=done))
    return worst


def month(socket: Path, name: str | None, by: str | None, *, as_json: bool, lang: Lang) -> int:
    """Print a month's figures: the house's, one's own, and others' where one may see them.

    Who looks at their own has seen them.
    """
    wanted = name or f"{datetime.now().astimezone():%Y-%m}"
    answer = question(socket, {"verb": "patrol_month", "month": wanted, "by": by or ""}, lang)
    if answer is None:
        return 1
    if answer.get("ok") and answer.get("own") is not None and not answer.get("is_seen"):
        question(socket, {"verb": "figures_seen", "by": by, "month": wanted}, lang)
    if as_json or not answer.get("ok"):
        return tell(answer, lang, as_json=as_json, done=Text("", ""))
    _print_month(answer, lang)
    return 0


def _print_month(answer: Answer, lang: Lang) -> None:
    to = console()
    to.print(WORDS["month"].in_(lang).format(answer["month"], answer["total"]))
    if answer["rounds"]:
        to.print(_counted(answer["rounds"], OUTCOMES, lang))
    names = ("by", "rounds", "visits", "challenges", "hazards", "flags")
    table = Table(*(WORDS[name].in_(lang) for name in names), box=box.SIMPLE_HEAD)
    for code, mine in answer["people"].items():
        table.add_row(
            code or NOTHING,
            _counted(mine["rounds"], OUTCOMES, lang),
            str(mine["visits"]),
            f"{mine['challenges']['met']}/{mine['challenges']['asked']}",
            str(mine["hazards"]),
            _counted(mine["flags"], MARKS, lang),
        )
    if answer["people"]:
        to.print(table)
    if answer["withheld"]:
        to.print(WORDS["withheld"].in_(lang).format(answer["withheld"]))


def _counted(counts: Mapping[str, int], words: Mapping[str, Text], lang: Lang) -> str:
    said = (f"{worded(words, name, lang)} {count}" for name, count in counts.items())
    return " · ".join(said) or NOTHING


def export(
    store: Path, socket: Path, since: str | None, until: str | None, *, form: str, lang: Lang
) -> int:
    """Write the records of the patrol with all that is in them, oldest first; staff codes only.

    They are read beside the daemon or without it. `since` and `until` are days of the house, both
    in; without a daemon that knows its time zone, of this machine.
    """
    try:
        first, last = (None if day is None else date.fromisoformat(day) for day in (since, until))
    except ValueError:
        return refuse(WORDS["bad_date"], lang)
    if first is not None and last is not None and first > last:
        return refuse(WORDS["dates_turned"], lang)
    has_days = first is not None or last is not None
    zone = _zone_of_house(socket) if has_days else None
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if form == "csv":
        writer.writerow(("id", "kind", "at", "clk", "sound", "data"))
    try:
        for entry in entries(store / "core.db", Lane.B):
            record = entry.record
            if record.kind not in EXPORTED or not _is_between(record.at.utc_ms, first, last, zone):
                continue
            row = {
                "id": f"{record.epoch}-B-{record.seq}",
                "kind": record.kind,
                "at": record.at.utc_ms,
                "clk": record.at.clk.value,
                "sound": entry.is_sound,
                "data": json.loads(unpack(record.body, 2**22))["data"] if entry.is_sound else None,
            }
            if form == "csv":
                said = json.dumps(row.pop("data"), ensure_ascii=False)
                writer.writerow([*row.values(), said])
            else:
                print(json.dumps(row, ensure_ascii=False))
    except (sqlite3.Error, OSError) as error:
        said = unread(store / "core.db", error, lang)
        print(f"{store}: {WORDS['cannot'].in_(lang)}: {said}", file=sys.stderr)
        return 1
    return 0


def _is_between(
    utc_ms: int | None, first: date | None, last: date | None, zone: tzinfo | None
) -> bool:
    """A record without a time belongs to every span: none is left out for its clock."""
    if utc_ms is None:
        return True
    day = datetime.fromtimestamp(utc_ms / 1000, UTC).astimezone(zone).date()
    return (first is None or day >= first) and (last is None or day <= last)


def people(socket: Path, *, as_json: bool, lang: Lang) -> int:
    """Print who may patrol; never a PIN, nor what it was made of."""
    answer = question(socket, {"verb": "patrol_people"}, lang)
    if answer is None:
        return 1
    if not answer.get("ok"):
        return tell(answer, lang, as_json=as_json, done=Text("", ""))
    found = [
        {**{key: value for key, value in row.items() if key != "pin"}, "has_pin": bool(row["pin"])}
        for row in rows_of(answer, "people")
    ]
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return 0
    table = Table(box=box.SIMPLE_HEAD, show_header=False)
    for row in found:
        marks = ["PIN"] * row["has_pin"] + [REFUSALS["person_expired"].in_(lang)] * (
            not row["is_valid"]
        )
        table.add_row(row["code"], row["name"], say(row["role_say"], lang), " · ".join(marks))
    console().print(table)
    return 0


def pin(lang: Lang) -> int:
    """Ask for a PIN twice, or read one line where nobody types, and print what goes into the file.

    It is neither shown nor given on the command line, where others could read it.
    """
    if sys.stdin.isatty():
        typed = getpass(WORDS["pin"].in_(lang))
        if getpass(WORDS["again"].in_(lang)) != typed:
            return refuse(WORDS["pins_differ"], lang)
    else:
        typed = sys.stdin.readline().strip()
    is_number = typed.isascii() and typed.isdigit() and LEAST_PIN <= len(typed) <= MOST_PIN
    if not is_number or len(set(typed)) == 1:
        return refuse(WORDS["bad_pin"], lang)
    print(WORDS["pin_done"].in_(lang), file=sys.stderr)
    print(f"pin: {hash_pin(typed)}")
    return 0


def _zone_of_house(socket: Path) -> tzinfo | None:
    try:
        return _zone(ask(socket, {"verb": "patrol_today"}))
    except NoAnswer:
        return None


def _zone(answer: Answer) -> tzinfo | None:
    """The house's time zone; this machine's where it is not known here."""
    try:
        return ZoneInfo(str(answer.get("timezone", "")))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _clock(utc_ms: int, zone: tzinfo | None) -> str:
    return f"{datetime.fromtimestamp(utc_ms / 1000, UTC).astimezone(zone):%H:%M}"
