"""Thin stored reading batches: per ten minutes and point what a chart needs, under the same ids."""

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.messages import COMPRESS_READINGS_ABOVE, pack

WINDOW_MS = 600_000
_MAX_BYTES = 4 * 2**20  # of one batch, unpacked

Place = tuple[int, int]  # which body, which of its readings


def thin_bodies(bodies: Sequence[bytes]) -> list[bytes | None]:
    """The `read` messages with each point's least, greatest and last good reading and last bad one.

    Of every ten minutes of monotonic time. Marked `thin: true`; None where no reading is left.
    ValueError when a body is no such message.
    """
    messages = [_message(body) for body in bodies]
    keep: dict[tuple[object, ...], Place] = {}
    for index, message in enumerate(messages):
        for number, reading in enumerate(message["r"]):
            spot = (message["boot"], (message["m0"] + reading[1]) // WINDOW_MS)
            for role in _roles(reading, keep, (*spot, message["pts"], reading[0]), messages):
                keep[*spot, message["pts"], reading[0], role] = (index, number)
    chosen = set(keep.values())
    return [_thinned(message, index, chosen) for index, message in enumerate(messages)]


def _roles(
    reading: Sequence[Any],
    keep: Mapping[tuple[object, ...], Place],
    key: tuple[object, ...],
    messages: Sequence[Mapping[str, Any]],
) -> list[str]:
    if len(reading) > 3:
        return ["bad"]
    roles = ["last"]
    if isinstance(reading[2], int | float):
        for role, sign in (("least", -1), ("greatest", 1)):
            place = keep.get((*key, role))
            best = None if place is None else messages[place[0]]["r"][place[1]][2]
            if best is None or sign * reading[2] > sign * best:
                roles.append(role)
    return roles


def _thinned(message: Mapping[str, Any], index: int, chosen: set[Place]) -> bytes | None:
    left = [reading for n, reading in enumerate(message["r"]) if (index, n) in chosen]
    if not left:
        return None
    text = json.dumps({**message, "thin": True, "r": left}, ensure_ascii=False,
                      separators=(",", ":"))  # fmt: skip
    return pack(text.encode(), COMPRESS_READINGS_ABOVE)


def _message(body: bytes) -> dict[str, Any]:
    try:
        text = zlib.decompressobj().decompress(body, _MAX_BYTES) if body[:1] == b"\x78" else body
        message = json.loads(text)
        if message["t"] != "read":
            raise ValueError(f"a batch is expected, this is {message['t']!r}")
        return {**message, "m0": int(message["m0"]), "r": list(message["r"])}
    except (zlib.error, KeyError, TypeError) as error:
        raise ValueError(f"no batch of readings: {error!r}") from error
