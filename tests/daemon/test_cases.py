"""One alarm reaches three audiences through a real broker; their times stand on its case."""

import asyncio
import time

from gateway.sim.bus import open_tcp
from gateway.sim.devices import by_unit, lx47le
from tests.daemon.rig import LEAK, PATIENCE_S, open_daemon, open_platform, site_of, until
from tests.partners.broker import Mosquitto

HABITS = ("inst=0/0.2/0.4", "civil=0/0.3/0.6", "fire=silent")
SILENT = "gateway/audience_silent/fire"
UPLINK = (
    'uplink: {{gateway: aud-1, brokers: ["{url}"], reconnect: local, probe: 2s, '
    "receipt_within: 4s, receipt_level: seen}}\n"
)


def faults_of(status):
    return {alarm["rule"]: alarm for alarm in status["alarms"] if alarm["state"] in ("UA", "AA")}


async def case_when(daemon, holds, what):
    """The leak's case, when it looks as wanted."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = await daemon.ask(verb="case", case=LEAK)
        case = answer and answer["case"]
        if case and holds(case):
            return case
        assert time.monotonic() < deadline, f"waited for {what}:\n{case}\n{daemon.log()}"
        await asyncio.sleep(0.05)


async def test_three_audiences_stand_on_the_case_a_silent_one_escalates_and_two_close_it(tmp_path):
    board = lx47le("board", 3)
    audiences = [word for habit in HABITS for word in ("--audience", habit)]
    with Mosquitto() as broker:
        async with (
            open_tcp(by_unit([board])) as bus,
            open_platform(tmp_path, broker.url, "platform", *audiences) as platform,
            open_daemon(tmp_path, site_of(bus.port) + UPLINK.format(url=broker.url)) as daemon,
        ):
            await daemon.start()
            await daemon.status_when(lambda s: s["link"]["is_platform_present"], "the platform")
            board.truth["residual_current"] = 600.0
            case = await case_when(
                daemon,
                lambda case: all("seen" in case["aud"][name] for name in ("inst", "civil")),
                "two audiences to see the alarm",
            )
            (raised,) = platform.raises(LEAK)
            assert case["case"] == raised["alarm"]
            for name in ("inst", "civil"):
                told = [case["aud"][name][level] for level in ("stored", "sent", "seen")]
                assert all(receipt["got"]["mono"] >= raised["mono"] for receipt in told)
                assert [receipt["at"] for receipt in told] == sorted(r["at"] for r in told)
            assert "stored" not in case["aud"]["fire"]
            status = await daemon.status_when(lambda s: SILENT in faults_of(s), "the silence")
            assert status["cases"] == {"open": 1, "to_handle": 1, "to_close": 0}
            assert faults_of(status)[SILENT]["say"]["zh"] == "消防部门没有签收报警"

            before = (await daemon.ask(verb="case", case=LEAK))["case"]
            assert before["aud"]["fire"]["silent"]["mono"] - raised["mono"] >= 4_000
            await until(lambda: platform.raises(SILENT), "the fault at the platform: it is on disk")
            await daemon.kill()
            await daemon.start()
            after = await case_when(daemon, lambda case: True, "the case after the kill")
            assert {**after, "evidence": None} == {**before, "evidence": None}
            assert after["evidence"]["before"] == before["evidence"]["before"]
            await people_close_it(board, daemon)

            await daemon.status_when(lambda s: SILENT not in faults_of(s), "the silence to end")
            assert (await daemon.ask(verb="cases"))["open"] == []
            (closed,) = await until(lambda: facts(platform, "case"), "the case at the platform")
            assert (await daemon.ask(verb="cases"))["closed"] == [closed]  # once it is on disk
            assert (await daemon.ask(verb="case", case=closed["case"]))["case"] == closed
            assert closed["aud"] == before["aud"]
            assert raised["last"] in closed["evidence"]["reply"]["words"]  # 600, and some noise
            assert closed["evidence"]["whole"] is False  # the kill stands in the minute after
            who = ("silenced", "acked", "arrived", "reset", "finding", "closed")
            assert [closed[act] and closed[act]["by"] for act in who] == [
                "panel", "E01", "E02", "E01", "E02", "E03"
            ]  # fmt: skip
            assert closed["t_close"] > closed["t_arrive"] > closed["t_ack"] > 0


def facts(platform, kind):
    return [body["data"] for body in platform.applied("B") if body.get("kind") == kind]


async def people_close_it(board, daemon):
    """Silence, acknowledge, arrive, mend, reset, judge; the one who judged cannot close."""

    async def say(code, verb, by, **more):
        answer = await daemon.ask(verb=verb, by=by, **more)
        assert (answer["code"], answer["ok"]) == (code, code == "done"), answer
        return answer

    await say("done", "silence", "panel")
    await say("done", "acknowledge", "E01", alarm=LEAK)
    await say("done", "arrive", "E02", place="1F 配电间")
    await say("alarm_active", "close", "E03", case=LEAK)
    board.truth["residual_current"] = 20.0
    await daemon.status_when(
        lambda s: any(a["rule"] == LEAK and a["state"] == "LA" for a in s["alarms"]), "normal"
    )
    await say("alarm_unreset", "close", "E03", case=LEAK)
    await say("needs_verdict", "reset", "E01", alarm=LEAK)
    await say("text_too_short", "handle", "E02", case=LEAK, verdict="false", text="没事")
    await say("done", "handle", "E02", case=LEAK, verdict="false", cause="dust_or_damp")
    await say("done", "reset", "E01", alarm=LEAK)
    refused = await say("same_person", "close", "E02", case=LEAK)
    assert refused["say"]["zh"].startswith("报警的处置人不能自己销号")
    await say("done", "close", "E03", case=LEAK)
