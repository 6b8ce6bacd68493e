"""`care-gateway platform check`: does a platform keep its duties? Played against its own broker."""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from rich import box
from rich.table import Table

from gateway.cli.saying import console
from gateway.domain.details import detail_text
from gateway.domain.system_errors import why
from gateway.domain.text import Lang, Text
from gateway.sim.duties import Judged, Limits, Outcome, judge
from gateway.sim.visitor import Access, NotReached, Wishes, read_applied, read_shown, visit

WORDS = {
    "duty": Text("平台职责", "Duty of a platform"),
    "number": Text("条", "No."),
    "verdict": Text("结论", "Verdict"),
    "detail": Text("依据", "What was seen"),
    "not_reached": Text("连不上消息服务器", "The broker cannot be reached"),
    "kept": Text("项做到", "kept"),
    "broken": Text("项没做到", "broken"),
    "unseen": Text("项看不到", "not seen"),
    "no_command": Text("命令失败", "The command failed"),
    "no_password": Text("密码文件读不了", "The password file cannot be read"),
    "both": Text(
        "--stop-by 和 --start-by 要一起给出", "--stop-by and --start-by belong together"
    ),
    "scheme": Text(
        "地址写成 mqtt://主机:端口、mqtts://主机:端口 或 mqtt+unix:///路径",
        "write the address as mqtt://host:port, mqtts://host:port or mqtt+unix:///path",
    ),
}  # fmt: skip
VERDICTS = {
    Outcome.KEPT: Text("做到", "kept"),
    Outcome.BROKEN: Text("没做到", "BROKEN"),
    Outcome.UNSEEN: Text("看不到", "not seen"),
}
PARTS = {
    "connect": Text("连接", "connecting"),
    "hello": Text("上线，等问候", "birth, waiting for hello"),
    "records": Text("各种记录", "each kind of record"),
    "copies": Text("重复的记录", "copies"),
    "order": Text("乱序和迟到", "out of order, late"),
    "poison": Text("坏记录", "broken records"),
    "receipts": Text("一条真实报警，等回执", "a real alarm, waiting for receipts"),
    "birth": Text("再次上线", "birth again"),
    "post_check": Text("等一次查岗", "waiting for a post check"),
    "replay": Text("看平台会不会要缺的记录", "does it ask for what it lost"),
    "away": Text("平台停机再启动", "platform stopped and started"),
    "broker": Text("消息服务器重启", "broker restarted"),
    "applied": Text("核对生效的记录", "comparing what took effect"),
}
UNSEEN_BECAUSE = {
    "hello_on_start": Text("要 --stop-by 和 --start-by", "needs --stop-by and --start-by"),
    "session": Text("要 --stop-by 和 --start-by", "needs --stop-by and --start-by"),
    "subscribes_again": Text("要 --restart-broker-by", "needs --restart-broker-by"),
    "shown": Text("要 --shown-by", "needs --shown-by"),
    "replay": Text("平台没有要", "it asked for nothing"),
    "keeps": Text("要 --applied-by", "needs --applied-by"),
    "once": Text("要 --applied-by", "needs --applied-by"),
    "receipts": Text("要 --real-alarm", "needs --real-alarm"),
    "receipts_again": Text("要 --real-alarm", "needs --real-alarm"),
    "post_check": Text("期间没有查岗", "nobody asked one"),
}
SCHEMES = ("mqtt://", "mqtts://", "mqtt+unix://")
COMMAND_S = 120
T = TypeVar("T")


class CommandFailed(Exception):
    """What the person gave us to run did not work; says what it said."""


