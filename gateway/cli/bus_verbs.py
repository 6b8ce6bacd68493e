"""The verb `bus` of the command line, with its options."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway.cli.durations import time_option
from gateway.domain.families import LineSetting
from gateway.domain.points import WordType
from gateway.domain.site import Parity
from gateway.domain.text import Lang, Text

MOST_WATCHED = 125
Tables = Literal["holding", "input", "coil", "discrete"]
_HELP = {
    "bus": Text("总线：扫描、读寄存器、解码、接线。", "A line: scan, registers, decoding, wiring."),
    "scan": Text(
        "扫描一条总线：波特率 × 校验 × 停止位 × 站号，认出设备，给出站点文件。",
        "Scan a line (baud, parity, stop bits, units), recognise devices, propose a site file.",
    ),
    "read": Text(
        "读寄存器：十六进制，各种类型和字序并列；或用 --profile 看档案读出什么。",
        "Read registers: hex, every type and order; or with --profile what a profile makes of it.",
    ),
    "watch": Text("反复读，变化的标出；Ctrl-C 结束。", "Read again and again, changes marked."),
    "solve": Text(
        "由仪表的显示推出类型、字序、比例和偏移。",
        "From what the display shows: the type, order, scale and offset.",
    ),
    "stats": Text("各设备应答如何，接线提示。", "How devices answer, and hints on the wiring."),
    "target": Text(
        "总线名、串口 /dev/… 或 主机[:端口]；只有一条总线时可省略。",
        "A bus, a serial port /dev/... or host[:port]; not needed where there is only one bus.",
    ),
    "unit": Text("站号。", "Unit."),
    "at": Text("线上地址，从 0 数。", "Address on the wire, counted from 0."),
    "count": Text("读几个。", "How many."),
    "table": Text("寄存器表。", "Which table."),
    "type": Text("只看这种类型，可多次。", "Only this type; may be repeated."),
    "profile": Text("按这个档案读全部监测点。", "Read all points of this profile."),
    "ids": Text("站号，如 1-32,100。", "Units, such as 1-32,100."),
    "bauds": Text("波特率，可多次。", "Baud rate, may be repeated."),
    "parities": Text("校验，可多次。", "Parity, may be repeated."),
    "stops": Text("停止位，可多次。", "Stop bits, may be repeated."),
    "all": Text("所有波特率、校验和停止位的组合。", "All baud rates, parities and stop bits."),
    "baud": Text("波特率；不给则用总线的。", "Baud rate; the bus's own if not given."),
    "parity": Text("校验。", "Parity."),
    "stop": Text("停止位。", "Stop bits."),
    "timeout": Text("等应答多久，毫秒。", "How long to wait for an answer, in ms."),
    "out": Text("写入这个文件。", "Write it to this file."),
    "set": Text(
        "设备已全部改成同一线路参数。", "All devices have been set to the line's own setting."
    ),
    "every": Text("每隔多久，如 5s。", "How often, such as 5s."),
    "for": Text("多久后结束，如 60s、5m。", "End after this time, such as 60s or 5m."),
    "seconds": Text(
        "没有守护进程时问多久，如 60s。", "How long to ask where no daemon runs, such as 60s."
    ),
    "shows": Text("仪表显示的数；可多次，每次读一遍。", "What the display shows; may be repeated."),
    "written": Text(
        "记下的字和显示，如 '4366 3333=230.2'；可多次，不用总线。",
        "Words and display written down, such as '4366 3333=230.2'; may be repeated, needs no bus.",
    ),
    "site": Text("站点文件。", "The site file."),
    "socket": Text("守护进程的套接字。", "The daemon's socket."),
    "json": Text("输出 JSON。", "Print JSON."),
    "lang": Text("语言，默认取自 LANG。", "Language; LANG decides if not given."),
}  # fmt: skip


def add_bus_verbs(app: typer.Typer, lang: Lang, socket: Path, site: Path) -> None:
    """Add what technicians do with a line. `socket` and `site` are where they usually are."""
    bus = typer.Typer(help=_HELP["bus"].in_(lang), no_args_is_help=True)
    app.add_typer(bus, name="bus")
    _add_scan(bus, lang, socket, site)
    _add_read(bus, lang, socket, site)
    _add_watch(bus, lang, socket, site)
    _add_solve(bus, lang, socket, site)
    _add_stats(bus, lang, socket, site)


def _units(text: str) -> tuple[int, ...]:
    from gateway.cli.bus_scan import parse_units

    try:
        return parse_units(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r}: 1-32,100") from None


def _written(text: str) -> tuple[str, str]:
    words, sign, shown = text.partition("=")
    if not sign or not re.fullmatch(r"\s*([0-9A-Fa-f]{1,4}\s*)+", words):
        raise typer.BadParameter(f"{text!r}: '4366 3333=230.2'")
    return words, shown


def _shared(lang: Lang) -> dict[str, Any]:
    """The arguments and options that several verbs have."""

    def help_of(key: str) -> str:
        return _HELP[key].in_(lang)

    return {
        "target": typer.Argument(help=help_of("target"), metavar="[BUS]"),
        "unit": typer.Option("--unit", help=help_of("unit"), min=0, max=255),
        "at": typer.Option("--at", help=help_of("at"), min=0, max=65_535),
        "count": typer.Option("--count", help=help_of("count"), min=1, max=MOST_WATCHED),
        "table": typer.Option("--table", help=help_of("table")),
        "types": typer.Option("--type", help=help_of("type")),
        "baud": typer.Option("--baud", help=help_of("baud")),
        "parity": typer.Option("--parity", help=help_of("parity")),
        "stop": typer.Option("--stop-bits", help=help_of("stop"), min=1, max=2),
        "timeout": typer.Option("--timeout", help=help_of("timeout"), min=10, max=3_000),
        "json": typer.Option("--json", help=help_of("json")),
        "socket": typer.Option("--socket", help=help_of("socket")),
        "site": typer.Option("--site", help=help_of("site")),
        "lang": typer.Option("--lang", help=help_of("lang")),
    }


def _line(baud: int | None, parity: Parity, stop_bits: int) -> LineSetting | None:
    """The setting that was typed; None for the bus's own."""
    return None if baud is None else LineSetting(baud, parity, stop_bits)


