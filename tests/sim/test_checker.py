"""The checker can fail: every planted lie is found and named, and the truth passes."""

import json
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.domain.rules import Severity, Sound
from gateway.sim.checker import (
    LAMP_OF,
    Edge,
    Evidence,
    Key,
    Onset,
    Raise,
    Sown,
    SownTrace,
    gather,
    judge,
    onsets_of,
    read_pins,
    read_records,
)
from gateway.sim.story import SCENES, Plant, Trace

ALARM = Plant("board.residual_current/residual_alarm", Severity.ALARM, Sound.A1)
GAS = Plant("gas.gas/gas_alarm", Severity.ALARM, Sound.A2)
WARNING = Plant("hydrant.pressure/hydrant_warning", Severity.WARNING, Sound.W)
FAULT = Plant("gateway/device_silent/meter", Severity.FAULT, Sound.F)
HEARD = {  # what the panel plays, written out once more: a wrong table must not agree with itself
    Sound.A1: [(0, 250), (500, 750), (1000, 1250), (1500, 1750)],
    Sound.A2: [(0, 100), (200, 300), (400, 500), (600, 700), (1500, 1600), (1700, 1800)],
    Sound.W: [(0, 300), (600, 900)],
    Sound.F: [(0, 500)],
}
HALF_MS = {Severity.ALARM: 250, Severity.WARNING: 500, Severity.FAULT: 500}
READINGS: Key = ("e1", "R", 1)


def wave(role: str, start: float, beats: Sequence[int], until: float) -> list[Edge]:
    """Edges of on, off, on ... from `start` until `until`, then off."""
    edges, t, is_on = [], start, True
    for length in beats * 100:
        if t >= until:
            break
        edges.append(Edge(t, role, is_on))
        t, is_on = t + length, not is_on
    return [*edges, Edge(until, role, is_on=False)]


def episode(plant: Plant, start: float, *, lasts: float = 2000.0) -> list[Edge]:
    """What the pins do while an alarm waits for a person; then the lamp stands and goes out."""
    half = HALF_MS[plant.severity]
    lamp = LAMP_OF[plant.severity]
    blinking = wave(lamp, start, (half, half), start + lasts)[:-1]
    steady = [Edge(start + lasts, lamp, True), Edge(start + lasts + 3000, lamp, False)]
    return [*blinking, *steady, *sounding(plant.sound, start)]


def sounding(sound: Sound, start: float) -> list[Edge]:
    return [
        Edge(start + t, "buzzer", is_on)
        for on, off in HEARD[sound]
        for t, is_on in ((on, True), (off, False))
    ]


def raise_message(plant: Plant) -> dict[str, object]:
    return {"t": "alarm", "tr": "raise", "rule": plant.rule, "sev": plant.severity.value}


def truth() -> tuple[list[Sown], Evidence]:
    """A run in which everything went right: four plants, four raises, four clears, one batch."""
    plants = (ALARM, GAS, WARNING, FAULT)
    sown = [Sown(plant, 10_000.0 * n) for n, plant in enumerate(plants, 1)]
    edges = [edge for one in sown for edge in episode(one.plant, one.t_ms + 2100)]
    core: dict[Key, dict[str, object]] = {}
    for seq, plant in enumerate(plants, 1):
        lane = "B" if plant.severity is Severity.FAULT else "A"
        core["e1", lane, seq] = raise_message(plant)
        core["e1", lane, 100 + seq] = {**raise_message(plant), "tr": "clear"}
    core["e1", "B", 200] = {"t": "fact", "kind": "boot"}
    readings = {READINGS: {"t": "read", "r": [[0, 0, 1.0]] * 40}}
    applied = {key: [message] for key, message in (core | readings).items()}
    applied[READINGS] = [{**readings[READINGS], "hist": True}]  # it came late: no other content
    return sown, gather(core, readings, edges, applied, repeats=3)


def problems(change: Callable[[Evidence], Evidence]) -> list[str]:
    sown, evidence = truth()
    return list(judge(sown, change(evidence)).problems)


def test_the_truth_has_no_problems_and_adds_up() -> None:
    sown, evidence = truth()
    verdict = judge(sown, evidence)
    assert verdict.problems == ()
    assert verdict.onsets == verdict.raises == verdict.raises_applied_once == len(sown) == 4
    assert verdict.records == verdict.records_applied_once == 9
    assert (verdict.lost, verdict.duplicates, verdict.repeats) == (0, 0, 3)
    assert verdict.readings == verdict.readings_applied == 40


def test_a_missing_raise_is_named() -> None:
    lie = problems(lambda e: replace(e, raises=tuple(r for r in e.raises if r.rule != GAS.rule)))
    assert lie == [f"planted, but no raise record: {GAS.rule}"]


