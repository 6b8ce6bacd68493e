"""A visit: who, where, with which answers, how well proved, of which round, and what is odd.

A tap is not a record: only a visit whose items are all answered is one. What is odd is flagged and
kept; refused is only what cannot be a visit: no such person or place, items left out, a tag that
does not hang there, a link that was used before.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gateway.core.case_verbs import arrive
from gateway.core.messages import occurrence_id
from gateway.core.patrol_people import phone_named, refusal_of_person
from gateway.core.patrol_plan import local_day
from gateway.core.patrol_rounds import (
    attach,
    month_named,
    put_month,
    put_patrol,
    stop_of,
)
from gateway.core.patrol_state import TAG, UNSURE, added, live_rounds, to_json
from gateway.core.people import refuse
from gateway.core.state import quality_now
from gateway.core.turn import Turn
from gateway.domain import events
from gateway.domain.outcome import Reply
from gateway.domain.patrol import PHOTO_DRAWN, Checkpoint, Item, ItemType, Order, Tag, TagKind
from gateway.domain.people import Right
from gateway.domain.readings import Quality
from gateway.domain.rounds import Answer, Flag, Round, RoundState, Via, Visit
from gateway.domain.text import Text

EARLY_MS = 900_000  # before its window a visit may begin a round
OPENED_MS = 1_800_000  # a page that was opened longer ago proves nothing of the time
HURRIED_MS = 3_000  # an item, when all is normal
HARVEST_GAP = 2  # reads of a tag whose links never came
RECENT = 64
MAX_UNSURE = 500
HAZARD_DUE_MS = 7 * 86_400_000  # general (field/patrol-and-alarms 4.6)
OK, BAD = "ok", "bad"
ODD_TIMING = frozenset({Flag.TOO_FAST, Flag.DWELL_SHORT, Flag.HARVEST, Flag.HURRIED, Flag.MISMATCH})


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer against its item."""

    answer: Answer
    item: Item
    is_bad: bool
    is_drawn: bool
    measured: float | None = None  # what its point says
    differs: bool = False


def enter_visit(turn: Turn, event: events.VisitEntered) -> None:
    """Take a visit, or refuse it with the reason; a form that was sent twice counts once."""
    checkpoint = turn.house.patrol.checkpoints.get(event.checkpoint)
    refusal = refusal_of_person(turn, event.by, Right.PATROL) or _refusal_of_phone(turn, event)
    if refusal or checkpoint is None:
        refuse(turn, event.reply_to, refusal or "unknown_checkpoint")
        return
    if _was_sent_before(turn, event):
        _done(turn, event, "already")
        return
    arrived_ms = _arrived_ms(turn, event)
    round_, is_again = round_for(turn, event.checkpoint, turn.now.utc_of(arrived_ms))
    judged, refusal = _judge_answers(turn, event.answers, asked_at(checkpoint, round_))
    if event.via is Via.MANUAL and not event.reason.strip():
        refusal = refusal or "needs_reason"
    tag, flag = _tag_of(turn, event)
    if refusal == "items_missing" and event.reply_to is not None:
        say = _missing(checkpoint, round_, event.answers)
        turn.replies.append(Reply(event.reply_to, ok=False, code=refusal, say=say))
        return
    if refusal:
        refuse(turn, event.reply_to, refusal)
        return
    if flag is not None:
        _record(
            turn, event, checkpoint, _visit(turn, event, arrived_ms, 0, (flag,), judged), judged
        )
        refuse(turn, event.reply_to, flag.value)
        return
    flags = _flags(turn, event, tag, judged)
    visit = _visit(turn, event, arrived_ms, _proof(event, tag), flags, judged)
    if turn.now.is_trusted:
        visit = _placed(turn, visit, round_, is_again=is_again)
    visit = _record(turn, event, checkpoint, visit, judged, round_, tag)
    _count_read(turn, event, tag)
    _remember(turn, event)
    _settle(turn, visit, round_)
    if event.via is not Via.MANUAL:  # nobody stands there now
        arrive_near(turn, event.by, checkpoint.near, checkpoint.place, visit.proof)
    _done(turn, event, "done", visit.id)


