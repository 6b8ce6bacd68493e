"""The daemon's side of the tools: one question, one answer, and what is wrong said plainly."""

import asyncio

import pytest

from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent
from gateway.domain.families import LineSetting
from gateway.domain.points import Table
from gateway.domain.site import Parity
from gateway.tasks.bus_tools import BusTools, HeldLine
from gateway.tasks.commands import BadRequest

QUESTION = {"bus": "b", "unit": 3, "table": "input", "start": 8, "count": 2, "timeout_ms": 300}


def asked(read, **more):
    async def ask():
        tools = BusTools()
        with tools.holding("b", HeldLine(read, dict)):
            return await tools.ask({**QUESTION, **more})

    return asyncio.run(ask())


async def echo(*question):
    echo.question = question
    return (7, 9)


def test_a_question_goes_to_the_bus_as_it_was_asked():
    assert asked(echo) == {"words": [7, 9]}
    assert echo.question == (None, 3, Table.INPUT, 8, 2, 300)


def test_another_line_setting_is_passed_on():
    asked(echo, line={"baud": 2400, "parity": "even", "stop_bits": 2})
    assert echo.question[0] == LineSetting(2400, Parity.EVEN, 2)


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (DeviceSilent(3), {"failure": "silent"}),
        (DeviceRefused(3, 2), {"failure": "refused", "exception": 2}),
        (BusDown("gone"), {"failure": "down", "detail": "gone"}),
    ],
)
def test_what_goes_wrong_on_the_wire_is_an_answer_too(error, answer):
    async def fail(*_question):
        raise error

    assert answer.items() <= asked(fail).items()


@pytest.mark.parametrize(
    "wrong",
    [
        {"bus": "c"}, {"unit": 256}, {"unit": True}, {"table": "register"}, {"start": -1},
        {"count": 0}, {"count": 126}, {"start": 65_535, "count": 2}, {"timeout_ms": 60_000},
        {"line": 9600}, {"line": {"baud": 9600, "parity": "n", "stop_bits": 1}},
        {"line": {"baud": 9600, "parity": "none", "stop_bits": 3}},
    ],
)  # fmt: skip
def test_a_question_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises(BadRequest):
        asked(echo, **wrong)


def test_only_lines_that_are_open_are_told_of():
    async def tell():
        tools = BusTools()
        with tools.holding("b", HeldLine(echo, lambda: {"port": "/dev/p"})):
            there = await tools.tell({})
        return there, await tools.tell({})

    there, gone = asyncio.run(tell())
    assert there == {"lines": [{"bus": "b", "port": "/dev/p"}]}
    assert gone == {"lines": []}
