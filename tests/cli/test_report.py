"""`report`: everything that helps, and nobody in it."""

import json
import os
import resource
import tarfile
import time
from pathlib import Path

import pytest

from gateway.cli import report as reporting
from gateway.cli.main import main
from gateway.domain.text import Lang

UID = "04 5E 1F 2A 6B 80 01"
PHC = "$argon2id$v=19$m=19456,t=2,p=1$G13wlcnqZySDZyPSjkk7Dw$"
PHC += "Kh2biZjogv8lpTIvnP9dVpdNwGuE1PEafBYlE+0HM"
SITE = """
# Wang keeps the keys: 13800138000 (王芳), wifi: pass=Sunflower9
site: {{id: elm, name: Elm, institution: elder-care}}
buses: {{line: {{serial: {folder}/port, baud: 9600, parity: none}}}}  # Zhang San put it in
devices:
  board:
    profile: chint-dtsu666
    bus: line
    unit: 1
    place: "1F, ask zhao.liu@elm.example or 010-62345678"
    owner: >-
      Wang
      Fang
store: {{directory: {folder}/store}}
uplink:
  brokers: ["mqtts://127.0.0.1:1"]
  gateway: elm-1
  username: elm-login
  password_file: {folder}/password
"""
PEOPLE = f"""
people:
  E07:   # 王芳的电话 13911112222
    name: 王芳
    role: duty
    cards: [{{uid: "{UID}", label: 蓝卡王}}]
  E31: {{name: Li Lei, role: technician, pin: "{PHC}"}}
"""
LOG = """\
2026-11-22T12:44:27+08:00 elm python[7]: tap by E07 请E31处理 Li_Lei li  lei 王芳
2026-11-22T12:44:28+08:00 elm python[7]: uid=045e1f2a6b8001 also 04:5E:1F:2A:6B:80:01
2026-11-22T12:44:29+08:00 elm python[7]: connect mqtts://elm:p/w@d@broker:8883 s3cret-of-mqtt
2026-11-22T12:44:30+08:00 elm python[7]: GET /t/1F?picc_data=EF963FF7828658A5&cmac=94EED9EE65337086
2026-11-22T12:44:31+08:00 elm python[7]: cookie: sid=kX9vQ2mPz7Rt4Lw8Yb3Nc6Hd
2026-11-22T12:44:32+08:00 elm python[7]: token kX9vQ2mPz7Rt4Lw8Yb3Nc6HdAbCd
2026-11-22T12:44:33+08:00 elm python[7]: call +86 137 5555 6666 or (0571) 8765 4321
2026-11-22T12:44:34+08:00 elm python[7]: 11010519491231002X 1F-KITCHEN/visit-8841.jpg
2026-11-22T12:44:35+08:00 elm python[7]: -----BEGIN EC PRIVATE KEY----- MHcCAQEEIBkg
2026-11-22T12:44:36+08:00 elm python[7]: -----END EC PRIVATE KEY----- \\u738b\\u82b3
2026-11-22T12:44:37+08:00 elm python[7]: Authorization: Basic ZWxtOnMzY3JldA==
2026-11-22T12:44:38+08:00 elm python[7]: fault raised fault=bus_down bus=line alarm=e0fcaea91faf-B-2
"""
PLANTED = (
    "Wang", "王芳", "13800138000", "13911112222", "Sunflower9", "Zhang San", "zhao.liu", "62345678",
    "elm-login", "s3cret-of-mqtt", "E07", "E31", "Lei", "lei", "蓝卡王", UID, "045e1f2a6b8001",
    "04:5E:1F", "argon2id", "p/w@d", "EF963FF7828658A5", "94EED9EE65337086", "kX9vQ2mP",
    "5555 6666",
    "8765 4321", "11010519491231002", "visit-8841", "MHcCAQEEIBkg", "u738b", "ZWxtOnMz", "奶奶",
    "Ward 3", "9f86d081884c7d65",
)  # fmt: skip


