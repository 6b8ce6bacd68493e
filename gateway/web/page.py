"""A snapshot of the daemon as what the duty page says: pure, in one language, ready to be placed.

Every part of the snapshot may be missing: the daemon may be older or younger than the console.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

from gateway.domain.details import detail_text
from gateway.domain.text import Lang
from gateway.web.feed import Lost
from gateway.web.words import (
    INHIBITS,
    LAMPS,
    LIT,
    LIVES,
    LOST_STEPS,
    MODES,
    NAMES,
    SOUNDING,
    STATES,
    UNITS,
    WORDS,
)

MOST_STEPS = 4
OLD_MS = 5_000  # the daemon says something every second
LAST_UTC_MS = 4_102_444_800_000  # the year 2100
NOTHING = "–"
SEVERITIES = ("alarm", "warning", "fault")

Part = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """What there is to show: the newest snapshot, its age, and why there is no newer one."""

    snapshot: Part = field(default_factory=dict)
    age_ms: int | None = None  # None: there never was one
    lost: Lost | None = None
    lost_ms: int = 0


def content_of(shown: Shown, lang: Lang) -> dict[str, Any]:
    """Return everything that the template places."""
    snapshot = shown.snapshot
    is_stale = shown.lost is not None or shown.age_ms is None or shown.age_ms > OLD_MS
    zone = zone_of(_part(snapshot, "site").get("timezone"))
    later_ms = shown.age_ms or 0
    # How long an alarm has lasted is not known any more once nothing is heard of it.
    lasted_ms = 0 if is_stale else later_ms
    rows = [_alarm(row, lasted_ms, later_ms, zone, lang) for row in _rows(snapshot, "alarms")]
    top = str(snapshot.get("top", "unknown"))
    if is_stale or top not in STATES:
        top = "unknown"
    counts = _part(snapshot, "counts")
    has_first = bool(rows) and not rows[0]["is_inhibited"]
    practised = "" if is_stale else str(snapshot.get("mode", ""))
    return {
        "words": {key: text.in_(lang) for key, text in WORDS.items()},
        "lang": lang.value,
        "languages": [(name.in_(lang), code) for name, code in NAMES.items()],
        "is_stale": is_stale,
        "house": str(_part(snapshot, "site").get("name", "")),
        "top": top,
        "top_word": STATES[top].in_(lang),
        "practised": MODES[practised].in_(lang) if practised in MODES else "",
        "counts": [(name, STATES[name].in_(lang), _count(counts.get(name))) for name in SEVERITIES],
        "shelved": _count(counts.get("shelved")),
        "out_of_service": WORDS["out_of_service"].in_(lang).format(counts.get("out_of_service"))
        if counts.get("out_of_service")
        else "",
        "notices": [] if is_stale else _notices(snapshot, later_ms, lang),
        "cases": _count(_part(snapshot, "cases").get("open")),
        "has_cases": "open" in _part(snapshot, "cases"),
        "first": rows[0] if has_first else None,
        "others": rows[has_first:],
        "more": more if isinstance(more := snapshot.get("more"), int) else 0,
        "patrol": _patrol(_part(snapshot, "patrol"), zone, lang),
        "points": _points(snapshot, lang),
        "has_every_point": _has_every_point(snapshot),
        "uplink": _uplink(_part(snapshot, "link"), lang),
        "lamps": _lamps(_part(snapshot, "lamps"), lang),
        "clock": _clock(_part(snapshot, "clock"), later_ms, zone),
        "age_ms": shown.age_ms,
        "age": span(shown.age_ms, lang),
        "lost": _lost(shown, lang),
        "title": _title(shown, top, counts, lang),
    }


def span(ms: int | None, lang: Lang) -> str:
    """Return a duration as people say it: `12 s`, `3 min`, `2 h`, `4 d`; duty.js counts on."""
    if ms is None:
        return NOTHING
    seconds = max(0, ms) // 1000
    for below, per, unit in ((120, 1, 0), (7_200, 60, 1), (172_800, 3_600, 2)):
        if seconds < below:
            return f"{seconds // per} {UNITS[unit].in_(lang)}"
    return f"{seconds // 86_400} {UNITS[3].in_(lang)}"


def stopwatch(ms: int) -> str:
    """Return a running duration: `00:00:41`; hours go on past 99."""
    seconds = max(0, ms) // 1000
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _alarm(
    row: Part, lasted_ms: int, later_ms: int, zone: ZoneInfo | None, lang: Lang
) -> dict[str, Any]:
    severity = str(row.get("severity"))
    life = str(row.get("state"))
    since = _later(row.get("since_ms"), lasted_ms)
    age = _later(row.get("age_ms"), later_ms)
    steps = row.get("do")
    unit = row.get("unit")
    return {
        "severity": severity if severity in SEVERITIES else "fault",
        "word": STATES[severity].in_(lang) if severity in STATES else severity,
        "what": phrase(row.get("say"), lang),
        "where": phrase(row.get("place"), lang),
        "value": _number(row.get("value"), unit),
        "limit": _number(row.get("limit"), unit),
        "detail": detail_text(str(row.get("detail") or "")).in_(lang),
        "since_ms": since,
        "since": stopwatch(since) if since is not None else "",
        "since_at": time_of_day(row.get("raised_at"), zone),
        "age_ms": age,
        "age": span(age, lang),
        "is_stale": row.get("is_stale") is True,
        "mode": MODES[mode].in_(lang) if (mode := str(row.get("mode"))) in MODES else "",
        "marks": _marks(row, lang),
        "is_inhibited": bool(row.get("inhibits")),
        "life": LIVES[life].in_(lang) if life in LIVES else life,
        "is_waiting": life in ("UA", "RU", "LU"),
        "is_silenced": life in ("UA", "RU", "LU") and row.get("is_sounding") is False,
        "owner": str(row.get("owner") or ""),
        "steps": [phrase(step, lang) for step in (steps if isinstance(steps, list) else [])][
            :MOST_STEPS
        ],
    }


def _marks(row: Part, lang: Lang) -> list[str]:
    """What else is known of an alarm, in a word each."""
    inhibits = row.get("inhibits")
    found = [
        INHIBITS[each].in_(lang)
        for each in (inhibits if isinstance(inhibits, list) else [])
        if isinstance(each, str) and each in INHIBITS
    ]
    if row.get("is_first_out") is True:
        found.append(WORDS["first_out"].in_(lang))
    if row.get("is_on_site") is True:
        found.append(WORDS["on_site"].in_(lang))
    if row.get("chatter"):
        found.append(WORDS["chattering"].in_(lang).format(row["chatter"]))
    return found


def _notices(snapshot: Part, lasted_ms: int, lang: Lang) -> list[dict[str, Any]]:
    """Full-width lines: what is asked of the desk, and what is only practice."""
    found = []
    if check := _part(snapshot, "post_check"):
        left = max(0, (_later(check.get("left_ms"), -lasted_ms) or 0))
        said = WORDS["post_check"].in_(lang)
        found.append({"kind": "asked", "say": said, "left": stopwatch(left)})
    if drill := _part(snapshot, "drill"):
        left = max(0, (_later(drill.get("left_ms"), -lasted_ms) or 0))
        said = WORDS["drill_on"].in_(lang).format(drill.get("scenario"), drill.get("leader"))
        found.append({"kind": "practice", "say": said, "left": stopwatch(left)})
    if tests := snapshot.get("tests"):
        said = WORDS["tests_on"].in_(lang).format(tests)
        found.append({"kind": "practice", "say": said, "left": ""})
    return found


def _patrol(patrol: Part, zone: ZoneInfo | None, lang: Lang) -> dict[str, Any] | None:
    """How far today's rounds are; None in a house without any."""
    if not patrol:
        return None
    done, rounds = _count(patrol.get("done")), _count(patrol.get("rounds"))
    found = [WORDS["patrol_done"].in_(lang).format(done, rounds)]
    found.extend(
        WORDS[f"patrol_{name}"].in_(lang).format(count)
        for name in ("overdue", "missed")
        if (count := _count(patrol.get(name))) not in ("0", NOTHING)
    )
    if following := time_of_day(patrol.get("next_at"), zone):
        found.append(WORDS["patrol_next"].in_(lang).format(following))
    return {"say": " · ".join(found), "is_short": len(found) > 1 + bool(following)}


