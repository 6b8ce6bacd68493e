"""The walk of an acceptance: what is asked of the technician, and of the daemon, thing by thing.

Each function tries one thing and gives the result to the daemon, which keeps it or says why not.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.cli.accept_asking import Asker, Kind, Said
from gateway.cli.accept_words import output_name, words
from gateway.cli.asking import refusal_of
from gateway.cli.bus_line import NoLine, Target, find_target, opener
from gateway.cli.bus_scan import parse_units, teller
from gateway.cli.bus_solve import as_yaml
from gateway.cli.saying import QUALITIES, age, number, say, worded
from gateway.config.families import read_families, read_family
from gateway.core.scan import Found, ScanPlan
from gateway.core.solve import sample_of, solve
from gateway.domain.acceptance import RELAY, RESULTS, SILENCE, Part, Result
from gateway.domain.errors import BusDown
from gateway.domain.families import Family
from gateway.domain.reasons import reason_text
from gateway.domain.text import Lang
from gateway.drivers.sockets import ask
from gateway.tasks.scan_bus import Progress, scan_bus

Item = Mapping[str, Any]

USUAL_UNITS = "1-32"
POLL_S = 0.1
AROUND = 4  # registers to each side of a point, where a display does not fit
CANDIDATES_SHOWN = 3
ANSWER_MS = 400  # a device that is slower is there, but not when it is looked for
TOLD_FROM_MS = 5_000
SIMULATE = frozenset({"sim", "模拟"})
RTC = Path("/sys/class/rtc")


@dataclass(frozen=True, slots=True)
class Waits:
    """How long to wait for what people do, in s."""

    trip_s: float = 180.0
    restore_s: float = 180.0
    tap_s: float = 60.0
    self_test_s: float = 150.0  # the daemon gives up after 120
    press_s: float = 5.0  # after somebody has said that it was pressed
    good_s: float = 5.0  # for a reading that just now is none


@dataclass(slots=True)
class Walk:
    """One technician's way through a house. `steps` counts what was tried."""

    socket: Path
    site: Path
    by: str
    lang: Lang
    asker: Asker
    tolerance: float
    waits: Waits
    steps: int = 0

    def say(self, name: str, /, **values: object) -> None:
        print(words(name, self.lang, **values), file=sys.stderr, flush=True)

    def question(self, item: Item, name: str, /, **values: object) -> Said:
        return self.asker.ask(str(item["key"]), words(name, self.lang, **values))

    def ask(self, verb: str, **fields: object) -> Mapping[str, Any]:
        return ask(self.socket, {"verb": verb, **fields})

    def now(self, *items: Item) -> list[Item]:
        """The same items as the daemon sees them at this moment."""
        view = self.ask("acceptance", keys=[item["key"] for item in items])
        found = {item["key"]: item for item in view["items"]}
        return [found[item["key"]] for item in items]

    def give(self, item: Item, result: Result = Result.PASSED, **more: object) -> bool:
        """Let the daemon keep a result; False when it refuses, which is then said."""
        answer = self.ask(
            "accept", by=self.by, part=item["part"], subject=item["subject"], result=result.value,
            tolerance=self.tolerance, **more,
        )  # fmt: skip
        if not answer.get("ok"):
            self.say("refused", key=item["key"], why=refusal_of(answer, self.lang))
            return False
        self.say("done", key=item["key"], result=RESULTS[result].in_(self.lang))
        return True

    def give_up(self, item: Item, said: Said, **more: object) -> bool:
        """A skip or a failure with its reason; True when it was taken."""
        result = Result.SKIPPED if said.kind is Kind.SKIP else Result.FAILED
        return self.give(item, result, note=said.text, **more)

    def wait(self, holds: Callable[[], bool], within_s: float) -> bool:
        """Look until it holds; False when it did not within the time."""
        until = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > until:
                return False
            time.sleep(POLL_S)
        return True


