"""Supervision: an error is seen and retried, siblings live, a cancellation passes."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from gateway.domain.events import FaultCleared, FaultRaised
from gateway.tasks.supervise import WELL_AFTER_S, supervise

Posted = list[FaultRaised | FaultCleared]


class Sleeper:
    """Sleeps that end when the test says so; remembers how long each was asked to be."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.wells: list[asyncio.Future[None]] = []

    async def sleep(self, seconds: float) -> None:
        if seconds == WELL_AFTER_S:
            well = asyncio.get_running_loop().create_future()
            self.wells.append(well)
            await well
        else:
            self.asked.append(seconds)
            await asyncio.sleep(0)


def failing(errors: list[BaseException | None]) -> Callable[[], Awaitable[None]]:
    """A task that raises each error in turn; None lets it run for ever."""

    async def make() -> None:
        error = errors.pop(0)
        if error is None:
            await asyncio.get_running_loop().create_future()
        else:
            raise error

    return make


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_true():
            await asyncio.sleep(0)


async def test_an_error_becomes_one_fault_and_waits_grow_to_the_longest() -> None:
    sleeper, posted = Sleeper(), Posted()
    errors: list[BaseException | None] = [ValueError("odd")] * 9
    errors.append(None)
    task = asyncio.create_task(
        supervise("poll a", failing(errors), post=posted.append, sleep=sleeper.sleep)
    )
    await until(lambda: not errors)
    assert sleeper.asked == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert posted == [FaultRaised("task_failed", "poll a", "ValueError: odd")]
    task.cancel()


async def test_another_error_of_the_same_task_updates_the_fault() -> None:
    sleeper, posted = Sleeper(), Posted()
    errors: list[BaseException | None] = [ValueError("odd"), KeyError("x"), None]
    task = asyncio.create_task(
        supervise("poll a", failing(errors), post=posted.append, sleep=sleeper.sleep)
    )
    await until(lambda: not errors)
    assert [event.detail for event in posted if isinstance(event, FaultRaised)] == [
        "ValueError: odd",
        "KeyError: 'x'",
    ]
    task.cancel()


async def test_running_well_clears_the_fault_and_makes_the_next_wait_short_again() -> None:
    sleeper, posted = Sleeper(), Posted()
    trip = asyncio.Event()
    errors = [ValueError("a"), ValueError("b"), None, None]

    async def make() -> None:
        error = errors.pop(0)
        if error is not None:
            raise error
        await trip.wait()
        trip.clear()
        raise ValueError("c")

    task = asyncio.create_task(supervise("poll a", make, post=posted.append, sleep=sleeper.sleep))
    await until(lambda: len(errors) == 1 and sleeper.wells != [])
    sleeper.wells[-1].set_result(None)
    await until(lambda: posted[-1:] == [FaultCleared("task_failed", "poll a")])
    trip.set()
    await until(lambda: not errors)
    assert sleeper.asked == [0.5, 1, 0.5]
    assert posted[-1] == FaultRaised("task_failed", "poll a", "ValueError: c")
    task.cancel()


async def test_a_failure_before_the_minute_is_over_does_not_clear_the_fault() -> None:
    sleeper, posted = Sleeper(), Posted()
    trips = 2

    async def make() -> None:
        nonlocal trips
        if trips == 0:
            await asyncio.get_running_loop().create_future()
        seen = len(sleeper.wells)
        trips -= 1
        if trips == 0:  # the second run lasts until its minute is being counted
            await until(lambda: len(sleeper.wells) > seen)
        raise ValueError("a")

    task = asyncio.create_task(supervise("poll a", make, post=posted.append, sleep=sleeper.sleep))
    await until(lambda: len(sleeper.wells) == 2)
    assert sleeper.wells[0].cancelled()
    assert posted == [FaultRaised("task_failed", "poll a", "ValueError: a")]
    task.cancel()


async def test_siblings_go_on_when_one_fails() -> None:
    posted = Posted()
    done: list[str] = []

    async def sibling() -> None:
        await until(lambda: bool(posted))
        done.append("sibling")

    async with asyncio.TaskGroup() as group:
        group.create_task(
            supervise(
                "bad",
                failing([RuntimeError("no"), asyncio.CancelledError(), None]),
                post=posted.append,
                sleep=Sleeper().sleep,
            ),
        ).add_done_callback(lambda _: done.append("bad"))
        good = group.create_task(supervise("good", sibling, post=posted.append))
        await good
        assert done == ["sibling"]
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
    assert len(done) == 2


async def test_a_cancellation_of_the_task_itself_passes() -> None:
    posted = Posted()
    task = asyncio.create_task(supervise("poll a", failing([None]), post=posted.append))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert posted == []


async def test_a_library_s_own_cancelled_future_is_an_error_and_no_end() -> None:
    posted = Posted()
    errors: list[BaseException | None] = [asyncio.CancelledError("closed"), None]
    task = asyncio.create_task(
        supervise("poll a", failing(errors), post=posted.append, sleep=Sleeper().sleep)
    )
    await until(lambda: not errors)
    assert posted == [FaultRaised("task_failed", "poll a", "CancelledError: closed")]
    task.cancel()


async def test_a_task_that_ends_by_itself_ends_its_supervision() -> None:
    posted, errors = Posted(), [ValueError("a")]

    async def make() -> None:
        if errors:
            raise errors.pop()

    await supervise("decide", make, post=posted.append, sleep=Sleeper().sleep)
    assert posted == [
        FaultRaised("task_failed", "decide", "ValueError: a"),
        FaultCleared("task_failed", "decide"),
    ]


async def test_a_group_of_errors_is_one_failure() -> None:
    posted = Posted()
    errors: list[BaseException | None] = [ExceptionGroup("two", [ValueError(), KeyError()]), None]
    task = asyncio.create_task(
        supervise("forward", failing(errors), post=posted.append, sleep=Sleeper().sleep)
    )
    await until(lambda: not errors)
    assert len(posted) == 1
    task.cancel()


async def test_what_a_task_worked_with_is_let_go_when_it_is_ended_without_the_collector() -> None:
    class Site:
        """Something that a weak reference can be made of."""

    async def plan(_: Site) -> None:
        await asyncio.get_running_loop().create_future()

    site = Site()
    seen = weakref.ref(site)
    gc.disable()
    try:
        async with asyncio.TaskGroup() as group:
            make = partial(plan, site)
            task = group.create_task(supervise("plan", make, post=lambda _: None))
            await asyncio.sleep(0)
            del site, make
            task.cancel()
            await asyncio.wait({task})
            del task
            await asyncio.sleep(0)
            assert seen() is None
    finally:
        gc.enable()
