"""The panel keeps its promise while the disk hangs, the broker is gone and the clock jumps."""

import asyncio
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from gateway.core.patterns import BEATS
from gateway.domain.signals import Pattern
from gateway.sim.bus import open_tcp
from gateway.sim.devices import by_unit, lx47le
from tests.daemon.rig import ENVIRONMENT, LEAK, ROOT, boot_ms, open_daemon, site_of, until
from tests.daemon.test_robust import is_reading, rules_of
from tests.partners.broker import Mosquitto

DAY_MS = 86_400_000
JUMPS_MS = (3_650 * DAY_MS, -40 * 365 * DAY_MS, 12 * 3_600_000, 0)  # on, before 1990, night, right
BUSY_MS = 3_000  # what a machine with other work may add to the planned time
GAP_MS = 1_000  # the longest silence that A1 may have on such a machine; the table says 250


def jump(file: Path, by_ms: int) -> None:
    """Set the clock in one move: no reader sees half a number."""
    new = file.with_suffix(".new")
    new.write_text(str(by_ms))
    new.replace(file)


def planned_ms(site: Path) -> int:
    """The longest time to raise the leak that `care-gateway plan` promises for this site."""
    command = [sys.executable, "-m", "gateway", "plan", str(site), "--json"]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, check=False)
    (bus,) = json.loads(done.stdout)["buses"]
    (found,) = [rule for rule in bus["rules"] if rule["rule"] == LEAK]
    return found["total_ms"]


async def test_an_alarm_sounds_in_time_though_disk_broker_and_clock_all_fail(tmp_path):
    release, clock = tmp_path / "release", tmp_path / "wrong_by"
    jump(clock, 0)
    board = lx47le("board", 3)
    with Mosquitto() as broker:
        async with (
            open_tcp(by_unit([board])) as bus,
            open_daemon(
                tmp_path, site_of(bus.port, broker=broker.url, gateway="three-01")
            ) as daemon,
        ):
            limit_ms = await asyncio.to_thread(planned_ms, tmp_path / "site.yaml")
            await daemon.start(f"block=core.db={release}", f"clock={clock}")
            await daemon.status_when(is_reading, "readings")
            await daemon.status_when(lambda status: status["link"]["is_up"], "the link")
            broker.kill()
            await daemon.status_when(lambda status: not status["link"]["is_up"], "no link")
            jump(clock, JUMPS_MS[0])

            planted = boot_ms()
            board.truth["residual_current"] = 600.0
            await until(lambda: daemon.has_sounded_alarm(planted), "the alarm at the pins")
            first = min(t for t, pin, on in daemon.pins(planted) if pin == "buzzer" and on)
            assert first - planted <= limit_ms + BUSY_MS

            for by_ms in JUMPS_MS[1:]:
                since = boot_ms()
                jump(clock, by_ms)
                await until(lambda since=since: beeps_since(daemon, since) >= 6, "more beeps")
                assert longest_gap_ms(daemon, since) <= GAP_MS + BUSY_MS
            slow = "gateway/store_slow/core.db"
            status = await daemon.status_when(
                lambda status: {LEAK, slow} <= rules_of(status), "the alarm and the frozen disk"
            )
            assert status["panel"]["signal"]["pattern"] in (Pattern.A1, Pattern.E)
            assert not status["link"]["is_up"]

            pressed = boot_ms()
            assert (await daemon.ask(verb="silence", by="E07"))["ok"]
            await until(lambda: not is_buzzing(daemon), "silence")
            jump(clock, JUMPS_MS[0])  # ten years later by the wall clock: no silence has run out
            red = count_of(daemon, "red", pressed)
            await until(lambda: count_of(daemon, "red", pressed) >= red + 8, "two seconds of red")
            assert not is_buzzing(daemon)
            release.touch()
            jump(clock, 0)
            assert await daemon.stop() == 0


def beeps_since(daemon, since_ms):
    return sum(1 for _, pin, on in daemon.pins(since_ms) if pin == "buzzer" and on)


def longest_gap_ms(daemon, since_ms):
    edges = [t for t, pin, _ in daemon.pins(since_ms) if pin == "buzzer"]
    return max(after - before for before, after in pairwise(edges))


def is_buzzing(daemon):
    """Whether the buzzer is on, or one pause of its pattern has not passed since it was."""
    edges = [(t, on) for t, pin, on in daemon.pins() if pin == "buzzer"]
    return bool(edges and (edges[-1][1] or boot_ms() - edges[-1][0] < 4 * max(BEATS[Pattern.A1])))


def count_of(daemon, output, since_ms):
    return sum(1 for _, pin, _ in daemon.pins(since_ms) if pin == output)
