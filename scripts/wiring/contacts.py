"""Dry contacts: to the isolated inputs of a Modbus module, and the one input at a pin."""

from scripts.wiring.ohms import (
    OPTO_DROP_V,
    OPTO_MA,
    OPTO_RATIO,
    current_ma,
    heat_w,
    pull_up_ma,
    series_resistor,
    short,
)
from scripts.wiring.panel import GROUND_OF_BUTTON, SILENCE
from scripts.wiring.shapes import Area, Box, Line, Picture, Say, Shape, Words
from scripts.wiring.symbols import (
    capacitor,
    contact,
    diode,
    joint,
    notes,
    part,
    resistor,
    terminal,
    wire,
)

# What hangs on which input: the kind is the site file's word for it (config/rules/contacts.yaml).
INPUTS = {1: "pump_auto", 2: "valve_open", 3: "flow_switch", 4: "ups_on_mains"}
PULL_UP = 10_000
PIN_OF_3V3 = 17


def draw(say: Say) -> Picture:
    title = say("干接点输入", "Dry contacts")
    shapes = (
        Words((24, 34), title, size=18, is_bold=True),
        *_module(say),
        *_contacts(say),
        *_coupler(say),
        *_sums(say),
    )
    return Picture(title, (980, 720), shapes)


def _module(say: Say) -> tuple[Shape, ...]:
    return (
        Words(
            (24, 66),
            say(
                "甲 · 泵、阀、水流、UPS：接 Modbus 输入模块",
                "A · Pump, valve, flow, UPS: to a Modbus input module",
            ),
            is_bold=True,
        ),
        *part(
            (560, 56),
            (210, 262),
            say("8 路输入模块", "8-input module"),
            "waveshare-rtu-io-8ch",
            say("每路光耦隔离", "each input isolated"),
        ),
        *terminal((770, 200), (770, 240)),
        wire((774, 200), (860, 200), tone="first"),
        wire((774, 240), (860, 240), tone="second"),
        Words((758, 205), "A+", "end", 13),
        Words((758, 245), "B−", "end", 13),
        Words((868, 224), say("到 RS-485", "to the RS-485"), size=13),
        Words((868, 242), say("总线", "line"), size=13),
    )


def _contacts(say: Say) -> tuple[Shape, ...]:
    names = {
        "pump_auto": say("泵在自动位", "pump in automatic"),
        "valve_open": say("阀门全开", "valve fully open"),
        "flow_switch": say("水流指示器", "flow switch"),
        "ups_on_mains": say("UPS 有市电", "UPS has mains"),
    }
    shapes: list[Shape] = [
        *part(
            (24, 130), (110, 110), say("24 V 电源", "24 V supply"), say("回路专用", "for the loops")
        ),
        wire((134, 190), (170, 190), tone="plus"),
        wire((170, 130), (170, 262), tone="plus"),
        wire((134, 220), (146, 220), (146, 300), (560, 300), tone="zero"),
        Words((126, 195), "+", "end", 16, "plus"),
        Words((126, 225), "0 V", "end", 13, "zero"),
        *terminal((560, 300)),
        Words((572, 305), "COM", size=13),
    ]
    for number, kind in INPUTS.items():
        y = 86 + 44 * number
        shapes += (
            *joint((170, y), tone="plus"),
            wire((170, y), (268, y), tone="plus"),
            *contact((290, y)),
            wire((317, y), (556, y)),
            *terminal((560, y)),
            Words((572, y + 5), f"DI{number}", size=13),
            Words((336, y - 8), names[kind], size=13),
            Words((548, y - 8), kind, "end", 12, "pale"),
        )
    return tuple(shapes)


