"""A daemon whose decider hangs: systemd is not fed any more, and the log says where it stands."""

import signal
import socket
from asyncio import create_subprocess_exec, wait_for

from gateway.sim.bus import open_tcp
from gateway.sim.devices import by_unit, lx47le
from tests.daemon.rig import ENVIRONMENT, LEAK, PATIENCE_S, ROOT, open_daemon, site_of, until

WATCHDOG_S = 4


def heard(notified):
    """What the daemon has told systemd since this was last asked, line by line."""
    lines = []
    while True:
        try:
            lines += notified.recv(4096).decode().splitlines()
        except BlockingIOError:
            return lines


async def test_where_every_thread_stands_is_in_the_log_before_systemd_ends_a_frozen_decider(
    tmp_path,
):
    told = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "notify"))
        notified.setblocking(False)
        environment = {
            **ENVIRONMENT,
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": str(WATCHDOG_S * 1_000_000),
        }

        def has_told(line, times=1):
            told.extend(heard(notified))
            return told.count(line) >= times

        def log():
            return (tmp_path / "log").read_text()

        async with (
            open_tcp(by_unit([lx47le("board", 3)])) as bus,
            open_daemon(tmp_path, site_of(bus.port)) as daemon,
        ):
            with (tmp_path / "log").open("ab") as into:
                daemon.process = await create_subprocess_exec(
                    *daemon.command(f"freeze={LEAK}={tmp_path / 'armed'}"),
                    stdout=into, stderr=into, cwd=ROOT, env=environment,
                )  # fmt: skip
            await until(lambda: has_told("READY=1"), "the daemon to be ready")
            await until(lambda: has_told("WATCHDOG=1", 2), "it to feed")
            (tmp_path / "armed").touch()
            await until(lambda: "frozen_on_purpose" in log(), "the stacks")
            heard(notified)
            assert "Timeout (0:00:03" in log(), "before the four seconds are over"
            assert log().count("(most recent call first)") > 3, "of all threads"
            daemon.process.send_signal(signal.SIGABRT)  # as WatchdogSec= does
            assert await wait_for(daemon.process.wait(), PATIENCE_S) == -signal.SIGABRT
            assert "WATCHDOG=1" not in heard(notified), "not fed while it hung"
            await until(lambda: "Fatal Python error: Aborted" in log(), "its last words")
