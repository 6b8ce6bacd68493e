"""What the anchors of a log tell afterwards about its records, in every form of the verbs."""

import asyncio
import csv
import json
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.domain.moments import Clk, Now
from gateway.domain.outcome import Outcome
from gateway.domain.records import Lane, Record
from gateway.domain.signals import Lamp, Pattern, Signal
from gateway.domain.site import StoreSpec
from gateway.store.store import open_store

UTC = 1_790_000_000_000
HOUR = 3_600_000
QUIET = Signal(Lamp.OFF, Lamp.OFF, Lamp.OFF, Lamp.ON, Pattern.QUIET, 0)
BEFORE = Now(60_000, UTC - HOUR, Clk.SYNC, 100, "b1")
NEVER = Now(30_000, 1_000, Clk.NONE, None, "b2")  # a boot without any network
EARLY = Now(20_000, 2_000, Clk.NONE, None, "b3")
LATER = Now(50_000, UTC, Clk.SYNC, 100, "b3")


def fact(seq: int, epoch: str, kind: str, at: Now, data: dict | None = None) -> Record:
    said = {"v": 1, "t": "fact", "ep": epoch, "lane": "B", "seq": seq, "kind": kind,
            "at": at.utc_ms, "clk": at.clk.value, "err": at.err_ms, "boot": at.boot,
            "mono": at.mono_ms, "data": data or {}}  # fmt: skip
    return Record(Lane.B, epoch, seq, kind, at, json.dumps(said).encode())


def anchored(seq: int, epoch: str, at: Now) -> Record:
    return fact(seq, epoch, "anchor", at, {"utc": at.utc_ms, "err": at.err_ms, "mono": at.mono_ms})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three boots: one in time, one that never knew it, one that learnt it after 50 s."""
    starts = [
        ("e1", [fact(1, "e1", "boot", BEFORE), anchored(2, "e1", BEFORE)]),
        ("e2", [fact(1, "e2", "boot", NEVER)]),
        ("e3", [fact(1, "e3", "boot", EARLY), anchored(2, "e3", LATER)]),
    ]

    async def fill() -> None:
        for epoch, records in starts:
            async with open_store(
                StoreSpec(tmp_path), epoch=epoch, encode=lambda _: b"",
                on_durable=lambda _: None, on_fault=print,
            ) as opened:  # fmt: skip
                opened.submit(Outcome(QUIET, records=tuple(records)))
                await opened.flush()

    asyncio.run(fill())
    return tmp_path


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_export_says_what_is_known_by_now_beside_what_was_written(store, capsys, form):
    words = ["record", "export", "--store", str(store), "--lane", "B", "--format", form]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = list(csv.DictReader(lines)) if form == "csv" else [json.loads(line) for line in lines]
    said = {
        (row["epoch"], int(row["seq"])): [
            None if row[name] in (None, "") else int(row[name])
            for name in ("at", "corrected", "corrected_err", "earliest", "latest")
        ]
        for row in rows
    }
    assert said["e1", 1] == [UTC - HOUR, None, None, None, None], "it was right"
    assert said["e3", 1] == [2_000, UTC - 30_000, 101, None, None], "put right by its own boot"
    earliest = UTC - HOUR - 100 + NEVER.mono_ms
    latest = UTC + 100 - LATER.mono_ms
    assert said["e2", 1] == [1_000, None, None, earliest, latest], "between its neighbours"


def test_a_list_shows_the_time_that_is_known_by_now_and_how(store, capsys):
    assert main(["record", "list", "--store", str(store), "--lang", "en", "--lane", "B"]) == 0
    text = capsys.readouterr().out
    assert "unknown → kept" in text
    assert "…" in text
    assert "1970" not in text


def test_the_readings_of_a_house_whose_core_db_is_gone_are_exported_as_they_are(store, capsys):
    (store / "core.db").unlink()
    assert main(["record", "export", "--store", str(store), "--lane", "R"]) == 0
    assert capsys.readouterr().out == ""
