"""Gateway, platform and broker killed in turn; and a tail of commits that the card loses."""

import random
from dataclasses import replace

from tests.daemon.chaos import cut_tail, kill_all_round, open_chaos, rows_of
from tests.daemon.history import check, key_of
from tests.daemon.rig import until

SEED = 90  # all three die; one cause is brief, and the gateway is killed in its start as well
KILLS = 6  # `scripts/soak kills` makes 300, `scripts/soak kills --kills 2000` the soak
LOST_COMMITS = 12
DRAINED_WITHIN_S = 60


async def test_kills_of_gateway_platform_and_broker_lose_nothing_and_double_nothing(tmp_path):
    done = await kill_all_round(tmp_path, KILLS, random.Random(SEED))
    assert done.broken == ""
    assert set(done.kills) == {"gateway", "platform", "broker"}
    found = check(done.history)
    assert found.problems == ()
    assert (found.lost, found.duplicates) == (0, 0)
    assert len(done.history.sounded) == found.planted - found.excused
    assert done.drained_s <= DRAINED_WITHIN_S
    assert done.tracebacks == 0
    assert done.chains == ""


async def test_the_alarm_after_a_lost_tail_arrives_though_the_platform_had_acknowledged_more(
    tmp_path,
):
    async with open_chaos(tmp_path) as chaos:
        for _ in range(2):
            await chaos.one_alarm()
        await chaos.drained()
        await chaos.daemon.kill()
        before, _ = rows_of(chaos.daemon.store)
        cut_tail(chaos.daemon.store / "core.db", LOST_COMMITS)
        after, _ = rows_of(chaos.daemon.store)
        cut_off = {key_of(body) for body in before} - {key_of(body) for body in after}
        assert {lane for _, lane, _ in cut_off} == {"A", "B"}
        assert cut_off <= {key_of(body) for body in chaos.town.applied()}, "it was acknowledged"

        await chaos.daemon.start()
        await chaos.drained()
        await chaos.acknowledge_all()
        await chaos.one_alarm()
        await chaos.calm()
        history = chaos.history(cut_off=frozenset(cut_off))
    found = check(history)
    assert found.problems == ()
    assert len([b for b in history.applied if b.get("tr") == "raise" and "bank" in b["rule"]]) == 3


async def test_what_a_platform_acknowledged_and_lost_comes_again_when_it_asks(tmp_path):
    """The liar loses every third number of alarms and facts for good, until it asks for it."""
    async with open_chaos(tmp_path, "--mode", "lie", "--heal", "0.5") as chaos:
        for _ in range(3):
            await chaos.one_alarm()
        await chaos.drained()

        def missing() -> set:
            rows, _ = rows_of(chaos.daemon.store)
            there = {key_of(body) for body in chaos.town.applied()}
            return {key_of(body) for body in rows if body["lane"] != "R"} - there

        await until(lambda: not missing(), "all to be replayed")
        assert await chaos.daemon.stop() == 0
        history = chaos.history()
    slow = replace(  # of the readings the last ones may be lost still, and of the farewell's facts
        history,
        committed=[body for body in history.committed if body["lane"] == "A"],
        applied=[body for body in history.applied if body["lane"] == "A"],
        acknowledged=[key for key in history.acknowledged if key[1] == "A"],
    )
    assert check(slow).problems == ()
    assert any(key_of(body)[2] % 3 == 0 for body in slow.applied), "which was lost at first"
