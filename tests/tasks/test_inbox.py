"""The inbox: people first, bounded, exact deadlines, nothing lost when cancelled."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from gateway.domain.events import (
    BlockRead,
    Event,
    FaultRaised,
    LinkChanged,
    Silence,
    SiteChanged,
    Stopping,
    Ticked,
)
from gateway.domain.readings import Quality, Reading
from gateway.drivers.clock import mono
from gateway.tasks.inbox import Inbox


def block(number: int) -> BlockRead:
    return BlockRead("bus", f"device-{number}", ())


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_true():
            await asyncio.sleep(0)


async def test_a_command_overtakes_the_readings_that_wait() -> None:
    inbox = Inbox(mono)
    await inbox.put(block(1))
    inbox.put_first(Silence("panel"))
    assert await inbox.get() == Silence("panel")
    assert await inbox.get() == block(1)


async def test_what_rules_judge_overtakes_what_is_only_shown_but_not_for_long() -> None:
    now = 1_000
    inbox = Inbox(lambda: now)
    shown, judged = block(1), replace(block(2), is_alarm_class=True)
    await inbox.put(shown)
    await inbox.put(judged)
    assert [await inbox.get() for _ in range(2)] == [judged, shown]
    await inbox.put(shown)
    now += 150
    await inbox.put(judged)
    assert [await inbox.get() for _ in range(2)] == [shown, judged]


async def test_blocks_of_one_device_come_out_as_they_went_in() -> None:
    inbox = Inbox(lambda: 1_000)
    went_in = [
        BlockRead(
            "bus", "head", (Reading("head.n", n, Quality.GOOD, n),), is_alarm_class=n % 2 == 1
        )
        for n in range(6)
    ]
    for event in went_in:
        await inbox.put(event)
    assert [await inbox.get() for _ in went_in] == went_in


async def test_another_site_comes_behind_every_block_that_was_read_under_the_old_one() -> None:
    inbox = Inbox(lambda: 1_000)
    shown, judged = block(1), replace(block(2), is_alarm_class=True)
    another = SiteChanged(None)
    for event in (shown, judged, another):
        await inbox.put(event)
    assert [await inbox.get() for _ in range(3)] == [judged, shown, another]


async def test_a_deadline_that_passed_comes_before_readings_and_after_commands() -> None:
    inbox = Inbox(lambda: 1_000)
    await inbox.put(block(1))
    inbox.put_first(Silence("panel"))
    assert [await inbox.get(1_000) for _ in range(3)] == [Silence("panel"), Ticked(), block(1)]


async def test_a_deadline_stuck_in_the_past_neither_starves_readings_nor_the_loop() -> None:
    inbox = Inbox(lambda: 1_000)
    got: list[Event] = []

    async def read_on() -> None:
        while True:
            got.append(await inbox.get(0))

    reader = asyncio.create_task(read_on())
    for number in range(20):
        await inbox.put(block(number))
    await until(lambda: block(19) in got)
    reader.cancel()
    assert [event for event in got if event != Ticked()] == [block(n) for n in range(20)]


async def test_a_deadline_is_never_early_and_wakes_a_sleeping_reader() -> None:
    inbox = Inbox(mono)
    due = mono() + 30
    async with asyncio.timeout(20):
        assert await inbox.get(due) == Ticked()
    assert mono() >= due


async def test_a_reader_that_waits_for_a_deadline_gets_an_event_before_it() -> None:
    inbox = Inbox(mono)
    reader = asyncio.create_task(inbox.get(mono() + 600_000))
    await asyncio.sleep(0)
    await inbox.put(block(1))
    async with asyncio.timeout(20):
        assert await reader == block(1)


async def test_a_producer_waits_while_the_inbox_is_full_and_then_goes_on() -> None:
    inbox = Inbox(mono, capacity=2)
    await inbox.put(block(1))
    await inbox.put(block(2))
    producer = asyncio.create_task(inbox.put(block(3)))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not producer.done()
    assert await inbox.get() == block(1)
    await until(producer.done)
    assert [await inbox.get(), await inbox.get()] == [block(2), block(3)]


async def test_a_command_never_waits_however_full_the_readings_are() -> None:
    inbox = Inbox(mono, capacity=1)
    await inbox.put(block(1))
    inbox.put_first(Silence("panel"))
    assert len(inbox) == 2


async def test_stopping_comes_after_everything_that_waits() -> None:
    inbox = Inbox(mono, capacity=1)
    await inbox.put(block(1))
    inbox.put_first(Stopping())
    late = asyncio.create_task(inbox.put(block(2)))
    await asyncio.sleep(0)
    inbox.put_first(Silence("panel"))
    expected = [Silence("panel"), block(1), block(2), Stopping()]
    assert [await inbox.get() for _ in range(4)] == expected
    await late


async def test_stopping_wakes_a_reader_that_has_nothing_to_read() -> None:
    inbox = Inbox(mono)
    reader = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put_first(Stopping())
    async with asyncio.timeout(20):
        assert await reader == Stopping()


async def test_a_cancelled_reader_takes_nothing_with_it() -> None:
    inbox = Inbox(mono)
    for number in range(200):
        reader = asyncio.create_task(inbox.get())
        await asyncio.sleep(0)
        await inbox.put(block(number))
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        got = await inbox.get() if reader.cancelled() else reader.result()
        assert got == block(number)
    assert len(inbox) == 0


async def test_a_cancelled_producer_leaves_its_place_to_the_next() -> None:
    inbox = Inbox(mono, capacity=1)
    await inbox.put(block(1))
    first = asyncio.create_task(inbox.put(block(2)))
    second = asyncio.create_task(inbox.put(block(3)))
    await asyncio.sleep(0)
    assert await inbox.get() == block(1)
    first.cancel()
    await until(second.done)
    assert await inbox.get() == block(3)


async def test_too_many_priority_events_drop_the_oldest_that_can_be_missed() -> None:
    inbox = Inbox(mono, capacity_first=3)
    inbox.put_first(Silence("a"))
    inbox.put_first(LinkChanged(is_up=False))
    inbox.put_first(Silence("b"))
    inbox.put_first(Silence("c"))
    assert inbox.dropped == 1
    got = [await inbox.get() for _ in range(4)]
    assert got[1:] == [Silence("a"), Silence("b"), Silence("c")]
    assert isinstance(got[0], FaultRaised)  # said once, before anything else
    assert got[0].code == "inbox_overrun"


async def test_what_was_withdrawn_is_passed_over_and_all_else_comes() -> None:
    inbox = Inbox(lambda: 1_000)
    refused, asked_again = SiteChanged("house", 1), SiteChanged("house", 1)
    for event in (refused, asked_again, block(1)):
        await inbox.put(event)
    inbox.withdraw(refused)
    came = [await inbox.get() for _ in range(3)]
    assert [event for event in came if not isinstance(event, Ticked)] == [asked_again, block(1)]
    assert asked_again in came
    assert not any(event is refused for event in came)


async def test_two_that_were_withdrawn_one_after_the_other_are_both_passed_over() -> None:
    inbox = Inbox(lambda: 1_000)
    first, second = SiteChanged("one", 1), SiteChanged("two", 2)
    for event in (first, second, block(1)):
        await inbox.put(event)
    inbox.withdraw(first)
    inbox.withdraw(second)
    came = [await inbox.get() for _ in range(3)]
    assert [event for event in came if not isinstance(event, Ticked)] == [block(1)]


async def test_what_was_withdrawn_too_late_changes_nothing() -> None:
    inbox = Inbox(lambda: 1_000)
    taken = SiteChanged("house", 1)
    await inbox.put(taken)
    assert await inbox.get() is taken
    inbox.withdraw(taken)
    await inbox.put(block(1))
    assert await inbox.get() == block(1)
