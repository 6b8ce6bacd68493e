"""The patrol of a site file: items, checkpoints, routes, rounds, readers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from gateway.config.institutions import read_institution
from gateway.config.problems import Place, Problem
from gateway.config.quantities import duration
from gateway.config.schema import (
    CheckpointPart,
    ChoicePart,
    ItemPart,
    LegPart,
    PatrolPart,
    PatrolReaderPart,
    RoundPart,
    RoutePart,
    TagPart,
)
from gateway.config.tree import Tree, Where
from gateway.config.validate import did_you_mean, error, is_given, validate, warning
from gateway.domain.institutions import DAY_ROUND, NIGHT_ROUND, Duty, Institution
from gateway.domain.patrol import (
    Checkpoint,
    Choice,
    Item,
    ItemType,
    Patrol,
    Reader,
    Route,
    Schedule,
    Stop,
    Tag,
    Window,
)
from gateway.domain.people import Person
from gateway.domain.points import Point
from gateway.domain.site import NIGHT, QuietHours
from gateway.domain.text import Text

DAY_MIN = 24 * 60
WEEK_MIN = 7 * DAY_MIN
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAYTIME = QuietHours(8 * 60, 18 * 60)
NIGHTLY_MS = 7_200_000  # where the type of institution says nothing: as in elder care
OWN_BASIS = "default: as in elder care; no rule was found for this type of institution"
LEG_MIN_MS = 15_000  # field/patrol-and-alarms 2.6

# What is to be looked at by GB/T 40248-2021 7.3.6, for checkpoints that name no set of their own.
STANDARD = tuple(
    Item(name, Text(zh, en))
    for name, zh, en in (
        ("fire-and-power", "用火、用电有无违章", "Use of fire and power as allowed"),
        ("ways", "疏散通道、安全出口畅通", "Escape routes and exits clear"),
        ("signs", "指示标志、应急照明完好", "Signs and emergency lighting in order"),
        ("doors", "常闭防火门关闭，卷帘下无杂物", "Fire doors shut, nothing under shutters"),
        ("equipment", "消防设施、器材在位有效", "Fire equipment in place and working"),
        ("posts", "重点部位人员在岗", "Key posts are manned"),
        ("lane", "消防车道畅通", "Fire lane clear"),
    )
)


@dataclass(frozen=True, slots=True)
class Known:
    """What the rest of the file names."""

    points: Mapping[str, Point]
    people: Mapping[str, Person] | None  # None: there is no people.yaml
    institution: str = "elder-care"


def read_patrol(tree: Tree, known: Known, found: list[Problem]) -> Patrol:
    """Return the patrol; an empty one where the house has none."""
    if not isinstance(tree.at(("patrol",)), dict):
        return Patrol()
    part = validate(PatrolPart, tree, ("patrol",), found)
    sets = {name: _items(tree, name, known, found) for name in _names(tree, "items")}
    checkpoints = _checkpoints(tree, sets, known, found)
    routes = _routes(tree, checkpoints, found)
    institution = read_institution(known.institution, found)
    schedules = _schedules(tree, routes, known, institution, found)
    _check_asked(tree, institution, schedules, found)
    _check_use(tree, checkpoints, routes, schedules, found)
    if known.people is None:
        fact = Text("没有 people.yaml：没有人能巡查", "there is no people.yaml: nobody can patrol")
        advice = Text(
            "在站点文件旁边写 people.yaml，见 people.example.yaml",
            "write people.yaml beside the site file, see people.example.yaml",
        )
        found.append(warning(tree.place(("patrol",), key=True), "people_missing", fact, advice))
    return Patrol(
        checkpoints,
        routes,
        schedules,
        _readers(tree, checkpoints, known, found),
        part.compensate_every,
    )


def _names(tree: Tree, *where: str) -> list[str]:
    data = tree.at(("patrol", *where))
    return [str(name) for name in data] if isinstance(data, dict) else []


def _items(tree: Tree, name: str, known: Known, found: list[Problem]) -> tuple[Item, ...]:
    return tuple(
        _item(tree, ("patrol", "items", name, item), item, known, found)
        for item in _names(tree, "items", name)
    )


def _item(tree: Tree, where: Where, name: str, known: Known, found: list[Problem]) -> Item:
    part = validate(ItemPart, tree, where, found)
    choices = []
    for key in part.choices or {}:
        choice = validate(ChoicePart, tree, (*where, "choices", key), found)
        choices.append(Choice(str(key), choice.say, choice.bad))
    if (part.type is ItemType.CHOICE) != bool(choices):
        fact = Text(
            "choice 类要写 choices，别的类不写",
            "choices belong to the type choice, and it needs them",
        )
        advice = Text(
            "如 {type: choice, choices: {full: {say: 满}, low: {say: 偏低, bad: true}}}",
            "such as {type: choice, choices: {full: {say: full}, low: {say: low, bad: true}}}",
        )
        found.append(error(tree.place(where, key=True), "item_choices", fact, advice))
    low, high = part.range if part.range is not None else (None, None)
    point = _compared(tree, where, part, known, found)
    return Item(
        id=name,
        say=part.say or Text(name, name),
        type=part.type,
        unit=part.unit or (point.unit if point is not None else ""),
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        choices=tuple(choices),
        point=point.id if point is not None else "",
        tolerance=part.tolerance / 100,
        is_drawn=part.drawn,
    )


def _compared(
    tree: Tree, where: Where, part: ItemPart, known: Known, found: list[Problem]
) -> Point | None:
    """The point that a number is compared with."""
    if part.point is None:
        return None
    place = tree.place((*where, "point"))
    point = _point(part.point, place, known, found)
    if point is None:
        return None
    if part.type is not ItemType.NUMBER:
        fact = Text("只有数值能与监测点核对", "only a number can be compared with a point")
        advice = Text("写 type: number，或去掉 point", "write type: number, or remove point")
        found.append(error(place, "item_no_number", fact, advice))
    elif part.unit is not None and part.unit != point.unit:
        fact = Text(
            f"单位 `{part.unit}` 与监测点的 `{point.unit}` 不同",
            f"its unit `{part.unit}` is not the point's, `{point.unit}`",
        )
        advice = Text("用监测点的单位来问", "ask for it in the point's unit")
        found.append(error(tree.place((*where, "unit")), "item_unit", fact, advice))
    return point


def _point(name: str, place: Place, known: Known, found: list[Problem]) -> Point | None:
    point = known.points.get(name)
    if point is None:
        fact = Text(f"没有监测点 `{name}`", f"there is no point `{name}`")
        found.append(error(place, "unknown_point", fact, did_you_mean(name, known.points)))
    return point


def _near(tree: Tree, where: Where, names: list[str], known: Known, found: list[Problem]) -> None:
    for index, name in enumerate(names):
        _point(name, tree.place((*where, "near", index)), known, found)


def _checkpoints(
    tree: Tree, sets: Mapping[str, tuple[Item, ...]], known: Known, found: list[Problem]
) -> dict[str, Checkpoint]:
    checkpoints, hung = {}, dict[str, Place]()
    for code in _names(tree, "checkpoints"):
        where: Where = ("patrol", "checkpoints", code)
        part = validate(CheckpointPart, tree, where, found)
        items = sets.get(part.items or "", STANDARD)
        if part.items is not None and part.items not in sets:
            fact = Text(f"没有项目 `{part.items}`", f"there is no set of items `{part.items}`")
            place = tree.place((*where, "items"))
            found.append(error(place, "unknown_items", fact, did_you_mean(part.items, sets)))
        if not any(not item.is_drawn for item in items):
            fact = Text("这一套里没有每次都问的项目", "none of its items is asked every time")
            advice = Text("至少一项不写 drawn", "leave `drawn` out of one item at least")
            found.append(error(tree.place((*where, "items")), "items_all_drawn", fact, advice))
        _near(tree, where, part.near or [], known, found)
        tags = tuple(_tags(tree, where, code, hung, found))
        checkpoints[code] = Checkpoint(
            code, part.name or code, part.place or "", items, tuple(part.near or ()), tags
        )
    return checkpoints


def _tags(
    tree: Tree, where: Where, code: str, hung: dict[str, Place], found: list[Problem]
) -> Iterator[Tag]:
    for name in _names(tree, "checkpoints", code, "tags"):
        spot: Where = (*where, "tags", name)
        part = validate(TagPart, tree, spot, found)
        if part.uid is None:
            continue
        place = tree.place((*spot, "uid"))
        if part.uid in hung:
            fact = Text(f"标签 {part.uid} 写了两处", f"the tag {part.uid} hangs at two places")
            advice = Text("一个标签只贴一处", "a tag hangs at one checkpoint only")
            found.append(error(place, "tag_twice", fact, advice, hung[part.uid]))
            continue
        hung[part.uid] = place
        yield Tag(part.uid, code, part.kind, part.token or "", part.key_ref or "")


def _routes(
    tree: Tree, checkpoints: Mapping[str, Checkpoint], found: list[Problem]
) -> dict[str, Route]:
    routes = {}
    for name in _names(tree, "routes"):
        where: Where = ("patrol", "routes", name)
        part = validate(RoutePart, tree, where, found)
        legs = {}
        for code in _names(tree, "routes", name, "legs"):
            legs[code] = validate(LegPart, tree, (*where, "legs", code), found)
            if code not in (part.stops or ()):
                fact = Text(f"这条路线不经过 `{code}`", f"`{code}` is not on this route")
                place = tree.place((*where, "legs", code), key=True)
                advice = did_you_mean(code, part.stops or ())
                found.append(error(place, "unknown_checkpoint", fact, advice))
        first: dict[str, int] = {}
        for index, code in enumerate(part.stops or ()):
            _check_stop(tree, where, code, index, first, checkpoints, found)
        stops = tuple(_stop(code, part, legs.get(code)) for code in first)
        _check_legs(tree, where, stops, found)
        routes[name] = Route(name, part.name or name, stops, part.order)
    return routes


def _check_stop(
    tree: Tree,
    where: Where,
    code: str,
    index: int,
    first: dict[str, int],
    checkpoints: Mapping[str, Checkpoint],
    found: list[Problem],
) -> None:
    place = tree.place((*where, "stops", index))
    if code not in checkpoints:
        fact = Text(f"没有巡查点 `{code}`", f"there is no checkpoint `{code}`")
        found.append(error(place, "unknown_checkpoint", fact, did_you_mean(code, checkpoints)))
    if code in first:
        fact = Text(f"`{code}` 在路线上写了两次", f"`{code}` is on the route twice")
        advice = Text("每个巡查点只写一次", "name each checkpoint once")
        also = tree.place((*where, "stops", first[code]))
        found.append(error(place, "stop_twice", fact, advice, also))
    first.setdefault(code, index)


def _stop(code: str, route: RoutePart, own: LegPart | None) -> Stop:
    """What a stop says itself wins over its route."""

    def given(name: str) -> int | None:
        value: int | None = getattr(own, name, None)
        said: int | None = getattr(route, name)
        return said if value is None else value

    leg_min, leg_max = given("leg_min"), given("leg_max")
    if leg_min is None:  # so that tags tapped at the desk are noticed without a word in the file
        leg_min = LEG_MIN_MS if leg_max is None else min(LEG_MIN_MS, leg_max)
    return Stop(code, leg_min, leg_max, given("dwell") or 0)


def _check_legs(tree: Tree, where: Where, stops: tuple[Stop, ...], found: list[Problem]) -> None:
    """From tap to tap: the stay at the stop before is part of a leg."""
    for stop in stops:
        least, most = max(stop.leg_min_ms, stop.dwell_ms), stop.leg_max_ms
        if most is None or most >= max(least, 1):
            continue
        fact = Text(
            f"到 {stop.checkpoint} 最多 {duration(most)}，却至少要 {duration(least)}",
            f"{stop.checkpoint} is reached within {duration(most)},"
            f" yet stay and walk take {duration(least)}",
        )
        advice = Text(
            "leg_max 要不小于 leg_min 和 dwell", "make leg_max no less than leg_min and dwell"
        )
        own = (*where, "legs", stop.checkpoint)
        spot = own if tree.at(own) is not None else (*where, "leg_max")
        found.append(error(tree.place(spot, key=True), "impossible_leg", fact, advice))
        if spot != own:
            return  # one line of the file says it for all stops


def _schedules(
    tree: Tree,
    routes: Mapping[str, Route],
    known: Known,
    institution: Institution,
    found: list[Problem],
) -> dict[str, Schedule]:
    schedules = {}
    for name in _names(tree, "rounds"):
        where: Where = ("patrol", "rounds", name)
        part = validate(RoundPart, tree, where, found)
        asked = institution.duty(DAY_ROUND if part.preset == "daily" else NIGHT_ROUND)
        windows = _windows(tree, where, part, institution.duty(NIGHT_ROUND), found)
        if part.route and part.route not in routes:
            fact = Text(f"没有路线 `{part.route}`", f"there is no route `{part.route}`")
            place = tree.place((*where, "route"))
            found.append(error(place, "unknown_route", fact, did_you_mean(part.route, routes)))
        if part.owner is not None and known.people is not None and part.owner not in known.people:
            fact = Text(f"people.yaml 里没有 `{part.owner}`", f"no `{part.owner}` in people.yaml")
            place = tree.place((*where, "owner"))
            advice = did_you_mean(part.owner, known.people)
            found.append(error(place, "unknown_person", fact, advice))
        days = [WEEKDAYS.index(day) for day in part.days or WEEKDAYS]
        schedule = Schedule(
            id=name,
            route=part.route or "",
            windows=windows,
            grace_ms=part.grace,
            weekdays=frozenset(days),
            owner=part.owner or "",
            draws=part.draws,
            basis=part.basis or (_basis(asked) if part.preset else ""),
        )
        route = routes.get(schedule.route)
        if route is not None:
            _check_length(tree, where, route, windows, found)
        schedules[name] = schedule
    _check_overlaps(tree, schedules, found)
    return schedules


def _basis(duty: Duty | None) -> str:
    """On what grounds a preset is as it is; said with it where that was not read."""
    if duty is None:
        return OWN_BASIS
    return duty.basis if duty.unverified is None else f"{duty.basis} ({duty.unverified.en})"


def _windows(
    tree: Tree, where: Where, part: RoundPart, night: Duty | None, found: list[Problem]
) -> tuple[Window, ...]:
    """When it may be walked, by the one way in which the file says it."""
    if part.at and (part.between is not None or part.every is not None or part.preset):
        fact = Text("时间写了两种方式", "its times are given in two ways")
        advice = Text(
            "写 at，或写 between（加 every）、preset 之一",
            "write `at`, or `between` (with `every`), or a preset",
        )
        found.append(error(tree.place((*where, "at"), key=True), "round_times", fact, advice))
        return ()
    if part.at:
        before, after = part.before // 60_000, part.after // 60_000
        return tuple(Window(minute - before, minute + after) for minute in part.at)
    is_wrong = is_given(tree, where, "at") or is_given(tree, where, "between")
    if is_wrong and part.between is None:
        return ()  # it is there but wrong, which is reported
    hours = part.between or {"night": NIGHT, "daily": DAYTIME}.get(part.preset or "")
    if hours is None:
        fact = Text("没有写什么时候巡", "it does not say when")
        advice = Text(
            '写 at: ["06:30"]，或 between: 22:00-06:00 加 every: 2h，或 preset: night',
            'write at: ["06:30"], or between: 22:00-06:00 with every: 2h, or preset: night',
        )
        found.append(error(tree.place(where, key=True), "round_times", fact, advice))
        return ()
    nightly_ms = night.every_ms if night is not None and night.every_ms else NIGHTLY_MS
    every_ms = part.every or (nightly_ms if part.preset == "night" else None)
    every = hours.length_min if every_ms is None else every_ms // 60_000
    if every_ms is not None and every > hours.length_min:
        fact = Text(
            f"every {duration(every_ms)} 比整个时段还长",
            f"every {duration(every_ms)} is longer than the hours themselves",
        )
        advice = Text("缩短 every，或放宽 between", "shorten `every`, or widen `between`")
        found.append(error(tree.place((*where, "every")), "round_times", fact, advice))
        return ()
    _check_night(tree, where, hours, every, night, found)
    end = hours.begin_min + hours.length_min
    return tuple(
        Window(start, min(start + every, end)) for start in range(hours.begin_min, end, every)
    )


def _check_night(
    tree: Tree,
    where: Where,
    hours: QuietHours,
    every: int,
    night: Duty | None,
    found: list[Problem],
) -> None:
    """Slower than the type of institution asks; where it asks for no interval, none is too slow."""
    is_night = hours.begin_min + hours.length_min > DAY_MIN
    if not is_night or night is None or night.every_ms is None or not night.is_must:
        return
    if every * 60_000 > night.every_ms:
        fact = Text(f"夜间每 {every} 分钟才巡一次", f"by night it is walked every {every} min only")
        advice = _asked(night)
        spot = (*where, "every") if tree.at((*where, "every")) is not None else where
        found.append(warning(tree.place(spot, key=True), "night_too_seldom", fact, advice))


def _asked(duty: Duty) -> Text:
    """What is asked, by whom, and what of that nobody has verified."""
    zh, en = duty.say.zh, duty.say.en
    if duty.unverified is None:
        return Text(f"{zh}（{duty.basis}）", f"{en} ({duty.basis})")
    return Text(
        f"{zh}（{duty.basis}；未核实：{duty.unverified.zh}）",
        f"{en} ({duty.basis}; unverified: {duty.unverified.en})",
    )


def _check_asked(
    tree: Tree, institution: Institution, schedules: Mapping[str, Schedule], found: list[Problem]
) -> None:
    """Days or nights without any round, where the type of institution asks for one."""
    place = tree.place(("patrol", "rounds"), key=True)
    by_day, by_night = set[int](), set[int]()
    for schedule in schedules.values():
        for window in schedule.windows:
            is_night = window.end_min > DAY_MIN or window.start_min < 0
            (by_night if is_night else by_day).update(schedule.weekdays)
    for name, walked, words in (
        (DAY_ROUND, by_day | by_night, Text("有些日子没有轮次", "some days have no round")),
        (NIGHT_ROUND, by_night, Text("有些夜里没有轮次", "some nights have no round")),
    ):
        duty = institution.duty(name)
        if duty is not None and duty.is_must and schedules and len(walked) < len(WEEKDAYS):
            missing = [day for number, day in enumerate(WEEKDAYS) if number not in walked]
            days = ", ".join(missing)
            fact = Text(f"{words.zh}：{days}", f"{words.en}: {days}")
            found.append(warning(place, f"no_{name}", fact, _asked(duty)))


def _check_length(
    tree: Tree, where: Where, route: Route, windows: tuple[Window, ...], found: list[Problem]
) -> None:
    """Whether a route can be walked within its shortest window."""
    if not windows:
        return
    needs_ms = sum(max(stop.leg_min_ms, stop.dwell_ms) for stop in route.stops[1:])
    has_ms = min(window.end_min - window.start_min for window in windows) * 60_000
    if needs_ms > has_ms:
        fact = Text(
            f"{route.name} 至少要走 {duration(needs_ms)}，时段只有 {duration(has_ms)}",
            f"{route.name} takes {duration(needs_ms)} at least, the window has {duration(has_ms)}",
        )
        advice = Text(
            "放宽时段，或缩短 leg_min、dwell", "widen the window, or shorten leg_min or dwell"
        )
        also = tree.place(("patrol", "routes", route.id), key=True)
        found.append(error(tree.place(where, key=True), "impossible_leg", fact, advice, also))


def _check_overlaps(tree: Tree, schedules: Mapping[str, Schedule], found: list[Problem]) -> None:
    """Two rounds of one route at one time: nobody could say of which a visit is."""
    spans = [
        (start, start + window.end_min - window.start_min, schedule)
        for schedule in schedules.values()
        for window in schedule.windows
        for day in schedule.weekdays
        for start in [(day * DAY_MIN + window.start_min) % WEEK_MIN]
    ]
    told = set()
    for one, other in combinations(spans, 2):
        pair = (one[2].id, other[2].id)
        if one[2].route == other[2].route and pair not in told and _meet(one[:2], other[:2]):
            told.add(pair)
            names = Text(f"`{pair[0]}` 和 `{pair[1]}`", f"`{pair[0]}` and `{pair[1]}`")
            fact = Text(
                f"{names.zh} 的时段重叠，走的是同一条路线",
                f"the windows of {names.en} overlap, on one route",
            )
            if pair[0] == pair[1]:
                fact = Text(f"`{pair[0]}` 的时段相互重叠", f"the windows of `{pair[0]}` overlap")
            advice = Text(
                "错开时间，或缩短 before、after", "move them apart, or shorten before or after"
            )
            place = tree.place(("patrol", "rounds", pair[1]), key=True)
            first = tree.place(("patrol", "rounds", pair[0]), key=True)
            also = () if pair[0] == pair[1] else (first,)
            found.append(error(place, "rounds_overlap", fact, advice, *also))


def _meet(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two spans of a week have a moment in common; the week goes round."""
    return any(
        one[0] < other[1] + turn and other[0] + turn < one[1] for turn in (-WEEK_MIN, 0, WEEK_MIN)
    )


