"""A throw-away MQTT broker: mosquitto where it is installed, else the embedded amqtt.

mosquitto listens on a Unix socket in its own folder, so that no port can be taken; amqtt has no
Unix sockets and speaks MQTT 3.1.1 only. Both keep their address when they are stopped and started.

Run as a program it is the embedded broker: `python -m gateway.sim.broker PORT`.
"""

import asyncio
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.sim.processes import Process, end, spawn, tail

START_S = 15.0
MOSQUITTO_ELSEWHERE = "/usr/sbin:/usr/local/sbin"  # Debian puts it where users' PATH does not look


class BrokerMissing(Exception):
    """Neither mosquitto nor amqtt is installed, or the broker does not come up."""


@dataclass(slots=True)
class SimBroker:
    """A broker that can be stopped and started; `name` says which and what it speaks."""

    name: str
    url: str
    argv: tuple[str, ...]
    log: Path
    process: Process | None = None


@asynccontextmanager
async def open_broker(folder: Path, *, embedded: bool = False) -> AsyncIterator[SimBroker]:
    """Start a broker with its files in `folder`; it is stopped when the block is left."""
    mosquitto = None if embedded else find_mosquitto()
    broker = _mosquitto(mosquitto, folder) if mosquitto else _amqtt(folder)
    try:
        await start(broker)
        yield broker
    finally:
        await stop(broker)


async def start(broker: SimBroker) -> None:
    """Start it and return when it accepts connections."""
    _forget_socket(broker.url)
    broker.process = await spawn(broker.argv, broker.log)
    try:
        async with asyncio.timeout(START_S):
            while not await _accepts(broker.url):
                if broker.process.returncode is not None:
                    raise BrokerMissing(f"{broker.name} ended at once: {tail(broker.log, 3)}")
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise BrokerMissing(f"{broker.name} does not listen: {tail(broker.log, 3)}") from None


async def stop(broker: SimBroker) -> None:
    """Stop it, kindly first; return when the process is gone."""
    process, broker.process = broker.process, None
    if process is not None:
        await end(process)


def address_of(broker: SimBroker) -> str:
    """Its address as the daemon's faults name it: a socket's path, or host:port."""
    return broker.url.split("://", 1)[1]


def _forget_socket(url: str) -> None:
    """A socket file that a killed broker left behind would keep the next one from binding."""
    if url.startswith("mqtt+unix://"):
        Path(url.removeprefix("mqtt+unix://")).unlink(missing_ok=True)


def find_mosquitto() -> str | None:
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=MOSQUITTO_ELSEWHERE)


def _mosquitto(program: str, folder: Path) -> SimBroker:
    socket_path, conf = folder / "mqtt.sock", folder / "mosquitto.conf"
    lines = [f"listener 0 {socket_path}", "allow_anonymous true", "persistence false"]
    if os.geteuid() == 0:
        lines.append("user root")  # it would drop to a user that may not enter our folder
    conf.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return SimBroker(
        name=f"{_version(program)}, MQTT 5",
        url=f"mqtt+unix://{socket_path}",
        argv=(program, "-c", str(conf)),
        log=folder / "broker.log",
    )


def _version(program: str) -> str:
    """First line of its help: `mosquitto version 2.0.11`."""
    said = subprocess.run(  # noqa: S603 - the program was found on the path
        [program, "-h"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    return (said.stdout.splitlines() or ["mosquitto"])[0].replace(" version", "")


def _amqtt(folder: Path) -> SimBroker:
    if importlib.util.find_spec("amqtt") is None:
        raise BrokerMissing("neither mosquitto nor the embedded broker (extra `demo`) is installed")
    port = _free_port()
    return SimBroker(
        name="amqtt (embedded), MQTT 3.1.1 only",
        url=f"mqtt://127.0.0.1:{port}",
        argv=(sys.executable, "-m", "gateway.sim.broker", str(port)),
        log=folder / "broker.log",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _accepts(url: str) -> bool:
    try:
        if url.startswith("mqtt+unix://"):
            _, writer = await asyncio.open_unix_connection(url.removeprefix("mqtt+unix://"))
        else:
            host, port = url.removeprefix("mqtt://").split(":")
            _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


async def _run_embedded(port: int) -> None:
    # An extra, untyped and needed only in this process.
    from amqtt.broker import Broker  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415

    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {
            "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True},
        },
    }
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    broker = Broker(config)
    await broker.start()
    await ended.wait()
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(_run_embedded(int(sys.argv[1])))