def _refusal_of_phone(turn: Turn, event: events.VisitEntered) -> str:
    """A phone that was forgotten, or is another's, speaks for nobody."""
    if not event.phone:
        return ""
    phone = phone_named(turn, event.phone)
    return "" if phone is not None and phone.person == event.by else "unknown_phone"


def round_for(turn: Turn, checkpoint: str, at_ms: int | None) -> tuple[Round | None, bool]:
    """The round of a visit at this UTC, and whether the checkpoint was visited in it before.

    One that is under way comes first, then one whose window runs, one in its grace, and last one
    whose window is about to open. Without a trusted clock nobody knows.
    """
    if at_ms is None or not turn.now.is_trusted:
        return None, False
    near = [
        each
        for each in live_rounds(turn.state.patrol)
        if checkpoint in each.stops and each.opens_ms - EARLY_MS <= at_ms <= each.due_ms
    ]
    running = [each for each in near if each.opens_ms <= at_ms]
    begun = [each for each in near if each.started is not None]
    for pool in (begun, running):
        fresh = [each for each in pool if checkpoint not in each.visited]
        if fresh:
            return min(fresh, key=lambda each: (each.closes_ms < at_ms, each.closes_ms)), False
    again = [each for each in [*begun, *running] if checkpoint in each.visited]
    if again:
        return again[0], True
    return (near[0], False) if near else (None, False)


def _missing(checkpoint: Checkpoint, round_: Round | None, answers: Sequence[Answer]) -> Text:
    """Which items are not answered, in words."""
    given = {answer.item for answer in answers}
    left = [item.say for item, _ in asked_at(checkpoint, round_) if item.id not in given]
    zh, en = "、".join(say.zh for say in left), ", ".join(say.en for say in left)
    return Text(f"还没有回答：{zh}", f"not answered yet: {en}")


def asked_at(checkpoint: Checkpoint, round_: Round | None) -> tuple[tuple[Item, bool], ...]:
    """The items to be answered at a checkpoint, and whether each is a challenge of the round."""
    drawn = {
        draw.item for draw in (round_.draws if round_ else ()) if draw.checkpoint == checkpoint.code
    }
    known = [(item, True) for item in checkpoint.items if item.is_drawn and item.id in drawn]
    photo = [(PHOTO_DRAWN, True)] if PHOTO_DRAWN.id in drawn else []
    return (*((item, False) for item in checkpoint.items if not item.is_drawn), *known, *photo)


def arrive_near(
    turn: Turn, by: str, points: Sequence[str], place: str, proof: int
) -> tuple[str, ...]:
    """Whoever is at the place of an open case has arrived there: the cases where that is new."""
    found = [
        case.occurrence
        for case in turn.state.cases.values()
        if case.arrived is None and case.point and case.point in points
    ]
    for occurrence in found:
        arrive(turn, events.Arrive(by, occurrence, place, proof))
    return tuple(found)


def place_unsure_visits(turn: Turn, utc_ms: int) -> None:
    """The clock is right: visits that waited for it get their time, and their rounds.

    Those of another boot keep an unsure time: they belong to a round that was under way or over
    since the gateway last knew the time, or to none.
    """
    for waiting in list(turn.state.patrol.unsure.values()):
        left = {k: v for k, v in turn.state.patrol.unsure.items() if k != waiting.id}
        put_patrol(turn, unsure=left)
        turn.keep(UNSURE, waiting.id, None)
        round_, is_again, at_ms = None, False, None
        if waiting.at.boot == turn.now.boot:
            at_ms = turn.now.utc_of(waiting.arrived_ms)
            round_, is_again = round_for(turn, waiting.checkpoint, at_ms)
        else:
            round_ = _round_since(turn, waiting, utc_ms)
        visit = _placed(turn, replace(waiting, arrived_utc=at_ms), round_, is_again=is_again)
        fields = {"visit": visit.id, "round": round_.id if round_ else "", "at": visit.arrived_utc}
        turn.record_fact("visit_placed", {**fields, "flags": [f.value for f in visit.flags]})
        _settle(turn, visit, round_)