def test_a_double_raise_is_named() -> None:
    again = ("e1", "A", 77)
    lie = problems(
        lambda e: replace(
            e,
            raises=(*e.raises, replace(e.raises[0], key=again)),
            committed=e.committed | {again},
            applied={**e.applied, again: 1},
        )
    )
    assert lie == [f"raise record nobody planted: e1-A-77 {ALARM.rule}"]


def test_a_raise_of_the_wrong_severity_is_named() -> None:
    def milder(e: Evidence) -> Evidence:
        first, *others = e.raises
        return replace(e, raises=(replace(first, severity=Severity.WARNING), *others))

    assert problems(milder) == [f"planted as alarm, recorded as warning: {ALARM.rule}"]


def test_a_lost_record_is_named() -> None:
    def lose(e: Evidence) -> Evidence:
        return replace(e, applied={k: n for k, n in e.applied.items() if k != ("e1", "A", 2)})

    assert problems(lose) == ["lost: e1-A-2 is committed, the platform never applied it"]


def test_lost_readings_are_named_and_counted() -> None:
    sown, evidence = truth()
    applied = {key: n for key, n in evidence.applied.items() if key != READINGS}
    verdict = judge(sown, replace(evidence, applied=applied))
    assert verdict.readings_applied == 0
    assert verdict.lost == 1
    assert verdict.problems == ("lost: e1-R-1 is committed, the platform never applied it",)


def test_a_record_that_took_effect_twice_is_named() -> None:
    lie = problems(lambda e: replace(e, applied={**e.applied, ("e1", "A", 1): 2}))
    assert lie == ["duplicate: e1-A-1 took effect 2 times"]


def test_a_record_that_only_the_platform_knows_is_named() -> None:
    lie = problems(lambda e: replace(e, applied={**e.applied, ("e9", "A", 1): 1}))
    assert lie == ["the platform applied e9-A-1, which is not in the record log"]


def test_a_record_that_arrived_with_another_content_is_named() -> None:
    key: Key = ("e1", "A", 1)
    said, heard = {"t": "alarm", "tr": "raise", "rule": "x", "sev": "alarm", "val": 1}, {"val": 2}
    evidence = gather({key: said}, {}, [], {key: [{**said, **heard}]}, repeats=0)
    told = judge([], evidence).problems
    assert "altered: the platform has e1-A-1 otherwise than committed" in told


def walked(*records: tuple[str, dict[str, object]]) -> Evidence:
    """Evidence of these records of the patrol, each applied once."""
    core = {
        ("e1", "B", n): {"t": "fact", "kind": kind, "data": data}
        for n, (kind, data) in enumerate(records, 1)
    }
    return gather(core, {}, [], {key: [body] for key, body in core.items()}, repeats=0)


def test_each_trace_of_the_patrol_has_one_record_and_each_record_one_trace() -> None:
    seen = SownTrace(Trace("visit", (("by", "d1"), ("checkpoint", "EPS"))))
    missed = SownTrace(Trace("round", (("state", "missed"),)))
    visit = "visit", {"by": "d1", "checkpoint": "EPS", "note": ""}
    late = "round", {"state": "missed", "reason": "no_visit"}
    well = judge([], walked(visit, late), [seen, missed])
    assert well.problems == ()
    assert [(each.key, each.applied) for each in well.found] == [
        (("e1", "B", 1), 1), (("e1", "B", 2), 1),
    ]  # fmt: skip
    assert judge([], walked(visit), [seen, missed]).problems == (
        "planted, but no such record of the patrol: round missed",
    )
    twice = "record of the patrol that nobody planted: e1-B-2 visit"
    assert judge([], walked(visit, visit), [seen]).problems == (twice,)
    other = "visit", {"by": "d2", "checkpoint": "EPS"}
    assert len(judge([], walked(other), [seen]).problems) == 2
    assert judge([], walked(("boot", {})), []).problems == ()


def test_what_may_come_of_the_patrol_need_not() -> None:
    unsure = SownTrace(Trace("round", (("state", "missed"),)), must=False)
    assert judge([], walked(), [unsure]).problems == ()
    assert judge([], walked(("round", {"state": "missed"})), [unsure]).problems == ()


def test_an_alarm_that_stayed_dark_is_named() -> None:
    lie = problems(
        lambda e: replace(e, onsets=tuple(o for o in e.onsets if o.severity is not Severity.FAULT))
    )
    assert lie == [f"planted, but not seen at the pins: {FAULT.rule} (yellow lamp)"]


