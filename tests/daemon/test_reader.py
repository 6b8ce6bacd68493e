"""The NFC reader's process beside a whole daemon: killed, stopped, unplugged; what it costs.

A process of its own runs the unmodified nfcpy on the simulated PN532; the test is its systemd.
"""

import asyncio
import json
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.sim.bus import TcpBus, open_tcp
from gateway.sim.desk_reader import DeskReader, open_desk_reader
from gateway.sim.devices import SimDevice, by_unit, lx47le
from gateway.sim.ntag import Card, Ntag
from tests.daemon.rig import (
    ENVIRONMENT,
    PATIENCE_S,
    ROOT,
    Daemon,
    boot_ms,
    open_daemon,
    site_of,
    until,
)

UID = bytes.fromhex("04a1b2c3d4e580")
FAULT = "gateway/reader_failed/desk"
REPLUGS = 5  # scripts/soak does fifty
BACK_WITHIN_S = 30.0


PATROL = """\
patrol:
  items: {rounds: {clear: {say: 通道畅通}}}
  checkpoints:
    2F-EPS: {name: 2F 配电间, place: 2F 配电间, items: rounds, near: [board.residual_current]}
  routes: {night: {name: 夜巡, stops: [2F-EPS]}}
  rounds: {night: {route: night, at: ["00:00"], after: 12h}}
  readers: {desk: {place: 值班室, near: [board.residual_current]}}
"""
PEOPLE = """\
people:
  n1: {name: 张敏, role: duty, cards: [{uid: A1B2C3D4}]}
  t1: {name: 李工, role: technician}
"""
CARD = bytes.fromhex("a1b2c3d4")


@dataclass(slots=True)
class House:
    daemon: Daemon
    board: DeskReader
    device: SimDevice
    bus: TcpBus
    reader: asyncio.subprocess.Process | None = None

    async def start_reader(self) -> asyncio.subprocess.Process:
        folder = self.daemon.folder
        with (folder / "reader.log").open("ab") as log:
            self.reader = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway", "reader", "--socket", str(self.daemon.reader),
                "--lend", str(folder / "lend"),
                stdout=log, stderr=log, cwd=ROOT, env=ENVIRONMENT,
            )  # fmt: skip
        return self.reader

    async def seen(self) -> dict:
        answer = await self.daemon.ask(verb="reader_status")
        return {} if answer is None else answer["reader"]

    async def when(self, holds, what: str, seconds: float = PATIENCE_S) -> dict:
        deadline = time.monotonic() + seconds
        while True:
            seen = await self.seen()
            if seen and holds(seen):
                return seen
            log = (self.daemon.folder / "reader.log").read_text()[-2000:]
            assert self.daemon.process.returncode is None, self.daemon.log()
            assert time.monotonic() < deadline, f"waited for {what}: {seen}\n{log}"
            await asyncio.sleep(0.05)

    async def is_ready(self, seconds: float = PATIENCE_S) -> dict:
        return await self.when(lambda seen: seen["state"] == "ready", "the reader", seconds)

    def files_of_reader(self) -> int:
        assert self.reader is not None
        return len(list(Path(f"/proc/{self.reader.pid}/fd").iterdir()))


@asynccontextmanager
async def house(folder: Path, more: str = "") -> AsyncIterator[House]:
    """A breaker, a daemon and a reader with its process, all of them running."""
    people = folder / "people.yaml"
    people.write_text(PEOPLE)
    people.chmod(0o640)
    device = lx47le("board", 3)
    with open_desk_reader(folder / "nfc") as board:
        async with open_tcp(by_unit([device])) as bus:
            site = site_of(bus.port) + f"reader: {{device: {board.port}, again: 500ms}}\n{more}"
            async with open_daemon(folder, site) as daemon:
                await daemon.start()
                at_home = House(daemon, board, device, bus)
                await at_home.start_reader()
                try:
                    await at_home.is_ready()
                    yield at_home
                finally:
                    if at_home.reader is not None and at_home.reader.returncode is None:
                        at_home.reader.kill()
                    if at_home.reader is not None:
                        await at_home.reader.wait()


@pytest.fixture
async def home(short_path: Path) -> AsyncIterator[House]:
    async with house(short_path) as home:
        yield home


async def test_a_killed_reader_is_back_and_takes_the_next_tap(home):
    home.board.put(Ntag(UID))
    await home.when(lambda seen: seen["taps"] == 1, "the tap")
    home.reader.kill()  # in the middle of whatever it does
    await home.reader.wait()
    home.board.put(None)
    await home.start_reader()
    await home.when(lambda s: s["heard_ms"] < 500 and s["state"] == "ready", "it", BACK_WITHIN_S)
    home.board.put(Card(bytes.fromhex("a1b2c3d4")))
    await home.when(lambda seen: seen["taps"] == 2, "the next tap")
    assert home.daemon.process.returncode is None


