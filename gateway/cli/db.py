"""`care-gateway db check|backup|restore`: the database files, beside the daemon or without it."""

import json
import sqlite3
import sys
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from gateway.cli.unread import is_unread, no_room, unread
from gateway.domain.system_errors import why
from gateway.domain.text import Lang, Text
from gateway.store.backup import KEPT, FileCheck, NoBackup, back_up, check, restore
from gateway.store.files import DirectoryLock, StoreBusy

WORDS = {
    "sound": Text("完好", "sound"),
    "bad": Text("损坏", "damaged"),
    "cannot": Text("读不了", "cannot be read"),
    "aside": Text("个损坏文件已隔离在旁", "damaged files set aside beside it"),
    "saved": Text("已备份", "backed up"),
    "busy": Text(
        "守护进程正在使用该目录。先停：systemctl stop care-gateway",
        "The daemon uses this directory. Stop it first: systemctl stop care-gateway",
    ),
    "restored": Text(
        "已恢复。下次启动是新的批次；原文件中备份之后的记录会自动找回。",
        "restored. The next start is a new epoch; records of the old file that the copy does not "
        "have come back by themselves.",
    ),
    "kept_as": Text("原文件保留为", "the old file is kept as"),
    "no_backup": Text("不是可用的备份", "is no usable backup"),
    "unread": Text("读不了", "cannot be read"),
    "failed": Text("失败", "failed"),
}


def check_files(directory: Path, *, lang: Lang, as_json: bool) -> int:
    """Let SQLite look at every page of both files; 0 sound, 1 when one is damaged or missing."""
    checks = [_check(directory / name, lang) for name in ("core.db", "readings.db")]
    if as_json:
        print(json.dumps([{**asdict(each), "is_sound": not each.problems} for each in checks],
                         ensure_ascii=False, indent=2))  # fmt: skip
    else:
        for each in checks:
            verdict = _verdict(directory, each)
            size = "" if verdict == "unread" else f"  {_size(each.size)}"
            aside = f"  {each.set_aside} {WORDS['aside'].in_(lang)}" if each.set_aside else ""
            print(f"{each.name}  {WORDS[verdict].in_(lang)}{size}{aside}")
            for problem in each.problems:
                print(f"   {problem}")
    return 1 if any(each.problems for each in checks) else 0


def _verdict(directory: Path, file: FileCheck) -> str:
    if not file.problems:
        return "sound"
    return "unread" if is_unread(directory / file.name) else "bad"


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.0f} KiB"


def _check(path: Path, lang: Lang) -> FileCheck:
    try:
        return check(path)
    except (sqlite3.Error, OSError) as error:
        with suppress(OSError):
            return FileCheck(path.name, path.stat().st_size, (unread(path, error, lang),), 0)
        return FileCheck(path.name, 0, (unread(path, error, lang),), 0)


def back_up_core(
    directory: Path, target: Path, *, lang: Lang, as_json: bool, keep: int = KEPT
) -> int:
    """Copy core.db into the folder `target`; 0, or 1 when that fails."""
    try:
        copy = back_up(directory / "core.db", target, datetime.now(UTC), keep)
    except (sqlite3.Error, OSError) as error:
        said = _failed(directory / "core.db", target, error, lang)
        print(f"{WORDS['failed'].in_(lang)}: {said}", file=sys.stderr)
        return 1
    if as_json:
        print(json.dumps({"path": str(copy), "size": copy.stat().st_size}))
    else:
        print(f"{WORDS['saved'].in_(lang)}: {copy} ({_size(copy.stat().st_size)})")
    return 0


def _failed(source: Path, target: Path, error: Exception, lang: Lang) -> str:
    """Which of the two it is about, and why."""
    if is_unread(source):
        return f"{source}: {unread(source, error, lang)}"
    said = why(no_room(target, error) or error).in_(lang)
    return f"{getattr(error, 'filename', None) or target}: {said}"


def restore_core(directory: Path, backup: Path, *, lang: Lang, as_json: bool) -> int:
    """Put a copy of core.db back; 1 while the daemon runs or when the disk refuses, 2 no backup."""
    lock = DirectoryLock(directory)
    try:
        lock.take()
        old = restore(backup, directory / "core.db")
    except StoreBusy:
        print(WORDS["busy"].in_(lang), file=sys.stderr)
        return 1
    except NoBackup as error:
        said = unread(backup, error, lang)
        print(f"{backup}: {WORDS['no_backup'].in_(lang)}: {said}", file=sys.stderr)
        return 2
    except OSError as error:
        said = _failed(backup, directory, error, lang)
        print(f"{WORDS['failed'].in_(lang)}: {said}", file=sys.stderr)
        return 1
    finally:
        lock.release()
    if as_json:
        print(json.dumps({"path": str(directory / "core.db"), "old": str(old) if old else None}))
        return 0
    print(f"{backup}: {WORDS['restored'].in_(lang)}")
    if old is not None:
        print(f"{WORDS['kept_as'].in_(lang)} {old}")
    return 0
