"""The composition root: the only file that knows everyone. Read it as the map of the daemon.

devices --read--> poll --> inbox --> decide --show--> panel            (people first)
people --socket/button---> inbox       |------submit--> store --> forward --> platform
platform --mqtt--> forward --> inbox
"""

import asyncio
import contextlib
import faulthandler
import gc
import importlib.metadata
import logging
import random
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any

from gateway.core.acceptance_view import acceptance_counts
from gateway.core.blocks import ReadBlock, plan_shorter
from gateway.core.case_views import case_view, cases_view, closed_view
from gateway.core.cases import counts
from gateway.core.coverage import coverage_view
from gateway.core.detect import read_within_ms
from gateway.core.duty import duty_view
from gateway.core.health import Figures as HealthFigures
from gateway.core.health import measure, with_own_device
from gateway.core.judge import judge
from gateway.core.life_view import flood_view, limits_view, noisy_view
from gateway.core.line_view import line_view
from gateway.core.messages import (
    Sender,
    now_body,
    points_body,
    read_body,
    sender_of,
    state_body,
)
from gateway.core.nights import plan_night
from gateway.core.patrol_views import patrol_counts
from gateway.core.patterns import BEATS
from gateway.core.progress import (
    Progress,
    brokers_view,
    lanes_view,
    link_view,
    parked_view,
    standing_view,
)
from gateway.core.reload import kept
from gateway.core.rulings import Judge
from gateway.core.scan import set_to, setting_of
from gateway.core.schedule import Schedule
from gateway.core.self_test import is_alarm
from gateway.core.starts import start_count
from gateway.core.state import House, State, house_of, open_alarms, shown_readings, state_of
from gateway.core.step import step
from gateway.core.tally import BusTally
from gateway.core.view import alarms_view, buses_view, devices_view, points_view, practice_view
from gateway.domain.errors import SiteRefused
from gateway.domain.events import (
    Event,
    FaultCleared,
    FaultRaised,
    LampTest,
    NightPlanned,
    Restarted,
    Silence,
    SiteChanged,
    StageReached,
    Stopping,
    TagSeen,
)
from gateway.domain.families import LineSetting
from gateway.domain.links import SignedRead
from gateway.domain.moments import Now
from gateway.domain.outcome import Outcome
from gateway.domain.points import Table
from gateway.domain.records import Batch, Lane, Range, Record
from gateway.domain.signals import Levels
from gateway.domain.site import (
    Broker,
    Bus,
    Device,
    FixedReader,
    PostChecks,
    SerialLine,
    Site,
    TagKeyFiles,
    Uplink,
)
from gateway.drivers import mqtt, pins, sun, systemd
from gateway.drivers.clock import SYNC_FLAG, Clock, wall, zone
from gateway.drivers.host import host_figures
from gateway.drivers.modbus import BusCounts, BusDoor, open_bus
from gateway.drivers.panel import Panel, open_panel, vars_of
from gateway.drivers.sockets import Peer, is_user, serve
from gateway.store.store import Store, open_store
from gateway.tasks.acceptance_commands import ACCEPT_MAKERS, acceptance_queries
from gateway.tasks.bus_tools import BusTools, HeldLine
from gateway.tasks.commands import NO_ANSWER, Answer, Desk, Request
from gateway.tasks.decide import decide
from gateway.tasks.forward import Incoming, Link, broker_name, forward
from gateway.tasks.inbox import Inbox
from gateway.tasks.keep_time import keep_time, tell_steps
from gateway.tasks.lines import Line, Lines, end_tasks
from gateway.tasks.measure_self import measure_self
from gateway.tasks.patrol_commands import MAKERS, patrol_queries
from gateway.tasks.phones import VERBS as PHONE_VERBS
from gateway.tasks.phones import Phones
from gateway.tasks.plan_nights import plan_nights
from gateway.tasks.poll import poll_bus, tell_fault
from gateway.tasks.reload import Asked, reload_site
from gateway.tasks.started_pool import started_pool
from gateway.tasks.supervise import supervise
from gateway.tasks.tail import tail
from gateway.tasks.taps import Taps, watch_reader
from gateway.tasks.tell import beside, tell
from gateway.tasks.tidy_memory import tidy_memory
from gateway.tasks.trace import Trace
from gateway.tasks.watch import Changes, Watch
from gateway.tasks.watchdog import feed_watchdog

