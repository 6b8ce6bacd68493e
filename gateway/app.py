"""The composition root: the only file that knows everyone. Read it as the map of the daemon.

devices --read--> poll --> inbox --> decide --show--> panel            (people first)
people --socket/button---> inbox       |------submit--> store --> forward --> platform
platform --mqtt--> forward --> inbox
"""

import asyncio
import contextlib
import faulthandler
import importlib.metadata
import logging
import random
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC
from functools import partial
from pathlib import Path

from gateway.core.blocks import ReadBlock, plan_blocks
from gateway.core.case_views import case_view, cases_view, closed_view
from gateway.core.cases import counts
from gateway.core.detect import read_within_ms
from gateway.core.duty import duty_view
from gateway.core.health import measure, with_own_device
from gateway.core.judge import judge
from gateway.core.life_view import flood_view, limits_view, noisy_view
from gateway.core.messages import now_body, points_body, read_body, sender_of, state_body
from gateway.core.nights import plan_night
from gateway.core.patterns import BEATS
from gateway.core.progress import (
    Progress,
    brokers_view,
    lanes_view,
    link_view,
    parked_view,
)
from gateway.core.rulings import Judge
from gateway.core.schedule import Schedule
from gateway.core.self_test import is_alarm
from gateway.core.state import State, house_of, open_alarms, shown_readings, state_of
from gateway.core.step import step
from gateway.core.tally import BusTally
from gateway.core.view import alarms_view, buses_view, devices_view, points_view, practice_view
from gateway.domain.events import (
    LampTest,
    NightPlanned,
    Restarted,
    Silence,
    StageReached,
    Stopping,
)
from gateway.domain.moments import Now
from gateway.domain.outcome import Outcome
from gateway.domain.records import Lane, Range, Record
from gateway.domain.signals import Levels
from gateway.domain.site import Broker, Bus, PostChecks, Site, Uplink
from gateway.drivers import mqtt, systemd
from gateway.drivers.clock import Clock, wall, zone
from gateway.drivers.modbus import BusCounts, open_bus
from gateway.drivers.panel import Panel, open_panel, vars_of
from gateway.drivers.sockets import Peer, serve
from gateway.store.store import Store, open_store
from gateway.tasks.commands import Answer, Desk, Request
from gateway.tasks.decide import decide
from gateway.tasks.forward import Incoming, Link, broker_name, forward
from gateway.tasks.inbox import Inbox
from gateway.tasks.keep_time import keep_time
from gateway.tasks.measure_self import measure_self
from gateway.tasks.plan_nights import plan_nights
from gateway.tasks.poll import Nudges, poll_bus, tell_fault
from gateway.tasks.supervise import supervise
from gateway.tasks.tail import tail
from gateway.tasks.tell import beside, tell
from gateway.tasks.trace import Trace
from gateway.tasks.watch import Changes, Watch
from gateway.tasks.watchdog import feed_watchdog

log = logging.getLogger(__name__)

VERSION = importlib.metadata.version("care-gateway")
CLOSED_SHOWN, CLOSED_MOST = 10, 100  # of the cases that were closed
STOP_WITHIN_S = 5.0  # for the decider, for the disk and for the link, each
CANCEL_AGAIN_S = 0.5
MAX_CONSOLES = 4  # one is usual; a fifth is told that it is busy
PLAN_AFTER_S = 5.0  # the arithmetic takes a start's time on a small board, the watch has a minute


@dataclass(frozen=True, slots=True)
class Options:
    """How this process meets the machine."""

    socket: Path
    console: Path | None = None  # a second socket, where one can watch and nothing else
    gpio: str = "auto"
    panel_log: Path | None = None


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


@dataclass(slots=True)
class Figures:
    """What the buses count: by device and answer, and by what was heard on the line."""

    tallies: dict[str, BusTally]
    heard: dict[str, BusCounts] = field(default_factory=dict)

    def counts(self) -> dict[str, dict[str, int]]:
        return {bus: asdict(counts) for bus, counts in self.heard.items()}


