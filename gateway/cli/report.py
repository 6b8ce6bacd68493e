"""`care-gateway report`: one file for whoever helps, without secrets and without people.

It holds what `doctor`, `check`, `status` and `uplink status` say, whether records and databases are
sound, the site file, the service's journal and what the machine is. What is taken out of all of
them, `gateway.cli.privacy` says. It is written without a daemon, without a site file, with broken
databases and on a full disk.
"""

import errno
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from gateway.cli.at_once import at_once
from gateway.cli.doctor import findings, plain
from gateway.cli.privacy import PeopleUnknown, cleaner, house_words, site_text, without_people
from gateway.config.load import Loaded, load_site
from gateway.domain.system_errors import why
from gateway.domain.text import Lang, Text
from gateway.drivers.adapters import list_adapters
from gateway.drivers.host import host_figures
from gateway.drivers.sockets import ask

WRITTEN = Text("已写好：{}（{:.0f} kB）", "written: {} ({:.0f} kB)")
CANNOT = Text("写不了 {}：{}", "cannot write {}: {}")
ELSEWHERE = Text("{} 写不了（{}），写到了 {}", "{} cannot be written to ({}), it is in {}")
UNKNOWN = Text(
    "读不了人员文件（{}），没法把人名去掉：用 sudo care-gateway report",
    "the file of people cannot be read ({}), so nobody can be taken out: sudo care-gateway report",
)
UNITS = ("care-gateway*",)
JOURNAL_LINES, KERNEL_LINES = 5_000, 1_000
MOST_BYTES = 2 * 2**20  # of one part
ALL_WITHIN_S = 90.0  # what is not there by then is left out, and says so
MEMORY = (Path("/run"), Path("/tmp"))  # noqa: S108 - where there is room on a full or broken disk

Part = tuple[str, Callable[[], str]]


def report(path: Path, socket: Path, into: Path, *, lang: Lang, store: Path | None = None) -> int:
    """Write the bundle into the folder `into`; print its path. 0 written, 1 it cannot be.

    `store` is the folder of the databases where the daemon was given another than the site's.
    """
    if not into.is_dir():
        print(
            CANNOT.in_(lang).format(into, why(NotADirectoryError(errno.ENOTDIR, "")).in_(lang)),
            file=sys.stderr,
        )
        return 1
    loaded = load_site(path, store_dir=store, is_timed=False)
    try:
        words = house_words(path, loaded.site)
    except PeopleUnknown as unknown:
        print(UNKNOWN.in_(lang).format(unknown), file=sys.stderr)
        return 1
    parts = [*_parts(path, socket, loaded)]
    texts = at_once([partial(_made, make) for _, make in parts], ALL_WITHIN_S)
    data = _bundle([name for name, _ in parts], texts, cleaner(words))
    return _write(data, into, lang)


