"""A stop of a round as what the phone's page says: pure, in one language, ready to be placed.

Every part of the daemon's answer may be missing: it may be older or younger than the console.
"""

from collections.abc import Mapping
from typing import Any

from gateway.domain.text import Lang
from gateway.web.form import Fields, answer_name, file_name
from gateway.web.page import phrase, time_of_day, zone_of
from gateway.web.visit_words import WORDS

MOST_DOTS = 24
MOST_PROOF = 4
TYPES = ("ok_bad", "number", "choice", "photo")
TEXTS = ("note", "hazard", "name")

Part = Mapping[str, Any]


def words_in(lang: Lang) -> dict[str, str]:
    return {key: text.in_(lang) for key, text in WORDS.items()}


def items_of(stop: Part) -> list[Part]:
    """The items that this console can ask."""
    items = stop.get("items")
    return [
        item
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, Mapping) and item.get("id") and item.get("type") in TYPES
    ]


def form_content(
    stop: Part,
    fields: Fields,
    *,
    problems: Mapping[str, str],
    trouble: str,
    zone: object,
    lang: Lang,
) -> dict[str, Any]:
    """What the form's template places: `fields` stand in it, `problems` beside their items."""
    person = _part(stop, "person")
    return {
        **_place(stop, zone, lang),
        "trouble": trouble,
        "items": [_item(item, fields, problems, lang) for item in items_of(stop)],
        "has_photos": any(item["type"] == "photo" for item in items_of(stop)),
        "person": str(person.get("name") or ""),
        "fields": {name: fields.get(name, "") for name in (*TEXTS, "seal")},
        "is_own": bool(fields.get("is_own")),
        "has_alarm": bool(stop.get("alarms")),
        "is_visited": stop.get("is_visited") is True,
        "is_in_round": bool(stop.get("round")),
    }


def done_content(stop: Part, *, zone: object, lang: Lang) -> dict[str, Any]:
    """What the template of a recorded visit places."""
    following = _part(stop, "next")
    leg_ms = following.get("leg_min_ms")
    visit = _visit(stop)
    bad = visit.get("bad")
    round_ = _part(stop, "round")
    done, of = round_.get("done"), round_.get("of")
    left = of - done if isinstance(done, int) and isinstance(of, int) else None
    proof = visit.get("proof", stop.get("proof"))
    return {
        **_place(stop, zone, lang),
        "person": str(_part(stop, "person").get("name") or ""),
        "at": time_of_day(visit.get("at"), zone_of(zone)),
        "next": str(following.get("name") or following.get("code") or ""),
        "next_place": str(following.get("place") or ""),
        "minutes": max(1, round(leg_ms / 60_000)) if isinstance(leg_ms, int) and leg_ms else 0,
        "left": left,
        "flags": [
            phrase(flag.get("say"), lang)
            for flag in visit.get("flags") or ()
            if isinstance(flag, Mapping)
        ],
        "bad": len(bad) if isinstance(bad, list) else 0,
        "proof": proof if isinstance(proof, int) else 0,
        "proofs": range(1, MOST_PROOF + 1),
    }


def _place(stop: Part, zone: object, lang: Lang) -> dict[str, Any]:
    checkpoint, round_ = _part(stop, "checkpoint"), _part(stop, "round")
    here = zone_of(zone)
    opens, closes = (time_of_day(round_.get(each), here) for each in ("opens_at", "closes_at"))
    return {
        "code": str(checkpoint.get("code") or ""),
        "where": phrase(checkpoint.get("name"), lang),
        "place": str(checkpoint.get("place") or ""),
        "round": str(round_.get("name") or ""),
        "window": f"{opens}–{closes}" if opens and closes else "",
        "stops": [
            str(each.get("state"))
            for each in (round_.get("stops") or ())[:MOST_DOTS]
            if isinstance(each, Mapping)
        ],
        "done": round_.get("done"),
        "of": round_.get("of"),
    }


def _visit(stop: Part) -> Part:
    """The visit that was recorded, as its round tells it."""
    for each in _part(stop, "round").get("stops") or ():
        visit = _part(each, "visit") if isinstance(each, Mapping) else {}
        if visit and visit.get("visit") == stop.get("visit"):
            return visit
    return {}


def _item(item: Part, fields: Fields, problems: Mapping[str, str], lang: Lang) -> dict[str, Any]:
    name, type_ = str(item["id"]), str(item["type"])
    low, high, unit = item.get("low"), item.get("high"), str(item.get("unit") or "")
    problem = problems.get(name, "")
    return {
        "name": answer_name(name),
        "file": file_name(name),
        "type": type_,
        "say": phrase(item.get("say"), lang),
        "unit": unit,
        "range": WORDS["between"].in_(lang).format(_plain(low), f"{_plain(high)} {unit}".strip())
        if low is not None and high is not None
        else "",
        "is_drawn": item.get("is_drawn") is True,
        "problem": WORDS[problem].in_(lang) if problem in WORDS else "",
        "is_missing": bool(problem),
        "value": fields.get(answer_name(name), ""),
        "choices": _choices(item, type_, lang),
    }


def _choices(item: Part, type_: str, lang: Lang) -> list[tuple[str, str, str]]:
    """Value, words and look of every choice."""
    if type_ == "ok_bad":
        return [(each, WORDS[each].in_(lang), each) for each in ("ok", "bad")]
    if type_ != "choice":
        return []
    return [
        (str(each.get("id")), phrase(each.get("say"), lang), "bad" if each.get("is_bad") else "ok")
        for each in item.get("choices") or ()
        if isinstance(each, Mapping)
    ]


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else ""


def _part(of: Part, key: str) -> Part:
    part = of.get(key)
    return part if isinstance(part, Mapping) else {}
