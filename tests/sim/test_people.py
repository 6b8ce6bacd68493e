"""The people on duty wait until a sound was heard, then do the right one of the four verbs."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from gateway.drivers.sockets import NoAnswer
from gateway.sim.checker import HEARD_MS
from gateway.sim.people import ACKNOWLEDGE_AFTER_MS, SILENCE_AFTER_MS, STAFF, acts_of, attend


def row(state: str, since_ms: int, **changes: object) -> dict[str, Any]:
    return {
        "rule": "board.residual_current/residual_alarm",
        "state": state,
        "severity": "alarm",
        "since_ms": since_ms,
        "occurrence": "e1-A-1",
        "is_sounding": state == "UA",
        **changes,
    }


def test_nobody_acts_before_the_sound_was_heard() -> None:
    assert SILENCE_AFTER_MS > HEARD_MS + 150
    assert acts_of([row("UA", HEARD_MS)]) == []
    assert acts_of([]) == []


def test_an_alarm_is_silenced_first_and_acknowledged_a_moment_later() -> None:
    assert acts_of([row("UA", SILENCE_AFTER_MS)]) == [{"verb": "silence", "by": STAFF}]
    assert acts_of([row("UA", SILENCE_AFTER_MS, is_sounding=False)]) == []
    assert acts_of([row("UA", ACKNOWLEDGE_AFTER_MS)]) == [
        {"verb": "acknowledge", "by": STAFF, "alarm": "e1-A-1"}
    ]


@pytest.mark.parametrize("severity", ["warning", "fault"])
def test_warnings_and_faults_are_acknowledged_without_silencing(severity: str) -> None:
    assert acts_of([row("UA", SILENCE_AFTER_MS, severity=severity)]) == []
    assert [r["verb"] for r in acts_of([row("RU", ACKNOWLEDGE_AFTER_MS, severity=severity)])] == [
        "acknowledge"
    ]


@pytest.mark.parametrize(("state", "verbs"), [("LA", ["handle", "reset"]), ("AA", []), ("LU", [])])
def test_only_what_is_latched_and_normal_again_is_reset(state: str, verbs: list[str]) -> None:
    assert [request["verb"] for request in acts_of([row(state, 100)])] == verbs


async def test_they_keep_looking_while_the_daemon_does_not_answer() -> None:
    asked: list[str] = []
    told: list[tuple[str, str]] = []
    accepted = asyncio.Event()

    async def ask(request: dict[str, object]) -> Mapping[str, Any]:
        asked.append(str(request["verb"]))
        if len(asked) == 1:
            raise NoAnswer("not there")
        if request["verb"] == "status":
            return {"ok": True, "alarms": [row("UA", ACKNOWLEDGE_AFTER_MS)]}
        return {"ok": len(asked) > 5, "code": "unknown_alarm"}

    def tell(request: dict[str, object], alarm: Mapping[str, Any]) -> None:
        told.append((str(request["verb"]), str(alarm["occurrence"])))
        accepted.set()

    task = asyncio.create_task(attend(ask, tell=tell))
    async with asyncio.timeout(20):
        await accepted.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(asked) > 5
    assert told == [("acknowledge", "e1-A-1")]


async def test_they_leave_the_alarms_to_who_has_the_duty() -> None:
    asked: list[str] = []
    looked = 0

    async def ask(request: dict[str, object]) -> Mapping[str, Any]:
        asked.append(str(request["verb"]))
        return {"ok": True, "alarms": []}

    def is_on_duty() -> bool:
        nonlocal looked
        looked += 1
        return looked > 2

    task = asyncio.create_task(attend(ask, tell=lambda *_: None, is_on_duty=is_on_duty))
    async with asyncio.timeout(20):
        while not asked:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert looked == 3
