"""Several devices behind one unit: the heads of a gas panel, each in a place of its own."""

from pathlib import Path

import pytest

from gateway.config.load import Loaded, load_site

HEAD = "{{profile: {profile}, bus: b, unit: {unit}{channel}, place: {place}, owner: O}}"


def load(folder: Path, *heads: tuple[str, int, int | None]) -> Loaded:
    """A site with a device for each (profile, unit, channel)."""
    lines = ["site: {id: s, name: S, institution: elder-care}", "buses: {b: {tcp: h}}", "devices:"]
    for index, (profile, unit, channel) in enumerate(heads):
        more = "" if channel is None else f", channel: {channel}"
        head = HEAD.format(profile=profile, unit=unit, channel=more, place=f"place {index}")
        lines.append(f"  head-{index}: {head}")
    path = folder / "site.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return load_site(path)


def errors(loaded: Loaded) -> list[tuple[str, int]]:
    return [(problem.code, problem.line) for problem in loaded.problems if problem.is_error]


def test_each_head_of_a_panel_is_a_device_with_its_own_addresses_place_and_rules(tmp_path):
    site = load(tmp_path, ("igd-toc-635", 100, 0), ("igd-toc-635", 100, 7)).site
    assert site is not None
    assert [(device.unit, device.place) for device in site.devices] == [
        (100, "place 0"),
        (100, "place 1"),
    ]
    for index, channel in enumerate((0, 7)):
        assert site.points[f"head-{index}.concentration"].at == 30000 + channel
        assert site.points[f"head-{index}.supply_voltage"].at == 31000 + channel
        assert site.points[f"head-{index}.over_range"].at == 33000 + channel
    rules = {rule.id for rule in site.rules}
    assert {"head-0.concentration/gas_high", "head-1.concentration/gas_high"} <= rules


def test_channels_of_different_units_may_have_the_same_number(tmp_path):
    assert errors(load(tmp_path, ("igd-toc-635", 100, 0), ("igd-toc-635", 101, 0))) == []


@pytest.mark.parametrize(
    ("heads", "wanted"),
    [
        ([("igd-toc-635", 100, 2), ("igd-toc-635", 100, 2)], [("unit_twice", 5)]),
        ([("igd-toc-635", 100, 2), ("xy-md02", 100, None)], [("unit_twice", 5)]),
        ([("xy-md02", 100, None), ("igd-toc-635", 100, 2)], [("unit_twice", 5)]),
        ([("igd-toc-635", 100, None)], [("channel_missing", 4)]),
        ([("igd-toc-635", 100, 999)], []),
        ([("igd-toc-635", 100, 1000)], [("bad_channel", 4)]),
        ([("xy-md02", 1, 0)], [("bad_channel", 4)]),
    ],
)
def test_a_wrong_channel_is_one_error_at_its_line(heads, wanted, tmp_path):
    assert errors(load(tmp_path, *heads)) == wanted


def test_value_decimals_and_unit_move_together(tmp_path):
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "many.yaml").write_text(
        "profile: many\nextends: qdy30a\nmodel: many\nmaker: m\nchannels: 3\n", encoding="utf-8"
    )
    site = load(tmp_path, ("many", 1, 2)).site
    assert site is not None
    point = site.points["head-0.pressure"]
    assert (point.encoding.unit_at, point.encoding.decimals_at, point.at) == (4, 5, 6)


def test_a_profile_cannot_have_channels_beyond_the_last_address(tmp_path):
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "far.yaml").write_text(
        "profile: far\nchannels: 1000\nall: {table: input, type: uint32, unit: V}\n"
        "points: {a: {at: 65530}}\n",
        encoding="utf-8",
    )
    assert errors(load(tmp_path, ("far", 1, 4))) == []
    assert errors(load(tmp_path, ("far", 1, 5))) == [("bad_channel", 4)]
