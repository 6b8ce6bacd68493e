"""The demo's story as plain data: what happens in the house, and which alarms that plants.

Seconds count from the moment the daemon is ready; they are real seconds, nothing is scaled. Each
planted condition has its lamp and its buzzer pattern to itself for long enough that its onset can
be seen at the panel's pins: that is what the spacing of the scenes is for.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from heapq import merge
from itertools import count

from gateway.domain.rules import Severity, Sound
from gateway.domain.text import Text

PASS_S = 48.0  # one pass through the story; the demo repeats it while a whole pass fits


@dataclass(frozen=True, slots=True)
class Drift:
    """A physical quantity of one device moves to a value within so many seconds."""

    device: str
    quantity: str
    to: float
    within_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Hush:
    """A device stops answering, or answers again."""

    device: str
    is_silent: bool


@dataclass(frozen=True, slots=True)
class BrokerSwitch:
    """The broker is stopped, or comes back at the same address."""

    is_up: bool


@dataclass(frozen=True, slots=True)
class CardTap:
    """The patroller lays their card on the reader at the duty desk."""


@dataclass(frozen=True, slots=True)
class Visit:
    """The patroller taps a checkpoint's tag with the phone, looks around, and fills its page in."""

    token: str  # of the link on the tag
    answers: tuple[tuple[str, str], ...]  # item, value
    looks_s: float
    hazard: str = ""  # what else was found, in the patroller's words


Act = Drift | Hush | BrokerSwitch | CardTap | Visit


@dataclass(frozen=True, slots=True)
class Plant:
    """A condition that must come out as exactly one alarm: this rule, this severity and sound."""

    rule: str
    severity: Severity
    sound: Sound


@dataclass(frozen=True, slots=True)
class Trace:
    """What must be written down of the patrol exactly once: this kind of record, these fields."""

    kind: str
    fields: tuple[tuple[str, object], ...]

    def __str__(self) -> str:
        return f"{self.kind} {' '.join(str(value) for _, value in self.fields)}"


@dataclass(frozen=True, slots=True)
class Scene:
    at_s: float
    say: Text
    acts: tuple[Act, ...]
    plants: tuple[Plant, ...] = ()
    traces: tuple[Trace, ...] = ()


BOARD, GAS, METER, HYDRANT = "kitchen-board", "kitchen-gas", "main-meter", "hydrant"
CALM = {BOARD: {"residual_current": 28.0}, GAS: {"gas": 0.4}, HYDRANT: {"pressure": 0.28}}

