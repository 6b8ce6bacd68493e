"""A week in a home of ten devices in simulated time: what is planted is raised, and little else.

Schedule, decoder and decider are the daemon's own, one schedule a bus; wires, clock, devices and
people are made up. Beside the incidents there is all the noise of `gateway.sim.home`, replies are
lost, devices fall silent for a while, and somebody acknowledges and resets what was raised.
"""

import heapq
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from itertools import count
from math import ceil
from random import Random

from gateway.core.blocks import ReadBlock, plan_blocks, turn_ms
from gateway.core.detect import Hypothesis, plan_site, silent_within_ms
from gateway.core.health import with_own_device
from gateway.core.messages import sender_of
from gateway.core.schedule import Job, Schedule
from gateway.core.state import State, house_of, state_of
from gateway.core.step import step
from gateway.domain.errors import BusDown, DeviceSilent, ReadFailure
from gateway.domain.events import (
    Acknowledge,
    Event,
    Handle,
    LinkChanged,
    PlatformChanged,
    Reset,
    Restarted,
)
from gateway.domain.events import Ticked as Tick
from gateway.domain.moments import Clk, Now
from gateway.domain.outcome import Outcome
from gateway.domain.rules import Severity
from gateway.domain.site import Bus, Site
from gateway.sim.devices import SimDevice, read_table
from gateway.sim.home import DAY_MS, DISTURBANCES, WEEK_MS, Disturbance, Life, Units, build_home
from gateway.sim.incidents import Expect, Incident, plan_incidents

EPOCH = "epoch0000001"
BEGAN_UTC_MS = 1_794_000_000_000  # a moment in November 2026
FAULT_WITHIN_MS = 30_000  # a bus that is down
AFTERMATH_MS = 15 * 60_000  # what an incident leaves behind: cooling down, off-delays
LOST_SHARE = 0.002  # of all replies
HUSHES_A_DAY = 4  # a device is silent for a while, and nobody knows why
PEOPLE_EVERY_MS = 150_000
IDLE_MS = 10_000  # longest time between two looks at a quiet bus


@dataclass(frozen=True, slots=True)
class Raised:
    """What an incident had to raise: when, after the change, and how long the plan allowed.

    `took_ms` may be below zero: noise crosses a limit before the value itself does.
    """

    kind: str
    rule: str
    took_ms: int | None  # None: never
    planned_ms: int

    @property
    def is_in_time(self) -> bool:
        return self.took_ms is not None and self.took_ms <= self.planned_ms


@dataclass(slots=True, eq=False)
class Week:
    """What came of it. A raise counts as false when nothing was planted on its device or bus."""

    length_ms: int
    raised: list[Raised] = field(default_factory=list)
    false_alarms: list[str] = field(default_factory=list)
    false_warnings: list[str] = field(default_factory=list)
    own_faults: dict[str, int] = field(default_factory=dict)
    reads: int = 0
    lost: int = 0
    disturbances: int = 0

    @property
    def late(self) -> list[Raised]:
        return [each for each in self.raised if not each.is_in_time]

    @property
    def warnings_a_day(self) -> float:
        return len(self.false_warnings) * DAY_MS / self.length_ms


_Read = tuple[Job, Sequence[int] | ReadFailure, int]  # what was asked, the answer, since when


@dataclass(slots=True, eq=False)
class _Line:
    """One bus: its schedule, its devices, and what is the matter with it."""

    bus: Bus
    schedule: Schedule
    units: Units
    visit: int = 0  # the latest one in the queue; earlier ones are void
    is_reading: bool = False


@dataclass(slots=True, eq=False)
class _Open:
    """An incident that is on: which of what it has to raise was crossed when, and raised."""

    incident: Incident
    crossed: dict[Expect, int] = field(default_factory=dict)
    raised: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Beside:
    """Who lives beside the play: `take` gets every outcome, `act` says what else happens now."""

    zone: tzinfo | None = None  # without it no round is planned
    take: Callable[[State, Outcome], None] = lambda _state, _outcome: None
    act: Callable[[State, Now], Iterable[Event]] = lambda _state, _now: ()


def live_week(
    site: Site,
    *,
    seed: int,
    incidents: int = 20,
    length_ms: int = WEEK_MS,
    beside: Beside | None = None,
) -> Week:
    """Play the week; the same seed gives the same one. `site` names the devices of the home."""
    return _Play(site, seed, incidents, length_ms, beside or Beside()).run()


