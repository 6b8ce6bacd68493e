"""The schedule of one bus, in simulated time: a read takes what the test says."""

import itertools
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.blocks import timeout_ms, turn_ms, wire_ms
from gateway.core.detect import BusPlan, Cost, Hypothesis, _wait_ms, back_within_ms
from gateway.core.schedule import PLAIN_EVERY, PROBE_SHARE, WHOLE_AGAIN_MS, Schedule
from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent
from gateway.domain.site import Bus, SerialLine, TcpLink
from tests.core.blocks import block

TIMEOUT_MS = 500
NETWORK = Bus("b", TcpLink("devices.example"), timeout_ms=TIMEOUT_MS)


@dataclass
class Ran:
    """What was asked: (started, block, outcome, took); and what was told of it."""

    reads: list = field(default_factory=list)
    events: list = field(default_factory=list)
    schedule: Schedule = None

    def starts(self, wanted, from_ms=0):
        return [
            at for at, each, _, _ in self.reads if each.points == wanted.points and at >= from_ms
        ]

    def gaps(self, wanted, from_ms=0):
        return [b - a for a, b in itertools.pairwise(self.starts(wanted, from_ms))]

    def unanswered_ms(self, from_ms, to_ms):
        return sum(
            max(0, min(at + took, to_ms) - max(at, from_ms))
            for at, _, outcome, took in self.reads
            if isinstance(outcome, DeviceSilent)
        )


def play(blocks, until_ms, *, took=lambda _b: 20, fails=lambda _b, _now: None, nudges=None,
         bus=NETWORK, made=lambda _schedule: None, **how):  # fmt: skip
    """Run a schedule; `fails(block, now)` gives the failure of a read, or None."""
    schedule, ran, now = Schedule(bus, blocks, 0, **how), Ran(), 0
    made(schedule)
    ran.schedule = schedule
    while now < until_ms:
        schedule.hasten(nudges(now) if nudges else (), now)
        ran.events += [(now, event) for event in schedule.missed_while_down(now)]
        turn = schedule.next_turn(now)
        if turn is None:
            wake = schedule.wake_ms(now)
            assert wake > now
            now = wake
            continue
        failure = fails(turn.block, now)
        lasts = {DeviceSilent: schedule.timeout_ms(turn.block), BusDown: 0}.get(type(failure))
        lasts = took(turn.block) if lasts is None else lasts
        outcome = [0] * turn.block.count if failure is None else failure
        ran.reads.append((now, turn.block, outcome, lasts))
        told = schedule.note(turn, outcome, started_ms=now, now_ms=now + lasts)
        now += lasts
        ran.events += [(now, event) for event in told]
    return ran


def dead(*names, from_ms=0, to_ms=10**9):
    def fails(each, now):
        is_dead = each.device in names and from_ms <= now < to_ms
        return DeviceSilent(each.unit) if is_dead else None

    return fails


def either(one, other):
    return lambda each, now: one(each, now) or other(each, now)


# --- who is next ------------------------------------------------------------------------------


def test_alarm_class_blocks_go_first_and_plain_ones_still_get_one_read_in_ten():
    alarm = [block(f"a{n}", 0, period_ms=100, alarm=True) for n in range(8)]
    plain = [block(f"p{n}", 0, period_ms=1000) for n in range(30)]
    ran = play([*alarm, *plain], 120_000)
    share = sum(not each.is_alarm_class for _, each, _, _ in ran.reads) / len(ran.reads)
    assert 0.9 / PLAIN_EVERY <= share <= 1 / PLAIN_EVERY + 0.01
    for each in plain:
        assert max(ran.gaps(each)) <= 1000 + len(plain) * PLAIN_EVERY * 20 * 2
    for each in alarm:
        assert max(ran.gaps(each)) <= 100 + 2 * len(alarm) * 20


def test_no_plain_block_goes_before_an_alarm_block_while_there_is_time_for_all():
    alarm = [block(f"a{n}", 0, period_ms=500, alarm=True) for n in range(5)]
    plain = [block(f"p{n}", 0, period_ms=1000) for n in range(10)]
    ran = play([*plain, *alarm], 60_000)
    for each in alarm:
        assert max(ran.gaps(each, 2_000)) <= 500 + 6 * 20


