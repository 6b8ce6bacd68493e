"""The institution's sheet as technicians and inspectors get it: page, table, folder."""

import asyncio
import csv
import json
from dataclasses import replace
from datetime import date
from functools import partial
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from gateway.cli.main import main
from gateway.cli.sheet import Asked, keep, show
from gateway.cli.sheet_csv import csv_of
from gateway.cli.sheet_page import page_of
from gateway.cli.sheet_words import Voice
from gateway.core.sheet import Known, sheet_of
from gateway.core.sheet_times import period_of
from gateway.domain.events import Ticked
from gateway.domain.institutions import Duty, Institution
from gateway.domain.moments import Clk, Now
from gateway.domain.patrol import Checkpoint, Item, Patrol, Route, Stop
from gateway.domain.points import Encoding, Point, Table, WordType
from gateway.domain.records import Lane, Record
from gateway.domain.sheet import LaneEnd, Span
from gateway.domain.site import Bus, Device, Due, PanelPins, Site, StoreSpec, TcpLink
from gateway.domain.text import Lang, Text
from gateway.store.store import open_store
from tests.cli.sheet_house import all_well, eventful, home_of, plant, site_file
from tests.core.patrol_house import ZONE, at

ASKED = Institution("elder-care", Text("养老机构", "elder care"), (
    Duty("day_round", Text("每日巡查", "A round a day"), "GB/T 40248-2021 7.3.4", is_must=True),
    Duty("night_round", Text("夜间巡查", "Rounds by night"), "GB/T 40248-2021 7.3.5"),
    Duty("inspection", Text("每月检查", "An inspection a month"), "GB/T 40248-2021 7.3.7"),
    Duty("drill", Text("半年演练", "A drill"), "61号令", unverified=Text("没有读到", "not read")),
))  # fmt: skip
HERE = Path(__file__).parent / "sheets"
SUNDAY = "2026-11-01"
MADE = Now(1, 1_793_520_000_000 + 32 * 3_600_000, Clk.SYNC, 40, "later")


def _site() -> Site:
    """What the planted records are of, as far as a sheet looks at it."""
    point = Point(
        "kitchen-board.residual_current", "kitchen-board", "residual_current", "mA", Table.INPUT,
        5, Encoding(WordType.UINT16), kind="residual_current", period_ms=2_000,
    )  # fmt: skip
    bus = Bus("line", TcpLink("127.0.0.1"))
    devices = (
        Device("kitchen-board", "x", "line", 3, "主楼 1F 厨房", "电工班", (point,)),
        Device("annex-board", "x", "line", 4, "副楼 2F 配电间", "电工班", (),
               dues={Due.CALIBRATION: "2026-10-20"}),
        Device("gas", "x", "line", 7, "副楼 1F 厨房", "食堂主管", (),
               dues={Due.SENSOR_LIFE: "2026-12-15"}),
    )  # fmt: skip
    door = Item("doors", Text("防火门 <关闭>", "Fire doors <shut>"))
    stops = (
        Checkpoint("EPS", "配电间", "主楼 1F", (door,)),
        Checkpoint("GATE", "大门", "", (door,)),
    )
    return Site(
        "elm-house", "榆园养老院", "elder-care", "Asia/Shanghai", (bus,), devices, (), PanelPins(),
        None, StoreSpec(Path("unused")), buildings=("主楼", "副楼"),
        patrol=Patrol(
            {stop.code: stop for stop in stops},
            {"house": Route("house", "全院", tuple(Stop(stop.code) for stop in stops))},
        ),
    )  # fmt: skip


def _planted() -> list[Record]:
    """A day as it was recorded once (contract care/1), with what people could write into it."""
    found = []
    for line in (HERE / "records.jsonl").read_text("utf-8").splitlines():
        said = json.loads(line)
        now = Now(said["mono"], said["at"], Clk(said["clk"]), said["err"], said["boot"])
        kind = said.get("kind", "alarm")
        found.append(Record(Lane(said["lane"]), said["ep"], said["seq"], kind, now, line.encode()))
    return found


