"""Scripted clocks: a Pi without a battery, steps, long holds, boots without synchronisation."""

from dataclasses import dataclass, field

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.timekeeping import (
    FRESH_MS,
    HOLD_ERR_MS,
    SYNC_ERR_MS,
    Anchor,
    Known,
    bracket,
    corrected,
    drift,
    floor_of,
    look,
    moment,
)
from gateway.domain.moments import Clk, Now

T = 1_800_000_000_000
HOUR_MS, DAY_MS, YEAR_MS = 3_600_000, 86_400_000, 365 * 86_400_000
FLOOR = T - 30 * DAY_MS


@dataclass
class Pi:
    """True time is T + mono; `wrong_ms` is how far the wall clock is off."""

    wrong_ms: int = 0
    boot: str = "b1"
    mono_ms: int = 0
    flag_ms: int | None = None
    steps: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.known = Known(self.boot, FLOOR, 0)
        self.now()

    def now(self) -> Now:
        self.known, by_ms = look(self.known, self.mono_ms, self.wall_ms, self.flag_ms)
        if by_ms is not None:
            self.steps.append(by_ms)
        return moment(self.known, self.mono_ms, self.wall_ms)

    @property
    def wall_ms(self) -> int:
        return T + self.mono_ms + self.wrong_ms

    def after(self, ms: int) -> Now:
        for _ in range(min(1_000, ms // 1_000)):
            self.mono_ms += ms // min(1_000, ms // 1_000)
            self.now()
        return self.now()

    def sync(self) -> Now:
        self.wrong_ms = 0
        self.flag_ms = self.wall_ms
        return self.now()


def is_right(now: Now) -> bool:
    assert now.utc_ms is not None
    assert now.err_ms is not None
    return abs(now.utc_ms - (T + now.mono_ms)) <= now.err_ms


def test_a_pi_without_a_battery_starts_in_1970_counts_from_the_floor_and_is_put_right():
    pi = Pi(wrong_ms=-T)
    early = pi.after(6 * HOUR_MS)
    assert (early.clk, early.utc_ms, early.err_ms) == (Clk.NONE, FLOOR + 6 * HOUR_MS, None)
    late = pi.sync()
    assert late.clk is Clk.SYNC
    assert is_right(late)
    assert pi.steps == [T]
    anchor = Anchor("b1", late.mono_ms, late.utc_ms or 0, late.err_ms or 0)
    again = corrected(early, [anchor])
    assert again.clk is Clk.HOLD
    assert is_right(again)
    assert again.err_ms is not None
    assert again.err_ms <= SYNC_ERR_MS + drift(6 * HOUR_MS)


def test_a_clock_three_years_ahead_is_an_estimate_and_never_a_floor():
    pi = Pi(wrong_ms=3 * YEAR_MS)
    now = pi.after(HOUR_MS)
    assert (now.clk, now.err_ms) == (Clk.EST, None)
    assert floor_of(pi.known, now) == FLOOR + HOUR_MS
    assert pi.sync().clk is Clk.SYNC
    assert floor_of(pi.known, pi.now()) == T + HOUR_MS


def test_an_hour_back_or_three_years_ahead_by_hand_is_not_believed_over_the_anchor():
    for by_ms in (-HOUR_MS, 3 * YEAR_MS, -T):
        pi = Pi()
        pi.sync()
        pi.after(60_000)
        pi.wrong_ms = by_ms
        now = pi.after(5_000)
        assert now.clk is Clk.HOLD
        assert is_right(now)
        assert pi.steps == [by_ms]
        pi.sync()
        assert pi.now().clk is Clk.SYNC
        assert pi.steps == [by_ms, -by_ms]


def test_without_the_network_it_holds_for_two_weeks_with_a_growing_error_then_it_is_a_guess():
    pi = Pi()
    pi.sync()
    assert pi.after(FRESH_MS).clk is Clk.SYNC
    held = pi.after(DAY_MS)
    assert held.clk is Clk.HOLD
    assert held.err_ms == SYNC_ERR_MS + drift(FRESH_MS + DAY_MS)
    assert pi.after(12 * DAY_MS).clk is Clk.HOLD
    lost = pi.after(2 * DAY_MS)
    assert lost.clk is Clk.EST
    assert lost.err_ms is not None
    assert lost.err_ms > HOLD_ERR_MS
    assert pi.sync().clk is Clk.SYNC


def test_small_corrections_of_a_synchronised_clock_are_no_steps():
    pi = Pi()
    pi.sync()
    for slew in (3, -2, 40, 100, 99):
        pi.wrong_ms = slew
        assert pi.after(10_000).clk is Clk.SYNC
    assert pi.steps == []


def test_a_restart_of_the_daemon_finds_the_synchronisation_that_was_before_it():
    known = Known("b1", FLOOR, 50_000)
    known, _ = look(known, 50_000, T + 50_000, T + 20_000)
    now = moment(known, 50_000, T + 50_000)
    assert (now.clk, now.utc_ms) == (Clk.SYNC, T + 50_000)
    assert known.anchor == Anchor("b1", 20_000, T + 20_000, SYNC_ERR_MS)


def test_a_restart_after_the_clock_was_set_back_believes_it_no_more_than_a_guess():
    pi = Pi()
    pi.sync()
    pi.after(HOUR_MS // 2)
    pi.wrong_ms = -HOUR_MS
    pi.known = Known(pi.boot, FLOOR, pi.mono_ms)
    assert pi.now().clk is Clk.EST
    again = pi.sync()
    assert again.clk is Clk.SYNC
    assert is_right(again)


def test_a_flag_from_before_the_floor_anchors_nothing():
    known = Known("b1", FLOOR, 0)
    known, _ = look(known, 0, 5_000, 4_000)
    assert moment(known, 0, 5_000).clk is Clk.NONE


def test_two_boots_that_never_were_synchronised_lie_between_their_neighbours():
    before = Anchor("b1", 1_000, T, 100)
    after = Anchor("b4", 60_000, T + DAY_MS, 100)
    at = Now(30_000, FLOOR, Clk.NONE, None, "b2")
    assert corrected(at, [before, after]) == at
    lo, hi = bracket(at, before, after)
    assert (lo, hi) == (T - 100 + 30_000, T + DAY_MS + 100 - 60_000)
    assert bracket(at, None, None) == (None, None)


def test_a_record_that_knew_better_than_the_anchor_stays_as_it_is():
    at = Now(5_000, T, Clk.SYNC, 100, "b1")
    assert corrected(at, [Anchor("b1", 5_000 + 10 * DAY_MS, T, 100)]) is at


@example([("sync", 0), ("wait", 22_020_000), ("jump", 2201), ("sync", 0)])
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("wait"), st.integers(1, 3 * DAY_MS)),
            st.tuples(st.just("jump"), st.integers(-YEAR_MS, YEAR_MS)),
            st.tuples(st.just("sync"), st.just(0)),
        ),
        max_size=20,
    )
)
def test_a_trusted_moment_is_right_within_its_error_whatever_happens_to_the_clock(story):
    pi = Pi(wrong_ms=-YEAR_MS)
    floor_ms = worst_ms = 0
    for what, ms in story:
        match what:
            case "wait":
                pi.mono_ms += ms
            case "jump":
                pi.wrong_ms += ms
            case _:
                pi.sync()
        now = pi.now()
        assert now.mono_ms == pi.mono_ms, "what delays are counted by never moves"
        if now.is_trusted or (now.clk is Clk.EST and now.err_ms is not None):
            assert is_right(now) or abs(pi.wrong_ms) <= 1_000 + (now.err_ms or 0)
        floor_ms = max(floor_ms, floor_of(pi.known, now))
        worst_ms = max(worst_ms, now.err_ms or 0)  # a step that small is within the clock's error
        assert floor_ms <= T + pi.mono_ms + 2 * (1_000 + worst_ms), "a floor is past, nearly"
