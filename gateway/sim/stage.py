"""The demo's stage: broker, simulated platform, simulated house, people, and the real daemon.

The daemon runs as it would in a house, in a process of its own, with a generated site file; all
that is simulated about it is what it is connected to. Nothing of its inside is looked at before
it has ended: the verdict comes from `gateway.sim.checker`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from gateway.config.shipped import shipped_dir
from gateway.core.faults import FAULTS
from gateway.domain.text import Lang, Text
from gateway.drivers.clock import zone
from gateway.drivers.sockets import NoAnswer, request
from gateway.sim import broker as brokers
from gateway.sim.broker import SimBroker, open_broker
from gateway.sim.bus import open_rtu, open_tcp
from gateway.sim.checker import (
    LAMP_OF,
    MERGED_MS,
    Edge,
    Onset,
    Sown,
    SownTrace,
    Verdict,
    gather,
    judge,
    onsets_of,
    parse_pins,
    read_applied,
    read_pins,
    read_records,
    read_repeats,
)
from gateway.sim.desk import LOG as DESK_LOG
from gateway.sim.desk import NO_DESK, open_desk
from gateway.sim.hands import Hands
from gateway.sim.house import Cue, House, boot_ms, build_house, is_set_within, play
from gateway.sim.patroller import LOG as READER_LOG
from gateway.sim.patroller import NO_READER, PHONE_NEEDS, Patroller, open_reader, write_people
from gateway.sim.people import Ask, Request, Row, attend
from gateway.sim.processes import Process, end, running, tail
from gateway.sim.story import SETS_OUT, WALK, Scene, passes_in, scenes_of
from gateway.sim.touches import weigh
from gateway.sim.unwalked import FAR, Times, Unwalked, plan_unwalked, times_at, watch_page

PINS = "panel.jsonl"
READER_SOCKET = "reader.sock"
SYNC_FLAG = "synchronized"
CONSOLE_SOCKET = "console.sock"
HISTORY = "platform.sqlite"
READY_S = 30.0
DRAIN_S = 10.0
STOP_S = 20.0
RELOAD_S = 60.0
SETTLE_EVERY_S = 0.1

# What a demo of its own replaces in config/site.demo.yaml.
SERIAL_ADDRESS = "/tmp/care-demo/plant-room"  # noqa: S108 - a name to be replaced, never opened
TCP_ADDRESS = "127.0.0.1:10502"
BROKER_ADDRESS = "mqtt+unix:///tmp/care-demo/mqtt.sock"
READER_ADDRESS = "/tmp/care-demo/nfc"  # noqa: S108 - as above
READER_LINE = f"reader: {{device: {READER_ADDRESS}}}\n"
DAY_AT, LATE_AT, LATE_GRACE = 'at: ["06:30"]', 'at: ["21:30"]', "grace: 0s"
PATROL_PART = "\npatrol:", "\nuplink:"  # where it begins and what comes after it
TIMEZONE = "Asia/Shanghai"  # as config/site.demo.yaml says
GATEWAY = "demo-0001"  # as config/site.demo.yaml says

WHO = {
    "demo": Text("演示", "demo"),
    "house": Text("现场", "house"),
    "panel": Text("面板", "panel"),
    "people": Text("人员", "people"),
    "platform": Text("平台", "platform"),
}
LAMP = {
    "red": Text("红灯闪", "red lamp blinks"),
    "amber": Text("橙灯闪", "amber lamp blinks"),
    "yellow": Text("黄灯闪", "yellow lamp blinks"),
}
DID = {
    "silence": Text("消音", "silences"),
    "acknowledge": Text("确认", "acknowledges"),
    "handle": Text("填写现场结论", "writes down what was found"),
    "reset": Text("复位", "resets"),
}

CLOCK = Text(
    "本机时钟当作已同步：巡查只按可信的时钟判定",
    "this machine's clock counts as synchronised: rounds are judged by a clock that is right",
)
NO_ZONE = Text(
    f"没有时区数据 {TIMEZONE}：不演示巡查", f"no time zone {TIMEZONE} here: no patrol is shown"
)
NO_PHONE = Text(
    "没有手机巡查页：pip install 'care-gateway[console]'；只演示漏巡",
    "no page for phones: pip install 'care-gateway[console]'; only a missed round is shown",
)

Tell = Callable[[str, Text], None]  # who speaks (a key of WHO), what


class PartDied(Exception):
    """Daemon or platform ended by itself, or the daemon never became ready; with its log's tail."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the demo found: the verdict, which broker it had, and how the daemon ended."""

    verdict: Verdict
    broker: str
    broker_away_s: float
    exit_code: int
    seconds: float
    touches: int = 0  # what a person at the keys did
    page: str = ""  # where the duty page was; empty without its packages
    missed: bool | None = None  # a round that nobody walked fell due; None: nothing is patrolled
    is_hidden: bool = False  # and the duty page did not say so

    @property
    def problems(self) -> tuple[str, ...]:
        ended = f"the daemon ended with code {self.exit_code}"
        hidden = "the duty page did not show the round that nobody walked"
        return (
            *self.verdict.problems,
            *([hidden] if self.is_hidden else []),
            *([ended] if self.exit_code else []),
        )

    @property
    def is_well(self) -> bool:
        return not self.problems


