"""The verbs on the files: run as technicians run them, in both languages."""

import asyncio
import csv
import json
import os
import shutil
import sqlite3
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from gateway.cli import record as listing
from gateway.cli.main import main
from gateway.cli.unread import unread
from gateway.domain.moments import Clk, Now
from gateway.domain.outcome import Outcome
from gateway.domain.records import Lane, Range, Record
from gateway.domain.signals import Lamp, Pattern, Signal
from gateway.domain.site import StoreSpec
from gateway.domain.text import Lang
from gateway.store.backup import back_up, backups
from gateway.store.store import open_store

AT = Now(mono_ms=1_000, utc_ms=1_790_000_000_000, clk=Clk.SYNC, err_ms=4, boot="b")
QUIET = Signal(Lamp.OFF, Lamp.OFF, Lamp.OFF, Lamp.ON, Pattern.QUIET, 0)


CONFIG = Path(__file__).parents[2] / "config"


def _record(lane: Lane, seq: int, epoch: str) -> Record:
    said = {"v": 1, "t": "fact", "kind": "boot", "at": AT.utc_ms, "clk": "sync", "err": 4,
            "boot": "b", "mono": 1_000, "data": {"消息": seq}}  # fmt: skip
    body = json.dumps(said, ensure_ascii=False).encode()
    return Record(lane, epoch, seq, "boot", AT, body)


def _fill(directory: Path, epoch: str = "e1", count: int = 5) -> dict[Lane, str]:
    """Records on lanes A and B, the first two settled; the heads."""

    async def fill() -> dict[Lane, str]:
        async with open_store(
            StoreSpec(directory), epoch=epoch, encode=lambda _: b"",
            on_durable=lambda _: None, on_fault=print,
        ) as store:  # fmt: skip
            for seq in range(1, count + 1):
                records = tuple(_record(lane, seq, epoch) for lane in (Lane.A, Lane.B))
                store.submit(Outcome(QUIET, records=records))
            await store.flush()
            store.settle([Range(lane, epoch, 1, 2) for lane in (Lane.A, Lane.B)])
            await store.flush()
            return store.heads()

    return asyncio.run(fill())


@pytest.fixture
def store(tmp_path: Path) -> Path:
    _fill(tmp_path / "store")
    return tmp_path / "store"


def _run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_list_shows_the_newest_of_each_lane(store, capsys):
    assert _run("record", "list", "--store", store, "--last", 2, "--lang", "en") == 0
    text = capsys.readouterr().out
    assert [word for word in text.split() if word.startswith("e1-")] == ["e1-4", "e1-5"] * 2
    assert _run("record", "list", "--store", store, "--json", "--lane", "A", "--last", 9) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["seq"] for each in found] == [1, 2, 3, 4, 5]
    assert [each["settled"] for each in found] == [True, True, False, False, False]
    assert found[0]["body"]["data"] == {"消息": 1}
    assert _run("record", "list", "--store", store, "--kind", "alarm", "--lang", "zh") == 0
    assert "没有记录" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_export_writes_every_record_oldest_first(store, capsys, form):
    assert _run("record", "export", "--store", store, "--lane", "B", "--format", form) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = list(csv.DictReader(lines)) if form == "csv" else [json.loads(line) for line in lines]
    assert [int(row["seq"]) for row in rows] == [1, 2, 3, 4, 5]
    body = rows[3]["body"]
    assert (json.loads(body) if form == "csv" else body)["data"] == {"消息": 4}


def test_export_gives_all_lanes_and_marks_what_is_damaged(store, capsys):
    with sqlite3.connect(store / "core.db") as connection:
        connection.execute("UPDATE record SET body = x'ff00' WHERE id & 255 = 3 AND id >> 60 = 0")
    connection.close()
    assert _run("record", "export", "--store", store) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["lane"], each["seq"]) for each in found if not each["sound"]] == [("A", 3)]
    assert len(found) == 10


@pytest.mark.parametrize(("lang", "word"), [("zh", "完好"), ("en", "sound")])
def test_verify_says_that_all_is_as_written(store, capsys, lang, word):
    assert _run("record", "verify", "--store", store, "--lang", lang) == 0
    assert capsys.readouterr().out.count(word) == 3


@pytest.mark.parametrize(("lang", "word"), [("zh", "第一条有问题的记录"), ("en", "first bad")])
def test_verify_names_the_first_bad_record(store, capsys, lang, word):
    with sqlite3.connect(store / "core.db") as connection:
        connection.execute("DELETE FROM record WHERE id & 255 = 3 AND id >> 60 = 1")
    connection.close()
    assert _run("record", "verify", "--store", store, "--lang", lang) == 1
    out = capsys.readouterr().out
    assert f"{word}: e1-B-4" in out.replace("record:", ":").replace(" :", ":")
    assert _run("record", "verify", "--store", store, "--json") == 1
    lane_a, lane_b, lane_r = json.loads(capsys.readouterr().out)
    assert (lane_a["is_sound"], lane_b["is_sound"], lane_r["is_sound"]) == (True, False, True)
    assert lane_b["first_bad"] == {"lane": "B", "epoch": "e1", "seq": 4, "why": "chain"}