class _Play:
    def __init__(
        self, site: Site, seed: int, incidents: int, length_ms: int, beside: Beside
    ) -> None:
        self._beside = beside
        self._random = Random(seed)
        self._life = Life(seed)
        self._now = 0
        self.week = Week(length_ms)
        self._coming = list(plan_incidents(self._random, incidents, length_ms))
        self._running: list[_Open] = []
        self._ended: list[_Open] = []
        self._jolts = self._plan_jolts(length_ms)
        self._jolting: list[tuple[Disturbance, int]] = []  # until
        self._hushed: dict[str, int] = {}  # device -> until
        plans = plan_site(site, Hypothesis())
        self._planned = {each.rule.id: each.total_ms for plan in plans for each in plan.detections}
        self._planned |= {
            f"gateway/device_silent/{device.id}": silent_within_ms(plan, 1)
            for plan in plans
            for device in site.devices
            if device.bus == plan.bus.id
        }
        within = {each.rule.id: each.read_within_ms + 1_000
                  for plan in plans for each in plan.detections}  # fmt: skip
        watched = with_own_device(site)
        sender = sender_of(watched, EPOCH)
        house = house_of(watched, sender, "0", within, zone=beside.zone, patrol_seed=str(seed))
        self._house = house
        self._bus_of = {device.id: device.bus for device in site.devices}
        self._state = state_of(house, (), self._moment())
        home = build_home()
        self._devices: dict[str, SimDevice] = {
            device.name: device for units in home.values() for device in units.values()
        }
        self._lines = [self._line(site, bus, home[bus.id]) for bus in site.buses]
        self._order = count()
        self._queue: list[tuple[int, int, _Line, _Read | None]] = []
        self._people_ms, self._hush_ms = PEOPLE_EVERY_MS, self._next_hush()

    def _line(self, site: Site, bus: Bus, units: Units) -> _Line:
        blocks = [
            block
            for device in site.devices
            if device.bus == bus.id
            for block in plan_blocks(device, bus)
        ]
        return _Line(bus, Schedule(bus, blocks, 0), units)

    def _plan_jolts(self, length_ms: int) -> list[tuple[int, Disturbance]]:
        found = []
        for each in DISTURBANCES:
            at = 0.0
            while (at := at + self._random.expovariate(each.a_day / DAY_MS)) < length_ms:
                found.append((int(at), each))
        return sorted(found, key=lambda jolt: jolt[0])

    def run(self) -> Week:
        for event in (Restarted(), LinkChanged(is_up=True), PlatformChanged(is_present=True)):
            self._feed(event)
        for line in self._lines:
            self._visit(line, 0)
        while self._queue and self._queue[0][0] < self.week.length_ms:
            at_ms, visit, line, read = heapq.heappop(self._queue)
            if visit != line.visit:
                continue
            self._pass_time(at_ms)
            self._live()
            self._take(line, read)
            turn = line.schedule.next_turn(self._now)
            if turn is None:
                self._visit(line, line.schedule.wake_ms(self._now, IDLE_MS))
            else:
                answer, took_ms = self._read(line, turn.block)
                self._visit(line, self._now + took_ms, (turn, answer, self._now))
        for each in self._running:
            self._settle_score(each)
        return self.week

    def _visit(self, line: _Line, at_ms: int, read: _Read | None = None) -> None:
        line.visit = next(self._order)
        line.is_reading = read is not None
        heapq.heappush(self._queue, (at_ms, line.visit, line, read))

    def _take(self, line: _Line, read: _Read | None) -> None:
        """Tell the decider how a read ended, or what is missed on a bus that is down."""
        if read is None:
            told = line.schedule.missed_while_down(self._now) if self._is_down(line) else []
        else:
            job, answer, started_ms = read
            told = line.schedule.note(job, answer, started_ms=started_ms, now_ms=self._now)
        for event in told:
            self._feed(event)

    # --- the wire -----------------------------------------------------------------------------

    def _read(self, line: _Line, block: ReadBlock) -> tuple[Sequence[int] | ReadFailure, int]:
        """What a read started now will bring, and how many ms it takes."""
        self.week.reads += 1
        if self._is_down(line):
            return BusDown("the adapter is gone"), 1
        device = line.units[block.unit]
        is_lost = self._random.random() < LOST_SHARE
        if is_lost or self._is_silent(device.name):
            self.week.lost += is_lost
            return DeviceSilent(block.unit), line.schedule.timeout_ms(block)
        took = ceil(turn_ms(block, line.bus, self._random.uniform(5, 45)))
        self._set_truth(device)
        table = block.table.name.lower()
        return read_table(device, table, block.start, block.count), took

    def _set_truth(self, device: SimDevice) -> None:
        self._life.settle(device, self._now)
        for each in self._running:
            if each.incident.subject == device.name:
                for quantity in each.incident.to:
                    calm = device.truth.get(quantity, 0.0)
                    device.truth[quantity] = each.incident.value_at(quantity, calm, self._now)
        for jolt, until in self._jolting:
            if jolt.device == device.name and self._now < until:
                device.truth[jolt.quantity] = jolt.to

    def _is_down(self, line: _Line) -> bool:
        return any(o.incident.is_bus and o.incident.subject == line.bus.id for o in self._running)

    def _is_silent(self, device: str) -> bool:
        return self._hushed.get(device, -1) > self._now or any(
            o.incident.is_silent and o.incident.subject == device for o in self._running
        )

    # --- the decider --------------------------------------------------------------------------

    def _moment(self) -> Now:
        return Now(self._now, BEGAN_UTC_MS + self._now, Clk.SYNC, 5, "week")

    def _pass_time(self, until_ms: int) -> None:
        """Let the clock run, with every deadline of the decider at its own moment."""
        while (due := self._state.next_deadline_ms) is not None and due <= until_ms:
            self._now = max(self._now, due)
            self._feed(Tick())
        self._now = max(self._now, until_ms)

    def _feed(self, event: Event) -> None:
        self._state, outcome = step(self._state, event, self._moment())
        for line in self._lines if outcome.nudges else ():
            line.schedule.hasten(outcome.nudges, self._now)
            if not line.is_reading:
                self._visit(line, self._now)
        self._beside.take(self._state, outcome)
        for record in outcome.records:
            if record.kind == "alarm":
                body = json.loads(record.body)
                if body["tr"] in ("raise", "again"):
                    self._note_raised(body["rule"])

    def _note_raised(self, rule_id: str) -> None:
        rule = self._house.rule(rule_id)
        is_own = rule_id.startswith("gateway/")
        subject = rule_id.split("/", 2)[2] if is_own else rule_id.partition(".")[0]
        mine = [o for o in (*self._running, *self._ended) if self._belongs(o.incident, subject)]
        for each in mine:
            each.raised.setdefault(rule_id, self._now)
        if mine or rule is None:
            return
        said = f"{rule_id} at {self._now / 3_600_000:.2f} h"
        if rule.severity is Severity.ALARM:
            self.week.false_alarms.append(said)
        elif rule.severity is Severity.WARNING:
            self.week.false_warnings.append(said)
        else:
            self.week.own_faults[rule.name] = self.week.own_faults.get(rule.name, 0) + 1

    def _belongs(self, incident: Incident, subject: str) -> bool:
        if incident.is_bus:
            return subject == incident.subject or self._bus_of.get(subject) == incident.subject
        return subject in (incident.subject, self._bus_of.get(incident.subject))

    # --- what happens in the house --------------------------------------------------------------

    def _live(self) -> None:
        for event in self._beside.act(self._state, self._moment()):
            self._feed(event)
        if self._now >= self._people_ms:
            self._people_ms = self._now + PEOPLE_EVERY_MS
            self._tend()
        if self._now >= self._hush_ms:
            self._hush_ms = self._next_hush()
            for_ms = self._random.randint(5_000, 180_000)
            self._hushed[self._random.choice(list(self._devices))] = self._now + for_ms
        while self._jolts and self._jolts[0][0] <= self._now:
            at_ms, jolt = self._jolts.pop(0)
            self._jolting.append((jolt, at_ms + jolt.for_ms))
            self.week.disturbances += 1
        self._jolting = [(jolt, until) for jolt, until in self._jolting if until > self._now]
        while self._coming and self._coming[0].at_ms <= self._now:
            incident = self._coming.pop(0)
            self._hushed.pop(incident.subject, None)
            self._running.append(_Open(incident))
        for each in list(self._running):
            self._note_crossings(each)
            if self._now >= each.incident.end_ms:
                self._running.remove(each)
                self._ended.append(each)
        for each in list(self._ended):
            if self._now >= each.incident.end_ms + AFTERMATH_MS:
                self._ended.remove(each)
                self._settle_score(each)

    def _note_crossings(self, each: _Open) -> None:
        """When each quantity passed its limit for good, by the noise-free value."""
        incident = each.incident
        for expect in incident.expects:
            if expect in each.crossed:
                continue
            if not expect.quantity or not incident.ramp_ms:
                each.crossed[expect] = incident.at_ms
                continue
            device = self._devices[incident.subject]
            self._life.settle(device, self._now)
            calm = device.truth.get(expect.quantity, 0.0)
            value = incident.value_at(expect.quantity, calm, self._now)
            is_rising = incident.to[expect.quantity] > calm
            if value > expect.beyond if is_rising else value < expect.beyond:
                each.crossed[expect] = self._now

    def _settle_score(self, each: _Open) -> None:
        for expect, crossed_ms in each.crossed.items():
            raised_ms = each.raised.get(expect.rule)
            took = None if raised_ms is None else raised_ms - crossed_ms
            planned = self._planned.get(expect.rule, FAULT_WITHIN_MS)
            self.week.raised.append(Raised(each.incident.kind, expect.rule, took, planned))

    def _next_hush(self) -> int:
        return self._now + round(self._random.expovariate(HUSHES_A_DAY / DAY_MS))

    def _tend(self) -> None:
        """Somebody looks: acknowledges what is new, and resets what is over."""
        if any(alarm.state.is_open for alarm in self._state.alarms.values()):
            self._feed(Acknowledge("N1"))
            for case in list(self._state.cases.values()):
                if case.finding is None:
                    self._feed(Handle("N1", case.occurrence, "test", text="looked into it"))
            self._feed(Reset("N1"))


def polled_slower(site: Site, least_ms: int) -> Site:
    """The site with no point read more often than that: a week then takes minutes to play."""
    devices = tuple(
        replace(
            device,
            points=tuple(
                replace(point, period_ms=max(point.period_ms, least_ms)) for point in device.points
            ),
        )
        for device in site.devices
    )
    return replace(site, devices=devices)
