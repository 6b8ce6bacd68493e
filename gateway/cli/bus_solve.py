"""`care-gateway bus solve`: what the display shows -> type, order, scale and offset."""

import asyncio
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from gateway.cli.bus_line import FINE, OUTSIDE, TYPED, Registers, Target, Where, on_line, talk
from gateway.cli.bus_read import read_once
from gateway.core.solve import Candidate, Needed, Sample, Solved, sample_of, solve
from gateway.domain.points import WordOrder
from gateway.domain.text import Lang, Text

WORDS = {
    "type": Text("类型", "Type"),
    "shows": Text(
        "仪表现在显示多少（回车结束）：", "What does the display show now (Enter ends)? "
    ),
    "no_number": Text("`{text}` 不是数", "`{text}` is no number"),
    "unasked": Text(
        "没有写仪表显示的数：没有它解不出来", "nothing was typed: it takes what the display shows"
    ),
    "nothing": Text(
        "没有一种读法对得上：地址是否差一，功能码对不对，显示是否同一个量？",
        "nothing fits: the address one off, the other table, another quantity on the display?",
    ),
    "solved": Text("就是它：", "This is it:"),
    "several": Text("还有 {count} 种读法，最可能的：", "{count} ways are left, the likeliest:"),
    "need": Text(
        "再读一次就能定：等显示{when}", "One more reading decides: when the display {when}"
    ),
    "away": Text("离 {shown} 至少 {by}", "is at least {by} away from {shown}"),
    "above": Text("大于 {limit}", "is above {limit}"),
    "below": Text("小于 {limit}", "is below {limit}"),
    "or_when": Text("，或", ", or "),
}


def _words(key: str, lang: Lang, **values: object) -> str:
    return WORDS[key].in_(lang).format(**values)


def solve_words(
    start: int, samples: Sequence[tuple[str, str]], *, lang: Lang, as_json: bool = False
) -> int:
    """Solve from what was written down: words as hex, and what the display showed."""
    given = []
    for words, shown in samples:
        try:
            given.append(sample_of(start, [int(word, 16) for word in words.split()], shown))
        except ValueError:
            talk(_words("no_number", lang, text=f"{words} = {shown}"))
            return TYPED
    return _tell_solved(solve(given), lang, as_json=as_json)


def solve_line(
    where: Where,
    what: Registers,
    *,
    lang: Lang,
    shown: Sequence[str] = (),
    as_json: bool = False,
    prompt: Callable[[str], str] = input,
) -> int:
    """Read, ask what the display shows, until one way is left or the technician has enough."""

    def work(target: Target) -> int:
        given: list[Sample] = []
        answers = list(shown)
        while True:
            words = asyncio.run(read_once(target, where, what))
            text = answers.pop(0) if answers else ("" if shown else _asked(prompt, lang))
            if not text and not given:
                talk(WORDS["unasked"].in_(lang))
                return TYPED
            if not text:
                return _tell_solved(solve(given), lang, as_json=as_json)
            try:
                given.append(sample_of(what.start, words, text))
            except ValueError:
                talk(_words("no_number", lang, text=text))
                if shown:
                    return TYPED
                continue
            solved = solve(given)
            if len(solved.candidates) < 2:
                return _tell_solved(solved, lang, as_json=as_json)
            if not answers and not shown:
                _tell_solved(solved, lang, as_json=False)

    return on_line(where, lang, work)


def _asked(prompt: Callable[[str], str], lang: Lang) -> str:
    try:
        return prompt(WORDS["shows"].in_(lang)).strip()
    except EOFError:
        return ""


def _tell_solved(solved: Solved, lang: Lang, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(_solved_document(solved), ensure_ascii=False, indent=2))
        return FINE if solved.candidates else OUTSIDE
    if not solved.candidates:
        talk(WORDS["nothing"].in_(lang))
        return OUTSIDE
    if solved.needed is None:
        talk(WORDS["solved"].in_(lang))
    else:
        talk(_words("several", lang, count=len(solved.candidates)))
    for candidate in solved.candidates[:5]:
        print(as_yaml(candidate))
    if solved.needed is not None:
        talk(_words("need", lang, when=when(solved.needed, lang)))
    return FINE


def as_yaml(candidate: Candidate) -> str:
    """As it stands in a profile."""
    parts = [f"at: {candidate.at}", f"type: {candidate.type.value}"]
    if candidate.order is not WordOrder.BIG:
        parts.append(f"order: {candidate.order.value}")
    if candidate.scale != 1:
        parts.append(f"scale: {_plain(candidate.scale)}")
    if candidate.offset:
        parts.append(f"offset: {_plain(candidate.offset)}")
    return "{" + ", ".join(parts) + "}"


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"


def when(needed: Needed, lang: Lang) -> str:
    """The further reading, as one says it."""
    parts = []
    if needed.away_from is not None:
        parts.append(_words("away", lang, shown=needed.away_from, by=_plain(round(needed.by, 6))))
    if needed.above is not None:
        parts.append(_words("above", lang, limit=_plain(needed.above)))
    if needed.below is not None:
        parts.append(_words("below", lang, limit=_plain(needed.below)))
    return WORDS["or_when"].in_(lang).join(parts)


def _solved_document(solved: Solved) -> dict[str, Any]:
    needed = solved.needed
    return {
        "candidates": [
            {
                "at": each.at, "type": each.type.value, "order": each.order.value,
                "scale": float(each.scale), "offset": float(each.offset),
            }
            for each in solved.candidates
        ],
        "needed": None if needed is None else {
            "away_from": None if needed.away_from is None else float(needed.away_from),
            "by": float(needed.by),
            "above": None if needed.above is None else float(needed.above),
            "below": None if needed.below is None else float(needed.below),
        },
    }  # fmt: skip
