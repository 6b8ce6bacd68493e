import re
from pathlib import Path

from gateway.core.faults import FAULTS, LINK_FAILURES, LINK_FAULTS, fault_rule
from gateway.domain.errors import LinkRefused

ROOT = Path(__file__).parents[2]


def test_every_reason_of_a_failed_connection_has_words_in_both_languages():
    said = set(
        re.findall(r'LinkRefused\(\s*"(\w+)"', (ROOT / "gateway/drivers/mqtt.py").read_text())
    )
    tls = (ROOT / "gateway/drivers/tls.py").read_text()
    said |= set(re.findall(r'LinkRefused\(\s*"(\w+)"', tls)) | set(re.findall(r'"(tls\w*)"', tls))
    assert len(said) > 15
    assert said <= set(LINK_FAILURES)
    for say, steps in LINK_FAILURES.values():
        assert steps
        for text in (say, *steps):
            assert re.search("[一-鿿]", text.zh)
            assert text.en.isascii()


def test_the_documented_reasons_are_the_ones_with_words():
    documented = set(re.findall(r"\b[a-z_]+\b", LinkRefused.__doc__ or ""))
    assert {why for why in LINK_FAILURES if why not in ("lost", "no_puback")} <= documented


def test_a_failure_that_does_not_go_away_by_itself_is_a_fault_with_its_own_words():
    for why, fault in LINK_FAULTS.items():
        assert fault in FAULTS
        if why.startswith("tls"):
            assert fault_rule(fault, "broker").say == LINK_FAILURES[why][0]
    assert fault_rule("identity_in_use", "gw").say.en == "Another gateway uses the same id"


def test_the_contract_lists_every_fault_with_its_words_and_no_other():
    page = (ROOT / "docs/contract/faults.md").read_text("utf-8")
    listed = re.findall(r"^\| `(\S+)` \| (.*) \| (.*) \|$", page, re.MULTILINE)
    assert listed == [(code, say.zh, say.en) for code, (say, _) in sorted(FAULTS.items())]
    assert "faults.md" in (ROOT / "docs/contract/platform-duties.md").read_text("utf-8")
