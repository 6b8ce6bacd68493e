"""`care-gateway reader`: the process of the NFC reader. Loads no command-line library."""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gateway.cli.language import language
from gateway.domain.text import Lang, Text
from gateway.drivers import systemd
from gateway.drivers.arguments import Arguments
from gateway.drivers.clock import mono
from gateway.drivers.sockets import ask

SOCKET = Path("/run/care-gateway/reader.sock")
LEND = Path("/run/care-gateway-reader/lend.sock")
ANSWER_S = 6.0  # the daemon gives its decider five

MISSING = Text(
    "缺少 nfcpy：请安装 pip install 'care-gateway[nfc]'",
    "nfcpy is missing: pip install 'care-gateway[nfc]'",
)
HELP = {
    "what": Text("运行读卡器进程（守护进程给出设备）。", "Run the NFC reader's process."),
    "socket": Text("守护进程的读卡器套接字", "the daemon's socket for the reader"),
    "lend": Text("借用读卡器的套接字", "where commands borrow the reader"),
    "lang": Text("语言，默认取自 LANG", "language; LANG decides if not given"),
    "verbose": Text("更多日志", "log more"),
}


def main(argv: Sequence[str]) -> int:
    """Work until SIGTERM; exit code 0, 1 when nfcpy is missing."""
    lang = language(argv, os.environ)
    arguments = _parser(lang).parse_args(argv)
    if find_spec("nfc") is None:
        sys.stderr.write(MISSING.in_(lang) + "\n")
        return 1
    from gateway.reader.lending import open_lender
    from gateway.reader.reports import Reports
    from gateway.reader.worker import work

    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())

    def put(message: Mapping[str, object]) -> Mapping[str, Any]:
        return ask(arguments.socket, message, ANSWER_S)

    level = logging.DEBUG if arguments.verbose else logging.INFO
    with systemd.open_log(level), open_lender(arguments.lend) as lender:
        systemd.ready()
        reports = Reports(put, mono, systemd.feed)
        work(reports, wait=lambda s: not ending.wait(s), lender=lender, mono=mono)
        systemd.stopping()
    return 0


def _parser(lang: Lang) -> argparse.ArgumentParser:
    def words(key: str) -> str:
        return HELP[key].in_(lang)

    parser = Arguments(lang, prog="care-gateway reader", description=words("what"))
    parser.add_argument("--socket", type=Path, metavar="PATH", default=SOCKET, help=words("socket"))
    parser.add_argument("--lend", type=Path, metavar="PATH", help=f"{words('lend')} ({LEND})")
    parser.add_argument(
        "--lang", choices=[each.value for each in Lang], default=lang, help=words("lang")
    )
    parser.add_argument("--verbose", action="store_true", help=words("verbose"))
    return parser
