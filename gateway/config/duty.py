"""Who is called and who is asked: the ladder of escalation, post checks, the nightly self-test."""

from itertools import pairwise

from gateway.config.problems import Problem
from gateway.config.quantities import duration
from gateway.config.schema import EscalationPart, PostCheckPart, SiteFile
from gateway.config.tree import Tree, Where
from gateway.config.validate import error, is_given
from gateway.domain.escalation import Escalation
from gateway.domain.site import NIGHT, PostChecks
from gateway.domain.text import Text


def read_escalation(tree: Tree, file: SiteFile, found: list[Problem]) -> Escalation:
    """The site's ladder; each person is called later than the one before."""
    part = file.escalation or EscalationPart()
    ladders: tuple[list[tuple[Where, int]], ...] = (
        [
            (("escalate_after",), file.escalate_after),
            (("escalation", "safety_manager"), part.safety_manager),
            (("escalation", "director"), part.director),
        ],
        [(("escalation", "warning"), part.warning), (("escalation", "hazard"), part.hazard)],
    )
    for ladder in ladders:
        for (lower, lower_ms), (upper, upper_ms) in pairwise(ladder):
            if upper_ms is not None and lower_ms is not None and upper_ms <= lower_ms:
                found.append(_not_later(tree, (lower, lower_ms), (upper, upper_ms)))
    return Escalation(
        safety_manager_ms=part.safety_manager,
        director_ms=part.director,
        arrival_ms=part.arrival,
        warning_ms=part.warning,
        hazard_ms=part.hazard,
    )


def read_post_checks(file: SiteFile) -> PostChecks:
    """How post checks are answered, and how many the gateway asks by itself; none by default."""
    part = file.post_check or PostCheckPart()
    is_off = "between" in part.model_fields_set and part.between is None
    hours = part.between or NIGHT
    return PostChecks(
        0 if is_off else part.per_night, part.answer_within, hours.begin_min, hours.end_min
    )


def _not_later(tree: Tree, lower: tuple[Where, int], upper: tuple[Where, int]) -> Problem:
    """Point at what the file says, where it says only one of the two."""
    given, other = (upper, lower) if _is_given(tree, upper[0]) else (lower, upper)
    names = {where: f"{where[-1]} ({duration(ms)})" for where, ms in (lower, upper)}
    fact = Text(
        f"{names[upper[0]]} 不晚于 {names[lower[0]]}",
        f"{names[upper[0]]} is not later than {names[lower[0]]}",
    )
    advice = Text(
        f"把 {upper[0][-1]} 写得比 {lower[0][-1]} 长",
        f"make {upper[0][-1]} longer than {lower[0][-1]}",
    )
    also = [tree.place(other[0])] if _is_given(tree, other[0]) else []
    return error(tree.place(given[0]), "ladder_out_of_order", fact, advice, *also)


def _is_given(tree: Tree, where: Where) -> bool:
    return is_given(tree, where[:-1], str(where[-1]))