def test_an_onset_that_nobody_planted_is_named() -> None:
    extra = onsets_of(episode(WARNING, 90_000))
    lie = problems(lambda e: replace(e, onsets=(*e.onsets, *extra)))
    assert lie == ["extra onset at the pins: amber lamp, sound W, at 90000 ms"]


def test_an_onset_before_its_cause_or_long_after_it_does_not_count() -> None:
    sown, evidence = truth()
    late = [replace(one, t_ms=one.t_ms + 5000) for one in sown[:1]] + sown[1:]
    told = judge(late, evidence).problems
    assert any("not seen at the pins" in problem for problem in told)
    assert any("extra onset" in problem for problem in told)


def test_the_wrong_sound_is_named() -> None:
    sown, evidence = truth()
    mixed = replace(
        evidence,
        onsets=tuple(
            replace(onset, sound=Sound.A1) if onset.sound is Sound.A2 else onset
            for onset in evidence.onsets
        ),
    )
    assert judge(sown, mixed).problems == (f"planted with sound A2, heard A1: {GAS.rule}",)


def round_and_round(plant: Plant, times: int, apart_ms: float) -> tuple[str, ...]:
    """The story of one plant, told often; each time with its lamp, and the last time unheard."""
    starts = [apart_ms * n for n in range(times)]
    onsets = [Onset(at + 100, plant.severity, plant.sound) for at in starts]
    onsets[-1] = replace(onsets[-1], sound=None)
    raises = [Raise(("e1", "A", n), plant.rule, plant.severity, at + 100, is_lit=True)
              for n, at in enumerate(starts)]  # fmt: skip
    applied = {one.key: 1 for one in raises}
    evidence = Evidence(tuple(onsets), tuple(raises), frozenset(applied), {}, applied, (), 0)
    return judge([Sown(plant, at) for at in starts], evidence).problems


def test_a_warning_may_join_a_flood_unheard_and_an_alarm_may_not() -> None:
    assert round_and_round(WARNING, 11, 40_000) == ()
    assert round_and_round(FAULT, 11, 40_000) == ()
    assert len(round_and_round(ALARM, 11, 40_000)) == 1
    assert len(round_and_round(WARNING, 10, 40_000)) == 1, "ten are no flood"
    assert len(round_and_round(WARNING, 11, 61_000)) == 1, "nor are eleven in more time"


@pytest.mark.parametrize("plant", [ALARM, GAS, WARNING, FAULT])
@pytest.mark.parametrize("wobble_ms", [0, 30])
def test_an_episode_is_one_onset_with_its_sound(plant: Plant, wobble_ms: int) -> None:
    edges = [
        replace(edge, t_ms=edge.t_ms + (wobble_ms if index % 2 else 0))
        for index, edge in enumerate(episode(plant, 5000))
    ]
    (onset,) = onsets_of(edges)
    assert abs(onset.t_ms - 5000) <= wobble_ms
    assert (onset.severity, onset.sound) == (plant.severity, plant.sound)


def test_a_lamp_that_blinks_without_its_buzzer_has_no_sound() -> None:
    mute = [edge for edge in episode(ALARM, 5000) if edge.role != "buzzer"]
    assert [onset.sound for onset in onsets_of(mute)] == [None]


def test_a_lamp_that_stood_on_for_an_earlier_alarm_shows_the_next_onset_on_time() -> None:
    first = [Edge(1000, "amber", True)]  # acknowledged long ago, still open
    second = wave("amber", 5000, (500, 500), 7300)[1:]  # begins lit: nothing to see yet
    (onset,) = onsets_of([*first, *second, *sounding(Sound.W, 5000)])
    assert (onset.t_ms, onset.sound) == (5000, Sound.W)


def test_an_alarm_that_takes_over_from_a_sounding_warning_is_told_from_it() -> None:
    warning = [edge for edge in episode(WARNING, 1000) if edge.role != "buzzer"]
    alarm = wave("red", 1100, (250, 250), 3500)
    buzzer = [Edge(1000, "buzzer", True), *sounding(Sound.A1, 1100)[1:]]
    sounds = {onset.severity: onset.sound for onset in onsets_of([*warning, *alarm, *buzzer])}
    assert sounds == {Severity.WARNING: None, Severity.ALARM: Sound.A1}


def test_the_lamp_test_and_steady_lamps_are_no_onsets() -> None:
    lamps = ("red", "amber", "yellow", "green")
    boot = [edge for lamp in lamps for edge in wave(lamp, 0, (2000, 500), 2000)]
    steady = [Edge(9000, "red", True), Edge(15_000, "red", False)]
    assert onsets_of([*boot, *wave("buzzer", 0, (80, 9000), 80), *steady]) == ()


