"""A look at the machine for `care-gateway doctor`: what is in the way of the daemon, and the cure.

Here: ports, pins, the reader, files that not everybody may read. Everything is read, nothing is
changed, and no serial port is opened. `root` stands for `/`, so that tests can show another
machine; `who` is whom the daemon runs as, since its rights count and not the technician's.
"""

import fcntl
import re
import socket
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

from gateway.domain.details import detail_text
from gateway.domain.errors import BusDown
from gateway.domain.findings import Finding, bad, good, note
from gateway.domain.site import Bus, PanelPins, SerialLine, TcpLink
from gateway.domain.system_errors import why
from gateway.domain.text import Text
from gateway.drivers import gpio_lines
from gateway.drivers.adapters import BARE, USB, Adapter, find_port, list_adapters
from gateway.drivers.holders import Holder, holders
from gateway.drivers.rights import Who, group_that_may

ROOT = Path("/")
TCP_S = 3.0
CREDENTIALS_OPEN = stat.S_IRWXG & ~stat.S_IRGRP | stat.S_IRWXO  # the group may read, no more
CREDENTIALS = Path("/run/credentials")  # what systemd decrypts for a unit while it runs
NFC_DRIVERS = frozenset({"pn533_usb", "port100"})
READER = Text("读卡器", "reader")
OWN_CONSUMER = "lg"  # lgpio's name for itself, ours or another program's

# -- buses


def look_at_bus(
    bus: Bus,
    who: Who,
    root: Path = ROOT,
    *,
    ours: Collection[int] = (),
    allows: Collection[str] | None = None,
) -> Iterator[Finding]:
    """The port of a serial bus with its rights, or whether a TCP device answers at all.

    `ours`: processes of the gateway; `allows`: what DeviceAllow= of its unit has, None without.
    """
    if isinstance(bus.link, TcpLink):
        yield _reach(bus.id, bus.link)
    else:
        yield from _look_at_port(
            Text(f"总线 {bus.id}", f"bus {bus.id}"), bus.id, bus.link, who, root, ours, allows
        )


def _reach(bus: str, link: TcpLink) -> Finding:
    where = f"{link.host}:{link.port}"
    try:
        socket.create_connection((link.host, link.port), TCP_S).close()
    except (OSError, UnicodeError) as error:  # UnicodeError: no host can be called that
        said = why(error)
        return bad(
            "tcp_unreachable",
            Text(f"总线 {bus}：连不上 {where}（{said.zh}）", f"bus {bus}: no {where} ({said.en})"),
            Text(
                "查网线、设备电源和IP；有的设备只接受一个连接：别的程序可能正占着",
                "check cable, power and address; some devices take one connection only, "
                "and another program may have it",
            ),
            bus,
        )
    fact = Text(f"总线 {bus}：{where} 有应答", f"bus {bus}: {where} answers")
    return good("tcp_answers", fact, bus)


def _look_at_port(
    name: Text,
    about: str,
    line: SerialLine,
    who: Who,
    root: Path,
    ours: Collection[int],
    allows: Collection[str] | None,
) -> Iterator[Finding]:
    adapters = list_adapters(sys=root / "sys", dev=root / "dev")
    try:
        port = Path(find_port(line.port, sys=root / "sys", dev=root / "dev"))
    except BusDown as error:
        is_one_of_many = any(_is(adapter, line.port) for adapter in adapters)
        ask_for = _ambiguous if is_one_of_many else _missing
        yield ask_for(name, about, str(error), adapters)
        return
    at = (
        port
        if not port.is_absolute() or port.is_relative_to(root)
        else root / port.relative_to("/")
    )
    if not at.exists():
        yield _missing(name, about, f"{port} is not there", adapters)
        return
    real = at.resolve()
    yield from _rights("port", name, about, real, who, "dialout")
    strangers = [each for each in holders(real, root) if each.pid not in ours]
    if strangers:
        yield _taken(name, about, str(port), strangers)
    if allows is not None and not _is_allowed(real, allows):
        yield _not_allowed(name, about, real)
    if BARE.fullmatch(str(port)) and line.port == str(port):
        yield _bare(
            name, about, line.port, [each.by_path for each in adapters if each.node == str(at)]
        )
    yield from _latency(name, about, real, root)


def _is(adapter: Adapter, port: str) -> bool:
    match = USB.fullmatch(port)
    return match is not None and (adapter.vendor, adapter.product) == (
        match[1].lower(),
        match[2].lower(),
    )


