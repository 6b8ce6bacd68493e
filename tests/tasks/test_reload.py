"""The order of a reload: read, compared, indexed first; then rest, decide, change; or nothing."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.reload import Difference
from gateway.domain.errors import SiteRefused
from gateway.domain.site import Bus, PanelPins, Site, StoreSpec, TcpLink
from gateway.tasks.lines import Lines, end_tasks
from gateway.tasks.reload import Asked, reload_site
from tests.core.test_reload import BOARD, BOX

OLD = Site(
    "elm", "elm", "elder-care", "UTC",
    (Bus("line", TcpLink("a.example")), Bus("hall", TcpLink("b.example"))),
    (BOARD, BOX), (), PanelPins(), None, StoreSpec(Path("x")), sha="one",
)  # fmt: skip
WITHOUT_BOX = replace(OLD, devices=(BOARD,), sha="two")


async def settle():
    """Let everyone run who can; nobody here waits for a clock."""
    for _ in range(20):
        await asyncio.sleep(0)


class House:
    """Lines whose tasks only rest when they shall, and a diary of everything."""

    def __init__(self):
        self.diary = []
        self.lines = Lines(
            lambda line: asyncio.create_task(self._poll(line)),
            came=lambda name: self.diary.append(f"{name} came"),
            went=lambda name: self.diary.append(f"{name} went"),
        )
        self.lines.begin(OLD)
        self.diary.clear()

    async def _poll(self, line):
        while True:
            await line.may_ask.wait()
            self.diary.append(f"{line.bus.id} asks {' '.join(line.devices)}".rstrip())
            line.is_at_rest.clear()
            while line.may_ask.is_set():
                await asyncio.sleep(0)
            await asyncio.sleep(0)  # the request that was under way
            self.diary.append(f"{line.bus.id} rests")
            line.is_at_rest.set()

    async def reload(self, load, decide=None):
        async def decided(house):
            self.diary.append(f"decided {house}")

        await settle()
        self.diary.clear()
        try:
            return await reload_site(
                OLD, load=load, index=lambda site: f"house of {site.sha}", lines=self.lines,
                decide=decide or decided,
            )  # fmt: skip
        finally:
            await settle()
            await end_tasks(self.lines.tasks)


async def test_only_the_changed_bus_rests_and_it_rests_before_the_decision():
    house = House()
    site, change = await house.reload(lambda: WITHOUT_BOX)
    assert (site, change) == (WITHOUT_BOX, Difference(replanned=frozenset({"hall"})))
    assert house.diary == ["hall rests", "decided house of two", "hall asks"]


async def test_a_bus_that_is_gone_ends_and_one_that_is_new_begins():
    moved = replace(OLD, buses=(OLD.buses[0], Bus("attic", TcpLink("c.example"))),
                    devices=(BOARD, replace(BOX, bus="attic")))  # fmt: skip
    house = House()
    await house.reload(lambda: moved)
    assert house.diary == [
        "hall rests", "decided house of one", "hall went", "attic came", "attic asks box",
    ]  # fmt: skip


async def test_the_same_file_again_changes_nothing():
    house = House()
    assert await house.reload(lambda: replace(OLD)) == (OLD, Difference())
    assert house.diary == []


async def test_a_file_with_mistakes_lets_nothing_rest():
    def load():
        raise SiteRefused("site.yaml:3: no")

    house = House()
    with pytest.raises(SiteRefused, match=r"site\.yaml:3"):
        await house.reload(load)
    assert house.diary == []


@pytest.mark.parametrize("of", ["file", "house"])
async def test_whatever_goes_wrong_while_the_file_is_read_is_a_refusal_that_says_so(of):
    """Not only mistakes in it: its reader was killed, memory ran out, a profile is a folder."""

    def fail(_site=None):
        raise EOFError("Ran out of input")

    house = House()
    if of == "file":
        with pytest.raises(SiteRefused, match="EOFError: Ran out of input"):
            await house.reload(fail)
    else:

        async def decide(_house):
            raise AssertionError("there is no house to decide on")

        await settle()
        house.diary.clear()
        with pytest.raises(SiteRefused, match="EOFError"):
            await reload_site(
                OLD, load=lambda: WITHOUT_BOX, index=fail, lines=house.lines, decide=decide
            )
        await settle()
        await end_tasks(house.lines.tasks)
    assert house.diary == []


async def test_what_only_a_restart_takes_over_is_named_and_changes_nothing():
    house = House()
    with pytest.raises(SiteRefused, match=r"site\.id, panel"):
        await house.reload(lambda: replace(OLD, id="oak", panel=PanelPins(red=1)))
    assert house.diary == []


async def test_a_decider_that_does_not_take_it_lets_the_old_buses_go_on():
    async def decide(_house):
        raise SiteRefused("the decider did not take it")

    house = House()
    with pytest.raises(SiteRefused, match="decider"):
        await house.reload(lambda: WITHOUT_BOX, decide)
    assert house.diary == ["hall rests", "hall asks box"]


async def test_a_bus_that_does_not_come_to_rest_keeps_no_other_from_asking():
    begun = []

    async def poll(line):
        begun.append(line)
        line.is_at_rest.clear()
        await asyncio.Event().wait()

    async def decide(_house):
        raise AssertionError("nothing is decided while a bus still asks")

    went = []
    lines = Lines(lambda line: asyncio.create_task(poll(line)), came=went.append, went=went.append)
    lines.begin(OLD)
    await settle()
    with pytest.raises(SiteRefused, match="rest"):
        await reload_site(
            OLD, load=lambda: replace(WITHOUT_BOX, devices=()), index=lambda site: site,
            lines=lines, decide=decide, rest_within_s=0.01,
        )  # fmt: skip
    assert [line.bus.id for line in begun if line.may_ask.is_set()] == ["line", "hall"]
    await end_tasks(lines.tasks)


async def test_signals_that_come_while_one_reload_runs_are_one_more():
    asked, runs, go_on = Asked(), [], asyncio.Event()

    async def reload():
        runs.append(1)
        await go_on.wait()

    serving = asyncio.create_task(asked.serve(reload))
    asked.ask()
    while not runs:
        await asyncio.sleep(0)
    asked.ask()
    asked.ask()
    go_on.set()
    while len(runs) < 2:
        await asyncio.sleep(0)
    await settle()
    assert len(runs) == 2
    await end_tasks([serving])
