"""`care-gateway doctor`: everything around the daemon that is not as it should be, and the cure.

Exit codes: 0 nothing is broken, 1 something is, 2 the site file has errors. It changes nothing and
may run beside the daemon.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from gateway.cli.ailments import cure_of, explained, fault_findings
from gateway.cli.asking import Answer
from gateway.cli.at_once import at_once
from gateway.config.load import load_site
from gateway.config.people import NAME as PEOPLE
from gateway.config.problems import render
from gateway.core.faults import LINK_FAILURES
from gateway.domain.details import detail_text
from gateway.domain.errors import LinkRefused
from gateway.domain.findings import Finding, Grade, bad, good, note
from gateway.domain.moments import Clk
from gateway.domain.site import Broker, Site, TcpLink, Uplink
from gateway.domain.text import Lang, Text
from gateway.drivers import mqtt, tls
from gateway.drivers.checkup import (
    look_at_bus,
    look_at_files,
    look_at_pins,
    look_at_reader,
    look_at_secrets,
)
from gateway.drivers.checkup_certificates import (
    look_at_broker_certificate,
    look_at_certificates,
)
from gateway.drivers.checkup_machine import look_at_board, look_at_clock, look_at_store
from gateway.drivers.checkup_units import (
    DAEMON,
    READER,
    Unit,
    ask_unit,
    has_systemd,
    look_at_units,
)
from gateway.drivers.clock import SYNC_FLAG, Clock
from gateway.drivers.rights import Who, reader_user, service_user
from gateway.drivers.sockets import NoAnswer, NoDaemon, ask, listener
from gateway.store.versions import newer_than_us

WITHIN_S = 30.0  # for everything together: a disk or a name server that hangs holds up nothing else
ASK_S, SYSTEMD_S = 10.0, 6.0
MARKS = {Grade.GOOD: Text("正常", "good"), Grade.NOTE: Text("提示", "note"),
         Grade.BAD: Text("异常", "WRONG")}  # fmt: skip
STYLES = {Grade.GOOD: "green", Grade.NOTE: "yellow", Grade.BAD: "bold red"}
CURE = Text("怎么办：", "do: ")
FOLLOWS = Text("由 [{}] 引起，先解决那一条", "follows from [{}]: mend that first")
SUM = Text("{bad} 处异常，{note} 条提示", "{bad} wrong, {note} notes")
PAGE = Text("每一条的说明：docs/troubleshooting.md", "each is explained in docs/troubleshooting.md")


def doctor(
    path: Path, socket: Path, *, as_json: bool, lang: Lang, store: Path | None = None
) -> int:
    """Look at everything, print what was found; return the exit code.

    `store` is the folder of the databases where the daemon was given another than the site's.
    """
    loaded = load_site(
        path, store_dir=store, is_timed=False
    )  # the daemon starts with a house that is too slow
    if loaded.site is None:
        print(render(loaded.problems, lang), file=sys.stderr)
        return 2
    found = findings(loaded.site, path, socket)
    if as_json:
        print(json.dumps(plain(found), ensure_ascii=False, indent=2))
    else:
        _print(found, lang)
    return 1 if any(each.grade is Grade.BAD for each in found) else 0


@dataclass(frozen=True, slots=True)
class Daemon:
    """The daemon as it was found: what `status` says, or why not; its process, where that is known.

    `ours`: every process of the gateway that may have a port open.
    """

    status: Answer | None
    error: NoAnswer | None
    units: Mapping[str, Unit]
    ours: frozenset[int]

    def polls(self, bus: str) -> bool:
        """Whether it has this bus: then nobody else connects to its devices."""
        rows = (self.status or {}).get("buses") or ()
        return any(isinstance(row, Mapping) and row.get("id") == bus for row in rows)


def find_daemon(socket: Path) -> Daemon:
    """Ask it and systemd, and no longer than each is waited for."""
    answered = at_once([partial(_ask_it, socket)], ASK_S + 2)[0]
    silent = NoAnswer(f"{socket}: the daemon does not answer")
    status, error, listening = answered or (None, silent, None)
    units = at_once([_ask_systemd], SYSTEMD_S)[0] or {}
    pids = {listening, *(unit.pid for unit in units.values())}
    return Daemon(status, error, units, frozenset(pid for pid in pids if pid is not None))


def _ask_it(socket: Path) -> tuple[Answer | None, NoAnswer | None, int | None]:
    """What `status` says, or why nothing; and who listens."""
    listening = listener(socket)
    try:
        return ask(socket, {"verb": "status"}, ASK_S), None, listening
    except NoAnswer as error:
        return None, error, listening


def _ask_systemd() -> Mapping[str, Unit]:
    return {name: ask_unit(name) for name in (DAEMON, READER)} if has_systemd() else {}


def findings(site: Site, path: Path, socket: Path) -> list[Finding]:
    """What is found around this site: daemon, buses, panel, reader, broker, clock, disk, units.

    Within 50 s in all: what has not answered by then is itself a finding.
    """
    daemon = find_daemon(socket)
    return explained(_seen(_looks(site, path, socket, daemon), WITHIN_S))


Look = tuple[str, Callable[[], Iterable[Finding]]]


def _looks(site: Site, path: Path, socket: Path, daemon: Daemon) -> Iterator[Look]:
    """Everything that is looked at, each by its name, in the order in which it is told."""
    who, uplink = service_user(), site.uplink
    unit = daemon.units.get(DAEMON)
    allows = None if unit is None else unit.devices
    for bus in site.buses:
        look: Callable[[], Iterable[Finding]]
        look = partial(look_at_bus, bus, who, ours=daemon.ours, allows=allows)
        if isinstance(bus.link, TcpLink) and daemon.polls(bus.id):
            look = partial(_left, bus.id)
        yield f"bus {bus.id}", look
    has_daemon = daemon.status is not None or bool(daemon.ours)  # one that hangs has its pins
    yield "panel", partial(look_at_pins, site.panel, who, has_daemon=has_daemon)
    if site.reader is not None:
        device = site.reader.device
        yield "reader", partial(look_at_reader, device, reader_user(), ours=daemon.ours)
    yield str(path.parent), partial(_look_at_keys, site, path.parent / PEOPLE, who)
    if uplink is not None:
        files = (uplink.ca_file, uplink.cert_file)
        yield "certificates", partial(look_at_certificates, *files)
        for broker in uplink.brokers:
            yield _where(broker), partial(_look_at_broker, uplink, broker)
    is_synced = Clock(flag=SYNC_FLAG).now().clk is Clk.SYNC
    yield "clock", partial(look_at_clock, site.timezone, is_synced=is_synced)
    yield "board", look_at_board
    yield str(site.store.directory), partial(_look_at_store, site.store.directory, who)
    yield "systemd", partial(look_at_units, needs_reader=site.reader is not None)
    yield "daemon", partial(look_at_daemon, site, socket, daemon)


def _left(bus: str) -> Iterator[Finding]:
    """A device that takes one connection would end the daemon's for ours."""
    fact = Text(
        f"总线 {bus}：守护进程在用，不另外连接", f"bus {bus}: left to the daemon, which has it"
    )
    yield good("bus_left", fact, bus)


