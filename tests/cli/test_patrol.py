"""What people type about the patrol, against the real decider behind a real socket."""

import asyncio
import io
import json
import time
from dataclasses import replace
from datetime import datetime

import pytest

from gateway.cli.main import main
from gateway.domain.events import PhoneEnrolled
from gateway.domain.moments import Clk
from gateway.domain.records import Lane, Record
from gateway.drivers.pins import is_pin
from gateway.store.store import open_store
from gateway.tasks.commands import BadRequest
from gateway.tasks.patrol_commands import MAKERS, patrol_queries
from tests.core.patrol_house import MIN, Home, at

ROUND = "day/2026-11-01/0800"


def at_once(query):
    """What a query answers that waits for nothing, within the loop of the socket."""
    try:
        query.send(None)
    except StopIteration as answered:
        return answered.value
    raise AssertionError("it waits")


class Desk:
    def __init__(self):
        self.home = Home()
        self.queries = patrol_queries(lambda: self.home.state, self.home.now)

    def answer(self, message):
        try:
            if message["verb"] in self.queries:
                return {"ok": True, **at_once(self.queries[message["verb"]](message))}
            (reply,) = self.home.feed(MAKERS[message["verb"]](message, 7)).replies
        except BadRequest as problem:
            return {"ok": False, "code": "bad_request", "error": str(problem)}
        said = {} if reply.say is None else {"say": {"zh": reply.say.zh, "en": reply.say.en}}
        return {"ok": reply.ok, "code": reply.code, **said}


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def home(desk):
    return desk.home


@pytest.fixture
def run(desk, answering, capsys):
    """Type a command; gives the exit code, stdout and stderr."""

    with answering(desk.answer) as socket:

        def typed(line, lang="en"):
            code = main([*line.split(), "--socket", str(socket), "--lang", lang])
            out, err = capsys.readouterr()
            return code, out, err

        yield typed


def walked(home, *codes):
    home.until(at(1, "08:20"))
    home.walk(*codes, leg=2 * MIN)
    home.until(at(1, "10:30"))


def test_today_says_what_was_walked_and_by_whom(home, run):
    walked(home, "EPS", "STAIR", "PUMP", "GATE")
    code, out, err = run("patrol today")
    assert (code, err) == (0, "")
    (line,) = [line for line in out.splitlines() if ROUND in line]
    assert "08:00-10:00" in line
    assert "Done" in line
    assert "4/4" in line
    assert "s01" in line
    code, out, _ = run("patrol today", lang="zh")
    assert "已完成" in out


def test_a_week_is_planned_and_printed_day_by_day(run):
    code, out, _ = run("patrol plan --days 7 --json")
    assert code == 0
    rounds = json.loads(out)["rounds"]
    assert len([row for row in rounds if row["schedule"] == "night"]) == 28
    code, out, _ = run("patrol plan")
    assert code == 0
    assert all(f"2026-11-{day:02}" in out for day in range(1, 8))
    assert "22:00-00:00" in out


def test_a_round_is_signed_by_another_person_once(home, run):
    walked(home, "EPS", "STAIR", "PUMP", "GATE")
    assert run(f"patrol sign {ROUND}")[0] == 2  # whose signature?
    code, _, err = run(f"patrol sign {ROUND} --as s01")
    assert (code, "role" in err) == (1, True)
    assert run(f"patrol sign {ROUND} --as l01") == (0, f"Signed: {ROUND}\n", "")
    assert run(f"patrol sign {ROUND} --as m01")[0] == 1
    assert "signed by l01" in " ".join(run("patrol rounds 2026-11-01")[1].split())
    assert run("patrol sign no/such/round --as l01")[0] == 2


def test_a_missed_round_is_explained_and_the_fault_is_over(home, run):
    home.until(at(1, "10:30"))
    assert "gateway/round_missed/day" in home.faults()
    assert run(f"patrol explain {ROUND} --as s01")[0] == 2
    assert run(f"patrol explain {ROUND} --as s01 --why 临时抽调")[0] == 0
    assert "gateway/round_missed/day" not in home.faults()
    assert "临时抽调" in run("patrol rounds 2026-11-01")[1]


def test_figures_are_shown_to_the_patroller_first(home, run):
    walked(home, "EPS", "STAIR")
    figures = run("patrol month 2026-11 --as m01 --json")[1]
    assert json.loads(figures)["people"] == {}
    assert json.loads(figures)["withheld"] >= 1
    assert run("patrol month 2026-11 --as s02 --json")[1].count('"visits"') == 0
    code, out, _ = run("patrol month 2026-11 --as s01")
    assert (code, "s01" in out) == (0, True)
    figures = json.loads(run("patrol month 2026-11 --as m01 --json")[1])
    assert figures["people"]["s01"]["visits"] == 2
    assert figures["people"]["s01"]["rounds"] == {"partial": 1}
    assert run("patrol month november --as s01")[0] == 2


