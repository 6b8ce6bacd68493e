"""A house whose gateway, platform and broker are killed in turn while alarms come and go.

One contact after the other opens; around each opening one of the three is killed with SIGKILL and
started again, the gateway now and then once more while it starts. Some contacts close while it is
gone. The broker keeps nothing over its death. What all of them left behind goes to
`tests.daemon.history`.
"""

import asyncio
import json
import random
import shutil
import sqlite3
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from gateway.sim.bus import open_tcp
from gateway.sim.devices import SimDevice, by_unit
from gateway.sim.history import read_applied, read_settled
from tests.daemon.history import Body, History, Key, Planted, key_of
from tests.daemon.rig import (
    ENVIRONMENT,
    PATIENCE_S,
    ROOT,
    UPLINK,
    Daemon,
    boot_ms,
    open_daemon,
    until,
)
from tests.partners.broker import Mosquitto

FILES = ("core.db", "readings.db")
CONTACTS = 30  # one after the other: the same one three times in a minute would chatter
COUNTERS = 20
PROFILE = """\
profile: contact-bank
maker: test
model: bank of counters and contacts
confidence: A
source: made for this test
all: {table: input, type: uint16, unit: "", period: 100ms}
points:
"""
SITE = """\
site: {{id: chaos-house, name: 测试养老院, institution: elder-care}}
store: {{commit_every: 200ms}}
self_test: off
buses: {{hall: {{tcp: "127.0.0.1:{port}", timeout: 1s}}}}
devices:
  bank: {{profile: contact-bank, bus: hall, unit: 1, place: 机房, owner: 电工班}}
panel: {{red: 17, amber: 27, yellow: 22, green: 23, buzzer: 24}}
rules:
"""
RULE = """\
  contact-{n}:
    point: bank.c{n}
    is: [1]
    severity: alarm
    for: 0s
    clear_for: 0s
    say: {{zh: 触点断开, en: Contact open}}
    do: [{{zh: 查看, en: Look}}]
    owner: 电工班
    basis: test
"""
DONE_ALREADY = ("nothing_to_do", "unknown_case")  # what the second asking hears
VICTIMS = ("gateway", "gateway", "platform", "broker")  # 50, 25, 25 %
MOMENTS_S = (0.0, 0.4)  # of a kill, after the contact opened
AWAY_S = (0.0, 0.2)  # how long the victim is gone
TWO_AT_ONCE = 0.3  # of the kills take a second one along
IN_ITS_START = 0.15  # of the gateway's kills are followed by one while it starts
START_S = (0.0, 1.5)  # when
BRIEF = 0.15  # of the causes are over before the killed gateway is back
PAUSE_MS = 300  # the pattern itself is never silent for so long


@dataclass
class Bank:
    """Contacts that open and close, and counters that count every read."""

    open_contacts: set[int] = field(default_factory=set)
    reads: int = 0

    def fill(self, _truth: object, _noise: object) -> dict[str, dict[int, int]]:
        self.reads += 1
        cells = dict.fromkeys(range(COUNTERS), self.reads & 0xFFFF)
        cells |= {COUNTERS + n: int(n in self.open_contacts) for n in range(CONTACTS)}
        return {"input": cells}


