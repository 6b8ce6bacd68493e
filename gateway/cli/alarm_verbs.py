"""The verbs `alarm`, `drill`, `test` and `post-check` of the command line, with their options."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.durations import time_option
from gateway.domain.cases import ACTIONS, CAUSES, Verdict
from gateway.domain.text import Lang, Text

MOMENTS = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"]
_HELP = {
    "alarm": Text(
        "报警：查看、消音、确认、复位、处置、销号。", "Alarms and what is done about them."
    ),
    "list": Text("现有报警和未结处置单。", "What is open: alarms and cases."),
    "show": Text("一条报警和它的处置单。", "One alarm and its case."),
    "ack": Text("确认：有人看到了。", "Acknowledge: somebody has seen it."),
    "silence": Text("消音：停止现在的声音，灯不灭。", "Stop what sounds now; the lamps stay."),
    "reset": Text(
        "复位：结束已恢复的锁存报警。", "Reset latched alarms whose value is normal again."
    ),
    "arrive": Text("记录有人到场。", "Record that somebody is on site."),
    "handle": Text("填写处置结论。", "Enter what it was and what was done."),
    "close": Text("销号：报警须由另一人。", "Close a case; for an alarm, another person."),
    "shelve": Text(
        "屏蔽一条规则，最长 8 小时；报警级不能屏蔽。", "Shelve a rule, 8 h at most; never an alarm."
    ),
    "unshelve": Text("解除屏蔽。", "End shelving."),
    "out": Text(
        "停用(检修)：总线、设备、监测点或规则，凭工单。",
        "Take a bus, device, point or rule out of service by work order.",
    ),
    "in": Text("恢复使用。", "Put it in service again."),
    "drill": Text("演练。", "Drills."),
    "drill_start": Text(
        "开始演练；真实报警仍优先。", "Begin a drill; a real alarm breaks through."
    ),
    "drill_stop": Text("结束演练。", "End the drill."),
    "practice": Text("进行中的演练、测试和查岗。", "The drill, tests and post checks under way."),
    "test": Text("测试单个监测点。", "Test single points."),
    "test_start": Text(
        "开始测试一个监测点，30 分钟后自行结束。",
        "Begin to test a point; it ends after 30 minutes.",
    ),
    "simulate": Text(
        "不动设备：按会触发这条规则的模拟值判断。",
        "Leave the device alone: judge a value that this rule of the point raises at.",
    ),
    "test_stop": Text("结束测试。", "End the test."),
    "post": Text("查岗。", "Post checks."),
    "answer": Text("应答查岗。", "Answer the post check."),
    "name": Text("编号、规则，或开头几个字。", "Its number, its rule, or how either begins."),
    "as": Text("谁：员工工号。", "Who does this: a staff code."),
    "every": Text("全部。", "All of them."),
    "folded": Text("也列出被上级抑制的。", "List suppressed ones too."),
    "closed": Text(
        "改为列出最近销号的 N 份处置单。", "List the last N closed cases instead, newest first."
    ),
    "missed": Text(
        "补录漏报：人发现了、没有规则报的。", "Enter an alarm that people found and no rule raised."
    ),
    "where": Text("在哪里发现的。", "Where it was found."),
    "told": Text("何时发现的，如 2026-11-20T14:30。", "When, such as 2026-11-20T14:30."),
    "near": Text("本应报警的监测点（如有）。", "The point that should have told, if there is one."),
    "self_test": Text(
        "立即静默自检：解码到平台回执。", "Test the whole way of an alarm now, without a sound."
    ),
    "json": Text("输出 JSON。", "Print JSON."),
    "socket": Text("守护进程的套接字。", "The daemon's socket."),
    "lang": Text("语言，默认取自 LANG。", "Language; LANG decides if not given."),
    "place": Text("到了哪里（不写报警时）。", "Where, when no alarm is named."),
    "verdict": Text("结论。", "What it was."),
    "cause": Text("原因代码：", "Code of the cause: "),
    "action": Text("措施代码，可多次：", "Code of what was done, may be repeated: "),
    "text": Text("说明。", "In words."),
    "called": Text("是否拨打119。", "Whether the fire brigade was called."),
    "evacuated": Text("是否疏散。", "Whether people were moved out."),
    "for": Text("多久，如 2h。", "For how long, such as 2h."),
    "why": Text("原因。", "The reason."),
    "order": Text("工单号。", "Number of the work order."),
    "subject": Text(
        "设备、监测点或规则的编号，或 bus/总线编号。", "Id of the device, point or rule, or bus/ID."
    ),
    "point": Text("监测点编号。", "Id of the point."),
    "scenario": Text("情景。", "What is played."),
    "scope": Text("范围。", "Where, and who takes part."),
    "counted": Text("集合点清点到的人数。", "Heads counted outside."),
    "expected": Text("应到人数。", "Heads that should have been there."),
    "finding": Text("发现的问题，可多次。", "What is to be mended; may be repeated."),
    "rule": Text("演练中要报的规则，可多次。", "A rule that shall raise in it; may be repeated."),
}


def add_alarm_verbs(app: typer.Typer, lang: Lang, socket: Path) -> None:
    """Add what people do about alarms. `socket` is where the daemon usually listens."""
    alarm = typer.Typer(help=_HELP["alarm"].in_(lang), no_args_is_help=True)
    app.add_typer(alarm, name="alarm")
    _add_reading(alarm, lang, socket)
    _add_answering(alarm, lang, socket)
    _add_casework(alarm, lang, socket)
    _add_setting_aside(alarm, lang, socket)
    _add_practice(app, lang, socket)


def _options(lang: Lang) -> dict[str, Any]:
    """The options that many verbs share."""
    return {
        "name": typer.Argument(help=_HELP["name"].in_(lang)),
        "by": typer.Option("--as", help=_HELP["as"].in_(lang), metavar="CODE"),
        "json": typer.Option("--json", help=_HELP["json"].in_(lang)),
        "socket": typer.Option("--socket", help=_HELP["socket"].in_(lang)),
        "lang": typer.Option("--lang", help=_HELP["lang"].in_(lang)),
        "every": typer.Option("--all", help=_HELP["every"].in_(lang)),
    }


def _add_reading(alarm: typer.Typer, usual: Lang, daemon: Path) -> None:
    shared = _options(usual)

    @alarm.command("list", help=_HELP["list"].in_(usual))
    def list_(
        is_all: Annotated[bool, typer.Option("--all", help=_HELP["folded"].in_(usual))] = False,
        closed: Annotated[
            int | None,
            typer.Option("--closed", help=_HELP["closed"].in_(usual), min=1, max=100, metavar="N"),
        ] = None,
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.alarm import list_alarms, list_closed

        if closed is not None:
            raise typer.Exit(list_closed(socket, closed, as_json=as_json, lang=lang))
        raise typer.Exit(list_alarms(socket, as_json=as_json, is_all=is_all, lang=lang))

    @alarm.command("show", help=_HELP["show"].in_(usual))
    def show(
        name: Annotated[str, shared["name"]],
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.alarm import show_alarm

        raise typer.Exit(show_alarm(socket, name, as_json=as_json, lang=lang))


def _add_answering(alarm: typer.Typer, usual: Lang, daemon: Path) -> None:
    shared = _options(usual)

    def one_or_all(
        verb: str, name: str | None, by: str | None, *, is_all: bool, socket: Path,
        as_json: bool, lang: Lang,
    ) -> int:  # fmt: skip
        from gateway.cli.alarm import WHICH, act
        from gateway.cli.asking import refuse

        if (name is None) is not is_all:
            return refuse(WHICH, lang)
        return act(socket, verb, name, by, {}, as_json=as_json, lang=lang)

    @alarm.command("ack", help=_HELP["ack"].in_(usual))
    def ack(
        name: Annotated[str | None, shared["name"]] = None,
        by: Annotated[str | None, shared["by"]] = None,
        is_all: Annotated[bool, shared["every"]] = False,
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        raise typer.Exit(
            one_or_all(
                "acknowledge", name, by, is_all=is_all, socket=socket, as_json=as_json, lang=lang
            )
        )

    @alarm.command("reset", help=_HELP["reset"].in_(usual))
    def reset(
        name: Annotated[str | None, shared["name"]] = None,
        by: Annotated[str | None, shared["by"]] = None,
        is_all: Annotated[bool, shared["every"]] = False,
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        raise typer.Exit(
            one_or_all("reset", name, by, is_all=is_all, socket=socket, as_json=as_json, lang=lang)
        )

    @alarm.command("silence", help=_HELP["silence"].in_(usual))
    def silence(
        by: Annotated[str | None, shared["by"]] = None,
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.alarm import act

        raise typer.Exit(act(socket, "silence", None, by, {}, as_json=as_json, lang=lang))


def _add_casework(alarm: typer.Typer, usual: Lang, daemon: Path) -> None:
    shared = _options(usual)
    causes = _HELP["cause"].in_(usual) + ", ".join(CAUSES)
    actions = _HELP["action"].in_(usual) + ", ".join(ACTIONS)

    @alarm.command("arrive", help=_HELP["arrive"].in_(usual))
    def arrive(
        name: Annotated[str | None, shared["name"]] = None,
        by: Annotated[str | None, shared["by"]] = None,
        place: Annotated[str, typer.Option("--place", help=_HELP["place"].in_(usual))] = "",
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.alarm import WHICH, act
        from gateway.cli.asking import refuse

        if name is None and not place:
            raise typer.Exit(refuse(WHICH, lang))
        fields = {"place": place} if place else {}
        raise typer.Exit(act(socket, "arrive", name, by, fields, as_json=as_json, lang=lang))

    @alarm.command("handle", help=_HELP["handle"].in_(usual))
    def handle(
        name: Annotated[str, shared["name"]],
        verdict: Annotated[Verdict, typer.Option("--verdict", help=_HELP["verdict"].in_(usual))],
        by: Annotated[str | None, shared["by"]] = None,
        cause: Annotated[str, typer.Option("--cause", help=causes)] = "",
        action: Annotated[list[str] | None, typer.Option("--action", help=actions)] = None,
        text: Annotated[str, typer.Option("--text", help=_HELP["text"].in_(usual))] = "",
        called_119: Annotated[
            bool | None, typer.Option("--119/--no-119", help=_HELP["called"].in_(usual))
        ] = None,
        evacuated: Annotated[
            bool | None,
            typer.Option("--evacuated/--not-evacuated", help=_HELP["evacuated"].in_(usual)),
        ] = None,
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.alarm import act

        _check_codes(cause, action or ())
        fields: dict[str, object] = {
            "verdict": verdict.value, "cause": cause, "actions": action or [], "text": text,
        }  # fmt: skip
        fields |= {} if called_119 is None else {"called_119": called_119}
        fields |= {} if evacuated is None else {"evacuated": evacuated}
        raise typer.Exit(
            act(socket, "handle", name, by, fields, key="case", as_json=as_json, lang=lang)
        )

    @alarm.command("close", help=_HELP["close"].in_(usual))
    def close(
        name: Annotated[str, shared["name"]],
        by: Annotated[str | None, shared["by"]] = None,
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.alarm import act

        raise typer.Exit(act(socket, "close", name, by, {}, key="case", as_json=as_json, lang=lang))

    @alarm.command("missed", help=_HELP["missed"].in_(usual))
    def missed(
        place: Annotated[str, typer.Option("--place", help=_HELP["where"].in_(usual))],
        text: Annotated[str, typer.Option("--text", help=_HELP["text"].in_(usual))] = "",
        cause: Annotated[str, typer.Option("--cause", help=causes)] = "",
        point: Annotated[str, typer.Option("--point", help=_HELP["near"].in_(usual))] = "",
        told: Annotated[
            datetime | None, typer.Option("--at", help=_HELP["told"].in_(usual), formats=MOMENTS)
        ] = None,
        by: Annotated[str | None, shared["by"]] = None,
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.alarm import act

        _check_codes(cause, ())
        fields: dict[str, object] = {"place": place, "text": text, "cause": cause, "point": point}
        fields |= {} if told is None else {"told_ms": round(told.timestamp() * 1000)}
        raise typer.Exit(act(socket, "missed", None, by, fields, as_json=as_json, lang=lang))


def _check_codes(cause: str, actions: Sequence[str]) -> None:
    """Refuse a code that nobody knows here, with those that there are; the daemon does not list."""
    for option, codes, known in (("--cause", [cause], CAUSES), ("--action", actions, ACTIONS)):
        for code in codes:
            if code and code not in known:
                names = ", ".join(f"'{name}'" for name in known)
                raise typer.BadParameter(f"'{code}' is not one of {names}.", param_hint=option)


def _add_setting_aside(alarm: typer.Typer, usual: Lang, daemon: Path) -> None:
    shared = _options(usual)
    why_option = typer.Option("--why", help=_HELP["why"].in_(usual))
    subject_argument = typer.Argument(help=_HELP["subject"].in_(usual))

    @alarm.command("shelve", help=_HELP["shelve"].in_(usual))
    def shelve(
        name: Annotated[str, shared["name"]],
        seconds: Annotated[float, time_option("--for", _HELP["for"].in_(usual))],
        why: Annotated[str, why_option],
        by: Annotated[str | None, shared["by"]] = None,
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.alarm import shelve as shelve_rule

        raise typer.Exit(
            shelve_rule(socket, name, by, seconds=seconds, why=why, as_json=as_json, lang=lang)
        )

    @alarm.command("unshelve", help=_HELP["unshelve"].in_(usual))
    def unshelve(
        name: Annotated[str, shared["name"]],
        by: Annotated[str | None, shared["by"]] = None,
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.alarm import act

        raise typer.Exit(
            act(socket, "unshelve", name, by, {}, is_open=False, as_json=as_json, lang=lang)
        )

    @alarm.command("out-of-service", help=_HELP["out"].in_(usual))
    def out_of_service(
        subject: Annotated[str, subject_argument],
        why: Annotated[str, why_option],
        order: Annotated[str, typer.Option("--order", help=_HELP["order"].in_(usual))],
        by: Annotated[str | None, shared["by"]] = None,
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.alarm import set_service

        fields = {"why": why, "order": order}
        raise typer.Exit(
            set_service(
                socket, "take_out_of_service", subject, by, fields, as_json=as_json, lang=lang
            )
        )

    @alarm.command("in-service", help=_HELP["in"].in_(usual))
    def in_service(
        subject: Annotated[str, subject_argument],
        by: Annotated[str | None, shared["by"]] = None,
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.alarm import set_service

        raise typer.Exit(
            set_service(socket, "put_in_service", subject, by, {}, as_json=as_json, lang=lang)
        )


def _add_practice(app: typer.Typer, usual: Lang, daemon: Path) -> None:
    shared = _options(usual)
    groups = {
        name: typer.Typer(help=_HELP[word].in_(usual), no_args_is_help=True)
        for name, word in (("drill", "drill"), ("test", "test"), ("post-check", "post"))
    }
    point_argument = typer.Argument(help=_HELP["point"].in_(usual))

    @groups["drill"].command("start", help=_HELP["drill_start"].in_(usual))
    def drill_start(
        scenario: Annotated[str, typer.Option("--scenario", help=_HELP["scenario"].in_(usual))],
        scope: Annotated[str, typer.Option("--scope", help=_HELP["scope"].in_(usual))] = "",
        rule: Annotated[
            list[str] | None, typer.Option("--rule", help=_HELP["rule"].in_(usual))
        ] = None,
        by: Annotated[str | None, shared["by"]] = None,
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.practice import do

        fields = {"scenario": scenario, "scope": scope, "rules": rule or []}
        raise typer.Exit(do(socket, "drill_start", by, fields, as_json=as_json, lang=lang))

    @groups["drill"].command("stop", help=_HELP["drill_stop"].in_(usual))
    def drill_stop(
        counted: Annotated[
            int | None, typer.Option("--counted", help=_HELP["counted"].in_(usual), min=0)
        ] = None,
        expected: Annotated[
            int | None, typer.Option("--expected", help=_HELP["expected"].in_(usual), min=0)
        ] = None,
        finding: Annotated[
            list[str] | None, typer.Option("--finding", help=_HELP["finding"].in_(usual))
        ] = None,
        by: Annotated[str | None, shared["by"]] = None,
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.practice import do

        fields = {"counted": counted, "expected": expected, "findings": finding or []}
        raise typer.Exit(do(socket, "drill_end", by, fields, as_json=as_json, lang=lang))

    @groups["test"].command("start", help=_HELP["test_start"].in_(usual))
    def test_start(
        point: Annotated[str, point_argument],
        simulate: Annotated[
            str, typer.Option("--simulate", help=_HELP["simulate"].in_(usual), metavar="RULE")
        ] = "",
        by: Annotated[str | None, shared["by"]] = None,
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.practice import do

        fields = {"point": point, "simulate": simulate}
        raise typer.Exit(do(socket, "test_start", by, fields, as_json=as_json, lang=lang))

    @groups["test"].command("stop", help=_HELP["test_stop"].in_(usual))
    def test_stop(
        point: Annotated[str, point_argument],
        by: Annotated[str | None, shared["by"]] = None,
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.practice import do

        raise typer.Exit(do(socket, "test_end", by, {"point": point}, as_json=as_json, lang=lang))

    @groups["post-check"].command("answer", help=_HELP["answer"].in_(usual))
    def answer(
        by: Annotated[str | None, shared["by"]] = None,
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.practice import do

        raise typer.Exit(do(socket, "answer_post_check", by, {}, as_json=as_json, lang=lang))

    @app.command("self-test", help=_HELP["self_test"].in_(usual))
    def self_test(
        by: Annotated[str | None, shared["by"]] = None,
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.practice import do

        raise typer.Exit(do(socket, "self_test", by, {}, as_json=as_json, lang=lang))

    def status(
        socket: Annotated[Path, shared["socket"]] = daemon,
        as_json: Annotated[bool, shared["json"]] = False,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.practice import status as show_practice

        raise typer.Exit(show_practice(socket, as_json=as_json, lang=lang))

    for name, group in groups.items():
        group.command("status", help=_HELP["practice"].in_(usual))(status)
        app.add_typer(group, name=name)