def _lost(shown: Shown, lang: Lang) -> dict[str, Any] | None:
    """What stands in the way of fresh data, since when, and what to do about it."""
    if shown.lost is None:
        return None
    return {
        "why": shown.lost.value,
        "say": WORDS[shown.lost.value].in_(lang),
        "for_ms": shown.lost_ms,
        "for": stopwatch(shown.lost_ms),
        "steps": [step.in_(lang) for step in LOST_STEPS] if shown.lost is not Lost.STARTING else [],
    }


def _title(shown: Shown, top: str, counts: Part, lang: Lang) -> str:
    said = WORDS[shown.lost.value] if shown.lost is not None else STATES[top]
    number = _count(counts.get(top)) if top in SEVERITIES else ""
    return f"{said.in_(lang)} {number}".strip() + f" · {WORDS['desk'].in_(lang)}"


def _uplink(link: Part, lang: Lang) -> dict[str, str]:
    """One word for the way up, and which mark goes with it."""
    queued = _part(link, "queued")
    waiting = sum(n for n in queued.values() if isinstance(n, int))
    urgent = sum(n for lane, n in queued.items() if lane in ("A", "B") and isinstance(n, int))
    if not link.get("is_set"):
        return {"mark": "none", "say": WORDS["no_uplink"].in_(lang)}
    if not (link.get("is_up") and link.get("is_platform_present")):
        return {"mark": "away", "say": WORDS["buffered"].in_(lang).format(waiting)}
    if urgent:
        return {"mark": "busy", "say": WORDS["queued"].in_(lang).format(urgent)}
    return {"mark": "good", "say": WORDS["delivered"].in_(lang)}


