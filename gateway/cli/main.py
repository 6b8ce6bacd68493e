"""The verbs of `care-gateway`: names, options and help; each loads its module when it is called.

Exit codes: 0 fine, 1 the outside world (a broker, a port, the daemon), 2 your input.
stdout is data, stderr is talk; NO_COLOR is honoured.
"""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway.cli import misuse
from gateway.cli.accept_verbs import add_accept_verb
from gateway.cli.alarm_verbs import add_alarm_verbs
from gateway.cli.bus_verbs import add_bus_verbs
from gateway.cli.durations import time_option
from gateway.cli.language import in_front, language
from gateway.cli.nfc_verbs import add_nfc_verbs
from gateway.cli.patrol_verbs import add_patrol_verbs
from gateway.cli.sheet_verbs import add_sheet_verbs
from gateway.domain.records import Lane
from gateway.domain.text import Lang, Text

SITE = Path("/etc/care-gateway/site.yaml")
SOCKET = Path("/run/care-gateway/daemon.sock")
STORE = Path("/var/lib/care-gateway")
STDOUT = 1
Files = Literal["site", "profile", "rules"]
Pins = Literal["auto", "lgpio", "mock", "none"]

_HELP = {
    "app": Text(
        "养老机构消防安全边缘网关：读 Modbus，响蜂鸣器，发 MQTT。"
        "它是补充手段，不是火灾报警控制器。",
        "Fire-safety edge gateway for care institutions: Modbus in, buzzer, lamps and MQTT out. "
        "A supplement; not a fire alarm control panel.",
    ),
    "run": Text("运行网关守护进程。", "Run the daemon."),
    "console": Text(
        "运行值班台网页：报警、位置、怎么办（只读）。",
        "Serve the duty page: what is wrong, where, what to do (read-only).",
    ),
    "reader": Text("运行 NFC 读卡器进程。", "Run the NFC reader's process."),
    "check": Text(
        "检查站点文件，一次列出全部问题及其位置。",
        "Check a site file and show every problem at once, each under its line.",
    ),
    "plan": Text(
        "各总线的请求块、负载，以及每条规则最坏多久报警；不需要硬件。",
        "Show each bus's blocks and load, and how long each rule takes to raise at worst.",
    ),
    "silent": Text(
        "假定一条总线上同时有几台设备失联。", "How many devices of a bus are silent at once."
    ),
    "schema": Text(
        "输出配置文件的 JSON Schema，供编辑器补全和检查。",
        "Print the JSON Schema of a configuration file, for editors that complete and check.",
    ),
    "files": Text("哪一种文件。", "Which kind of file."),
    "status": Text(
        "询问运行中的守护进程：报警、监测点、总线、上行。",
        "Ask the running daemon for alarms, points, buses and uplink.",
    ),
    "doctor": Text(
        "检查串口、权限、GPIO、读卡器、平台、时钟、磁盘和服务；每一处都说怎么办。",
        "Look at ports, rights, GPIO, reader, broker, clock, disk, units; with the cure for each.",
    ),
    "report": Text(
        "打包给支持人员的资料：不含密钥，不含人员。",
        "Pack what a helper needs into one file: no secrets, no people.",
    ),
    "config": Text("站点文件。", "Site files."),
    "config_diff": Text(
        "新站点文件会改变什么；哪些改动让保护减弱。",
        "What a new site file would change, and what of it protects people less.",
    ),
    "config_what_if": Text(
        "用新规则重放存储的测量值：哪些报警会出现或消失。",
        "Replay stored readings through new rules: which alarms would appear or vanish.",
    ),
    "days": Text("最近几天的数据。", "So many days of the stored data, counted from its end."),
    "new": Text("新站点文件。", "The new site file."),
    "old": Text("现在用的站点文件。", "The site file that is in use."),
    "folder": Text("放在哪个目录。", "The folder to write it to."),
    "demo": Text(
        "用模拟设备、模拟平台和真实的守护进程演示一段完整的故事。",
        "Show the whole way with simulated devices, a simulated platform and the real daemon.",
    ),
    "panel": Text("面板：灯、蜂鸣器、消音按钮。", "The panel: lamps, buzzer, silence button."),
    "panel_test": Text(
        "逐一点亮面板的灯并鸣响蜂鸣器。", "Light each lamp in turn and sound the buzzer."
    ),
    "panel_safe": Text(
        "让面板进入故障状态：只亮黄灯。", "Put the panel into its fault state: only yellow lit."
    ),
    "uplink": Text("到平台的上行连接。", "The way up to the platform."),
    "uplink_status": Text(
        "连接、各消息服务器及失败原因、各通道排队和已收的条数。",
        "The connection, every broker and why it fails, and what each lane has queued and settled.",
    ),
    "uplink_tail": Text(
        "跟踪发送与应答，每条一行，到 Ctrl-C 为止。",
        "Follow what is sent and acknowledged, a line each, until Ctrl-C.",
    ),
    "platform": Text("平台一侧的工具。", "Tools for the platform's side."),
    "platform_sim": Text(
        "运行模拟平台：应答、打印并保存收到的内容。",
        "Run a simulated platform that acknowledges, prints and keeps what it gets.",
    ),
    "platform_check": Text(
        "扮演一台网关，逐条检查平台是否尽职；要一个专用的网关编号。",
        "Play a gateway (with an id of its own) and see, duty by duty, what a platform does.",
    ),
    "broker_url": Text("平台的消息服务器：mqtts://主机:端口。", "The broker: mqtts://host:port."),
    "as_gateway": Text("以哪个网关编号登录。", "The gateway id to come as."),
    "ca": Text("签发服务器证书的CA。", "The authority of the broker's certificate."),
    "cert": Text("该网关的证书。", "That gateway's certificate."),
    "cert_key": Text("证书的私钥。", "The key of that certificate."),
    "user": Text("用户名。", "User name."),
    "password_file": Text("密码所在文件。", "The file that holds the password."),
    "real_alarm": Text(
        "发一条真实报警以检查回执；会有人收到通知！",
        "Send one real alarm to see the receipts; people will be told!",
    ),
    "post_check_s": Text("等多少秒让平台发起查岗。", "Wait so many seconds for a post check."),
    "applied_by": Text(
        "列出已生效记录的命令，每行一个 JSON：gw, ep, lane, seq。",
        "A command that prints what took effect, a JSON line each: gw, ep, lane, seq.",
    ),
    "stop_by": Text("停止平台的命令。", "A command that stops the platform."),
    "start_by": Text("再启动平台的命令。", "A command that starts it again."),
    "restart_broker_by": Text("重启消息服务器的命令。", "A command that restarts the broker."),
    "shown_by": Text(
        "列出平台所显示报警状态的命令，每行一个 JSON：gw, alarm, state。",
        "A command that prints how alarms are shown, a JSON line each: gw, alarm, state.",
    ),
    "record": Text("数据库里的记录。", "The records that the databases keep."),
    "record_list": Text("最近的记录。", "The newest records."),
    "record_verify": Text(
        "校验记录与哈希链；被改动的，指出第一条。",
        "Check the records and their hash chain; names the first one that was changed.",
    ),
    "record_export": Text(
        "导出全部记录：JSON Lines 或 CSV。", "Write all records as JSON Lines or CSV."
    ),
    "db": Text("数据库文件。", "The database files."),
    "db_check": Text("检查数据库文件是否完好。", "Check whether the database files are sound."),
    "db_backup": Text(
        "把 core.db 备份到一个目录；守护进程可以在运行。",
        "Copy core.db into a folder; the daemon may be running.",
    ),
    "db_restore": Text(
        "用备份替换 core.db；先停守护进程。",
        "Put a copy back in place of core.db; stop the daemon first.",
    ),
    "store": Text("数据库所在目录。", "The folder of the databases."),
    "elsewhere": Text("数据库目录；不写按站点文件。", "The data folder, if not the site file's."),
    "lane": Text("只看这个通道：A、B 或 R。", "Only this lane: A, B or R."),
    "kind": Text("只看这一种记录，如 alarm、boot。", "Only records of this kind, e.g. alarm."),
    "last": Text("每个通道最多几条。", "At most so many of a lane."),
    "head": Text(
        "平台持有的链头，A=<十六进制>；可多次给出。",
        "A head that the platform holds, A=<hex>; may be given more than once.",
    ),
    "form": Text("jsonl 或 csv。", "jsonl or csv."),
    "copies": Text("保留最近几份备份。", "How many copies to keep."),
    "backup": Text("备份文件。", "The copy."),
    "into": Text("放备份的目录。", "The folder for copies."),
    "site": Text("站点文件。", "The site file."),
    "socket": Text("守护进程的套接字。", "The daemon's socket."),
    "json": Text("输出 JSON。", "Print JSON."),
    "watch": Text("持续显示，q 退出。", "Keep showing it; q ends."),
    "plain": Text("逐行输出，不用全屏画面。", "Print lines; no live page."),
    "lang": Text("语言，默认取自 LANG。", "Language; LANG decides if not given."),
    "version": Text("显示版本。", "Show the version."),
    "for": Text(
        "运行多久后自行结束，如 60s、5m；不给则到 Ctrl-C 为止。",
        "End after this time, e.g. 60s or 5m; without it, on Ctrl-C.",
    ),
    "keep": Text("把日志和数据库留在这个目录。", "Leave logs and databases in this folder."),
    "pins": Text(
        "引脚工厂；auto 在没有 GPIO 处只显示画面。",
        "Which GPIO; auto shows a picture where there is none.",
    ),
}


