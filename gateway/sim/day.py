"""A day on one bus in simulated time: whether every alarm is raised within what the plan promises.

The schedule, the decoder and the decider are the daemon's own; only the wire and the clock are
made up. Devices fall silent and come back, replies are lost and values cross their limits, all
within the hypothesis of `core.detect`, and each alarm's delay is compared with its printed bound.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from random import Random

from gateway.core.blocks import ReadBlock, plan_blocks, turn_ms
from gateway.core.detect import Detection, Hypothesis, plan_bus
from gateway.core.messages import sender_of
from gateway.core.schedule import Schedule
from gateway.core.state import State, house_of, state_of
from gateway.core.step import step
from gateway.domain.errors import DeviceSilent
from gateway.domain.events import Acknowledge, Event, Ticked
from gateway.domain.moments import Clk, Now
from gateway.domain.points import Encoding, Point, Table, WordType
from gateway.domain.rules import Above, Rule, Severity, Sound
from gateway.domain.site import Bus, Device, PanelPins, SerialLine, Site, StoreSpec
from gateway.domain.text import Text

NORMAL, OVER, LIMIT = 100, 400, 300
SETTLED_MS = 60_000  # after the start, and between two troubles of one device


@dataclass(frozen=True, slots=True)
class Raised:
    """One alarm: how long after the change it was raised, and what the plan allowed."""

    rule: str
    took_ms: int
    planned_ms: int


@dataclass(slots=True, eq=False)
class Day:
    """What came of it. `missed` are changes that were not raised by the end of their bound."""

    raised: list[Raised] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    reads: int = 0
    lost: int = 0
    silences: int = 0
    faults: set[str] = field(default_factory=set)

    @property
    def worst(self) -> float:
        """The largest share of its bound that an alarm took."""
        return max((each.took_ms / each.planned_ms for each in self.raised), default=0.0)


def line_site(devices: int = 10, baud: int = 9600, plain_points: int = 20) -> Site:
    """A site of one serial bus: each device with an alarm block and a plain one."""
    bus = Bus("line", SerialLine("/dev/null", baud))
    made = tuple(_device(f"d{n}", n + 1, bus.id, plain_points) for n in range(devices))
    rules = tuple(_rule(device, n) for n, device in enumerate(made))
    return Site(
        "day", "day", "elder-care", "UTC", (bus,), made, rules, PanelPins(), None,
        StoreSpec(Path("unused")),
    )  # fmt: skip


def _device(name: str, unit: int, bus: str, plain_points: int) -> Device:
    word = Encoding(WordType.UINT16)
    judged = Point(
        f"{name}.leak", name, "leak", "mA", Table.INPUT, 0, word, 2_000, is_alarm_class=True
    )
    plain = tuple(
        Point(f"{name}.p{at}", name, f"p{at}", "", Table.INPUT, at, word, 10_000)
        for at in range(100, 100 + plain_points)
    )
    return Device(name, "simulated", bus, unit, name, "", (judged, *plain))


def _rule(device: Device, number: int) -> Rule:
    """Every third rule has no delay and takes one sample, as a gas detector's high limit."""
    is_quick = number % 3 == 0
    return Rule(
        id=f"{device.id}.leak/high", name="high", point=f"{device.id}.leak",
        condition=Above(LIMIT, 250), severity=Severity.ALARM, sound=Sound.A1,
        for_ms=0 if is_quick else 3_000, clear_for_ms=1_000, latch=False,
        say=Text("高", "high"), do=(), owner="", basis="simulated",
        min_samples=1 if is_quick else 2,
    )  # fmt: skip


def live_through(
    site: Site, *, hours: float, seed: int, hypothesis: Hypothesis | None = None
) -> Day:
    """Play so many hours on the first bus of the site; the same seed gives the same day."""
    return _Play(site, hypothesis or Hypothesis(), seed).run(round(hours * 3_600_000))


