"""docs/devices.md: the table of supported devices, drawn from the profiles.

python -m scripts.device_list     writes the file anew; a test says when that is needed
"""

import tempfile
from collections import Counter
from pathlib import Path

from gateway.config.families import read_families
from gateway.domain.families import Family

PAGE = Path(__file__).resolve().parents[1] / "docs/devices.md"
BEGIN, END = "<!-- drawn by scripts/device_list.py: begin -->", "<!-- end -->"
HEAD = "| Maker and model | Profile | What it measures | Line from the factory | Known by | Sure |"
GROUPS = (  # the first kind a family has decides where it is listed
    ("Gas", ("combustible_gas", "carbon_monoxide")),
    ("Fire water", ("hydrant_pressure", "tank_level")),
    ("Residual current and cable temperature", ("residual_current", "cable_temperature")),
    ("Electricity meters", ("voltage", "current", "active_power")),
    ("Rooms", ("room_temperature", "humidity")),
)
REST = "Contacts"


def drawn() -> str:
    """The part of the page between the marks."""
    with tempfile.TemporaryDirectory() as nothing:
        families, problems = read_families(Path(nothing))
    if problems:
        raise SystemExit("\n".join(problem.fact.en for problem in problems))
    lines = [BEGIN, "", f"{len(families)} profiles."]
    for title, members in _grouped(families).items():
        lines += ["", f"### {title}", "", HEAD, "|---" * 6 + "|"]
        lines += [_row(family) for family in members]
    return "\n".join([*lines, "", END])


def page(text: str) -> str:
    """The page with its drawn part renewed; ValueError when the marks are not there."""
    before, rest = text.split(BEGIN)
    return before + drawn() + rest.split(END)[1]


def _grouped(families: tuple[Family, ...]) -> dict[str, list[Family]]:
    groups: dict[str, list[Family]] = {title: [] for title, _ in GROUPS} | {REST: []}
    for family in sorted(families, key=lambda each: (each.maker.casefold(), each.profile)):
        kinds = {point.kind for point in family.points}
        title = next((title for title, of in GROUPS if kinds.intersection(of)), REST)
        groups[title].append(family)
    return {title: members for title, members in groups.items() if members}


def _row(family: Family) -> str:
    named = "**" + family.maker + "** " + family.model
    cells = (named, f"`{family.profile}`", _measures(family), _line(family), _known(family))
    return f"| {' | '.join(cells)} | {_sure(family)} |"


def _measures(family: Family) -> str:
    """Its kinds, with how many points of each: what rules come with."""
    kinds = Counter(str(point.kind).replace("_", " ") for point in family.points if point.kind)
    words = [f"{count} {kind}" if count > 1 else kind for kind, count in kinds.items()]
    shown = sum(point.kind is None for point in family.points)
    return ", ".join([*words, *([f"{shown} shown only"] if shown else [])])


def _line(family: Family) -> str:
    return str(family.line) if family.line else "not in the sources"


def _known(family: Family) -> str:
    own = [hint.point.name for hint in family.hints if hint.is_identity]
    if own:
        return "itself: " + ", ".join(own)
    return "plausible " + ", ".join(hint.point.name for hint in family.hints)


def _sure(family: Family) -> str:
    return family.confidence + (
        f", **unverified**: {family.unverified}" if family.unverified else ""
    )


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
