"""Whether what is configured can be read in time: `core.detect` at the file's own lines."""

from gateway.config.problems import Level, Place, Problem
from gateway.config.tree import Tree
from gateway.core.detect import PlanProblem, detection_problems, unreadable_points
from gateway.domain.site import Site


def report_plan(site: Site, tree: Tree, found: list[Problem], *, is_timed: bool) -> None:
    """Report points nobody can read; if `is_timed`, also overloaded buses and late rules."""
    problems = unreadable_points(site)
    if is_timed and not problems:
        problems = detection_problems(site)
    for problem in problems:
        level = Level.ERROR if problem.is_error else Level.WARNING
        place = _place(problem, tree)
        found.append(Problem(place, level, problem.code, problem.fact, problem.advice, ()))


def _place(problem: PlanProblem, tree: Tree) -> Place:
    match problem.code:
        case "detects_late":
            return tree.place(("site", "limit", "detect_within"))
        case "unreadable_point":
            return tree.place(("devices", problem.subject.partition(".")[0]), key=True)
    return tree.place(("buses", problem.subject), key=True)
