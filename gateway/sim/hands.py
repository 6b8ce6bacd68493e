"""The hands of a person who watches the demo: each key does something real, and it is noted.

Silence, acknowledge and reset go to the daemon's socket like any console's; devices, broker and
story are the stage's own. What was done is kept as touches, for the verdict at the end.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from gateway.domain.text import Text
from gateway.drivers.sockets import NoAnswer
from gateway.sim.devices import SimDevice
from gateway.sim.house import Cue, boot_ms
from gateway.sim.people import STAFF, Ask, finding_of
from gateway.sim.story import Hush, Scene
from gateway.sim.touches import DEVICE, Act, Touch, is_on_duty

WHO = "keyboard"  # stands in the records as the one who acknowledged

VERBS = {
    "silence": Text("消音", "silence"),
    "acknowledge": Text("确认", "acknowledge"),
    "reset": Text("复位", "reset"),
}


@dataclass(slots=True)
class Hands:
    """What can be done on the stage while the daemon runs; every verb says what it did."""

    ask: Ask
    devices: Mapping[str, SimDevice]
    switch_broker: Callable[[bool], Awaitable[None]]
    is_broker_up: Callable[[], bool]
    cue: Cue
    touches: list[Touch] = field(default_factory=list)
    page: str = ""  # where the duty page is; empty without its packages

    @property
    def is_on_duty(self) -> bool:
        """True while the simulated staff leave the alarms to the person at the keys."""
        return is_on_duty(self.touches, boot_ms())

    async def answer(self, verb: str) -> Text:
        """Silence, acknowledge or reset all that can be; the staff stand back from then on."""
        self._touch(Act.ANSWER)
        word = VERBS[verb]
        try:
            reply = await self.ask({"verb": verb, "by": WHO})
            if reply.get("code") == "needs_verdict":
                await self._say_what_was_found()
                reply = await self.ask({"verb": verb, "by": WHO})
        except NoAnswer as error:
            return Text(f"{word.zh}：{error}", f"{word.en}: {error}")
        if reply.get("ok"):
            if not self.is_on_duty:
                self._touch(Act.TAKE_DUTY)
            return Text(f"已{word.zh}，由您值班", f"{word.en}: done, you are on duty now")
        code = reply.get("code")
        if code == "nothing_to_do":
            return Text(f"没有可{word.zh}的", f"{word.en}: there is nothing to {word.en}")
        return Text(f"{word.zh}：网关答复 {code}", f"{word.en}: the gateway answers {code}")

    async def _say_what_was_found(self) -> None:
        """A latched alarm is reset only when somebody has written down what it was."""
        cases = (await self.ask({"verb": "cases"})).get("open", [])
        for case in cases:
            if case["verdict"] is None:
                await self.ask(finding_of(case["case"], WHO))

    def hand_over(self) -> Text:
        """Take the duty, or give it back to the simulated staff."""
        if self.is_on_duty:
            self._touch(Act.GIVE_DUTY)
            return Text(f"{STAFF} 值班", f"{STAFF} is on duty again")
        self._touch(Act.TAKE_DUTY)
        return Text(f"由您值班，{STAFF} 不再处理", f"you are on duty, {STAFF} stands back")

    def pull(self, name: str) -> Text:
        """Make a device silent, or let it answer again."""
        device = self.devices[name]
        device.is_silent = not device.is_silent
        self._touch(Act.PULL if device.is_silent else Act.PLUG, name)
        if device.is_silent:
            return Text(f"{name} 已拔下", f"{name} is pulled: it answers no more")
        return Text(f"{name} 已插回", f"{name} is back: it answers again")

    async def turn_broker(self) -> Text:
        """Stop the broker, or start it at the same address."""
        is_up = not self.is_broker_up()
        self._touch(Act.START_BROKER if is_up else Act.STOP_BROKER)
        await self.switch_broker(is_up)
        if is_up:
            return Text("消息服务器已启动", "the broker is started")
        return Text("消息服务器已停止", "the broker is stopped")

    def call_next(self) -> Text:
        """Begin the next scene now."""
        if self.cue.scene is None:
            return Text("故事已演完", "the story has no further scene")
        self._touch(Act.NEXT)
        self.cue.called.set()
        return Text("下一幕", "next scene")

    def note_scene(self, scene: Scene) -> None:
        """The story goes on; a device that it brings back is no longer pulled."""
        for act in scene.acts:
            if isinstance(act, Hush) and not act.is_silent and self._is_pulled(act.device):
                self._touch(Act.PLUG, act.device)

    def _is_pulled(self, name: str) -> bool:
        moved = [t.act for t in self.touches if t.act in DEVICE and t.device == name]
        return moved[-1:] == [Act.PULL]

    def _touch(self, act: Act, device: str = "") -> None:
        self.touches.append(Touch(boot_ms(), act, device))
