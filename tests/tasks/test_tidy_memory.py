"""When everything that lives is looked through."""

import asyncio

import pytest

from gateway.tasks.tidy_memory import tidy_memory


def test_memory_is_tidied_every_ten_minutes_and_not_at_the_start():
    said = []

    async def sleep(seconds):
        said.append(seconds)
        if len(said) > 4:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(tidy_memory(lambda: said.append("tidied"), sleep=sleep))
    assert said == [600, "tidied", 600, "tidied", 600]
