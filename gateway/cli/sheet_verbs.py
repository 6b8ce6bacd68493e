"""The verbs on the institution's sheet: names, options and help."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from gateway.domain.sheet import Span
from gateway.domain.text import Lang, Text

_HELP = {
    "sheet": Text(
        "每个机构一张表：报警、故障、巡查、处置单、到期（日报、月报）。",
        "One sheet of the house: alarms, faults, patrols, cases, what is due; by day or month.",
    ),
    "day": Text("一天的表；不写日期就是昨天。", "The sheet of a day; yesterday unless told."),
    "month": Text(
        "一个月的表；不写就是上个月。", "The sheet of a month; the last one unless told."
    ),
    "keep": Text(
        "让目录里的日报、月报齐全：补上没有的，删去过旧的。",
        "Bring a folder of sheets up to date: write what is not there, drop what is too old.",
    ),
    "date": Text(
        "哪一天：2026-11-22；月份可写 2026-11。", "Which day: 2026-11-22; month: 2026-11."
    ),
    "html": Text("写成可打印的网页文件。", "Write a page to print."),
    "csv": Text("写成表格文件（Excel 可开）。", "Write a table for spreadsheets."),
    "json": Text("输出 JSON。", "Print JSON."),
    "site": Text("站点文件。", "The site file."),
    "store": Text("数据库目录；不写按站点文件。", "The data folder, if not the site file's."),
    "names": Text(
        "写出姓名；这样的表不出本机构。",
        "Give people's names too; such a sheet stays in the house.",
    ),
    "lang": Text("语言。", "Language."),
    "folder": Text("放在哪个目录。", "The folder."),
    "days": Text("留多少天的日报。", "How many sheets of days are kept."),
    "months": Text("留多少个月的月报。", "How many sheets of months are kept."),
}


def add_sheet_verbs(app: typer.Typer, lang: Lang, site: Path) -> None:
    """Add `sheet day|month|keep` to the program."""

    def words(name: str) -> str:
        return _HELP[name].in_(lang)

    sheet = typer.Typer(help=words("sheet"), no_args_is_help=True)
    app.add_typer(sheet, name="sheet")
    for span in Span:
        sheet.command(span.value, help=words(span.value))(_shower(span, words, lang, site))
    site_option = typer.Option("--site", help=words("site"))
    store_option = typer.Option("--store", help=words("store"))
    lang_option = typer.Option("--lang", help=words("lang"))

    @sheet.command("keep", help=words("keep"))
    def keep(
        folder: Annotated[Path, typer.Argument(help=words("folder"))],
        days: Annotated[int, typer.Option("--days", help=words("days"), min=0)] = 400,
        months: Annotated[int, typer.Option("--months", help=words("months"), min=0)] = 60,
        path: Annotated[Path, site_option] = site,
        store: Annotated[Path | None, store_option] = None,
        is_named: Annotated[bool, typer.Option("--names", help=words("names"))] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.sheet import Asked
        from gateway.cli.sheet import keep as bring_up_to_date

        asked = Asked(path, store, lang, is_named)
        raise typer.Exit(bring_up_to_date(asked, folder, days=days, months=months))


def _shower(span: Span, words: Callable[[str], str], lang: Lang, site: Path) -> Callable[..., None]:
    """The function behind `sheet day` or `sheet month`: the same options."""

    def show(
        day: Annotated[str | None, typer.Option("--date", help=words("date"))] = None,
        html: Annotated[Path | None, typer.Option("--html", help=words("html"))] = None,
        to_csv: Annotated[Path | None, typer.Option("--csv", help=words("csv"))] = None,
        as_json: Annotated[bool, typer.Option("--json", help=words("json"))] = False,
        is_named: Annotated[bool, typer.Option("--names", help=words("names"))] = False,
        path: Annotated[Path, typer.Option("--site", help=words("site"))] = site,
        store: Annotated[Path | None, typer.Option("--store", help=words("store"))] = None,
        lang: Annotated[Lang, typer.Option("--lang", help=words("lang"))] = lang,
    ) -> None:
        from gateway.cli.sheet import Asked
        from gateway.cli.sheet import show as show_sheet

        asked = Asked(path, store, lang, is_named)
        raise typer.Exit(show_sheet(asked, span, day, html=html, to_csv=to_csv, as_json=as_json))

    return show
