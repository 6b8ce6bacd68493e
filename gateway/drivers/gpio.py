"""Which pins there are, for who asks before anything of the panel is loaded."""

from enum import StrEnum


class Gpio(StrEnum):
    """Which pins: the Pi's, gpiozero's mock, none at all, or the Pi's where there are any."""

    LGPIO = "lgpio"
    MOCK = "mock"
    NONE = "none"
    AUTO = "auto"
