"""What `scripts/soak` promises to run is there to be run."""

import re
from pathlib import Path

from scripts.long_runs import RUNS

SOAK = Path(__file__).parents[1] / "scripts" / "soak"


def test_every_long_run_stands_in_the_script_s_head_and_the_other_way_round() -> None:
    named = re.findall(r"^#   scripts/soak ([a-z]+)", SOAK.read_text("utf-8"), re.MULTILINE)
    assert set(named) == set(RUNS)