async def run(site: Site, options: Options, failpoints: Failpoints | None = None) -> None:
    """Run the daemon until SIGTERM or SIGINT. Raises StoreBusy when another one has the store."""
    failpoints = failpoints or Failpoints()
    stopping = _stop_on_signals()
    clock = Clock(site.store.directory / "clock", wall=failpoints.wall)
    inbox = Inbox(clock.mono)
    inbox.put_first(Restarted())  # before all that disk and panel have to say of this start
    epoch = secrets.token_hex(6)
    watched = with_own_device(site)  # what is judged and told; what is polled is the site's own
    sender = sender_of(watched, epoch)
    beats = dict.fromkeys(["decider", *(bus.id for bus in site.buses)], clock.mono())
    incoming = Incoming()
    trace = Trace(inbox.put_first)
    loop = asyncio.get_running_loop()
    progress = Progress()
    link_stopping = asyncio.Event()
    nudges = {bus.id: Nudges() for bus in site.buses}
    figures = Figures({bus.id: BusTally(clock.mono()) for bus in site.buses})

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
                encode=partial(read_body, sender),
                on_durable=durable,
                on_fault=inbox.put_first,
                on_gap=inbox.put_first,
                on_salvaged=incoming.look_again,
                before_commit=failpoints.before_commit,
            )
        )
        house = house_of(watched, sender, VERSION, zone=zone(site.timezone))
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
        changes = Changes()
        watch = Watch(changes, partial(_duty, site, decided, store, progress, clock), clock.mono)
        desk = Desk(
            inbox.put_first,
            partial(_status, site, decided, panel, store, inbox, progress, figures, clock),
            {
                "uplink_status": partial(
                    _uplink_status, site=site, decided=decided, store=store,
                    progress=progress, clock=clock,
                ),
                "uplink_tail": partial(tail, progress=progress, clock=clock.now),
                "cases": partial(_cases, decided=decided, store=store, clock=clock),
                "case": partial(_case, decided=decided, store=store, clock=clock),
                "watch": watch,
            },
        )  # fmt: skip

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

        def beat(name: str) -> None:
            beats[name] = clock.mono()

        def beat_of_decider() -> None:
            beat("decider")
            panel.beat(beats["decider"])

        def nudge(points: tuple[str, ...]) -> None:
            for line in nudges.values() if points else ():
                line.add(points)

        def start(
            group: asyncio.TaskGroup, name: str, make: Callable[[], Awaitable[None]]
        ) -> asyncio.Task[None]:
            return group.create_task(supervise(name, make, post=inbox.put_first), name=name)

        async with asyncio.TaskGroup() as group:
            deciding = start(
                group,
                "decide",
                lambda: decide(
                    inbox.get,
                    decided,
                    show=panel.show,
                    submit=submit,
                    nudge=nudge,
                    answer=desk.answer,
                    tell=beside(told, inbox.put_first),
                    beat=beat_of_decider,
                    clock=clock.now,
                    step=partial(step, judge=failpoints.judge),
                ),
            )
            producers = [
                start(
                    group,
                    f"poll {bus.id}",
                    partial(
                        _poll,
                        site,
                        bus,
                        inbox,
                        clock,
                        nudges[bus.id],
                        partial(beat, bus.id),
                        figures,
                    ),
                )
                for bus in site.buses
            ]
            producers.append(
                start(
                    group,
                    "health",
                    lambda: measure_self(
                        lambda: measure(figures.tallies, figures.counts(), clock.mono()),
                        put=inbox.put,
                        sleep=asyncio.sleep,
                    ),
                )
            )
            producers.append(start(group, "commands", partial(_answer, options.socket, desk)))
            if options.console is not None:
                producers.append(
                    start(group, "watched", partial(_be_watched, options.console, watch))
                )
            helpers = [
                start(group, "time", partial(keep_time, clock.save, sleep=asyncio.sleep)),
                start(group, "plan", partial(_plan_watch, site, decided)),
                start(group, "nights", partial(_plan_nights, site, inbox, clock)),
            ]
            helpers.extend(_watched(group, start, beats, panel, clock))
            forwarding = None
            if site.uplink is not None:
                uplink = site.uplink
                forwarding = start(
                    group,
                    "forward",
                    lambda: forward(
                        uplink=uplink,
                        sender=sender,
                        connect=partial(_connect, uplink),
                        load=store.unsettled,
                        position=store.position,
                        settle=settled,
                        bounds=store.bounds,
                        incoming=incoming,
                        post=inbox.put_first,
                        clock=clock.now,
                        mono=clock.mono,
                        jitter=random.uniform,
                        describe=lambda **said: state_body(
                            sender,
                            delivery=uplink.delivery,
                            software=VERSION,
                            site_sha=site.sha,
                            heads=store.heads(),
                            **said,
                        ),
                        points=points_body(sender, watched),
                        now_snapshot=partial(_now, decided, clock),
                        stopping=link_stopping,
                        reach=partial(mqtt.reach, uplink),
                        is_own_epoch=store.knows_epoch,
                        progress=progress,
                    ),
                )
            systemd.ready(f"{len(site.devices)} devices on {len(site.buses)} buses")
            log.info("started site=%s version=%s epoch=%s", site.id, VERSION, epoch)

            await stopping.wait()
            log.info("stopping")
            systemd.stopping()
            await _end(producers)
            inbox.put_first(Stopping())
            await asyncio.wait({deciding}, timeout=STOP_WITHIN_S)
            lamps.close()  # nobody decides any more: the panel shows its fault state from here on
            with contextlib.suppress(TimeoutError, OSError):  # a disk that hangs has its own fault
                await asyncio.wait_for(store.flush(), STOP_WITHIN_S)
            link_stopping.set()
            if forwarding is not None:
                await asyncio.wait({forwarding}, timeout=STOP_WITHIN_S + 1)
            await _end([*helpers, deciding, *([forwarding] if forwarding else [])])
    faulthandler.cancel_dump_traceback_later()
    log.info("stopped")


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
    within = await asyncio.to_thread(read_within_ms, site)
    house = replace(decided.state.house, read_within_ms=within)
    decided.state = replace(decided.state, house=house)