def check(
    url: str,
    *,
    lang: Lang,
    as_json: bool,
    gateway: str,
    ca: Path | None = None,
    cert: Path | None = None,
    key: Path | None = None,
    user: str | None = None,
    password_file: Path | None = None,
    is_real: bool = False,
    post_check_s: float = 0.0,
    applied_by: str | None = None,
    stop_by: str | None = None,
    start_by: str | None = None,
    restart_broker_by: str | None = None,
    shown_by: str | None = None,
    limits: Limits | None = None,
) -> int:
    """Print every duty and whether it is kept; 0 none broken, 1 some are or no broker, 2 input."""
    if not url.startswith(SCHEMES):
        return _refuse(WORDS["scheme"], lang)
    if (stop_by is None) != (start_by is None):
        return _refuse(WORDS["both"], lang)
    try:
        password = None if password_file is None else password_file.read_text("utf-8").strip()
    except OSError as error:
        return _refuse(WORDS["no_password"], lang, f"{password_file}: {why(error).in_(lang)}")
    access = Access(url, gateway, ca, cert, key, user, password)
    wishes = Wishes(
        is_real, post_check_s,
        leave=_command(stop_by), come=_command(start_by),
        restart_broker=_command(restart_broker_by),
        applied=_read_from(applied_by, read_applied), shown=_read_from(shown_by, read_shown),
    )  # fmt: skip

    def tell(part: str) -> None:
        print(f"  {PARTS[part].in_(lang)} ...", file=sys.stderr, flush=True)

    limits = limits or Limits()
    try:
        judged = judge(visit(access, limits, wishes, tell), limits)
    except (NotReached, OSError) as error:
        said = detail_text(why(error).in_(lang)).in_(lang)
        print(f"{WORDS['not_reached'].in_(lang)}: {url}: {said}", file=sys.stderr)
        return 1
    except (CommandFailed, ValueError) as error:
        print(f"{WORDS['no_command'].in_(lang)}: {error}", file=sys.stderr)
        return 1
    show(judged, lang, as_json=as_json)
    return int(any(each.outcome is Outcome.BROKEN for each in judged))


def show(judged: Sequence[Judged], lang: Lang, *, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "duty": each.duty, "number": each.number, "outcome": each.outcome.value,
                "say": {"zh": each.say.zh, "en": each.say.en}, "detail": each.detail,
            }
            for each in judged
        ]  # fmt: skip
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("number", "duty", "verdict", "detail"):
        table.add_column(WORDS[column].in_(lang), overflow="fold")
    for each in judged:
        why = UNSEEN_BECAUSE.get(each.duty) if each.outcome is Outcome.UNSEEN else None
        table.add_row(
            str(each.number), each.say.in_(lang), VERDICTS[each.outcome].in_(lang),
            why.in_(lang) if why else each.detail,
        )  # fmt: skip
    out = console()
    out.print(table)
    counts = {outcome: sum(each.outcome is outcome for each in judged) for outcome in Outcome}
    out.print("   ".join(f"{counts[o]} {WORDS[o.value].in_(lang)}" for o in Outcome))


def _command(line: str | None) -> Callable[[], None] | None:
    if line is None:
        return None
    words = shlex.split(line)

    def run() -> None:
        _run(words)

    return run


def _read_from(line: str | None, read: Callable[[Sequence[str]], T]) -> Callable[[], T] | None:
    if line is None:
        return None
    words = shlex.split(line)

    def look() -> T:
        time.sleep(1)  # what was just acknowledged may still be on its way to a replica
        return read(_run(words).splitlines())

    return look


def _run(words: Sequence[str]) -> str:
    """What the command prints; CommandFailed with what it complained of."""
    try:
        done = subprocess.run(  # noqa: S603 - the person at the keys gave it for this
            words, capture_output=True, text=True, check=False, timeout=COMMAND_S,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandFailed(str(error)) from error
    if done.returncode:
        raise CommandFailed(f"{shlex.join(words)}: {done.stderr.strip()[-300:]}")
    return done.stdout


def _refuse(words: Text, lang: Lang, more: str = "") -> int:
    print(": ".join(part for part in (words.in_(lang), more) if part), file=sys.stderr)
    return 2