def _missing(name: Text, about: str, said: str, adapters: Sequence[Adapter]) -> Finding:
    why = detail_text(said)
    there = ", ".join(each.by_path or each.node for each in adapters)
    return bad(
        "port_missing",
        Text(
            f"{name.zh}：没有这个串口（{why.zh}）；现在插着：{there or '没有 USB 转换器'}",
            f"{name.en}: no such port: {why.en}; plugged in now: {there or 'no USB adapter'}",
        ),
        Text(
            "插好转换器（ls -l /dev/serial/by-path 列出现有的）；若插在别的插口，"
            "把现在的名字写进站点文件，再 systemctl reload care-gateway",
            "plug the adapter in (`ls -l /dev/serial/by-path` lists what there is); if it is in"
            " another socket by now, write that name into the site file, then systemctl reload"
            " care-gateway",
        ),
        about,
    )


def _ambiguous(name: Text, about: str, said: str, _adapters: Sequence[Adapter]) -> Finding:
    why = detail_text(said)
    return bad(
        "port_ambiguous",
        Text(
            f"{name.zh}：不止一个转换器符合（{why.zh}）",
            f"{name.en}: more than one adapter fits: {why.en}",
        ),
        Text(
            "在站点文件里写括号中的一个名字，再 systemctl reload care-gateway",
            "write one of the names in brackets into the site file, then systemctl reload"
            " care-gateway",
        ),
        about,
    )


def _bare(name: Text, about: str, port: str, lasting: Sequence[str]) -> Finding:
    better = next(filter(None, lasting), "/dev/serial/by-path/...")
    return note(
        "port_bare_name",
        Text(
            f"{name.zh}：{port} 的编号重启后会变", f"{name.en}: {port} may be another one tomorrow"
        ),
        Text(
            f"在站点文件里写 {better}，并给插口贴标签",
            f"name it {better} in the site file, and label the socket",
        ),
        about,
    )


def _taken(name: Text, about: str, port: str, strangers: Sequence[Holder]) -> Finding:
    named = ", ".join(f"{each.name} ({each.pid})" for each in strangers)
    cures = [_how_to_end(each, port) for each in strangers]
    return bad(
        "port_taken",
        Text(f"{name.zh}：{port} 被别的程序打开：{named}", f"{name.en}: {port} is open in {named}"),
        Text("；".join(each.zh for each in cures), "; ".join(each.en for each in cures)),
        about,
    )


def _how_to_end(holder: Holder, port: str) -> Text:
    """How to end a program that has a port, for good."""
    command = {
        "ModemManager": "systemctl disable --now ModemManager",
        "agetty": f"systemctl disable --now serial-getty@{Path(port).name}",
        "brltty": "apt-get remove brltty",
        "gpsd": "systemctl disable --now gpsd.socket gpsd",
        "pcscd": "systemctl disable --now pcscd.socket pcscd",
    }.get(holder.name)
    if command is not None:
        return Text(command, command)
    if holder.is_gateway:
        return Text(
            f"另有一个守护进程：systemctl status {holder.pid} 看是谁启动的，停掉其中一个",
            f"another daemon: systemctl status {holder.pid} says what started it; end one of them",
        )
    return Text(
        f"systemctl status {holder.pid} 看是谁启动的，停掉它",
        f"systemctl status {holder.pid} says what started it; end it",
    )


def _is_allowed(node: Path, allows: Collection[str]) -> bool:
    driver = _driver_of(node)  # none: a pseudo terminal (/dev/pts/3), which no policy keeps away
    return not driver or str(node) in allows or f"char-{driver}" in allows


def _driver_of(node: Path) -> str:
    """As /proc/devices has it: a tty's name without its number."""
    return node.name.rstrip("0123456789")


def _not_allowed(name: Text, about: str, node: Path) -> Finding:
    line = f"DeviceAllow=char-{_driver_of(node)} rw"
    return bad(
        "port_not_allowed",
        Text(
            f"{name.zh}：服务单元不放行 {node}",
            f"{name.en}: the service's unit does not let it have {node}",
        ),
        Text(
            f"systemctl edit care-gateway，在 [Service] 下写 {line}，"
            "再 systemctl restart care-gateway",
            f"systemctl edit care-gateway, write {line} under [Service], then systemctl restart"
            " care-gateway",
        ),
        about,
    )


def _latency(name: Text, about: str, port: Path, root: Path) -> Iterator[Finding]:
    """FTDI adapters hand bytes over every 16 ms unless told otherwise."""
    timer = root / "sys/class/tty" / port.name / "device/latency_timer"
    milli = _text(timer)
    if milli is not None and milli.isdigit() and int(milli) > 1:
        yield note(
            "adapter_slow",
            Text(
                f"{name.zh}：适配器每 {milli} 毫秒才交一次数据",
                f"{name.en}: the adapter hands bytes over every {milli} ms only",
            ),
            Text(
                f"echo 1 > {timer}（安装脚本的 udev 规则以后每次都会做）",
                f"echo 1 > {timer} (the installer's udev rule does it at each start)",
            ),
            about,
        )


