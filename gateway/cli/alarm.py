"""`care-gateway alarm ...`: what is open, what a person does about it, and its case."""

import getpass
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text as Styled

from gateway.cli.asking import NO_PERSON, Answer, question, refuse, tell
from gateway.cli.case_sheet import NEEDS, READY, closed_line, lines_of
from gateway.cli.flags import flags_of, is_folded
from gateway.cli.naming import Named, find, meant_by, named_in, short
from gateway.cli.saying import (
    NOTHING,
    SEVERITIES,
    STATES,
    age,
    console,
    number,
    rows_of,
    say,
    worded,
)
from gateway.core.refusals import REFUSALS
from gateway.domain.inhibits import SHELVED_AT_MOST_MS
from gateway.domain.text import Lang, Text

Row = Mapping[str, Any]

COLUMNS = {
    "number": Text("编号", "No."),
    "what": Text("什么", "What"),
    "place": Text("位置", "Where"),
    "value": Text("值（限值）", "Value (limit)"),
    "since": Text("已持续", "Since"),
    "state": Text("状态", "State"),
}
NO_ALARM = Text("无报警", "No alarm")
NO_CLOSED = Text("没有已销号的处置单", "No case has been closed yet")
CASES = Text("未结处置单：{}", "Open cases: {}")
DONE = {
    "acknowledge": Text("已确认：{}", "Acknowledged: {}"),
    "silence": Text("已消音", "Silenced"),
    "reset": Text("已复位：{}", "Reset: {}"),
    "arrive": Text("已记录到场：{}", "Arrival recorded: {}"),
    "handle": Text("已填写处置：{}", "Handling recorded: {}"),
    "close": Text("已销号：{}", "Closed out: {}"),
    "shelve": Text("已屏蔽：{}", "Shelved: {}"),
    "unshelve": Text("已解除屏蔽：{}", "Unshelved: {}"),
    "take_out_of_service": Text("已停用：{}", "Out of service: {}"),
    "missed": Text("已补录漏报", "Missed alarm entered"),
    "put_in_service": Text("已恢复使用：{}", "In service again: {}"),
}
ALL = Text("全部", "all")
CLOSED_LOOKED_AT = 100  # cases; older ones are in the records
WHICH = Text(
    "写明哪一条（编号、规则或开头几个字），或 --all",
    "say which one (number, rule, or how it begins), or --all",
)


def list_alarms(socket: Path, *, as_json: bool, is_all: bool, lang: Lang) -> int:
    """Print what is open, the worst first; what a parent stands for is folded into it."""
    answer = question(socket, {"verb": "status"}, lang)
    cases = None if answer is None else question(socket, {"verb": "cases", "closed": 0}, lang)
    if answer is None or cases is None:
        return 1
    for each in (answer, cases):
        if not each.get("ok"):
            return tell(each, lang, as_json=False, done=NO_ALARM)
    rows = _rows(answer)
    if as_json:
        print(json.dumps({"alarms": rows, "cases": cases["open"]}, ensure_ascii=False, indent=2))
        return 0
    shown = rows if is_all else [row for row in rows if not is_folded(row)]
    to = console()
    if shown:
        to.print(_table(shown, lang))
    else:
        to.print(NO_ALARM.in_(lang))
    open_cases = cases["open"]
    if open_cases:
        to.print(CASES.in_(lang).format(len(open_cases)))
        for case in open_cases:
            to.print(f"  {short(case['case'])}  {case_line(case, lang)}")
    return 0


def list_closed(socket: Path, most: int, *, as_json: bool, lang: Lang) -> int:
    """Print the last cases that were closed, newest first: what it was and what was found."""
    answer = question(socket, {"verb": "cases", "closed": most}, lang)
    if answer is None:
        return 1
    if not answer.get("ok"):
        return tell(answer, lang, as_json=False, done=NO_CLOSED)
    closed = [case for case in answer.get("closed") or () if isinstance(case, Mapping)]
    if as_json:
        print(json.dumps({"closed": closed}, ensure_ascii=False, indent=2))
        return 0
    to = console()
    for case in closed:
        to.print(closed_line(case, lang), soft_wrap=True)
    if not closed:
        to.print(NO_CLOSED.in_(lang))
    return 0


def show_alarm(socket: Path, name: str, *, as_json: bool, lang: Lang) -> int:
    """Print one alarm and its case, open or closed, with all that is known."""
    answer, known = _known(socket, lang)
    if answer is None:
        return 1
    meant = find(name, known)
    if isinstance(meant, Text) and (closed := _closed(socket, name, lang)) is not None:
        meant = closed
    wanted = meant.occurrence or meant.rule if isinstance(meant, Named) else name
    found = question(socket, {"verb": "case", "case": wanted}, lang)
    if found is None:
        return 1
    case = found.get("case")
    if isinstance(meant, Text) and case is None:
        return refuse(meant, lang)
    occurrence = meant.occurrence if isinstance(meant, Named) else ""
    rule = meant.rule if isinstance(meant, Named) else None
    open_ones = (row for row in _rows(answer) if row.get("rule") == rule)
    row = next((row for row in open_ones if row.get("occurrence") in (occurrence, "")), None)
    if as_json:
        print(json.dumps({"alarm": row, "case": case}, ensure_ascii=False, indent=2))
        return 0
    to = console()
    if row is not None:
        to.print(_table([row], lang))
        for count, step in enumerate(row.get("do") or (), start=1):
            to.print(f"  {count} {say(step, lang)}")
    if isinstance(case, Mapping):
        to.print("\n".join(["", *lines_of(case, lang)]), soft_wrap=True)
    return 0