log = logging.getLogger(__name__)

VERSION = importlib.metadata.version("care-gateway")
CLOSED_SHOWN, CLOSED_MOST = 10, 100  # of the cases that were closed
DECIDE_WITHIN_S = 30.0  # a house; the watchdog looks after a decider that hangs
STOP_WITHIN_S = 5.0  # for the decider, for the disk and for the link, each
MAX_CONSOLES = 8  # one is usual, with three connections; a ninth is told that it is busy
MAX_READERS = 4
WORKERS = 8  # one that hangs on a dead disk holds up nobody else
IDLE_S = 30.0  # on sockets that every user of this machine may open; the console asks each second
READER_USER = "care-gateway-reader"
PLAN_AFTER_S = 5.0  # the arithmetic takes a start's time on a small board, the watch has a minute


@dataclass(frozen=True, slots=True)
class Options:
    """How this process meets the machine."""

    socket: Path
    console: Path | None = None  # a second socket, where one can watch and nothing else
    reader: Path | None = None  # a third, where the NFC reader's process tells of taps
    gpio: str = "auto"
    panel_log: Path | None = None
    sync_flag: Path = SYNC_FLAG  # touched at each synchronisation of the clock


@dataclass(frozen=True, slots=True)
class Failpoints:
    """Where tests make things go wrong inside a real daemon; inert otherwise."""

    judge: Judge = judge
    before_commit: Callable[[str], None] | None = None
    wall: Callable[[], int] = wall


@dataclass(slots=True)
class Decided:
    """The state as of the last decision: written by the decider, read by views."""

    state: State

    @property
    def site(self) -> Site:
        """The site as it is judged and told: with the device `gateway`."""
        return self.state.house.site


@dataclass(slots=True)
class Running:
    """What works by the site file and begins anew when that part of it changes."""

    site: Site  # what is polled: the site's own
    planning: list[asyncio.Task[None]] = field(default_factory=list)
    forwarding: asyncio.Task[None] | None = None
    link_stopping: asyncio.Event = field(default_factory=asyncio.Event)
    reader: FixedReader | None = None
    taps: Taps | None = None
    reading: list[asyncio.Task[None]] = field(default_factory=list)


@dataclass(slots=True)
class Figures:
    """What the buses count: by device and answer, and by what was heard on the line."""

    tallies: dict[str, BusTally] = field(default_factory=dict)
    heard: dict[str, BusCounts] = field(default_factory=dict)

    def counts(self) -> dict[str, dict[str, int]]:
        return {bus: asdict(counts) for bus, counts in self.heard.items()}

    def forget_all_but(self, devices: Iterable[Device]) -> None:
        """Of each bus the devices that are not on it any more; one that moved begins anew there."""
        on = {(device.bus, device.id) for device in devices}
        for bus, tally in self.tallies.items():
            for device in [each for each in tally.devices if (bus, each) not in on]:
                del tally.devices[device]


