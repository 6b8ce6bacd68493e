"""The verb `accept` of the command line, with its options."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.domain.acceptance import Part
from gateway.domain.text import Lang, Text

_HELP = {
    "accept": Text(
        "验收：逐项核对设备、数值、报警、面板、巡查点、上传和时钟，出验收单。可随时暂停。",
        "Accept the installation thing by thing (devices, values, trips, panel, tags, uplink, "
        "clock) and write the sheet. It may be paused at any time.",
    ),
    "as": Text("谁在验收：员工工号。", "Who does this: a staff code."),
    "answers": Text(
        "从文件取回答（YAML：问题编号或通配: 回答）。",
        "Take the answers from this file (YAML: id or pattern of a question: answer).",
    ),
    "only": Text("只做这一部分，可多次。", "Only this part; may be repeated."),
    "device": Text("只做这台设备，可多次。", "Only this device; may be repeated."),
    "sheet": Text(
        "验收单写到这个 HTML 文件，数据写在旁边的 .json。",
        "Write the sheet to this HTML file, its data beside it as .json.",
    ),
    "again": Text("已合格的也重做。", "Also what is accepted already."),
    "tolerance": Text("与显示相差百分之几以内算相符。", "How many % the display may be away."),
    "trip": Text("等设备动作多少秒。", "How long to wait for a trip, in s."),
    "tap": Text("等贴卡多少秒。", "How long to wait for a tap, in s."),
    "site": Text("站点文件（用旁边的 profiles/）。", "The site file, for the profiles beside it."),
    "socket": Text("守护进程的套接字。", "The daemon's socket."),
    "json": Text("输出 JSON。", "Print JSON."),
    "lang": Text("语言，默认取自 LANG。", "Language; LANG decides if not given."),
}


def add_accept_verb(app: typer.Typer, usual: Lang, daemon: Path, house: Path) -> None:
    """Add `accept`. `daemon` and `house` are where socket and site file usually are."""

    def option(name: str, key: str, **more: Any) -> Any:
        return typer.Option(name, help=_HELP[key].in_(usual), **more)

    @app.command("accept", help=_HELP["accept"].in_(usual))
    def accept(
        by: Annotated[str | None, option("--as", "as", metavar="CODE")] = None,
        answers: Annotated[Path | None, option("--answers", "answers")] = None,
        only: Annotated[list[Part] | None, option("--only", "only")] = None,
        devices: Annotated[list[str] | None, option("--device", "device")] = None,
        sheet: Annotated[Path | None, option("--sheet", "sheet")] = None,
        is_again: Annotated[bool, option("--again", "again")] = False,
        tolerance: Annotated[float, option("--tolerance", "tolerance", min=0, max=20)] = 2.0,
        trip_s: Annotated[float, option("--trip-within", "trip", min=1, max=1500)] = 180.0,
        tap_s: Annotated[float, option("--tap-within", "tap", min=1, max=600)] = 60.0,
        site: Annotated[Path, option("--site", "site")] = house,
        socket: Annotated[Path, option("--socket", "socket")] = daemon,
        as_json: Annotated[bool, option("--json", "json")] = False,
        lang: Annotated[Lang, option("--lang", "lang")] = usual,
    ) -> None:
        from gateway.cli.accept import Wanted
        from gateway.cli.accept import accept as walk
        from gateway.cli.accept_walk import Waits

        wanted = Wanted(
            frozenset(only or ()), frozenset(devices or ()), is_again, sheet,
            Waits(trip_s=trip_s, restore_s=trip_s, tap_s=tap_s), tolerance / 100,
        )  # fmt: skip
        raise typer.Exit(
            walk(socket, site, by, wanted, answers=answers, as_json=as_json, lang=lang)
        )
