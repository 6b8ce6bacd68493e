"""A patrol that anything may happen to: taps, restarts, power cuts, clocks that come and go.

After every event: no round has ended twice, none has ended on a bad clock, every round that a
schedule asks for is a row or has ended, and the figures count what has ended.
"""

import json
from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from gateway.core.patrol_ahead import AHEAD_MS
from gateway.core.patrol_plan import rounds_between
from gateway.core.patrol_rounds import NEXT, outcome_of
from gateway.domain import events
from gateway.domain.moments import Clk
from gateway.domain.patrol import Schedule, Window
from gateway.domain.rounds import RoundState
from tests.core.patrol_house import DAY, HOUR, MIN, SCHEDULES, SECOND, ZONE, Home, house, patrol

CODES = ("EPS", "STAIR", "WARD", "PUMP", "GATE")
WAITS = (SECOND, 30 * SECOND, 5 * MIN, 16 * MIN, HOUR, 3 * HOUR, 10 * HOUR, 30 * HOUR)
OVER = {state for state in RoundState if state.is_over}
WINDOWS = st.lists(
    st.tuples(st.integers(-30, 1500), st.integers(1, 120)),
    min_size=1,
    max_size=3,
    unique_by=lambda window: window[0],
)


@st.composite
def schedules(draw):
    """A schedule for each route; windows of one schedule may even overlap."""
    made = []
    for route in ("day", "night", "gas"):
        windows = [(start, start + length) for start, length in draw(WINDOWS)]
        made.append(
            Schedule(
                route, route, tuple(Window(*span) for span in sorted(windows)),
                grace_ms=draw(st.sampled_from([0, MIN, 15 * MIN, HOUR])),
                weekdays=frozenset(draw(st.sets(st.integers(0, 6), min_size=1))),
                draws=draw(st.integers(0, 3)),
            )
        )  # fmt: skip
    return tuple(made)


