"""The verbs `patrol` and `people` of the command line, with their options."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway.domain.text import Lang, Text

_HELP = {
    "patrol": Text("巡查：轮次、计划、复核、统计、导出。", "Patrol: rounds, plan, figures."),
    "today": Text("今天的轮次。", "Today's rounds."),
    "rounds": Text("某一天的轮次（最近八天）。", "The rounds of a date, of the last eight days."),
    "plan": Text("接下来几天的计划。", "What is to be walked in the next days."),
    "sign": Text("复核签字：须由另一人。", "Sign rounds that others walked."),
    "cancel": Text("取消还没开始的轮次。", "Call off rounds that nobody has begun."),
    "explain": Text("写明漏巡或未巡完的原因。", "Say why a round was missed or not finished."),
    "start": Text("开始一个轮次。", "Set out on a round."),
    "end": Text("没巡完就结束一个轮次。", "End a round before all of it was walked."),
    "month": Text("一个月的统计；本人先看到自己的。", "A month's figures; one's own come first."),
    "export": Text("导出巡查记录（JSON 行或 CSV）。", "Export the patrol's records."),
    "people": Text("人员：名单、PIN。", "The people: who there is, and PINs."),
    "list": Text("谁能巡查。", "Who may patrol."),
    "forget": Text(
        "不再记住这个人的手机（丢失、离职）：下次要输 PIN。",
        "Forget the phones of a person (lost, or left): the next visit needs the PIN.",
    ),
    "person": Text("谁的手机：员工工号。", "Whose phones: a staff code."),
    "pin": Text("生成写进 people.yaml 的 PIN。", "Make a PIN for people.yaml."),
    "date": Text("日期（夜班按上半夜算），如 2026-11-21。", "The shift date, as 2026-11-21."),
    "days": Text("几天。", "How many days."),
    "round": Text("轮次编号，如 night/2026-11-21/2200。", "Its id, as night/2026-11-21/2200."),
    "why": Text("原因。", "The reason."),
    "note": Text("备注。", "A remark."),
    "name": Text("月份，如 2026-11；不写是本月。", "The month, as 2026-11; else this one."),
    "from": Text("从哪天起（本院时间）。", "From this day on, in the house's time."),
    "to": Text("到哪天止（含当天）。", "Up to and with this day."),
    "format": Text("jsonl 或 csv。", "jsonl or csv."),
    "store": Text("数据库目录。", "Folder of the databases."),
    "as": Text("谁：员工工号。", "Who does this: a staff code."),
    "json": Text("输出 JSON。", "Print JSON."),
    "socket": Text("守护进程的套接字。", "The daemon's socket."),
    "lang": Text("语言，默认取自 LANG。", "Language; LANG decides if not given."),
}


def add_patrol_verbs(app: typer.Typer, lang: Lang, socket: Path, store: Path) -> None:
    """Add what people ask of the patrol. `socket` and `store` are where the daemon has them."""
    patrol = typer.Typer(help=_HELP["patrol"].in_(lang), no_args_is_help=True)
    people = typer.Typer(help=_HELP["people"].in_(lang), no_args_is_help=True)
    app.add_typer(patrol, name="patrol")
    app.add_typer(people, name="people")
    _add_showing(patrol, lang, socket)
    _add_acting(patrol, lang, socket)
    _add_figures(patrol, lang, socket, store)
    _add_people(people, lang, socket)


def _options(lang: Lang) -> dict[str, Any]:
    return {
        "by": typer.Option("--as", help=_HELP["as"].in_(lang), metavar="CODE"),
        "json": typer.Option("--json", help=_HELP["json"].in_(lang)),
        "socket": typer.Option("--socket", help=_HELP["socket"].in_(lang)),
        "lang": typer.Option("--lang", help=_HELP["lang"].in_(lang)),
        "round": typer.Argument(help=_HELP["round"].in_(lang)),
        "why": typer.Option("--why", help=_HELP["why"].in_(lang)),
    }


def _add_showing(patrol: typer.Typer, usual: Lang, daemon: Path) -> None:
    shared = _options(usual)

    @patrol.command("today", help=_HELP["today"].in_(usual))
    def today(
        as_json: Annotated[bool, shared["json"]] = False,
        socket: Annotated[Path, shared["socket"]] = daemon,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.patrol import show

        raise typer.Exit(show(socket, "patrol_today", {}, as_json=as_json, lang=lang))

    @patrol.command("rounds", help=_HELP["rounds"].in_(usual))
    def rounds(
        date: Annotated[str, typer.Argument(help=_HELP["date"].in_(usual))],
        as_json: Annotated[bool, shared["json"]] = False,
        socket: Annotated[Path, shared["socket"]] = daemon,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.patrol import show

        asked = {"date": date}
        raise typer.Exit(show(socket, "patrol_rounds", asked, as_json=as_json, lang=lang))

    @patrol.command("plan", help=_HELP["plan"].in_(usual))
    def plan(
        days: Annotated[
            int, typer.Option("--days", help=_HELP["days"].in_(usual), min=1, max=31)
        ] = 7,
        as_json: Annotated[bool, shared["json"]] = False,
        socket: Annotated[Path, shared["socket"]] = daemon,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.patrol import show

        raise typer.Exit(show(socket, "patrol_plan", {"days": days}, as_json=as_json, lang=lang))


def _add_acting(patrol: typer.Typer, usual: Lang, daemon: Path) -> None:
    shared = _options(usual)

    def add(command: str, verb: str, *, has_reason: bool) -> None:
        @patrol.command(command, help=_HELP[command].in_(usual))
        def run(
            rounds: Annotated[list[str], shared["round"]],
            by: Annotated[str | None, shared["by"]] = None,
            why: Annotated[str, shared["why"]] = "",
            as_json: Annotated[bool, shared["json"]] = False,
            socket: Annotated[Path, shared["socket"]] = daemon,
            lang: Annotated[Lang, shared["lang"]] = usual,
        ) -> None:
            from gateway.cli.patrol import act

            fields = {"reason" if has_reason else "note": why} if why or has_reason else {}
            raise typer.Exit(act(socket, verb, by, rounds, fields, as_json=as_json, lang=lang))

    add("sign", "round_sign", has_reason=False)
    add("cancel", "round_cancel", has_reason=True)
    add("explain", "round_explain", has_reason=True)
    add("end", "round_end", has_reason=True)
    add("start", "round_start", has_reason=False)


def _add_figures(patrol: typer.Typer, usual: Lang, daemon: Path, usual_store: Path) -> None:
    shared = _options(usual)

    @patrol.command("month", help=_HELP["month"].in_(usual))
    def month(
        name: Annotated[str | None, typer.Argument(help=_HELP["name"].in_(usual))] = None,
        by: Annotated[str | None, shared["by"]] = None,
        as_json: Annotated[bool, shared["json"]] = False,
        socket: Annotated[Path, shared["socket"]] = daemon,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.patrol import month as print_month

        raise typer.Exit(print_month(socket, name, by, as_json=as_json, lang=lang))

    @patrol.command("export", help=_HELP["export"].in_(usual))
    def export(
        since: Annotated[str | None, typer.Option("--from", help=_HELP["from"].in_(usual))] = None,
        until: Annotated[str | None, typer.Option("--to", help=_HELP["to"].in_(usual))] = None,
        form: Annotated[
            Literal["jsonl", "csv"], typer.Option("--format", help=_HELP["format"].in_(usual))
        ] = "jsonl",
        store: Annotated[
            Path, typer.Option("--store", help=_HELP["store"].in_(usual))
        ] = usual_store,
        as_json: Annotated[bool, shared["json"]] = False,
        socket: Annotated[Path, shared["socket"]] = daemon,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.patrol import export as export_records

        wanted = "jsonl" if as_json else form
        raise typer.Exit(export_records(store, socket, since, until, form=wanted, lang=lang))


def _add_people(people: typer.Typer, usual: Lang, daemon: Path) -> None:
    shared = _options(usual)

    @people.command("list", help=_HELP["list"].in_(usual))
    def list_(
        as_json: Annotated[bool, shared["json"]] = False,
        socket: Annotated[Path, shared["socket"]] = daemon,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.patrol import people as print_people

        raise typer.Exit(print_people(socket, as_json=as_json, lang=lang))

    @people.command("forget", help=_HELP["forget"].in_(usual))
    def forget(
        person: Annotated[str, typer.Argument(help=_HELP["person"].in_(usual))],
        by: Annotated[str | None, shared["by"]] = None,
        as_json: Annotated[bool, shared["json"]] = False,
        socket: Annotated[Path, shared["socket"]] = daemon,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.patrol import forget_phones

        raise typer.Exit(forget_phones(socket, person, by, as_json=as_json, lang=lang))

    @people.command("pin", help=_HELP["pin"].in_(usual))
    def pin(lang: Annotated[Lang, shared["lang"]] = usual) -> None:
        from gateway.cli.patrol import pin as make_pin

        raise typer.Exit(make_pin(lang))
