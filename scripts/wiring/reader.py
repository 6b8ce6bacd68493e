"""The NFC reader at the duty desk: behind a USB adapter, or at the Pi's own UART."""

from scripts.wiring.shapes import Picture, Say, Shape, Words
from scripts.wiring.symbols import notes, part, terminal, wire

# Signal of the Pi: pin of the header.
UART = {"TXD": (14, 8), "RXD": (15, 10)}
SUPPLY, GROUND = 1, 6
ROWS = {"RXD": 160, "TXD": 206, "VCC": 252, "GND": 298}


def draw(say: Say) -> Picture:
    title = say("值班台读卡器（PN532）", "Desk reader (PN532)")
    shapes = (
        Words((24, 34), title, size=18, is_bold=True),
        *_usb(say),
        *_uart(say),
        *_notes(say),
    )
    return Picture(title, (980, 500), shapes)


def _board(x: float, say: Say) -> tuple[Shape, ...]:
    return (
        *part(
            (x, 84),
            (130, 246),
            "PN532",
            say("拨码 HSU", "set to HSU"),
            say("两只都断开", "both off"),
        ),
        *terminal(*((x, y) for y in ROWS.values())),
        *(Words((x + 12, y + 5), name, size=13) for name, y in ROWS.items()),
    )


def _usb(say: Say) -> tuple[Shape, ...]:
    left, right = 240, 330
    tones = {"RXD": "first", "TXD": "second", "VCC": "plus", "GND": "zero"}
    signals = {"TXD": 160, "RXD": 206, "3.3 V": 252, "GND": 298}
    return (
        Words(
            (24, 66),
            say("甲 · USB 转串口（推荐）", "A · USB serial adapter (take this)"),
            is_bold=True,
        ),
        *part((24, 150), (70, 80), say("树莓派", "Pi")),
        wire((94, 190), (124, 190)),
        Words((109, 182), "USB", "middle", 12, "pale"),
        *part((124, 84), (116, 246), say("USB 转串口", "USB serial"), "CH340, CP2102"),
        *terminal(*((left, y) for y in signals.values())),
        *(Words((left - 12, y + 5), name, "end", 13) for name, y in signals.items()),
        *(wire((left + 5, y), (right, y), tone=tones[name]) for name, y in ROWS.items()),
        *_board(right, say),
    )


def _uart(say: Say) -> tuple[Shape, ...]:
    left, right = 690, 820
    pins = {
        f"BCM {UART['TXD'][0]} TXD · {UART['TXD'][1]}": 160,
        f"BCM {UART['RXD'][0]} RXD · {UART['RXD'][1]}": 206,
        f"3.3 V · {SUPPLY}": 252,
        f"GND · {GROUND}": 298,
    }
    return (
        Words((510, 66), say("乙 · 树莓派自己的串口", "B · The Pi's own UART"), is_bold=True),
        *part((510, 84), (180, 246), say("树莓派 40 针", "Pi header"), "/dev/ttyAMA0"),
        *terminal(*((left, y) for y in pins.values())),
        *(Words((left - 12, y + 5), name, "end", 13) for name, y in pins.items()),
        *(
            wire((left + 5, y), (right, y), tone=tone)
            for y, tone in zip(pins.values(), ("first", "second", "plus", "zero"), strict=True)
        ),
        *_board(right, say),
    )


def _notes(say: Say) -> tuple[Shape, ...]:
    return notes(
        (24, 368),
        say(
            "1 收发交叉：一边的 TXD 接另一边的 RXD。信号必须是 3.3 V；5 V 的适配器会损坏引脚"
            "或读卡板。",
            "1 Crossed: TXD of one side to RXD of the other. Signals are 3.3 V; an adapter "
            "of 5 V damages.",
        ),
        say(
            "2 VCC 照板上所印：3.3 V（针脚 1），或带稳压的板接 5 V（针脚 2）；先量 TXD，不得"
            "超过 3.3 V。",
            "2 VCC as the board says: 3.3 V (pin 1), or 5 V (pin 2) where it has a "
            "regulator; measure its TXD first.",
        ),
        say(
            "3 拨码在 HSU；I2C 和 SPI 不支持。导线 20 cm 以内；读卡面不要贴金属。",
            "3 Switches on HSU; I2C and SPI are not supported. Wires up to 20 cm; no metal "
            "behind the antenna.",
        ),
        say(
            "4 乙：关掉串口登录；树莓派 3、4 写 dtoverlay=disable-bt；树莓派 5 写 "
            "dtparam=uart0=on。",
            "4 B: no login on the UART; a Pi 3 or 4 needs dtoverlay=disable-bt, a Pi 5 "
            "dtparam=uart0=on.",
        ),
        say(
            "5 站点文件：reader: {device: /dev/serial/by-id/…}。详见 docs/reader.md。",
            "5 Site file: reader: {device: /dev/serial/by-id/...}. More in docs/reader.md.",
        ),
        say(
            "6 ACR122U：USB 直插，device: usb:072f:2200；不推荐。",
            "6 ACR122U: straight into USB, device: usb:072f:2200; not recommended.",
        ),
        step=22,
    )
