"""A whole commissioning, played by a script: from an empty folder to a signed sheet.

Bus, devices and the technician's hands are simulated; what is typed is the README's.
"""

import asyncio
import contextlib
import io
import json
import os
from pathlib import Path

from ruamel.yaml import YAML

from gateway.cli.main import main
from gateway.domain.families import LineSetting
from gateway.sim.devices import by_unit, lx47le, pzem016
from gateway.sim.mixed import open_mixed
from tests.daemon.rig import PATIENCE_S, Daemon, open_platform
from tests.partners.broker import Mosquitto
from tests.test_readme import README, commands

BOARD, METER = "lingxun-lx47le-3", "peacefair-pzem-016-4"
LEAK = f"{BOARD}.residual_current"
UID = "04A1B2C3D4E580"
PANEL = {"red": 17, "amber": 27, "yellow": 22, "green": 23, "buzzer": 24, "silence": 25}
PATROL = {
    "items": {"rounds": {"clear": {"say": "通道畅通"}}},
    "checkpoints": {"1F-EPS": {"name": "配电间", "place": "1F", "items": "rounds",
                               "tags": {"door": {"uid": UID}}}},
    "routes": {"night": {"name": "夜巡", "stops": ["1F-EPS"]}},
    "rounds": {"night": {"route": "night", "at": ["00:00"], "after": "12h"}},
    "readers": {"desk": {"place": "值班室"}},
}  # fmt: skip
PEOPLE = """\
people:
  t01: {name: 周工, role: technician}
  m01: {name: 陈总, role: manager}
"""
ANSWERS = {
    "bus/bus-1": "5",  # one unit is enough to see that others are looked for
    "device/*": ["ok", "ok", "ok"],  # a busy machine may lose an answer on the line
    f"point/{LEAK}": ["280", "28", "28"],  # misread, then looked at again
    "point/*": ["ok", "ok", "ok"],
    "points/*": "ok",
    f"trip/{LEAK}": "ok",
    f"trip/{BOARD}.temperature_n": "ok",
    "trip/*": "sim",
    "panel/*": "ok",
    "tag/*": "ok",
    "clock/*": "0",
    "sign/*": "m01",
}
OVER = {
    f"trip/{LEAK}/residual_alarm": ("residual_current", 600.0),
    f"trip/{BOARD}.temperature_n/temperature_alarm": ("neutral_temp", 90.0),
}
BAUD = 115_200  # the script has no patience


class Still:
    """No noise: the display shows what the registers say."""

    def gauss(self, mean, _spread):
        return mean


async def cli(*arguments):
    """(exit code, stdout, stderr) of a command, in a thread of this process: imports take long."""
    out, err = io.StringIO(), io.StringIO()

    def work():
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            return main([*map(str, arguments), "--lang", "en"])

    code = await asyncio.to_thread(work)
    return code, out.getvalue(), err.getvalue()


def complete(site: Path, broker: str) -> None:
    """What a technician adds to the proposed file: places, panel, platform, patrol."""
    yaml = YAML()
    house = yaml.load(site.read_text("utf-8"))
    house["panel"], house["patrol"] = PANEL, PATROL
    house["buses"]["bus-1"]["timeout"] = "3s"
    house["uplink"] = {"gateway": "elm-1", "brokers": [broker], "reconnect": "local"}
    board, meter = house["devices"][BOARD], house["devices"][METER]
    board["place"], meter["place"] = "1F 配电间", "1F 厨房"
    quick = {"for": "300ms", "clear_for": "100ms", "basis": "test"}
    board["rules"] = {name: dict(quick) for name in (
        "residual_alarm", "temperature_alarm", "voltage_high_alarm", "voltage_low_alarm",
    )}  # fmt: skip
    meter["rules"] = {name: dict(quick) for name in ("voltage_high_alarm", "voltage_low_alarm")}
    fast = ("residual_current", "temperature_n", "temperature_l1", "voltage_l1")
    board["points"] = {name: {"period": "200ms"} for name in fast}
    meter["points"] = {name: {"period": "200ms"} for name in ("voltage", "over_power_alarm")}
    with site.open("w", encoding="utf-8") as file:
        yaml.dump(house, file)
    people = site.with_name("people.yaml")
    people.write_text(PEOPLE, "utf-8")
    people.chmod(0o640)


@contextlib.asynccontextmanager
async def hands(daemon: Daemon, board, pipe: int):
    """A technician's hands: trips what is under test, presses the button, taps the tag."""

    async def work():
        usual = {"residual_current": 28.0, "neutral_temp": 31.0}
        while True:
            view = await daemon.ask(verb="acceptance") or {}
            for item in (item for item in view.get("items", []) if item["key"] in OVER):
                truth, over = OVER[item["key"]]
                is_on = item["is_tested"] and not item["is_tripped"]
                board.truth[truth] = over if is_on else usual[truth]
            trial = view.get("trial")
            if trial and trial["output"] == "silence" and trial["is_running"]:
                os.write(pipe, b"down\n")
                await asyncio.sleep(0.1)  # fingers are no faster
                os.write(pipe, b"up\n")
            others = (view.get("counts") or {}).get("others_open", [])
            if "tag/1F-EPS" in others and not any(o.startswith("panel/") for o in others):
                await daemon.ask(verb="tap", reader="desk", uid=UID)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(work())
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def running(folder: Path, site: Path):
    """The daemon on the technician's file, its clock synchronised; and its button's pipe."""
    pipe = folder / "button"
    os.mkfifo(pipe)
    daemon = Daemon(folder, site)
    daemon.sync_flag.touch()
    fd = os.open(pipe, os.O_RDWR)
    try:
        await daemon.start(f"button={pipe}")
        yield daemon, fd
    finally:
        if daemon.process is not None:
            await daemon.kill()
        os.close(fd)


