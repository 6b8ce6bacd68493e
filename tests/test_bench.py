"""The benchmarks measure what they say, with the smallest plans; how fast it was is not judged."""

import shutil
import struct
import tempfile
from pathlib import Path

import pytest

from gateway.config.load import load_site
from scripts.benchmarks import console, day, disk, engine, latency, panel, path, peak, start, tcp
from scripts.benchmarks.__main__ import BENCHMARKS, parse
from scripts.benchmarks.figures import Figure, percentile, table
from scripts.benchmarks.house import DETECTORS, House, write_house
from scripts.benchmarks.precedence import raise_sessions
from scripts.benchmarks.rig import checkpoint_bytes

DOCS = (Path(__file__).parents[1] / "docs" / "benchmarks.md").read_text("utf-8")


@pytest.fixture
def folder():
    """A folder with a short name: the path of a unix socket is limited to 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="bn") as name:
        yield Path(name)


def test_ratio_is_the_median_of_neighbours_and_a_target_may_judge_it():
    figure = Figure("x", "s", (2.0, 4.0, 9.0), (1.0, 1.0, 3.0), target=3.0, is_ratio=True)
    assert (figure.value, figure.ratio, figure.is_met) == (4.0, 3.0, True)
    assert Figure("x", "s", (4.0,), target=3.0).is_met is False
    assert Figure("x", "1/s", (4.0,), target=3.0, is_floor=True).is_met is True
    assert Figure("x", "s", (4.0,)).is_met is None


def test_percentile_is_a_value_that_occurred():
    values = [float(n) for n in range(1, 201)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [100.0, 198.0, 200.0]
    assert percentile([7.0], 0.5) == percentile([7.0], 0.99) == 7.0


def test_table_says_what_was_missed():
    assert "| x | ms | 4 | 2 | 2.00 | ≤ 3 | **no** | 1 |" in table(
        [Figure("x", "ms", (4.0,), (2.0,), target=3.0)]
    )


def test_next_checkpoint_writes_each_page_of_the_log_once(tmp_path):
    header = struct.pack(">IIIIIIII", 0x377F0682, 3007000, 512, 0, 11, 22, 0, 0)
    pages = [(1, 11, 22), (2, 11, 22), (1, 11, 22), (9, 10, 21)]  # the last is of an older log
    frames = [struct.pack(">IIIIII", n, 0, *salts, 0, 0) + bytes(512) for n, *salts in pages]
    (tmp_path / "core.db-wal").write_bytes(header + b"".join(frames))
    (tmp_path / "readings.db-wal").write_bytes(b"")
    assert checkpoint_bytes(tmp_path) == 2 * 512


def test_house_of_the_benchmarks_is_a_right_one(folder):
    house = House([5020, 5021], 10, 40, 50, "mqtt+unix:///tmp/s", alarm_port=5022)
    loaded = load_site(write_house(folder / "house", house))
    assert loaded.site is not None, loaded.problems
    assert len(loaded.site.points) == house.points + DETECTORS
    judged = [rule for rule in loaded.site.rules if not rule.point.startswith("gateway.")]
    assert len(judged) == 2 * house.points // 5 + DETECTORS


def test_arguments_name_benchmarks_that_exist():
    assert parse(["--quick", "engine", "disk"]).names == ["engine", "disk"]
    with pytest.raises(SystemExit):
        parse(["engines"])


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_page_tells_of_every_benchmark(name):
    assert f"`{name}`" in DOCS


@pytest.mark.parametrize(
    ("measure", "plan", "count"),
    [
        (engine.measure, engine.Plan(repeats=1, reads=10), 2),
        (start.measure, start.Plan(repeats=1, buses=1, units=2, registers=5), 4),
        (path.measure, path.Plan(1, 0.5, 1.0, buses=1, units=2, registers=5, period_ms=200), 4),
        (peak.measure, peak.Plan(1, 0.5, 12.0, buses=1, units=2, registers=5, period_ms=100), 2),
        (latency.measure, latency.Plan(2, buses=1, units=2, registers=5), 8),
        (
            tcp.measure,
            tcp.Plan(
                1,
                peak.Plan(1, 0.5, 12.0, registers=5, period_ms=100),
                (latency.Plan(2, buses=1, units=2, registers=5, period_ms=100, is_busy_only=True),),
                ((1, 3, "one bridge"),),
            ),
            6,
        ),
        (panel.measure, panel.Plan(window_s=1.2), 4),
        (day.measure, day.Plan(hours=0.05, bauds=(9600,), has_trouble=False), 2),
        pytest.param(
            *(console.measure, console.Plan(alarms=2, pages=3), 4),
            marks=pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium here"),
        ),
        (disk.measure, disk.Plan(1, 0.0, 12.0, registers=5, period_ms=500), 2),
    ],
    ids=["engine", "start", "path", "peak", "latency", "tcp", "panel", "day", "console", "disk"],
)
async def test_benchmark_gives_its_figures(folder, measure, plan, count):
    figures = await measure(folder / "x", plan)
    assert len(figures) == count
    # in a moment this short the kernel may count neither a tick of CPU time nor a written page
    assert all(value >= 0 for figure in figures for value in figure.gateway)
    assert any(figure.value > 0 for figure in figures)
    assert len({figure.name for figure in figures}) == count


def test_precedence_raises_each_session_and_says_when_it_may_not(tmp_path: Path) -> None:
    for pid in (7, 8):
        (tmp_path / str(pid)).mkdir()
    raise_sessions([7, 8], tmp_path)
    assert [(tmp_path / str(pid) / "autogroup").read_text() for pid in (7, 8)] == ["-15", "-15"]
    with pytest.raises(OSError, match="9"):
        raise_sessions([9], tmp_path)
