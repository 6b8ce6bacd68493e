"""The few sums behind the resistors of the pictures, so that none tells another value."""

E12 = (10, 12, 15, 18, 22, 27, 33, 39, 47, 56, 68, 82)

OPTO_DROP_V = 1.2  # PC817 and its like, at 5 mA (makers' data sheets)
OPTO_MA = 5.0  # at which those sheets give the transfer ratio
OPTO_RATIO = 0.5  # its least value there
PIN_V = 3.3
IDLE_LEAST_V = 0.2  # what an RS-485 receiver needs to see a definite level (TIA/EIA-485)


def next_e12(ohm: float) -> int:
    """The nearest value of the E12 row that is not smaller: less current than asked, never more."""
    power = 1
    while ohm > E12[-1] * power:
        power *= 10
    return power * next(value for value in E12 if value * power >= ohm)


def series_resistor(supply_v: float) -> int:
    """Ohms before the diode of an opto-coupler."""
    return next_e12((supply_v - OPTO_DROP_V) / OPTO_MA * 1000)


def current_ma(supply_v: float) -> float:
    """What then flows."""
    return (supply_v - OPTO_DROP_V) / series_resistor(supply_v) * 1000


def heat_w(supply_v: float) -> float:
    """What that resistor has to give off."""
    return current_ma(supply_v) ** 2 / 1e6 * series_resistor(supply_v)


def pull_up_ma(ohm: int) -> float:
    """What the coupler's transistor has to carry to hold the pin low."""
    return PIN_V / ohm * 1000


def idle_v(bias_ohm: int, end_ohm: int, supply_v: float = 5.0) -> float:
    """Between the two wires of a quiet line: one pair of bias resistors, both ends terminated."""
    line = end_ohm / 2
    return supply_v * line / (2 * bias_ohm + line)


def short(ohm: int) -> str:
    """As it is printed on a picture: 4.7 kΩ."""
    return f"{ohm / 1000:g} kΩ" if ohm >= 1000 else f"{ohm} Ω"