def _look_at_keys(site: Site, people: Path, who: Who) -> Iterator[Finding]:
    """Files that the site file names, and people.yaml beside it."""
    uplink, tags = site.uplink, site.tag_keys
    if people.exists():
        yield from look_at_secrets([people], who)
    if uplink is not None:
        yield from look_at_secrets([uplink.password_file, uplink.key_file], who)
        yield from look_at_files([uplink.ca_file, uplink.cert_file], who)
    if tags is not None:
        yield from look_at_secrets([tags.meta_read, tags.file_read], who)


def _look_at_store(folder: Path, who: Who) -> Iterator[Finding]:
    yield from look_at_store(folder, who)
    for name in ("core", "readings"):
        file = folder / f"{name}.db"
        newer = newer_than_us(file, name) if file.exists() else frozenset()
        if newer:
            what = ", ".join(sorted(newer))
            yield note(
                "store_newer",
                Text(
                    f"{file} 由更新版本的程序写过（{what}），现在的程序不懂这一部分",
                    f"{file} was written by a newer version: this one does not know {what}",
                ),
                Text(
                    "装回那个版本：scripts/install --back，或它的安装包",
                    "go forward to that version: scripts/install --back, or its bundle",
                ),
                file.name,
            )


def _seen(looks: Iterable[Look], within_s: float) -> list[Finding]:
    """Look at everything at the same time; what is found, in the order of the looks."""
    named = [*looks]
    found = at_once([partial(_look, name, look) for name, look in named], within_s)
    return [
        finding
        for (name, _), seen in zip(named, found, strict=True)
        for finding in ((_hangs(name),) if seen is None else seen)
    ]


