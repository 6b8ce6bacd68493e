"""What a record says, in a line for people; the record itself stays as it was sent.

A code without a word here stands as it is: the record may be of a newer version.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.cli.naming import short
from gateway.cli.saying import NOTHING, SEVERITIES, YES_NO, age, number, say, worded
from gateway.cli.saying import STATES as ALARM_STATES
from gateway.cli.sheet_words import AUDIENCES, CHECKS, GAPS, TOLD
from gateway.core.ladder import ROLES, WHYS
from gateway.core.patrol_views import REASONS
from gateway.domain.acceptance import PARTS, RESULTS
from gateway.domain.cases import ACTIONS, CAUSES, VERDICTS
from gateway.domain.details import detail_text
from gateway.domain.rounds import FLAGS, STATES
from gateway.domain.text import Lang, Text

MOST_LISTED = 4
LONGEST = 140
LIMIT = Text("限值", "limit")
MORE = Text("等 {} 项", "... {} in all")
READINGS = Text("{} 条读数", "{} readings")
MARKS = {"drill": Text("[演练]", "[drill]"), "test": Text("[测试]", "[test]")}
CLOCKS = {
    "sync": Text("已对时", "in step"),
    "hold": Text("自走", "kept"),
    "est": Text("估计", "estimated"),
    "none": Text("未知", "unknown"),
}
TRANSITIONS = {
    "raise": Text("发生", "raised"),
    "again": Text("再次发生", "raised again"),
    "clear": Text("恢复", "cleared"),
    "ack": Text("确认", "acknowledged"),
    "silence": Text("消音", "silenced"),
    "reset": Text("复位", "reset"),
    "realarm": Text("仍未恢复，再响", "still active, sounds again"),
    "chatter": Text("反复发生，并为一条", "comes and goes, kept as one"),
}
KINDS = {
    "acceptance": Text("验收", "acceptance"),
    "acceptance_lapsed": Text("验收失效", "acceptance lapsed"),
    "alarm": Text("报警、故障", "alarm or fault"),
    "alarm_dropped": Text("规则已删，报警撤下", "alarm dropped"),
    "anchor": Text("对时", "clock synchronised"),
    "arrival": Text("到场", "on site"),
    "boot": Text("启动", "start"),
    "case": Text("处置单", "case"),
    "case_evidence": Text("报警证据", "evidence of a case"),
    "case_handled": Text("填写处置", "case handled"),
    "clock_step": Text("时钟跳变", "clock jumped"),
    "counter_reset": Text("计数清零", "counter went back"),
    "dictionary": Text("监测点表", "list of points"),
    "drill_end": Text("演练结束", "drill over"),
    "drill_start": Text("演练开始", "drill begun"),
    "escalation": Text("升级通知", "escalation"),
    "flood": Text("报警集中", "flood"),
    "gap": Text("记录缺口", "gap"),
    "hazard": Text("隐患", "hazard"),
    "in_service": Text("恢复使用", "in service again"),
    "missed_alarm": Text("漏报", "missed alarm"),
    "out_of_service": Text("停用", "out of service"),
    "panel_test": Text("试灯", "lamp test"),
    "patrol_phone": Text("手机登记", "phone"),
    "patrol_tag": Text("标签登记", "tag"),
    "post_check": Text("查岗", "post check"),
    "read": Text("测量值", "readings"),
    "receipt": Text("平台回执", "receipt"),
    "round": Text("巡查轮次", "round"),
    "round_explained": Text("轮次说明", "round explained"),
    "round_signed": Text("轮次签字", "round signed"),
    "self_test": Text("自检", "self-test"),
    "shelve": Text("屏蔽", "shelved"),
    "site_changed": Text("站点文件已换", "site file changed"),
    "stop": Text("停止", "stop"),
    "tap": Text("刷卡", "tap"),
    "test_end": Text("测试结束", "test over"),
    "test_start": Text("测试开始", "test begun"),
    "unshelve": Text("解除屏蔽", "unshelved"),
    "visit": Text("到点", "visit"),
    "visit_placed": Text("到点归入轮次", "visit placed"),
}
FIELDS = {  # the parts of a fact that people look for; what is not here is left out
    "case": Text("处置单", "case"),
    "alarm": Text("报警", "alarm"),
    "say": Text("", ""),
    "part": Text("", ""),
    "aud": Text("", ""),
    "lvl": Text("", ""),
    "tr": Text("", ""),
    "round": Text("轮次", "round"),
    "checkpoint": Text("巡查点", "checkpoint"),
    "subject": Text("", ""),
    "subjects": Text("", ""),
    "point": Text("监测点", "point"),
    "rule": Text("规则", "rule"),
    "rules": Text("规则", "rules"),
    "place": Text("位置", "at"),
    "scenario": Text("情景", "scenario"),
    "what": Text("", ""),
    "means": Text("", ""),
    "tag": Text("标签", "tag"),
    "reader": Text("读卡器", "reader"),
    "source": Text("来源", "source"),
    "role": Text("通知", "called"),
    "result": Text("结果", "result"),
    "state": Text("状态", "state"),
    "reason": Text("原因", "reason"),
    "verdict": Text("结论", "verdict"),
    "cause": Text("原因", "cause"),
    "actions": Text("措施", "done"),
    "shown": Text("仪表", "display"),
    "value": Text("值", "value"),
    "why": Text("原因", "reason"),
    "order": Text("工单", "order"),
    "note": Text("备注", "note"),
    "text": Text("说明", "said"),
    "detail": Text("详情", "detail"),
    "flags": Text("标记", "flags"),
    "missing": Text("缺", "not visited"),
    "missed": Text("未到", "not reached"),
    "tripped": Text("已触发", "tripped"),
    "counted": Text("清点", "counted"),
    "expected": Text("应到", "expected"),
    "findings": Text("发现", "found"),
    "count": Text("共", "count"),
    "lane": Text("通道", "lane"),
    "from": Text("从", "from"),
    "to": Text("到", "to"),
    "minutes": Text("分钟", "minutes"),
    "for": Text("时长", "for"),
    "waited_ms": Text("已等", "after"),
    "lasted_ms": Text("历时", "lasted"),
    "took_ms": Text("用时", "took"),
    "by_ms": Text("相差", "by"),
    "err": Text("误差", "error"),
    "output": Text("输出", "output"),
    "sw": Text("版本", "version"),
    "cfg": Text("配置", "configuration"),
    "was": Text("原配置", "was"),
    "samples": Text("监测点", "points"),
    "points": Text("监测点", "points"),
    "by": Text("经手", "by"),
    "partner": Text("和", "and"),
}
CODES: dict[str, dict[str, Text]] = {  # of a field, the words of its codes
    "part": {each.value: text for each, text in PARTS.items()}
    | {"before": Text("报警前", "before"), "after": Text("报警后", "after")},
    "result": {each.value: text for each, text in RESULTS.items()} | CHECKS,
    "state": {each.value: text for each, text in STATES.items()} | ALARM_STATES,
    "aud": AUDIENCES,
    "lvl": TOLD,
    "tr": {"begin": Text("开始", "begun"), "end": Text("结束", "over")},
    "value": {"ok": Text("正常", "OK"), "bad": Text("异常", "not OK")},
    "reason": dict(REASONS),
    "verdict": {each.value: text for each, text in VERDICTS.items()},
    "cause": dict(CAUSES),
    "actions": dict(ACTIONS),
    "flags": {each.value: text for each, text in FLAGS.items()},
    "role": dict(ROLES),
    "why": dict(WHYS) | GAPS,
    "by": {
        "panel": Text("面板", "panel"),
        "timer": Text("定时", "timer"),
        "": Text("自动", "itself"),
    },
    "source": {
        "alarm": Text("报警", "alarm"),
        "visit": Text("巡查", "visit"),
        "platform": Text("平台", "platform"),
        "timer": Text("定时", "timer"),
    },
    "means": {
        "answered": Text("应答查岗", "answers the post check"),
        "arrived": Text("到场", "on site"),
        "round_started": Text("开始巡查", "round begun"),
        "round_over": Text("巡查完成", "round over"),
        "visit_wanted": Text("要填巡查项", "items to be answered"),
        "stops_missing": Text("还有巡查点没到", "checkpoints are missing"),
        "nothing_open": Text("现在没有轮次", "no round is open"),
        "no_right": Text("没有权限", "no right to"),
        "tag_not_here": Text("标签不在这里", "the tag belongs elsewhere"),
        "unknown_tag": Text("未知标签", "unknown tag"),
        "phone_card": Text("手机模拟的卡", "card of a phone"),
    },
    "what": {
        "enrolled": Text("登记", "enrolled"),
        "registered": Text("登记", "registered"),
        "retired": Text("取下", "retired"),
        "forgotten": Text("不再记住", "forgotten"),
    },
}
OCCURRENCES = frozenset({"alarm", "case"})
DIGESTS = frozenset({"cfg", "was"})


def kind_words(kind: str, lang: Lang) -> str:
    """The kind of a record; its code where there is no word."""
    return worded(KINDS, kind, lang)


def clock_words(clk: str, lang: Lang) -> str:
    """How much a record's time is worth."""
    return worded(CLOCKS, clk, lang)