class _Play:
    def __init__(self, site: Site, hypothesis: Hypothesis, seed: int) -> None:
        self._bus = site.buses[0]
        self._hypothesis = hypothesis
        self._random = Random(seed)
        self._now = 0
        plan = plan_bus(site, self._bus, hypothesis)
        self._planned: dict[str, Detection] = {each.rule.id: each for each in plan.detections}
        within = {each.rule.id: each.read_within_ms + 1_000 for each in plan.detections}
        self._state: State = state_of(
            house_of(site, sender_of(site, "epoch0000001"), "0", within), (), self._moment()
        )
        blocks = [b for device in site.devices for b in plan_blocks(device, self._bus)]
        self._schedule = Schedule(self._bus, blocks, 0, hold_ms=self._hold_ms)
        self._rule_of = {rule.point: rule for rule in site.rules}
        self._units = {device.id: device.unit for device in site.devices}
        self._silent: dict[str, int] = {}  # device -> until
        self._troubled: dict[str, int] = {}  # device -> when it last went silent or came back
        self._late: dict[tuple[int, int, int], int] = {}  # shape -> held until
        self._changed: dict[str, int] = {}  # rule -> since when its value is over
        self._to_lose: set[str] = set()  # devices whose next alarm-class reply is lost
        self._next_change_ms = self._next_silence_ms = SETTLED_MS
        self.day = Day()

    def run(self, until_ms: int) -> Day:
        while self._now < until_ms:
            self._live()
            turn = self._schedule.next_turn(self._now)
            if turn is None:
                self._pass_time(self._schedule.wake_ms(self._now))
                continue
            started = self._now
            outcome = self._read(turn.block)
            for event in self._schedule.note(turn, outcome, started_ms=started, now_ms=self._now):
                self._feed(event)
        return self.day

    # --- the wire -----------------------------------------------------------------------------

    def _read(self, block: ReadBlock) -> Sequence[int] | DeviceSilent:
        self.day.reads += 1
        is_lost = block.is_alarm_class and block.device in self._to_lose
        shape = (block.unit, block.table.function, block.count)
        if block.device in self._silent or is_lost:
            self._to_lose.discard(block.device)
            self.day.lost += is_lost
            self._pass_time(self._now + self._schedule.timeout_ms(block))
            self._late[shape] = self._now + self._bus.late_ms
            return DeviceSilent(block.unit)
        words = [self._value(point) for point in block.points]
        longest = self._hypothesis.turnaround_ms - 1  # the clock has whole milliseconds
        took = turn_ms(block, self._bus, self._random.uniform(5, longest))
        self._pass_time(self._now + ceil(took))
        for other in [late for late in self._late if late[0] == block.unit and late != shape]:
            del self._late[other]
        return words

    def _value(self, point: Point) -> int:
        rule = self._rule_of.get(point.id)
        return OVER if rule is not None and rule.id in self._changed else NORMAL

    def _hold_ms(self, block: ReadBlock) -> int:
        until = self._late.get((block.unit, block.table.function, block.count), 0)
        return max(0, until - self._now)

    # --- the decider --------------------------------------------------------------------------

    def _moment(self) -> Now:
        return Now(self._now, None, Clk.NONE, 0, "day")

    def _pass_time(self, until_ms: int) -> None:
        """Let the clock run, with every deadline of the decider at its own moment."""
        while (due := self._state.next_deadline_ms) is not None and due <= until_ms:
            self._now = max(self._now, due)
            self._feed(Ticked())
        self._now = max(self._now, until_ms)

    def _feed(self, event: Event) -> None:
        self._state, outcome = step(self._state, event, self._moment())
        self._schedule.hasten(outcome.nudges, self._now)
        for record in outcome.records:
            if record.kind == "alarm":
                body = json.loads(record.body)
                if body["tr"] in ("raise", "again"):
                    self._note_raised(body["rule"])

    def _note_raised(self, rule: str) -> None:
        since = self._changed.pop(rule, None)
        if since is not None:
            planned = self._planned[rule].total_ms
            self.day.raised.append(Raised(rule, self._now - since, planned))
        elif rule.startswith("gateway/"):
            self.day.faults.add(rule.split("/")[1])

    # --- what happens in the house --------------------------------------------------------------

    def _live(self) -> None:
        for device in [name for name, until in self._silent.items() if self._now >= until]:
            del self._silent[device]
            self._troubled[device] = self._now
        for rule, since in list(self._changed.items()):
            if self._now - since > self._planned[rule].total_ms:
                self.day.missed.append(rule)
                del self._changed[rule]
        if self._now >= self._next_silence_ms:
            self._next_silence_ms = self._now + self._random.randint(5_000, 60_000)
            self._fall_silent()
        if self._now >= self._next_change_ms:
            self._next_change_ms = self._now + self._random.randint(500, 20_000)
            self._change()

    def _fall_silent(self) -> None:
        """One device more, as long as the hypothesis holds: few at once, each seldom."""
        busy = {rule.split(".")[0] for rule in self._changed}
        free = [name for name in self._units if self._is_settled(name) and name not in busy]
        recent = [n for n, at in self._troubled.items() if self._now - at < SETTLED_MS]
        if not free or len({*self._silent, *recent}) >= self._hypothesis.silent:
            return
        device = self._random.choice(free)
        self._silent[device] = self._now + self._random.randint(SETTLED_MS, 5 * SETTLED_MS)
        self._troubled[device] = self._now
        self.day.silences += 1

    def _change(self) -> None:
        """A value crosses its limit, and the reply that would say so may be lost."""
        quiet = [
            rule
            for rule in self._planned.values()
            if rule.rule.id not in self._state.alarms
            and rule.rule.id not in self._changed
            and self._is_settled(rule.rule.point.split(".")[0])
        ]
        for alarm in list(self._state.alarms.values()):
            if alarm.rule in self._planned and self._random.random() < 0.5:
                self._feed(Acknowledge("day", alarm.rule))
        if not quiet or len(self._changed) > self._hypothesis.pending:
            return
        rule = self._random.choice(quiet).rule
        self._changed[rule.id] = self._now
        if self._random.random() < 0.7:
            self._to_lose.add(rule.point.split(".")[0])

    def _is_settled(self, device: str) -> bool:
        last = self._troubled.get(device)
        return device not in self._silent and (last is None or self._now - last >= SETTLED_MS)
