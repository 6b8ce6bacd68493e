"""`care-gateway run`: the daemon. Loads no command-line library: memory counts for years."""

import argparse
import faulthandler
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.language import language
from gateway.cli.site_file import SiteRead, begin, read_apart, read_here
from gateway.domain.errors import SiteRefused
from gateway.domain.site import Site
from gateway.domain.text import Lang, Text
from gateway.drivers.arguments import Arguments
from gateway.drivers.gpio import Gpio

if TYPE_CHECKING:
    from gateway.app import Failpoints

log = logging.getLogger(__name__)

SITE = Path("/etc/care-gateway/site.yaml")
SOCKET = Path("/run/care-gateway/daemon.sock")
CONSOLE_SOCKET = Path("/run/care-gateway/console.sock")
READER_SOCKET = Path("/run/care-gateway/reader.sock")
# The panel's and the writers' threads share one interpreter with the event loop. Measured with one
# busy thread beside: show to pin p99 10.1 ms at Python's 5 ms, 1.8 ms at 1 ms.
SWITCH_S = 0.001
NEVER = 1_000_000
BUSY = Text(
    "另一个守护进程正在用这个数据目录：systemctl status care-gateway 查看，停掉其中一个",
    "another daemon uses this data folder: see systemctl status care-gateway, and end one of them",
)
HELP = {
    "what": Text("运行网关守护进程。", "Run the daemon."),
    "site": Text("站点文件", "the site file"),
    "store": Text(
        "数据库所在目录，不写按站点文件", "folder of the databases, over the site file's"
    ),
    "socket": Text("在哪里应答命令", "where commands are answered"),
    "console": Text(
        f"值班台网页从哪里读；不写为 {CONSOLE_SOCKET}，改了 --socket 时不开",
        f"where the console watches; {CONSOLE_SOCKET} unless --socket is another",
    ),
    "reader": Text(
        f"读卡器进程从哪里报刷卡；不写为 {READER_SOCKET}，改了 --socket 时不开",
        f"where the NFC reader's process tells of taps; {READER_SOCKET} unless --socket is another",
    ),
    "panel": Text("用哪种引脚", "which GPIO"),
    "panel_log": Text(
        "用 --panel mock 时，引脚变化记在哪里", "with --panel mock: log of pin changes"
    ),
    "sync_flag": Text(
        "每次对时成功时改动的文件；不是 timesyncd 时才要写",
        "what is touched at each synchronisation of the clock, where that is not timesyncd's",
    ),
    "lang": Text("说明和错误用的语言，默认取自 LANG", "language; LANG decides if not given"),
    "verbose": Text("更多日志", "log more"),
}


def main(argv: Sequence[str], failpoints: "Failpoints | None" = None) -> int:
    """Run until SIGTERM; exit code 0, 1 when the store is in use, 2 for a site file with errors."""
    # until it can be heard; the file is about to be read anyway
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    arguments = _parser(language(argv, os.environ)).parse_args(argv)
    words = arguments.site, arguments.store, Lang(arguments.lang)
    reading = begin(partial(read_here, *words))
    # what follows, asyncio too, is loaded while another process reads the site file
    from gateway.drivers.systemd import open_log
    from gateway.store.store import StoreBusy

    try:
        with open_log(logging.DEBUG if arguments.verbose else logging.INFO):
            return _run(arguments, failpoints, reading)
    except StoreBusy as busy:
        sys.stderr.write(f"{busy.folder}: {BUSY.in_(words[2])}\n")
        return 1


def _run(
    arguments: argparse.Namespace,
    failpoints: "Failpoints | None",
    reading: Callable[[], SiteRead],
) -> int:
    import asyncio

    from gateway.app import Options, run

    words = arguments.site, arguments.store, Lang(arguments.lang)
    try:
        site = _taken(reading)
    except SiteRefused as refused:
        sys.stderr.write(f"{refused.detail}\n")
        return 2
    console = arguments.console_socket
    if console is None and arguments.socket == SOCKET:
        console = CONSOLE_SOCKET
    reader = arguments.reader_socket
    if reader is None and arguments.socket == SOCKET:
        reader = READER_SOCKET
    options = Options(arguments.socket, console, reader, arguments.panel, arguments.panel_log)
    if arguments.sync_flag is not None:
        options = replace(options, sync_flag=arguments.sync_flag)
    faulthandler.enable()  # the watchdog's SIGABRT tells where every thread stood
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()  # what the imports made never dies: the collector need not look at it again
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, NEVER)  # everything: at moments of our own (tasks/tidy_memory)
    gc.enable()
    load = partial(_taken, partial(read_apart, *words))
    asyncio.run(run(site, options, failpoints, load=load))
    return 0


def _taken(read: Callable[[], SiteRead]) -> Site:
    """The site as read, at the start and at each reload; SiteRefused has all that is wrong."""
    found = read()
    site = found.taken()
    if found.warnings:  # said by `check`, each under its line
        template = "site file has warnings, `care-gateway check` shows them site=%s warnings=%s"
        log.warning(template, site.id, found.warnings)
    return site


def _parser(lang: Lang) -> argparse.ArgumentParser:
    def words(key: str) -> str:
        return HELP[key].in_(lang)

    parser = Arguments(lang, prog="care-gateway run", description=words("what"))
    parser.add_argument(
        "site", type=Path, nargs="?", default=SITE, help=f"{words('site')} ({SITE})"
    )
    parser.add_argument("--store", type=Path, metavar="DIR", help=words("store"))
    parser.add_argument("--socket", type=Path, metavar="PATH", default=SOCKET, help=words("socket"))
    parser.add_argument("--console-socket", type=Path, metavar="PATH", help=words("console"))
    parser.add_argument("--reader-socket", type=Path, metavar="PATH", help=words("reader"))
    parser.add_argument(
        "--panel", choices=[gpio.value for gpio in Gpio], default="auto", help=words("panel")
    )
    parser.add_argument("--panel-log", type=Path, metavar="FILE", help=words("panel_log"))
    parser.add_argument("--sync-flag", type=Path, metavar="FILE", help=words("sync_flag"))
    parser.add_argument(
        "--lang", choices=[lang.value for lang in Lang], default=lang, help=words("lang")
    )
    parser.add_argument("--verbose", action="store_true", help=words("verbose"))
    return parser
