"""A small house for the tests of ladder, drills, tests, post checks and self-tests."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from gateway.core.health import with_own_device
from gateway.core.judge import judge
from gateway.core.messages import sender_of, unpack
from gateway.core.state import house_of, state_of
from gateway.core.step import step
from gateway.domain import events
from gateway.domain.kept import Kept
from gateway.domain.moments import Clk, Now
from gateway.domain.points import Encoding, Point, Table, WordType
from gateway.domain.readings import Quality, Reading
from gateway.domain.rules import Above, Rule, Severity, Sound
from gateway.domain.site import Bus, Device, PanelPins, Site, StoreSpec, TcpLink
from gateway.domain.text import Text

MIN = 60_000
HOUR = 60 * MIN
DAY = 24 * HOUR
LEAK = "board.leak/high"
WARN = "board.leak/warn"
LOAD = "board.load/high"
DAY_0 = 1_790_000_000_000  # UTC ms at mono 0


def now(ms, clk=Clk.SYNC, boot="b00t", utc_ms=None):
    return Now(ms, DAY_0 + ms if utc_ms is None else utc_ms, clk, 40, boot)


def point(name):
    return Point(
        id=f"board.{name}", device="board", name=name, unit="mA", table=Table.INPUT, at=5,
        encoding=Encoding(WordType.UINT16, scale=Decimal(1)), period_ms=1_000,
    )  # fmt: skip


def rule(of, name, limit, severity=Severity.ALARM, sound=Sound.A1):
    return Rule(
        id=f"board.{of}/{name}", name=name, point=f"board.{of}",
        condition=Above(limit, limit - 50), severity=severity, sound=sound, for_ms=0,
        clear_for_ms=0, latch=False, say=Text("超限", "High"), do=(), owner="电工班",
        basis="test", min_samples=1,
    )  # fmt: skip


RULES = (
    rule("leak", "high", 300),
    rule("leak", "warn", 200, Severity.WARNING, Sound.W),
    rule("load", "high", 300),
)


def house(**changes):
    device = Device("board", "x", "line", 3, "1F 厨房", "电工班", (point("leak"), point("load")))
    site = Site(
        id="elm", name="榆园", institution="elder-care", timezone="Asia/Shanghai",
        buses=(Bus("line", TcpLink("127.0.0.1")),), devices=(device,), rules=RULES,
        panel=PanelPins(), uplink=None, store=StoreSpec(Path("unused")),
    )  # fmt: skip
    site = with_own_device(replace(site, **changes))
    return house_of(site, sender_of(site, "epoch0000001"), "0.1.0")


class Night:
    """A decider without a loop, in simulated time, that can be restarted like the daemon."""

    def __init__(self, made=None, at=0, clk=Clk.SYNC, boot="b00t"):
        self.house = made or house()
        self.clk, self.boot, self.shift_ms = clk, boot, 0
        self.alarms, self.kept, self.records, self.outcomes = {}, {}, [], []
        self.start(at)

    def now(self, ms):
        return now(ms, self.clk, self.boot, DAY_0 + ms + self.shift_ms)

    def start(self, ms):
        kept = [Kept(kind, key, body) for (kind, key), body in self.kept.items()]
        self.state = state_of(self.house, self.alarms.values(), self.now(ms), kept=kept)
        self.feed(ms, events.Restarted())

    def restart(self, ms, *, boot=None, away_ms=0, clk=None):
        """Start anew with what a store would give back; another `boot` counts from `ms` anew."""
        if boot is not None:
            last = self.outcomes[-1][0]
            self.shift_ms += last + away_ms - ms
            self.boot = boot
        self.clk = clk or self.clk
        self.start(ms)

    def feed(self, ms, event, judge=judge):
        self.state, outcome = step(self.state, event, self.now(ms), judge=judge)
        self.outcomes.append((ms, outcome))
        self.records.extend(json.loads(unpack(r.body, 2**24)) for r in outcome.records)
        for alarm in outcome.alarms:
            self.alarms[alarm.rule] = alarm
        for each in outcome.kept:
            if each.body is None:
                self.kept.pop((each.kind, each.key), None)
            else:
                self.kept[each.kind, each.key] = each.body
        return outcome

    def run(self, from_ms, to_ms):
        """Let time pass: the decider wakes at its own deadlines only."""
        at = from_ms
        while (due := self.state.next_deadline_ms) is not None and due <= to_ms:
            at = max(due, at + 1)
            if at > to_ms:
                break
            self.feed(at, events.Ticked())
        return self.feed(to_ms, events.Ticked())

    def read(self, ms, value, of="leak", quality=Quality.GOOD, reason=""):
        reading = Reading(f"board.{of}", value, quality, ms, reason)
        return self.feed(ms, events.BlockRead("line", "board", (reading,)))

    def facts(self, kind):
        """The bodies of all facts of a kind."""
        return [body for body in self.records if body["t"] == "fact" and body["kind"] == kind]

    def data(self, kind):
        return [body["data"] for body in self.facts(kind)]

    def moves(self, **flags):
        """(rule, transition) of the alarm records with these flags."""
        return [
            (body["rule"], body["tr"])
            for body in self.records
            if body["t"] == "alarm" and all(body[name] is value for name, value in flags.items())
        ]

    def steps(self, rule=LEAK):
        """The rungs climbed for a rule: (step, role, waited ms)."""
        return [
            (each["step"], each["role"], each["waited_ms"])
            for each in self.data("escalation")
            if each["rule"] == rule
        ]
