"""The demo's stage: broker, simulated platform, simulated house, people, and the real daemon.

The daemon runs as it would in a house, in a process of its own, with a generated site file; all
that is simulated about it is what it is connected to. Nothing of its inside is looked at before
it has ended: the verdict comes from `gateway.sim.checker`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.config.shipped import shipped_dir
from gateway.domain.text import Lang, Text
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
from gateway.sim.desk import NO_DESK, Desk, open_desk
from gateway.sim.hands import Hands
from gateway.sim.house import Cue, House, boot_ms, build_house, is_set_within, play
from gateway.sim.people import Ask, Request, Row, attend
from gateway.sim.processes import Process, end, running, tail
from gateway.sim.story import Scene, passes_in, scenes_of
from gateway.sim.touches import weigh

PINS = "panel.jsonl"
CONSOLE_SOCKET = "console.sock"
HISTORY = "platform.sqlite"
READY_S = 30.0
DRAIN_S = 10.0
STOP_S = 20.0

# Addresses in config/site.demo.yaml that a demo of its own replaces.
SERIAL_ADDRESS = "/tmp/care-demo/plant-room"  # noqa: S108 - a name to be replaced, never opened
TCP_ADDRESS = "127.0.0.1:10502"
BROKER_ADDRESS = "mqtt+unix:///tmp/care-demo/mqtt.sock"
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

    @property
    def problems(self) -> tuple[str, ...]:
        ended = f"the daemon ended with code {self.exit_code}"
        return (*self.verdict.problems, *([ended] if self.exit_code else []))

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
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(open_broker(folder, embedded=embedded))
        line = await stack.enter_async_context(open_rtu(folder / "plant-room", house.plant_room))
        tcp = await stack.enter_async_context(open_tcp(house.pump_house))
        platform = await stack.enter_async_context(_platform(broker, folder, lang))
        site = write_site(
            folder, serial=str(line.port), tcp=f"{tcp.host}:{tcp.port}", mqtt=broker.url
        )
        daemon = await stack.enter_async_context(_daemon(site, folder))
        desk = await stack.enter_async_context(open_desk(folder, folder / CONSOLE_SOCKET, lang))
        tell("demo", Text(f"消息服务器：{broker.name}", f"broker: {broker.name}"))
        tell("demo", Text(f"值班台网页：{desk.url}", f"duty page: {desk.url}") if desk else NO_DESK)
        switch = Switch(broker)
        hands = Hands(_asking(folder), house.devices, switch, lambda: switch.is_up, Cue())
        hands.page = desk.url if desk else ""
        look = partial(_look, folder, sown, hands, broker)
        await _live(
            folder,
            house,
            daemon,
            platform,
            hands,
            seconds,
            tell=tell,
            sown=sown,
            ended=ended,
            look=look,
            on_stage=on_stage,
            desk=desk,
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
    )


def _asking(folder: Path) -> Ask:
    async def ask(what: Request) -> Row:
        return await request(folder / "daemon.sock", what)

    return ask


def _look(folder: Path, sown: list[Sown], hands: Hands, broker: SimBroker) -> Verdict:
    """The verdict as of now, over what the story and the keys have planted."""
    uplink = brokers.address_of(broker), GATEWAY
    planted = weigh(list(sown), list(hands.touches), uplink=uplink, now_ms=boot_ms())
    return verdict_of(folder, planted)


def write_site(folder: Path, *, serial: str, tcp: str, mqtt: str) -> Path:
    """Write the demo's site with the addresses of this run; ValueError if one cannot be put in."""
    text = (shipped_dir() / "site.demo.yaml").read_text(encoding="utf-8")
    for address, own in ((SERIAL_ADDRESS, serial), (TCP_ADDRESS, tcp), (BROKER_ADDRESS, mqtt)):
        if text.count(address) != 1:
            raise ValueError(
                f"site.demo.yaml names {address} {text.count(address)} times, not once"
            )
        text = text.replace(address, own)
    site = folder / "site.yaml"
    site.write_text(text, encoding="utf-8")
    return site


def verdict_of(folder: Path, sown: list[Sown]) -> Verdict:
    """Compare what was planted with what daemon and platform have written so far."""
    # The platform first: what it applies while we look is committed by the time we read that.
    applied = read_applied(folder / HISTORY)
    repeats = read_repeats(folder / HISTORY)
    core = read_records(folder / "store" / "core.db")
    readings = read_records(folder / "store" / "readings.db")
    return judge(sown, gather(core, readings, read_pins(folder / PINS), applied, repeats))


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
    return running(
        [
            *(sys.executable, "-m", "gateway", "run", str(site)),
            *("--store", str(folder / "store"), "--socket", str(folder / "daemon.sock")),
            *("--console-socket", str(folder / CONSOLE_SOCKET)),
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
    daemon: Process,
    platform: Process,
    hands: Hands,
    seconds: float | None,
    *,
    tell: Tell,
    sown: list[Sown],
    ended: asyncio.Event,
    look: Callable[[], Verdict],
    on_stage: Callable[[Hands], None] | None,
    desk: Desk | None,
) -> None:
    """The daemon's life from its first reading to the end of the drain."""

    def tell_scene(scene: Scene) -> None:
        hands.note_scene(scene)
        tell("house", scene.say)

    def tell_act(did: Request, row: Row) -> None:
        tell("people", _did(did, row))

    dead: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            helpers = [
                group.create_task(_watch("the daemon", daemon, folder / "daemon.log")),
                group.create_task(_watch("the platform", platform, folder / "platform.log")),
                group.create_task(
                    attend(hands.ask, tell=tell_act, is_on_duty=lambda: not hands.is_on_duty)
                ),
                group.create_task(_tell_panel(folder / PINS, tell)),
                group.create_task(_tell_platform(folder / "platform.log", tell)),
            ]
            if desk is not None:
                watching = _watch("the console", desk.process, folder / DESK_LOG)
                helpers.append(group.create_task(watching))
            await _until_ready(hands.ask, folder)
            tell(
                "demo",
                Text("网关就绪，各监测点均有读数", "the gateway is ready, every point has a value"),
            )
            if on_stage is not None:
                on_stage(hands)
            loop = asyncio.get_running_loop()
            start = loop.time()
            scenes = scenes_of(passes_in(seconds))
            await play(
                scenes,
                house.devices,
                switch_broker=hands.switch_broker,
                tell=tell_scene,
                sown=sown,
                ended=ended,
                cue=hands.cue,
            )
            if seconds is not None:
                await is_set_within(ended, start + seconds - loop.time())
            tell("demo", Text("故事结束，等待送达", "the story is over, draining"))
            await hands.switch_broker(True)
            await _drain(look)
            for helper in helpers:
                helper.cancel()
    except* PartDied as several:
        dead = several.exceptions[0]
    if dead is not None:  # raised inside `except*`, Python 3.11.2 wraps it into a group again
        raise dead


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


async def _drain(look: Callable[[], Verdict]) -> None:
    """Wait until all is well, at most ten seconds; the verdict comes after the daemon's end."""
    loop = asyncio.get_running_loop()
    until = loop.time() + DRAIN_S
    for _ in iter(lambda: loop.time() < until, False):
        # In a thread: the simulated devices are served by this loop.
        if not (await asyncio.to_thread(look)).problems:
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