def test_equal_periods_are_spread_and_other_periods_do_not_fall_on_them():
    quick = [block(f"q{n}", 0, period_ms=1_000) for n in range(4)]
    slow = [block(f"s{n}", 0, period_ms=5_000) for n in range(5)]
    ran = play([*quick, *slow], 60_000, took=lambda _b: 100)
    late = [at for at, _, _, _ in ran.reads if at > 10_000]
    waits = [b - a for a, b in itertools.pairwise(late)]
    assert sum(wait == 100 for wait in waits) <= len(waits) / 10, "few wait for each other"


def test_blocks_of_buses_that_begin_together_do_not_fall_on_each_other():
    due = []
    for number in range(5):
        blocks = [block(f"d{n}", 0, period_ms=1_000) for n in range(10)]
        schedule = Schedule(NETWORK, blocks, 0, number=number)
        ran = []
        for now in range(5_000):
            turn = schedule.next_turn(now)
            if turn is not None:
                schedule.note(turn, [0] * turn.block.count, started_ms=now, now_ms=now + 1)
                ran.append(now)
        due.append({now % 100 for now in ran if now >= 2_000})
    assert all(len(moments) == 1 for moments in due)  # each bus asks every 100 ms
    moments = sorted(moment for each in due for moment in each)
    gaps = [b - a for a, b in zip(moments, [*moments[1:], moments[0] + 100], strict=True)]
    assert min(gaps) >= 9, moments


def test_a_block_keeps_its_phase_after_it_was_late_once():
    one, other = block("a", 0, period_ms=1_000), block("c", 0, period_ms=1_000)
    slow_once = [2_100]

    def took(each):
        return slow_once.pop() if each.device == "c" and slow_once else 20

    ran = play([one, other], 30_000, took=took)
    assert {at % 1_000 for at in ran.starts(one, 10_000)} == {0}
    assert {at % 1_000 for at in ran.starts(other, 10_000)} == {500}


def test_a_pending_alarm_is_read_within_a_second_also_on_a_busy_bus():
    slow = block("a", 0, period_ms=30_000, alarm=True)
    busy = [block(f"c{n}", 0, period_ms=500, alarm=True) for n in range(20)]
    names = {point.id for point in slow.points}
    ran = play([slow, *busy], 60_000, nudges=lambda now: names if 31_000 <= now < 50_000 else ())
    pending = [at for at in ran.starts(slow) if 32_500 <= at <= 50_000]
    assert max(b - a for a, b in itertools.pairwise(pending)) <= 1_000 + 21 * 20


# --- silence ----------------------------------------------------------------------------------


def test_three_dead_devices_of_ten_stretch_the_others_by_at_most_15_percent():
    blocks = [block(f"d{n}", 0, period_ms=50) for n in range(10)]  # as fast as the wire allows
    alive = blocks[3:]
    before = play(alive, 300_000)
    with_dead = play(blocks, 300_000, fails=dead("d0", "d1", "d2"))

    def mean_gap(ran, each):
        gaps = ran.gaps(each, 20_000)
        return sum(gaps) / len(gaps)

    for each in alive:
        assert mean_gap(with_dead, each) <= 1.15 * mean_gap(before, each)


def test_three_devices_that_die_while_running_stretch_the_others_as_little():
    blocks = [block(f"d{n}", 0, period_ms=200) for n in range(10)]
    names = ("d0", "d1", "d2")
    ran = play(blocks, 400_000, fails=dead(*names, from_ms=100_000))
    for each in blocks[3:]:
        healthy = [b - a for a, b in itertools.pairwise(ran.starts(each)) if b < 100_000]
        after = ran.gaps(each, 100_000)
        assert sum(after) / len(after) <= 1.15 * sum(healthy) / len(healthy)


