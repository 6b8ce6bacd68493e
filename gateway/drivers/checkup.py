"""A look at the machine for `care-gateway doctor`: what is in the way of the daemon, and the cure.

Everything is read, nothing is changed. `root` stands for `/`, so that tests can show another
machine; `who` is whom the daemon runs as, since its rights count and not the technician's.
"""

import grp
import os
import pwd
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gateway.domain.errors import BusDown
from gateway.domain.findings import Finding, Grade
from gateway.domain.site import Bus, SerialLine, TcpLink
from gateway.domain.text import Text
from gateway.drivers.adapters import BARE, find_port

SERVICE_USER = "care-gateway"
UNITS = ("care-gateway.service", "care-gateway-console.service", "care-gateway-reader.service")
NEEDED_UNIT = UNITS[0]
ROOT = Path("/")
TCP_S = 3.0
SMALL_DISK = 1_000_000_000
CREDENTIALS_OPEN = stat.S_IRWXG & ~stat.S_IRGRP | stat.S_IRWXO  # the group may read, no more

Run = Callable[[Sequence[str]], str | None]


@dataclass(frozen=True, slots=True)
class Who:
    """A user and the groups whose rights it has."""

    name: str
    uid: int
    gids: frozenset[int]

    def may(self, path: Path, bits: int) -> bool:
        """True when the mode of `path` gives this user the rights `bits` (4 read, 2 write)."""
        if self.uid == 0:
            return True
        found = path.stat()
        shift = 6 if found.st_uid == self.uid else 3 if found.st_gid in self.gids else 0
        return (found.st_mode >> shift) & bits == bits


def service_user() -> Who:
    """Whom the daemon runs as: the service's user, or who asks where there is no such user."""
    try:
        entry = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return Who(_own_name(), os.getuid(), frozenset({os.getgid(), *os.getgroups()}))
    also = {group.gr_gid for group in grp.getgrall() if SERVICE_USER in group.gr_mem}
    return Who(SERVICE_USER, entry.pw_uid, frozenset({entry.pw_gid, *also}))


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


# -- buses


def look_at_bus(bus: Bus, who: Who, root: Path = ROOT) -> Iterator[Finding]:
    """The port of a serial bus with its rights, or whether a TCP device answers at all."""
    if isinstance(bus.link, TcpLink):
        yield _reach(bus.id, bus.link)
    else:
        yield from _look_at_port(f"bus {bus.id}", bus.link, who, root)


def _reach(bus: str, link: TcpLink) -> Finding:
    where = f"{link.host}:{link.port}"
    try:
        socket.create_connection((link.host, link.port), TCP_S).close()
    except OSError as error:
        return _bad(
            "tcp_unreachable",
            Text(f"总线 {bus}：连不上 {where}（{error}）", f"bus {bus}: no {where} ({error})"),
            Text(
                "查网线、设备电源和IP；有的设备只接受一个连接：守护进程在运行时可能正占着",
                "check cable, power and address; some devices take one connection only, "
                "and the running daemon may have it",
            ),
        )  # fmt: skip
    return _good("tcp_answers", Text(f"总线 {bus}：{where} 有应答", f"bus {bus}: {where} answers"))


def _look_at_port(name: str, line: SerialLine, who: Who, root: Path) -> Iterator[Finding]:
    try:
        port = Path(find_port(line.port, sys=root / "sys", dev=root / "dev"))
    except BusDown as error:
        yield _missing(name, str(error))
        return
    at = root / port.relative_to("/") if port.is_absolute() else port
    if not at.exists():
        yield _missing(name, f"{port} is not there")
        return
    real = at.resolve()
    yield from _rights("port_denied", name, real, who, "dialout")
    holders = _holders(real, root)
    if len(holders) > 1:
        yield _bad(
            "port_taken",
            Text(
                f"{name}：{port} 被多个程序打开：{', '.join(holders)}",
                f"{name}: {port} is open in several programs: {', '.join(holders)}",
            ),
            Text(
                "只留守护进程：停掉其他程序，串口登录用 raspi-config 关掉",
                "leave it to the daemon: end the others; raspi-config ends a serial console",
            ),
        )
    if BARE.fullmatch(str(port)):
        yield _note(
            "port_bare_name",
            Text(f"{name}：{port} 的编号重启后会变", f"{name}: {port} may be another one tomorrow"),
            Text(
                "在站点文件里写 /dev/serial/by-path/…，并给插口贴标签",
                "name it by /dev/serial/by-path/... in the site file, and label the socket",
            ),
        )
    yield from _latency(name, real, root)