async def perform(
    seconds: float | None,
    folder: Path,
    *,
    lang: Lang,
    tell: Tell,
    ended: asyncio.Event,
    embedded: bool = False,
    on_stage: Callable[[Hands], None] | None = None,
) -> Report:
    """Play the story for so many seconds, or until `ended` is set; return what came of it.

    `on_stage` is given the hands of a person who may take part, once the daemon is ready.
    All files are left in `folder`. Raises BrokerMissing or PartDied; whatever happens, nothing
    that was started goes on running.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    house, sown = build_house(), list[Sown]()
    patrol = Patrol(zone(TIMEZONE), words=FAULTS["round_missed"][0].in_(lang))
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(open_broker(folder, embedded=embedded))
        line = await stack.enter_async_context(open_rtu(folder / "plant-room", house.plant_room))
        tcp = await stack.enter_async_context(open_tcp(house.pump_house))
        platform = await stack.enter_async_context(_platform(broker, folder, lang))
        device, socket = folder / "nfc", folder / READER_SOCKET
        reader = await stack.enter_async_context(open_reader(folder, device, socket))
        pin = await asyncio.to_thread(write_people, folder)
        patrol.rewrite = partial(
            write_site,
            folder,
            serial=str(line.port),
            tcp=f"{tcp.host}:{tcp.port}",
            mqtt=broker.url,
            nfc=device if reader else None,
            began=datetime.now(patrol.zone) if patrol.zone else None,
        )
        daemon = await stack.enter_async_context(_daemon(patrol.rewrite(), folder))
        desk = await stack.enter_async_context(open_desk(folder, folder / CONSOLE_SOCKET, lang))
        tell("demo", Text(f"消息服务器：{broker.name}", f"broker: {broker.name}"))
        tell("demo", Text(f"值班台网页：{desk.url}", f"duty page: {desk.url}") if desk else NO_DESK)
        switch = Switch(broker)
        hands = Hands(_asking(folder), house.devices, switch, lambda: switch.is_up, Cue())
        hands.page = patrol.page = desk.url if desk else ""
        if patrol.zone and desk and all(find_spec(name) for name in PHONE_NEEDS):
            board = reader.board if reader else None
            say = partial(tell, "people")
            patrol.walker = Patroller(hands.ask, desk.url, pin, board, say)
            patrol.scenes = (SETS_OUT, *WALK) if reader else WALK
        for missing in _not_shown(patrol):
            tell("demo", missing)
        look = partial(_look, folder, sown, patrol, hands, broker)
        await _live(
            folder,
            house,
            {
                "the daemon": (daemon, "daemon.log"),
                "the platform": (platform, "platform.log"),
                **({"the console": (desk.process, DESK_LOG)} if desk else {}),
                **({"the reader": (reader.process, READER_LOG)} if reader else {}),
            },
            hands,
            patrol,
            seconds,
            tell=tell,
            sown=sown,
            ended=ended,
            look=look,
            on_stage=on_stage,
        )
        code = await end(daemon, within_s=STOP_S)
        await end(platform)
    return Report(
        verdict=look(),
        broker=broker.name,
        broker_away_s=switch.away_s,
        exit_code=code,
        seconds=loop.time() - started,
        touches=len(hands.touches),
        page=hands.page,
        missed=patrol.unwalked.is_due if patrol.zone else None,
        is_hidden=patrol.must_be_shown and not patrol.unwalked.is_shown,
    )


@dataclass(slots=True)
class Patrol:
    """Who walks, what must come of it, and the round that nobody walks; no `zone`, no patrol."""

    zone: tzinfo | None
    walker: Patroller | None = None
    scenes: tuple[Scene, ...] = ()
    traces: list[SownTrace] = field(default_factory=list)
    unwalked: Unwalked = field(default_factory=Unwalked)
    rewrite: Callable[..., Path] = Path  # the site file, with what is given otherwise
    page: str = ""  # where the missed round must be seen,
    words: str = ""  # and in which words

    @property
    def must_be_shown(self) -> bool:
        return bool(self.page) and self.unwalked.is_due and self.unwalked.is_sure


def _not_shown(patrol: Patrol) -> Iterator[Text]:
    if patrol.zone is None:
        yield NO_ZONE
    elif patrol.walker is None:
        yield NO_PHONE
    elif SETS_OUT not in patrol.scenes:
        yield NO_READER
    if patrol.zone is not None:
        yield CLOCK


def _asking(folder: Path) -> Ask:
    async def ask(what: Request) -> Row:
        return await request(folder / "daemon.sock", what)

    return ask


def _look(
    folder: Path, sown: list[Sown], patrol: Patrol, hands: Hands, broker: SimBroker
) -> Verdict:
    """The verdict as of now, over what story, keys and clock have planted."""
    uplink = brokers.address_of(broker), GATEWAY
    touches, unwalked = list(hands.touches), patrol.unwalked
    planted = weigh(unwalked.planted(sown), touches, uplink=uplink, now_ms=boot_ms())
    traces = [*patrol.traces, *unwalked.traces()]
    return verdict_of(folder, unwalked.weighed(planted, touches), traces)


def write_site(
    folder: Path,
    *,
    serial: str,
    tcp: str,
    mqtt: str,
    nfc: Path | None = None,
    began: datetime | None = None,
    late: Times | None = None,
) -> Path:
    """Write the demo's site with what is of this run; ValueError if it cannot be put in.

    The round that is walked runs since `began`, a local time; without it nothing is patrolled.
    The other one is `late`, by default so far ahead that it is no row yet.
    """
    text = (shipped_dir() / "site.demo.yaml").read_text(encoding="utf-8")
    own = {SERIAL_ADDRESS: serial, TCP_ADDRESS: tcp, BROKER_ADDRESS: mqtt}
    own |= {READER_ADDRESS: str(nfc)} if nfc else {READER_LINE: ""}
    if began is None:
        first, after = PATROL_PART
        own[text[text.index(first) : text.index(after)]] = "\n"
    else:
        day, late = times_at(began), late or times_at(began + FAR)
        own |= {
            DAY_AT: _at(day), LATE_AT: _at(late), LATE_GRACE: f"grace: {late.grace_ms}ms",
        }  # fmt: skip
    for words, others in own.items():
        if text.count(words) != 1:
            raise ValueError(f"site.demo.yaml says {words} {text.count(words)} times, not once")
        text = text.replace(words, others)
    site = folder / "site.yaml"
    site.write_text(text, encoding="utf-8")
    return site


def _at(times: Times) -> str:
    return f'at: ["{times.at}"], days: [{times.day}]'


def verdict_of(folder: Path, sown: list[Sown], traces: Sequence[SownTrace] = ()) -> Verdict:
    """Compare what was planted with what daemon and platform have written so far."""
    # The platform first: what it applies while we look is committed by the time we read that.
    applied = read_applied(folder / HISTORY)
    repeats = read_repeats(folder / HISTORY)
    core = read_records(folder / "store" / "core.db")
    readings = read_records(folder / "store" / "readings.db")
    evidence = gather(core, readings, read_pins(folder / PINS), applied, repeats)
    return judge(sown, evidence, traces)


class Switch:
    """The broker's plug, and how long it was pulled."""

    def __init__(self, broker: SimBroker) -> None:
        self._broker = broker
        self._pulled_at: float | None = None
        self._turning = asyncio.Lock()  # story and keys may turn it at the same time
        self.away_s = 0.0

    @property
    def is_up(self) -> bool:
        return self._pulled_at is None

    async def __call__(self, is_up: bool) -> None:
        loop = asyncio.get_running_loop()
        async with self._turning:
            if is_up and self._pulled_at is not None:
                await brokers.start(self._broker)
                self.away_s += loop.time() - self._pulled_at
                self._pulled_at = None
            elif not is_up and self._pulled_at is None:
                self._pulled_at = loop.time()
                await brokers.stop(self._broker)


