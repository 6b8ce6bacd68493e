"""The one loop that decides: an event in, the panel first, then everything else."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.core.state import State
from gateway.core.step import step as decide_one
from gateway.domain.events import Event, Stopping
from gateway.domain.moments import Now
from gateway.domain.outcome import Outcome, Reply
from gateway.domain.signals import Signal

Step = Callable[[State, Event, Now], tuple[State, Outcome]]


class Decided(Protocol):
    """Where the state lives: it outlasts a restart of the loop, and views read it."""

    state: State


async def decide(
    get: Callable[[int | None], Awaitable[Event]],
    decided: Decided,
    *,
    show: Callable[[Signal], None],
    submit: Callable[[Outcome], None],
    nudge: Callable[[tuple[str, ...]], None],
    answer: Callable[[Reply], None],
    tell: Callable[[State, State, Outcome], None],
    beat: Callable[[], None],
    clock: Callable[[], Now],
    step: Step = decide_one,
    beat_every_ms: int = 1_000,
) -> None:
    """Decide events until `Stopping` was decided. Never waits for disk or network.

    `get` returns the next event, or `Ticked` at the given monotonic moment; with nothing else to
    wait for it is asked to come back every `beat_every_ms`, so that the panel and the watchdog
    can tell a quiet house from a dead decider.
    """
    while True:
        beat()
        due = decided.state.next_deadline_ms
        idle = clock().mono_ms + beat_every_ms
        event = await get(idle if due is None else min(due, idle))
        before = decided.state
        decided.state, outcome = step(before, event, clock())
        show(outcome.signal)  # people first: needs neither disk nor network
        submit(outcome)  # to the writer threads; never waits for the disk
        nudge(outcome.nudges)
        for reply in outcome.replies:
            answer(reply)
        tell(before, decided.state, outcome)
        if isinstance(event, Stopping):
            return
