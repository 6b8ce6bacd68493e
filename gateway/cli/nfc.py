"""`care-gateway nfc`: why the reader does not work and what to do; what lies on it, as it comes."""

import json
import os
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gateway.cli.tag import Desk
from gateway.cli.tag_words import OTHERS, READERS, Refused
from gateway.domain.text import Lang, Text
from gateway.drivers.sockets import NoAnswer, ask

KERNEL_DRIVERS = frozenset({"pn533_usb", "pn533", "port100", "nfc"})
PROC = Path("/proc")
LOOK_EVERY_S = 0.2

NAMES = {
    "library": Text("nfcpy 程序库", "the library nfcpy"),
    "configured": Text("读卡器配置", "the reader in site.yaml"),
    "process": Text("读卡器进程", "the reader's process"),
    "device": Text("设备", "the device"),
    "permission": Text("权限", "permission"),
    "kernel": Text("内核驱动", "drivers of the kernel"),
    "uart": Text("板上串口", "the board's UART"),
    "chip": Text("读卡芯片", "the reader's chip"),
}
CURES = {
    "process_gone": Text(
        "读卡器进程没有响应：systemctl status care-gateway-reader",
        "it does not speak: systemctl status care-gateway-reader",
    ),
    "no_daemon": Text(
        "守护进程没有应答，只检查 --device",
        "the daemon does not answer: only --device is looked at",
    ),
    "kernel": Text(
        "内核占用了 USB 读卡器：写 /etc/modprobe.d/nfc.conf，内容 blacklist {}，再 modprobe -r {}",
        "the kernel takes the USB reader: put `blacklist {}` into /etc/modprobe.d/nfc.conf, then"
        " modprobe -r {}",
    ),
    "console": Text(
        "系统控制台占用 {}：在 cmdline.txt 里去掉 console=，config.txt 写 enable_uart=1，重启",
        "the system console is on {}: remove console= from cmdline.txt, set enable_uart=1 in"
        " config.txt, reboot",
    ),
    "pi_uart": Text(
        "树莓派 3/4 上要 dtoverlay=disable-bt；树莓派 5 用 /dev/ttyAMA0",
        "a Pi 3 or 4 needs dtoverlay=disable-bt; a Pi 5 uses /dev/ttyAMA0",
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `do` says what helps where it is not well."""

    name: str
    is_well: bool
    fact: str = ""
    do: Text | None = None


def doctor(desk: Desk, proc: Path = PROC) -> int:
    """Look at everything between nfcpy and the chip; exit code 0 when all is well, else 1."""
    findings = list(look(desk, proc))
    if desk.as_json:
        shown = [
            {**asdict(each), "do": None if each.do is None else asdict(each.do)}
            for each in findings
        ]
        print(json.dumps({"findings": shown}, ensure_ascii=False, indent=2))
    else:
        for each in findings:
            _print(each, desk.lang)
    return 0 if all(each.is_well for each in findings) else 1


def look(desk: Desk, proc: Path = PROC) -> Iterator[Finding]:
    """What is found, in the order in which one thing needs the other; the rest when one is not."""
    if find_spec("nfc") is None:
        yield Finding("library", is_well=False, do=OTHERS["missing"])
        return
    yield Finding("library", is_well=True, fact=f"nfcpy {version('nfcpy')}")
    device = yield from _configured(desk)
    if device is None:
        return
    from gateway.reader.frontend import is_there, is_usb_reader

    if not is_there(device):
        do = _filled(READERS["absent"], device)
        yield Finding("device", is_well=False, fact=device, do=do)
        return
    yield Finding("device", is_well=True, fact=device)
    if is_usb_reader(device):
        yield from _kernel(proc)
    else:
        yield from _port(device, proc)
    yield _chip(desk, device)


def _configured(desk: Desk) -> Generator[Finding, None, str | None]:
    """Yield what the daemon knows of the reader; return its device."""
    try:
        reader = ask(desk.socket, {"verb": "reader_status"}).get("reader")
    except NoAnswer as error:
        said = error.text.in_(desk.lang)
        yield Finding("process", is_well=False, fact=said, do=CURES["no_daemon"])
        return desk.device
    if not reader:
        is_well = desk.device is not None
        do = None if is_well else READERS["none"]
        yield Finding("configured", is_well=is_well, fact=desk.device or "", do=do)
        return desk.device
    yield Finding("configured", is_well=True, fact=f"{reader['id']}: {reader['device']}")
    state, why = str(reader["state"]), str(reader.get("why") or "")
    do = CURES["process_gone"] if state == "gone" else None
    if state == "failed":
        do = _filled(READERS.get(why, READERS["mute"]), str(reader["device"]))
    fact = " ".join(filter(None, [state, why, reader.get("name") or ""]))
    yield Finding("process", is_well=do is None, fact=fact, do=do)
    return desk.device or str(reader["device"])


def _port(device: str, proc: Path) -> Iterator[Finding]:
    from gateway.drivers.adapters import find_port

    node = os.path.realpath(find_port(device))
    may_use = os.access(node, os.R_OK | os.W_OK)
    do = None if may_use else _filled(READERS["denied"], node)
    yield Finding("permission", is_well=may_use, fact=node, do=do)
    name = Path(node).name
    if not name.startswith(("ttyAMA", "ttyS")):
        return
    aliases = {name} | ({"serial0"} if name in ("ttyAMA0", "ttyS0") else set())
    consoles = {
        word.removeprefix("console=").partition(",")[0]
        for word in _read(proc / "cmdline").split()
        if word.startswith("console=")
    }
    if consoles & aliases:
        yield Finding("uart", is_well=False, fact=node, do=_filled(CURES["console"], node))
    else:
        yield Finding("uart", is_well=True, fact=CURES["pi_uart"].en)


def _kernel(proc: Path) -> Iterator[Finding]:
    loaded = {line.split()[0] for line in _read(proc / "modules").splitlines() if line.strip()}
    found = sorted(loaded & KERNEL_DRIVERS)
    do = _filled(CURES["kernel"], found[-1], " ".join(found)) if found else None
    yield Finding("kernel", is_well=not found, fact=" ".join(found), do=do)


def _chip(desk: Desk, device: str) -> Finding:
    """Open it: through its process, which lends it."""
    from gateway.cli.desk import open_desk
    from gateway.reader.tags import sense, uid_of

    try:
        with open_desk(device, lend=desk.lend, socket=desk.socket) as reader:
            target = sense(reader)
            there = "" if target is None else f", {uid_of(target)}"
            return Finding("chip", is_well=True, fact=f"{reader.name}{there}")
    except Refused as refused:
        return Finding("chip", is_well=False, fact=refused.code, do=refused.say)


def watch(desk: Desk, seconds: float | None, is_over: Callable[[], bool] = lambda: False) -> int:
    """Print what is laid on the reader, a line each, until Ctrl-C or for so many seconds."""
    if find_spec("nfc") is None:
        print(OTHERS["missing"].in_(desk.lang), file=sys.stderr)
        return 1
    from gateway.cli.desk import open_desk

    deadline = None if seconds is None else time.monotonic() + seconds

    def is_done() -> bool:
        return is_over() or (deadline is not None and time.monotonic() >= deadline)

    try:
        with open_desk(desk.device, lend=desk.lend, socket=desk.socket) as reader:
            print(f"{reader.name} {reader.path}", file=sys.stderr)
            for line in _seen(reader, is_done, desk):
                print(line, flush=True)
    except Refused as refused:
        print(refused.say.in_(desk.lang), file=sys.stderr)
        return refused.exit_code
    except KeyboardInterrupt:
        return 0
    return 0


def _seen(reader: Any, is_done: Callable[[], bool], desk: Desk) -> Iterator[str]:
    from gateway.drivers.clock import mono
    from gateway.reader.presence import Presence, take
    from gateway.reader.tags import key_of, look, sense

    presence = Presence()
    while not is_done():
        target = sense(reader)
        presence, is_new = take(presence, None if target is None else key_of(target), mono())
        if is_new:
            seen = look(reader, target)
            shown = {"uid": seen.uid, "kind": seen.kind, "url": seen.url, "text": seen.text}
            if desk.as_json:
                yield json.dumps(shown, ensure_ascii=False)
            else:
                yield "\t".join(value or "-" for value in shown.values())
        time.sleep(LOOK_EVERY_S)


def _print(finding: Finding, lang: Lang) -> None:
    mark = "✔" if finding.is_well else "✘"
    print(f"{mark} {NAMES[finding.name].in_(lang)}  {finding.fact}".rstrip())
    if finding.do is not None:
        print(f"    → {finding.do.in_(lang)}")


def _filled(text: Text, *details: str) -> Text:
    return Text(text.zh.format(*details), text.en.format(*details))


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:  # not there on this kernel: then nothing of it is in the way
        return ""