def _numbers(types: list[WordType] | None) -> list[WordType]:
    """The types that were named; texts and bits are no numbers to look at."""
    for each in types or ():
        if each in (WordType.BIT, WordType.BITFIELD, WordType.ASCII):
            raise typer.BadParameter(f"{each.value!r}: uint16, int32, float32", param_hint="--type")
    return types or []


def _add_scan(bus: typer.Typer, usual: Lang, daemon: Path, house: Path) -> None:
    shared = _shared(usual)

    def option(name: str, key: str, **more: Any) -> Any:
        return typer.Option(name, help=_HELP[key].in_(usual), **more)

    @bus.command("scan", help=_HELP["scan"].in_(usual))
    def scan(
        target: Annotated[str | None, shared["target"]] = None,
        units: Annotated[Any, option("--ids", "ids", parser=_units, metavar="IDS")] = "1-247",
        bauds: Annotated[list[int] | None, option("--baud", "bauds")] = None,
        parities: Annotated[list[Parity] | None, option("--parity", "parities")] = None,
        stops: Annotated[list[int] | None, option("--stop-bits", "stops", min=1, max=2)] = None,
        is_all: Annotated[bool, option("--all", "all")] = False,
        out: Annotated[Path | None, option("--out", "out")] = None,
        is_set: Annotated[bool, option("--all-set", "set")] = False,
        timeout: Annotated[int, shared["timeout"]] = 200,
        as_json: Annotated[bool, shared["json"]] = False,
        socket: Annotated[Path, shared["socket"]] = daemon,
        site: Annotated[Path, shared["site"]] = house,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.bus_line import Where
        from gateway.cli.bus_scan import scan as scan_line
        from gateway.core.scan import BAUDS, all_lines

        is_usual = not (is_all or bauds or parities or stops)
        narrowed = {  # what is not named is what most devices have, unless all is asked for
            "bauds": bauds or (BAUDS if is_all else (9600,)),
            "parities": parities or (tuple(Parity) if is_all else (Parity.NONE,)),
            "stop_bits": stops or ((1, 2) if is_all else (1,)),
        }
        lines = () if is_usual else all_lines(**narrowed)  # type: ignore[arg-type]
        where = Where(target, socket, site, None, timeout)
        raise typer.Exit(
            scan_line(
                where, lang=lang, lines=lines, units=units, out=out, is_set=is_set, as_json=as_json
            )
        )


def _add_read(bus: typer.Typer, usual: Lang, daemon: Path, house: Path) -> None:
    shared = _shared(usual)

    @bus.command("read", help=_HELP["read"].in_(usual))
    def read(
        unit: Annotated[int, shared["unit"]],
        target: Annotated[str | None, shared["target"]] = None,
        at: Annotated[int, shared["at"]] = 0,
        count: Annotated[int, shared["count"]] = 8,
        table: Annotated[Tables, shared["table"]] = "holding",
        types: Annotated[list[WordType] | None, shared["types"]] = None,
        profile: Annotated[
            str | None, typer.Option("--profile", help=_HELP["profile"].in_(usual))
        ] = None,
        baud: Annotated[int | None, shared["baud"]] = None,
        parity: Annotated[Parity, shared["parity"]] = Parity.NONE,
        stop_bits: Annotated[int, shared["stop"]] = 1,
        timeout: Annotated[int, shared["timeout"]] = 500,
        as_json: Annotated[bool, shared["json"]] = False,
        socket: Annotated[Path, shared["socket"]] = daemon,
        site: Annotated[Path, shared["site"]] = house,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.bus_line import Registers, Where
        from gateway.cli.bus_read import read as read_registers
        from gateway.cli.bus_read import read_profile
        from gateway.domain.points import Table

        where = Where(target, socket, site, _line(baud, parity, stop_bits), timeout)
        if profile is not None:
            raise typer.Exit(read_profile(where, unit, profile, lang=lang, as_json=as_json))
        what = Registers(unit, Table(table), at, count)
        wanted = _numbers(types)
        raise typer.Exit(read_registers(where, what, lang=lang, types=wanted, as_json=as_json))


def _add_watch(bus: typer.Typer, usual: Lang, daemon: Path, house: Path) -> None:
    shared = _shared(usual)

    @bus.command("watch", help=_HELP["watch"].in_(usual))
    def watch(
        unit: Annotated[int, shared["unit"]],
        target: Annotated[str | None, shared["target"]] = None,
        at: Annotated[int, shared["at"]] = 0,
        count: Annotated[int, shared["count"]] = 8,
        table: Annotated[Tables, shared["table"]] = "holding",
        types: Annotated[list[WordType] | None, shared["types"]] = None,
        every: Annotated[
            float, time_option("--every", _HELP["every"].in_(usual), least=0.1, most=3600)
        ] = 1.0,
        seconds: Annotated[float | None, time_option("--for", _HELP["for"].in_(usual))] = None,
        baud: Annotated[int | None, shared["baud"]] = None,
        parity: Annotated[Parity, shared["parity"]] = Parity.NONE,
        stop_bits: Annotated[int, shared["stop"]] = 1,
        timeout: Annotated[int, shared["timeout"]] = 500,
        socket: Annotated[Path, shared["socket"]] = daemon,
        site: Annotated[Path, shared["site"]] = house,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.bus_line import Registers, Where
        from gateway.cli.bus_read import watch as watch_registers
        from gateway.domain.points import Table

        where = Where(target, socket, site, _line(baud, parity, stop_bits), timeout)
        raise typer.Exit(
            watch_registers(
                where, Registers(unit, Table(table), at, count), lang=lang, every_s=every,
                seconds=seconds, types=_numbers(types),
            )
        )  # fmt: skip


def _add_solve(bus: typer.Typer, usual: Lang, daemon: Path, house: Path) -> None:
    shared = _shared(usual)

    @bus.command("solve", help=_HELP["solve"].in_(usual))
    def solve(
        target: Annotated[str | None, shared["target"]] = None,
        unit: Annotated[int | None, shared["unit"]] = None,
        at: Annotated[int, shared["at"]] = 0,
        count: Annotated[int, shared["count"]] = 4,
        table: Annotated[Tables, shared["table"]] = "holding",
        shows: Annotated[
            list[str] | None, typer.Option("--shows", help=_HELP["shows"].in_(usual))
        ] = None,
        written: Annotated[
            list[Any] | None,
            typer.Option(
                "--words", help=_HELP["written"].in_(usual), parser=_written, metavar="HEX=SHOWN"
            ),
        ] = None,
        baud: Annotated[int | None, shared["baud"]] = None,
        parity: Annotated[Parity, shared["parity"]] = Parity.NONE,
        stop_bits: Annotated[int, shared["stop"]] = 1,
        timeout: Annotated[int, shared["timeout"]] = 500,
        as_json: Annotated[bool, shared["json"]] = False,
        socket: Annotated[Path, shared["socket"]] = daemon,
        site: Annotated[Path, shared["site"]] = house,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.bus_line import Registers, Where
        from gateway.cli.bus_solve import solve_line, solve_words
        from gateway.domain.points import Table

        if written:
            raise typer.Exit(solve_words(at, written, lang=lang, as_json=as_json))
        if unit is None:
            raise typer.BadParameter("", param_hint="--unit")
        where = Where(target, socket, site, _line(baud, parity, stop_bits), timeout)
        what = Registers(unit, Table(table), at, count)
        raise typer.Exit(solve_line(where, what, lang=lang, shown=shows or (), as_json=as_json))


def _add_stats(bus: typer.Typer, usual: Lang, daemon: Path, house: Path) -> None:
    shared = _shared(usual)

    @bus.command("stats", help=_HELP["stats"].in_(usual))
    def stats(
        target: Annotated[str | None, shared["target"]] = None,
        seconds: Annotated[
            float, time_option("--for", _HELP["seconds"].in_(usual), least=1, most=3600)
        ] = 20.0,
        timeout: Annotated[int, shared["timeout"]] = 500,
        as_json: Annotated[bool, shared["json"]] = False,
        socket: Annotated[Path, shared["socket"]] = daemon,
        site: Annotated[Path, shared["site"]] = house,
        lang: Annotated[Lang, shared["lang"]] = usual,
    ) -> None:
        from gateway.cli.bus_line import Where
        from gateway.cli.bus_stats import stats as show_stats

        where = Where(target, socket, site, None, timeout)
        raise typer.Exit(show_stats(where, lang=lang, seconds=seconds, as_json=as_json))
