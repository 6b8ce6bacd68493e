"""`care-gateway check`: is the site file right? Needs no hardware."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.cli.standing import missing_line
from gateway.config.institutions import read_institution
from gateway.config.load import Loaded, load_site
from gateway.config.problems import Place, Problem, render
from gateway.core.coverage import coverage_view
from gateway.domain.institutions import Institution
from gateway.domain.site import Site
from gateway.domain.text import Lang, Text

FINE, INPUT_WRONG = 0, 2
ASKED = Text("{}要做的（限值不因机构类别而不同）：", "Asked of {} (no limit depends on the type):")
NO_DUTIES = Text("机构类别 {}：没有要求", "type of institution {}: nothing is asked of it")
UNVERIFIED = Text("未核实：{}", "unverified: {}")


def check(path: Path, *, lang: Lang, as_json: bool) -> int:
    """Print every problem of the site file on stdout; 0 if the daemon would take it, else 2."""
    loaded = load_site(path)
    if as_json:
        print(json.dumps(_document(loaded), ensure_ascii=False, indent=2))
    elif loaded.problems:
        print(render(loaded.problems, lang))
    print(_verdict(loaded.site, path).in_(lang), file=sys.stderr)
    if loaded.site is not None:
        print(missing_line(coverage_view(loaded.site), lang), file=sys.stderr)
        for line in _asked_lines(read_institution(loaded.site.institution, []), lang):
            print(line, file=sys.stderr)
    return INPUT_WRONG if loaded.site is None else FINE


def _asked_lines(institution: Institution, lang: Lang) -> Iterator[str]:
    """What its type asks of the house; what of it was not verified is repeated each time."""
    if not institution.duties:
        yield NO_DUTIES.in_(lang).format(institution.type)
        return
    yield ASKED.in_(lang).format(institution.name.in_(lang))
    for duty in institution.duties:
        line = f"  {duty.say.in_(lang)} ({duty.basis})"
        if duty.unverified is not None:
            line += f"; {UNVERIFIED.in_(lang).format(duty.unverified.in_(lang))}"
        yield line


def _verdict(site: Site | None, path: Path) -> Text:
    if site is None:
        return Text(
            f"{path} 不能用，请先改正错误", f"{path} cannot be used: correct the errors first"
        )
    buses, devices = len(site.buses), len(site.devices)
    points, rules = len(site.points), len(site.rules)
    return Text(
        f"{path} 可以用：{buses} 条总线，{devices} 台设备，{points} 个监测点，{rules} 条规则",
        f"{path} is fine: {buses} buses, {devices} devices, {points} points, {rules} rules",
    )


def _document(loaded: Loaded) -> dict[str, Any]:
    """What `--json` prints; keys are added to it, never renamed or removed.

    `ok`: the daemon would take the file. `sha`: of all files it was made from, null without `ok`.
    `problems`: each with `level` (error, warning), `code` (stable), `file`, `line` and `column`
    (from 1; line 0 is the file as a whole), `fact` and `advice` in zh and en, and `also`, the
    other places that take part. `coverage`: what is monitored, and what is not. `institution`:
    the site's type, and each duty of it with its basis and what of it is unverified (or null).
    """
    return {
        "ok": loaded.site is not None,
        "sha": None if loaded.site is None else loaded.site.sha,
        "problems": [_problem(problem) for problem in loaded.problems],
        "coverage": None if loaded.site is None else coverage_view(loaded.site),
        "institution": None if loaded.site is None else _institution(loaded.site.institution),
    }


def _institution(type_: str) -> dict[str, Any]:
    found = read_institution(type_, [])
    return {"type": type_, "duties": [asdict(duty) for duty in found.duties]}


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "level": problem.level.value,
        "code": problem.code,
        **_place(problem.place),
        "fact": {"zh": problem.fact.zh, "en": problem.fact.en},
        "advice": {"zh": problem.advice.zh, "en": problem.advice.en},
        "also": [_place(place) for place in problem.also],
    }


def _place(place: Place) -> dict[str, Any]:
    return {"file": place.file, "line": place.line, "column": place.column}