def kind_of(typed: str) -> str:
    """The code of a kind that was typed as a code or as its word in either language."""
    wanted = typed.strip().casefold()
    severities = {severity: text for severity, (text, _) in SEVERITIES.items()}
    for code, text in (KINDS | severities).items():
        if wanted in (text.zh, text.en.casefold()):
            return "alarm" if code in severities else code
    return typed


def summary(body: Mapping[str, Any], lang: Lang) -> str:
    """The part of a body that people look for, in a line."""
    marks = [text.in_(lang) for key, text in MARKS.items() if body.get(key) is True]
    match body.get("t"):
        case "alarm":
            said = _alarm(body, lang)
        case "read":
            said = READINGS.in_(lang).format(len(body.get("r", ())))
        case _:
            data = body.get("data", body)
            said = _fact(data, lang) if isinstance(data, Mapping) else say(data, lang)
    return " ".join([*marks, said]) or NOTHING


def _alarm(body: Mapping[str, Any], lang: Lang) -> str:
    """What happened to which alarm: value and limit where it has any, the rule at the end."""
    tr, severity = body.get("tr"), SEVERITIES.get(str(body.get("sev")))
    parts = [
        short(body.get("alarm")),
        worded(TRANSITIONS, tr, lang),
        severity[0].in_(lang) if severity else say(body.get("sev"), lang),
        say(body.get("say"), lang),
        str(body.get("place") or ""),
    ]
    now = body.get("val") if tr == "raise" else body.get("last", body.get("val"))
    if now is not None:
        parts.append(number(now, body.get("unit")))
        if body.get("lim") is not None:
            parts.append(f"({LIMIT.in_(lang)} {number(body['lim'], body.get('unit'))})")
    parts += [detail_text(str(body.get("detail") or "")).in_(lang), str(body.get("rule") or "")]
    return " ".join(part for part in parts if part and part != NOTHING)


