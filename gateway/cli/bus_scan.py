"""`care-gateway bus scan`: what is on the line, and the site file for it."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gateway.cli.bus_line import FINE, OUTSIDE, TYPED, Target, Where, on_line, opener, talk
from gateway.cli.saying import age
from gateway.config.families import read_families
from gateway.core.proposal import propose
from gateway.core.scan import ALL_UNITS, Found, ScanPlan, usual_lines
from gateway.domain.families import LineSetting
from gateway.domain.text import Lang, Text
from gateway.tasks.scan_bus import Progress, scan_bus

WORDS = {
    "estimate": Text(
        "{lines} 种线路参数 × {units} 个站号，没有应答时最多约 {time}；找到的每台另加几秒",
        "{lines} line settings x {units} units: at most {time} if nobody answers, and a few seconds"
        " for each device",
    ),
    "found": Text("找到 {count} 台", "{count} devices found"),
    "is": Text("站号 {unit}  {line}  {what}", "unit {unit}  {line}  {what}"),
    "unknown": Text("没有档案认得它", "no profile knows it"),
    "or": Text("或 ", "or "),
    "certain": Text("（自报型号）", " (names itself)"),
    "written": Text("已写入 {path}；用 care-gateway check 检查", "written to {path}; see check"),
    "there": Text("{path} 已经存在，不覆盖", "{path} exists and is not overwritten"),
    "left": Text(
        "{count} 台只写成注释：先照注释处理",
        "{count} are comments only: see what each comment says",
    ),
}


def _words(key: str, lang: Lang, **values: object) -> str:
    return WORDS[key].in_(lang).format(**values)


def scan(
    where: Where,
    *,
    lang: Lang,
    lines: Sequence[LineSetting] = (),
    units: Sequence[int] = ALL_UNITS,
    out: Path | None = None,
    is_set: bool = False,
    as_json: bool = False,
) -> int:
    """Find what is on the line and print (or write) the site file for it."""
    if out is not None and out.exists():
        talk(_words("there", lang, path=out))
        return TYPED
    families, problems = read_families(where.site.parent)
    for problem in problems:
        talk(problem.fact.in_(lang))

    def work(target: Target) -> int:
        wanted = tuple(lines) or usual_lines(families)
        plan = ScanPlan(
            wanted if target.setting else (None,), tuple(units), timeout_ms=where.timeout_ms
        )
        talk(
            _words(
                "estimate", lang, lines=len(plan.lines), units=len(plan.units),
                time=age(plan.estimate_ms, lang),
            )
        )  # fmt: skip
        tell = teller(plan, lang)
        found = asyncio.run(scan_bus(plan, families, open_line=opener(target), tell=tell))
        talk(_words("found", lang, count=len(found)))
        return _propose(found, target, lang, out=out, is_set=is_set, as_json=as_json)

    return on_line(where, lang, work)


def teller(plan: ScanPlan, lang: Lang) -> Callable[[Progress], None]:
    """Progress on stderr: one line that renews itself in a terminal, a line per find elsewhere."""
    is_live = sys.stderr.isatty()
    began = time.monotonic()

    def tell(progress: Progress) -> None:
        if progress.found is not None:
            talk(("\r\033[K" if is_live else "") + _one(progress.found, lang))
        if is_live:
            left = (time.monotonic() - began) * (progress.steps / progress.step - 1)
            line = progress.line or "TCP"
            done = f"{progress.step}/{progress.steps}  {line}  {progress.unit}"
            print(f"\r\033[K{done}  -{age(1000 * left, lang)}", end="", file=sys.stderr, flush=True)
            if progress.step == progress.steps:
                print("\r\033[K", end="", file=sys.stderr, flush=True)
        elif progress.step % max(1, plan.steps // 10) == 0:
            talk(f"{100 * progress.step // progress.steps} %")

    return tell


def _one(found: Found, lang: Lang) -> str:
    names = [match.family.profile for match in found.matches]
    what = f" {WORDS['or'].in_(lang)}".join(names[:4]) or WORDS["unknown"].in_(lang)
    if found.matches and found.matches[0].is_certain:
        what += WORDS["certain"].in_(lang)
    return _words("is", lang, unit=found.unit, line=found.line or "TCP", what=what)


def _propose(
    found: Sequence[Found],
    target: Target,
    lang: Lang,
    *,
    out: Path | None,
    is_set: bool,
    as_json: bool,
) -> int:
    known = target.units
    proposal = propose(
        found, target.where, lang=lang, is_set=is_set, known_units=known,
        bus=target.name if known else "bus-1", line=target.setting if known else None,
        is_whole=not known,
    )  # fmt: skip
    if as_json:
        print(json.dumps(_scan_document(found, proposal.yaml), ensure_ascii=False, indent=2))
    elif out is None:
        print(proposal.yaml, end="")
    else:
        out.write_text(proposal.yaml, encoding="utf-8")
        talk(_words("written", lang, path=out))
    if proposal.left_out:
        talk(_words("left", lang, count=len(proposal.left_out)))
    return FINE if found else OUTSIDE


def _scan_document(found: Sequence[Found], yaml: str) -> dict[str, Any]:
    return {
        "devices": [
            {
                "unit": each.unit,
                "line": str(each.line) if each.line else None,
                "profiles": [match.family.profile for match in each.matches],
                "is_certain": each.is_certain,
                "shown": dict(each.matches[0].shown) if each.matches else {},
            }
            for each in found
        ],
        "yaml": yaml,
    }


def parse_units(text: str) -> tuple[int, ...]:
    """`1-32,100` -> the units; ValueError for anything else."""
    units: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        units += range(int(first), int(last or first) + 1)
    if not units or not all(0 <= unit <= 255 for unit in units):
        raise ValueError(text)
    return tuple(dict.fromkeys(units))