def damaged(*devices, of, from_ms=5_000):
    """Of these devices' answers `of` in ten come damaged, in no order."""
    random = Random(4)

    def fails(each, now):
        if each.device in devices and now >= from_ms and random.random() * 10 < of:
            return DeviceSilent(each.unit, "damaged", is_heard=True)
        return None

    return fails


def test_a_device_whose_answers_come_damaged_now_and_then_goes_on_being_read():
    blocks = [block("a", 10 * n, period_ms=1_000) for n in range(4)]
    ran = play(blocks, 300_000, fails=damaged("a", of=2))
    for each in blocks:
        answered = [
            at for at, read, outcome, _ in ran.reads
            if read == each and not isinstance(outcome, DeviceSilent)
        ]  # fmt: skip
        gaps = [b - a for a, b in itertools.pairwise(answered)]
        assert sum(gaps) / len(gaps) < 1_400, "and not probed, as one that is silent is"


def test_devices_whose_answers_all_come_damaged_stretch_the_others_no_more_than_dead_ones():
    blocks = [block(f"d{n}", 10 * m, period_ms=200) for n in range(10) for m in range(2)]
    names = ("d0", "d1", "d2")
    ran = play(blocks, 400_000, fails=damaged(*names, of=10, from_ms=100_000))
    for each in blocks[6:]:
        healthy = [b - a for a, b in itertools.pairwise(ran.starts(each)) if b < 100_000]
        after = ran.gaps(each, 100_000)
        assert sum(after) / len(after) <= 1.15 * sum(healthy) / len(healthy)
    assert ran.unanswered_ms(110_000, 400_000) <= 0.11 * 290_000


@pytest.mark.parametrize("back_at", range(60_000, 76_000, 1_700))
def test_a_device_that_comes_back_is_read_again_within_15_seconds(back_at):
    blocks = [block(f"d{n}", 0, period_ms=1_000, points=3) for n in range(10)]
    blocks += [block(f"d{n}", 50, period_ms=1_000, points=30) for n in range(10)]
    others = dead("d1", "d2")
    first = dead("d0", from_ms=20_000, to_ms=back_at)
    ran = play(blocks, 100_000, fails=lambda b, now: others(b, now) or first(b, now))
    for each in (blocks[0], blocks[10]):
        assert ran.starts(each, back_at)[0] <= back_at + 15_000


@pytest.mark.parametrize("baud", [2400, 9600, 115200])
@pytest.mark.parametrize("is_known", [True, False])
def test_it_is_read_again_within_15_seconds_at_any_baud_however_long_its_blocks_are(baud, is_known):
    line = Bus("b", SerialLine("/dev/null", baud=baud))
    blocks = [block(f"d{n}", 0, period_ms=8_000, points=40) for n in range(10)]
    for back_at in range(120_000, 136_000, 900):
        others = dead("d1", "d2", from_ms=20_000 if is_known else 0)
        first = dead("d0", from_ms=20_000 if is_known else 0, to_ms=back_at)
        ran = play(blocks, 160_000, bus=line, took=lambda b: round(wire_ms(b, line)) + 30,
                   fails=either(others, first))  # fmt: skip
        assert ran.starts(blocks[0], back_at)[0] <= back_at + 15_000


