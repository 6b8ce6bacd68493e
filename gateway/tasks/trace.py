"""Follow one record on its way out, for the self-test: committed, and taken by the platform."""

from collections.abc import Callable, Sequence

from gateway.domain.events import StageReached
from gateway.domain.records import Range, Record


class Trace:
    """Posts a `StageReached` when the followed record comes by. For the event loop's thread only.

    A record is named by its key, `<epoch>-<lane>-<seq>`.
    """

    def __init__(self, post: Callable[[StageReached], None]) -> None:
        self._post = post
        self._key: str | None = None
        self._is_stored = False

    def follow(self, key: str) -> None:
        """Follow this record from now on, and no other."""
        self._key, self._is_stored = key, False

    def durable(self, records: Sequence[Record]) -> None:
        """These are committed."""
        if self._key is None or self._is_stored:
            return
        if any(self._key == f"{r.epoch}-{r.lane.value}-{r.seq}" for r in records):
            self._is_stored = True
            self._post(StageReached("store", self._key))

    def settled(self, ranges: Sequence[Range]) -> None:
        """These the platform has (with `delivery: broker`, its broker)."""
        if self._key is None:
            return
        epoch, lane, seq = self._key.rsplit("-", 2)
        if any(
            (each.epoch, each.lane.value) == (epoch, lane) and each.lo <= int(seq) <= each.hi
            for each in ranges
        ):
            self._post(StageReached("uplink", self._key))
            self._key = None
