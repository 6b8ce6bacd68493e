"""A month of a home by a simulated clock: what is remembered, in memory and on disk, levels off.

Run with `scripts/soak month`. The home of the simulated week, with its incidents and all its noise,
lives thirty days in one process: decider and store are the daemon's own. Rounds are walked, most of
them; the platform is away for a day now and then; there are post checks, drills, tests, shelved
rules. What State holds is counted piece by piece each day. The promises that were broken come back.
"""

import argparse
import asyncio
import gc
import resource
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from gateway.config.load import load_site
from gateway.core import noise
from gateway.core.health import with_own_device
from gateway.core.messages import read_body, sender_of
from gateway.core.nights import plan_night
from gateway.core.patrol_ahead import KEPT_MONTHS
from gateway.core.patrol_visits import asked_at
from gateway.core.state import State
from gateway.domain.events import (
    Close,
    DrillEnded,
    DrillStarted,
    Event,
    FaultCleared,
    FaultRaised,
    LinkChanged,
    PlatformChanged,
    PointTestEnded,
    PointTestStarted,
    PostCheckAnswered,
    PutInService,
    RoundSigned,
    Shelve,
    TakeOutOfService,
    VisitEntered,
)
from gateway.domain.moments import Now
from gateway.domain.outcome import Outcome
from gateway.domain.patrol import Checkpoint, Item, Patrol, Route, Schedule, Stop, Window
from gateway.domain.people import Person, Role
from gateway.domain.records import Batch, Range, Record
from gateway.domain.rounds import Answer, RoundState
from gateway.domain.site import PostChecks, Site
from gateway.domain.text import Text
from gateway.sim.home import DAY_MS, HOUR_MS
from gateway.sim.week import EPOCH, Beside, live_week, polled_slower
from gateway.store.store import Store, open_store
from scripts.memory_runs import slope_of

SITE = Path(__file__).parent / "benchmarks" / "week.site.yaml"
PERIOD_MS = 120_000  # at least: with the profiles' own periods a month takes hours to play
COMMIT_MS = 300_000
WARM_DAYS = 5
LOOK_EVERY_MS = 60_000
INCIDENTS_A_DAY = 3
MIB_A_DAY = 0.1  # a real one is less than 1 MB an hour; the play keeps what it planted
MORE_SHARE, MORE = 0.1, 3  # what counts as growth: more than so much more
FILLS_FOR_DAYS = {"noise.busy": noise.DAYS_KEPT, "patrol.months": 31 * KEPT_MONTHS}
WALKABLE = (RoundState.OPEN, RoundState.IN_PROGRESS, RoundState.OVERDUE)


@dataclass(frozen=True, slots=True)
class Day:
    """What there was at the end of one: MiB resident, entries by piece of the state, rows."""

    day: int
    resident: float
    entries: Mapping[str, int]
    rows: Mapping[str, int]


async def month(options: argparse.Namespace, folder: Path) -> list[str]:
    """Play so many days and judge how what is remembered grew after the first ones."""
    site = site_of(folder)
    sender = sender_of(with_own_device(site), EPOCH)
    loop, broken, days = asyncio.get_running_loop(), list[str](), list[Day]()
    faults: list[FaultRaised | FaultCleared] = []

    def encode(batch: Batch) -> bytes:
        return read_body(sender, batch)

    def durable(records: tuple[Record, ...]) -> None:
        platform.take(records)

    async with open_store(
        site.store, epoch=EPOCH, encode=encode, on_durable=durable,
        on_fault=faults.append,
    ) as store:  # fmt: skip
        platform = Platform(store)
        people = People(site, Random(1))

        def take(_state: State, outcome: Outcome) -> None:
            people.did.update(f"{reply.code}" for reply in outcome.replies)
            loop.call_soon_threadsafe(store.submit, outcome)

        def act(state: State, now: Now) -> Iterable[Event]:
            """In the play's thread; disk and platform keep up with it once a simulated hour."""
            if people.is_due(now):
                if people.hour != now.mono_ms // HOUR_MS:
                    people.hour = now.mono_ms // HOUR_MS
                    asyncio.run_coroutine_threadsafe(store.flush(), loop).result()
                    loop.call_soon_threadsafe(platform.come, people.is_platform_there(now))
                if now.mono_ms // DAY_MS > len(days):
                    days.append(look(len(days) + 1, state, folder))
                yield from people.act(state, now)

        play = partial(
            live_week, polled_slower(site, PERIOD_MS), seed=1,
            incidents=INCIDENTS_A_DAY * options.days, length_ms=options.days * DAY_MS + HOUR_MS,
            beside=Beside(people.zone, take, act),
        )  # fmt: skip
        played = await asyncio.to_thread(play)
    _say("blocks read, incidents raised", f"{played.reads:,}, {len(played.raised)}")
    _say("how people were answered", ", ".join(f"{n} {code}" for code, n in people.did.items()))
    _say("faults of the store", ", ".join(map(str, faults)) or "none")
    judge(days, broken)
    return broken


