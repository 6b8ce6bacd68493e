"""`care-gateway drill|test|post-check`: practice, and who is awake."""

import json
from collections.abc import Mapping
from pathlib import Path

from gateway.cli.asking import NO_PERSON, question, refuse, tell
from gateway.cli.saying import console
from gateway.cli.standing import practice_lines
from gateway.domain.text import Lang, Text

DONE = {
    "drill_start": Text("演练开始", "The drill has begun"),
    "drill_end": Text("演练结束", "The drill has ended"),
    "test_start": Text("测试开始", "The test has begun"),
    "test_end": Text("测试结束", "The test has ended"),
    "self_test": Text(
        "自检已开始；结果见 status，未到的一步会成为故障",
        "The self-test has begun; a stage it does not reach becomes a fault, see status",
    ),
    "answer_post_check": Text("已应答查岗", "Post check answered"),
}
NOTHING = Text("没有演练、测试或查岗", "No drill, no test, no post check")


def do(
    socket: Path,
    verb: str,
    by: str | None,
    fields: Mapping[str, object],
    *,
    as_json: bool,
    lang: Lang,
) -> int:
    """Ask for one verb in somebody's name; return the exit code."""
    if by is None:
        return refuse(NO_PERSON, lang)
    answer = question(socket, {"verb": verb, "by": by, **fields}, lang)
    return 1 if answer is None else tell(answer, lang, as_json=as_json, done=DONE[verb])


def status(socket: Path, *, as_json: bool, lang: Lang) -> int:
    """Print the drill, the tests and the post checks that are under way."""
    answer = question(socket, {"verb": "status"}, lang)
    if answer is None:
        return 1
    if not answer.get("ok"):
        return tell(answer, lang, as_json=as_json, done=NOTHING)
    practice = answer.get("practice") or {}
    if as_json:
        print(json.dumps(practice, ensure_ascii=False, indent=2))
        return 0
    to = console()
    for line in practice_lines(practice, lang) or [NOTHING.in_(lang)]:
        to.print(line)
    return 0