def _sheet(span: Span):
    ends = (LaneEnd("A", "epoch0000001-A-11", "0" * 63 + "a"),)
    records = {"A": 11, "B": 76, "R": 8640}
    last = {each.epoch: each.at for each in _planted()}
    known = Known(last={**last, "epoch0000002": MADE}, records=records, unsettled=3, ends=ends)
    period = period_of(span, date(2026, 11, 1), ZONE, 0)
    made = MADE if span is Span.DAY else replace(MADE, utc_ms=period.end_ms + 30_000_000)
    return sheet_of(_site(), period, made, ZONE, _planted(), known, ASKED)


GOLDEN = [
    ("day.zh.html", Span.DAY, Lang.ZH), ("day.en.html", Span.DAY, Lang.EN),
    ("day.zh.csv", Span.DAY, Lang.ZH), ("day.en.csv", Span.DAY, Lang.EN),
    ("month.zh.html", Span.MONTH, Lang.ZH), ("month.zh.csv", Span.MONTH, Lang.ZH),
]  # fmt: skip


@pytest.mark.parametrize(("name", "span", "lang"), GOLDEN, ids=[name for name, *_ in GOLDEN])
def test_a_sheet_is_to_the_letter_what_it_was(name, span, lang):
    """After a change that is meant: look at what it makes, and put it in place of the file."""
    sheet, voice = _sheet(span), Voice(lang, ZONE)
    text = csv_of(sheet, voice) if name.endswith("csv") else page_of(sheet, voice, software="0")
    assert text == (HERE / name).read_bytes().decode("utf-8")


def test_a_page_is_well_formed_whole_and_has_no_script():
    page = page_of(_sheet(Span.DAY), Voice(Lang.ZH, ZONE), software="0.1.0")
    root = ET.fromstring(page.split("\n", 1)[1])
    assert not {element.tag for element in root.iter()} & {"script", "link", "img", "iframe", "b"}
    assert not [name for element in root.iter() for name in element.attrib if name.startswith("on")]
    assert "http" not in page
    assert "1F 厨房<b>配电箱</b>" in "".join(root.itertext())  # as it was typed, and not as a tag
    assert "防火门 <关闭>" in "".join(root.itertext())


def _table(text: str) -> list[dict[str, str]]:
    assert text.startswith("﻿")
    return list(csv.DictReader(StringIO(text[1:])))


def test_a_table_opens_in_a_spreadsheet_and_starts_nothing_there():
    sheet = _sheet(Span.DAY)
    (first, *others) = sheet.sections
    evil = replace(
        first.occurrences[0], place='=HYPERLINK("x")', detail="", cause="", actions=(),
        text="@SUM(1)", closed_by="", acked_by="+1", arrived_by="", value=-12.5,
    )  # fmt: skip
    sections = (replace(first, occurrences=(evil,)), *others)
    text = csv_of(replace(sheet, sections=sections), Voice(Lang.ZH, ZONE))
    assert all(line.endswith("\r\n") for line in text.splitlines(keepends=True))
    row = next(row for row in _table(text) if row["表"] == "报警与预警")
    assert row["位置"] == '\'=HYPERLINK("x")'
    assert row["人员"] == "'+1"
    assert row["说明"] == "'@SUM(1)"
    assert row["数值"] == "-12.5"  # a number stays one


