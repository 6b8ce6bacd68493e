"""A person's hands on the stage: each verb is done where it belongs and noted for the verdict."""

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.drivers.sockets import NoAnswer
from gateway.sim.hands import WHO, Hands
from gateway.sim.house import Cue, build_house
from gateway.sim.story import METER, SCENES, Hush, Scene
from gateway.sim.touches import Act


def hands_with(reply: Mapping[str, Any] | None) -> tuple[Hands, list[dict[str, object]]]:
    """Hands over a house, and what they ask of a daemon that always answers the same."""
    asked: list[dict[str, object]] = []
    is_up = [True]

    async def ask(request: dict[str, object]) -> Mapping[str, Any]:
        asked.append(request)
        if reply is None:
            raise NoAnswer("no daemon listens here")
        return reply

    async def switch(up: bool) -> None:
        is_up[0] = up

    return Hands(ask, build_house().devices, switch, lambda: is_up[0], Cue()), asked


def acts(hands: Hands) -> list[Act]:
    return [touch.act for touch in hands.touches]


@pytest.mark.parametrize("verb", ["silence", "acknowledge", "reset"])
async def test_who_answers_an_alarm_has_the_duty_from_then_on(verb: str) -> None:
    hands, asked = hands_with({"ok": True})
    assert not hands.is_on_duty
    assert verb in (await hands.answer(verb)).en
    assert asked == [{"verb": verb, "by": WHO}]
    assert hands.is_on_duty
    assert acts(hands) == [Act.ANSWER, Act.TAKE_DUTY]
    hands.hand_over()
    assert not hands.is_on_duty
    hands.hand_over()
    assert hands.is_on_duty


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ({"ok": False, "code": "nothing_to_do"}, "there is nothing to reset"),
        ({"ok": False, "code": "no_answer"}, "the gateway answers no_answer"),
        (None, "no daemon listens here"),
    ],
)
async def test_what_the_daemon_did_not_do_is_said_and_leaves_the_duty_with_the_staff(
    reply: Mapping[str, Any] | None, said: str
) -> None:
    hands, _ = hands_with(reply)
    assert said in (await hands.answer("reset")).en
    assert not hands.is_on_duty


async def test_devices_and_the_broker_go_away_and_come_back() -> None:
    hands, _ = hands_with(None)
    assert "pulled" in hands.pull(METER).en
    assert hands.devices[METER].is_silent
    assert "back" in hands.pull(METER).en
    assert not hands.devices[METER].is_silent
    assert "stopped" in (await hands.turn_broker()).en
    assert not hands.is_broker_up()
    assert "started" in (await hands.turn_broker()).en
    assert hands.is_broker_up()
    assert acts(hands) == [Act.PULL, Act.PLUG, Act.STOP_BROKER, Act.START_BROKER]


async def test_the_next_scene_is_called_only_while_there_is_one() -> None:
    hands, _ = hands_with(None)
    assert "no further scene" in hands.call_next().en
    assert not hands.touches
    hands.cue.scene = SCENES[0]
    hands.call_next()
    assert hands.cue.called.is_set()
    assert acts(hands) == [Act.NEXT]


def test_what_the_story_brings_back_is_plugged_only_if_it_was_pulled() -> None:
    back = Scene(0.0, SCENES[-1].say, (Hush(METER, is_silent=False),))
    hands, _ = hands_with(None)
    hands.note_scene(back)
    assert acts(hands) == []
    hands.pull(METER)
    hands.note_scene(back)
    assert acts(hands) == [Act.PULL, Act.PLUG]