def _daemon(site: Path, folder: Path) -> AbstractAsyncContextManager[Process]:
    (folder / SYNC_FLAG).touch()  # as timesyncd does: rounds are judged by a clock that is right
    return running(
        [
            *(sys.executable, "-m", "gateway", "run", str(site)),
            *("--store", str(folder / "store"), "--socket", str(folder / "daemon.sock")),
            *("--console-socket", str(folder / CONSOLE_SOCKET)),
            *("--reader-socket", str(folder / READER_SOCKET)),
            *("--sync-flag", str(folder / SYNC_FLAG)),
            *("--panel", "mock", "--panel-log", str(folder / PINS)),
        ],
        folder / "daemon.log",
        within_s=STOP_S,
    )


def _platform(broker: SimBroker, folder: Path, lang: Lang) -> AbstractAsyncContextManager[Process]:
    return running(
        [
            *(sys.executable, "-u", "-m", "gateway.sim.platform", "--broker", broker.url),
            *("--history", str(folder / HISTORY), "--lang", lang.value, "--print", "--receipts"),
        ],
        folder / "platform.log",
    )


async def _live(
    folder: Path,
    house: House,
    processes: Mapping[str, tuple[Process, str]],
    hands: Hands,
    patrol: Patrol,
    seconds: float | None,
    *,
    tell: Tell,
    sown: list[Sown],
    ended: asyncio.Event,
    look: Callable[[], Verdict],
    on_stage: Callable[[Hands], None] | None,
) -> None:
    """The daemon's life from its first reading to the end of the drain.

    `processes` with their logs must live as long.
    """

    def tell_scene(scene: Scene) -> None:
        hands.note_scene(scene)
        tell("house", scene.say)

    def tell_act(did: Request, row: Row) -> None:
        tell("people", _did(did, row))

    dead: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            helpers = [
                *(
                    group.create_task(_watch(name, process, folder / log))
                    for name, (process, log) in processes.items()
                ),
                group.create_task(
                    attend(hands.ask, tell=tell_act, is_on_duty=lambda: not hands.is_on_duty)
                ),
                group.create_task(_tell_panel(folder / PINS, tell)),
                group.create_task(_tell_platform(folder / "platform.log", tell)),
            ]
            await _until_ready(hands.ask, folder)
            tell(
                "demo",
                Text("网关就绪，各监测点均有读数", "the gateway is ready, every point has a value"),
            )
            if on_stage is not None:
                on_stage(hands)
            loop = asyncio.get_running_loop()
            start = loop.time()
            passes = passes_in(seconds)
            if patrol.zone is not None:
                planning = _plan(patrol, patrol.zone, hands.ask, folder, start, passes, tell)
                helpers.append(group.create_task(planning))
                if patrol.page:
                    watching = watch_page(patrol.unwalked, patrol.page, patrol.words)
                    helpers.append(group.create_task(watching))
            await play(
                scenes_of(passes, patrol.scenes),
                house.devices,
                switch_broker=hands.switch_broker,
                tell=tell_scene,
                sown=sown,
                ended=ended,
                cue=hands.cue,
                walk=patrol.walker.walk if patrol.walker else None,
                traces=patrol.traces,
            )
            if seconds is not None:
                await is_set_within(ended, start + seconds - loop.time())
                await _await_round(patrol, ended, tell)
            patrol.unwalked.is_sure = patrol.unwalked.is_due
            tell("demo", Text("故事结束，等待送达", "the story is over, draining"))
            await hands.switch_broker(True)
            await _drain(look, lambda: patrol.unwalked.is_shown or not patrol.must_be_shown)
            for helper in helpers:
                helper.cancel()
    except* PartDied as several:
        dead = several.exceptions[0]
    if dead is not None:  # raised inside `except*`, Python 3.11.2 wraps it into a group again
        raise dead


