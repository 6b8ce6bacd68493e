"""验收: what a technician says was tried, taken only with what the gateway itself has seen of it.

| Part   | `passed` needs                                                                  |
|--------|---------------------------------------------------------------------------------|
| bus    | nothing: who else is on a line, only a scan can tell                            |
| device | it answers, and does not say that it is another                                 |
| point  | a good reading, near to what the display shows where that is a number           |
| trip   | the rule was raised while its points were under test, which still runs          |
| panel  | the output was shown a moment ago; the silence button was pressed meanwhile     |
| tag    | its tap was seen a moment ago                                                   |
| uplink | a self-test of a moment ago came back from the platform                         |
| clock  | the clock can be trusted, and is not off by more than two seconds               |
| sign   | two people, who are not one                                                     |

What was accepted is kept over restarts and lapses, on the record, when a reload makes it another
thing (`acceptance_items.digest_of`). A signature stands under everything: whatever is tried anew,
or lapses, takes it away.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from decimal import Decimal, InvalidOperation

from gateway.core.acceptance_items import (
    digest_of,
    digest_of_all,
    is_same,
    subject_of,
    subjects_of,
)
from gateway.core.ladder import now_of
from gateway.core.patrol_people import refusal_of_person, today
from gateway.core.people import NOBODY, answer, refuse
from gateway.core.state import House, quality_now
from gateway.core.turn import Turn
from gateway.domain import events
from gateway.domain.acceptance import SHEET, SILENCE, Acceptance, Part, Result, Subject
from gateway.domain.modes import Mode, twin_id
from gateway.domain.people import Right, is_good_on
from gateway.domain.readings import Quality, Reading, Value
from gateway.domain.rules import judged_points

KEPT, KEPT_MARK = "acceptance", "acceptance_mark"  # kinds in `domain.kept`
SEEN_WITHIN_MS = 600_000  # how old the gateway's own evidence may be
CLOCK_OFF_S = Decimal(2)
LAPSED_MOST = 200  # on one record: it is a message of the contract as well
TOLERANCE_AT_MOST = 0.2  # of what the display shows

SIMULATED = "simulated"  # instead of a display: nobody tripped the device

Found = Mapping[str, object]  # `value`, `unit`, `words`, `is_simulated`: what the gateway saw
SHEET_KEY = Subject(Part.SIGN, SHEET).key


class Refused(Exception):
    """There is no evidence; `code` is one of `core.refusals`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def take_acceptance(turn: Turn, event: events.AcceptanceGiven) -> None:
    """Record one result, or refuse it with the reason."""
    try:
        given = _given(turn, event)
    except Refused as refused:
        refuse(turn, event.reply_to, refused.code)
        return
    if given.subject.key != SHEET_KEY:
        _lapse(turn, (SHEET_KEY,))
    record = turn.record_fact("acceptance", _fields(given))
    _put(turn, replace(given, record=f"{record.epoch}-{record.lane.value}-{record.seq}"))
    answer(turn, event.reply_to, done=1)


def note_tag(turn: Turn, checkpoint: str) -> None:
    """Somebody is at the tag of a checkpoint: evidence that it can be read."""
    if checkpoint in turn.house.patrol.checkpoints:
        accepting = turn.state.accepting
        seen = {**accepting.tags_seen, checkpoint: turn.now.mono_ms}
        turn.state = replace(turn.state, accepting=replace(accepting, tags_seen=seen))


def restore_acceptance(turn: Turn) -> None:
    """Take up what was accepted before the restart, as far as it is about the same things."""
    found: dict[str, Acceptance] = {}
    for (kind, key), body in turn.state.kept.items():
        if kind != KEPT:
            continue
        known = _from_json(key, body)
        if known is None:
            turn.keep(KEPT, key, None)  # another version wrote it: it is to be tried again
        else:
            found[key] = known
    mark = turn.state.kept.get((KEPT_MARK, KEPT_MARK), "").strip('"')
    accepting = replace(turn.state.accepting, accepted=found, mark=mark)
    turn.state = replace(turn.state, accepting=accepting)
    if found and (not turn.house.site_sha or mark != _mark_of(turn.house)):
        _drop(turn, lambda known: digest_of(turn.house, known.subject) == known.digest)