async def run(
    site: Site,
    options: Options,
    failpoints: Failpoints | None = None,
    *,
    load: Callable[[], Site] | None = None,
) -> None:
    """Run the daemon until SIGTERM or SIGINT. Raises StoreBusy when another one has the store.

    `load` reads the site file again on SIGHUP, or raises SiteRefused; without it nothing reloads.
    """
    failpoints = failpoints or Failpoints()
    stopping = _stop_on_signals()
    asked = Asked()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.ask)
    clock = Clock(site.store.directory / "clock", flag=options.sync_flag, wall=failpoints.wall)
    inbox = Inbox(clock.mono)
    inbox.put_first(Restarted())  # before all that disk and panel have to say of this start
    epoch = secrets.token_hex(6)
    house = _index(site, epoch)
    senders = {house.sender.points_hash: house.sender}  # batches are encoded after a reload too
    beats = {"decider": clock.mono()}
    incoming = Incoming()
    trace = Trace(inbox.put_first)
    loop = asyncio.get_running_loop()
    loop.set_default_executor(started_pool(WORKERS))
    progress = Progress()
    running = Running(site)
    figures = Figures()

    def durable(records: Sequence[Record]) -> None:
        incoming.durable(records)
        trace.durable(records)

    async with AsyncExitStack() as files:
        lamps = files.enter_context(ExitStack())  # people first: lit before any disk is asked
        panel = lamps.enter_context(
            open_panel(
                site.panel,
                factory=options.gpio,
                on_button=lambda: inbox.put_first(Silence("panel")),
                on_hold=lambda: inbox.put_first(LampTest("panel")),
                on_fault=inbox.put_first,
                log_path=options.panel_log,
                mono=clock.mono,
                beats={**BEATS, **site.patterns},
            )
        )
        store = await files.enter_async_context(
            open_store(
                site.store,
                epoch=epoch,
                encode=partial(_encode, senders),
                on_durable=durable,
                on_fault=inbox.put_first,
                on_gap=inbox.put_first,
                on_salvaged=incoming.look_again,
                before_commit=failpoints.before_commit,
            )
        )
        restored = store.restored
        decided = Decided(
            state_of(
                house,
                restored.alarms,
                clock.now(),
                kept=restored.kept,
                heads=restored.heads,
            )
        )
        del house  # a reload makes another one, and this frame stays for as long as the daemon
        starts = start_count(decided.state.kept, clock.now())
        changes = Changes()
        watch = Watch(changes, partial(_duty, decided, store, progress, clock), clock.mono)
        tools = BusTools()
        desk = Desk(
            inbox.put_first,
            partial(_status, decided, panel, store, inbox, progress, figures, clock),
            {
                "uplink_status": partial(
                    _uplink_status, decided=decided, store=store, progress=progress, clock=clock,
                ),
                "uplink_tail": partial(tail, progress=progress, clock=clock.now),
                "cases": partial(_cases, decided=decided, store=store, clock=clock),
                "case": partial(_case, decided=decided, store=store, clock=clock),
                "watch": watch,
                "bus_lines": tools.tell,
                "bus_ask": tools.ask,
                "reload": lambda _request: reload(),
                "reader_status": partial(_reader_status, running=running),
                **patrol_queries(lambda: decided.state, clock.now),
                **acceptance_queries(lambda: decided.state, clock.now),
            },
            {**MAKERS, **ACCEPT_MAKERS},
        )  # fmt: skip

        phones = Phones(
            desk.handle,
            _verifier(_tag_keys(site.tag_keys), inbox.put_first),
            pins.is_pin,
            clock.mono,
            lambda checkpoint: inbox.put_first(TagSeen(checkpoint)),
        )

        def submit(outcome: Outcome) -> None:
            if outcome.rehearsal is not None:
                trace.follow(outcome.rehearsal.key)
                panel.rehearse(outcome.rehearsal.signal, partial(rehearsed, outcome.rehearsal.key))
            store.submit(outcome)
            incoming.submitted(outcome.records)

        def rehearsed(key: str, levels: Levels) -> None:
            """Called in the panel's thread."""
            if is_alarm(levels):
                loop.call_soon_threadsafe(inbox.put_first, StageReached("panel", key))

        def settled(ranges: Sequence[Range]) -> None:
            store.settle(ranges)
            trace.settled(ranges)

        def told(before: State, after: State, outcome: Outcome) -> None:
            changes.note(before, after, outcome)
            tell(before, after, outcome)
            if after.house is not before.house:
                incoming.describe_again()

        def beat(name: str) -> None:
            beats[name] = clock.mono()

        def beat_of_decider() -> None:
            beat("decider")
            panel.beat(beats["decider"])

        def came(bus: str) -> None:
            beat(bus)
            figures.tallies.setdefault(bus, BusTally(clock.mono()))

        def went(bus: str) -> None:
            for known in (beats, figures.tallies, figures.heard):
                known.pop(bus, None)

        def start(
            group: asyncio.TaskGroup, name: str, make: Callable[[], Awaitable[None]]
        ) -> asyncio.Task[None]:
            return group.create_task(supervise(name, make, post=inbox.put_first), name=name)

        def poll(line: Line) -> asyncio.Task[None]:
            beat_of_line = partial(beat, line.bus.id)
            make = partial(_poll, line, inbox, clock, beat_of_line, figures, tools, decided)
            return start(group, f"poll {line.bus.id}", make)

        lines = Lines(poll, came=came, went=went)

        def begin_planning() -> None:
            plan = partial(_plan_watch, running.site, decided)
            nights = partial(_plan_nights, running.site, inbox, clock)
            running.planning = [start(group, "plan", plan), start(group, "nights", nights)]

        async def read_taps() -> None:
            """Listen to the reader's process where the house has one; another one, anew."""
            spec = running.site.reader
            if options.reader is None or spec == running.reader:
                return
            await end_tasks(running.reading)
            if running.taps is not None:
                running.taps.end()
            running.reader, running.taps, running.reading = spec, None, []
            if spec is not None:
                running.taps = Taps(
                    spec.id,
                    spec.device,
                    put=inbox.put_first,
                    ask=desk.handle,
                    mono=clock.mono,
                    again_ms=spec.again_ms,
                )
                make = partial(_take_taps, options.reader, running.taps)
                running.reading = [start(group, "taps", make)]

        def begin_forwarding() -> None:
            uplink = running.site.uplink
            if uplink is None:
                return
            running.link_stopping = asyncio.Event()
            make = partial(
                forward,
                uplink=uplink,
                sender=decided.state.house.sender,
                connect=partial(_connect, uplink),
                load=store.unsettled,
                retained=store.retained,
                position=store.position,
                settle=settled,
                bounds=store.bounds,
                incoming=incoming,
                post=inbox.put_first,
                clock=clock.now,
                mono=clock.mono,
                jitter=random.uniform,
                describe=partial(_describe, uplink, decided, store),
                points=lambda: points_body(decided.state.house.sender, decided.site),
                now_snapshot=partial(_now, decided, clock),
                stopping=running.link_stopping,
                reach=partial(mqtt.reach, uplink),
                is_own_epoch=store.knows_epoch,
                progress=progress,
            )
            running.forwarding = start(group, "forward", make)

        async def end_forwarding() -> None:
            """It says goodbye and delivers what it can in 5 s."""
            running.link_stopping.set()
            if running.forwarding is not None:
                await asyncio.wait({running.forwarding}, timeout=STOP_WITHIN_S + 1)
                await end_tasks([running.forwarding])

        def index(new: Site) -> House:
            """Called in a thread."""
            made = kept(decided.state.house, _index(new, epoch))
            senders[made.sender.points_hash] = made.sender
            return made

        async def decide_house(new: object) -> None:
            if isinstance(new, House):
                figures.forget_all_but(new.site.devices)
            asked: list[SiteChanged] = []

            async def put(number: int) -> None:
                event = SiteChanged(new, number)
                await inbox.put(event)  # behind the last block that was read by the old house
                asked.append(event)

            answer = await desk.ask(put, DECIDE_WITHIN_S)
            for event in asked if answer["code"] == NO_ANSWER else ():
                inbox.withdraw(event)  # refused is refused, however late the decider comes to it
            if not answer["ok"]:
                raise SiteRefused(f"the decider did not take it: {answer['code']}")

        async def reload() -> Answer:
            """Become what the site file says now, or say in the status why not."""
            if load is None:
                return {"ok": False, "code": "no_reload", "error": "this daemon cannot reload"}
            async with reloading:
                systemd.status(f"{_in_short(running.site)}; reading the site file")
                try:
                    new, change = await reload_site(
                        running.site, load=load, index=index, lines=lines, decide=decide_house
                    )
                except SiteRefused as refused:
                    log.warning("site file refused, the running one goes on why=%s", refused.why)
                    systemd.status(f"{_in_short(running.site)}; site file REFUSED: {refused.why}")
                    error = refused.detail or refused.why
                    return {"ok": False, "code": "refused", "error": error}
                running.site = new
                keys = await asyncio.to_thread(_tag_keys, new.tag_keys)
                phones.verify = _verifier(keys, inbox.put_first)
                await end_tasks(running.planning)
                begin_planning()
                await read_taps()
                if change.has_uplink_changed:
                    await end_forwarding()
                    begin_forwarding()
                systemd.status(_in_short(new))
                return {"ok": True, "code": "done", "changed": sorted(change.resting)}

        reloading = asyncio.Lock()
        gc.freeze()  # the house lives as long as we do
        async with asyncio.TaskGroup() as group:
            deciding = start(
                group,
                "decide",
                lambda: decide(
                    inbox.get,
                    decided,
                    show=panel.show,
                    submit=submit,
                    nudge=lines.nudge,
                    answer=desk.answer,
                    tell=beside(told, inbox.put_first),
                    beat=beat_of_decider,
                    clock=clock.now,
                    step=partial(step, judge=failpoints.judge),
                ),
            )
            lines.begin(site)
            producers = [
                start(
                    group,
                    "health",
                    lambda: measure_self(
                        lambda: measure(
                            figures.tallies,
                            figures.counts(),
                            clock.mono(),
                            _host(store, starts, clock),
                        ),
                        put=inbox.put,
                        sleep=asyncio.sleep,
                    ),
                ),
                start(group, "commands", partial(_answer, options.socket, desk)),
                start(group, "reload", partial(asked.serve, reload)),
            ]
            if options.console is not None:
                producers.append(
                    start(group, "console", partial(_be_watched, options.console, watch, phones))
                )
            helpers = [
                start(
                    group,
                    "time",
                    partial(keep_time, clock.floor_ms, clock.save, sleep=asyncio.sleep),
                ),
                start(group, "clock", partial(_tell_steps, clock, inbox)),
                start(group, "memory", partial(tidy_memory, gc.collect, sleep=asyncio.sleep)),
                *_watched(group, start, beats, panel, clock),
            ]
            begin_planning()
            await read_taps()
            begin_forwarding()
            systemd.ready(_in_short(site))
            log.info("started site=%s version=%s epoch=%s", site.id, VERSION, epoch)

            await stopping.wait()
            log.info("stopping")
            systemd.stopping()
            await end_tasks([*producers, *running.reading, *lines.tasks])
            inbox.put_first(Stopping())
            await asyncio.wait({deciding}, timeout=STOP_WITHIN_S)
            lamps.close()  # nobody decides any more: the panel shows its fault state from here on
            with contextlib.suppress(TimeoutError, OSError):  # a disk that hangs has its own fault
                await asyncio.wait_for(store.flush(), STOP_WITHIN_S)
            await end_forwarding()
            await end_tasks([*helpers, *running.planning, deciding])
    faulthandler.cancel_dump_traceback_later()
    log.info("stopped")