@pytest.mark.parametrize(("count", "within_ms"), [(4, 15_000), (6, 15_000), (10, 16_500)])
def test_with_more_dead_devices_it_takes_little_longer(count, within_ms):
    line = Bus("b", SerialLine("/dev/null", baud=9600))
    blocks = [block(f"d{n}", 0, period_ms=8_000, points=8) for n in range(count + 5)]
    names = [f"d{n}" for n in range(1, count)]
    for back_at in range(120_000, 150_000, 2_100):
        others, first = dead(*names), dead("d0", to_ms=back_at)
        ran = play(blocks, 180_000, bus=line, took=lambda b: round(wire_ms(b, line)) + 30,
                   fails=either(others, first))  # fmt: skip
        assert ran.starts(blocks[0], back_at)[0] <= back_at + within_ms


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_it_is_read_again_within_what_the_plan_says_whenever_the_others_died(count):
    line = Bus("b", SerialLine("/dev/null", baud=9600))
    blocks = [block(f"d{n}", 0, period_ms=4_000, points=8) for n in range(count + 3)]
    costs = tuple(Cost(b, turn_ms(b, line), timeout_ms(b, line)) for b in blocks)
    within_ms = back_within_ms(BusPlan(line, costs, ()), count)
    for apart_ms in (0, 1_300, 3_700, 7_900):
        deaths = [dead(f"d{n}", from_ms=20_000 + n * apart_ms) for n in range(1, count)]
        for back_at in range(160_000, 180_000, 1_900):
            gone = [*deaths, dead("d0", from_ms=20_000, to_ms=back_at)]

            def fails(each, now, gone=gone):
                return next(filter(None, (is_dead(each, now) for is_dead in gone)), None)

            ran = play(blocks, back_at + within_ms + 5_000, bus=line, fails=fails,
                       took=lambda b: round(wire_ms(b, line)) + 30)  # fmt: skip
            reads = ((at, outcome) for at, b, outcome, _ in ran.reads if b is blocks[0])
            answered = [at for at, said in reads if at >= back_at and isinstance(said, list)]
            assert answered[0] <= back_at + within_ms


def test_a_silent_device_that_has_become_slow_is_still_found():
    """Probes are short while many are silent; one in eight is not."""
    line = Bus("b", SerialLine("/dev/null", baud=9600), timeout_ms=1_000)
    blocks = [block(f"d{n}", 0, period_ms=1_000) for n in range(15)]
    names = [f"d{n}" for n in range(1, 10)]
    waits = []

    def fails(each, now):
        waited = schedules[0].timeout_ms(each) if each.device == "d0" else 0
        waits.append(waited)
        is_too_short = each.device == "d0" and waited < 800
        return DeviceSilent(each.unit) if is_too_short else dead(*names)(each, now)

    schedules = []
    ran = play(blocks, 600_000, bus=line, fails=fails, made=schedules.append)
    assert [at for at, each, outcome, _ in ran.reads
            if each.device == "d0" and not isinstance(outcome, DeviceSilent)]  # fmt: skip


def test_a_dead_line_is_asked_without_pause_for_others_and_is_back_at_once():
    blocks = [block(f"d{n}", 0) for n in range(20)]
    names = [each.device for each in blocks]
    ran = play(blocks, 120_000, fails=dead(*names, from_ms=20_000, to_ms=90_000))
    back = [ran.starts(each, 90_000)[0] for each in blocks]
    assert min(back) <= 90_000 + 5_000
    assert max(back) <= 90_000 + 10_000


def test_a_device_that_never_answered_is_silent_after_one_request():
    blocks = [block("a", n * 10) for n in range(5)] + [block("c", 0)]
    ran = play(blocks, 10_000, fails=dead("a"))
    assert len([at for at, each, _, _ in ran.reads if each.device == "a" and at < 1_400]) == 1


DEVICES = st.lists(
    st.tuples(
        st.sampled_from([100, 250, 1_000, 2_000, 5_000]),  # period
        st.booleans(),  # alarm class
        st.integers(5, 120),  # ms a read takes
        st.sampled_from(["well", "well", "dead", "dies", "flaps", "loses"]),
    ),
    min_size=1,
    max_size=14,
)


