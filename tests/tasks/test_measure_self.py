import pytest

from gateway.domain.events import BlockRead
from gateway.tasks.measure_self import measure_self


async def test_figures_are_put_in_every_ten_seconds():
    slept, put = [], []

    async def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 4:
            raise ZeroDivisionError

    async def take(event):
        put.append(event)

    with pytest.raises(ZeroDivisionError):
        await measure_self(lambda: BlockRead("", "gateway", ()), put=take, sleep=sleep)
    assert slept == [10.0] * 4
    assert put == [BlockRead("", "gateway", ())] * 3