def _round_since(turn: Turn, visit: Visit, utc_ms: int) -> Round | None:
    seen_ms = turn.state.patrol.plan.seen_ms or 0
    for each in live_rounds(turn.state.patrol):
        is_possible = each.opens_ms <= utc_ms and each.due_ms >= seen_ms
        if is_possible and visit.checkpoint in each.stops and visit.checkpoint not in each.visited:
            return each
    return None


def _settle(turn: Turn, visit: Visit, round_: Round | None) -> None:
    """Put it where it belongs: into its round, on the waiting list, or into the figures alone."""
    if Flag.CLOCK_UNSURE in visit.flags and not turn.now.is_trusted:
        waiting = dict(turn.state.patrol.unsure)
        if len(waiting) >= MAX_UNSURE:
            oldest = next(iter(waiting))
            del waiting[oldest]
            turn.keep(UNSURE, oldest, None)
        put_patrol(turn, unsure={**waiting, visit.id: visit})
        turn.keep(UNSURE, visit.id, to_json(visit))
        return
    _count(turn, visit, round_)
    if round_ is not None:
        attach(turn, turn.state.patrol.rounds[round_.id], visit)


def _count(turn: Turn, visit: Visit, round_: Round | None) -> None:
    zone, at_ms = turn.house.zone, visit.arrived_utc or turn.now.utc_ms
    if round_ is not None:
        name = round_.shift_date[:7]
    elif zone is not None and at_ms is not None:
        name = local_day(at_ms, zone).isoformat()[:7]
    else:
        return
    counts = {f"flag_{flag.value}": 1 for flag in visit.flags}
    counts |= {"visits": 1, "bad": len(visit.bad), f"proof_{visit.proof}": 1}
    put_month(turn, name, added(month_named(turn, name), person=visit.by, counts=counts))


def _placed(turn: Turn, visit: Visit, round_: Round | None, *, is_again: bool) -> Visit:
    """The visit with what only its round can say of it."""
    if round_ is None:
        return replace(visit, flags=(*visit.flags, Flag.OUTSIDE_ROUND))
    flags = [*visit.flags]
    if is_again:
        flags.append(Flag.DUPLICATE)
    at_ms = visit.arrived_utc
    if at_ms is not None and at_ms < round_.opens_ms:
        flags.append(Flag.EARLY)
    if at_ms is not None and at_ms > round_.closes_ms:
        flags.append(Flag.LATE)
    if round_.owner and visit.by != round_.owner:
        flags.append(Flag.OTHER_PERSON)
    if not is_again and _is_out_of_order(turn, round_, visit.checkpoint):
        flags.append(Flag.OUT_OF_ORDER)
    flags.extend(_walked(turn, round_, visit))
    is_met = visit.proof == 3 and bool(visit.met) and not ODD_TIMING.intersection(flags)
    return replace(visit, flags=tuple(flags), proof=4 if is_met else visit.proof)


def _is_out_of_order(turn: Turn, round_: Round, checkpoint: str) -> bool:
    route = turn.house.patrol.routes.get(round_.route)
    left = round_.missing
    if route is None or not left or route.order is Order.ANY:
        return False
    if route.order is Order.STRICT:
        return checkpoint != left[0]
    if not round_.visited:
        return checkpoint != round_.stops[0]
    return checkpoint == round_.stops[-1] and len(left) > 1


def _walked(turn: Turn, round_: Round, visit: Visit) -> Iterable[Flag]:
    """Whether the walk from the stop before, from tap to tap, was possible."""
    before = [each for each in round_.visits if each.checkpoint != visit.checkpoint]
    took = None if not before else _between_ms(before[-1], visit)
    stop = stop_of(turn, round_, visit.checkpoint)
    if took is None:
        return
    if took < stop.leg_min_ms:
        yield Flag.TOO_FAST
    if stop.leg_max_ms is not None and took > stop.leg_max_ms:
        yield Flag.TOO_SLOW