def _fact(data: Mapping[str, Any], lang: Lang) -> str:
    line = Text("，", ", ").in_(lang).join(_parts(data, lang))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _parts(data: Mapping[str, Any], lang: Lang) -> Iterator[str]:
    for name, word in FIELDS.items():
        if name not in data or (name == "by" and data[name] in (None, 0)):
            continue
        said = _value(name, data[name], data, lang)
        if said:
            yield f"{word.in_(lang)} {said}".strip()


def _value(name: str, value: object, data: Mapping[str, Any], lang: Lang) -> str:
    """One field; empty where it says nothing."""
    if name in CODES and isinstance(value, str):
        return worded(CODES[name], value, lang) if value or "" in CODES[name] else ""
    if value is None or value in ("", [], {}):
        return ""
    if name == "detail":
        return detail_text(str(value)).in_(lang)
    if name in OCCURRENCES:
        return short(value)
    if name in DIGESTS:
        return str(value)[:8]
    if name in ("for", "err") or name.endswith("_ms"):
        return age(value, lang)
    if name == "value":
        return number(value, data.get("unit"))
    if isinstance(value, bool):
        return YES_NO[value].in_(lang)
    if name == "points" and isinstance(value, list):
        return str(len(value))
    if isinstance(value, list):
        shown = [_value(name, each, data, lang) for each in value[:MOST_LISTED]]
        more = [MORE.in_(lang).format(len(value))] if len(value) > MOST_LISTED else []
        return Text("、", "; ").in_(lang).join([*shown, *more])
    if isinstance(value, Mapping):
        return say(value, lang) if lang.value in value else _value(name, list(value), data, lang)
    return str(value)
