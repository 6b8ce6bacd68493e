import re
from pathlib import Path

import pytest

from gateway.domain.readings import STILL_JUDGED
from gateway.domain.reasons import reason_text
from gateway.domain.text import Text

SAID = (Path(__file__).parents[2] / "gateway/core/decode.py").read_text(encoding="utf-8")
DECODED = {
    *re.findall(r'(?:Quality\.\w+|None), "([a-z_]+)"', SAID),
    *re.findall(r'fault, "([a-z_]+)"', SAID),
}


@pytest.mark.parametrize("code", sorted(DECODED | STILL_JUDGED | {"stuck", "stale", "test"}))
def test_every_reason_has_words_in_both_languages(code: str) -> None:
    words = reason_text(code)
    assert words.zh != code
    assert "_" not in words.en


def test_decoding_gives_reasons_at_all() -> None:
    assert {"silent", "bus_down", "busy", "sentinel", "word_count", "not_text"} <= DECODED


def test_a_reason_with_a_number_or_a_point_names_it() -> None:
    assert reason_text("exception_2") == Text("异常应答 2", "exception 2")
    assert reason_text("gate:gas.ready") == Text("gas.ready 未就绪", "gas.ready is not ready")


def test_a_reason_without_words_is_told_as_it_is() -> None:
    assert reason_text("of_tomorrow") == Text("of_tomorrow", "of_tomorrow")
