"""Whoever watches is told at once what has changed, and is never waited for."""

import asyncio
import time

from gateway.core.state import DARK, State
from gateway.domain.moments import Clk, Now
from gateway.domain.outcome import Outcome
from gateway.domain.records import Lane, Record
from gateway.domain.signals import Lamp, Pattern, Signal
from gateway.tasks.watch import Changes, Watch

RED = Signal(Lamp.BLINK_2, Lamp.OFF, Lamp.OFF, Lamp.ON, Pattern.A1, 0)


def clock():
    return time.monotonic_ns() // 1_000_000


def state_with(signal):
    return State(house=None, signal=signal)


def raise_alarm(changes):
    changes.note(state_with(DARK), state_with(RED), Outcome(RED))


def counted(changes):
    """A watch whose view counts how often it was looked at."""
    looks = []

    def view():
        looks.append(1)
        return {"looks": len(looks)}

    return Watch(changes, view, clock), looks


async def test_the_first_question_is_answered_at_once():
    watch, _ = counted(Changes())
    assert await asyncio.wait_for(watch({}), 30) == {"n": 1, "looks": 1}


async def test_a_change_ends_the_waiting():
    changes = Changes()
    watch, _ = counted(changes)
    n = (await watch({}))["n"]
    asked = asyncio.create_task(watch({"after": n}))
    await asyncio.sleep(0)
    raise_alarm(changes)
    assert (await asyncio.wait_for(asked, 30))["n"] == n + 1


async def test_without_a_change_values_and_ages_come_again_after_a_second():
    watch, _ = counted(Changes())
    first = await watch({})
    begun = time.monotonic()
    again = await asyncio.wait_for(watch({"after": first["n"]}), 30)
    assert again == {"n": first["n"], "looks": 2}
    assert time.monotonic() - begun >= 0.9


async def test_a_change_between_two_questions_is_not_missed():
    changes = Changes()
    watch, _ = counted(changes)
    n = (await watch({}))["n"]
    raise_alarm(changes)
    begun = time.monotonic()
    assert (await watch({"after": n}))["n"] == n + 1
    assert time.monotonic() - begun < 0.9


async def test_a_flood_is_one_answer_and_many_watchers_are_one_look():
    changes = Changes()
    watch, looks = counted(changes)
    n = (await watch({}))["n"]
    asked = [asyncio.create_task(watch({"after": n})) for _ in range(30)]
    await asyncio.sleep(0)
    for _ in range(40):
        raise_alarm(changes)
    answers = await asyncio.gather(*asked)
    assert {answer["n"] for answer in answers} == {n + 40}
    assert len(looks) <= 3  # one for the first question; a busy machine may part the rest once


async def test_nobody_is_woken_by_what_changes_nothing():
    changes = Changes()
    changes.note(state_with(RED), state_with(RED), Outcome(RED))
    changes.note(state_with(RED), state_with(Signal(**_fields(RED))), Outcome(RED))
    assert changes.number == 1


async def test_a_record_is_a_change_also_when_the_signal_stays():
    changes = Changes()
    record = Record(Lane.B, "e", 1, "start", Now(0, None, Clk.NONE, None, "b"), b"{}")
    changes.note(state_with(RED), state_with(RED), Outcome(RED, records=(record,)))
    assert changes.number == 2


def _fields(signal):
    return {name: getattr(signal, name) for name in signal.__dataclass_fields__}