def test_verify_holds_the_chain_against_a_head_from_outside(tmp_path, capsys):
    heads = _fill(tmp_path)
    head = heads[Lane.A]
    assert _run("record", "verify", "--store", tmp_path, "--head", f"A={head}") == 0
    with sqlite3.connect(tmp_path / "core.db") as connection:
        connection.execute("DELETE FROM record WHERE id & 255 = 5")
    connection.close()
    assert _run("record", "verify", "--store", tmp_path) == 0
    assert _run("record", "verify", "--store", tmp_path, "--head", f"A={head}") == 1
    assert head in capsys.readouterr().out
    for bad in ("A=12", f"R={head}", head):
        assert _run("record", "verify", "--store", tmp_path, "--head", bad) == 2


@pytest.mark.parametrize("verb", [("record", "list"), ("record", "verify"), ("record", "export")])
def test_a_folder_without_a_database_is_the_outside_worlds_fault(tmp_path, capsys, verb):
    assert _run(*verb, "--store", tmp_path, "--lang", "en") == 1
    assert "cannot be read" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [], "reading makes no file"


def test_a_column_that_no_longer_says_what_the_body_says_is_found(store, capsys):
    with sqlite3.connect(store / "core.db") as connection:
        connection.execute("UPDATE record SET utc = utc + 3600000 WHERE id & 255 = 2")
    connection.close()
    assert _run("record", "verify", "--store", store, "--lang", "en") == 1
    assert "first bad record: e1-A-2: column at" in capsys.readouterr().out


def test_db_check_looks_at_both_files(store, capsys):
    assert _run("db", "check", "--store", store, "--lang", "en") == 0
    assert capsys.readouterr().out.count("sound") == 2
    content = bytearray((store / "core.db").read_bytes())
    content[4096 * 3 : 4096 * 4] = b"\xa5" * 4096
    (store / "core.db").write_bytes(content)
    assert _run("db", "check", "--store", store, "--json") == 1
    core, readings = json.loads(capsys.readouterr().out)
    assert (core["is_sound"], readings["is_sound"]) == (False, True)


def test_an_id_is_whole_in_a_narrow_terminal(store, monkeypatch, capsys):
    narrow = partial(Console, width=60, highlight=False, markup=False, emoji=False)
    monkeypatch.setattr(listing, "console", narrow)
    assert _run("record", "list", "--store", store, "--json") == 0
    ids = [f"{row['epoch']}-{row['seq']}" for row in json.loads(capsys.readouterr().out)]
    assert _run("record", "list", "--store", store) == 0
    words = capsys.readouterr().out.split()
    assert ids
    assert [word for word in words if word in ids] == ids
    assert "None" not in words


@pytest.mark.parametrize(
    ("lang", "said"),
    [
        ("zh", "core.db  读不了\n   没有这个文件或目录\n"),
        ("en", "core.db  cannot be read\n   there is no such file or folder\n"),
    ],
)
def test_a_file_that_is_not_there_is_not_called_damaged(tmp_path, lang, said, capsys):
    assert _run("db", "check", "--store", tmp_path / "none", "--lang", lang) == 1
    assert capsys.readouterr().out.startswith(said)


@pytest.mark.parametrize(
    "verb",
    [
        ("record", "list"),
        ("record", "verify"),
        ("record", "export"),
        ("patrol", "export"),
        ("db", "backup", "copies"),
        ("sheet", "day", "--site", CONFIG / "site.demo.yaml"),
    ],
)
def test_who_reads_where_nothing_is_learns_that_nothing_is_there(
    tmp_path, monkeypatch, verb, capsys
):
    monkeypatch.chdir(tmp_path)
    assert _run(*verb, "--store", "none", "--lang", "zh") == 1
    err = capsys.readouterr().err
    assert "没有这个文件或目录" in err
    assert "unable to open" not in err
    assert len(err.splitlines()) == 1


def test_a_full_disk_is_what_it_is_and_no_broken_one(tmp_path):
    error = sqlite3.OperationalError("disk I/O error")
    for free, said in ((1 << 10, "磁盘已满"), (1 << 30, "磁盘读写出错")):
        assert unread(_file(tmp_path), error, Lang.ZH, free=lambda _, free=free: free) == said
    damaged = sqlite3.DatabaseError("database disk image is malformed")
    assert unread(_file(tmp_path), damaged, Lang.ZH, free=lambda _: 0) == "数据库损坏"