async def _plan(
    patrol: Patrol,
    zone: tzinfo,
    ask: Ask,
    folder: Path,
    start: float,
    passes: int | None,
    tell: Tell,
) -> None:
    async def reload(late: Times) -> str:
        await asyncio.to_thread(patrol.rewrite, late=late)
        try:
            answer = await request(folder / "daemon.sock", {"verb": "reload"}, RELOAD_S)
        except NoAnswer:
            return ""  # it may come to it yet; one that is gone is noticed by who watches it
        return "" if answer.get("ok") else str(answer.get("error"))

    await plan_unwalked(
        patrol.unwalked,
        reload=reload,
        ask=ask,
        start=start,
        passes=passes,
        zone=zone,
        tell=partial(tell, "house"),
    )


async def _await_round(patrol: Patrol, ended: asyncio.Event, tell: Tell) -> None:
    """The clock of the round that nobody walks is not the story's: it may be due later."""
    if patrol.zone is None:
        return
    while not patrol.unwalked.settled.is_set() and not ended.is_set():
        await is_set_within(ended, SETTLE_EVERY_S)
    if patrol.unwalked.due_ms is None:
        return
    left_s = (patrol.unwalked.due_ms - boot_ms()) / 1000
    if left_s > 0 and not ended.is_set():
        closes_at = patrol.unwalked.closes_at
        wait = Text(
            f"等到 {closes_at}，无人去巡的一轮到期",
            f"waiting for {closes_at}, when the round is due",
        )
        tell("demo", wait)
        await is_set_within(ended, left_s)