def try_items(walk: Walk, items: Sequence[Item]) -> None:
    """Try everything in its order; points by device, trips by what is tripped at once."""
    for part, mine in _by_part(items):
        match part:
            case Part.POINT:
                _try_points(walk, mine)
            case Part.TRIP:
                for points in dict.fromkeys(tuple(item["points"]) for item in mine):
                    walk.steps += 1
                    _try_trip(walk, [item for item in mine if tuple(item["points"]) == points])
            case Part.SIGN:
                pass  # last of all, when it is known what is left
            case _:
                for item in mine:
                    walk.steps += 1
                    _TRY[part](walk, item)


def _by_part(items: Sequence[Item]) -> Iterable[tuple[Part, list[Item]]]:
    for part in Part:
        mine = [item for item in items if item["part"] == part.value]
        if mine:
            yield part, mine


# -- lines and devices --------------------------------------------------------------------------


def _try_bus(walk: Walk, item: Item) -> None:
    named = ", ".join(map(str, item["units"]))
    while True:
        said = walk.question(item, "bus", bus=item["subject"], units=named)
        match said.kind:
            case Kind.LATER:
                return
            case Kind.SKIP | Kind.FAIL:
                if walk.give_up(item, said):
                    return
            case Kind.YES | Kind.VALUE | Kind.AGAIN:
                text = said.text or USUAL_UNITS
                try:
                    units = [unit for unit in parse_units(text) if unit not in item["units"]]
                except ValueError:
                    walk.say("no_units", text=text)
                    continue
                if _look_for_others(walk, item, text, units):
                    return


def _look_for_others(walk: Walk, item: Item, text: str, units: Sequence[int]) -> bool:
    others = _scanned(walk, str(item["subject"]), units, ())
    if others is None:
        return False
    if not others:
        return walk.give(item, note=words("nobody_else", walk.lang, units=text))
    families, _ = read_families(walk.site.parent)  # takes its time: only where somebody is there
    found = [each.unit for each in others]
    others = _scanned(walk, str(item["subject"]), found, families) or others
    names = [f"{each.unit} {each.matches[0].family.profile if each.matches else '?'}"
             for each in others]  # fmt: skip
    walk.say("others", found="; ".join(names))
    return False


def _try_device(walk: Walk, item: Item) -> None:
    while True:
        said = walk.question(
            item, "device", device=item["subject"], place=item["place"], bus=item["bus"],
            unit=item["unit"], profile=item["profile"], identity=_identity(walk, item),
        )  # fmt: skip
        match said.kind:
            case Kind.LATER:
                return
            case Kind.SKIP | Kind.FAIL:
                if walk.give_up(item, said):
                    return
            case Kind.YES:
                if walk.give(item):
                    return
            case _:
                pass  # look again


def _identity(walk: Walk, item: Item) -> str:
    """What the device shows of itself, by the probe of its profile."""
    family = read_family(walk.site.parent, str(item["profile"]))
    found = _scanned(walk, str(item["bus"]), [int(item["unit"])], [family] if family else [])
    if not found:
        return words("silent", walk.lang)
    if family is None or not family.hints:
        return words("no_probe", walk.lang)
    match = next(iter(found[0].matches), None)
    if match is None:
        return words("unlike", walk.lang)
    shown = ", ".join(text for text, _ in match.shown)
    return words("known" if match.is_certain else "plausible", walk.lang, shown=shown)


def _scanned(
    walk: Walk, bus: str, units: Sequence[int], families: Sequence[Family]
) -> tuple[Found, ...] | None:
    """Who of these units answers, as the line is set; None when the line is down."""
    try:
        target = find_target(bus, socket=walk.socket, site=walk.site)
        plan = ScanPlan((None,), tuple(units), timeout_ms=ANSWER_MS)
        if plan.estimate_ms > TOLD_FROM_MS:
            walk.say("asking", units=len(units), time=age(plan.estimate_ms, walk.lang))
        return asyncio.run(_scan(plan, families, target, walk.lang))
    except BusDown as down:
        walk.say("line_down", why=down.why)
    except NoLine as none:
        walk.say("line_down", why=none.words.in_(walk.lang))
    return None


