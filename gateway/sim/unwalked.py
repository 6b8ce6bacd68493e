"""The round that nobody walks: planned while the demo runs, judged by the gateway's own clock.

Nothing is scaled. A window ends at a full minute, so the house's schedule is changed, by a reload
of the site file, to one that ends at the next minute; the grace puts the judgement into a stretch
of the story where no other fault has the yellow lamp. A story that is over by then waits for it.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from urllib.request import ProxyHandler, build_opener

from gateway.domain.rules import Severity, Sound
from gateway.domain.text import Text
from gateway.drivers.sockets import NoAnswer
from gateway.sim.checker import SEEN_WITHIN_MS, Sown, SownTrace
from gateway.sim.house import boot_ms
from gateway.sim.patroller import NotDone, fetch
from gateway.sim.people import Ask
from gateway.sim.story import PASS_S, Plant, Trace
from gateway.sim.touches import Act, Touch

SCHEDULE = "late"  # as config/site.demo.yaml has it
MISSED = Plant(f"gateway/round_missed/{SCHEDULE}", Severity.FAULT, Sound.F)
TRACE = Trace("round", (("schedule", SCHEDULE), ("state", "missed"), ("reason", "no_visit")))
# After a pass began: its last fault has been seen to, and the next pass has planted nothing yet.
CALM_S = (49.2, 50.0)
LEAD_S = 6.0  # to read the site file again
TRIES = 3
TOLERANCE_MS = 500  # of two clocks, read one after the other
SETTLED_S = 2.0  # after its end a window that is not known by then never will be
LOOK_EVERY_S = 0.1
LOOK_AGAIN_S = 0.5
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FAR = timedelta(days=4)  # rounds become rows 48 h ahead


@dataclass(frozen=True, slots=True)
class Times:
    """When rounds are: `at` of a schedule, the day of the week of its window, and the grace."""

    at: str
    day: str
    grace_ms: int = 0


@dataclass(frozen=True, slots=True)
class Planned:
    """A window that ends at a full minute; `due_s` after it the round is judged."""

    times: Times
    round: str  # its id
    closes_at: str  # on the wall
    closes_s: int  # UNIX time
    due_s: float


@dataclass(slots=True)
class Unwalked:
    """The round as the verdict has to know it."""

    due_ms: float | None = None  # CLOCK_BOOTTIME; None: not planned
    closes_at: str = ""
    is_sure: bool = True  # False: the demo was ended before it was due
    settled: asyncio.Event = field(default_factory=asyncio.Event)  # planned, or given up
    is_shown: bool = False  # by the duty page

    @property
    def is_due(self) -> bool:
        return self.due_ms is not None and boot_ms() >= self.due_ms

    def planted(self, sown: Sequence[Sown]) -> list[Sown]:
        """What was planted, and the fault of the round once it is due."""
        if self.due_ms is None or not self.is_due:
            return list(sown)
        return [*sown, Sown(MISSED, self.due_ms - TOLERANCE_MS)]

    def weighed(self, sown: Sequence[Sown], touches: Collection[Touch]) -> list[Sown]:
        """What is still certain of what was planted.

        Who ends the demo early need not wait for the round. Who called a scene early has moved the
        story under it: of two faults near each other one may have had the lamp already.
        """
        is_moved = any(touch.act is Act.NEXT for touch in touches)
        weighed = [self._beside(one) if is_moved else one for one in sown]
        if self.is_sure:
            return weighed
        return [
            replace(one, must_raise=False, must_show=False) if one.plant is MISSED else one
            for one in weighed
        ]

    def traces(self) -> list[SownTrace]:
        return [SownTrace(TRACE, must=self.is_sure)] if self.is_due else []

    def _beside(self, one: Sown) -> Sown:
        is_near = self.due_ms is not None and abs(one.t_ms - self.due_ms) <= SEEN_WITHIN_MS
        is_fault = one.plant.severity is Severity.FAULT
        return replace(one, must_show=False) if is_near and is_fault else one


def times_at(moment: datetime) -> Times:
    return Times(f"{moment:%H:%M}", DAYS[moment.weekday()])


def due_after(closes_s: float, passes: int | None) -> float:
    """When a round is judged whose window ends at this second of the story: not before."""
    number = max(0, math.ceil((closes_s - CALM_S[1]) / PASS_S))
    if passes is not None and number >= passes:
        return closes_s  # the story is over
    return max(closes_s, number * PASS_S + CALM_S[0])


def next_round(now_s: float, story_s: float, passes: int | None, zone: tzinfo) -> Planned:
    """The round whose window ends at the next full minute, at this UNIX time and story second."""
    closes = math.ceil((now_s + LEAD_S) / 60) * 60
    due_s = due_after(story_s + closes - now_s, passes) - story_s + now_s
    opens, ends = (datetime.fromtimestamp(at, zone) for at in (closes - 60, closes))
    times = replace(times_at(opens), grace_ms=max(0, round((due_s - closes) * 1000)))
    name = f"{SCHEDULE}/{opens:%Y-%m-%d/%H%M}"
    return Planned(times, name, f"{ends:%H:%M}", closes, closes + times.grace_ms / 1000)


async def plan_unwalked(
    unwalked: Unwalked,
    *,
    reload: Callable[[Times], Awaitable[str]],
    ask: Ask,
    start: float,
    passes: int | None,
    zone: tzinfo,
    tell: Callable[[Text], None],
) -> None:
    """Move the schedule to the next minute, and make sure that the gateway has the round.

    `reload` has the gateway read its site file with these times and says why it did not; `start`
    is when the story began, on the loop's clock. The end of the wait is told too.
    """
    refusal = ""
    try:
        for _ in range(TRIES):
            story_s = asyncio.get_running_loop().time() - start
            planned = next_round(time.time(), story_s, passes, zone)
            unwalked.closes_at = planned.closes_at
            unwalked.due_ms = boot_ms() + (planned.due_s - time.time()) * 1000
            refusal = await reload(planned.times)
            if not refusal and await _is_known(ask, planned):
                break
        else:
            unwalked.due_ms = None
            tell(Text(f"{NOT_PLANNED.zh} {refusal}", f"{NOT_PLANNED.en} {refusal}"))
            return
    finally:
        unwalked.settled.set()
    tell(_words(planned))
    await asyncio.sleep(planned.due_s - time.time())
    tell(MISSED_SAY)


async def _is_known(ask: Ask, planned: Planned) -> bool:
    """Whether the round becomes a row: it does not when its window is over by then."""
    day = planned.round.split("/")[1]
    while True:
        is_over = time.time() > planned.closes_s + SETTLED_S
        with suppress(NoAnswer):
            rounds = (await ask({"verb": "patrol_rounds", "date": day})).get("rounds", [])
            if any(each["id"] == planned.round for each in rounds):
                return True
        if is_over:
            return False
        await asyncio.sleep(LOOK_EVERY_S)


async def watch_page(unwalked: Unwalked, page: str, words: str) -> None:
    """Look at the duty page until it says that the round was missed."""
    reader = build_opener(ProxyHandler({}))
    while not unwalked.is_shown:
        await asyncio.sleep(LOOK_AGAIN_S)
        if unwalked.is_due:
            with suppress(NotDone):  # a console that is gone is noticed by who watches it
                unwalked.is_shown = words in await asyncio.to_thread(fetch, reader, page, None)


MISSED_SAY = Text("漏巡：三楼这一轮无人巡查", "nobody walked the third floor: the round is missed")
NOT_PLANNED = Text(
    "漏巡不演示：网关没有及时读入巡查计划",
    "a missed round is not shown: the gateway did not read the schedule in time",
)


def _words(planned: Planned) -> Text:
    grace_s = planned.times.grace_ms / 1000
    return Text(
        f"巡查计划改为三楼 {planned.closes_at} 前巡完（宽限 {grace_s:.0f} 秒），无人去巡",
        f"the schedule now wants the third floor walked by {planned.closes_at} "
        f"(grace {grace_s:.0f} s), and nobody goes",
    )