@dataclass
class Town:
    """The platform: its process and the history that it keeps on disk."""

    path: Path
    broker: str
    options: Sequence[str] = ()
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.path.with_suffix(".log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway.sim.platform", "--broker", self.broker,
                "--history", str(self.path), *self.options,
                stdout=log, stderr=log, cwd=ROOT, env=ENVIRONMENT,
            )  # fmt: skip

    async def kill(self) -> None:
        if self.process is not None:
            if self.process.returncode is None:
                self.process.kill()
            await self.process.wait()

    def applied(self) -> list[Body]:
        return [json.loads(row.body) for row in read_applied(self.path)]

    def heads(self) -> dict[str, str]:
        """The heads of the hash chains that the gateway's last state message told, by lane."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=30)) as db:
            ((state,),) = db.execute("SELECT state FROM gateways").fetchall()
        return dict(json.loads(state)["head"])

    def acknowledged(self) -> list[Key]:
        return [
            (one.epoch, one.lane, seq)
            for one in read_settled(self.path)
            for seq in range(one.lo, one.hi + 1)
        ]


@dataclass
class Rows:
    """What one file had at any kill: looked at in a copy, so that the daemon finds its own."""

    bodies: dict[int, Body] = field(default_factory=dict)  # by row id

    def look(self, file: Path) -> None:
        """Add what is new in it."""
        if not file.exists():
            return
        with tempfile.TemporaryDirectory() as folder:
            for one in (file, file.with_name(f"{file.name}-wal")):
                if one.exists():
                    shutil.copy(one, folder)
            with closing(sqlite3.connect(Path(folder) / file.name)) as db:
                if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'record'").fetchall():
                    return  # killed before its tables were made
                ids = {row_id for (row_id,) in db.execute("SELECT id FROM record")}
                for row_id in sorted(ids - self.bodies.keys()):
                    query = "SELECT body FROM record WHERE id = ?"
                    self.bodies[row_id] = plain(db.execute(query, (row_id,)).fetchone()[0])


def plain(body: bytes) -> Body:
    message: Body = json.loads(body if body[:1] == b"{" else zlib.decompress(body))
    return message


@dataclass
class Chaos:
    """The three that die, and what was planted so far."""

    daemon: Daemon
    town: Town
    broker: Mosquitto
    bank: Bank
    planted: list[Planted] = field(default_factory=list)
    sounded: list[float] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    at_kills: dict[str, Rows] = field(default_factory=dict)  # by file
    to_close: str | None = None

    async def one_kill(self, dice: random.Random) -> None:
        """Open a contact, kill one or two of the three around it, wait until it is heard."""
        contact = len(self.planted) % CONTACTS
        victims = {dice.choice(VICTIMS)}
        if dice.random() < TWO_AT_ONCE:
            victims.add(dice.choice(VICTIMS))
        moment_s, away_s = dice.uniform(*MOMENTS_S), dice.uniform(*AWAY_S)
        is_again, again_s = dice.random() < IN_ITS_START, dice.uniform(*START_S)
        is_brief = dice.random() < BRIEF
        began = boot_ms()
        self.bank.open_contacts.add(contact)
        await asyncio.sleep(moment_s)  # the moment of the kill: any is right
        for victim in sorted(victims):
            await self.kill(victim)
        if "gateway" not in victims:
            await asyncio.sleep(away_s)
            for victim in sorted(victims):
                await self.start(victim)
            await self._hear_and_end(Planted(rule_of(contact), began, 0.0))
            return
        cause = Planted(rule_of(contact), began, 0.0, boot_ms(), is_brief)
        if is_brief:
            self.bank.open_contacts.clear()
        await asyncio.sleep(away_s)
        for victim in sorted(victims):
            await self.start(victim)
        if is_again:
            await asyncio.sleep(again_s)  # any moment of its start is right
            await self.kill("gateway")
            cause = replace(cause, killed_ms=boot_ms())
            await self.start("gateway")
        await self._hear_and_end(cause)

    async def one_alarm(self) -> None:
        """Open the next contact, wait until it is heard, close it: nobody is killed."""
        contact = len(self.planted) % CONTACTS
        self.bank.open_contacts.add(contact)
        await self._hear_and_end(Planted(rule_of(contact), boot_ms(), 0.0))

    async def _hear_and_end(self, cause: Planted) -> None:
        """Until a person has seen to it; a brief cause that is on no disk is heard by nobody."""
        try:
            if cause.is_brief and not self._was_on_disk(cause):
                return
            since = cause.from_ms if cause.killed_ms is None else cause.killed_ms
            self.sounded.append(await until(lambda: sounds_at(self.daemon, since), "the alarm"))
            await self._done("acknowledge", cause.rule, "E07")
            await self.daemon.status_when(  # before, a kill takes it along: the cause must stand
                lambda status: status["store"]["core.db"]["queued"] == 0, "the disk to have it"
            )
            self.bank.open_contacts.clear()
        finally:  # also of a house that breaks here: it was planted
            self.planted.append(replace(cause, until_ms=boot_ms()))
        await self._close_the_last(cause.rule)
        await until(lambda: is_quiet(self.daemon), "silence")

    def _was_on_disk(self, cause: Planted) -> bool:
        return any(
            (body.get("rule"), body.get("tr")) == (cause.rule, "raise")
            and body["mono"] >= cause.from_ms
            for body in self.at_kills["core.db"].bodies.values()
        )

    async def acknowledge_all(self) -> None:
        """What sounds again because its acknowledgement is lost: a person is there."""
        status = await self.daemon.status_when(lambda status: status["ok"], "the alarms")
        for alarm in status["alarms"]:
            if alarm["state"] in ("UA", "RU"):
                await self._done("acknowledge", alarm["rule"], "E07")
        self.to_close = None
        await until(lambda: is_quiet(self.daemon), "silence")

    async def _done(self, verb: str, rule: str, by: str, **more: object) -> None:
        """Ask until it is done: the daemon may have been killed a moment ago."""
        about = "case" if verb in ("handle", "close") else "alarm"
        deadline, is_unanswered = time.monotonic() + PATIENCE_S, False
        while True:
            answer = await self.daemon.ask(verb=verb, by=by, **{about: rule}, **more)
            if answer is None:
                is_unanswered = True  # a busy machine may have done it and told nobody
            elif answer["ok"] or (is_unanswered and answer["code"] in DONE_ALREADY):
                return
            assert time.monotonic() < deadline, (verb, rule, answer, self.daemon.log())
            await asyncio.sleep(0.02)

    async def _close_the_last(self, rule: str) -> None:
        """The case before this one: its contact is closed by now."""
        if self.to_close is not None:
            await self._done("handle", self.to_close, "E07", verdict="test", text="planted")
            await self._done("close", self.to_close, "E08")
        self.to_close = rule

    async def kill(self, victim: str) -> None:
        self.kills[victim] += 1
        if victim == "gateway":
            await self.daemon.kill()
            for name in FILES:
                self.at_kills.setdefault(name, Rows()).look(self.daemon.store / name)
        elif victim == "platform":
            await self.town.kill()
        else:
            await asyncio.to_thread(self.broker.kill)

    async def start(self, victim: str) -> None:
        if victim == "gateway":
            self.daemon.pins_file.unlink(missing_ok=True)  # it is looked at many times
            await self.daemon.start()
        elif victim == "platform":
            await self.town.start()
        else:
            await asyncio.to_thread(self.broker.start)

    async def drained(self) -> float:
        """Wait until all is delivered but the newest readings; return the seconds it took."""
        began = time.monotonic()
        await self.daemon.status_when(
            lambda status: (
                status["link"]["is_platform_present"]
                and status["lanes"]["A"]["unsettled"] == 0
                and status["lanes"]["B"]["unsettled"] == 0
                and status["lanes"]["R"]["unsettled"] <= 20
            ),
            "all to be delivered",
        )
        return time.monotonic() - began

    async def calm(self) -> float:
        """Let all of it be delivered, and end the daemon; return the seconds that it took."""
        took = await self.drained()
        assert await self.daemon.stop() == 0
        return took

    def history(self, **more: object) -> History:
        """What was left behind; the daemon has ended."""
        end, waiting = rows_of(self.daemon.store)
        return History(
            planted=self.planted, sounded=self.sounded, committed=end, waiting=waiting,
            applied=self.town.applied(), acknowledged=self.town.acknowledged(),
            at_kills=[body for rows in self.at_kills.values() for body in rows.bodies.values()],
            **more,
        )  # fmt: skip


def sounds_at(daemon: Daemon, since_ms: float) -> float | None:
    """When the panel first played the alarm's pattern: red lit, two beeps, one every 500 ms."""
    pins = daemon.pins(since_ms)
    beeps = [t for t, pin, level in pins if (pin, level) == ("buzzer", 1)]
    if not any((pin, level) == ("red", 1) for _, pin, level in pins):
        return None
    return next((a for a, b in pairwise(beeps) if 0 < b - a < 600), None)