def _index(site: Site, epoch: str) -> House:
    """The site for the decider, who also watches this gateway itself."""
    watched = with_own_device(site)
    sender = sender_of(watched, epoch)
    return house_of(
        watched, sender, VERSION, zone=zone(site.timezone), patrol_seed=secrets.token_hex(16)
    )


def _encode(senders: Mapping[str, Sender], batch: Batch) -> bytes:
    """A batch in the words of the house in which it was read; called in the writer's thread."""
    return read_body(senders[batch.dictionary], batch)


def _in_short(site: Site) -> str:
    return f"{len(site.devices)} devices on {len(site.buses)} buses"


def _describe(uplink: Uplink, decided: Decided, store: Store, **said: Any) -> bytes:
    house = decided.state.house
    return state_body(
        house.sender,
        delivery=uplink.delivery,
        software=VERSION,
        site_sha=house.site_sha,
        heads=store.heads(),
        **said,
    )


async def _plan_nights(site: Site, inbox: Inbox, clock: Clock) -> None:
    """Draw the moments of each night; post checks only where the site's zone is known."""
    here = zone(site.timezone)
    checks = site.post_checks if here is not None else PostChecks()  # not in the middle of the day
    if site.self_test_minute is None and not checks.per_night:
        await asyncio.Event().wait()
    draw = random.SystemRandom().random  # nobody shall guess when

    def plan(utc_ms: int) -> NightPlanned:
        return plan_night(utc_ms, here or UTC, checks, site.self_test_minute, draw)

    await plan_nights(plan, put=inbox.put_first, clock=clock.now, sleep=asyncio.sleep)


