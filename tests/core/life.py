"""A house that anything may happen to, and what must be true of its alarms whatever happens.

The machine feeds readings, gaps, verbs, restarts and clock jumps to the decider, and beside it
keeps its own, much simpler, idea of what must sound: `Model`. After every event the two are
compared. `scripts/soak life` plays it for long.
"""

import json
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from gateway.core.inhibits import parent_of
from gateway.core.judge import Verdict, judge
from gateway.core.messages import sender_of
from gateway.core.state import FAULT_SILENCE_MS, Looked, house_of, state_of
from gateway.core.step import step
from gateway.domain import events
from gateway.domain.alarms import AlarmState, Inhibit
from gateway.domain.errors import BusDown, DeviceSilent
from gateway.domain.moments import Clk, Now
from gateway.domain.points import Encoding, Point, Table, WordType
from gateway.domain.readings import Quality, Reading
from gateway.domain.rules import Above, Is, Rule, Severity, Sound
from gateway.domain.signals import Pattern
from gateway.domain.site import Bus, Device, PanelPins, Site, StoreSpec, TcpLink
from gateway.domain.text import Text
from gateway.store.alarms import alarm_from_json, alarm_to_json, is_forgettable

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
SILENCE_MS = 10 * MINUTE
UTC = 1_790_000_000_000
SOUND = {Severity.ALARM: Sound.A1, Severity.WARNING: Sound.W, Severity.FAULT: Sound.F}


def point_of(device, name):
    encoding = Encoding(WordType.UINT16, scale=Decimal(1))
    return Point(f"{device}.{name}", device, name, "mA", Table.INPUT, 5, encoding, period_ms=SECOND)


def rule_of(point, name, severity, **changes):
    made = Rule(
        id=f"{point}/{name}", name=name, point=point, condition=Above(300, 250),
        severity=severity, sound=SOUND[severity], for_ms=3 * SECOND, clear_for_ms=5 * SECOND,
        latch=False, say=Text(name, name), do=(), owner="电工班", basis="test",
    )  # fmt: skip
    return replace(made, **changes)


HIGH = rule_of("board.leak", "high", Severity.ALARM, latch=True, realarm_after_ms=4 * HOUR)
EARLY = rule_of("board.leak", "early", Severity.WARNING, condition=Above(200, 150))
WARM = rule_of("board.temp", "warm", Severity.WARNING, realarm_after_ms=HOUR)
DOOR = rule_of(
    "box.door", "open", Severity.FAULT, condition=Is(frozenset({1, 310})), for_ms=0,
    clear_for_ms=0, min_samples=1,
)  # fmt: skip
GAS = rule_of("box.gas", "gas", Severity.ALARM, for_ms=0, min_samples=1, latch=True)
RULES = {made.id: made for made in (HIGH, EARLY, WARM, DOOR, GAS)}
POINTS = {"board": ("leak", "temp"), "box": ("door", "gas")}
SUBJECTS = ("board", "box", "board.leak", "box.gas", HIGH.id, DOOR.id, GAS.id)
WAITS = (
    100, SECOND, 2_900, 3 * SECOND, 6 * SECOND, 21 * SECOND, MINUTE, 11 * MINUTE, HOUR,
    5 * HOUR, 9 * HOUR, 13 * HOUR,
)  # fmt: skip


def house():
    devices = tuple(
        Device(name, "x", "line", unit, f"place of {name}", "",
               tuple(point_of(name, point) for point in points))
        for unit, (name, points) in enumerate(POINTS.items(), 1)
    )  # fmt: skip
    site = Site(
        "elm", "elm", "elder-care", "UTC", (Bus("line", TcpLink("devices.example")),), devices,
        tuple(RULES.values()), PanelPins(), None, StoreSpec(Path("x")), silence_ms=SILENCE_MS,
    )  # fmt: skip
    return house_of(site, sender_of(site, "epoch0000001"), "0")


LENGTHS = {  # of a silence; None = until the next new one
    Severity.ALARM: SILENCE_MS,
    Severity.WARNING: None,
    Severity.FAULT: FAULT_SILENCE_MS,
}
ALARMS = {Pattern.E, Pattern.A1}
LOUD_ENOUGH = {
    Severity.ALARM: ALARMS,
    Severity.WARNING: {*ALARMS, Pattern.W},
    Severity.FAULT: {*ALARMS, Pattern.W, Pattern.F},
}


@dataclass(frozen=True)
class Expiry:
    """Begun at `mono`, on this boot's clock; `utc` when the wall clock could be trusted then."""

    mono: int
    utc: int | None
    length: int | None

    def is_over(self, now):
        return self.length is not None and now - self.mono >= self.length