def is_quiet(daemon: Daemon) -> bool:
    """The buzzer is off, and for longer than the pattern pauses."""
    buzzer = [(t, level) for t, pin, level in daemon.pins() if pin == "buzzer"]
    return not buzzer or (not buzzer[-1][1] and boot_ms() - buzzer[-1][0] > PAUSE_MS)


def rule_of(contact: int) -> str:
    return f"bank.c{contact}/contact-{contact}"


def rows_of(store: Path) -> tuple[list[Body], frozenset[Key]]:
    """Every record of both files, and the identities of those that are not settled."""
    rows: list[Body] = []
    waiting: set[Key] = set()
    for name in FILES:
        db = sqlite3.connect(f"file:{store / name}?mode=ro", uri=True, timeout=30)
        try:
            found = db.execute("SELECT is_settled, body FROM records ORDER BY id").fetchall()
        finally:
            db.close()
        for is_settled, body in found:
            message = plain(body)
            rows.append(message)
            if not is_settled:
                waiting.add(key_of(message))
    return rows, frozenset(waiting)


def site_of(port: int, broker: str) -> str:
    """The site file, with its rules and its way up."""
    rules = "".join(RULE.format(n=n) for n in range(CONTACTS))
    uplink = UPLINK.format(gateway="chaos-01", broker=broker)
    return SITE.format(port=port) + rules + uplink.replace("probe: 2s", "receipt_within: 0")


def write_profile(folder: Path) -> None:
    counters = (f"  n{n}: {{at: {n}, label: counter {n}}}\n" for n in range(COUNTERS))
    contacts = (f"  c{n}: {{at: {COUNTERS + n}, label: contact {n}}}\n" for n in range(CONTACTS))
    (folder / "profiles").mkdir()
    (folder / "profiles" / "contact-bank.yaml").write_text(
        PROFILE + "".join(counters) + "".join(contacts)
    )


