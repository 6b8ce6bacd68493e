"""The poll task in a world of its own time: a read takes what the fake says, sleeping jumps."""

import asyncio
import itertools
from dataclasses import dataclass, field

import pytest

from gateway.core.blocks import ReadBlock
from gateway.core.schedule import IDLE_MS, Schedule
from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent
from gateway.domain.events import BlockRead, FaultCleared, FaultRaised
from gateway.domain.points import Encoding, Point, Table, WordType
from gateway.domain.readings import Quality
from gateway.domain.site import Bus, TcpLink
from gateway.tasks.poll import Nudges, poll_bus, tell_fault

TIMEOUT_MS = 300
READ_MS = 20
BUS = Bus("b", TcpLink("devices.example"), timeout_ms=TIMEOUT_MS)


class TheEnd(Exception):
    """The horizon of a test was reached."""


def block(device, start, *, period_ms=1000, alarm=False, points=1, unit=None, step=1):
    names = [f"p{start + n * step}" for n in range(points)]
    return ReadBlock(
        device=device,
        bus="b",
        unit=unit or sum(map(ord, device)) % 247 + 1,
        table=Table.INPUT,
        start=start,
        count=(points - 1) * step + 1,
        points=tuple(
            Point(
                f"{device}.{name}", device, name, "", Table.INPUT, start + n * step,
                Encoding(WordType.UINT16), period_ms,
            )
            for n, name in enumerate(names)
        ),
        period_ms=period_ms,
        is_alarm_class=alarm,
    )  # fmt: skip


@dataclass
class World:
    until_ms: int
    answer: object  # (block, now_ms) -> words, or an exception; None = zeros
    now_ms: int = 0
    reads: list = field(default_factory=list)  # (started_ms, block, took_ms)
    events: list = field(default_factory=list)  # (ms, event)
    beats: list = field(default_factory=list)
    nudges: dict = field(default_factory=dict)  # ms -> points
    hold_ms: object = staticmethod(lambda _block: 0)
    slow_inbox_ms: int = 0

    def clock(self):
        return self.now_ms

    def beat(self):
        self.beats.append(self.now_ms)

    def nudged(self):
        due = [at for at in self.nudges if at <= self.now_ms]
        return {point for at in due for point in self.nudges.pop(at)}

    async def sleep_until(self, ms):
        assert ms > self.now_ms, "sleeping without sleeping is spinning"
        self.pass_time(ms - self.now_ms)

    async def read(self, block, timeout_ms):
        started = self.now_ms
        outcome = self.answer(block, started) if self.answer else None
        took = {DeviceSilent: timeout_ms, BusDown: 0}.get(type(outcome), READ_MS)
        self.reads.append((started, block, took))
        self.pass_time(took)
        if isinstance(outcome, Exception):
            raise outcome
        return [0] * block.count if outcome is None else outcome

    async def put(self, event):
        assert isinstance(event, BlockRead)
        self.events.append((self.now_ms, event))
        self.pass_time(self.slow_inbox_ms)

    def pass_time(self, ms):
        self.now_ms += ms
        if self.now_ms > self.until_ms:
            raise TheEnd

    def run(self, *blocks):
        async def main():
            schedule = Schedule(BUS, blocks, self.now_ms, hold_ms=self.hold_ms)
            await poll_bus(
                schedule, read=self.read, put=self.put, clock=self.clock, beat=self.beat,
                sleep_until=self.sleep_until, nudged=self.nudged,
            )  # fmt: skip

        with pytest.raises(TheEnd):
            asyncio.run(main())
        return self

    def starts_of(self, wanted):
        return [at for at, block, _took in self.reads if block.points == wanted.points]

    def gaps_of(self, wanted, after_ms=0):
        starts = [at for at in self.starts_of(wanted) if at >= after_ms]
        return [later - earlier for earlier, later in itertools.pairwise(starts)]


def silent_device(name, from_ms=0, to_ms=10**9):
    def answer(block, now_ms):
        is_silent = block.device == name and from_ms <= now_ms < to_ms
        return DeviceSilent(block.unit) if is_silent else None

    return answer


def test_each_block_is_read_in_its_period():
    quick, slow = block("a", 0, period_ms=1000), block("a", 10, period_ms=5000)
    world = World(60_000, None).run(quick, slow)
    assert set(world.gaps_of(quick, after_ms=1000)) == {1000}
    assert set(world.gaps_of(slow, after_ms=5000)) == {5000}