async def _poll(
    site: Site,
    bus: Bus,
    inbox: Inbox,
    clock: Clock,
    nudges: Nudges,
    beat: Callable[[], None],
    figures: Figures,
) -> None:
    """Poll one bus through a door of its own."""
    devices = {device.id: device for device in site.devices if device.bus == bus.id}
    async with open_bus(bus) as door:
        figures.heard[bus.id] = door.counts

        async def read(block: ReadBlock, timeout: int) -> list[int]:
            return await door.read(block.unit, block.table, block.start, block.count, timeout)

        schedule = Schedule(
            bus,
            (block for device in devices.values() for block in plan_blocks(device, bus)),
            clock.mono(),
            hold_ms=lambda block: door.hold_ms(block.unit, block.table, block.count),
            tally=figures.tallies[bus.id],
            plan=lambda device, turnaround_ms: plan_blocks(devices[device], bus, turnaround_ms),
        )
        tell = tell_fault(lambda: door.foreign_master, "foreign_master", bus.id, inbox.put_first)

        def beat_and_tell() -> None:
            beat()
            tell()

        await poll_bus(
            schedule,
            read=read,
            put=inbox.put,
            clock=clock.mono,
            sleep_until=clock.sleep_until,
            beat=beat_and_tell,
            nudged=nudges.take,
        )


async def _answer(socket: Path, desk: Desk) -> None:
    """Answer technicians and programs on the daemon's socket."""

    async def handle(request: Request, _peer: Peer) -> Answer:
        return await desk.handle(request)

    async with serve(socket, handle):
        await asyncio.Event().wait()


async def _be_watched(socket: Path, watch: Watch) -> None:
    """Answer the console, whose user is a stranger: it may look, and not often."""

    async def handle(request: Request, _peer: Peer) -> Answer:
        if request.get("verb") != "watch":
            return {"ok": False, "code": "not_allowed", "error": "here one can only watch"}
        return {"ok": True, **await watch(request)}

    # Open to every user of this machine: it shows what the page shows to everyone in the house.
    async with serve(socket, handle, mode=0o666, max_peers=MAX_CONSOLES):
        await asyncio.Event().wait()


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


def _duty(site: Site, decided: Decided, store: Store, progress: Progress, clock: Clock) -> Answer:
    """Everything the duty page shows."""
    now, state, unsettled = clock.now(), decided.state, store.stats().unsettled
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
    site: Site,
    decided: Decided,
    panel: Panel,
    store: Store,
    inbox: Inbox,
    progress: Progress,
    figures: Figures,
    clock: Clock,
) -> Answer:
    """Everything `care-gateway status` shows."""
    now, state, stats = clock.now(), decided.state, store.stats()
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
        "flood": flood_view(state),
        "noisy": noisy_view(state, now),
        "practice": practice_view(state, now),
        "points": points_view(state, now),
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
    site: Site,
    decided: Decided,
    store: Store,
    progress: Progress,
    clock: Clock,
) -> Answer:
    """Everything `care-gateway uplink status` shows."""
    now = clock.now()
    brokers = site.uplink.brokers if site.uplink else ()
    return {
        "gateway": site.uplink.gateway if site.uplink else None,
        "link": _link(site, decided.state, progress, now),
        "lanes": lanes_view(progress, store.stats().unsettled, now.mono_ms),
        "brokers": brokers_view(progress, map(broker_name, brokers), now.mono_ms),
        "parked": parked_view(progress),
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


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel until they have ended.

    Once is not enough: Python 3.11's `wait_for`, which pymodbus uses, forgets a cancellation that
    arrives together with its result (python/cpython#86296), and an endless task then goes on.
    """
    while waiting := [task for task in tasks if not task.done()]:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting, timeout=CANCEL_AGAIN_S)
