"""docs/reader.md: its commands exist, its site part is accepted, its unit is the one we ship."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import build
from gateway.config.load import load_site
from gateway.domain.text import Lang

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reader.md").read_text("utf-8")
SITE = (ROOT / "tests" / "config" / "cases" / "reader_on_a_bus" / "site.yaml").read_text("utf-8")


def typed() -> list[list[str]]:
    """Every `care-gateway tag|nfc ...` of the page, in words."""
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    lines = [*blocks.splitlines(), *re.findall(r"`(care-gateway nfc[^`]*)`", PAGE)]
    found = [shlex.split(line.partition("care-gateway ")[2]) for line in lines]
    return [words for words in found if words[:1] in (["tag"], ["nfc"])]


def test_the_page_shows_the_commands():
    assert {" ".join(words[:2]) for words in typed()} >= {
        "tag write", "tag verify", "tag list", "tag retire", "nfc doctor", "nfc watch"
    }  # fmt: skip


@pytest.mark.parametrize("words", typed(), ids=" ".join)
def test_every_option_of_the_page_is_one_of_the_command(words):
    told = CliRunner(env={"COLUMNS": "200"}).invoke(build(Lang.EN), [*words[:2], "--help"])
    assert told.exit_code == 0
    for option in (word for word in words if word.startswith("--")):
        assert option in told.stdout


def test_the_site_part_of_the_page_is_accepted(tmp_path):
    (part,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    house = SITE.partition("reader:")[0]
    (tmp_path / "site.yaml").write_text(house + part, "utf-8")
    loaded = load_site(tmp_path / "site.yaml")
    assert not [problem for problem in loaded.problems if problem.is_error]
    assert loaded.site is not None
    assert loaded.site.reader is not None
    assert loaded.site.reader.id == "desk"
    assert loaded.site.reader.again_ms == 3_000


def test_the_files_of_the_page_are_in_the_repository():
    for name in re.findall(r"(?<![/\w])(?:systemd|requirements|docs)/[\w.-]+", PAGE):
        assert (ROOT / name).exists(), name
