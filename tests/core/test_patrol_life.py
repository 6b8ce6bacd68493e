"""Schedules x taps x restarts x clocks: no round is lost, counted twice, or judged unsurely."""

from datetime import timedelta

from hypothesis import HealthCheck, settings

from tests.core.patrol_life import Rounds

TestPatrol = Rounds.TestCase
TestPatrol.settings = settings(
    max_examples=6,
    stateful_step_count=20,
    deadline=timedelta(minutes=5),
    suppress_health_check=list(HealthCheck),
)
