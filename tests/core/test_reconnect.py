import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.reconnect import (
    RIVAL_GONE_MS,
    STABLE_MS,
    Course,
    after_link,
    going_home,
    pause,
    rival_seen,
    stay_away,
)
from gateway.domain.site import Reconnect

FLEET, LOCAL = Reconnect.FLEET, Reconnect.LOCAL


def after_failures(n: int, brokers: int = 1) -> Course:
    course = Course()
    for _ in range(n):
        course = after_link(course, brokers, lasted_ms=0)
    return course


def test_a_fleet_waits_longer_each_time_and_never_more_than_a_minute():
    waits = [pause(after_failures(n), 1, FLEET, is_alarm_waiting=False) for n in range(6)]
    assert waits == [(0, 20), (0, 20), (15, 30), (30, 60), (30, 60), (30, 60)]


def test_with_an_alarm_waiting_four_seconds_are_the_most():
    waits = [pause(after_failures(n), 1, FLEET, is_alarm_waiting=True) for n in range(4)]
    assert waits == [(0, 2), (0, 2), (2, 4), (2, 4)]


def test_local_is_back_within_two_seconds_whatever_happened_before():
    for n in range(9):
        assert pause(after_failures(n), 1, LOCAL, is_alarm_waiting=False) == (0.5, 2.0)


def test_every_broker_is_tried_before_anybody_waits():
    course, seen, waits = Course(), [], []
    for _ in range(7):
        seen.append(course.at)
        course = after_link(course, 3, lasted_ms=0)
        waits.append(pause(course, 3, FLEET, is_alarm_waiting=False))
    assert seen == [0, 1, 2, 0, 1, 2, 0]
    assert waits == [(0, 0), (0, 0), (0, 20), (0, 0), (0, 0), (15, 30), (0, 0)]


def test_a_link_that_lasted_begins_with_the_first_broker_after_a_short_wait():
    course = after_link(after_failures(4, 3), 3, lasted_ms=STABLE_MS)
    assert (course.at, course.failed) == (0, 0)
    assert pause(course, 3, FLEET, is_alarm_waiting=False) == (0, 20)


def test_a_link_that_is_lost_at_once_counts_as_a_failure():
    course = Course()
    for _ in range(3):
        course = after_link(course, 1, lasted_ms=STABLE_MS - 1)
    assert pause(course, 1, FLEET, is_alarm_waiting=False) == (30, 60)


def test_the_way_back_to_the_first_broker_is_tried_at_once_and_seldom_when_it_fails():
    away = after_failures(1, 2)
    assert (away.at, stay_away(away, FLEET), stay_away(away, LOCAL)) == (1, (600, 1200), (10, 20))
    back = going_home(away)
    assert (back.at, pause(back, 2, FLEET, is_alarm_waiting=False)) == (0, (0, 0))
    again = after_link(back, 2, lasted_ms=0)  # it was no good after all
    assert (again.at, pause(again, 2, FLEET, is_alarm_waiting=False)) == (1, (0, 0))
    assert stay_away(again, FLEET) == (1200, 2400)
    for _ in range(20):
        again = after_link(going_home(again), 2, lasted_ms=0)
    assert stay_away(again, FLEET) == (3600, 7200)
    assert after_link(going_home(again), 2, lasted_ms=STABLE_MS - 1).returns == 22
    assert after_link(going_home(again), 2, lasted_ms=STABLE_MS).returns == 0


def test_who_is_taken_over_by_a_known_rival_waits_minutes_and_longer_each_time():
    course = after_link(Course(), 1, lasted_ms=5_000, was_taken=True)
    assert pause(course, 1, LOCAL, is_alarm_waiting=False) == (0.5, 2.0)  # the first time: to look
    waits = []
    for _ in range(5):
        course = after_link(rival_seen(course), 1, lasted_ms=100_000, was_taken=True)
        waits.append(pause(course, 1, LOCAL, is_alarm_waiting=False))
        assert pause(course, 1, LOCAL, is_alarm_waiting=True) == (30, 60)
    assert waits == [(120, 240), (240, 480), (480, 900), (480, 900), (480, 900)]


def test_a_rival_that_did_not_come_for_long_is_forgotten():
    course = after_link(rival_seen(Course()), 1, lasted_ms=1_000, was_taken=True)
    assert course.takeovers == 1
    assert RIVAL_GONE_MS > 1000 * 900  # its longest wait
    course = after_link(course, 1, lasted_ms=RIVAL_GONE_MS)
    assert (course.is_rival_known, course.takeovers) == (False, 0)
    assert pause(course, 1, LOCAL, is_alarm_waiting=False) == (0.5, 2.0)


def test_two_rivals_connect_a_few_times_and_then_take_turns_of_minutes():
    dice = random.Random(1)
    courses, starts = [Course(), Course()], []
    due = {0: 0.0, 1: 1.0}
    holder: int | None = None
    since = 0.0
    for _ in range(40):
        me = min(due, key=lambda one: due[one])
        now = due.pop(me)
        starts.append(now)
        other, holder = holder, me
        if other is not None:
            courses[me] = rival_seen(courses[me]) if len(starts) > 2 else courses[me]
            lasted = round(1000 * (now - since))
            was_taken = courses[other].is_rival_known
            courses[other] = after_link(courses[other], 1, lasted_ms=lasted, was_taken=was_taken)
            low, high = pause(courses[other], 1, LOCAL, is_alarm_waiting=False)
            due[other] = now + dice.uniform(low, high)
        since = now
    in_a_minute = max(sum(at <= other < at + 60 for other in starts) for at in starts)
    assert in_a_minute <= 6
    assert starts[-1] > 3600  # forty connections last for hours


@pytest.mark.parametrize("down_s", [60, 300])
def test_a_city_comes_back_within_75_seconds_and_never_all_at_once(down_s):
    dice = random.Random(7)
    fleet, came = 5_000, []
    for _ in range(fleet):
        at, course = 0.0, after_link(Course(), 1, lasted_ms=10 * STABLE_MS)
        while True:
            at += dice.uniform(*pause(course, 1, FLEET, is_alarm_waiting=False))
            if at >= down_s:
                came.append(at - down_s)
                break
            course = after_link(course, 1, lasted_ms=0)
    per_second = [sum(int(at) == second for at in came) for second in range(80)]
    assert max(came) <= 75
    assert max(per_second) <= fleet * 0.10
    assert list(accumulate(per_second))[60] == fleet


@given(
    brokers=st.integers(1, 4),
    ends=st.lists(st.tuples(st.sampled_from([0, 5_000, STABLE_MS, RIVAL_GONE_MS]), st.booleans())),
    how=st.sampled_from(list(Reconnect)),
    is_alarm_waiting=st.booleans(),
)
def test_whatever_happens_a_known_broker_is_tried_again_within_fifteen_minutes(
    brokers, ends, how, is_alarm_waiting
):
    course = Course()
    for lasted_ms, was_taken in ends:
        course = after_link(course, brokers, lasted_ms=lasted_ms, was_taken=was_taken)
        low, high = pause(course, brokers, how, is_alarm_waiting=is_alarm_waiting)
        assert 0 <= course.at < brokers
        assert 0 <= low <= high <= (60 if is_alarm_waiting or not was_taken else 900)