def answer(message):
    if message["verb"] == "status":
        shelved = {"rule": "board.x/y", "by": "E07", "why": "Ward 3 asked for it"}
        return {
            "ok": True,
            "alarms": [],
            "log": "王芳 (E07) went, E071 stayed",
            "shelved": [shelved],
        }
    if message["verb"] == "cases":
        found = {"handled_by": "E31", "finding": {"text": "王奶奶 burnt toast", "cause": "奶奶"}}
        return {"ok": True, "open": [found], "counts": {"open": 1}}
    return {"ok": True, "url": "mqtt://elm:p/w@d@broker", "link": {"why": "dns"},
            "token": "9f86d081884c7d659a2feaa0c55ad015"}  # fmt: skip


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A house full of people, whose journal says too much."""
    path, bin_ = tmp_path / "site.yaml", tmp_path / "bin"
    path.write_text(SITE.format(folder=tmp_path), encoding="utf-8")
    (tmp_path / "port").touch()
    (tmp_path / "password").write_text("s3cret-of-mqtt\n")
    (tmp_path / "people.yaml").write_text(PEOPLE, encoding="utf-8")
    for each in ("password", "people.yaml"):
        (tmp_path / each).chmod(0o640)
    bin_.mkdir()
    (tmp_path / "log").write_text(LOG, encoding="utf-8")
    for program in ("journalctl", "systemctl"):
        (bin_ / program).write_text(f"#!/bin/sh\ncat {tmp_path}/log\n")
        (bin_ / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    return path


def reported(capsys, *words):
    code = main(["report", *map(str, words), "--lang", "en"])
    out, err = capsys.readouterr()
    return code, out.strip(), err


def parts_of(path):
    with tarfile.open(path) as bundle:
        return {
            each.name.partition("/")[2]: bundle.extractfile(each).read().decode("utf-8")
            for each in bundle
        }


def test_a_report_holds_everything_but_secrets_and_people(site, answering, tmp_path, capsys):
    with answering(answer) as socket:
        code, out, err = reported(capsys, site, "--socket", socket, "--into", tmp_path)
    assert code == 0
    assert "written" in err
    parts = parts_of(out)
    assert parts.keys() == {
        "machine.json", "site.yaml", "check.json", "status.json", "uplink_status.json",
        "cases.json", "doctor.json", "records.json", "databases.json", "journal.txt",
        "kernel.txt", "units.txt",
    }  # fmt: skip
    assert "E071 stayed" in parts["status.json"], "only whole codes are taken out"
    told = {name: text.replace("E071", "") for name, text in parts.items()}
    assert [(word, name) for word in PLANTED for name in told if word in told[name]] == []
    for name in ("status", "uplink_status", "cases", "doctor", "machine", "check"):
        json.loads(parts[f"{name}.json"])
    assert json.loads(parts["uplink_status.json"])["link"] == {"why": "dns"}
    assert "profile: chint-dtsu666" in parts["site.yaml"]
    lines = site.read_text("utf-8").count("\n")
    assert parts["site.yaml"].count("\n") == lines, "check.json names its lines"
    assert "fault=bus_down bus=line alarm=e0fcaea91faf-B-2" in parts["journal.txt"]
    assert json.loads(parts["machine.json"])["packages"]["pymodbus"]
    assert Path(out).stat().st_mode & 0o777 == 0o600


def test_a_report_is_written_without_a_daemon_and_with_a_site_file_and_people_full_of_mistakes(
    site, tmp_path, capsys
):
    site.write_text(site.read_text("utf-8") + "\n  broken: [\n", encoding="utf-8")
    (tmp_path / "people.yaml").write_text(PEOPLE + "  E99: {name: 赵六\n", encoding="utf-8")
    (tmp_path / "log").write_text(LOG + "赵六 and E99\n", encoding="utf-8")
    code, out, _ = reported(capsys, site, "--socket", tmp_path / "no", "--into", tmp_path)
    assert code == 0
    parts = parts_of(out)
    assert parts["status.json"].startswith("not available: NoDaemon")
    assert "doctor.json" not in parts
    # of what stands in a broken file, only the password's file is not found any more
    told = {"Wang", "s3cret-of-mqtt"}
    everything = "\n".join(parts.values())
    assert [
        word for word in (*PLANTED, "赵六", "E99") if word in everything and word not in told
    ] == []
    site.unlink()
    code, out, _ = reported(capsys, site, "--socket", tmp_path / "no", "--into", tmp_path / "bin")
    assert code == 0
    assert parts_of(out)["site.yaml"].startswith("not available: FileNotFoundError")


def test_the_databases_are_those_the_daemon_was_given(site, tmp_path, capsys):
    (tmp_path / "store").mkdir()
    given = tmp_path / "given"
    given.mkdir()
    (given / "core.db").write_text("no database\n" * 400)

    def core_of(*words):
        code, out, _ = reported(
            capsys, site, "--socket", tmp_path / "no", "--into", tmp_path, *words
        )
        assert code == 0
        (core, _) = json.loads(parts_of(out)["databases.json"])
        Path(out).unlink()
        return core

    assert core_of()["size"] == 0, "the site's own folder holds none"
    assert core_of("--store", given)["size"] == 12 * 400


def test_where_nobody_can_be_taken_out_nothing_is_written(site, tmp_path, capsys):
    people = tmp_path / "people.yaml"
    people.unlink()
    people.mkdir()  # what cannot be read, for root too
    code, out, err = reported(capsys, site, "--socket", tmp_path / "no", "--into", tmp_path)
    assert (code, out) == (1, "")
    assert "sudo care-gateway report" in err
    assert not [*tmp_path.glob("*.tar.gz")]


def test_a_report_for_a_folder_that_is_not_there_is_refused(site, tmp_path, capsys):
    none = tmp_path / "none"
    code, out, err = reported(capsys, site, "--socket", none, "--into", none)
    assert (code, out) == (1, "")
    assert "cannot write" in err


def test_on_a_full_disk_it_is_put_where_memory_is_and_never_half(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reporting, "MEMORY", (tmp_path / "none", tmp_path))
    assert reporting._write(b"x" * 100, Path("/proc/self"), Lang.EN) == 0
    (written,) = tmp_path.glob("*.tar.gz")
    assert written.read_bytes() == b"x" * 100
    out, err = capsys.readouterr()
    assert out.strip() == str(written)
    assert "/proc/self cannot be written to" in err
    written.unlink()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))  # as if there was room for ten bytes
    try:
        assert reporting._write(b"x" * 100, tmp_path, Lang.EN) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [*tmp_path.iterdir()] == []


def test_a_part_is_bounded_keeps_its_newest_lines_and_cuts_none():
    line = "王芳 said so\n"
    text = reporting._end_of("first\n" + line * 300_000)
    assert len(text.encode()) <= reporting.MOST_BYTES + 40
    lines = text.splitlines()
    assert lines[0] == "(the beginning is left out)"
    assert set(lines[1:]) == {"王芳 said so"}
    assert reporting._end_of("short") == "short"


def test_a_part_that_never_comes_costs_no_other(monkeypatch):
    monkeypatch.setattr(reporting, "ALL_WITHIN_S", 0.0)
    began = time.monotonic()
    texts = reporting.at_once([lambda: time.sleep(20) or "late"], reporting.ALL_WITHIN_S)
    assert time.monotonic() - began < 15
    assert "no answer within" in reporting._late()
    assert texts == [None]