@asynccontextmanager
async def open_chaos(folder: Path, *options: str) -> AsyncIterator[Chaos]:
    """The three of them running and in touch, over a bank of contacts; all are gone afterwards."""
    bank = Bank()
    device = SimDevice("bank", 1, bank.fill, {})
    write_profile(folder)
    with Mosquitto() as broker:
        town = Town(folder / "platform.sqlite", broker.url, options)
        try:
            async with (
                open_tcp(by_unit([device]), turnaround_s=0) as bus,
                open_daemon(folder, site_of(bus.port, broker.url)) as daemon,
            ):
                await town.start()
                await daemon.start()
                await daemon.status_when(
                    lambda status: (
                        status["link"]["is_platform_present"]
                        and status["panel"]["signal"]["red"] == "off"
                    ),
                    "a platform, and the end of the lamp test",
                )
                yield Chaos(daemon, town, broker, bank)
        finally:
            await town.kill()


def cut_tail(file: Path, commits: int) -> None:
    """Take the last commits away, as a card does that lied about its flush: they are in the log.

    The write-ahead log has a header of 32 bytes, then frames of 24 bytes and a page; a frame that
    ends a commit has the size of the database in its second word (sqlite.org/fileformat2.html).
    """
    log = file.with_name(f"{file.name}-wal")
    content = log.read_bytes()
    frame = 24 + int.from_bytes(content[8:12], "big")
    starts = range(32, len(content) - frame + 1, frame)
    salts = content[16:24]  # frames of an earlier turn of the log have others
    ends = [
        at + frame for at in starts
        if content[at + 8 : at + 16] == salts and any(content[at + 4 : at + 8])
    ]  # fmt: skip
    assert len(ends) > commits, "there are not so many commits in the log"
    log.write_bytes(content[: ends[-1 - commits]])
    file.with_name(f"{file.name}-shm").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Round:
    """One house after its kills; `broken` says how it stopped early."""

    kills: Counter[str]
    history: History
    drained_s: float = 0.0
    tracebacks: int = 0  # in the logs of gateway and platform
    chains: str = ""  # what is wrong with the hash chains, against the platform's heads too
    broken: str = ""


Progress = Callable[[], None]


async def kill_all_round(
    folder: Path,
    count: int,
    dice: random.Random,
    tell: Progress = lambda: None,
    most_s: float = float("inf"),
) -> Round:
    """At least `count` kills in one house, then calm; `tell` is called for each.

    After `most_s` no more are begun: a busy machine takes longer for each. A house that breaks is
    judged by what it left behind.
    """
    end = time.monotonic() + most_s
    async with open_chaos(folder) as chaos:
        try:
            while chaos.kills.total() < count and time.monotonic() < end:
                before = chaos.kills.total()
                await chaos.one_kill(dice)
                for _ in range(chaos.kills.total() - before):
                    tell()
            drained_s = await chaos.calm()
        except Exception:  # noqa: BLE001  # whatever it was is told with what it left behind
            why = f"{folder.name}: {traceback.format_exc()}"
            await chaos.daemon.kill()  # nothing may move while the accounts are compared
            await chaos.town.kill()
            return Round(chaos.kills, chaos.history(is_over=False), broken=why)
        logs = ((folder / name).read_text() for name in ("log", "platform.log"))
        tracebacks = sum(log.count("Traceback") for log in logs)
        chains = await verified(chaos.daemon.store, chaos.town.heads())
        return Round(chaos.kills, chaos.history(), drained_s, tracebacks, chains)


async def verified(store: Path, heads: dict[str, str]) -> str:
    """What `care-gateway record verify` finds wrong with the files; empty when all is whole."""
    held = [word for lane, head in heads.items() for word in ("--head", f"{lane}={head}")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "record", "verify", "--store", str(store), *held,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=ROOT, env=ENVIRONMENT,
    )  # fmt: skip
    said, _ = await process.communicate()
    return "" if process.returncode == 0 else said.decode()


async def kill_in_houses(
    folder: Path,
    count: int,
    seed: int,
    houses: int,
    tell: Progress = lambda: None,
    most_s: float = float("inf"),
) -> list[Round]:
    """The same in several houses side by side, each with its own broker, platform and dice."""

    async def one(number: int, share: int) -> Round:
        house = folder / str(number)
        house.mkdir()
        dice = random.Random(f"{seed}/{number}")
        return await kill_all_round(house, share, dice, tell, most_s)

    shares = [count // houses + (number < count % houses) for number in range(houses)]
    return await asyncio.gather(*(one(number, share) for number, share in enumerate(shares)))
