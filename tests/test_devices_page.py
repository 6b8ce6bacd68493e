"""The list of devices is current, and the page on adding one tells how it is done."""

import re
from pathlib import Path

from gateway.config.families import read_families
from gateway.config.load import load_site
from gateway.core.blocks import plan_blocks
from gateway.core.decode import decode_block
from scripts.device_list import PAGE, page

ADDING = PAGE.parent / "adding-a-device.md"


def files_of(text: str) -> dict[str, str]:
    """The YAML blocks of the page by the file name in their first line."""
    blocks = re.findall(r"^```yaml\n# (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return dict(blocks)


def house(folder: Path) -> Path:
    """The page's files, laid out as it says."""
    files = files_of(ADDING.read_text(encoding="utf-8"))
    (folder / "profiles").mkdir()
    for name, text in files.items():
        path = folder / name if name == "site.yaml" else folder / "profiles" / name
        path.write_text(text, encoding="utf-8")
    return folder / "site.yaml"


def test_the_list_of_devices_is_the_one_the_profiles_draw() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "run python -m scripts.device_list"


def test_every_yaml_block_of_the_page_is_a_file_with_a_name() -> None:
    text = ADDING.read_text(encoding="utf-8")
    assert text.count("```yaml") == len(files_of(text)) == 3


def test_the_page_s_device_is_taken_by_check_without_a_word(tmp_path: Path) -> None:
    loaded = load_site(house(tmp_path))
    assert loaded.site is not None, loaded.problems
    assert loaded.problems == ()
    rules = {rule.id for rule in loaded.site.rules}
    assert "kitchen-board.residual_current/residual_alarm" in rules


def test_the_page_s_registers_become_what_its_manual_says(tmp_path: Path) -> None:
    site = load_site(house(tmp_path)).site
    assert site is not None
    memory = dict.fromkeys(range(100), 0)
    memory |= {0: 2302, 1: 12_345 & 0xFFFF, 2: 0, 3: 65_535, 4: 0xFF9B, 9: 0x0021, 99: 4711}
    values = {}
    for block in plan_blocks(site.devices[0], site.buses[0]):
        assert block.count <= 32
        words = [memory[at] for at in range(block.start, block.start + block.count)]
        values |= {
            r.point.split(".")[1]: r.value or r.reason for r in decode_block(block, words, 0)
        }
    assert values == {
        "voltage": 230.2,
        "current": 12.345,
        "residual_current": "sentinel",
        "cable_temperature": -10.1,
        "overload": 1,
        "state": 2,
        "model_code": 4711,
    }


def test_the_page_s_second_device_differs_only_in_what_it_says(tmp_path: Path) -> None:
    house(tmp_path)
    families, problems = read_families(tmp_path)
    assert problems == ()
    by_name = {family.profile: family for family in families}
    first, second = by_name["demo-leakage-meter"], by_name["demo-leakage-meter-2"]
    assert {p.name for p in first.points} - {p.name for p in second.points} == {"cable_temperature"}
    scales = [p.encoding.scale for p in second.points if p.name == "current"]
    assert [float(scale) for scale in scales] == [0.01]
    assert (second.maker, second.model, second.line) == ("Demo", "LM-2", first.line)
