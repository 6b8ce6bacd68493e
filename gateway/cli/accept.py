"""`care-gateway accept`: from a running daemon to a signed sheet, thing by thing.

What is accepted is kept by the daemon at once, so a walk may be paused and gone on with by anybody.
Exit codes: 0 everything is accepted, 1 something is left or the daemon is not there, 2 your input.
"""

import json
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.cli.accept_asking import KEYS, Asker, Paused
from gateway.cli.accept_sheet import data_of, html_of, is_passed
from gateway.cli.accept_walk import Waits, Walk, try_items, try_sign
from gateway.cli.asking import NO_PERSON, question, refuse
from gateway.cli.saying import no_answer
from gateway.config.answers import read_answers
from gateway.config.families import profile_digest
from gateway.config.problems import render
from gateway.domain.acceptance import Part
from gateway.domain.system_errors import why
from gateway.domain.text import Lang
from gateway.drivers.sockets import NoAnswer
from gateway.tasks.commands import STAFF_CODE

FINE, LEFT, TYPED = 0, 1, 2
NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the house is walked through, and what is made of it."""

    only: frozenset[Part] = frozenset()  # empty: all
    devices: frozenset[str] = frozenset()  # empty: all
    is_again: bool = False  # also what is accepted already
    sheet: Path | None = None
    waits: Waits = field(default_factory=Waits)
    tolerance: float = 0.02


def accept(
    socket: Path,
    site: Path,
    by: str | None,
    wanted: Wanted,
    *,
    answers: Path | None,
    as_json: bool,
    lang: Lang,
) -> int:
    """Walk through what is not accepted yet; see the module for the exit codes."""
    if by is None or not STAFF_CODE.fullmatch(by):
        return refuse(NO_PERSON, lang)
    asker = Asker(lang)
    if answers is not None:
        listed, problems = read_answers(answers)
        if problems:
            print(render(problems, lang), file=sys.stderr)
            return TYPED
        asker = Asker(lang, listed)
    walk = Walk(socket, site, by, lang, asker, wanted.tolerance, wanted.waits)
    view = question(socket, {"verb": "acceptance"}, lang)
    if view is None:
        return LEFT
    unknown = wanted.devices - {item["subject"] for item in view["items"]}
    if unknown:
        walk.say("no_device", device=", ".join(sorted(unknown)))
        return TYPED
    began = time.monotonic()
    try:
        with _ended_as_by_hand():
            _go(walk, [item for item in view["items"] if _is_wanted(item, wanted)])
        return _end(walk, wanted, began, as_json=as_json)
    except NoAnswer as error:
        print(no_answer(error, lang), file=sys.stderr)
        return LEFT


@contextmanager
def _ended_as_by_hand() -> Iterator[None]:
    """A lost terminal and a kill pause the walk as Ctrl-C does: tests that it began are ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGHUP, signal.SIGTERM)}
    for each in before:
        signal.signal(each, signal.default_int_handler)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _is_wanted(item: Mapping[str, Any], wanted: Wanted) -> bool:
    if wanted.only and Part(item["part"]) not in wanted.only:
        return False
    if wanted.devices:
        mine = {item["subject"], item.get("device"), *item.get("devices", ())}
        if not mine & wanted.devices:
            return False
    return wanted.is_again or not is_passed(item)


def _go(walk: Walk, items: Sequence[Mapping[str, Any]]) -> None:
    """Try all of it, then sign where there is something to sign; a pause ends it early."""
    try:
        if items:
            print(KEYS.in_(walk.lang), file=sys.stderr)
        try_items(walk, items)
        _tell_left(walk)
        for item in items:
            if item["part"] == Part.SIGN.value:
                walk.steps += 1
                try_sign(walk, item)
    except (Paused, KeyboardInterrupt):
        walk.say("paused")


def _tell_left(walk: Walk) -> None:
    counts = walk.ask("acceptance")["counts"]
    names = [f"point/{name}" for name in counts["points_open"]]
    names += [f"trip/{name}" for name in counts["rules_open"]]
    names += counts["others_open"]
    if not names:
        walk.say("nothing_left")
        return
    more = ["…"] if len(names) > NAMES_SHOWN else []
    walk.say("left", count=len(names), names=", ".join([*names[:NAMES_SHOWN], *more]))


def _end(walk: Walk, wanted: Wanted, began: float, *, as_json: bool) -> int:
    """Write the sheet, print the data, and say how far it is."""
    view = walk.ask("acceptance")
    names = {item["profile"] for item in view["items"] if item["part"] == Part.DEVICE.value}
    profiles = {name: profile_digest(walk.site.parent, name) for name in sorted(names)}
    lines = walk.ask("bus_lines").get("lines") or []
    data = data_of(view, walk.ask("status"), lines, profiles)
    seconds = time.monotonic() - began
    data["walk"] = {
        "by": walk.by,
        "steps": walk.steps,
        "prompts": walk.asker.prompts,
        "seconds": round(seconds, 1),
    }
    if wanted.sheet is not None and not _write(walk, wanted.sheet, data):
        return LEFT
    if as_json:
        print(json.dumps(data, ensure_ascii=False, indent=2))
    tried = [item for item in data["items"] if item["part"] != Part.SIGN.value]
    passed = sum(map(is_passed, tried))
    walk.say(
        "sum", passed=passed, all=len(tried), steps=walk.steps, prompts=walk.asker.prompts,
        seconds=round(seconds),
    )  # fmt: skip
    return FINE if passed == len(tried) else LEFT


def _write(walk: Walk, path: Path, data: Mapping[str, Any]) -> bool:
    """The sheet, and its data beside it."""
    beside = path.with_suffix(".json")
    try:
        path.write_text(html_of(data, walk.lang), encoding="utf-8")
        beside.write_text(json.dumps(data, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        walk.say("cannot_write", path=error.filename, why=why(error).in_(walk.lang))
        return False
    walk.say("sheet", path=path, data=beside)
    return True