async def _scan(
    plan: ScanPlan, families: Sequence[Family], target: Target, lang: Lang
) -> tuple[Found, ...]:
    """Long ones tell how far they are."""
    tell = teller(plan, lang) if plan.estimate_ms > TOLD_FROM_MS else _nobody
    return await scan_bus(plan, families, open_line=opener(target), tell=tell)


def _nobody(_progress: Progress) -> None:
    """Soon done."""


# -- values -------------------------------------------------------------------------------------


def _try_points(walk: Walk, items: Sequence[Item]) -> None:
    """Points that rules judge one by one; the others of a device on one page."""
    for device in dict.fromkeys(item["device"] for item in items):
        mine = [item for item in items if item["device"] == device]
        for item in (item for item in mine if item["is_judged"]):
            walk.steps += 1
            _try_point(walk, item)
        if others := [item for item in mine if not item["is_judged"]]:
            walk.steps += 1
            _try_page(walk, str(device), others)


def _try_page(walk: Walk, device: str, items: Sequence[Item]) -> None:
    for item in _when_good(walk, *items):
        print(f"  {item['subject']}  {item['label']}  {_value(walk, item)}", file=sys.stderr)
    said = walk.asker.ask(f"points/{device}", words("page", walk.lang, device=device))
    match said.kind:
        case Kind.YES:
            for item in items:
                walk.give(item)
        case Kind.SKIP | Kind.FAIL:
            for item in items:
                walk.give_up(item, said)
        case Kind.VALUE | Kind.AGAIN:
            for item in items:
                _try_point(walk, item)
        case Kind.LATER:
            pass


def _try_point(walk: Walk, item: Item) -> None:
    while True:
        (seen,) = _when_good(walk, item)
        said = walk.question(
            item, "point", place=item["place"], point=item["subject"], label=item["label"],
            value=_value(walk, seen), words=_hex(_read(walk, item, item["at"], item["count"])),
        )  # fmt: skip
        match said.kind:
            case Kind.LATER:
                return
            case Kind.SKIP | Kind.FAIL:
                if walk.give_up(item, said):
                    return
            case Kind.YES:
                if walk.give(item):
                    return
            case Kind.VALUE:
                if walk.give(item, shown=said.text):
                    return
                _solve(walk, item, said.text)
            case Kind.AGAIN:
                pass


def _when_good(walk: Walk, *items: Item) -> list[Item]:
    """The items with readings that can be compared: one lost answer is not worth a question."""
    walk.wait(lambda: all(i["quality"] == "good" for i in walk.now(*items)), walk.waits.good_s)
    return walk.now(*items)


def _value(walk: Walk, item: Item) -> str:
    """As the gateway has it: the number, what a code means, and what is wrong with it."""
    said = number(item["value"], item["unit"])
    if item.get("says"):
        said += f" ({item['says']})"
    if item["quality"] != "good":
        reason = f" ({reason_text(item['reason']).in_(walk.lang)})" if item["reason"] else ""
        said += f" – {worded(QUALITIES, item['quality'], walk.lang)}{reason}"
    return said


def _read(walk: Walk, item: Item, start: int, count: int) -> list[int]:
    """Raw words or bits from the bus; none where it does not answer."""
    answer = walk.ask(
        "bus_ask", bus=item["bus"], unit=item["unit_id"], table=item["table"], start=start,
        count=count, timeout_ms=1_000, line=None,
    )  # fmt: skip
    return [int(word) for word in answer.get("words") or ()]


def _hex(raw: Sequence[int]) -> str:
    return " ".join(f"{word:04X}" for word in raw) or "–"


def _solve(walk: Walk, item: Item, shown: str) -> None:
    """What the registers around a point would have to be read as, to give what is displayed."""
    if item["table"] not in ("holding", "input"):
        return
    start = max(0, item["at"] - AROUND)
    end = min(65_536, item["at"] + item["count"] + AROUND)
    window = _read(walk, item, start, min(end - start, item["most"]))
    if not window:  # registers next to it that the device does not have
        start, window = item["at"], _read(walk, item, item["at"], item["count"])
    try:
        sample = sample_of(start, window, shown)
    except ValueError:
        return
    candidates = solve([sample]).candidates if window else ()
    walk.say("candidates" if candidates else "no_candidates", shown=shown)
    for candidate in candidates[:CANDIDATES_SHOWN]:
        print(f"    {as_yaml(candidate)}", file=sys.stderr)