def test_everything_is_read_at_once_first_and_then_spread_over_the_period():
    blocks = [block("a", 10 * n, period_ms=10_000) for n in range(5)]
    world = World(40_000, None).run(*blocks)
    assert [at for at, _, _ in world.reads[:5]] == [0, 20, 40, 60, 80]
    steady = sorted(at % 10_000 for at, _, _ in world.reads if at > 20_000)
    assert set(steady) == {0, 2000, 4000, 6000, 8000}
    for each in blocks:
        assert max(world.gaps_of(each)) <= 10_000


def test_what_is_read_arrives_decoded_with_the_moment_the_reply_ended():
    one = block("a", 7)
    world = World(500, lambda _b, _now: [4711]).run(one)
    (_, event), *_ = world.events
    (reading,) = event.readings
    assert (event.bus, event.device, event.failure) == ("b", "a", None)
    assert (reading.point, reading.value, reading.mono_ms) == ("a.p7", 4711, READ_MS)
    assert reading.quality is Quality.GOOD


def test_alarm_class_blocks_win_when_the_bus_is_too_slow_for_all():
    alarm = block("a", 0, period_ms=100, alarm=True)
    plain = [block("a", 10 * n, period_ms=100) for n in range(1, 8)]
    world = World(20_000, None).run(*plain, alarm)
    assert max(world.gaps_of(alarm)) <= 100 + READ_MS
    assert all(world.starts_of(each) for each in plain)


def test_among_equals_the_earliest_deadline_is_next():
    urgent, patient = block("a", 0, period_ms=200), block("a", 10, period_ms=60_000)
    world = World(100, None).run(patient, urgent)
    assert world.reads[0][1] is urgent


def test_a_failed_block_is_not_retried_on_the_spot_but_at_the_end_of_the_round():
    one, others = block("a", 0, period_ms=5000), [block(n, 0, period_ms=200) for n in "cd"]
    lost = []

    def answer(each, now):
        if each.device == "a" and now > 3_000 and not lost:
            lost.append(now)
            return DeviceSilent(each.unit)
        return None

    world = World(20_000, answer).run(one, *others)
    after = [(at - lost[0], each.device) for at, each, _ in world.reads if at >= lost[0]]
    assert [name for _, name in after[:4]] in (["a", "c", "d", "a"], ["a", "d", "c", "a"])
    assert after[3][0] == TIMEOUT_MS + 2 * READ_MS


def test_a_block_that_alone_never_answers_is_retried_once_and_then_only_probed():
    odd, fine = block("a", 10), block("a", 0)

    def answer(each, _now):
        return DeviceSilent(each.unit) if each.start == 10 else None

    world = World(120_000, answer).run(odd, fine)
    assert max(world.gaps_of(fine, after_ms=5_000)) <= 1000 + TIMEOUT_MS
    asked = [at for at in world.starts_of(odd) if at > 10_000]
    assert 110_000 / 10_000 <= len(asked) <= 110_000 / 5_000 + 1


@pytest.mark.parametrize(("from_ms", "reads_before"), [(0, 1), (20_100, 2)])
def test_a_silent_device_is_probed_after_1_2_4_5_seconds_with_its_smallest_block(
    from_ms, reads_before
):
    """Silent is who let two requests pass, or the first one of all."""
    small, large = block("a", 50), block("a", 0, points=20)
    world = World(90_000, silent_device("a", from_ms)).run(large, small)
    unanswered = [(at, each, took) for at, each, took in world.reads if at >= from_ms]
    probes = [(at, each) for at, each, _ in unanswered[reads_before:]]
    assert all(each is small for _, each in probes)
    ends = [at + took for at, _, took in unanswered[reads_before - 1 :]]
    pauses = [at - end for (at, _), end in zip(probes, ends, strict=False)]
    assert pauses[:6] == [1000, 2000, 4000, 5000, 5000, 5000]


def test_every_failed_probe_says_offline_of_every_block_of_the_device():
    small, large = block("a", 50), block("a", 0, points=3)
    world = World(2_500, silent_device("a")).run(large, small)
    told = [r for _, e in world.events if e.failure for r in e.readings]
    assert {r.point for r in told} == {"a.p0", "a.p1", "a.p2", "a.p50"}
    assert {(r.quality, r.reason, r.value) for r in told} == {(Quality.OFFLINE, "silent", None)}
    assert sum(r.point == "a.p1" for r in told) >= 2


