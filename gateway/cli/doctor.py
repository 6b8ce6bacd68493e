"""`care-gateway doctor`: everything around the daemon that is not as it should be, and the cure.

Exit codes: 0 nothing is broken, 1 something is, 2 the site file has errors. It changes nothing and
may run beside the daemon.
"""

import asyncio
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.cli.asking import Answer
from gateway.cli.saying import say
from gateway.config.load import load_site
from gateway.config.people import NAME as PEOPLE
from gateway.config.problems import render
from gateway.core.faults import LINK_FAILURES
from gateway.domain.errors import LinkRefused
from gateway.domain.findings import Finding, Grade
from gateway.domain.moments import Clk
from gateway.domain.site import Broker, PanelPins, Site, Uplink
from gateway.domain.text import Lang, Text
from gateway.drivers import mqtt
from gateway.drivers.checkup import (
    Who,
    look_at_bus,
    look_at_clock,
    look_at_pins,
    look_at_reader,
    look_at_secrets,
    look_at_store,
    look_at_units,
    service_user,
)
from gateway.drivers.clock import SYNC_FLAG, Clock
from gateway.drivers.sockets import NoAnswer, ask

MARKS = {Grade.GOOD: Text("正常", "good"), Grade.NOTE: Text("提示", "note"),
         Grade.BAD: Text("异常", "WRONG")}  # fmt: skip
STYLES = {Grade.GOOD: "green", Grade.NOTE: "yellow", Grade.BAD: "bold red"}
CURE = Text("怎么办：", "do: ")
SUM = Text("{bad} 处异常，{note} 条提示", "{bad} wrong, {note} notes")
PAGE = Text("每一条的说明：docs/troubleshooting.md", "each is explained in docs/troubleshooting.md")


def doctor(path: Path, socket: Path, *, as_json: bool, lang: Lang) -> int:
    """Look at everything, print what was found; return the exit code."""
    loaded = load_site(path)
    if loaded.site is None:
        print(render(loaded.problems, lang), file=sys.stderr)
        return 2
    found = [*findings(loaded.site, path, socket)]
    if as_json:
        print(json.dumps(plain(found), ensure_ascii=False, indent=2))
    else:
        _print(found, lang)
    return 1 if any(each.grade is Grade.BAD for each in found) else 0


def findings(site: Site, path: Path, socket: Path) -> Iterator[Finding]:
    """What is found around this site: buses, panel, reader, broker, clock, disk, units, daemon."""
    who = service_user()
    for bus in site.buses:
        yield from look_at_bus(bus, who)
    yield from look_at_pins(site.panel != PanelPins(), who)
    if site.reader is not None:
        yield from look_at_reader(site.reader.device, who)
    yield from _look_at_uplink(site.uplink, who)
    yield from look_at_secrets([_if_there(path.parent / PEOPLE)], who)
    yield from look_at_clock(is_synced=Clock(flag=SYNC_FLAG).now().clk is Clk.SYNC)
    yield from look_at_store(site.store.directory, who)
    yield from look_at_units()
    yield from look_at_daemon(socket)


def _if_there(path: Path) -> Path | None:
    return path if path.exists() else None


def _look_at_uplink(uplink: Uplink | None, who: Who) -> Iterator[Finding]:
    if uplink is None:
        return
    yield from look_at_secrets([uplink.password_file, uplink.cert_file, uplink.key_file], who)
    for broker in uplink.brokers:
        yield _look_at_broker(uplink, broker)


def _look_at_broker(uplink: Uplink, broker: Broker) -> Finding:
    """Name, TCP and TLS; no login: it would throw the running daemon off the line."""
    where = broker.unix_path or f"{broker.host}:{broker.port}"
    try:
        asyncio.run(mqtt.reach(uplink, broker))
    except LinkRefused as refused:
        fact, cures = LINK_FAILURES.get(refused.why, LINK_FAILURES["tcp"])
        return Finding(
            f"broker_{refused.why}",
            Grade.BAD,
            Text(f"{where}：{fact.zh}", f"{where}: {fact.en} ({refused.detail})"),
            Text("；".join(each.zh for each in cures), "; ".join(each.en for each in cures)),
        )
    return Finding("broker_reached", Grade.GOOD, Text(f"{where} 可达", f"{where} can be reached"))


def look_at_daemon(socket: Path) -> Iterator[Finding]:
    """Whether it answers, and the faults that it knows of, with what to do about each."""
    try:
        answer = ask(socket, {"verb": "status"})
    except NoAnswer as error:
        yield Finding(
            "daemon_silent",
            Grade.BAD,
            Text(f"守护进程没有应答（{socket}）", f"the daemon does not answer: {error}"),
            Text("systemctl restart care-gateway", "systemctl restart care-gateway"),
        )
        return
    yield Finding("daemon_answers", Grade.GOOD, Text("守护进程在运行", "the daemon answers"))
    for row in _faults(answer):
        steps = row.get("do") or []
        yield Finding(
            "fault_open",
            Grade.BAD,
            Text(_fault_in(row, Lang.ZH), _fault_in(row, Lang.EN)),
            Text(
                "；".join(say(step, Lang.ZH) for step in steps),
                "; ".join(say(step, Lang.EN) for step in steps),
            ),
        )


def _faults(answer: Answer) -> Iterable[Mapping[str, Any]]:
    rows = answer.get("alarms") or ()
    return (row for row in rows if isinstance(row, Mapping) and row.get("severity") == "fault")


def _fault_in(row: Mapping[str, Any], lang: Lang) -> str:
    parts = (say(row.get("say"), lang), say(row.get("place"), lang), str(row.get("detail") or ""))
    return "  ".join(part for part in parts if part)


def _print(found: list[Finding], lang: Lang) -> None:
    from rich.console import Console
    from rich.text import Text as Styled

    to = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    for each in sorted(found, key=lambda finding: finding.grade is Grade.GOOD):
        mark = Styled(f"{MARKS[each.grade].in_(lang):<6}", style=STYLES[each.grade])
        to.print(mark, Styled(f"{each.fact.in_(lang)}  [{each.code}]"))
        if each.cure is not None:
            to.print(f"        {CURE.in_(lang)}{each.cure.in_(lang)}")
    counted = {grade.value: sum(each.grade is grade for each in found) for grade in Grade}
    to.print(SUM.in_(lang).format(**counted))
    if counted["bad"] or counted["note"]:
        to.print(PAGE.in_(lang))


def plain(found: Iterable[Finding]) -> dict[str, Any]:
    """The findings as JSON: `code`, `grade`, `fact` and `cure` in both languages."""
    return {"findings": [_plain(each) for each in found]}


def _plain(finding: Finding) -> dict[str, Any]:
    cure = finding.cure
    return {
        "code": finding.code,
        "grade": finding.grade.value,
        "fact": {"zh": finding.fact.zh, "en": finding.fact.en},
        "cure": None if cure is None else {"zh": cure.zh, "en": cure.en},
    }