# -- trips --------------------------------------------------------------------------------------


def _try_trip(walk: Walk, items: Sequence[Item]) -> None:
    """Let the technician trip a device under test, and accept every alarm that was raised."""
    points, left = [str(point) for point in items[0]["points"]], list(items)
    said_all = "; ".join(_rule_words(walk, item) for item in items)
    question = words(
        "trip", walk.lang, points=", ".join(points), place=items[0]["place"], say=said_all
    )
    while left:
        said = walk.asker.ask(f"trip/{'+'.join(points)}", question)
        match said.kind:
            case Kind.LATER:
                return
            case Kind.SKIP | Kind.FAIL:
                left = [item for item in left if not walk.give_up(item, said)]
            case kind:
                is_simulated = kind is Kind.VALUE and said.text.casefold() in SIMULATE
                left = _simulate(walk, left) if is_simulated else _trip(walk, points, left)
                if left:
                    walk.say("no_trip", rules=", ".join(str(item["subject"]) for item in left))


def _rule_words(walk: Walk, item: Item) -> str:
    limit = "" if item["limit"] is None else f" ({number(item['limit'], item['unit'])})"
    return f"{say(item['say'], walk.lang)}{limit}"


def _trip(walk: Walk, points: Sequence[str], items: Sequence[Item]) -> list[Item]:
    """One test of these points; the items that were not raised in it."""
    begun: list[str] = []
    try:
        for point in points:
            answer = walk.ask("test_start", by=walk.by, point=point)
            if not answer.get("ok"):
                walk.say("refused", key=point, why=refusal_of(answer, walk.lang))
                return list(items)
            begun.append(point)
        walk.say("trip_now", seconds=round(walk.waits.trip_s))
        walk.wait(lambda: all(i["is_tripped"] for i in walk.now(*items)), walk.waits.trip_s)
        tripped = [item for item in walk.now(*items) if item["is_tripped"]]
        taken = {item["key"] for item in tripped if walk.give(item)}
        if tripped:
            _wait_for_normal(walk, items)
        return [item for item in items if item["key"] not in taken]
    finally:
        with ExitStack() as ends:  # one that gets no answer leaves the others their end
            for point in begun:
                ends.callback(walk.ask, "test_end", by=walk.by, point=point)


def _simulate(walk: Walk, items: Sequence[Item]) -> list[Item]:
    """A test with a simulated value for each rule; the items that were not raised so."""
    left = []
    for item in items:
        point = str(item["subject"]).rpartition("/")[0]
        walk.say("simulating", rule=item["subject"])
        answer = walk.ask("test_start", by=walk.by, point=point, simulate=item["subject"])
        if not answer.get("ok"):
            walk.say("refused", key=item["key"], why=refusal_of(answer, walk.lang))
            left.append(item)
            continue
        try:
            walk.wait(lambda item=item: walk.now(item)[0]["is_tripped"], walk.waits.trip_s)  # type: ignore[misc] # of this round
            if not walk.give(item):
                left.append(item)
        finally:
            walk.ask("test_end", by=walk.by, point=point)
    return left


def _wait_for_normal(walk: Walk, items: Sequence[Item]) -> None:
    walk.say("restore", seconds=round(walk.waits.restore_s))
    is_normal = walk.wait(
        lambda: not any(i["is_active"] for i in walk.now(*items)), walk.waits.restore_s
    )
    if not is_normal:
        walk.say("still_over")


# -- panel, tags, uplink, clock -----------------------------------------------------------------