def _bundle(
    names: Sequence[str], texts: Sequence[str | None], clean: Callable[[str], str]
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as bundle:
        for name, text in zip(names, texts, strict=True):
            _add(bundle, name, clean(_end_of(text or _late())))
    return buffer.getvalue()


def _late() -> str:
    return f"not available: no answer within {ALL_WITHIN_S:.0f} s\n"


def _write(data: bytes, into: Path, lang: Lang) -> int:
    """Where it was asked for, else where memory is: whoever needs help has a full disk, often."""
    name = f"care-gateway-report-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.tar.gz"
    try:
        target = _put(into / name, data)
    except OSError as error:
        found = _put_elsewhere(name, data)
        if found is None:
            print(CANNOT.in_(lang).format(into / name, why(error).in_(lang)), file=sys.stderr)
            return 1
        target = found
        print(ELSEWHERE.in_(lang).format(into, why(error).in_(lang), found), file=sys.stderr)
    print(target)
    print(WRITTEN.in_(lang).format(target.name, len(data) / 1000), file=sys.stderr)
    return 0


def _put_elsewhere(name: str, data: bytes) -> Path | None:
    for folder in MEMORY:
        try:
            return _put(folder / name, data)
        except OSError:  # the next one, or none
            continue
    return None


def _put(target: Path, data: bytes) -> Path:
    """Write the whole file, or none; for who asked and nobody else."""
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            _give(file.fileno())
    except OSError:
        target.unlink(missing_ok=True)
        raise
    return target


def _give(fd: int) -> None:
    """With sudo the file is for the one who typed it."""
    user, group = (os.environ.get(name, "") for name in ("SUDO_UID", "SUDO_GID"))
    if os.getuid() == 0 and user.isdigit() and group.isdigit():
        os.fchown(fd, int(user), int(group))


def _parts(path: Path, socket: Path, loaded: Loaded) -> Iterator[Part]:
    yield "machine.json", lambda: _json(_machine())
    yield "site.yaml", lambda: site_text(_beginning(path))
    yield "check.json", lambda: _json([_problem(each) for each in load_site(path).problems])
    for verb in ("status", "uplink_status", "cases"):
        yield f"{verb}.json", partial(_answer, socket, verb)
    site = loaded.site
    if site is not None:
        yield "doctor.json", lambda: _json(plain(findings(site, path, socket)))
        store = site.store.directory
        yield "records.json", lambda: _own("record", "verify", "--store", str(store), "--json")
        yield "databases.json", lambda: _own("db", "check", "--store", str(store), "--json")
    yield "journal.txt", partial(_journal, UNITS, JOURNAL_LINES)
    yield (
        "kernel.txt",
        lambda: _output(
            "journalctl", "--no-pager", "-o", "short-iso", "-k", "-n", str(KERNEL_LINES)
        ),
    )
    yield (
        "units.txt",
        lambda: _output(
            "systemctl", "status", "--no-pager", "--full", "--all", "--lines=0", *UNITS
        ),
    )


def _answer(socket: Path, verb: str) -> str:
    return _json(without_people(ask(socket, {"verb": verb})))


def _made(make: Callable[[], str]) -> str:
    """What a part says; a part that cannot be had says why and costs no other."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - a report is made of what there is
        return f"not available: {type(error).__name__}: {error}\n"


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MOST_BYTES).decode("utf-8", errors="replace")


def _end_of(text: str) -> str:
    """The last lines that fit: the newest, and none of them cut, since half a name is still one."""
    data = text.encode("utf-8", errors="replace")
    if len(data) <= MOST_BYTES:
        return text
    _, _, rest = data[-MOST_BYTES:].partition(b"\n")
    return "(the beginning is left out)\n" + rest.decode("utf-8", errors="replace")


def _add(bundle: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode("utf-8", errors="replace")
    entry = tarfile.TarInfo(f"care-gateway-report/{name}")
    entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o644
    bundle.addfile(entry, io.BytesIO(data))


def _machine() -> dict[str, Any]:
    packages = {dist.metadata["Name"]: dist.version for dist in metadata.distributions()}
    return {
        "system": platform.platform(),
        "release": _release(),
        "python": platform.python_version(),
        "packages": dict(sorted(packages.items())),
        "figures": host_figures(),
        "adapters": [
            {"node": each.node, "usb": f"{each.vendor}:{each.product}", "by_path": each.by_path}
            for each in list_adapters()
        ],
        "mounts": Path("/proc/self/mounts").read_text("utf-8", errors="replace").splitlines(),
        "uptime_s": float(Path("/proc/uptime").read_text("ascii").split()[0]),
    }


def _release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _problem(problem: Any) -> dict[str, Any]:
    return {
        "level": problem.level.value,
        "code": problem.code,
        "line": problem.place.line,
        "fact": problem.fact.en,
    }


def _journal(units: Sequence[str], lines: int) -> str:
    asked = [part for unit in units for part in ("-u", unit)]
    return _output("journalctl", "--no-pager", "-o", "short-iso", "-n", str(lines), *asked)


def _own(*words: str) -> str:
    """What one of our own verbs prints; it reads the databases without touching them."""
    return _output(sys.executable, "-P", "-m", "gateway", *words)


def _output(*command: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own words only
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        timeout=ALL_WITHIN_S, check=False,
    )  # fmt: skip
    return done.stdout or done.stderr


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n"
