"""How long from a physical change to the buzzer at worst, from the configuration alone. Pure.

The worst case of a rule, under a stated fault hypothesis:

    sensor    the sensor's own delay (`response` in the profile; unknown where it says nothing)
    period    the change comes just after its block was read
    wait      the block is due, but others are under way or go first (see `_wait_ms`)
    read      its request and reply
    retry     that reply is lost: the time-out, the pause for its late answer, the wait again, and
              what is asked behind the next answer before it is believed
    silence   the silent devices fall silent or come back just now: two time-outs each, and all
              that a device which comes back is read for
    delay     the on-delay, or the further samples that the rule wants, whichever takes longer;
              of a combined rule the slowest member's and its own; of a silence its whole time

The schedule is non-preemptive and earliest deadline first, so the wait is the least fixed point
of: what is under way + probes + what has an earlier deadline + the tenth that plain blocks get.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor

from gateway.core.blocks import ReadBlock, gap_ms, plan_blocks, request_ms, timeout_ms, turn_ms
from gateway.core.device_faults import OTHERS_ASKED_MS
from gateway.core.schedule import (
    IDLE_MS,
    NUDGED_MS,
    PLAIN_EVERY,
    PROBE_DELAYS_MS,
    PROBE_SHARE,
    SILENT_AFTER,
    short_probe_ms,
)
from gateway.core.timing import PROBE_FLOOR_MS
from gateway.domain.rules import AllOf, AnyOf, Rule, Silent, members_of
from gateway.domain.site import Bus, SerialLine, Site
from gateway.domain.text import Text

LOAD_WARNED, LOAD_LIMIT = 0.8, 1.0
WATCH_SLACK_MS = 1_000  # a busy machine is no breach
BAUDS = (2400, 4800, 9600, 19200, 38400, 57600, 115200)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What may go wrong at once, on one bus, while the times still hold."""

    silent: int = 3  # devices that do not answer; each goes or comes back once in a detection
    lost: int = 1  # replies to the block in question
    pending: int = 3  # other alarms whose delay runs at that moment
    turnaround_ms: float = 50.0  # a device that answers does so within


@dataclass(frozen=True, slots=True)
class Cost:
    """One block on its bus, in ms: read, and not answered."""

    block: ReadBlock
    read_ms: float
    lost_ms: float


@dataclass(frozen=True, slots=True)
class Detection:
    """The worst case of one rule and its parts, in ms; `sensor_ms` None = the profile is silent."""

    rule: Rule
    bus: str
    sensor_ms: int | None
    period_ms: int
    wait_ms: int
    read_ms: int
    retry_ms: int
    silence_ms: int
    delay_ms: int

    @property
    def read_within_ms(self) -> int:
        """The point is read, well or badly, at least this often."""
        return self.period_ms + self.wait_ms + self.read_ms + self.retry_ms + self.silence_ms

    @property
    def total_ms(self) -> int:
        """All of it; without the sensor's own delay where that is not known."""
        return (self.sensor_ms or 0) + self.read_within_ms + self.delay_ms


@dataclass(frozen=True, slots=True)
class BusPlan:
    """What one bus is asked for, and what share of its time that takes."""

    bus: Bus
    costs: tuple[Cost, ...]
    detections: tuple[Detection, ...]

    @property
    def load(self) -> float:
        return sum(cost.read_ms / cost.block.period_ms for cost in self.costs)


@dataclass(frozen=True, slots=True)
class PlanProblem:
    """A plan that cannot work, or not well. `subject` is a bus, or a point nobody can read.

    A serial line that cannot carry what is asked of it is an error. Over TCP an overload is a
    warning: time there is what devices are taken to need, not what the wire does.
    """

    code: str
    subject: str
    is_error: bool
    fact: Text
    advice: Text


