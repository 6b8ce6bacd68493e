"""A whole daemon in a process of its own, over simulated devices of the test's own.

The devices live in the test's event loop; broker and platform are real processes. Nothing of the
daemon is looked at but what the outside sees: its pins, its socket, its files and its messages.
"""

import asyncio
import json
import os
import signal
import sqlite3
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from gateway.drivers.sockets import NoAnswer, request
from gateway.sim.history import read_applied, read_settled
from gateway.sim.processes import environment_of

ROOT = Path(__file__).parents[2]
T = TypeVar("T")

# Bytecode may be written: a daemon is started hundreds of times, an installed copy has its own.
ENVIRONMENT = {
    **os.environ,
    **environment_of(ROOT / "systemd" / "care-gateway.service"),
    "PYTHONPATH": str(ROOT),
    "PYTHONDONTWRITEBYTECODE": "",
}
# How long a busy machine may take for anything; the soak gives it more.
PATIENCE_S = float(os.environ.get("PATIENCE_S", "120"))


async def until(look: Callable[[], T | None], what: str, seconds: float = PATIENCE_S) -> T:
    """Return the first thing that `look` finds; fail when it finds nothing for very long."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        await asyncio.sleep(0.02)


@dataclass(slots=True)
class Daemon:
    """One house: its folder, its site file, and the process while it runs."""

    folder: Path
    site: Path
    process: asyncio.subprocess.Process | None = None

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def socket(self) -> Path:
        return self.folder / "s"

    @property
    def console(self) -> Path:
        return self.folder / "c"

    @property
    def reader(self) -> Path:
        return self.folder / "r"

    @property
    def pins_file(self) -> Path:
        return self.folder / "pins.jsonl"

    @property
    def sync_flag(self) -> Path:
        """What timesyncd would touch: a house has no time source unless somebody touches this."""
        return self.folder / "synchronized"

    def command(self, *fault: str) -> list[str]:
        """The command line; with `fault`, of a daemon made to fail (`tests.daemon.faulty`)."""
        module = ["-m", "tests.daemon.faulty", *fault, "--"] if fault else ["-m", "gateway"]
        return [
            sys.executable, *module, "run", str(self.site), "--store", str(self.store),
            "--socket", str(self.socket), "--console-socket", str(self.console),
            "--reader-socket", str(self.reader),
            "--panel", "mock", "--panel-log", str(self.pins_file),
            "--sync-flag", str(self.sync_flag),
        ]  # fmt: skip

    async def start(self, *fault: str) -> None:
        """Start the daemon as a process of its own."""
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command(*fault), stdout=log, stderr=log, cwd=ROOT, env=ENVIRONMENT
            )

    async def kill(self) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM, as systemd does it; returns the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), PATIENCE_S)

    async def ask(self, **message: object) -> dict[str, Any] | None:
        try:
            return await request(self.socket, message)
        except NoAnswer:
            return None

    async def status_when(
        self, holds: Callable[[dict[str, Any]], object], what: str
    ) -> dict[str, Any]:
        """Return the first status for which `holds` is true."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            status = await self.ask(verb="status")
            if status is not None and holds(status):
                return status
            assert self.process is not None
            assert self.process.returncode is None, f"the daemon died:\n{self.log()}"
            assert time.monotonic() < deadline, f"waited for {what}:\n{status}\n{self.log()}"
            await asyncio.sleep(0.05)  # an answer costs the daemon some milliseconds

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text()[-4000:] if path.exists() else ""

    def pins(self, since_ms: float = 0.0) -> list[tuple[float, str, int]]:
        """Every transition of an output as (mono ms, pin, level); a torn last line is left out."""
        if not self.pins_file.exists():
            return []
        found = []
        for line in self.pins_file.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                entry = json.loads(line)
                if entry["t"] >= since_ms:
                    found.append((entry["t"], entry["pin"], entry["level"]))
        return found

    def has_sounded_alarm(self, since_ms: float) -> bool:
        """True once the red lamp was lit and the buzzer sounded twice within a second (A1)."""
        pins = self.pins(since_ms)
        beeps = [t for t, pin, level in pins if (pin, level) == ("buzzer", 1)]
        red = any((pin, level) == ("red", 1) for _, pin, level in pins)
        return red and any(0 < b - a < 1_000 for a, b in pairwise(beeps))

    def records(self) -> list[dict[str, Any]]:
        """Every record of both files, in the order of writing, as the platform would read it."""
        rows: list[dict[str, Any]] = []
        for name in ("core.db", "readings.db"):
            rows.extend(bodies_in(self.store / name))
        return rows


