"""`care-gateway console`: the duty page. Loads no command-line library: it runs for years."""

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from gateway.cli.language import language
from gateway.domain.system_errors import why
from gateway.domain.text import Lang, Text
from gateway.drivers.arguments import Arguments
from gateway.drivers.systemd import open_log

SOCKET = Path("/run/care-gateway/console.sock")
LISTEN = "0.0.0.0:8080"
NEEDS = ("jinja2", "starlette", "uvicorn")

MISSING = Text(
    "缺少 {}：请安装 pip install 'care-gateway[console]'",
    "{} is missing: pip install 'care-gateway[console]'",
)
NO_PORT = Text("无法在 {} 上监听：{}", "cannot listen on {}: {}")
HELP = {
    "what": Text(
        "运行值班台网页（只读）和手机巡查页。",
        "Serve the duty page (read-only) and the page of patrollers' phones.",
    ),
    "listen": Text("监听的地址和端口，端口 0 为任意空闲端口", "address and port; port 0 is any"),
    "socket": Text("守护进程的控制台套接字", "the daemon's socket for the console"),
    "host": Text(
        "另一个允许的主机名，可多次给出", "another name this machine has; may be repeated"
    ),
    "photos": Text(
        "存放巡查照片的文件夹（默认 $STATE_DIRECTORY/photos）",
        "folder for photos of visits (default $STATE_DIRECTORY/photos)",
    ),
    "lang": Text("浏览器未指定语言时用", "language for browsers that ask for neither"),
    "verbose": Text("更多日志", "log more"),
}


def main(argv: Sequence[str]) -> int:
    """Serve until SIGTERM; exit code 0, 1 when the port or a package is missing, 2 bad input."""
    lang = language(argv, os.environ)
    arguments = _parser(lang).parse_args(argv)
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        sys.stderr.write(MISSING.in_(lang).format(", ".join(missing)) + "\n")
        return 1
    from gateway.web.server import listen, serve

    host, port = arguments.listen
    try:
        listener = listen(host, port)
    except OSError as error:
        at = f"{host}:{port}"
        sys.stderr.write(NO_PORT.in_(lang).format(at, why(error).in_(lang)) + "\n")
        return 1

    def say_where() -> None:
        print(address_of(listener), flush=True)

    name = socket.gethostname()
    hosts = ["localhost", name, f"{name.partition('.')[0]}.local", *arguments.host]
    with listener, open_log(logging.DEBUG if arguments.verbose else logging.INFO):
        asyncio.run(
            serve(listener, arguments.socket, lang=Lang(arguments.lang), hosts=hosts,
                  on_ready=say_where, photos=arguments.photos or photo_folder(os.environ))
        )  # fmt: skip
    return 0


def photo_folder(environment: Mapping[str, str]) -> Path | None:
    """Where systemd lets this process keep something; None: no photos are taken."""
    state = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(state) / "photos" if state else None


def address_of(listener: socket.socket) -> str:
    """Return what to type into a browser; on all addresses, this machine's name."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def place(text: str) -> tuple[str, int]:
    """Return host and port of `host:port` or `[v6]:port`; ArgumentTypeError for anything else."""
    host, colon, port = text.rpartition(":")
    is_number = port.isascii() and port.isdigit() and int(port) <= 65_535
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not (colon and host and is_number):
        raise argparse.ArgumentTypeError(f"{text!r}: 0.0.0.0:8080, 127.0.0.1:0, [::]:8080")
    return host, int(port)


def _parser(lang: Lang) -> argparse.ArgumentParser:
    def words(key: str) -> str:
        return HELP[key].in_(lang)

    parser = Arguments(lang, prog="care-gateway console", description=words("what"))
    parser.add_argument(
        "--listen",
        type=place,
        metavar="PLACE",
        default=place(LISTEN),
        help=f"{words('listen')} ({LISTEN})",
    )
    parser.add_argument("--socket", type=Path, metavar="PATH", default=SOCKET, help=words("socket"))
    parser.add_argument("--photos", type=Path, metavar="DIR", help=words("photos"))
    parser.add_argument("--host", metavar="NAME", action="append", default=[], help=words("host"))
    parser.add_argument(
        "--lang", choices=[each.value for each in Lang], default=lang, help=words("lang")
    )
    parser.add_argument("--verbose", action="store_true", help=words("verbose"))
    return parser
