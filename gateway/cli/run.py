"""`care-gateway run`: the daemon. Loads no command-line library: memory counts for years."""

import argparse
import asyncio
import faulthandler
import gc
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from gateway.app import Failpoints, Options, run
from gateway.cli.language import language
from gateway.config.load import load_site
from gateway.config.problems import render
from gateway.domain.errors import SiteRefused
from gateway.domain.site import Site
from gateway.domain.text import Lang
from gateway.drivers.panel import Gpio
from gateway.drivers.systemd import open_log
from gateway.store.store import StoreBusy

log = logging.getLogger(__name__)

SITE = Path("/etc/care-gateway/site.yaml")
SOCKET = Path("/run/care-gateway/daemon.sock")
CONSOLE_SOCKET = Path("/run/care-gateway/console.sock")
READER_SOCKET = Path("/run/care-gateway/reader.sock")
# The panel's and the writers' threads share one interpreter with the event loop. Measured with one
# busy thread beside: show to pin p99 10.1 ms at Python's 5 ms, 1.8 ms at 1 ms.
SWITCH_S = 0.001
NEVER = 1_000_000


def main(argv: Sequence[str], failpoints: Failpoints | None = None) -> int:
    """Run until SIGTERM; exit code 0, 1 when the store is in use, 2 for a site file with errors."""
    arguments = _parser(language(argv, os.environ)).parse_args(argv)
    try:
        with open_log(logging.DEBUG if arguments.verbose else logging.INFO):
            return _run(arguments, failpoints)
    except StoreBusy as busy:
        sys.stderr.write(f"{busy}\n")
        return 1


def _run(arguments: argparse.Namespace, failpoints: Failpoints | None) -> int:
    # what `check` says of load and detection times is not worth waiting for at every start
    load = partial(_load, arguments.site, arguments.store, Lang(arguments.lang))
    try:
        site = load()
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
    faulthandler.enable()  # the watchdog's SIGABRT tells where every thread stood
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()  # what the imports made never dies: the collector need not look at it again
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, NEVER)  # everything: at moments of our own (tasks/tidy_memory)
    gc.enable()
    asyncio.run(run(site, options, failpoints, load=load))
    return 0


def _load(path: Path, store: Path | None, lang: Lang) -> Site:
    """Read the site file, at the start and at each reload; SiteRefused has all that is wrong."""
    loaded = load_site(path, store_dir=store, is_timed=False)
    if loaded.site is None:
        errors = [problem for problem in loaded.problems if problem.is_error]
        first = errors[0]
        more = f" (+{len(errors) - 1})" if len(errors) > 1 else ""
        why = f"{first.file}:{first.line}: {first.fact.in_(lang)}{more}"
        raise SiteRefused(why, render(errors, lang))
    if loaded.problems:  # said by `check`, each under its line
        template = "site file has warnings, `care-gateway check` shows them site=%s warnings=%s"
        log.warning(template, loaded.site.id, len(loaded.problems))
    return loaded.site


def _parser(lang: Lang) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="care-gateway run", description="Run the daemon.")
    parser.add_argument("site", type=Path, nargs="?", default=SITE, help=f"site file ({SITE})")
    parser.add_argument("--store", type=Path, help="folder of the databases, over the site file's")
    parser.add_argument("--socket", type=Path, default=SOCKET, help="where commands are answered")
    parser.add_argument(
        "--console-socket",
        type=Path,
        help=f"where the console watches; {CONSOLE_SOCKET} unless --socket is another",
    )
    parser.add_argument(
        "--reader-socket",
        type=Path,
        help=f"where the NFC reader's process tells of taps; {READER_SOCKET} unless --socket is"
        " another",
    )
    parser.add_argument(
        "--panel", choices=[gpio.value for gpio in Gpio], default="auto", help="which GPIO"
    )
    parser.add_argument("--panel-log", type=Path, help="with --panel mock: log of pin changes")
    parser.add_argument("--lang", choices=[lang.value for lang in Lang], default=lang)
    parser.add_argument("--verbose", action="store_true", help="log more")
    return parser
