"""One of the troubles of `scripts/soak links`, as shipped; the others take longer."""

from tests.daemon.links import TROUBLES


async def test_a_denied_alarm_is_a_fault_of_the_whole_daemon_within_30_s_and_stays_unsettled(
    tmp_path,
):
    seen = await TROUBLES["0x87, not authorized"](tmp_path, 0.0)
    assert seen.told_as == "gateway/uplink_refused/A"
    assert 0 < seen.told_ms <= 30_000
    assert seen.sounded_ms > 0
    assert seen.settled == 0
