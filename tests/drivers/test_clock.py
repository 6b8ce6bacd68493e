"""The clock: how far the wall clock is trusted, and what stands in for a wrong one."""

import asyncio
import os
from pathlib import Path

import pytest

from gateway.core.timekeeping import FRESH_MS, SYNC_ERR_MS
from gateway.domain.moments import Clk
from gateway.drivers import clock
from gateway.drivers.clock import Clock

T = 1_800_000_000_000


def touch(path: Path, utc_ms: int) -> Path:
    path.touch()
    os.utime(path, ns=(utc_ms * 1_000_000, utc_ms * 1_000_000))
    return path


def test_the_real_clock_gives_a_whole_moment() -> None:
    first, second = clock.now(), clock.now()
    assert second.mono_ms >= first.mono_ms > 0
    assert len(first.boot) == 12
    assert int(first.boot, 16) >= 0
    assert first.utc_ms is not None
    assert first.utc_ms >= clock.FLOOR_MS


def test_without_a_flag_a_plausible_clock_is_an_estimate(tmp_path: Path) -> None:
    now = Clock(flag=tmp_path / "absent", mono=lambda: 5, wall=lambda: T).now()
    assert (now.clk, now.utc_ms, now.err_ms) == (Clk.EST, T, None)


def test_a_fresh_flag_means_synchronised(tmp_path: Path) -> None:
    flag = touch(tmp_path / "flag", T - 60_000)
    now = Clock(flag=flag, mono=lambda: 5, wall=lambda: T).now()
    assert (now.clk, now.err_ms) == (Clk.SYNC, SYNC_ERR_MS + 3)


def test_an_old_flag_means_holding_with_a_growing_error(tmp_path: Path) -> None:
    flag = touch(tmp_path / "flag", T - 10 * FRESH_MS)
    now = Clock(flag=flag, mono=lambda: 5, wall=lambda: T).now()
    assert (now.clk, now.err_ms) == (Clk.HOLD, SYNC_ERR_MS + 3_600)


def test_synchronisation_is_noticed_within_a_second(tmp_path: Path) -> None:
    time = [0]
    clock = Clock(flag=tmp_path / "flag", mono=lambda: time[0], wall=lambda: T)
    assert clock.now().clk is Clk.EST
    touch(tmp_path / "flag", T)
    time[0] = 1_000
    assert clock.now().clk is Clk.SYNC


def test_a_clock_before_the_floor_is_none_and_counts_from_the_floor(tmp_path: Path) -> None:
    time = [500]
    flag = touch(tmp_path / "flag", T)
    clock = Clock(flag=flag, mono=lambda: time[0], wall=lambda: 1_000, floor_ms=T)
    time[0] = 2_500
    now = clock.now()
    assert (now.clk, now.utc_ms, now.err_ms) == (Clk.NONE, T + 2_000, None)


def test_the_saved_time_is_a_floor_after_a_restart(tmp_path: Path) -> None:
    saved = tmp_path / "clock"
    flag = touch(tmp_path / "flag", T)
    before = Clock(saved, flag=flag, mono=lambda: 5, wall=lambda: T)
    before.save(before.floor_ms())
    now = Clock(saved, flag=tmp_path / "absent", mono=lambda: 5, wall=lambda: T - 86_400_000).now()
    assert (now.clk, now.utc_ms) == (Clk.NONE, T)


@pytest.mark.parametrize("wrong", [1_000, T + 3 * 365 * 86_400_000])
def test_a_wrong_clock_is_not_saved_but_the_time_that_passed_is(tmp_path, wrong) -> None:
    saved, time = touch(tmp_path / "clock", T), [5]
    clock = Clock(saved, flag=tmp_path / "absent", mono=lambda: time[0], wall=lambda: wrong)
    time[0] = 60_005
    clock.save(clock.floor_ms())
    assert saved.stat().st_mtime_ns == (T + 60_000) * 1_000_000


def test_a_floor_that_was_saved_by_a_wrong_clock_ends_with_the_next_synchronisation(tmp_path):
    saved, time = touch(tmp_path / "clock", T + 10**11), [0]
    clock = Clock(saved, flag=tmp_path / "flag", mono=lambda: time[0], wall=lambda: T + time[0])
    assert clock.now().clk is Clk.NONE
    touch(tmp_path / "flag", T)
    time[0] = 1_000
    assert (clock.now().clk, clock.now().utc_ms) == (Clk.SYNC, T + 1_000)
    clock.save(clock.floor_ms())
    assert saved.stat().st_mtime_ns == (T + 1_000) * 1_000_000


def test_a_jump_of_the_wall_clock_is_told_once_with_its_size(tmp_path):
    time, wall = [0], [T]
    clock = Clock(flag=tmp_path / "absent", mono=lambda: time[0], wall=lambda: wall[0] + time[0])
    clock.now()
    wall[0] -= 3_600_000
    time[0] = 1_000
    clock.now()
    ((now, by_ms),) = clock.take_steps()
    assert (now.mono_ms, by_ms) == (1_000, -3_600_000)
    assert clock.take_steps() == []


async def test_sleep_until_is_never_early() -> None:
    clock = Clock()
    due = clock.mono() + 20
    async with asyncio.timeout(20):
        await clock.sleep_until(due)
    assert clock.mono() >= due


async def test_sleep_until_a_past_moment_returns_at_once() -> None:
    async with asyncio.timeout(20):
        await Clock().sleep_until(0)
