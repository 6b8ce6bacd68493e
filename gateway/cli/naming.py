"""Which alarm, case or rule is meant by what somebody typed: a number, a name or its beginning."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from gateway.domain.text import Text

SHORTEST_PART = 3  # of a name that is looked for in the middle
SHOWN = 6

NOT_FOUND = Text("没有“{name}”这条报警或处置单", "there is no alarm or case `{name}`")
NOTHING_OPEN = Text("现在没有报警", "nothing is open now")
MEANT = Text("是不是：{names}？", "did you mean: {names}?")
OPEN = Text("现有：{names}", "open now: {names}")
SEVERAL = Text(
    "“{name}”不止一条：{names}。写长一点", "`{name}` is more than one: {names}. Type more of it"
)


@dataclass(frozen=True, slots=True)
class Named:
    """What people can call one thing: its rule and the occurrence, `<epoch>-<lane>-<number>`."""

    rule: str
    occurrence: str = ""

    @property
    def number(self) -> str:
        """The occurrence as people say it: `A-231`."""
        return short(self.occurrence)


def short(occurrence: object) -> str:
    """Return lane and number of an occurrence, without the epoch that only programs need."""
    return "-".join(str(occurrence).split("-")[-2:]) if occurrence else ""


def named_in(answer: Mapping[str, Any], cases: Iterable[Mapping[str, Any]] = ()) -> list[Named]:
    """Return everything open that a person can name, each once."""
    rows = answer.get("alarms")
    alarms = rows if isinstance(rows, Sequence) else ()
    found = {
        (str(row.get("rule", "")), str(row.get("occurrence", ""))): None
        for row in alarms
        if isinstance(row, Mapping)
    }
    found |= {(str(case.get("rule", "")), str(case.get("case", ""))): None for case in cases}
    return [Named(rule, occurrence) for rule, occurrence in found]


def find(name: str, known: Sequence[Named]) -> Named | Text:
    """Return the one that is meant, or in words why it is none or more than one."""
    found = meant_by(name, known)
    if len({each.rule for each in found}) == 1:
        return found[0]
    return _filled(SEVERAL, name, _names(found)) if found else unknown(name, known)


def meant_by(name: str, known: Sequence[Named]) -> list[Named]:
    """Return those that a name may mean: called so, else beginning so, else holding it."""
    typed = name.strip().casefold()
    for matches in (_is_it, _begins, _holds):
        found = [each for each in known if matches(typed, each)]
        if found:
            return found
    return []


def unknown(name: str, known: Sequence[Named]) -> Text:
    """What to say of a name that nothing has: what was probably meant, or what there is."""
    words = {each.rule.casefold(): each for each in known}
    words |= {each.rule.rsplit("/", 1)[-1].casefold(): each for each in known}
    words |= {each.number.casefold(): each for each in known if each.number}
    close = get_close_matches(name.strip().casefold(), words, n=3, cutoff=0.6)
    meant = list(dict.fromkeys(words[word] for word in close))
    advice = _filled(MEANT, name, _names(meant)) if meant else _filled(OPEN, name, _names(known))
    if not known:
        advice = NOTHING_OPEN
    fact = _filled(NOT_FOUND, name, "")
    return Text(f"{fact.zh}；{advice.zh}", f"{fact.en}; {advice.en}")


def _is_it(typed: str, each: Named) -> bool:
    number = each.number.casefold()
    return typed in (
        each.rule.casefold(), each.occurrence.casefold(), number, number.rsplit("-", 1)[-1],
    ) and bool(typed)  # fmt: skip


def _begins(typed: str, each: Named) -> bool:
    names = (each.rule, each.occurrence, each.rule.rsplit("/", 1)[-1])
    return bool(typed) and any(name.casefold().startswith(typed) for name in names)


def _holds(typed: str, each: Named) -> bool:
    return len(typed) >= SHORTEST_PART and typed in each.rule.casefold()


def _names(found: Sequence[Named]) -> str:
    shown = [f"{each.number} {each.rule}".strip() for each in found[:SHOWN]]
    return ", ".join([*shown, "..."] if len(found) > SHOWN else shown)


def _filled(words: Text, name: str, names: str) -> Text:
    return Text(words.zh.format(name=name, names=names), words.en.format(name=name, names=names))
