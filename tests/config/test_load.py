import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.buses import lasting_name
from gateway.config.load import load_site
from gateway.config.problems import render
from gateway.config.shipped import shipped_dir
from gateway.domain.rules import Severity
from gateway.domain.site import (
    Broker,
    Delivery,
    Direction,
    PanelPins,
    Parity,
    Reconnect,
    SerialLine,
    StoreSpec,
    TcpLink,
)
from gateway.domain.text import Lang

SITE = """\
site: {id: elm-house, name: 榆园, institution: elder-care, words: {district: 示范区, no: 12}}
buses:
  line: {serial: /dev/ttyAMA0, baud: 2400, parity: even, stop_bits: 2, timeout: 1s, gap: 5.5ms}
  hall: {tcp: "bridge:1502"}
devices:
  meter: {profile: peacefair-pzem-016, bus: line, unit: 3, place: 1F, owner: 电工班, name: 总表}
  same-unit-elsewhere: {profile: peacefair-pzem-016, bus: hall, unit: 3, place: 1F, owner: 电工班,
    points: {voltage: {period: 1s, deadband: 0.5 V, label: 进线, valid: 0..300}}}
panel: {red: 17, silence: 25, active_high: false}
uplink:
  gateway: wh-0152-01
  brokers: [mqtts://platform.example, mqtt+unix:///run/broker.sock]
  delivery: broker
  reconnect: local
  username: wh-0152-01
  password_file: secret
  tls: {ca: /nowhere/ca.pem}
  keepalive: 30s
  probe: 2s
store: {directory: data, commit_every: 5s}
silence: 5min
escalate_after: 90s
"""


def load(folder: Path, text: str, **given):
    path = folder / "site.yaml"
    path.write_text(text, encoding="utf-8")
    return load_site(path, **given)


def test_a_whole_site_comes_out_as_it_was_written(tmp_path):
    (tmp_path / "secret").write_text("x", encoding="utf-8")
    loaded = load(tmp_path, SITE)
    site = loaded.site
    assert site is not None, loaded.problems
    assert (site.id, site.name, site.institution) == ("elm-house", "榆园", "elder-care")
    assert site.timezone == "Asia/Shanghai"
    assert dict(site.words) == {"district": "示范区", "no": "12"}
    line, hall = site.buses
    assert line.link == SerialLine("/dev/ttyAMA0", 2400, Parity.EVEN, 2)
    assert (line.timeout_ms, line.gap_ms) == (1000, 5.5)
    assert hall.link == TcpLink("bridge", 1502)
    assert (hall.timeout_ms, hall.gap_ms) == (500, None)
    assert site.panel == PanelPins(red=17, silence=25, active_high=False)
    assert site.store == StoreSpec(tmp_path / "data", 5000)
    assert (site.silence_ms, site.escalate_after_ms) == (300_000, 90_000)
    uplink = site.uplink
    assert uplink is not None
    assert uplink.brokers == (
        Broker("platform.example", 8883, tls=True),
        Broker("", 0, unix_path="/run/broker.sock"),
    )
    assert (uplink.delivery, uplink.reconnect) == (Delivery.BROKER, Reconnect.LOCAL)
    assert (uplink.keepalive_s, uplink.probe_ms) == (30, 2000)
    assert uplink.password_file == tmp_path / "secret"
    assert uplink.ca_file == Path("/nowhere/ca.pem")
    assert [p.code for p in loaded.problems] == ["serial_differs", "file_missing"]


def test_a_site_changes_points_of_its_devices_only_where_it_says(tmp_path):
    site = load(tmp_path, SITE).site
    assert site is not None
    changed = site.points["same-unit-elsewhere.voltage"]
    other = site.points["meter.voltage"]
    assert (changed.period_ms, changed.deadband, changed.label) == (1000, 0.5, "进线")
    assert changed.valid == (0.0, 300.0)
    assert (other.period_ms, other.deadband, other.label) == (2000, 1.0, "电压")
    assert other.is_alarm_class
    assert not site.points["meter.frequency"].is_alarm_class