def test_figures_are_in_words_of_people(home, run):
    walked(home, "EPS", "EPS")
    home.power_cut(at(3, "12:00"))
    zh = run("patrol month 2026-11 --as s01", "zh")[1]
    en = run("patrol month 2026-11 --as s01", "en")[1]
    for said in ("漏巡 ", "漏巡（非人员原因） ", "部分完成", "重复 1"):
        assert said in zh, zh
    for said in ("Missed ", "Missed (excused) ", "Partly done", "Again 1"):
        assert said in en, en
    assert "_" not in zh + en


def test_a_pin_is_made_of_what_is_typed_and_nothing_weak_is_taken(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("4711\n"))
    assert main(["people", "pin", "--lang", "en"]) == 0
    line = capsys.readouterr().out.strip()
    assert is_pin(line.removeprefix("pin: "), "4711")
    for weak in ("471", "1111", "abcd", ""):
        monkeypatch.setattr("sys.stdin", io.StringIO(weak + "\n"))
        assert main(["people", "pin", "--lang", "zh"]) == 2
        assert capsys.readouterr().out == ""


def test_a_lost_phone_is_forgotten_by_who_may_enrol(home, run):
    assert home.ask(PhoneEnrolled("s01", "s01", "c" * 64, 86_400_000)).ok
    assert run("people forget s01")[0] == 2
    code, _, err = run("people forget s01 --as s02")
    assert (code, err.strip()) == (1, "this person's role may not do this")
    assert run("people forget s01 --as l01", "zh") == (0, "s01 的手机不再记住\n", "")
    assert home.state.patrol.phones == {}
    assert run("people forget s01 --as l01", "zh") == (2, "", "没有记住 s01 的手机\n")


def test_people_are_listed_without_what_proves_them(run):
    code, out, _ = run("people list --json")
    assert code == 0
    assert {row["code"] for row in json.loads(out)} == {"s01", "s02", "l01", "m01", "t01"}
    assert "argon2" not in out
    assert "张敏" in run("people list")[1]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_the_records_of_the_patrol_are_exported_beside_the_daemon(home, tmp_path, capsys, form):
    walked(home, "EPS", "STAIR", "PUMP", "GATE")
    home.set_clock(Clk.NONE)
    home.visit("EPS")
    home.set_clock(Clk.SYNC)
    outcomes = []
    spec = home.house.site.store.__class__(tmp_path)

    async def keep():
        async with open_store(
            spec, epoch="epoch0000001", encode=lambda _: b"", on_durable=lambda _: None,
            on_fault=lambda _: None,
        ) as store:  # fmt: skip
            for body, now in zip(home.records, home.nows, strict=True):
                kind = body.get("kind", "alarm")
                said = json.dumps(body).encode()
                record = Record(Lane(body["lane"]), "epoch0000001", body["seq"], kind, now, said)
                outcomes.append(record)
                store.submit(outcome_of(home, record))
            await store.flush()

    asyncio.run(keep())
    assert (
        main(
            [
                "patrol",
                "export",
                "--store",
                str(tmp_path),
                "--format",
                form,
                "--from",
                "2026-11-01",
                "--to",
                "2026-11-01",
            ]
        )
        == 0
    )
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count(ROUND) >= 5
    assert "visit_placed" in out
    assert "张敏" not in out
    if form == "jsonl":
        kinds = [json.loads(line)["kind"] for line in out.splitlines()]
        assert kinds.count("visit") == 5
        assert "boot" not in kinds
    assert main(["patrol", "export", "--store", str(tmp_path), "--from", "1.11."]) == 2
    assert main(["patrol", "export", "--store", str(tmp_path / "none")]) == 1


def test_the_days_of_an_export_are_the_houses_own(home, run, tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/London")
    time.tzset()
    moments = {
        "2026-10-31T15:59:00+00:00": False, "2026-10-31T16:01:00+00:00": True,
        "2026-11-30T15:59:00+00:00": True, "2026-11-30T16:01:00+00:00": False,
    }  # fmt: skip

    async def keep():
        async with open_store(
            home.house.site.store.__class__(tmp_path), epoch="epoch0000001",
            encode=lambda _: b"", on_durable=lambda _: None, on_fault=lambda _: None,
        ) as store:  # fmt: skip
            for seq, moment in enumerate(moments, 1):
                utc_ms = round(datetime.fromisoformat(moment).timestamp() * 1000)
                at_moment = replace(home.now(), utc_ms=utc_ms)
                body = json.dumps({"kind": "visit", "data": {}}).encode()
                record = Record(Lane.B, "epoch0000001", seq, "visit", at_moment, body)
                store.submit(outcome_of(home, record))
            await store.flush()

    asyncio.run(keep())
    days = "--from 2026-11-01 --to 2026-11-30"
    try:
        code, out, err = run(f"patrol export --store {tmp_path} {days}")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert (code, err) == (0, "")
    found = [json.loads(line)["id"][-1] for line in out.splitlines()]
    assert found == [str(n) for n, is_in in enumerate(moments.values(), 1) if is_in]


def outcome_of(home, record):
    from gateway.domain.outcome import Outcome

    return Outcome(home.state.signal, records=(record,))