def _missing(name: str, why: str) -> Finding:
    return _bad(
        "port_missing",
        Text(f"{name}：没有这个串口（{why}）", f"{name}: no such port: {why}"),
        Text(
            "查适配器是否插好；ls -l /dev/serial/by-path 列出现有的",
            "see that the adapter is plugged in; `ls -l /dev/serial/by-path` lists what there is",
        ),
    )


def _latency(name: str, port: Path, root: Path) -> Iterator[Finding]:
    """FTDI adapters hand bytes over every 16 ms unless told otherwise."""
    timer = root / "sys/class/tty" / port.name / "device/latency_timer"
    milli = _text(timer)
    if milli is not None and milli.isdigit() and int(milli) > 1:
        yield _note(
            "adapter_slow",
            Text(
                f"{name}：适配器每 {milli} 毫秒才交一次数据",
                f"{name}: the adapter hands bytes over every {milli} ms only",
            ),
            Text(
                f"写 1 到 {timer}（安装脚本的 udev 规则会做）",
                f"write 1 to {timer} (the installer's udev rule does)",
            ),
        )


def _holders(node: Path, root: Path) -> list[str]:
    """The programs that have it open, as far as we may see."""
    names = []
    for folder in (root / "proc").glob("[0-9]*/fd"):
        try:
            is_open = any(entry.readlink() == node for entry in folder.iterdir())
        except OSError:  # ended meanwhile, or not ours to see
            continue
        if is_open:
            names.append(f"{_text(folder.parent / 'comm') or '?'} ({folder.parent.name})")
    return sorted(names)


# -- panel and reader


def has_lgpio() -> bool:
    """Whether lgpio is there and whole: an old, empty one of that name has no compiled part."""
    return find_spec("_lgpio") is not None


def look_at_pins(
    is_wired: bool, who: Who, root: Path = ROOT, has_library: Callable[[], bool] = has_lgpio
) -> Iterator[Finding]:
    """GPIO: there, ours to use, and set to fall back when the daemon ends."""
    if not is_wired:
        return
    chips = sorted((root / "dev").glob("gpiochip*"))
    if not chips:
        yield _bad(
            "gpio_missing",
            Text("面板配了引脚，但这台机器没有 GPIO", "the panel has pins, but here is no GPIO"),
            Text(
                "换到树莓派上，或从站点文件去掉 panel",
                "use a Raspberry Pi, or take the panel out of the site file",
            ),
        )  # fmt: skip
        return
    yield from _rights("gpio_denied", "panel", chips[0], who, "gpio")
    if not has_library():
        yield _bad(
            "gpio_library",
            Text(
                "没有 lgpio 库，面板不亮不响", "no library lgpio: the panel stays dark and silent"
            ),
            Text(
                "sudo apt-get install python3-lgpio，再运行 scripts/install",
                "sudo apt-get install python3-lgpio, then run scripts/install again",
            ),
        )
    config = root / "boot/firmware/config.txt"
    text = _text(config)
    if text is not None and not re.search(r"^\s*dtparam=strict_gpiod\b", text, re.MULTILINE):
        yield _note(
            "gpio_keeps_level",
            Text(
                "没有 dtparam=strict_gpiod：程序死后引脚可能保持原电平（据报告）",
                "no dtparam=strict_gpiod: pins may stay lit when the daemon dies (reported)",
            ),
            Text(f"在 {config} 末尾加上它并重启", f"add it at the end of {config} and reboot"),
        )


def look_at_reader(device: str, who: Who, root: Path = ROOT) -> Iterator[Finding]:
    """The NFC reader's port; `care-gateway nfc doctor` looks at the reader itself."""
    if device.startswith("usb:"):
        return
    yield from _look_at_port("reader", SerialLine(device), who, root)


# -- clock