def _try_panel(walk: Walk, item: Item) -> None:
    output = str(item["subject"])
    key = {SILENCE: "button", RELAY: "relay"}.get(output, "panel")
    while True:
        answer = walk.ask("panel_test", by=walk.by, output=output)
        if not answer.get("ok"):
            walk.say("refused", key=item["key"], why=refusal_of(answer, walk.lang))
        said = walk.question(item, key, output=output_name(output, walk.lang))
        match said.kind:
            case Kind.LATER:
                return
            case Kind.SKIP | Kind.FAIL:
                if walk.give_up(item, said):
                    return
            case Kind.YES:
                if output == SILENCE:
                    walk.wait(lambda: _is_pressed(walk), walk.waits.press_s)
                if walk.give(item):
                    return
            case _:
                pass  # shown once more


def _is_pressed(walk: Walk) -> bool:
    trial = walk.ask("acceptance", keys=[])["trial"]
    return bool(trial and trial["is_pressed"])


def _try_tag(walk: Walk, item: Item) -> None:
    code = str(item["subject"])
    began = time.monotonic()
    while True:
        said = walk.question(item, "tag", code=code, place=f"{item['label']} {item['place']}")
        match said.kind:
            case Kind.LATER:
                return
            case Kind.SKIP | Kind.FAIL:
                if walk.give_up(item, said):
                    return
            case _:
                walk.wait(lambda: _is_tapped(walk, code, began), walk.waits.tap_s)
                if walk.give(item):
                    return


def _is_tapped(walk: Walk, code: str, began: float) -> bool:
    """Whether the gateway has seen the tag since it was asked for."""
    age_ms = walk.ask("acceptance", keys=[])["tags_seen"].get(code)
    return age_ms is not None and age_ms <= 1_000 * (time.monotonic() - began)


def _try_uplink(walk: Walk, item: Item) -> None:
    walk.say("uplink")
    while True:
        answer = walk.ask("self_test", by=walk.by)
        if answer.get("ok") or answer.get("code") == "self_test_running":
            walk.wait(lambda: not _is_testing(walk), walk.waits.self_test_s)
            if walk.give(item):
                return
        said = walk.question(item, "uplink_again")
        if said.kind is Kind.LATER:
            return
        if said.kind in (Kind.SKIP, Kind.FAIL) and walk.give_up(item, said):
            return


def _is_testing(walk: Walk) -> bool:
    return bool(walk.ask("acceptance", keys=[])["self_test"]["is_running"])


def _try_clock(walk: Walk, item: Item) -> None:
    while True:
        clock = walk.ask("acceptance", keys=[])["clock"]
        rtc = "has_rtc" if RTC.is_dir() and any(RTC.iterdir()) else "no_rtc"
        said = walk.question(
            item, "clock", time=_time(clock["utc_ms"]), clk=clock["clk"],
            err=number(clock["err_ms"]), rtc=words(rtc, walk.lang),
        )  # fmt: skip
        match said.kind:
            case Kind.LATER:
                return
            case Kind.SKIP | Kind.FAIL:
                if walk.give_up(item, said):
                    return
            case Kind.AGAIN:
                pass
            case _:
                if walk.give(item, shown=said.text, note=words(rtc, walk.lang)):
                    return


def _time(utc_ms: object) -> str:
    """In this machine's zone."""
    if not isinstance(utc_ms, int):
        return "–"
    return f"{datetime.fromtimestamp(utc_ms / 1000, UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def try_sign(walk: Walk, item: Item) -> None:
    """Two staff codes under all of it."""
    while True:
        said = walk.question(item, "sign", by=walk.by)
        if said.kind is not Kind.VALUE:
            return
        if walk.give(item, partner=said.text):
            (signed,) = walk.now(item)
            kept = signed["accepted"]
            walk.say("signed", by=kept["by"], partner=kept["partner"], record=kept["record"])
            return


_TRY: Mapping[Part, Callable[[Walk, Item], None]] = {
    Part.BUS: _try_bus,
    Part.DEVICE: _try_device,
    Part.PANEL: _try_panel,
    Part.TAG: _try_tag,
    Part.UPLINK: _try_uplink,
    Part.CLOCK: _try_clock,
}
