"""One line of RS-485: adapter, devices in a row, ends, bias, shield."""

from scripts.wiring.ohms import idle_v
from scripts.wiring.shapes import Line, Picture, Ring, Say, Shape, Words
from scripts.wiring.symbols import earth, joint, notes, part, resistor, terminal, wire

PLUS, MINUS, ZERO, SHIELD = 190, 232, 274, 312  # where the wires run
BIAS, END = 560, 120
DEVICES = (430, 610, 790)


def draw(say: Say) -> Picture:
    title = say("RS-485 接线", "Wiring of an RS-485 line")
    shapes = (
        Words((24, 34), title, size=18, is_bold=True),
        *_computer(say),
        *_line(),
        *_adapter(say),
        *_devices(say),
        *_shield(say),
        *_notes(say),
    )
    return Picture(title, (980, 500), shapes)


def _computer(say: Say) -> tuple[Shape, ...]:
    return (
        *part((24, 130), (110, 90), say("树莓派", "Pi"), say("USB 口贴标签", "label socket")),
        wire((134, 190), (170, 190)),
        Words((152, 182), "USB", "middle", 12, "pale"),
    )


def _adapter(say: Say) -> tuple[Shape, ...]:
    x, bias, end = 170, 240, 320
    return (
        *part(
            (x, 80), (195, 217), say("USB 转 RS-485", "USB to RS-485"), say("电气隔离", "isolated")
        ),
        Line(((206, 125), (206, 290)), "pale", is_dashed=True),
        wire((bias, 140), (bias, PLUS)),
        resistor((bias, 164), down=True),
        Words((bias, 134), "+5 V", "middle", 12),
        *joint((bias, PLUS), (bias, MINUS), (bias, ZERO), (end, PLUS), (end, MINUS)),
        wire((bias, MINUS), (bias, ZERO)),
        resistor((bias, 253), down=True),
        Words((bias + 12, 168), f"{BIAS} Ω", size=13),
        Words((bias + 12, 258), f"{BIAS} Ω", size=13),
        Words((end, PLUS - 9), f"{END} Ω", "middle", 13),
        wire((end, PLUS), (end, MINUS)),
        resistor((end, 211), down=True),
        wire((bias, PLUS), (365, PLUS), tone="first"),
        wire((bias, MINUS), (365, MINUS), tone="second"),
        wire((bias, ZERO), (365, ZERO), tone="zero"),
        *terminal((365, PLUS), (365, MINUS), (365, ZERO)),
    )


def _line() -> tuple[Shape, ...]:
    return tuple(
        wire((365, y), (DEVICES[-1] + 60, y), tone=tone)
        for y, tone in ((PLUS, "first"), (MINUS, "second"), (ZERO, "zero"))
    )


def _devices(say: Say) -> tuple[Shape, ...]:
    shapes: list[Shape] = []
    for number, x in enumerate(DEVICES, 1):
        shapes += part(
            (x, 80),
            (130, 217),
            say(f"设备 {number}", f"Device {number}"),
            say("进线、出线", "in and out on"),
            say("接同一端子", "one terminal"),
        )
    shapes += _line()
    for x in DEVICES:
        shapes += terminal((x + 60, PLUS), (x + 60, MINUS), (x + 60, ZERO))
        shapes += (
            Words((x + 24, PLUS - 8), "A+", "middle", 13),
            Words((x + 24, MINUS - 8), "B−", "middle", 13),
            Words((x + 24, ZERO - 8), "GND", "middle", 12),
        )
    end = DEVICES[-1] + 100
    shapes += (
        wire((DEVICES[-1] + 60, PLUS), (end, PLUS), tone="first"),
        wire((DEVICES[-1] + 60, MINUS), (end, MINUS), tone="second"),
        wire((end, PLUS), (end, MINUS)),
        resistor((end, 211), down=True),
        *joint((end, PLUS), (end, MINUS)),
        Words((end, PLUS - 9), f"{END} Ω", "middle", 13),
    )
    return tuple(shapes)


def _shield(say: Say) -> tuple[Shape, ...]:
    gaps = (398, 585, 765)
    end = DEVICES[-1] + 130
    return (
        *(Ring((x, 232), (13, 62), "pale", is_dashed=True) for x in gaps),
        *(wire((x, 294), (x, SHIELD), tone="pale") for x in gaps),
        Line(((365, SHIELD), (end, SHIELD)), "pale", is_dashed=True),
        wire((365, SHIELD), (365, 340), tone="second"),
        *earth((365, 340)),
        Words((392, 350), say("屏蔽层只在这一端接地", "shield: earthed at this end only"), size=13),
        Words((end, 332), say("这端悬空，包好", "left open here, insulated"), "end", 13),
    )


def _notes(say: Say) -> tuple[Shape, ...]:
    idle = f"{idle_v(BIAS, END):.2f}"
    return notes(
        (24, 400),
        say(
            f"1 终端：{END} Ω 只在线的两端，A、B 之间；中间的设备不接，拨码开关也要拨到断开。",
            f"1 Ends: {END} Ω between A and B at the two ends only; switch it off in every "
            "device between.",
        ),
        say(
            f"2 偏置：整条线只一处，{BIAS} Ω 两只，多数适配器已内置；空闲时 {idle} V，须超过 "
            "0.20 V。",
            f"2 Bias: once on the line, two of {BIAS} Ω, in most adapters already; {idle} V "
            "when idle, over 0.20 V.",
        ),
        say(
            "3 手拉手：从设备到设备一条线，不分叉、不成星形。屏蔽双绞线，0 V 用第三根芯。",
            "3 One line from device to device, no star, no branch. Shielded twisted pair; 0 "
            "V is a third core.",
        ),
        say(
            "4 有的厂家 A、B 相反：不应答时先对调一次。每条线 32 台以内，9600 波特 1000 m 以内。",
            "4 Some makers swap A and B: if nothing answers, swap once. Up to 32 devices, "
            "1000 m at 9600 baud.",
        ),
        say(
            "5 一条线只接一个适配器。不要与 220 V 电线同管。",
            "5 One adapter a line. Never in one conduit with mains.",
        ),
    )
