"""Which records the platform has, as few ranges: what is settled in order is one of them."""

from bisect import bisect_left, bisect_right
from collections import OrderedDict

from gateway.domain.records import Lane, Range

MOST_RANGES = 1_000  # of one lane and epoch
MOST_EPOCHS = 64  # of all lanes


class SettledRanges:
    """Remembers ranges of sequence numbers; of too many, those that lie furthest back go."""

    def __init__(self) -> None:
        self._of: OrderedDict[tuple[Lane, str], list[tuple[int, int]]] = OrderedDict()

    def add(self, settled: Range) -> None:
        """Take in one range; what it touches or overlaps becomes one with it."""
        key = settled.lane, settled.epoch
        ranges = self._of.setdefault(key, [])
        self._of.move_to_end(key)
        lo, hi = settled.lo, settled.hi
        first = bisect_left(ranges, lo - 1, key=lambda each: each[1])
        after = bisect_right(ranges, hi + 1, key=lambda each: each[0])
        if first < after:
            lo, hi = min(lo, ranges[first][0]), max(hi, ranges[after - 1][1])
        ranges[first:after] = [(lo, hi)]
        if len(ranges) > MOST_RANGES:
            del ranges[0]
        if len(self._of) > MOST_EPOCHS:
            self._of.popitem(last=False)

    def __contains__(self, key: tuple[Lane, str, int]) -> bool:
        lane, epoch, seq = key
        ranges = self._of.get((lane, epoch), [])
        place = bisect_left(ranges, seq, key=lambda each: each[1])
        return place < len(ranges) and ranges[place][0] <= seq
