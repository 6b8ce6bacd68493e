import asyncio

from gateway.core.progress import STEPS_KEPT, Progress
from gateway.domain.moments import Clk, Now
from gateway.tasks.tail import tail


def clock() -> Now:
    return Now(10_000, None, Clk.NONE, None, "b")


async def test_who_begins_to_follow_learns_where_to_go_on():
    progress = Progress()
    progress.step("hello", 1)
    for after in (None, -1, 2, "1"):
        answer = await tail({"after": after}, progress, clock)
        assert answer == {"steps": [], "next": 1, "lost": 0}


async def test_a_follower_waits_for_the_next_step():
    progress = Progress()
    asked = asyncio.create_task(tail({"after": 0}, progress, clock))
    await asyncio.sleep(0)
    assert not asked.done()
    progress.step("hello", 1)
    answer = await asyncio.wait_for(asked, 30)
    assert [step["what"] for step in answer["steps"]] == ["hello"]
    assert answer["next"] == 1


async def test_a_follower_who_is_too_slow_is_told_how_much_he_missed():
    progress = Progress()
    for _ in range(STEPS_KEPT + 5):
        progress.step("hello", 1)
    answer = await tail({"after": 0}, progress, clock)
    assert (len(answer["steps"]), answer["lost"]) == (STEPS_KEPT, 5)