def _check_use(
    tree: Tree,
    checkpoints: Mapping[str, Checkpoint],
    routes: Mapping[str, Route],
    schedules: Mapping[str, Schedule],
    found: list[Problem],
) -> None:
    """What is there and never used."""
    visited = {stop.checkpoint for route in routes.values() for stop in route.stops}
    walked = {schedule.route for schedule in schedules.values()}
    for kind, names, used in (
        ("checkpoints", checkpoints, visited),
        ("routes", routes, walked),
    ):
        for name in names:
            if name not in used:
                what = {
                    "checkpoints": Text(
                        "没有路线经过这个巡查点", "no route comes to this checkpoint"
                    ),
                    "routes": Text("没有轮次走这条路线", "no round walks this route"),
                }[kind]
                advice = Text("加进去，或删掉它", "add it to one, or remove it")
                place = tree.place(("patrol", kind, name), key=True)
                found.append(warning(place, "patrol_unused", what, advice))


def _readers(
    tree: Tree, checkpoints: Mapping[str, Checkpoint], known: Known, found: list[Problem]
) -> dict[str, Reader]:
    readers = {}
    for name in _names(tree, "readers"):
        where: Where = ("patrol", "readers", name)
        part = validate(PatrolReaderPart, tree, where, found)
        _near(tree, where, part.near or [], known, found)
        reader = Reader(name, part.place or "", tuple(part.near or ()))
        if part.checkpoint is not None and part.checkpoint not in checkpoints:
            code = part.checkpoint
            fact = Text(f"没有巡查点 `{code}`", f"there is no checkpoint `{code}`")
            place = tree.place((*where, "checkpoint"))
            advice = did_you_mean(code, checkpoints)
            found.append(error(place, "unknown_checkpoint", fact, advice))
        readers[name] = replace(reader, checkpoint=part.checkpoint or "")
    return readers
