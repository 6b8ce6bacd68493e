"""What lies on the reader, told once: a tag counts anew when it was gone, or when it is another."""

from dataclasses import dataclass

GONE_MS = 1_000  # a card that is held loosely drops out for a moment and is back
UNSEEN_MS = 10_000  # nobody looked for so long: whoever tapped then taps anew


@dataclass(frozen=True, slots=True)
class Presence:
    """What was there last, when it was seen, and since when it is missed."""

    key: str | None = None
    seen_ms: int = 0
    missed_ms: int | None = None


def take(before: Presence, key: str | None, now_ms: int) -> tuple[Presence, bool]:
    """Take what is there now (None: nothing); True when it is to be told."""
    missed_ms = now_ms if before.missed_ms is None else before.missed_ms
    if key is None:
        is_over = before.key is None or now_ms - missed_ms >= GONE_MS
        return (Presence() if is_over else Presence(before.key, before.seen_ms, missed_ms)), False
    is_same = key == before.key and now_ms - missed_ms < GONE_MS
    is_new = not is_same or now_ms - before.seen_ms >= UNSEEN_MS
    return Presence(key, now_ms), is_new