def _coupler(say: Say) -> tuple[Shape, ...]:
    """A pin of the Pi behind an opto-coupler: for the silence button, when its wire is long."""
    y, low = 430, 520
    return (
        Words(
            (24, 356),
            say(
                "乙 · 消音按钮线长时：引脚前加光耦",
                "B · Silence button on a long wire: a coupler before the pin",
            ),
            is_bold=True,
        ),
        Words((24, y + 5), "+24 V", tone="plus"),
        wire((80, y), (118, y), tone="plus"),
        *contact((140, y)),
        wire((167, y), (420, y)),
        resistor((240, y)),
        Words((240, y - 14), short(series_resistor(24)), "middle", 13),
        Words((140, y + 24), say("按钮", "button"), "middle", 13),
        Words((24, low + 5), "0 V", tone="zero"),
        wire((80, low), (420, low), tone="zero"),
        wire((330, y), (330, low)),
        *joint((330, y), (330, low)),
        *diode((330, 475), up=True),
        Words((316, 480), "1N4148", "end", 13),
        Box((390, 400), (130, 150)),
        Words((455, 394), "PC817", "middle", 13),
        wire((420, y), (420, low)),
        *diode((420, 475)),
        *(Line(((438, at), (456, at + 8)), width=1.5) for at in (462, 478)),
        # the transistor: base bar, collector, emitter
        Line(((470, 455), (470, 495)), width=3),
        wire((470, 465), (490, y), (560, y)),
        wire((470, 485), (490, low), (520, low)),
        Area(((487, 515), (486, 505), (479, 509))),
        wire((560, y), (800, y)),
        wire((520, low), (800, low), tone="zero"),
        *joint((590, y), (680, y), (680, low)),
        wire((590, y), (590, 386)),
        resistor((590, 400), down=True),
        wire((590, 374), (800, 374), tone="plus"),
        wire((590, 374), (590, 382), tone="plus"),
        Words((604, 406), short(PULL_UP), size=13),
        wire((680, y), (680, 471)),
        *capacitor((680, 475)),
        wire((680, 479), (680, low)),
        Words((698, 480), "100 nF", size=13),
        *part((800, 326), (156, 230), say("树莓派 40 针", "Pi header")),
        *terminal((800, 374), (800, y), (800, low)),
        Words((812, 379), f"3.3 V · {PIN_OF_3V3}"),
        Words((812, y + 5), f"BCM {SILENCE[0]} · {SILENCE[1]}"),
        Words((812, low + 5), f"GND · {GROUND_OF_BUTTON}"),
    )


def _sums(say: Say) -> tuple[Shape, ...]:
    need = pull_up_ma(PULL_UP)
    least = OPTO_RATIO * current_ma(24)
    per = {
        volts: (short(series_resistor(volts)), f"{current_ma(volts):.1f}", f"{heat_w(volts):.2f}")
        for volts in (12, 24)
    }
    return notes(
        (24, 600),
        say(
            f"1 限流电阻 =（24 V − {OPTO_DROP_V} V）÷ {OPTO_MA:g} mA → {per[24][0]}，"
            f"{per[24][1]} mA，{per[24][2]} W（用 0.25 W）；12 V：{per[12][0]}，{per[12][1]} "
            "mA。",
            f"1 Resistor = (24 V − {OPTO_DROP_V} V) / {OPTO_MA:g} mA → {per[24][0]}, "
            f"{per[24][1]} mA, {per[24][2]} W (take 0.25 W); 12 V: {per[12][0]}, {per[12][1]} "
            "mA.",
        ),
        say(
            f"2 光耦至少传 {OPTO_RATIO:.0%}：{least:.1f} mA，上拉只需 {need:.2f} mA。按下 = 引"
            "脚低电平，与程序一致。",
            f"2 The coupler passes {OPTO_RATIO:.0%} at least: {least:.1f} mA; the pull-up "
            f"needs {need:.2f} mA. Pressed = pin low.",
        ),
        say(
            "3 网关只从引脚读消音按钮；其他接点都经 Modbus 模块读入。",
            "3 The silence button is the only contact read at a pin; all others come through "
            "Modbus modules.",
        ),
        say(
            "4 选“正常时闭合”的接点：断线就会被看到。类别写在站点文件 points: {di1: {kind: …}}。",
            "4 Take contacts that are closed while all is well: a broken wire is seen. "
            "points: {di1: {kind: ...}}",
        ),
        say(
            "5 消防设备自己的接点只取空余的一组；不改它的线路，由维保单位接线。",
            "5 From fire equipment take spare contacts only; its own wiring stays, and its "
            "maintainer connects.",
        ),
        say(
            "6 燃气切断阀只读位置反馈，网关不控制它。",
            "6 Of a gas valve only the position is read: the gateway does not control it.",
        ),
    )
