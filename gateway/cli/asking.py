"""Ask the running daemon for what a person wants, and say what became of it.

Exit codes: 0 done, 1 the outside world (no daemon, or the house is not in that state), 2 what was
typed. stdout has the answer, stderr the one sentence of a refusal.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.cli.bad_requests import bad_request
from gateway.cli.saying import no_answer
from gateway.domain.text import Lang, Text
from gateway.drivers.sockets import NoAnswer, ask

Answer = Mapping[str, Any]

TYPED = frozenset({  # refusals that typing something else mends; every other one is the world's
    "bad_request", "unknown_alarm", "unknown_case", "unknown_subject", "unknown_rule",
    "unknown_point", "unknown_verdict", "unknown_cause", "unknown_action", "needs_person",
    "needs_reason", "needs_order", "too_long", "not_for_alarms", "text_too_short",
    "answers_missing", "missed_is_entered", "unknown_round", "unknown_person",
    "cannot_simulate",
})  # fmt: skip
REFUSED = {  # where the daemon gives a code without words
    "drill_running": Text("已经有演练在进行", "a drill runs already"),
    "no_drill": Text("没有演练在进行", "no drill runs"),
    "alarm_open": Text("有真实报警未结束，先处理它", "a real alarm is open: see to it first"),
    "unknown_rule": Text("没有这条规则", "there is no such rule"),
    "unknown_point": Text("没有这个监测点", "there is no such point"),
    "no_test": Text("这个监测点没有在测试", "this point is not under test"),
    "nothing_to_do": Text("没有可做的", "there is nothing to do"),
    "is_running": Text("正在进行", "it runs already"),
}
NO_PERSON = Text(
    "要写明是谁：--as 员工工号（字母和数字）",
    "say who does this: --as CODE, a staff code of letters and digits",
)


def question(socket: Path, message: Mapping[str, object], lang: Lang) -> Answer | None:
    """Ask; None when no answer came, which is then said."""
    try:
        answer: Answer = ask(socket, message)
    except NoAnswer as error:
        print(no_answer(error, lang), file=sys.stderr)
        return None
    return answer


def tell(answer: Answer, lang: Lang, *, as_json: bool, done: Text) -> int:
    """Print what became of a wish; return the exit code."""
    if as_json:
        print(json.dumps(answer, ensure_ascii=False, indent=2))
    if answer.get("ok"):
        if not as_json:
            print(done.in_(lang))
        return 0
    print(refusal_of(answer, lang), file=sys.stderr)
    return code_of(answer)


def refusal_of(answer: Answer, lang: Lang) -> str:
    """Why not, in one sentence."""
    said, code = answer.get("say"), str(answer.get("code", ""))
    if isinstance(said, Mapping) and said.get(lang.value):
        return str(said[lang.value])
    if code in REFUSED:
        return REFUSED[code].in_(lang)
    if code == "bad_request":
        return bad_request(str(answer.get("error", ""))).in_(lang)
    return f"{code}: {answer.get('error', '')}".rstrip(": ")


def code_of(answer: Answer) -> int:
    return 2 if str(answer.get("code")) in TYPED else 1


def refuse(words: Text, lang: Lang) -> int:
    """Say what is wrong with what was typed."""
    print(words.in_(lang), file=sys.stderr)
    return 2
