"""A look at systemd for `care-gateway doctor`: units, their processes, the watchdog, the journal.

systemd is asked through systemctl, which changes nothing here; `run` stands for it in tests.
"""

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.domain.findings import Finding, bad, good, note
from gateway.domain.text import Text

DAEMON = "care-gateway.service"
CONSOLE = "care-gateway-console.service"
READER = "care-gateway-reader.service"
BACKUP = "care-gateway-backup.service"
TIMERS = ("care-gateway-backup.timer", "care-gateway-sheets.timer")
UNITS = (DAEMON, CONSOLE, READER)
SITE_REFUSED, STORE_BUSY = "2", "1"  # exit codes of `care-gateway run`
ASK_S = 10.0
ROOT = Path("/")

Run = Callable[[Sequence[str]], str | None]

_PROPERTIES = (
    "LoadState,ActiveState,SubState,UnitFileState,Result,ExecMainStatus,ConditionResult,"
    "MainPID,StatusText,DevicePolicy,DeviceAllow,NRestarts"
)


@dataclass(frozen=True, slots=True)
class Unit:
    """What systemd says of a unit; `devices`: what DeviceAllow= has, None where all are allowed."""

    name: str
    known: Mapping[str, str]
    devices: frozenset[str] | None = None

    @property
    def is_loaded(self) -> bool:
        return self.known.get("LoadState") == "loaded"

    @property
    def pid(self) -> int | None:
        return (
            int(word) if (word := self.known.get("MainPID", "")).isdigit() and word != "0" else None
        )

    @property
    def says(self) -> str:
        return self.known.get("StatusText", "")


def output(command: Sequence[str]) -> str | None:
    """What a command prints within ten seconds; None when it cannot be had."""
    try:
        done = subprocess.run(  # noqa: S603 - our own words only
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=ASK_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout


def has_systemd(root: Path = ROOT) -> bool:
    return (root / "run/systemd/system").is_dir()


def ask_unit(name: str, run: Run = output) -> Unit:
    """What systemd knows of it; nothing where it does not answer."""
    said = run(("systemctl", "show", name, "-p", _PROPERTIES)) or ""
    pairs = [line.partition("=")[::2] for line in said.splitlines()]
    known = dict(pairs)
    allows = frozenset(value.partition(" ")[0] for key, value in pairs if key == "DeviceAllow")
    is_closed = known.get("DevicePolicy") in ("closed", "strict") and bool(allows)
    return Unit(name, known, allows if is_closed else None)


def look_at_units(
    run: Run = output, root: Path = ROOT, *, needs_reader: bool = False
) -> Iterator[Finding]:
    """Whether the units are there, enabled and running, and the journal kind to the card."""
    if not has_systemd(root):
        yield note(
            "no_systemd",
            Text("这里没有 systemd：没有人重启守护进程", "no systemd: nobody restarts the daemon"),
            Text("正式运行用 scripts/install", "run scripts/install where it shall stay"),
        )
        return
    needed = {DAEMON, READER} if needs_reader else {DAEMON}
    for name in UNITS:
        yield from _look_at_unit(ask_unit(name, run), is_needed=name in needed)
    backup = ask_unit(BACKUP, run)
    if backup.known.get("ActiveState") == "failed":
        yield note(
            "unit_down",
            Text(f"{BACKUP} 失败：没有新的备份", f"{BACKUP} failed: there is no new copy"),
            Text(
                f"journalctl -u {BACKUP} -n 50 看原因", f"`journalctl -u {BACKUP} -n 50` says why"
            ),
            BACKUP,
        )
    for timer in TIMERS:
        yield from _look_at_timer(ask_unit(timer, run))
    yield from _kindness(run, root)


def _look_at_timer(timer: Unit) -> Iterator[Finding]:
    if timer.is_loaded and timer.known.get("ActiveState") != "active":
        cure = f"systemctl enable --now {timer.name}"
        fact = Text(f"{timer.name} 没有启用", f"{timer.name} is not switched on")
        yield note("unit_disabled", fact, Text(cure, cure), timer.name)


def _kindness(run: Run, root: Path) -> Iterator[Finding]:
    """Who resets a board that hangs, and how much is written to the card."""
    said = run(("systemctl", "show", "-P", "RuntimeWatchdogUSec"))
    if (said or "0").strip() in ("0", "infinity"):
        yield note(
            "watchdog_off",
            Text("硬件看门狗没有开", "the hardware watchdog is off"),
            Text("scripts/install 会打开它", "scripts/install switches it on"),
        )
    if (root / "var/log/journal").is_dir():
        yield note(
            "journal_on_card",
            Text("系统日志写在卡上", "the journal is written to the card"),
            Text(
                "再运行一次 scripts/install（不带 --keep-journal），然后删除 /var/log/journal",
                "run scripts/install again, without --keep-journal, then remove /var/log/journal",
            ),
        )


def _look_at_unit(unit: Unit, *, is_needed: bool) -> Iterator[Finding]:
    name, state = unit.name, unit.known.get("ActiveState", "?")
    if unit.known.get("LoadState") == "masked":
        cure = f"systemctl unmask {name} && systemctl enable --now {name}"
        fact = Text(f"{name} 被屏蔽（masked），不能启动", f"{name} is masked: nothing can start it")
        yield (bad if is_needed else note)("unit_masked", fact, Text(cure, cure), name)
        return
    if not unit.is_loaded:
        if is_needed:
            yield bad(
                "unit_missing",
                Text(f"没有安装 {name}", f"{name} is not installed"),
                Text("运行 scripts/install", "run scripts/install"),
                name,
            )
        return
    is_failing = state == "failed" or unit.known.get("SubState") == "auto-restart"
    if is_failing or (is_needed and state != "active"):
        yield _down(unit, state)
    else:
        yield good("unit_runs", Text(f"{name}：{state}", f"{name}: {state}"), name)
    if is_needed and unit.known.get("UnitFileState") == "disabled":
        yield bad(
            "unit_disabled",
            Text(f"{name} 开机不会启动", f"{name} does not start at boot"),
            Text(f"systemctl enable {name}", f"systemctl enable {name}"),
            name,
        )


def _down(unit: Unit, state: str) -> Finding:
    name, known = unit.name, unit.known
    why = " ".join(filter(None, (state, known.get("SubState"), known.get("Result"))))
    return bad(
        "unit_down",
        Text(f"{name} 没有运行：{why}", f"{name} does not run: {why}"),
        _how_to_start(unit),
        name,
    )


def _how_to_start(unit: Unit) -> Text:
    name, known = unit.name, unit.known
    start = f"systemctl restart {name}"
    if known.get("ConditionResult") == "no" and name == DAEMON:
        return Text(
            f"写好 /etc/care-gateway/site.yaml，再 {start}",
            f"write /etc/care-gateway/site.yaml, then {start}",
        )
    if known.get("Result") == "exit-code" and name == DAEMON:
        status = known.get("ExecMainStatus")
        if status == SITE_REFUSED:
            return Text(
                f"care-gateway check 看站点文件的错误，改好再 {start}",
                f"`care-gateway check` shows what is wrong in the site file; mend it, then {start}",
            )
        if status == STORE_BUSY:
            return Text(
                f"多半另有一个守护进程占着数据库：journalctl -u {name} -n 50；停掉它再 {start}",
                f"most likely another daemon has the databases: `journalctl -u {name} -n 50`; end"
                f" it, then {start}",
            )
    return Text(
        f"journalctl -u {name} -n 50 看原因，再 {start}",
        f"`journalctl -u {name} -n 50` says why; then {start}",
    )