def test_two_episodes_apart_are_two_onsets_and_a_stumble_is_none() -> None:
    apart = [*episode(ALARM, 0), *episode(ALARM, 20_000)]
    assert [onset.t_ms for onset in onsets_of(apart)] == [0, 20_000]
    stumble = wave("red", 0, (250, 250), 1500) + wave("red", 2100, (250, 250), 4000)
    assert len(onsets_of(stumble)) == 1


def test_every_plant_of_the_story_can_be_told_from_the_others_at_the_pins() -> None:
    for scene in SCENES:
        for plant in scene.plants:
            (onset,) = onsets_of(episode(plant, 1000))
            assert (onset.severity, onset.sound) == (plant.severity, plant.sound)


def test_the_files_are_read_as_the_daemon_writes_them(tmp_path: Path) -> None:
    log = tmp_path / "panel.jsonl"
    log.write_text('{"t": 12.5, "pin": "red", "level": 1}\n{"t": 20.0, "pin": "red", "level": 0}\n')
    assert read_pins(log) == [Edge(12.5, "red", True), Edge(20.0, "red", False)]
    core = tmp_path / "core.db"
    plain = json.dumps(raise_message(ALARM)).encode()
    with sqlite3.connect(core) as db:
        db.execute("CREATE TABLE records (id INTEGER, lane TEXT, epoch TEXT, seq INT, body BLOB)")
        db.execute("INSERT INTO records VALUES (1, 'A', 'e1', 1, ?)", (plain,))
        db.execute("INSERT INTO records VALUES (2, 'A', 'e1', 2, ?)", (zlib.compress(plain),))
    records = read_records(core)
    assert list(records) == [("e1", "A", 1), ("e1", "A", 2)]
    assert records["e1", "A", 1] == records["e1", "A", 2] == raise_message(ALARM)


def told_with_keys(sown: list[Sown], edges: list[Edge], raises: dict[Plant, float]) -> list[str]:
    """Problems of a run with these pins, raise records at these moments, all delivered."""
    core = {
        ("e1", "A", seq): {**raise_message(plant), "mono": t_ms}
        for seq, (plant, t_ms) in enumerate(raises.items(), 1)
    }
    applied = {key: [message] for key, message in core.items()}
    return list(judge(sown, gather(core, {}, edges, applied, repeats=0)).problems)


def test_what_a_key_touched_may_stay_away_but_not_come_unplanted() -> None:
    touched = Sown(ALARM, 10_000, must_raise=False, must_show=False)
    assert told_with_keys([touched], [], {}) == []
    assert told_with_keys([touched], episode(ALARM, 12_000), {ALARM: 12_000}) == []
    told = told_with_keys([touched], episode(WARNING, 12_000), {WARNING: 12_000})
    assert told == [
        "extra onset at the pins: amber lamp, sound W, at 12000 ms",
        f"raise record nobody planted: e1-A-1 {WARNING.rule}",
    ]


def test_two_alarms_on_one_lamp_are_one_onset_when_keys_made_them_meet() -> None:
    strict = [Sown(ALARM, 10_000), Sown(GAS, 11_000)]
    edges = episode(ALARM, 12_000, lasts=6000)
    both = {ALARM: 12_000.0, GAS: 13_000.0}
    assert told_with_keys(strict, edges, both) != []
    loose = [replace(one, must_show=False) for one in strict]
    assert told_with_keys(loose, edges, both) == []


def test_a_touched_alarm_whose_lamp_stayed_dark_is_named() -> None:
    touched = Sown(ALARM, 10_000, must_raise=False, must_show=False)
    told = told_with_keys([touched], [], {ALARM: 12_000})
    assert told == [f"recorded, but its lamp stayed dark: e1-A-1 {ALARM.rule}"]


def test_an_onset_long_before_or_after_its_record_is_not_its_own() -> None:
    touched = Sown(ALARM, 10_000, must_raise=False, must_show=False)
    edges = [*episode(ALARM, 12_000), *episode(ALARM, 30_000)]
    assert told_with_keys([touched], edges, {ALARM: 12_000}) == [
        "extra onset at the pins: red lamp, sound A1, at 30000 ms"
    ]


def test_a_raise_belongs_to_the_last_that_was_planted_before_it() -> None:
    early = Sown(FAULT, 10_000, must_raise=False, must_show=False)  # plugged again at once
    late = Sown(FAULT, 40_000)
    assert told_with_keys([early, late], episode(FAULT, 45_000), {FAULT: 45_000}) == []
    told = told_with_keys([early, late], episode(FAULT, 15_000), {FAULT: 15_000})
    assert told == [
        f"planted, but not seen at the pins: {FAULT.rule} (yellow lamp)",
        f"planted, but no raise record: {FAULT.rule}",
    ]
