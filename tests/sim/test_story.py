"""The story fits the house, ends calm, and leaves each planted alarm its lamp to itself."""

import asyncio
from dataclasses import replace

import pytest

from gateway.domain.rules import Severity
from gateway.sim.checker import HEARD_MS, LAMP_OF, PATROL, Sown, SownTrace
from gateway.sim.house import Cue, build_house, play, steps_of
from gateway.sim.story import (
    CALM,
    PASS_S,
    SCENES,
    SETS_OUT,
    WALK,
    BrokerSwitch,
    CardTap,
    Drift,
    Hush,
    Scene,
    Visit,
    passes_in,
    scenes_of,
)


def test_scenes_are_in_order_and_inside_one_pass() -> None:
    moments = [scene.at_s for scene in SCENES]
    assert moments == sorted(moments)
    assert moments[-1] < PASS_S


def test_every_act_names_a_device_and_a_quantity_of_the_house() -> None:
    devices = build_house().devices
    for scene in SCENES:
        for act in scene.acts:
            match act:
                case Drift(device, quantity):
                    assert quantity in devices[device].truth
                case Hush(device):
                    assert device in devices


def test_everything_is_calm_again_at_the_end() -> None:
    truth = {name: dict(values) for name, values in CALM.items()}
    silent, is_broker_up = set(), True
    for scene in SCENES:
        for act in scene.acts:
            match act:
                case Drift(device, quantity, to):
                    truth[device][quantity] = to
                case Hush(device, is_silent):
                    (silent.add if is_silent else silent.discard)(device)
                case BrokerSwitch(is_up):
                    is_broker_up = is_up
    assert truth == CALM
    assert not silent
    assert is_broker_up


def test_the_broker_is_away_for_ten_seconds_and_an_alarm_is_planted_meanwhile() -> None:
    switches = {
        act.is_up: scene.at_s
        for scene in SCENES
        for act in scene.acts
        if isinstance(act, BrokerSwitch)
    }
    assert switches[True] - switches[False] == 10.0
    assert any(
        switches[False] < scene.at_s < switches[True] - 5
        for scene in SCENES
        for plant in scene.plants
        if plant.severity is Severity.ALARM
    )


def test_two_plants_on_one_lamp_leave_people_time_to_hear_and_to_acknowledge() -> None:
    last: dict[str, float] = {}
    for scene in scenes_of(2):
        for plant in scene.plants:
            lamp = LAMP_OF[plant.severity]
            assert scene.at_s - last.get(lamp, -99) > HEARD_MS / 1000 + 8
            last[lamp] = scene.at_s


@pytest.mark.parametrize(("seconds", "passes"), [(None, None), (48, 1), (60, 1), (96, 2), (47, 0)])
def test_whole_passes_are_played(seconds: float | None, passes: int | None) -> None:
    assert passes_in(seconds) == passes


def test_a_second_pass_is_the_first_one_later() -> None:
    twice = list(scenes_of(2))
    assert len(twice) == 2 * len(SCENES)
    assert twice[len(SCENES)].at_s == SCENES[0].at_s + PASS_S


def test_the_round_is_walked_in_the_first_pass_alone_each_step_in_its_place() -> None:
    walk = (SETS_OUT, *WALK)
    twice = list(scenes_of(2, walk))
    assert len(twice) == 2 * len(SCENES) + len(walk)
    assert [scene.at_s for scene in twice] == sorted(scene.at_s for scene in twice)
    assert [scene for scene in twice if scene.traces] == list(walk)
    assert {trace.kind for scene in walk for trace in scene.traces} == PATROL


def test_who_walks_looks_long_enough_at_each_place() -> None:
    for scene in WALK:
        (visit,) = (act for act in scene.acts if isinstance(act, Visit))
        is_all_well = not any(trace.kind == "hazard" for trace in scene.traces)
        assert visit.looks_s > 3 * len(visit.answers) or not is_all_well  # else it is hurried


