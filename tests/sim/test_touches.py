"""What a key touched is not required; what no key touched is, to the letter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.rules import Severity, Sound
from gateway.sim.checker import Sown
from gateway.sim.story import Plant
from gateway.sim.touches import Act, Touch, is_on_duty, weigh

ALARM = Plant("board.residual_current/residual_alarm", Severity.ALARM, Sound.A1)
FAULT = Plant("gateway/device_silent/meter", Severity.FAULT, Sound.F)
UPLINK = ("/tmp/mqtt.sock", "demo-0001")
T = 1_000_000.0


def weighed(plant: Plant, *touches: Touch, now_ms: float = T + 400_000) -> tuple[bool, bool]:
    """Whether a condition planted at T must be raised, and must be seen at the pins."""
    one = weigh([Sown(plant, T)], touches, uplink=UPLINK, now_ms=now_ms)[0]
    return one.must_raise, one.must_show


def test_without_keys_everything_is_required() -> None:
    assert weigh([Sown(ALARM, T)], [], uplink=UPLINK, now_ms=T) == [Sown(ALARM, T)]


@pytest.mark.parametrize(
    ("touch", "required"),
    [
        (Touch(T + 3_000, Act.NEXT), (False, False)),  # its scene was cut short
        (Touch(T - 3_000, Act.NEXT), (True, False)),  # another one may have its lamp
        (Touch(T - 20_000, Act.NEXT), (True, True)),
        (Touch(T + 3_000, Act.ANSWER), (True, False)),  # its sound may have been cut off
        (Touch(T - 60_000, Act.TAKE_DUTY), (True, False)),  # others may wait on the same lamp
        (Touch(T - 60_000, Act.GIVE_DUTY), (True, True)),
        (Touch(T - 60_000, Act.PULL, "board"), (False, False)),  # it could not be read
        (Touch(T + 3_000, Act.PULL, "board"), (False, False)),
        (Touch(T - 60_000, Act.PLUG, "board"), (True, True)),
        (Touch(T - 3_000, Act.PLUG, "board"), (False, False)),
        (Touch(T - 3_000, Act.PULL, "hydrant"), (True, True)),  # another lamp
        (Touch(T - 3_000, Act.STOP_BROKER), (True, True)),
        (Touch(T + 13_000, Act.NEXT), (True, True)),
    ],
)
def test_an_alarm_is_uncertain_only_where_a_key_touched_it(
    touch: Touch, required: tuple[bool, bool]
) -> None:
    assert weighed(ALARM, touch) == required


def test_a_fault_shares_its_lamp_with_what_else_fails() -> None:
    assert weighed(FAULT, Touch(T - 3_000, Act.PULL, "hydrant")) == (True, False)
    assert weighed(FAULT, Touch(T - 60_000, Act.STOP_BROKER)) == (True, False)
    assert weighed(FAULT, Touch(T - 60_000, Act.PULL, "meter")) == (False, False)


def test_duty_is_taken_and_given_back() -> None:
    touches = [Touch(10, Act.TAKE_DUTY), Touch(20, Act.ANSWER), Touch(30, Act.GIVE_DUTY)]
    assert [is_on_duty(touches, t) for t in (5, 15, 25, 35)] == [False, True, True, False]


def planted(*touches: Touch, now_ms: float) -> list[tuple[str, bool]]:
    return [(s.plant.rule, s.must_raise) for s in weigh([], touches, uplink=UPLINK, now_ms=now_ms)]


def test_a_pulled_device_must_be_missed_when_it_is_away_for_long() -> None:
    pull = Touch(T, Act.PULL, "meter")
    assert planted(pull, now_ms=T + 10_000) == [(FAULT.rule, False)]
    assert planted(pull, now_ms=T + 31_000) == [(FAULT.rule, True)]
    assert planted(pull, Touch(T + 9_000, Act.PLUG, "meter"), now_ms=T + 99_000) == [
        (FAULT.rule, False)
    ]
    just_back = Touch(T - 5_000, Act.PLUG, "meter")  # its first fault may still be open
    assert planted(just_back, pull, now_ms=T + 99_000) == [(FAULT.rule, False)]


def test_a_stopped_broker_may_become_a_fault() -> None:
    assert planted(Touch(T, Act.STOP_BROKER), now_ms=T) == [
        ("gateway/uplink_down//tmp/mqtt.sock", False),
        ("gateway/platform_absent/demo-0001", False),
    ]


@given(st.lists(st.builds(Touch, st.floats(0, 2e6), st.sampled_from(Act), st.just("board"))))
def test_more_keys_never_make_the_story_more_certain(touches: list[Touch]) -> None:
    must_raise, must_show = weighed(ALARM, *touches)
    assert must_raise or not must_show
    if not any(abs(touch.t_ms - T) < 31_000 or touch.t_ms < T for touch in touches):
        assert (must_raise, must_show) == (True, True)
