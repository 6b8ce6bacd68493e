"""A broker that closes the connection upon a record, as MQTT 3.1.1 has to when it is too large."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.closing import FIRST_WAIT_MS, LEAST_WAIT_MS, LONGEST_WAIT_MS, STANDS_MS
from gateway.core.delivery import Key, Outbox, Parked
from gateway.core.messages import Ack, Nack
from gateway.domain.records import Lane, Range
from gateway.domain.site import Delivery
from tests.core.simulated_link import Weather, World

LIMIT = 1_000
SMALL, LARGE = 400, 3_000


def house(limit: int = LIMIT, **fields) -> World:
    """A fact a minute and a batch every 10 s, all small; the broker closes from `limit` on."""
    world = World(weather=Weather(closes_from=limit), **fields)
    day_ms = 24 * 3_600_000
    world.every(60_000, day_ms, lambda: world.make(Lane.B, SMALL))
    world.every(10_000, day_ms, lambda: world.make(Lane.R, SMALL))
    world.at(0, world._connect)
    return world


def parked_in(world: World) -> list[Parked]:
    return [change for _, change in world.changes if isinstance(change, Parked)]


def waiting(world: World) -> list[Key]:
    """What was made more than two seconds ago and is not settled."""
    return [key for key in world.store if world.made[key] < world.now_ms - 2_000]


def test_one_alarm_that_a_broker_closes_upon_is_parked_by_name_and_all_else_flows():
    world = house()
    world.run(30_000)
    before, large = world.make(Lane.A, SMALL), world.make(Lane.A, LARGE)
    behind = [world.make(Lane.A, SMALL), world.make(Lane.B, SMALL), world.make(Lane.R, SMALL)]
    world.run(30_000, until=lambda: set(behind) <= set(world.settled))
    world.run(30_000)
    assert parked_in(world) == [Parked(large, "closes the link, 3000 bytes")]
    assert before in world.settled
    assert world.connections == 7
    assert waiting(world) == [large]
    world.run(3_600_000)
    assert world.connections < 12, "it is tried again now and then, and that is all"
    assert waiting(world) == [large]


def test_it_is_parked_also_in_a_house_where_nothing_else_is_sent():
    world = World(weather=Weather(closes_from=LIMIT))
    world.at(0, world._connect)
    large = world.make(Lane.A, LARGE)
    world.run(30_000)
    assert parked_in(world) == [Parked(large, "closes the link, 3000 bytes")]
    assert world.connections == 7


def test_with_a_raised_limit_it_arrives_soon_after_the_brokers_restart():
    world = house()
    world.run(30_000)
    large = world.make(Lane.A, LARGE)
    world.run(LEAST_WAIT_MS)
    assert parked_in(world)
    world.change(replace(world.weather, is_link_up=False))
    world.run(5_000)
    world.change(Weather())
    world.run(STANDS_MS + 1_000, until=lambda: large in world.settled)
    assert large in world.settled
    world.run(5_000)
    assert world.connections == 8


def test_with_a_limit_that_is_raised_behind_our_back_it_arrives_within_the_hour():
    world = house()
    world.run(30_000)
    large = world.make(Lane.A, LARGE)
    world.run(3 * 3_600_000)
    tries = world.sent.count(large)
    assert 6 + 3 <= tries <= 6 + 7
    world.weather = Weather()
    world.run(LONGEST_WAIT_MS + 1_000, until=lambda: large in world.settled)
    assert large in world.settled


def test_where_no_batch_of_readings_gets_through_two_tell_the_limit_and_the_link_stays():
    world = house()
    world.run(30_000)
    world.every(10_000, 3_600_000, lambda: world.make(Lane.R, LARGE))
    alarms = []
    world.every(300_000, 3_600_000, lambda: alarms.append(world.make(Lane.A, SMALL)))
    world.run(3_600_000)
    assert world.connections < 25, "not one a batch"
    assert len(alarms) > 10
    assert max(world.settled[key] - world.made[key] for key in alarms) < 10_000
    assert {len(world.store[key]) for key in waiting(world)} == {LARGE}
    world.weather = Weather()
    world.run(LONGEST_WAIT_MS, until=lambda: not waiting(world))
    assert not waiting(world)


def test_a_limit_that_is_raised_a_little_brings_what_fits_and_parks_the_rest():
    world = house()
    world.run(30_000)
    sizes = (1_200, 1_300, 2_600, 2_700, 2_800)
    keys = {size: world.make(Lane.B, size) for size in sizes}
    world.run(120_000)
    assert set(world.box.parked) == set(keys.values())
    world.weather = Weather(closes_from=2_000)
    world.run(2 * FIRST_WAIT_MS)
    assert {keys[1_200], keys[1_300]} <= set(world.settled)
    assert set(world.box.parked) == {keys[size] for size in sizes[2:]}


def test_one_that_is_refused_for_what_it_says_takes_no_larger_ones_along():
    world = house()
    world.run(30_000)
    bad = [world.make(Lane.B, LIMIT), world.make(Lane.B, LIMIT)]
    world.weather = Weather(closes_from=LIMIT)
    larger = []
    world.every(1_000, 60_000, lambda: larger.append(world.make(Lane.R, LARGE)))
    arrive = world._arrive
    world._arrive = lambda key: (  # by its content, not its size
        world._break_off() if key in bad else take(key)
    )

    def take(key):
        world.weather = Weather()
        arrive(key)

    world.run(120_000)
    assert set(bad) < set(world.box.parked), "larger ones that followed at once are not tried"
    world.run(FIRST_WAIT_MS)
    assert set(world.box.parked) == set(bad)
    assert set(larger) <= set(world.settled)


def test_a_broker_that_dies_again_and_again_costs_no_alarm_once_it_stands():
    world = house()
    world.run(30_000)
    world.change(replace(world.weather, is_link_up=False))
    world.change(Weather(lasts_ms=3, delay_ms=5))  # nothing gets through in so short a time
    alarms = [world.make(Lane.A, SMALL) for _ in range(5)]
    world.run(1_800_000)
    world.weather = Weather()
    world.run(STANDS_MS + LEAST_WAIT_MS, until=lambda: set(alarms) <= set(world.settled))
    assert set(alarms) <= set(world.settled)


def test_one_alarm_that_the_broker_never_answers_is_parked_while_it_answers_all_others():
    world = house(1 << 40)
    world.weather = Weather(mutes_from=LIMIT)
    world.run(30_000)
    large = world.make(Lane.A, LARGE)
    alarms = []
    world.every(30_000, 600_000, lambda: alarms.append(world.make(Lane.A, SMALL)))
    world.run(150_000)
    assert parked_in(world) == [Parked(large, "the broker does not answer it")]
    assert world.connections <= 6
    assert waiting(world) == [large]
    before = world.connections
    world.run(370_000)
    assert world.connections == before + 1, "tried again after five minutes"
    assert max(world.settled[key] - world.made[key] for key in alarms) < 3_000
    world.weather = Weather()
    world.run(LONGEST_WAIT_MS, until=lambda: large in world.settled)
    assert large in world.settled


def test_a_link_that_answers_nothing_any_more_parks_nothing():
    world = house(1 << 40)
    world.run(30_000)
    world.change(replace(world.weather, is_link_up=False))
    world.change(Weather(swallows=True))
    alarms = [world.make(Lane.A, SMALL) for _ in range(3)]
    world.run(1_200_000)
    assert parked_in(world) == []
    world.weather = Weather()
    world.run(30_000)
    assert set(alarms) <= set(world.settled)


brokers = st.builds(
    Weather,
    is_link_up=st.sampled_from([True, True, True, False]),
    closes_from=st.sampled_from([1 << 40, 1, 500, LIMIT, 4_000]),
    mutes_from=st.sampled_from([1 << 40, 1 << 40, 500, LIMIT]),
    lasts_ms=st.sampled_from([1 << 40, 1 << 40, 3, 2_000, 60_000]),
    bytes_per_ms=st.sampled_from([4.0, 1_000.0]),
    delay_ms=st.sampled_from([1, 150]),
    has_session=st.booleans(),
)
phases = st.tuples(brokers, st.sampled_from(["one", "two"]), st.sampled_from([5_000, 400_000]))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1_000), story=st.lists(phases, max_size=6))
def test_whatever_a_broker_closed_upon_all_arrives_once_one_takes_it_without_a_restart(seed, story):
    world = World(seed)
    for weather, broker, ms in story:
        world.change(replace(weather, is_link_up=False))
        world.broker = broker
        world.change(weather)
        for lane in Lane:
            for size in (100, 600, 1_200, 5_000):
                world.make(lane, size)
        world.run(ms)
    world.change(Weather(is_link_up=False))
    world.change(Weather())
    world.run(2 * LONGEST_WAIT_MS, until=lambda: not world.store)
    assert not world.store
    assert set(world.made) == set(world.settled)


def outbox() -> Outbox:
    box = Outbox(epoch="e", delivery=Delivery.ACK, probe_ms=30_000)
    connect(box, 0, "one")
    return box


def connect(box: Outbox, now_ms: int, broker: str) -> bool:
    is_due = box.link_up(now_ms, has_session=True, broker=broker)
    box.heard(now_ms)
    box.was_answered()
    return is_due


def close_upon(box: Outbox, key, now_ms: int, broker: str, times: int = 6) -> None:
    for _ in range(times):
        message = box.next_message(now_ms)
        assert message is not None
        assert message.key == key
        box.link_down(now_ms, was_closed=True)
        connect(box, now_ms, broker)


def test_another_broker_gets_it_at_once_and_one_that_closed_upon_it_too_does_not_again():
    box, key = outbox(), (Lane.A, "e", 1)
    box.offer(key, b"x" * LARGE)
    close_upon(box, key, 0, "one")
    assert key in box.parked
    box.link_down(1_000)
    assert connect(box, 1_000, "two"), "it is to be read again"
    box.offer(key, b"x" * LARGE)
    close_upon(box, key, 1_000, "two")
    assert key in box.parked
    for broker in ("one", "two"):
        box.link_down(2_000)
        assert not connect(box, 2_000, broker)
    box.link_down(2_000)
    assert connect(box, 2_000, "three")


def test_the_platforms_answer_counts_as_taken_though_the_brokers_comes_later():
    for answer in (
        Ack((Range(Lane.A, "e", 1, 1),)),
        Ack((), (Nack(Lane.A, "e", 1, "busy"),)),
    ):
        box, one, two = outbox(), (Lane.A, "e", 1), (Lane.A, "e", 2)
        for key in (one, two):
            box.offer(key, b"x" * LARGE)
        for _ in range(12):
            box.next_message(0)
            box.link_down(0, was_closed=True)
            connect(box, 0, "one")
        assert set(box.parked) == {one, two}
        now_ms = FIRST_WAIT_MS
        while one in box.parked:
            box.next_message(now_ms)
            now_ms += FIRST_WAIT_MS
        box.offer(one, b"x" * LARGE)
        message = box.next_message(now_ms)
        assert message is not None
        assert message.key == one
        box.ack(answer, now_ms)
        assert two not in box.parked
        box.puback(one, 0, now_ms)


def test_an_end_long_after_it_was_sent_is_not_its_doing():
    box, key = outbox(), (Lane.A, "e", 1)
    box.offer(key, b"x")
    for turn in range(20):
        now_ms = turn * 60_000
        assert box.next_message(now_ms)
        box.link_down(now_ms + 10_000, was_closed=True)
        connect(box, now_ms + 11_000, "one")
    assert box.parked == {}