def test_from_nothing_to_a_signed_sheet(short_path):
    port, site, sheet = (short_path / name for name in ("line", "site.yaml", "sheet.html"))
    board = lx47le("board", 3)
    board.noise = Still()
    devices = {LineSetting(BAUD): by_unit([board, pzem016("kitchen", 4)])}
    _, _, chapter = README.partition("\n## Commission a house\n")
    typed = [line.split() for line in commands(chapter.partition("\n## ")[0])]
    assert [words[1] for words in typed] == ["bus", "check", "run", "accept", "status"]

    def of_readme(verb, **places):
        """The README's command with this house's own places."""
        (words,) = [words[1:] for words in typed if words[1] == verb]
        return [places.get(word, word) for word in words]

    async def walk():
        with Mosquitto() as broker:
            async with (
                open_platform(short_path, broker.url) as platform,
                open_mixed(port, devices, turnaround_s=0.002),
            ):
                code, _, err = await cli(
                    *of_readme("bus", **{"/dev/ttyUSB0": port, "site.yaml": site}),
                    "--ids", "3-4", "--timeout", "1500", "--baud", BAUD,
                    "--socket", "/nowhere/s", "--site", "/nowhere/site.yaml",
                )  # fmt: skip
                assert code == 0, err
                complete(site, broker.url)
                code, out, err = await cli(*of_readme("check", **{"site.yaml": site}))
                assert code == 0, out + err
                async with running(short_path, site) as (daemon, pipe):
                    before = await settled(daemon)
                    counts = before["acceptance"]
                    assert len(counts["points_open"]) == counts["points"] == 16
                    answers = short_path / "answers.yaml"
                    answers.write_text(json.dumps(ANSWERS), "utf-8")
                    async with hands(daemon, board, pipe):
                        code, out, err = await cli(
                            *of_readme("accept", **{"E31": "t01", "acceptance.html": sheet}),
                            "--answers", answers, "--socket", daemon.socket, "--site", site,
                            "--tolerance", "20", "--trip-within", "60", "--json",
                        )  # fmt: skip
                    assert code == 0, err
                    document = json.loads(out)
                    judge(document, err, sheet, platform)
                    code, out, _ = await cli("status", "--socket", daemon.socket)
                    assert code == 0
                    assert "not accepted" not in out.lower()
                    assert "Acceptance signed by t01 and m01" in out
                    await until_settled(platform, document)
                    assert await daemon.stop() == 0
                    await daemon.start()
                    status = await daemon.status_when(lambda status: True, "the daemon again")
                    assert status["acceptance"] == document["counts"], "over a restart"
                    assert await daemon.stop() == 0
        return document["walk"]

    walked = asyncio.run(walk())
    assert walked["steps"] == 34
    assert 34 <= walked["prompts"] <= 40  # more where the line has lost an answer


async def settled(daemon):
    """The status once everything is read and the platform is there, after the scan's own work."""
    deadline = asyncio.get_running_loop().time() + 3 * PATIENCE_S
    while True:
        status = await daemon.ask(verb="status")
        if status is not None and _is_settled(status):
            return status
        assert daemon.process.returncode is None, daemon.log()
        assert asyncio.get_running_loop().time() < deadline, (status, daemon.log())
        await asyncio.sleep(0.1)


def _is_settled(status):
    points = status["points"]
    return (
        points
        and all(point["quality"] == "good" for point in points)
        and status["link"]["is_platform_present"]
        and status["panel"]["signal"]["pattern"] != "B"
    )


def judge(document, err, sheet, platform):
    """The sheet is whole, and the mistake on the way was seen and helped with."""
    counts = document["counts"]
    assert (counts["points_open"], counts["rules_open"], counts["others_open"]) == ([], [], [])
    assert (counts["signed"]["by"], counts["signed"]["partner"]) == ("t01", "m01")
    assert "it is not what the display shows" in err
    assert "A display of 280 would be read so" in err
    assert "scale: 10}" in err
    items = {item["key"]: item["accepted"] for item in document["items"]}
    assert items[f"point/{LEAK}"]["shown"] == "28"
    assert items[f"trip/{LEAK}/residual_alarm"]["value"] > 500
    assert items[f"trip/{BOARD}.voltage_l1/voltage_low_alarm"]["shown"] == "simulated"
    page = sheet.read_text("utf-8").replace("<wbr>", "")
    assert "signed by t01 and m01" in page
    assert LEAK in page
    assert "class=open" not in page
    assert json.loads(sheet.with_suffix(".json").read_text("utf-8")) == document


async def until_settled(platform, document):
    """Every result is at the platform, and none of the trips was told as real."""
    wanted = {(item["part"], item["subject"]) for item in document["items"]}
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        facts = [fact["data"] for fact in platform.facts("acceptance")]
        if {(fact["part"], fact["subject"]) for fact in facts} == wanted:
            break
        assert asyncio.get_running_loop().time() < deadline, facts
        await asyncio.sleep(0.05)
    assert {fact["result"] for fact in facts} == {"passed"}
    raises = [body for body in platform.applied("A") if body["tr"] == "raise"]
    tripped = [body for body in raises if body["sev"] == "alarm"]
    assert len(tripped) >= 6
    assert all(body["test"] and body["aud"] == [] for body in tripped), tripped