def look_at_clock(root: Path = ROOT, *, is_synced: bool) -> Iterator[Finding]:
    """`is_synced`: whether the system says that its clock is right."""
    if is_synced:
        yield _good("clock_synced", Text("时钟已同步", "the clock is synchronised"))
    else:
        yield _bad(
            "clock_unsynced",
            Text("时钟没有同步：巡查不判定，TLS 可能不通", "the clock is not synchronised: "
                 "patrols are not judged, TLS may fail"),
            Text(
                "timedatectl 查看；/etc/systemd/timesyncd.conf 里写能到的 NTP 服务器",
                "see `timedatectl`; name a time server that it can reach in "
                "/etc/systemd/timesyncd.conf",
            ),
        )  # fmt: skip
    if not any((root / "dev").glob("rtc*")):
        yield _note(
            "clock_no_battery",
            Text("没有时钟电池：断电后不知道时间", "no clock battery: no time after a power cut"),
            Text(
                "加 DS3231 模块（树莓派 5 加 RTC 电池）",
                "add a DS3231 module; on a Raspberry Pi 5 its RTC battery",
            ),
        )  # fmt: skip


# -- disk


def look_at_store(folder: Path, who: Who, root: Path = ROOT) -> Iterator[Finding]:
    """The folder of the databases: there, writable, with room, and mounted kindly to a card."""
    if not folder.is_dir():
        yield _bad(
            "store_missing",
            Text(f"没有目录 {folder}", f"there is no folder {folder}"),
            Text("运行 scripts/install，或建立它并交给 care-gateway",
                 "run scripts/install, or make it and give it to care-gateway"),
        )  # fmt: skip
        return
    if not who.may(folder, 7):
        yield _bad(
            "store_denied",
            Text(f"{who.name} 不能写 {folder}", f"{who.name} may not write to {folder}"),
            Text(f"chown -R {who.name} {folder}", f"chown -R {who.name} {folder}"),
        )
    free = shutil.disk_usage(folder).free
    if free < SMALL_DISK:
        yield _bad(
            "disk_low",
            Text(f"{folder} 只剩 {free / 1e6:.0f} MB", f"{folder} has {free / 1e6:.0f} MB left"),
            Text("清理旧文件，或换大卡；不足 200 MB 时旧测量值开始丢弃",
                 "remove old files or take a larger card; below 200 MB old readings are given up"),
        )  # fmt: skip
    options = _mount_options(folder, root)
    if "ro" in options:
        yield _bad(
            "disk_read_only",
            Text(f"{folder} 所在磁盘是只读的", f"the disk of {folder} is read-only"),
            Text("dmesg 看原因；卡多半已坏，换卡", "`dmesg` says why; replace a worn card"),
        )  # fmt: skip
    elif not {"noatime", "relatime"} & options:
        yield _note(
            "disk_atime",
            Text("每次读文件都写盘", "reading files writes to the disk"),
            Text("在 /etc/fstab 给它加 noatime", "add noatime to it in /etc/fstab"),
        )


def _mount_options(folder: Path, root: Path) -> set[str]:
    """Of the mount that the folder is on; the longest mount point that is above it."""
    real, best, found = str(folder.resolve()), "", set[str]()
    for line in (_text(root / "proc/self/mounts") or "").splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        point = words[1]
        is_above = point in ("/", real) or real.startswith(point + "/")
        if is_above and len(point) >= len(best):
            best, found = point, set(words[3].split(","))
    return found


# -- files that not everybody may read


def look_at_secrets(paths: Iterable[Path | None], who: Who) -> Iterator[Finding]:
    """Keys, passwords and people.yaml: there, readable for the daemon and for nobody else."""
    for path in paths:
        if path is None:
            continue
        if not path.exists():
            yield _bad(
                "secret_missing",
                Text(f"没有文件 {path}", f"there is no file {path}"),
                Text("放到那里，或改站点文件里的路径", "put it there, or mend its path"),
            )  # fmt: skip
        elif not who.may(path, 4):
            yield _bad(
                "secret_denied",
                Text(f"{who.name} 读不到 {path}", f"{who.name} may not read {path}"),
                Text(f"chgrp {who.name} {path} && chmod 640 {path}",
                     f"chgrp {who.name} {path} && chmod 640 {path}"),
            )  # fmt: skip
        elif path.stat().st_mode & CREDENTIALS_OPEN:
            yield _bad(
                "secret_open",
                Text(f"{path} 别人也能读写", f"{path} is open to others"),
                Text(f"chmod 640 {path}", f"chmod 640 {path}"),
            )