def bodies_in(path: Path) -> list[dict[str, Any]]:
    """The message bodies in a database file, read without the gateway's own code."""
    if not path.exists():
        return []
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        rows = db.execute("SELECT body FROM record ORDER BY id").fetchall()
    finally:
        db.close()
    return [json.loads(body if body[:1] == b"{" else zlib.decompress(body)) for (body,) in rows]


def key_of(body: dict[str, Any]) -> tuple[str, str, int]:
    return body["ep"], body["lane"], body["seq"]


SITE = """\
site: {{id: test-house, name: 测试养老院, institution: elder-care}}
store: {{commit_every: {commit_every}}}
self_test: off
buses: {{hall: {{tcp: "127.0.0.1:{port}", timeout: 300ms}}}}
devices:
  board:
    profile: lingxun-lx47le
    bus: hall
    unit: 3
    place: 1F 配电间
    owner: 电工班
    points: {{residual_current: {{period: 200ms}}}}
    rules:
      residual_warning: {{off: true, basis: test}}
      residual_alarm: {{for: 500ms, clear_for: 500ms, basis: test}}
panel: {{red: 17, amber: 27, yellow: 22, green: 23, buzzer: 24, silence: 25}}
"""
UPLINK = """\
uplink: {{gateway: {gateway}, brokers: ["{broker}"], reconnect: local, probe: 2s}}
"""
LEAK = "board.residual_current/residual_alarm"


def site_of(port: int, *, commit_every: str = "500ms", broker: str = "", gateway: str = "") -> str:
    """A house with one breaker whose residual current is judged, at a TCP port."""
    text = SITE.format(port=port, commit_every=commit_every)
    return text + UPLINK.format(gateway=gateway, broker=broker) if broker else text


@asynccontextmanager
async def open_daemon(folder: Path, site: str) -> AsyncIterator[Daemon]:
    """A daemon that is not running yet; whatever runs at the end is killed."""
    path = folder / "site.yaml"
    path.write_text(site)
    daemon = Daemon(folder, path)
    try:
        yield daemon
    finally:
        if daemon.process is not None:
            await daemon.kill()


@dataclass(frozen=True, slots=True)
class Platform:
    """A simulated platform's history file: what took effect, in which order."""

    path: Path

    def applied(self, lane: str | None = None) -> list[dict[str, Any]]:
        """The bodies that took effect, each once, in the order of effect."""
        return [
            json.loads(row.body)
            for row in read_applied(self.path)
            if lane is None or row.key[2] == lane
        ]

    def raises(self, rule: str) -> list[dict[str, Any]]:
        return [b for b in self.applied() if (b.get("rule"), b.get("tr")) == (rule, "raise")]

    def facts(self, kind: str) -> list[dict[str, Any]]:
        return [body for body in self.applied("B") if body.get("kind") == kind]

    def settled(self) -> list[tuple[str, str, int]]:
        """(epoch, lane, seq) in the order in which they were acknowledged."""
        return [
            (acked.epoch, acked.lane, seq)
            for acked in read_settled(self.path)
            for seq in range(acked.lo, acked.hi + 1)
        ]


@asynccontextmanager
async def open_platform(
    folder: Path, broker: str, name: str = "platform", *options: str
) -> AsyncIterator[Platform]:
    """The simulated platform, as a process of its own."""
    path = folder / f"{name}.sqlite"
    with (folder / f"{name}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.sim.platform",
            "--broker", broker, "--history", str(path), *options,
            stdout=log, stderr=log, cwd=ROOT, env=ENVIRONMENT,
        )  # fmt: skip
    try:
        yield Platform(path)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()
            await process.wait()


def boot_ms() -> float:
    """CLOCK_BOOTTIME in ms: the scale of the pin log."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6
