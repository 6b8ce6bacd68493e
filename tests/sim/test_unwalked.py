"""The round that nobody walks falls due where nothing else has its lamp, and not before its end."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.patrol_plan import rounds_between
from gateway.domain.patrol import Patrol, Route, Schedule, Stop, Window
from gateway.domain.rules import Severity, Sound
from gateway.domain.text import Text
from gateway.sim import unwalked as module
from gateway.sim.checker import SEEN_WITHIN_MS, Sown
from gateway.sim.house import boot_ms
from gateway.sim.story import PASS_S, SCENES, Plant, scenes_of
from gateway.sim.touches import Act, Touch
from gateway.sim.unwalked import (
    CALM_S,
    DAYS,
    LEAD_S,
    MISSED,
    SCHEDULE,
    TRIES,
    Times,
    Unwalked,
    due_after,
    next_round,
    plan_unwalked,
)

ZONE = ZoneInfo("Asia/Shanghai")
FAULT = Plant("gateway/device_silent/meter", Severity.FAULT, Sound.F)
NOON_S = datetime(2026, 11, 23, 12, 0, tzinfo=ZONE).timestamp()


@pytest.mark.parametrize(
    ("closes_s", "passes", "due_s"),
    [
        (10.0, 1, CALM_S[0]),
        (49.5, 1, 49.5),
        (50.5, 1, 50.5),  # the story is over
        (50.5, 2, PASS_S + CALM_S[0]),
        (50.5, None, PASS_S + CALM_S[0]),
        (66.0, 1, 66.0),
    ],
)
def test_a_round_is_judged_after_a_pass(closes_s: float, passes: int | None, due_s: float) -> None:
    assert due_after(closes_s, passes) == due_s


@given(closes_s=st.floats(0, 400), passes=st.none() | st.integers(1, 5))
@example(closes_s=182.125, passes=None)  # when the next pass is about to plant something
@example(closes_s=182.0, passes=None)
def test_a_round_is_never_judged_before_its_end_nor_beside_another_fault(
    closes_s: float, passes: int | None
) -> None:
    due_s = due_after(closes_s, passes)
    assert due_s >= closes_s
    for scene in scenes_of(passes or 12):
        faults = [plant for plant in scene.plants if plant.severity is Severity.FAULT]
        assert not faults or not 0 <= due_s - scene.at_s <= SEEN_WITHIN_MS / 1000
        sounds_from = scene.at_s + 2.0  # a drift of 1 s and an on-delay of 1 s at least
        assert not scene.plants or not sounds_from - 1.4 <= due_s <= sounds_from


@pytest.mark.parametrize("second", [0, 1, 30, 53, 54, 55, 59, 59.999])
@pytest.mark.parametrize("hour", [0, -12])  # also at midnight
def test_the_window_is_one_that_the_gateway_plans_just_so(second: float, hour: int) -> None:
    now_s = NOON_S + hour * 3600 - 60 + second
    planned = next_round(now_s, 0.0, 1, ZONE)
    opens = int(planned.times.at[:2]) * 60 + int(planned.times.at[3:])
    schedule = Schedule(
        SCHEDULE, "r", (Window(opens, opens + 1),), planned.times.grace_ms,
        frozenset({DAYS.index(planned.times.day)}),
    )  # fmt: skip
    patrol = Patrol(routes={"r": Route("r", "r", (Stop("x"),))}, schedules={SCHEDULE: schedule})
    around = round(now_s * 1000)
    near = rounds_between(patrol, ZONE, around - 90_000, around + 90_000)
    (row,) = (each for each in near if each.closes_ms >= around)
    assert row.id == planned.round
    assert row.closes_ms == planned.closes_s * 1000
    assert row.due_ms == pytest.approx(planned.due_s * 1000, abs=1)
    assert LEAD_S <= planned.closes_s - now_s < LEAD_S + 60


def test_what_is_not_due_is_not_planted() -> None:
    assert Unwalked().planted([]) == []
    assert Unwalked(due_ms=boot_ms() + 3_600_000).planted([]) == []
    assert Unwalked(due_ms=boot_ms() + 3_600_000).traces() == []
    due = Unwalked(due_ms=boot_ms() - 1)
    assert [one.plant for one in due.planted([])] == [MISSED]
    assert [each.must for each in due.traces()] == [True]


def test_who_ends_the_demo_early_need_not_wait_for_the_round() -> None:
    early = Unwalked(due_ms=boot_ms() - 1, is_sure=False)
    (missed,) = early.weighed(early.planted([]), [])
    assert not missed.must_raise
    assert not missed.must_show
    assert [each.must for each in early.traces()] == [False]


def test_only_where_a_scene_was_called_early_may_two_faults_share_the_lamp() -> None:
    due_ms = boot_ms() - 1000
    round_, sown = Unwalked(due_ms=due_ms), [Sown(FAULT, due_ms - 5000), Sown(FAULT, 0.0)]
    planted = round_.planted(sown)
    assert round_.weighed(planted, []) == planted
    called = [Touch(due_ms - 60_000, Act.NEXT)]
    assert [one.must_show for one in round_.weighed(planted, called)] == [False, True, False]


class House:
    """A gateway that knows a round once it has read it, unless it is slow or refuses."""

    def __init__(self, *, refusal: str = "", is_slow: bool = False) -> None:
        self.read: list[Times] = []
        self.told: list[Text] = []
        self.refusal, self.is_slow = refusal, is_slow

    async def reload(self, times: Times) -> str:
        self.read.append(times)
        return self.refusal

    async def ask(self, request: Mapping[str, object]) -> Mapping[str, Any]:
        clock = self.read[-1].at.replace(":", "")
        known = [] if self.is_slow else [{"id": f"{SCHEDULE}/{request['date']}/{clock}"}]
        return {"rounds": known}

    async def plan(self, round_: Unwalked) -> None:
        await plan_unwalked(
            round_, reload=self.reload, ask=self.ask, passes=1, zone=ZONE, tell=self.told.append,
            start=asyncio.get_running_loop().time(),
        )  # fmt: skip


async def test_the_schedule_is_changed_once_and_told_once_the_gateway_has_the_round() -> None:
    house, round_ = House(), Unwalked()
    planning = asyncio.create_task(house.plan(round_))
    async with asyncio.timeout(60):
        await round_.settled.wait()
        while not house.told:
            await asyncio.sleep(0)
    planning.cancel()
    assert len(house.read) == 1
    assert round_.due_ms is not None
    assert round_.closes_at in house.told[0].en
    assert not round_.is_due


@pytest.mark.parametrize("house", [House(refusal="site.yaml: 3 errors"), House(is_slow=True)])
async def test_a_gateway_that_does_not_read_it_leaves_nothing_to_be_missed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLED_S", -120.0)  # its end has always been
    round_ = Unwalked()
    async with asyncio.timeout(60):
        await house.plan(round_)
    assert len(house.read) == TRIES
    assert round_.settled.is_set()
    assert round_.due_ms is None
    assert round_.traces() == []
    assert house.refusal in house.told[-1].en


def test_the_last_fault_of_a_pass_is_over_before_the_round_is_judged() -> None:
    faults = [s.at_s for s in SCENES for p in s.plants if p.severity is Severity.FAULT]
    acknowledged_s = 2.5
    assert max(faults) + SEEN_WITHIN_MS / 1000 + acknowledged_s < CALM_S[0] + 0.5
