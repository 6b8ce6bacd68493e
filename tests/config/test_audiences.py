"""Who is told of an alarm, and how long the house waits for a receipt, out of the site file."""

from gateway.config.load import load_site
from gateway.domain.cases import Audience, ReceiptLevel
from gateway.domain.rules import Severity

SITE = """\
site: {{id: elm, name: 榆园, institution: elder-care}}
buses: {{line: {{tcp: 127.0.0.1}}}}
devices:
  board: {{profile: lingxun-lx47le, bus: line, unit: 3, place: 1F, owner: 电工班}}
uplink: {{gateway: wh-1, brokers: ["mqtts://host:8883"]{more}}}
{rest}
"""
INST, CIVIL, FIRE = Audience.INSTITUTION, Audience.BUREAU, Audience.FIRE_BRIGADE


def site_of(tmp_path, more="", rest=""):
    path = tmp_path / "site.yaml"
    path.write_text(SITE.format(more=more, rest=rest))
    loaded = load_site(path)
    assert loaded.site is not None, loaded.problems
    return loaded.site


def test_without_a_word_an_alarm_is_for_all_three_and_the_rest_for_the_institution(tmp_path):
    site = site_of(tmp_path)
    assert dict(site.uplink.audiences) == {
        Severity.ALARM: (INST, CIVIL, FIRE),
        Severity.WARNING: (INST,),
        Severity.FAULT: (INST,),
    }
    assert (site.uplink.receipt_within_ms, site.uplink.receipt_level) == (
        180_000,
        ReceiptLevel.SENT,
    )
    assert site.has_warning_cases


def test_a_site_names_the_audiences_of_one_severity_and_the_others_stay(tmp_path):
    more = (
        ", audiences: {alarm: [bureau, institution, bureau], fault: []}"
        ", receipt_within: 0, receipt_level: seen"
    )
    site = site_of(tmp_path, more, "warning_cases: false")
    assert dict(site.uplink.audiences) == {
        Severity.ALARM: (CIVIL, INST),
        Severity.WARNING: (INST,),
        Severity.FAULT: (),
    }
    assert (site.uplink.receipt_within_ms, site.uplink.receipt_level) == (0, ReceiptLevel.SEEN)
    assert not site.has_warning_cases