def test_dead_devices_take_at_most_a_tenth_of_the_bus_for_probes():
    dead = [block(name, 0) for name in "xyz"]
    living = [block(name, 0, period_ms=500) for name in "abcdefg"]

    def answer(each, _now):
        return DeviceSilent(each.unit) if each.device in "xyz" else None

    world = World(600_000, answer).run(*dead, *living)
    probing = sum(took for _, _, took in world.reads[20:] if took == TIMEOUT_MS)
    assert probing <= 0.1 * 600_000 + 1_000 + TIMEOUT_MS
    for each in living:
        gaps = world.gaps_of(each, after_ms=10_000)
        assert sum(gaps) / len(gaps) <= 1.15 * 500
    for each in dead:
        assert max(world.gaps_of(each)) <= 20_000


def test_many_dead_devices_still_stay_within_the_tenth():
    names = [f"dead{n}" for n in range(30)]

    def answer(each, _now):
        return None if each.device == "living" else DeviceSilent(each.unit)

    living = block("living", 0)
    dead = [block(name, 0) for name in names]
    world = World(600_000, answer).run(living, *dead)
    late = [took for at, _, took in world.reads if at > 30_000 and took == TIMEOUT_MS]
    assert sum(late) <= 0.1 * 570_000 + 1_000 + TIMEOUT_MS
    assert all(world.starts_of(each)[-1] > 500_000 for each in dead), "each is still asked"


def test_a_device_that_answers_again_is_read_whole_at_once():
    small, large = block("a", 50), block("a", 0, points=20, period_ms=60_000)
    world = World(30_000, silent_device("a", 0, 9_000)).run(small, large)
    back = next(at for at, event in world.events if event.failure is None)
    assert min(at for at in world.starts_of(large) if at >= back) <= back + READ_MS


def test_a_refusal_is_a_sign_of_life_and_no_retry():
    one = block("a", 0)
    world = World(10_000, lambda b, _now: DeviceRefused(b.unit, 4)).run(one)
    assert set(world.gaps_of(one)) == {1000}
    assert {e.readings[0].reason for _, e in world.events} == {"exception_4"}


def test_a_device_that_says_nothing_to_a_long_block_is_told_once_and_read(caplog):
    long = block("a", 0, points=60)

    def answer(each, _now):
        return DeviceSilent(each.unit) if each.count > 16 else None

    world = World(400_000, answer).run(long, block("b", 0))
    read = {point.id for at, each, took in world.reads if at > 300_000 and took == READ_MS
            for point in each.points}  # fmt: skip
    assert {point.id for point in long.points} <= read
    (line,) = [each.getMessage() for each in caplog.records]
    assert "device=a answers=15 silent_at=60" in line
    assert "max_registers: 15" in line
    told = [at for at, event in world.events if event.failure is not None]
    assert max(told) < 60_000


@pytest.mark.parametrize("code", [2, 3])
def test_a_refused_block_is_halved_until_the_bad_register_stands_alone(code):
    whole = block("a", 0, points=8)

    def answer(each, _now):
        is_bad = each.start <= 5 < each.start + each.count
        return DeviceRefused(each.unit, code) if is_bad else None

    world = World(10_000, answer).run(whole)
    last = {r.point: r.reason for at, e in world.events for r in e.readings if at > 5_000}
    assert last.pop("a.p5") == f"exception_{code}"
    assert last == {f"a.p{n}": "" for n in (0, 1, 2, 3, 4, 6, 7)}
    assert len(world.starts_of(whole)) == 1, "halved once, not again and again"
    assert all(e.readings for at, e in world.events if at > 1_000)


def test_a_bridge_that_cannot_reach_its_device_counts_as_silence():
    dead, living = block("a", 0), block("c", 0)

    def answer(each, _now):
        return DeviceRefused(each.unit, 0x0B) if each.device == "a" else None

    world = World(60_000, answer).run(dead, living)
    assert len(world.starts_of(dead)) < 16
    reasons = {r.reason for _, e in world.events if e.device == "a" for r in e.readings}
    assert reasons == {"gateway_target"}


def test_a_bus_that_is_down_makes_every_device_offline_and_does_not_spin():
    blocks = [block(name, 0) for name in "abc"]
    world = World(20_000, lambda _b, _now: BusDown("no such port")).run(*blocks)
    first = {e.device: (at, e) for at, e in reversed(world.events)}
    assert {at for at, _ in first.values()} == {0}
    readings = [r for _, e in world.events for r in e.readings]
    assert {(r.quality, r.reason) for r in readings} == {(Quality.OFFLINE, "bus_down")}
    for name in "abc":
        assert 18 <= sum(e.device == name for _, e in world.events) <= 21, "once a period"
    assert len(world.reads) <= 45


