from dataclasses import replace
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.delivery import Parked, PlatformWent, Refused, Unanswered
from gateway.domain.records import Lane
from gateway.domain.site import Delivery
from tests.core.simulated_link import Weather, World

HOUR_MS = 3_600_000

weathers = st.builds(
    Weather,
    is_link_up=st.sampled_from([True, True, True, False]),
    swallows=st.sampled_from([False, False, False, True]),
    bytes_per_ms=st.sampled_from([4.0, 50.0, 1_000.0]),
    delay_ms=st.sampled_from([1, 150, 1_500]),
    stall_share=st.sampled_from([0.0, 0.3]),
    code=st.sampled_from([0, 0, 0, 0, 0x10, 0x97, 0x87]),
    denied=st.sets(st.sampled_from(Lane)).map(frozenset),
    platform=st.sampled_from(["ack", "ack", "silent", "busy", "twice", "shuffled"]),
    has_session=st.booleans(),
    receive_maximum=st.sampled_from([1, 3, 65_535]),
)
acts = st.sampled_from(["pass", "pass", "restart", "A", "B", "R", "much"])
phases = st.tuples(weathers, st.sampled_from([500, 10_000, 70_000, 200_000]), acts)


def make_one_each(world: World) -> None:
    for lane in Lane:
        world.make(lane)


def act_out(world: World, act: str) -> None:
    match act:
        case "restart":
            world.restart()
        case "A" | "B" | "R":
            for size in (100, 900, 5_000):
                world.make(Lane(act), size)
        case "much":
            for _ in range(12):
                for lane, size in ((Lane.A, 600), (Lane.B, 600), (Lane.R, 6_000)):
                    world.make(lane, size)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 1_000),
    delivery=st.sampled_from([Delivery.ACK, Delivery.ACK, Delivery.BROKER]),
    story=st.lists(phases, max_size=8),
)
def test_whatever_the_link_did_all_is_settled_once_it_is_good_and_nothing_before_its_ack(
    seed, delivery, story
):
    world = World(seed, delivery)
    for weather, ms, act in story:
        world.change(weather)
        act_out(world, act)
        world.run(ms)
    world.restart()  # what was parked is tried again
    world.make(Lane.A)
    world.change(Weather())
    world.run(HOUR_MS, until=lambda: not world.store)
    assert not world.store, "not delivered within an hour of good weather"
    assert set(world.made) == set(world.settled)


def test_nothing_is_settled_by_a_platform_that_hears_nothing_whatever_the_broker_says():
    for code in (0x10, 0x87, 0x97):
        world = World(weather=Weather(code=code))
        world.change(world.weather)
        world.make(Lane.A)
        world.make(Lane.B)
        world.run(30_000)
        assert any(isinstance(x, Refused | PlatformWent) for _, x in world.changes)
        assert world.settled == {}


def test_a_silent_denial_of_one_lane_is_told_within_30_seconds_and_the_other_lanes_go_on():
    for lane in Lane:
        world = World()
        world.change(Weather(denied=frozenset({lane})))
        began_ms = world.now_ms
        first = world.make(lane)
        world.every(2_000, 60_000, partial(make_one_each, world))
        world.run(70_000)
        told = [at_ms for at_ms, change in world.changes if change == Unanswered(lane)]
        assert told
        assert told[0] - began_ms <= 30_000
        assert first in world.store
        assert not [key for key in world.settled if key[0] is lane]
        others = {key[0] for key in world.settled}
        assert others == set(Lane) - {lane}


def test_a_black_holed_broker_settles_nothing_and_a_good_one_later_gets_it_all():
    world = World()
    world.change(Weather(swallows=True))
    keys = {world.make(lane) for lane in Lane for _ in range(5)}
    world.run(600_000)
    assert world.settled == {}
    assert not [change for _, change in world.changes if isinstance(change, Parked)]
    world.change(replace(world.weather, swallows=False))
    world.run(120_000)
    assert set(world.settled) == keys


def test_a_fresh_alarm_overtakes_a_backlog_at_4_kb_a_second():
    world = World(seed=3)
    world.change(Weather(bytes_per_ms=4.0, delay_ms=150, stall_share=0.05))
    for _ in range(700):
        world.make(Lane.R, 5_700)
    alarms = []
    world.every(9_000, 900_000, lambda: alarms.append(world.make(Lane.A, 900)))
    world.run(920_000)
    delays = sorted(world.settled[key] - world.made[key] for key in alarms)
    assert len(delays) >= 99
    assert delays[len(delays) // 2] <= 2_000
    assert delays[-2] <= 10_000  # p99 of 100
    readings = sum(key[0] is Lane.R for key in world.settled)
    assert 0.7 * 900 * 4_000 / 5_700 < readings < 700, "and the backlog goes on, to the end"


def test_neither_facts_nor_readings_starve_behind_a_storm_of_alarms():
    world = World()
    world.change(Weather(bytes_per_ms=4.0, delay_ms=150))
    for _ in range(50):
        world.make(Lane.B, 600)
        world.make(Lane.R, 600)
    world.every(200, 300_000, lambda: world.make(Lane.A, 900))  # more than the link carries
    world.run(300_000)
    facts = sum(key[0] is Lane.B for key in world.settled)
    readings = sum(key[0] is Lane.R for key in world.settled)
    assert facts == 50
    assert 3 <= readings <= 10


def test_a_platform_that_comes_back_after_days_gets_all_of_it_and_memory_stays_bounded():
    world = World()
    world.change(Weather(platform="silent"))
    for _ in range(600):
        world.make(Lane.R, 6_000)
    world.run(2 * HOUR_MS)
    probes = len(world.sent)
    assert probes <= 2 * HOUR_MS / 30_000 + 2
    assert world.box.held_bytes <= 1_000_000
    world.restart()
    world.change(Weather())
    world.run(HOUR_MS, until=lambda: not world.store)
    assert not world.store
