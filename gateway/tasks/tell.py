"""Logs what a step changed; the journal takes its fields from each line's template."""

import logging

from gateway.core.logbook import lines_of
from gateway.core.state import State
from gateway.domain.outcome import Outcome

log = logging.getLogger(__name__)


def tell(before: State, after: State, outcome: Outcome) -> None:
    """Log one line for each thing that changed."""
    for line in lines_of(before, after, outcome):
        template = " ".join([line.words, *(f"{key}=%s" for key in line.fields)])
        level = logging.WARNING if line.is_warning else logging.INFO
        log.log(level, template, *line.fields.values())
