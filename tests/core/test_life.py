"""Whatever happens to a house, in any order: see `tests.core.life` for what must be true."""

from hypothesis import settings

from tests.core.life import House

TestLife = House.TestCase
TestLife.settings = settings(deadline=None, max_examples=30, stateful_step_count=40)
