import asyncio
from dataclasses import dataclass
from types import SimpleNamespace

from gateway.core.state import DARK
from gateway.domain.events import FaultRaised, Stopping, Ticked
from gateway.domain.moments import Clk, Now
from gateway.domain.outcome import Outcome, Reply
from gateway.tasks.decide import decide


@dataclass
class Decided:
    state: object


def now():
    return Now(5_000, None, Clk.NONE, None, "b00t")


async def run(events, *, step, due=None, **given):
    """Run `decide` over a list of events; returns the calls made, in order."""
    calls, waits = [], []
    queue = iter(events)

    async def get(until):
        waits.append(until)
        await asyncio.sleep(0)
        return next(queue)

    decided = Decided(SimpleNamespace(next_deadline_ms=due))
    await decide(
        get,
        decided,
        show=lambda signal: calls.append("show"),
        submit=lambda outcome: calls.append("submit"),
        nudge=lambda points: calls.append(("nudge", points)),
        answer=lambda reply: calls.append(("answer", reply.to)),
        tell=lambda before, after, outcome: calls.append("tell"),
        beat=lambda: calls.append("beat"),
        clock=now,
        step=step,
        **given,
    )
    return calls, waits, decided


def outcome(state, event, moment):
    return state, Outcome(DARK, nudges=("a.b",), replies=(Reply(4, ok=True, code="done"),))


async def test_people_are_shown_first_and_the_store_comes_after():
    calls, _, _ = await run([Stopping()], step=outcome)
    assert calls == ["beat", "show", "submit", ("nudge", ("a.b",)), ("answer", 4), "tell"]


async def test_it_ends_only_after_stopping_was_decided():
    seen = []

    def step(state, event, moment):
        seen.append(type(event).__name__)
        return state, Outcome(DARK)

    await run([Ticked(), FaultRaised("x", "y"), Stopping(), Ticked()], step=step)
    assert seen == ["Ticked", "FaultRaised", "Stopping"]


async def test_it_waits_for_the_next_deadline_but_beats_in_a_quiet_house():
    _, waits, _ = await run([Stopping()], step=outcome, due=5_400)
    assert waits == [5_400]
    _, waits, _ = await run([Stopping()], step=outcome, due=None)
    assert waits == [6_000]
    _, waits, _ = await run([Stopping()], step=outcome, due=900_000)
    assert waits == [6_000]