def _look(name: str, look: Callable[[], Iterable[Finding]]) -> tuple[Finding, ...]:
    found = list[Finding]()
    try:
        for finding in look():
            found.append(finding)  # what was seen before it fails is told
    except Exception as error:  # noqa: BLE001 - one look that fails costs no other
        found.append(_unseen(name, error))
    return tuple(found)


def _hangs(name: str) -> Finding:
    return bad(
        "look_hangs",
        Text(
            f"{name}：{WITHIN_S:.0f} 秒内看不到结果", f"{name}: no result within {WITHIN_S:.0f} s"
        ),
        Text(
            "dmesg 看磁盘和 USB 的错误；网络盘先断开",
            "`dmesg` shows errors of disk and USB; take network disks off",
        ),
        name,
    )


def _unseen(name: str, error: Exception) -> Finding:
    why = f"{type(error).__name__}: {error}"
    cure = _SUDO if isinstance(error, PermissionError) else _TELL
    return note(
        "unseen", Text(f"{name}：看不了（{why}）", f"{name}: not to be seen: {why}"), cure, name
    )


_SUDO = Text("sudo care-gateway doctor", "sudo care-gateway doctor")
_TELL = Text(
    "care-gateway report 生成支持包，发给厂家", "send the maker the file of `care-gateway report`"
)


def _where(broker: Broker) -> str:
    return broker.unix_path or f"{broker.host}:{broker.port}"


def _look_at_broker(uplink: Uplink, broker: Broker) -> Iterator[Finding]:
    """Name, TCP and TLS; no login: it would throw the running daemon off the line."""
    where = _where(broker)
    try:
        asyncio.run(mqtt.reach(uplink, broker))
        if not broker.tls and broker.unix_path is None and tls.expects_tls(broker):
            raise LinkRefused("tls_expected", "the port answers a TLS hello")
    except LinkRefused as refused:
        fact, cures = LINK_FAILURES.get(refused.why, LINK_FAILURES["tcp"])
        detail = detail_text(refused.detail)
        yield bad(
            f"broker_{refused.why}",
            Text(f"{where}：{fact.zh}（{detail.zh}）", f"{where}: {fact.en} ({detail.en})"),
            cure_of(f"uplink_{refused.why}", cures),
            where,
        )
    else:
        fact = Text(f"{where} 可达", f"{where} can be reached")
        yield good("broker_reached", fact, where)
        if broker.tls:
            yield from look_at_broker_certificate(uplink, broker)


def look_at_daemon(site: Site, socket: Path, daemon: Daemon) -> Iterator[Finding]:
    """Whether it answers, works by this site file, and which faults it knows of."""
    if daemon.status is None:
        yield _silent(socket, daemon)
        return
    yield good("daemon_answers", Text("守护进程在运行", "the daemon answers"))
    yield from _look_at_site(site, daemon.status, daemon.units.get(DAEMON))
    yield from _look_at_version(daemon.status)
    yield from _look_for_short_answers(daemon.status)
    faults = [*fault_findings(daemon.status, site)]
    yield from faults
    yield from _look_for_swapped(site, faults)


def _silent(socket: Path, daemon: Daemon) -> Finding:
    if isinstance(daemon.error, NoDaemon):
        left = (
            Text("，套接字是上次留下的", ", the socket is a left-over")
            if socket.exists()
            else Text("", "")
        )
        return bad(
            "daemon_silent",
            Text(
                f"守护进程没有运行（{socket}{left.zh}）",
                f"no daemon listens on {socket}{left.en}",
            ),
            Text("systemctl start care-gateway", "systemctl start care-gateway"),
        )
    if daemon.error is not None and isinstance(daemon.error.__cause__, PermissionError):
        return note(
            "daemon_denied",
            Text(f"无权询问守护进程（{socket}）", f"this user may not ask the daemon on {socket}"),
            _SUDO,
        )
    return bad(
        "daemon_hangs",
        Text(f"守护进程不应答（{socket}）", f"the daemon does not answer: {daemon.error}"),
        Text(
            "看门狗半分钟内会重启它；仍不应答就 systemctl restart care-gateway",
            "the watchdog restarts it within half a minute; if not, systemctl restart care-gateway",
        ),
    )