def _between_ms(before: Visit, after: Visit) -> int | None:
    if before.at.boot == after.at.boot:
        return after.arrived_ms - before.arrived_ms
    if before.arrived_utc is None or after.arrived_utc is None:
        return None
    return after.arrived_utc - before.arrived_utc


def _flags(
    turn: Turn, event: events.VisitEntered, tag: Tag | None, judged: Sequence[Judged]
) -> tuple[Flag, ...]:
    """What is odd about it by itself."""
    flags = []
    stayed = None if event.opened_ms is None else turn.now.mono_ms - event.opened_ms
    if stayed is not None and 0 <= stayed < _dwell_ms(turn, event.checkpoint):
        flags.append(Flag.DWELL_SHORT)
    if _is_hurried(judged, stayed):
        flags.append(Flag.HURRIED)
    if any(each.differs for each in judged):
        flags.append(Flag.MISMATCH)
    gap = _gap(event, tag)
    if gap is not None and gap > HARVEST_GAP:
        flags.append(Flag.HARVEST)
    if not turn.now.is_trusted:
        flags.append(Flag.CLOCK_UNSURE)
    if event.via is Via.MANUAL:
        flags.append(Flag.MANUAL)
    return tuple(flags)


def _gap(event: events.VisitEntered, tag: Tag | None) -> int | None:
    """How often the tag was read since its last visit and no link came."""
    if tag is None or tag.counter is None or event.counter is None:
        return None
    return event.counter - tag.counter - 1


def _dwell_ms(turn: Turn, checkpoint: str) -> int:
    """The longest dwell that any live round's route asks here."""
    stops = (
        stop_of(turn, each, checkpoint)
        for each in live_rounds(turn.state.patrol)
        if checkpoint in each.stops and each.state is not RoundState.PLANNED
    )
    return max((stop.dwell_ms for stop in stops), default=0)


def _is_hurried(judged: Sequence[Judged], stayed_ms: int | None) -> bool:
    asked = [each for each in judged if each.item.type is not ItemType.PHOTO]
    if not asked or any(each.is_bad for each in asked):
        return False
    spent = [each.answer.spent_ms for each in asked]
    known = [each for each in spent if each is not None]
    took = stayed_ms if stayed_ms is not None else sum(known) if len(known) == len(spent) else None
    return took is not None and took < HURRIED_MS * len(asked)


def _arrived_ms(turn: Turn, event: events.VisitEntered) -> int:
    """Mono ms of the tap that opened the page, as far as it can be so."""
    now_ms = turn.now.mono_ms
    opened = event.opened_ms
    return opened if opened is not None and now_ms - OPENED_MS <= opened <= now_ms else now_ms


def _tag_of(turn: Turn, event: events.VisitEntered) -> tuple[Tag | None, Flag | None]:
    """The tag that was tapped, and why it proves nothing; neither where none was."""
    patrol = turn.state.patrol
    if not event.uid and not event.token:
        return None, None
    tag = patrol.tags.get(event.uid or patrol.by_token.get(event.token, ""))
    if tag is None or tag.is_retired or tag.checkpoint != event.checkpoint:
        return None, Flag.UNKNOWN_TAG
    if tag.kind is TagKind.NTAG424 and event.counter is None:
        return tag, Flag.UNKNOWN_TAG  # its links are signed; this one is not
    is_old = event.counter is not None and tag.counter is not None and event.counter <= tag.counter
    return tag, Flag.REPLAYED if is_old else None


def _proof(event: events.VisitEntered, tag: Tag | None) -> int:
    """0 said so, 1 a link, 2 with an unsigned counter, 3 signed: never more than the tag can."""
    if tag is None or event.via is Via.MANUAL:
        return 0
    best = 3 if tag.kind is TagKind.NTAG424 else 1 if event.counter is None else 2
    return max(1, min(event.proof, best))


def _count_read(turn: Turn, event: events.VisitEntered, tag: Tag | None) -> None:
    """The counter rises in the transaction of the visit: of two phones one wins."""
    if tag is not None and event.counter is not None:
        put_tag(turn, replace(tag, counter=event.counter))


