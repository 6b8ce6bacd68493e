"""What the mix of errors on a line says about its wires, as a technician would put it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.domain.text import Text

LEAST_REQUESTS = 10  # fewer say nothing
LOSSY = 0.02  # this share of unanswered questions is not chance any more


@dataclass(frozen=True, slots=True)
class DeviceCount:
    """How one device answered."""

    name: str
    requests: int
    timeouts: int
    exceptions: int = 0
    takes: int | None = None  # registers in one answer, where it says nothing to more

    @property
    def is_silent(self) -> bool:
        return self.requests > 0 and self.timeouts == self.requests

    @property
    def is_lossy(self) -> bool:
        return not self.is_silent and self.timeouts > LOSSY * max(self.requests, 1)

    @property
    def is_refusing(self) -> bool:
        return self.exceptions > 0.2 * max(self.requests, 1)


TOO_FEW = Text("问得太少，还说不出什么", "too few questions asked to say anything yet")
WELL = Text("线路正常", "the line is well")
NOBODY = Text(
    "没有一台应答，线上也没有声音：查供电、A/B 是否接反、端口、波特率和校验",
    "nobody answers and nothing is heard: power, A and B swapped, the port, baud rate and parity",
)
NOBODY_BUT_NOISE = Text(
    "没有一台应答，但线上有乱码：波特率或校验不对，或 A/B 接反",
    "nobody answers, and there is garbage: wrong baud rate or parity, or A and B swapped",
)
SILENT = Text(
    "从不应答：{names}。查站号、供电和它自己的接线",
    "never answers: {names}. Its unit, power and own wires",
)
DAMAGED = Text(
    "应答被损坏：{names}。两端加 120 Ω 终端电阻，查偏置、屏蔽和分支线；常是最远的几台",
    "answers come damaged: {names}. 120 ohm at both ends, bias, shield, stubs; often the far ones",
)
CLASH = Text(
    "只有 {names} 的应答被损坏：多半有两台用同一站号，或它自己的接线松了",
    "only {names} comes damaged: two devices with its unit, most likely, or its own loose wires",
)
LATE = Text(
    "应答来得太晚：{names}。加大总线的 timeout",
    "answers come too late: {names}. Raise the bus's timeout",
)
LOST = Text(
    "有时不应答：{names}。查接线、供电和干扰",
    "sometimes silent: {names}. Wires, power, interference",
)
REFUSING = Text(
    "拒绝所问的寄存器：{names}。档案不对，或型号不同",
    "refuses what is asked: {names}. Another model or profile",
)
TOO_LONG = Text(
    "不应答长的请求：{names}。在档案里写 max_registers",
    "says nothing to long questions: {names}. Write max_registers into its profile",
)
ECHO = Text(
    "适配器听得到自己说话（半双工回声）：可以不管，关掉更省时间",
    "the adapter hears itself (half-duplex echo): harmless, and costs time",
)
MASTER = Text(
    "线上还有别的主机在问：拆掉一个，两个主机会互相打断",
    "somebody else asks on this line too: remove one, they garble each other",
)
FLOATING = Text(
    "报文之间有杂波：线路悬空，缺偏置电阻",
    "noise between the frames: the line floats, bias is missing",
)


def wiring_hints(devices: Sequence[DeviceCount], counts: Mapping[str, int]) -> tuple[Text, ...]:
    """What to look at, the gravest first; one line that says so where there is nothing.

    `counts` are those of the bus's door: crc_errors, late, noise_bytes, echoes, foreign_requests.
    """
    requests = sum(device.requests for device in devices)
    if requests < LEAST_REQUESTS:
        return (TOO_FEW,)
    hints = []
    if all(device.is_silent for device in devices if device.requests):
        is_heard = counts.get("noise_bytes", 0) or counts.get("crc_errors", 0)
        hints.append(NOBODY_BUT_NOISE if is_heard else NOBODY)
    else:
        hints += _of_some(devices, counts)
        if counts.get("noise_bytes", 0) > requests / 10:
            hints.append(FLOATING)
    if counts.get("foreign_requests", 0) >= 3:
        hints.append(MASTER)
    if counts.get("echoes", 0) > requests / 2:
        hints.append(ECHO)
    return tuple(hints) or (WELL,)


def _of_some(devices: Sequence[DeviceCount], counts: Mapping[str, int]) -> list[Text]:
    hints = []
    silent = [device for device in devices if device.is_silent]
    lossy = [device for device in devices if device.is_lossy]
    refusing = [device for device in devices if device.is_refusing]
    if lossy:
        lost = sum(device.timeouts for device in lossy)
        if counts.get("crc_errors", 0) > lost / 3:
            others = [d for d in devices if d.requests and not d.is_lossy and not d.is_silent]
            is_alone = len(lossy) == 1 and len(others) > 1
            hints.append(_named(CLASH if is_alone else DAMAGED, lossy))
        elif counts.get("late", 0) > lost / 3:
            hints.append(_named(LATE, lossy))
        else:
            hints.append(_named(LOST, lossy))
    if silent:
        hints.append(_named(SILENT, silent))
    if refusing:
        hints.append(_named(REFUSING, refusing))
    if short := [device for device in devices if device.takes is not None]:
        names = ", ".join(f"{device.name} (max_registers: {device.takes})" for device in short)
        hints.append(Text(TOO_LONG.zh.format(names=names), TOO_LONG.en.format(names=names)))
    return hints


def _named(hint: Text, devices: Sequence[DeviceCount]) -> Text:
    names = ", ".join(device.name for device in devices)
    return Text(hint.zh.format(names=names), hint.en.format(names=names))
