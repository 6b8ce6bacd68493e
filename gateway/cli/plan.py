"""`care-gateway plan`: what each bus is asked for, how busy it is, how late an alarm can be.

Needs no hardware. The hypothesis is printed with the numbers: without it they mean nothing.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from gateway.cli.saying import console
from gateway.config.load import load_site
from gateway.config.problems import render
from gateway.core.blocks import wire_ms
from gateway.core.detect import (
    BusPlan,
    Detection,
    Hypothesis,
    PlanProblem,
    back_within_ms,
    plan_site,
    silent_within_ms,
)
from gateway.core.detect import detection_problems as problems_of
from gateway.domain.site import SerialLine, Site
from gateway.domain.text import Lang, Text

FINE, INPUT_WRONG = 0, 2
SILENCES = ("silent_within_ms", "back_within_ms")

BLOCKS = Text("请求块", "Blocks")
BLOCK_COLUMNS = (
    Text("设备", "Device"),
    Text("地址", "Unit"),
    Text("表", "Table"),
    Text("起始", "Start"),
    Text("数量", "Count"),
    Text("监测点", "Points"),
    Text("周期 s", "Period s"),
    Text("级别", "Class"),
    Text("线上 ms", "Wire ms"),
    Text("共 ms", "Total ms"),
    Text("占用 %", "Load %"),
)
RULES = Text("最坏情况下多久报警（秒）", "Worst case until an alarm is raised, in seconds")
RULE_COLUMNS = (
    Text("规则", "Rule"),
    Text("总计", "Total"),
    Text("传感器", "Sensor"),
    Text("周期", "Period"),
    Text("等待", "Wait"),
    Text("读取", "Read"),
    Text("重试", "Retry"),
    Text("失联设备", "Silence"),
    Text("延时", "Delay"),
)
UNKNOWN = Text("未知", "unknown")
NARROW = Text("终端太窄：其余各列见 --json", "too narrow for every column: --json has them all")
BLOCKS_KEPT = (0, 1, 2, 3, 4, 6, 10)  # columns
RULES_KEPT = (0, 1)
ALARM_CLASS, PLAIN_CLASS = Text("报警", "alarm"), Text("普通", "plain")


def plan(path: Path, *, lang: Lang, as_json: bool, silent: int | None = None) -> int:
    """Print the plan of every bus on stdout; 0, or 2 when the site file cannot be used."""
    loaded = load_site(path, is_timed=False)  # an impossible plan is shown, and then refused
    if loaded.site is None:
        print(render([p for p in loaded.problems if p.is_error], lang), file=sys.stderr)
        return INPUT_WRONG
    hypothesis = Hypothesis() if silent is None else Hypothesis(silent=silent)
    plans = plan_site(loaded.site, hypothesis)
    problems = problems_of(loaded.site, hypothesis)
    if as_json:
        document = _document(loaded.site, plans, problems, hypothesis)
        print(json.dumps(document, ensure_ascii=False, indent=2))
        return _verdict(problems)
    to = console()
    for each in plans:
        _show(each, lang, to)
        to.print(_silence(each, loaded.site, hypothesis).in_(lang))
    to.print(_assumed(hypothesis).in_(lang))
    for problem in problems:
        print(f"{problem.fact.in_(lang)}\n  = {problem.advice.in_(lang)}", file=sys.stderr)
    return _verdict(problems)


def _verdict(problems: Sequence[PlanProblem]) -> int:
    return INPUT_WRONG if any(problem.is_error for problem in problems) else FINE


def _show(plan: BusPlan, lang: Lang, to: Console) -> None:
    to.print(_heading(plan).in_(lang), style="bold")
    blocks = [_block_row(plan, n, lang) for n in _order(plan)]
    to.print(_table(BLOCKS, BLOCK_COLUMNS, blocks, lang, Fit(to.width, BLOCKS_KEPT)))
    if plan.detections:
        rows = [_rule_row(each, lang) for each in plan.detections]
        to.print(_table(RULES, RULE_COLUMNS, rows, lang, Fit(to.width, RULES_KEPT)))


def _silence(plan: BusPlan, site: Site, given: Hypothesis) -> Text:
    """When people hear of a device that is gone, and how soon it is read when it is back."""
    fault_ms, back_ms = _silences(plan, site, given)
    fault, back = f"{fault_ms / 1000:.0f}", f"{back_ms / 1000:.0f}"
    return Text(
        f"设备不再应答：最迟 {fault} 秒报故障；恢复应答后最迟 {back} 秒读到。\n",
        f"A device that stops answering is a fault within {fault} s; one that answers again is "
        f"read within {back} s.\n",
    )


def _silences(plan: BusPlan, site: Site, given: Hypothesis) -> tuple[int, int]:
    """The two bounds in ms, while as many devices are silent as the hypothesis and the bus have."""
    devices = len({cost.block.device for cost in plan.costs})
    silent = max(1, min(given.silent, devices))
    within_ms = silent_within_ms(plan, silent, site.offline_after_misses)
    return within_ms, back_within_ms(plan, silent)


def _order(plan: BusPlan) -> Sequence[int]:
    """What rules judge first, then by period; devices together."""
    blocks = [cost.block for cost in plan.costs]
    return sorted(
        range(len(blocks)),
        key=lambda n: (not blocks[n].is_alarm_class, blocks[n].period_ms, blocks[n].device),
    )


def _heading(plan: BusPlan) -> Text:
    link = plan.bus.link
    where = f"{link.baud} baud" if isinstance(link, SerialLine) else f"{link.host}:{link.port}"
    load = f"{100 * plan.load:.0f} %"
    count = len(plan.costs)
    return Text(
        f"总线 {plan.bus.id}（{where}）：{count} 个请求块，负载 {load}",
        f"Bus {plan.bus.id} ({where}): {count} blocks, load {load}",
    )


def _block_row(plan: BusPlan, number: int, lang: Lang) -> list[str]:
    cost = plan.costs[number]
    block = cost.block
    return [
        block.device,
        str(block.unit),
        block.table.value,
        str(block.start),
        str(block.count),
        str(len(block.points)),
        f"{block.period_ms / 1000:g}",
        (ALARM_CLASS if block.is_alarm_class else PLAIN_CLASS).in_(lang),
        f"{wire_ms(block, plan.bus):.0f}",
        f"{cost.read_ms:.0f}",
        f"{100 * cost.read_ms / block.period_ms:.1f}",
    ]


def _rule_row(found: Detection, lang: Lang) -> list[str]:
    def seconds(ms: int | None) -> str:
        return UNKNOWN.in_(lang) if ms is None else f"{ms / 1000:.1f}"

    total = seconds(found.total_ms) + (" + ?" if found.sensor_ms is None else "")
    parts = (
        found.sensor_ms,
        found.period_ms,
        found.wait_ms,
        found.read_ms,
        found.retry_ms,
        found.silence_ms,
        found.delay_ms,
    )
    return [found.rule.id, total, *map(seconds, parts)]


@dataclass(frozen=True, slots=True)
class Fit:
    """The terminal's width, and which columns are shown where not all of them fit."""

    width: int
    kept: Sequence[int]


