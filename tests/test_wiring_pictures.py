"""The wiring pictures are the ones the script draws, say the site file's pins and can be read."""

import re
import shutil
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from gpiozero.pins.mock import MockFactory
from ruamel.yaml import YAML

from gateway.config.load import load_site
from gateway.domain.text import Lang
from scripts.wiring import clock, contacts, panel, reader, rs485
from scripts.wiring.__main__ import PICTURES, files
from scripts.wiring.ohms import (
    E12,
    IDLE_LEAST_V,
    OPTO_MA,
    OPTO_RATIO,
    current_ma,
    heat_w,
    idle_v,
    next_e12,
    pull_up_ma,
)
from scripts.wiring.shapes import Line, Picture, Words, clashes, speaker

ROOT = Path(__file__).parent.parent
HARDWARE = (ROOT / "docs" / "hardware.md").read_text("utf-8")
EXAMPLE = (ROOT / "config" / "site.example.yaml").read_text("utf-8")
FILES = list(files())
IDS = [path.stem for path, _, _ in FILES]
PATIENCE_MS = 120_000
CHROMIUM = shutil.which("chromium")


@cache
def header() -> dict[int, str]:
    """The 40 pins of a Pi by number, as gpiozero knows them: GPIO17, GND, 3V3."""
    made = MockFactory(revision="c03115").board_info.headers["J8"]
    return {number: pin.name for number, pin in made.pins.items()}


def words(picture: Picture) -> list[str]:
    return [shape.text for shape in picture.shapes if isinstance(shape, Words)]


def texts(name: str) -> str:
    return " | ".join(words(PICTURES[name](speaker(Lang.EN))))


@pytest.mark.parametrize(("path", "picture", "text"), FILES, ids=IDS)
def test_a_picture_is_the_one_that_the_script_draws(path, picture, text):
    assert path.read_text("utf-8") == text, "run python -m scripts.wiring"


@pytest.mark.parametrize(("path", "picture", "text"), FILES, ids=IDS)
def test_no_label_lies_on_another_on_a_wire_or_outside(path, picture, text):
    assert list(clashes(picture)) == []


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ((Words((10, 30), "one"), Words((20, 34), "two")), "lies on"),
        ((Words((10, 30), "one"), Line(((0, 0), (60, 60)))), "crossed"),
        ((Words((90, 30), "too long for it"),), "leaves"),
        ((Words((10, 30), "one"), Line(((10, 40), (60, 40)))), None),
    ],
)
def test_what_cannot_be_read_is_found(shapes, said):
    found = list(clashes(Picture("", (100, 60), shapes)))
    assert ([said in each for each in found] == [True]) if said else (found == [])


