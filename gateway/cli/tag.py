"""`care-gateway tag`: write, read and check the tags of the checkpoints, list them, retire them.

Exit codes: 0 done, 1 the outside world (no reader, a bad tag, no daemon), 2 what was typed.
"""

import json
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.cli.asking import code_of, question, refusal_of
from gateway.cli.tag_words import DONE, OTHERS, Refused
from gateway.domain.text import Lang, Text

TOKEN_BYTES = 12  # 16 characters: nobody guesses one
LEAST_KEY = 16


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a command finds the reader and the daemon, and how it speaks."""

    socket: Path
    lend: Path
    device: str | None
    wait_s: float
    lang: Lang
    as_json: bool


def read(desk: Desk, key_file: Path | None) -> int:
    """Print what lies on the reader."""

    def do() -> int:
        from gateway.cli.desk import open_desk, with_tag
        from gateway.reader.writing import inspect

        key = _key(key_file) if key_file is not None and key_file.exists() else None
        with open_desk(desk.device, lend=desk.lend, socket=desk.socket) as reader:
            found = with_tag(lambda: inspect(reader, key), wait_s=desk.wait_s, lang=desk.lang)
        _print(asdict(found), desk)
        return 0

    return _guarded(do, desk)


def write(
    desk: Desk,
    checkpoint: str,
    *,
    by: str,
    url: str,
    text: str | None,
    key_file: Path | None,
    may_overwrite: bool,
    is_final: bool,
) -> int:
    """Write a new link for a checkpoint, read it back, and register it with the daemon."""

    def do() -> int:
        from gateway.cli.desk import open_desk, with_tag
        from gateway.reader.tags import digest_of
        from gateway.reader.writing import Content
        from gateway.reader.writing import write as write_tag

        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise Refused("bad_url", OTHERS["bad_url"], url, exit_code=2)
        key = None if key_file is None else _key(key_file)
        place = _asked(desk, {"verb": "patrol_at", "checkpoint": checkpoint}).get("checkpoint")
        if not place:
            raise Refused("no_checkpoint", OTHERS["no_checkpoint"], checkpoint, exit_code=2)
        _check_right(desk, by)
        link = f"{url.rstrip('/')}/t/{secrets.token_urlsafe(TOKEN_BYTES)}"
        content = Content(link, str(place["name"]) if text is None else text)
        with open_desk(desk.device, lend=desk.lend, socket=desk.socket) as reader:
            written = with_tag(
                lambda: write_tag(
                    reader, content, key=key, may_overwrite=may_overwrite, is_final=is_final
                ),
                wait_s=desk.wait_s,
                lang=desk.lang,
            )
        answer = question(
            desk.socket,
            {
                "verb": "tag_register",
                "by": by,
                "uid": written.uid,
                "checkpoint": checkpoint,
                "kind": "ntag21x",
                "token": digest_of(link),
            },
            desk.lang,
        )
        if answer is None or not answer.get("ok"):
            why = "" if answer is None else refusal_of(answer, desk.lang)
            exit_code = 1 if answer is None else code_of(answer)
            refused = OTHERS["not_registered"]
            raise Refused("not_registered", refused, why, exit_code=exit_code)
        done = DONE["written"]
        _print({**asdict(written), "checkpoint": checkpoint}, desk, done, checkpoint, written.uid)
        return 0

    return _guarded(do, desk)


def verify(desk: Desk, checkpoint: str | None, key_file: Path | None) -> int:
    """Check a tag where it hangs: readable, registered, where it should be, not rewritten."""

    def do() -> int:
        from gateway.cli.desk import open_desk, with_tag
        from gateway.reader.tags import digest_of
        from gateway.reader.writing import inspect

        tags = {tag["uid"]: tag for tag in _tags(desk)}
        key = _key(key_file) if key_file is not None and key_file.exists() else None
        with open_desk(desk.device, lend=desk.lend, socket=desk.socket) as reader:
            found = with_tag(lambda: inspect(reader, key), wait_s=desk.wait_s, lang=desk.lang)
        tag = tags.get(found.uid)
        if tag is None:
            raise Refused("unknown_tag", OTHERS["unknown_tag"])
        if tag.get("is_retired"):
            raise Refused("retired", OTHERS["retired"])
        there = str(tag["checkpoint"])
        if checkpoint is not None and there != checkpoint:
            raise Refused("other_checkpoint", OTHERS["other_checkpoint"], there, checkpoint)
        if tag.get("token") and digest_of(found.url or "") != tag["token"]:
            raise Refused("other_token", OTHERS["other_token"])
        if not found.is_guarded and not found.is_locked:
            print(OTHERS["unguarded"].in_(desk.lang), file=sys.stderr)
        _print({**asdict(found), "checkpoint": there}, desk, DONE["good"], there)
        return 0

    return _guarded(do, desk)


def list_tags(desk: Desk) -> int:
    """Print the registered tags, a line each."""

    def do() -> int:
        tags = _tags(desk)
        if desk.as_json:
            print(json.dumps({"tags": tags}, ensure_ascii=False, indent=2))
            return 0
        if not tags:
            print(DONE["empty"].in_(desk.lang), file=sys.stderr)
        for tag in tags:
            state = OTHERS["retired"].in_(desk.lang) if tag.get("is_retired") else ""
            print("\t".join([tag["uid"], tag["checkpoint"], tag.get("name", ""), state]).rstrip())
        return 0

    return _guarded(do, desk, needs_reader=False)


def retire(
    desk: Desk, uid: str | None, *, by: str, why: str, key_file: Path | None, is_erased: bool
) -> int:
    """Take a tag down: by its UID, or the one on the reader, which can be emptied as well."""

    def do() -> int:
        name = None if uid is None else uid.replace(":", "").upper()
        if name is None or is_erased:
            from gateway.cli.desk import open_desk, with_tag
            from gateway.reader.writing import erase, inspect

            key = _key(key_file) if key_file is not None and key_file.exists() else None
            with open_desk(desk.device, lend=desk.lend, socket=desk.socket) as reader:
                found = with_tag(
                    lambda: erase(reader, key=key) if is_erased else inspect(reader),
                    wait_s=desk.wait_s,
                    lang=desk.lang,
                )
            name = found.uid
        answer = question(
            desk.socket, {"verb": "tag_retire", "by": by, "uid": name, "why": why}, desk.lang
        )
        if answer is None:
            return 1
        if not answer.get("ok"):
            said = refusal_of(answer, desk.lang)
            raise Refused(
                str(answer.get("code")), Text("{}", "{}"), said, exit_code=code_of(answer)
            )
        _print({"uid": name, "is_retired": True}, desk, DONE["retired"], name)
        return 0

    return _guarded(do, desk, needs_reader=uid is None or is_erased)


def _guarded(do: Callable[[], int], desk: Desk, *, needs_reader: bool = True) -> int:
    """Do it; what is refused is one sentence on stderr, and a code for programs."""
    if needs_reader and find_spec("nfc") is None:
        return _say("missing", OTHERS["missing"], desk, 1)
    try:
        return do()
    except Refused as refused:
        return _say(refused.code, refused.say, desk, refused.exit_code)


def _say(code: str, say: Text, desk: Desk, exit_code: int) -> int:
    if desk.as_json:
        answer = {"ok": False, "code": code, "say": {"zh": say.zh, "en": say.en}}
        print(json.dumps(answer, ensure_ascii=False, indent=2))
    if code != "no_daemon":  # said already, with what to do
        print(say.in_(desk.lang), file=sys.stderr)
    return exit_code


def _print(
    found: Mapping[str, object], desk: Desk, done: Text | None = None, *details: str
) -> None:
    if desk.as_json:
        print(json.dumps({"ok": True, **found}, ensure_ascii=False, indent=2))
    elif done is not None:
        print(done.in_(desk.lang).format(*details))
    else:
        for name, value in found.items():
            print(f"{name}: {'-' if value is None else value}")


def _asked(desk: Desk, message: Mapping[str, object]) -> Mapping[str, Any]:
    answer = question(desk.socket, message, desk.lang)
    if answer is None:
        raise Refused("no_daemon", Text("守护进程没有应答", "the daemon does not answer"))
    if not answer.get("ok"):
        said = refusal_of(answer, desk.lang)
        raise Refused(str(answer.get("code")), Text("{}", "{}"), said, exit_code=code_of(answer))
    return answer


def _check_right(desk: Desk, by: str) -> None:
    """Before anything is written: the daemon would refuse to register it afterwards."""
    person = _asked(desk, {"verb": "patrol_person", "code": by}).get("person")
    if not person or not person.get("is_valid") or "tags" not in person.get("rights", []):
        raise Refused("no_right", OTHERS["no_right"], by, exit_code=2)


def _tags(desk: Desk) -> list[dict[str, Any]]:
    return list(_asked(desk, {"verb": "patrol_tags"}).get("tags", []))


def _key(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except OSError as error:
        raise Refused("no_key", OTHERS["no_key"], str(path)) from error
    if len(key) < LEAST_KEY:
        raise Refused("short_key", OTHERS["short_key"], str(path))
    return key