class Rounds(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.home = None
        self.since = None  # UTC from which every round must be a row
        self.ended = {}
        self.checked = 0

    @initialize(
        made=st.one_of(st.just(SCHEDULES), schedules()), clk=st.sampled_from([Clk.SYNC, Clk.NONE])
    )
    def begin(self, made, clk):
        self.home = Home(house(patrol(schedules=made)), clk=clk)
        self.check()

    @rule(wait=st.sampled_from(WAITS))
    def wait(self, wait):
        self.home.until(self.home.mono + wait)
        self.check()

    @rule(code=st.sampled_from(CODES), by=st.sampled_from(["s01", "s02", "l01"]),
          stay=st.sampled_from([SECOND, 30 * SECOND]))  # fmt: skip
    def visit(self, code, by, stay):
        before = len(self.home.facts("visit"))
        reply = self.home.visit(code, by, stay=stay)
        assert reply.ok, reply
        assert len(self.home.facts("visit")) == before + 1
        self.check()

    @rule(code=st.sampled_from(CODES))
    def send_twice(self, code):
        opened = self.home.mono - self.home.zero
        assert self.home.visit(code).code == "done"
        visits = len(self.home.facts("visit"))
        again = self.home.visit(code, stay=SECOND, opened_ms=opened)
        assert (again.code, len(self.home.facts("visit"))) == ("already", visits)
        self.check()

    @rule(card=st.sampled_from(["0401", "0403", "04FF"]))
    def tap(self, card):
        self.home.ask(events.TapSeen("desk", card))
        self.check()

    @rule()
    def restart(self):
        self.home.restart()
        self.check()

    @rule(away=st.sampled_from([MIN, HOUR, 9 * HOUR, 3 * DAY]), clk=st.sampled_from(Clk))
    def power_cut(self, away, clk):
        self.home.power_cut(self.home.mono + away, clk)
        self.check()

    @rule(clk=st.sampled_from(Clk))
    def clock(self, clk):
        self.home.set_clock(clk)
        self.check()

    @rule(data=st.data(), by=st.sampled_from(["s01", "m01"]))
    def ask_of_a_round(self, data, by):
        names = sorted(self.home.rounds())
        if names:
            name = data.draw(st.sampled_from(names))
            kind = data.draw(st.sampled_from(["start", "end", "cancel", "explain", "sign"]))
            self.home.ask(
                {
                    "start": events.RoundStarted(by, name),
                    "end": events.RoundEnded(by, name, "病人突发情况"),
                    "cancel": events.RoundCancelled(by, name, "停电检修"),
                    "explain": events.RoundExplained(by, name, "临时抽调"),
                    "sign": events.RoundSigned(by, name),
                }[kind]
            )
            self.check()

    @rule(subject=st.sampled_from(["pump", "board.leak"]), is_out=st.booleans())
    def out_of_service(self, subject, is_out):
        if is_out:
            self.home.ask(events.TakeOutOfService("t01", subject, "检修", "WO-1"))
        else:
            self.home.ask(events.PutInService("t01", subject))
        self.check()

    # -- what must be true ------------------------------------------------------------------

    def check(self):
        home = self.home
        broken = [rule for rule in home.faults() if "function_failed" in rule]
        assert not broken, [home.state.alarms[rule].detail for rule in broken]
        for body, now in list(zip(home.records, home.nows, strict=True))[self.checked :]:
            if body.get("kind") == "round":
                self.over(body["data"], now)
        self.checked = len(home.records)
        if home.now().is_trusted:
            if self.since is None:
                self.since = home.now().utc_ms
            self.no_round_is_lost()
        self.figures_count_what_has_ended()
        self.rows_are_what_the_store_keeps()

    def over(self, data, now):
        assert data["round"] not in self.ended, f"{data['round']} ended twice"
        by_person = data["state"] == "cancelled"  # a person's decision needs no clock
        assert now.is_trusted or by_person, f"{data['round']} was judged on a bad clock"
        if data["state"] in ("missed", "partial"):
            assert data["missing"]
            is_given_up = data["reason"] == "病人突发情况"
            assert is_given_up or now.utc_ms >= data["closes"], "judged before its time"
        if data["state"] in ("done", "done_late"):
            assert data["missing"] == []
            at = [visit["at"] for visit in data["visits"] if visit["at"] is not None]
            if data["state"] == "done_late":
                assert max(at) > data["closes"]
        self.ended[data["round"]] = data

    def no_round_is_lost(self):
        home, utc_ms = self.home, self.home.now().utc_ms
        wanted = rounds_between(home.house.patrol, ZONE, self.since, utc_ms + AHEAD_MS)
        rows = home.rounds()
        for planned in wanted:
            assert planned.id in rows or planned.id in self.ended, f"{planned.id} is lost"
        for row in rows.values():
            if not row.state.is_over:
                assert row.due_ms > utc_ms or home.state.patrol_due_ms is not None
                assert row.id not in self.ended, f"{row.id} has ended and goes on"

    def figures_count_what_has_ended(self):
        counted = Counter()
        for month in self.home.state.patrol.months.values():
            counted.update(month.rounds)
        assert sum(counted.values()) == len(self.ended)
        for outcome in {
            outcome_of(row) for row in self.home.rounds().values() if row.state in OVER
        }:
            assert counted[outcome]

    def rows_are_what_the_store_keeps(self):
        home = self.home
        kept = {key: json.loads(body) for (kind, key), body in home.kept.items() if kind == "round"}
        assert kept.keys() == home.rounds().keys()
        for name, row in home.rounds().items():
            assert kept[name]["state"] == row.state.value
            assert len(kept[name]["visits"]) == len(row.visits)

    def teardown(self):
        """Whatever has happened, a clock and three days end every round that is due by then."""
        if self.home is None:
            return
        self.home.set_clock(Clk.SYNC)
        self.home.until(self.home.mono + 3 * DAY)
        self.check()
        utc_ms = self.home.now().utc_ms
        for row in self.home.rounds().values():
            assert row.state.is_over or row.due_ms > utc_ms, f"{row.id} is never judged"
        assert not self.home.state.patrol.unsure


assert all(state not in OVER for state, _ in NEXT)