# -- panel and reader


def has_lgpio() -> bool:
    """Whether lgpio is there and whole: an old, empty one of that name has no compiled part."""
    return find_spec("_lgpio") is not None


def look_at_pins(
    pins: PanelPins,
    who: Who,
    root: Path = ROOT,
    has_library: Callable[[], bool] = has_lgpio,
    *,
    has_daemon: bool = False,
    ask: gpio_lines.Ask = fcntl.ioctl,
) -> Iterator[Finding]:
    """GPIO: there, ours to use, nobody else's, and set to fall back when the daemon ends."""
    if pins == PanelPins():
        return
    chips = sorted((root / "dev").glob("gpiochip*"))
    if not chips:
        yield bad(
            "gpio_missing",
            Text("面板配了引脚，但这台机器没有 GPIO", "the panel has pins, but here is no GPIO"),
            Text(
                "换到树莓派上，或从站点文件去掉 panel",
                "use a Raspberry Pi, or take the panel out of the site file",
            ),
        )
        return
    chip = gpio_lines.header_chip(root / "dev", ask) or chips[0]
    yield from _rights("gpio", Text("面板", "panel"), "panel", chip, who, "gpio")
    if not has_library():
        yield bad(
            "gpio_library",
            Text(
                "没有 lgpio 库，面板不亮不响", "no library lgpio: the panel stays dark and silent"
            ),
            Text(
                "sudo apt-get install python3-lgpio，再运行 scripts/install",
                "sudo apt-get install python3-lgpio, then run scripts/install again",
            ),
        )
    yield from _pins_taken(pins, chip, ask, has_daemon=has_daemon)
    yield from _keeps_level(root)


def _pins_taken(
    pins: PanelPins, chip: Path, ask: gpio_lines.Ask, *, has_daemon: bool
) -> Iterator[Finding]:
    """Lines that others have. While the daemon runs, lgpio's are taken for its own."""
    named = {field.name: getattr(pins, field.name) for field in fields(pins)}
    for part, pin in named.items():
        if type(pin) is not int:
            continue
        try:
            holder = gpio_lines.consumer(chip, pin, ask)
        except OSError:  # not to be asked: the rights are told, an older kernel does not know how
            return
        if holder is None or (holder == OWN_CONSUMER and has_daemon):
            continue
        yield bad(
            "gpio_taken",
            Text(
                f"panel：{part} 的引脚 {pin} 被 {holder} 占用",
                f"panel: pin {pin} ({part}) is taken by {holder}",
            ),
            Text(
                "停掉那个程序；若是内核功能，从 config.txt 去掉它的 dtoverlay 并重启；"
                "或改用别的引脚",
                "end that program; if it is the kernel's, take its dtoverlay out of config.txt and"
                " reboot; or wire the part to another pin",
            ),
            part,
        )


def _keeps_level(root: Path) -> Iterator[Finding]:
    config = root / "boot/firmware/config.txt"
    text = _text(config)
    if text is None or _is_strict(text):
        return
    yield note(
        "gpio_keeps_level",
        Text(
            "没有 dtparam=strict_gpiod：程序死后引脚可能保持原电平（据报告）",
            "no dtparam=strict_gpiod: pins may stay lit when the daemon dies (reported)",
        ),
        Text(f"在 {config} 末尾加上它并重启", f"add it at the end of {config} and reboot"),
    )


def _is_strict(text: str) -> bool:
    """What the last of such lines says; a bare name switches it on."""
    said = re.findall(r"^\s*dtparam=(?:.*,)?strict_gpiod(?:=(\w+))?\s*(?:,|$)", text, re.MULTILINE)
    return bool(said) and said[-1].lower() not in ("off", "no", "false", "0")


def look_at_reader(
    device: str, who: Who, root: Path = ROOT, *, ours: Collection[int] = ()
) -> Iterator[Finding]:
    """The NFC reader's port; `care-gateway nfc doctor` looks at the reader itself."""
    match = USB.fullmatch(device)
    found = None if match is None else _usb_device(root, match[1].lower(), match[2].lower())
    is_serial = match is None or any(
        _is(each, device) for each in list_adapters(sys=root / "sys", dev=root / "dev")
    )
    if found is not None and not is_serial:
        yield from _look_at_usb_reader(device, found, who, root, ours)
    else:
        yield from _look_at_port(READER, "reader", SerialLine(device), who, root, ours, None)


def _usb_device(root: Path, vendor: str, product: str) -> Path | None:
    for folder in sorted((root / "sys/bus/usb/devices").glob("*")):
        if (_text(folder / "idVendor"), _text(folder / "idProduct")) == (vendor, product):
            return folder
    return None