def fate(kind, number, now):
    match kind:
        case "dead":
            return True
        case "dies":
            return now >= 60_000
        case "flaps":
            return (now // (7_000 + 1_000 * number)) % 2 == 1
        case "loses":
            return (now // 10 * 7 + number) % 11 == 0
    return False


@settings(max_examples=30, deadline=None)
@given(DEVICES)
def test_no_block_starves_and_probes_keep_to_their_tenth_whatever_fails(devices):
    blocks = [
        block(f"d{n}", 0, period_ms=period, alarm=alarm)
        for n, (period, alarm, _, _) in enumerate(devices)
    ]
    named = {f"d{n}": (n, took, kind) for n, (_, _, took, kind) in enumerate(devices)}
    # one that is well: where nobody answers nobody is slowed, and probes are free
    blocks.append(block("well", 0))
    named["well"] = (99, 20, "well")

    def fails(each, now):
        number, _, kind = named[each.device]
        return DeviceSilent(each.unit) if fate(kind, number, now) else None

    until = 240_000
    ran = play(blocks, until, took=lambda b: named[b.device][1], fails=fails)
    longest_round = 2 * PLAIN_EVERY * sum(took for _, took, _ in named.values())
    troubled = sum(kind != "well" for _, _, kind in named.values())
    for each in blocks:
        if named[each.device][2] == "well":
            allowed = each.period_ms + longest_round + troubled * 3 * TIMEOUT_MS
        else:  # at the latest a probe of each device in turn
            allowed = 5_000 + (troubled + 1) * TIMEOUT_MS / PROBE_SHARE + longest_round
        starts = [0, *ran.starts(each), until]
        assert max(b - a for a, b in itertools.pairwise(starts)) <= allowed
    only_dead = all(kind in ("well", "dead") for _, _, kind in named.values())
    if only_dead:
        for window in range(20_000, until - 30_000, 10_000):
            probed = ran.unanswered_ms(window, window + 30_000)
            assert probed <= PROBE_SHARE * 30_000 + TIMEOUT_MS


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([300, 500, 1_000, 2_000, 3_000]), st.booleans(), st.integers(10, 200)
        ),
        min_size=2,
        max_size=12,
    ),
    st.integers(0, 3),
)
def test_no_alarm_block_waits_longer_than_its_plan_says(made, dead_devices):
    """The bound of `core.detect` holds for the schedule that runs, loaded or overloaded."""
    blocks = [
        block(f"d{n}", 0, period_ms=period, alarm=alarm)
        for n, (period, alarm, _) in enumerate(made)
    ]
    took = {f"d{n}": took for n, (_, _, took) in enumerate(made)}
    gone = [block(f"x{n}", 0) for n in range(dead_devices)]
    took |= {each.device: 50 for each in gone}
    ran = play(
        [*blocks, *gone], 60_000, took=lambda b: took[b.device],
        fails=dead(*(each.device for each in gone)),
    )  # fmt: skip
    costs = [Cost(each, took[each.device], TIMEOUT_MS) for each in (*blocks, *gone)]
    hypothesis = Hypothesis(silent=dead_devices, lost=0, pending=0)
    for own in costs[: len(blocks)]:
        if own.block.is_alarm_class:
            wait = _wait_ms(own, costs, hypothesis, own.block.period_ms)
            assert max(ran.gaps(own.block, 15_000)) <= own.block.period_ms + wait + 1


# --- waiting for answers ----------------------------------------------------------------------


def test_a_quick_device_is_waited_for_less_once_it_is_known():
    one, other = block("a", 0), block("c", 0)
    patient = replace(NETWORK, timeout_ms=1_000)
    ran = play([one, other], 60_000, fails=dead("a", from_ms=50_000), bus=patient)
    assert [took for at, each, _, took in ran.reads if each is one and at >= 50_000][:3] == [
        300, 600, 1_000,
    ]  # fmt: skip


def test_a_device_nobody_knows_yet_is_waited_for_as_long_as_configured():
    ran = play([block("a", 0)], 2_000, fails=dead("a"))
    assert ran.reads[0][3] == TIMEOUT_MS


def test_time_on_the_wire_is_on_top_of_what_the_device_may_need():
    line = Bus("b", SerialLine("/dev/null", baud=2400), timeout_ms=300)
    small, large = block("a", 0), block("a", 10, points=100)
    schedule = Schedule(line, [small, large], 0)
    assert schedule.timeout_ms(large) - schedule.timeout_ms(small) == pytest.approx(825, abs=1)


# --- blocks that are refused ------------------------------------------------------------------


def refusing(bad, until_ms=10**9):
    def fails(each, now):
        is_hit = each.start <= bad < each.start + each.count and now < until_ms
        return DeviceRefused(each.unit, 2) if is_hit else None

    return fails


