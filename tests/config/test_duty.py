from gateway.config.load import load_site
from gateway.domain.escalation import Escalation
from gateway.domain.site import PostChecks

SITE = """\
site: {id: elm-house, name: 榆园, institution: elder-care}
buses:
  hall: {tcp: "bridge:1502"}
devices:
  meter: {profile: peacefair-pzem-016, bus: hall, unit: 3, place: 1F, owner: 电工班}
"""


def site_with(folder, text=""):
    path = folder / "site.yaml"
    path.write_text(SITE + text, encoding="utf-8")
    loaded = load_site(path)
    assert loaded.site is not None, loaded.problems
    return loaded.site


def test_a_site_that_says_nothing_has_the_usual_ladder_a_self_test_and_asks_nobody(tmp_path):
    site = site_with(tmp_path)
    assert site.escalation == Escalation(180_000, 300_000, 180_000, 600_000, 86_400_000)
    assert (site.post_checks.per_night, site.self_test_minute) == (0, 3 * 60 + 30)


def test_a_site_says_who_is_called_and_asked_and_when(tmp_path):
    site = site_with(
        tmp_path,
        "escalate_after: 90s\n"
        "escalation: {safety_manager: 4min, director: 6min, arrival: 5min, warning: 20min,"
        " hazard: 2d}\n"
        "post_check: {per_night: 3, answer_within: 2min, between: 21:00-05:30}\n"
        "self_test: 04:15\n",
    )
    assert site.escalation == Escalation(240_000, 360_000, 300_000, 1_200_000, 172_800_000)
    assert site.post_checks == PostChecks(3, 120_000, 21 * 60, 5 * 60 + 30)
    assert site.self_test_minute == 4 * 60 + 15


def test_self_test_and_post_checks_can_be_off(tmp_path):
    site = site_with(tmp_path, "self_test: off\npost_check: {per_night: 2, between: off}\n")
    assert (site.self_test_minute, site.post_checks.per_night) == (None, 0)
