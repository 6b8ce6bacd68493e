"""Scan a bus: every setting, every unit; whoever answers is asked what it is.

Given how to open the line with a setting and how to read; says how far it is after each unit.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from gateway.core.scan import (
    Ask,
    Found,
    ScanPlan,
    answer_within_ms,
    ask_of,
    hint_block,
    in_order,
    match_of,
    merged,
    ranked,
    value_of,
)
from gateway.domain.errors import DeviceRefused, DeviceSilent
from gateway.domain.families import Family, LineSetting
from gateway.domain.points import Table

Read = Callable[[int, Table, int, int, int], Awaitable[Sequence[int]]]  # the last is the time-out
OpenLine = Callable[[LineSetting | None], AbstractAsyncContextManager[Read]]
TRIES = 2  # of a question to a device that is there: one lost answer must not hide what it is


@dataclass(frozen=True, slots=True)
class Progress:
    """`step` of `steps` was just done: this unit with this setting."""

    step: int
    steps: int
    line: LineSetting | None
    unit: int
    found: Found | None = None


async def scan_bus(
    plan: ScanPlan,
    families: Sequence[Family],
    *,
    open_line: OpenLine,
    tell: Callable[[Progress], None],
) -> tuple[Found, ...]:
    """Return every device that answered. BusDown goes through: there is no bus to scan."""
    found: list[Found] = []
    step = 0
    for line in plan.lines:
        async with open_line(line) as read:
            for unit in plan.units:
                step += 1
                device = None
                if await _is_there(unit, line, plan, read):
                    device = await _recognised(unit, line, plan, families, read)
                    found.append(device)
                tell(Progress(step, plan.steps, line, unit, device))
    return merged(found)


async def _is_there(unit: int, line: LineSetting | None, plan: ScanPlan, read: Read) -> bool:
    """True at the first answer to one of the questions; a refusal is one."""
    for ask in plan.presence:
        within = answer_within_ms(line, ask, plan.timeout_ms)
        try:
            await read(unit, ask.table, ask.start, ask.count, within)
        except DeviceSilent:
            continue
        except DeviceRefused as refused:
            if refused.code in (0x0A, 0x0B):  # a bridge that says its device did not answer
                continue
        return True
    return False


async def _recognised(
    unit: int, line: LineSetting | None, plan: ScanPlan, families: Sequence[Family], read: Read
) -> Found:
    answers: dict[Ask, Sequence[int] | None] = {}

    async def answer(ask: Ask) -> Sequence[int] | None:
        if ask not in answers:
            within = answer_within_ms(line, ask, 2 * plan.timeout_ms)
            answers[ask] = await _asked(unit, ask, within, read)
        return answers[ask]

    matches = []
    for family in in_order(families):
        for hint in family.hints:
            words = await answer(ask_of(hint_block(family, hint)))
            if not hint.fits(value_of(family, hint, words)):
                break
        else:
            match = match_of(family, answers, line)
            if match is not None:
                matches.append(match)
        if matches and matches[-1].is_certain and not _rivals(matches[-1].family, families):
            break
    return Found(unit, line, ranked(matches))


def _rivals(family: Family, families: Sequence[Family]) -> bool:
    """True if another family names itself by the same point: it has to be asked as well."""
    own = {(hint.point.table, hint.point.at) for hint in family.hints if hint.is_identity}
    return any(
        other is not family
        and own & {(hint.point.table, hint.point.at) for hint in other.hints if hint.is_identity}
        for other in families
    )


async def _asked(unit: int, ask: Ask, within_ms: int, read: Read) -> Sequence[int] | None:
    for _ in range(TRIES):
        try:
            return await read(unit, ask.table, ask.start, ask.count, within_ms)
        except DeviceRefused:
            return None
        except DeviceSilent:
            continue
    return None