async def _plan_watch(site: Site, decided: Decided) -> None:
    """Let the decider watch the planned detection times, once the first values are out."""
    await asyncio.sleep(PLAN_AFTER_S)
    planned_for = decided.site
    within = await asyncio.to_thread(read_within_ms, site)
    if decided.site is planned_for:  # not meanwhile another one
        house = replace(decided.state.house, read_within_ms=within)
        decided.state = replace(decided.state, house=house)


async def _poll(
    line: Line,
    inbox: Inbox,
    clock: Clock,
    beat: Callable[[], None],
    figures: Figures,
    tools: BusTools,
    decided: Decided,
) -> None:
    """Poll one bus through a door of its own, by a new schedule whenever it has rested."""
    bus = line.bus
    async with AsyncExitStack() as stack:
        door = await stack.enter_async_context(open_bus(bus))
        figures.heard[bus.id] = door.counts
        held = HeldLine(partial(_read_once, bus, door), partial(_told, line, figures, decided))
        stack.enter_context(tools.holding(bus.id, held))

        async def read(block: ReadBlock, timeout: int) -> list[int]:
            return await door.read(block.unit, block.table, block.start, block.count, timeout)

        tell = tell_fault(lambda: door.foreign_master, "foreign_master", bus.id, inbox.put_first)

        def beat_and_tell() -> None:
            beat()
            tell()

        while True:
            await line.may_ask.wait()
            line.is_at_rest.clear()
            try:
                await poll_bus(
                    _schedule(line, door, clock, figures),
                    read=read,
                    put=inbox.put,
                    clock=clock.mono,
                    sleep_until=clock.sleep_until,
                    beat=beat_and_tell,
                    nudged=line.nudges.take,
                    is_over=line.shall_rest,
                )
            finally:
                line.is_at_rest.set()