def plan_site(site: Site, hypothesis: Hypothesis | None = None) -> tuple[BusPlan, ...]:
    """Return the plan of every bus, in the order of the site."""
    given = hypothesis or Hypothesis()
    return tuple(plan_bus(site, bus, given) for bus in site.buses)


def plan_bus(site: Site, bus: Bus, hypothesis: Hypothesis) -> BusPlan:
    """Return blocks, costs and detection times of one bus. ValueError as from `plan_blocks`."""
    costs = tuple(
        Cost(
            block,
            turn_ms(block, bus, hypothesis.turnaround_ms),
            timeout_ms(block, bus) + gap_ms(bus),
        )
        for device in site.devices
        if device.bus == bus.id
        for block in plan_blocks(device, bus)
    )
    cost_of = {point.id: cost for cost in costs for point in cost.block.points}
    units = {cost.block.unit for cost in costs}
    has_line = isinstance(bus.link, SerialLine) or len(units) > 1  # a bridge has one behind it
    late_ms = bus.late_ms if has_line else 0
    waits: dict[int, _Waits] = {}  # by block: the rules of a block wait alike
    detections = []
    for rule in site.rules:
        found = []
        for judged in _judged(rule):
            own = cost_of.get(judged.point)
            if own is not None:
                if id(own) not in waits:
                    waits[id(own)] = _waits(own, costs, hypothesis)
                found.append(_detection(rule, judged, own, waits[id(own)], late_ms, hypothesis))
        if found:
            detections.append(max(found, key=lambda each: each.total_ms))
    return BusPlan(bus, costs, tuple(detections))


def read_within_ms(site: Site) -> dict[str, int]:
    """Return for each rule how old the last read of its point may be, for the watch at run time."""
    within: dict[str, int] = {}
    for plan in plan_site(site):
        for found in plan.detections:
            if not isinstance(found.rule.condition, Silent):  # such a rule is a watch itself
                rule, ms = found.rule.id, found.read_within_ms + WATCH_SLACK_MS
                within[rule] = max(ms, within.get(rule, 0))
    return within


def silent_within_ms(plan: BusPlan, silent: int, misses: int = SILENT_AFTER + 1) -> int:
    """How long until each of `silent` devices that stop answering at once has its fault, at worst.

    The first request that fails and the one after it, then probes of each in turn until `misses`
    are enough, and the time that is taken to ask the others, so that a dead line is not taken for
    dead devices.
    """
    fastest: dict[str, int] = {}
    for cost in plan.costs:
        name, period = cost.block.device, cost.block.period_ms
        fastest[name] = min(period, fastest.get(name, period))
    slowest = max(fastest.values(), default=0)
    first = max((each.read_within_ms for each in plan.detections), default=0)
    lost = max((cost.lost_ms for cost in plan.costs), default=0.0)
    probed = silent * lost / PROBE_SHARE
    more = max(0, misses - SILENT_AFTER - 1) * max(PROBE_DELAYS_MS[1] + lost, probed)
    missed = max(2 * silent * lost + probed + more, (misses - 1) * slowest)
    return ceil(max(first, slowest) + missed) + OTHERS_ASKED_MS


def back_within_ms(plan: BusPlan, silent: int) -> int:
    """How long until a device that answers again is read, at worst; it is one of `silent`.

    Its answer comes just too late for a probe: then all of them are probed first, one of them in
    full as one in eight is, and each within its tenth of the bus.
    """
    asked = request_ms(plan.bus)
    full = plan.bus.timeout_ms + asked
    short = min(full, max(short_probe_ms(full, silent), asked + PROBE_FLOOR_MS))
    probes = full + (silent - 1) * short
    turn = max((cost.read_ms for cost in plan.costs), default=0.0)
    return ceil(max(PROBE_DELAYS_MS[1] + full, probes / PROBE_SHARE) + 2 * turn)


@dataclass(frozen=True, slots=True)
class _Waits:
    """How long a block can wait for its turn: as it is due, because of silence, and when nudged."""

    due_ms: float
    silence_ms: float
    nudged_ms: float


