"""Weeks offline in small: a backlog made without a broker arrives whole, once, alarms first."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from gateway.sim.bus import open_tcp
from gateway.sim.devices import SimDevice, by_unit
from tests.daemon.rig import UPLINK, key_of, open_daemon, open_platform
from tests.partners.broker import Mosquitto

PROFILE = """\
profile: counter-bank
maker: test
model: bank of counters and contacts
confidence: A
source: made for this test
all: {table: input, type: uint16, unit: "", period: 100ms}
points:
"""
SITE = """\
site: {{id: bank-house, name: 测试养老院, institution: elder-care}}
store: {{commit_every: 100ms}}
buses: {{hall: {{tcp: "127.0.0.1:{port}", timeout: 1s}}}}
devices:
  bank: {{profile: counter-bank, bus: hall, unit: 1, place: 机房, owner: 电工班}}
panel: {{red: 17, amber: 27, yellow: 22, green: 23, buzzer: 24}}
"""
RULE = """\
  contact-{n}:
    point: bank.c{n}
    is: [1]
    severity: warning
    for: 0s
    clear_for: 0s
    say: {{zh: 触点断开, en: Contact open}}
    do: [{{zh: 查看, en: Look}}]
    owner: 电工班
    basis: test
"""
POINTS = 60
CONTACTS = 60  # one after the other opens: the same one three times a minute would chatter
READINGS = 10_000
BATCHES = 200
TRANSITIONS = 50
BOUND_S = 1.0  # commit_every, one poll and one commit on a busy machine


@dataclass
class Bank:
    """Counts every read: the platform must end up with every number that was committed."""

    reads: int = 0
    is_flapping: bool = True
    read_at: list[tuple[float, int]] = field(default_factory=list)

    def fill(self, _truth, _noise):
        self.reads += 1
        self.read_at.append((asyncio.get_running_loop().time(), self.reads))
        cells = dict.fromkeys(range(POINTS), self.reads & 0xFFFF)
        turn, is_closed = divmod(self.reads // 3, 2)
        cells |= dict.fromkeys(range(POINTS, POINTS + CONTACTS), 0)
        cells[POINTS + turn % CONTACTS] = int(self.is_flapping and not is_closed)
        return {"input": cells}


def profile():
    counters = (f"  n{n}: {{at: {n}, label: counter {n}}}\n" for n in range(POINTS))
    contacts = (f"  c{n}: {{at: {POINTS + n}, label: contact {n}}}\n" for n in range(CONTACTS))
    return PROFILE + "".join(counters) + "".join(contacts)


def site(port):
    rules = "".join(RULE.format(n=n) for n in range(CONTACTS))
    return f"{SITE.format(port=port)}rules:\n{rules}"


def has_enough(daemon):
    """True when the backlog on disk is what the issue asks for."""
    bodies = daemon.records()
    readings = [body for body in bodies if body["lane"] == "R"]
    transitions = [body for body in bodies if body["lane"] == "A"]
    return (
        sum(len(body["r"]) for body in readings) >= READINGS
        and len(readings) >= BATCHES
        and len(transitions) >= TRANSITIONS
    )


@pytest.mark.parametrize(("kills", "ending"), [(0, "stop"), (5, "kill")])
async def test_a_backlog_arrives_whole_and_once_with_the_alarms_first(tmp_path, ending, kills):
    bank = Bank()
    device = SimDevice("bank", 1, bank.fill, {})
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "counter-bank.yaml").write_text(profile())
    broker = Mosquitto()
    gateway = f"drain-{ending}-{kills}"
    uplink = UPLINK.format(gateway=gateway, broker=broker.url)
    async with (
        open_tcp(by_unit([device]), turnaround_s=0) as bus,
        open_daemon(tmp_path, site(bus.port) + uplink) as daemon,
    ):
        await daemon.start()
        while not has_enough(daemon):
            status = await daemon.status_when(lambda status: status["ok"], "the daemon to work")
            await asyncio.sleep(0.5)
        status = await daemon.status_when(lambda _: True, "how many reads timed out")
        ended_at = asyncio.get_running_loop().time()
        if ending == "stop":
            assert await daemon.stop() == 0
        else:
            await daemon.kill()
        last_read = bank.reads
        backlog = daemon.records()
        bank.is_flapping = False  # from here on nothing new on lane A but the last return

        with broker:
            async with open_platform(tmp_path, broker.url) as platform:
                await drain(daemon, random.Random(kills), kills)
                assert await daemon.stop() == 0
                check_arrivals(platform, daemon.records(), backlog)
                unanswered = status["buses"][0]["timeouts"]
                check_bound(platform, bank, ending, ended_at, last_read, unanswered)


async def drain(daemon, dice, kills):
    """Start the daemon and wait until all is settled, killing it on the way."""
    await daemon.start()
    for _ in range(kills):
        await daemon.status_when(lambda status: status["link"]["is_up"], "the link")
        await asyncio.sleep(dice.uniform(0.0, 0.7))  # the moment of the kill: any is right
        await daemon.kill()
        await daemon.start()
    await daemon.status_when(
        lambda status: (
            status["link"]["is_platform_present"]
            and status["lanes"]["A"]["unsettled"] == 0
            and status["lanes"]["B"]["unsettled"] == 0
            and status["lanes"]["R"]["unsettled"] <= 40
        ),  # what is polled meanwhile
        "the backlog to drain",
    )


def check_arrivals(platform, stored, backlog):
    applied = Counter(key_of(body) for body in platform.applied())
    assert set(applied.values()) == {1}
    missing = {key_of(body) for body in stored} - set(applied)
    # what the farewell did not settle within its five seconds stays for the next start
    assert {key_of(body) for body in backlog} <= set(applied)
    assert len([key for key in missing if key[1] != "R"]) <= 1
    sent = {key_of(body): body for body in platform.applied()}
    for body in backlog:
        assert body.items() <= sent[key_of(body)].items()

    # a kill may come between an ack and its commit: the first ack of a record is what counts
    first = {key: i for i, key in reversed(list(enumerate(platform.settled())))}
    last_alarm = max(first[key_of(body)] for body in backlog if body["lane"] == "A")
    first_reading = min(i for key, i in first.items() if key[1] == "R")
    assert last_alarm < first_reading


def check_bound(platform, bank, ending, ended_at, last_read, unanswered):
    """Every number read up to the stated bound before the end is at the platform.

    A busy machine may answer a read too late: that number was never taken in, nor that of the
    question which is asked behind the next answer before it is believed.
    """
    most = 2 * unanswered
    numbers = {
        row[2]
        for body in platform.applied("R")
        for row in body["r"]
        if row[0] >= CONTACTS and isinstance(row[2], int)  # points are sent in order of their ids
    }
    safe = max(n for at, n in bank.read_at if at <= ended_at - BOUND_S)
    lost = set(range(1, safe)) - numbers
    assert len(lost) <= most, f"{sorted(lost)} of {safe}; {unanswered} reads timed out"
    if ending == "stop":  # an orderly end leaves nothing in memory but the read that was under way
        lost = set(range(1, last_read + 1)) - numbers
        assert len(lost) <= most + 1, f"{sorted(lost)} of {last_read}; {unanswered} timed out"