def _file(folder):
    (folder / "core.db").write_bytes(b"x")
    return folder / "core.db"


def test_a_copy_that_is_not_there_is_told_as_that(tmp_path, store, capsys):
    assert _run("db", "restore", tmp_path / "no.db", "--store", store, "--lang", "zh") == 2
    assert "没有这个文件或目录" in capsys.readouterr().err


def test_dates_that_are_turned_round_are_refused(store, capsys):
    turned = ("--from", "2026-11-02", "--to", "2026-11-01", "--lang", "zh")
    assert _run("patrol", "export", *turned, "--store", store) == 2
    assert capsys.readouterr() == ("", "--from 要早于 --to\n")


def test_a_copy_is_made_beside_a_running_daemon_and_holds_what_was_committed(tmp_path, capsys):
    async def back_up_while_it_runs() -> None:
        async with open_store(
            StoreSpec(tmp_path / "store"), epoch="e1", encode=lambda _: b"",
            on_durable=lambda _: None, on_fault=print,
        ) as store:  # fmt: skip
            store.submit(Outcome(QUIET, records=(_record(Lane.A, 1, "e1"),)))
            await store.flush()
            into = ("db", "backup", tmp_path / "copies", "--store", tmp_path / "store")
            assert await asyncio.to_thread(_run, *into) == 0
            verify = ("record", "verify", "--store", tmp_path / "store")
            assert await asyncio.to_thread(_run, *verify) == 0
            (copy,) = backups(tmp_path / "copies")
            restore = ("db", "restore", copy, "--store", tmp_path / "store", "--lang", "en")
            assert await asyncio.to_thread(_run, *restore) == 1
            store.submit(Outcome(QUIET, records=(_record(Lane.A, 2, "e1"),)))
            await store.flush()

    asyncio.run(back_up_while_it_runs())
    assert "Stop it first" in capsys.readouterr().err
    (copy,) = backups(tmp_path / "copies")
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT count(*) FROM record").fetchone() == (1,)
    connection.close()


def test_so_many_copies_are_kept_and_never_the_newest_lost(store, tmp_path):
    for day in range(1, 13):
        moment = datetime(2026, 11, day, tzinfo=UTC)
        newest = back_up(store / "core.db", tmp_path / "copies", moment, keep=7)
    found = backups(tmp_path / "copies")
    assert len(found) == 7
    assert found[-1] == newest


def test_a_clock_that_ran_ahead_costs_no_later_copy(store, tmp_path):
    for year, day in ((2029, 1), (2029, 2), (2029, 3), (2026, 1), (2026, 2), (2026, 3)):
        newest = back_up(store / "core.db", tmp_path / "copies", datetime(year, 5, day, tzinfo=UTC),
                         keep=3)  # fmt: skip
        assert newest.exists()
    days = [path.name[5:13] for path in backups(tmp_path / "copies")]
    assert days == ["20260501", "20260502", "20260503"]
    back_up(store / "core.db", tmp_path / "copies", datetime(1970, 1, 1, tzinfo=UTC), keep=3)
    days = [path.name[5:13] for path in backups(tmp_path / "copies")]
    assert days == ["19700101", "20260502", "20260503"]


def test_what_a_power_cut_left_of_a_copy_goes_with_the_next(store, tmp_path):
    copies = tmp_path / "copies"
    copies.mkdir()
    (copies / "core-20261101T000000Z.part").write_bytes(bytes(100))
    newest = back_up(store / "core.db", copies, datetime(2026, 11, 2, tzinfo=UTC))
    assert list(copies.iterdir()) == [newest]


def test_a_log_that_was_left_alone_is_not_replayed_into_a_copy(tmp_path, capsys):
    """Somebody deletes core.db after a power cut, and not what stands beside it."""
    directory, cut = tmp_path / "store", tmp_path / "cut"

    async def run_until_the_power_goes() -> None:
        async with open_store(
            StoreSpec(directory), epoch="e1", encode=lambda _: b"",
            on_durable=lambda _: None, on_fault=print,
        ) as store:  # fmt: skip
            for seq in range(1, 60):
                store.submit(Outcome(QUIET, records=(_record(Lane.A, seq, "e1"),)))
                await store.flush()
                if seq == 10:
                    assert _run("db", "backup", tmp_path / "copies", "--store", directory) == 0
            shutil.copytree(directory, cut)

    asyncio.run(run_until_the_power_goes())
    (copy,) = backups(tmp_path / "copies")
    (cut / "core.db").unlink()
    assert (cut / "core.db-wal").stat().st_size > 0
    assert _run("db", "restore", copy, "--store", cut) == 0
    assert _run("db", "check", "--store", cut) == 0, "both files are sound"
    capsys.readouterr()
    assert _run("record", "list", "--store", cut, "--lane", "A", "--json", "--last", 99) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["seq"] for each in found] == list(range(1, 11))


