"""A house with two buildings and a day in it, played through the decider into a real store."""

import asyncio
from pathlib import Path

from gateway.config.load import load_site
from gateway.core.health import with_own_device
from gateway.core.messages import sender_of
from gateway.core.state import house_of
from gateway.domain import events
from gateway.domain.moments import Clk
from gateway.domain.outcome import Outcome
from gateway.domain.rounds import Answer
from gateway.domain.site import StoreSpec
from gateway.store.store import open_store
from tests.core.patrol_house import MIN, SECOND, ZONE, Home, at

SITE = """\
site: {id: elm-house, name: 榆园养老院, institution: elder-care}
buses:
  line: {tcp: 127.0.0.1}
buildings:
  main: {name: 主楼}
  annex: {name: 副楼}
devices:
  kitchen-board:
    profile: lingxun-lx47le
    bus: line
    unit: 3
    building: main
    place: 1F 厨房<b>配电箱</b>
    owner: 电工班
  annex-board:
    profile: lingxun-lx47le
    bus: line
    unit: 4
    building: annex
    place: 2F 配电间
    owner: 电工班
    calibration_due: 2026-10-20
  gas:
    {profile: crowcon-xgardiq, bus: line, unit: 7, building: annex, place: 1F 厨房, owner: 食堂主管,
     sensor_life_until: 2026-12-15}
panel: {red: 17, amber: 27, yellow: 22, green: 23, buzzer: 24, silence: 25}
patrol:
  checkpoints:
    EPS: {name: 配电间, place: 主楼 1F, near: [kitchen-board.residual_current]}
    GATE: {name: 大门, place: 主楼 大门}
  routes:
    house: {name: 全院, stops: [EPS, GATE]}
  rounds:
    day: {route: house, preset: daily, draws: 0}
    night: {route: house, preset: night, draws: 0}
"""
PEOPLE = """\
people:
  s01: {name: 张敏, role: duty}
  s02: {name: 王芳, role: duty}
  l01: {name: 李主任, role: leader}
  t01: {name: 周工, role: technician}
"""


class Kept(Home):
    """A home that remembers what it would have stored; each power cut begins a new epoch."""

    def __init__(self, loaded, **more):
        self.loaded, self.epochs = loaded, []
        super().__init__(self._anew(), **more)

    def _anew(self):
        epoch = f"epoch000000{len(self.epochs) + 1}"
        self.epochs.append((epoch, []))
        site = with_own_device(self.loaded)
        return house_of(
            site, sender_of(site, epoch), "0.1.0", zone=ZONE, patrol_seed="not to be guessed"
        )

    def power_cut(self, until, clk=Clk.SYNC):
        self.house = self._anew()
        super().power_cut(until, clk)

    def feed(self, event):
        outcome = super().feed(event)
        self.epochs[-1][1].append(outcome)
        return outcome


def site_file(folder: Path, text: str = SITE) -> Path:
    path = folder / "site.yaml"
    path.write_text(text, "utf-8")
    (folder / "people.yaml").write_text(PEOPLE, "utf-8")
    (folder / "people.yaml").chmod(0o640)
    return path


def home_of(path: Path, **more) -> Kept:
    loaded = load_site(path, store_dir=path.parent / "store", is_timed=False)
    assert loaded.site is not None, loaded.problems
    return Kept(loaded.site, **more)


def plant(home: Kept, folder: Path) -> Path:
    """Write what the decider gave into a store, as the daemon does; the store's folder."""

    async def write(epoch: str, outcomes: list[Outcome]) -> None:
        faults: list[object] = []
        async with open_store(
            StoreSpec(folder), epoch=epoch, encode=lambda _: b"{}", on_durable=lambda _: None,
            on_fault=faults.append,
        ) as store:  # fmt: skip
            for outcome in outcomes:
                store.submit(outcome)
            await store.flush()
        assert not faults

    for epoch, outcomes in home.epochs:
        asyncio.run(write(epoch, outcomes))
    return folder


def all_well(home: Kept) -> None:
    for point in home.house.points.values():
        if point.device in ("kitchen-board", "annex-board") and point.name == "residual_current":
            home.read(point.id, 20.0)


def over(home: Kept, point: str, value: float) -> None:
    """A value over its limit until it is an alarm."""
    for _ in range(5):
        home.read(point, value)
        home.until(home.mono + SECOND)


def eventful(home: Kept) -> None:
    """2026-11-01: a false alarm that is closed, one that nobody takes care of, faults, rounds."""
    all_well(home)
    home.until(at(1, "08:30"))
    bad = tuple(
        Answer(item.id, "bad" if item.id == "doors" else "ok") for item in home.items_at("EPS")
    )
    home.visit("EPS", answers=bad, stay=60 * SECOND, note="防火门顶住了")
    home.until(home.mono + MIN)
    home.visit("GATE", stay=60 * SECOND)
    assert home.ask(events.RoundSigned("l01", "day/2026-11-01/0800")).ok
    _false_alarm(home)
    _out_of_order(home)
    _night(home)


def _false_alarm(home: Kept) -> None:
    home.until(at(1, "10:00"))
    over(home, "kitchen-board.residual_current", 350.0)
    rule = "kitchen-board.residual_current/residual_alarm"
    home.until(home.mono + 20 * SECOND)
    assert home.ask(events.Acknowledge("s01", rule)).ok
    home.until(home.mono + MIN)
    assert home.ask(events.Arrive("s02", rule, place="主楼 1F", proof=3)).ok
    for _ in range(60):
        home.read("kitchen-board.residual_current", 20.0)
        home.until(home.mono + SECOND)
    handled = events.Handle(
        "s02", rule, "false", cause="dust_or_damp", actions=("checked",), text="=插座受潮"
    )
    assert home.ask(handled).ok
    assert home.ask(events.Reset("s01", rule)).ok
    assert home.ask(events.Close("l01", rule)).ok


def _out_of_order(home: Kept) -> None:
    home.until(at(1, "13:00"))
    over(home, "annex-board.residual_current", 420.0)  # nobody comes
    home.until(at(1, "14:00"))
    home.feed(events.FaultRaised("device_silent", "gas", "timeout"))
    home.until(at(1, "15:30"))
    home.feed(events.FaultCleared("device_silent", "gas"))
    assert home.ask(events.TakeOutOfService("t01", "gas", "探头更换", "WO-118")).ok
    home.until(at(1, "17:00"))
    assert home.ask(events.PutInService("t01", "gas")).ok
    assert home.ask(
        events.Shelve("l01", "annex-board.residual_current/residual_warning", 3_600_000, "检修")
    ).ok
    home.feed(events.LinkChanged(is_up=True, broker="b"))
    home.feed(events.LinkChanged(is_up=False, broker="b", why="dns"))
    home.until(at(1, "19:00"))
    home.feed(events.LinkChanged(is_up=True, broker="b"))
    home.feed(events.PlatformChanged(is_present=True))


def _night(home: Kept) -> None:
    home.until(at(1, "21:00"))
    home.feed(events.PostCheckAsked("c1", "platform", 300_000))
    home.until(home.mono + 40 * SECOND)
    home.feed(events.Silence("panel"))
    home.until(at(1, "22:10"))
    home.walk("EPS", "GATE", by="s02", stay=40 * SECOND)
    home.until(at(1, "23:30"))
    home.power_cut(at(2, "01:00"), clk=Clk.SYNC)
    home.until(at(2, "08:15"))