def test_names_of_people_are_written_only_where_they_are_asked_for():
    sheet = _sheet(Span.DAY)
    assert "张敏" not in page_of(sheet, Voice(Lang.ZH, ZONE), software="0")
    named = page_of(sheet, Voice(Lang.ZH, ZONE, {"s01": "张敏"}), software="0")
    assert "s01 张敏" in named
    assert "不出本机构" in named


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A site file with its people, and a store in which an eventful day was recorded."""
    folder = tmp_path_factory.mktemp("house")
    path = site_file(folder)
    home = home_of(path)
    eventful(home)
    plant(home, folder / "store")
    return path, folder / "store", home.now()


def _json(capsys, *arguments) -> dict:
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_day_that_the_decider_recorded_is_told_as_it_was(house, capsys):
    path, store, _ = house
    found = _json(capsys, "sheet", "day", "--date", SUNDAY, "--site", path, "--store", store)
    main_house, annex, rest = found["sections"]
    warning, alarm = main_house["occurrences"]
    assert (alarm["t_ack"], alarm["t_arrive"], alarm["t_close"]) == (22_000, 82_000, 142_000)
    assert (alarm["verdict"], alarm["closed_by"], alarm["proof"]) == ("false", "l01", 3)
    assert warning["verdict"] == ""
    assert [row["escalated"] for row in annex["occurrences"]] == ["duty_leader", "director"]
    assert [row["id"] for row in main_house["open_cases"]] == [warning["id"]]
    (finding,) = main_house["findings"]
    assert (finding["text"], finding["by"]) == ("防火门顶住了", "s01")
    assert {row["subject"]: row["ms"] for row in annex["blind"]} == {"gas": 90 * 60_000}
    assert {row["why"] for row in annex["aside"]} == {"探头更换", "检修"}
    assert {row["device"]: row["left"] for row in annex["dues"]} == {"annex-board": -12, "gas": 44}
    assert {row["rule"].split("/")[1] for row in rest["troubles"]} >= {"uplink_down"}
    day, night, *missed = found["rounds"]
    assert [found["zh"] for found in day["found"]] == ["配电间: 常闭防火门关闭，卷帘下无杂物"]
    assert (day["signed_by"], night["signed_by"]) == ("l01", "")
    assert [row["state"] for row in missed] == ["missed"] * 3
    (check,) = found["post_checks"]
    assert (check["result"], check["by"], check["waited_ms"]) == ("answered", "panel", 40_000)
    (off,) = found["off"]
    assert not off["is_clean"]
    assert found["undelivered_ms"] == 115 * 60_000
    assert {each["lane"] for each in found["ends"]} == {"A", "B"}


def test_the_heads_on_the_sheet_are_those_that_verify_takes(house, capsys):
    path, store, _ = house
    found = _json(capsys, "sheet", "day", "--date", SUNDAY, "--site", path, "--store", store)
    heads = [word for end in found["ends"] for word in ("--head", f"{end['lane']}={end['hash']}")]
    assert main(["record", "verify", "--store", str(store), *heads]) == 0


@pytest.mark.parametrize("lang", list(Lang))
def test_page_and_table_are_written_and_the_terminal_has_the_same(house, tmp_path, capsys, lang):
    path, store, now = house
    asked = Asked(path, store, lang)
    html, table = tmp_path / "day.html", tmp_path / "day.csv"
    assert show(asked, Span.DAY, SUNDAY, html=html, to_csv=table, as_json=False, now=now) == 0
    assert str(html) in capsys.readouterr().err
    ET.fromstring(html.read_text("utf-8").split("\n", 1)[1])
    assert _table(table.read_bytes().decode("utf-8"))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["day.csv", "day.html"]
    assert show(asked, Span.DAY, SUNDAY, html=None, to_csv=None, as_json=False, now=now) == 0
    assert ("剩余电流超限" if lang is Lang.ZH else "Residual current") in capsys.readouterr().out


def test_a_month_has_the_days_in_it_and_says_when_it_is_not_over(house, capsys):
    path, store, now = house
    asked = Asked(path, store, Lang.EN)
    assert show(asked, Span.MONTH, "2026-11", html=None, to_csv=None, as_json=False, now=now) == 0
    out = capsys.readouterr().out
    assert "sheet of the month 2026-11" in out
    assert "The period is not over" in out


@pytest.mark.parametrize(("lang", "words"), [
    (Lang.ZH, "全程在监测，没有报警、预警、故障，没有漏巡。"),
    (Lang.EN, "Watched all the time: no alarm, warning or fault, and no round missed."),
])  # fmt: skip
def test_a_day_with_nothing_says_what_was_watched_and_that_nothing_happened(
    tmp_path, capsys, lang, words
):
    text = Path(site_file(tmp_path)).read_text("utf-8").split("patrol:")[0]
    path = site_file(tmp_path, text.replace("calibration_due: 2026-10-20", "name: x")
                     .replace("sensor_life_until: 2026-12-15", "name: x"))  # fmt: skip
    home = home_of(path, start=at(0, "23:00"))
    for hour in range(26):
        home.until(at(1, f"{hour}:00"))
        all_well(home)
    store = plant(home, tmp_path / "store")
    asked = Asked(path, store, lang)
    assert show(asked, Span.DAY, SUNDAY, html=None, to_csv=None, as_json=False,
                now=home.now()) == 0  # fmt: skip
    out = capsys.readouterr().out
    assert words in out
    assert ("3 台设备" if lang is Lang.ZH else "3 devices") in out


def test_without_a_site_file_the_records_are_told_and_that_it_is_missing(house, tmp_path, capsys):
    _, store, _ = house
    missing = tmp_path / "site.yaml"
    found = _json(capsys, "sheet", "day", "--date", SUNDAY, "--site", missing, "--store", store)
    assert found["watched"] is None
    assert {row["say"]["zh"] for row in found["sections"][0]["occurrences"]}
    asked = Asked(missing, store, Lang.ZH)
    assert show(asked, Span.DAY, SUNDAY, html=None, to_csv=None, as_json=False) == 0
    assert "站点文件读不了" in capsys.readouterr().out


async def test_it_is_made_beside_a_daemon_that_writes(house, tmp_path):
    """The store is open and was just written to: nobody waits for anybody."""
    path, _, now = house
    home = home_of(path)
    all_well(home)
    epoch, outcomes = home.epochs[0]
    page = tmp_path / "day.html"
    async with open_store(
        StoreSpec(tmp_path / "store"), epoch=epoch, encode=lambda _: b"{}",
        on_durable=lambda _: None, on_fault=lambda _: None,
    ) as store:  # fmt: skip
        for outcome in outcomes:
            store.submit(outcome)
        await store.flush()
        asked = Asked(path, tmp_path / "store", Lang.ZH)
        made = partial(show, asked, Span.DAY, SUNDAY, html=page, to_csv=None, as_json=False)
        assert await asyncio.to_thread(made, now=now) == 0
        store.submit(home.feed(Ticked()))
        await store.flush()
    assert "榆园养老院" in page.read_text("utf-8")


def test_what_cannot_be_made_says_why(house, tmp_path, capsys):
    path, store, now = house
    assert main(["sheet", "day", "--date", "1.11.2026", "--site", str(path), "--lang", "zh"]) == 2
    assert "日期写成" in capsys.readouterr().err
    nothing = ["--site", str(path), "--store", str(tmp_path / "none"), "--lang", "en"]
    assert main(["sheet", "day", "--date", SUNDAY, *nothing]) == 1
    assert "cannot be read" in capsys.readouterr().err
    asked = Asked(path, store, Lang.EN)
    there = tmp_path / "no" / "folder.html"
    assert show(asked, Span.DAY, SUNDAY, html=there, to_csv=None, as_json=False, now=now) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_names_come_from_the_people_file_and_only_when_asked(house, tmp_path):
    path, store, now = house
    for is_named in (False, True):
        page = tmp_path / f"{is_named}.html"
        asked = Asked(path, store, Lang.ZH, is_named)
        assert show(asked, Span.DAY, SUNDAY, html=page, to_csv=None, as_json=False, now=now) == 0
        assert ("张敏" in page.read_text("utf-8")) is is_named


def test_a_folder_is_brought_up_to_date_and_what_is_there_is_left_alone(house, tmp_path, capsys):
    path, store, now = house
    asked, folder = Asked(path, store, Lang.ZH), tmp_path / "sheets"
    assert keep(asked, folder, days=3, months=1, now=now) == 0
    found = sorted(each.name for each in folder.iterdir())
    days = ("2026-10-30", "2026-10-31", "2026-11-01")
    assert found == [f"day-{day}.{kind}" for day in days for kind in ("csv", "html")] + [
        "month-2026-10.csv", "month-2026-10.html",
    ]  # fmt: skip
    before = {each: each.stat().st_mtime_ns for each in folder.iterdir()}
    capsys.readouterr()
    assert keep(asked, folder, days=3, months=1, now=now) == 0
    assert {each: each.stat().st_mtime_ns for each in folder.iterdir()} == before
    assert "都已经有了" in capsys.readouterr().err
    (folder / "day-2026-11-01.csv").unlink()
    (folder / "notes.txt").write_text("mine", "utf-8")
    assert keep(asked, folder, days=2, months=0, now=now) == 0
    assert sorted(each.name for each in folder.iterdir()) == [
        "day-2026-10-31.csv", "day-2026-10-31.html", "day-2026-11-01.csv", "day-2026-11-01.html",
        "notes.txt",
    ]  # fmt: skip
    assert {each.stat().st_mode & 0o777 for each in folder.glob("day-*")} == {0o640}


def test_no_time_at_all_is_no_milliseconds():
    voice = Voice(Lang.ZH, ZONE)
    assert (voice.lasted(0), voice.lasted(400), voice.lasted(3_000)) == ("0 秒", "400 毫秒", "3 秒")