async def _until_ready(ask: Callable[[Request], Awaitable[Row]], folder: Path) -> None:
    """Return when the daemon answers and every point has its first good value."""
    waiting: object = "no answer on its socket"
    try:
        async with asyncio.timeout(READY_S):
            while waiting:
                await asyncio.sleep(0.1)
                try:
                    points = (await ask({"verb": "status"})).get("points", [])
                except NoAnswer:
                    continue
                waiting = [p["id"] for p in points if p["quality"] != "good"] or not points
    except TimeoutError:
        log = tail(folder / "daemon.log")
        raise PartDied(f"the daemon is not ready after {READY_S:.0f} s: {waiting}\n{log}") from None


async def _watch(name: str, process: Process, log: Path) -> None:
    code = await process.wait()
    raise PartDied(f"{name} ended with code {code}:\n{tail(log)}")


async def _drain(look: Callable[[], Verdict], is_shown: Callable[[], bool]) -> None:
    """Wait until all is well, at most ten seconds; the verdict comes after the daemon's end."""
    loop = asyncio.get_running_loop()
    until = loop.time() + DRAIN_S
    for _ in iter(lambda: loop.time() < until, False):
        # In a thread: the simulated devices are served by this loop.
        if not (await asyncio.to_thread(look)).problems and is_shown():
            return
        await asyncio.sleep(0.5)


# --- what is told while it happens ----------------------------------------------------------


async def _tell_panel(log: Path, tell: Tell) -> None:
    """Tell each onset at the pins once it is long enough ago to be known."""
    edges: list[Edge] = []
    told: set[Onset] = set()
    async for lines in _new_lines(log):
        edges += parse_pins(lines)
        if not edges:
            continue
        known = [o for o in onsets_of(edges) if boot_ms() - o.t_ms > MERGED_MS + 500]
        for onset in (o for o in known if o not in told):
            told.add(onset)
            tell("panel", _panel_words(onset, boot_ms() - onset.t_ms))
        if boot_ms() - edges[-1].t_ms > 2 * MERGED_MS:
            edges, told = list({edge.role: edge for edge in edges}.values()), set()


def _panel_words(onset: Onset, ago_ms: float) -> Text:
    """A rhythm is known only after it was heard for a while: so it is said when it began."""
    lamp, ago = LAMP[LAMP_OF[onset.severity]], f"{ago_ms / 1000:.1f}"
    sound = Text("静音", "quiet") if onset.sound is None else Text(onset.sound, onset.sound)
    return Text(
        f"{lamp.zh}，蜂鸣器 {sound.zh}（{ago} 秒前开始）",
        f"{lamp.en}, buzzer {sound.en} (began {ago} s ago)",
    )


async def _tell_platform(log: Path, tell: Tell) -> None:
    async for lines in _new_lines(log):
        for line in lines:
            tell("platform", Text(line, line))


async def _new_lines(path: Path) -> AsyncIterator[list[str]]:
    """Give the whole lines that were added to a file, every 0.2 s, also when there are none."""
    position = 0
    while True:
        await asyncio.sleep(0.2)
        data = await asyncio.to_thread(_read_from, path, position)
        whole = data[: data.rfind(b"\n") + 1]
        position += len(whole)
        yield whole.decode(errors="replace").splitlines()


def _read_from(path: Path, position: int) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(position)
        return file.read()


def _did(did: Request, row: Row) -> Text:
    verb, name = DID[str(did["verb"])], row.get("rule", "")
    return Text(f"{did['by']} {verb.zh} {name}", f"{did['by']} {verb.en} {name}")