def act(
    socket: Path,
    verb: str,
    name: str | None,
    by: str | None,
    fields: Mapping[str, object],
    *,
    key: str = "alarm",
    is_open: bool = True,
    as_json: bool,
    lang: Lang,
) -> int:
    """Do one verb to what `name` means, or to all without one; return the exit code.

    `key` is what the daemon calls the thing; with `is_open` it must be among what is open,
    otherwise what was typed goes through as it is when nothing open is called so.
    """
    if by is None and verb != "silence":
        return refuse(NO_PERSON, lang)
    subject, shown = name, ALL.in_(lang)
    if name is not None:
        answer, known = _known(socket, lang)
        if answer is None:
            return 1
        if verb == "unshelve":
            known = [Named(str(row.get("rule"))) for row in rows_of(answer, "shelved")] or known
        meant = find(name, known)
        if isinstance(meant, Text) and (is_open or meant_by(name, known)):
            return refuse(meant, lang)
        if isinstance(meant, Named):
            subject = meant.rule if not is_open else meant.occurrence or meant.rule
            shown = f"{meant.number} {meant.rule}".strip()
        else:
            shown = name
    message: dict[str, object] = {"verb": verb, "by": by or _login(), **fields}
    if subject is not None:
        message[key] = subject
    answer = question(socket, message, lang)
    if answer is None:
        return 1
    done = DONE[verb]
    return tell(
        answer, lang, as_json=as_json, done=Text(done.zh.format(shown), done.en.format(shown))
    )


def shelve(
    socket: Path,
    name: str,
    by: str | None,
    *,
    seconds: float,
    why: str,
    as_json: bool,
    lang: Lang,
) -> int:
    """Shelve one rule, which need not be open; too long a time is refused before it is asked."""
    for_ms = round(seconds * 1000)
    if for_ms > SHELVED_AT_MOST_MS:
        return refuse(REFUSALS["too_long"], lang)
    fields = {"for_ms": for_ms, "why": why}
    return act(socket, "shelve", name, by, fields, is_open=False, as_json=as_json, lang=lang)


def set_service(
    socket: Path,
    verb: str,
    subject: str,
    by: str | None,
    fields: Mapping[str, object],
    *,
    as_json: bool,
    lang: Lang,
) -> int:
    """Take a device, point or rule out of service, or put it back; by its full id."""
    if by is None:
        return refuse(NO_PERSON, lang)
    answer = question(socket, {"verb": verb, "by": by, "subject": subject, **fields}, lang)
    if answer is None:
        return 1
    done = DONE[verb]
    words = Text(done.zh.format(subject), done.en.format(subject))
    return tell(answer, lang, as_json=as_json, done=words)


def case_line(case: Row, lang: Lang) -> str:
    """What a case is and what it waits for."""
    waits = case.get("waits_for_say")
    left = NEEDS.in_(lang).format(say(waits, lang)) if waits else READY.in_(lang)
    word, _ = SEVERITIES.get(str(case.get("severity")), (Text("?", "?"), ""))
    what = f"{word.in_(lang)} {say(case.get('say'), lang)}"
    return f"{what}  {case.get('place', '')}  {left}"


def _known(socket: Path, lang: Lang) -> tuple[Answer | None, list[Named]]:
    """The status, and everything open that can be named; None when nobody answers."""
    answer = question(socket, {"verb": "status"}, lang)
    cases = None if answer is None else question(socket, {"verb": "cases", "closed": 0}, lang)
    if answer is None or cases is None:
        return None, []
    return answer, named_in(answer, cases.get("open") or ())


def _closed(socket: Path, name: str, lang: Lang) -> Named | None:
    """Which of the last closed cases is meant by its number or occurrence; None = none."""
    answer = question(socket, {"verb": "cases", "closed": CLOSED_LOOKED_AT}, lang)
    closed = (answer or {}).get("closed") or ()
    known = [Named(str(case.get("rule", "")), str(case.get("case", ""))) for case in closed]
    meant = find(name, known)
    return meant if isinstance(meant, Named) else None


def _rows(answer: Answer) -> list[Row]:
    rank = {"alarm": 0, "warning": 1, "fault": 2}
    rows = [row for row in answer.get("alarms") or () if isinstance(row, Mapping)]
    return sorted(rows, key=lambda row: rank.get(str(row.get("severity")), 3))


def _table(rows: Sequence[Row], lang: Lang) -> Table:
    table = Table(box=None, pad_edge=False)
    for word in COLUMNS.values():
        table.add_column(word.in_(lang), overflow="fold")  # a rule's name is typed again
    for row in rows:
        word, style = SEVERITIES.get(str(row.get("severity")), (Text("?", "?"), ""))
        limit = row.get("limit")
        value = number(row.get("value"), row.get("unit"))
        table.add_row(
            short(row.get("occurrence")) or NOTHING,
            Styled(f"{word.in_(lang)} {say(row.get('say'), lang)}", style=style),
            say(row.get("place"), lang),
            value if limit is None else f"{value} ({number(limit)})",
            age(row.get("since_ms"), lang),
            ", ".join([worded(STATES, row.get("state"), lang), *flags_of(row, lang)]),
        )
        table.add_row("", Styled(str(row.get("rule", "")), style="dim"))
    return table


def _login() -> str:
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return f"uid-{os.getuid()}"