def _look_at_site(site: Site, status: Answer, unit: Unit | None) -> Iterator[Finding]:
    """Whether the file as it is now is the one that the daemon works by."""
    running = status.get("site")
    sha = running.get("sha") if isinstance(running, Mapping) else None
    if not sha or sha == site.sha:
        return
    said = unit.says if unit is not None and "REFUSED" in unit.says else ""
    yield note(
        "site_not_running",
        Text(
            f"站点文件与正在运行的不同 {said}".rstrip(),
            f"the site file is not the one that runs; {said}".rstrip("; "),
        ),
        Text(
            "systemctl reload care-gateway；它若说要重启才能生效，systemctl restart care-gateway",
            "systemctl reload care-gateway; where it says that only a restart takes it over,"
            " systemctl restart care-gateway",
        ),
    )


def _look_at_version(status: Answer) -> Iterator[Finding]:
    running, here = status.get("version"), metadata.version("care-gateway")
    if isinstance(running, str) and running != here:
        yield note(
            "daemon_other_version",
            Text(f"运行的是 {running}，安装的是 {here}", f"{running} runs, {here} is installed"),
            Text("systemctl restart care-gateway", "systemctl restart care-gateway"),
        )


def _look_for_short_answers(status: Answer) -> Iterator[Finding]:
    """Devices that say nothing to the long questions that their profile allows."""
    for row in status.get("devices") or ():
        takes = row.get("takes")
        if takes is not None:
            name = str(row.get("id"))
            yield note(
                "device_takes_less",
                Text(
                    f"{name} 一次最多答 {takes} 个寄存器，更长的请求不应答；已自动分段读取",
                    f"{name} answers {takes} registers at most and says nothing to longer"
                    " questions; it is read in pieces",
                ),
                Text(
                    f"在它的档案里写 max_registers: {takes}，然后 systemctl reload care-gateway",
                    f"write max_registers: {takes} into its profile, then systemctl reload"
                    " care-gateway",
                ),
                name,
            )


def _look_for_swapped(site: Site, faults: Collection[Finding]) -> Iterator[Finding]:
    """Two lines of which nobody answers at the same time: plugs were swapped, most likely."""
    silent = {each.about.rpartition("/")[2] for each in faults if "/bus_silent/" in each.about}
    lines = [b.id for b in site.buses if b.id in silent and not isinstance(b.link, TcpLink)]
    if len(lines) > 1:
        named = ", ".join(lines)
        yield note(
            "lines_swapped",
            Text(
                f"{named} 同时没有设备应答：多半转换器插反了",
                f"nobody answers on {named} at the same time: their plugs are swapped, most likely",
            ),
            Text(
                "对调两个转换器的 USB 插口（或站点文件里的 serial:），给插口贴标签",
                "swap the two adapters' USB sockets, or `serial:` in the site file; label them",
            ),
            named,
        )


def _print(found: list[Finding], lang: Lang) -> None:
    from rich.console import Console
    from rich.text import Text as Styled

    to = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    for each in sorted(found, key=_place):
        mark = Styled(f"{MARKS[each.grade].in_(lang):<6}", style=STYLES[each.grade])
        to.print(mark, Styled(f"{each.fact.in_(lang)}  [{each.code}]"))
        if each.because:
            to.print(f"        {FOLLOWS.in_(lang).format(each.because)}")
        elif each.cure is not None:
            to.print(f"        {CURE.in_(lang)}{each.cure.in_(lang)}")
    counted = {grade.value: sum(_counts(each, grade) for each in found) for grade in Grade}
    to.print(SUM.in_(lang).format(**counted))
    if counted["bad"] or counted["note"]:
        to.print(PAGE.in_(lang))


def _place(finding: Finding) -> int:
    """What to do first, what follows from it, advice, and what is well."""
    if finding.grade is Grade.BAD:
        return 1 if finding.because else 0
    return 2 if finding.grade is Grade.NOTE else 3


def _counts(finding: Finding, grade: Grade) -> bool:
    return finding.grade is grade and not finding.because


def plain(found: Iterable[Finding]) -> dict[str, Any]:
    """The findings as JSON: `code`, `grade`, `fact` and `cure` in both languages.

    `about`: the bus, file or fault; `because`: the code of the finding that explains it.
    """
    return {"findings": [_plain(each) for each in found]}


def _plain(finding: Finding) -> dict[str, Any]:
    cure = finding.cure
    return {
        "code": finding.code,
        "grade": finding.grade.value,
        "fact": {"zh": finding.fact.zh, "en": finding.fact.en},
        "cure": None if cure is None else {"zh": cure.zh, "en": cure.en},
        "about": finding.about,
        "because": finding.because,
    }