async def _read_once(
    bus: Bus,
    door: BusDoor,
    setting: LineSetting | None,
    unit: int,
    table: Table,
    start: int,
    count: int,
    timeout_ms: int,
) -> Sequence[int]:
    """One read for a technician, with the bus's own setting or, the port being lent, another."""
    link = bus.link
    if setting is None or not isinstance(link, SerialLine) or setting == setting_of(link):
        return await door.read(unit, table, start, count, timeout_ms)
    other = replace(bus, link=set_to(link, setting))
    async with door.lent(), open_bus(other, late_ms=0) as lent:
        return await lent.read(unit, table, start, count, timeout_ms)


def _told(line: Line, figures: Figures, decided: Decided) -> Answer:
    bus = line.bus
    return line_view(
        bus,
        line.devices.values(),
        decided.state.house.alarm_points,
        figures.tallies[bus.id],
        figures.counts().get(bus.id, {}),
    )


def _schedule(line: Line, door: BusDoor, clock: Clock, figures: Figures) -> Schedule:
    bus, devices, tally = line.bus, line.devices, figures.tallies[line.bus.id]

    def plan(name: str, turnaround_ms: float = 50) -> tuple[ReadBlock, ...]:
        device = devices[name]
        takes = tally.takes_of(name, device.max_registers)
        return plan_shorter(device, bus, takes, turnaround_ms)

    return Schedule(
        bus,
        (block for name in devices for block in plan(name)),
        clock.mono(),
        hold_ms=lambda block: door.hold_ms(block.unit, block.table, block.count),
        tally=tally,
        plan=plan,
        number=tuple(figures.tallies).index(bus.id),
    )


async def _answer(socket: Path, desk: Desk) -> None:
    """Answer technicians and programs on the daemon's socket."""

    async def handle(request: Request, _peer: Peer) -> Answer:
        return await desk.handle(request)

    async with serve(socket, handle):
        await asyncio.Event().wait()


async def _be_watched(socket: Path, watch: Watch, phones: Phones) -> None:
    """Answer the console, whose user is a stranger: it may look, and pass on what phones say."""

    async def handle(request: Request, _peer: Peer) -> Answer:
        match request.get("verb"):
            case "watch":
                return {"ok": True, **await watch(request)}
            case verb if verb in PHONE_VERBS:
                return await phones.handle(request)
            case _:
                return {"ok": False, "code": "not_allowed", "error": "the console may not do that"}

    # Open to every user of this machine: it shows what the page shows to everyone in the house,
    # and a visit needs a phone that is remembered, or a PIN.
    async with serve(
        socket,
        handle,
        mode=0o666,
        max_peers=MAX_CONSOLES,
        max_each=MAX_CONSOLES // 2,
        idle_s=IDLE_S,
    ):
        await asyncio.Event().wait()


def _tag_keys(files: TagKeyFiles | None) -> sun.SunKeys | OSError | ValueError | None:
    """What is in the files, or why it cannot be had; waits for the disk."""
    if files is None:
        return None
    try:
        return sun.read_keys(files.meta_read, files.file_read, is_per_tag=files.is_per_tag)
    except (OSError, ValueError) as error:
        return error


def _verifier(
    keys: sun.SunKeys | OSError | ValueError | None, post: Callable[[Event], None]
) -> Callable[[str], SignedRead | None] | None:
    """How links of signing tags are looked at; None without keys, or when they cannot be read."""
    if isinstance(keys, OSError | ValueError):
        log.warning("tag keys unread why=%s", keys)
        post(FaultRaised("tag_keys_unread", "tags", str(keys)))
        return None
    post(FaultCleared("tag_keys_unread", "tags"))
    return None if keys is None else partial(sun.verify, keys=keys)