@dataclass(slots=True)
class Platform:
    """Settles what is durable while it is there, and all the rest when it comes back."""

    store: Store
    is_there: bool = True
    waiting: list[Range] = field(default_factory=list)

    def take(self, records: Sequence[Record]) -> None:
        self.waiting += [Range(each.lane, each.epoch, each.seq, each.seq) for each in records]
        self.come(self.is_there)

    def come(self, is_there: bool) -> None:
        self.is_there = is_there
        if is_there and self.waiting:
            self.store.settle(self.waiting)
            self.waiting = []


# --- what is looked at ----------------------------------------------------------------------------


def look(day: int, state: State, folder: Path) -> Day:
    """What there is at the end of this day; said as it is found."""
    gc.collect()
    kib = int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    found = Day(day, kib / 2**20, entries_of(state), rows_of(folder / "store" / "core.db"))
    kept = sum(count for name, count in found.rows.items() if name.startswith("kept "))
    _say(
        f"  day {day}",
        f"RSS {found.resident:.1f} MiB, {sum(found.entries.values()):,} entries in memory, "
        f"{kept} kept on disk",
    )
    return found


def entries_of(state: State) -> dict[str, int]:
    """How many entries each piece of the state holds, with all that hangs on it.

    Pieces of pieces that are themselves of several are told apart by one more name.
    """
    found: dict[str, int] = {}
    for piece in fields(state):
        value = getattr(state, piece.name)
        if piece.name == "house":
            continue
        if is_dataclass(value):
            parts = {each.name: getattr(value, each.name) for each in fields(value)}
            found |= {f"{piece.name}.{name}": weigh(part) for name, part in parts.items()}
        else:
            found[piece.name] = weigh(value)
    return {name: count for name, count in found.items() if count}


def weigh(value: object) -> int:
    """All entries of all containers in it."""
    if isinstance(value, Mapping):
        return len(value) + sum(map(weigh, value.values()))
    if isinstance(value, Sequence | frozenset) and not isinstance(value, str | bytes):
        return len(value) + sum(map(weigh, value))
    if is_dataclass(value):
        return sum(weigh(getattr(value, each.name)) for each in fields(value))
    return 0


