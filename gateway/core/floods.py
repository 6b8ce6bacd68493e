"""When raises are a flood, where it began, and when it is over (field 4.3)."""

from gateway.core.state import State
from gateway.domain.noise import Raise

FLOOD_WINDOW_MS = 600_000
FLOOD_ABOVE = 10  # raises in the window
FLOOD_UNTIL = 5  # fewer in the window: it is over
ONE_CAUSE_MS = 120_000  # a longer pause between two raises: another cause


def burst_of(raises: tuple[Raise, ...]) -> tuple[Raise, ...]:
    """The newest raises that follow one another closely enough to have one cause."""
    start = len(raises) - 1
    while start > 0 and raises[start].raised_ms - raises[start - 1].raised_ms <= ONE_CAUSE_MS:
        start -= 1
    return raises[start:]


def first_out(burst: tuple[Raise, ...]) -> Raise:
    return min((each for each in burst if may_be_first(each, burst)), key=lambda r: r.onset_ms)


def may_be_first(each: Raise, burst: tuple[Raise, ...]) -> bool:
    """A condition that lasted long before the burst, under a long delay, did not begin it."""
    return each is burst[0] or each.onset_ms >= burst[0].raised_ms - ONE_CAUSE_MS


def flood_ends_ms(state: State) -> int | None:
    """When the flood is over if nothing more comes; None when there is none."""
    flood, raises = state.noise.flood, state.noise.raises
    if flood is None:
        return None
    end = raises[-FLOOD_UNTIL].raised_ms if len(raises) >= FLOOD_UNTIL else 0
    if flood.began.mono_ms < state.started_ms:  # what came before the restart is not known
        end = max(end, state.started_ms)
    return end + FLOOD_WINDOW_MS
