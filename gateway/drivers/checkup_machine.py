"""A look at clock, board and disk for `care-gateway doctor`; nothing is changed.

`root` stands for `/`, so that tests can show another machine.
"""

import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from gateway.core.health import Figures
from gateway.domain.findings import Finding, bad, good, note
from gateway.domain.text import Text
from gateway.drivers.clock import zone
from gateway.drivers.host import host_figures, number_in, text_in
from gateway.drivers.rights import Who

ROOT = Path("/")
SMALL_DISK = 1_000_000_000
FEW_FILES = 1_000  # that a disk can still take; the daemon has fewer than twenty
DAY_S = 86_400
HOT_C, FEW_MB, WORN = 80, 60, 80  # percent of its life
EMPTY_UV = 2_000_000  # a Pi 5's cell has 3 V; without one the kernel reads some hundred millivolts
STORE_FILES = ("core.db*", "readings.db*", "lock", "clock", "ballast")

# -- clock


def look_at_clock(
    timezone: str,
    root: Path = ROOT,
    *,
    is_synced: bool,
    wall: Callable[[], float] = time.time,
) -> Iterator[Finding]:
    """`is_synced`: whether the system says that its clock is right; `timezone`: the house's."""
    if is_synced:
        yield good("clock_synced", Text("时钟已同步", "the clock is synchronised"))
    else:
        shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(wall()))
        yield bad(
            "clock_unsynced",
            Text(
                f"时钟没有同步（现在是 {shown}）：巡查不判定，TLS 可能不通",
                f"the clock is not synchronised (it says {shown}): patrols are not judged, TLS may"
                " fail",
            ),
            Text(
                "timedatectl 查看；/etc/systemd/timesyncd.conf 里写 NTP=能到的服务器，"
                "再 systemctl restart systemd-timesyncd",
                "see `timedatectl`; write NTP= and a server that it can reach into"
                " /etc/systemd/timesyncd.conf, then systemctl restart systemd-timesyncd",
            ),
        )
    yield from _battery(root, wall() if is_synced else None)
    yield from _zone(timezone, root, wall())


def _battery(root: Path, wall_s: float | None) -> Iterator[Finding]:
    """Whether there is a clock with a battery, and whether the battery is any good."""
    cure = Text(
        "加 DS3231 模块（树莓派 5 加 RTC 电池）",
        "add a DS3231 module; on a Raspberry Pi 5 its RTC battery",
    )
    clocks = sorted((root / "dev").glob("rtc[0-9]*"))
    if not clocks:
        fact = Text("没有时钟电池：断电后不知道时间", "no clock battery: no time after a power cut")
        yield note("clock_no_battery", fact, cure)
        return
    told = root / "sys/class/rtc" / clocks[0].name
    microvolt = number_in(told / "battery_voltage")
    if microvolt is not None and microvolt < EMPTY_UV:
        fact = Text(
            f"时钟电池没有电或没有装（{microvolt / 1e6:.1f} V）",
            f"the clock's battery is empty or not there ({microvolt / 1e6:.1f} V)",
        )
        yield note("clock_no_battery", fact, cure)
    elif wall_s is not None and told.is_dir() and not _is_near(told / "since_epoch", wall_s):
        yield note(
            "clock_battery_dead",
            Text("时钟模块的时间不对：电池没电，或从未写入", "the battery clock's time is wrong:"
                 " its battery is dead, or it was never set"),
            Text("hwclock --systohc 写入一次；断电后又错就换电池",
                 "hwclock --systohc sets it; wrong again after a power cut: change its battery"),
        )  # fmt: skip


def _is_near(path: Path, wall_s: float) -> bool:
    seconds = number_in(path)  # cannot be read: the chip says that it lost its supply
    return seconds is not None and abs(seconds - wall_s) < DAY_S


def _zone(timezone: str, root: Path, wall_s: float) -> Iterator[Finding]:
    """The machine's hours beside those of the house: logs and `date` show the machine's."""
    try:
        _, is_there, own = str((root / "etc/localtime").readlink()).partition("zoneinfo/")
    except OSError:  # no link: UTC, as systemd has it
        is_there, own = "", "UTC"
    house, here = zone(timezone), zone(own if is_there else "UTC")
    if house is None or here is None:
        return
    if (
        datetime.fromtimestamp(wall_s, house).utcoffset()
        != datetime.fromtimestamp(wall_s, here).utcoffset()
    ):
        yield note(
            "clock_zone",
            Text(
                f"这台机器用 {own} 时间，站点是 {timezone}：日志的钟点不同",
                f"this machine shows {own} time, the house has {timezone}: logs have other hours",
            ),
            Text(f"timedatectl set-timezone {timezone}", f"timedatectl set-timezone {timezone}"),
        )


# -- board


def look_at_board(
    root: Path = ROOT, figures: Callable[[Path], Figures] = host_figures
) -> Iterator[Finding]:
    """Heat, supply, memory and wear as of now; limits as in config/rules/gateway.yaml."""
    found = figures(root)
    if (found.get("cpu_temp") or 0) > HOT_C:
        yield _hot(found["cpu_temp"] or 0)
    if found.get("under_voltage"):
        yield _weak()
    if (found.get("memory_available") or FEW_MB) < FEW_MB:
        yield _short(found["memory_available"] or 0)
    if (found.get("wear") or 0) > WORN:
        yield _worn(found["wear"] or 0)


def _hot(value: float) -> Finding:
    return bad(
        "board_hot",
        Text(
            f"处理器 {value:.0f} °C，过热会降速",
            f"the processor is at {value:.0f} °C: it slows down",
        ),
        Text("通风、移开热源、加散热片", "give it air, take heat sources away, add a heat sink"),
    )


