"""Known sins, put back one at a time: each must be found by the test that is to find it."""

import inspect
import sqlite3
from dataclasses import replace
from types import SimpleNamespace

import pytest

pytest.importorskip("apsw")

from gateway.core import thinning
from gateway.store import chain, files, relief, room, salvage
from gateway.store.ledger import Ledger
from gateway.store.remembered import Remembered
from tests.store import test_chain, test_kept, test_power_cut, test_room, test_salvage, test_store


def _no_sync(patch) -> None:
    real = files.set_pragmas

    def without(connection, spec) -> None:
        real(connection, spec)
        connection.execute("PRAGMA synchronous=NORMAL")

    patch.setattr(test_power_cut, "set_pragmas", without)
    open_ = test_power_cut._open
    patch.setattr(
        test_power_cut, "_open", lambda disk, schema, synchronous: open_(disk, schema, "NORMAL")
    )


def _settling_forgets_the_neighbour(patch) -> None:
    real = Ledger._settle_range

    def wider(self, connection, settled, commit) -> None:
        real(self, connection, replace(settled, hi=settled.hi + 1), commit)

    patch.setattr(Ledger, "_settle_range", wider)


def _links_forget_what_was_before(patch) -> None:
    real = chain.link
    patch.setattr(chain, "link", lambda previous, body: real(bytes(32), body))


def _evicting_leaves_no_checkpoint(patch) -> None:
    def bare(connection, ids) -> None:
        rows_ = [(each,) for each in ids]
        connection.executemany("DELETE FROM record WHERE id = ?", rows_)

    patch.setattr(chain, "evict", bare)


def _salvage_believes_everything(patch) -> None:
    class Credulous:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None

    shim = SimpleNamespace(**{**vars(salvage.rows), "crc_of": lambda *_: Credulous()})
    patch.setattr(salvage, "rows", shim)


def _thins_without_waiting_for_the_gap(patch) -> None:
    real = relief.Relief.carry_out

    def at_once(self, connection, ledger, permitted) -> bool:
        plan = self._plan
        return real(self, connection, ledger, permitted | ({plan.event.range} if plan else set()))

    patch.setattr(relief.Relief, "carry_out", at_once)


def _thinning_loses_the_extremes(patch) -> None:
    patch.setattr(thinning, "_roles", lambda *_: ["last"])


def _what_is_kept_is_not_saved_again(patch) -> None:
    patch.setattr(Remembered, "must_resave", property(lambda _: False))
    real = Remembered.load

    def forgetful(self, connection, **given):
        found = real(self, connection, **given)
        self._must_resave = False
        return found

    patch.setattr(Remembered, "load", forgetful)


def _an_epoch_is_used_twice(patch) -> None:
    patch.setattr(Ledger, "_next_ordinal", lambda self, taken: 1)


def _evicts_what_nobody_has(patch) -> None:
    patch.setattr(
        room, "_SETTLED",
        "SELECT id FROM record WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
    )  # fmt: skip


SEEDS = [
    (_no_sync, test_power_cut.test_no_power_cut_loses_what_was_confirmed_or_damages_the_file),
    (
        _settling_forgets_the_neighbour,
        test_power_cut.test_alarms_chain_and_settling_are_those_of_one_commit,
    ),
    (
        _links_forget_what_was_before,
        test_chain.test_a_head_covers_every_body_of_its_lane_over_all_epochs,
    ),
    (
        _evicting_leaves_no_checkpoint,
        test_chain.test_what_was_evicted_leaves_a_checkpoint_that_the_rest_ties_on_to,
    ),
    (
        _evicts_what_nobody_has,
        test_chain.test_what_was_evicted_leaves_a_checkpoint_that_the_rest_ties_on_to,
    ),
    (
        _salvage_believes_everything,
        test_salvage.test_a_flipped_bit_anywhere_never_gives_a_wrong_record,
    ),
    (
        _thins_without_waiting_for_the_gap,
        test_room.test_readings_are_thinned_only_after_their_gap_is_on_disk,
    ),
    (
        _thinning_loses_the_extremes,
        test_room.test_readings_are_thinned_only_after_their_gap_is_on_disk,
    ),
    (_what_is_kept_is_not_saved_again, test_kept.test_what_is_kept_outlives_a_file_that_goes_bad),
    (_an_epoch_is_used_twice, test_store.test_order_is_over_epochs_in_order_of_their_creation),
]


async def _run(finder, fixtures) -> None:
    wanted = {name: fixtures[name] for name in inspect.signature(finder).parameters}
    result = finder(**wanted)
    if inspect.isawaitable(result):
        await result


@pytest.mark.parametrize(("sin", "finder"), SEEDS, ids=[sin.__name__ for sin, _ in SEEDS])
async def test_a_known_sin_is_found(kit, tmp_path, monkeypatch, sin, finder):
    fixtures = {"kit": kit, "tmp_path": tmp_path, "monkeypatch": monkeypatch, "schema": "core"}
    sin(monkeypatch)
    with pytest.raises((AssertionError, sqlite3.Error, TimeoutError)):
        await _run(finder, fixtures)
