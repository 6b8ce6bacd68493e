"""The form of a visit: what was filled in, as answers, and what is wrong with it. Pure."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

Fields = Mapping[str, str]

DIGEST = re.compile(r"[0-9a-f]{64}")
LONGEST_TEXT = 500
LONGEST_NUMBER = 32


@dataclass(frozen=True, slots=True)
class Filled:
    """`problems` are keys of the words, by item id; an item without an answer is `missing`."""

    answers: list[dict[str, object]] = field(default_factory=list)
    problems: Mapping[str, str] = field(default_factory=dict)


def answer_name(item: str) -> str:
    """The form's field of an item's answer; of a photo, the digest of the one that was kept."""
    return f"i.{item}"


def file_name(item: str) -> str:
    return f"f.{item}"


def filled(items: list[Mapping[str, Any]], fields: Fields, problems: Mapping[str, str]) -> Filled:
    """Return every item's answer; `problems` are those that its photo had."""
    answers: list[dict[str, object]] = []
    wrong = dict(problems)
    for item in items:
        name = str(item["id"])
        if name in wrong:
            continue
        given = fields.get(answer_name(name), "").strip()
        value = _value(item, given)
        if value is None:
            is_number = item["type"] == "number" and given
            wrong[name] = "not_a_number" if is_number else "missing"
        else:
            answers.append({"item": name, "value": value})
    return Filled(answers, wrong)


def _value(item: Mapping[str, Any], given: str) -> str | float | None:
    match item["type"]:
        case "ok_bad":
            return given if given in ("ok", "bad") else None
        case "number":
            return number(given)
        case "choice":
            known = [str(each["id"]) for each in item.get("choices") or ()]
            return given if given in known else None
        case "photo":
            return given if DIGEST.fullmatch(given) else None
        case _:
            return None


def number(text: str) -> float | None:
    """Return what people type for a number: `0.35`, `0,35`, or in full-width digits."""
    plain = unicodedata.normalize("NFKC", text[:LONGEST_NUMBER]).strip().replace(",", ".")
    if not re.fullmatch(r"[+-]?\d{1,12}(\.\d{0,9})?", plain, re.ASCII):
        return None
    value = float(plain)
    return value if isfinite(value) else None