def test_a_block_refused_only_while_a_device_starts_is_read_whole_again():
    whole = block("a", 0, points=8)
    ran = play([whole, block("c", 0)], 300_000, fails=refusing(5, until_ms=20_000))
    assert whole in ran.schedule.blocks
    again = ran.starts(whole, 20_000)
    assert again[0] <= 20_000 + WHOLE_AGAIN_MS[0]
    assert len([b for b in ran.schedule.blocks if b.device == "a"]) == 1


def test_a_block_that_is_refused_for_good_is_tried_whole_ever_less_often_and_told_once():
    whole = block("a", 0, points=8)
    ran = play([whole], 3_600_000, fails=refusing(5))
    trials = ran.starts(whole)
    pauses = [b - a for a, b in itertools.pairwise(trials)]
    assert pauses == sorted(pauses)
    assert 4 <= len(trials) <= 8
    assert sum(not event.readings for _, event in ran.events) == 1
    fine = [b for b in ran.schedule.blocks if b.start != 5]
    assert sum(len(each.points) for each in fine) == 7


def test_halves_are_not_joined_while_an_alarm_is_pending_on_them():
    whole = block("a", 0, points=8)
    names = {whole.points[0].id}
    ran = play([whole], 200_000, fails=refusing(5), nudges=lambda _now: names)
    assert len(ran.starts(whole)) == 1


# --- blocks that are too long to be answered --------------------------------------------------


def mute(most, name="a", hole=()):
    """A device that says nothing to a question for more than `most`, or for one of `hole`."""

    def fails(each, _now):
        is_hit = any(each.start <= at < each.start + each.count for at in hole)
        is_mute = each.device == name and (each.count > most or is_hit)
        return DeviceSilent(each.unit) if is_mute else None

    return fails


def first_read_ms(ran, wanted):
    """When every point of a block had been read once."""
    at_ms = {}
    for at, each, outcome, _ in ran.reads:
        if not isinstance(outcome, Exception):
            at_ms |= {point.id: at for point in each.points if point.id not in at_ms}
    return max(at_ms[point.id] for point in wanted.points)


@pytest.mark.parametrize("most", [10, 20, 59])
@pytest.mark.parametrize("has_short_block", [True, False])
def test_a_device_that_says_nothing_to_a_long_question_is_asked_shorter_ones(most, has_short_block):
    long = block("a", 100, points=60)
    blocks = [long, block("c", 0), *[block("a", 0, points=4)] * has_short_block]
    ran = play(blocks, 300_000, fails=mute(most))
    assert first_read_ms(ran, long) < 60_000
    pieces = [b for b in ran.schedule.blocks if b.device == "a" and b.start >= 100]
    assert sum(len(each.points) for each in pieces) == 60
    assert most / 2 < max(each.count for each in pieces) <= most
    assert all(len(ran.starts(piece, 200_000)) >= 98 for piece in pieces)
    assert ran.schedule.tally.of("a").takes == max(each.count for each in pieces)
    assert ran.schedule.tally.of("c").takes is None
    late = [event for at, event in ran.events if at > 120_000 and event.failure]
    assert not late, "to try it whole is no failure of its points"


def test_what_is_too_long_is_tried_whole_ever_less_often():
    long = block("a", 100, points=60)
    ran = play([long, block("c", 0)], 2_000_000, fails=mute(20))
    pauses = [b - a for a, b in itertools.pairwise(ran.starts(long, 120_000))]
    assert pauses == sorted(pauses)
    assert 3 <= len(pauses) <= 5


def test_what_was_too_long_is_read_whole_once_it_is_answered():
    long = block("a", 100, points=60)

    def fails(each, now):
        return mute(20)(each, now) if now < 200_000 else None

    ran = play([long, block("c", 0)], 600_000, fails=fails)
    assert long in ran.schedule.blocks
    assert ran.schedule.tally.of("a").takes is None