def _look_at_usb_reader(
    device: str, usb: Path, who: Who, root: Path, ours: Collection[int]
) -> Iterator[Finding]:
    drivers = {link.resolve().name for link in usb.glob("*:*/driver")} & NFC_DRIVERS
    if drivers:
        names = " ".join(sorted(drivers))
        yield bad(
            "reader_kernel",
            Text(f"内核驱动 {names} 占用了读卡器 {device}", f"the kernel's {names} has {device}"),
            Text(
                f"modprobe -r {names}，再运行 scripts/install"
                "（它写 /etc/modprobe.d/care-gateway.conf）",
                f"modprobe -r {names}, then run scripts/install: it writes"
                " /etc/modprobe.d/care-gateway.conf",
            ),
            "reader",
        )
    numbers = [_text(usb / name) or "" for name in ("busnum", "devnum")]
    if not all(number.isdigit() for number in numbers):
        return
    bus, number = map(int, numbers)
    node = root / "dev/bus/usb" / f"{bus:03}" / f"{number:03}"
    if not node.exists():
        return
    yield from _rights("reader", READER, "reader", node, who, "plugdev")
    strangers = [each for each in holders(node.resolve(), root) if each.pid not in ours]
    if strangers:
        yield _taken(READER, "reader", device, strangers)


# -- files that not everybody may read


def look_at_secrets(paths: Iterable[Path | None], who: Who) -> Iterator[Finding]:
    """Keys, passwords and people.yaml: there, readable for the daemon and for nobody else."""
    for path in filter(None, paths):
        finding = _look_at_file(path, who)
        if finding is not None:
            yield finding
        elif not is_credential(path) and path.stat().st_mode & CREDENTIALS_OPEN:
            yield bad(
                "secret_open",
                Text(f"{path} 别人也能读写", f"{path} is open to others"),
                Text(f"chmod 640 {path}", f"chmod 640 {path}"),
                str(path),
            )


def look_at_files(paths: Iterable[Path | None], who: Who) -> Iterator[Finding]:
    """Certificates: there and readable for the daemon; everybody may read them."""
    yield from filter(None, (_look_at_file(path, who) for path in paths if path is not None))


def _look_at_file(path: Path, who: Who) -> Finding | None:
    if is_credential(path):
        return _look_at_credential(path)
    if not path.exists():
        return bad(
            "secret_missing",
            Text(f"没有文件 {path}", f"there is no file {path}"),
            Text(
                "放到那里，或改站点文件里的路径", "put it there, or mend its path in the site file"
            ),
            str(path),
        )
    barred = who.way_to(path)
    if barred is not None:
        move = f"install -m 640 -o root -g {who.name} {path} /etc/care-gateway/"
        return bad(
            "secret_denied",
            Text(f"{who.name} 进不了目录 {barred}", f"{who.name} may not pass through {barred}"),
            Text(
                f"{move}，站点文件里改成新路径",
                f"{move}, and write the new path into the site file",
            ),
            str(path),
        )
    if not who.may(path, 4):
        cure = f"chgrp {who.name} {path} && chmod 640 {path}"
        return bad(
            "secret_denied",
            Text(f"{who.name} 读不到 {path}", f"{who.name} may not read {path}"),
            Text(cure, cure),
            str(path),
        )
    return None


def is_credential(path: Path) -> bool:
    return path.is_relative_to(CREDENTIALS)


def _look_at_credential(path: Path) -> Finding | None:
    """There while its unit runs, and readable for it by an access list that modes do not show."""
    if path.exists() or not path.parent.exists():
        return None
    put = f"scripts/install --credential {path.name}=FILE"
    return bad(
        "secret_missing",
        Text(f"服务单元没有凭据 {path.name}", f"the unit has no credential {path.name}"),
        Text(put, put),
        str(path),
    )


# -- words


def _rights(
    what: str, name: Text, about: str, node: Path, who: Who, usual: str
) -> Iterator[Finding]:
    if who.may(node, 6):
        fact = Text(f"{name.zh}：{node} 可用", f"{name.en}: {node} can be used")
        yield good(f"{what}_ready", fact, about)
        return
    group = group_that_may(node, 6)
    joins = f"usermod -aG {group} {who.name}"
    rule = f"chgrp {usual} {node} && chmod 660 {node}"
    yield bad(
        f"{what}_denied",
        Text(f"{name.zh}：{who.name} 无权使用 {node}", f"{name.en}: {who.name} may not use {node}"),
        Text(
            f"运行 scripts/install（它的 udev 规则长期有效）；眼下 {rule}",
            f"run scripts/install, whose udev rule lasts; for now: {rule}",
        )
        if group is None
        else Text(
            f"{joins}，再 systemctl restart care-gateway",
            f"{joins}, then systemctl restart care-gateway",
        ),
        about,
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return None
