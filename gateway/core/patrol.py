"""What people do on patrol, put to the rounds: taps, visits, signatures, tags."""

from gateway.core.people import refuse
from gateway.core.turn import Turn
from gateway.domain import events


def take_patrol(turn: Turn, event: events.PatrolEvent) -> None:
    """Decide one event of the patrol; a house without one refuses it."""
    refuse(turn, event.reply_to, "no_patrol")
