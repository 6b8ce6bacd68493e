"""What is kept of every block for the case that an alarm would open: words, the last minutes."""

from gateway.core.state import with_points
from gateway.core.trail import extended
from gateway.core.turn import Turn
from gateway.domain import events


def keep_evidence(turn: Turn, event: events.BlockRead) -> None:
    """Keep the reply's words with its device, and its readings with the trails of alarm points."""
    wanted = turn.house.case_points.get(event.device)
    if wanted is None:
        return
    device = turn.devices[event.device]
    spacing, trails = turn.house.trail_spacing_ms, None
    seen = wanted if device.is_offline else [reading.point for reading in event.readings]
    for name in seen:
        if name not in wanted or name not in device.points:
            continue
        before = device.trails.get(name)
        trail = extended(before, device.points[name].reading, spacing)
        if trail is not before:
            trails = dict(device.trails) if trails is None else trails
            trails[name] = trail
    replies = device.replies
    if event.words and event.table is not None:
        replies = {**replies, (event.table, event.start): event}
    if trails is None and replies is device.replies:
        return
    kept = with_points(device, device.points, trails, replies)
    turn.devices = {**turn.devices, event.device: kept}
