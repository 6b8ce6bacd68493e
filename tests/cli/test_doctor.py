"""`doctor`, beside a daemon that answers and without one."""

import json
import socket
import threading
import time

import pytest

from gateway.cli import doctor as looking
from gateway.cli.main import main
from gateway.config.load import load_site

SITE = """
site: {{id: elm, name: Elm, institution: elder-care, timezone: Asia/Shanghai}}
buses: {{line: {{serial: {port}, baud: 9600, parity: none}}}}
devices:
  board: {{profile: chint-dtsu666, bus: line, unit: 1, place: 1F, owner: Wang Fang}}
store: {{directory: {store}}}
uplink:
  brokers: ["mqtts://127.0.0.1:1"]
  gateway: elm-1
  username: elm-login
  password_file: {store}/password
"""
PEOPLE = """
people:
  E07: {name: 王芳, role: duty}
  E31: {name: Li Lei, role: technician}
"""
FAULT = {
    "rule": "gateway/bus_down/line", "severity": "fault", "by": "E07", "place": "line",
    "say": {"zh": "总线断开", "en": "Bus down"}, "detail": "cable",
    "do": [{"zh": "查线", "en": "Check the cable"}],
}  # fmt: skip


def answer(message):
    if message["verb"] == "status":
        return {"ok": True, "alarms": [FAULT], "log": "王芳 (E07) and Li Lei went, E071 stayed"}
    return {"ok": True, "closed_by": "E07", "open": [], "url": "mqtt://elm:secret@broker:1883"}


@pytest.fixture
def site(tmp_path):
    path = tmp_path / "site.yaml"
    port = tmp_path / "port"
    port.touch()
    path.write_text(SITE.format(port=port, store=tmp_path), encoding="utf-8")
    (tmp_path / "password").write_text("s3cret")
    (tmp_path / "password").chmod(0o600)
    (tmp_path / "people.yaml").write_text(PEOPLE, encoding="utf-8")
    (tmp_path / "people.yaml").chmod(0o640)
    return path


def typed(capsys, *words):
    code = main([*map(str, words), "--lang", "en"])
    out, err = capsys.readouterr()
    return code, out, err


def test_doctor_tells_what_is_wrong_with_the_cure_and_what_the_daemon_knows(
    site, answering, capsys
):
    with answering(answer) as socket:
        code, out, err = typed(capsys, "doctor", site, "--socket", socket)
    assert code == 1, err
    assert "[broker_tcp_refused]" in out
    assert "Bus down  line  cable  [fault_open]" in out
    assert "do: Check the cable; `care-gateway bus stats line`" in out
    assert out.index("[fault_open]") < out.index("[daemon_answers]")


def test_doctor_looks_where_the_daemon_was_told_to_keep_its_databases(
    site, answering, tmp_path, capsys
):
    site.write_text(site.read_text("utf-8").replace(f"directory: {tmp_path}", "directory: /no/dir"))
    (tmp_path / "data").mkdir()
    with answering(answer) as socket:
        _, out, _ = typed(capsys, "doctor", site, "--socket", socket)
        assert "[store_missing]" in out
        _, out, _ = typed(capsys, "doctor", site, "--socket", socket, "--store", tmp_path / "data")
    assert "[store_missing]" not in out


def test_doctor_as_json_has_each_finding_in_both_languages(site, tmp_path, capsys):
    code, out, _ = typed(capsys, "doctor", site, "--socket", tmp_path / "none", "--json")
    assert code == 1
    found = {each["code"]: each for each in json.loads(out)["findings"]}
    assert found["daemon_silent"]["grade"] == "bad"
    assert found["daemon_silent"]["cure"]["zh"]
    assert found["port_ready"]["cure"] is None


def found_in(capsys, site, at):
    _, out, err = typed(capsys, "doctor", site, "--socket", at, "--json")
    assert not err
    return {each["code"]: each for each in json.loads(out)["findings"]}


def test_a_socket_that_was_left_over_is_told_apart_from_a_daemon_that_hangs(
    site, tmp_path, capsys, monkeypatch
):
    at = tmp_path / "daemon.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(at))
        listening.listen()
        monkeypatch.setattr(looking, "ASK_S", 0.2)
        hangs = found_in(capsys, site, at)
        assert "daemon_hangs" in hangs
        assert "daemon_silent" not in hangs
    found = found_in(capsys, site, at)
    assert "left-over" in found["daemon_silent"]["fact"]["en"]
    assert found["daemon_silent"]["cure"]["en"] == "systemctl start care-gateway"


def test_who_may_not_ask_is_no_reason_to_restart_anything(site, tmp_path):
    refused = looking.NoAnswer("this user may not")
    refused.__cause__ = PermissionError()
    daemon = looking.Daemon(None, refused, {}, frozenset())
    (found,) = looking.look_at_daemon(load_site(site).site, tmp_path / "x", daemon)
    assert (found.code, found.grade.value) == ("daemon_denied", "note")