def drop_what_changed(turn: Turn, before: House) -> None:
    """After a reload: let go of what is another thing now, or is no longer there."""
    if turn.state.accepting.accepted and turn.house is not before:
        _drop(turn, lambda known: is_same(before, turn.house, known.subject))


def _drop(turn: Turn, is_still: Callable[[Acceptance], bool]) -> None:
    """Forget what is another thing now, and remember for which house all of it was looked at."""
    accepted = turn.state.accepting.accepted
    gone = [key for key, known in accepted.items() if key != SHEET_KEY and not is_still(known)]
    is_signed_still = SHEET_KEY in accepted and not gone
    if is_signed_still and signed_digest(turn) != accepted[SHEET_KEY].digest:
        gone = [SHEET_KEY]
    _lapse(turn, [*gone, SHEET_KEY] if gone else ())
    _put_mark(turn)


def signed_digest(turn: Turn) -> str:
    """The digest of all that a signature would stand under now."""
    accepted = turn.state.accepting.accepted
    return digest_of_all(
        (key, known.digest, known.result.value)
        for key, known in accepted.items()
        if key != SHEET_KEY
    )


def _given(turn: Turn, event: events.AcceptanceGiven) -> Acceptance:
    subject = _subject(turn, event)
    result = Result(event.result)
    _check_person(turn, event.by)
    if result is Result.LAPSED:
        raise Refused("nothing_to_do")
    if result is not Result.PASSED and not (event.note or event.shown):
        raise Refused("needs_reason")
    found: Found = _CHECKS[subject.part](turn, event) if result is Result.PASSED else {}
    is_sheet = subject.part is Part.SIGN
    value, words = found.get("value"), found.get("words", ())
    return Acceptance(
        subject=subject,
        result=result,
        by=event.by,
        at=turn.now,
        digest=signed_digest(turn) if is_sheet else digest_of(turn.house, subject),
        shown=SIMULATED if found.get("is_simulated") else event.shown,
        value=value if isinstance(value, int | float | str) else None,
        unit=str(found.get("unit", "")),
        words=tuple(words) if isinstance(words, tuple) else (),
        note=event.note,
        partner=event.partner,
    )


def _subject(turn: Turn, event: events.AcceptanceGiven) -> Subject:
    subject = subject_of(turn.house, Subject(Part(event.part), event.subject).key)
    if subject is None:
        raise Refused("unknown_subject")
    return subject


def _check_person(turn: Turn, code: str) -> None:
    """Where the site knows its people, one of them who may; elsewhere any staff code."""
    if code in NOBODY:
        raise Refused("needs_person")
    if turn.house.people:
        refusal = refusal_of_person(turn, code, Right.ACCEPT)
        if refusal:
            raise Refused(refusal)


# -- what the gateway has seen itself -----------------------------------------------------------


def _nothing(_turn: Turn, _event: events.AcceptanceGiven) -> Found:
    return {}


def _check_device(turn: Turn, event: events.AcceptanceGiven) -> Found:
    device = turn.devices.get(event.subject)
    if device is None or device.is_offline or device.answered_ms is None:
        raise Refused("device_not_answering")
    if device.is_wrong:
        raise Refused("wrong_device")
    return {}


def _check_point(turn: Turn, event: events.AcceptanceGiven) -> Found:
    point = turn.house.points[event.subject]
    device = turn.devices.get(point.device)
    known = device.points.get(point.id) if device is not None else None
    reading = quality_now(point, known, turn.now.mono_ms)
    if reading.quality is not Quality.GOOD:
        raise Refused("not_good")
    if event.shown and not is_near(event.shown, reading.value, event.tolerance):
        raise Refused("differs")
    return {"value": reading.value, "unit": point.unit, "words": _words_of(turn, reading)}


