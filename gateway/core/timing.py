"""How long an answer is worth waiting for: learned from each device, as TCP learns it (RFC 6298).

A device's turnaround is what is left of a request's time when the frames' own time on the wire is
taken off, so one figure serves blocks of every length. The wait is the smoothed turnaround and
four times its deviation, never less than a margin for adapters and the operating system, never
more than the bus's configured time-out, and doubled with each time-out in a row.
"""

from dataclasses import dataclass

# A time-out that was none costs up to `late_max` (the answer is still under way, and may clash with
# the next question); one that was real costs the others a tenth of the bus, however long it is.
FLOOR_MS = 300.0
PROBE_FLOOR_MS = 100.0  # for a device that is silent: nothing of it is believed to be on the way
LEAST_SPREAD_MS = 150.0  # a device that is always on time may still be late once
ENOUGH_SAMPLES = 8  # before that the configured time-out counts
SMOOTHED_SHARE, DEVIATION_SHARE = 1 / 8, 1 / 4  # RFC 6298, 2.3


@dataclass(frozen=True, slots=True)
class Turnaround:
    """What a device needs between the end of a request and the start of its answer."""

    smoothed_ms: float = 0.0
    deviation_ms: float = 0.0
    samples: int = 0


def learn(known: Turnaround, took_ms: float) -> Turnaround:
    """Take in one answer that came `took_ms` after its request, time on the wire not counted."""
    took = max(0.0, took_ms)
    if known.samples == 0:
        return Turnaround(took, took / 2, 1)
    error = took - known.smoothed_ms
    return Turnaround(
        known.smoothed_ms + SMOOTHED_SHARE * error,
        known.deviation_ms + DEVIATION_SHARE * (abs(error) - known.deviation_ms),
        known.samples + 1,
    )


def patience_ms(known: Turnaround, longest_ms: float, timeouts: int = 0) -> float:
    """How long to wait for this device beyond the time on the wire.

    `longest_ms` is the configured time-out, `timeouts` those in a row just now.
    """
    if known.samples < ENOUGH_SAMPLES:
        return longest_ms
    spread = max(LEAST_SPREAD_MS, 4 * known.deviation_ms)
    wait = max(FLOOR_MS, known.smoothed_ms + spread)
    return min(longest_ms, wait * 2.0 ** min(timeouts, 10))


def least_patience_ms(known: Turnaround) -> float:
    """The shortest wait that the device, as it was, would nearly always have answered in."""
    if known.samples < ENOUGH_SAMPLES:
        return PROBE_FLOOR_MS
    spread = max(PROBE_FLOOR_MS / 2, 4 * known.deviation_ms)
    return max(PROBE_FLOOR_MS, known.smoothed_ms + spread)


def is_slow(known: Turnaround, longest_ms: float) -> bool:
    """True for a device that needs more time than the configured time-out leaves in reserve."""
    return known.samples >= ENOUGH_SAMPLES and least_patience_ms(known) >= longest_ms
