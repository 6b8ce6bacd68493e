"""Simulated devices: plain data, and functions that fill Modbus tables from a physical truth.

A device holds the truth (`truth["residual_current"] = 230.0`, in the unit people would say) and a
`fill` function that encodes it into the registers of one real device family, with a little noise.
The encoders are written here on their own: a mistake in the gateway's decoder must not be
cancelled by the same mistake here. Addresses: field/register-maps.yaml.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

TABLE_OF_FUNCTION = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}

Tables = dict[str, dict[int, int]]  # table -> wire address -> bit or 16-bit word
Truth = Mapping[str, float]


class AddressMissing(Exception):
    """A read touches an address that the device does not have (Modbus exception 2)."""


@dataclass(slots=True)
class SimDevice:
    """One unit on a bus. Change `truth` and it answers differently; `is_silent` and it is dead."""

    name: str
    unit: int
    fill: Callable[[Truth, Random], Tables]
    truth: dict[str, float]
    noise: Random = field(default_factory=lambda: Random(1))
    is_silent: bool = False
    max_registers: int = 125


def read_table(device: SimDevice, table: str, address: int, count: int) -> list[int]:
    """Return the `count` bits or words from `address` on, as the device has them now."""
    cells = device.fill(device.truth, device.noise).get(table, {})
    try:
        return [cells[at] for at in range(address, address + count)]
    except KeyError as missing:
        raise AddressMissing(f"{device.name} {table} {missing}") from None


# --- encoders -------------------------------------------------------------------------------


def uint16(value: float) -> list[int]:
    """Nearest whole number, kept inside 0..65535 as a real converter would."""
    return [min(max(round(value), 0), 0xFFFF)]


def int16(value: float) -> list[int]:
    return list(struct.unpack(">H", struct.pack(">h", min(max(round(value), -0x8000), 0x7FFF))))


def uint32_low_first(value: float) -> list[int]:
    """Two words, the less significant first (PZEM)."""
    whole = min(max(round(value), 0), 0xFFFFFFFF)
    return [whole & 0xFFFF, whole >> 16]


def uint32(value: float) -> list[int]:
    return uint32_low_first(value)[::-1]


def float32(value: float) -> list[int]:
    """IEEE 754 single precision, high word first."""
    return list(struct.unpack(">HH", struct.pack(">f", value)))


def _place(span: range, words: Mapping[int, list[int]]) -> dict[int, int]:
    """A table that answers over all of `span`, zero where nothing is placed."""
    cells = dict.fromkeys(span, 0)
    for start, values in words.items():
        for offset, value in enumerate(values):
            cells[start + offset] = value
    return cells


# --- device families ------------------------------------------------------------------------


def fill_lx47le(truth: Truth, noise: Random) -> Tables:
    """LX47LE-125 smart RCBO: temperatures carry +40, mains in whole volts."""
    volts = truth.get("voltage", 228.0) + noise.gauss(0, 0.4)
    amps = max(truth.get("current", 6.5) + noise.gauss(0, 0.03), 0.0)
    factor = 0.96
    words = {
        0: uint16(0x00F0),  # closed
        4: uint16((50.0 + noise.gauss(0, 0.01)) * 10),
        5: uint16(truth.get("residual_current", 28.0) + noise.gauss(0, 0.8)),
        6: uint16(truth.get("neutral_temp", 31.0) + 40 + noise.gauss(0, 0.2)),
        7: uint16(truth.get("line_temp", 33.0) + 40 + noise.gauss(0, 0.2)),
        8: uint16(volts),
        9: uint16(amps * 100),
        10: uint16(factor * 100),
        11: uint16(volts * amps * factor),
    }
    return {"input": _place(range(23), words), "holding": _place(range(14), {5: uint16(300)})}


def fill_sdm630(truth: Truth, noise: Random) -> Tables:
    """Eastron SDM630: float32 throughout, input registers, three phases."""
    volts = [
        truth.get("voltage", 229.0) + shift + noise.gauss(0, 0.3) for shift in (0.0, 0.8, -0.6)
    ]
    amps = [max(truth.get("current", 11.0) + shift + noise.gauss(0, 0.05), 0.0)
            for shift in (0.0, 0.9, -1.2)]  # fmt: skip
    factor = truth.get("power_factor", 0.94)
    watts = [v * a * factor for v, a in zip(volts, amps, strict=True)]
    values = {
        **{2 * n: volts[n] for n in range(3)},
        **{6 + 2 * n: amps[n] for n in range(3)},
        **{12 + 2 * n: watts[n] for n in range(3)},
        **{30 + 2 * n: factor for n in range(3)},
        48: sum(amps),
        52: sum(watts),
        62: factor,
        70: 50.0 + noise.gauss(0, 0.01),
        72: truth.get("energy", 18_231.5),
        224: max(truth.get("neutral_current", 1.8) + noise.gauss(0, 0.02), 0.0),
        **{234 + 2 * n: 2.1 + noise.gauss(0, 0.05) for n in range(3)},
        **{240 + 2 * n: 7.5 + noise.gauss(0, 0.2) for n in range(3)},
        342: truth.get("energy", 18_231.5),
    }
    return {"input": _place(range(352), {at: float32(value) for at, value in values.items()})}


def _fill_pressure(code: int, decimals: int, full: float) -> Callable[[Truth, Random], Tables]:
    def fill(truth: Truth, noise: Random) -> Tables:
        raw = (truth.get("pressure", full / 4) + noise.gauss(0, full * 0.0002)) * 10**decimals
        words = {
            0: uint16(1),
            1: uint16(3),  # 9600 baud
            2: uint16(code),
            3: uint16(decimals),
            4: int16(raw),
            6: int16(full * 10**decimals),
        }
        return {"holding": _place(range(13), words)}

    return fill


def fill_xgardiq(truth: Truth, noise: Random) -> Tables:
    """Crowcon XgardIQ: float32 %LEL at 301, ready code at 99, its own alarm bits at 304/305."""
    gas = max(truth.get("gas", 0.4) + noise.gauss(0, 0.05), 0.0)
    words = {
        99: uint16(truth.get("ready", 3)),
        106: uint32(2_160),
        111: uint32(900),
        301: float32(gas),
        303: uint16(truth.get("status", 0)),
        304: uint16(truth.get("alarm1", 0)),
        305: uint16(truth.get("alarm2", 0)),
    }
    return {"holding": _place(range(99, 310), words)}


def fill_pzem016(truth: Truth, noise: Random) -> Tables:
    """PZEM-016: low word first, 0.1 V, 0.001 A, 0.1 W, Wh; alarm 0xFFFF is data."""
    volts = truth.get("voltage", 227.0) + noise.gauss(0, 0.3)
    amps = max(truth.get("current", 0.42) + noise.gauss(0, 0.004), 0.0)
    words = {
        0: uint16(volts * 10),
        1: uint32_low_first(amps * 1000),
        3: uint32_low_first(volts * amps * 10),
        5: uint32_low_first(truth.get("energy", 8.123) * 1000),
        7: uint16(500),
        8: uint16(100),
        9: [0xFFFF if truth.get("over_power") else 0],
    }
    return {"input": _place(range(10), words)}


def fill_jxbs_co(truth: Truth, noise: Random) -> Tables:
    """JXBS-3001-CO: 0.1 ppm at holding 6 and nothing else that is known."""
    ppm = max(truth.get("co", 1.2) + noise.gauss(0, 0.1), 0.0)
    return {"holding": _place(range(9), {6: uint16(ppm * 10)})}


# --- builders -------------------------------------------------------------------------------


def lx47le(name: str, unit: int, **truth: float) -> SimDevice:
    return _device(name, unit, fill_lx47le, truth)


def sdm630(name: str, unit: int, **truth: float) -> SimDevice:
    device = _device(name, unit, fill_sdm630, truth)
    device.max_registers = 80  # Eastron refuses longer reads
    return device


def qdy30a(name: str, unit: int, **truth: float) -> SimDevice:
    """Pressure in MPa: unit code 3, three decimals, range 0..1.6."""
    return _device(name, unit, _fill_pressure(code=3, decimals=3, full=1.6), truth)


def mpd380(name: str, unit: int, **truth: float) -> SimDevice:
    """Pressure in bar: the same map, but unit code 3 means bar; two decimals, range 0..16."""
    return _device(name, unit, _fill_pressure(code=3, decimals=2, full=16.0), truth)


def xgardiq(name: str, unit: int, **truth: float) -> SimDevice:
    return _device(name, unit, fill_xgardiq, truth)


def pzem016(name: str, unit: int, **truth: float) -> SimDevice:
    return _device(name, unit, fill_pzem016, truth)


def jxbs_co(name: str, unit: int, **truth: float) -> SimDevice:
    return _device(name, unit, fill_jxbs_co, truth)


def _device(
    name: str, unit: int, fill: Callable[[Truth, Random], Tables], truth: Mapping[str, float]
) -> SimDevice:
    return SimDevice(name, unit, fill, dict(truth), Random(f"{name}/{unit}"))


def by_unit(devices: Iterator[SimDevice] | list[SimDevice]) -> dict[int, SimDevice]:
    """Index the devices of one bus; two with one unit number are an error, as on a real bus."""
    index: dict[int, SimDevice] = {}
    for device in devices:
        if device.unit in index:
            raise ValueError(f"unit {device.unit}: both {index[device.unit].name}, {device.name}")
        index[device.unit] = device
    return index