def is_near(shown: str, value: Value | None, tolerance: float) -> bool:
    """True if the display shows the gateway's value: but for its last digit, or for the share."""
    try:
        number = Decimal(shown.strip().replace(",", "."))
    except InvalidOperation:
        return isinstance(value, str) and shown.strip() == value.strip()
    if not number.is_finite() or not isinstance(value, int | float):
        return False
    exponent = number.as_tuple().exponent
    digit = Decimal(1).scaleb(min(exponent, 0) if isinstance(exponent, int) else 0)
    share = abs(number) * Decimal(str(min(tolerance, TOLERANCE_AT_MOST)))
    return abs(Decimal(str(value)) - number) <= max(digit, share)


def _words_of(turn: Turn, reading: Reading) -> tuple[int, ...]:
    """The raw words of a reading, where the last replies of its device are kept."""
    point = turn.house.points[reading.point]
    device = turn.devices.get(point.device)
    for (table, start), block in (device.replies if device is not None else {}).items():
        first = point.at - start
        if table is point.table and 0 <= first <= len(block.words) - point.encoding.width:
            return tuple(block.words[first : first + point.encoding.width])
    return ()


def _check_trip(turn: Turn, event: events.AcceptanceGiven) -> Found:
    rule = turn.house.rules[event.subject]
    tests = [turn.state.tests.get(point) for point in judged_points(rule)]
    if not any(test is not None and rule.name in test.tripped for test in tests):
        raise Refused("not_tripped")
    alarm = turn.alarms.get(twin_id(rule.id, Mode.TEST))
    value = None if alarm is None else alarm.value
    is_simulated = any(test is not None and test.simulated is not None for test in tests)
    return {"value": value, "unit": turn.unit_of(rule), "is_simulated": is_simulated}


def _check_panel(turn: Turn, event: events.AcceptanceGiven) -> Found:
    trial = turn.state.accepting.trial
    is_shown = trial is not None and trial.output == event.subject
    if trial is None or not is_shown or not _is_recent(turn, trial.at_ms):
        raise Refused("not_shown")
    if event.subject == SILENCE and not trial.is_pressed:
        raise Refused("not_pressed")
    return {}


def _check_tag(turn: Turn, event: events.AcceptanceGiven) -> Found:
    if not _is_recent(turn, turn.state.accepting.tags_seen.get(event.subject)):
        raise Refused("not_seen")
    return {}


def _check_uplink(turn: Turn, _event: events.AcceptanceGiven) -> Found:
    tested = turn.state.accepting.self_tested
    if tested is None or not _is_recent(turn, tested.ended_ms):
        raise Refused("not_tested")
    if not tested.is_passed or "uplink" not in tested.reached:
        raise Refused("not_received")
    return {"value": tested.took_ms, "unit": "ms"}


def _check_clock(turn: Turn, event: events.AcceptanceGiven) -> Found:
    if not turn.now.is_trusted:
        raise Refused("clock_unsure")
    if event.shown:
        try:
            off = Decimal(event.shown)
        except InvalidOperation:
            raise Refused("bad_answer") from None
        if not off.is_finite() or abs(off) > CLOCK_OFF_S:
            raise Refused("clock_off")
    return {"value": turn.now.clk.value}


def _check_sign(turn: Turn, event: events.AcceptanceGiven) -> Found:
    partner = event.partner
    if partner in NOBODY:
        raise Refused("needs_partner")
    if partner == event.by:
        raise Refused("same_person")
    if turn.house.people:
        person = turn.house.people.get(partner)
        if person is None:
            raise Refused("unknown_person")
        if not is_good_on(person.until, today(turn)):
            raise Refused("person_expired")
    left = not_accepted(subjects_of(turn.house), turn.state.accepting.accepted)
    return {"value": len(left)}


