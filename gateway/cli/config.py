"""`care-gateway config diff`: what a new site file would change, before it does."""

import json
import sys
from pathlib import Path
from typing import Any

from gateway.cli.saying import console
from gateway.config.load import load_site
from gateway.config.problems import render
from gateway.core.site_diff import Changed, How, SiteDiff, diff_sites
from gateway.domain.site import Site
from gateway.domain.text import Lang, Text

SAME = Text("没有区别", "no difference")
KINDS = {
    "site": Text("站点", "site"),
    "bus": Text("总线", "bus"),
    "device": Text("设备", "device"),
    "point": Text("监测点", "point"),
    "rule": Text("规则", "rule"),
}
HOWS = {
    How.ADDED: Text("新增", "added"),
    How.REMOVED: Text("删除", "removed"),
    How.CHANGED: Text("修改", "changed"),
}
WEAKER = Text("  ← 保护减弱", "  <- protects less")
RESTED = Text("这些总线会重新开始：{}", "these buses begin anew: {}")
RESTART = Text("这些要重启守护进程才生效：{}", "only a restart takes over: {}")
NOTHING_RESTS = Text("没有总线被打断", "no bus is interrupted")


def show_diff(new: Path, old: Path, *, as_json: bool, lang: Lang) -> int:
    """Print what differs between two site files; 0, or 2 when one of them has errors."""
    sites = [_load(path, lang) for path in (old, new)]
    if sites[0] is None or sites[1] is None:
        return 2
    found = diff_sites(sites[0], sites[1])
    if as_json:
        print(json.dumps(_plain(found), ensure_ascii=False, indent=2))
    else:
        _print(found, lang)
    return 0


def _load(path: Path, lang: Lang) -> Site | None:
    loaded = load_site(path)
    if loaded.site is None:
        print(render(loaded.problems, lang), file=sys.stderr)
    return loaded.site


def _print(found: SiteDiff, lang: Lang) -> None:
    to = console()
    if not found.changes:
        to.print(SAME.in_(lang))
        return
    for change in found.changes:
        weaker = WEAKER.in_(lang) if change.is_weaker else ""
        head = f"{HOWS[change.how].in_(lang)} {KINDS[change.what].in_(lang)} {change.id}"
        to.print(f"{head}{weaker}", soft_wrap=True)
        for name, (before, after) in change.fields.items():
            to.print(f"    {name}: {before} -> {after}", soft_wrap=True)
    rested = RESTED.in_(lang).format(", ".join(found.rested))
    to.print(rested if found.rested else NOTHING_RESTS.in_(lang))
    if found.restart_for:
        to.print(RESTART.in_(lang).format(", ".join(found.restart_for)))


def _plain(found: SiteDiff) -> dict[str, Any]:
    return {
        "changes": [_row(change) for change in found.changes],
        "rested": list(found.rested),
        "restart_for": list(found.restart_for),
    }


def _row(change: Changed) -> dict[str, Any]:
    return {
        "what": change.what,
        "id": change.id,
        "how": change.how.value,
        "is_weaker": change.is_weaker,
        "fields": {name: {"before": b, "after": a} for name, (b, a) in change.fields.items()},
    }