@pytest.mark.parametrize(("path", "picture", "text"), FILES, ids=IDS)
def test_a_picture_asks_no_host_and_has_its_colours_for_light_and_dark(path, picture, text):
    root = ET.fromstring(text)
    said = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert said == words(picture)
    assert set(re.findall(r"https?://[^\s\"')]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"font-face|url\(|<image|<script|href", text)
    assert "prefers-color-scheme:dark" in text
    assert len(text) < 30_000


@pytest.mark.parametrize("name", PICTURES)
def test_both_languages_show_the_same_wires(name):
    zh, en = (PICTURES[name](speaker(lang)) for lang in Lang)
    assert len(words(zh)) == len(words(en))
    assert [each for each in zh.shapes if isinstance(each, Line)] == [
        each for each in en.shapes if isinstance(each, Line)
    ]
    assert zh.title != en.title


def test_the_panel_s_pins_are_those_of_the_example_with_all_its_options():
    part = re.search(r"^panel:\n((?:  .*\n)+)", EXAMPLE, re.MULTILINE)
    assert part is not None
    pins = YAML(typ="safe").load(re.sub(r"^  #(?=\w)", "  ", part[1], flags=re.MULTILINE))
    drawn = {name: bcm for name, (bcm, _) in panel.OUTPUTS.items()}
    assert drawn | {"silence": panel.SILENCE[0]} == {
        name: value for name, value in pins.items() if type(value) is int
    }
    shown = texts("panel")
    for name, (bcm, pin) in {**panel.OUTPUTS, "silence": panel.SILENCE}.items():
        assert f"{name} | BCM {bcm} · {pin} |" in shown


def test_every_pin_of_the_header_carries_what_the_pictures_say():
    signals = {pin: f"GPIO{bcm}" for bcm, pin in panel.OUTPUTS.values()}
    signals |= {panel.SILENCE[1]: f"GPIO{panel.SILENCE[0]}"}
    signals |= {pin: f"GPIO{bcm}" for bcm, pin in reader.UART.values()}
    signals |= {3: "GPIO2", 5: "GPIO3"}
    assert (clock.MODULE["SDA"][1], clock.MODULE["SCL"][1]) == (3, 5)
    grounds = (panel.GROUND_OF_BUTTON, panel.GROUND_OF_DRIVER, reader.GROUND)
    signals |= dict.fromkeys((*grounds, clock.MODULE["GND"][1]), "GND")
    signals |= dict.fromkeys((contacts.PIN_OF_3V3, reader.SUPPLY, clock.MODULE["VCC"][1]), "3V3")
    assert {pin: header()[pin] for pin in signals} == signals
    taken = len(panel.OUTPUTS) + len(reader.UART) + 1 + 2
    assert sum(name.startswith("GPIO") for name in signals.values()) == taken, "one pin, one use"


def test_no_output_is_on_a_pin_that_is_pulled_up_at_power_on():
    """BCM 0 to 8 are (BCM2835 ARM Peripherals, table of alternative functions)."""
    assert all(bcm > 8 for bcm, _ in panel.OUTPUTS.values())
    drawn = {name: bcm for name, (bcm, _) in panel.OUTPUTS.items()}
    drawn["silence"] = panel.SILENCE[0]
    rows = re.findall(r"^panel: \{.*\}$", HARDWARE, re.MULTILINE)
    assert rows
    for row in rows:
        pins = {name: int(bcm) for name, bcm in re.findall(r"(\w+): (\d+)", row)}
        assert pins.items() <= drawn.items()
    part = HARDWARE.partition("\n## Panel")[2].partition("\n## ")[0]
    table = re.findall(r"^\| (\w+)[^|]*\| (\d+) \| (\d+) \|", part, re.MULTILINE)
    of_page = {("relay" if name == "fault" else name): (int(b), int(p)) for name, b, p in table}
    assert of_page == {**panel.OUTPUTS, "silence": panel.SILENCE}


@pytest.mark.parametrize("volts", [12.0, 24.0])
def test_the_coupler_s_resistor_lets_no_more_through_than_asked_and_enough(volts):
    assert 0.8 * OPTO_MA < current_ma(volts) <= OPTO_MA
    assert heat_w(volts) < 0.125, "half of the 0.25 W that the picture tells to take"
    assert OPTO_RATIO * current_ma(volts) > 5 * pull_up_ma(contacts.PULL_UP)


@pytest.mark.parametrize(
    ("ohm", "value"), [(10, 10), (11, 12), (83, 100), (2160, 2200), (4560, 4700), (8201, 10_000)]
)
def test_a_resistor_is_of_the_row_and_not_smaller(ohm, value):
    assert next_e12(ohm) == value
    assert int(str(value).rstrip("0").ljust(2, "0")) in E12


def test_the_bias_is_what_modbus_allows_and_holds_the_line():
    assert 450 <= rs485.BIAS <= 650  # Modbus over serial line V1.02, 3.4.6
    assert idle_v(rs485.BIAS, rs485.END) > IDLE_LEAST_V
    assert f"{idle_v(rs485.BIAS, rs485.END):.2f} V" in texts("rs485")


def test_the_contacts_are_kinds_that_have_rules_and_inputs_that_the_module_has():
    kinds = YAML(typ="safe").load((ROOT / "config" / "rules" / "contacts.yaml").read_text("utf-8"))
    profile = YAML(typ="safe").load(
        (ROOT / "config" / "profiles" / "waveshare-rtu-io-8ch.yaml").read_text("utf-8")
    )
    assert profile["profile"] in texts("contacts")
    for number, kind in contacts.INPUTS.items():
        assert kind in kinds
        assert f"di{number}" in profile["points"]


LINE = """\
site: {id: house, name: 院, institution: elder-care, timezone: Asia/Shanghai}
buses: {line: {serial: /dev/serial/by-path/port, baud: 9600, parity: none}}
devices:
"""
BREAKER = "  b{0}: {{profile: lingxun-lx47le, bus: line, unit: {0}, place: 1F, owner: 电工班}}\n"


@pytest.mark.parametrize(("breakers", "is_heavy", "is_taken"), [(13, 0, 1), (14, 1, 1), (20, 0, 0)])
def test_a_line_carries_as_many_breakers_as_the_page_says(tmp_path, breakers, is_heavy, is_taken):
    site = tmp_path / "site.yaml"
    site.write_text(LINE + "".join(BREAKER.format(n + 1) for n in range(breakers)), "utf-8")
    loaded = load_site(site)
    assert (loaded.site is not None) == is_taken
    said = [each.fact.en for each in loaded.problems if "%" in each.fact.en]
    assert len(said) == (is_heavy or not is_taken), said
    assert "thirteen residual-current breakers" in HARDWARE


def test_the_hardware_page_shows_every_picture_in_both_languages():
    for path, picture, _ in FILES:
        assert f"images/{path.name}" in HARDWARE, picture.title


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_no_label_is_wider_in_a_browser_than_the_script_takes_it_to_be():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE_MS
        )
        try:
            page = browser.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.set_content("".join(text for _, _, text in FILES))
            real = page.evaluate(
                "[...document.querySelectorAll('text')]"
                ".map(label => [label.textContent, label.getBBox().width])"
            )
        finally:
            browser.close()
    taken = [each for _, picture, _ in FILES for each in picture.shapes if isinstance(each, Words)]
    assert len(real) == len(taken)
    for label, (text, width) in zip(taken, real, strict=True):
        assert text == label.text
        assert width <= label.box[2] - label.box[0] + 1, text
