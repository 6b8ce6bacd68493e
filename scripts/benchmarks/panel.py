"""How late the panel's thread sets an output, against the pure timeline of each pattern.

Mock pins, the real thread; beside it the main thread is idle, or holds the interpreter for 2 of
every 10 ms, as a decider does under a heavy load.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.core.panel import level_at, next_change_ms
from gateway.core.patterns import BEATS, ONCE
from gateway.domain.signals import Lamp, Pattern, Signal
from gateway.domain.site import PanelPins
from gateway.drivers.panel import mono, open_panel
from scripts.benchmarks.figures import Figure, percentile
from scripts.benchmarks.rig import CannotMeasure

PINS = PanelPins(red=17, amber=27, yellow=22, green=23, buzzer=24, silence=25)
SLICE_S, PAUSE_S = 0.002, 0.008  # as a decider under a heavy load
MATCH_MS = 2_000  # a lateness over this is no lateness but a change that was left out
TARGET_MS = 10.0  # design 12: last byte to panel level


@dataclass(frozen=True, slots=True)
class Plan:
    window_s: float = 20.0  # a pattern


async def measure(folder: Path, plan: Plan) -> list[Figure]:
    """All patterns that sound for ever and beat within the window, one after the other."""
    figures = []
    for work, name in ((0.0, "main thread idle"), (SLICE_S, "main thread busy 2 of 10 ms")):
        late: list[float] = []
        for pattern in (p for p in BEATS if p not in ONCE and sum(BEATS[p]) <= plan.window_s * 500):
            path = folder / f"{pattern}-{work:g}.jsonl"
            late += await asyncio.to_thread(_lateness, pattern, path, plan.window_s, work)
        if not late:
            raise CannotMeasure("no output changed")
        about = f"panel output against its timeline, {name}, {len(late)} changes"
        figures.append(Figure(f"{about}, p99", "ms", (percentile(late, 0.99),), target=TARGET_MS))
        figures.append(Figure(f"{about}, longest", "ms", (max(late),)))
    return figures


def _lateness(pattern: Pattern, path: Path, window_s: float, work_s: float) -> list[float]:
    """Show one pattern with a fast lamp for a while; return how late each change was, in ms."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_panel(
        PINS, factory="mock", on_button=lambda: None, on_fault=print, log_path=path
    ) as panel:
        shown = Signal(Lamp.BLINK_4, Lamp.BLINK_1, Lamp.OFF, Lamp.ON, pattern, mono())
        panel.show(shown)
        end = time.monotonic() + window_s
        while time.monotonic() < end:
            panel.beat(mono())
            _work(work_s)
            time.sleep(PAUSE_S if work_s else 0.5)
        until = mono()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    late = []
    for output in ("buzzer", "red"):
        seen = [(line["t"], line["level"]) for line in lines if line["pin"] == output]
        late += _compared(seen, list(_changes(shown, output, until)))
    return late


def _work(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        sum(range(100))


def _changes(shown: Signal, output: str, until_ms: int) -> Iterator[tuple[int, int]]:
    """(ms, level) of an output as the pure function has it, after the first level."""
    ms: int | None = shown.since_ms
    before = int(getattr(level_at(shown, shown.since_ms), output))
    while (ms := next_change_ms(shown, ms)) is not None and ms < until_ms:
        level = int(getattr(level_at(shown, ms), output))
        if level != before:
            yield ms, level
        before = level


def _compared(seen: list[tuple[float, int]], wanted: list[tuple[int, int]]) -> list[float]:
    """How late each wanted change was seen; raises CannotMeasure when one was left out."""
    late, rest = [], iter(seen)
    for ms, level in wanted[:-1]:  # the last may fall into the end
        at = next((t for t, its in rest if its == level and t >= ms), None)
        if at is None or at - ms > MATCH_MS:
            raise CannotMeasure(f"a change at {ms} was left out")
        late.append(at - ms)
    return late