def test_a_bus_that_comes_back_is_read_whole_at_once():
    blocks = [block("a", 0), block("c", 0, period_ms=60_000)]
    world = World(
        30_000, lambda _b, now: BusDown("unplugged") if 5_000 <= now < 12_100 else None
    ).run(*blocks)
    for each in blocks:
        assert any(12_100 <= at <= 12_800 for at in world.starts_of(each))


def test_silence_before_a_bus_fault_is_forgotten_after_it():
    def answer(each, now):
        if 60_000 <= now < 61_000:
            return BusDown("unplugged")
        return DeviceSilent(each.unit) if each.device == "a" and now < 60_000 else None

    world = World(90_000, answer).run(block("a", 0), block("c", 0, alarm=True))
    good = [at for at, e in world.events if e.device == "a" and e.failure is None]
    assert 61_000 <= good[0] <= 62_000, "not at its next probe, which is seconds away"


def test_a_pending_alarm_makes_its_block_due_within_a_second():
    slow, other = block("a", 0, period_ms=30_000), block("c", 0, period_ms=30_000)
    nudges = {at: {"a.p0"} for at in range(15_300, 20_000, 500)}
    world = World(40_000, None, nudges=nudges).run(slow, other)
    times = [at for at in world.starts_of(slow) if 15_000 <= at <= 20_500]
    assert times[0] <= 15_300 + IDLE_MS
    assert max(b - a for a, b in itertools.pairwise(times)) <= 1_000 + IDLE_MS
    assert not [at for at in world.starts_of(other) if 15_900 <= at <= 29_000]


def test_nudges_are_given_out_once():
    nudges = Nudges()
    nudges.add(["a.x"])
    nudges.add(["a.x", "a.y"])
    assert nudges.take() == {"a.x", "a.y"}
    assert nudges.take() == frozenset()


def test_a_fault_is_told_once_when_it_begins_and_once_when_it_ends():
    wrong, posted = [""], []
    tell = tell_fault(lambda: wrong[0], "foreign_master", "b", posted.append)
    for wrong[0] in ("", "", "asks unit 5", "asks unit 5", "asks unit 5, 7", "", ""):
        tell()
    raised, cleared = (
        FaultRaised("foreign_master", "b", "asks unit 5"),
        FaultCleared("foreign_master", "b"),
    )
    assert posted == [cleared, raised, cleared], "what an earlier run raised is cleared first"


def test_blocks_that_a_late_answer_would_fit_wait_while_others_are_read():
    asked, alike, other = block("a", 0), block("a", 10), block("c", 0)
    held_until = TIMEOUT_MS + 2_000

    def answer(each, now):
        return DeviceSilent(each.unit) if each is asked and now < 1 else None

    world = World(10_000, answer)
    world.hold_ms = lambda each: max(0, held_until - world.now_ms) if each.device == "a" else 0
    world.run(asked, alike, other)
    assert world.starts_of(asked)[1] >= held_until
    assert world.starts_of(alike)[0] >= held_until
    assert max(world.gaps_of(other)) <= 1000 + READ_MS


def test_it_beats_often_also_without_devices_and_without_a_bus():
    for world in (
        World(10_000, None).run(),
        World(10_000, None).run(block("a", 0, period_ms=60_000)),
        World(10_000, lambda _b, _now: BusDown("no such port")).run(block("a", 0)),
        World(10_000, silent_device("a")).run(block("a", 0)),
    ):
        beats = world.beats
        assert max(b - a for a, b in itertools.pairwise(beats)) <= IDLE_MS + TIMEOUT_MS
        assert len(beats) < 200


def test_a_full_inbox_slows_the_poll_and_loses_nothing():
    one = block("a", 0, period_ms=100)
    world = World(10_000, None, slow_inbox_ms=400).run(one)
    assert len(world.events) in (len(world.reads), len(world.reads) - 1)
    assert min(world.gaps_of(one)) >= 400


def test_an_error_that_is_no_read_failure_is_not_swallowed():
    world = World(1_000, lambda _b, _now: ZeroDivisionError())

    async def main():
        await poll_bus(
            Schedule(BUS, [block("a", 0)], 0), read=world.read, put=world.put, clock=world.clock,
            beat=world.beat, sleep_until=world.sleep_until,
        )  # fmt: skip

    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())
