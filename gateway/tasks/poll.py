"""Poll one bus for ever: what the schedule says is read and put into the inbox, one at a time.

Who is next and what a silence means is `core.schedule`'s; here is only the waiting. Whatever
happens is a `BlockRead` in the inbox.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable

from gateway.core.blocks import ReadBlock
from gateway.core.schedule import Schedule, Words
from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent, ReadFailure
from gateway.domain.events import BlockRead, FaultCleared, FaultRaised

log = logging.getLogger(__name__)

ReadWords = Callable[[ReadBlock, int], Awaitable[Words]]


class Nudges:
    """Points whose blocks shall be read soon: put in by the decider, taken out by one bus."""

    def __init__(self) -> None:
        self._points: set[str] = set()

    def add(self, points: Iterable[str]) -> None:
        self._points.update(points)

    def take(self) -> frozenset[str]:
        """Return what was added since the last time."""
        taken = frozenset(self._points)
        self._points.clear()
        return taken


def tell_fault(
    look: Callable[[], str],
    code: str,
    subject: str,
    post: Callable[[FaultRaised | FaultCleared], object],
) -> Callable[[], None]:
    """Return what posts this fault when `look` finds something wrong, and its end once it is over.

    To be called often. The end is also told at the first call: the fault may be of an earlier run.
    """
    is_raised: bool | None = None

    def tell() -> None:
        nonlocal is_raised
        wrong = look()
        if is_raised is not bool(wrong):
            is_raised = bool(wrong)
            post(FaultRaised(code, subject, wrong) if wrong else FaultCleared(code, subject))

    return tell


def no_nudges() -> Collection[str]:
    return ()


def never() -> bool:
    return False


async def poll_bus(
    schedule: Schedule,
    *,
    read: ReadWords,
    put: Callable[[BlockRead], Awaitable[None]],
    clock: Callable[[], int],
    sleep_until: Callable[[int], Awaitable[None]],
    beat: Callable[[], None],
    nudged: Callable[[], Collection[str]] = no_nudges,
    is_over: Callable[[], bool] = never,
) -> None:
    """Read the blocks of one bus, each in its turn, until `is_over` between two of them.

    `read(block, timeout_ms)` returns words or raises a ReadFailure. `put` may wait: the inbox is
    full. `clock` is monotonic, in ms. `nudged` gives the points with a pending alarm that were
    named since the last call.
    """
    while not is_over():
        beat()
        now = clock()
        schedule.hasten(nudged(), now)
        for missed in schedule.missed_while_down(now):
            await put(missed)
        turn = schedule.next_turn(now)
        if turn is None:
            await sleep_until(schedule.wake_ms(now))
            continue
        outcome = await _outcome(read, turn.block, schedule.timeout_ms(turn.block))
        for event in schedule.note(turn, outcome, started_ms=now, now_ms=clock()):
            await put(event)
        while schedule.news:
            device, takes, asked = schedule.news.pop()
            log.warning(
                "device says nothing to long questions device=%s answers=%d silent_at=%d"
                " cure='max_registers: %d in its profile'", device, takes, asked, takes
            )  # fmt: skip


async def _outcome(read: ReadWords, block: ReadBlock, timeout_ms: int) -> Words | ReadFailure:
    try:
        return await read(block, timeout_ms)
    except (DeviceSilent, DeviceRefused, BusDown) as failure:
        return failure
