"""A technician's way on a line: scan, check, run, then the tools through the running daemon."""

import asyncio
import json
import sys

from gateway.domain.families import LineSetting
from gateway.sim.devices import by_unit, lx47le, pzem016
from gateway.sim.mixed import open_mixed
from tests.daemon.rig import ENVIRONMENT, PATIENCE_S, ROOT, open_daemon

WITHOUT = ("--socket", "/nowhere/s", "--site", "/nowhere/site.yaml")


async def cli(*arguments):
    """(exit code, stdout, stderr) of a command in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *map(str, arguments), "--lang", "en",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT, env=ENVIRONMENT,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return process.returncode, out.decode(), err.decode()


def are_good(status):
    return status["points"] and all(point["quality"] == "good" for point in status["points"])


def test_from_a_bare_line_to_a_running_house_and_back_to_the_tools(tmp_path):
    devices = {
        LineSetting(9600): by_unit([lx47le("board", 3)]),
        LineSetting(19200, stop_bits=2): by_unit([pzem016("kitchen", 4)]),
    }
    port, site = tmp_path / "line", tmp_path / "proposed.yaml"

    async def walk():
        async with open_mixed(port, devices, turnaround_s=0.005):
            code, _, err = await cli("bus", "scan", port, "--ids", "3", "--timeout", "1500",
                                     "--baud", "9600", "--out", site, *WITHOUT)  # fmt: skip
            assert code == 0, err
            code, out, err = await cli("check", site)
            assert code == 0, out
            async with open_daemon(tmp_path, site.read_text()) as daemon:
                await daemon.start()
                await daemon.status_when(are_good, "a good reading of every point")
                await tools_of(daemon)
                await daemon.status_when(are_good, "all good after the tools")
                assert await daemon.stop() == 0

    async def tools_of(daemon):
        through = ("--socket", daemon.socket, "--site", "/nowhere/site.yaml")
        code, out, err = await cli("bus", "read", port, "--unit", "3", "--table", "input", "--at",
                                   "8", "--count", "1", "--timeout", "1500", "--json",
                                   *through)  # fmt: skip
        assert code == 0, err
        (register,) = json.loads(out)["registers"]
        assert 200 < register["uint16"]["ABCD"] < 260
        assert "lingxun-lx47le-3.residual_current" in err, "an alarm point that waits is named"
        assert "lingxun-lx47le-3.breaker_status" not in err, "nobody judges it"
        code, out, err = await cli("bus", "scan", "--ids", "4", "--baud", "19200", "--stop-bits",
                                   "2", "--timeout", "1500", *through)  # fmt: skip
        assert code == 0, err
        assert "unit 4  19200 8N2  peacefair-pzem-016" in err
        assert "unit 4 speaks 19200 8N2: set it to 9600 8N1 first" in out
        assert "unit: 3" not in out, "the site has it already"
        code, out, err = await cli("bus", "stats", "--json", *through)
        assert code == 0, err
        stats = json.loads(out)
        assert stats["devices"][0]["requests"] > 0
        assert stats["hints"]

    asyncio.run(walk())