def _waits(own: Cost, costs: Sequence[Cost], hypothesis: Hypothesis) -> _Waits:
    period = own.block.period_ms
    due = _wait_ms(own, costs, hypothesis, period)
    silence = _silence_ms(own, costs, hypothesis)
    return _Waits(
        due,
        _wait_ms(own, costs, hypothesis, period, silence) - due,
        _wait_ms(own, costs, hypothesis, min(period, NUDGED_MS)),
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    """One point that a rule judges: with what delays, and on how many readings."""

    point: str
    for_ms: int
    samples: int


def _judged(rule: Rule) -> tuple[_Judged, ...]:
    """What a rule judges: of a combined one each member, as the slowest of them decides."""
    condition = rule.condition
    if isinstance(condition, AllOf | AnyOf):
        members = members_of(condition)
        return tuple(_Judged(each.point, each.for_ms, each.min_samples) for each in members)
    return (_Judged(rule.point, 0, 1),)


def _silence(rule: Rule, own: Cost, after_ms: int) -> Detection:
    """A silence counts from the last good value, by a timer: nothing has to be read for it."""
    return Detection(rule, own.block.bus, 0, 0, 0, 0, 0, 0, after_ms)


def _detection(
    rule: Rule,
    judged: _Judged,
    own: Cost,
    waits: _Waits,
    late_ms: int,
    hypothesis: Hypothesis,
) -> Detection:
    """`late_ms`: how long a lost answer may still come, where nothing tells it from another.

    What a condition has to have seen before (a window, a count, a mean) is not part of it: the
    change is the moment at which a meter beside it would call the condition true.
    """
    if isinstance(rule.condition, Silent):
        return _silence(rule, own, rule.condition.after_ms)
    period = own.block.period_ms
    retry = hypothesis.lost * (own.lost_ms + late_ms + waits.due_ms + own.read_ms)
    soon = min(period, max(NUDGED_MS, ceil(own.read_ms) + IDLE_MS))
    once_more = soon + waits.nudged_ms + own.read_ms
    point = next(point for point in own.block.points if point.id == judged.point)
    # the middle one of three follows one reading later, which nobody has asked for early
    median_ms = (rule.median // 2) * (period + waits.due_ms + own.read_ms)
    own_ms = max(judged.for_ms, (judged.samples - 1) * once_more)
    delay_ms = own_ms + max(rule.for_ms, (rule.min_samples - 1) * once_more) + median_ms
    return Detection(
        rule=rule,
        bus=own.block.bus,
        sensor_ms=point.response_ms,
        period_ms=period,
        wait_ms=ceil(waits.due_ms),
        read_ms=ceil(own.read_ms),
        retry_ms=ceil(retry),
        silence_ms=ceil(waits.silence_ms),
        delay_ms=ceil(delay_ms),
    )


def _wait_ms(
    own: Cost,
    costs: Sequence[Cost],
    hypothesis: Hypothesis,
    period_ms: int,
    lump_ms: float = 0.0,
) -> float:
    """The longest time for which a due block is not asked, when its deadline is a period away.

    `lump_ms` goes on top of what the schedule does by itself, once.
    """
    others = [cost for cost in costs if cost is not own]
    alarm = [cost for cost in others if cost.block.is_alarm_class]
    dear = sorted(alarm, key=lambda cost: -cost.read_ms)[: hypothesis.pending]
    nudged = {id(cost) for cost in dear}
    plain = max((c.read_ms for c in others if not c.block.is_alarm_class), default=0.0)
    under_way = max((cost.read_ms for cost in others), default=0.0) + lump_ms
    probe = _probe_ms(own, costs) if hypothesis.silent else 0.0
    wait = under_way
    while True:
        turns = [_turns(cost, wait, period_ms, is_nudged=id(cost) in nudged) for cost in alarm]
        needed = under_way + sum(n * cost.read_ms for n, cost in zip(turns, alarm, strict=True))
        needed += (sum(turns) // (PLAIN_EVERY - 1) + 1) * plain
        if probe:
            needed += (floor((wait + probe) * PROBE_SHARE / probe) + 1) * probe
        if needed <= wait:
            return wait
        wait = needed


def _turns(cost: Cost, wait_ms: float, period_ms: int, *, is_nudged: bool) -> int:
    """How often another alarm-class block is read before one that is due `wait_ms` long."""
    own_period = min(cost.block.period_ms, NUDGED_MS) if is_nudged else cost.block.period_ms
    extra = 1 if is_nudged else 0  # a nudged block goes back to its phase with one early read
    due = floor(wait_ms / own_period) + 1
    with_earlier_deadline = floor(period_ms / own_period) + 1
    return min(due, with_earlier_deadline) + extra


def _probe_ms(own: Cost, costs: Sequence[Cost]) -> float:
    """The longest probe of another device: its smallest block, unanswered."""
    smallest: dict[str, float] = {}
    for cost in costs:
        name = cost.block.device
        if name != own.block.device:
            smallest[name] = min(cost.lost_ms, smallest.get(name, cost.lost_ms))
    return max(smallest.values(), default=0.0)


def _silence_ms(own: Cost, costs: Sequence[Cost], hypothesis: Hypothesis) -> float:
    """What the silent devices cost when they fall silent or come back during one detection."""
    of_device: dict[str, list[Cost]] = {}
    for cost in costs:
        if cost.block.device != own.block.device:
            of_device.setdefault(cost.block.device, []).append(cost)
    dear = sorted(
        SILENT_AFTER * max(cost.lost_ms for cost in mine) + sum(cost.read_ms for cost in mine)
        for mine in of_device.values()
    )
    return sum(dear[::-1][: hypothesis.silent])


# --- what cannot work -----------------------------------------------------------------------


def detection_problems(site: Site, hypothesis: Hypothesis | None = None) -> tuple[PlanProblem, ...]:
    """Name every bus with too much to do, or with rules over the site's limit, and what helps.

    Of a site that has no `unreadable_points`.
    """
    plans = plan_site(site, hypothesis)
    found: list[PlanProblem] = []
    for plan in plans:
        if plan.load > LOAD_WARNED:
            found.append(_overload(plan, site))
        limit = site.detect_within_ms
        late = [each for each in plan.detections if limit is not None and each.total_ms > limit]
        if limit is not None and late:
            found.append(_too_late(late, limit, plan))
    return tuple(found)


def unreadable_points(site: Site) -> tuple[PlanProblem, ...]:
    """Name a point of each device that no single request can hold."""
    bus_of = {bus.id: bus for bus in site.buses}
    found = []
    for device in site.devices:
        try:
            plan_blocks(device, bus_of[device.bus])
        except ValueError as error:
            found.append(_unreadable(str(error)))
    return tuple(found)


def _unreadable(point_and_why: str) -> PlanProblem:
    point = point_and_why.split(":", maxsplit=1)[0]
    fact = Text(
        f"监测点 {point} 不能用一个请求读出", f"point {point} cannot be read in one request"
    )
    advice = Text(
        "检查型号文件的 barriers、max_registers 和 decimals_at/unit_at",
        "look at barriers, max_registers and decimals_at/unit_at in its profile",
    )
    return PlanProblem("unreadable_point", point, True, fact, advice)


def _overload(plan: BusPlan, site: Site) -> PlanProblem:
    is_too_much = plan.load > LOAD_LIMIT
    percent = f"{100 * plan.load:.0f} %"
    fact = Text(
        f"总线 {plan.bus.id} 的负载是 {percent}" + ("，读不完" if is_too_much else "，余量太小"),
        f"bus {plan.bus.id} would be busy {percent} of the time"
        + (": it cannot read all of this in time" if is_too_much else ", which leaves no reserve"),
    )
    longer = ceil(10 * plan.load / LOAD_WARNED) / 10
    zh = [f"把周期放长到 {longer:g} 倍", "或把设备分到两条总线"]
    en = [f"make periods {longer:g} times as long", "or move devices to a second bus"]
    faster = _faster(plan, site)
    if faster is not None:
        baud, load = faster
        zh.insert(0, f"波特率改为 {baud}（负载 {100 * load:.0f} %），或")
        en.insert(0, f"run the line at {baud} baud (load {100 * load:.0f} %), or")
    heavy = max(plan.costs, key=lambda cost: cost.read_ms / cost.block.period_ms).block
    zh.append(f"；最重的是 {heavy.device}（{heavy.count} 个寄存器，每 {heavy.period_ms} ms）")
    en.append(f"; heaviest is {heavy.device} ({heavy.count} registers every {heavy.period_ms} ms)")
    advice = Text("".join(zh), " ".join(en).replace(" ;", ";"))
    is_error = is_too_much and isinstance(plan.bus.link, SerialLine)
    return PlanProblem("bus_overload", plan.bus.id, is_error, fact, advice)


def _faster(plan: BusPlan, site: Site) -> tuple[int, float] | None:
    """The lowest higher baud at which the load is fine, and the load then; None: there is none."""
    link = plan.bus.link
    if not isinstance(link, SerialLine):
        return None
    for baud in BAUDS:
        if baud > link.baud:
            bus = replace(plan.bus, link=replace(link, baud=baud))
            load = plan_bus(site, bus, Hypothesis()).load
            if load <= LOAD_WARNED:
                return baud, load
    return None


def _too_late(late: Sequence[Detection], limit_ms: int, plan: BusPlan) -> PlanProblem:
    found = max(late, key=lambda each: each.total_ms)
    seconds, limit = f"{found.total_ms / 1000:.1f} s", f"{limit_ms / 1000:g} s"
    more = len(late) - 1
    fact = Text(
        f"规则 {found.rule.id} 最坏要 {seconds} 才报警，超过 {limit}"
        + (f"；同一总线还有 {more} 条" if more else ""),
        f"rule {found.rule.id} takes up to {seconds} to raise, more than {limit}"
        + (f"; so do {more} more on {plan.bus.id}" if more else ""),
    )
    return PlanProblem("detects_late", plan.bus.id, False, fact, _quicker(found, plan))


def _quicker(found: Detection, plan: BusPlan) -> Text:
    """What would help most: named with its numbers."""
    line_ms = found.wait_ms + found.retry_ms + found.silence_ms
    parts = {
        "for": found.delay_ms,
        "period": found.period_ms,
        "sensor": found.sensor_ms or 0,
        "line": line_ms,
    }
    match max(parts, key=lambda name: parts[name]):
        case "for":
            return Text(
                f"延时占 {found.delay_ms / 1000:.1f} s：缩短 for",
                f"its on-delay is {found.delay_ms / 1000:.1f} s of that: shorten `for`",
            )
        case "period":
            return Text(
                f"轮询周期占 {found.period_ms / 1000:.1f} s：缩短 period",
                f"its period is {found.period_ms / 1000:.1f} s of that: shorten `period`",
            )
        case "sensor":
            return Text(
                f"传感器自身响应 {parts['sensor'] / 1000:.1f} s：换更快的探测器或放宽限值",
                f"the sensor itself takes {parts['sensor'] / 1000:.1f} s: take a quicker detector "
                "or a longer limit",
            )
    return Text(
        f"等待和重试占 {line_ms / 1000:.1f} s：提高波特率、缩短 timeout 或加一条总线",
        f"waiting and retrying on {plan.bus.id} are {line_ms / 1000:.1f} s of that: a higher baud, "
        "a shorter timeout or a second bus",
    )