SCENES: tuple[Scene, ...] = (
    Scene(
        1.5,
        Text("厨房配电箱剩余电流升至 235 mA", "kitchen board: residual current creeps to 235 mA"),
        (Drift(BOARD, "residual_current", 235.0, 1.0),),
        (Plant(f"{BOARD}.residual_current/residual_warning", Severity.WARNING, Sound.W),),
    ),
    Scene(
        6.5,
        Text("剩余电流继续升至 360 mA", "kitchen board: residual current creeps on to 360 mA"),
        (Drift(BOARD, "residual_current", 360.0, 1.0),),
        (Plant(f"{BOARD}.residual_current/residual_alarm", Severity.ALARM, Sound.A1),),
    ),
    Scene(
        12.0,
        Text(
            "剩余电流恢复正常；厨房燃气泄漏至 13 %LEL",
            "kitchen board: back to 28 mA; kitchen gas leaks to 13 %LEL",
        ),
        (Drift(BOARD, "residual_current", 28.0, 0.5), Drift(GAS, "gas", 13.0, 1.0)),
        (Plant(f"{GAS}.concentration/gas_warning", Severity.WARNING, Sound.W),),
    ),
    Scene(
        16.5,
        Text("消息服务器断开", "the broker goes away"),
        (BrokerSwitch(is_up=False),),
    ),
    Scene(
        17.5,
        Text("燃气升至 27 %LEL（此时无网络）", "kitchen gas: 27 %LEL, while the broker is away"),
        (Drift(GAS, "gas", 27.0, 1.0),),
        (Plant(f"{GAS}.concentration/gas_alarm", Severity.ALARM, Sound.A2),),
    ),
    Scene(
        23.0,
        Text(
            "燃气散去；消火栓压力降至 0.088 MPa",
            "kitchen gas: cleared; hydrant pressure sags to 0.088 MPa",
        ),
        (Drift(GAS, "gas", 0.4, 0.5), Drift(HYDRANT, "pressure", 0.088, 1.0)),
        (Plant(f"{HYDRANT}.pressure/pressure_low_warning", Severity.WARNING, Sound.W),),
    ),
    Scene(
        26.5,
        Text("消息服务器恢复", "the broker is back after 10 s"),
        (BrokerSwitch(is_up=True),),
    ),
    Scene(
        28.0,
        Text("消火栓压力降至 0.055 MPa", "hydrant pressure sags on to 0.055 MPa"),
        (Drift(HYDRANT, "pressure", 0.055, 1.0),),
        (Plant(f"{HYDRANT}.pressure/pressure_low_alarm", Severity.ALARM, Sound.A1),),
    ),
    Scene(
        31.5,
        Text("总电表失联", "the main meter goes silent"),
        (Hush(METER, is_silent=True),),
        (Plant(f"gateway/device_silent/{METER}", Severity.FAULT, Sound.F),),
    ),
    Scene(
        33.0,
        Text("消火栓压力恢复正常", "hydrant pressure: back to 0.28 MPa"),
        (Drift(HYDRANT, "pressure", 0.28, 0.5),),
    ),
    Scene(
        44.5,  # three misses of a device that is asked every 2 s were counted within some 9 s
        Text("总电表恢复应答", "the main meter answers again"),
        (Hush(METER, is_silent=False),),
    ),
)


PATROLLER, ROUND_WALKED = "duty-12", "day"  # as config/site.demo.yaml and its people.yaml have it
BY = ("by", PATROLLER)

# One round is walked, in the first pass. It ends while the broker is away.
SETS_OUT = Scene(
    5.5,
    Text("王敏在值班室贴卡，出发巡查", "the patroller taps a card at the desk and sets out"),
    (CardTap(),),
    traces=(Trace("tap", (BY, ("means", "round_started"))),),
)
WALK: tuple[Scene, ...] = (
    Scene(
        8.5,
        Text(
            "王敏手机贴一楼东楼梯标签：轮椅堵住疏散通道",
            "the patroller's phone at the east stairs: wheelchairs block the escape route",
        ),
        (Visit("demo-stairs-7Qm2", (("way", "bad"),), 2.0, "轮椅堵住通道 wheelchairs in the way"),),
        traces=(
            Trace("visit", (BY, ("checkpoint", "1F-STAIRS"))),
            Trace("hazard", (BY, ("checkpoint", "1F-STAIRS"), ("item", "way"))),
            Trace("hazard", (BY, ("checkpoint", "1F-STAIRS"), ("item", ""))),
        ),
    ),
    Scene(
        15.0,
        Text(
            "王敏手机贴消防泵房标签：压力表 0.28 MPa",
            "the patroller's phone in the pump room: the gauge reads 0.28 MPa",
        ),
        (Visit("demo-pump-x4Kd", (("pressure", "0.28"),), 3.5),),
        traces=(
            Trace("visit", (BY, ("checkpoint", "B1-PUMP"))),
            Trace("round", (("schedule", ROUND_WALKED), ("state", "done"))),
        ),
    ),
)


def scenes_of(passes: int | None, walk: Collection[Scene] = ()) -> Iterator[Scene]:
    """The scenes of so many passes (None = without end), each at its second from the start.

    What is walked is walked once, in the first pass.
    """
    for n in count() if passes is None else range(passes):
        for scene in merge(SCENES, () if n else walk, key=lambda scene: scene.at_s):
            yield replace(scene, at_s=scene.at_s + n * PASS_S)


def passes_in(seconds: float | None) -> int | None:
    """How many whole passes fit; None = without end."""
    return None if seconds is None else int(seconds // PASS_S)
