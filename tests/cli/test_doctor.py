"""`doctor` and `report`, beside a daemon that answers and without one."""

import json
import tarfile

import pytest

from gateway.cli.main import main
from gateway.cli.report import without_people

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
    assert "do: Check the cable" in out
    assert out.index("[fault_open]") < out.index("[daemon_answers]")


def test_doctor_as_json_has_each_finding_in_both_languages(site, tmp_path, capsys):
    code, out, _ = typed(capsys, "doctor", site, "--socket", tmp_path / "none", "--json")
    assert code == 1
    found = {each["code"]: each for each in json.loads(out)["findings"]}
    assert found["daemon_silent"]["grade"] == "bad"
    assert found["daemon_silent"]["cure"]["zh"]
    assert found["port_ready"]["cure"] is None


def test_doctor_on_a_wrong_site_file_shows_its_errors(tmp_path, capsys):
    path = tmp_path / "site.yaml"
    path.write_text("site: {id: 7}\n")
    code, out, err = typed(capsys, "doctor", path, "--socket", tmp_path / "none")
    assert (code, out) == (2, "")
    assert "site.yaml:1" in err


def test_a_report_holds_everything_but_secrets_and_people(site, answering, tmp_path, capsys):
    with answering(answer) as socket:
        code, out, err = typed(capsys, "report", site, "--socket", socket, "--into", tmp_path)
    assert code == 0
    assert "written" in err
    with tarfile.open(out.strip()) as bundle:
        parts = {
            each.name.split("/")[1]: bundle.extractfile(each).read().decode() for each in bundle
        }
    assert parts.keys() >= {
        "machine.json", "site.yaml", "check.json", "status.json", "uplink_status.json",
        "doctor.json", "records.json", "databases.json", "journal.txt", "units.txt",
    }  # fmt: skip
    everything = "\n".join(parts.values())
    for word in (
        "王芳",
        "Li Lei",
        "Wang Fang",
        '"E07"',
        "(E07)",
        "elm-login",
        "elm:secret",
        "s3cret",
    ):
        assert word not in everything, word
    assert "E071 stayed" in parts["status.json"], "only whole codes are taken out"
    assert "Bus down" in parts["status.json"]
    assert "profile: chint-dtsu666" in parts["site.yaml"]
    assert json.loads(parts["machine.json"])["packages"]["pymodbus"]


def test_a_report_is_written_without_a_daemon_and_says_what_it_could_not_have(
    site, tmp_path, capsys
):
    code, out, _ = typed(capsys, "report", site, "--socket", tmp_path / "no", "--into", tmp_path)
    assert code == 0
    with tarfile.open(out.strip()) as bundle:
        status = bundle.extractfile("care-gateway-report/status.json").read().decode()
    assert status.startswith("not available: NoDaemon")


def test_a_report_for_a_folder_that_is_not_there_is_refused(site, tmp_path, capsys):
    none = tmp_path / "none"
    code, out, err = typed(capsys, "report", site, "--socket", none, "--into", none)
    assert (code, out) == (1, "")
    assert "cannot write" in err


def test_people_are_taken_out_of_answers_at_any_depth():
    said = {"a": [{"by": "E1", "acked_by": None, "leader": "E2", "n": 1}], "owner": "x"}
    assert without_people(said) == {
        "a": [{"by": "(removed)", "acked_by": None, "leader": "(removed)", "n": 1}],
        "owner": "(removed)",
    }
