"""A home with three routes, its people, and a decider in simulated time that walks them."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.core.health import with_own_device
from gateway.core.messages import sender_of, unpack
from gateway.core.state import house_of, state_of
from gateway.core.step import step
from gateway.domain import events
from gateway.domain.kept import Kept
from gateway.domain.moments import Clk, Now
from gateway.domain.patrol import (
    Checkpoint,
    Choice,
    Item,
    ItemType,
    Order,
    Patrol,
    Reader,
    Route,
    Schedule,
    Stop,
    Tag,
    TagKind,
    Window,
)
from gateway.domain.people import Credential, CredentialKind, Person, Role
from gateway.domain.points import Encoding, Point, Table, WordType
from gateway.domain.readings import Quality, Reading
from gateway.domain.rounds import Answer, Via
from gateway.domain.rules import Above, Rule, Severity, Sound
from gateway.domain.site import Bus, Device, PanelPins, Site, StoreSpec, TcpLink
from gateway.domain.text import Text

SECOND, MIN, HOUR = 1_000, 60_000, 3_600_000
DAY = 24 * HOUR
ZONE = ZoneInfo("Asia/Shanghai")
FIRST = datetime(2026, 11, 1, tzinfo=ZONE)  # its 0:00 is at mono BEGIN
BEGIN = HOUR
PHOTO = "a" * 64


def utc_of(local):
    return int(local.astimezone(UTC).timestamp() * 1000)


def at(day, clock):
    """Mono ms of a local time; `day` counts from 1, the clock may go on after 24:00."""
    hours, minutes = clock.split(":")
    return BEGIN + (day - 1) * DAY + int(hours) * HOUR + int(minutes) * MIN


def words(zh):
    return Text(zh, zh)


OK_ITEM = Item("way", words("通道畅通"))
PRESSURE = Item(
    "pressure", words("管网压力"), ItemType.NUMBER, "MPa", 0.1, 0.8, point="pump.pressure"
)
GAUGE = replace(PRESSURE, id="gauge", is_drawn=True)
LEVELS = (Choice("full", words("满")), Choice("low", words("低"), is_bad=True))
TANK = Item("tank", words("水箱"), ItemType.CHOICE, choices=LEVELS)


def checkpoint(code, *items, near=(), tags=()):
    return Checkpoint(code, f"name of {code}", f"place of {code}", items or (OK_ITEM,), near, tags)


CHECKPOINTS = (
    checkpoint("EPS", OK_ITEM, Item("smell", words("无异味")), near=("board.leak",),
               tags=(Tag("04AA", "EPS", token="e" * 64),)),
    checkpoint("STAIR", tags=(Tag("04BB", "STAIR"),)),
    checkpoint("WARD", tags=(Tag("04CC", "WARD", TagKind.NTAG424),)),
    checkpoint("PUMP", PRESSURE, TANK, GAUGE, near=("pump.pressure",), tags=(Tag("04DD", "PUMP"),)),
    checkpoint("GATE"),
)  # fmt: skip


def stops(*codes, leg_min=0, leg_max=None, dwell=0):
    return tuple(Stop(code, leg_min, leg_max, dwell) for code in codes)


ROUTES = (
    Route("day", "日巡", stops("EPS", "STAIR", "PUMP", "GATE", leg_min=20 * SECOND)),
    Route("night", "夜巡", stops("EPS", "STAIR", "WARD", leg_min=20 * SECOND), Order.STRICT),
    Route("gas", "燃气", stops("GATE", "PUMP", leg_max=HOUR), Order.START_END),
)
NIGHT = tuple(Window(start, start + 120) for start in range(22 * 60, 30 * 60, 120))
SCHEDULES = (
    Schedule("day", "day", (Window(8 * 60, 10 * 60),)),
    Schedule("night", "night", NIGHT, basis="GB/T 40248-2021 7.3"),
    Schedule("gas", "gas", (Window(6 * 60, 7 * 60), Window(20 * 60, 21 * 60)), draws=0),
)
PEOPLE = tuple(
    Person(code, name, role, credentials=(Credential(CredentialKind.CARD, card),))
    for code, name, role, card in (
        ("s01", "张敏", Role.DUTY, "0401"),
        ("s02", "王芳", Role.DUTY, "0402"),
        ("l01", "李主任", Role.LEADER, "0403"),
        ("m01", "陈总", Role.MANAGER, "0404"),
        ("t01", "周工", Role.TECHNICIAN, "0405"),
    )
)


def point(device, name, unit):
    encoding = Encoding(WordType.UINT16, scale=Decimal(1))
    return Point(f"{device}.{name}", device, name, unit, Table.INPUT, 5, encoding, 1_000)


LEAK = Rule(
    id="board.leak/high", name="high", point="board.leak", condition=Above(300, 250),
    severity=Severity.ALARM, sound=Sound.A1, for_ms=0, clear_for_ms=0, latch=False,
    say=Text("超限", "High"), do=(), owner="电工班", basis="test", min_samples=1,
)  # fmt: skip


def patrol(routes=ROUTES, schedules=SCHEDULES, checkpoints=CHECKPOINTS, **changes):
    return Patrol(
        {each.code: each for each in checkpoints},
        {each.id: each for each in routes},
        {each.id: each for each in schedules},
        {"desk": Reader("desk", "值班室", near=("board.leak",), checkpoint="GATE")},
        **changes,
    )


def house(made=None, people=PEOPLE, zone=ZONE):
    devices = (
        Device("board", "x", "line", 3, "1F 厨房", "电工班", (point("board", "leak", "mA"),)),
        Device("pump", "x", "line", 4, "泵房", "电工班", (point("pump", "pressure", "MPa"),)),
    )
    site = Site(
        id="elm", name="榆园", institution="elder-care", timezone="Asia/Shanghai",
        buses=(Bus("line", TcpLink("127.0.0.1")),), devices=devices, rules=(LEAK,),
        panel=PanelPins(), uplink=None, store=StoreSpec(Path("unused")), quiet_hours=None,
        patrol=patrol() if made is None else made,
        people={each.code: each for each in people},
    )  # fmt: skip
    site = with_own_device(site)
    return house_of(
        site, sender_of(site, "epoch0000001"), "0.1.0", zone=zone,
        patrol_seed="not to be guessed",
    )  # fmt: skip


def fine(items):
    """Answers with which all is well."""
    good = {ItemType.OK_BAD: "ok", ItemType.NUMBER: 0.4, ItemType.PHOTO: PHOTO}
    return tuple(
        Answer(item.id, item.choices[0].id if item.choices else good[item.type]) for item in items
    )


class Home:
    """A decider without a loop, in simulated time; it is switched off and on like the daemon."""

    def __init__(self, made=None, start=BEGIN, clk=Clk.SYNC):
        self.house = made or house()
        self.clk, self.boot, self.mono, self.zero = clk, 1, start, 0
        self.alarms, self.kept, self.records, self.nows = {}, {}, [], []
        self.start()

    # mono ms are counted through; a new boot's own clock begins at `zero`

    def now(self):
        utc_ms = utc_of(FIRST) + self.mono - BEGIN
        is_known = self.clk is not Clk.NONE
        return Now(
            self.mono - self.zero, utc_ms if is_known else None, self.clk, 40, f"b{self.boot}"
        )

    def start(self):
        kept = [Kept(kind, key, body) for (kind, key), body in self.kept.items()]
        self.state = state_of(self.house, self.alarms.values(), self.now(), kept=kept)
        self.feed(events.Restarted())

    def power_cut(self, until, clk=Clk.SYNC):
        """Nothing runs from now until then; the board boots anew."""
        self.mono, self.zero, self.clk = until, until - 5 * SECOND, clk
        self.boot += 1
        self.start()

    def restart(self, made=None):
        self.house = made or self.house
        self.mono += SECOND
        self.start()

    def feed(self, event):
        now = self.now()
        self.state, outcome = step(self.state, event, now)
        for record in outcome.records:
            self.records.append(json.loads(unpack(record.body, 2**20)))
            self.nows.append(now)
        for alarm in outcome.alarms:
            self.alarms[alarm.rule] = alarm
        for each in outcome.kept:
            if each.body is None:
                self.kept.pop((each.kind, each.key), None)
            else:
                self.kept[each.kind, each.key] = each.body
        return outcome

    def until(self, mono):
        """Let time pass: the decider wakes at its own deadlines only."""
        for _ in range(200_000):
            due = self.state.next_deadline_ms
            if due is None or due + self.zero >= mono:
                break
            self.mono = max(self.mono, due + self.zero)
            self.feed(events.Ticked())
        else:
            raise AssertionError("the decider wakes up for ever")
        self.mono = max(self.mono, mono)
        return self.feed(events.Ticked())

    def set_clock(self, clk):
        self.clk = clk
        return self.feed(events.Ticked())

    def items_at(self, code):
        from gateway.core.patrol_visits import asked_at, round_for
        from gateway.core.turn import begin

        turn = begin(self.state, self.now())
        round_, _ = round_for(turn, code, self.now().utc_ms)
        return [item for item, _ in asked_at(self.house.patrol.checkpoints[code], round_)]

    def visit(self, code, by="s01", *, stay=10 * SECOND, answers=None, **said):
        """Tap, answer for a while, send."""
        opened = self.mono - self.zero
        self.until(self.mono + stay)
        if answers is None:
            answers = fine(self.items_at(code))
        event = events.VisitEntered(
            by, code, answers, opened_ms=said.pop("opened_ms", opened), reply_to=1, **said
        )
        (reply,) = self.feed(event).replies
        return reply

    def walk(self, *codes, by="s01", leg=MIN, stay=10 * SECOND, **said):
        replies = []
        for number, code in enumerate(codes):
            if number:
                self.until(self.mono + leg - stay)
            replies.append(self.visit(code, by, stay=stay, **said))
        return replies

    def ask(self, event):
        (reply,) = self.feed(replace(event, reply_to=1)).replies
        return reply

    def read(self, point_id, value):
        device = point_id.split(".")[0]
        reading = Reading(point_id, value, Quality.GOOD, self.mono - self.zero, "")
        return self.feed(events.BlockRead("line", device, (reading,)))

    def facts(self, kind):
        return [body["data"] for body in self.records if body.get("kind") == kind]

    def ended(self):
        """Every round record: id -> data; an id twice is an error."""
        found = {}
        for data in self.facts("round"):
            assert data["round"] not in found, f"{data['round']} ended twice"
            found[data["round"]] = data
        return found

    def rounds(self):
        return self.state.patrol.rounds

    def round(self, name):
        return self.rounds()[name]

    def faults(self):
        return {rule for rule, alarm in self.state.alarms.items() if alarm.state.is_active}


MANUAL = Via.MANUAL
ONE_DAY = timedelta(days=1)