def test_a_value_that_is_never_answered_is_found_and_called_no_length():
    long = block("a", 100, points=32)
    ran = play([long, block("a", 0, points=40), block("c", 0)], 300_000, fails=mute(99, hole=[117]))
    read = {point.id for at, each, outcome, _ in ran.reads if at > 200_000
            and not isinstance(outcome, DeviceSilent) for point in each.points}  # fmt: skip
    assert {point.id for point in long.points} - read == {"a.p117"}
    assert ran.schedule.tally.of("a").takes is None


def test_a_module_that_is_missing_is_not_cut_into_pieces():
    """None of its values is answered, not one alone either: that is no length."""
    missing = block("a", 100, points=60)
    ran = play([missing, block("a", 0, points=4), block("c", 0)], 200_000,
               fails=mute(99, hole=range(100, 160)))  # fmt: skip
    assert missing in ran.schedule.blocks
    assert len(ran.schedule.blocks) == 3


@pytest.mark.parametrize("seed", range(3))
def test_a_line_that_loses_three_answers_in_ten_is_not_taken_for_it(seed):
    random = Random(seed)
    shapes = ((0, 4), (100, 60))
    blocks = [block(f"d{n}", at, points=count) for n in range(4) for at, count in shapes]

    def fails(each, _now):
        return DeviceSilent(each.unit) if random.random() < 0.3 else None

    ran = play(blocks, 300_000, fails=fails)
    assert {ran.schedule.tally.of(f"d{n}").takes for n in range(4)} == {None}
    assert set(ran.schedule.blocks) == set(blocks)


def test_a_device_that_dies_is_not_taken_for_it():
    blocks = [block("a", 0, points=4), block("a", 100, points=60, period_ms=60_000), block("c", 0)]
    ran = play(blocks, 400_000, fails=dead("a", from_ms=30_000, to_ms=200_000))
    assert set(ran.schedule.blocks) == set(blocks)


def test_a_device_that_is_switched_on_later_is_read_whole_at_once():
    long = block("a", 100, points=60)
    ran = play([long, block("c", 0)], 300_000, fails=dead("a", to_ms=100_000))
    assert ran.starts(long, 100_000)[0] < 106_000
    assert long in ran.schedule.blocks


def test_beside_one_that_takes_no_long_question_the_others_are_read_in_their_period():
    others = [block(f"d{n}", 0, points=8) for n in range(5)]
    ran = play([block("a", 100, points=60), *others], 120_000, fails=mute(10))
    for each in others:
        gaps = ran.gaps(each, 2_000)
        assert sum(gaps) / len(gaps) <= 1_150
        assert max(gaps) <= 2_000 + TIMEOUT_MS


# --- learning ---------------------------------------------------------------------------------


def test_a_device_is_planned_once_by_its_measured_turnaround_and_every_point_stays():
    whole = block("a", 0, points=8)
    halves = [replace(whole, count=4, points=whole.points[:4]),
              replace(whole, start=4, count=4, points=whole.points[4:])]  # fmt: skip
    asked = []

    def plan(device, turnaround_ms):
        asked.append((device, round(turnaround_ms)))
        return halves

    ran = play([whole, block("c", 0, period_ms=60_000)], 600_000, plan=plan)
    assert asked == [("a", 20)]
    assert set(ran.schedule.blocks) >= set(halves)
    assert len(ran.starts(halves[0])) > 100


def test_statistics_count_what_happened():
    blocks = [block("a", 0), block("c", 0)]

    def fails(each, now):
        if each.device == "c" and now >= 30_000:
            return DeviceRefused(each.unit, 6)
        return DeviceSilent(each.unit) if each.device == "a" and 10_000 <= now < 10_050 else None

    ran = play(blocks, 60_000, fails=fails)
    a, c = ran.schedule.tally.of("a"), ran.schedule.tally.of("c")
    assert (a.timeouts, a.exceptions, c.timeouts) == (1, 0, 0)
    assert c.exceptions == len(ran.starts(blocks[1], 30_000))
    assert a.requests == len(ran.starts(blocks[0]))
    assert 29_000 <= c.last_good_ms <= 30_000
    assert ran.schedule.tally.load.share(60_000) == pytest.approx(0.04, abs=0.01)