@dataclass
class Model:
    """What must be so of one rule, told from nothing but what was fed and what was asked."""

    needs: bool = False  # it called, and nobody has acknowledged since
    is_quiet: bool = False  # inhibited ever since it was raised
    silence: Expiry | None = None
    over_since: int | None = None
    overs: int = 0
    clear_since: int | None = None
    is_blind: bool = True  # something bad came since the last good value


@dataclass
class Memory:
    """The disk."""

    alarms: dict = field(default_factory=dict)
    kept: dict = field(default_factory=dict)


class House(RuleBasedStateMachine):
    """Anything may happen, in any order."""

    def __init__(self):
        super().__init__()
        self.made = house()
        self.mono, self.utc, self.clk, self.boot = 10 * SECOND, UTC, Clk.SYNC, 1
        self.disk = Memory()
        self.models = {name: Model() for name in RULES}
        self.shelves, self.out = {}, set()
        self.shelves_before = set()
        self.event = None
        self.state = state_of(self.made, (), self.now())

    # -- the world --------------------------------------------------------------------------

    def now(self):
        utc = None if self.clk is Clk.NONE else self.utc + self.mono
        return Now(self.mono, utc, self.clk, 40, f"boot{self.boot}")

    def trusted_utc(self):
        return self.utc + self.mono if self.clk in (Clk.SYNC, Clk.HOLD) else None

    def feed(self, event):
        before, self.event, self.shelves_before = self.state, event, set(self.shelves)
        self.state, outcome = step(self.state, event, self.now())
        for alarm in outcome.alarms:
            if is_forgettable(alarm):
                self.disk.alarms.pop(alarm.rule, None)
            else:
                self.disk.alarms[alarm.rule] = alarm_to_json(alarm)
        for kept in outcome.kept:
            self.disk.kept[kept.kind, kept.key] = kept
        self.follow(before, outcome)
        self.check(before)
        self.check_by_looking_through()
        return outcome

    def check_by_looking_through(self):
        """What was shown and planned by the little that an event moved is what a whole look finds.

        A deadline may come too early, when what it was for is over; never too late.
        """
        unlooked = replace(self.state, looked=Looked())
        whole, outcome = step(unlooked, events.Ticked(), self.now())
        if outcome.records:
            return  # something was due at this very moment
        assert outcome.signal == self.state.signal
        due, planned = whole.next_deadline_ms, self.state.next_deadline_ms
        assert due is None or (planned is not None and planned <= due)

    def pass_until(self, mono):
        """Let the decider wake up whenever it asked for it."""
        for _ in range(100_000):
            due = self.state.next_deadline_ms
            if due is None or due > mono:
                break
            self.mono = max(self.mono, due)
            self.feed(events.Ticked())
        else:
            raise AssertionError("the decider wakes up for ever")
        self.mono = mono

    # -- what may happen --------------------------------------------------------------------

    @initialize()
    def start(self):
        self.feed(events.Restarted())

    @rule(at=st.sampled_from([(d, p) for d, ps in POINTS.items() for p in ps]),
          value=st.sampled_from([100, 210, 260, 310]), times=st.integers(1, 4),
          wait=st.sampled_from([200, SECOND, 2_900, 4 * SECOND, 20 * SECOND]))  # fmt: skip
    def read(self, at, value, times, wait):
        device, name = at
        for _ in range(times):
            self.pass_until(self.mono + wait)
            self.give(device, name, value, Quality.GOOD)

    @rule(at=st.sampled_from([("board", "leak"), ("box", "door"), ("box", "gas")]),
          quality=st.sampled_from([Quality.SUSPECT, Quality.FAULT, Quality.WARMING_UP]),
          value=st.sampled_from([None, 100, 310]))  # fmt: skip
    def read_what_cannot_be_trusted(self, at, quality, value):
        self.pass_until(self.mono + SECOND)
        self.give(*at, value, quality)

    @rule(device=st.sampled_from(tuple(POINTS)), times=st.integers(1, 5), is_down=st.booleans())
    def miss(self, device, times, is_down):
        unit = self.made.devices[device].unit
        failure = BusDown("unplugged") if is_down else DeviceSilent(unit)
        for _ in range(times):
            self.pass_until(self.mono + SECOND)
            readings = tuple(
                Reading(f"{device}.{name}", None, Quality.OFFLINE, self.mono, "silent")
                for name in POINTS[device]
            )
            for name in POINTS[device]:
                self.blind(f"{device}.{name}")
            self.feed(events.BlockRead("line", device, readings, failure))

    @rule(wait=st.sampled_from(WAITS))
    def wait(self, wait):
        self.pass_until(self.mono + wait)

    @rule(by=st.sampled_from(["panel", "s01"]))
    def silence(self, by):
        self.feed(events.Silence(by, reply_to=1))

    @rule(by=st.sampled_from(["s01", "panel"]), alarm=st.sampled_from([None, *RULES]))
    def acknowledge(self, by, alarm):
        self.feed(events.Acknowledge(by, alarm, reply_to=1))

    @rule(by=st.sampled_from(["s01", "panel"]), alarm=st.sampled_from([None, HIGH.id, GAS.id]))
    def reset(self, by, alarm):
        self.feed(events.Reset(by, alarm, reply_to=1))

    @rule(alarm=st.sampled_from([*RULES, "no/such"]), hours=st.sampled_from([1, 8, 9]))
    def shelve(self, alarm, hours):
        (reply,) = self.feed(events.Shelve("s01", alarm, hours * HOUR, "检修", 1)).replies
        may = alarm in RULES and RULES[alarm].severity is not Severity.ALARM
        assert reply.ok == (may and hours <= 8 and alarm not in self.shelves_before)
        assert reply.ok or reply.say is not None

    @precondition(lambda self: self.shelves)
    @rule()
    def unshelve(self):
        alarm = next(iter(self.shelves))
        (reply,) = self.feed(events.Unshelve("s01", alarm, 1)).replies
        assert reply.ok

    @rule(subject=st.sampled_from([*SUBJECTS, "nothing"]))
    def take_out_of_service(self, subject):
        was = subject in self.out
        event = events.TakeOutOfService("t1", subject, "换探头", "WO-7", 1)
        (reply,) = self.feed(event).replies
        assert reply.ok == (subject in SUBJECTS and not was)

    @precondition(lambda self: self.out)
    @rule()
    def put_in_service(self):
        (reply,) = self.feed(events.PutInService("t1", min(self.out), 1)).replies
        assert reply.ok

    @rule(jump=st.sampled_from([-40 * HOUR, -MINUTE, MINUTE, 400 * HOUR]),
          clk=st.sampled_from(list(Clk)))  # fmt: skip
    def jump_clock(self, jump, clk):
        self.utc, self.clk = self.utc + jump, clk
        self.feed(events.Ticked())

    @rule(is_reboot=st.booleans(), clk=st.sampled_from([Clk.SYNC, Clk.SYNC, Clk.NONE]),
          down=st.sampled_from([SECOND, MINUTE, HOUR, 9 * HOUR]))  # fmt: skip
    def restart(self, is_reboot, clk, down):
        self.mono += down
        if is_reboot:
            self.utc += self.mono - SECOND  # the wall clock goes on, the other begins anew
            self.mono, self.boot, self.clk = SECOND, self.boot + 1, clk
            self._carry_expiries()
        for model in self.models.values():
            model.over_since, model.overs, model.clear_since = None, 0, None
            model.is_blind = True
        alarms = tuple(alarm_from_json(text) for text in self.disk.alarms.values())
        self.state = state_of(self.made, alarms, self.now(), kept=tuple(self.disk.kept.values()))
        self.feed(events.Restarted())

    def _carry_expiries(self):
        """Only a wall clock that was and is trusted carries an expiry over a reboot."""
        for model in self.models.values():
            model.silence = self._carried(model.silence)
        carried = {name: self._carried(shelf) for name, shelf in self.shelves.items()}
        self.shelves = {name: shelf for name, shelf in carried.items() if shelf is not None}

    def _carried(self, expiry):
        if expiry is None or expiry.length is None:
            return expiry
        if expiry.utc is None or self.trusted_utc() is None:
            return None
        return replace(expiry, mono=self.mono - max(0, self.trusted_utc() - expiry.utc))

    def give(self, device, name, value, quality):
        """One reading, and what the model makes of it."""
        reading = Reading(f"{device}.{name}", value, quality, self.mono, "")
        for made in RULES.values():
            if made.point == reading.point:
                self._sample(made, reading)
        self.feed(events.BlockRead("line", device, (reading,)))

    def blind(self, point):
        for made in RULES.values():
            if made.point == point:
                self.models[made.id].is_blind = True

    def _sample(self, made, reading):
        model, verdict = self.models[made.id], judge(made, reading)
        if verdict is Verdict.UNUSABLE:
            model.is_blind = True
            return
        model.is_blind = False
        if verdict is Verdict.OVER:
            model.over_since = self.mono if model.over_since is None else model.over_since
            model.overs += 1
        else:
            model.over_since, model.overs = None, 0
        if verdict is not Verdict.CLEAR:
            model.clear_since = None
        elif model.clear_since is None:
            model.clear_since = self.mono

    # -- what must be true ------------------------------------------------------------------

    def is_inhibited(self, made):
        device = made.point.split(".")[0]
        return (
            made.id in self.shelves
            or bool(self.out & {made.id, made.point, device})
            or bool(parent_of(self.made, self.state.alarms, made))
        )

    def follow(self, before, outcome):
        """Let the model know what was done, and look whether it might be done."""
        ok = any(reply.ok for reply in outcome.replies)
        match self.event:
            case events.Shelve(_, alarm, for_ms) if ok:
                self.shelves[alarm] = Expiry(self.mono, self.trusted_utc(), for_ms)
            case events.Unshelve(_, alarm) if ok:
                del self.shelves[alarm]
            case events.TakeOutOfService(_, subject) if ok:
                self.out.add(subject)
            case events.PutInService(_, subject) if ok:
                self.out.remove(subject)
        gone = [name for name, shelf in self.shelves.items() if shelf.is_over(self.mono)]
        for name in gone:
            del self.shelves[name]
        for record in outcome.records:
            if record.kind == "alarm":
                body = json.loads(record.body)
                if body["rule"] in RULES:
                    self._transition(RULES[body["rule"]], body, before)

    def _transition(self, made, body, before):
        model = self.models[made.id]
        match body["tr"]:
            case "raise" | "again" | "realarm":
                model.needs, model.silence = body["state"] == "UA", None
                if body["tr"] == "raise":
                    model.is_quiet = bool(body["inh"])
                if not model.needs:
                    assert made is EARLY, "only a warning under an acknowledged alarm is silent"
                    assert self.state.alarms[HIGH.id].state is AlarmState.AA
            case "ack":
                assert isinstance(self.event, events.Acknowledge)
                assert self.event.by == body["by"] == "s01"
                assert self.event.alarm in (None, made.id) or made is EARLY
                model.needs = False
            case "silence":
                flood = before.noise.flood
                assert isinstance(self.event, events.Silence) or (flood and flood.silenced_by)
                model.silence = Expiry(self.mono, self.trusted_utc(), LENGTHS[made.severity])
            case "clear":
                assert not isinstance(self.event, events.Acknowledge | events.Reset)
                since = model.clear_since
                assert since is not None, f"{made.id} was cleared without one normal value"
                assert self.mono - since >= made.clear_for_ms
                assert not model.is_blind, f"{made.id} was cleared, and nobody knows its value"
                assert not self.state.devices[made.point.split(".")[0]].is_offline
                if body["state"] == "N":
                    assert not model.needs or model.is_quiet, "nobody was called"
                    model.needs = False
            case "reset":
                assert isinstance(self.event, events.Reset)
                assert self.event.by == "s01"
                assert model.over_since is None
                assert not model.needs
                assert model.clear_since is not None
                assert not model.is_blind

    def check(self, before):
        now, heard = self.mono, []
        for made in RULES.values():
            model, alarm = self.models[made.id], self.state.alarms.get(made.id)
            state = AlarmState.N if alarm is None else alarm.state
            is_inhibited = self.is_inhibited(made)
            model.is_quiet = model.is_quiet and is_inhibited
            is_silent = model.silence is not None and not model.silence.is_over(now)
            is_sounding = alarm is not None and alarm.is_sounding(now)
            assert state.is_unacknowledged == model.needs, (made.id, state)
            assert is_sounding == (model.needs and not is_inhibited and not is_silent), made.id
            held = model.over_since is not None and model.overs >= made.min_samples
            if held and not model.is_blind and now - model.over_since >= made.for_ms:
                assert state.is_active, f"{made.id} holds for its on-delay and is {state}"
            if is_sounding:
                heard.append(made.severity)
        pattern = self.state.signal.pattern
        if heard:
            assert pattern in LOUD_ENOUGH[min(heard, key=list(Severity).index)], pattern
        due = self.state.next_deadline_ms
        assert due is None or due > now, "it would wake up again at once"
        for alarm in self.state.alarms.values():
            assert alarm.state is not AlarmState.N
            assert (
                Inhibit.SUPPRESSED not in alarm.inhibits
                or self.made.rule(alarm.rule).severity is Severity.FAULT
            )

    def teardown(self):
        """No state is a dead end: good values and people's verbs always lead back to normal."""
        if self.event is None:
            return
        for subject in sorted(self.out):
            self.feed(events.PutInService("t1", subject, 1))
        for alarm in list(self.shelves):
            self.feed(events.Unshelve("s01", alarm, 1))
        for _ in range(17):
            for device, names in POINTS.items():
                for name in names:
                    self.give(device, name, 100, Quality.GOOD)
            self.pass_until(self.mono + 4 * SECOND)
        self.feed(events.Acknowledge("s01"))
        for device, names in POINTS.items():
            for name in names:
                self.give(device, name, 100, Quality.GOOD)
        for case in list(self.state.cases):
            self.feed(events.Handle("s01", case, "false", cause="cooking"))
        self.feed(events.Reset("s01"))
        assert not self.state.alarms, f"a dead end: {list(self.state.alarms)}"
        assert self.state.signal.pattern in (Pattern.QUIET, Pattern.B)
