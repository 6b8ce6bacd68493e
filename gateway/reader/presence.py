"""What lies on the reader, told once: a tag counts anew when it was gone, or when it is another."""

from dataclasses import dataclass

GONE_MS = 1_000  # a card that is held loosely drops out for a moment and is back


@dataclass(frozen=True, slots=True)
class Presence:
    """What was there last, and until when."""

    key: str | None = None
    seen_ms: int = 0


def take(before: Presence, key: str | None, now_ms: int) -> tuple[Presence, bool]:
    """Take what is there now (None: nothing); True when it is to be told."""
    if key is None:
        is_gone = before.key is not None and now_ms - before.seen_ms >= GONE_MS
        return (Presence() if is_gone else before), False
    is_new = key != before.key or now_ms - before.seen_ms >= GONE_MS
    return Presence(key, now_ms), is_new