def test_the_store_s_place_can_be_given_from_outside(tmp_path):
    site = load(tmp_path, SITE, store_dir=tmp_path / "elsewhere").site
    assert site is not None
    assert site.store.directory == tmp_path / "elsewhere"


def test_the_sha_changes_with_the_file_and_only_with_it(tmp_path):
    one, same = load(tmp_path, SITE).site, load(tmp_path, SITE).site
    other = load(tmp_path, SITE.replace("5min", "6min")).site
    assert one is not None
    assert same is not None
    assert other is not None
    assert one.sha == same.sha != other.sha


def test_without_uplink_and_panel_the_site_stays_in_the_house(tmp_path):
    text = SITE[: SITE.index("panel:")]
    site = load(tmp_path, text).site
    assert site is not None
    assert site.uplink is None
    assert site.panel == PanelPins()
    assert site.store == StoreSpec(Path("/var/lib/care-gateway"))


@pytest.mark.parametrize("name", ["site.example.yaml", "site.demo.yaml"])
def test_the_shipped_sites_load_without_errors(name):
    loaded = load_site(shipped_dir() / name)
    assert [problem for problem in loaded.problems if problem.is_error] == []
    assert loaded.site is not None


def test_a_device_may_be_called_by_a_number(tmp_path):
    text = SITE[: SITE.index("panel:")].replace("  meter:", "  7:")
    text = text.replace("name: 总表}", "name: 总表, points: {voltage: {period: 1s}}}")
    site = load(tmp_path, text).site
    assert site is not None
    assert site.points["7.voltage"].period_ms == 1000


@pytest.mark.parametrize("name", ["007", "true", "0x1F"])
def test_a_name_that_looks_like_a_number_is_the_name_that_was_typed(tmp_path, name):
    people = tmp_path / "people.yaml"
    people.write_text(f"people: {{{name}: {{name: 张, role: duty}}}}\n", encoding="utf-8")
    people.chmod(0o640)
    site = load(tmp_path, SITE.replace("  meter:", f"  {name}:")).site
    assert site is not None
    assert f"{name}.voltage" in site.points
    assert set(site.people) == {name}


def test_two_names_of_one_adapter_are_one_port(tmp_path):
    port = tmp_path / "ttyUSB0"
    port.touch()
    (tmp_path / "by-id").symlink_to(port)
    loaded = load(
        tmp_path,
        "site: {id: s, name: S, institution: elder-care}\n"
        f"buses: {{a: {{serial: {port}}}, b: {{serial: {tmp_path / 'by-id'}}}}}\ndevices: {{}}\n",
    )
    (twice,) = [problem for problem in loaded.problems if problem.is_error]
    assert twice.code == "port_twice"
    assert str(port) in twice.fact.en
    assert str(tmp_path / "by-id") in twice.fact.zh


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty_file"),
        ("# nothing\n", "empty_file"),
        ("- a\n", "not_a_mapping"),
        ("a: 1\n---\nb: 2\n", "two_documents"),
        ("a: !!python/object:os.system x\n", "yaml_tag"),
        ("a: \x00\n", "control_character"),
        ("a: " + "[" * 60 + "]" * 60 + "\n", "too_deep"),
        ("a: " + "[" * 5000, "too_deep"),
        ("x" * ((1 << 20) + 1), "file_too_large"),
        ("a: &a [x]\nb: [*a, *a]\n", "yaml_alias"),
        ("a: " + "9" * 5000 + "\n", "unknown_key"),
        ('site: {name: "\\ud83d"}\n', "control_character"),
        ("site: {words: {" + ", ".join(f"w{n}: x" for n in range(51)) + "}}\n", "wrong_type"),
    ],
    ids=lambda value: value[:12],
)
def test_a_hostile_file_is_one_clear_error(text, code, tmp_path):
    loaded = load(tmp_path, text)
    assert loaded.site is None
    assert code in [problem.code for problem in loaded.problems]