async def _take_taps(socket: Path, taps: Taps) -> None:
    """Listen to the NFC reader's process, and to nobody else: a tap says who is there."""

    async def handle(request: Request, peer: Peer) -> Answer:
        if not is_user(peer.uid, READER_USER):
            return {"ok": False, "code": "not_allowed", "error": "only the reader's process"}
        return await taps.handle(request)

    most, each = MAX_READERS, MAX_READERS // 2
    async with serve(socket, handle, mode=0o666, max_peers=most, max_each=each, idle_s=IDLE_S):
        await watch_reader(taps, sleep=asyncio.sleep)


async def _reader_status(_request: Request, *, running: Running) -> Answer:
    return {"reader": None if running.taps is None else running.taps.view()}


@asynccontextmanager
async def _connect(
    uplink: Uplink,
    broker: Broker,
    will: tuple[str, bytes],
    on_message: Callable[[str, bytes], None],
) -> AsyncIterator[Link]:
    async with mqtt.connect(
        uplink, broker, client_id=uplink.gateway, will=will, on_message=on_message
    ) as link:
        yield link


def _host(store: Store, starts: int, clock: Clock) -> HealthFigures:
    """What the machine, its disk and its clock say of themselves."""
    stats, now = store.stats(), clock.now()
    written = [file.bytes_a_day for file in (stats.core, stats.readings)]
    free = stats.core.disk_free
    return {
        **host_figures(),
        "starts": starts,
        "disk_free": None if free is None else round(free / 1e6, 1),
        "disk_a_day": round(sum(each or 0 for each in written) / 1e6, 1) if any(written) else None,
        "clock_error": now.err_ms,
        "clock_unsure": int(not now.is_trusted),
    }


async def _tell_steps(clock: Clock, inbox: Inbox) -> None:
    await tell_steps(clock.take_steps, put=inbox.put_first, sleep=asyncio.sleep)


def _now(decided: Decided, clock: Clock) -> bytes:
    """The `now` message: every point and every open alarm as of this moment."""
    now, state = clock.now(), decided.state
    readings = shown_readings(state, now.mono_ms)
    return now_body(
        state.house.sender,
        at=now,
        readings=readings,
        alarms=open_alarms(state),
        open_cases=len(state.cases),
    )


async def _cases(request: Request, *, decided: Decided, store: Store, clock: Clock) -> Answer:
    """Every open case, and the last ones that were closed, newest first."""
    wanted = request.get("closed", CLOSED_SHOWN)
    count = wanted if isinstance(wanted, int) and 0 <= wanted <= CLOSED_MOST else CLOSED_SHOWN
    state = decided.state
    closed = [closed_view(record) for record in await store.last("case", count)]
    return {
        "open": cases_view(state, clock.now()),
        "counts": counts(state.cases),
        "closed": closed,
    }


async def _case(request: Request, *, decided: Decided, store: Store, clock: Clock) -> Answer:
    """One case, whole: an open one, or one of the last that were closed; None for any other."""
    name = str(request.get("case"))
    found = case_view(decided.state, clock.now(), name)
    if found is None:
        records = map(closed_view, await store.last("case", CLOSED_MOST))
        found = next((case for case in records if name in (case["case"], case["rule"])), None)
    return {"case": found}


def _duty(decided: Decided, store: Store, progress: Progress, clock: Clock) -> Answer:
    """Everything the duty page shows."""
    now, state, unsettled = clock.now(), decided.state, store.stats().unsettled
    site = decided.site
    link: Answer = {"is_set": site.uplink is not None}
    if site.uplink is not None:
        link |= _link(site, state, progress, now)
        link["queued"] = {lane.value: unsettled.get(lane, 0) for lane in Lane}
    return {
        "site": {"id": site.id, "name": site.name, "timezone": site.timezone},
        "clock": {"clk": now.clk.value, "utc_ms": now.utc_ms},
        **duty_view(state, now),
        "link": link,
    }


