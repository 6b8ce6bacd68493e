"""A case as a person reads it: what it was, what happened when, what was found, who knows of it.

A pure function from the daemon's answer to lines. Any part of the answer may be missing.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.cli.naming import short
from gateway.cli.saying import SEVERITIES, Part, age, number, part_of, say, worded
from gateway.domain.cases import ACTIONS, CAUSES, VERDICTS, Audience, ReceiptLevel
from gateway.domain.text import Lang, Text

CASE = Text("处置单", "Case")
FLAGS = {
    "first_out": Text("首发", "first-out"),
    "drill": Text("演练", "drill"),
    "test": Text("测试", "test"),
}
CHATTER = Text("抖动 ×{}", "chattering x{}")
WIRE = Text("{device}，总线 {bus}，地址 {unit}", "{device}, bus {bus}, unit {unit}")
REGISTER = Text("{table} 寄存器 {register}", "{table} register {register}")
LIMIT = Text("限值", "limit")
HAPPENED = {  # in the order of a case; of two at one moment the first stands first
    "raised": Text("报警", "raised"),
    "sounded": Text("发声", "sounded"),
    "silenced": Text("消音", "silenced"),
    "acked": Text("确认", "acknowledged"),
    "arrived": Text("到场", "on site"),
    "returned": Text("恢复正常", "returned to normal"),
    "reset": Text("复位", "reset"),
    "finding": Text("填写处置", "handled"),
    "closed": Text("销号", "closed out"),
}
PANEL = Text("面板", "panel")
PROOF = Text("贴卡，证明等级 {}", "by tap, proof {}")
TOLD = Text("口述", "as told")
FOUND = Text("结论", "Verdict")
VERDICT_WORDS = {verdict.value: words for verdict, words in VERDICTS.items()}
ANSWERS = {
    "called_119": Text("拨打119", "119 called"),
    "evacuated": Text("疏散", "people moved out"),
}
YES_NO = {True: Text("是", "yes"), False: Text("否", "no")}
KNOWS = Text("谁已知道", "Who knows")
AUDIENCES = {
    Audience.INSTITUTION.value: Text("机构", "institution"),
    Audience.BUREAU.value: Text("民政部门", "bureau"),
    Audience.FIRE_BRIGADE.value: Text("消防部门", "fire brigade"),
}
LEVELS = {
    ReceiptLevel.STORED: Text("平台已收", "stored"),
    ReceiptLevel.SENT: Text("已送达", "sent"),
    ReceiptLevel.SEEN: Text("已查看", "seen"),
}
NO_RECEIPT = Text("还没有回执", "no receipt yet")
GIVEN_UP = Text("没有按时回执", "no receipt in time")
EVIDENCE = Text("证据", "Evidence")
WORDS = Text(
    "寄存器原值（{table} {start} 起，十六进制）：{words}",
    "raw words ({table} from {start}, hexadecimal): {words}",
)
MINUTES = {
    "before": Text("{point} 报警前：{values}", "{point} before: {values}"),
    "after": Text("{point} 报警后：{values}", "{point} after: {values}"),
}
VALUES = Text("{count} 次读数，{least} 至 {most}{bad}", "{count} readings, {least} to {most}{bad}")
BAD = Text("，{} 次无效", ", {} not valid")
NOT_WHOLE = Text(
    "前后各一分钟不完整（网关那时刚启动）", "not the whole minutes: the gateway had just started"
)
NEEDS = Text("未销号：{}", "Not closed: {}")
READY = Text("可以销号", "Ready to be closed")


def lines_of(case: Part, lang: Lang) -> list[str]:
    """Return the sheet of a case, times in this machine's zone."""
    lines = [*_head(case, lang), "", *_timeline(case, lang)]
    for part in (_finding(case, lang), _receipts(case, lang), _evidence(case, lang)):
        if part:
            lines += ["", *part]
    if not part_of(case, "closed"):
        waits = case.get("waits_for_say")
        lines += ["", NEEDS.in_(lang).format(say(waits, lang)) if waits else READY.in_(lang)]
    return lines


def closed_line(case: Part, lang: Lang) -> str:
    """A closed case in one line: number, when, what, where, what it was, who closed it."""
    word, _ = SEVERITIES.get(str(case.get("sev")), (Text("", ""), ""))
    parts = (
        short(case.get("case")),
        _clock(part_of(case, "raised").get("at"), "%Y-%m-%d %H:%M"),
        f"{word.in_(lang)} {say(case.get('say'), lang)}".strip(),
        say(case.get("place"), lang),
        worded(VERDICT_WORDS, part_of(case, "finding").get("verdict"), lang),
        f"{HAPPENED['closed'].in_(lang)} {_who(part_of(case, 'closed'), lang)}".rstrip(),
    )
    return "  ".join(part for part in parts if part)


def _head(case: Part, lang: Lang) -> list[str]:
    word, _ = SEVERITIES.get(str(case.get("sev")), (Text("", ""), ""))
    what = f"{CASE.in_(lang)} {short(case.get('case'))}  {word.in_(lang)} "
    flags = [words.in_(lang) for key, words in FLAGS.items() if case.get(key) is True]
    many = case.get("activations")
    if isinstance(many, int) and many > 1:
        flags.append(CHATTER.in_(lang).format(many))
    head = [what + "  ".join([say(case.get("say"), lang), *flags])]
    where = [say(case.get("place"), lang)]
    if case.get("device"):
        where.append(WIRE.in_(lang).format(
            device=case["device"], bus=case.get("bus"), unit=case.get("unit_id")))  # fmt: skip
    if case.get("register") is not None:
        where.append(REGISTER.in_(lang).format(**{
            name: case.get(name) for name in ("table", "register")}))  # fmt: skip
    head.append("  " + "  ".join(where))
    measured = number(case.get("val"), case.get("unit"))
    if case.get("lim") is not None:
        measured += f" ({LIMIT.in_(lang)} {number(case.get('lim'), case.get('unit'))})"
    if case.get("rule"):
        head.append(f"  {measured}  {case['rule']}")
    return head


