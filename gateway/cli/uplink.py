"""`care-gateway uplink status|tail`: the way to the platform, as the running daemon sees it."""

import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from gateway.cli.saying import NOTHING, age, console, no_answer
from gateway.domain.details import detail_text
from gateway.domain.text import Lang, Text
from gateway.drivers.sockets import NoAnswer, ask

Part = Mapping[str, Any]

WORDS = {
    "none": Text("站点文件没有 uplink 部分：不上传", "The site has no uplink: nothing is sent"),
    "up": Text("已连接", "connected"),
    "down": Text("未连接", "not connected"),
    "since": Text("已", "for"),
    "plain": Text("未加密", "not encrypted"),
    "platform": Text("平台应答", "platform answers"),
    "no_platform": Text("平台无应答", "platform does not answer"),
    "last_ack": Text("最近应答", "last ack"),
    "ago": Text("前", "ago"),
    "next_try": Text("下次尝试在", "next try in"),
    "delivery": Text("交付方式", "delivery"),
    "lane": Text("通道", "Lane"),
    "queued": Text("排队", "Queued"),
    "at_broker": Text("在服务器", "At broker"),
    "settled": Text("平台已收", "Settled"),
    "last": Text("最近", "Last"),
    "parked": Text("拒收", "Parked"),
    "brokers": Text("消息服务器", "Brokers"),
    "used": Text("在用", "in use"),
    "spare": Text("备用", "spare"),
    "lost": Text("条已错过", "lines were missed"),
}
LANES = {
    "A": Text("A 报警、预警", "A alarms, warnings"),
    "B": Text("B 故障、事件", "B faults, facts"),
    "R": Text("R 读数", "R readings"),
}
STEPS = {
    "up": Text("连接", "up"),
    "down": Text("断开", "down"),
    "hello": Text("平台问候", "hello"),
    "sent": Text("发送", "sent"),
    "broker": Text("服务器收到", "broker"),
    "settled": Text("平台已收", "settled"),
    "parked": Text("拒收", "parked"),
}


def status(socket: Path, *, as_json: bool, lang: Lang) -> int:
    """Print the connection, every broker and every lane; 0, or 1 when there is no daemon."""
    answer = _ask(socket, {"verb": "uplink_status"}, lang)
    if answer is None:
        return 1
    if as_json:
        print(json.dumps(answer, ensure_ascii=False, indent=2))
    else:
        show(answer, lang, console())
    return 0


def tail(socket: Path, *, as_json: bool, lang: Lang, seconds: float | None = None) -> int:
    """Print a line for all that is sent, taken and settled, until Ctrl-C or for `seconds`."""
    end = None if seconds is None else time.monotonic() + seconds
    after: object = None
    try:
        while end is None or time.monotonic() < end:
            answer = _ask(socket, {"verb": "uplink_tail", "after": after}, lang)
            if answer is None:
                return 1
            after = answer["next"]
            if answer["lost"]:
                print(f"… {answer['lost']} {WORDS['lost'].in_(lang)}", file=sys.stderr)
            for step in answer["steps"]:
                print(json.dumps(step, ensure_ascii=False) if as_json else line_of(step, lang))
            sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    return 0


def _detail(row: Part, lang: Lang) -> str:
    return detail_text(str(row.get("detail") or "")).in_(lang)


def _ask(socket: Path, request: Mapping[str, object], lang: Lang) -> Part | None:
    """Return the daemon's answer, or None after saying why there is none."""
    try:
        answer = ask(socket, request)
    except NoAnswer as error:
        print(no_answer(error, lang), file=sys.stderr)
        return None
    if not answer.get("ok"):
        print(f"{answer.get('code', '')}: {answer.get('error', '')}", file=sys.stderr)
        return None
    return answer


def show(answer: Part, lang: Lang, to: Console) -> None:
    """Print the connection first, then what to do about it, then lanes, brokers, parked records."""

    def say(key: str) -> str:
        return WORDS[key].in_(lang)

    if answer["gateway"] is None:
        to.print(say("none"))
        return
    link = answer["link"]
    to.print(_link_line(answer["gateway"], link, lang), style="" if link["is_up"] else "yellow")
    if not link["is_up"] and link["say"]["en"]:
        to.print(f"{link['say'][lang.value]} ({link['last_failure']}) {_detail(link, lang)}")
        for number, step in enumerate(link["do"], start=1):
            to.print(f"  {number} {step[lang.value]}")
    for fault in answer.get("faults", ()):
        said = f"{fault['say'][lang.value]} ({fault['code']}) {_detail(fault, lang)}"
        to.print(said, style="yellow")
        for number, step in enumerate(fault["do"], start=1):
            to.print(f"  {number} {step[lang.value]}")
    to.print(_lanes(answer["lanes"], lang))
    for row in answer["brokers"]:
        mark = say("used") if row["is_used"] else say("spare")
        failure = ""
        if "why" in row:
            failure = f"   {row['say'][lang.value]} ({row['why']}) {_detail(row, lang)}"
        to.print(f"{row['broker']}   {mark}{failure}")
    for row in answer["parked"]:
        to.print(f"{say('parked')}: {row['lane']} {row['ep']} {row['seq']}   {row['why']}")


def _link_line(gateway: str, link: Part, lang: Lang) -> str:
    def say(key: str) -> str:
        return WORDS[key].in_(lang)

    parts = [gateway, f"{say('up' if link['is_up'] else 'down')} {link['broker']}"]
    if link["is_up"]:
        parts += [f"MQTT {link['protocol']}", link["tls"] or say("plain")]
        parts.append(say("platform" if link["is_platform_present"] else "no_platform"))
    parts.append(f"{say('since')} {age(link['since_ms'], lang)}")
    if link["last_ack_ms"] is not None:
        parts.append(f"{say('last_ack')} {age(link['last_ack_ms'], lang)} {say('ago')}")
    if not link["is_up"] and link["next_try_in_ms"] is not None:
        parts.append(f"{say('next_try')} {age(link['next_try_in_ms'], lang)}")
    parts.append(f"{say('delivery')}: {link['delivery']}")
    return "   ".join(parts)


def _lanes(lanes: Part, lang: Lang) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for key in ("lane", "queued", "at_broker", "settled", "last", "parked"):
        table.add_column(WORDS[key].in_(lang), justify="left" if key == "lane" else "right")
    for name, lane in lanes.items():
        table.add_row(
            LANES[name].in_(lang),
            *(str(lane[key]) for key in ("queued", "at_broker", "settled")),
            age(lane["last_settled_ms"], lang),
            str(lane["parked"]),
        )
    return table


def line_of(step: Part, lang: Lang) -> str:
    """`12:03:11.250 sent A 3f1c…-17 412 B`: the moment, what happened, which records."""
    at = step["at"]
    moment = datetime.fromtimestamp(at / 1000, UTC).astimezone() if at is not None else None
    clock = moment.strftime("%H:%M:%S.%f")[:-3] if moment else NOTHING
    parts = [clock, STEPS[step["what"]].in_(lang)]
    if step["lane"]:
        numbers = str(step["lo"]) if step["lo"] == step["hi"] else f"{step['lo']}-{step['hi']}"
        parts.append(f"{step['lane']} {step['ep']} {numbers}")
    if step["bytes"]:
        parts.append(f"{step['bytes']} B")
    if step["code"]:
        parts.append(f"0x{step['code']:02x}")
    if step["text"]:
        parts.append(step["text"])
    return "  ".join(parts)
