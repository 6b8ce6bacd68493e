"""The daemon itself against a Modbus stack that is not pymodbus, over TCP and over RTU at once.

Every shipped profile is served by the C server, which also says what a person would read off;
`care-gateway status` must say the same, to the last digit and with its unit.
"""

import asyncio
import json
import re
import sys
import time

from tests.daemon.rig import ENVIRONMENT, PATIENCE_S, ROOT, open_daemon
from tests.partners.modbus.line import Port
from tests.partners.modbus.server import ModbusServer, device_of, site_of


def expected(values, buses):
    """Point id -> (value, unit) of every shipped profile's point, on each bus."""
    return {
        f"{bus}-{device_of(value)}.{value['point']}": (value["value"], value["unit"])
        for bus in buses
        for value in values
        if value["profile"]
    }


def shown(status):
    return {point["id"]: (point["value"], point["unit"]) for point in status["points"]}


async def run_cli(*arguments):
    """What a command of the gateway prints, with the exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *arguments,
        stdout=asyncio.subprocess.PIPE, cwd=ROOT, env=ENVIRONMENT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode, out.decode()


async def test_status_shows_every_value_of_every_profile_to_the_last_digit(tmp_path):
    far, near = Port(tmp_path / "devices"), Port(tmp_path / "adapter")
    far.heard, near.heard = near.say, far.say  # a wire between two terminals
    with (
        far,
        near,
        ModbusServer("tcp", "0") as hall,
        ModbusServer("rtu", str(far.path), "115200") as plant,
    ):
        buses = {
            "hall": f'{{tcp: "127.0.0.1:{hall.port}", timeout: 5s}}',
            "plant": f"{{serial: {near.path}, baud: 115200, timeout: 5s}}",
        }
        wanted = expected(hall.values, buses)
        assert plant.values == hall.values
        async with open_daemon(tmp_path, site_of(hall.values, buses)) as daemon:
            await daemon.start()
            status = await daemon.status_when(
                lambda status: all(point["quality"] == "good" for point in status["points"]),
                "a good reading of every point",
            )
            found = {id_: view for id_, view in shown(status).items() if id_ in wanted}
            assert found == wanted
            assert {id_.split(".")[0] for id_ in shown(status)} - {"gateway"} == {
                id_.split(".")[0] for id_ in wanted
            }
            faults = [a["rule"] for a in status["alarms"] if a["rule"].startswith("gateway/device")]
            assert faults == []
            await prints_the_same(daemon, wanted)
            assert await daemon.stop() == 0


async def prints_the_same(daemon, wanted):
    """The command line says what the socket says, as JSON and as a table for people."""
    deadline = time.monotonic() + PATIENCE_S
    while different := await differences(daemon, wanted):
        assert time.monotonic() < deadline, different
        await asyncio.sleep(0.2)  # a reading that came late on a busy machine is not shown as good


async def differences(daemon, wanted):
    """What `care-gateway status` prints otherwise than it should."""
    code, out = await run_cli("status", "--socket", str(daemon.socket), "--json")
    assert code == 0
    found = shown(json.loads(out))
    different = [f"{id_}: {found[id_]}" for id_, view in wanted.items() if found[id_] != view]
    code, out = await run_cli("status", "--socket", str(daemon.socket))
    assert code == 0
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    for id_, (value, unit) in wanted.items():
        said = re.escape(f"{value} {unit}".rstrip())
        if not re.search(rf"\s{said}\s", rows[id_]):
            different.append(rows[id_])
    return different
