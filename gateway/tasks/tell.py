"""Logs what a step changed; the journal takes its fields from each line's template."""

import logging
from collections.abc import Callable

from gateway.core.logbook import lines_of
from gateway.core.state import State
from gateway.domain.events import FaultRaised
from gateway.domain.outcome import Outcome

log = logging.getLogger(__name__)

Told = Callable[[State, State, Outcome], None]


def beside(tell: Told, post: Callable[[FaultRaised], None]) -> Told:
    """The same, with a mistake in it as a fault: telling must never hold up deciding."""

    def tell_or_say(before: State, after: State, outcome: Outcome) -> None:
        try:
            tell(before, after, outcome)
        except Exception as error:
            log.exception("telling failed")
            post(FaultRaised("function_failed", "telling", f"{type(error).__name__}: {error}"))

    return tell_or_say


def tell(before: State, after: State, outcome: Outcome) -> None:
    """Log one line for each thing that changed."""
    for line in lines_of(before, after, outcome):
        template = " ".join([line.words, *(f"{key}=%s" for key in line.fields)])
        level = logging.WARNING if line.is_warning else logging.INFO
        log.log(level, template, *line.fields.values())
