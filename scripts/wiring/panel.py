"""Lamps, buzzer, fault relay and button: pins, driver, loads, supply."""

from scripts.wiring.shapes import Box, Line, Picture, Say, Shape, Words
from scripts.wiring.symbols import (
    coil,
    contact,
    diode,
    ground,
    joint,
    lamp,
    notes,
    part,
    resistor,
    terminal,
    wire,
)

# Output of `panel:`: BCM number and pin of the header, as in config/site.example.yaml.
OUTPUTS = {
    "red": (17, 11),
    "amber": (27, 13),
    "yellow": (22, 15),
    "green": (23, 16),
    "buzzer": (24, 18),
    "relay": (16, 36),
    "white": (26, 37),
}
SILENCE = (25, 22)
GROUND_OF_BUTTON, GROUND_OF_DRIVER = 20, 14
TOP, STEP = 150, 44
PIN_X, CHIP_X, LOAD_X, RAIL_X = 250, 400, 690, 860


def draw(say: Say) -> Picture:
    title = say("面板：灯、蜂鸣器、继电器、按钮", "Panel: lamps, buzzer, relay, button")
    shapes = (
        Words((24, 34), title, size=18, is_bold=True),
        *_parts(say),
        *_rows(say),
        *_supply(say),
        *_button(say),
        *_mosfet(say),
        *_notes(say),
    )
    return Picture(title, (980, 860), shapes)


def _y(number: int) -> int:
    return TOP + STEP * number


def _parts(say: Say) -> tuple[Shape, ...]:
    bottom = _y(len(OUTPUTS)) + 30
    return (
        *part(
            (24, 70),
            (226, bottom + 74 - 70),
            say("树莓派 40 针", "Pi header"),
            say("BCM 编号 · 针脚", "BCM number · pin"),
        ),
        *part((CHIP_X, 70), (150, bottom - 70), "ULN2803A", say("驱动：吸收电流", "driver: sinks")),
    )


def _rows(say: Say) -> tuple[Shape, ...]:
    names = {
        "red": say("红灯 报警", "red: alarm"),
        "amber": say("橙灯 预警", "amber: warning"),
        "yellow": say("黄灯 故障", "yellow: fault"),
        "green": say("绿灯 正常", "green: normal"),
        "buzzer": say("蜂鸣器", "buzzer, active"),
        "relay": say("故障继电器", "fault relay"),
        "white": say("白灯 查岗", "white lamp"),
    }
    shapes: list[Shape] = []
    for number, (output, (bcm, pin)) in enumerate(OUTPUTS.items()):
        y = _y(number)
        shapes += (
            Words((36, y + 5), output, size=13, tone="pale"),
            Words((PIN_X - 12, y + 5), f"BCM {bcm} · {pin}", "end"),
            wire((PIN_X, y), (CHIP_X, y)),
            *terminal((PIN_X, y)),
            Words((CHIP_X + 10, y + 5), f"{number + 1}B", size=13),
            Words((CHIP_X + 140, y + 5), f"{number + 1}C", "end", 13),
            wire((CHIP_X + 150, y), (LOAD_X - 12, y)),
            wire((LOAD_X + (26 if output == "buzzer" else 12), y), (RAIL_X, y), tone="plus"),
            *joint((RAIL_X, y), tone="plus"),
            Words((CHIP_X + 160, y - 8), names[output], size=13),
        )
        shapes += _load(output, y)
    return tuple(shapes)


def _load(output: str, y: int) -> tuple[Shape, ...]:
    if output == "buzzer":
        box = Box((LOAD_X - 14, y - 13), (28, 26))
        return (
            box,
            Line(
                (
                    (LOAD_X + 14, y - 13),
                    (LOAD_X + 26, y - 18),
                    (LOAD_X + 26, y + 18),
                    (LOAD_X + 14, y + 13),
                ),
                width=1.5,
            ),
        )
    if output == "relay":
        return coil((LOAD_X, y))
    return lamp((LOAD_X, y), output)