def rows_of(path: Path) -> dict[str, int]:
    """Rows of the tables that are read at start, those of `kept` by kind."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30) as db:
        rows = db.execute("SELECT 'kept ' || kind, count(*) FROM kept GROUP BY kind").fetchall()
        rows += db.execute("SELECT 'alarm_state', count(*) FROM alarm_state").fetchall()
        rows += db.execute("SELECT 'pending', count(*) FROM pending").fetchall()
    db.close()
    return dict(rows)


def judge(days: Sequence[Day], broken: list[str]) -> None:
    """Memory levels off; no piece is larger in the last third than in the one before."""
    later = [day for day in days if day.day > WARM_DAYS]
    slope = slope_of([(day.day, day.resident) for day in later])
    _say(
        f"resident memory after day {WARM_DAYS}",
        f"{slope.an_hour:+.3f} ± {slope.off_by:.3f} MiB a day",
    )
    _check(slope.an_hour < MIB_A_DAY, f"it climbs by less than {MIB_A_DAY} MiB a day", broken)
    for what in ("entries", "rows"):
        names = sorted({name for day in days for name in getattr(day, what)})
        for name in names:
            _judge_one(name, [getattr(day, what).get(name, 0) for day in days], broken)


def _judge_one(name: str, counts: Sequence[int], broken: list[str]) -> None:
    third = len(counts) // 3
    before, after = max(counts[third : 2 * third]), max(counts[2 * third :])
    said = " ".join(f"{count:>6}" for count in _some(counts))
    if len(counts) <= FILLS_FOR_DAYS.get(name, 0):  # then it grows as it began, and no quicker
        before = round(counts[third - 1] * len(counts) / third)
    is_level = after <= before * (1 + MORE_SHARE) + MORE
    _say(f"  {name}", f"{said}{'' if is_level else '  GROWS'}")
    if not is_level:
        broken.append(f"{name} levels off: at most {before}, later {after}")


def _some(counts: Sequence[int]) -> list[int]:
    """Those of days 5, 10, 15 and so on, and of the last one."""
    return [*counts[WARM_DAYS - 1 : -1 : WARM_DAYS], counts[-1]]


# --- the house ------------------------------------------------------------------------------------


def site_of(folder: Path) -> Site:
    """The home of the simulated week, with rounds day and night, and a store in `folder`."""
    site = load_site(SITE, store_dir=folder / "store").site
    if site is None:
        raise ValueError(f"{SITE} is not accepted")
    return replace(
        site,
        patrol=PATROL,
        people={each.code: each for each in PEOPLE},
        store=replace(site.store, commit_every_ms=COMMIT_MS),
    )


def _words(text: str) -> Text:
    return Text(text, text)


STOPS = ("EPS", "STAIR", "WARD", "GATE")
PATROL = Patrol(
    {code: Checkpoint(code, code, code, (Item("way", _words("clear")),), ()) for code in STOPS},
    {"all": Route("all", "all", tuple(Stop(code) for code in STOPS))},
    {
        "day": Schedule("day", "all", (Window(8 * 60, 10 * 60),), draws=0),
        "night": Schedule(
            "night", "all", tuple(Window(m, m + 120) for m in range(1_320, 1_800, 120)), draws=0
        ),
    },
)
PEOPLE = (
    Person("N1", "N1", Role.DUTY),
    Person("L1", "L1", Role.LEADER),
    Person("M1", "M1", Role.MANAGER),
    Person("T1", "T1", Role.TECHNICIAN),
)
CHECKS = PostChecks(per_night=2)


@dataclass(slots=True)
class People:
    """What people and the platform do in the house, looked at once a simulated minute."""

    site: Site
    random: Random
    due_ms: int = 0
    hour: int = -1
    night: str = ""
    was_there: bool = True
    ending: list[tuple[int, Event]] = field(default_factory=list)  # what was begun
    did: Counter[str] = field(default_factory=Counter)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.site.timezone)

    def is_due(self, now: Now) -> bool:
        is_due = now.mono_ms >= self.due_ms
        if is_due:
            self.due_ms = now.mono_ms + LOOK_EVERY_MS
        return is_due

    def is_platform_there(self, now: Now) -> bool:
        """It is away for twenty hours on every sixth day."""
        return now.mono_ms // DAY_MS % 6 != 3 or now.mono_ms % DAY_MS >= 20 * HOUR_MS

    def act(self, state: State, now: Now) -> Iterator[Event]:
        yield from self._link(now)
        yield from self._night(state, now)
        yield from self._walk(state)
        yield from self._work(state, now)

    def _link(self, now: Now) -> Iterator[Event]:
        is_there = self.is_platform_there(now)
        if is_there != self.was_there:
            self.was_there = is_there
            yield LinkChanged(is_up=is_there)
            yield PlatformChanged(is_present=is_there)

    def _night(self, state: State, now: Now) -> Iterator[Event]:
        if now.utc_ms is not None:
            plan = plan_night(now.utc_ms, self.zone, CHECKS, None, self.random.random)
            if plan.night != self.night:
                self.night = plan.night
                yield plan
        is_asked = any(not check.is_missed for check in state.post_checks.values())
        if is_asked and self.random.random() < 0.4:
            yield PostCheckAnswered("N1", 1)

    def _walk(self, state: State) -> Iterator[Event]:
        """Of ten rounds nine are walked, a stop a minute; each morning some are signed."""
        for round_ in list(state.patrol.rounds.values()):
            is_walked = Random(round_.id).random() < 0.9
            todo = [stop for stop in round_.stops if stop not in round_.visited]
            if round_.state in WALKABLE and is_walked and todo:
                answers = tuple(Answer(item.id, "ok") for item, _ in
                                asked_at(PATROL.checkpoints[todo[0]], round_))  # fmt: skip
                yield VisitEntered("N1", todo[0], answers, reply_to=1)
                return
            if round_.state.is_over and not round_.signed_by and self.random.random() < 0.002:
                yield RoundSigned("M1", round_.id, reply_to=1)

    def _work(self, state: State, now: Now) -> Iterator[Event]:
        """Points are tested, drills held, cases closed; somebody shelves what is a nuisance."""
        yield from (event for at_ms, event in self.ending if at_ms <= now.mono_ms)
        self.ending = [each for each in self.ending if each[0] > now.mono_ms]
        device = self.random.choice(self.site.devices)
        point = self.random.choice(device.points).id
        if self._comes(2.0):
            yield PointTestStarted("T1", point, 1)
            self._ends(now, 20, PointTestEnded("T1", point, 1))
        if self._comes(0.4):
            yield TakeOutOfService("T1", device.id, "mended", "W-1", 1)
            self._ends(now, 360, PutInService("T1", device.id, 1))
        if self._comes(0.2):
            rules = tuple(rule.id for rule in self.site.rules[:2])
            yield DrillStarted("M1", "fire in the kitchen", "", rules, 1)
            self._ends(now, 30, DrillEnded("M1", 1, 50, 50))
        for case in list(state.cases.values()):
            if case.finding is not None and self._comes(24.0):
                yield Close("M1", case.occurrence, 1)
        if self._comes(10.0) and state.alarms:
            yield Shelve("L1", self.random.choice(list(state.alarms)), 4 * HOUR_MS, "known", 1)

    def _comes(self, a_day: float) -> bool:
        return self.random.random() < a_day * LOOK_EVERY_MS / DAY_MS

    def _ends(self, now: Now, minutes: int, event: Event) -> None:
        self.ending.append((now.mono_ms + minutes * 60_000, event))


def _say(what: str, value: object) -> None:
    print(f"{what:<58} {value}", flush=True)


def _check(is_kept: bool, promise: str, broken: list[str]) -> None:
    _say(promise, "yes" if is_kept else "NO")
    if not is_kept:
        broken.append(promise)
