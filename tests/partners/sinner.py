"""The simulated platform with one sin of a real one: what `platform check` is there to find.

python -m tests.partners.sinner SIN --broker URL --history FILE ...
"""

import sys
from collections.abc import Callable

import paho.mqtt.client as paho

from gateway.sim import history, platform


def acknowledges_from_memory() -> None:
    """It says what it has and writes it later: here, never."""

    def commit(run: platform._Platform) -> None:
        keys, run.to_ack, run.open_since = run.to_ack, [], None
        for each in platform._ranges(keys):
            message = {"v": 1, "t": "ack", "ep": each.epoch, each.lane: [[each.lo, each.hi]]}
            platform._queue(run, each.gateway, "ack", message)

    platform._commit = commit


def remembers_keys_in_memory() -> None:
    """A table without a key; what came before its own start comes to effect again."""
    history._TABLES = history._TABLES.replace(", UNIQUE(gw, ep, lane, seq));", ");")
    seen: set[history.Key] = set()
    _insert_unless(lambda key: key in seen or seen.add(key))


def knows_no_epochs() -> None:
    seen: set[tuple[str, str, int]] = set()
    _insert_unless(lambda key: (short := (key[0], *key[2:])) in seen or seen.add(short))


def acknowledges_all_up_to_the_newest() -> None:
    ranges = platform._ranges
    platform._ranges = lambda keys: [
        history.Acked(each.gateway, each.epoch, each.lane, 1, each.hi) for each in ranges(keys)
    ]


def subscribes_once() -> None:
    """Its broker keeps the session, it thinks. It goes on greeting who it knows."""
    subscribe, answer, has = paho.Client.subscribe, platform._answer, []

    def once(client: paho.Client, *args: object, **more: object) -> object:
        if not has:
            has.append(client)
            return subscribe(client, *args, **more)
        return None

    def greet(run: platform._Platform) -> None:
        if not run.outgoing:
            for gateway in history.gateways(run.store):
                platform._queue(run, gateway, "hello", {"v": 1, "t": "hello", "ack": 1},
                                after_s=0.5)  # fmt: skip
        answer(run)

    paho.Client.subscribe, platform._answer = once, greet


def forgets_what_it_asked_for() -> None:
    """It asks for what it lost; what comes then it neither keeps nor acknowledges."""
    ask, take, asked = platform._ask_replay, platform._take_record, set()

    def ask_and_forget(run, gateway, epoch, missing) -> None:
        lane, low, high = missing
        asked.update((gateway, epoch, lane, seq) for seq in range(low, high + 1))
        ask(run, gateway, epoch, missing)

    def take_others(run, record, data) -> None:
        if record.key not in asked:
            take(run, record, data)

    platform._ask_replay, platform._take_record = ask_and_forget, take_others


SINS = {
    sin.__name__: sin
    for sin in (
        acknowledges_from_memory, remembers_keys_in_memory, knows_no_epochs,
        acknowledges_all_up_to_the_newest, subscribes_once, forgets_what_it_asked_for,
    )
}  # fmt: skip


def _insert_unless(is_known: Callable[[history.Key], object]) -> None:
    insert = history.insert
    history.insert = lambda store, record: not is_known(record.key) and insert(store, record)


if __name__ == "__main__":
    SINS[sys.argv[1]]()
    sys.exit(platform.main(sys.argv[2:]))
