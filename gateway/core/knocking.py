"""How long somebody who gave wrong PINs has to wait for the next try: a delay, never a lock-out.

Five mistakes in a quarter of an hour cost nothing; each further one doubles the pause between two
tries, for the name and for the address they came from, up to a bound: nobody can keep the staff
of a house out (field/uplink 4.3).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

FORGIVEN = 5
REMEMBERED_MS = 900_000
FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 1_000, 10_000
MOST_KEYS = 1_000  # names and addresses; the oldest are forgotten


@dataclass(frozen=True, slots=True)
class Knock:
    """What is known of one name or address; moments are monotonic ms."""

    failures: tuple[int, ...] = ()
    free_ms: int = 0  # the next try may begin then

    def pause_ms(self) -> int:
        over = len(self.failures) - FORGIVEN
        if over < 0:
            return 0
        return int(min(FIRST_PAUSE_MS << min(over, 10), LONGEST_PAUSE_MS))


@dataclass(slots=True)
class Knocks:
    known: dict[str, Knock] = field(default_factory=dict)

    def try_now(self, keys: Iterable[str], now_ms: int) -> int:
        """Begin a try: 0, or how many ms to wait before asking again."""
        keys = list(keys)
        wait_ms = max((self._of(key, now_ms).free_ms - now_ms for key in keys), default=0)
        if wait_ms > 0:
            return wait_ms
        for key in keys:
            knock = self._of(key, now_ms)
            if knock.failures:
                self.known[key] = replace(knock, free_ms=now_ms + knock.pause_ms())
        return 0

    def fail(self, keys: Iterable[str], now_ms: int) -> None:
        """It was the wrong PIN."""
        for key in keys:
            knock = self._of(key, now_ms)
            failures = (*knock.failures, now_ms)[-2 * FORGIVEN - 10 :]
            failed = Knock(failures, knock.free_ms)
            self.known.pop(key, None)  # the newest stands last
            self.known[key] = replace(failed, free_ms=now_ms + failed.pause_ms())
        while len(self.known) > MOST_KEYS:
            del self.known[next(iter(self.known))]

    def succeed(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.known.pop(key, None)

    def _of(self, key: str, now_ms: int) -> Knock:
        knock = self.known.get(key, Knock())
        recent = tuple(at for at in knock.failures if now_ms - at < REMEMBERED_MS)
        return knock if len(recent) == len(knock.failures) else replace(knock, failures=recent)