def put_tag(turn: Turn, tag: Tag) -> None:
    patrol = turn.state.patrol
    registered = {**patrol.registered, tag.uid: tag}
    tags = {**patrol.tags, tag.uid: tag}
    tokens = {token: uid for token, uid in patrol.by_token.items() if uid != tag.uid}
    if tag.token and not tag.is_retired:
        tokens[tag.token] = tag.uid
    put_patrol(turn, registered=registered, tags=tags, by_token=tokens)
    turn.keep(TAG, tag.uid, to_json(tag))


def _judge_answers(
    turn: Turn, answers: Sequence[Answer], asked: Sequence[tuple[Item, bool]]
) -> tuple[tuple[Judged, ...], str]:
    """Every answer against its item, or why they cannot be taken."""
    given = {answer.item: answer for answer in answers}
    known = {item.id for item, _ in asked}
    if len(given) != len(answers) or not given.keys() <= known:
        return (), "unknown_item"
    if given.keys() != known:
        return (), "items_missing"
    judged = []
    for item, is_drawn in asked:
        answer = given[item.id]
        is_bad = _is_bad(item, answer.value)
        if is_bad is None:
            return (), "bad_answer"
        measured = _measured(turn, item)
        differs = _differs(item, answer.value, measured)
        judged.append(Judged(answer, item, is_bad, is_drawn, measured, differs))
    return tuple(judged), ""


def _is_bad(item: Item, value: str | float) -> bool | None:
    """Whether the answer is a bad one; None when it is none."""
    match item.type:
        case ItemType.OK_BAD:
            return value == BAD if value in (OK, BAD) else None
        case ItemType.NUMBER:
            if isinstance(value, str | bool) or not math.isfinite(value):
                return None
            is_low = item.low is not None and value < item.low
            return is_low or (item.high is not None and value > item.high)
        case ItemType.CHOICE:
            return next((each.is_bad for each in item.choices if each.id == value), None)
        case ItemType.PHOTO:
            is_digest = isinstance(value, str) and len(value) == 64
            return False if is_digest and set(str(value)) <= set("0123456789abcdef") else None


def _measured(turn: Turn, item: Item) -> float | None:
    """What the item's point says at this moment, where it may be believed."""
    point = turn.house.points.get(item.point) if item.type is ItemType.NUMBER else None
    device = turn.devices.get(point.device) if point is not None else None
    if point is None or device is None:
        return None
    reading = quality_now(point, device.points.get(point.id), turn.now.mono_ms)
    is_number = isinstance(reading.value, int | float) and not isinstance(reading.value, bool)
    return float(reading.value) if is_number and reading.quality is Quality.GOOD else None  # type: ignore[arg-type] # it is a number


def _differs(item: Item, value: str | float, measured: float | None) -> bool:
    if measured is None or isinstance(value, str):
        return False
    return abs(value - measured) > item.tolerance * max(abs(measured), abs(value))


def _visit(
    turn: Turn,
    event: events.VisitEntered,
    arrived_ms: int,
    proof: int,
    flags: tuple[Flag, ...],
    judged: Sequence[Judged],
) -> Visit:
    return Visit(
        id="",
        checkpoint=event.checkpoint,
        by=event.by,
        at=turn.now,
        arrived_ms=arrived_ms,
        proof=proof,
        via=event.via,
        flags=flags,
        bad=tuple(each.item.id for each in judged if each.is_bad),
        met=tuple(each.item.id for each in judged if each.is_drawn and not each.differs),
        arrived_utc=turn.now.utc_of(arrived_ms) if turn.now.is_trusted else None,
    )


