"""Gap records as they are committed: what may now be thinned or dropped."""

import json
import logging
from collections.abc import Iterable, Iterator

from gateway.domain.records import Lane, Range, Record

log = logging.getLogger(__name__)


def gaps_of(records: Iterable[Record]) -> Iterator[Range]:
    """The ranges that gap records among `records` are about."""
    for record in records:
        if record.kind == "gap" and record.lane is Lane.B:
            try:
                data = json.loads(record.body)["data"]
                yield Range(Lane(data["lane"]), data["ep"], data["from"], data["to"])
            except (ValueError, KeyError, TypeError) as error:
                log.warning("gap record says no range seq=%d why=%r", record.seq, error)