async def test_playing_sends_the_patroller_and_says_what_must_come_of_it() -> None:
    walked: list[CardTap | Visit] = []
    traces: list[SownTrace] = []

    async def walk(act: CardTap | Visit) -> None:
        walked.append(act)

    async def switch(is_up: bool) -> None:
        raise AssertionError("no scene switches the broker")

    scenes = [replace(scene, at_s=0.0) for scene in (SETS_OUT, *WALK)]
    async with asyncio.timeout(20):
        await play(
            scenes, {}, switch_broker=switch, tell=lambda _: None, sown=[], ended=asyncio.Event(),
            walk=walk, traces=traces,
        )  # fmt: skip
    assert walked == [act for scene in scenes for act in scene.acts]
    assert traces == [SownTrace(trace) for scene in scenes for trace in scene.traces]


def test_a_drift_ends_exactly_at_its_value() -> None:
    steps = list(steps_of(28.0, Drift("x", "y", 235.0, 1.0)))
    assert len(steps) == 10
    assert steps == sorted(steps)
    assert steps[-1] == 235.0
    assert list(steps_of(28.0, Drift("x", "y", 1.0))) == [1.0]


async def test_playing_changes_the_devices_switches_the_broker_and_says_what_it_planted() -> None:
    devices = build_house().devices
    told: list[Scene] = []
    switched: list[bool] = []
    sown: list[Sown] = []

    async def switch(is_up: bool) -> None:
        await asyncio.sleep(0)
        switched.append(is_up)

    now = [
        Scene(0.0, SCENES[0].say, (Drift("hydrant", "pressure", 0.05),), SCENES[0].plants),
        Scene(0.0, SCENES[1].say, (Hush("main-meter", True), BrokerSwitch(False))),
        Scene(0.05, SCENES[1].say, (BrokerSwitch(True),)),
    ]
    await play(
        now, devices, switch_broker=switch, tell=told.append, sown=sown, ended=asyncio.Event()
    )
    assert devices["hydrant"].truth["pressure"] == 0.05
    assert devices["main-meter"].is_silent
    assert switched == [False, True]
    assert told == now
    assert [one.plant for one in sown] == list(SCENES[0].plants)


async def test_a_story_that_is_ended_finishes_what_has_begun_and_begins_nothing_more() -> None:
    devices = build_house().devices
    told: list[Scene] = []
    ended = asyncio.Event()
    scenes = [
        Scene(0.0, SCENES[0].say, (Drift("hydrant", "pressure", 0.05, 0.3),)),
        Scene(3600.0, SCENES[1].say, (Hush("main-meter", True),)),
    ]

    def tell(scene: Scene) -> None:
        told.append(scene)
        ended.set()

    async def switch(is_up: bool) -> None:
        raise AssertionError("no scene switches the broker")

    async with asyncio.timeout(20):
        await play(scenes, devices, switch_broker=switch, tell=tell, sown=[], ended=ended)
    assert devices["hydrant"].truth["pressure"] == 0.05
    assert not devices["main-meter"].is_silent
    assert told == scenes[:1]


async def test_a_scene_that_is_called_comes_at_once_and_the_others_as_much_earlier() -> None:
    told: list[Scene] = []
    cue = Cue()
    scenes = [Scene(at_s, SCENES[0].say, ()) for at_s in (1000.0, 1000.05, 2000.0)]

    def tell(scene: Scene) -> None:
        told.append(scene)

    async def switch(is_up: bool) -> None:
        raise AssertionError("no scene switches the broker")

    async def call(number: int) -> None:
        while cue.scene is not scenes[number]:
            await asyncio.sleep(0.01)
        cue.called.set()

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(
            play(
                scenes, {}, switch_broker=switch, tell=tell, sown=[], ended=asyncio.Event(), cue=cue
            )
        )
        await call(0)
        await call(2)
    assert told == scenes
    assert cue.scene is None


async def test_a_later_drift_of_the_same_quantity_takes_over() -> None:
    devices = build_house().devices
    scenes = [
        Scene(0.0, SCENES[0].say, (Drift("hydrant", "pressure", 0.05, 0.5),)),
        Scene(0.0, SCENES[1].say, (Drift("hydrant", "pressure", 0.28, 0.2),)),
    ]

    async def switch(is_up: bool) -> None:
        raise AssertionError("no scene switches the broker")

    async with asyncio.timeout(20):
        await play(
            scenes, devices, switch_broker=switch, tell=lambda _: None, sown=[],
            ended=asyncio.Event(),
        )  # fmt: skip
    assert devices["hydrant"].truth["pressure"] == 0.28
