"""Drill, self-test and post check of a whole daemon: at its pins, and as the platform gets them."""

from contextlib import asynccontextmanager

from gateway.sim.bus import open_tcp
from gateway.sim.devices import by_unit, lx47le
from tests.daemon.rig import LEAK, boot_ms, open_daemon, open_platform, site_of, until
from tests.partners.broker import Mosquitto


@asynccontextmanager
async def house(folder, gateway, *options):
    """A breaker, its daemon after the lamp test, and a platform that has it on the line."""
    board = lx47le("board", 3)
    with Mosquitto() as broker:
        async with (
            open_platform(folder, broker.url, "platform", *options) as platform,
            open_tcp(by_unit([board])) as bus,
            open_daemon(folder, site_of(bus.port, broker=broker.url, gateway=gateway)) as daemon,
        ):
            await daemon.start()
            await daemon.status_when(
                lambda status: (
                    status["link"]["is_platform_present"]
                    and status["panel"]["signal"]["pattern"] != "B"
                ),
                "the platform, and the end of the lamp test",
            )
            yield board, daemon, platform


async def test_a_real_alarm_breaks_through_a_drill_and_every_record_of_the_drill_says_so(
    short_path,
):
    async with house(short_path, "drill-1") as (board, daemon, platform):
        began = boot_ms()
        answer = await daemon.ask(
            verb="drill_start", by="s01", scenario="1F 起火", scope="1F", rules=[LEAK]
        )
        assert answer == {"ok": True, "code": "done"}
        (drilled,) = await until(lambda: platform.raises(LEAK), "the drill at the platform")
        assert (drilled["drill"], drilled["aud"]) == (True, [])
        await until(
            lambda: {"red", "buzzer"} <= {pin for _, pin, level in daemon.pins(began) if level},
            "the drill at the pins",
        )

        board.truth["residual_current"] = 600.0
        status = await daemon.status_when(
            lambda status: status["practice"]["drill"] is None, "the end of the drill"
        )
        broken = boot_ms()
        assert [a["is_drill"] for a in status["alarms"] if a["severity"] == "alarm"] == [False]
        assert status["panel"]["signal"]["pattern"] == "A1"
        await until(lambda: daemon.has_sounded_alarm(broken), "the real alarm at the pins")

        await until(lambda: platform.facts("drill_end"), "the timeline at the platform")
        await until(lambda: len(platform.raises(LEAK)) == 2, "the real alarm at the platform")
        real = platform.raises(LEAK)[1]
        assert (real["drill"], real["test"]) == (False, False)
        assert real["aud"] == ["inst", "civil", "fire"]
        (ended,) = platform.facts("drill_end")
        assert (ended["drill"], ended["data"]["ended"]) == (True, "real_alarm")
        assert [scene["what"] for scene in ended["data"]["timeline"]] == ["raise", "clear"]

        about = [
            body
            for body in platform.applied()
            if drilled["alarm"] in (body.get("alarm"), body.get("data", {}).get("alarm"))
            or body.get("data", {}).get("case") == drilled["alarm"]
            or body.get("kind") in ("drill_start", "drill_end")
        ]
        assert len(about) >= 4
        assert all(body.get("drill") is True for body in about), about
        others = [body for body in platform.applied() if body not in about]
        assert not any(body.get("drill") for body in others)
        assert await daemon.stop() == 0


async def test_the_self_test_goes_all_the_way_unheard_and_a_post_check_is_asked_and_answered(
    short_path,
):
    async with house(short_path, "night-1", "--post-check", "5") as (_, daemon, platform):
        await daemon.status_when(
            lambda status: status["panel"]["signal"]["pattern"] == "Q", "the question at the desk"
        )
        answer = await daemon.ask(verb="answer_post_check", by="s02")
        assert answer == {"ok": True, "code": "done"}
        await until(lambda: len(platform.facts("post_check")) == 2, "the answer at the platform")
        said = [fact["data"] for fact in platform.facts("post_check")]
        assert [(each["result"], each["by"], each["late"]) for each in said] == [
            ("asked", "", False), ("answered", "s02", False),
        ]  # fmt: skip
        assert {each["source"] for each in said} == {"platform"}

        await daemon.status_when(
            lambda status: status["panel"]["signal"]["pattern"] == "-", "silence"
        )
        quiet = boot_ms()
        assert await daemon.ask(verb="self_test", by="t01") == {"ok": True, "code": "done"}
        (result,) = await until(lambda: platform.facts("self_test"), "the result")
        assert result["data"]["reached"][:2] == ["decode", "rule"]
        assert sorted(result["data"]["reached"]) == [
            "decode", "panel", "rule", "store", "uplink",
        ]  # fmt: skip
        assert (result["data"]["result"], result["data"]["missed"]) == ("passed", None)
        tested = [body for body in platform.applied("A") if body["test"]]
        assert [body["tr"] for body in tested] == ["raise", "clear"]
        assert {pin for _, pin, level in daemon.pins(quiet) if level} <= {"green"}
        assert await daemon.stop() == 0