# -- systemd


def look_at_units(run: Run | None = None, root: Path = ROOT) -> Iterator[Finding]:
    """Whether the units are there, enabled and running, and the journal kind to the card."""
    ask = run or _output
    if not (root / "run/systemd/system").is_dir():
        yield _note(
            "no_systemd",
            Text("这里没有 systemd：没有人重启守护进程", "no systemd: nobody restarts the daemon"),
            Text("正式运行用 scripts/install", "run scripts/install where it shall stay"),
        )  # fmt: skip
        return
    for unit in UNITS:
        yield from _look_at_unit(unit, ask)
    if (ask(("systemctl", "show", "-P", "RuntimeWatchdogUSec")) or "0").strip() in (
        "0",
        "infinity",
    ):
        yield _note(
            "watchdog_off",
            Text("硬件看门狗没有开", "the hardware watchdog is off"),
            Text("scripts/install 会打开它", "scripts/install switches it on"),
        )  # fmt: skip
    if (root / "var/log/journal").is_dir():
        yield _note(
            "journal_on_card",
            Text("系统日志写在卡上", "the journal is written to the card"),
            Text(
                "journald.conf.d 里写 Storage=volatile", "set Storage=volatile in journald.conf.d"
            ),
        )


def _look_at_unit(unit: str, ask: Run) -> Iterator[Finding]:
    said = ask(("systemctl", "show", unit, "-p", "LoadState,ActiveState,UnitFileState,Result"))
    known = dict(line.partition("=")[::2] for line in (said or "").splitlines())
    if known.get("LoadState") != "loaded":
        if unit == NEEDED_UNIT:
            yield _bad(
                "unit_missing",
                Text(f"没有安装 {unit}", f"{unit} is not installed"),
                Text("运行 scripts/install", "run scripts/install"),
            )
        return
    state = known.get("ActiveState", "?")
    if state == "failed" or (unit == NEEDED_UNIT and state != "active"):
        why = known.get("Result", "")
        yield _bad(
            "unit_down",
            Text(f"{unit} 没有运行：{state} {why}", f"{unit} does not run: {state} {why}"),
            Text(f"journalctl -u {unit} -n 50 看原因，再 systemctl restart {unit}",
                 f"`journalctl -u {unit} -n 50` says why; then systemctl restart {unit}"),
        )  # fmt: skip
    else:
        yield _good("unit_runs", Text(f"{unit}：{state}", f"{unit}: {state}"))
    if unit == NEEDED_UNIT and known.get("UnitFileState") == "disabled":
        yield _bad(
            "unit_disabled",
            Text(f"{unit} 开机不会启动", f"{unit} does not start at boot"),
            Text(f"systemctl enable {unit}", f"systemctl enable {unit}"),
        )


def _output(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - our own words only
            command, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout


# -- words


def _rights(code: str, name: str, node: Path, who: Who, group: str) -> Iterator[Finding]:
    if who.may(node, 6):
        yield _good(
            code.replace("_denied", "_ready"),
            Text(f"{name}：{node} 可用", f"{name}: {node} can be used"),
        )
        return
    yield _bad(
        code,
        Text(f"{name}：{who.name} 无权使用 {node}", f"{name}: {who.name} may not use {node}"),
        Text(
            f"usermod -aG {group} {who.name}，然后重启服务",
            f"usermod -aG {group} {who.name}, then restart the service",
        ),
    )


def _good(code: str, fact: Text) -> Finding:
    return Finding(code, Grade.GOOD, fact)


def _note(code: str, fact: Text, cure: Text) -> Finding:
    return Finding(code, Grade.NOTE, fact, cure)


def _bad(code: str, fact: Text, cure: Text) -> Finding:
    return Finding(code, Grade.BAD, fact, cure)


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return None
