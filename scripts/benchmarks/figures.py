"""What is measured, as plain data, and how it is shown."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """Repeats of one measurement; `bare` are those of the bare loop, taken in turns with it.

    `target` is design 12's, for the value or, where `is_ratio`, for gateway / bare.
    """

    name: str
    unit: str
    gateway: tuple[float, ...]
    bare: tuple[float, ...] = ()
    target: float | None = None
    is_ratio: bool = False
    is_floor: bool = False  # the target is the least, not the most

    @property
    def value(self) -> float:
        return median(self.gateway)

    @property
    def ratio(self) -> float | None:
        """Median of the ratios of neighbours: what both suffered from cancels out."""
        pairs = zip(self.gateway, self.bare, strict=False)
        ratios = [ours / theirs for ours, theirs in pairs if theirs > 0]
        return median(ratios) if ratios else None

    @property
    def is_met(self) -> bool | None:
        judged = self.ratio if self.is_ratio else self.value
        if self.target is None or judged is None:
            return None
        return judged >= self.target if self.is_floor else judged <= self.target


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0..1) of the values do not exceed: nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    rows = [
        "| figure | unit | gateway | bare | ratio | target | met | repeats |",
        "|---|---|---:|---:|---:|---:|---|---:|",
    ]
    rows += [_row(figure) for figure in figures]
    return "\n".join(rows)


def as_json(figures: Sequence[Figure]) -> list[dict[str, object]]:
    return [{**asdict(f), "value": f.value, "ratio": f.ratio, "is_met": f.is_met} for f in figures]


def _row(figure: Figure) -> str:
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    bare = _short(median(figure.bare)) if figure.bare else ""
    sign = "≥" if figure.is_floor else "≤"
    target = ""
    if figure.target is not None:
        target = f"{sign} {_short(figure.target)}{' ×' if figure.is_ratio else ''}"
    met = {None: "", True: "yes", False: "**no**"}[figure.is_met]
    cells = (
        figure.name, figure.unit, _short(figure.value), bare, ratio, target, met,
        str(len(figure.gateway)),
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
