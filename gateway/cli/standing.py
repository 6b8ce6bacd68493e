"""What people have to know beside the alarms, from the daemon's answer to lines. Pure.

Open cases, the day's patrol, what is shelved or out of service, a drill, tests, post checks, a
flood, who makes noise, and how much a circuit leaks by nature. No line where there is nothing to
say.
"""

from collections.abc import Mapping, Sequence

from gateway.cli.saying import NOTHING, Part, age, number, part_of, rows_of, say
from gateway.domain.text import Lang, Text

CASES = Text(
    "未结处置单：{open}（待处置 {to_handle}，待销号 {to_close}）",
    "Open cases: {open} ({to_handle} to handle, {to_close} to close)",
)
PATROL = Text("今日巡查：{done} / {rounds} 轮", "Patrol today: {done} of {rounds} rounds")
PATROL_COUNTS = {
    "open": Text("可巡 {}", "open: {}"),
    "overdue": Text("超时 {}", "overdue: {}"),
    "missed": Text("漏巡 {}", "missed: {}"),
    "waiting": Text("待对时 {}", "waiting for the clock: {}"),
}
PATROL_NEXT = Text("{}后下一轮", "next in {}")
PATROL_UNSURE = Text("时钟不可信，暂不判定", "the clock is not sure: none is judged")
SHELVED = Text(
    "屏蔽：{rule}（{by}：{why}），还剩 {left}", "Shelved: {rule} ({by}: {why}), {left} left"
)
OUT_OF_SERVICE = Text(
    "停用（检修）：{subject}（{by}：{why}，工单 {order}）",
    "Out of service: {subject} ({by}: {why}, order {order})",
)
DRILL = Text(
    "演练：{scenario}（{leader}），还剩 {left}", "Drill: {scenario} ({leader}), {left} left"
)
TEST = Text(
    "测试：{point}（{by}），还剩 {left}，已触发 {tripped}",
    "Test: {point} ({by}), {left} left, tripped: {tripped}",
)
CHECK = Text("查岗：{source}，还剩 {left}", "Post check: {source}, {left} left")
MISSED = Text("查岗：{source}，无人应答", "Post check: {source}, no answer")
FLOOD = Text(
    "报警集中：{count} 条，首发 {first_out}", "Flood: {count} raised, first-out {first_out}"
)
NOISY = Text("7 天内最常报警：{points}", "Noisiest in 7 days: {points}")
TIMES = Text("{name} {count} 次", "{name} x{count}")
LEAKAGE = Text(
    "自然泄漏 {point}：{natural}，距报警限值 {margin}{learned}",
    "Natural leakage {point}: {natural}, margin to the alarm {margin}{learned}",
)
LEARNING = Text("（已学 {hours}/168 小时）", " ({hours} of 168 h learned)")
MISSING = Text("本站点不监测：{}", "Not monitored here: {}")
ALL_WATCHED = Text("没有已知的监测空白", "nothing that we know of")
OPEN = Text("未验收：{}", "Not accepted: {}")
OPEN_COUNTS = {
    "points_open": Text("监测点 {count}/{of}（{names}）", "points {count} of {of} ({names})"),
    "rules_open": Text("报警规则 {count}/{of}（{names}）", "alarm rules {count} of {of} ({names})"),
    "others_open": Text("其他 {count}（{names}）", "others {count} ({names})"),
}
SIGNED = Text("验收已签字：{by}、{partner}", "Acceptance signed by {by} and {partner}")
OPEN_SHOWN = 3  # names of each kind
NOISY_FROM, NOISY_SHOWN = 2, 3  # one activation is no noise


def standing_lines(answer: Part, lang: Lang) -> list[str]:
    """Return everything that stands in the house beside the alarms, a line each."""
    cases = part_of(answer, "cases")
    lines = [CASES.in_(lang).format_map(_Said(cases))] if cases.get("open") else []
    if patrol := part_of(answer, "patrol"):
        lines.append(_patrol(patrol, part_of(answer, "clock").get("utc_ms"), lang))
    lines += practice_lines(part_of(answer, "practice"), lang)
    if (flood := part_of(answer, "flood")).get("count"):
        lines.append(FLOOD.in_(lang).format_map(_Said(flood)))
    for row in rows_of(answer, "shelved"):
        lines.append(SHELVED.in_(lang).format_map(_Said(_left(row, lang))))
    lines += [OUT_OF_SERVICE.in_(lang).format_map(_Said(row))
              for row in rows_of(answer, "out_of_service")]  # fmt: skip
    lines += _noisy(answer, lang)
    lines += acceptance_lines(part_of(answer, "acceptance"), lang)
    coverage = part_of(answer, "coverage")
    return [*lines, missing_line(coverage, lang)] if coverage.get("missing") else lines