def _lamps(lamps: Part, lang: Lang) -> list[dict[str, str]]:
    found = []
    for name, word in LAMPS.items():
        asked = str(lamps.get(name, ""))
        if not asked:
            continue
        if name == "buzzer":
            lit, said = ("off", "on")[asked != "-"], SOUNDING[asked != "-"].in_(lang)
        else:
            lit = asked if asked in LIT else "blink"
            said = LIT[lit].in_(lang)
        found.append({"name": name, "word": word.in_(lang), "lit": lit, "say": said})
    return found


def _points(snapshot: Part, lang: Lang) -> str:
    points = _part(snapshot, "points")
    if not points:
        return NOTHING
    return WORDS["points_good"].in_(lang).format(points.get("good"), points.get("total"))


def _has_every_point(snapshot: Part) -> bool:
    points = _part(snapshot, "points")
    return points.get("good") == points.get("total")


def _clock(clock: Part, later_ms: int, zone: ZoneInfo | None) -> dict[str, Any]:
    utc_ms = clock.get("utc_ms")
    at = time_of_day(utc_ms + later_ms if isinstance(utc_ms, int) else None, zone)
    trust = clock.get("clk")
    about = "≈ " if at and trust == "est" else ""
    return {"at": about + (at or NOTHING), "is_trusted": trust in ("sync", "hold", "est")}


def time_of_day(utc_ms: object, zone: ZoneInfo | None) -> str:
    if not isinstance(utc_ms, int) or zone is None or not 0 <= utc_ms < LAST_UTC_MS:
        return ""
    return datetime.fromtimestamp(utc_ms / 1000, UTC).astimezone(zone).strftime("%H:%M")


def zone_of(name: object) -> ZoneInfo | None:
    try:
        return ZoneInfo(str(name))
    except (
        KeyError,
        OSError,
        ValueError,
    ):  # no such zone on this machine: rather no time than a wrong one
        return None


def _number(value: object, unit: object) -> str:
    """Five digits are enough for people."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    rounded = f"{value:.5g}" if isinstance(value, float) and isfinite(value) else str(value)
    return f"{rounded} {unit}" if unit else rounded


def _later(ms: object, by_ms: int) -> int | None:
    return ms + by_ms if isinstance(ms, int) else None


def _count(number: object) -> str:
    return str(number) if isinstance(number, int) else NOTHING


def phrase(said: object, lang: Lang) -> str:
    """A phrase, given as a string or in both languages."""
    if isinstance(said, Mapping):
        return str(said.get(lang.value) or next(iter(said.values()), NOTHING))
    return str(said) if said else NOTHING


def _part(of: Part, key: str) -> Part:
    part = of.get(key)
    return part if isinstance(part, Mapping) else {}


def _rows(of: Part, key: str) -> list[Part]:
    rows = of.get(key)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
