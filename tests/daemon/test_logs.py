"""What a whole daemon says: an outage is one line down and one up, and nobody waits for a log."""

import asyncio
import os
import re
from collections import Counter
from contextlib import AsyncExitStack, suppress

from gateway.sim.bus import open_tcp
from gateway.sim.devices import by_unit, lx47le
from tests.daemon.rig import ENVIRONMENT, LEAK, ROOT, boot_ms, open_daemon, site_of, until
from tests.partners.broker import Mosquitto


def is_reading(status):
    return any(
        point["id"] == "board.residual_current" and point["quality"] == "good"
        for point in status["points"]
    )


def has_fault(status, code):
    return any(alarm["rule"].startswith(f"gateway/{code}/") for alarm in status["alarms"])


def state_of_leak(status):
    return next((alarm["state"] for alarm in status["alarms"] if alarm["rule"] == LEAK), "N")


def lines(daemon):
    """The log as (level, words, fields)."""
    found = []
    for line in (daemon.folder / "log").read_text().splitlines():
        cut = re.fullmatch(r"\S+ \S+ +([A-Z]+) +(.*)", line)
        assert cut, f"no line of the log: {line!r}"
        level, said = cut.groups()
        fields = dict(re.findall(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|\S+)', said))
        words = re.split(r" [a-z_]+=", said)[0]
        found.append((level, words, {key: text.strip('"') for key, text in fields.items()}))
    return found


async def test_each_outage_is_one_line_down_and_one_line_up(tmp_path):
    board = lx47le("board", 3)
    with Mosquitto(tcp=True) as broker:
        async with AsyncExitStack() as stack:
            wire = await stack.enter_async_context(AsyncExitStack())
            bus = await wire.enter_async_context(open_tcp(by_unit([board])))
            site = site_of(bus.port, broker=broker.url, gateway="log-01")
            daemon = await stack.enter_async_context(open_daemon(tmp_path, site))
            await daemon.start()
            await daemon.status_when(is_reading, "readings")
            await daemon.status_when(lambda status: status["link"]["is_up"], "the link")

            board.is_silent = True
            await daemon.status_when(lambda s: has_fault(s, "device_silent"), "the silence")
            await asyncio.sleep(2)  # time for a line a retry, were there any
            board.is_silent = False
            await daemon.status_when(
                lambda s: is_reading(s) and state_of(s, "device_silent/board") == "RU", "the answer"
            )

            await wire.aclose()
            await daemon.status_when(lambda s: has_fault(s, "bus_down"), "the pulled cable")
            await asyncio.sleep(2)
            await stack.enter_async_context(open_tcp(by_unit([board]), port=bus.port))
            await daemon.status_when(
                lambda s: is_reading(s) and state_of(s, "bus_down/hall") == "RU", "the cable"
            )

            broker.stop()
            await daemon.status_when(lambda status: not status["link"]["is_up"], "the outage")
            await asyncio.sleep(3)
            broker.start()
            await daemon.status_when(lambda status: status["link"]["is_up"], "the link again")

            board.truth["residual_current"] = 600.0
            await daemon.status_when(lambda s: state_of_leak(s) == "UA", "the alarm")
            assert (await daemon.ask(verb="silence", by="panel"))["ok"]
            assert (await daemon.ask(verb="acknowledge", by="E07", alarm=LEAK))["ok"]
            await daemon.status_when(lambda s: state_of_leak(s) == "AA", "the acknowledgement")
            assert await daemon.stop() == 0
    said = lines(daemon)
    counted = Counter(
        (level, words, fields.get("fault") or fields.get("rule") or fields.get("broker"))
        for level, words, fields in said
    )
    where = broker.url.removeprefix("mqtt://")
    told_once = [
        ("WARNING", "fault raised", "device_silent"),
        ("INFO", "fault cleared", "device_silent"),
        ("WARNING", "fault raised", "bus_down"),
        ("INFO", "fault cleared", "bus_down"),
        ("WARNING", "link down", where),
        ("WARNING", "alarm raised", LEAK),
        ("INFO", "alarm silenced", LEAK),
        ("INFO", "alarm acknowledged", LEAK),
    ]
    once = {key: counted[key] for key in told_once}
    assert once == dict.fromkeys(told_once, 1), "\n".join(map(str, said))
    assert counted["INFO", "link up", where] == 2  # the first connection is news too
    quiet = [words for _, words, _ in said if words.split()[0] not in ("fault", "alarm", "link")]
    assert len(quiet) < 8, quiet
    (raised,) = [fields for _, words, fields in said if words == "alarm raised"]
    value, unit = raised["value"].split()
    assert (raised["place"], unit, raised["limit"]) == ("1F 配电间", "mA", "300 mA")
    assert 590 < float(value) < 610  # a simulated probe is a little noisy
    (silent,) = [f for _, w, f in said if (w, f.get("fault")) == ("fault raised", "device_silent")]
    assert (silent["device"], silent["bus"], silent["place"]) == ("board", "hall", "1F 配电间")


def state_of(status, fault):
    rule = f"gateway/{fault}"
    return next((alarm["state"] for alarm in status["alarms"] if alarm["rule"] == rule), None)


def full_pipe():
    """A pipe into which not one byte more goes."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for size in (4096, 1):
        with suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * size)
    os.set_blocking(writer, True)
    return reader, writer


async def test_a_log_that_nobody_reads_holds_up_no_alarm_and_no_end(tmp_path):
    """A hung journal or a stopped terminal: the pipe is full before the daemon says anything."""
    board = lx47le("board", 3)
    reader, writer = full_pipe()
    try:
        async with (
            open_tcp(by_unit([board])) as bus,
            open_daemon(tmp_path, site_of(bus.port)) as daemon,
        ):
            daemon.process = await asyncio.create_subprocess_exec(
                *daemon.command(), stdout=writer, stderr=writer, cwd=ROOT, env=ENVIRONMENT
            )
            await daemon.status_when(is_reading, "readings")
            since = boot_ms()
            board.truth["residual_current"] = 600.0
            await until(lambda: daemon.has_sounded_alarm(since), "the alarm at the pins")
            assert await daemon.stop() == 0
    finally:
        os.close(writer)
        os.close(reader)