def _is_recent(turn: Turn, mono_ms: int | None) -> bool:
    return mono_ms is not None and turn.now.mono_ms - mono_ms <= SEEN_WITHIN_MS


_CHECKS: Mapping[Part, Callable[[Turn, events.AcceptanceGiven], Found]] = {
    Part.BUS: _nothing,
    Part.DEVICE: _check_device,
    Part.POINT: _check_point,
    Part.TRIP: _check_trip,
    Part.PANEL: _check_panel,
    Part.TAG: _check_tag,
    Part.UPLINK: _check_uplink,
    Part.CLOCK: _check_clock,
    Part.SIGN: _check_sign,
}


def not_accepted(
    subjects: Iterable[Subject], accepted: Mapping[str, Acceptance]
) -> tuple[Subject, ...]:
    """Those without a passed trial, in their order; the signature is none of them."""
    return tuple(
        each
        for each in subjects
        if each.part is not Part.SIGN
        and ((known := accepted.get(each.key)) is None or known.result is not Result.PASSED)
    )


# -- records, and what is kept ------------------------------------------------------------------


def _fields(given: Acceptance) -> dict[str, object]:
    return {
        "part": given.subject.part.value,
        "subject": given.subject.name,
        "result": given.result.value,
        "by": given.by,
        "partner": given.partner,
        "shown": given.shown,
        "value": given.value,
        "unit": given.unit,
        "words": list(given.words),
        "note": given.note,
        "digest": given.digest,
    }


def _mark_of(house: House) -> str:
    """A house of the same files, read by the same version, is the same house."""
    return f"{house.software} {house.site_sha}"


def _put_mark(turn: Turn) -> None:
    mark, accepting = _mark_of(turn.house), turn.state.accepting
    if accepting.mark != mark:
        turn.state = replace(turn.state, accepting=replace(accepting, mark=mark))
        turn.keep(KEPT_MARK, KEPT_MARK, json.dumps(mark))


def _put(turn: Turn, given: Acceptance) -> None:
    key, accepting = given.subject.key, turn.state.accepting
    accepted = {**accepting.accepted, key: given}
    turn.state = replace(turn.state, accepting=replace(accepting, accepted=accepted))
    turn.keep(KEPT, key, _to_json(given))
    _put_mark(turn)


def _lapse(turn: Turn, keys: Iterable[str]) -> None:
    """Forget these, as far as they were known, and say which."""
    accepting = turn.state.accepting
    known = [key for key in dict.fromkeys(keys) if key in accepting.accepted]
    if not known:
        return
    left = {key: each for key, each in accepting.accepted.items() if key not in known}
    turn.state = replace(turn.state, accepting=replace(accepting, accepted=left))
    for key in known:
        turn.keep(KEPT, key, None)
    for start in range(0, len(known), LAPSED_MOST):
        turn.record_fact("acceptance_lapsed", {"subjects": known[start : start + LAPSED_MOST]})


def _to_json(given: Acceptance) -> str:
    said = {**_fields(given), "at": asdict(given.at), "record": given.record}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def _from_json(key: str, body: str) -> Acceptance | None:
    """As it was kept; None when it cannot be understood."""
    try:
        said = json.loads(body)
        subject = Subject(Part(said["part"]), str(said["subject"]))
        value = said["value"]
        known = Acceptance(
            subject=subject,
            result=Result(said["result"]),
            at=now_of(said["at"]),
            value=value if isinstance(value, int | float | str) else None,
            words=tuple(int(word) for word in said["words"]),
            **{
                name: str(said[name])
                for name in ("by", "digest", "shown", "unit", "note", "partner", "record")
            },
        )
    except (ValueError, KeyError, TypeError):
        return None
    return known if subject.key == key else None
