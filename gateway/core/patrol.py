"""The patrol in the decider: what people do, and what the clock does to rounds.

Rows ahead: `patrol_ahead`. The life of a round: `patrol_rounds`. Visits: `patrol_visits`. Cards
and tags at a reader: `patrol_taps`. What is remembered: `patrol_state`. For screens:
`patrol_views`.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from gateway.core.patrol_ahead import note_awake, note_clock_again, plan_ahead
from gateway.core.patrol_people import refusal_of_person
from gateway.core.patrol_rounds import (
    Happening,
    advance_rounds,
    begin_round,
    end_round,
    forgive,
    month_named,
    moved,
    next_boundary_ms,
    note_overdue,
    put_month,
    put_patrol,
    put_round,
)
from gateway.core.patrol_state import KINDS, PHONE, patrol_from, tags_of, to_json, tokens_of
from gateway.core.patrol_taps import take_tap
from gateway.core.patrol_visits import enter_visit, place_unsure_visits, put_tag
from gateway.core.people import refuse
from gateway.core.turn import Turn
from gateway.domain import events
from gateway.domain.outcome import Reply
from gateway.domain.people import Phone, Right
from gateway.domain.rounds import Round, RoundState

LOOK_MS = 600_000  # at the latest: the clock may have been set
UNSURE_LOOK_MS = 60_000
MORE_MS = 50  # until the next of many rounds that were slept through
MAX_PHONES = 500
EXPLAINED = frozenset({RoundState.MISSED, RoundState.PARTIAL, RoundState.DONE_LATE})


def restore_patrol(turn: Turn) -> None:
    """Take the patrol up where it was; rounds are looked at in this same step."""
    house = turn.house
    if not house.patrol.checkpoints:
        return
    state, damaged = patrol_from(turn.state.kept, house.patrol.checkpoints)
    for key in damaged:
        turn.keep(*key, None)
    left = {key: body for key, body in turn.state.kept.items() if key[0] not in KINDS}
    turn.state = replace(turn.state, patrol=state, kept=left, patrol_due_ms=turn.now.mono_ms)


def replan(turn: Turn) -> None:
    """The site file has changed: its tags count, and rows that it no longer asks for are off."""
    patrol, checkpoints = turn.state.patrol, turn.house.patrol.checkpoints
    if not checkpoints and not patrol.rounds:
        return
    tags = tags_of(checkpoints, patrol.registered)
    put_patrol(turn, tags=tags, by_token=tokens_of(tags), is_planned=False)
    turn.state = replace(turn.state, patrol_due_ms=turn.now.mono_ms)


def follow_rounds(turn: Turn) -> None:
    """Whatever is due of the rounds by now; called when it is, and when the clock changes."""
    now, zone = turn.now, turn.house.zone
    if zone is None:
        turn.state = replace(turn.state, patrol_due_ms=None)
        raise LookupError("the house's time zone is not known to this system: no round is planned")
    if now.utc_ms is None or not now.is_trusted:
        put_patrol(turn, was_unsure=True)
        turn.state = replace(turn.state, patrol_due_ms=now.mono_ms + UNSURE_LOOK_MS)
        return
    turn.state = replace(turn.state, patrol_due_ms=now.mono_ms + UNSURE_LOOK_MS)  # if this fails
    plan_ahead(turn, zone, now.utc_ms)
    note_clock_again(turn, now.utc_ms)
    place_unsure_visits(turn, now.utc_ms)
    _date_phones(turn, now.utc_ms)
    is_more = advance_rounds(turn, now.utc_ms)
    note_awake(turn, now.utc_ms)
    _look_later(turn, now.utc_ms, is_more=is_more)


def _look_later(turn: Turn, utc_ms: int, *, is_more: bool = False) -> None:
    note_overdue(turn, utc_ms)
    boundary = next_boundary_ms(turn, utc_ms)
    wait = LOOK_MS if boundary is None else min(LOOK_MS, boundary - utc_ms)
    due_ms = turn.now.mono_ms + (MORE_MS if is_more else wait)
    turn.state = replace(turn.state, patrol_due_ms=due_ms)


def take_patrol(turn: Turn, event: events.PatrolEvent) -> None:
    """Decide one event of the patrol; a house without one refuses it."""
    is_tap = isinstance(event, events.TapSeen) and turn.house.people
    if not turn.house.patrol.checkpoints and not is_tap:
        refuse(turn, event.reply_to, "no_patrol")
        return
    if turn.state.patrol_due_ms is not None and turn.now.mono_ms >= turn.state.patrol_due_ms:
        follow_rounds(turn)  # the rounds as they are at this moment, not as at the last look
    match event:
        case events.TapSeen():
            take_tap(turn, event)
        case events.VisitEntered():
            enter_visit(turn, event)
        case events.RoundStarted():
            _start(turn, event)
        case events.RoundEnded():
            _give_up(turn, event)
        case events.RoundCancelled():
            _call_off(turn, event)
        case events.RoundExplained():
            _explain(turn, event)
        case events.RoundSigned():
            _sign(turn, event)
        case events.TagRegistered():
            _register(turn, event)
        case events.TagRetired():
            _retire(turn, event)
        case events.PhoneEnrolled():
            _enrol(turn, event)
        case events.PhonesForgotten():
            _forget_phones(turn, event)
        case events.FiguresSeen():
            _note_seen(turn, event)
        case _:
            assert_never(event)
    if turn.now.utc_ms is not None and turn.now.is_trusted and turn.state.patrol.is_planned:
        _look_later(turn, turn.now.utc_ms)


def _start(turn: Turn, event: events.RoundStarted) -> None:
    round_, refusal = _round(turn, event.by, event.round, Right.PATROL)
    if round_ is not None and not refusal:
        if not turn.now.is_trusted:
            refusal = "clock_unsure"
        elif round_.started is not None:
            refusal = "round_begun"
        elif round_.state not in (RoundState.OPEN, RoundState.OVERDUE):
            refusal = "round_not_open"
        else:
            put_round(turn, begin_round(turn, round_, event.by))
    _answer(turn, event.reply_to, refusal, event.round)


def _give_up(turn: Turn, event: events.RoundEnded) -> None:
    round_, refusal = _round(turn, event.by, event.round, Right.PATROL)
    if round_ is not None and not refusal:
        given_up = moved(round_, Happening.GIVEN_UP)
        if given_up is round_ or not round_.visited:
            refusal = "round_not_begun"
        elif not event.reason.strip():
            refusal = "needs_reason"
        elif not turn.now.is_trusted:
            refusal = "clock_unsure"
        else:
            end_round(turn, given_up, event.reason.strip())
    _answer(turn, event.reply_to, refusal, event.round)


def _call_off(turn: Turn, event: events.RoundCancelled) -> None:
    round_, refusal = _round(turn, event.by, event.round, Right.CANCEL)
    if round_ is not None and not refusal:
        off = moved(round_, Happening.CALLED_OFF)
        if off is round_:
            refusal = "round_begun"
        elif not event.reason.strip():
            refusal = "needs_reason"
        else:
            end_round(turn, off, event.reason.strip())
    _answer(turn, event.reply_to, refusal, event.round)


def _explain(turn: Turn, event: events.RoundExplained) -> None:
    """A reason before blame: it goes under the round, and ends the fault that it was missed."""
    round_, refusal = _round(turn, event.by, event.round, Right.PATROL)
    if round_ is not None and not refusal:
        if round_.state not in EXPLAINED:
            refusal = "nothing_to_explain"
        elif not event.reason.strip():
            refusal = "needs_reason"
        else:
            said = event.reason.strip()
            put_round(turn, replace(round_, explained=said, explained_by=event.by))
            fields = {"round": round_.id, "by": event.by, "reason": said}
            turn.record_fact("round_explained", fields)
            forgive(turn, round_.schedule)
    _answer(turn, event.reply_to, refusal, event.round)


def _sign(turn: Turn, event: events.RoundSigned) -> None:
    """The second signature: of another person than those who walked."""
    round_, refusal = _round(turn, event.by, event.round, Right.SIGN)
    if round_ is not None and not refusal:
        if not round_.state.is_over or round_.state is RoundState.CANCELLED:
            refusal = "round_not_over"
        elif round_.signed is not None:
            refusal = "round_signed"
        elif event.by in {round_.owner, *(visit.by for visit in round_.visits)}:
            refusal = "own_round"
        else:
            put_round(turn, replace(round_, signed_by=event.by, signed=turn.now))
            fields = {"round": round_.id, "by": event.by, "note": event.note}
            turn.record_fact("round_signed", {**fields, "state": round_.state.value})
    _answer(turn, event.reply_to, refusal, event.round)


def _register(turn: Turn, event: events.TagRegistered) -> None:
    refusal = refusal_of_person(turn, event.by, Right.TAGS)
    if not refusal and event.tag.checkpoint not in turn.house.patrol.checkpoints:
        refusal = "unknown_checkpoint"
    known = turn.state.patrol.tags.get(event.tag.uid)
    if not refusal:
        counter = known.counter if known is not None else None  # it never falls
        put_tag(turn, replace(event.tag, counter=counter, is_retired=False))
        _record_tag(turn, event.by, event.tag.uid, event.tag.checkpoint, "registered")
    _answer(turn, event.reply_to, refusal, event.tag.uid)


def _retire(turn: Turn, event: events.TagRetired) -> None:
    refusal = refusal_of_person(turn, event.by, Right.TAGS)
    known = turn.state.patrol.tags.get(event.uid)
    if not refusal and known is None:
        refusal = "unknown_tag"
    if known is not None and not refusal:
        put_tag(turn, replace(known, is_retired=True))
        _record_tag(turn, event.by, event.uid, known.checkpoint, "retired", event.why)
    _answer(turn, event.reply_to, refusal, event.uid)


def _record_tag(turn: Turn, by: str, uid: str, checkpoint: str, what: str, why: str = "") -> None:
    fields = {"by": by, "tag": uid, "checkpoint": checkpoint, "what": what, "why": why}
    turn.record_fact("patrol_tag", fields)


def _enrol(turn: Turn, event: events.PhoneEnrolled) -> None:
    """Remember a phone for its own person, or for another where one may vouch."""
    patrol, now = turn.state.patrol, turn.now
    right = Right.PATROL if event.by == event.person else Right.ENROL
    refusal = refusal_of_person(turn, event.by, right)
    refusal = refusal or refusal_of_person(turn, event.person, Right.PATROL)
    utc_ms = now.utc_ms if now.is_trusted else None
    if not refusal and utc_ms is not None:
        old = [each for each in patrol.phones.values() if (each.until_ms or utc_ms) < utc_ms]
        _drop_phones(turn, old)
    if not refusal and len(turn.state.patrol.phones) >= MAX_PHONES:
        refusal = "too_many_phones"
    if not refusal:
        until_ms = None if utc_ms is None else utc_ms + event.for_ms
        phone = Phone(event.digest, event.person, until_ms, event.label, event.for_ms)
        _put_phone(turn, phone)
        fields = {"by": event.by, "person": event.person, "what": "enrolled"}
        turn.record_fact("patrol_phone", {**fields, "until": phone.until_ms})
    _answer(turn, event.reply_to, refusal, event.person)


def _forget_phones(turn: Turn, event: events.PhonesForgotten) -> None:
    right = Right.PATROL if event.by == event.person else Right.ENROL
    refusal = refusal_of_person(turn, event.by, right)
    found = [
        each
        for each in turn.state.patrol.phones.values()
        if each.person == event.person and event.digest in ("", each.digest)
    ]
    if not refusal and not found:
        refusal = "unknown_phone"
    if not refusal:
        _drop_phones(turn, found)
        fields = {"by": event.by, "person": event.person, "what": "forgotten"}
        turn.record_fact("patrol_phone", {**fields, "until": None})
    _answer(turn, event.reply_to, refusal, event.person)


def _put_phone(turn: Turn, phone: Phone) -> None:
    put_patrol(turn, phones={**turn.state.patrol.phones, phone.digest: phone})
    turn.keep(PHONE, phone.digest, to_json(phone))


def _date_phones(turn: Turn, utc_ms: int) -> None:
    """Phones that were enrolled on a bad clock are remembered for their time from now on."""
    for phone in turn.state.patrol.phones.values():
        if phone.until_ms is None:
            _put_phone(turn, replace(phone, until_ms=utc_ms + phone.for_ms))


def _drop_phones(turn: Turn, phones: Iterable[Phone]) -> None:
    gone = {each.digest for each in phones}
    if gone:
        left = {key: each for key, each in turn.state.patrol.phones.items() if key not in gone}
        put_patrol(turn, phones=left)
        for digest in gone:
            turn.keep(PHONE, digest, None)


def _note_seen(turn: Turn, event: events.FiguresSeen) -> None:
    refusal = refusal_of_person(turn, event.by, Right.PATROL)
    month = month_named(turn, event.month)
    if not refusal and event.by not in month.people:
        refusal = "no_figures"
    if not refusal and event.by not in month.seen:
        put_month(turn, event.month, replace(month, seen=(*month.seen, event.by)))
    _answer(turn, event.reply_to, refusal, event.month)


def _round(turn: Turn, by: str, name: str, right: Right) -> tuple[Round | None, str]:
    round_ = turn.state.patrol.rounds.get(name)
    refusal = refusal_of_person(turn, by, right)
    return round_, refusal or ("unknown_round" if round_ is None else "")


def _answer(turn: Turn, to: int | None, refusal: str, about: str) -> None:
    if refusal:
        refuse(turn, to, refusal)
    elif to is not None:
        turn.replies.append(Reply(to, ok=True, code="done", case=about))
