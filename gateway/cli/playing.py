"""The demo as a live page that a person can take part in."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.cli.live import Feed, follow, open_screen, show
from gateway.cli.page import Page
from gateway.cli.watch import scrolled
from gateway.domain.text import Lang, Text
from gateway.sim.hands import Hands
from gateway.sim.people import STAFF
from gateway.sim.stage import WHO, Report, perform

TITLE = Text("演示", "demo")
KEPT_LINES = 200
KEYS = (
    ("s", Text("消音", "silence")),
    ("a", Text("确认", "acknowledge")),
    ("r", Text("复位", "reset")),
    ("p/1-{}", Text("拔插设备", "pull")),
    ("b", Text("消息服务器", "broker")),
    ("n", Text("下一幕", "next")),
    ("d", Text("换班", "duty")),
    ("q", Text("结束", "end")),
)
VERB_OF = {"s": "silence", "a": "acknowledge", "r": "reset"}
YOU = Text("您", "you")
DUTY = Text("值班：{}", "on duty: {}")
NEXT = Text("{:.0f} 秒后：{}", "in {:.0f} s: {}")
NOT_YET = Text("网关尚未就绪", "the gateway is not ready yet")
ENDING = Text("正在结束：等待送达、比对结果", "ending: waiting for delivery, then comparing")
NO_SLEEP = Text(
    "演示不能挂起（设备会一起睡着）；按 q 结束",
    "the demo cannot be suspended: its devices would sleep too. q ends it",
)


@dataclass(slots=True)
class _Show:
    """What the page shows of a demo beside the daemon's state."""

    lang: Lang
    ended: asyncio.Event
    started: float = field(default_factory=time.monotonic)
    feed: Feed = field(default_factory=Feed)
    hands: Hands | None = None
    story: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    platform: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    note: str = ""
    pulled: str = ""  # the device that `p` means
    offset: int = 0

    def tell(self, who: str, what: Text) -> None:
        after, said = time.monotonic() - self.started, what.in_(self.lang)
        if who == "platform":
            self.platform.append(f"{after:6.1f} s  {said}")
        else:
            self.story.append(f"{after:6.1f} s  {WHO[who].in_(self.lang):<7} {said}")

    def enter(self, hands: Hands) -> None:
        self.hands = hands
        self.pulled = next(iter(hands.devices))

    def page(self) -> Page:
        names = list(self.hands.devices) if self.hands else []
        page = self.feed.page(
            title=self._title(),
            story=[*self.story, *self._next()],
            platform=list(self.platform),
            numbers={name: str(n) for n, name in enumerate(names, start=1)},
            note=ENDING.in_(self.lang) if self.ended.is_set() else self.note,
            keys=[(key.format(len(names) or "n"), word.in_(self.lang)) for key, word in KEYS],
            offset=self.offset,
        )
        if self.hands is None or self.ended.is_set():  # it starts, or it has been asked to end
            return replace(page, lost_since="")
        return page

    def _title(self) -> str:
        seconds = time.monotonic() - self.started
        title = f"{TITLE.in_(self.lang)} {seconds:.0f} s"
        if self.hands is None:
            return title
        who = YOU.in_(self.lang) if self.hands.is_on_duty else STAFF
        return f"{title}  {DUTY.in_(self.lang).format(who)}  {self.hands.page}".rstrip()

    def _next(self) -> list[str]:
        cue = self.hands.cue if self.hands else None
        if cue is None or cue.scene is None or self.ended.is_set():
            return []
        seconds = max(0.0, cue.due - asyncio.get_running_loop().time())
        return ["→ " + NEXT.in_(self.lang).format(seconds, cue.scene.say.in_(self.lang))]

    async def press(self, key: str) -> None:
        self.offset = scrolled(self.offset, key)
        if key == "q":
            self.ended.set()
        elif self.hands is None:
            self.note = NOT_YET.in_(self.lang)
        elif not self.ended.is_set():
            did = await self._act(key, self.hands)
            self.note = did.in_(self.lang) if did else ""

    async def _act(self, key: str, hands: Hands) -> Text | None:
        names = list(hands.devices)
        if key in VERB_OF:
            return await hands.answer(VERB_OF[key])
        if key == "b":
            return await hands.turn_broker()
        if key == "n":
            return hands.call_next()
        if key == "d":
            return hands.hand_over()
        if key in map(str, range(1, len(names) + 1)):
            self.pulled = names[int(key) - 1]
        elif key != "p":
            return None
        return hands.pull(self.pulled)


async def perform_live(seconds: float | None, folder: Path, lang: Lang) -> Report | None:
    """Play on the terminal; the first `q` or Ctrl-C ends with a verdict, the second without."""
    task = asyncio.current_task()
    shown = _Show(lang, asyncio.Event())
    leave, stay = _leaving(shown, task), _staying(shown)
    async with open_screen(lang, shown.ended, on_leave=leave, on_sleep=stay) as screen:
        try:
            return await show(
                screen,
                perform(
                    seconds, folder, lang=lang, tell=shown.tell, ended=shown.ended,
                    on_stage=shown.enter,
                ),
                page=shown.page,
                press=shown.press,
                follow=follow(folder / "daemon.sock", shown.feed, screen.wake),
            )  # fmt: skip
        except asyncio.CancelledError:
            return None


def _leaving(shown: _Show, task: "asyncio.Task[object] | None") -> Callable[[], None]:
    def leave() -> None:
        if shown.ended.is_set() and task is not None:
            task.cancel()
        shown.ended.set()

    return leave


def _staying(shown: _Show) -> Callable[[], None]:
    def stay() -> None:
        shown.note = NO_SLEEP.in_(shown.lang)

    return stay