def _table(
    title: Text, columns: Sequence[Text], rows: list[list[str]], lang: Lang, fit: Fit
) -> Table:
    """All columns where they fit; else those that matter most, and never half a name."""
    heads = [column.in_(lang) for column in columns]
    needed = sum(max(map(cell_len, each)) + 2 for each in zip(heads, *rows, strict=True)) + 2
    shown = fit.kept if needed > fit.width else range(len(heads))
    table = Table(title=title.in_(lang), title_justify="left", box=box.SIMPLE_HEAD)
    if needed > fit.width:
        table.caption, table.caption_justify = NARROW.in_(lang), "left"
    for at in shown:
        justify: Literal["left", "right"] = "left" if at == 0 else "right"
        table.add_column(heads[at], justify=justify, overflow="fold", no_wrap=at != 0)
    for row in rows:
        table.add_row(*(row[at] for at in shown))
    return table


def _assumed(given: Hypothesis) -> Text:
    return Text(
        f"前提：每条总线最多 {given.silent} 台设备失联，每次探测最多丢 {given.lost} 个应答，"
        f"同时另有 {given.pending} 个报警待定，设备在 {given.turnaround_ms:.0f} ms 内应答。"
        "“+ ?”：型号文件没有写传感器自身的响应时间（response），须另加。",
        f"Holds while at most {given.silent} devices of a bus are silent, {given.lost} reply is "
        f"lost in each detection, {given.pending} other alarms are pending and devices answer "
        f"within {given.turnaround_ms:.0f} ms. '+ ?': the profile does not say how long the "
        "sensor itself takes (response); that comes on top.",
    )


def _document(
    site: Site, plans: Sequence[BusPlan], problems: Sequence[PlanProblem], given: Hypothesis
) -> dict[str, Any]:
    return {
        "site": site.id,
        "hypothesis": asdict(given),
        "detect_within_ms": site.detect_within_ms,
        "buses": [
            {
                "id": each.bus.id,
                "load": round(each.load, 4),
                "blocks": [_block(each, n) for n in _order(each)],
                "rules": [_rule(found) for found in each.detections],
                **dict(zip(SILENCES, _silences(each, site, given), strict=True)),
            }
            for each in plans
        ],
        "problems": [
            {
                "code": problem.code,
                "subject": problem.subject,
                "is_error": problem.is_error,
                "fact": {"zh": problem.fact.zh, "en": problem.fact.en},
                "advice": {"zh": problem.advice.zh, "en": problem.advice.en},
            }
            for problem in problems
        ],
    }


def _block(plan: BusPlan, number: int) -> dict[str, Any]:
    cost = plan.costs[number]
    block = cost.block
    return {
        "device": block.device,
        "unit": block.unit,
        "table": block.table.value,
        "start": block.start,
        "count": block.count,
        "points": [point.id for point in block.points],
        "period_ms": block.period_ms,
        "is_alarm_class": block.is_alarm_class,
        "wire_ms": round(wire_ms(block, plan.bus), 1),
        "read_ms": round(cost.read_ms, 1),
        "lost_ms": round(cost.lost_ms, 1),
    }


def _rule(found: Detection) -> dict[str, Any]:
    """`sensor_ms` null: unknown, and not in the total."""
    return {
        "rule": found.rule.id,
        "total_ms": found.total_ms,
        "sensor_ms": found.sensor_ms,
        "period_ms": found.period_ms,
        "wait_ms": found.wait_ms,
        "read_ms": found.read_ms,
        "retry_ms": found.retry_ms,
        "silence_ms": found.silence_ms,
        "delay_ms": found.delay_ms,
    }