def build(lang: Lang) -> typer.Typer:
    """Return the command line with its help in `lang`."""

    def words(key: str) -> str:
        return _HELP[key].in_(lang)

    app = typer.Typer(
        help=words("app"),
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,  # its traceback prints local variables: passwords too
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    panel = typer.Typer(help=words("panel"), no_args_is_help=True)
    platform = typer.Typer(help=words("platform"), no_args_is_help=True)
    app.add_typer(panel, name="panel")
    app.add_typer(platform, name="platform")
    uplink = typer.Typer(help=words("uplink"), no_args_is_help=True)
    app.add_typer(uplink, name="uplink")
    config = typer.Typer(help=words("config"), no_args_is_help=True)
    app.add_typer(config, name="config")

    def show_version(is_asked: bool) -> None:
        if is_asked:
            print(f"care-gateway {metadata.version('care-gateway')}")
            raise typer.Exit

    @app.callback()
    def before_the_verb(
        _lang: Annotated[Lang, typer.Option("--lang", help=words("lang"))] = lang,
        _version: Annotated[
            bool,
            typer.Option("--version", help=words("version"), callback=show_version, is_eager=True),
        ] = False,
    ) -> None:
        """`--lang` may also stand before the verb: `language` has seen it already."""

    # These verbs read their own arguments: they also stand alone, without this file's libraries.
    passed_on: dict[str, Any] = {
        "add_help_option": False,
        "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
    }
    site_argument = typer.Argument(help=words("site"))
    files_argument = typer.Argument(help=words("files"))
    lang_option = typer.Option("--lang", help=words("lang"))
    json_option = typer.Option("--json", help=words("json"))
    socket_option = typer.Option("--socket", help=words("socket"))
    pins_option = typer.Option("--panel", help=words("pins"))
    elsewhere_option = typer.Option("--store", help=words("elsewhere"))

    @app.command(help=words("run"), **passed_on)
    def run(context: typer.Context) -> None:
        from gateway.cli.run import main as run_daemon

        raise typer.Exit(run_daemon(["--lang", lang, *context.args]))

    @app.command(help=words("console"), **passed_on)
    def console(context: typer.Context) -> None:
        from gateway.cli.console import main as serve_console

        raise typer.Exit(serve_console(["--lang", lang, *context.args]))

    @app.command(help=words("reader"), **passed_on)
    def reader(context: typer.Context) -> None:
        from gateway.cli.reader import main as read_taps

        raise typer.Exit(read_taps(["--lang", lang, *context.args]))

    @app.command(help=words("check"))
    def check(
        path: Annotated[Path, site_argument] = SITE,
        as_json: Annotated[bool, json_option] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.check import check as check_site

        raise typer.Exit(check_site(path, lang=lang, as_json=as_json))

    @app.command(help=words("plan"))
    def plan(
        path: Annotated[Path, site_argument] = SITE,
        as_json: Annotated[bool, json_option] = False,
        silent: Annotated[
            int | None, typer.Option("--silent", help=words("silent"), min=0, max=246)
        ] = None,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.plan import plan as show_plan

        raise typer.Exit(show_plan(path, lang=lang, as_json=as_json, silent=silent))

    @app.command(help=words("schema"))
    def schema(
        kind: Annotated[Files, files_argument] = "site",
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.schema import schema as print_schema

        raise typer.Exit(print_schema(kind, lang=lang))

    @app.command(help=words("status"))
    def status(
        socket: Annotated[Path, socket_option] = SOCKET,
        as_json: Annotated[bool, json_option] = False,
        is_watching: Annotated[bool, typer.Option("--watch", help=words("watch"))] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        if is_watching:
            from gateway.cli.watch import watch

            raise typer.Exit(watch(socket, as_json=as_json, lang=lang))
        from gateway.cli.status import status as show_status

        raise typer.Exit(show_status(socket, as_json=as_json, lang=lang))

    @config.command("diff", help=words("config_diff"))
    def config_diff(
        new: Annotated[Path, typer.Argument(help=words("new"))],
        old: Annotated[Path, typer.Option("--old", help=words("old"))] = SITE,
        as_json: Annotated[bool, json_option] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.config import show_diff

        raise typer.Exit(show_diff(new, old, as_json=as_json, lang=lang))

    @config.command("what-if", help=words("config_what_if"))
    def config_what_if(
        new: Annotated[Path, typer.Argument(help=words("new"))],
        old: Annotated[Path, typer.Option("--old", help=words("old"))] = SITE,
        store: Annotated[Path, typer.Option("--store", help=words("store"))] = STORE,
        days: Annotated[float, typer.Option("--days", help=words("days"), min=0.01)] = 7.0,
        as_json: Annotated[bool, json_option] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.config import what_would

        raise typer.Exit(what_would(new, old, store, days=days, as_json=as_json, lang=lang))

    @app.command(help=words("doctor"))
    def doctor(
        path: Annotated[Path, site_argument] = SITE,
        socket: Annotated[Path, socket_option] = SOCKET,
        store: Annotated[Path | None, elsewhere_option] = None,
        as_json: Annotated[bool, json_option] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.doctor import doctor as look

        raise typer.Exit(look(path, socket, as_json=as_json, lang=lang, store=store))

    @app.command(help=words("report"))
    def report(
        path: Annotated[Path, site_argument] = SITE,
        socket: Annotated[Path, socket_option] = SOCKET,
        into: Annotated[Path, typer.Option("--into", help=words("folder"))] = Path(),
        store: Annotated[Path | None, elsewhere_option] = None,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.report import report as write_report

        raise typer.Exit(write_report(path, socket, into, lang=lang, store=store))

    @app.command(help=words("demo"))
    def demo(
        seconds: Annotated[float | None, time_option("--for", words("for"))] = None,
        keep: Annotated[Path | None, typer.Option("--keep", help=words("keep"))] = None,
        is_plain: Annotated[bool, typer.Option("--plain", help=words("plain"))] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.demo import demo as show_demo

        raise typer.Exit(show_demo(seconds, lang=lang, keep=keep, is_plain=is_plain))

    @panel.command("test", help=words("panel_test"))
    def panel_test(
        path: Annotated[Path, site_argument] = SITE,
        socket: Annotated[Path, socket_option] = SOCKET,
        pins: Annotated[Pins, pins_option] = "auto",
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.panel import panel_test as test_panel

        raise typer.Exit(test_panel(path, lang=lang, socket=socket, factory=pins))

    @panel.command("safe", help=words("panel_safe"))
    def panel_safe(
        path: Annotated[Path, site_argument] = SITE,
        pins: Annotated[Pins, pins_option] = "auto",
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.panel import end_here
        from gateway.cli.panel import panel_safe as make_safe

        end_here(make_safe(path, lang=lang, factory=pins))

    @uplink.command("status", help=words("uplink_status"))
    def uplink_status(
        socket: Annotated[Path, socket_option] = SOCKET,
        as_json: Annotated[bool, json_option] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.uplink import status as show_uplink

        raise typer.Exit(show_uplink(socket, as_json=as_json, lang=lang))

    @uplink.command("tail", help=words("uplink_tail"))
    def uplink_tail(
        socket: Annotated[Path, socket_option] = SOCKET,
        seconds: Annotated[float | None, time_option("--for", words("for"))] = None,
        as_json: Annotated[bool, json_option] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.uplink import tail as follow_uplink

        raise typer.Exit(follow_uplink(socket, as_json=as_json, lang=lang, seconds=seconds))

    _add_record_verbs(app, words, lang)
    _add_db_verbs(app, words, lang)
    add_alarm_verbs(app, lang, SOCKET)
    add_nfc_verbs(app, lang, SOCKET)
    add_patrol_verbs(app, lang, SOCKET, STORE)
    add_bus_verbs(app, lang, SOCKET, SITE)
    add_accept_verb(app, lang, SOCKET, SITE)
    add_sheet_verbs(app, lang, SITE)

    @platform.command("sim", help=words("platform_sim"), **passed_on)
    def platform_sim(context: typer.Context) -> None:
        from gateway.sim.platform import main as simulate_platform

        raise typer.Exit(simulate_platform(["--lang", lang, *context.args]))

    _add_platform_check(platform, words, lang)
    return app


def _add_platform_check(platform: typer.Typer, words: Callable[[str], str], lang: Lang) -> None:
    def option(name: str, word: str) -> Any:
        return typer.Option(name, help=words(word))

    @platform.command("check", help=words("platform_check"))
    def platform_check(
        url: Annotated[str, typer.Argument(help=words("broker_url"))],
        gateway: Annotated[str, option("--gateway", "as_gateway")] = "check-01",
        ca: Annotated[Path | None, option("--ca", "ca")] = None,
        cert: Annotated[Path | None, option("--cert", "cert")] = None,
        key: Annotated[Path | None, option("--key", "cert_key")] = None,
        user: Annotated[str | None, option("--user", "user")] = None,
        password_file: Annotated[Path | None, option("--password-file", "password_file")] = None,
        is_real: Annotated[bool, option("--real-alarm", "real_alarm")] = False,
        post_check_s: Annotated[float, option("--post-check", "post_check_s")] = 0.0,
        applied_by: Annotated[str | None, option("--applied-by", "applied_by")] = None,
        stop_by: Annotated[str | None, option("--stop-by", "stop_by")] = None,
        start_by: Annotated[str | None, option("--start-by", "start_by")] = None,
        restart_broker_by: Annotated[
            str | None, option("--restart-broker-by", "restart_broker_by")
        ] = None,
        shown_by: Annotated[str | None, option("--shown-by", "shown_by")] = None,
        as_json: Annotated[bool, option("--json", "json")] = False,
        lang: Annotated[Lang, option("--lang", "lang")] = lang,
    ) -> None:
        from gateway.cli.platform import check as check_platform

        raise typer.Exit(
            check_platform(
                url, lang=lang, as_json=as_json, gateway=gateway, ca=ca, cert=cert, key=key,
                user=user, password_file=password_file, is_real=is_real,
                post_check_s=post_check_s, applied_by=applied_by, stop_by=stop_by,
                start_by=start_by, restart_broker_by=restart_broker_by, shown_by=shown_by,
            )
        )  # fmt: skip


def _add_record_verbs(app: typer.Typer, words: Callable[[str], str], lang: Lang) -> None:
    record = typer.Typer(help=words("record"), no_args_is_help=True)
    app.add_typer(record, name="record")
    store_option = typer.Option("--store", help=words("store"))
    lane_option = typer.Option("--lane", help=words("lane"))
    kind_option = typer.Option("--kind", help=words("kind"))
    json_option = typer.Option("--json", help=words("json"))
    lang_option = typer.Option("--lang", help=words("lang"))

    @record.command("list", help=words("record_list"))
    def record_list(
        store: Annotated[Path, store_option] = STORE,
        lane: Annotated[Lane | None, lane_option] = None,
        kind: Annotated[str | None, kind_option] = None,
        last: Annotated[int, typer.Option("--last", help=words("last"), min=1)] = 20,
        as_json: Annotated[bool, json_option] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.record import list_records

        lanes = (lane,) if lane else (Lane.A, Lane.B)
        raise typer.Exit(
            list_records(store, lang=lang, lanes=lanes, kind=kind, last=last, as_json=as_json)
        )

    @record.command("verify", help=words("record_verify"))
    def record_verify(
        store: Annotated[Path, store_option] = STORE,
        head: Annotated[list[str] | None, typer.Option("--head", help=words("head"))] = None,
        as_json: Annotated[bool, json_option] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.record import verify

        raise typer.Exit(verify(store, lang=lang, heads=head or (), as_json=as_json))

    @record.command("export", help=words("record_export"))
    def record_export(
        store: Annotated[Path, store_option] = STORE,
        lane: Annotated[Lane | None, lane_option] = None,
        kind: Annotated[str | None, kind_option] = None,
        form: Annotated[Literal["jsonl", "csv"], typer.Option("--format", help=words("form"))] = (
            "jsonl"
        ),
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.record import export

        lanes = (lane,) if lane else tuple(Lane)
        raise typer.Exit(export(store, lang=lang, lanes=lanes, kind=kind, form=form))


def _add_db_verbs(app: typer.Typer, words: Callable[[str], str], lang: Lang) -> None:
    db = typer.Typer(help=words("db"), no_args_is_help=True)
    app.add_typer(db, name="db")
    store_option = typer.Option("--store", help=words("store"))
    json_option = typer.Option("--json", help=words("json"))
    lang_option = typer.Option("--lang", help=words("lang"))

    @db.command("check", help=words("db_check"))
    def db_check(
        store: Annotated[Path, store_option] = STORE,
        as_json: Annotated[bool, json_option] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.db import check_files

        raise typer.Exit(check_files(store, lang=lang, as_json=as_json))

    @db.command("backup", help=words("db_backup"))
    def db_backup(
        into: Annotated[Path, typer.Argument(help=words("into"))],
        store: Annotated[Path, store_option] = STORE,
        keep: Annotated[int, typer.Option("--keep", help=words("copies"), min=1)] = 7,
        as_json: Annotated[bool, json_option] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.db import back_up_core

        raise typer.Exit(back_up_core(store, into, lang=lang, as_json=as_json, keep=keep))

    @db.command("restore", help=words("db_restore"))
    def db_restore(
        backup: Annotated[Path, typer.Argument(help=words("backup"))],
        store: Annotated[Path, store_option] = STORE,
        as_json: Annotated[bool, json_option] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.db import restore_core

        raise typer.Exit(restore_core(store, backup, lang=lang, as_json=as_json))


def main(arguments: Sequence[str]) -> int:
    """Run one verb and return its exit code."""
    lang = language(arguments, os.environ)
    arguments = in_front(arguments)
    command = typer.main.get_command(build(lang))
    misuse.speak(command, lang)
    try:
        code = command(args=list(arguments), prog_name="care-gateway", standalone_mode=False)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except misuse.UsageError as error:
        sys.stderr.write(misuse.told(error, command, arguments, lang))
        return 2
    except typer.Abort:
        sys.stderr.write(f"\n{misuse.STOPPED.in_(lang)}\n")
        return 1
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
        return 1
    return code if isinstance(code, int) else 0
