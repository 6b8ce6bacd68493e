"""docs/alarms.md: its diagram and tables, drawn from the tables in `gateway.core.alarms`.

python -m scripts.alarm_table     writes the file anew; a test says when that is needed
"""

from pathlib import Path

from gateway.core.alarms import LATCHED, NEXT, QUIET, RECORDED, Happening, Table
from gateway.domain.alarms import AlarmState

PAGE = Path(__file__).resolve().parents[1] / "docs/alarms.md"
BEGIN, END = "<!-- drawn by scripts/alarm_table.py: begin -->", "<!-- end -->"
MEANINGS = {
    AlarmState.N: "normal",
    AlarmState.P: "pending: the on-delay runs",
    AlarmState.UA: "active, unacknowledged",
    AlarmState.AA: "active, acknowledged",
    AlarmState.RU: "returned, unacknowledged",
    AlarmState.LU: "latched, unacknowledged",
    AlarmState.LA: "latched, acknowledged",
}


def drawn() -> str:
    """The part of the page between the marks."""
    return "\n".join([BEGIN, "", *_diagram(), "", *_rows(), "", END])


def page(text: str) -> str:
    """The page with its drawn part renewed; ValueError when the marks are not there."""
    before, rest = text.split(BEGIN)
    return before + drawn() + rest.split(END)[1]


def _diagram() -> list[str]:
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> N"]
    lines += [f"    {state.value}: {state.value} {words}" for state, words in MEANINGS.items()]
    for table, note in ((NEXT, ""), (LATCHED, " (latching rule)"), (QUIET, " (called nobody)")):
        for (state, happening), then in table.items():
            lines.append(f"    {state.value} --> {then.value}: {_short(happening)}{note}")
    return [*lines, "```"]


def _short(happening: Happening) -> str:
    return happening.name.lower().replace("_", " ")


def _rows() -> list[str]:
    head = ["| Happening | Means | Recorded as | " + " | ".join(MEANINGS) + " |"]
    head.append("|---" * (3 + len(MEANINGS)) + "|")
    return head + [_row(happening) for happening in Happening]


def _row(happening: Happening) -> str:
    recorded = RECORDED.get(happening)
    cells = [_cell(state, happening) for state in MEANINGS]
    said = f"`{recorded.value}`" if recorded else ""
    return f"| {_short(happening)} | {happening.value} | {said} | " + " | ".join(cells) + " |"


def _cell(state: AlarmState, happening: Happening) -> str:
    def of(table: Table, note: str) -> list[str]:
        then = table.get((state, happening))
        return [] if then is None else [then.value + note]

    return ", ".join([*of(NEXT, ""), *of(LATCHED, " ¹"), *of(QUIET, " ²")])


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