def test_an_endless_line_is_cut_around_the_mistake(tmp_path):
    text = SITE.replace("name: 榆园", f"name: 榆园, note: {'长' * 3000}, nmae: x")
    printed = render(load(tmp_path, text).problems, Lang.EN)
    assert "`nmae` is not a key here" in printed
    assert max(len(line) for line in printed.splitlines()) < 200


def test_control_characters_of_a_file_do_not_reach_the_terminal(tmp_path):
    printed = render(load(tmp_path, SITE.replace("榆园", "\x1b[2J")).problems, Lang.ZH)
    assert "\x1b" not in printed
    assert "U+001B" in printed


def test_a_folder_in_place_of_a_file_is_one_clear_error(tmp_path):
    loaded = load_site(tmp_path)
    assert loaded.site is None
    assert [problem.code for problem in loaded.problems] == ["file_unreadable"]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=25, deadline=None)
@given(where=st.integers(0, 40), value=ANY)
def test_no_value_in_any_place_crashes_the_loader(where, value, tmp_path_factory):
    """Any value stands in for what the `where`-th line of a good file says."""
    lines = SITE.splitlines()
    typed = repr(value).replace("None", "null").replace("True", "true").replace("False", "false")
    at = where % len(lines)
    lines[at] = f"{lines[at].partition(':')[0]}: {typed}"
    folder = tmp_path_factory.mktemp("fuzz")
    loaded = load(folder, "\n".join(lines).encode("utf-8", "replace").decode())
    assert (loaded.site is None) == any(problem.is_error for problem in loaded.problems)


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(0, len(SITE)), put=st.text(max_size=5))
def test_no_typing_error_crashes_the_loader(cut, put, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    text = (SITE[:cut] + put + SITE[cut:]).encode("utf-8", "replace").decode()
    loaded = load(folder, text)
    assert (loaded.site is None) == any(problem.is_error for problem in loaded.problems)


def test_a_numbered_port_that_is_plugged_in_is_told_its_lasting_name(tmp_path):
    port = tmp_path / "ttyUSB7"
    port.touch()
    by_path, by_id = tmp_path / "by-path", tmp_path / "by-id"
    by_path.mkdir()
    (by_path / "other").symlink_to(tmp_path / "ttyUSB8")
    assert lasting_name(str(port), tmp_path) == ""
    by_id.mkdir()
    (by_id / "usb-1a86_USB_Serial").symlink_to(port)
    assert lasting_name(str(port), tmp_path) == str(by_id / "usb-1a86_USB_Serial")
    (by_path / "platform-usb-0:1.2").symlink_to(port)
    assert lasting_name(str(port), tmp_path) == str(by_path / "platform-usb-0:1.2")


def test_loading_brings_in_no_command_line_library():
    code = (
        "import sys, gateway.config.load;"
        "print([m for m in ('typer', 'rich', 'click', 'pymodbus', 'paho', 'gateway.sim')"
        " if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_usb_adapter_and_its_line_settings_come_out_as_they_were_written(tmp_path):
    text = SITE.replace(
        "serial: /dev/ttyAMA0,",
        'serial: "usb:1A86:7523", open_delay: 100ms, late_max: 3s, '
        "rs485: {rts_on_send: false, delay_after: 2ms},",
    )
    loaded = load(tmp_path, text)
    assert loaded.site is not None, loaded.problems
    line = loaded.site.buses[0]
    expected = Direction(rts_on_send=False, delay_after_ms=2)
    assert line.link == SerialLine("usb:1A86:7523", 2400, Parity.EVEN, 2, expected, 100)
    assert line.late_ms == 3_000


def test_an_alarm_that_stays_active_sounds_again_as_the_site_says_and_a_warning_does_not(tmp_path):
    rules = load(tmp_path, SITE + "realarm_after: 30min\n").site.rules
    after = {rule.severity: rule.realarm_after_ms for rule in rules}
    assert after[Severity.ALARM] == 1_800_000
    assert after[Severity.WARNING] is None