def _record(
    turn: Turn,
    event: events.VisitEntered,
    checkpoint: Checkpoint,
    visit: Visit,
    judged: Sequence[Judged],
    round_: Round | None = None,
    tag: Tag | None = None,
) -> Visit:
    """Write it and its hazards down; the visit with the id of its record."""
    record = turn.record_fact(
        "visit",
        {
            "round": round_.id if round_ else "",
            "checkpoint": visit.checkpoint,
            "place": checkpoint.place,
            "by": visit.by,
            "via": visit.via.value,
            "arrived": visit.arrived_utc,
            "stayed_ms": turn.now.mono_ms - visit.arrived_ms,
            "proof": visit.proof,
            "tag": event.uid or (tag.uid if tag else ""),
            "counter": event.counter,
            "gap": _gap(event, tag),
            "answers": [_answer_fields(each) for each in judged],
            "note": event.note,
            "reason": event.reason,
            "flags": [flag.value for flag in visit.flags],
        },
    )
    visit = replace(visit, id=occurrence_id(record.epoch, record.lane, record.seq))
    if Flag.UNKNOWN_TAG not in visit.flags and Flag.REPLAYED not in visit.flags:
        _record_hazards(turn, event, checkpoint, visit, judged)
    return visit


def _answer_fields(judged: Judged) -> dict[str, object]:
    return {
        "item": judged.item.id,
        "value": judged.answer.value,
        "unit": judged.item.unit,
        "bad": judged.is_bad,
        "drawn": judged.is_drawn,
        "measured": judged.measured,
        "spent_ms": judged.answer.spent_ms,
    }


def _record_hazards(
    turn: Turn,
    event: events.VisitEntered,
    checkpoint: Checkpoint,
    visit: Visit,
    judged: Sequence[Judged],
) -> None:
    """隐患: every bad answer, and what else the patroller found."""
    utc_ms = turn.now.utc_ms
    common: dict[str, object] = {
        "source": "visit",
        "visit": visit.id,
        "checkpoint": checkpoint.code,
        "place": checkpoint.place,
        "by": visit.by,
        "level": "general",
        "due": utc_ms + HAZARD_DUE_MS if turn.now.is_trusted and utc_ms is not None else None,
    }
    for each in judged:
        if each.is_bad:
            words = _what_is_bad(each)
            said = {"item": each.item.id, "say": {"zh": words.zh, "en": words.en}}
            value = {"value": each.answer.value, "unit": each.item.unit, "text": event.note}
            turn.record_fact("hazard", {**common, **said, **value})
    if event.hazard.strip():
        text = event.hazard.strip()
        found = {"item": "", "say": {"zh": text, "en": text}, "value": None, "unit": ""}
        turn.record_fact("hazard", {**common, **found, "text": text})


def _what_is_bad(judged: Judged) -> Text:
    """An item is put as it should be: alone it would read as if all were well."""
    item, value = judged.item, judged.answer.value
    if item.type is ItemType.NUMBER:
        number = f"{value:g} {item.unit}".rstrip()
        return Text(f"{item.say.zh}：{number}", f"{item.say.en}: {number}")
    chosen = next((each.say for each in item.choices if each.id == value), None)
    if chosen is not None:
        return Text(f"{item.say.zh}：{chosen.zh}", f"{item.say.en}: {chosen.en}")
    return Text(f"异常：{item.say.zh}", f"Not OK: {item.say.en}")


def _key(event: events.VisitEntered) -> tuple[object, ...] | None:
    if event.counter is None and event.opened_ms is None:
        return None
    return event.by, event.checkpoint, event.uid, event.counter, event.opened_ms


def _was_sent_before(turn: Turn, event: events.VisitEntered) -> bool:
    """The answer to the first form was lost, and the phone sends it again."""
    if _key(event) in turn.state.patrol.recent:
        return True
    opened = event.opened_ms
    return opened is not None and any(
        (visit.by, visit.checkpoint, visit.arrived_ms, visit.at.boot)
        == (event.by, event.checkpoint, opened, turn.now.boot)
        for round_ in turn.state.patrol.rounds.values()
        for visit in round_.visits
    )


def _remember(turn: Turn, event: events.VisitEntered) -> None:
    key = _key(event)
    if key is not None:
        put_patrol(turn, recent=(*turn.state.patrol.recent, key)[-RECENT:])


def _done(turn: Turn, event: events.VisitEntered, code: str, visit: str = "") -> None:
    if event.reply_to is not None:
        turn.replies.append(Reply(event.reply_to, ok=True, code=code, case=visit))