async def _status(
    decided: Decided,
    panel: Panel,
    store: Store,
    inbox: Inbox,
    progress: Progress,
    figures: Figures,
    clock: Clock,
) -> Answer:
    """Everything `care-gateway status` shows.

    What grows with the points is put together in a thread: the state never changes, and whoever
    watches a large house shall not hold up its alarms.
    """
    now, state = clock.now(), decided.state
    shown = await asyncio.to_thread(_shown_points, state, now)
    stats, site, acceptance = store.stats(), state.house.site, shown["acceptance"]
    return {
        "version": VERSION,
        "site": {"id": site.id, "name": site.name, "sha": site.sha},
        "clock": {"clk": now.clk.value, "utc_ms": now.utc_ms, "err_ms": now.err_ms},
        "panel": {
            "levels": vars_of(panel.levels),
            "signal": {
                "red": panel.signal.red.value,
                "amber": panel.signal.amber.value,
                "yellow": panel.signal.yellow.value,
                "green": panel.signal.green.value,
                "white": panel.signal.white.value,
                "pattern": panel.signal.pattern.value,
            },
        },
        "alarms": alarms_view(state, now),
        "cases": counts(state.cases),
        **limits_view(state, now),
        "coverage": {**shown["coverage"], "not_accepted": acceptance["points_open"]},
        "acceptance": acceptance,
        "flood": flood_view(state),
        "noisy": noisy_view(state, now),
        "practice": practice_view(state, now),
        "patrol": patrol_counts(state, now),
        "points": shown["points"],
        "devices": devices_view(state, figures.tallies, now.mono_ms),
        "buses": buses_view(figures.tallies, figures.counts(), now.mono_ms),
        "lanes": lanes_view(progress, stats.unsettled, now.mono_ms),
        "store": {
            file.name: {
                "is_healthy": file.is_healthy,
                "queued": file.queued_records + file.queued_readings,
                "oldest_ms": file.oldest_ms,
                "commits": file.commits,
                "bytes_written": file.bytes_written,
                "bytes_a_day": file.bytes_a_day,
                "fsync_p99_ms": file.fsync_p99_ms,
                "pressure": int(file.level),
            }
            for file in (stats.core, stats.readings)
        },
        "link": _link(site, state, progress, now),
        "inbox": {"waiting": len(inbox), "dropped": inbox.dropped},
    }


def _shown_points(state: State, now: Now) -> dict[str, Any]:
    return {
        "points": points_view(state, now),
        "coverage": coverage_view(state.house.site),
        "acceptance": acceptance_counts(state),
    }


def _link(site: Site, state: State, progress: Progress, now: Now) -> Answer:
    return {
        "is_up": state.is_link_up,
        "broker": state.link_broker,
        "why": state.link_why,
        "is_platform_present": state.is_platform_present,
        **link_view(progress, site.uplink, now.mono_ms),
    }


async def _uplink_status(
    _request: Request,
    *,
    decided: Decided,
    store: Store,
    progress: Progress,
    clock: Clock,
) -> Answer:
    """Everything `care-gateway uplink status` shows."""
    now, site = clock.now(), decided.site
    brokers = site.uplink.brokers if site.uplink else ()
    return {
        "gateway": site.uplink.gateway if site.uplink else None,
        "link": _link(site, decided.state, progress, now),
        "lanes": lanes_view(progress, store.stats().unsettled, now.mono_ms),
        "brokers": brokers_view(progress, map(broker_name, brokers), now.mono_ms),
        "parked": parked_view(progress),
        "faults": standing_view(alarms_view(decided.state, now)),
    }


def _watched(
    group: asyncio.TaskGroup,
    start: Callable[[asyncio.TaskGroup, str, Callable[[], Awaitable[None]]], asyncio.Task[None]],
    beats: dict[str, int],
    panel: Panel,
    clock: Clock,
) -> list[asyncio.Task[None]]:
    """Feed systemd's watchdog, where this process has one."""
    interval_ms = systemd.watchdog_interval_ms()
    if interval_ms is None:
        return []
    dump_after_s = interval_ms * 0.8 / 1000
    task = start(
        group,
        "watchdog",
        lambda: feed_watchdog(
            lambda: {**beats, "panel": panel.thread_beat()},
            feed=lambda: (systemd.feed(), None)[1],
            arm_dump=lambda: faulthandler.dump_traceback_later(dump_after_s),
            sleep=asyncio.sleep,
            mono=clock.mono,
            every_ms=interval_ms // 4,
        ),
    )
    return [task]


def _stop_on_signals() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping
