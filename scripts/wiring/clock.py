"""A battery for the clock: the Pi 5's own, or a DS3231 on I2C."""

from scripts.wiring.shapes import Picture, Ring, Say, Shape, Words
from scripts.wiring.symbols import notes, part, terminal, wire

# Signal of the module: what it is on the header, and the pin.
MODULE = {"VCC": ("3.3 V", 1), "SDA": ("BCM 2 SDA", 3), "SCL": ("BCM 3 SCL", 5), "GND": ("GND", 9)}
OVERLAY = "dtoverlay=i2c-rtc,ds3231"
CHARGE = "dtparam=rtc_bbat_vchg=3000000"


def draw(say: Say) -> Picture:
    title = say("时钟电池", "Battery of the clock")
    shapes = (
        Words((24, 34), title, size=18, is_bold=True),
        *_own(say),
        *_module(say),
        *_notes(say),
    )
    return Picture(title, (980, 450), shapes)


def _own(say: Say) -> tuple[Shape, ...]:
    return (
        Words(
            (24, 66),
            say("甲 · 树莓派 5：官方电池", "A · Raspberry Pi 5: the maker's cell"),
            is_bold=True,
        ),
        *part(
            (24, 84),
            (150, 186),
            say("树莓派 5", "Raspberry Pi 5"),
            say("J5，在 USB-C 旁", "J5, beside USB-C"),
        ),
        *terminal((174, 160), (174, 200)),
        Words((162, 165), "+", "end", 16, "plus"),
        Words((162, 205), "−", "end", 16, "zero"),
        wire((178, 160), (303, 160), tone="plus"),
        wire((178, 200), (303, 200), tone="zero"),
        Ring((330, 180), (34, 34)),
        Words((330, 176), "ML-2020", "middle", 12),
        Words((330, 194), "3 V", "middle", 12),
        Words((300, 240), say("可充电", "rechargeable"), size=13),
        Words((24, 300), f"{CHARGE}", size=13, tone="pale"),
        Words(
            (24, 320),
            say("只有可充电电池才写这一行", "this line for a rechargeable cell only"),
            size=13,
        ),
    )


def _module(say: Say) -> tuple[Shape, ...]:
    left, right = 650, 780
    rows = dict(zip(MODULE, (140, 170, 200, 230), strict=True))
    tones = {"VCC": "plus", "SDA": "first", "SCL": "second", "GND": "zero"}
    return (
        Words(
            (470, 66),
            say("乙 · 其他型号：DS3231 模块（I2C）", "B · Others: a DS3231 module (I2C)"),
            is_bold=True,
        ),
        *part((470, 84), (180, 186), say("树莓派 40 针", "Pi header")),
        *part((right, 84), (176, 186), "DS3231", "I2C 0x68"),
        *terminal(*((x, y) for x in (left, right) for y in rows.values())),
        *(wire((left + 4, y), (right - 4, y), tone=tones[name]) for name, y in rows.items()),
        *(
            Words((left - 12, y + 5), f"{MODULE[name][0]} · {MODULE[name][1]}", "end", 13)
            for name, y in rows.items()
        ),
        *(Words((right + 12, y + 5), name, size=13) for name, y in rows.items()),
        Ring((900, 180), (28, 28)),
        Words((900, 185), "CR2032", "middle", 11),
        Words((470, 300), OVERLAY, size=13, tone="pale"),
        Words(
            (470, 320),
            say(
                "写在 /boot/firmware/config.txt 末尾，重启",
                "at the end of /boot/firmware/config.txt, then reboot",
            ),
            size=13,
        ),
    )


def _notes(say: Say) -> tuple[Shape, ...]:
    return notes(
        (24, 362),
        say(
            "1 核对：timedatectl 有 RTC time；断电一小时、不接网线再开机，时间还对。",
            "1 See that it works: timedatectl shows an RTC time; after an hour without power "
            "or network it is right.",
        ),
        say(
            "2 有的 DS3231 模块会给电池充电：配 CR2032 时先拆掉充电电阻，或换 LIR2032。",
            "2 Some DS3231 modules charge their cell: with a CR2032 take the charging "
            "resistor off first.",
        ),
        say(
            "3 接 3.3 V，不接 5 V：模块上的上拉电阻会把 5 V 带到引脚。",
            "3 To 3.3 V, never 5 V: the module's pull-ups would bring 5 V to the pins.",
        ),
        say(
            "4 电池三到五年换一次，写进维保计划。",
            "4 A new cell every three to five years: put it into the maintenance plan.",
        ),
        step=22,
    )
