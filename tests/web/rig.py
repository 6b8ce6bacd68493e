"""A console in a process of its own, a daemon that says what the test wants, and plain HTTP."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.drivers.sockets import serve

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0  # how long a busy machine may take for anything

ALARM = {
    "rule": "kitchen-board.residual_current/residual_alarm",
    "state": "UA",
    "severity": "alarm",
    "mode": "real",
    "inhibits": [],
    "say": {"zh": "剩余电流超限", "en": "Residual current too high"},
    "do": [
        {"zh": "派人带灭火器到现场", "en": "Send someone with an extinguisher"},
        {"zh": "贴卡确认到场", "en": "Tap the tag on arrival"},
        {"zh": "冒烟或起火：打 119，疏散", "en": "Smoke or fire: call 119, evacuate"},
        {"zh": "无火：断开回路，叫电工", "en": "No fire: cut the circuit, call the electrician"},
    ],
    "place": "1F 厨房配电箱",
    "owner": "电工班",
    "value": 612.437,
    "limit": 500,
    "unit": "mA",
    "detail": "",
    "since_ms": 41_000,
    "raised_at": 1_790_000_000_000,
    "is_stale": False,
    "is_sounding": True,
    "age_ms": 900,
}
WARNING = {
    **ALARM, "rule": "kitchen-gas/w", "severity": "warning", "state": "AA", "place": "1F 厨房",
    "say": {"zh": "燃气浓度偏高", "en": "Gas is present"}, "since_ms": 125_000,
}  # fmt: skip
FAULT = {
    **ALARM, "rule": "device_silent/main-meter", "severity": "fault", "place": "1F 配电间总表",
    "say": {"zh": "设备无应答", "en": "The device does not answer"}, "value": None, "limit": None,
    "detail": "timeout", "age_ms": None, "is_sounding": False, "since_ms": 7_325_000,
}  # fmt: skip
UP = {"is_set": True, "is_up": True, "is_platform_present": True, "queued": {"A": 0, "B": 0}}


def snapshot(top: str, *alarms: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """What the daemon says of a house in this state."""
    severities = [alarm["severity"] for alarm in alarms]
    counts = {name: severities.count(name) for name in ("alarm", "warning", "fault")}
    return {
        "site": {"id": "elm", "name": "榆园养老院", "timezone": "Asia/Shanghai"},
        "clock": {"clk": "sync", "utc_ms": 1_790_000_041_000},
        "top": top,
        "mode": "real",
        "counts": {**counts, "shelved": 0, "out_of_service": 0},
        "alarms": list(alarms),
        "more": 0,
        "lamps": {"red": "2Hz", "amber": "1Hz", "yellow": "off", "green": "on", "buzzer": "A1"},
        "points": {"total": 18, "good": 16},
        "cases": {"open": 2},
        "patrol": None,
        "drill": None,
        "tests": 0,
        "post_check": None,
        "link": UP,
        **changes,
    }


NORMAL = snapshot("normal", points={"total": 18, "good": 18})
FLOOD = [{**WARNING, "rule": f"r{n}", "place": f"{n}F 走廊尽头的弱电间"} for n in range(39)]
STATES = {
    "alarm": snapshot("alarm", ALARM, WARNING, FAULT),
    "flood": snapshot("alarm", {**ALARM, "is_first_out": True}, *FLOOD, more=12),
    "warning": snapshot("warning", WARNING, {**FAULT, "inhibits": ["SH"]}),
    "fault": snapshot(
        "fault",
        {**FAULT, "is_stale": True, "chatter": 7},
        link={**UP, "is_up": False, "queued": {"A": 3, "B": 14, "R": 260}},
    ),
    "normal": NORMAL,
    "unknown": snapshot("unknown", link={"is_set": False}, points={"total": 18, "good": 0}),
    "drill": snapshot(
        "alarm",
        {**ALARM, "mode": "drill"},
        mode="drill",
        drill={"scenario": "厨房起火", "leader": "s07", "left_ms": 1_500_000},
        tests=1,
        post_check={"left_ms": 130_000},
    ),
}


@dataclass(slots=True)
class Daemon:
    """Says `shown` at once when it changes, and again after a while when it does not."""

    path: Path
    shown: Mapping[str, Any] = field(default_factory=lambda: NORMAL)
    number: int = 1
    every_s: float = 0.5
    asked: int = 0

    def show(self, shown: Mapping[str, Any]) -> None:
        self.shown, self.number = shown, self.number + 1

    async def answer(self, message: dict[str, Any], _peer: object) -> dict[str, Any]:
        self.asked += 1
        end = asyncio.get_running_loop().time() + self.every_s
        while message.get("after") == self.number and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.02)
        return {"ok": True, "n": self.number, **self.shown}


@asynccontextmanager
async def open_house(path: Path) -> AsyncIterator[Daemon]:
    """A daemon that answers at `path` while the block runs."""
    daemon = Daemon(path)
    async with serve(path, daemon.answer):
        yield daemon


@dataclass(frozen=True, slots=True)
class Console:
    url: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])


@asynccontextmanager
async def open_console(folder: Path, socket: Path, *options: str) -> AsyncIterator[Console]:
    """The console, listening; whatever runs at the end is killed."""
    log = folder / "console.log"
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "console", "--listen", "127.0.0.1:0"),
            *("--socket", str(socket), "--lang", "zh", *options),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=out,
        )
    try:
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
        assert line.startswith(b"http://"), log.read_text()
        yield Console(line.decode().strip(), process, log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: str


async def send(port: int, data: bytes) -> bytes:
    """Send bytes, return all that comes until the other side closes or says nothing for long."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def get(port: int, target: str = "/", *headers: str, method: str = "GET") -> Answer:
    """Ask once; without a Host among `headers`, for 127.0.0.1."""
    host = [] if any(line.lower().startswith("host:") for line in headers) else ["Host: 127.0.0.1"]
    lines = [f"{method} {target} HTTP/1.1", *host, "Connection: close", *headers, "", ""]
    raw = await send(port, "\r\n".join(lines).encode())
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *rest = head.decode("latin-1").split("\r\n")
    pairs = [line.partition(": ") for line in rest]
    found = {name.lower(): value for name, _, value in pairs}
    return Answer(int(status.split()[1]), found, body.decode("utf-8", "replace"))


async def get_when(port: int, words: str, target: str = "/now") -> Answer:
    """The first answer whose body holds `words`."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        answer = await get(port, target)
        if words in answer.body:
            return answer
        assert asyncio.get_running_loop().time() < deadline, answer.body
        await asyncio.sleep(0.02)


@asynccontextmanager
async def stream(port: int, target: str = "/events") -> AsyncIterator[asyncio.StreamReader]:
    """An open event stream, read up to the end of its head."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE_S):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        yield reader
    finally:
        writer.close()


async def read_until(reader: asyncio.StreamReader, words: str) -> str:
    """Read a stream until `words` came."""
    got = b""
    async with asyncio.timeout(PATIENCE_S):
        while words.encode() not in got:
            piece = await reader.read(4096)
            assert piece, got
            got += piece
    return got.decode("utf-8", "replace")