def test_a_lock_that_root_makes_belongs_to_who_has_the_directory(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    _fill(tmp_path / "from")
    copy = back_up(tmp_path / "from" / "core.db", tmp_path / "copies", datetime.now(UTC))
    new = tmp_path / "new"
    new.mkdir()
    os.chown(new, 65534, 65534)
    assert _run("db", "restore", copy, "--store", new) == 0
    assert {path.stat().st_uid for path in new.iterdir()} == {65534}


def test_a_copy_put_back_begins_a_new_epoch_and_newer_records_return(tmp_path, capsys):
    directory = tmp_path / "store"
    _fill(directory, "e1", 3)
    assert _run("db", "backup", tmp_path / "copies", "--store", directory, "--json") == 0
    copy = Path(json.loads(capsys.readouterr().out)["path"])
    heads = _fill(directory, "e2", 4)  # after the copy
    assert _run("db", "restore", copy, "--store", directory, "--lang", "en") == 0
    assert "core.db.bad-1" in capsys.readouterr().out

    async def look() -> None:
        salvaged: list[int] = []
        async with open_store(
            StoreSpec(directory), epoch="e3", encode=lambda _: b"",
            on_durable=lambda _: None, on_fault=print, on_salvaged=salvaged.append,
        ) as store:  # fmt: skip
            async with asyncio.timeout(60):
                while not salvaged:
                    await asyncio.sleep(0.01)
            found = await store.unsettled(Lane.A, limit=99, max_bytes=1 << 20)
            assert sorted((r.epoch, r.seq) for r in found) == [("e1", 3), ("e2", 3), ("e2", 4)]
            store.submit(Outcome(QUIET, records=(_record(Lane.A, 1, "e3"),)))
            await store.flush()
            assert store.knows_epoch("e2")

    asyncio.run(look())
    heads_given = [f"--head={lane}={head}" for lane, head in heads.items()]
    assert _run("record", "verify", "--store", directory, *heads_given) == 0


def test_a_head_that_the_platform_has_is_found_after_a_copy_was_put_back(tmp_path, capsys):
    """One alarm a start: each is tied to the one of the start before, not to later ones."""
    directory = tmp_path / "store"
    _fill(directory, "e1", 1)
    assert _run("db", "backup", tmp_path / "copies", "--store", directory, "--json") == 0
    copy = Path(json.loads(capsys.readouterr().out)["path"])
    known = [_fill(directory, epoch, 1) for epoch in ("e2", "e3")]
    assert _run("db", "restore", copy, "--store", directory) == 0

    async def start() -> None:
        salvaged: list[int] = []
        async with open_store(
            StoreSpec(directory), epoch="e4", encode=lambda _: b"",
            on_durable=lambda _: None, on_fault=print, on_salvaged=salvaged.append,
        ) as store:  # fmt: skip
            store.submit(Outcome(QUIET, records=(_record(Lane.A, 1, "e4"),)))
            async with asyncio.timeout(60):
                while not salvaged:
                    await asyncio.sleep(0.01)
            await store.flush()
            found = await store.unsettled(Lane.A, limit=99, max_bytes=1 << 20)
            assert [r.epoch for r in found] == ["e4"], "the first two of an epoch are settled"
            again = await store.retained(Range(Lane.A, "e3", 1, 9), limit=9, max_bytes=1 << 20)
            assert store.position(again[0]) < store.position(found[0]), "older ones go first"

    asyncio.run(start())
    heads = [f"--head={lane}={head}" for each in known for lane, head in each.items()]
    assert _run("record", "verify", "--store", directory, *heads) == 0


def test_what_is_no_copy_is_refused_and_changes_nothing(store, tmp_path, capsys):
    before = (store / "core.db").read_bytes()
    other = tmp_path / "notes.txt"
    other.write_text("no database")
    assert _run("db", "restore", other, "--store", store, "--lang", "en") == 2
    assert _run("db", "restore", store / "readings.db", "--store", store) == 2
    assert _run("db", "restore", tmp_path / "absent.db", "--store", store) == 2
    assert (store / "core.db").read_bytes() == before
    assert "no usable backup" in capsys.readouterr().err


def test_a_backup_that_cannot_be_made_leaves_nothing_behind(store, tmp_path, capsys):
    into = tmp_path / "file"
    into.write_text("")
    assert _run("db", "backup", into, "--store", store, "--lang", "en") == 1
    assert _run("db", "backup", tmp_path / "copies", "--store", tmp_path / "none") == 1
    assert list((tmp_path / "copies").iterdir()) == []