async def test_a_replugged_reader_is_back_with_no_file_left_open(home):
    files = home.files_of_reader()
    for _ in range(REPLUGS):
        home.board.unplug()
        await home.when(lambda seen: seen["state"] == "failed", "the failure")
        home.board.plug()
        await home.is_ready(BACK_WITHIN_S)
    assert home.files_of_reader() <= files + 1  # it may be asking the daemon just now
    home.board.unplug()
    told = await home.daemon.status_when(
        lambda status: [a for a in status["alarms"] if a["rule"] == FAULT], "the fault"
    )
    assert "not plugged in" in str(told["alarms"])
    home.board.plug()
    await home.is_ready(BACK_WITHIN_S)
    await home.daemon.status_when(
        lambda s: not [a for a in s["alarms"] if a["rule"] == FAULT and a["state"][1] == "A"],
        "the end of the fault",
    )


async def test_an_alarm_sounds_while_the_reader_hangs(home):
    """Stopped in the middle, and another that never ends its line: the daemon waits for none."""
    home.reader.send_signal(signal.SIGSTOP)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as half:
        half.connect(str(home.daemon.reader))
        half.sendall(b'{"verb": "tap", "uid": "04A1')
        since = boot_ms()
        home.device.truth["residual_current"] = 600.0
        await until(lambda: home.daemon.has_sounded_alarm(since), "the alarm at the pins")
        assert (await home.seen())["heard_ms"] > 0
    home.reader.send_signal(signal.SIGCONT)
    await home.when(lambda s: s["heard_ms"] < 500 and s["state"] == "ready", "the reader")


async def test_a_card_at_the_desk_arrives_at_the_alarm_and_a_tag_is_written_there(short_path):
    """The whole way: chip, nfcpy, process, daemon, records; and a tag of the house's own."""
    async with house(short_path, PATROL) as home:
        since = boot_ms()
        home.device.truth["residual_current"] = 600.0
        await until(lambda: home.daemon.has_sounded_alarm(since), "the alarm at the pins")
        home.board.put(Card(CARD))
        await until(lambda: facts(home, "arrival"), "the arrival")
        assert facts(home, "arrival")[0]["by"] == "n1"
        assert facts(home, "tap")[0]["means"] == "arrived"
        tag = Ntag(UID)
        home.board.put(tag)
        await until(lambda: len(facts(home, "tap")) == 2, "the second tap")
        assert facts(home, "tap")[1]["means"] == "unknown_tag"

        written = await command(
            home, "tag", "write", "2F-EPS", "--as", "t1", "--url", "http://192.168.1.5:8080",
            "--lend", str(home.daemon.folder / "lend"), "--no-password", "--wait", "30",
        )  # fmt: skip
        assert written["checkpoint"] == "2F-EPS"
        tags = (await home.daemon.ask(verb="patrol_tags"))["tags"]
        assert [(tag["uid"], tag["checkpoint"]) for tag in tags] == [(UID.hex().upper(), "2F-EPS")]
        await home.is_ready(BACK_WITHIN_S)
        taps = len(facts(home, "tap"))
        home.board.put(None)
        looked = looks(home)
        await until(lambda: looks(home) > looked + 8, "the reader to see it gone for a second")
        home.board.put(tag)
        await until(lambda: len(facts(home, "tap")) > taps, "the tap of the tag")
        assert facts(home, "tap")[-1]["means"] == "tag_not_here"


async def command(home: House, *words: str) -> dict:
    """What a technician's command prints as JSON; it may take the reader for a while."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *words, "--socket", str(home.daemon.socket), "--json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT, env=ENVIRONMENT,
    )  # fmt: skip
    try:
        said, talk = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, talk.decode()
    return json.loads(said)


def looks(home: House) -> int:
    """How often the reader has looked for a tag: at most five times a second."""
    return sum(asked[0] == 0x4A for asked in home.board.chip.asked)


def facts(home: House, kind: str) -> list[dict]:
    return [body["data"] for body in home.daemon.records() if body.get("kind") == kind]


async def test_without_a_reader_in_the_site_file_there_is_no_socket_for_one(short_path):
    device = lx47le("board", 3)
    async with (
        open_tcp(by_unit([device])) as bus,
        open_daemon(short_path, site_of(bus.port)) as daemon,
    ):
        await daemon.start()
        await daemon.status_when(lambda _: True, "an answer")
        assert not daemon.reader.exists()
        assert (await daemon.ask(verb="reader_status"))["reader"] is None