def acceptance_lines(acceptance: Part, lang: Lang) -> list[str]:
    """What is not accepted yet, counted with its first names; who signed, where somebody did."""
    said = []
    for key, words in OPEN_COUNTS.items():
        names = acceptance.get(key)
        if isinstance(names, list) and names:
            more = ["…"] if len(names) > OPEN_SHOWN else []
            of = acceptance.get(key.removesuffix("_open"))
            said.append(words.in_(lang).format(
                count=len(names), of=of, names=", ".join([*map(str, names[:OPEN_SHOWN]), *more])
            ))  # fmt: skip
    between = "，" if lang is Lang.ZH else "; "
    lines = [OPEN.in_(lang).format(between.join(said))] if said else []
    signed = part_of(acceptance, "signed")
    return [*lines, SIGNED.in_(lang).format_map(_Said(signed))] if signed else lines


def missing_line(coverage: Part, lang: Lang) -> str:
    """What nobody watches in this house, in one line."""
    missing = [say(each.get("say"), lang) for each in rows_of(coverage, "missing")]
    between = "、" if lang is Lang.ZH else ", "
    return MISSING.in_(lang).format(between.join(missing) or ALL_WATCHED.in_(lang))


def practice_lines(practice: Part, lang: Lang) -> list[str]:
    """The drill, the tests and the post checks that are under way."""
    lines = []
    if drill := part_of(practice, "drill"):
        scenario = " ".join(str(drill[key]) for key in ("scenario", "scope") if drill.get(key))
        lines.append(DRILL.in_(lang).format_map(_Said(_left(drill, lang) | {"scenario": scenario})))
    for test in rows_of(practice, "tests"):
        listed = test.get("tripped")
        tripped = ", ".join(map(str, listed)) if isinstance(listed, list) else ""
        said = _left(test, lang) | {"tripped": tripped or NOTHING}
        lines.append(TEST.in_(lang).format_map(_Said(said)))
    for check in rows_of(practice, "post_checks"):
        words = MISSED if check.get("is_missed") else CHECK
        lines.append(words.in_(lang).format_map(_Said(_left(check, lang))))
    return lines


def _patrol(patrol: Part, utc_ms: object, lang: Lang) -> str:
    """How far today's rounds are, what is short of them, and when the next one opens."""
    said = [PATROL.in_(lang).format_map(_Said(patrol))]
    for name, words in PATROL_COUNTS.items():
        if (count := patrol.get(name)) and isinstance(count, int):
            said.append(words.in_(lang).format(count))
    next_at = patrol.get("next_at")
    if patrol.get("is_clock_sure") is False:
        said.append(PATROL_UNSURE.in_(lang))
    elif isinstance(next_at, int) and isinstance(utc_ms, int):
        said.append(PATROL_NEXT.in_(lang).format(age(max(0, next_at - utc_ms), lang)))
    return " · ".join(said)


def leakage_lines(points: Sequence[Part], lang: Lang) -> list[str]:
    """A line for each residual current whose natural leakage is known, wholly or in part."""
    lines = []
    for row in points:
        known = part_of(row, "leakage")
        if known.get("natural") is None:
            continue
        unit, hours = row.get("unit"), LEARNING.in_(lang).format(hours=known.get("hours"))
        lines.append(LEAKAGE.in_(lang).format(
            point=say(row.get("id"), lang),
            natural=number(known["natural"], unit),
            margin=number(known.get("margin"), unit),
            learned="" if known.get("is_learned") else hours,
        ))  # fmt: skip
    return lines


def _noisy(answer: Part, lang: Lang) -> list[str]:
    said = []
    for row in rows_of(answer, "noisy")[:NOISY_SHOWN]:
        count = row.get("days_7")
        if isinstance(count, int) and count >= NOISY_FROM:
            named = f"{say(row.get('place'), lang)} {say(row.get('label'), lang)}"
            said.append(TIMES.in_(lang).format(name=named, count=count))
    return [NOISY.in_(lang).format(points=", ".join(said))] if said else []


def _left(row: Part, lang: Lang) -> dict[str, object]:
    return {**row, "left": age(row.get("left_ms"), lang)}


class _Said(dict[str, object]):
    """A part of the answer for `format_map`: what it lacks is a dash."""

    def __init__(self, part: Mapping[str, object]) -> None:
        super().__init__({key: value for key, value in part.items() if value not in (None, "")})

    def __missing__(self, key: str) -> str:
        return NOTHING
