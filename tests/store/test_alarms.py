import json
from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.alarms import Alarm, AlarmState, Inhibit
from gateway.domain.moments import Clk, Now
from gateway.store.alarms import alarm_from_json, alarm_to_json, is_forgettable

SMALL = st.integers(-(2**53), 2**53)
MOMENTS = st.builds(
    Now, SMALL, st.none() | SMALL, st.sampled_from(Clk), st.none() | SMALL, st.text(max_size=8)
)
VALUES = st.none() | SMALL | st.floats(allow_nan=False) | st.text(max_size=8)
ALARMS = st.builds(
    Alarm,
    rule=st.text(),
    state=st.sampled_from(AlarmState),
    occurrence=st.text(max_size=8),
    raised=st.none() | MOMENTS,
    value=VALUES,
    last=VALUES,
    over_since_ms=st.none() | SMALL,
    silenced_until_ms=st.none() | SMALL,
    silenced_at=st.none() | MOMENTS,
    is_stale=st.booleans(),
    acked=st.none() | MOMENTS,
    acked_by=st.text(max_size=8),
    acked_ms=st.none() | SMALL,
    inhibits=st.lists(st.sampled_from(Inhibit), unique=True).map(tuple),
    is_quiet=st.booleans(),
    is_silenced_until_new=st.booleans(),
    chatter=st.integers(0, 99),
    flood=st.text(max_size=8),
    is_first_out=st.booleans(),
    detail=st.text(max_size=8),
)


@given(ALARMS)
def test_an_alarm_comes_back_exactly(alarm: Alarm):
    back = alarm_from_json(alarm_to_json(alarm))
    assert back == alarm
    for field in fields(Alarm):  # 1 == 1.0: the types must be the same too
        assert type(getattr(back, field.name)) is type(getattr(alarm, field.name)), field.name


def test_what_another_version_wrote_is_still_an_alarm():
    said = {"rule": "r", "state": "UA", "of_a_newer_version": 1}
    assert alarm_from_json(json.dumps(said)) == Alarm("r", AlarmState.UA)


def test_an_alarm_that_is_over_or_only_pending_is_forgotten():
    assert is_forgettable(Alarm("r", last=1.0))
    assert is_forgettable(Alarm("r", AlarmState.P))
    assert is_forgettable(Alarm("r", AlarmState.N, occurrence="e-A-1"))
    for state in set(AlarmState) - {AlarmState.N, AlarmState.P}:
        assert not is_forgettable(Alarm("r", state))