def test_a_fault_follows_from_what_doctor_has_seen_itself_and_has_no_cure_of_its_own(
    site, answering, tmp_path, capsys
):
    (tmp_path / "port").unlink()
    with answering(answer) as at:
        found = found_in(capsys, site, at)
        code, out, _ = typed(capsys, "doctor", site, "--socket", at)
    assert found["port_missing"]["about"] == "line"
    assert found["fault_open"]["because"] == "port_missing"
    assert code == 1
    assert "follows from [port_missing]: mend that first" in out
    assert "Check the cable" not in out
    assert out.index("[port_missing]") < out.index("[fault_open]")


def test_another_file_another_version_and_swapped_lines_are_told(site, answering, capsys):
    silent = [
        {**FAULT, "rule": f"gateway/bus_silent/{bus}", "say": "silent"} for bus in ("line", "roof")
    ]

    def newer(_message):
        return {"ok": True, "alarms": silent, "site": {"sha": "0" * 64}, "version": "0.0.1"}

    house = site.read_text("utf-8").replace(
        "\ndevices:", "\n  roof: {serial: /dev/null, baud: 9600, parity: none}\ndevices:"
    )
    house = house.replace(
        "store:", "  pump: {profile: chint-dtsu666, bus: roof, unit: 1, place: R, owner: W}\nstore:"
    )
    # the port of a bus, twice, would be an error: /dev/null is another one
    site.write_text(
        house.replace("buses: {line: {", "buses:\n  line: {").replace("none}}", "none}")
    )
    with answering(newer) as at:
        found = found_in(capsys, site, at)
    assert found["site_not_running"]["cure"]["en"].startswith("systemctl reload care-gateway")
    assert found["daemon_other_version"]["fact"]["en"].startswith("0.0.1 runs")
    assert "line, roof" in found["lines_swapped"]["fact"]["en"]


def test_a_device_that_takes_no_long_question_is_told_with_its_cure(site, answering, capsys):
    running = {"ok": True, "alarms": [], "devices": [{"id": "pump"}, {"id": "meter", "takes": 15}]}
    with answering(lambda _message: running) as at:
        found = found_in(capsys, site, at)["device_takes_less"]
    assert found["about"] == "meter"
    assert "max_registers: 15" in found["cure"]["en"]


def test_the_file_that_runs_is_known_by_its_sum(site, answering, capsys):
    running = {"ok": True, "alarms": [], "site": {"sha": load_site(site).site.sha}}
    with answering(lambda _message: running) as at:
        assert "site_not_running" not in found_in(capsys, site, at)


def test_a_tcp_device_that_the_daemon_has_is_left_alone(site, answering, capsys):
    """Many take one connection only: a second one ends the first."""
    with socket.socket() as device:
        device.bind(("127.0.0.1", 0))
        device.listen()
        device.settimeout(0.2)
        port = device.getsockname()[1]
        text = site.read_text("utf-8")
        at = text.index("buses:")
        house = f'buses: {{line: {{tcp: "127.0.0.1:{port}"}}}}\n'
        site.write_text(text[:at] + house + text[text.index("devices:") :])
        polls = {"ok": True, "alarms": [], "buses": [{"id": "line"}]}
        with answering(lambda _message: polls) as daemon:
            found = found_in(capsys, site, daemon)
            assert "tcp_answers" not in found
            assert found["bus_left"]["about"] == "line"
        with pytest.raises(TimeoutError):
            device.accept()
        assert "tcp_answers" in found_in(capsys, site, site.parent / "none")


def test_a_look_that_hangs_or_fails_is_told_and_costs_no_other():
    ended = threading.Event()

    def hang():
        ended.wait(60)
        return ()

    good = looking.good("fine", looking.CURE)

    def fail():
        yield good
        raise PermissionError(13, "Permission denied", "/x")

    began = time.monotonic()
    looks = [("disk", hang), ("key", fail), ("clock", lambda: [good])]
    hangs, before, unseen, fine = looking._seen(looks, 0.1)
    assert time.monotonic() - began < 30
    ended.set()
    assert (hangs.code, hangs.about, hangs.grade.value) == ("look_hangs", "disk", "bad")
    assert (unseen.code, unseen.cure.en) == ("unseen", "sudo care-gateway doctor")
    assert (before, fine) == (good, good), "what was seen before it failed is told"


def test_doctor_writes_nothing(site, answering, tmp_path, capsys):
    def everything():
        return {
            str(each): (each.stat().st_mtime_ns, each.stat().st_size)
            for each in tmp_path.rglob("*")
        }

    before = everything()
    with answering(answer) as at:
        typed(capsys, "doctor", site, "--socket", at)
    assert everything() == before


def test_doctor_on_a_wrong_site_file_shows_its_errors(tmp_path, capsys):
    path = tmp_path / "site.yaml"
    path.write_text("site: {id: 7}\n")
    code, out, err = typed(capsys, "doctor", path, "--socket", tmp_path / "none")
    assert (code, out) == (2, "")
    assert "site.yaml:1" in err
