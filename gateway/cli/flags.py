"""What there is to know of an open alarm beside its state, in one short word each."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.cli.saying import say
from gateway.domain.text import Lang, Text

Row = Mapping[str, Any]

FLAGS = {
    "first_out": Text("首发", "first-out"),
    "chatter": Text("抖动 ×{}", "chattering x{}"),
    "stale": Text("数据陈旧", "stale"),
    "silenced": Text("已消音", "silenced"),
    "SH": Text("屏蔽", "shelved"),
    "OS": Text("停用", "out of service"),
    "SU": Text("抑制", "suppressed"),
    "stands_for": Text("代表 {} 条", "stands for {}"),
    "escalated": Text("已通知{}", "escalated: {}"),
    "drill": Text("演练", "drill"),
    "test": Text("测试", "test"),
}


def flags_of(row: Row, lang: Lang) -> list[str]:
    """What there is to know of an alarm beside its state, one short word each."""
    found = {
        "drill": row.get("is_drill"),
        "test": row.get("is_test"),
        "first_out": row.get("is_first_out") and row.get("flood"),
        "chatter": row.get("chatter"),
        "stands_for": len(_listed(row.get("stands_for"))),
        "stale": row.get("is_stale"),
        "silenced": row.get("is_silenced"),
        "escalated": escalated(row, lang),
    }
    words = [FLAGS[key].in_(lang).format(value) for key, value in found.items() if value]
    return words + [
        FLAGS[str(each)].in_(lang) for each in _listed(row.get("inhibits")) if str(each) in FLAGS
    ]


def escalated(row: Row, lang: Lang) -> str:
    """Who was called last; empty when nobody was."""
    rungs = _listed(row.get("escalated_to"))
    last = rungs[-1] if rungs else None
    return say(last, lang) if isinstance(last, Mapping) else ""


def is_folded(row: Row) -> bool:
    """Suppressed by its parent, which says how many it stands for."""
    return bool(row.get("under"))


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()