def _weak() -> Finding:
    return bad(
        "board_under_voltage",
        Text("供电电压不足：会损坏存储卡", "the supply voltage is too low: it damages cards"),
        Text("换原装电源和短粗的电源线，拔掉多余的 USB 设备",
             "use the maker's supply and a short, thick cable; take off USB devices not needed"),
    )  # fmt: skip


def _short(value: float) -> Finding:
    return bad(
        "board_memory",
        Text(f"可用内存只剩 {value:.0f} MB", f"{value:.0f} MB of memory are left"),
        Text("ps aux --sort=-rss | head 看谁占用，停掉它",
             "`ps aux --sort=-rss | head` says who takes it: end that"),
    )  # fmt: skip


def _worn(value: float) -> Finding:
    return bad(
        "disk_worn",
        Text(f"存储已用去寿命的 {value:.0f} %", f"{value:.0f} % of the storage's life are used"),
        Text("插上U盘，care-gateway db backup /media/stick 备份，更换存储卡或整机",
             "copy to a stick with `care-gateway db backup /media/stick`, replace the card or the"
             " machine"),
    )  # fmt: skip


# -- disk


def look_at_store(folder: Path, who: Who, root: Path = ROOT) -> Iterator[Finding]:
    """The folder of the databases: there, writable, with room, and mounted kindly to a card."""
    if not folder.is_dir():
        make = f"install -d -m 700 -o {who.name} -g {who.name} {folder}"
        yield bad(
            "store_missing",
            Text(f"没有目录 {folder}", f"there is no folder {folder}"),
            Text(make, make),
        )
        return
    yield from _ownership(folder, who)
    yield from _room(folder)
    yield from _set_aside(folder)
    options = _mount_options(folder, root)
    if "ro" in options:
        yield bad(
            "disk_read_only",
            Text(f"{folder} 所在磁盘是只读的", f"the disk of {folder} is read-only"),
            Text("dmesg 看原因；卡多半已坏，换卡", "`dmesg` says why; replace a worn card"),
        )
    elif not {"noatime", "relatime"} & options:
        yield note(
            "disk_atime",
            Text("每次读文件都写盘", "reading files writes to the disk"),
            Text("在 /etc/fstab 给它加 noatime", "add noatime to it in /etc/fstab"),
        )


def _ownership(folder: Path, who: Who) -> Iterator[Finding]:
    files = [path for pattern in STORE_FILES for path in sorted(folder.glob(pattern))]
    wrong = [] if who.may(folder, 7) else [folder]
    wrong += [path for path in files if path.is_file() and not who.may(path, 6)]
    barred = who.way_to(folder)
    if barred is not None:
        yield bad(
            "store_denied",
            Text(f"{who.name} 进不了目录 {barred}", f"{who.name} may not pass through {barred}"),
            Text(f"chmod a+x {barred}", f"chmod a+x {barred}"),
        )
    elif wrong:
        shown = ", ".join(path.name if path != folder else str(folder) for path in wrong[:3])
        cure = f"chown -R {who.name}: {folder} && chmod -R u+rwX {folder}"
        yield bad(
            "store_denied",
            Text(f"{who.name} 不能写 {shown}", f"{who.name} may not write to {shown}"),
            Text(f"{cure}，再 systemctl restart care-gateway",
                 f"{cure}, then systemctl restart care-gateway"),
        )  # fmt: skip


def _room(folder: Path) -> Iterator[Finding]:
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if free < SMALL_DISK:
        yield bad(
            "disk_low",
            Text(f"{folder} 只剩 {free / 1e6:.0f} MB", f"{folder} has {free / 1e6:.0f} MB left"),
            Text(
                "du -xh / | sort -h | tail 看谁占用，清理，或换大卡；"
                "不足 200 MB 时旧测量值开始丢弃",
                "`du -xh / | sort -h | tail` says what takes it: remove that, or take a larger"
                " card; below 200 MB old readings are given up",
            ),
        )
    elif found.f_files > 0 and found.f_favail < FEW_FILES:
        yield bad(
            "disk_low",
            Text(f"{folder} 的磁盘再也建不了几个文件（{found.f_favail}）",
                 f"the disk of {folder} takes only {found.f_favail} more files"),
            Text("du -x --inodes / | sort -n | tail 看谁占用，清理",
                 "`du -x --inodes / | sort -n | tail` says what takes them: remove that"),
        )  # fmt: skip


def _set_aside(folder: Path) -> Iterator[Finding]:
    """Databases that were damaged once; the daemon went on with new ones."""
    kept = [each.name for each in sorted(folder.glob("*.db.bad-*")) if _is_database(each)]
    if kept:
        yield note(
            "store_set_aside",
            Text(f"有损坏后隔离的数据库：{', '.join(kept)}",
                 f"databases were damaged and set aside: {', '.join(kept)}"),
            Text("care-gateway db check 看现在的是否完好；再次发生就换卡",
                 "`care-gateway db check` says whether the present ones are sound; replace the card"
                 " when it happens again"),
        )  # fmt: skip


def _is_database(path: Path) -> bool:
    return not path.name.endswith(("-wal", "-shm"))


def _mount_options(folder: Path, root: Path) -> set[str]:
    """Of the mount that the folder is on; the longest mount point that is above it."""
    real, best, found = str(folder.resolve()), "", set[str]()
    for line in (text_in(root / "proc/self/mounts") or "").splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        point = words[1]
        is_above = point in ("/", real) or real.startswith(point + "/")
        if is_above and len(point) >= len(best):
            best, found = point, set(words[3].split(","))
    return found
