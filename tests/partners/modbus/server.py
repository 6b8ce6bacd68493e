"""The C server on libmodbus (`server.c`): compiled once, started, killed by its id."""

import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Self

SOURCE = Path(__file__).with_name("server.c")


@functools.cache
def compiled_server() -> Path:
    """Path of the program; several test processes may come here at once."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"care-gateway-partners-{os.getuid()}"
    program = folder / f"modbus-server-{digest}"
    if program.exists():
        return program
    if shutil.which("gcc") is None:
        raise RuntimeError("gcc is missing: apt-get install gcc libc6-dev libmodbus-dev")
    folder.mkdir(mode=0o700, exist_ok=True)
    draft = folder / f"{program.name}.{os.getpid()}"
    command = ["gcc", "-Wall", "-Wextra", "-Werror", "-O1", "-I/usr/include/modbus"]
    done = subprocess.run(
        [*command, "-o", str(draft), str(SOURCE), "-lmodbus"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(
            "server.c does not compile; is libmodbus there? (apt-get install gcc libmodbus-dev)\n"
            + done.stderr
        )
    draft.replace(program)
    return program


def device_of(value):
    """The id of the device that a served value belongs to: its unit, and its channel if any."""
    channel = f"-{value['channel']}" if value["channel"] >= 0 else ""
    return f"unit-{value['unit_id']}{channel}"


def site_of(values, buses):
    """A site file with a device for each unit (and channel) that has a shipped profile.

    `buses` are YAML by name; with several, each has all the devices, and their ids its name.
    """
    lines = ["site: {id: t, name: T, institution: elder-care}", "buses:"]
    lines += [f"  {name}: {bus}" for name, bus in buses.items()]
    lines.append("devices:")
    served = {(v["unit_id"], v["channel"], v["profile"]): device_of(v) for v in values}
    for name in buses:
        before = f"{name}-" if len(buses) > 1 else ""
        for (unit, channel, profile), device in sorted(served.items()):
            if profile:
                more = f", channel: {channel}" if channel >= 0 else ""
                lines.append(
                    f"  {before}{device}: {{profile: {profile}, bus: {name}, unit: {unit}{more},"
                    " place: here, owner: me}"
                )
    return "\n".join([*lines, ""])


class ModbusServer:
    """`with ModbusServer("tcp", "0") as server`: `port`, `values` it serves, `silent_unit`."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [compiled_server(), *arguments], stdout=subprocess.PIPE, text=True
        )
        told = self._process.stdout.readline()
        if not told:
            self.kill()
            raise RuntimeError(f"the server did not start: {arguments}")
        told = json.loads(told)
        self.port = told["port"]
        self.values = told["values"]
        self.silent_unit = told["silent_unit"]

    def pause(self) -> None:
        """It hears nothing and says nothing until `resume`, then answers what it missed."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