def _supply(say: Say) -> tuple[Shape, ...]:
    com, zero = _y(len(OUTPUTS)), _y(len(OUTPUTS)) + 66
    top = 90
    return (
        *part((790, 50), (166, 40), say("12 或 24 V 直流电源", "12 or 24 V supply")),
        wire((RAIL_X, top), (RAIL_X, com), tone="plus"),
        Words((RAIL_X - 8, top + 26), "+", "end", 16, "plus", is_bold=True),
        Words((936, top + 26), "0 V", "end", 13, "zero"),
        # COM to the supply: the way out for the current of a coil that is switched off.
        Words((CHIP_X + 140, com + 5), "COM", "end", 13),
        wire((CHIP_X + 150, com), (RAIL_X, com), tone="plus"),
        Words(
            (CHIP_X + 160, com - 8),
            say("COM 接 +：内有续流二极管", "COM to +: its flyback diodes"),
            size=13,
        ),
        *terminal((PIN_X, zero)),
        Words((PIN_X - 12, zero + 5), f"GND · {GROUND_OF_DRIVER}", "end"),
        wire((PIN_X + 5, zero), (944, zero), (944, top), tone="zero"),
        wire((CHIP_X + 75, com + 30), (CHIP_X + 75, zero), tone="zero"),
        *joint((CHIP_X + 75, zero), tone="zero"),
        Words(
            (CHIP_X + 85, zero - 10), say("芯片第 9 脚：共地", "its pin 9: common ground"), size=13
        ),
    )


def _button(say: Say) -> tuple[Shape, ...]:
    y = 660
    return (
        *part((24, y - 60), (226, 108), say("树莓派 40 针", "Pi header")),
        Words((36, y - 13), "silence", size=13, tone="pale"),
        Words((PIN_X - 12, y - 13), f"BCM {SILENCE[0]} · {SILENCE[1]}", "end"),
        Words((PIN_X - 12, y + 31), f"GND · {GROUND_OF_BUTTON}", "end"),
        *terminal((PIN_X, y - 18), (PIN_X, y + 26)),
        wire((PIN_X, y - 18), (298, y - 18)),
        *contact((320, y - 18)),
        wire((347, y - 18), (360, y - 18), (360, y + 26), (PIN_X + 5, y + 26)),
        Words((320, y - 44), say("消音按钮", "silence button"), "middle", 13),
        Words((262, y + 56), say("常开", "normally open"), size=13),
        Words((262, y + 74), say("线长：见干接点图", "long: see contacts"), size=13),
    )


def _mosfet(say: Say) -> tuple[Shape, ...]:
    """The other driver: one transistor for each output."""
    x, y = 640, 680
    return (
        Box((430, 570), (526, 190), "pale", is_dashed=True, is_open=True),
        Words(
            (444, 592), say("或每路一只 N 沟道 MOSFET", "or an N-channel MOSFET each"), is_bold=True
        ),
        Words((444, y + 5), "BCM …", size=13),
        *terminal((500, y)),
        wire((500, y), (x - 16, y)),
        resistor((540, y)),
        Words((540, y - 14), "100 Ω", "middle", 13),
        wire((590, y), (590, 740)),
        *joint((590, y)),
        resistor((590, 712), down=True),
        Words((578, 716), "10 kΩ", "end", 13),
        # gate, channel, drain and source
        Line(((x - 16, y - 18), (x - 16, y + 18))),
        Line(((x - 8, y - 18), (x - 8, y + 18)), width=3),
        wire((x - 8, y - 12), (x + 12, y - 12), (x + 12, 630)),
        wire((x - 8, y + 12), (x + 12, y + 12), (x + 12, 740)),
        wire((590, 740), (x + 12, 740), tone="zero"),
        *ground((x + 12, 740)),
        Words((x + 22, y + 24), say("3.3 V 可驱动的", "of logic level"), size=13),
        Words((x + 22, y + 42), "IRLZ44N …", size=13),
        wire((x + 12, 630), (900, 630)),
        wire((900, 630), (900, 600), tone="plus"),
        *coil((790, 630)),
        *joint((740, 630), (840, 630)),
        wire((740, 630), (740, 665), (840, 665), (840, 630)),
        *diode((790, 665), right=True),
        Words((850, 670), "1N4007", size=13),
        Words((910, 612), "+", size=16, tone="plus", is_bold=True),
    )


def _notes(say: Say) -> tuple[Shape, ...]:
    return notes(
        (24, 786),
        say(
            "1 引脚只有 3.3 V、几毫安：灯、蜂鸣器、线圈一律经驱动。每路 100 mA 以内；再大用 "
            "MOSFET。",
            "1 A pin gives 3.3 V and a few mA: every load has a driver. Up to 100 mA each; "
            "above that a MOSFET.",
        ),
        say(
            "2 BCM 9 到 27 上电时下拉：程序启动前不亮不响。BCM 0 到 8 上电时上拉，不要接输出。",
            "2 BCM 9 to 27 are pulled down at power-on: nothing lights or sounds. Keep "
            "outputs off BCM 0 to 8.",
        ),
        say(
            "3 线圈必须有续流二极管（COM 或 1N4007）。白灯、继电器可不接；白灯没有就用绿灯。",
            "3 Every coil has its diode (COM or 1N4007). White lamp and relay are optional.",
        ),
        step=24,
    )