def _timeline(case: Part, lang: Lang) -> list[str]:
    """A line each: time of day, how long after the raise, what, who."""
    raised = part_of(case, "raised")
    happened = [(name, part_of(case, name)) for name in HAPPENED]
    rows = [
        (_clock(at.get("at")), _after(raised, at, lang), HAPPENED[name].in_(lang), _who(at, lang))
        for name, at in sorted(
            ((name, at) for name, at in happened if at),
            key=lambda each: _ms_after(raised, each[1]) or 0,
        )
    ]
    return [f"  {clock:<8}  {after:>8}  {what}  {who}".rstrip() for clock, after, what, who in rows]


def _who(at: Part, lang: Lang) -> str:
    by = at.get("by")
    who = PANEL.in_(lang) if by == "panel" else str(by or "")
    if "proof" not in at:
        return who
    proof = at["proof"]
    how = PROOF.in_(lang).format(proof) if proof else TOLD.in_(lang)
    return "  ".join(each for each in (who, f"({how})", str(at.get("place") or "")) if each)


def _finding(case: Part, lang: Lang) -> list[str]:
    finding = part_of(case, "finding")
    if not finding:
        return []
    said = [worded(VERDICT_WORDS, finding.get("verdict"), lang)]
    if finding.get("cause"):
        said.append(worded(CAUSES, finding["cause"], lang))
    said += [worded(ACTIONS, each, lang) for each in _listed(finding.get("actions"))]
    said += [
        f"{words.in_(lang)}: {YES_NO[finding[key]].in_(lang)}"
        for key, words in ANSWERS.items()
        if isinstance(finding.get(key), bool)
    ]
    lines = [f"{FOUND.in_(lang)}: {'; '.join(said)}"]
    return [*lines, f"  {finding['text']}"] if finding.get("text") else lines


def _receipts(case: Part, lang: Lang) -> list[str]:
    """A line for each audience: how far the alarm got with it, and when."""
    lines = []
    for name, given in part_of(case, "aud").items():
        got = part_of({"given": given}, "given")
        said = [
            f"{LEVELS[level].in_(lang)} {_clock(part_of(got, level).get('at'))}".rstrip()
            for level in ReceiptLevel
            if part_of(got, level)
        ]
        if got.get("silent"):
            said.append(GIVEN_UP.in_(lang))
        lines.append(
            f"  {worded(AUDIENCES, name, lang)}: {', '.join(said) or NO_RECEIPT.in_(lang)}"
        )
    return [KNOWS.in_(lang), *lines] if lines else []


def _evidence(case: Part, lang: Lang) -> list[str]:
    evidence = part_of(case, "evidence")
    lines = []
    reply = part_of(evidence, "reply")
    if reply:
        words = " ".join(f"{word:04X}" for word in _listed(reply.get("words")) if _is_word(word))
        lines.append("  " + WORDS.in_(lang).format(
            table=reply.get("table"), start=reply.get("start"), words=words))  # fmt: skip
    for name, words_of in MINUTES.items():
        for point, rows in part_of(evidence, name).items():
            values = _spread(_listed(rows), case.get("unit"), lang)
            if values:
                lines.append("  " + words_of.in_(lang).format(point=point, values=values))
    if evidence.get("whole") is False:
        lines.append("  " + NOT_WHOLE.in_(lang))
    return [EVIDENCE.in_(lang), *lines] if lines else []


def _spread(rows: Iterable[object], unit: object, lang: Lang) -> str:
    """How many readings, from what to what; those that are not good are counted apart."""
    samples = [row for row in rows if isinstance(row, list) and len(row) > 1]
    good = [row[1] for row in samples if len(row) == 2 and isinstance(row[1], int | float)]
    bad = len(samples) - len(good)
    if not samples:
        return ""
    least, most = (number(min(good)), number(max(good), unit)) if good else (number(None),) * 2
    return VALUES.in_(lang).format(
        count=len(samples), least=least, most=most, bad=BAD.in_(lang).format(bad) if bad else ""
    )


def _ms_after(raised: Part, at: Part) -> int | None:
    """Within a boot by the monotonic clock, else by UTC; None where neither says."""
    key = "mono" if raised.get("boot") == at.get("boot") else "at"
    begin, end = raised.get(key), at.get(key)
    is_known = isinstance(begin, int) and isinstance(end, int)
    return end - begin if is_known else None  # type: ignore[operator]


def _after(raised: Part, at: Part, lang: Lang) -> str:
    ms = _ms_after(raised, at)
    return f"+{age(ms, lang)}" if ms else ""


def _clock(utc_ms: object, form: str = "%H:%M:%S") -> str:
    """The time of day; nothing where the clock was not known."""
    if not isinstance(utc_ms, int):
        return ""
    try:
        return datetime.fromtimestamp(utc_ms / 1000, UTC).astimezone().strftime(form)
    except (OverflowError, OSError, ValueError):  # no year that a calendar has
        return ""


def _is_word(word: object) -> bool:
    return isinstance(word, int) and 0 <= word <= 0xFFFF


def _listed(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()
